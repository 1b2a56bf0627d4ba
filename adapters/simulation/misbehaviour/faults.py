"""What a venue can be told to do wrong: one ``Fault`` each, readable from JSON, and how a list of them is read."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import msgspec


class FaultKind(StrEnum):
    """The ways in which a venue misbehaves; each names the fields of ``Fault`` that it heeds besides the scope."""

    DROP = "drop"
    """Frames are lost on their way."""
    DELAY = "delay"
    """Frames come ``delay_s`` later, give or take ``jitter_s``; what follows on the socket waits behind them."""
    DUPLICATE = "duplicate"
    """Frames come twice."""
    REORDER = "reorder"
    """A frame comes after the next one of its stream and symbol."""
    CORRUPT = "corrupt"
    """Frames cannot be read, in the way of ``form``."""
    SILENCE = "silence"
    """Nothing comes on a socket that stays open; without ``pongs`` not even an answer to a ping."""
    DISCONNECT = "disconnect"
    """Sockets are closed with a closing frame."""
    RESET = "reset"
    """Sockets are cut: the peer sees a TCP reset."""
    REFUSE = "refuse"
    """New sockets and requests are cut before they are answered."""
    STATUS = "status"
    """Requests are answered with the HTTP ``status``, and Retry-After where ``retry_after_s`` is given."""
    HTML = "html"
    """Requests are answered with a page of HTML, and ``status``."""
    HANG = "hang"
    """Requests are answered after ``delay_s`` only; without one, never: they are cut when the fault ends."""
    TRUNCATE = "truncate"
    """Answers end in the middle."""
    STALE = "stale"
    """GET is answered with what was answered to the same request last before the fault began."""
    TICK_SIZE = "tick_size"
    """The tick is ``tick_ratio`` times as large: a new grid for books, trades and orders."""
    HALT = "halt"
    """No trading: orders are refused, the book stands still, or is ``emptied``."""
    DELIST = "delist"
    """The symbol is gone: positions are settled at the mark, orders cancelled, streams dead."""
    CROSS = "cross"
    """The book is crossed: a bid above the best ask."""
    CLOCK_SKEW = "clock_skew"
    """The venue's clock is ``offset_s`` ahead: server time, signatures, its own events; not the market's times."""
    EXPIRE_KEYS = "expire_keys"
    """Every listen key ends."""
    REFUSE_KEYS = "refuse_keys"
    """Every API key is refused."""
    DEPEG = "depeg"
    """The venue's own price of the margin asset ``asset``, its spot market's too, is ``price_ratio`` times as high."""
    TIGHTEN = "tighten"
    """Every bracket asks for ``maintenance_ratio`` times as much maintenance margin."""


class Corruption(StrEnum):
    """How a frame is spoilt. None of them is a frame that could be true."""

    HALF = "half"
    """It ends in the middle."""
    GARBAGE = "garbage"
    """Text that is no JSON."""
    EMPTY = "empty"
    HTML = "html"
    BINARY = "binary"
    """A binary frame of random bytes."""
    UTF8 = "utf8"
    """A text frame that is no UTF-8: the protocol forbids it."""
    TYPES = "types"
    """JSON of the right form in which one value is of another type."""
    NUMBERS = "numbers"
    """One number is not finite, or larger than anything in the world."""
    UNKNOWN = "unknown"
    """JSON of an event that nobody knows."""
    DEEP = "deep"
    """Arrays in arrays, deeper than decoders go."""
    HUGE = "huge"
    """Twelve megabytes."""


FRAME_KINDS = frozenset(
    {FaultKind.DROP, FaultKind.DELAY, FaultKind.DUPLICATE, FaultKind.REORDER, FaultKind.CORRUPT}
)
REQUEST_KINDS = frozenset(
    {FaultKind.STATUS, FaultKind.HTML, FaultKind.HANG, FaultKind.TRUNCATE, FaultKind.STALE, FaultKind.REFUSE}
)
MARKET_KINDS = frozenset({FaultKind.TICK_SIZE, FaultKind.HALT, FaultKind.DELIST, FaultKind.CROSS})
TERMS_KINDS = frozenset({FaultKind.DEPEG, FaultKind.TIGHTEN})
"""What the venue counts and asks for is another: no schedule draws them, for they cost accounts their positions."""
INSTANT_KINDS = frozenset({FaultKind.DISCONNECT, FaultKind.RESET, FaultKind.EXPIRE_KEYS})
"""They happen once, when they begin."""

ACCOUNT_STREAM = "account"
ANSWER_STREAM = "answer"
REQUEST_STREAM = "request"
"""The names in ``Fault.streams`` of private events, of answers to SUBSCRIBE and of what clients say on their sockets;
the others are a FrameKind."""

NAMED_ONLY = frozenset({ANSWER_STREAM, REQUEST_STREAM})
"""Hit only by faults that name them."""

Seconds = Annotated[float, msgspec.Meta(ge=0.0, le=864_000.0)]


class Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One thing that goes wrong, where, when, and how often. An empty scope is everything.

    A fault of frames or requests hits each of them with probability ``rate``, until ``count`` were hit.
    Frames that several clients get have one fate for all of them.
    """

    kind: FaultKind
    at_s: Seconds = 0.0
    """When it begins, after it was asked for."""
    for_s: Seconds | None = None
    """How long it lasts; None: until ``count`` is used up or all faults are ended."""
    rate: Annotated[float, msgspec.Meta(gt=0.0, le=1.0)] = 1.0
    count: Annotated[int, msgspec.Meta(ge=1)] | None = None
    streams: tuple[str, ...] = ()
    """FrameKinds (``depth`` ...), ``account``, ``answer``, ``request``; empty: all but the last two."""
    symbols: tuple[str, ...] = ()
    """The venue's own names, e.g. BTCUSDT."""
    paths: tuple[str, ...] = ()
    """Of requests: a part of the path, e.g. ``/depth``."""
    account: str | None = None
    delay_s: Seconds | None = None
    jitter_s: Seconds = 0.0
    form: Corruption | None = None
    """None: any of them, by the seed, that leaves the connection standing."""
    pongs: bool = True
    status: Annotated[int, msgspec.Meta(ge=400, le=599)] = 503
    retry_after_s: Seconds | None = None
    carried_out: bool = False
    """Of requests that get no proper answer: whether the venue did what was asked nevertheless."""
    tick_ratio: Annotated[int, msgspec.Meta(ge=2, le=1000)] = 10
    emptied: bool = False
    offset_s: Annotated[float, msgspec.Meta(ge=-864_000.0, le=864_000.0)] = 0.0
    asset: str = ""
    price_ratio: Annotated[float, msgspec.Meta(gt=0.0, le=10.0)] = 0.7
    maintenance_ratio: Annotated[float, msgspec.Meta(gt=0.0, le=100.0)] = 2.0

    def __post_init__(self) -> None:
        if self.kind in MARKET_KINDS and not self.symbols:
            raise ValueError(f"fault {self.kind}: name its symbols")
        if self.kind is FaultKind.DELAY and self.delay_s is None:
            raise ValueError("fault delay: needs delay_s")
        if self.kind is FaultKind.CLOCK_SKEW and not self.offset_s:
            raise ValueError("fault clock_skew: needs offset_s")
        if self.kind is FaultKind.DEPEG and not self.asset:
            raise ValueError("fault depeg: name its asset")


class FaultPlan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What ``POST /control/faults`` and ``--faults FILE`` take: faults, or a schedule to make them from."""

    seed: int = 0
    faults: tuple[Fault, ...] = ()
    duration_s: Seconds = 0.0
    """Above 0: add the faults of ``fault_schedule(seed, duration_s, intensity)``."""
    intensity: Annotated[float, msgspec.Meta(gt=0.0, le=100.0)] = 1.0
    symbols: tuple[str, ...] = ()
    """Of the schedule; empty: all that the venue has."""


_decode = msgspec.json.Decoder(FaultPlan).decode


def read_plan(text: bytes | str) -> FaultPlan:
    """Read a plan from JSON.

    Raises:
        ValueError: it is none; the text names the field.
    """
    try:
        return _decode(text)
    except msgspec.MsgspecError as error:
        raise ValueError(f"not a plan of faults: {error}") from error
