"""The books of one venue: joined to their streams, given up at the first sign of a loss, and made whole again.

A book is believed (status OK) only between a whole book and the first sign that something was lost. Where the
whole book comes from differs (see ``DepthSource``); what is made of a loss does not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum

import structlog

from adapters.exchanges.activity import Ledger
from adapters.exchanges.backoff import Backoff
from adapters.exchanges.settings import VenueSettings
from adapters.exchanges.sync import DepthDiff, DepthSync, Verdict
from adapters.exchanges.turned_books import TurnedBooks
from adapters.exchanges.venue import DepthSnapshot, DepthSource, MarketConnection, Way
from guard.errors import MalformedFrameError, VenueError
from guard.events import BookStatus, Stream, StreamFaultKind
from guard.market.book import Book, new_book
from guard.market.live import LiveBook
from guard.market.sampler import MarketSampler
from guard.ports import Clock, Importance
from guard.units import NS_PER_S, MarketId, Nanoseconds, market_id

REFRESH_NS = 30 * NS_PER_S
"""A live book whose price has left its snapshot gets a new one at most so often ..."""
REFRESH_ALL_NS = 2 * NS_PER_S
"""... and of all markets one in this time: in a cascade, 600 of Binance's 2,400 request weight a minute."""
QUIET_NS = 60 * NS_PER_S
"""A book without a diff for so long is compared with REST: its subscription may be lost."""
BOOK_WAIT_NS = 5 * NS_PER_S
"""A venue that sends whole books in the stream has so long to send one after it was asked."""
WORKERS = 8
"""Books fetched at once: at 0.1 s an answer 200 markets take 3 s, 500 take 7."""
SETBACK_FAILURES = 3
"""After so many attempts in a row a market waits behind all that failed less often, whatever it is: some that a
venue does not answer for must not keep every other one from being whole."""

ID_MAX = 2**63 - 1
"""The largest number of an update that a reader can follow; none is near it, but what a venue sends is not ours."""

Observer = Callable[[MarketId, int, Book], None]
"""Called after every diff that was applied, with the venue's update id and the book; for tests."""

log = structlog.get_logger()


@dataclass(slots=True)
class Counters:
    """What became of the diffs of one market."""

    applied: int = 0
    stale: int = 0
    buffered: int = 0
    gaps: int = 0


@dataclass(slots=True, weakref_slot=True)
class WatchedMarket:
    """What the feed keeps of one market."""

    id: MarketId
    symbol: str
    sampler: MarketSampler
    sync: DepthSync = field(default_factory=DepthSync)
    counters: Counters = field(default_factory=Counters)
    index: int = -1
    """By which a reader of raw frames names it: of no other market of the feed ever, -1 while no reader knows it."""
    asked_long_way: int = 0
    """Messages of the book's stream since the last account of them that no reader took."""
    said: BookStatus = BookStatus.UNSYNCED
    said_at: Nanoseconds = 0
    generation: int = 0
    """Counts the times that the book was given up: a snapshot of an earlier one is thrown away."""
    refreshed_at: Nanoseconds = 0
    awaited_since: Nanoseconds | None = None
    """Since when the stream owes a whole book."""
    halted: bool = False
    """Whether the venue lists it without trading in it: its book is not believed then."""
    mark_price: float | None = None
    funded_at: Nanoseconds = 0

    @classmethod
    def of(cls, venue: str, symbol: str, source: DepthSource, *, ids_may_fall: bool = False) -> WatchedMarket:
        name = market_id(venue, symbol)
        windowed = source is not DepthSource.REST
        sampler = MarketSampler(name, new_book(where=name), windowed=windowed)
        return cls(name, symbol, sampler, DepthSync(may_fall=ids_may_fall))

    @property
    def live(self) -> LiveBook:
        """What readers of raw frames change by themselves while it is armed."""
        return self.sampler.live

    @property
    def changed(self) -> bool:
        """Whether there is something that was not sampled yet."""
        return self.sampler.live.changed

    @property
    def last_id(self) -> int | None:
        """The last update that the book holds, whichever way it came."""
        return self.live.last_id if self.live.armed else self.sync.last_id

    def take_over(self) -> None:
        """Have every diff asked about, and learn what was applied unasked until now."""
        if self.live.armed:
            self.sync.advance(self.live.last_id)
            self.live.disarm()

    def hand_over(self) -> None:
        """Let readers of raw frames apply what follows exactly, if nothing else is waited for."""
        last_id = self.sync.last_id
        if self.sync.is_exact and last_id is not None and not self.halted and abs(last_id) <= ID_MAX:
            self.live.arm(last_id)


class _Urgency(IntEnum):
    """Of markets that matter as much, a broken book goes before one that could be wider."""

    BROKEN = 0
    NARROW = 1


class Books:
    """Feeds the samplers of ``markets``, which the market feed owns; ``say`` emits a sample of one."""

    def __init__(
        self,
        settings: VenueSettings,
        markets: Mapping[str, WatchedMarket],
        *,
        clock: Clock,
        ledger: Ledger,
        say: Callable[[WatchedMarket], None],
        importance: Callable[[MarketId], Importance] = lambda market: Importance.FAR,  # noqa: ARG005 (all alike)
        observer: Observer | None = None,
    ) -> None:
        self._settings = settings
        self._markets = markets
        self._clock = clock
        self._ledger = ledger
        self._say = say
        self._importance = importance
        self._observer = observer
        self._source = DepthSource.REST
        # Keyed by market, so never larger than the number of markets.
        self._wanted: dict[str, _Urgency] = {}
        self._mending: set[str] = set()
        self._failures: dict[str, int] = {}
        """Attempts in a row that brought no whole book."""
        self._any_wanted = asyncio.Event()
        self._turned = TurnedBooks(markets, clock, say)
        self._refreshed_at: Nanoseconds = 0

    def start(self, tasks: asyncio.TaskGroup, connection: MarketConnection, name: str) -> None:
        """Begin to fetch what is wanted and to look after what is quiet."""
        self._source = connection.capabilities.depth_source
        tasks.create_task(self._turned.run(), name=f"{name} turned books")
        for number in range(WORKERS):
            tasks.create_task(self._mend(connection), name=f"{name} books {number}")
        if connection.capabilities.way(Stream.BOOK) is Way.STREAMED:
            tasks.create_task(self._check_quiet(connection), name=f"{name} quiet books")
        if self._source is DepthSource.STREAM:
            tasks.create_task(self._chase(), name=f"{name} awaited books")

    # What the stream brings

    def on_subscribed(self, market: WatchedMarket) -> None:
        """The stream of this market is complete from now on."""
        if market.sync.live or market.halted:
            return
        if self._source is DepthSource.REST:
            self._want(market)
        else:
            market.awaited_since = self._clock.now()

    def on_attention(self, market: WatchedMarket) -> None:
        """A reader of raw frames has changed a book as it should be said at once."""
        if self._observer is not None:
            self._observer(market.id, market.live.last_id, market.sampler.book)
        self.say_if_changed(market)
        self._turned.say_if_turned(market, self._clock.now())

    def on_depth(self, market: WatchedMarket, diff: DepthDiff) -> None:
        """Take the next diff that no reader has taken."""
        if market.halted:
            return
        market.take_over()
        try:
            self._take_depth(market, diff, self._clock.now())
        finally:
            market.hand_over()

    def _take_depth(self, market: WatchedMarket, diff: DepthDiff, now: Nanoseconds) -> None:
        if self._source is not DepthSource.REST and not market.sync.live:
            market.counters.buffered += 1  # what follows a whole book comes after it: this one is of no use
            # The answer to the subscription, and the whole book after it, may be lost: diffs prove as much.
            if market.awaited_since is None:
                market.awaited_since = now
            return
        match market.sync.accept(diff):
            case Verdict.APPLY:
                self._apply(market, diff, now)
                self.say_if_changed(market)
                self._turned.say_if_turned(market, now)
            case Verdict.STALE:
                market.counters.stale += 1
            case Verdict.BUFFERED:
                market.counters.buffered += 1
                # The answer to SUBSCRIBE, which asks for the snapshot, may be lost: diffs prove as much.
                if market.symbol not in self._mending:
                    self._want(market)
            case Verdict.GAP:
                market.counters.buffered += 1
                self._gap(
                    market,
                    f"an update before {diff.first_id} was lost; taking a new snapshot",
                    keep=self._source is DepthSource.REST,
                )

    def on_book(self, market: WatchedMarket, snapshot: DepthSnapshot) -> None:
        """Take a whole book that the stream (or a poll) brought: it replaces what is held."""
        if market.halted:
            return
        market.take_over()
        now = self._clock.now()
        try:
            market.sampler.on_snapshot(snapshot.bids, snapshot.asks, now, snapshot.exchange_at)
        except Exception:
            self._gap(market, "a whole book cannot be read; waiting for another", keep=False)
            raise
        market.sync.take(snapshot.last_id)
        if self._source is DepthSource.STREAM:
            market.hand_over()
        market.counters.applied += 1
        market.refreshed_at = now
        market.awaited_since = None
        self._wanted.pop(market.symbol, None)
        self._ledger.back(market.id, Stream.BOOK, "the book is whole again")
        if self._observer is not None:
            self._observer(market.id, snapshot.last_id, market.sampler.book)
        self.say_if_changed(market)
        self._turned.say_if_turned(market, now)

    def give_up(self, market: WatchedMarket) -> None:
        """The stream was lost: forget the book. From here on no reader touches it."""
        market.live.disarm()
        market.generation += 1
        market.sync.restart()
        market.awaited_since = None
        market.sampler.mark_unsynced()
        self.say_if_changed(market)

    def forget(self, market: WatchedMarket) -> None:
        """The market is watched no more."""
        market.live.disarm()
        self._wanted.pop(market.symbol, None)
        self._failures.pop(market.symbol, None)

    def say_if_changed(self, market: WatchedMarket) -> None:
        """Emit at once if the book's status is not what was said last; the sampling task says the rest."""
        if market.sampler.status is not market.said:
            self._say(market)

    def refresh_if_narrow(self, market: WatchedMarket, now: Nanoseconds) -> None:
        """Price has left what the snapshot covered: depth behind it is a guess until there is a new one."""
        often = now - market.refreshed_at < REFRESH_NS or now - self._refreshed_at < REFRESH_ALL_NS
        if (
            self._source is DepthSource.REST
            and market.sync.live
            and not often
            and market.symbol not in self._wanted
            and market.sampler.wants_snapshot
        ):
            market.refreshed_at = self._refreshed_at = now
            market.take_over()  # until it is joined, what comes must be kept
            market.sync.refresh()
            self._want(market)

    def _apply(self, market: WatchedMarket, diff: DepthDiff, now: Nanoseconds) -> None:
        try:
            market.sampler.on_deltas(diff.bids, diff.asks, now, diff.exchange_at)
        except Exception:
            # The diff counts as taken by now: whatever went wrong, the book is not what it should be.
            self._gap(market, f"update {diff.last_id} cannot be read; taking a new snapshot", keep=False)
            raise
        market.counters.applied += 1
        if self._observer is not None:
            self._observer(market.id, diff.last_id, market.sampler.book)

    def _gap(self, market: WatchedMarket, detail: str, *, keep: bool) -> None:
        """Stop believing a book; with ``keep`` the diffs that wait for a snapshot are kept."""
        market.take_over()
        market.counters.gaps += 1
        market.sampler.mark_gapped()
        market.generation += 1
        if not keep:
            market.sync.restart()
        self._ledger.lost(market.id, Stream.BOOK, StreamFaultKind.SEQUENCE_GAP, detail)
        self.say_if_changed(market)
        if self._source is not DepthSource.WHOLE:  # there the next frame mends it
            self._want(market)

    # Making books whole again, one market at a time

    def _want(self, market: WatchedMarket) -> None:
        urgency = _Urgency.NARROW if market.sync.live else _Urgency.BROKEN
        asked = self._wanted.get(market.symbol)
        if asked is None or urgency < asked:
            self._wanted[market.symbol] = urgency
            self._any_wanted.set()

    async def _next_wanted(self) -> WatchedMarket:
        """Wait for the market that needs a whole book most, by who depends on it now.

        First those with positions, then those that bots trade, then the rest; of these broken books before
        narrow ones, and in the order in which markets are watched: what is named first, then by turnover. What
        anybody holds may be learned while others are fetched, so it is looked at anew each time.
        """
        while not self._wanted:
            self._any_wanted.clear()
            await self._any_wanted.wait()
        # Some 0.2 ms with 500 that wait, before a request of 100.
        wanted = (market for market in self._markets.values() if market.symbol in self._wanted)
        market = min(wanted, key=self._precedence)
        del self._wanted[market.symbol]
        return market

    def _precedence(self, market: WatchedMarket) -> tuple[int, Importance, _Urgency]:
        setbacks = self._failures.get(market.symbol, 0) // SETBACK_FAILURES
        return (setbacks, self._importance(market.id), self._wanted[market.symbol])

    async def _mend(self, connection: MarketConnection) -> None:
        backoff = Backoff(self._settings.retry_s_max)
        while True:
            market = await self._next_wanted()
            self._mending.add(market.symbol)
            try:
                if await self._mended(connection, market):
                    self._failures.pop(market.symbol, None)
                    continue
                self._failures[market.symbol] = self._failures.get(market.symbol, 0) + 1
                await self._pause(backoff.pause_ns(self._clock.now()))
            finally:
                self._mending.discard(market.symbol)
            if market.symbol in self._markets:
                self._want(market)

    async def _mended(self, connection: MarketConnection, market: WatchedMarket) -> bool:
        """Ask for a whole book once; False if there is none, or none that fits."""
        try:
            if self._source is DepthSource.STREAM:
                await self._renew(connection, market)
                return True
            generation = market.generation
            snapshot = await connection.fetch_depth(market.symbol)
            return generation == market.generation and self._join(market, snapshot)
        except (VenueError, MalformedFrameError) as error:
            log.warning("no whole book, trying again", market=market.id, detail=str(error))
            return False

    async def _renew(self, connection: MarketConnection, market: WatchedMarket) -> None:
        """Have the stream send the whole book of this one market; ``_chase`` sees to it that it comes."""
        if market.sync.live:
            return
        market.awaited_since = self._clock.now()
        await connection.renew_depth(market.symbol)

    async def _chase(self) -> None:
        """Ask again for whole books that the stream owes for too long."""
        while True:
            await self._pause(NS_PER_S)
            now = self._clock.now()
            for market in list(self._markets.values()):
                since = market.awaited_since
                if since is not None and now - since >= BOOK_WAIT_NS and not market.sync.live:
                    market.awaited_since = None
                    self._want(market)

    def _join(self, market: WatchedMarket, snapshot: DepthSnapshot) -> bool:
        """Load a snapshot and what followed it; False if it does not meet the stream."""
        market.take_over()
        try:
            return self._joined(market, snapshot)
        finally:
            market.hand_over()

    def _joined(self, market: WatchedMarket, snapshot: DepthSnapshot) -> bool:
        held = market.sync.last_id
        following = market.sync.join(snapshot.last_id)
        if following is None:
            return False
        now = self._clock.now()
        try:
            market.sampler.on_snapshot(snapshot.bids, snapshot.asks, now, snapshot.exchange_at)
        except Exception:
            market.generation += 1
            market.sync.restart()
            raise
        for diff in following:
            if held is None or diff.last_id > held:
                self._apply(market, diff, now)
            else:  # a live book was refreshed: this one had been applied to it, and counted
                market.sampler.on_deltas(diff.bids, diff.asks, now, diff.exchange_at)
        market.refreshed_at = now
        self._ledger.back(
            market.id, Stream.BOOK, f"the book is whole again from update {market.sync.last_id}"
        )
        self.say_if_changed(market)
        return True

    # Watching over what does not come

    async def _check_quiet(self, connection: MarketConnection) -> None:
        """Find books whose subscription was lost while their socket goes on: REST is ahead of them."""
        silence_ns = int(self._settings.silence_s_max * NS_PER_S)
        while True:
            await self._pause(min(QUIET_NS // 2, silence_ns))
            for market in self._quiet(silence_ns):
                heard_at = self._heard_at(market)
                try:
                    snapshot = await connection.fetch_depth(market.symbol)
                except VenueError as error:
                    log.warning("quiet book cannot be checked", market=market.id, detail=error.detail)
                    continue
                await self._pause(NS_PER_S)  # what is on its way may arrive
                if self._heard_at(market) == heard_at and self._is_behind(market, snapshot):
                    self._wake(connection, market)

    def _quiet(self, silence_ns: Nanoseconds) -> list[WatchedMarket]:
        """Live books without a diff for long; where all are silent, the first stands for all and earlier."""
        now = self._clock.now()
        live = [market for market in self._markets.values() if market.sync.live]
        silent_ns = {market.symbol: now - self._heard_at(market) for market in live}
        if silent_ns and min(silent_ns.values()) >= silence_ns:
            return [live[0]]
        return [market for market in live if silent_ns[market.symbol] >= QUIET_NS]

    def _is_behind(self, market: WatchedMarket, snapshot: DepthSnapshot) -> bool:
        """Whether the venue's book has moved on from ours."""
        held = market.last_id
        if held is None:
            return False
        if self._source is DepthSource.REST:
            return held < snapshot.last_id
        # Numbers of two ways need not be comparable; prices are.
        best = (market.sampler.book.best_bid(), market.sampler.book.best_ask())
        try:
            told = tuple(
                (float(side[0][0]), float(side[0][1])) if side else None
                for side in (snapshot.bids, snapshot.asks)
            )
        except (ValueError, IndexError):
            return False
        return best != told

    def _wake(self, connection: MarketConnection, market: WatchedMarket) -> None:
        reason = f"{market.id} moves on at the venue, but its stream is silent"
        if self._source is DepthSource.STREAM:
            self._gap(market, reason, keep=False)
        else:
            connection.reopen(Stream.BOOK, reason)

    def _heard_at(self, market: WatchedMarket) -> Nanoseconds:
        return max(market.live.book_heard_at, market.refreshed_at)

    async def _pause(self, pause_ns: Nanoseconds) -> None:
        await self._clock.sleep_until(self._clock.now() + pause_ns)
