"""Books of ours in the hands of ccxt's handlers hold what ccxt's own would hold."""

from __future__ import annotations

import copy
import json
import math
from collections import defaultdict
from random import Random
from typing import Any

import pytest
from ccxt.async_support.base.ws.order_book import OrderBook

from adapters.exchanges.ccxt_client import tapped_class
from adapters.exchanges.generic.native_book import (
    ExoticUseError,
    NativeBooks,
    NativeSide,
    is_exotic,
    version_of,
)
from adapters.exchanges.generic.payloads import Contract, read_book
from guard.errors import MalformedFrameError

SYMBOL = "BTC/USDT:USDT"


class Factory(NativeBooks):
    """The factory alone."""


def both(snapshot: dict[str, Any] | None = None, depth: int | None = None) -> tuple[Any, Any]:
    told = snapshot or {}
    return Factory().order_book(copy.deepcopy(told), depth), OrderBook(copy.deepcopy(told), depth)


def plain(book: Any) -> dict[str, Any]:
    """All that a book says, by the ways that ccxt's handlers look at one."""
    told = {key: book[key] for key in ("nonce", "timestamp", "datetime", "symbol")}
    for name in ("bids", "asks"):
        side = book[name]
        told[name] = [list(level) for level in side]
        assert len(side) == len(told[name])
        assert [list(side[at]) for at in range(len(side))] == told[name]
        assert [list(level) for level in side[:3]] == told[name][:3]
    return told


@pytest.mark.parametrize("depth", [None, 5, 30])
@pytest.mark.parametrize("seed", range(8))
def test_it_ends_where_ccxts_own_does_whatever_is_stored(seed: int, depth: int | None) -> None:
    rng = Random(seed)
    ours, theirs = both({"symbol": SYMBOL}, depth)
    for step in range(300):
        name = rng.choice(("bids", "asks"))
        price = (100.0 - rng.randrange(60) / 4) if name == "bids" else (100.25 + rng.randrange(60) / 4)
        size = rng.choice((0.0, 0, rng.random(), 3))
        told = {
            "bids": [[99.0 - at, rng.random() + 0.1] for at in range(rng.randrange(8))],
            "asks": [[101.0 + at, rng.random() + 0.1] for at in range(rng.randrange(8))],
            "nonce": step,
            "timestamp": 1_700_000_000_000 + step,
            "symbol": SYMBOL,
        }
        what, age = rng.randrange(40), rng.choice((0, 100))
        for book in (ours, theirs):
            if what == 0:
                book.reset(copy.deepcopy(told))
            elif what == 1:
                book.update(copy.deepcopy(told | {"nonce": step - age}))
            elif what < 20:
                book[name].store(price, size)
            else:
                book[name].storeArray([price, size])
            book["nonce"] = step
        if rng.random() < 0.4:
            assert ours.limit() is ours
            theirs.limit()
            assert plain(ours) == plain(theirs)
    theirs.limit()
    assert plain(ours.limit()) == plain(theirs)
    assert ours.copy()["bids"] == list(theirs["bids"])
    assert ours.cache == theirs.cache == []


def test_levels_are_read_in_base_units_without_lists_and_a_change_shows() -> None:
    ours, theirs = both({"symbol": SYMBOL, "bids": [[99.0, 5.0]], "asks": [[101.0, 4.0], [102.0, 1.0]]})
    for contract in (Contract(SYMBOL, 0.1, is_inverse=False), Contract(SYMBOL, 10.0, is_inverse=True)):
        fast, slow = read_book(ours, contract), read_book(theirs, contract)
        for name in ("bids", "asks"):
            mine, its = getattr(fast, name).tolist(), getattr(slow, name)
            assert all(
                math.isclose(a, b)
                for one, two in zip(mine, its, strict=True)
                for a, b in zip(one, two, strict=True)
            )
    before = version_of(ours)
    assert version_of(ours) == before
    ours["bids"].store(98.0, 1.0)
    assert version_of(ours) != before
    assert version_of(theirs) is None


def test_what_cannot_be_a_level_is_refused_and_nothing_else_is_lost() -> None:
    ours, _ = both({"bids": [[99.0, 5.0]], "asks": [[101.0, 4.0]]})
    ours["bids"].store(float("nan"), 1.0)
    with pytest.raises(MalformedFrameError):
        ours.limit()
    assert list(ours["bids"]) == [[99.0, 5.0]]
    with pytest.raises(MalformedFrameError):
        ours.reset({"bids": [[None, 1.0]], "asks": []})


@pytest.mark.parametrize(
    "use",
    [
        lambda book: book["bids"].append([1.0, 1.0]),
        lambda book: book["bids"].__setitem__(0, [1.0, 1.0]),
        lambda book: book["asks"].pop(),
        lambda book: book.__setitem__("bids", []),
        lambda book: sorted(book["bids"] + book["asks"]),
    ],
)
def test_what_a_list_could_do_besides_is_refused_and_known_as_such(use: Any) -> None:
    ours, _ = both({"bids": [[99.0, 5.0]], "asks": [[101.0, 4.0]]})
    with pytest.raises((ExoticUseError, TypeError)) as refused:
        use(ours)
    assert is_exotic(refused.value)
    assert not is_exotic(TypeError("a frame that ccxt cannot read"))


class Socket:
    """As much of a socket as handlers of books ask for."""

    def __init__(self) -> None:
        self.url = "wss://venue/public"
        self.subscriptions: dict[str, Any] = defaultdict(dict)
        self.futures: dict[str, Any] = {}
        self.rejected: list[Any] = []

    def resolve(self, result: Any, name: str) -> None: ...

    def reject(self, error: Any, name: str) -> None:
        self.rejected.append(error)


def a_client(venue: str, *, native: bool) -> Any:
    made = tapped_class(venue, NativeBooks)()
    made.has_native_books = native
    return made


def listed(made: Any, code: str, symbol: str = SYMBOL) -> None:
    kind = {
        "type": "swap",
        "swap": True,
        "contract": True,
        "linear": True,
        "inverse": False,
        "contractSize": 1.0,
    }
    others = dict.fromkeys(("spot", "future", "option", "margin"), False)
    names = {
        "base": "BTC",
        "quote": "USDT",
        "settle": "USDT",
        "baseId": "BTC",
        "quoteId": "USDT",
        "settleId": "USDT",
    }
    limits = {"precision": {"price": 0.1, "amount": 0.001}, "limits": {}, "info": {}, "active": True}
    market = {"id": code, "symbol": symbol, **names, **kind, **others, **limits}
    made.set_markets([market])


def levels(rng: Random, sign: int, count: int, *, extra: tuple[str, ...] = ()) -> list[list[str]]:
    at = {round(60_000 + sign * 0.1 * rng.randrange(1, 80), 1) for _ in range(count)}
    return [[str(price), rng.choice(("0", f"{rng.random():.3f}")), *extra] for price in sorted(at)]


def whole(rng: Random, sign: int, *, extra: tuple[str, ...] = ()) -> list[list[str]]:
    return [
        [str(round(60_000 + sign * 0.1 * at, 1)), f"{rng.random() + 0.1:.3f}", *extra] for at in range(1, 60)
    ]


def okx_frames(rng: Random) -> list[Any]:
    frames, extra = [], ("0", "3")
    for number in range(60):
        make = whole if number in (0, 40) else levels
        sizes = () if make is whole else (6,)
        row = {
            "bids": make(rng, -1, *sizes, extra=extra),
            "asks": make(rng, 1, *sizes, extra=extra),
            "ts": str(1_700_000_000_000 + number),
            "checksum": 0,
            "prevSeqId": -1 if make is whole else number + 99,
            "seqId": number + 100,
            "instId": "BTC-USDT-SWAP",
        }
        action = "snapshot" if make is whole else "update"
        frames.append(
            {"arg": {"channel": "books", "instId": "BTC-USDT-SWAP"}, "action": action, "data": [row]}
        )
    return frames


def bybit_frames(rng: Random) -> list[Any]:
    frames = []
    for number in range(60):
        make, sizes = (whole, ()) if number in (0, 40) else (levels, (6,))
        data = {
            "s": "BTCUSDT",
            "b": make(rng, -1, *sizes),
            "a": make(rng, 1, *sizes),
            "u": number + 1,
            "seq": number,
        }
        kind = "snapshot" if make is whole else "delta"
        frames.append(
            {"topic": "orderbook.50.BTCUSDT", "type": kind, "ts": 1_700_000_000_000 + number, "data": data}
        )
    return frames


def whitebit_frames(rng: Random) -> list[Any]:
    frames = []
    for number in range(60):
        make, sizes = (whole, ()) if number in (0, 40) else (levels, (6,))
        data = {
            "bids": make(rng, -1, *sizes),
            "asks": make(rng, 1, *sizes),
            "timestamp": 1_700_000_000.5 + number,
        }
        frames.append({"method": "depth_update", "params": [make is whole, data, "BTC_PERP"], "id": None})
    return frames


def krakenfutures_frames(rng: Random) -> list[Any]:
    """Each level in a frame of its own."""

    def named(levels: list[list[str]]) -> list[dict[str, float]]:
        return [{"price": float(price), "qty": float(size)} for price, size in levels]

    frames: list[Any] = []
    for number in range(200):
        told = {"product_id": "PF_XBTUSD", "timestamp": 1_700_000_000_000 + number, "seq": number}
        if number in (0, 150):
            sides = {"bids": named(whole(rng, -1)), "asks": named(whole(rng, 1))}
            frames.append({"feed": "book_snapshot", **told, **sides})
        else:
            sign = rng.choice((-1, 1))
            (level,) = named(levels(rng, sign, 1))
            frames.append({"feed": "book", "side": "sell" if sign > 0 else "buy", **told, **level})
    return frames


VENUES = {
    "okx": ("BTC-USDT-SWAP", okx_frames),
    "bybit": ("BTCUSDT", bybit_frames),
    "whitebit": ("BTC_PERP", whitebit_frames),
    "krakenfutures": ("PF_XBTUSD", krakenfutures_frames),
}


@pytest.mark.parametrize("venue", VENUES)
def test_handlers_of_a_venue_make_the_same_of_either(venue: str) -> None:
    code, make = VENUES[venue]
    ours, theirs = a_client(venue, native=True), a_client(venue, native=False)
    socket = Socket()
    for made in (ours, theirs):
        listed(made, code)
        made.options["watchOrderBook"] = {**made.options.get("watchOrderBook", {}), "checksum": False}
    for number, frame in enumerate(make(Random(7))):
        for made in (ours, theirs):
            is_snapshot = frame.get("feed") == "book_snapshot"
            take = made.handle_order_book_snapshot if is_snapshot else made.handle_order_book
            take(socket, json.loads(json.dumps(frame)))
        assert socket.rejected == [], number
        assert plain(ours.orderbooks[SYMBOL]) == pairs_of(plain(theirs.orderbooks[SYMBOL])), number
    assert isinstance(ours.orderbooks[SYMBOL]["bids"], NativeSide)
    assert type(theirs.orderbooks[SYMBOL]) is OrderBook


def pairs_of(told: dict[str, Any]) -> dict[str, Any]:
    """Without what some venues' handlers keep of a level besides."""
    return told | {name: [level[:2] for level in told[name]] for name in ("bids", "asks")}
