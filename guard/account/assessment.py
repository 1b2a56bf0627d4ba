"""One account assessed: where each position is liquidated, by how far a move the account fails, what is not known.

Pure: no I/O, no clock. The same account and surroundings give the same answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from math import isfinite

from msgspec import structs

from guard.account.action_time import ActionTime
from guard.account.collateral import HaircutSettings, Slippage, holdings_of
from guard.account.containment import Closing, containments
from guard.account.deleverage import Deleveraging, Exposure, deleveraging_of, exposed_usd, hedge_credit
from guard.account.overview import holders_of
from guard.account.peg_settings import AssetKind
from guard.account.pegs import PegBook
from guard.account.pools import Pool, Valued, pools_of
from guard.account.positions import AccountView
from guard.account.risk import AccountRisk, HoldingRisk, LegRisk, StressRisk
from guard.account.sensible import sensible_position, sensible_snapshot
from guard.account.stress import Direction, Stress, directions_of, stress_distance
from guard.account.terms import VenueTerms
from guard.account.time_to_liquidation import Speed, seconds_to
from guard.account.venue_rules import rules_of
from guard.account.venue_rules.partial import first_step
from guard.events import AccountSnapshot, LiquidationTold, MarginMode, Position, PositionSource
from guard.leverage.margin_pool import LiquidationKind, MarginPool, PoolState
from guard.leverage.solver import Liquidation, liquidations_of, state_at
from guard.leverage.terms_formula import kind_of
from guard.margin_terms import ContractKind, TermsSource, TierTable
from guard.units import BPS_PER_UNIT, MarketId, Nanoseconds, venue_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What an assessment needs besides the account.

    Attributes:
        now: Unix nanoseconds.
        marks: mark prices of held markets; one that is missing is not known.
        terms: what the venue demands.
        pegs: what collateral costs, over venues.
        betas: how far each market moves when its leader moves by 1.
        speeds: how fast each market moves.
        stress: 0..1, how far the books have thinned.
        haircuts: the least that is left away of collateral.
        slippage: what selling collateral now would cost.
        closing: what closing positions now would cost.
        action: how long it takes until a command has had its effect.
    """

    now: Nanoseconds
    marks: Mapping[MarketId, float]
    terms: VenueTerms
    pegs: PegBook
    betas: Mapping[MarketId, float]
    speeds: Mapping[MarketId, Speed]
    stress: float
    haircuts: HaircutSettings
    slippage: Slippage
    closing: Closing
    action: ActionTime

    def table(self, position: Position) -> TierTable:
        """The tiers of a position's market; what its owner was let do tells something where nobody tells them."""
        granted = None
        price = self.marks.get(position.market) or position.entry_price
        if position.leverage and price:
            granted = (abs(position.size) * price, position.leverage)
        # The names of some dated contracts do not say how they pay.
        kind = ContractKind.INVERSE if position.kind is ContractKind.INVERSE else None
        return self.terms.table(position.market, granted=granted, kind=kind)

    def asset_beta(self, asset: str) -> float:
        """How far collateral moves when the market does: as its coin, and 0 for money.

        Collateral that one exchange of several keeps by itself is named after it: ``dex:USDC``.
        """
        kind = self.pegs.kind(self.pegs.underlying(asset.rpartition(":")[2]))
        return 0.0 if kind in (AssetKind.CASH, AssetKind.STABLE) else 1.0


RATIO_MAX = 1e6
"""Stands for a margin ratio where nothing is left of the margin balance."""
RISE_BPS_MAX = 90_000.0
"""A pool that holds while prices rise tenfold fails by no rise that is worth telling."""

Ranks = Mapping[Position, Deleveraging]
"""Where each position stands in the queue to be deleveraged."""


@dataclass(frozen=True, slots=True)
class Tried:
    """One direction along which a pool was moved, and where it fails by either valuation of its collateral."""

    direction: Direction
    venue: Stress
    own: Stress
    hedge_credit: float
    shares: dict[tuple[MarginPool, float], float] = field(default_factory=dict, compare=False, repr=False)
    """What ``guard.account.together`` has found already: asked for the same at every Tick."""

    @property
    def nearer(self) -> Stress:
        """The one that fails first."""
        known = [each for each in (self.venue, self.own) if each.t is not None]
        return min(known, key=lambda each: each.t or 0.0) if known else self.venue


@dataclass(frozen=True, slots=True)
class Assessed:
    """An assessment, and what it was worked out from; ``tried`` by the names of pools."""

    risk: AccountRisk
    pools: tuple[Pool, ...]
    tried: Mapping[str, tuple[Tried, ...]]
    around: Surroundings

    def contained(self) -> Assessed:
        """With what would help, worked out: it takes some hundred times as long as the assessment."""
        around = self.around
        assets = {held.asset for pool in self.pools for held in (*pool.venue.holdings, *pool.own.holdings)}
        steps = containments(
            self.pools,
            around.betas,
            asset_betas={asset: around.asset_beta(asset) for asset in assets},
            closing=around.closing,
            selling=around.slippage,
        )
        return replace(self, risk=structs.replace(self.risk, containment=steps))

    def with_containment_of(self, former: Assessed) -> Assessed:
        """With what was worked out before of what would help."""
        return replace(self, risk=structs.replace(self.risk, containment=former.risk.containment))

    def pool(self, position: Position) -> Pool | None:
        """The pool that a position is in."""
        return next(
            (pool for pool in self.pools if any(_is_same(position, held) for held in pool.positions)), None
        )

    def leg(self, position: Position) -> LegRisk | None:
        """What was found of a position's market in its pool."""
        pool = self.pool(position)
        if pool is None:
            return None
        return next(
            (leg for leg in self.risk.legs if leg.pool == pool.name and leg.market == position.market), None
        )


def _is_same(position: Position, held: Position) -> bool:
    return (
        held.market == position.market
        and (held.size > 0.0) == (position.size > 0.0)
        and held.margin_mode is position.margin_mode
    )


def assess(view: AccountView, around: Surroundings) -> Assessed:
    """Assess an account that holds something."""
    snapshot = None if view.told is None else sensible_snapshot(view.told)
    positions = tuple(_as_contract(sensible_position(each), around.marks) for each in view.positions)
    valued, holdings = _valued(snapshot, around)
    equity_usd = None if snapshot is None else snapshot.equity_usd
    pools = pools_of(
        snapshot,
        positions,
        rules=rules_of(venue_of(view.account)),
        table=around.table,
        mark=lambda position: around.marks.get(position.market),
        valued=valued,
    )
    legs: list[LegRisk] = []
    ranks = {position: deleveraging_of(position, equity_usd) for position in positions}
    pools = tuple(_believable(pool) for pool in pools)
    tried = {pool.name: _tried(pool, ranks, around) for pool in pools}
    for pool in pools:
        legs += _legs(pool, ranks, around)
    venue_states = [state_at(pool.venue) for pool in pools if not pool.missing]
    own_states = [state_at(pool.own) for pool in pools if not pool.missing]
    complete = all(not pool.missing for pool in pools)
    crossed = [state_at(pool.venue) for pool in pools if pool.is_cross]
    fall_usd, rise_usd = exposed_usd(
        Exposure(notional_usd=_notional_usd(position, around), rank=ranks[position].rank)
        for position in positions
    )
    nearest = min(
        (leg for leg in legs if leg.distance_bps is not None),
        key=lambda leg: leg.distance_bps or 0.0,
        default=None,
    )
    risk = AccountRisk(
        account=view.account,
        at=around.now,
        told_at=view.seen_at,
        equity_usd=_total(own_states, lambda state: state.equity_usd) if complete else None,
        venue_equity_usd=_total(venue_states, lambda state: state.equity_usd) if complete else None,
        maintenance_usd=_total(venue_states, lambda state: state.maintenance_usd) if complete else None,
        margin_ratio=_margin_ratio(crossed) if complete else None,
        venue_margin_ratio=None if snapshot is None else snapshot.margin_ratio,
        gross_usd=sum(abs(_notional_usd(position, around)) for position in positions),
        net_usd=sum(_notional_usd(position, around) for position in positions),
        exposed_fall_usd=fall_usd,
        exposed_rise_usd=rise_usd,
        legs=tuple(legs),
        holdings=holdings,
        stress=tuple(_stress_risk(name, each) for name, all_tried in tried.items() for each in all_tried),
        worst=None if nearest is None else nearest.market,
        action_s=around.action.seconds,
        action_is_assumed=around.action.is_assumed,
        missing=tuple(dict.fromkeys(words for pool in pools for words in (*pool.missing, *pool.guessed))),
        holders=holders_of(view),
    )
    return Assessed(risk, pools, tried, around)


def _as_contract(position: Position, marks: Mapping[MarketId, float]) -> Position:
    """The position as its market pays: bots and settings tell base units of whatever it is.

    An inverse one is liquidated nearer than a linear one of the same leverage would be, if it is long.
    """
    if position.kind is kind_of(position.market) or position.kind is ContractKind.INVERSE:
        return position
    price = marks.get(position.market) or position.mark_price or position.entry_price
    contracts_usd = position.size * price if price and position.size else None
    return structs.replace(position, kind=ContractKind.INVERSE, contracts_usd=contracts_usd)


def _believable(pool: Pool) -> Pool:
    """A pool that stands is not one that has failed: where our formula says so, it is the formula that is wrong.

    Of an isolated position the venue's own price hangs on nothing else that moves: while that is not reached, it
    stands, and what we know of its margin is wrong.
    """
    if pool.missing:
        return pool
    states = (state_at(pool.venue), state_at(pool.own))
    if all(state is None or state.free_usd > 0.0 for state in states):
        return pool
    if TermsSource.FORMULA in pool.terms.values():
        why = "margin tiers: by our formula it would have failed already, which it has not"
    elif _is_told_to_stand(pool):
        why = "margin: by what is told it would have failed already, and the venue's price is not reached"
    else:
        return pool
    return replace(pool, missing=(why,))


def _is_told_to_stand(pool: Pool) -> bool:
    if len(pool.positions) != 1 or len(pool.venue.legs) != 1:
        return False
    (position,), (leg,) = pool.positions, pool.venue.legs
    told = position.liquidation_price
    is_isolated = position.margin_mode is MarginMode.ISOLATED and told is not None and told > 0.0
    return is_isolated and ((told or 0.0) - leg.mark_price) * position.size < 0.0


def _valued(
    snapshot: AccountSnapshot | None, around: Surroundings
) -> tuple[Valued | None, tuple[HoldingRisk, ...]]:
    if snapshot is None or snapshot.source is not PositionSource.VENUE or snapshot.collateral is None:
        return None, ()
    own, venue, risks = holdings_of(
        snapshot,
        around.terms.collateral,
        around.pegs,
        stress=around.stress,
        now=around.now,
        settings=around.haircuts,
        slippage=around.slippage,
    )
    return Valued(venue=venue, own=own), risks


def _total(states: list[PoolState | None], part: Callable[[PoolState], float]) -> float | None:
    known = [part(state) for state in states if state is not None]
    return sum(known) if len(known) == len(states) else None


def _margin_ratio(crossed: list[PoolState | None]) -> float | None:
    """What the venue demands over margin balance, of the cross pool that is nearest to failing; 1 is liquidation."""
    ratios = [None if state is None else _ratio(state) for state in crossed]
    known = [ratio for ratio in ratios if ratio is not None]
    return max(known) if known and len(known) == len(ratios) else None


def _ratio(state: PoolState) -> float:
    demanded_usd = state.maintenance_usd + state.closing_fee_usd
    if state.equity_usd <= 0.0:
        return RATIO_MAX
    return min(demanded_usd / state.equity_usd, RATIO_MAX)


def _notional_usd(position: Position, around: Surroundings) -> float:
    if position.contracts_usd is not None:
        return position.contracts_usd
    price = around.marks.get(position.market) or position.mark_price or position.entry_price or 0.0
    return position.size * price


def _legs(pool: Pool, ranks: Ranks, around: Surroundings) -> list[LegRisk]:
    """Each market of a pool once: of a hedged pair both sides share what liquidates them."""
    by_venue = {} if pool.missing else liquidations_of(pool.venue)
    by_us = by_venue if pool.own is pool.venue or pool.missing else liquidations_of(pool.own)
    return [
        _leg(pool, market, by_venue.get(market), by_us.get(market), ranks, around)
        for market in dict.fromkeys(position.market for position in pool.positions)
    ]


def _leg(
    pool: Pool,
    market: MarketId,
    by_venue: Liquidation | None,
    by_us: Liquidation | None,
    ranks: Ranks,
    around: Surroundings,
) -> LegRisk:
    positions = [position for position in pool.positions if position.market == market]
    size = sum(position.size for position in positions)
    mark = around.marks.get(market)
    told = _told(positions, mark)
    kind = _kind(pool, by_venue, positions)
    price = None if by_venue is None else by_venue.price
    candidates = [told, price, None if by_us is None else by_us.price]
    if told is not None and TermsSource.FORMULA in pool.terms.values():
        candidates = [told]  # our formula stands in where nobody tells, and asks for more than venues do
    nearest = _nearest(candidates, mark, size)
    failed = kind is LiquidationKind.FAILED or (by_us is not None and by_us.kind is LiquidationKind.FAILED)
    distance = 0.0 if failed else _distance_bps(nearest, mark)
    if kind in (LiquidationKind.MISSING, LiquidationKind.ACCOUNT_LEVEL) and told is not None:
        kind = LiquidationKind.PRICE  # the venue's word stands where we have none
    elif kind is LiquidationKind.MISSING and all(map(_is_told_to_be_safe, positions)):
        kind = LiquidationKind.CANNOT
    speed = around.speeds.get(market)
    down = nearest is not None and mark is not None and nearest < mark
    first = max(
        (ranks[each] for each in positions if ranks[each].rank is not None),
        key=lambda rank: rank.rank or 0.0,
        default=None,
    )
    return LegRisk(
        market=market,
        pool=pool.name,
        size=size,
        kind=LiquidationKind.FAILED if failed else kind,
        mark_price=mark,
        price=price,
        venue_price=told,
        nearest=nearest,
        difference_bps=(price - told) / mark * BPS_PER_UNIT if price and told and mark else None,
        distance_bps=distance,
        maintenance_usd=_maintenance_usd(pool, market),
        terms=pool.terms.get(market),
        missing=(*pool.missing, *pool.guessed),
        seconds_now=None if distance is None else seconds_to(distance, speed, down=down, stressed=False),
        seconds_stressed=None if distance is None else seconds_to(distance, speed, down=down, stressed=True),
        adl_rank=None if first is None else first.rank,
        adl_is_estimate=first is not None and first.is_estimate,
        first_share=_first_share(pool, market, price, positions[0]),
        gross_size=sum(abs(position.size) for position in positions),
    )


def _maintenance_usd(pool: Pool, market: MarketId) -> float | None:
    legs = tuple(leg for leg in pool.venue.legs if leg.market == market)
    state = state_at(MarginPool(legs=legs, holdings=())) if legs else None
    return None if state is None else state.maintenance_usd


def _first_share(pool: Pool, market: MarketId, price: float | None, position: Position) -> float | None:
    """What the venue closes first of a position when it reaches ``price``; of a hedged pair that is not told."""
    legs = [leg for leg in pool.venue.legs if leg.market == market]
    if price is None or len(legs) != 1:
        return None
    mode = position.margin_mode or MarginMode.CROSS
    return first_step(rules_of(venue_of(market)), legs[0], price, mode).share


def _told(positions: list[Position], mark: float | None) -> float | None:
    """The venue's word on a market; of a hedged pair that it tells apart the nearer one."""
    return _nearest([each.liquidation_price for each in positions], mark, positions[0].size)


def _is_told_to_be_safe(position: Position) -> bool:
    """Whether somebody says that no price liquidates it: as a price of 0 does for a long, and only for a long."""
    if position.liquidation_told is LiquidationTold.NONE_EXISTS:
        return True
    return position.liquidation_price == 0.0 and position.size > 0.0


def _kind(pool: Pool, solved: Liquidation | None, positions: list[Position]) -> LiquidationKind:
    if pool.is_portfolio or any(
        position.liquidation_told is LiquidationTold.ACCOUNT_LEVEL for position in positions
    ):
        return LiquidationKind.ACCOUNT_LEVEL
    return LiquidationKind.MISSING if solved is None else solved.kind


def _nearest(prices: list[float | None], mark: float | None, size: float) -> float | None:
    """The price that is reached first; without a mark the one that asks for more caution."""
    known = [price for price in prices if price is not None and isfinite(price) and price > 0.0]
    if not known:
        return None
    if mark is None:
        return max(known) if size > 0.0 else min(known)
    return min(known, key=lambda price: abs(price - mark))


def _distance_bps(price: float | None, mark: float | None) -> float | None:
    """How far the mark may move; a price on the near side counts like one beyond: it is the way there that counts."""
    if price is None or mark is None or mark <= 0.0:
        return None
    return abs(mark - price) / mark * BPS_PER_UNIT


def _tried(pool: Pool, ranks: Ranks, around: Surroundings) -> tuple[Tried, ...]:
    """The pool moved along every direction, by both valuations of its collateral."""
    if pool.missing or not pool.venue.legs:
        return ()
    asset_betas = {
        held.asset: around.asset_beta(held.asset) for held in (*pool.venue.holdings, *pool.own.holdings)
    }
    found: list[Tried] = []
    credit = min(hedge_credit(ranks[position].rank) for position in pool.positions)
    for direction in directions_of(pool.venue, around.betas, asset_betas=asset_betas, hedge_credit=credit):
        # In a pool of one market several directions are one and the same move.
        same = next((each for each in found if _is_same_move(each.direction, direction)), None)
        if same is not None:
            found.append(replace(same, direction=direction))
            continue
        venue = stress_distance(pool.venue, direction, hedge_credit=credit)
        own = venue if pool.own is pool.venue else stress_distance(pool.own, direction, hedge_credit=credit)
        found.append(Tried(direction, venue, own, credit))
    return tuple(found)


def _is_same_move(one: Direction, other: Direction) -> bool:
    return one.markets == other.markets and one.assets == other.assets


def _imaginable(distance_bps: float | None) -> float | None:
    return None if distance_bps is None or distance_bps > RISE_BPS_MAX else distance_bps


def _stress_risk(name: str, tried: Tried) -> StressRisk:
    nearer = tried.nearer
    return StressRisk(
        pool=name,
        direction=tried.direction.name,
        distance_bps=_imaginable(nearer.distance_bps),
        venue_distance_bps=_imaginable(tried.venue.distance_bps),
        own_distance_bps=_imaginable(tried.own.distance_bps),
        worst=nearer.worst if _imaginable(nearer.distance_bps) is not None else None,
    )
