"""Numbers that a message may hold: what no market and no counter can reach is refused at the door. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite
from typing import Final

from adapters.mqtt.fence import NUMBER_MAX
from perpguard_sdk.messages import AnyMessage, Reported

AMOUNT_MAX: Final = 1e15
"""No size, price or leverage comes near; products of two of them are still far from infinite."""


def implausible(body: AnyMessage) -> str:
    """Say which number cannot be, empty if all can."""
    for name in ("epoch", "seq", "version", "posture_version"):
        number = getattr(body, name, 0)
        if not 0 <= number <= NUMBER_MAX:
            return f"{name} {number} is not within 0..2^53"
    if isinstance(body, Reported):
        return next(_in_report(body), "")
    return ""


def _in_report(reported: Reported) -> Iterator[str]:
    for position in reported.positions:
        where = f"position in {position.symbol}"
        yield from _unless(where, "size", position.size, low=-AMOUNT_MAX)
        for name in ("entry_price", "mark_price", "leverage", "liquidation_price"):
            yield from _unless_positive(where, name, getattr(position, name))
    for order in reported.orders:
        where = f"order {order.order_id}"
        yield from _unless(where, "size", order.size, low=-AMOUNT_MAX)
        yield from _unless_positive(where, "price", order.price)
        yield from _unless_positive(where, "stop_price", order.stop_price)
    for symbol, value in reported.max_size.items():
        yield from _unless(f"limit in {symbol}", "max_size", value, low=0.0)
    for symbol, value in reported.max_leverage.items():
        yield from _unless_positive(f"limit in {symbol}", "max_leverage", value)


def _unless(where: str, name: str, value: float, *, low: float) -> Iterator[str]:
    if not isfinite(value) or not low <= value <= AMOUNT_MAX:
        yield f"{where}: {name} {value} is not within {low:g}..{AMOUNT_MAX:g}"


def _unless_positive(where: str, name: str, value: float | None) -> Iterator[str]:
    if value is not None and not 0.0 < value <= AMOUNT_MAX:
        yield f"{where}: {name} {value} is not above 0 and at most {AMOUNT_MAX:g}; leave it out if it is not known"
