"""Liquidation prices by bisection in decimals, from the venues' definitions; imports nothing of the guard.

Equity less maintenance margin less the fee of closing is worked out at a price as a venue does, leg by leg in its
settle asset, and its first zero on the losing side of the mark is enclosed: no formula, no segments, 40 digits.
"""

from __future__ import annotations

from decimal import Decimal, localcontext

from benchmarks._own_accounts import Account, Held

DIGITS = 40
STEP = Decimal("1.001")
STEPS_MAX = 7_000
"""A thousandfold either way."""
HALVINGS = 110


def exact_price(account: Account, asked: int) -> Decimal | None:
    """The price of the asked position's market at which what backs it is used up; ``None`` if none is."""
    with localcontext() as context:
        context.prec = DIGITS
        together = backed_with(account, account.held[asked])
        market, mark = account.held[asked].symbol, account.held[asked].mark
        # A hedged market is liquidated on the side on which the larger of its legs loses.
        net = sum((each.size for each in together if each.symbol == market), Decimal(0))
        factor = 1 / STEP if net > 0 else STEP
        safe = mark
        for _ in range(STEPS_MAX):
            tried = safe * factor
            if free(account, together, market, tried) <= 0:
                return _between(account, together, market, tried, safe)
            safe = tried
        return None


def maintenance(account: Account, asked: int) -> Decimal:
    """What the venue demands to keep for one position, at mark, in its settle asset."""
    held = account.held[asked]
    return _maintenance(held, held.mark)


def backed_with(account: Account, held: Held) -> tuple[Held, ...]:
    """The positions that share a margin with this one."""
    return (held,) if held.margin is not None else tuple(each for each in account.held if each.margin is None)


def free(account: Account, together: tuple[Held, ...], market: str, price: Decimal) -> Decimal:
    """What is left of the margin at a price of one market, all others at their marks."""
    left = account.wallet if together[0].margin is None else together[0].margin
    for held in together:
        at = price if held.symbol == market else held.mark
        left += _profit(held, at) - _maintenance(held, at) - account.fee * _value(held, at)
    return left


def _between(
    account: Account, together: tuple[Held, ...], market: str, failed: Decimal, safe: Decimal
) -> Decimal:
    for _ in range(HALVINGS):
        middle = (failed + safe) / 2
        if free(account, together, market, middle) <= 0:
            failed = middle
        else:
            safe = middle
    return (failed + safe) / 2


def _value(held: Held, price: Decimal) -> Decimal:
    return abs(held.size) / price if held.is_inverse else abs(held.size) * price


def _profit(held: Held, price: Decimal) -> Decimal:
    if held.is_inverse:
        return held.size * (1 / held.entry - 1 / price)
    return held.size * (price - held.entry)


def _maintenance(held: Held, price: Decimal) -> Decimal:
    value = _value(held, price)
    counted = abs(held.size) if held.tiers.by_size else value
    if not held.tiers.is_marginal:
        rate = [rate for floor, rate in held.tiers.rows if floor <= counted][-1]
        return value * rate
    demanded = Decimal(0)
    ends = [*(floor for floor, _ in held.tiers.rows[1:]), None]
    for (floor, rate), end in zip(held.tiers.rows, ends, strict=True):
        if counted > floor:
            demanded += rate * ((counted if end is None else min(counted, end)) - floor)
    return demanded
