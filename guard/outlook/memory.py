"""What estimators have learned, as one message that outlives the guard. No I/O, no clock."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from guard.account.equity import EquityKept
from guard.hazard.observer import QuietState
from guard.hazard.regime import RegimeState
from guard.hazard.sizing import UsualState
from guard.leverage.crowd.map_state import MapState
from guard.leverage.crowd.mix import MixState
from guard.signals.memory import SignalsState
from guard.skill.ledger import LedgerMemory
from guard.units import MarketId, Nanoseconds

VERSION = 1
"""Rises when a former program would misread; each part has a version of its own beside it."""


class RegimeKept(Struct, frozen=True, kw_only=True):
    """The regime of a market as it was."""

    market: MarketId
    state: RegimeState


class OutlookMemory(Struct, frozen=True, kw_only=True):
    """Everything that would have to be learned again; what waits, and prices of the last minutes, are not in it.

    ``guard`` is whose it is: what was learned of some markets and venues is another guard's business. ``equities`` are
    not the outlook's: highs of accounts are kept beside it.
    """

    version: int = VERSION
    guard: str
    at: Nanoseconds
    maps: tuple[MapState, ...] = ()
    mix: MixState | None = None
    signals: SignalsState | None = None
    ledger: LedgerMemory | None = None
    quiet: QuietState | None = None
    usual_danger: UsualState | None = None
    regimes: tuple[RegimeKept, ...] = ()
    equities: tuple[EquityKept, ...] = ()


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(OutlookMemory)


def encode(memory: OutlookMemory) -> bytes:
    """Give its bytes: 120 KB a market, half of it zeros."""
    return _encoder.encode(memory)


def decode(body: bytes) -> OutlookMemory:
    """Read it again. ValueError where it is no memory, or one of another version."""
    try:
        memory = _decoder.decode(body)
    except msgspec.MsgspecError as error:
        raise ValueError(f"it holds no memory that this program knows: {error}") from error
    if memory.version != VERSION:
        raise ValueError(f"its memory is of version {memory.version}, and this program reads {VERSION}")
    return memory
