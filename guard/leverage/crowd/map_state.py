"""A liquidation map as it is kept over a restart. A message; versioned."""

from __future__ import annotations

from msgspec import Struct

from guard.units import MarketId, Nanoseconds

MAP_VERSION = 1


class SideState(Struct, frozen=True, kw_only=True):
    """One side: ``mass`` is float32 of ``(classes, bins)`` as bytes, the rest as in ``Side``, scale 1."""

    mass: bytes
    totals: tuple[float, ...]
    rest: float
    base: int
    place: float
    edge: float


class MapState(Struct, frozen=True, kw_only=True):
    """Both sides, longs first."""

    version: int
    market: MarketId
    at: Nanoseconds
    open_interest: float
    mark_price: float
    classes: int
    bins: int
    sides: tuple[SideState, ...]
    volume_usd_s: float | None = None
    doubt: float = 0.0
    maintenance: float | None = None
    """By which positions were put down; that of the settings where it is not told."""
