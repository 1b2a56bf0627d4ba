"""What is odd about a file of events, or was not known for much of it: why a series says less than was hoped. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from adapters.history.series_file import SeriesRow
from guard.events import (
    CURVE_BPS,
    NOTIONALS_USD,
    AnyEvent,
    BookSide,
    BookStatus,
    LiquidationSeen,
    MarketFeatures,
    MarketsSampled,
    MarketsWatched,
    OpenInterestHistorySeen,
    Stream,
    StreamActivity,
    StreamsActive,
)
from guard.market.view import BookTrust
from guard.units import NS_PER_S, MarketId, Nanoseconds, venue_of

SHARE_MIN = 0.05
"""What was not known for less of the rows is not worth a word: books are believed after some seconds only."""

EVENTS_MIN = 100
"""So many events within a second are taken for times in another unit."""


@dataclass(slots=True)
class _Market:
    """What was seen of one market."""

    samples: int = 0
    updates: int = 0
    odd: Counter[str] = field(default_factory=Counter)
    rows: int = 0
    estimated: int = 0
    trusted: int = 0
    trust: str = ""
    unknown: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class Remarks:
    """Give it every event of a file and every row; ``told`` at the end."""

    _markets: dict[MarketId, _Market] = field(default_factory=dict)
    _has_activity: bool = False
    _liquidations: dict[str, int] = field(default_factory=dict)
    """Of venues that are said to tell theirs, how many they told."""

    def note(self, event: AnyEvent) -> None:
        """Look at an event of the file."""
        match event:
            case MarketFeatures():
                self._sample(event)
            case MarketsSampled(samples=samples):
                for sample in samples:
                    self._sample(sample)
            case StreamActivity() | StreamsActive():
                self._has_activity = True
            case MarketsWatched(venue=venue, absent=absent):
                if Stream.LIQUIDATIONS not in absent:
                    self._liquidations.setdefault(venue, 0)
            case LiquidationSeen(market=market):
                venue = venue_of(market)
                self._liquidations[venue] = self._liquidations.get(venue, 0) + 1
            case OpenInterestHistorySeen(received_at=now, points=points):
                odd = self._of(event.market).odd
                odd["points of open interest's past that lie after they are told"] += sum(
                    point.at > now for point in points
                )
                odd["points of open interest's past that are not later than the one before"] += sum(
                    late.at <= early.at for early, late in pairwise(points)
                )
            case _:
                pass

    def row(self, row: SeriesRow) -> None:
        """Look at what was known of a market."""
        seen = self._of(row.market)
        seen.rows += 1
        seen.trust = row.trust
        seen.trusted += row.trust == BookTrust.TRUSTED.value
        if row.outlook is not None:
            seen.estimated += 1
            seen.unknown.update(row.outlook.unknown)

    def told(self, events: int, first_at: Nanoseconds | None, last_at: Nanoseconds | None) -> tuple[str, ...]:
        """Return what is worth a word, as lines."""
        return (*_times(events, first_at, last_at), *self._of_markets(), *self._of_silent_venues())

    def _of_silent_venues(self) -> Iterator[str]:
        for venue, told in sorted(self._liquidations.items()):
            if not told:
                yield (
                    f"{venue}: it is said to be watched and told no liquidation, which is taken for there being none: "
                    "if it does not tell them, say so by MarketsWatched(absent=(Stream.LIQUIDATIONS,))"
                )

    def _of(self, market: MarketId) -> _Market:
        seen = self._markets.get(market)
        if seen is None:
            seen = self._markets[market] = _Market()
        return seen

    def _sample(self, event: MarketFeatures) -> None:
        seen = self._of(event.market)
        seen.samples += 1
        seen.updates += event.updates
        if event.status is not BookStatus.OK:
            return
        if event.bid is None or event.ask is None or event.bids is None or event.asks is None:
            seen.odd["samples with status ok and no prices or sides"] += 1
            return
        if not 0.0 < event.bid < event.ask:
            seen.odd["samples with status ok whose bid is not below the ask"] += 1
        if not (_fits(event.bids) and _fits(event.asks)):
            seen.odd[
                f"samples whose curve_usd is not of the {len(CURVE_BPS)} distances of guard.events.CURVE_BPS, or "
                f"slippage_bps not of the {len(NOTIONALS_USD)} amounts of NOTIONALS_USD"
            ] += 1

    def _of_markets(self) -> Iterator[str]:
        for market, seen in sorted(self._markets.items()):
            if ":" not in market:
                yield f"{market}: there is no venue in its name; call it VENUE:SYMBOL, as ccxt names both"
            for what, count in sorted(seen.odd.items()):
                if count:
                    yield f"{market}: {count:,} {what}"
            if seen.rows and not seen.trusted:
                why = seen.trust
                if seen.samples and not seen.updates and not self._has_activity:
                    why = "no sample says by updates above 0 that it was alive"
                yield f"{market}: its book was never trusted ({why}), so that nothing rests on it"
            if seen.rows and not seen.estimated:
                yield f"{market}: nothing was estimated"
            parts = [
                f"{what} ({count / seen.estimated:.0%})"
                for what, count in seen.unknown.most_common()
                if count >= SHARE_MIN * seen.estimated
            ]
            if parts:
                yield f"{market}: not known for so much of the time: {', '.join(parts)}"


def _times(events: int, first_at: Nanoseconds | None, last_at: Nanoseconds | None) -> Iterator[str]:
    if (
        first_at is not None
        and last_at is not None
        and events >= EVENTS_MIN
        and last_at - first_at < NS_PER_S
    ):
        yield (
            f"all of it happens within {(last_at - first_at) / 1e6:g} ms: received_at is in nanoseconds since 1970, "
            "of one second to the next 1,000,000,000"
        )


def _fits(side: BookSide) -> bool:
    return len(side.curve_usd) == len(CURVE_BPS) and len(side.slippage_bps) == len(NOTIONALS_USD)
