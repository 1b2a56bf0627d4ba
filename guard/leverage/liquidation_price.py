"""At which mark price a linear position is liquidated, and how large it may be to keep away from it. Pure.

One condition for every linear contract, isolated or cross::

    F(p) = W + s*q*(p - e) - MM(q*p) - f*q*p = 0
    MM(n) = r_k*n - c_k     for n in tier k

with s = +1 long, -1 short; q > 0 size in base units; e entry price; W margin in USD (isolated: the
position's margin; cross: wallet + other positions' unrealised profit - their maintenance margin); r_k
the tier's maintenance ratio and c_k its cumulative amount; f the taker fee charged at liquidation.
Within a tier F is linear, so p = (W + c_k - s*q*e) / (q*(r_k + f - s)), which is Binance's published
form at f = 0 and OKX's isolated form at c = 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isfinite

from guard.leverage.tiers import MarginTier, maintenance_usd
from guard.units import BPS_PER_UNIT

NEVER_LIQUIDATED_LONG = 0.0
"""What a long answers that its margin carries to a price of zero. Not ``None``: that is *not known*."""

_BISECTIONS = 80  # 2**-80 of the size searched: beyond the resolution of a float


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
    """Solve F(p) = 0 for the mark price of liquidation.

    Args:
        side_size_signed: size in base units, long positive.
        entry_price: quote per base.
        margin_usd: W above; may be negative in cross mode.
        maintenance_ratio: r of the only tier, as a share of notional; give this or ``tiers``.
        maintenance_amount: c of the only tier, USD.
        tiers: all tiers, ascending, as ``margin_tiers`` makes them.
        taker_fee: f, as a share of notional.

    Returns:
        The price; ``0.0`` for a long that cannot be liquidated and for a short that no price could
        save; ``None`` if it is not known: flat, no ratio given, or a number that makes no sense.

    Assumptions: mark price triggers, margin does not change on the way, USD equals quote.
    Failure modes: in cross mode the other positions move as well, so this is their price fixed; venues
    that value the maintenance margin at entry (Bybit isolated) differ by second order.

    >>> for size in (1.0, -1.0):
    ...     round(liquidation_price(
    ...         side_size_signed=size, entry_price=100.0, margin_usd=10.0, maintenance_ratio=0.01), 4)
    90.9091
    108.9109
    """
    known = _tiers(maintenance_ratio, maintenance_amount, tiers)
    numbers = (side_size_signed, entry_price, margin_usd, taker_fee)
    if known is None or side_size_signed == 0.0 or not all(map(isfinite, numbers)):
        return None
    if entry_price <= 0.0 or not 0.0 <= taker_fee < 1.0:
        return None
    sign = 1.0 if side_size_signed > 0.0 else -1.0
    size = abs(side_size_signed)
    if sign > 0.0 and known[-1].maintenance_ratio + taker_fee >= 1.0:
        return None
    free = margin_usd - sign * size * entry_price
    return _root(known, sign, size, free, taker_fee)


def _root(tiers: Sequence[MarginTier], sign: float, size: float, free: float, fee: float) -> float:
    """Walk the tiers upwards. F is monotone in p, so that the first tier with a root below its end has it.

    Long: F rises with p, the root lies in the first tier at whose upper end F is no longer negative.
    Short: F falls, and it lies in the first tier at whose upper end F is no longer positive.
    """
    for index, tier in enumerate(tiers):
        slope = tier.maintenance_ratio + fee - sign
        price = (free + tier.maintenance_amount_usd) / (size * slope)
        last = index + 1 == len(tiers)
        if last or size * price <= tiers[index + 1].notional_usd_min:
            # A gap or overlap between tiers of a venue that gives no amounts: stay within this one.
            return max(price, tier.notional_usd_min / size)
    raise AssertionError("tiers are never empty")


def liquidation_distance_bps(
    *, side_size_signed: float, mark_price: float, liquidation_price: float
) -> float:
    """How far mark may move against the position, bps of mark; 0 or less is liquidated already.

    >>> liquidation_distance_bps(side_size_signed=2.0, mark_price=100.0, liquidation_price=90.0)
    1000.0
    """
    away = mark_price - liquidation_price if side_size_signed > 0.0 else liquidation_price - mark_price
    return away / mark_price * BPS_PER_UNIT


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
    """Find the largest |size| whose liquidation price lies at least ``distance_bps`` from mark.

    With p the mark, L = p * (1 - s*d) and E the equity at mark, a size q' survives to L if::

        G(q') = E - C(q - q') - s*q'*(p - L) - MM(q'*L) - f*q'*L >= 0

    where C is what cutting from q to q' costs. For C = 0 in one tier this is
    ``q_max = (E + c) / (p - (1 - r - f)*L)`` for a long, ``(E + c) / ((1 + r + f)*U - p)`` for a short.

    Args:
        side_size_signed: the position as it is, base units; only its sign matters without a cost.
        mark_price: quote per base.
        equity_usd: isolated margin plus unrealised profit, or the cross slice assigned to this position.
        distance_bps: wanted distance, bps of mark, positive, at most 10,000 for a long.
        maintenance_ratio: see ``liquidation_price``, as are the next three.
        maintenance_amount: see ``liquidation_price``.
        tiers: see ``liquidation_price``.
        taker_fee: also charged on what is cut.
        exit_cost_usd: what closing so many base units costs against mid, USD, fees apart; convex, 0 at 0.

    Returns:
        Absolute base units, above |size| where there is room, 0 if no size is safe; ``None`` if it is
        not known, as in ``liquidation_price`` (flat counts as long with nothing to cut).

    Assumptions: C is convex (walking a book is), so G is concave and what is safe is an interval.
    Failure modes: in a book so thin that a cut costs more than it saves, the answer is 0: then margin
    or a hedge elsewhere is the remedy, see ``margin_missing_usd``.

    >>> size_max(side_size_signed=10.0, mark_price=100.0, equity_usd=100.0, distance_bps=1000.0,
    ...     maintenance_ratio=0.0)
    10.0
    >>> round(size_max(side_size_signed=20.0, mark_price=100.0, equity_usd=100.0, distance_bps=1000.0,
    ...     maintenance_ratio=0.0, exit_cost_usd=lambda cut: 2.0 * cut), 6)
    7.5
    """
    known = _tiers(maintenance_ratio, maintenance_amount, tiers)
    numbers = (side_size_signed, mark_price, equity_usd, distance_bps, taker_fee)
    if known is None or not all(map(isfinite, numbers)) or mark_price <= 0.0 or taker_fee < 0.0:
        return None
    sign = -1.0 if side_size_signed < 0.0 else 1.0
    limit_price = mark_price * (1.0 - sign * distance_bps / BPS_PER_UNIT)
    if distance_bps <= 0.0 or limit_price < 0.0:
        return None
    held = abs(side_size_signed)

    def spare(size: float) -> float:
        cut = max(held - size, 0.0)
        cost = cut * mark_price * taker_fee
        if exit_cost_usd is not None and cut > 0.0:
            cost += exit_cost_usd(cut)
        at_limit = size * limit_price
        loss = sign * size * (mark_price - limit_price)
        return equity_usd - cost - loss - maintenance_usd(known, at_limit) - taker_fee * at_limit

    if spare(held) >= 0.0:
        loss_a_unit = sign * (mark_price - limit_price)
        return _largest_without_cut(known, loss_a_unit, limit_price, equity_usd, taker_fee)
    safe = 0.0 if spare(0.0) >= 0.0 else _highest(spare, held)
    if spare(safe) < 0.0:
        return 0.0
    return _last_safe(spare, safe, held)


def margin_missing_usd(
    *,
    side_size_signed: float,
    mark_price: float,
    equity_usd: float,
    distance_bps: float,
    tiers: Sequence[MarginTier],
    taker_fee: float = 0.0,
) -> float:
    """Margin to add so that the position as it is survives to ``distance_bps``, USD; 0 if it does.

    The alternative to cutting: ``dM = s*q*(p - L) + MM(q*L) + f*q*L - E``.

    >>> from guard.leverage.tiers import margin_tiers
    >>> margin_missing_usd(side_size_signed=20.0, mark_price=100.0, equity_usd=100.0, distance_bps=1000.0,
    ...     tiers=margin_tiers([(0.0, 0.0, 20.0)]))
    100.0
    """
    sign = -1.0 if side_size_signed < 0.0 else 1.0
    size = abs(side_size_signed)
    limit_price = mark_price * (1.0 - sign * distance_bps / BPS_PER_UNIT)
    needed = sign * size * (mark_price - limit_price) + maintenance_usd(tiers, size * limit_price)
    return max(needed + taker_fee * size * limit_price - equity_usd, 0.0)


def _tiers(
    ratio: float | None, amount: float, tiers: Sequence[MarginTier] | None
) -> Sequence[MarginTier] | None:
    if tiers:
        return tiers
    if ratio is None or not 0.0 <= ratio < 1.0 or not isfinite(amount):
        return None
    return (MarginTier(notional_usd_min=0.0, maintenance_ratio=ratio, maintenance_amount_usd=amount),)


def _largest_without_cut(
    tiers: Sequence[MarginTier], loss_a_unit: float, limit: float, equity: float, fee: float
) -> float:
    """Closed form, tier by tier: growing costs nothing, so that G falls all the way."""
    best = 0.0
    for index, tier in enumerate(tiers):
        a_unit = loss_a_unit + (tier.maintenance_ratio + fee) * limit
        size = (equity + tier.maintenance_amount_usd) / a_unit
        end = tiers[index + 1].notional_usd_min if index + 1 < len(tiers) else float("inf")
        if tier.notional_usd_min <= size * limit < end:
            best = max(best, size)
    return best


def _highest(spare: Callable[[float], float], held: float) -> float:
    """Where a concave function is highest in 0..held, by ternary search."""
    low, high = 0.0, held
    for _ in range(2 * _BISECTIONS):
        third = (high - low) / 3.0
        if spare(low + third) < spare(high - third):
            low += third
        else:
            high -= third
    return (low + high) / 2.0


def _last_safe(spare: Callable[[float], float], safe: float, unsafe: float) -> float:
    for _ in range(_BISECTIONS):
        middle = (safe + unsafe) / 2.0
        if middle in (safe, unsafe):
            break  # there is no number between them: some 50 halvings, and each further one changes nothing
        if spare(middle) >= 0.0:
            safe = middle
        else:
            unsafe = middle
    return safe
