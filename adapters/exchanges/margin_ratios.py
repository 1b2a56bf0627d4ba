"""What several venues say of their margin in the same way: a ratio of two sums, a place in a queue. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from adapters.exchanges.parsers import Payload, optional_number
from guard.errors import MalformedFrameError
from guard.events import CollateralHeld

RATIO_MAX = 1e6
"""Stands for the ratio where nothing is left of the margin balance, or less: no number would be large enough."""


def ratio_of(maintenance: float | None, balance: float | None) -> float | None:
    """Maintenance over margin balance: 1 is liquidation, 0 where nothing is demanded, ``None`` where not told.

    >>> ratio_of(5.0, 100.0), ratio_of(0.0, 0.0), ratio_of(5.0, -1.0), ratio_of(None, 1.0)
    (0.05, 0.0, 1000000.0, None)
    """
    if maintenance is None or balance is None:
        return None
    if maintenance <= 0.0:
        return 0.0
    return RATIO_MAX if balance <= 0.0 else min(RATIO_MAX, maintenance / balance)


def worst(ratios: Iterable[float | None]) -> float | None:
    """The largest of those that are told, ``None`` if none is."""
    return max((ratio for ratio in ratios if ratio is not None), default=None)


def value_usd(held: CollateralHeld | None) -> float:
    """What a holding adds to the wallet in USD as the venue values it; nothing where it does not, a debt always."""
    if held is None or held.venue_price_usd is None:
        return 0.0
    value = held.quantity * held.venue_price_usd
    if value <= 0.0:
        return value
    return value * (1.0 - (held.venue_haircut or 0.0)) if held.is_collateral else 0.0


def rank_of(row: Payload, key: str, last: float, where: str) -> float | None:
    """Read a place in the queue to be deleveraged, from 0 to ``last``, as a share: 1 goes first.

    Raises:
        MalformedFrameError: it is told, but is no such place.
    """
    place = optional_number(row, key, where)
    if place is None:
        return None
    if not 0.0 <= place <= last:
        raise MalformedFrameError(where, f"field {key!r} is not within 0..{last:g}: {place:g}")
    return place / last
