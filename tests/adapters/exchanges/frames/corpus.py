"""Frames as the venues word them: the recorded and documented ones, and runs of a market that walks at random.

A run holds what streams hold besides the plain case: repeats, gaps, whole books, trades that are no flow, answers
to subscriptions, other streams' frames, odd spacing and order of keys.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from tests.adapters.exchanges.frames.long_way import LongWay

Json = dict[str, Any]
Levels = list[list[str]]

CODES = {
    "binanceusdm": {"BTCUSDT": 1.0, "币安人生USDT": 1.0},
    "binancecoinm": {"BTCUSD_PERP": 100.0, "ADAUSD_PERP": 10.0},
    "bybit": {"BTCUSDT": 1.0, "1000PEPEUSDT": 1.0},
    "okx": {"BTC-USDT-SWAP": 0.01, "DOGE-USDT-SWAP": 1000.0},
    "hyperliquid": {"BTC": 1.0, "kPEPE": 1.0},
}
"""Two markets of each venue: its code and what a contract counts."""

VENUES = tuple(CODES)
FOLDER = Path(__file__).parent.parent


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A whole book that was asked for."""

    code: str
    last_id: int
    bids: Levels
    asks: Levels


Item = str | Snapshot


def feed(way: LongWay, item: Item, at: int) -> int | None:
    """Hand an item to a way; a snapshot begins the book anew."""
    if isinstance(item, Snapshot):
        way.begin(item.code, item.last_id, item.bids, item.asks)
        return None
    return way.take(item, at)


def documented(venue: str) -> list[str]:
    """The fixtures of a venue as frames: those of streams, and all others too, which nobody should take."""
    folder = {"binancecoinm": "coinm"}.get(venue, venue)
    return [
        json.dumps(json.loads(path.read_text())["payload"])
        for path in sorted((FOLDER / folder / "fixtures").glob("*.json"))
    ]


@dataclass
class _Book:
    """One market of a run."""

    code: str
    rng: Random
    mid: int = 60_000
    last_id: int = 5_000_000_000_000
    trade: int = 900_000_000_000
    bids: dict[int, str] = field(default_factory=dict)
    asks: dict[int, str] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)

    def step(self) -> tuple[Levels, Levels]:
        self.mid += self.rng.choice((-3, -1, 0, 1, 3))
        return self._requote(self.bids, -1), self._requote(self.asks, 1)

    def whole(self) -> tuple[Levels, Levels]:
        sides = ((self.bids, True), (self.asks, False))
        bids, asks = (
            [[price_of(at), side[at]] for at in sorted(side, reverse=is_bid)] for side, is_bid in sides
        )
        return bids, asks

    def _requote(self, side: dict[int, str], sign: int) -> Levels:
        gone = [at for at in side if (at - self.mid) * sign <= 0]
        for at in gone:
            del side[at]
        changes = [[price_of(at), self.rng.choice(("0", "0.000"))] for at in gone]
        for _ in range(self.rng.randrange(6)):
            at = self.mid + sign * self.rng.randrange(1, 40)
            side[at] = self.rng.choice(("0.001", "12", "3.250", "1e-3", "7E+2", "0.10000000000000000555"))
            changes.append([price_of(at), side[at]])
        self.rng.shuffle(changes)
        return changes


def price_of(ticks: int) -> str:
    """A price in ticks of 0.1."""
    return f"{ticks / 10:.2f}"


def run(venue: str, seed: int, steps: int = 120) -> Iterator[Item]:
    """Make a run of a venue's frames; equal seeds make equal runs."""
    rng = Random(seed)
    books = [_Book(code, rng) for code in CODES[venue]]
    for book in books:
        for _ in range(4):
            book.step()
        yield Snapshot(book.code, book.last_id, *book.whole())
    for _ in range(steps):
        book = rng.choice(books)
        roll = rng.random()
        if roll < 0.05:
            yield rng.choice(OTHERS[venue])
        elif roll < 0.4 or venue == "hyperliquid":
            yield spelled(_TRADES[venue](book, rng), rng)
        else:
            yield from _depth_items(venue, book, rng)


def _depth_items(venue: str, book: _Book, rng: Random) -> Iterator[Item]:
    previous = book.last_id
    book.last_id += _STEPS.get(venue, _any_step)(rng)
    bids, asks = book.step()
    frame = spelled(_DEPTHS[venue](book, previous, bids, asks, rng), rng)
    roll = rng.random()
    if roll < 0.04:  # it is lost, and the next one is a gap: a whole book follows
        lost = book.last_id
        book.last_id += 1
        yield spelled(_DEPTHS[venue](book, lost, *book.step(), rng), rng)
        yield Snapshot(book.code, book.last_id, *book.whole())
        return
    yield frame
    if roll < 0.1:
        yield frame


def spelled(frame: Json, rng: Random) -> str:
    """Write a frame in one of the ways that mean the same."""
    roll = rng.random()
    if roll < 0.1:
        frame = shuffled(frame, rng)
    if roll < 0.2:
        return json.dumps(frame, indent=rng.choice((1, 2)), ensure_ascii=False) + "\n"
    if roll < 0.25:
        return json.dumps(frame)
    return json.dumps(frame, separators=(",", ":"), ensure_ascii=False)


def shuffled(value: Any, rng: Random) -> Any:
    """Put the keys of every object in another order."""
    if isinstance(value, dict):
        items = list(value.items())
        rng.shuffle(items)
        return {key: shuffled(member, rng) for key, member in items}
    return [shuffled(member, rng) for member in value] if isinstance(value, list) else value


def _binance_depth(book: _Book, previous: int, bids: Levels, asks: Levels, rng: Random) -> Json:
    at = 1_700_000_000_000 + book.last_id % 100_000
    body = {"e": "depthUpdate", "E": at + 5, "T": at, "s": book.code, "U": previous + 1, "u": book.last_id}
    body |= {"pu": previous, "b": bids, "a": asks}
    return _wrapped(body, f"{book.code.lower()}@depth@100ms", rng)


def _wrapped(body: Json, stream: str, rng: Random) -> Json:
    return {"stream": stream, "data": body} if rng.random() < 0.8 else body


def _binance_trade(book: _Book, rng: Random) -> Json:
    joined = rng.random() < 0.7
    number = _trade_number(book, rng)
    body: Json = {"e": "aggTrade" if joined else "trade", "E": 1_700_000_000_001, "s": book.code}
    body |= {"a": number, "f": number * 3, "l": number * 3 + 1} if joined else {"t": number}
    body |= {"p": price_of(book.mid), "q": rng.choice(("0.002", "1", "17.50")), "T": 1_700_000_000_000}
    if not joined or rng.random() < 0.2:
        body["X"] = rng.choice(("MARKET", "MARKET", "INSURANCE_FUND", "NA"))
    body["m"] = rng.random() < 0.5
    return _wrapped(body, f"{book.code.lower()}@{body['e']}", rng)


def _trade_number(book: _Book, rng: Random) -> int:
    """Mostly the next, now and then one that was told before, or that comes late."""
    if rng.random() < 0.15:
        return book.trade - rng.randrange(4)
    book.trade += rng.choice((1, 1, 2))
    return book.trade


def _bybit_depth(book: _Book, previous: int, bids: Levels, asks: Levels, rng: Random) -> Json:
    del previous
    data = {"s": book.code, "b": bids, "a": asks, "u": book.last_id, "seq": book.last_id * 7}
    kind = "delta"
    if rng.random() < 0.05:
        kind, (data["b"], data["a"]) = "snapshot", book.whole()
    frame = {"topic": f"orderbook.200.{book.code}", "type": kind, "ts": 1_700_000_000_010, "data": data}
    return frame if rng.random() < 0.1 else frame | {"cts": rng.choice((0, 1_700_000_000_003))}


def _bybit_trades(book: _Book, rng: Random) -> Json:
    rows = [
        {
            "T": 1_700_000_000_000,
            "s": book.code,
            "S": rng.choice(("Buy", "Sell")),
            "v": rng.choice(("0.001", "0.250", "500")),
            "p": price_of(book.mid),
            "L": "PlusTick",
            "i": f"20f43950-d8dd-5b31-9112-{_trade_number(book, rng):012d}",
            "BT": rng.random() < 0.1,
        }
        for _ in range(rng.randrange(1, 6))
    ]
    return {"topic": f"publicTrade.{book.code}", "type": "snapshot", "ts": 1_700_000_000_002, "data": rows}


def _okx_depth(book: _Book, previous: int, bids: Levels, asks: Levels, rng: Random) -> Json:
    del rng
    row: Json = {
        "asks": [[*level, "0", "3"] for level in asks],
        "bids": [[*level, "0", "1"] for level in bids],
    }
    row |= {"ts": "1700000000000", "checksum": -855196043, "prevSeqId": previous, "seqId": book.last_id}
    return {"arg": {"channel": "books", "instId": book.code}, "action": "update", "data": [row]}


def _okx_trades(book: _Book, rng: Random) -> Json:
    rows = [
        {
            "instId": book.code,
            "tradeId": str(_trade_number(book, rng)),
            "px": price_of(book.mid),
            "sz": rng.choice(("12", "1.5", "0.1")),
            "side": rng.choice(("buy", "sell")),
            "ts": "1700000000001",
            "count": "3",
        }
        for _ in range(rng.randrange(1, 4))
    ]
    return {"arg": {"channel": "trades", "instId": book.code}, "data": rows}


def _hyperliquid_trades(book: _Book, rng: Random) -> Json:
    rows = [
        {
            "coin": book.code,
            "side": rng.choice(("A", "B")),
            "px": price_of(book.mid),
            "sz": rng.choice(("0.005", "3.0", "1200")),
            "time": 1_700_000_000_000,
            "hash": "0xc872699f116e012186620407fc08a802015e0097c5cce74710697f7272e6e959",
            "tid": _trade_number(book, rng),
            "users": ["0x72699f", "0x10697f"],
        }
        for _ in range(rng.randrange(1, 5))
    ]
    return {"channel": "trades", "data": rows}


def _any_step(rng: Random) -> int:
    return rng.randrange(1, 90)


_STEPS: dict[str, Callable[[Random], int]] = {
    "bybit": lambda _: 1,
    "okx": lambda rng: rng.choice((1, 1, 7, 7, 31, 0, -3)),
}
"""How far the numbers of two diffs are apart."""
_DEPTHS: dict[str, Callable[[_Book, int, Levels, Levels, Random], Json]] = {
    "binanceusdm": _binance_depth,
    "binancecoinm": _binance_depth,
    "bybit": _bybit_depth,
    "okx": _okx_depth,
}
_TRADES: dict[str, Callable[[_Book, Random], Json]] = {
    "binanceusdm": _binance_trade,
    "binancecoinm": _binance_trade,
    "bybit": _bybit_trades,
    "okx": _okx_trades,
    "hyperliquid": _hyperliquid_trades,
}
_text = partial(json.dumps, separators=(",", ":"))
OTHERS: dict[str, tuple[str, ...]] = {
    "binanceusdm": (
        _text({"result": None, "id": 1}),
        _text({"e": "bookTicker", "u": 1, "s": "BTCUSDT", "b": "1", "B": "2", "a": "3", "A": "4"}),
        _text({"e": "markPriceUpdate", "E": 1, "s": "BTCUSDT", "p": "1", "T": 5}),
        _text({"stream": "x", "data": [{"e": "depthUpdate"}]}),
    ),
    "bybit": (
        _text({"success": True, "ret_msg": "", "op": "subscribe", "req_id": "1", "topic": "no.such"}),
        _text({"topic": "tickers.BTCUSDT", "type": "delta", "ts": 1, "data": {"symbol": "BTCUSDT"}}),
    ),
    "okx": (
        "pong",
        _text({"event": "subscribe", "arg": {"channel": "books", "instId": "BTC-USDT-SWAP"}}),
        _text({"arg": {"channel": "mark-price", "instId": "BTC-USDT-SWAP"}, "data": [{"markPx": "1"}]}),
    ),
    "hyperliquid": (
        _text({"channel": "pong"}),
        _text({"channel": "subscriptionResponse", "data": {"method": "subscribe"}}),
        _text({"channel": "l2Book", "data": {"coin": "BTC", "time": 1, "levels": [[], []]}}),
    ),
}
OTHERS["binancecoinm"] = OTHERS["binanceusdm"]
"""Frames that no reader takes."""
