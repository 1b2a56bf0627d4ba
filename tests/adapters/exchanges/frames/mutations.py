"""Frames that went wrong on their way: bytes flipped, cut, doubled, numbers and words in each other's place."""

from __future__ import annotations

import re
from dataclasses import dataclass
from random import Random
from typing import Any

from adapters.exchanges.frames import DECLINED, FrameReader
from guard.market.book import Side
from tests.adapters.exchanges.frames.corpus import CODES, Snapshot, feed, run
from tests.adapters.exchanges.frames.long_way import LongWay, Market, assert_equal, state_of
from tests.adapters.exchanges.frames.readers import make_live, make_reader

WORDS = (
    *(
        "null",
        "true",
        "false",
        "NaN",
        "Infinity",
        "-1",
        "-0",
        "0",
        "1",
        "1.5",
        "1e3",
        "1E400",
        "01",
        "+1",
        "{}",
        "[]",
    ),
    *(
        '""',
        '"0"',
        '"-0"',
        '"-1"',
        '"nan"',
        '"inf"',
        '"1e400"',
        '"1e-400"',
        '"1_0"',
        '" 1 "',
        '"1."',
        '".5"',
        '"٣"',
    ),
    *(
        '"1e18"',
        '"1000000000000000001"',
        '"0.1e-7"',
        '"123456789012345678901234567890"',
        '"0x1p3"',
        '"5e-324"',
    ),
    *(
        "9223372036854775807",
        "9223372036854775808",
        "99999999999999999999999",
        '"BTCUSDT"',
        '"MARKET"',
        '"delta"',
    ),
    *('"snapshot"', '"\\u0062"', '"\\"', '"😀"'),
    *(
        "[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]",
        '{"e":"depthUpdate"}',
        '[["1","2"]]',
        '[["1","2","3"]]',
        '[["1"]]',
    ),
    *('[["1",2]]', "[[1,2]]", '["1","2"]', '[[true,"1"]]', '[["1","2"],]', '[["1","2"] ["1","2"]]'),
)
_VALUE = re.compile(r'"[^"]*"(?!\s*:)|-?\d+(?:\.\d+)?|true|false|null|\[\]')
_MEMBER = re.compile(r'("\w+"\s*:\s*)("[^"]*"|-?\d+|true|false)')
_BYTES = b'{}[]":,\\0123456789eE.+-tfn \x00\x1f\x7f\x80\xc3\xff\n'


def mutated(frame: str, rng: Random) -> bytes:
    """Do one to three things to a frame."""
    raw = frame.encode()
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        raw = rng.choice((_flip, _cut, _double, _truncate, _value, _value, _value, _member, _swap))(raw, rng)
    return raw


def _span(raw: bytes, rng: Random) -> tuple[int, int]:
    start = rng.randrange(len(raw) + 1)
    return start, min(len(raw), start + rng.choice((1, 1, 2, 5, 30)))


def _flip(raw: bytes, rng: Random) -> bytes:
    start, _ = _span(raw, rng)
    return raw[:start] + bytes([rng.choice(_BYTES)]) + raw[start + rng.randrange(2) :]


def _cut(raw: bytes, rng: Random) -> bytes:
    start, end = _span(raw, rng)
    return raw[:start] + raw[end:]


def _double(raw: bytes, rng: Random) -> bytes:
    start, end = _span(raw, rng)
    return raw[:end] + raw[start:]


def _truncate(raw: bytes, rng: Random) -> bytes:
    return raw[: rng.randrange(len(raw) + 1)]


def _value(raw: bytes, rng: Random) -> bytes:
    """Put a word where a value is."""
    found = list(_VALUE.finditer(raw.decode(errors="replace")))
    if not found:
        return raw
    shown, place = raw.decode(errors="replace"), rng.choice(found)
    return (shown[: place.start()] + rng.choice(WORDS) + shown[place.end() :]).encode(errors="replace")


def _member(raw: bytes, rng: Random) -> bytes:
    """Tell a key twice, with the same value or another, here or elsewhere."""
    shown = raw.decode(errors="replace")
    found = list(_MEMBER.finditer(shown))
    if not found:
        return raw
    told, place = rng.choice(found), rng.choice(found)
    value = rng.choice((told.group(2), rng.choice(WORDS)))
    return (shown[: place.start()] + told.group(1) + value + "," + shown[place.start() :]).encode(
        errors="replace"
    )


def _swap(raw: bytes, rng: Random) -> bytes:
    """Exchange two values."""
    shown = raw.decode(errors="replace")
    found = list(_VALUE.finditer(shown))
    if len(found) < 2:
        return raw
    first, second = sorted(rng.sample(found, 2), key=re.Match.start)
    between = shown[first.end() : second.start()]
    return (shown[: first.start()] + second.group() + between + first.group() + shown[second.end() :]).encode(
        errors="replace"
    )


@dataclass
class Watched:
    """A reader of which nothing may change by what it declines."""

    reader: FrameReader
    markets: dict[str, Market]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.reader, name)

    def take(self, frame: str | bytes | bytearray | memoryview, received_at: int) -> int:
        before = self._all()
        answer = self.reader.take(frame, received_at)
        if answer == DECLINED:
            assert self._all() == before
        return answer

    def _all(self) -> object:
        lives = [market.live for market in self.markets.values()]
        sides = [[array.tolist() for array in live.book.side(side)] for live in lives for side in Side]
        return sides, [state_of(live) for live in lives]


def play(name: str, venue: str, seed: int, steps: int = 14) -> tuple[int, int]:
    """Play a run with mutated frames between; how many of those were taken and declined.

    Raises:
        AssertionError: the reader and the long way differ, or what was declined changed something.
    """
    rng = Random(seed)
    reader = make_reader(name, venue)
    fast, slow = LongWay(venue, CODES[venue], reader, make_live(name)), LongWay(venue, CODES[venue])
    fast.watch(Watched(reader, fast.markets))
    items, taken, declined = list(run(venue, seed, steps)), 0, 0
    begun = [item for item in items if isinstance(item, Snapshot)]
    for at, item in enumerate(items):
        if isinstance(item, str):
            raw = mutated(item, rng)
            frame = raw if rng.random() < 0.3 else raw.decode(errors="replace")
            answer = fast.take(frame, at * 10)
            slow.take(frame, at * 10)
            taken, declined = taken + (answer != DECLINED), declined + (answer == DECLINED)
            assert_equal(fast, slow)
        feed(fast, item, at * 10 + 1)
        feed(slow, item, at * 10 + 1)
        assert_equal(fast, slow)
        if rng.random() < 0.2:  # what a mutation has broken is made whole again
            again = rng.choice(begun)
            for way in (fast, slow):
                feed(way, again, at)
    return taken, declined
