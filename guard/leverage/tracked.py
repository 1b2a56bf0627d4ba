"""The exact part of a liquidation map: positions of accounts that a venue publishes. No I/O, no clock.

Hyperliquid tells anybody what an account holds and at which price it is liquidated. Whoever names accounts gets their
part of the map exactly; how large a part that is (``coverage``), and how old, is told with it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from guard.events import TrackedPosition, TrackedPositionsSeen
from guard.forecasts import Direction
from guard.units import NS_PER_S, MarketId, Nanoseconds

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackedSettings:
    """How long what an account held is taken to hold still.

    Attributes:
        fresh_s: so long all of it.
        half_life_s: then half as much in each of these: positions are closed, collateral moves.
        age_s_max: and nothing from then on.
    """

    fresh_s: float = 180.0
    half_life_s: float = 7_200.0
    age_s_max: float = 86_400.0


@dataclass(frozen=True, slots=True, eq=False)
class TrackedSide:
    """What is known exactly of one side of a market: longs for DOWN, shorts for UP.

    Attributes:
        usd: notional at the mark that is liquidated, by bin of log distance beyond it, as far as it is fresh.
        held_usd: notional of all tracked positions of that side, liquidated by some price or by none, by freshness.
        coverage: ``held_usd`` over open interest, 0..1; ``None`` where open interest is unknown.
        accounts: whose positions these are, how many.
        oldest_s: age of the oldest of them.
    """

    usd: Floats
    held_usd: float
    coverage: float | None
    accounts: int
    oldest_s: float


@dataclass(slots=True)
class _Account:
    at: Nanoseconds
    position: TrackedPosition
    is_swept: bool = False


@dataclass(slots=True)
class TrackedPositions:
    """Tracked positions of one market, by account: replaced account by account, never guessed.

    An account that was asked and holds nothing here is forgotten; one that was not asked keeps what it held, and
    counts less with age. A position whose liquidation price the mark has passed counts no more until its account
    is asked again: nobody knows what is left of it.

    Formula: mass in bin j is the sum over positions of |size| * mark * w(age) with
    ``sign * log(liquidation price / mark)`` in j, w = 1 while fresh, then ``0.5 ** (age beyond fresh / half-life)``.

    Assumptions: the venue's liquidation price holds while the account does nothing. Failure modes: a cross account's
    liquidation price moves with its other positions between two questions; several addresses of one owner are
    several accounts; accounts chosen for being large are no sample of the others, so nothing is extrapolated here.
    Source: Hyperliquid's clearinghouseState (its documentation of the info endpoint, "Retrieve user's perpetuals
    account summary").

    >>> tracked = TrackedPositions(MarketId("hyperliquid:BTC/USDC:USDC"))
    >>> held = TrackedPosition(account="a", size=2.0, entry_price=100.0, liquidation_price=95.0)
    >>> tracked.take(
    ...     TrackedPositionsSeen(
    ...         received_at=0, market=tracked.market, accounts=("a",), positions=(held,), asked_accounts=1
    ...     )
    ... )
    >>> side = tracked.side(Direction.DOWN, 100.0, 0, 8.0, bin_log=0.001, bins=700)
    >>> (int(side.usd.argmax()), float(side.usd.sum()), side.coverage)
    (51, 200.0, 0.25)
    """

    market: MarketId
    settings: TrackedSettings = field(default_factory=TrackedSettings)
    asked_accounts: int = 0
    is_complete: bool = False
    _held: dict[str, _Account] = field(default_factory=dict)
    _arrays: _Arrays | None = None

    def take(self, event: TrackedPositionsSeen) -> None:
        """Replace what is known of the accounts that were asked; events of other markets are ignored."""
        if event.market != self.market:
            return
        self.asked_accounts, self.is_complete = event.asked_accounts, event.is_complete
        for account in event.accounts:
            self._held.pop(account, None)
        asked = frozenset(event.accounts)
        for position in event.positions:
            if position.account in asked and position.size and math.isfinite(position.size):
                self._held[position.account] = _Account(event.received_at, position)
        self._arrays = None

    def sweep(self, mark_low: float, mark_high: float) -> None:
        """Take it that the mark was at both prices: whom that liquidates counts no more until asked again."""
        arrays = self._gathered()
        swept = np.where(arrays.size > 0.0, arrays.price >= mark_low, arrays.price <= mark_high)
        if not (swept & ~arrays.is_swept).any():
            return
        arrays.is_swept |= swept
        for account, is_swept in zip(self._held.values(), arrays.is_swept.tolist(), strict=True):
            account.is_swept = is_swept

    def side(
        self,
        direction: Direction,
        mark_price: float,
        now: Nanoseconds,
        open_interest: float | None,
        *,
        bin_log: float,
        bins: int,
    ) -> TrackedSide | None:
        """Say what is known exactly of the side that a move in ``direction`` liquidates.

        Args:
            direction: DOWN is about longs.
            mark_price: quote per base, above 0.
            now: our clock.
            open_interest: base units, both sides counted once.
            bin_log: width of a bin in log price.
            bins: how many; what lies farther is not in ``usd``.

        Returns:
            ``None`` where no tracked account is known to hold anything on that side, or the mark is no price.
        """
        if not (math.isfinite(mark_price) and mark_price > 0.0):
            return None
        arrays = self._gathered()
        weight = self._freshness(arrays, now)
        chosen = (arrays.size * direction.sign < 0.0) & ~arrays.is_swept & (weight > 0.0)
        if not chosen.any():
            return None
        with np.errstate(over="ignore"):  # sizes that nobody can hold are infinite amounts, not warnings
            usd = np.abs(arrays.size[chosen]) * mark_price * weight[chosen]
        held_usd = float(usd.sum())
        distance = direction.sign * (arrays.log_price[chosen] - math.log(mark_price))
        # Whom no price liquidates has an infinite distance; whom the mark has passed a negative one.
        is_near = (distance >= 0.0) & (distance < bins * bin_log)
        places = np.minimum((distance[is_near] / bin_log).astype(np.intp), bins - 1)
        mass = np.bincount(places, weights=usd[is_near], minlength=bins).astype(np.float64)
        coverage = None
        if open_interest is not None and math.isfinite(open_interest) and open_interest > 0.0:
            coverage = min(held_usd / (open_interest * mark_price), 1.0)
        oldest_s = float(now - arrays.at[chosen].min()) / NS_PER_S
        return TrackedSide(mass, held_usd, coverage, int(chosen.sum()), max(oldest_s, 0.0))

    @property
    def accounts(self) -> int:
        """How many tracked accounts hold a position here, as far as is known."""
        return len(self._held)

    def _freshness(self, arrays: _Arrays, now: Nanoseconds) -> Floats:
        settings = self.settings
        age_s = np.maximum((now - arrays.at) / NS_PER_S, 0.0)
        weight = np.exp2(-np.maximum(age_s - settings.fresh_s, 0.0) / settings.half_life_s)
        weight[age_s >= settings.age_s_max] = 0.0
        return np.asarray(weight, dtype=np.float64)

    def _gathered(self) -> _Arrays:
        if self._arrays is None:
            self._arrays = _Arrays.of(list(self._held.values()))
        return self._arrays


@dataclass(slots=True, eq=False)
class _Arrays:
    """The accounts' positions, one a row; a liquidation price that there is not is one that no mark reaches."""

    size: Floats
    price: Floats
    log_price: Floats
    at: NDArray[np.int64]
    is_swept: NDArray[np.bool_]

    @classmethod
    def of(cls, held: list[_Account]) -> _Arrays:
        size = np.array([each.position.size for each in held], dtype=np.float64)
        prices = [each.position.liquidation_price for each in held]
        is_known = np.array(
            [price is not None and math.isfinite(price) and price > 0.0 for price in prices], dtype=bool
        )
        told = np.array(
            [price if known else 1.0 for price, known in zip(prices, is_known, strict=True)], dtype=np.float64
        )
        unreached = np.where(size > 0.0, 0.0, math.inf)
        return cls(
            size=size,
            price=np.where(is_known, told, unreached),
            log_price=np.where(is_known, np.log(told), np.where(size > 0.0, -math.inf, math.inf)),
            at=np.array([each.at for each in held], dtype=np.int64),
            is_swept=np.array([each.is_swept for each in held], dtype=bool),
        )
