"""What a venue gives by what ccxt says that it has. No connecting; importing ccxt takes a second."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from adapters.exchanges.ccxt_client import tapped_class
from adapters.exchanges.settings import VenueSettings
from adapters.exchanges.venue import Capabilities, DepthSource, Way
from guard.events import Stream

ORDER_SIDE = frozenset({"binance", "binanceusdm", "binancecoinm", "okx", "okxus", "myokx"})
"""A liquidation's side is that of the order which closed it: sell closed a long."""
POSITION_SIDE = frozenset({"bybit", "bybitid"})
"""It is that of the position: buy was a long."""

REQUEST_COST = 4
"""Of a venue's request budget at most a quarter is used for each thing that is polled of each market."""

BOOK_MS_MIN, MARK_MS_MIN, INTEREST_MS_MIN = 1_000, 3_000, 15_000

MARK_SOURCES = ("fetchFundingRates", "fetchMarkPrices", "fetchFundingRate", "fetchMarkPrice")
"""Where a mark price may come from over REST, those for many markets at once first."""


def capabilities_of(settings: VenueSettings, markets: int | None = None) -> Capabilities:
    """Return what ccxt has for the venue.

    Args:
        settings: the venue.
        markets: how many are watched, which sets how often each can be polled; by default as the settings say.
    """
    stock = tapped_class(settings.id)({})
    count = len(settings.symbols) + settings.top if markets is None else markets
    request_ms = float(stock.rateLimit) * REQUEST_COST if settings.rate_limit else 0.0
    return _capabilities(settings.id, stock.has, max(count, 1), request_ms)


def _capabilities(venue: str, has: Mapping[str, Any], markets: int, request_ms: float) -> Capabilities:
    def one(*names: str) -> bool:
        # "emulated" is made of other calls, which are asked for by themselves where they are wanted.
        return any(has.get(name) is True for name in names)

    ways: dict[Stream, Way] = {
        Stream.BOOK: _way(one("watchOrderBook"), polled=one("fetchOrderBook")),
        Stream.TRADES: _way(one("watchTrades")),
        Stream.MARK_PRICE: _way(one("watchMarkPrice", "watchMarkPrices"), polled=bool(mark_sources(has))),
        Stream.OPEN_INTEREST: _way(streamed=False, polled=one("fetchOpenInterest")),
        Stream.LIQUIDATIONS: _way(one("watchLiquidations") and venue in ORDER_SIDE | POSITION_SIDE),
    }
    batches = {Stream.BOOK: 1, Stream.TRADES: 1, Stream.LIQUIDATIONS: 1}
    periods: dict[Stream, int] = {}
    round_ms = markets * request_ms
    if ways[Stream.BOOK] is Way.POLLED:
        periods[Stream.BOOK] = int(max(BOOK_MS_MIN, round_ms))
    if ways[Stream.MARK_PRICE] is Way.POLLED:
        bulk = one(*MARK_SOURCES[:2])
        periods[Stream.MARK_PRICE] = int(max(MARK_MS_MIN, request_ms if bulk else round_ms))
        batches[Stream.MARK_PRICE] = 500 if bulk else 1
    elif not one("watchMarkPrices"):
        batches[Stream.MARK_PRICE] = 1
    if ways[Stream.OPEN_INTEREST] is Way.POLLED:
        periods[Stream.OPEN_INTEREST] = int(max(INTEREST_MS_MIN, round_ms))
    return Capabilities(
        ways=ways,
        depth_source=DepthSource.WHOLE,
        periods_ms=periods,
        batches=batches,
        notes=_notes(ways, has, batches),
    )


def mark_sources(has: Mapping[str, Any]) -> tuple[str, ...]:
    """Those of ``MARK_SOURCES`` that a venue has."""
    return tuple(name for name in MARK_SOURCES if has.get(name) is True)


def without(capabilities: Capabilities, stream: Stream, why: str) -> Capabilities:
    """The same, where it turned out that a stream is not given after all."""
    if capabilities.way(stream) is Way.ABSENT:
        return capabilities
    ways = {**capabilities.ways, stream: Way.ABSENT}
    return replace(capabilities, ways=ways, notes=(*capabilities.notes, f"{stream}: {why}"))


def _way(streamed: bool, *, polled: bool = False) -> Way:
    if streamed:
        return Way.STREAMED
    return Way.POLLED if polled else Way.ABSENT


def _notes(
    ways: Mapping[Stream, Way], has: Mapping[str, Any], batches: Mapping[Stream, int]
) -> tuple[str, ...]:
    del batches
    notes = ["read through ccxt's unified API: a lost update is noticed only where ccxt notices it"]
    if ways[Stream.BOOK] is Way.POLLED:
        notes.append("books are polled: what happens between two rounds is not seen")
    elif ways[Stream.BOOK] is Way.ABSENT:
        notes.append("no books: nothing can be judged of this venue's markets, so they are unknown")
    if ways[Stream.TRADES] is Way.ABSENT:
        notes.append("no trades: what takers buy and sell is not seen")
    if ways[Stream.MARK_PRICE] is Way.ABSENT:
        notes.append("no mark prices: distances to liquidation are measured from the middle of the book")
    if ways[Stream.LIQUIDATIONS] is Way.ABSENT and has.get("watchLiquidations"):
        notes.append("liquidations are not read: it is not established whose side this venue tells")
    if ways[Stream.OPEN_INTEREST] is Way.ABSENT:
        notes.append("no open interest")
    if has.get("fetchPositions") is not True:
        notes.append("accounts cannot be read: let bots report their positions")
    return tuple(notes)
