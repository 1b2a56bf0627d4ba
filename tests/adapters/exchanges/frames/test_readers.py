"""What readers of raw frames take, what they decline, and what they say about it."""

from __future__ import annotations

import json
from itertools import islice
from typing import Any

import pytest

from adapters.exchanges.frames import DECLINED, TAKEN, FrameReader
from adapters.exchanges.repeats import KEPT
from guard.events import BookStatus
from guard.market.book import Side
from guard.market.live import NEVER, LiveBook
from tests.adapters.exchanges.frames.corpus import CODES, VENUES, Snapshot, run
from tests.adapters.exchanges.frames.readers import IMPLEMENTATIONS, make_live, make_reader

pytestmark = pytest.mark.parametrize("name", IMPLEMENTATIONS)


def depth(code: str = "BTCUSDT", previous: int = 10, last: int = 12, **more: Any) -> str:
    body = {"e": "depthUpdate", "E": 5, "T": 4, "s": code, "U": previous + 1, "u": last, "pu": previous}
    return json.dumps({"stream": "x", "data": body | {"b": [["98.5", "2"]], "a": [["102", "0"]]} | more})


def trade(number: int, code: str = "BTCUSDT", **more: Any) -> str:
    body = {"e": "aggTrade", "E": 5, "s": code, "a": number, "p": "100", "q": "0.5", "T": 4, "m": False}
    return json.dumps(body | more)


def armed(name: str, last_id: int = 10) -> LiveBook:
    live = make_live(name)()
    live.book.load([["99", "5"]], [["101", "5"], ["102", "1"]])
    live.applied(1, NEVER)
    live.sampled(live.book.status())
    live.arm(last_id)
    return live


def reader_of(name: str, live: LiveBook, code: str = "BTCUSDT", venue: str = "binanceusdm") -> FrameReader:
    reader = make_reader(name, venue)
    reader.add_book(code, 7, live)
    reader.add_trades(code, 7, live)
    return reader


def test_a_diff_that_follows_is_applied(name: str) -> None:
    live = armed(name)
    reader = reader_of(name, live)
    assert reader.take(depth(), 1_000) == TAKEN
    assert [array.tolist() for array in live.book.side(Side.BID)] == [[99.0, 98.5], [5.0, 2.0]]
    assert [array.tolist() for array in live.book.side(Side.ASK)] == [[101.0], [5.0]]
    assert (live.last_id, live.book_at, live.exchange_at, live.updates) == (12, 1_000, 4_000_000, 1)
    assert live.take_book_heard().updates == 1
    assert (reader.taken, reader.declined) == (1, 0)


class Text(str):
    """A text that is not exactly a ``str``."""

    __slots__ = ()


@pytest.mark.parametrize("as_what", [str, Text, str.encode, lambda text: bytearray(text.encode())])
def test_frames_come_as_text_or_bytes(name: str, as_what: Any) -> None:
    live = armed(name)
    reader = reader_of(name, live)
    assert reader.take(as_what(depth()), 1) == TAKEN
    assert reader.take(memoryview(depth(previous=12, last=13).encode()), 1) == TAKEN


@pytest.mark.parametrize("frame", [5, None, ["{}"]])
def test_what_is_no_frame_at_all_is_an_error_or_declined(name: str, frame: Any) -> None:
    reader = reader_of(name, armed(name))
    try:
        assert reader.take(frame, 1) == DECLINED
    except TypeError:
        assert name == "compiled"


@pytest.mark.parametrize(
    ("frame", "why"),
    [
        (depth("ETHUSDT"), "another market"),
        (depth(previous=9), "an update was lost"),
        (depth(previous=10, last=10), "it stands still"),
        (depth(previous=10, last=9), "it goes back"),
        (depth(b=[["99.5"]]), "half a level"),
        (depth(b=[["99.5", "-1"]]), "a negative size"),
        (depth(b=[["0", "1"]]), "no price"),
        (depth(b=[["nan", "1"]]), "no number"),
        (depth(a=None), "no side"),
        (depth(u="x"), "no number of the update"),
        (depth(e="markPriceUpdate"), "another event"),
        (depth() + "}", "something after it"),
        (depth()[:-1], "its end is missing"),
    ],
)
def test_what_is_not_plain_is_declined_and_changes_nothing(name: str, frame: str, why: str) -> None:
    live = armed(name)
    reader = reader_of(name, live)
    assert reader.take(frame, 1_000) == DECLINED, why
    assert (live.book.best_bid(), live.last_id, live.updates, live.changed) == ((99.0, 5.0), 10, 0, False)
    assert live.take_book_heard().updates == 0
    assert (reader.taken, reader.declined) == (0, 1)


def test_a_book_that_is_not_armed_takes_nothing(name: str) -> None:
    live = armed(name)
    reader = reader_of(name, live)
    live.disarm()
    assert reader.take(depth(), 1) == DECLINED
    live.arm(10)
    assert reader.take(depth(), 1) == TAKEN


def test_a_book_that_turns_is_reported_and_one_that_is_observed_always(name: str) -> None:
    live = armed(name)
    reader = reader_of(name, live)
    assert reader.take(depth(b=[["100.9", "1"]]), 1) == 7
    live.sampled(BookStatus.OK)
    quiet = depth(previous=12, last=13, b=[["98", "1"]], a=[])
    assert reader.take(quiet, 1) == TAKEN
    reader.observed = True
    assert reader.take(depth(previous=13, last=14, b=[["98", "2"]], a=[]), 1) == 7


def test_a_trade_counts_once_by_its_taker(name: str) -> None:
    live = armed(name)
    reader = reader_of(name, live)
    for frame in (trade(1), trade(1), trade(2, m=True, q="2"), trade(3, X="INSURANCE_FUND"), trade(1)):
        assert reader.take(frame, 9) == TAKEN
    assert (live.buy_usd, live.sell_usd) == (50.0, 200.0)
    assert live.take_trades_heard().updates == 2


def test_trades_of_both_kinds_are_numbered_apart(name: str) -> None:
    live = armed(name)
    reader = reader_of(name, live)
    reader.take(trade(1), 1)
    assert reader.take(json.dumps(json.loads(trade(1, e="trade", t=1)) | {"a": 5}), 1) == TAKEN
    assert live.buy_usd == 100.0


def test_both_ways_share_one_memory_of_trades(name: str) -> None:
    live = armed(name)
    reader = reader_of(name, live)
    reader.take(trade(1), 1)
    assert reader.is_repeat("BTCUSDT", 1, "aggTrade")
    assert not reader.is_repeat("BTCUSDT", 2, "aggTrade")
    assert not reader.is_repeat("BTCUSDT", 2, "trade")
    assert reader.take(trade(2), 1) == TAKEN
    assert live.buy_usd == 50.0


def test_names_that_are_texts_are_shared_too(name: str) -> None:
    reader, live = make_reader(name, "okx"), armed(name)
    reader.add_trades("BTC-USDT-SWAP", 0, live, contract_size=0.01)
    row = {"tradeId": "77é", "px": "100", "sz": "3", "side": "sell", "ts": "1"}
    frame = json.dumps(
        {"arg": {"channel": "trades", "instId": "BTC-USDT-SWAP"}, "data": [row]}, ensure_ascii=False
    )
    assert reader.take(frame, 1) == TAKEN
    assert live.sell_usd == 100.0 * 3.0 * 0.01
    assert reader.is_repeat("BTC-USDT-SWAP", "77é")
    assert not reader.is_repeat("BTC-USDT-SWAP", "77e")
    assert [reader.is_repeat("BTC-USDT-SWAP", name) for name in (77, 2.5, None, 2.5)] == [
        False,
        False,
        False,
        True,
    ]


def test_as_many_names_are_remembered_as_the_long_way_remembers(name: str) -> None:
    live = armed(name)
    reader = reader_of(name, live)
    for number in range(KEPT + 1):
        reader.take(trade(number), 1)
    assert live.buy_usd == 50.0 * (KEPT + 1)
    assert reader.is_repeat("BTCUSDT", 1, "aggTrade")
    assert not reader.is_repeat("BTCUSDT", 0, "aggTrade")


def test_what_is_dropped_is_declined_and_its_trades_stay_known(name: str) -> None:
    live = armed(name)
    reader = reader_of(name, live)
    reader.take(trade(1), 1)
    reader.drop_trades("BTCUSDT")
    assert (reader.take(trade(2), 1), reader.take(depth(), 1)) == (DECLINED, TAKEN)
    reader.drop("BTCUSDT")
    reader.drop("NEVER_ADDED")
    assert reader.take(depth(previous=12, last=13), 1) == DECLINED
    reader.add_trades("BTCUSDT", 7, live)
    assert reader.take(trade(1), 1) == TAKEN
    assert live.buy_usd == 50.0


def test_contracts_become_base_units(name: str) -> None:
    inverse, live = make_reader(name, "binancecoinm"), armed(name)
    inverse.add_book("BTCUSD_PERP", 0, live, contract_size=100.0)
    inverse.add_trades("BTCUSD_PERP", 0, live, contract_size=100.0)
    assert inverse.take(depth("BTCUSD_PERP", b=[["50", "7"]], a=[]), 1) == TAKEN
    assert live.book.side(Side.BID)[1].tolist()[-1] == 7.0 * 100.0 / 50.0
    inverse.take(trade(1, "BTCUSD_PERP"), 1)
    assert live.buy_usd == pytest.approx(50.0)


@pytest.mark.parametrize("venue", VENUES)
def test_a_size_that_is_too_large_in_base_units_is_declined(name: str, venue: str) -> None:
    if venue != "okx":
        return
    reader, live = make_reader(name, venue), armed(name)
    reader.add_book("X", 0, live, contract_size=1e6)
    row = {"asks": [["101", "1e13", "0", "1"]], "bids": [], "ts": "1", "prevSeqId": 10, "seqId": 11}
    frame = {"arg": {"channel": "books", "instId": "X"}, "action": "update", "data": [row]}
    assert reader.take(json.dumps(frame), 1) == DECLINED
    row["asks"] = [["101", "1e12", "0", "1"]]
    assert reader.take(json.dumps(frame), 1) == TAKEN


def test_more_levels_than_a_book_holds_are_declined(name: str) -> None:
    live = armed(name)
    reader = reader_of(name, live)
    levels = [[f"{price / 100}", "0"] for price in range(1, 4098)]
    if name == "compiled":
        assert reader.take(depth(b=levels), 1) == DECLINED
        assert live.book.best_bid() == (99.0, 5.0)
    assert reader.take(depth(b=levels[1:]), 1) == TAKEN


def test_more_trades_than_any_venue_tells_at_once_are_declined(name: str) -> None:
    reader, live = make_reader(name, "bybit"), armed(name)
    reader.add_trades("BTCUSDT", 0, live)
    row = {"S": "Buy", "v": "1", "p": "2", "BT": False}
    rows = [row | {"i": f"{number}"} for number in range(1_025)]
    frame = {"topic": "publicTrade.BTCUSDT", "type": "snapshot", "ts": 1}
    if name == "compiled":
        assert reader.take(json.dumps(frame | {"data": rows}), 1) == DECLINED
        assert live.buy_usd == 0.0
    assert reader.take(json.dumps(frame | {"data": rows[1:]}), 1) == TAKEN
    assert live.buy_usd == 2.0 * 1_024


def test_many_markets_are_kept_apart(name: str) -> None:
    reader = make_reader(name, "binanceusdm")
    lives = [armed(name) for _ in range(600)]
    reader.observed = True
    for index, live in enumerate(lives):
        reader.add_book(f"C{index}USDT", index, live)
    assert all(reader.take(depth(f"C{index}USDT"), 1) == index for index in range(0, 600, 7))
    assert [live.last_id for live in lives] == [12 if index % 7 == 0 else 10 for index in range(600)]


@pytest.mark.parametrize(
    ("index", "size"), [(-1, 1.0), (0, 0.0), (0, -1.0), (0, float("nan")), (0, float("inf"))]
)
def test_a_market_that_makes_no_sense_is_refused(name: str, index: int, size: float) -> None:
    reader = make_reader(name, "okx")
    with pytest.raises(ValueError, match="index" if index < 0 else "contract"):
        reader.add_book("X", index, armed(name), contract_size=size)
    with pytest.raises(ValueError, match="index" if index < 0 else "contract"):
        reader.add_trades("X", index, armed(name), contract_size=size)


def test_one_of_64_frames_is_measured(name: str) -> None:
    live = armed(name)
    reader = reader_of(name, live)
    for number in range(130):
        assert reader.take(depth(previous=10 + number, last=11 + number), 1) != DECLINED
    timings = reader.drain_timings()
    assert (len(timings.decode_ns), len(timings.apply_ns)) == (3, 3)
    assert min(timings.decode_ns) > 0
    assert min(timings.apply_ns) > 0
    assert reader.drain_timings() == ([], [])


@pytest.mark.parametrize("venue", VENUES)
def test_both_readers_answer_alike(name: str, venue: str) -> None:
    """But for escapes, which the compiled one does not read."""
    answers = []
    for each in (name, "python"):
        reader, lives = make_reader(each, venue), {}
        for index, (code, size) in enumerate(CODES[venue].items()):
            lives[code] = armed(each)
            reader.add_book(code, index, lives[code], contract_size=size)
            reader.add_trades(code, index, lives[code], contract_size=size)
        told = []
        for item in islice(run(venue, 3), 80):
            if isinstance(item, Snapshot):
                lives[item.code].book.load(item.bids, item.asks)
                lives[item.code].arm(item.last_id)
            elif "\\" not in item:
                told.append(reader.take(item, 1))
        answers.append(told)
    assert answers[0] == answers[1]
    assert len(set(answers[0])) > 1
