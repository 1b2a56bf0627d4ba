"""The slow reader of raw frames, for machines that could not build the fast one: JSON and the venues' own parsers.

What the compiled reader (``_frames``) is held equal to. It takes what can be read and follows, and leaves
everything else to the long way; of a frame that cannot be read as it stands it says so by declining it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from time import monotonic_ns
from typing import Any

import msgspec

from adapters.exchanges.binance.client import event_of
from adapters.exchanges.binance.coinm_payloads import parse_coin_depth, parse_coin_trade
from adapters.exchanges.binance.payloads import parse_depth, parse_trade
from adapters.exchanges.bybit.payloads import parse_book as parse_bybit_book
from adapters.exchanges.bybit.payloads import parse_trades as parse_bybit_trades
from adapters.exchanges.frames import DECLINED, PYTHON, TAKEN, Timings
from adapters.exchanges.hyperliquid.payloads import parse_trades as parse_hyperliquid_trades
from adapters.exchanges.okx.payloads import parse_books as parse_okx_books
from adapters.exchanges.okx.payloads import parse_trades as parse_okx_trades
from adapters.exchanges.parsers import Payload, rows_of, text
from adapters.exchanges.repeats import Repeats
from adapters.exchanges.sync import DepthDiff
from guard.errors import GuardError
from guard.market.live import NEVER, LiveBook
from guard.units import Nanoseconds

LARGEST_ID = 2**63 - 1
"""What a compiled book can be told, which may well be there when the compiled readers are not."""

MEASURED_EVERY = 64
MEASUREMENTS_MAX = 1024
"""Kept until they are drained."""


@dataclass(slots=True)
class _Line:
    """Where one stream of a market goes."""

    live: LiveBook
    index: int
    contract_size: float


@dataclass(frozen=True, slots=True)
class _Read:
    """One frame, as far as it says whose it is and what; ``parse`` reads the rest, given a contract's size."""

    code: str
    parse_depth: Callable[[float], DepthDiff | None] | None = None
    parse_trades: Callable[[float], list[_Trade]] | None = None
    kind: str = ""
    """Of trades that are numbered apart."""


@dataclass(frozen=True, slots=True)
class _Trade:
    """``notional_usd`` is ``None`` for what is known, but no flow."""

    name: Hashable
    notional_usd: float | None


class PythonFrameReader:
    """A FrameReader (see ``frames``) of one venue, by ccxt's id of it."""

    def __init__(self, venue_id: str) -> None:
        self.implementation = PYTHON
        self.taken = 0
        self.declined = 0
        self.observed = False
        self._read = _READERS[venue_id]
        self._books: dict[str, _Line] = {}
        self._flows: dict[str, _Line] = {}
        self._repeats = Repeats()
        self._offered = 0
        self._timings = Timings([], [])

    def add_book(self, code: str, index: int, live: LiveBook, *, contract_size: float = 1.0) -> None:
        self._books[code] = _line(index, live, contract_size)

    def add_trades(self, code: str, index: int, live: LiveBook, *, contract_size: float = 1.0) -> None:
        self._flows[code] = _line(index, live, contract_size)

    def drop(self, code: str) -> None:
        self._books.pop(code, None)
        self._flows.pop(code, None)

    def drop_trades(self, code: str) -> None:
        self._flows.pop(code, None)

    def is_repeat(self, code: str, name: Hashable, kind: str = "") -> bool:
        return self._repeats.is_repeat((code, kind == "trade"), name)

    def take(self, frame: str | bytes | bytearray | memoryview, received_at: Nanoseconds) -> int:
        is_measured = self._offered % MEASURED_EVERY == 0
        self._offered += 1
        try:
            answer = self._take(frame, received_at, is_measured=is_measured)
        except (GuardError, ValueError, TypeError, LookupError, OverflowError, RecursionError):
            answer = DECLINED  # whatever is wrong with it, the long way says so
        if answer == DECLINED:
            self.declined += 1
        else:
            self.taken += 1
        return answer

    def drain_timings(self) -> Timings:
        drained, self._timings = self._timings, Timings([], [])
        return drained

    def _take(
        self, frame: str | bytes | bytearray | memoryview, received_at: Nanoseconds, *, is_measured: bool
    ) -> int:
        began_ns = monotonic_ns()
        # The decoder wants a text to be exactly a ``str``.
        read = self._read(msgspec.json.decode(str(frame) if isinstance(frame, str) else frame))
        if read is None:
            return DECLINED
        if read.parse_trades is not None:
            return self._count(read, read.parse_trades, received_at)
        line = self._books.get(read.code)
        if line is None or read.parse_depth is None or not line.live.armed:
            return DECLINED
        diff = read.parse_depth(line.contract_size)
        if diff is None or not LARGEST_ID >= diff.last_id > diff.previous_id == line.live.last_id:
            return DECLINED
        if diff.exchange_at is not None and diff.exchange_at > LARGEST_ID:
            return DECLINED
        read_ns = monotonic_ns()
        answer = self._apply(line, diff, received_at)
        if is_measured and len(self._timings.decode_ns) < MEASUREMENTS_MAX:
            self._timings.decode_ns.append(read_ns - began_ns)
            self._timings.apply_ns.append(monotonic_ns() - read_ns)
        return answer

    def _apply(self, line: _Line, diff: DepthDiff, received_at: Nanoseconds) -> int:
        live = line.live
        live.book.apply(diff.bids, diff.asks)  # which refuses as a whole what it cannot read
        live.hear_book(received_at)
        live.last_id = diff.last_id
        live.applied(received_at, NEVER if diff.exchange_at is None else diff.exchange_at)
        return line.index if self.observed or live.needs_attention else TAKEN

    def _count(self, read: _Read, parse: Callable[[float], list[_Trade]], received_at: Nanoseconds) -> int:
        line = self._flows.get(read.code)
        if line is None:
            return DECLINED
        for trade in parse(line.contract_size):
            repeats = self.is_repeat(read.code, trade.name, read.kind)
            if not repeats and trade.notional_usd is not None:
                line.live.hear_trades(received_at)
                line.live.traded(trade.notional_usd)
        return TAKEN


def _line(index: int, live: LiveBook, contract_size: float) -> _Line:
    if index < 0:
        raise ValueError(f"an index is a number from 0, not {index}")
    if not 0.0 < contract_size <= 1e18:
        raise ValueError(f"a contract counts a positive number of units, not {contract_size}")
    return _Line(live, index, contract_size)


# How each venue words it


def _read_binance(message: Any) -> _Read | None:
    return _read_binance_event(message, is_inverse=False)


def _read_coinm(message: Any) -> _Read | None:
    return _read_binance_event(message, is_inverse=True)


def _read_binance_event(message: Any, *, is_inverse: bool) -> _Read | None:
    event, body = event_of(message)
    match event:
        case "depthUpdate":

            def depth(contract_size: float) -> DepthDiff:
                return parse_coin_depth(body, contract_size) if is_inverse else parse_depth(body)

            return _Read(text(body, "s", event), parse_depth=depth)
        case "aggTrade" | "trade":
            number = body.get("a" if event == "aggTrade" else "t")
            if not isinstance(number, int):
                return None

            def trades(contract_size: float) -> list[_Trade]:
                trade = parse_coin_trade(body, contract_size) if is_inverse else parse_trade(body)
                return [] if trade is None else [_Trade(number, trade.notional_usd)]

            return _Read(text(body, "s", event), parse_trades=trades, kind=event)
    return None


def _read_bybit(message: Any) -> _Read | None:
    if not isinstance(message, dict):
        return None
    name, _, rest = text(message, "topic", "frame").partition(".")
    code = rest.rpartition(".")[2]
    match name:
        case "orderbook":

            def depth(_: float) -> DepthDiff | None:
                book = parse_bybit_book(message)
                return book if isinstance(book, DepthDiff) else None

            return _Read(code, parse_depth=depth)
        case "publicTrade":

            def trades(_: float) -> list[_Trade]:
                rows = rows_of(message, "data", name)
                told = [(text(row, "i", name), parse_bybit_trades({"data": [row]})) for row in rows]
                return [_Trade(name, found[0].notional_usd if found else None) for name, found in told]

            return _Read(code, parse_trades=trades)
    return None


def _read_okx(message: Any) -> _Read | None:
    if not isinstance(message, dict) or not isinstance(message.get("arg"), dict) or "event" in message:
        return None
    argument: Payload = message["arg"]
    code = text(argument, "instId", "frame")
    match argument.get("channel"):
        case "books":

            def depth(contract_size: float) -> DepthDiff | None:
                books = parse_okx_books(message, contract_size)
                return books[0] if len(books) == 1 and isinstance(books[0], DepthDiff) else None

            return _Read(code, parse_depth=depth)
        case "trades":

            def trades(contract_size: float) -> list[_Trade]:
                rows = rows_of(message, "data", "trades")
                names = [text(row, "tradeId", "trades") for row in rows]
                frames = parse_okx_trades(message, contract_size)
                return [_Trade(name, frame.notional_usd) for name, frame in zip(names, frames, strict=True)]

            return _Read(code, parse_trades=trades)
    return None


def _read_hyperliquid(message: Any) -> _Read | None:
    if not isinstance(message, dict) or message.get("channel") != "trades":
        return None
    found = parse_hyperliquid_trades(message.get("data"))
    if len({trade.coin for trade in found}) != 1 or any(trade.number is None for trade in found):
        return None

    def trades(_: float) -> list[_Trade]:
        return [_Trade(trade.number, trade.frame.notional_usd) for trade in found]

    return _Read(found[0].coin, parse_trades=trades)


_READERS: dict[str, Callable[[Any], _Read | None]] = {
    "binanceusdm": _read_binance,
    "binancecoinm": _read_coinm,
    "bybit": _read_bybit,
    "okx": _read_okx,
    "hyperliquid": _read_hyperliquid,
}
