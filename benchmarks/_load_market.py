"""Markets of the load server: depth diffs rendered ahead, in cycles that end where they began. Pure.

A cycle goes some updates forward and then takes each of them back, so that it can be played for ever, the book of
any moment is known, and nothing is made up while the server has to keep to its schedule. The number of an update
is the time at which it was due, in microseconds: whoever holds a book can tell how late it is.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks._frames import LEVELS, Frames, make_frames

FORWARD = 60
TEMPLATES = 8
"""Markets differ in their prices and in where they are in their cycle; so many price series are enough."""

DECIMALS = (2, 3, 4, 5, 2, 3, 4, 5)
FLICKER_STEPS = 12
"""Updates for which the makers of a flickering market stay away, and then stay."""

FLICKER_LEVELS = 300
FIRST_ID = 10**12

TextLevel = tuple[str, str]
Sides = tuple[dict[str, str], dict[str, str]]
_DEPTH = b'{"e":"depthUpdate","E":%d,"T":%d,"s":"%b","U":%d,"u":%d,"pu":%d,%b'
_TRADE = b'{"e":"aggTrade","E":%d,"a":%d,"s":"%b","p":"%b","q":"%b","nq":"%b","f":%d,"l":%d,"T":%d,"m":%b}'
_MARK = b'{"e":"markPriceUpdate","E":%d,"s":"%b","p":"%b","P":"%b","i":"%b","r":"0.00010000","T":%d}'


@dataclass(frozen=True, slots=True)
class Template:
    """One cycle: what changes at each step, and the same as it is written in a frame."""

    opening: Sides
    changes: Sequence[Sides]
    bodies: Sequence[bytes]
    touch: bytes
    """A price to trade at."""

    def book_at(self, step: int) -> tuple[list[TextLevel], list[TextLevel]]:
        """The book before the change of ``step``, best first."""
        bids, asks = dict(self.opening[0]), dict(self.opening[1])
        for change in self.changes[: step % len(self.changes)]:
            for side, changed in zip((bids, asks), change, strict=True):
                for price, size in changed.items():
                    if float(size):
                        side[price] = size
                    else:
                        side.pop(price, None)
        return (
            sorted(bids.items(), key=lambda level: -float(level[0])),
            sorted(asks.items(), key=lambda level: float(level[0])),
        )


@dataclass(slots=True)
class LoadMarket:
    """One market as the server plays it."""

    code: bytes
    template: Template
    step: int
    last_id: int = FIRST_ID
    trades: int = 0
    at_us: int = 0
    """When the last update was due."""
    flips_us: list[tuple[int, bool]] | None = None
    """Of a flickering market: when the frame was made by which its makers left (True) or came back."""
    listeners: dict[str, list[object]] = field(default_factory=dict)
    """By kind of stream."""

    def depth(self, due_us: int) -> bytes:
        """The next diff as a WebSocket frame; ``due_us`` is Unix time."""
        previous = self.last_id
        self.last_id = last_id = max(due_us - EPOCH_US + FIRST_ID, previous + 1)
        self.at_us = due_us
        at_ms = due_us // 1_000
        body = self.template.bodies[self.step]
        if self.flips_us is not None and self.step % FLICKER_STEPS == 0:
            # Not when it was due: a server that is late must not be counted as a slow guard.
            self.flips_us.append((time.time_ns() // 1_000, self.step == 0))
        self.step += 1
        if self.step == len(self.template.bodies):
            self.step = 0
        return framed(_DEPTH % (at_ms, at_ms, self.code, previous + 1, last_id, previous, body))

    def trade(self, due_us: int) -> bytes:
        self.trades += 1
        at_ms, number, price = due_us // 1_000, self.trades, self.template.touch
        maker = b"true" if number % 2 else b"false"
        size = b"0.05"
        return framed(_TRADE % (at_ms, number, self.code, price, size, size, number, number, at_ms, maker))

    def mark(self, due_us: int) -> bytes:
        at_ms, price = due_us // 1_000, self.template.touch
        return framed(_MARK % (at_ms, self.code, price, price, price, at_ms + 3_600_000))


EPOCH_US = 1_760_000_000_000_000
"""Update numbers count from here, so that they have as many digits as Binance's."""


def lag_us(last_id: int, now_us: int) -> int:
    """How long ago the update of this number was due."""
    return now_us - (last_id - FIRST_ID + EPOCH_US)


def framed(payload: bytes) -> bytes:
    """A text frame as a server sends it.

    >>> framed(b"{}")
    b'\\x81\\x02{}'
    """
    size = len(payload)
    if size < 126:
        return b"\x81" + bytes((size,)) + payload
    if size < 65_536:
        return b"\x81\x7e" + struct.pack(">H", size) + payload
    return b"\x81\x7f" + struct.pack(">Q", size) + payload


def make_templates(seed: int, levels: int = LEVELS) -> list[Template]:
    """The price series of a run."""
    return [
        _cycle(make_frames(FORWARD, seed * 1_000 + number, levels), decimals)
        for number, decimals in enumerate(DECIMALS[:TEMPLATES])
    ]


def make_markets(count: int, seed: int, levels: int = LEVELS) -> list[LoadMarket]:
    """Markets called M0000USDT, M0001USDT ... ."""
    templates = make_templates(seed, levels)
    cycle = 2 * FORWARD
    return [
        LoadMarket(b"M%04dUSDT" % number, templates[number % TEMPLATES], number * 7 % cycle)
        for number in range(count)
    ]


def make_flickering() -> Template:
    """A steady price whose book loses nine tenths of its depth, and gets it back, over and over."""
    full: Sides = (
        {f"{60_000.0 - 0.5 - 5.0 * index:.2f}": "2.000" for index in range(FLICKER_LEVELS)},
        {f"{60_000.0 + 0.5 + 5.0 * index:.2f}": "2.000" for index in range(FLICKER_LEVELS)},
    )

    def whole(size: str) -> Sides:
        return dict.fromkeys(full[0], size), dict.fromkeys(full[1], size)

    def part(number: int, size: str) -> Sides:
        first = 20 + number % 50
        names = [list(side)[first : first + 15] for side in full]
        return dict.fromkeys(names[0], size), dict.fromkeys(names[1], size)

    steady = range(FLICKER_STEPS - 1)
    changes = [whole("0.200"), *(part(number, f"0.2{number:02d}") for number in steady)]
    changes += [whole("2.000"), *(part(number, f"2.0{number:02d}") for number in steady)]
    # What the last phase left uneven is made even by the next whole change.
    return Template(full, changes, [_body(change) for change in changes], b"60000.00")


def _cycle(frames: Frames, decimals: int) -> Template:
    scale = 10.0 ** -(decimals - 2)

    def text(price: float) -> str:
        return f"{price * scale:.{decimals}f}"

    def side(levels: list[list[float]]) -> dict[str, str]:
        return {text(price): f"{size:.3f}" for price, size in levels}

    opening: Sides = (side(frames.bids), side(frames.asks))
    now = (dict(opening[0]), dict(opening[1]))
    forward: list[Sides] = []
    back: list[Sides] = []
    for update in frames.updates:
        change = (side(update.bids), side(update.asks))
        back.append(
            (
                {price: now[0].get(price, "0.000") for price in change[0]},
                {price: now[1].get(price, "0.000") for price in change[1]},
            )
        )
        forward.append(change)
        for held, changed in zip(now, change, strict=True):
            held.update(changed)
    changes = [*forward, *reversed(back)]
    touch = text(frames.bids[0][0]).encode()
    return Template(opening, changes, [_body(change) for change in changes], touch)


def _body(change: Sides) -> bytes:
    bids, asks = (",".join(f'["{price}","{size}"]' for price, size in side.items()) for side in change)
    return f'"b":[{bids}],"a":[{asks}]}}'.encode()
