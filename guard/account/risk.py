"""What an assessment of an account says, for policies, audit, metrics and people. Values only, no I/O."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf

from msgspec import Struct, structs

from guard.leverage.margin_pool import LiquidationKind
from guard.margin_terms import TermsSource
from guard.units import NS_PER_S, AccountId, BotId, MarketId, Nanoseconds


class LegRisk(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One market of an account: where it is liquidated by our solver and by the venue's word.

    ``size`` net signed base units, ``gross_size`` both sides of a hedged pair; ``price`` ours, with collateral as the
    venue values it, ``venue_price`` what the venue told; ``difference_bps`` is ours less the venue's in bps of the
    mark. ``nearest`` is the nearer to the mark of these two and of ours with collateral as we value it: what is acted
    on. ``distance_bps`` is how far the mark may move until ``nearest``, never negative for a pool that holds.
    ``seconds_now`` and ``seconds_stressed`` are the time until then at present and at stressed speed. ``pool`` names
    what it shares its margin with, see ``guard.account.pools``. ``adl_rank`` is its place in the queue to be
    deleveraged, 0..1, 1 goes first, ours where ``adl_is_estimate``; ``first_share`` what the venue closes of it first
    when it liquidates. Where ``kind`` is not PRICE, ``missing`` says why in words.
    """

    market: MarketId
    pool: str
    size: float
    kind: LiquidationKind
    mark_price: float | None = None
    price: float | None = None
    venue_price: float | None = None
    nearest: float | None = None
    difference_bps: float | None = None
    distance_bps: float | None = None
    maintenance_usd: float | None = None
    terms: TermsSource | None = None
    missing: tuple[str, ...] = ()
    seconds_now: float | None = None
    seconds_stressed: float | None = None
    adl_rank: float | None = None
    gross_size: float | None = None
    adl_is_estimate: bool = False
    first_share: float | None = None


class HoldingRisk(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One collateral: how it is valued by the venue and by us, and why.

    ``haircut`` is the largest of ``parts``, which are named ``venue``, ``depeg``, ``slippage`` and ``stress``; where an
    asset is counted in itself there is at most the venue's.
    ``reference_usd`` is its price over venues, ``venue_usd`` at this venue; ``share`` of all collateral value.
    ``correlated_with`` is what it falls with while the positions lose: a coin, the venue, or ``market``. ``missing``
    says in words what of it is not known.
    """

    asset: str
    quantity: float
    reference_usd: float | None
    venue_usd: float | None
    haircut: float
    parts: dict[str, float] = {}
    share: float = 0.0
    correlated_with: str | None = None
    missing: tuple[str, ...] = ()


class StressRisk(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The smallest move along one direction at which a pool fails.

    ``distance_bps`` is how far the market falls, 10,000 x (1 - exp(-t)), or rises, 10,000 x (exp(t) - 1); ``None`` if
    no such move liquidates it. ``distance_bps`` is the nearer of both valuations of collateral, ``venue_distance_bps``
    by the venue's and ``own_distance_bps`` by ours. ``worst`` loses most on the way.
    """

    pool: str
    direction: str
    distance_bps: float | None
    venue_distance_bps: float | None = None
    own_distance_bps: float | None = None
    worst: MarketId | None = None


class Containment(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a step would do, worked out before it is recommended: the stress distance before and after it.

    ``about`` names its market or asset, ``amount_usd`` is how much it moves: margin, collateral or position.
    """

    step: str
    before_bps: float | None
    after_bps: float | None
    cost_usd: float = 0.0
    about: str = ""
    amount_usd: float = 0.0


class Holder(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who says that part of an account's position in a market is its own: signed base units.

    ``bot`` ``None`` is nobody of ours: what the venue shows beyond what the bots say they hold.
    """

    market: MarketId
    size: float
    bot: BotId | None = None


class AccountRisk(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An account assessed at one moment, as it was told at ``told_at`` (``None``: by the settings); USD.

    ``exposed_fall_usd`` and ``exposed_rise_usd`` are what a fall and a rise of everything would hit, hedges counted
    as far as deleveraging leaves them. ``equity_usd`` values collateral as we do (the dearer of haircuts),
    ``venue_equity_usd`` as the venue does. ``missing`` says, in words, what could not be known: nothing in it is
    safe for that.
    """

    account: AccountId
    at: Nanoseconds
    told_at: Nanoseconds | None = None
    equity_usd: float | None = None
    venue_equity_usd: float | None = None
    maintenance_usd: float | None = None
    margin_ratio: float | None = None
    venue_margin_ratio: float | None = None
    gross_usd: float = 0.0
    net_usd: float = 0.0
    exposed_fall_usd: float = 0.0
    exposed_rise_usd: float = 0.0
    legs: tuple[LegRisk, ...] = ()
    legs_left_out: int = 0
    holdings: tuple[HoldingRisk, ...] = ()
    stress: tuple[StressRisk, ...] = ()
    containment: tuple[Containment, ...] = ()
    worst: MarketId | None = None
    action_s: float | None = None
    action_is_assumed: bool = True
    missing: tuple[str, ...] = ()
    holders: tuple[Holder, ...] = ()


LEGS_RECORDED_MAX = 50
"""Of a large account the nearest to liquidation, and all that fail or are not known before those: 20 KB."""
RECORDED_S = 300
"""An assessment that says nothing new is recorded so often."""
CHANGE_SHARE, CHANGE_BPS = 0.2, 25.0
"""A distance is another one if it differs by more than this share of itself, and by more than so much."""
CHANGE_RATIO = 0.01
"""As a haircut, and the price of a collateral, are."""


def is_worth_recording(last: AccountRisk | None, risk: AccountRisk) -> bool:
    """Whether an assessment says something else than the one recorded last, or that was long ago."""
    if last is None or risk.at - last.at >= RECORDED_S * NS_PER_S:
        return True
    if list(_words(last)) != list(_words(risk)):
        return True
    before, now = list(_numbers(last)), list(_numbers(risk))
    return len(before) != len(now) or any(
        _differs(old, new, share, least) for (old, share, least), (new, _, _) in zip(before, now, strict=True)
    )


def abridged(risk: AccountRisk) -> AccountRisk:
    """The assessment as it is recorded: of many positions those that matter most."""
    if len(risk.legs) <= LEGS_RECORDED_MAX:
        return risk
    told = sorted(risk.legs, key=_urgency)[:LEGS_RECORDED_MAX]
    kept = tuple(leg for leg in risk.legs if leg in told)
    return structs.replace(risk, legs=kept, legs_left_out=len(risk.legs) - len(kept))


def _urgency(leg: LegRisk) -> tuple[bool, float]:
    is_known = leg.kind in (LiquidationKind.PRICE, LiquidationKind.CANNOT)
    return is_known, inf if leg.distance_bps is None else leg.distance_bps


def _words(risk: AccountRisk) -> Iterator[object]:
    yield risk.missing
    yield [each.step.partition(" ")[0] for each in risk.containment]
    for leg in risk.legs:
        yield leg.market, leg.pool, leg.kind, leg.terms
    for held in risk.holdings:
        yield held.asset, held.missing, tuple(held.parts)
    for stress in risk.stress:
        yield stress.pool, stress.direction


def _numbers(risk: AccountRisk) -> Iterator[tuple[float | None, float, float]]:
    """Each number with the share and the least amount by which it has to differ to be another."""
    for leg in risk.legs:
        yield leg.distance_bps, CHANGE_SHARE, CHANGE_BPS
        yield leg.difference_bps, CHANGE_SHARE, CHANGE_BPS
        yield leg.size, CHANGE_RATIO, 0.0
    for held in risk.holdings:
        yield held.haircut, 0.0, CHANGE_RATIO
        yield held.quantity, CHANGE_RATIO, 0.0
        yield held.venue_usd, CHANGE_RATIO, 0.0
        yield held.reference_usd, CHANGE_RATIO, 0.0
    for stress in risk.stress:
        yield stress.venue_distance_bps, CHANGE_SHARE, CHANGE_BPS
        yield stress.own_distance_bps, CHANGE_SHARE, CHANGE_BPS


def _differs(old: float | None, new: float | None, share: float, least: float) -> bool:
    if old is None or new is None:
        return old is not new
    return abs(new - old) > max(share * abs(old), least)
