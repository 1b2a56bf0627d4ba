"""What a guard sees of the laboratory: the events that the live feeds would make of it, and nothing else.

Books, flow and streams are told as ``adapters.exchanges.market_feed`` tells them, measured by ``guard.market``. Of each
book a client holds the best 1,000 levels a side, as after a snapshot of Binance's or in Bybit's stream; a sample is
taken every ``sample_ms`` if anything was heard, and at once when the book turns (``guard.market.live``). A venue that
is out sends nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from adapters.simulation.laboratory.collateral import ASSET, QUOTE, Collateral
from adapters.simulation.laboratory.draws import Draws
from adapters.simulation.laboratory.exchange import Exchange
from adapters.simulation.laboratory.liquidation_engine import Liquidated
from adapters.simulation.laboratory.observed_market import ObservedMarket
from adapters.simulation.laboratory.parameters import (
    Episode,
    LiquidationFeed,
    SymbolParameters,
    VenueParameters,
)
from adapters.simulation.laboratory.truth import ClosedBy
from guard.events import (
    AnyEvent,
    AssetPrice,
    AssetPricesSeen,
    LiquidationSeen,
    MarketsWatched,
    MarkPriceSeen,
    OpenInterestSeen,
    Stream,
    StreamsActive,
)
from guard.units import NS_PER_MS, MarketId, Nanoseconds, market_id

SPOT_VENUES = {"binanceusdm": "binance"}
"""By what name a venue's spot market is known, where that is another."""

MARK_MS = 1_000
INTEREST_MS = 10_000
ACTIVITY_MS = 1_000
PRICES_MS = 5_000
THROTTLED_MS = 1_000
COMPLETE_MS = 500
"""How often each is told."""

LATENCY_MS = (15.0, 45.0)
"""A venue's messages take as long as is drawn for it, evenly between these ..."""

JITTER_MS = 3.0
JITTER_MS_MAX = 30.0
"""... and each step's some more, exponentially distributed: in all always less than a step of 100 ms."""


def market_of(venue: str, symbol: str) -> MarketId:
    """Name a market as guards do, from Binance's name of the symbol.

    >>> market_of("bybit", "BTCUSDT")
    'bybit:BTC/USDT:USDT'
    """
    base = symbol.removesuffix("USDT")
    return market_id(venue, f"{base}/USDT:USDT")


@dataclass(frozen=True, slots=True)
class Told:
    """What a venue says of one market besides its book; prices in USD, open interest in base units."""

    mark_price: float
    index_price: float
    funding_rate: float
    next_funding_at: Nanoseconds
    open_interest: float


class Observable(Protocol):
    """What is looked at of one book."""

    @property
    def market(self) -> MarketId: ...

    @property
    def symbol(self) -> SymbolParameters: ...

    @property
    def exchange(self) -> Exchange: ...

    @property
    def is_out(self) -> bool:
        """Whether its venue is silent about it now."""
        ...

    @property
    def closed(self) -> Sequence[Liquidated]:
        """What was liquidated in the last step, in order."""
        ...

    def told(self) -> Told:
        """What holds after the last step."""
        ...


class ObservedVenue:
    """All that one venue sends, in the order of time.

    Liquidations: a ``THROTTLED`` venue tells of each second the latest order that traded in its book, what was filled
    of it at its average price, as Binance's ``forceOrder`` does; a ``COMPLETE`` one every 500 ms all that was
    liquidated, whoever took it, at the bankruptcy price, as Bybit's ``allLiquidation`` does.
    """

    def __init__(
        self, episode: Episode, venue: VenueParameters, books: Sequence[Observable], collateral: Collateral
    ) -> None:
        self.venue = venue.venue
        self._spot = SPOT_VENUES.get(venue.venue, venue.venue)
        self._feed = venue.liquidation_feed
        self._books = tuple(books)
        self._collateral = collateral
        self._start_at = episode.start_at_ns
        self._sees = tuple(
            ObservedMarket(book.market, book.symbol, book.exchange, episode.sample_ms) for book in books
        )
        self._waiting: tuple[list[Liquidated], ...] = tuple([] for _ in books)
        self._draws = Draws(f"{episode.seed}:{venue.venue}::latency")
        low, high = LATENCY_MS
        self._latency_ms = low + (high - low) * self._draws.uniform()
        self._before_ms = 0

    def watched(self) -> MarketsWatched:
        """What the venue's feed says before anything else."""
        return MarketsWatched(
            received_at=self._start_at,
            venue=self.venue,
            markets=tuple(book.market for book in self._books),
            periods_ms={Stream.MARK_PRICE: MARK_MS, Stream.OPEN_INTEREST: INTEREST_MS},
        )

    def step(self, now_ms: int, not_before: Nanoseconds) -> list[AnyEvent]:
        """Return what the last step brings; nothing where the venue is out, and nothing that arrived before a time."""
        jitter_ms = min(JITTER_MS * self._draws.exponential(), JITTER_MS_MAX)
        exchange_at = self._start_at + now_ms * NS_PER_MS
        arrived_at = exchange_at + round((self._latency_ms + jitter_ms) * NS_PER_MS)
        received_at = max(arrived_at, not_before)
        events: list[AnyEvent] = []
        is_marked = self._is_due(now_ms, MARK_MS)
        for book, seen, waiting in zip(self._books, self._sees, self._waiting, strict=True):
            if book.is_out:
                waiting.clear()
                continue
            sampled = seen.step(now_ms, exchange_at, received_at)
            if sampled is not None:
                events.append(sampled)
            if is_marked:
                self._tell(events, book, seen, now_ms, exchange_at, received_at)
            if waiting or book.closed:
                self._tell_liquidations(events, book, seen, waiting, now_ms, received_at)
        if self._is_due(now_ms, PRICES_MS) and not all(book.is_out for book in self._books):
            bid, ask = self._collateral.touch(self.venue, now_ms)
            price = AssetPrice(asset=ASSET, quote=QUOTE, bid=bid, ask=ask)
            events.append(AssetPricesSeen(received_at=received_at, venue=self._spot, prices=(price,)))
        if self._is_due(now_ms, ACTIVITY_MS):
            activities = tuple(each for seen in self._sees for each in seen.activities(received_at))
            if activities:
                events.append(StreamsActive(received_at=received_at, activities=activities))
        self._before_ms = now_ms
        return events

    def _is_due(self, now_ms: int, period_ms: int) -> bool:
        """Whether what is told every so often is told in this step: the first one of a period."""
        return now_ms // period_ms != self._before_ms // period_ms

    def _tell(
        self,
        events: list[AnyEvent],
        book: Observable,
        seen: ObservedMarket,
        now_ms: int,
        exchange_at: Nanoseconds,
        received_at: Nanoseconds,
    ) -> None:
        told = book.told()
        seen.heard[Stream.MARK_PRICE].hear(received_at)
        events.append(
            MarkPriceSeen(
                received_at=received_at,
                exchange_at=exchange_at,
                market=book.market,
                mark_price=told.mark_price,
                index_price=told.index_price,
                funding_rate=told.funding_rate,
                next_funding_at=told.next_funding_at,
            )
        )
        if not self._is_due(now_ms, INTEREST_MS):
            return
        seen.heard[Stream.OPEN_INTEREST].hear(received_at)
        events.append(
            OpenInterestSeen(
                received_at=received_at,
                exchange_at=exchange_at,
                market=book.market,
                open_interest=told.open_interest,
                open_interest_usd=told.open_interest * told.mark_price,
            )
        )

    def _tell_liquidations(
        self,
        events: list[AnyEvent],
        book: Observable,
        seen: ObservedMarket,
        waiting: list[Liquidated],
        now_ms: int,
        received_at: Nanoseconds,
    ) -> None:
        if self._feed is LiquidationFeed.THROTTLED:
            filled = [each for each in book.closed if each.closed_by is ClosedBy.BOOK]
            if filled:
                waiting[:] = filled[-1:]
            period_ms = THROTTLED_MS
        else:
            # No more than half a second's: a venue liquidates a few thousand positions in that at the very most.
            waiting.extend(book.closed)
            period_ms = COMPLETE_MS
        if not waiting or not self._is_due(now_ms, period_ms):
            return
        seen.heard[Stream.LIQUIDATIONS].hear(received_at)
        for each in waiting:
            tick = each.tick if self._feed is LiquidationFeed.THROTTLED else each.bankruptcy_tick
            size, price = seen.scale.size(each.lots), seen.scale.price(tick)
            events.append(
                LiquidationSeen(
                    received_at=received_at,
                    exchange_at=self._start_at + each.now_ms * NS_PER_MS,
                    market=book.market,
                    size=size,
                    price=price,
                    notional_usd=abs(size) * price,
                )
            )
        waiting.clear()
