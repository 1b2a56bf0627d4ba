"""An account's equity as an index that only profit and loss move, and its confirmed high. Pure: no I/O, no clock.

Equity alone misleads: a withdrawal looks like a loss, a deposit or one wrong reading like a high, after which healthy
accounts were closed by brakes that had believed it. So a change of equity counts only as far as it is explained by
positions times moves of their prices (and collateral times its), within a tolerance; what is left is unexplained. It is
counted as money that came or went once it has stayed, and never as profit or loss.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite

from msgspec import Struct

from guard.account.sensible import sensible_number, sensible_price, sensible_size
from guard.events import AccountSnapshot, Position
from guard.margin_terms import ContractKind
from guard.units import NS_PER_S, AccountId, MarketId, Nanoseconds

TOLERANCE_SHARE = 0.005
"""Of equity: fees, funding, and prices of two moments."""
TRADED_SHARE = 0.01
"""Of what was traded between two readings: fees, and how far from both prices it was done."""
SETTLE_NS = 60 * NS_PER_S
SETTLE_COUNT = 3
"""For so long, and in so many readings, the same must have been unexplained to be money that came or went."""
PEAK_NS = 300 * NS_PER_S
PEAK_COUNT = 3
"""For so long, and in so many readings, the index must have been above its high for a new one: the least of them."""
CURRENT_COUNT = 3
"""The index is the highest of so many readings: a single low one is not the state of an account."""
BUCKET_NS = 3_600 * NS_PER_S
BUCKETS_MAX = 24 * 30
"""The high is kept hour by hour, for thirty days."""
_LEAST = 1e-9


@dataclass(frozen=True, slots=True)
class Drawdown:
    """How far an account is below its confirmed high.

    ``share`` 0..1 of the high, deposits and withdrawals apart; ``since`` when the high was last held;
    ``unexplained_usd`` is what of the last change of equity nothing explains, 0 where all is explained.
    """

    share: float
    equity_usd: float
    high_usd: float
    since: Nanoseconds
    readings: int
    unexplained_usd: float


class EquityKept(Struct, frozen=True, kw_only=True):
    """A track as it outlives the guard: index, highs by hour since 1970, and the last reading that counted.

    ``sizes`` and ``prices`` by market, ``held`` is quantity and price by asset.
    """

    account: AccountId
    index: float
    highs: dict[int, float]
    high_at: Nanoseconds
    at: Nanoseconds
    equity_usd: float
    sizes: dict[MarketId, float]
    prices: dict[MarketId, float]
    held: dict[str, tuple[float, float]]


@dataclass(slots=True)
class _Reading:
    at: Nanoseconds
    equity_usd: float
    sizes: dict[MarketId, float]
    prices: dict[MarketId, float]
    held: dict[str, tuple[float, float]]


@dataclass(slots=True)
class _Candidate:
    since: Nanoseconds
    least: float
    count: int = 1


@dataclass(slots=True)
class EquityTrack:
    """The fold of one account's readings.

    Between two readings, with sizes ``q`` and ``q'`` and moves ``d`` of prices, profit lies between the sums of
    ``min(q d, q' d)`` and of ``max(q d, q' d)``, ``TOLERANCE_SHARE`` of equity and ``TRADED_SHARE`` of what was traded
    besides; what of a change of equity lies beyond is unexplained. ``index`` grows by the explained part over equity.

    Assumptions: readings come often against trading: a position that was opened and closed between two of them with a
    large loss is not explained, and counts as a withdrawal. Failure modes: with the guard not running nothing is read;
    what was held before is compared with what is held after, and what cannot be explained so is not counted. ``kept``
    and ``recalled`` carry it over a restart.

    >>> track = EquityTrack()
    >>> track.drawdown(0, 3600 * NS_PER_S) is None
    True
    """

    index: float = 1.0
    readings: int = 0
    unexplained_usd: float = 0.0
    _base: _Reading | None = None
    _odd_since: Nanoseconds | None = None
    _odd_count: int = 0
    _odd_usd: float = 0.0
    _recent: list[float] = field(default_factory=list)
    _candidate: _Candidate | None = None
    _highs: dict[int, float] = field(default_factory=dict)
    _high_at: Nanoseconds = 0

    def observe(self, snapshot: AccountSnapshot, marks: Mapping[MarketId, float], at: Nanoseconds) -> None:
        """Take what a venue says of an account; ``marks`` of markets, for those whose positions bear no price."""
        equity = sensible_number(snapshot.equity_usd)
        base = self._base
        if equity is None or (base is not None and at <= base.at):
            return
        reading = _reading(snapshot, equity, marks, None if base is None else base.prices, at)
        if base is None or base.equity_usd <= 0.0 or equity <= 0.0:
            self._base = reading
            if base is None:
                self._settle(1.0, at)
            return
        change = equity - base.equity_usd
        low, high, slack = _explained(base, reading)
        residual = change - min(max(change, low - slack), high + slack)
        # Money that came or went is none of it profit or loss: the tolerance neither, or each would count as a little.
        explained = change if residual == 0.0 else min(max(change, low), high)
        index = max(self.index * (1.0 + explained / base.equity_usd), _LEAST)
        if residual != 0.0 and not self._has_stayed(residual, base, at):
            self.unexplained_usd = residual
            self._note(index, at, is_sure=False)
            return
        self._odd_since, self._odd_count = None, 0
        self.unexplained_usd = 0.0
        self._base = reading
        self._settle(index, at)

    def kept(self, account: AccountId) -> EquityKept | None:
        """What has to be kept over a restart; ``None`` before the first reading."""
        base = self._base
        if base is None:
            return None
        return EquityKept(
            account=account,
            index=self.index,
            highs=dict(self._highs),
            high_at=self._high_at,
            at=base.at,
            equity_usd=base.equity_usd,
            sizes=base.sizes,
            prices=base.prices,
            held=base.held,
        )

    @classmethod
    def recalled(cls, kept: EquityKept) -> EquityTrack:
        """Go on from what was kept."""
        base = _Reading(kept.at, kept.equity_usd, dict(kept.sizes), dict(kept.prices), dict(kept.held))
        return cls(
            index=kept.index,
            readings=1,
            _base=base,
            _recent=[kept.index],
            _highs=dict(kept.highs),
            _high_at=kept.high_at,
        )

    @property
    def markets(self) -> tuple[MarketId, ...]:
        """Where something was held at the last reading that counts."""
        return () if self._base is None else tuple(self._base.sizes)

    def drawdown(self, now: Nanoseconds, window_ns: Nanoseconds) -> Drawdown | None:
        """How far it is below the high of the last ``window_ns``; ``None`` before the first reading."""
        base = self._base
        if base is None or not self._recent:
            return None
        first = (now - window_ns) // BUCKET_NS
        current = max(self._recent)
        high = max((value for hour, value in self._highs.items() if hour >= first), default=current)
        share = min(max(1.0 - current / high, 0.0), 1.0) if high > 0.0 else 0.0
        equity = base.equity_usd
        return Drawdown(
            share=share,
            equity_usd=equity,
            high_usd=equity / (1.0 - share) if share < 1.0 else equity,
            since=self._high_at,
            readings=self.readings,
            unexplained_usd=self.unexplained_usd,
        )

    def _has_stayed(self, residual: float, base: _Reading, at: Nanoseconds) -> bool:
        """Whether the same has been unexplained for long enough to be money that came or went."""
        same = abs(residual - self._odd_usd) <= 2.0 * TOLERANCE_SHARE * base.equity_usd
        if self._odd_since is None or not same:
            self._odd_since, self._odd_count, self._odd_usd = at, 1, residual
            return False
        self._odd_count += 1
        return at - self._odd_since >= SETTLE_NS and self._odd_count >= SETTLE_COUNT

    def _settle(self, index: float, at: Nanoseconds) -> None:
        self.index = index
        self._note(index, at, is_sure=True)

    def _note(self, index: float, at: Nanoseconds, *, is_sure: bool) -> None:
        self.readings += 1
        self._recent = [*self._recent, index][-CURRENT_COUNT:]
        hour = at // BUCKET_NS
        known = self._highs.get(hour)
        standing = max(self._highs.values(), default=0.0)
        if not self._highs:
            self._highs[hour], self._high_at = index, at
            return
        if is_sure and index > standing:
            candidate = self._candidate
            if candidate is None:
                self._candidate = _Candidate(at, index)
            else:
                candidate.least, candidate.count = min(candidate.least, index), candidate.count + 1
                if at - candidate.since >= PEAK_NS and candidate.count >= PEAK_COUNT:
                    self._highs[hour], self._high_at = candidate.least, at
                    self._candidate = _Candidate(at, index)
        elif is_sure:
            self._candidate = None
        # What was held for a while within the hour counts as its high, though it is not the highest of all.
        low = min(self._recent)
        if (
            is_sure
            and len(self._recent) >= CURRENT_COUNT
            and low <= standing
            and (known is None or low > known)
        ):
            self._highs[hour] = low
        if len(self._highs) > BUCKETS_MAX:
            del self._highs[min(self._highs)]


def _reading(
    snapshot: AccountSnapshot,
    equity: float,
    marks: Mapping[MarketId, float],
    before: Mapping[MarketId, float] | None,
    at: Nanoseconds,
) -> _Reading:
    sizes: dict[MarketId, float] = {}
    prices: dict[MarketId, float] = {}
    for position in snapshot.positions:
        size, price = _size(position), sensible_price(position.mark_price) or marks.get(position.market)
        if size is None or price is None:
            continue
        sizes[position.market] = sizes.get(position.market, 0.0) + size
        prices[position.market] = price
    for market in before or {}:
        price = marks.get(market)
        if market not in prices and price is not None:
            prices[market] = price
    held = {
        each.asset: (each.quantity, each.venue_price_usd)
        for each in snapshot.collateral or ()
        if each.venue_price_usd is not None and isfinite(each.quantity) and isfinite(each.venue_price_usd)
    }
    return _Reading(at, equity, sizes, prices, held)


def _size(position: Position) -> float | None:
    """USD gained for each unit of price, signed; of an inverse position by its entry price."""
    if position.kind is ContractKind.INVERSE:
        contracts, entry = sensible_size(position.contracts_usd), sensible_price(position.entry_price)
        return None if contracts is None or entry is None else contracts / entry
    return sensible_size(position.size)


def _explained(before: _Reading, after: _Reading) -> tuple[float, float, float]:
    """Between which changes of equity profit and loss lie, and how far beyond they may, USD."""
    low = high = 0.0
    slack = TOLERANCE_SHARE * before.equity_usd
    for market in before.sizes.keys() | after.sizes.keys():
        first = before.prices.get(market, after.prices.get(market))
        last = after.prices.get(market, first)
        if first is None or last is None:
            continue
        was, is_now = before.sizes.get(market, 0.0), after.sizes.get(market, 0.0)
        gains = was * (last - first), is_now * (last - first)
        low += min(gains)
        high += max(gains)
        slack += TRADED_SHARE * abs(is_now - was) * max(first, last)
    for asset, (quantity, price) in before.held.items():
        now_quantity, now_price = after.held.get(asset, (quantity, price))
        gains = quantity * (now_price - price), now_quantity * (now_price - price)
        # Not every venue counts all of it in equity.
        low += min(*gains, 0.0)
        high += max(*gains, 0.0)
    return low, high, slack
