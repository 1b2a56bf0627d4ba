"""Cut a position so that its liquidation lies beyond what the present book lets a shock reach."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Annotated

from annotated_types import Ge, Gt, Le

from guard.account.assessment import Tried
from guard.account.pools import Pool
from guard.account.positions import AccountView
from guard.account.risk import LegRisk
from guard.account.sensible import sensible_size
from guard.account.time_to_liquidation import ACTIONS_MIN
from guard.account.together import exposed_to, nearest_together, share_that_holds
from guard.events import BookSide, MarginMode, Position, PositionSource, Stream
from guard.findings import Basis, Finding, Limit, Reason, Severity, Subject
from guard.leverage.liquidation_price import (
    liquidation_distance_bps,
    margin_missing_in,
    size_max,
    size_max_in,
)
from guard.leverage.margin_pool import Holding, Leg, LiquidationKind, MarginPool
from guard.leverage.solver import state_at
from guard.leverage.tiers import tier_at
from guard.margin_terms import ContractKind, MarginTier, TermsSource, TierTable, TierUnit
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
        if leg is None or pool is None or _is_hedge(position, leg, pool):
            return
        need = self._need(position, view)
        distance = _distance(position, leg, pool, own.tried(account.account, pool), mark)
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
                distance, margin_usd=_margin_missing_usd(position, pool, distance, mark, need.total_bps)
            )
        yield self._finding(
            account.account, position, view, mark, distance, need, equity, size, is_short=is_short
        )

    def _size(
        self,
        position: Position,
        pool: Pool,
        distance: _Distance,
        view: MarketView,
        mark: float,
        target_bps: float,
        terms: TierTable,
    ) -> tuple[float | None, float]:
        """The largest size that keeps the distance, base units, and the equity that stands behind it now, USD."""
        features = view.features
        book = None if features is None else features.bids if position.size > 0.0 else features.asks
        if distance.is_told or pool.missing:
            held = _pooled(position, pool)
            return self._size_alone(held, distance, book, view.mid_price, mark, target_bps, terms)
        sizes, equities = [], []
        # The nearer of both valuations of collateral is what liquidates: the size has to hold by both.
        for valued in (pool.own,) if pool.venue is pool.own else (pool.own, pool.venue):
            leg, state = _leg_of(valued, position), state_at(valued)
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
        distance: _Distance,
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
            pool = _inverse_alone(position.market, contracts_usd, mark, at, ratio, deduction)
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
        distance: _Distance,
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
        if distance.seconds is not None and distance.action_s is not None:
            evidence.append(
                Evidence(
                    name="time until then at stressed speed",
                    value=distance.seconds,
                    unit="s",
                    limit=ACTIONS_MIN * distance.action_s,
                )
            )
        evidence += [Evidence(name="not known", value=words, unit="text") for words in distance.guessed]
        if distance.margin_usd is not None and is_short:
            evidence.append(
                Evidence(name="margin that would do instead", value=distance.margin_usd, unit="USD")
            )
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


def _mark_price(view: MarketView, now: Nanoseconds) -> float | None:
    match view.stream_state(Stream.MARK_PRICE, now):
        case StreamState.STALE:
            return None
        case StreamState.NEVER:
            return view.mid_price
        case _:
            return view.mark_price


@dataclass(frozen=True, slots=True, kw_only=True)
class _Distance:
    """How far the mark may move against a position: to ``price``, which is what ``name`` says.

    ``is_told`` where only the venue's or the bot's word says so; ``share`` tells for a wanted distance what share of
    a pool that fails together would keep it, ``None`` where the position fails by its own market alone.
    """

    bps: float
    price: float
    name: str
    is_told: bool = False
    share: Callable[[float], float] | None = None
    margin_usd: float | None = None
    seconds: float | None = None
    action_s: float | None = None
    guessed: tuple[str, ...] = ()


def _distance(
    position: Position, leg: LegRisk, pool: Pool, tried: Sequence[Tried], mark: float
) -> _Distance | None:
    """The nearest of all that liquidates a position; ``None`` if nothing does, or it is not known."""
    sign = 1.0 if position.size > 0.0 else -1.0
    found: _Distance | None = None
    together = nearest_together(position, tried) if len({each.market for each in pool.own.legs}) > 1 else None
    if leg.kind is LiquidationKind.FAILED:
        share = None if together is None else _share(pool, together[1], position)
        state = state_at(pool.venue)
        name = "liquidation price (reached)"
        if state is not None and state.free_usd > 0.0:
            name = "liquidation price (reached by our valuation of the collateral, not yet by the venue's)"
        return _Distance(bps=0.0, price=mark, name=name, share=share, guessed=pool.guessed)
    if leg.nearest is not None and (leg.nearest - mark) * sign < 0.0:
        is_told = leg.nearest == leg.venue_price
        bps = liquidation_distance_bps(
            side_size_signed=position.size, mark_price=mark, liquidation_price=leg.nearest
        )
        name = "liquidation price" if is_told else "liquidation price (our estimate)"
        found = _Distance(
            bps=bps, price=leg.nearest, name=name, is_told=is_told, guessed=() if is_told else pool.guessed
        )
    elif _is_reached(leg, pool, mark, sign):
        return _Distance(bps=0.0, price=leg.venue_price or mark, name="liquidation price", is_told=True)
    if found is not None and found.is_told and TermsSource.FORMULA in pool.terms.values():
        return found  # by our formula all would fail sooner than the venue itself says of one
    if together is not None and (found is None or together[0] < found.bps):
        bps, way = together
        found = _Distance(
            bps=bps,
            price=mark * (1.0 - sign * bps / BPS_PER_UNIT),
            name=f"liquidation price if all move ({way.direction.name})",
            share=_share(pool, way, position),
            guessed=pool.guessed,
        )
    return found


def _share(pool: Pool, way: Tried, position: Position) -> Callable[[float], float]:
    """For a wanted distance, the share of all positions that keeps it by both valuations of collateral."""
    valued = (pool.own,) if pool.venue is pool.own else (pool.own, pool.venue)
    return lambda wanted: min(share_that_holds(each, way, position, wanted) for each in valued)


def _is_reached(leg: LegRisk, pool: Pool, mark: float, sign: float) -> bool:
    """Whether the mark price is at the venue's price already, or beyond it, whatever we make of it.

    Not where we see that what fails there is the account as a whole, by a move that this position gains from: coins
    behind a short, a hedge. It stands on that side then, and was not passed.
    """
    told = leg.venue_price
    if told is None or told <= 0.0 or (told - mark) * sign < 0.0:
        return False
    if pool.missing or TermsSource.FORMULA in pool.terms.values():
        return True
    return leg.price is not None and (leg.price - mark) * sign < 0.0


def _is_hedge(position: Position, leg: LegRisk, pool: Pool) -> bool:
    """Whether the pool gains where the position loses: without it what stands against it fails sooner.

    That is a larger position on the other side of the market, or coins that are collateral. Of two positions that are
    as large, neither is what fails, as long as the pool holds.
    """
    if pool.missing:
        exposed = sum(each.size for each in pool.positions if each.market == position.market)
    else:
        exposed = exposed_to(pool.venue, position.market)
    exposed *= position.size
    return exposed < 0.0 or (exposed == 0.0 and leg.kind is not LiquidationKind.FAILED)


def _inverse_alone(
    market: MarketId, contracts_usd: float, mark: float, at: float, ratio: float, deduction: float
) -> MarginPool:
    """An inverse position with the coins behind it that let it fail at ``at``, its profit until now among them."""
    tier = MarginTier(floor=0.0, maintenance_ratio=ratio, deduction=deduction)
    leg = Leg(
        market=market,
        size=contracts_usd,
        entry_price=mark,
        mark_price=mark,
        tiers=(tier,),
        kind=ContractKind.INVERSE,
    )
    owed_usd = max(0.0, ratio * abs(contracts_usd) - deduction * at)
    coins = (owed_usd - contracts_usd * (at / mark - 1.0)) / at
    held = Holding(asset="coin", quantity=coins, price_usd=mark, market=market)
    return MarginPool(legs=(leg,), holdings=(held,), in_coin=True)


def _margin_missing_usd(
    position: Position, pool: Pool, distance: _Distance, mark: float, wanted_bps: float
) -> float | None:
    """What an isolated position would need besides to keep the distance uncut; by the price alone if that is all."""
    leg = None if distance.is_told or pool.missing else _leg_of(pool.own, position)
    if leg is not None:
        return margin_missing_in(pool.own, leg, distance_bps=wanted_bps)
    return max(wanted_bps - distance.bps, 0.0) / BPS_PER_UNIT * abs(position.size) * mark


def _pooled(position: Position, pool: Pool) -> Position:
    """The position as its pool has it: with what follows from its market."""
    same = (each for each in pool.positions if each.market == position.market)
    return next((each for each in same if each.size * position.size > 0.0), position)


def _leg_of(pool: MarginPool, position: Position) -> Leg | None:
    return next(
        (leg for leg in pool.legs if leg.market == position.market and leg.size * position.size > 0.0), None
    )


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
