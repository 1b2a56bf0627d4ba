"""Keeps the subscriptions of one venue: in batches, each subscribed again whenever it is lost."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import structlog

from adapters.exchanges.backoff import Backoff
from adapters.exchanges.venue import Capabilities, MarketConnection, Way
from guard.errors import VenueError
from guard.events import Stream
from guard.ports import Clock

BATCH = 100
"""Symbols in one subscription, where the venue says nothing else, each on a socket of its own. For 500 markets:

- Binance: five sockets for each of four streams, 100 streams each. A connection carries 200 (docs of USD-M futures,
  "Connect"; ccxt's ``subscriptionLimitByStream``) and takes 10 messages a second, of which each gets one; 300 dials in
  5 minutes are allowed, and these are 20.
- Bybit: likewise 20 sockets; the topics of a request are 3 KB of the 21,000 characters that one connection may
  name, and 500 dials in 5 minutes are allowed (docs of v5, "Connect").
- OKX: 25 sockets, of which three a second may be opened: the books' five first, in 2 s, all within 10 s. A request
  of marks names 300 channels, 16 KB of 64 KB; each is one of 480 an hour on its connection (docs, "WebSocket").
- Hyperliquid: 1,000 subscriptions and 2,000 messages a minute for an address, so 190 markets (``markets_max``).
"""

SPARE_BATCHES = 4
"""So many more batches than needed may come of markets that are added one by one."""

Lost = Callable[[Stream, Sequence[str], VenueError], None]

log = structlog.get_logger()


@dataclass(slots=True, eq=False)
class _Batch:
    symbols: list[str]
    task: asyncio.Task[None] | None = field(default=None, repr=False)


def watched_streams(capabilities: Capabilities) -> list[Stream]:
    """The streams that ``MarketConnection.watch`` is asked for; open interest that is polled, the feed asks.

    >>> from adapters.exchanges.binance.capabilities import CAPABILITIES
    >>> [str(stream) for stream in watched_streams(CAPABILITIES)]
    ['book', 'trades', 'mark_price', 'liquidations']
    """
    public = (Stream.BOOK, Stream.TRADES, Stream.MARK_PRICE, Stream.LIQUIDATIONS)
    streams = [stream for stream in public if capabilities.way(stream) is not Way.ABSENT]
    if capabilities.way(Stream.OPEN_INTEREST) is Way.STREAMED:
        streams.append(Stream.OPEN_INTEREST)
    return streams


class Subscriptions:
    """The subscriptions of one connection; ``on_lost`` hears of each that failed, before it is tried again."""

    def __init__(
        self,
        connection: MarketConnection,
        tasks: asyncio.TaskGroup,
        *,
        name: str,
        clock: Clock,
        retry_s_max: float,
        on_lost: Lost,
    ) -> None:
        self._connection = connection
        self._tasks = tasks
        self._name = name
        self._clock = clock
        self._retry_s_max = retry_s_max
        self._on_lost = on_lost
        self._batches: dict[Stream, list[_Batch]] = defaultdict(list)

    def add(self, symbols: Sequence[str]) -> None:
        """Subscribe to every stream of these markets."""
        for stream in watched_streams(self._connection.capabilities):
            self._add(stream, symbols)

    def remove(self, symbols: Iterable[str]) -> None:
        """Leave these markets out of every later subscription; what still comes of them is ignored."""
        gone = set(symbols)
        for batches in self._batches.values():
            for batch in list(batches):
                batch.symbols = [symbol for symbol in batch.symbols if symbol not in gone]
                if not batch.symbols and batch.task is not None:
                    batch.task.cancel()
                    batches.remove(batch)

    async def regroup(self) -> None:
        """Subscribe anew in as few batches as possible where daily changes have left many small ones.

        That loses the stream for a moment, so it happens once in many changes.
        """
        for stream, batches in self._batches.items():
            symbols = [symbol for batch in batches for symbol in batch.symbols]
            size = self._size(stream)
            if len(batches) <= -(-len(symbols) // size) + SPARE_BATCHES:
                continue
            reason = "subscribing anew in fewer batches"
            log.info("subscribing anew in fewer batches", stream=stream, batches=len(batches))
            self._connection.reopen(stream, reason)
            running = [batch.task for batch in batches if batch.task is not None]
            for task in running:
                task.cancel()
            await asyncio.wait(running)
            self._on_lost(stream, symbols, VenueError(self._name, reason))
            batches.clear()
            self._add(stream, symbols)

    def _add(self, stream: Stream, symbols: Sequence[str]) -> None:
        size = self._size(stream)
        for first in range(0, len(symbols), size):
            batch = _Batch(list(symbols[first : first + size]))
            self._batches[stream].append(batch)
            batch.task = self._tasks.create_task(
                self._keep(stream, batch), name=f"{self._name} {stream} {batch.symbols[0]}"
            )

    def _size(self, stream: Stream) -> int:
        return self._connection.capabilities.batches.get(stream, BATCH)

    async def _keep(self, stream: Stream, batch: _Batch) -> None:
        """Keep one subscription: whenever it fails, say so, wait a little, subscribe again."""
        backoff = Backoff(self._retry_s_max)
        while True:
            try:
                await self._connection.watch(stream, tuple(batch.symbols))
            except VenueError as error:
                self._on_lost(stream, batch.symbols, error)
            await self._clock.sleep_until(self._clock.now() + backoff.pause_ns(self._clock.now()))
