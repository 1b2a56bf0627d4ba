"""How far a position is from its liquidation, by the nearest of all that liquidates it. Pure: no I/O, no clock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from guard.account.assessment import Tried
from guard.account.pools import Pool
from guard.account.risk import LegRisk
from guard.account.together import exposed_to, nearest_together, share_that_holds
from guard.events import Position
from guard.leverage.liquidation_price import liquidation_distance_bps, margin_missing_in
from guard.leverage.margin_pool import Holding, Leg, LiquidationKind, MarginPool
from guard.leverage.solver import state_at
from guard.margin_terms import ContractKind, MarginTier, TermsSource
from guard.units import BPS_PER_UNIT, MarketId


@dataclass(frozen=True, slots=True, kw_only=True)
class Distance:
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


def distance_of(
    position: Position, leg: LegRisk, pool: Pool, tried: Sequence[Tried], mark: float
) -> Distance | None:
    """The nearest of all that liquidates a position; ``None`` if nothing does, or it is not known."""
    sign = 1.0 if position.size > 0.0 else -1.0
    found: Distance | None = None
    together = nearest_together(position, tried) if len({each.market for each in pool.own.legs}) > 1 else None
    if leg.kind is LiquidationKind.FAILED:
        share = None if together is None else _share(pool, together[1], position)
        state = state_at(pool.venue)
        name = "liquidation price (reached)"
        if state is not None and state.free_usd > 0.0:
            name = "liquidation price (reached by our valuation of the collateral, not yet by the venue's)"
        return Distance(bps=0.0, price=mark, name=name, share=share, guessed=pool.guessed)
    if leg.nearest is not None and (leg.nearest - mark) * sign < 0.0:
        is_told = leg.nearest == leg.venue_price
        bps = liquidation_distance_bps(
            side_size_signed=position.size, mark_price=mark, liquidation_price=leg.nearest
        )
        name = "liquidation price" if is_told else "liquidation price (our estimate)"
        found = Distance(
            bps=bps, price=leg.nearest, name=name, is_told=is_told, guessed=() if is_told else pool.guessed
        )
    elif _is_reached(leg, pool, mark, sign):
        return Distance(bps=0.0, price=leg.venue_price or mark, name="liquidation price", is_told=True)
    if found is not None and found.is_told and TermsSource.FORMULA in pool.terms.values():
        return found  # by our formula all would fail sooner than the venue itself says of one
    if together is not None and (found is None or together[0] < found.bps):
        bps, way = together
        found = Distance(
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


def is_hedge(position: Position, leg: LegRisk, pool: Pool) -> bool:
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


def inverse_alone(
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


def margin_missing_usd(
    position: Position, pool: Pool, distance: Distance, mark: float, wanted_bps: float
) -> float | None:
    """What an isolated position would need besides to keep the distance uncut; by the price alone if that is all."""
    leg = None if distance.is_told or pool.missing else leg_of(pool.own, position)
    if leg is not None:
        return margin_missing_in(pool.own, leg, distance_bps=wanted_bps)
    return max(wanted_bps - distance.bps, 0.0) / BPS_PER_UNIT * abs(position.size) * mark


def as_pooled(position: Position, pool: Pool) -> Position:
    """The position as its pool has it: with what follows from its market."""
    same = (each for each in pool.positions if each.market == position.market)
    return next((each for each in same if each.size * position.size > 0.0), position)


def leg_of(pool: MarginPool, position: Position) -> Leg | None:
    """The leg that a position is in a pool; ``None`` where it could not be made one."""
    return next(
        (leg for leg in pool.legs if leg.market == position.market and leg.size * position.size > 0.0), None
    )
