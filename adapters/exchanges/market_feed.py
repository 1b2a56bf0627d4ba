"""The public side of a venue as events: books and trades sampled, prices, liquidations, open interest.

Frames arrive synchronously through the sink and go straight into array books; tasks only subscribe, fetch
snapshots, sample and watch over silence. A book is believed (status OK) only between a snapshot that was
joined to its stream and the first sign that something was lost.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

import structlog

from adapters.exchanges.activity import Ledger
from adapters.exchanges.backoff import Backoff
from adapters.exchanges.settings import VenueSettings
from adapters.exchanges.sync import DepthDiff, DepthSync, Verdict
from adapters.exchanges.venue import (
    DepthSnapshot,
    LiquidationFrame,
    MarketConnection,
    MarketSink,
    MarkFrame,
    TradeFrame,
    Way,
)
from guard.errors import MalformedFrameError, VenueError
from guard.events import (
    AnyEvent,
    BookStatus,
    LiquidationSeen,
    MarkPriceSeen,
    OpenInterestSeen,
    Stream,
    StreamFaultKind,
)
from guard.market.book import Book, new_book
from guard.market.sampler import MarketSampler
from guard.ports import Clock, Emit
from guard.units import NS_PER_MS, NS_PER_S, MarketId, Nanoseconds, market_id

STREAMS = (Stream.BOOK, Stream.TRADES, Stream.MARK_PRICE, Stream.LIQUIDATIONS)
BATCH = 100
"""Symbols in one subscription and on one socket; Binance takes 200 streams a SUBSCRIBE."""
SNAPSHOT_WORKERS = 4
REFRESH_NS = 30 * NS_PER_S
"""A live book whose price has left its snapshot gets a new one at most so often ..."""
REFRESH_ALL_NS = 2 * NS_PER_S
"""... and of all markets one in this time: in a cascade, 600 of the 2,400 request weight a minute."""
QUIET_NS = 60 * NS_PER_S
"""A book without a diff for so long is compared with REST: its subscription may be lost."""
OPEN_INTEREST_PAUSE_S = 0.25
"""Between two requests, so that 200 markets take 240 of the 2,400 request weight a minute."""

Observer = Callable[[MarketId, int, Book], None]
"""Called after every diff that was applied, with the venue's update id and the book; for tests."""

TURN_NS = 10 * NS_PER_MS
"""A book that turns is sampled at once, but no more often than this: a sample costs some 0.3 ms."""

log = structlog.get_logger()


@dataclass(slots=True)
class Counters:
    """What became of the diffs of one market."""

    applied: int = 0
    stale: int = 0
    buffered: int = 0
    gaps: int = 0


class _Urgency(IntEnum):
    """A broken book goes before one that could be wider."""

    BROKEN = 0
    NARROW = 1


@dataclass(slots=True)
class _Market:
    id: MarketId
    symbol: str
    sampler: MarketSampler
    sync: DepthSync = field(default_factory=DepthSync)
    counters: Counters = field(default_factory=Counters)
    changed: bool = False
    said: BookStatus = BookStatus.UNSYNCED
    said_at: Nanoseconds = 0
    generation: int = 0
    """Counts the times that the book was given up: a snapshot of an earlier one is thrown away."""
    refreshed_at: Nanoseconds = 0
    mark_price: float | None = None
    funded_at: Nanoseconds = 0


class MarketFeed:
    """A Feed (see ``guard.ports``) of one venue's public data."""

    def __init__(
        self,
        settings: VenueSettings,
        *,
        clock: Clock,
        connect: Callable[[MarketSink], Awaitable[MarketConnection]],
        observer: Observer | None = None,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._connect = connect
        self._observer = observer
        self._emit: Emit = _nowhere
        self._ledger = Ledger(_nowhere, clock)
        self._markets: dict[str, _Market] = {}
        for symbol in settings.symbols:
            name = market_id(settings.id, symbol)
            self._markets[symbol] = _Market(name, symbol, MarketSampler(name, new_book(where=name)))
        # Keyed by market, so never larger than the number of markets.
        self._wanted: dict[str, tuple[_Urgency, int]] = {}
        self._any_wanted = asyncio.Event()
        self._order = itertools.count()
        self._refreshed_at: Nanoseconds = 0

    @property
    def name(self) -> str:
        return f"{self._settings.id} market data"

    @property
    def counters(self) -> dict[MarketId, Counters]:
        """What became of the diffs of each market."""
        return {market.id: market.counters for market in self._markets.values()}

    async def run(self, emit: Emit) -> None:
        """Emit until cancelled; reconnects and resynchronises by itself."""
        self._emit = emit
        self._ledger = Ledger(emit, self._clock)
        connection = await self._connect(self)
        try:
            known = await self._load(connection)
            if not known:
                log.error("no market of this venue can be watched", venue=self._settings.id)
                await asyncio.Event().wait()
            async with asyncio.TaskGroup() as tasks:
                for stream in STREAMS:
                    if connection.capabilities.way(stream) is Way.ABSENT:
                        continue
                    for first in range(0, len(known), BATCH):
                        batch = known[first : first + BATCH]
                        tasks.create_task(
                            self._keep(connection, stream, batch), name=f"{self.name} {stream} {first}"
                        )
                for number in range(min(SNAPSHOT_WORKERS, len(known))):
                    tasks.create_task(
                        self._fetch_snapshots(connection), name=f"{self.name} snapshots {number}"
                    )
                tasks.create_task(self._sample(), name=f"{self.name} sampling")
                tasks.create_task(self._ledger.run(), name=f"{self.name} activity")
                tasks.create_task(self._watch_silence(connection), name=f"{self.name} silence")
                tasks.create_task(self._check_quiet(connection, known), name=f"{self.name} quiet books")
                tasks.create_task(
                    self._poll_open_interest(connection, known), name=f"{self.name} open interest"
                )
                tasks.create_task(self._poll_funding(connection, known), name=f"{self.name} funding")
        finally:
            await connection.close()

    # Connecting

    async def _load(self, connection: MarketConnection) -> list[str]:
        backoff = Backoff(self._settings.retry_s_max)
        while True:
            try:
                known, errors = await connection.load(self._settings.symbols)
            except VenueError as error:
                self._lost(Stream.BOOK, self._settings.symbols, error)
                self._ledger.flush()
                await self._pause(backoff.pause_ns(self._clock.now()))
                continue
            for unknown in errors:
                log.error("symbol refused", venue=self._settings.id, detail=str(unknown))
            refused = [symbol for symbol in self._settings.symbols if symbol not in known]
            for symbol, unknown in zip(refused, errors, strict=True):
                name = self._markets[symbol].id
                self._ledger.fault(name, Stream.BOOK, StreamFaultKind.REFUSED, str(unknown))
            return known

    async def _keep(self, connection: MarketConnection, stream: Stream, symbols: Sequence[str]) -> None:
        """Keep one subscription: whenever it fails, say so, wait a little, subscribe again."""
        backoff = Backoff(self._settings.retry_s_max)
        while True:
            try:
                await connection.watch(stream, symbols)
            except VenueError as error:
                self._lost(stream, symbols, error)
            await self._pause(backoff.pause_ns(self._clock.now()))

    def _lost(self, stream: Stream, symbols: Sequence[str], error: VenueError) -> None:
        for symbol in symbols:
            market = self._markets[symbol]
            self._ledger.lost(
                market.id, stream, StreamFaultKind.DISCONNECTED, f"{error.detail}; trying again"
            )
            if stream is Stream.BOOK:
                self._give_up_book(market)
                market.sampler.mark_unsynced()
                self._say_if_changed(market)

    # What the connection delivers (MarketSink)

    def on_subscribed(self, stream: Stream, symbols: Sequence[str]) -> None:
        for symbol in symbols:
            market = self._markets[symbol]
            if stream is not Stream.BOOK:
                self._ledger.back(market.id, stream, "subscribed again")
            elif not market.sync.live:
                self._want_snapshot(market)

    def on_depth(self, symbol: str, diff: DepthDiff) -> None:
        market, now = self._markets[symbol], self._clock.now()
        self._ledger.delivered(market.id, Stream.BOOK, now)
        match market.sync.accept(diff):
            case Verdict.APPLY:
                self._apply(market, diff, now)
                self._say_if_changed(market)
                if now - market.said_at >= TURN_NS and market.sampler.has_turned:
                    self._say(market)
            case Verdict.STALE:
                market.counters.stale += 1
            case Verdict.BUFFERED:
                market.counters.buffered += 1
            case Verdict.GAP:
                market.counters.buffered += 1
                self._gap(
                    market, f"an update before {diff.first_id} was lost; taking a new snapshot", keep=True
                )

    def on_book(self, symbol: str, snapshot: DepthSnapshot) -> None:
        raise NotImplementedError  # replaced below by the next commit

    def on_open_interest(self, symbol: str, size: float, exchange_at: Nanoseconds | None) -> None:
        self._say_open_interest(self._markets[symbol], size, exchange_at)

    def on_trade(self, symbol: str, trade: TradeFrame) -> None:
        market = self._markets[symbol]
        self._ledger.delivered(market.id, Stream.TRADES, self._clock.now())
        market.sampler.on_trade(trade.notional_usd)
        market.changed = True

    def on_mark(self, symbol: str, mark: MarkFrame) -> None:
        now = self._clock.now()
        self._ledger.delivered(self._markets[symbol].id, Stream.MARK_PRICE, now)
        self._say_mark(self._markets[symbol], mark, now)

    def on_liquidation(self, symbol: str, liquidation: LiquidationFrame) -> None:
        market, now = self._markets[symbol], self._clock.now()
        self._ledger.delivered(market.id, Stream.LIQUIDATIONS, now)
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

    # Books

    def _apply(self, market: _Market, diff: DepthDiff, now: Nanoseconds) -> None:
        try:
            market.sampler.on_deltas(diff.bids, diff.asks, now, diff.exchange_at)
        except MalformedFrameError:
            self._gap(market, f"update {diff.last_id} cannot be read; taking a new snapshot", keep=False)
            raise
        market.counters.applied += 1
        market.changed = True
        if self._observer is not None:
            self._observer(market.id, diff.last_id, market.sampler.book)

    def _gap(self, market: _Market, detail: str, *, keep: bool) -> None:
        """Stop believing a book; with ``keep`` the diffs that wait for a snapshot are kept."""
        market.counters.gaps += 1
        market.sampler.mark_gapped()
        market.generation += 1
        if not keep:
            market.sync.restart()
        self._ledger.lost(market.id, Stream.BOOK, StreamFaultKind.SEQUENCE_GAP, detail)
        self._say_if_changed(market)
        self._want_snapshot(market)

    def _give_up_book(self, market: _Market) -> None:
        market.generation += 1
        market.sync.restart()

    def _want_snapshot(self, market: _Market) -> None:
        urgency = _Urgency.NARROW if market.sync.live else _Urgency.BROKEN
        asked = self._wanted.get(market.symbol)
        if asked is None or urgency < asked[0]:
            self._wanted[market.symbol] = (urgency, next(self._order))
            self._any_wanted.set()

    async def _next_wanted(self) -> _Market:
        """Wait for the market that needs a snapshot most, and has waited longest."""
        while not self._wanted:
            self._any_wanted.clear()
            await self._any_wanted.wait()
        symbol = min(self._wanted, key=self._wanted.__getitem__)
        del self._wanted[symbol]
        return self._markets[symbol]

    async def _fetch_snapshots(self, connection: MarketConnection) -> None:
        backoff = Backoff(self._settings.retry_s_max)
        while True:
            market = await self._next_wanted()
            generation = market.generation
            try:
                snapshot = await connection.fetch_depth(market.symbol)
                joined = generation == market.generation and self._join(market, snapshot)
            except (VenueError, MalformedFrameError) as error:
                log.warning("no snapshot, trying again", market=market.id, detail=str(error))
                joined = False
            if not joined:
                self._want_snapshot(market)
                await self._pause(backoff.pause_ns(self._clock.now()))

    def _join(self, market: _Market, snapshot: DepthSnapshot) -> bool:
        """Load a snapshot and what followed it; False if it does not meet the stream."""
        held = market.sync.last_id
        following = market.sync.join(snapshot.last_id)
        if following is None:
            return False
        now = self._clock.now()
        try:
            market.sampler.on_snapshot(snapshot.bids, snapshot.asks, now, snapshot.exchange_at)
        except MalformedFrameError:
            self._give_up_book(market)
            raise
        for diff in following:
            if held is None or diff.last_id > held:
                self._apply(market, diff, now)
            else:  # a live book was refreshed: this one had been applied to it, and counted
                market.sampler.on_deltas(diff.bids, diff.asks, now, diff.exchange_at)
        market.changed = True
        market.refreshed_at = now
        self._ledger.back(
            market.id, Stream.BOOK, f"the book is whole again from update {market.sync.last_id}"
        )
        self._say_if_changed(market)
        return True

    # Emitting

    def _say_if_changed(self, market: _Market) -> None:
        """Emit at once if the book's status is not what was said last; the sampling task says the rest."""
        if market.sampler.status is not market.said:
            self._say(market)

    def _say(self, market: _Market) -> None:
        market.said_at = self._clock.now()
        features = market.sampler.sample(market.said_at)
        market.changed = False
        market.said = features.status
        self._emit(features)

    def _say_mark(self, market: _Market, mark: MarkFrame, now: Nanoseconds) -> None:
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

    async def _sample(self) -> None:
        while True:
            await self._pause(self._settings.sample_ms * NS_PER_MS)
            now = self._clock.now()
            for market in self._markets.values():
                if market.changed:
                    self._say(market)
                    self._refresh_if_narrow(market, now)

    def _refresh_if_narrow(self, market: _Market, now: Nanoseconds) -> None:
        """Price has left what the snapshot covered: depth behind it is a guess until there is a new one."""
        often = now - market.refreshed_at < REFRESH_NS or now - self._refreshed_at < REFRESH_ALL_NS
        if (
            market.sync.live
            and not often
            and market.symbol not in self._wanted
            and market.sampler.wants_snapshot
        ):
            market.refreshed_at = self._refreshed_at = now
            market.sync.refresh()
            self._want_snapshot(market)

    # Watching over what does not come

    async def _watch_silence(self, connection: MarketConnection) -> None:
        silence_ns = int(self._settings.silence_s_max * NS_PER_S)
        while True:
            await self._pause(min(NS_PER_S, silence_ns // 4))
            for closed in connection.close_silent(silence_ns):
                log.info("socket fell silent and is opened again", venue=self._settings.id, streams=closed)

    async def _check_quiet(self, connection: MarketConnection, symbols: Sequence[str]) -> None:
        """Find books whose subscription was lost while their socket goes on: REST is ahead of them."""
        silence_ns = int(self._settings.silence_s_max * NS_PER_S)
        while True:
            await self._pause(min(QUIET_NS // 2, silence_ns))
            for symbol in self._quiet_books(symbols, silence_ns):
                market = self._markets[symbol]
                held = market.sync.last_id
                try:
                    snapshot = await connection.fetch_depth(symbol)
                except VenueError as error:
                    log.warning("quiet book cannot be checked", market=market.id, detail=error.detail)
                    continue
                await self._pause(NS_PER_S)  # what is on its way may arrive
                if held is not None and market.sync.last_id == held < snapshot.last_id:
                    connection.reopen(
                        Stream.BOOK, f"{market.id} moves on at the venue, but its stream is silent"
                    )

    def _quiet_books(self, symbols: Sequence[str], silence_ns: Nanoseconds) -> list[str]:
        """Live books without a diff for long; where all are silent, the first stands for all and earlier."""
        now = self._clock.now()
        live = [self._markets[symbol] for symbol in symbols if self._markets[symbol].sync.live]
        silent_ns = {market.symbol: now - self._heard_at(market) for market in live}
        if silent_ns and min(silent_ns.values()) >= silence_ns:
            return [live[0].symbol]
        return [symbol for symbol, silent in silent_ns.items() if silent >= QUIET_NS]

    def _heard_at(self, market: _Market) -> Nanoseconds:
        return max(self._ledger.last_at(market.id, Stream.BOOK) or 0, market.refreshed_at)

    async def _poll_open_interest(self, connection: MarketConnection, symbols: Sequence[str]) -> None:
        pause_s = max(OPEN_INTEREST_PAUSE_S, self._settings.open_interest_poll_s / len(symbols))
        while True:
            for symbol in symbols:
                market = self._markets[symbol]
                try:
                    amount, exchange_at = await connection.fetch_open_interest(symbol)
                except VenueError as error:
                    self._ledger.lost(
                        market.id, Stream.OPEN_INTEREST, StreamFaultKind.DISCONNECTED, error.detail
                    )
                else:
                    self._say_open_interest(market, amount, exchange_at)
                await self._pause(int(pause_s * NS_PER_S))

    def _say_open_interest(self, market: _Market, amount: float, exchange_at: Nanoseconds | None) -> None:
        now = self._clock.now()
        self._ledger.delivered(market.id, Stream.OPEN_INTEREST, now)
        self._ledger.back(market.id, Stream.OPEN_INTEREST)
        event: AnyEvent = OpenInterestSeen(
            received_at=now,
            exchange_at=exchange_at,
            market=market.id,
            open_interest=amount,
            open_interest_usd=None if market.mark_price is None else amount * market.mark_price,
        )
        self._emit(event)

    async def _poll_funding(self, connection: MarketConnection, symbols: Sequence[str]) -> None:
        """Ask for mark price and funding where the stream has not told them for so long."""
        poll_ns = int(self._settings.funding_poll_s * NS_PER_S)
        while True:
            await self._pause(poll_ns)
            for symbol in symbols:
                market = self._markets[symbol]
                if self._clock.now() - market.funded_at < poll_ns:
                    continue
                try:
                    mark = await connection.fetch_mark(symbol)
                except VenueError as error:
                    log.warning(
                        "funding cannot be asked, trying again", market=market.id, detail=error.detail
                    )
                else:
                    self._say_mark(market, mark, self._clock.now())

    async def _pause(self, pause_ns: Nanoseconds) -> None:
        await self._clock.sleep_until(self._clock.now() + pause_ns)


def _nowhere(event: AnyEvent) -> None:
    """Stands in until ``run`` is called."""
