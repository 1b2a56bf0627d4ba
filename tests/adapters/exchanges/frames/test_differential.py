"""The short way and the long way of the same frames end with the same books, flows and counts, frame by frame."""

from __future__ import annotations

import gzip
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import msgspec
import pytest

from adapters.exchanges.frames import DECLINED, TAKEN, FrameReader
from tests.adapters.exchanges.frames.corpus import (
    CODES,
    VENUES,
    Item,
    Snapshot,
    documented,
    feed,
    run,
    spelled,
)
from tests.adapters.exchanges.frames.long_way import LongWay, assert_equal
from tests.adapters.exchanges.frames.readers import IMPLEMENTATIONS, make_live, make_reader, make_way

_SHORT = (
    ("usdm_btcusdt_20230404.dat.gz", "BTCUSDT", 6_500),
    ("usdm_ethusdt_20240718.gz", "ETHUSDT", 4_900),
)
_LONG = ("usdm_btcusdt_20240808.gz", "BTCUSDT", 27_800)
RECORDINGS = [
    *(("compiled", *recording) for recording in (*_SHORT, _LONG)),
    *(("python", *recording) for recording in _SHORT),
]
"""Reader, file, its market, and at least how many frames of it must be taken."""


def hold_equal(fast: LongWay, slow: LongWay, items: Iterator[Item]) -> Counter[str]:
    """Feed both and compare after each frame; how many the reader took, and what of."""
    seen: Counter[str] = Counter()
    for at, item in enumerate(items):
        answer = feed(fast, item, at * 1_000)
        feed(slow, item, at * 1_000)
        assert_equal(fast, slow)
        seen["declined" if answer == DECLINED else "taken"] += answer is not None
        seen["reported"] += answer is not None and answer >= 0
    return seen


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("venue", VENUES)
@pytest.mark.parametrize("name", IMPLEMENTATIONS)
def test_runs_with_repeats_and_gaps(name: str, venue: str, seed: int) -> None:
    fast, slow = make_way(name, venue), LongWay(venue, CODES[venue])
    seen = hold_equal(fast, slow, run(venue, seed, 250))
    assert seen["taken"] > seen["declined"]
    assert slow.verdicts["malformed"] < 20


@pytest.mark.parametrize("venue", VENUES)
@pytest.mark.parametrize("name", IMPLEMENTATIONS)
def test_every_documented_frame(name: str, venue: str) -> None:
    opening = Snapshot(next(iter(CODES[venue])), 1, [["1", "1"]], [["2", "1"]])
    fast, slow = make_way(name, venue), LongWay(venue, CODES[venue])
    hold_equal(fast, slow, iter([opening, *documented(venue) * 2]))


@pytest.mark.parametrize(("code", "path"), [("BTC", "hyperliquid"), ("BTCUSDT", "bybit")])
def test_documented_trades_are_taken(code: str, path: str) -> None:
    way = make_way("python", path)
    assert [way.take(frame, 1) for frame in documented(path)].count(TAKEN) == 1
    assert way.markets[code].live.changed


def _recorded(path: Path, code: str) -> Iterator[Item]:
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            for line in file:
                frame = line.partition(" ")[2].strip()
                if '"lastUpdateId"' in frame:
                    told = msgspec.json.decode(frame)
                    yield Snapshot(code, told["lastUpdateId"], told["bids"], told["asks"])
                elif frame:
                    yield frame
    except (EOFError, zlib.error):
        return


@pytest.mark.slow
@pytest.mark.parametrize(("name", "file", "code", "taken_min"), RECORDINGS)
def test_all_recorded_frames(shared_data: Path, name: str, file: str, code: str, taken_min: int) -> None:
    fast, slow = make_way(name, "binanceusdm", {code: 1.0}), LongWay("binanceusdm", {code: 1.0})
    taken = 0
    for at, item in enumerate(_recorded(shared_data / "binance_ws" / file, code)):
        if isinstance(item, Snapshot):
            joined = [way.join(code, item.last_id, item.bids, item.asks) for way in (fast, slow)]
            assert joined == [True, True]
            continue
        taken += fast.take(item, at) != DECLINED
        slow.take(item, at)
        if '"depthUpdate"' in item:
            assert_equal(fast, slow)
        else:  # thrice as many, and none of them touches a level
            told, expected = (way.markets[code].live for way in (fast, slow))
            assert (told.buy_usd, told.sell_usd) == (expected.buy_usd, expected.sell_usd)
    assert_equal(fast, slow)
    assert taken >= taken_min
    assert slow.markets[code].live.book.best_bid() is not None


# That the comparison can fail


@dataclass
class _Wrong:
    """A reader that is wrong in one way: of every tenth frame that was declined it says that it took it."""

    reader: FrameReader
    calls: int = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self.reader, name)

    def take(self, frame: str, at: int) -> int:
        self.calls += 1
        answer = self.reader.take(frame, at)
        return TAKEN if answer == DECLINED and self.calls % 10 == 0 else answer


class _Forgetful(_Wrong):
    """A reader that counts every twentieth trade or diff a second time, where it can."""

    def take(self, frame: str, at: int) -> int:
        self.calls += 1
        answer = self.reader.take(frame, at)
        if self.calls % 20 == 0:
            return self.reader.take(frame.replace("9", "8"), at)
        return answer


@pytest.mark.parametrize("wrong", [_Wrong, _Forgetful])
def test_a_wrong_reader_is_found_out(wrong: Callable[[FrameReader], FrameReader]) -> None:
    reader = wrong(make_reader("python", "bybit"))
    fast = LongWay("bybit", CODES["bybit"], reader, make_live("python"))
    with pytest.raises(AssertionError):
        hold_equal(fast, LongWay("bybit", CODES["bybit"]), run("bybit", 1, 400))


def test_a_level_off_by_the_last_bit_is_found_out() -> None:
    fast, slow = make_way("python", "binanceusdm"), LongWay("binanceusdm", CODES["binanceusdm"])
    opening = Snapshot("BTCUSDT", 1, [["1", "1"], ["0.5", "1"]], [["2", "1"]])
    off = Snapshot("BTCUSDT", 1, [["1", "1"], ["0.5", "1.0000000000000002"]], [["2", "1"]])
    feed(fast, opening, 1)
    feed(slow, off, 1)
    with pytest.raises(AssertionError):
        assert_equal(fast, slow)


def test_ways_of_spelling_mean_the_same() -> None:
    frame = {"a": [{"b": "1", "c": [["2", "3"]]}], "d": "币"}
    assert all(msgspec.json.decode(spelled(frame, Random(seed))) == frame for seed in range(50))
