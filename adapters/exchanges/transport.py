"""What carries frames under ccxt's client, and what is common to all carriers: how raw frames are offered.

A frame is offered to the reader of its socket (see ``frames``) before anything is decoded. What the reader takes
costs nothing else: no decoding by ccxt, no future, no task. What it declines goes on to ccxt at once, in order.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from adapters.exchanges.frames import DECLINED, FrameReader
from guard.units import Nanoseconds

FRAME_BYTES_MAX = 10 * 1024 * 1024
"""No frame is larger, as with ccxt's own socket."""

TURN_WORK_MAX = 512
"""What one socket may do before others run: a frame that is taken counts 1 (some 4 us), so 2 ms ..."""
DECLINED_WORK = 16
"""... and one that is declined this much: ccxt and our own parsers take some 80 us for it."""

UNCOMPRESSED: Mapping[str, Any] = {"ws": {"compress": 0}}
"""ccxt options: offer no compression. To inflate a frame takes longer than to read it and to change the book."""


class Transport(StrEnum):
    """What carries frames. Connections of accounts always use ccxt's own: little comes over them."""

    AUTO = "auto"
    PICOWS = "picows"
    AIOHTTP = "aiohttp"


def installed(transport: Transport) -> Transport:
    """Which of the two a setting means on this machine.

    >>> installed(Transport.AIOHTTP).value
    'aiohttp'
    """
    if transport is Transport.AUTO:
        return Transport.PICOWS if importlib.util.find_spec("picows") is not None else Transport.AIOHTTP
    return transport


@dataclass(frozen=True, slots=True)
class Lane:
    """Where the raw frames of one socket go.

    Attributes:
        reader: what they are offered to.
        now: the clock; read once for all frames that arrived together.
        on_attention: called with the index of a market whose book the reader says needs attention.
        on_taken: called with the socket's URL and the time once for all frames that were taken together.
    """

    reader: FrameReader
    now: Callable[[], Nanoseconds]
    on_attention: Callable[[int], None]
    on_taken: Callable[[str, Nanoseconds], None]


def lane_of(tap: object, url: str) -> Lane | None:
    """Return where the frames of a socket that has opened go first: what the tap's ``lane`` says, if it has one."""
    lane: Callable[[str], Lane | None] | None = getattr(tap, "lane", None)
    return None if lane is None else lane(url)


def decline(frame: str | bytes | bytearray | memoryview, received_at: Nanoseconds) -> int:
    """Stand in for ``FrameReader.take`` where there is no reader."""
    del frame, received_at
    return DECLINED
