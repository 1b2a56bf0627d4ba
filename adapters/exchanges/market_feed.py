"""The public side of a venue as events: books and trades sampled, prices, liquidations, open interest.

Frames arrive synchronously through the sink and go straight into array books; tasks only subscribe, mend
books, sample, follow which markets are to be watched, and watch over silence.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import weakref
from collections.abc import Awaitable, Callable, Collection, Sequence

import structlog

from adapters.exchanges.activity import Ledger
from adapters.exchanges.frames import FrameReader, Timings
from adapters.exchanges.market_books import Books, Counters, Observer, WatchedMarket
from adapters.exchanges.market_polls import Polls
from adapters.exchanges.market_subscriptions import Subscriptions
from adapters.exchanges.settings import VenueSettings
from adapters.exchanges.sync import DepthDiff
from adapters.exchanges.venue import (
    DepthSnapshot,
    LiquidationFrame,
    MarketConnection,
    MarketSink,
    MarkFrame,
    TradeFrame,
)
from adapters.exchanges.watchlist import Watchlist
from guard.errors import VenueError
from guard.events import (
    AnyEvent,
    BookStatus,
    LiquidationSeen,
    MarkPriceSeen,
    OpenInterestSeen,
    Stream,
    StreamFaultKind,
)
from guard.market.live import LiveBook
from guard.ports import Clock, Emit, Importance, Pace
from guard.units import NS_PER_MS, NS_PER_S, MarketId, Nanoseconds

log = structlog.get_logger()


ROUNDS = 5
"""Of sampling in one ``sample_ms``, so that markets are judged a few at a time and not all at once."""


class FullPace:
    """Samples every market as often as its venue's settings say."""

    def importance(self, market: MarketId) -> Importance:
        del market
        return Importance.VITAL

    def watch(self, venue: str, far: int) -> None:
        """Whoever is only watched is sampled all the same."""

    def took(self, samples: int, duration_ns: Nanoseconds) -> None:
        """Whatever it takes."""

    def period_ns(self, importance: Importance, base_ns: Nanoseconds) -> Nanoseconds:
        del importance
        return base_ns


def nothing_held() -> Collection[str]:
    """Stands for a venue on which nobody holds anything."""
    return ()


class MarketFeed:
    """A Feed (see ``guard.ports``) of one venue's public data.

    Args:
        settings: the venue.
        clock: what time it is.
        connect: makes the connection that delivers to this feed.
        observer: called after every diff that was applied; for tests.
        held: the symbols of this venue in which there are positions, or that bots trade: watched always.
        pace: how often markets are sampled; a book whose status changes is said at once.
    """

    def __init__(
        self,
        settings: VenueSettings,
        *,
        clock: Clock,
        connect: Callable[[MarketSink], Awaitable[MarketConnection]],
        observer: Observer | None = None,
        held: Callable[[], Collection[str]] = nothing_held,
        pace: Pace | None = None,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._connect = connect
        self._observer = observer
        self._held = held
        self._pace = pace if pace is not None else FullPace()
        self._emit: Emit = _nowhere
        self._reader: FrameReader | None = None
        self._ledger = Ledger(_nowhere, clock, self._gather)
        self._numbers = itertools.count()
        self._by_index: weakref.WeakValueDictionary[int, WatchedMarket] = weakref.WeakValueDictionary()
        self._markets: dict[str, WatchedMarket] = {}
        self._books = self._new_books()

    @property
    def name(self) -> str:
        return f"{self._settings.id} market data"

    @property
    def counters(self) -> dict[MarketId, Counters]:
        """What became of the diffs of each market, whichever way they came."""
        self._gather()
        return {market.id: market.counters for market in self._markets.values()}

    async def run(self, emit: Emit) -> None:
        """Emit until cancelled; reconnects and resynchronises by itself."""
        self._emit = emit
        self._ledger = Ledger(emit, self._clock, self._gather)
        self._markets.clear()
        self._books = self._new_books()
        connection = await self._connect(self)
        try:
            async with asyncio.TaskGroup() as tasks:
                subscriptions = Subscriptions(
                    connection,
                    tasks,
                    name=self.name,
                    clock=self._clock,
                    retry_s_max=self._settings.retry_s_max,
                    on_lost=self._lost,
                )
                watchlist = Watchlist(
                    self._settings,
                    connection,
                    subscriptions,
                    self._markets,
                    self._books,
                    clock=self._clock,
                    ledger=self._ledger,
                    emit=emit,
                    held=self._held,
                )
                await watchlist.begin()
                self._books.start(tasks, connection, self.name)
                Polls(
                    self._settings,
                    self._markets,
                    clock=self._clock,
                    ledger=self._ledger,
                    say_interest=self._say_open_interest,
                    say_mark=self._say_mark,
                    importance=self._pace.importance,
                ).start(tasks, connection, self.name)
                tasks.create_task(watchlist.follow(), name=f"{self.name} choice")
                tasks.create_task(self._sample(), name=f"{self.name} sampling")
                tasks.create_task(self._ledger.run(), name=f"{self.name} activity")
                tasks.create_task(self._watch_silence(connection), name=f"{self.name} silence")
        finally:
            await connection.close()

    def _new_books(self) -> Books:
        return Books(
            self._settings,
            self._markets,
            clock=self._clock,
            ledger=self._ledger,
            say=self._say,
            importance=self._pace.importance,
            observer=self._observer,
        )

    def _lost(self, stream: Stream, symbols: Sequence[str], error: VenueError) -> None:
        for symbol in symbols:
            market = self._markets[symbol]
            self._gather_of(market)  # what it brought before is no proof that it is back
            self._ledger.lost(
                market.id, stream, StreamFaultKind.DISCONNECTED, f"{error.detail}; trying again"
            )
            if stream is Stream.BOOK:
                self._books.give_up(market)

    def _gather(self) -> None:
        for market in self._markets.values():
            self._gather_of(market)

    def _gather_of(self, market: WatchedMarket) -> None:
        """Account for what came of a market since the last time; what a reader took of its book was applied."""
        books = market.live.take_book_heard()
        market.counters.applied += books.updates - market.asked_long_way
        market.asked_long_way = 0
        self._ledger.heard(market.id, Stream.BOOK, books)
        self._ledger.heard(market.id, Stream.TRADES, market.live.take_trades_heard(), proof=True)

    # What the connection delivers (MarketSink). What still comes of a market that is left is ignored.

    def drain_timings(self) -> Timings:
        """What the reader of raw frames measured of some of them since the last call; nothing where there is none."""
        return Timings([], []) if self._reader is None else self._reader.drain_timings()

    def on_reader(self, reader: FrameReader) -> None:
        self._reader = reader

    @property
    def is_observed(self) -> bool:
        return self._observer is not None

    def live(self, symbol: str) -> tuple[int, LiveBook] | None:
        market = self._markets.get(symbol)
        if market is None:
            return None
        if market.index < 0:
            market.index = next(self._numbers)
            self._by_index[market.index] = market
        return market.index, market.live

    def on_attention(self, index: int) -> None:
        market = self._by_index.get(index)
        if market is not None and self._markets.get(market.symbol) is market:
            self._books.on_attention(market)

    def on_subscribed(self, stream: Stream, symbols: Sequence[str]) -> None:
        for symbol in symbols:
            market = self._markets.get(symbol)
            if market is None:
                continue
            if stream is Stream.BOOK:
                self._books.on_subscribed(market)
            else:
                self._ledger.back(market.id, stream, "subscribed again")

    def on_depth(self, symbol: str, diff: DepthDiff) -> None:
        market = self._markets.get(symbol)
        if market is not None:
            self._hear_book(market)
            self._books.on_depth(market, diff)

    def on_book(self, symbol: str, snapshot: DepthSnapshot) -> None:
        market = self._markets.get(symbol)
        if market is not None:
            self._hear_book(market)
            self._books.on_book(market, snapshot)

    def _hear_book(self, market: WatchedMarket) -> None:
        market.live.hear_book(self._clock.now())
        market.asked_long_way += 1

    def on_open_interest(self, symbol: str, size: float, exchange_at: Nanoseconds | None) -> None:
        market = self._markets.get(symbol)
        if market is not None:
            self._say_open_interest(market, size, exchange_at)

    def on_trade(self, symbol: str, trade: TradeFrame) -> None:
        market = self._markets.get(symbol)
        if market is not None:
            market.live.hear_trades(self._clock.now())
            market.sampler.on_trade(trade.notional_usd)

    def on_mark(self, symbol: str, mark: MarkFrame) -> None:
        market = self._markets.get(symbol)
        if market is not None:
            self._ledger.delivered(market.id, Stream.MARK_PRICE, self._clock.now(), proof=True)
            self._say_mark(market, mark)

    def on_liquidation(self, symbol: str, liquidation: LiquidationFrame) -> None:
        market, now = self._markets.get(symbol), self._clock.now()
        if market is None:
            return
        self._ledger.delivered(market.id, Stream.LIQUIDATIONS, now, proof=True)
        self._emit(
            LiquidationSeen(
                received_at=now,
                exchange_at=liquidation.exchange_at,
                market=market.id,
                size=liquidation.size,
                price=liquidation.price,
                notional_usd=liquidation.notional_usd,
            )
        )

    def on_malformed(self, symbol: str | None, stream: Stream | None, detail: str) -> None:
        log.warning(
            "frame cannot be read", venue=self._settings.id, symbol=symbol, stream=stream, detail=detail
        )
        for name in [symbol] if symbol in self._markets else list(self._markets):
            self._ledger.malformed(self._markets[str(name)].id, stream or Stream.BOOK, detail)

    # Emitting

    def _say(self, market: WatchedMarket) -> None:
        market.said_at = self._clock.now()
        features = market.sampler.sample(market.said_at)
        market.said = features.status
        # Before the first whole book there is nothing to judge: that nothing was heard yet says as much, and 500
        # markets that are found broken and then whole, one by one, would be what a start is spent on.
        if market.refreshed_at or features.status is not BookStatus.UNSYNCED:
            self._emit(features)

    def _say_mark(self, market: WatchedMarket, mark: MarkFrame) -> None:
        now = self._clock.now()
        market.mark_price = mark.mark_price
        if mark.funding_rate is not None:
            market.funded_at = now
        self._emit(
            MarkPriceSeen(
                received_at=now,
                exchange_at=mark.exchange_at,
                market=market.id,
                mark_price=mark.mark_price,
                index_price=mark.index_price,
                funding_rate=mark.funding_rate,
                next_funding_at=mark.next_funding_at,
            )
        )

    def _say_open_interest(self, market: WatchedMarket, size: float, exchange_at: Nanoseconds | None) -> None:
        now = self._clock.now()
        self._ledger.delivered(market.id, Stream.OPEN_INTEREST, now)
        self._ledger.back(market.id, Stream.OPEN_INTEREST)
        self._emit(
            OpenInterestSeen(
                received_at=now,
                exchange_at=exchange_at,
                market=market.id,
                open_interest=size,
                open_interest_usd=None if market.mark_price is None else size * market.mark_price,
            )
        )

    async def _sample(self) -> None:
        """Sample what changed: a few markets every round, the more important ones first."""
        base_ns = self._settings.sample_ms * NS_PER_MS
        before = self._clock.now()
        while True:
            await self._pause(base_ns // ROUNDS)
            now = self._clock.now()
            due = self._due(now, base_ns, now - before)
            before = now
            for market in due:
                self._say(market)
                self._books.refresh_if_narrow(market, now)
            self._pace.took(len(due), self._clock.now() - now)

    def _due(self, now: Nanoseconds, base_ns: Nanoseconds, round_ns: Nanoseconds) -> list[WatchedMarket]:
        """Changed markets whose time has come; of those that nobody needs no more than belong to one round.

        A round takes as long as it does: what belongs to it goes by that, so that all have theirs in a period.
        """
        ranked = [(self._pace.importance(market.id), market) for market in self._markets.values()]
        far = sum(importance is Importance.FAR for importance, _ in ranked)
        self._pace.watch(self._settings.id, far)
        periods_ns = {importance: self._pace.period_ns(importance, base_ns) for importance in Importance}
        due = [
            (importance, market.said_at, market)
            for importance, market in ranked
            if market.changed and now - market.said_at >= periods_ns[importance]
        ]
        due.sort(key=lambda each: each[:2])
        share = round_ns / periods_ns[Importance.FAR]
        near = sum(importance is not Importance.FAR for importance, _, _ in due)
        return [market for _, _, market in due[: near + math.ceil(far * share)]]

    async def _watch_silence(self, connection: MarketConnection) -> None:
        silence_ns = int(self._settings.silence_s_max * NS_PER_S)
        while True:
            await self._pause(min(NS_PER_S, silence_ns // 4))
            for closed in connection.close_silent(silence_ns):
                log.info("socket fell silent and is opened again", venue=self._settings.id, streams=closed)

    async def _pause(self, pause_ns: Nanoseconds) -> None:
        await self._clock.sleep_until(self._clock.now() + pause_ns)


def _nowhere(event: AnyEvent) -> None:
    """Stands in until ``run`` is called."""
