"""What observables remember for another run, as values. No I/O, no clock."""

from __future__ import annotations

from msgspec import Struct

from guard.units import MarketId, Nanoseconds

VERSION = 1


class PriceTrackState(Struct, frozen=True):
    """The prices of a track, oldest first; ``version`` tells its form."""

    version: int = VERSION
    at: tuple[Nanoseconds, ...] = ()
    price: tuple[float, ...] = ()


class UsualState(Struct, frozen=True, array_like=True):
    """What is usual of a number."""

    mean: float
    variance: float
    weight: float
    seconds: float


class MarketMemory(Struct, frozen=True):
    """What one market's observables remember: its prices, and what is usual of it by name."""

    market: MarketId
    prices: PriceTrackState
    usual: dict[str, UsualState]


class SignalsState(Struct, frozen=True):
    """What all observables remember; another ``version`` is not taken."""

    version: int = VERSION
    markets: tuple[MarketMemory, ...] = ()
    comovement: UsualState | None = None
