"""Follows which markets of one venue are to be watched, and says so: at start, at each choice, at each listing.

Markets that the settings name, that bots trade or in which there is a position are always watched. One that the
venue does not list (any more) stays unknown, is named in the log with what looks like it, and is looked for again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

import structlog

from adapters.exchanges.activity import Ledger
from adapters.exchanges.backoff import Backoff
from adapters.exchanges.market_books import Books, WatchedMarket
from adapters.exchanges.market_polls import interest_round_s
from adapters.exchanges.market_subscriptions import Subscriptions
from adapters.exchanges.selection import busiest, chosen, quote_of
from adapters.exchanges.settings import VenueSettings
from adapters.exchanges.venue import Capabilities, ListedMarket, MarketConnection, Way
from guard.errors import VenueError
from guard.events import MarketsWatched, Stream, StreamFaultKind
from guard.ports import Clock, Emit
from guard.units import NS_PER_S, Nanoseconds, market_id

LOOK_NS = NS_PER_S
"""How often it is looked whether somebody holds something new."""
RELIST_NS_MIN = 60 * NS_PER_S
"""So long after a symbol was found to be unknown it is looked for again, then after twice as long, and so on."""
RETRY_NS = 10 * NS_PER_S
"""After the venue would not be read."""
ASTRAY_RELIST_NS = 600 * NS_PER_S
"""Not more often than this because a book stays away."""
ASTRAY_NS = 120 * NS_PER_S
"""A book that is away for so long may belong to a market that is not listed any more."""

SLOWER = 1.5
"""A stream that speaks less often than was said by this factor is said to do so; five times would be silence."""

log = structlog.get_logger()


@dataclass(slots=True)
class Watchlist:
    """Keeps ``markets``, and everything that hangs on them, as they are to be."""

    settings: VenueSettings
    connection: MarketConnection
    subscriptions: Subscriptions
    markets: dict[str, WatchedMarket]
    books: Books
    clock: Clock
    ledger: Ledger
    emit: Emit
    held: Callable[[], Collection[str]]
    _top: list[str] = field(default_factory=list)
    _unlisted: set[str] = field(default_factory=set)
    """What should be watched and is not listed."""
    _left_out: set[str] = field(default_factory=set)
    """What should be watched and is too much for the venue ..."""
    _refused: set[str] = field(default_factory=set)
    """... and of that what is named or held."""
    _halted: set[str] = field(default_factory=set)
    _has_left: bool = False
    """Whether a market was left since it was last said what is watched."""
    _said: Capabilities | None = None
    """What was said last of how the venue gives its streams: it may turn out to give less."""
    _said_round_ms: int = 0
    _listed_at: Nanoseconds = 0
    _unlisted_pause_ns: Nanoseconds = RELIST_NS_MIN
    _choose_at: Nanoseconds = 0
    _retry_at: Nanoseconds = 0
    _seen_at: dict[str, Nanoseconds] = field(default_factory=dict)
    """When each market's book was last alive."""
    _backoff: Backoff = field(init=False)

    def __post_init__(self) -> None:
        self._backoff = Backoff(self.settings.retry_s_max)

    async def begin(self) -> None:
        """Choose for the first time, as soon as the venue answers."""
        while True:
            now = self.clock.now()
            try:
                if self.settings.top:
                    self._rank(await self.connection.list_perpetuals())
                await self._watch_what_should_be(is_first=True)
            except VenueError as error:
                self._cannot_begin(error)
                await self.clock.sleep_until(now + self._backoff.pause_ns(now))
            else:
                self._listed_at = now
                self._choose_at = self._next_choice(now)
                return

    async def follow(self) -> None:
        """Look again and again who holds what, and what the venue lists."""
        while True:
            await self.clock.sleep_until(self.clock.now() + LOOK_NS)
            now = self.clock.now()
            if now < self._retry_at:
                continue
            try:
                await self._follow(now)
            except VenueError as error:
                self._retry_at = now + RETRY_NS
                log.warning(
                    "markets cannot be read, trying again", venue=self.settings.id, detail=error.detail
                )

    async def _follow(self, now: Nanoseconds) -> None:
        if self._must_relist(now):
            self._take_listing(await self.connection.list_perpetuals(), now)
            self._listed_at = now
            await self._watch_what_should_be()
            await self.subscriptions.regroup()
        elif self._wanted() - self._known():
            await self._watch_what_should_be()
        if self.connection.capabilities != self._said or self._has_slowed():
            self._say()

    def _has_slowed(self) -> bool:
        """Whether open interest is told so much less often than was said that it would count as silent."""
        is_polled = self.connection.capabilities.way(Stream.OPEN_INTEREST) is Way.POLLED
        return is_polled and self._interest_round_ms() > SLOWER * self._said_round_ms

    def _wanted(self) -> set[str]:
        return {*self.settings.symbols, *self.held(), *self._top}

    def _known(self) -> set[str]:
        # What was left out as one of many may have become what somebody holds.
        left_out = self._left_out.difference(self.held()) | self._refused
        return self.markets.keys() | self._unlisted | left_out

    def _must_relist(self, now: Nanoseconds) -> bool:
        since_ns = now - self._listed_at
        relist_ns = int(self.settings.listing_poll_s * NS_PER_S)
        if since_ns >= relist_ns or now >= self._choose_at:
            return True
        for symbol, market in self.markets.items():
            if market.sync.live or symbol in self._halted:
                self._seen_at[symbol] = now
        astray = any(now - self._seen_at.get(symbol, now) >= ASTRAY_NS for symbol in self.markets)
        if astray and since_ns >= ASTRAY_RELIST_NS:
            return True
        if not self._unlisted or since_ns < self._unlisted_pause_ns:
            return False
        self._unlisted_pause_ns = min(2 * self._unlisted_pause_ns, relist_ns)
        return True

    def _next_choice(self, now: Nanoseconds) -> Nanoseconds:
        hour_ns = 3_600 * NS_PER_S
        first, period = self.settings.choose_at_h * hour_ns, self.settings.choose_every_h * hour_ns
        return first + ((now - first) // period + 1) * period

    # What the venue lists

    def _rank(self, listed: Sequence[ListedMarket]) -> None:
        quote = quote_of(self.settings.id, self.settings.quote)
        self._top = busiest(listed, self.settings.top, quote)
        if not self._top:
            quotes = sorted({market.quote for market in listed if market.volume_usd is not None})
            log.error(
                "no busiest markets: name symbols, or set quote to one of those that the venue has",
                venue=self.settings.id,
                quote=quote,
                quotes=quotes,
            )

    def _take_listing(self, listed: Sequence[ListedMarket], now: Nanoseconds) -> None:
        """Note what is gone, halted or back, and choose the busiest anew if that is due."""
        active = {market.symbol: market.active for market in listed}
        if self.settings.top and (now >= self._choose_at or not self._top):
            self._rank(listed)
        else:
            self._top = [symbol for symbol in self._top if active.get(symbol)]
        if now >= self._choose_at:
            self._choose_at = self._next_choice(now)
        self._unlisted = {symbol for symbol in self._unlisted if symbol not in active}
        for symbol in [symbol for symbol in self.markets if symbol not in active]:
            self._leave(symbol, "the venue lists it no more")
        for symbol, market in self.markets.items():
            if active[symbol] is (symbol in self._halted):
                self._halt(market, halted=not active[symbol])

    def _halt(self, market: WatchedMarket, *, halted: bool) -> None:
        market.halted = halted
        if halted:
            self._halted.add(market.symbol)
            log.warning("market is halted", market=market.id)
            detail = "the venue has halted trading in it"
            self.ledger.fault(market.id, Stream.BOOK, StreamFaultKind.REFUSED, detail)
            self.books.give_up(market)
        else:
            self._halted.discard(market.symbol)
            log.info("market is traded again", market=market.id)
            self.books.on_subscribed(market)

    # What is watched

    async def _watch_what_should_be(self, *, is_first: bool = False) -> None:
        """Add what should be watched and is not, leave what should not be, and say so if that is news.

        Raises:
            VenueError: the venue's markets cannot be read; nothing has changed then.
        """
        wanted = self._within_limit(chosen(self.settings.symbols, self.held(), self._top))
        new = [symbol for symbol in wanted if symbol not in self.markets]
        added, errors = await self.connection.load(new)
        for symbol, error in zip((each for each in new if each not in added), errors, strict=True):
            if symbol not in self._unlisted:
                self._unlisted.add(symbol)
                self._unlisted_pause_ns = RELIST_NS_MIN
                log.error("symbol refused", venue=self.settings.id, detail=str(error))
                name = market_id(self.settings.id, symbol)
                self.ledger.fault(name, Stream.BOOK, StreamFaultKind.REFUSED, str(error))
        for symbol in [symbol for symbol in self.markets if symbol not in wanted]:
            self._leave(symbol, "")
        self._unlisted &= set(wanted)
        for symbol in added:
            self._unlisted.discard(symbol)
            capabilities = self.connection.capabilities
            self.markets[symbol] = WatchedMarket.of(
                self.settings.id,
                symbol,
                capabilities.depth_source,
                ids_may_fall=capabilities.depth_ids_may_fall,
            )
        if is_first or added or self._has_left:
            self._has_left = False
            self._say()
        self.subscriptions.add(added)

    def _within_limit(self, wanted: list[str]) -> list[str]:
        """Leave out what is too much for the venue: the least busy first, then the last of what is held or named."""
        limit = self.connection.capabilities.markets_max
        left_out = set(wanted[limit:]) if limit is not None else set()
        refused = left_out & {*self.settings.symbols, *self.held()}
        for symbol in refused - self._refused:
            detail = f"the venue takes subscriptions to no more than {limit} markets: name fewer"
            name = market_id(self.settings.id, symbol)
            self.ledger.fault(name, Stream.BOOK, StreamFaultKind.REFUSED, detail)
        new, self._refused = left_out - self._left_out, refused
        if new:
            log.error(
                "markets are left out: the venue takes subscriptions to no more than so many from one address",
                venue=self.settings.id,
                markets_max=limit,
                left_out=sorted(left_out),
            )
        self._left_out = left_out
        return [symbol for symbol in wanted if symbol not in left_out]

    def _leave(self, symbol: str, why: str) -> None:
        """Watch a market no more; with a reason, it is one that the venue has taken away."""
        market = self.markets[symbol]
        if why:
            log.warning("market is left", market=market.id, why=why)
            self.ledger.fault(market.id, Stream.BOOK, StreamFaultKind.REFUSED, why)
            self.books.give_up(market)
        self.subscriptions.remove([symbol])
        self.books.forget(market)
        self.ledger.forget(market.id)
        self._halted.discard(symbol)
        self._seen_at.pop(symbol, None)
        del self.markets[symbol]
        self._has_left = True

    def _say(self) -> None:
        capabilities = self._said = self.connection.capabilities
        periods_ms = dict(capabilities.periods_ms)
        if capabilities.way(Stream.OPEN_INTEREST) is Way.POLLED:
            periods_ms[Stream.OPEN_INTEREST] = self._said_round_ms = self._interest_round_ms()
        public = (stream for stream in Stream if stream is not Stream.ACCOUNT)
        names = dict.fromkeys((*self.settings.symbols, *self.markets))
        log.info("markets are watched", venue=self.settings.id, markets=len(self.markets))
        self.emit(
            MarketsWatched(
                received_at=self.clock.now(),
                venue=self.settings.id,
                markets=tuple(market_id(self.settings.id, symbol) for symbol in names),
                periods_ms=periods_ms,
                absent=tuple(stream for stream in public if capabilities.way(stream) is Way.ABSENT),
            )
        )

    def _interest_round_ms(self) -> int:
        """How often open interest of the market that is asked least often is told, by who holds what now."""
        near = len(self.markets.keys() & set(self.held()))
        far = len(self.markets) - near
        return int(1_000 * interest_round_s(self.settings, self.connection.capabilities, near=near, far=far))

    def _cannot_begin(self, error: VenueError) -> None:
        for symbol in {*self.settings.symbols, *self.held()}:
            name = market_id(self.settings.id, symbol)
            self.ledger.lost(name, Stream.BOOK, StreamFaultKind.DISCONNECTED, f"{error.detail}; trying again")
        if not self.settings.symbols:
            log.warning(
                "venue cannot be read, trying again; nothing of it is watched yet",
                venue=self.settings.id,
                detail=error.detail,
            )
        self.ledger.flush()
