"""The long way of a frame, with the venues' own parsers and rules: alone, or behind a reader that takes what it can.

What a venue's connection and the books behind it do of a frame of depth or trades, without sockets and tasks.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from adapters.exchanges.binance.client import event_of
from adapters.exchanges.binance.coinm_payloads import parse_coin_depth, parse_coin_trade
from adapters.exchanges.binance.payloads import parse_depth, parse_trade
from adapters.exchanges.bybit.payloads import parse_book
from adapters.exchanges.bybit.payloads import parse_trades as parse_bybit_trades
from adapters.exchanges.frames import DECLINED, FrameReader
from adapters.exchanges.hyperliquid.payloads import parse_trades as parse_hyperliquid_trades
from adapters.exchanges.okx.payloads import data_of, parse_books
from adapters.exchanges.okx.payloads import parse_trades as parse_okx_trades
from adapters.exchanges.parsers import rows_of
from adapters.exchanges.repeats import Repeats
from adapters.exchanges.sync import DepthDiff, DepthSync, Verdict
from adapters.exchanges.venue import DepthSnapshot, TradeFrame
from guard.errors import MalformedFrameError
from guard.market.book import ArrayBook, Levels, Side
from guard.market.live import NEVER, ArrayLiveBook, LiveBook

LARGEST_ID = 2**63 - 1


@dataclass(slots=True)
class Market:
    """One market: its hot state, and where it stands in its stream."""

    live: LiveBook
    contract_size: float = 1.0
    sync: DepthSync = field(default_factory=DepthSync)


def array_live() -> LiveBook:
    """The reference."""
    return ArrayLiveBook(ArrayBook())


class LongWay:
    """Takes the frames of one venue; with a ``reader`` only those that it declines.

    Attributes:
        verdicts: what became of the diffs that went the long way, and of frames that cannot be read.
    """

    def __init__(
        self,
        venue: str,
        contract_sizes: Mapping[str, float],
        reader: FrameReader | None = None,
        make_live: Callable[[], LiveBook] = array_live,
    ) -> None:
        self.verdicts: Counter[str] = Counter()
        self.markets = {
            code: Market(make_live(), size, DepthSync(may_fall=venue == "okx"))
            for code, size in contract_sizes.items()
        }
        self._reader = reader
        self._repeats = Repeats()
        self._deliver: Callable[[Any, int], None] = {
            "binanceusdm": self._binance,
            "binancecoinm": self._coinm,
            "bybit": self._bybit,
            "okx": self._okx,
            "hyperliquid": self._hyperliquid,
        }[venue]
        for index, (code, market) in enumerate(self.markets.items()):
            if reader is not None:
                reader.add_book(code, index, market.live, contract_size=market.contract_size)
                reader.add_trades(code, index, market.live, contract_size=market.contract_size)

    def watch(self, reader: FrameReader) -> None:
        """Offer frames to this one in place of the reader, which it hands them on to."""
        self._reader = reader

    def take(self, frame: str | bytes, at: int) -> int:
        """Take a frame as a socket brings it; the answer is the reader's."""
        if self._reader is not None:
            answer = self._reader.take(frame, at)
            if answer >= 0:
                self._sample(list(self.markets.values())[answer])
            if answer != DECLINED:
                return answer
            for market in self.markets.values():
                if market.live.armed:  # the reader may be ahead of the rules
                    market.sync.advance(market.live.last_id)
        try:
            shown = frame if isinstance(frame, str) else frame.decode()
            # As ccxt does: what does not begin as JSON does, is handed on as text.
            self._deliver(json.loads(shown) if shown[:1] in ("{", "[") else shown, at)
        except (MalformedFrameError, ValueError, TypeError, LookupError, AttributeError, RecursionError):
            self.verdicts["malformed"] += 1
        for market in self.markets.values():
            self._arm(market)
        return DECLINED

    def join(self, code: str, last_id: int, bids: Levels, asks: Levels) -> bool:
        """Load a snapshot that was asked for, and what followed it; False if it does not meet the stream."""
        market = self.markets[code]
        following = market.sync.join(last_id)
        if following is None:
            return False
        market.live.book.load(bids, asks)
        for diff in following:
            market.live.book.apply(diff.bids, diff.asks)
        self._arm(market)
        return True

    def begin(self, code: str, last_id: int, bids: Levels, asks: Levels) -> None:
        """Take a whole book that the next diff must follow exactly."""
        market = self.markets[code]
        market.live.book.load(bids, asks)
        market.sync.take(last_id)
        self._arm(market)

    def _arm(self, market: Market) -> None:
        last_id = market.sync.last_id
        if last_id is None or not market.sync.is_exact or abs(last_id) > LARGEST_ID:
            market.live.disarm()
        else:
            market.live.arm(last_id)

    def _sample(self, market: Market) -> None:
        market.live.sampled(market.live.book.status())

    # Rules

    def _on_depth(self, market: Market, diff: DepthDiff, at: int) -> None:
        market.live.hear_book(at)
        verdict = market.sync.accept(diff)
        self.verdicts[verdict.name] += 1
        if verdict is Verdict.APPLY:
            self._apply(market, diff, at)

    def _apply(self, market: Market, diff: DepthDiff, at: int) -> None:
        try:
            market.live.book.apply(diff.bids, diff.asks)
        except MalformedFrameError:
            market.sync.restart()
            raise
        self._applied(market, at, diff.exchange_at)

    def _on_book(self, market: Market, snapshot: DepthSnapshot, at: int) -> None:
        market.live.hear_book(at)
        try:
            market.live.book.load(snapshot.bids, snapshot.asks)
        except MalformedFrameError:
            market.sync.restart()
            raise
        market.sync.take(snapshot.last_id)
        self.verdicts["whole"] += 1
        self._applied(market, at, snapshot.exchange_at)

    def _applied(self, market: Market, at: int, exchange_at: int | None) -> None:
        told = NEVER if exchange_at is None or exchange_at > LARGEST_ID else exchange_at
        market.live.applied(at, told)
        if market.live.needs_attention:
            self._sample(market)

    def _on_trade(self, market: Market, trade: TradeFrame, at: int) -> None:
        market.live.hear_trades(at)
        market.live.traded(trade.notional_usd)

    def _is_repeat(self, code: str, name: Hashable, kind: str = "") -> bool:
        if self._reader is not None:
            return self._reader.is_repeat(code, name, kind)
        return self._repeats.is_repeat((kind, code), name)

    # Venues

    def _binance(self, message: Any, at: int, *, is_inverse: bool = False) -> None:
        event, body = event_of(message)
        market = self.markets.get(body["s"]) if event else None
        if market is None:
            return
        size = market.contract_size
        match event:
            case "depthUpdate":
                self._on_depth(market, parse_coin_depth(body, size) if is_inverse else parse_depth(body), at)
            case "trade" | "aggTrade":
                number = body.get("a" if event == "aggTrade" else "t")
                trade = parse_coin_trade(body, size) if is_inverse else parse_trade(body)
                repeats = (
                    trade is not None and number is not None and self._is_repeat(body["s"], number, event)
                )
                if trade is not None and not repeats:
                    self._on_trade(market, trade, at)

    def _coinm(self, message: Any, at: int) -> None:
        self._binance(message, at, is_inverse=True)

    def _bybit(self, message: Any, at: int) -> None:
        if not isinstance(message.get("topic"), str):
            return  # an answer
        name, _, rest = message["topic"].partition(".")
        code = rest.rpartition(".")[2]
        market = self.markets.get(code)
        if market is None:
            return
        if name == "orderbook":
            book = parse_book(message)
            if isinstance(book, DepthSnapshot):
                self._on_book(market, book, at)
            elif market.sync.live:
                self._on_depth(market, book, at)
            else:
                market.live.hear_book(at)
        elif name == "publicTrade":
            rows = [row for row in rows_of(message, "data", name) if not self._repeats_row(code, row, "i")]
            for trade in parse_bybit_trades({"data": rows}):
                self._on_trade(market, trade, at)

    def _repeats_row(self, code: str, row: Any, key: str) -> bool:
        return isinstance(row.get(key), str) and self._is_repeat(code, row[key])

    def _okx(self, message: Any, at: int) -> None:
        if message.get("event") is not None or not isinstance(message.get("arg"), dict):
            return
        code = str(message["arg"].get("instId", ""))
        market = self.markets.get(code)
        if market is None:
            return
        match message["arg"].get("channel"):
            case "books":
                for found in parse_books(message, market.contract_size):
                    self._on_okx_book(market, found, at)
            case "trades":
                rows = [row for row in data_of(message, "x") if not self._repeats_row(code, row, "tradeId")]
                for trade in parse_okx_trades({"data": rows}, market.contract_size):
                    self._on_trade(market, trade, at)

    def _on_okx_book(self, market: Market, found: DepthSnapshot | DepthDiff, at: int) -> None:
        if isinstance(found, DepthSnapshot):
            self._on_book(market, found, at)
        elif market.sync.live:
            self._on_depth(market, found, at)
        else:
            market.live.hear_book(at)

    def _hyperliquid(self, message: Any, at: int) -> None:
        if message.get("channel") != "trades":
            return
        for trade in parse_hyperliquid_trades(message.get("data")):
            market = self.markets.get(trade.coin)
            repeats = trade.number is not None and self._is_repeat(trade.coin, trade.number)
            if market is not None and not repeats:
                self._on_trade(market, trade.frame, at)


def state_of(live: LiveBook) -> dict[str, Any]:
    """All that a market's hot state says, but for its levels."""
    return {
        "armed": live.armed,
        "last_id": live.last_id if live.armed else None,
        "book_at": live.book_at,
        "exchange_at": live.exchange_at,
        "updates": live.updates,
        "changed": live.changed,
        "buy_usd": live.buy_usd,
        "sell_usd": live.sell_usd,
        "heard_at": live.book_heard_at,
        "status": live.book.status(),
        "best": (live.book.best_bid(), live.book.best_ask()),
        "attention": live.needs_attention,
    }


def assert_equal(ours: LongWay, reference: LongWay) -> None:
    """Hold every market to the reference: its state, what it has heard and every level."""
    assert ours.markets.keys() == reference.markets.keys()
    for code, market in ours.markets.items():
        live, expected = market.live, reference.markets[code].live
        assert state_of(live) == state_of(expected), code
        assert live.take_book_heard() == expected.take_book_heard(), code
        assert live.take_trades_heard() == expected.take_trades_heard(), code
        for side in Side:
            for told, wanted in zip(live.book.side(side), expected.book.side(side), strict=True):
                assert np.array_equal(told, wanted), (code, side)
    assert ours.verdicts["malformed"] == reference.verdicts["malformed"]
