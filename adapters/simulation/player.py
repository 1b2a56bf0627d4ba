"""Plays a source: paces its frames, moves books and accounts with them, hands them to the clients."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from decimal import Decimal

import msgspec
import structlog

from adapters.simulation import wire
from adapters.simulation.dialects import Dialect
from adapters.simulation.engine import Engine
from adapters.simulation.markets import Market, MarketStatus
from adapters.simulation.misbehaviour.conditions import Conditions
from adapters.simulation.reactive import ReactiveSource
from adapters.simulation.rounds import MatchingRounds
from adapters.simulation.settings import LoopbackSettings
from adapters.simulation.source import Frame, FrameKind, MarketSource
from adapters.simulation.streams import Hub

NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000
FRAMES_PER_YIELD = 32
"""At full speed the loop lets requests and clients in after so many frames."""
MARKS_PATIENCE_NS = 3 * NS_PER_S
"""So long is waited for a source's own mark before one is derived."""
DIFFS_BEFORE_OWN_TICKER = 20
"""So long is waited for a source's own bookTicker before one is derived."""
FUNDING_INTERVAL_MS = 8 * 3_600_000

_log = structlog.get_logger()


class Player:
    """Drives the market. Every frame goes to every subscriber: a full queue stops the market, never a frame."""

    def __init__(
        self,
        source: MarketSource,
        markets: dict[str, Market],
        engine: Engine,
        hub: Hub,
        dialect: Dialect,
        conditions: Conditions,
        rounds: MatchingRounds,
        *,
        speed: float,
        settings: LoopbackSettings,
    ) -> None:
        self._source = source
        self._markets = markets
        self._engine = engine
        self._hub = hub
        self._dialect = dialect
        self._conditions = conditions
        self._rounds = rounds
        self._paced = speed > 0.0 and math.isfinite(speed)
        self._speed = speed
        self._mark_period_ns = settings.mark_period_ms * NS_PER_MS
        self._has_aggregates: set[str] = set()
        self._diffs_without_ticker: Counter[str] = Counter()
        self._is_catching_up = False
        self._live_at_ns = 0
        """When the latest step of a market that reacts ended."""
        self.frames_bad = 0

    async def play(self, start_at_ns: int) -> None:
        """Play the source to its end, then wait until the clients have everything."""
        loop = asyncio.get_running_loop()
        begun_s = loop.time()
        first_ns: int | None = None
        for number, frame in enumerate(self._source.frames(start_at_ns)):
            if first_ns is None:
                first_ns = start_at_ns if 0 <= frame.at_ns - start_at_ns < NS_PER_S else frame.at_ns
            await self._pace(frame.at_ns - first_ns, loop.time() - begun_s)
            if self._hub.is_crowded:
                await self._hub.room()
            elif number % FRAMES_PER_YIELD == 0:
                await asyncio.sleep(0)
            self._rounds.advance(frame.at_ns)
            self._take(frame)
        self._rounds.end()
        await self._hub.drained()

    async def play_live(self, source: ReactiveSource, start_at_ns: int) -> None:
        """Play a market that reacts, like ``play``: step by step, and between two steps accounts trade in it."""
        loop = asyncio.get_running_loop()
        begun_s = loop.time()
        source.begin(start_at_ns, self._moving, self.catch_up)
        try:
            while (next_at_ns := source.next_at_ns) is not None:
                # A step is made when it is over, so that nobody's order meets a book of the time to come.
                await self._pace(next_at_ns - start_at_ns, loop.time() - begun_s)
                await self._hub.room()
                await source.turn()
                source.advance()
                await asyncio.sleep(0)
        finally:
            source.leave()
        self._rounds.end()
        await self._hub.drained()

    def _moving(self, at_ns: int) -> None:
        """Match what waits for the end of its round, before the market moves on."""
        self._rounds.advance(at_ns)
        self._live_at_ns = at_ns

    def catch_up(self) -> None:
        """Tell what a market that reacts has to tell, and what comes of that, until nothing does."""
        source = self._source
        if not isinstance(source, ReactiveSource) or self._is_catching_up:
            return  # whoever is at it already goes on until there is nothing left
        self._is_catching_up = True
        at_ns = self._live_at_ns or max(market.now_ns for market in self._markets.values())
        try:
            self._engine.on_step()
            self._engine.on_assets(source.asset_prices)
            while frames := source.react(at_ns):
                for frame in frames:
                    self._take(frame)
        finally:
            self._is_catching_up = False

    async def _pace(self, market_ns: int, gone_s: float) -> None:
        """Wait until so much market time may have passed."""
        wait_s = market_ns / NS_PER_S / self._speed - gone_s if self._paced else 0.0
        if wait_s > 0.0:
            await asyncio.sleep(wait_s)

    def publish_own(self, symbol: str, kind: FrameKind, payload: bytes) -> None:
        """Publish what the venue's own accounts did: a trade, a forced order."""
        if kind is FrameKind.TRADE:
            self._publish_trade(self._markets[symbol], wire.decode_trade(payload), payload)
        else:
            self._publish(symbol, kind, payload)

    def _publish(self, symbol: str, kind: FrameKind, payload: bytes) -> None:
        if self._conditions.is_mute(symbol) and not self._is_told(self._markets[symbol], kind):
            return
        with self._hub.event(kind, symbol):
            self._dialect.publish(symbol, kind, payload)

    def _is_told(self, market: Market, kind: FrameKind) -> bool:
        """Of a halted market: its mark, and that its book was emptied. Of one that is gone: nothing."""
        return market.status is MarketStatus.HALTED and kind in (FrameKind.DEPTH, FrameKind.MARK_PRICE)

    def _take(self, frame: Frame) -> None:
        market = self._markets[frame.symbol]
        market.now_ns = frame.at_ns
        if market.mark_due_ns == 0:
            market.mark_due_ns = frame.at_ns + MARKS_PATIENCE_NS
        try:
            self._apply(market, frame)
        except msgspec.MsgspecError as error:
            # A recording may hold a frame that nobody can read: the clients get it as it was.
            self.frames_bad += 1
            _log.warning("frame cannot be read", symbol=frame.symbol, kind=frame.kind, reason=str(error))
            self._publish(frame.symbol, frame.kind, frame.payload)
        if frame.at_ns >= market.mark_due_ns:
            self._derive_mark(market)

    def _apply(self, market: Market, frame: Frame) -> None:
        symbol, payload = frame.symbol, frame.payload
        match frame.kind:
            case FrameKind.BOOK_TICKER:
                self._diffs_without_ticker[symbol] = -1
                if not self._conditions.is_altered(symbol):
                    self._publish(symbol, frame.kind, payload)
            case FrameKind.FORCED_ORDER:
                self._publish(symbol, frame.kind, payload)
            case FrameKind.DEPTH:
                self._apply_depth(market, payload)
            case FrameKind.TRADE:
                self._apply_trade(market, payload)
            case FrameKind.AGGREGATE_TRADE:
                self._has_aggregates.add(symbol)
                self._publish(symbol, frame.kind, payload)
            case FrameKind.MARK_PRICE:
                mark = wire.decode_mark_price(payload)
                market.mark_due_ns = frame.at_ns + MARKS_PATIENCE_NS
                self._publish_mark(market, mark, payload)
            case FrameKind.OPEN_INTEREST:
                market.open_interest = Decimal(wire.decode_open_interest(payload).o)

    def _apply_depth(self, market: Market, payload: bytes) -> None:
        symbol = market.spec.symbol
        shown = self._conditions.depth(market, payload)
        if shown is None:
            return
        market.book.apply(wire.decode_depth(shown))
        self._publish(symbol, FrameKind.DEPTH, shown)
        self._derive_ticker(market)
        if market.status is MarketStatus.TRADING:
            self._engine.on_book(symbol)

    def _apply_trade(self, market: Market, payload: bytes) -> None:
        if market.status is not MarketStatus.TRADING:
            return
        event = wire.decode_trade(payload)
        self._publish_trade(market, event, payload)
        self._engine.on_trade(market.spec.symbol, Decimal(event.p), Decimal(event.q))

    def _publish_trade(self, market: Market, event: wire.TradeEvent, payload: bytes) -> None:
        symbol = market.spec.symbol
        market.see_trade(event)
        self._publish(symbol, FrameKind.TRADE, payload)
        if symbol not in self._has_aggregates and self._dialect.has_subscribers(
            symbol, FrameKind.AGGREGATE_TRADE
        ):
            self._publish(symbol, FrameKind.AGGREGATE_TRADE, wire.aggregate_trade(event))

    def _publish_mark(self, market: Market, mark: wire.MarkPriceEvent, payload: bytes) -> None:
        funding = market.see_mark(mark)
        self._publish(market.spec.symbol, FrameKind.MARK_PRICE, payload)
        self._engine.on_mark(market.spec.symbol, funding)

    def _derive_ticker(self, market: Market) -> None:
        """Make a bookTicker from the book, for a source that brings none."""
        symbol, book = market.spec.symbol, market.book
        seen = self._diffs_without_ticker[symbol]
        altered = self._conditions.is_altered(symbol)
        if (seen < 0 and not altered) or not self._dialect.has_subscribers(symbol, FrameKind.BOOK_TICKER):
            return
        if seen < DIFFS_BEFORE_OWN_TICKER and not altered:
            self._diffs_without_ticker[symbol] += 1
            return
        bid, ask = book.bids.best(), book.asks.best()
        if bid is not None and ask is not None:
            payload = wire.book_ticker(symbol, book.at_ms, book.update_id, bid, ask)
            self._publish(symbol, FrameKind.BOOK_TICKER, payload)

    def _derive_mark(self, market: Market) -> None:
        """Make a mark from mid, for a source that brings none."""
        mid = market.book.mid()
        if mid is None:
            return
        market.mark_due_ns = market.now_ns + self._mark_period_ns
        at_ms = market.now_ns // NS_PER_MS
        text = f"{mid:.8f}"
        next_funding_ms = (at_ms // FUNDING_INTERVAL_MS + 1) * FUNDING_INTERVAL_MS
        rate = f"{market.funding_rate:.8f}"
        payload = wire.mark_price(market.spec.symbol, at_ms, text, text, rate, next_funding_ms)
        self._publish_mark(market, wire.decode_mark_price(payload), payload)
