"""How large a position may be, or what margin it lacks, to keep away from its liquidation price. Pure.

All of it asks ``guard.leverage.solver``: for a leg of any pool, and by keywords for a linear position that stands
alone. In one tier, without a cost of cutting, and with E what the pool has at mark p::

    long linear    q_max = (E + c) / (p - (1 - r - f) L)       L the lower price that it has to hold to
    short linear   q_max = (E + c) / ((1 + r + f) U - p)       U the upper one
    long inverse   N_max = (E + c) / ((1 + r + f) / L - 1 / p) E and c in coins
    short inverse  N_max = (E + c) / (1 / p - (1 - r - f) / U)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise
from math import inf, isfinite

from guard.leverage.lines import lines_at
from guard.leverage.margin_pool import Holding, Leg, LiquidationKind, MarginPool
from guard.leverage.solver import liquidation_of, lowest_free, marked
from guard.margin_terms import ContractKind, MarginTier, TierUnit
from guard.units import BPS_PER_UNIT, MarketId

NEVER_LIQUIDATED_LONG = 0.0
"""What a long answers that its margin carries to a price of zero. Not ``None``: that is *not known*."""

_ALONE = MarketId("alone:")
_DOUBLINGS = 40  # 2**40 is some 1e12 times the entry price: what lies beyond is no price
_STEPS = 60  # of a search that ends by itself as soon as there is no number left between its ends
_SETTLED = 1e-7  # of a size: a search that moves by less has found the place, and only its other end is far
_PRECISION = 1e-12  # of a size: finer than any venue counts
_TO_ZERO = 1.0 - 1e-9  # a move of 10,000 bps ends here: a price of 0 is none


def liquidation_price(
    *,
    side_size_signed: float,
    entry_price: float,
    margin_usd: float,
    maintenance_ratio: float | None = None,
    maintenance_amount: float = 0.0,
    tiers: Sequence[MarginTier] | None = None,
    taker_fee: float = 0.0,
) -> float | None:
    """Solve for the mark price at which a linear position is liquidated that stands alone.

    Args:
        side_size_signed: size in base units, long positive.
        entry_price: quote per base.
        margin_usd: what stands behind it, its profit apart; may be negative in cross mode.
        maintenance_ratio: r of the only tier, as a share of notional; give this or ``tiers``.
        maintenance_amount: c of the only tier, USD.
        tiers: all tiers by notional, ascending, as ``margin_tiers`` makes them.
        taker_fee: f, as a share of notional.

    Returns:
        The price, also where it lies beyond the entry price; ``0.0`` for a long that cannot be liquidated and
        for a short that no price could save; ``None`` if it is not known: flat, no ratio given, or a number
        that makes no sense.

    >>> for size in (1.0, -1.0):
    ...     round(liquidation_price(
    ...         side_size_signed=size, entry_price=100.0, margin_usd=10.0, maintenance_ratio=0.01), 4)
    90.9091
    108.9109
    """
    known = _tiers(maintenance_ratio, maintenance_amount, tiers)
    if known is None or side_size_signed == 0.0:
        return None
    is_long = side_size_signed > 0.0
    if is_long and known[-1].maintenance_ratio + taker_fee >= 1.0:
        return None
    mark = entry_price
    for _ in range(_DOUBLINGS):
        found = liquidation_of(
            _alone(side_size_signed, entry_price, mark, margin_usd, known, taker_fee), _ALONE
        )
        if found.kind is LiquidationKind.MISSING:
            return None
        if found.kind is not LiquidationKind.FAILED:
            price = found.below if is_long else found.above
            return NEVER_LIQUIDATED_LONG if price is None else price
        mark *= 2.0 if is_long else 0.5  # already under water at entry: where does it come up again?
    return None if is_long else 0.0


def liquidation_distance_bps(
    *, side_size_signed: float, mark_price: float, liquidation_price: float
) -> float:
    """How far mark may move against the position, bps of mark; 0 or less is liquidated already.

    >>> liquidation_distance_bps(side_size_signed=2.0, mark_price=100.0, liquidation_price=90.0)
    1000.0
    """
    away = mark_price - liquidation_price if side_size_signed > 0.0 else liquidation_price - mark_price
    return away / mark_price * BPS_PER_UNIT


def resized(
    pool: MarginPool, leg: Leg, size: float, *, cost_usd: float = 0.0, margin_released: bool = False
) -> MarginPool:
    """The pool after ``leg`` was cut or grown at its mark to a signed ``size``, which cost ``cost_usd``.

    What closing realises stays in the pool: the equity at mark changes by the cost alone. With
    ``margin_released`` the collateral shrinks with the position instead and bears neither (isolated).
    """
    index = pool.legs.index(leg)
    changed = replace(leg, size=size)
    legs = (*pool.legs[:index], changed, *pool.legs[index + 1 :])
    if margin_released:
        share = size / leg.size if leg.size != 0.0 else 1.0
        holdings = tuple(replace(each, quantity=each.quantity * share) for each in pool.holdings)
        return replace(pool, legs=legs, holdings=holdings)
    closed, mark = leg.size - size, leg.mark_price
    if leg.kind is ContractKind.INVERSE:
        coins = closed * (1.0 / leg.entry_price - 1.0 / mark) - cost_usd / mark
        realised = Holding(asset="realised", quantity=coins, price_usd=mark, market=leg.market)
    else:
        quote = closed * (mark - leg.entry_price) - cost_usd
        realised = Holding(asset="realised", quantity=quote, price_usd=1.0)
    return replace(pool, legs=legs, holdings=(*pool.holdings, realised))


def size_max_in(
    pool: MarginPool,
    leg: Leg,
    *,
    distance_bps: float,
    exit_cost_usd: Callable[[float], float] | None = None,
    margin_released: bool = False,
) -> float | None:
    """Find the largest |size| of ``leg`` with which its pool holds until its market moved that far against it.

    Args:
        pool: with all its other legs and collateral, which stay.
        leg: one of ``pool.legs``; flat counts as long.
        distance_bps: wanted distance, bps of mark, positive, at most 10,000 for a long.
        exit_cost_usd: what closing so much of the size costs against mid, USD, fees apart; convex, 0 at 0. The
            closing fee of the leg is paid besides on what is cut.
        margin_released: whether the pool's collateral shrinks with the position, see ``resized``.

    Returns:
        Absolute size in the leg's own unit (base units or USD), above the leg's where there is room (never with
        ``margin_released``: what it grew with would be new margin), 0 if no size is safe; ``None`` if it is not
        known. It was checked on the whole way, so that it is safe also where maintenance jumps at a tier, though
        a larger size may then be safe too.

    Failure modes: where a cut costs more than it saves, or other legs are what fails, the answer is 0: then
    margin or a hedge elsewhere is the remedy, see ``margin_missing_in``.
    """
    sign = -1.0 if leg.size < 0.0 else 1.0
    limit_price = _limit_price(leg.mark_price, sign, distance_bps)
    summed = _with_others_summed(pool, leg)
    if limit_price is None or summed is None:
        return None
    asked = pool if margin_released else summed  # what shrinks has to be told apart from what stays
    held, mark = abs(leg.size), leg.mark_price

    def spare(size: float) -> float:
        cut = max(held - size, 0.0)
        cost = cut * (1.0 if leg.kind is ContractKind.INVERSE else mark) * leg.closing_fee
        if exit_cost_usd is not None and cut > 0.0:
            cost += exit_cost_usd(cut)
        changed = resized(asked, leg, sign * size, cost_usd=cost, margin_released=margin_released)
        lowest = lowest_free(changed, leg.market, limit_price)
        return -1.0 if lowest is None else lowest

    if spare(held) >= 0.0:
        if margin_released:
            return held
        unsafe = _unsafe_above(spare, held or _unit(leg))
        return inf if unsafe == inf else _last_safe(spare, held, unsafe)
    for low, high in _stretches(leg, limit_price, held):
        safe = _safe_within(spare, low, high)
        if safe is not None:
            return safe if spare(high) >= 0.0 else _last_safe(spare, safe, high)
    return 0.0


def margin_missing_in(pool: MarginPool, leg: Leg, *, distance_bps: float) -> float | None:
    """Margin to add so that the pool as it is holds until ``leg``'s market moved that far against it, USD.

    0 if it does; ``None`` if it is not known. Counted as money that does not move: coins would have to be more.
    """
    limit_price = _limit_price(leg.mark_price, -1.0 if leg.size < 0.0 else 1.0, distance_bps)
    lowest = None if limit_price is None else lowest_free(pool, leg.market, limit_price)
    return None if lowest is None else max(-lowest, 0.0)


def size_max(
    *,
    side_size_signed: float,
    mark_price: float,
    equity_usd: float,
    distance_bps: float,
    maintenance_ratio: float | None = None,
    maintenance_amount: float = 0.0,
    tiers: Sequence[MarginTier] | None = None,
    taker_fee: float = 0.0,
    exit_cost_usd: Callable[[float], float] | None = None,
) -> float | None:
    """``size_max_in`` for a linear position that stands alone with ``equity_usd`` at mark (base units).

    The other arguments are those of ``liquidation_price``.

    >>> size_max(side_size_signed=10.0, mark_price=100.0, equity_usd=100.0, distance_bps=1000.0,
    ...     maintenance_ratio=0.0)
    10.0
    >>> round(size_max(side_size_signed=20.0, mark_price=100.0, equity_usd=100.0, distance_bps=1000.0,
    ...     maintenance_ratio=0.0, exit_cost_usd=lambda cut: 2.0 * cut), 6)
    7.5
    """
    known = _tiers(maintenance_ratio, maintenance_amount, tiers)
    if known is None:
        return None
    pool = _alone(side_size_signed, mark_price, mark_price, equity_usd, known, taker_fee)
    return size_max_in(pool, pool.legs[0], distance_bps=distance_bps, exit_cost_usd=exit_cost_usd)


def margin_missing_usd(
    *,
    side_size_signed: float,
    mark_price: float,
    equity_usd: float,
    distance_bps: float,
    tiers: Sequence[MarginTier],
    taker_fee: float = 0.0,
) -> float | None:
    """``margin_missing_in`` for a linear position that stands alone with ``equity_usd`` at mark.

    >>> from guard.leverage.tiers import margin_tiers
    >>> margin_missing_usd(side_size_signed=20.0, mark_price=100.0, equity_usd=100.0, distance_bps=1000.0,
    ...     tiers=margin_tiers([(0.0, 0.0, 20.0)]))
    100.0
    """
    pool = _alone(side_size_signed, mark_price, mark_price, equity_usd, tuple(tiers), taker_fee)
    return margin_missing_in(pool, pool.legs[0], distance_bps=distance_bps)


def _alone(
    size: float, entry: float, mark: float, margin_usd: float, tiers: tuple[MarginTier, ...], fee: float
) -> MarginPool:
    leg = Leg(
        market=_ALONE, size=size, entry_price=entry, mark_price=mark, tiers=tiers, closing_fee=fee
    )  # fmt: skip
    return MarginPool(legs=(leg,), holdings=(Holding(asset="USD", quantity=margin_usd, price_usd=1.0),))


def _tiers(
    ratio: float | None, amount: float, tiers: Sequence[MarginTier] | None
) -> tuple[MarginTier, ...] | None:
    if tiers:
        return tuple(tiers)
    if ratio is None or not 0.0 <= ratio < 1.0 or not isfinite(amount):
        return None
    return _only_tier(ratio, amount)


@lru_cache(maxsize=1024)
def _only_tier(ratio: float, amount: float) -> tuple[MarginTier, ...]:
    """One object for the same numbers, for the solver remembers tables by what they are."""
    return (MarginTier(floor=0.0, maintenance_ratio=ratio, deduction=amount),)


def _limit_price(mark: float, sign: float, distance_bps: float) -> float | None:
    if not (isfinite(mark) and mark > 0.0 and isfinite(distance_bps) and distance_bps > 0.0):
        return None
    move = distance_bps / BPS_PER_UNIT
    if sign > 0.0 and move > 1.0:
        return None
    return mark * (1.0 - sign * (min(move, _TO_ZERO) if sign > 0.0 else move))


def _with_others_summed(pool: MarginPool, leg: Leg) -> MarginPool | None:
    """The pool with what does not move with ``leg``'s market as one sum: it is asked a hundred times."""
    known = marked(pool)
    if known is None or lines_at(replace(leg, size=leg.size or 1.0), leg.mark_price) is None:
        return None
    each = known.markets[leg.market]
    slope, intercept = known.line_of(each, known.free)
    own = tuple(held for held in pool.holdings if held.market == leg.market and held.price_usd)
    # What others are worth stays in dollars; in a pool of one coin, in coins, which move with this price.
    stays = Holding(asset="all else", quantity=intercept - each.intercept, price_usd=1.0)
    moves = Holding(asset="all else", quantity=slope - each.slope, price_usd=each.mark, market=leg.market)
    legs = tuple(one for one in pool.legs if one.market == leg.market)
    return MarginPool(legs=legs, holdings=(*own, stays, moves) if pool.in_coin else (*own, stays))


def _unit(leg: Leg) -> float:
    """Some size to start from where nothing is held."""
    return 1.0 if leg.kind is ContractKind.INVERSE else 1.0 / leg.mark_price


def _unsafe_above(spare: Callable[[float], float], size: float) -> float:
    """A size that is not safe: growing costs nothing, so that what is left falls all the way; else infinity."""
    for _ in range(2 * _DOUBLINGS):
        size *= 2.0
        if spare(size) < 0.0:
            return size
    return inf


def _stretches(leg: Leg, limit_price: float, held: float) -> list[tuple[float, float]]:
    """Parts of 0..held, the largest sizes first, within which maintenance at the limit does not jump."""
    a_unit = 1.0 / limit_price if leg.kind is ContractKind.INVERSE else limit_price
    if leg.unit is TierUnit.SIZE:
        a_unit = 1.0
    ends = [
        high.floor / a_unit
        for low, high in pairwise(leg.tiers)
        if leg.unit is TierUnit.SIZE or _jumps(low, high)
    ]
    cuts = [0.0, *(end for end in ends if 0.0 < end < held), held]
    below = [end * (1.0 - _PRECISION) if end < held else end for end in cuts]
    return [(low, high) for low, high in zip(cuts, below[1:], strict=False)][::-1]


def _jumps(low: MarginTier, high: MarginTier) -> bool:
    owed = (high.maintenance_ratio - low.maintenance_ratio) * high.floor
    return abs(owed - (high.deduction - low.deduction)) > _PRECISION * high.floor


def _safe_within(spare: Callable[[float], float], low: float, high: float) -> float | None:
    """A safe size of a stretch on which what is left is concave: an end, else by golden section."""
    for end in (high, low):
        if spare(end) >= 0.0:
            return end
    ratio = 0.6180339887498949
    left, right = high - ratio * (high - low), low + ratio * (high - low)
    at_left, at_right = spare(left), spare(right)
    for _ in range(_STEPS):
        if max(at_left, at_right) >= 0.0:
            return left if at_left >= at_right else right
        if (
            high - low <= _SETTLED * high
        ):  # the top is flat: what is left there is right to the square of that
            break
        if at_left < at_right:
            low, left, at_left = left, right, at_right
            right = low + ratio * (high - low)
            at_right = spare(right)
        else:
            high, right, at_right = right, left, at_left
            left = high - ratio * (high - low)
            at_left = spare(left)
    return None


def _last_safe(spare: Callable[[float], float], safe: float, unsafe: float) -> float:
    """The end of what is safe, by false position (Illinois), closed by a look just beyond where it settles."""
    at_safe, at_unsafe = spare(safe), spare(unsafe)
    if at_unsafe >= 0.0:
        return unsafe
    # Of the two ends, the one that stays twice in a row counts half, so that it moves as well.
    weight_safe = weight_unsafe = 1.0
    was_safe: bool | None = None
    last = safe
    for step in range(2 * _STEPS):
        width = unsafe - safe
        if width <= 2.0 * _PRECISION * unsafe:
            break
        above, below = weight_safe * at_safe, -weight_unsafe * at_unsafe
        at = safe + width * (above / (above + below) if step % 4 < 3 and above + below > 0.0 else 0.5)
        moved = abs(at - last)
        if moved <= _SETTLED * unsafe:  # look on the far side of it
            beside = max(2.0 * moved, _PRECISION * unsafe)
            at += beside if at - safe <= unsafe - at else -beside
        if not safe < at < unsafe:
            at = safe + width * 0.5
        if not safe < at < unsafe:
            break  # there is no number between them
        found, last = spare(at), at
        if found >= 0.0:
            weight_unsafe *= 0.5 if was_safe is True else 1.0
            safe, at_safe, weight_safe, was_safe = at, found, 1.0, True
        else:
            weight_safe *= 0.5 if was_safe is False else 1.0
            unsafe, at_unsafe, weight_unsafe, was_safe = at, found, 1.0, False
    return safe
