"""Cut a position so that its liquidation lies beyond what the present book lets a shock reach."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Annotated

from annotated_types import Ge, Gt, Le

from guard.account.distance import (
    Distance,
    as_pooled,
    distance_of,
    inverse_alone,
    is_hedge,
    leg_of,
    margin_missing_usd,
)
from guard.account.pools import Pool
from guard.account.positions import AccountView
from guard.account.sensible import sensible_size
from guard.account.time_to_liquidation import ACTIONS_MIN
from guard.events import BookSide, MarginMode, Position, PositionSource, Stream
from guard.findings import Basis, Finding, Limit, Reason, Severity, Subject
from guard.leverage.liquidation_price import (
    size_max,
    size_max_in,
)
from guard.leverage.margin_pool import Leg, MarginPool
from guard.leverage.solver import state_at
from guard.leverage.tiers import tier_at
from guard.margin_terms import ContractKind, TierTable, TierUnit
from guard.market.book import Side
from guard.market.freshness import StreamState
from guard.market.liquidity import slippage_bps
from guard.market.view import BookTrust, MarketView
from guard.state import GuardState
from guard.units import BPS_PER_UNIT, NS_PER_S, AccountId, MarketId, Nanoseconds, venue_of
from perpguard_sdk.messages import Entries, Evidence


@dataclass(frozen=True, slots=True, kw_only=True)
class CutLeverage:
    """Keeps the distance to liquidation above what is needed to get out, and above what a shock can reach.

    The distance from mark price to liquidation price, in bps, must be at least

        buffer_bps + exit_multiple * exit cost of the whole position now
                   + reach_multiple * reach of a market order of shock_multiple * normal depth, now

    where the reach is read from the present book (extrapolated beyond its visible levels) and the shock
    is measured in the *normal* depth of the market. So a book that has lost nine tenths of its depth
    asks for several times the distance before the price has moved at all: the cut comes early, while
    it is cheap. When the distance is too short, the largest position whose liquidation price would lie
    ``margin_ratio`` farther out than needed is asked for, the cost of getting there deducted, and no
    entries until then. While the distance is less than ``cap_multiple`` times what is needed, the position
    is capped at that size.

    The liquidation price is the nearest of the venue's word and our own, by either valuation of collateral; where
    several positions share their margin it is also looked at how far all of them may move together, and each is
    cut by the share that keeps that distance. What hedges a larger position, or coins that are collateral, is not cut:
    without it the account would fail sooner.

    Acts only on what is known: no trusted book or mark price, no finding (``distrust_stale_data``
    blocks entries then), no liquidation price, no finding (``distrust_liquidation_prices`` does).
    Positions that only bots tell are not known once ``reported_s`` old. Where the venue has no stream of
    mark prices, the middle of the trusted book stands in; a mark price that has gone stale does not.

    In isolated mode a cut frees its share of the margin, so it shrinks the loss at liquidation more
    than it moves the price; the evidence then says how much margin would do instead. The cut is a share
    of the position as it was when it was first asked for, so obeying does not lead to the next one.

    Attributes:
        enabled: whether it decides at all.
        confirm_s: seconds for which a finding must have stood before anything is asked because of it.
        buffer_bps: distance that is always kept.
        exit_multiple: how many times the present cost of leaving must fit into the distance.
        shock_multiple: the shock, as a multiple of the normal depth within ``baseline.band_bps``.
        reach_multiple: how many times the shock's reach must fit into the distance.
        distance_bps_max: more distance than this is never asked for.
        margin_ratio: how much farther than needed a cut puts the liquidation price.
        cap_multiple: up to how many times the needed distance a position is capped.
        reported_s: seconds after which positions that only bots tell are not known any more.
    """

    __pydantic_config__ = {"extra": "forbid"}
    name = "cut_leverage"

    enabled: bool = True
    confirm_s: Annotated[float, Ge(0.0), Le(60.0)] = 1.0
    buffer_bps: Annotated[float, Ge(0.0), Le(5_000.0)] = 50.0
    exit_multiple: Annotated[float, Ge(0.0), Le(100.0)] = 2.0
    shock_multiple: Annotated[float, Ge(0.0), Le(100.0)] = 2.0
    reach_multiple: Annotated[float, Ge(0.0), Le(100.0)] = 1.0
    distance_bps_max: Annotated[float, Gt(0.0), Le(9_000.0)] = 3_000.0
    margin_ratio: Annotated[float, Ge(0.0), Le(2.0)] = 0.15
    cap_multiple: Annotated[float, Ge(1.0), Le(10.0)] = 1.5
    reported_s: Annotated[float, Gt(0.0), Le(3_600.0)] = 15.0

    def decide(self, state: GuardState, now: Nanoseconds) -> Iterator[Finding]:
        """Yield at most one finding a position at ``now``."""
        return self._decide(state, now, None)

    def decide_for(
        self, state: GuardState, now: Nanoseconds, markets: AbstractSet[MarketId]
    ) -> Iterator[Finding]:
        """Yield those of ``decide`` that are about ``markets``."""
        return self._decide(state, now, markets)

    def _decide(
        self, state: GuardState, now: Nanoseconds, markets: AbstractSet[MarketId] | None
    ) -> Iterator[Finding]:
        if not self.enabled:
            return
        for account in state.accounts.values():
            if not account.positions or not self._is_known(account, state, now):
                continue
            for position in account.positions:
                if (markets is not None and position.market not in markets) or not sensible_size(
                    position.size
                ):
                    continue
                view = state.markets.get(position.market)
                if view is None or view.trust(now) is not BookTrust.TRUSTED:
                    continue
                mark = _mark_price(view, now)
                if mark is not None and mark > 0.0:
                    yield from self._position(state, account, position, view, mark)

    def _is_known(self, account: AccountView, state: GuardState, now: Nanoseconds) -> bool:
        """Whether what the account holds is known now: never cut on anything else."""
        clock = state.account_clocks.get(account.account)
        if account.source is PositionSource.VENUE and clock is not None:
            return clock.state(now) is StreamState.FRESH and account.account not in state.account_faults
        if account.source is PositionSource.BOT:
            return account.seen_at is not None and now - account.seen_at <= self.reported_s * NS_PER_S
        return True

    def _position(
        self, state: GuardState, account: AccountView, position: Position, view: MarketView, mark: float
    ) -> Iterator[Finding]:
        own = state.own
        leg, pool = own.leg(account.account, position), own.pool(account.account, position)
        if leg is None or pool is None or is_hedge(position, leg, pool):
            return
        need = self._need(position, view)
        distance = distance_of(position, leg, pool, own.tried(account.account, pool), mark)
        if need is None or distance is None or distance.bps >= self.cap_multiple * need.total_bps:
            return
        target_bps = min(need.total_bps * (1.0 + self.margin_ratio), self.distance_bps_max)
        terms = own.terms_of(venue_of(account.account)).table(position.market)
        size, equity = self._size(position, pool, distance, view, mark, target_bps, terms)
        if size is None:
            return
        is_short = distance.bps < need.total_bps
        if not is_short:
            size = max(size, abs(position.size))  # a cap, not a cut
        if distance.share is None:
            risk = own.risk(account.account)
            distance = replace(
                distance, seconds=leg.seconds_stressed, action_s=None if risk is None else risk.action_s
            )
        if position.margin_mode is MarginMode.ISOLATED:
            distance = replace(
                distance, margin_usd=margin_missing_usd(position, pool, distance, mark, need.total_bps)
            )
        yield self._finding(
            account.account, position, view, mark, distance, need, equity, size, is_short=is_short
        )

    def _size(
        self,
        position: Position,
        pool: Pool,
        distance: Distance,
        view: MarketView,
        mark: float,
        target_bps: float,
        terms: TierTable,
    ) -> tuple[float | None, float]:
        """The largest size that keeps the distance, base units, and the equity that stands behind it now, USD."""
        features = view.features
        book = None if features is None else features.bids if position.size > 0.0 else features.asks
        if distance.is_told or pool.missing:
            held = as_pooled(position, pool)
            return self._size_alone(held, distance, book, view.mid_price, mark, target_bps, terms)
        sizes, equities = [], []
        # The nearer of both valuations of collateral is what liquidates: the size has to hold by both.
        for valued in (pool.own,) if pool.venue is pool.own else (pool.own, pool.venue):
            leg, state = leg_of(valued, position), state_at(valued)
            size = None
            if leg is not None and state is not None:
                size = _size_in(valued, leg, book, view.mid_price, mark, target_bps)
            if leg is None or state is None or size is None:
                return None, 0.0
            sizes.append(size / (mark if leg.kind is ContractKind.INVERSE else 1.0))
            equities.append(state.equity_usd)
        if distance.share is not None:  # several positions fail together: each gives its part
            part = distance.share(target_bps) * abs(position.size)
            # Of a pool that has failed no one alone has to make it hold.
            sizes = [part] if distance.bps <= 0.0 else [*sizes, part]
        return min(sizes), min(equities)

    def _size_alone(
        self,
        position: Position,
        distance: Distance,
        book: BookSide | None,
        mid: float | None,
        mark: float,
        target_bps: float,
        terms: TierTable,
    ) -> tuple[float | None, float]:
        """Where only the venue's or the bot's word is known: by the equity that it implies (F = 0 there)."""
        sign = 1.0 if position.size > 0.0 else -1.0
        at = mark * (1.0 - sign * distance.bps / BPS_PER_UNIT)
        contracts_usd = position.contracts_usd if position.kind is ContractKind.INVERSE else None
        value = abs(position.size) * mark if contracts_usd is None else abs(contracts_usd) / mark
        size = abs(position.size) if contracts_usd is None else abs(contracts_usd)
        tier = tier_at(terms.tiers, size if terms.unit is TierUnit.SIZE else value)
        ratio, deduction = tier.maintenance_ratio, tier.deduction
        if contracts_usd is not None:
            pool = inverse_alone(position.market, contracts_usd, mark, at, ratio, deduction)
            found = _size_in(pool, pool.legs[0], book, mid, mark, target_bps)
            return None if found is None else found / mark, pool.holdings[0].value_usd
        equity = abs(position.size) * (sign * (mark - at) + ratio * at) - deduction
        return _size_max(book, mid, position.size, mark, equity, target_bps, ratio, deduction), equity

    def _need(self, position: Position, view: MarketView) -> _Need | None:
        """The distance needed in this book, ``None`` if the book cannot tell."""
        exit_cost = view.exit_cost_bps(position.size)
        if exit_cost is None:
            return None
        side = Side.BID if position.size > 0 else Side.ASK
        normal = view.normal_depth_usd(side)
        reach = None if normal is None else view.reach_bps(side, self.shock_multiple * normal)
        reach_bps = 0.0 if reach is None else reach.value
        total = self.buffer_bps + self.exit_multiple * exit_cost.value + self.reach_multiple * reach_bps
        return _Need(
            total_bps=min(total, self.distance_bps_max),
            exit_bps=exit_cost.value,
            reach_bps=reach_bps,
            shock_usd=0.0 if normal is None else self.shock_multiple * normal,
            extrapolated=exit_cost.extrapolated or (reach is not None and reach.extrapolated),
        )

    def _finding(
        self,
        account: AccountId,
        position: Position,
        view: MarketView,
        mark: float,
        distance: Distance,
        need: _Need,
        equity: float,
        size: float,
        *,
        is_short: bool,
    ) -> Finding:
        distance_bps = distance.bps
        evidence = [
            Evidence(name="distance to liquidation", value=distance_bps, unit="bps", limit=need.total_bps),
            Evidence(name="mark price", value=mark, unit="USD"),
            Evidence(name=distance.name, value=distance.price, unit="USD"),
            Evidence(name="position", value=position.size, unit="base units", limit=size),
            Evidence(name="exit cost of the position", value=need.exit_bps, unit="bps"),
            Evidence(name="reach of the shock", value=need.reach_bps, unit="bps"),
            Evidence(name="shock", value=need.shock_usd, unit="USD"),
        ]
        side = Side.BID if position.size > 0 else Side.ASK
        ratio = view.depth_ratio(side)
        if ratio is not None:
            evidence.append(Evidence(name=f"{side} depth over normal", value=ratio, unit="ratio"))
        if need.extrapolated:
            evidence.append(
                Evidence(name="book", value="extrapolated beyond its visible levels", unit="text")
            )
        evidence += _of_distance(distance, is_short=is_short)
        severity = Severity.WATCH
        if is_short:
            severity = Severity.CRITICAL if distance_bps < need.total_bps / 2 else Severity.ACT
        short_bps = (
            (need.total_bps - distance_bps) / self.reach_multiple if self.reach_multiple else need.reach_bps
        )
        calm_reach_bps = max(need.reach_bps - short_bps, 0.0)
        return Finding(
            policy=self.name,
            reason=Reason.LIQUIDATION_NEAR,
            severity=severity,
            subject=Subject(market=position.market, account=account),
            limit=Limit(
                entries=Entries.REDUCE_ONLY if is_short else None,
                max_size=size,
                max_leverage=max(size * mark / equity, 1.0) if equity > 0 else 1.0,
                basis=Basis(size=position.size) if position.margin_mode is MarginMode.ISOLATED else None,
            ),
            evidence=tuple(evidence),
            counterfactual=(
                f"would not stand with the liquidation price {need.total_bps:.0f} bps or more from the mark price,"
                f" or with a book in which the shock reached {calm_reach_bps:.0f}"
                " bps or less"
            ),
            confirm_ms=int(self.confirm_s * 1000),
        )


@dataclass(frozen=True, slots=True)
class _Need:
    total_bps: float
    exit_bps: float
    reach_bps: float
    shock_usd: float
    extrapolated: bool


def _of_distance(distance: Distance, *, is_short: bool) -> Iterator[Evidence]:
    """What is told of a distance besides its length."""
    if distance.seconds is not None and distance.action_s is not None:
        limit = ACTIONS_MIN * distance.action_s
        yield Evidence(
            name="time until then at stressed speed", value=distance.seconds, unit="s", limit=limit
        )
    for words in distance.guessed:
        yield Evidence(name="not known", value=words, unit="text")
    if distance.margin_usd is not None and is_short:
        yield Evidence(name="margin that would do instead", value=distance.margin_usd, unit="USD")


def _mark_price(view: MarketView, now: Nanoseconds) -> float | None:
    match view.stream_state(Stream.MARK_PRICE, now):
        case StreamState.STALE:
            return None
        case StreamState.NEVER:
            return view.mid_price
        case _:
            return view.mark_price


@lru_cache(maxsize=1024)
def _size_max(
    book: BookSide | None,
    mid: float | None,
    size: float,
    mark: float,
    equity_usd: float,
    distance_bps: float,
    maintenance_ratio: float,
    maintenance_amount_usd: float,
) -> float | None:
    """``size_max`` against one side of a book; solved once for as long as nothing of it changes, as at a Tick."""

    def exit_usd(cut: float) -> float:
        if book is None or mid is None:
            return 0.0
        return slippage_bps(book, cut * mid).value / BPS_PER_UNIT * cut * mark

    return size_max(
        side_size_signed=size,
        mark_price=mark,
        equity_usd=equity_usd,
        distance_bps=distance_bps,
        maintenance_ratio=maintenance_ratio,
        maintenance_amount=maintenance_amount_usd,
        exit_cost_usd=exit_usd,
    )


@lru_cache(maxsize=1024)
def _size_in(
    pool: MarginPool, leg: Leg, book: BookSide | None, mid: float | None, mark: float, distance_bps: float
) -> float | None:
    """``size_max_in`` against one side of a book, in the leg's own unit; remembered as ``_size_max`` is."""
    in_usd = leg.kind is ContractKind.INVERSE

    def exit_usd(cut: float) -> float:
        if book is None or mid is None:
            return 0.0
        base = cut / mark if in_usd else cut
        return slippage_bps(book, base * mid).value / BPS_PER_UNIT * base * mark

    return size_max_in(pool, leg, distance_bps=distance_bps, exit_cost_usd=exit_usd)
