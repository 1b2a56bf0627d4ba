"""The laboratory as something to be stepped and shown: what loopback venues need to know of it, and no more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from adapters.simulation.laboratory.collateral import ASSET
from adapters.simulation.laboratory.laboratory import Laboratory
from adapters.simulation.laboratory.listing import Listing
from adapters.simulation.laboratory.parameters import LiquidationFeed, VenueParameters
from adapters.simulation.laboratory.stage import Forced, Play, Quote, StagedBook

Name = tuple[str, str]
"""Venue, and Binance's name of the symbol."""


class LaboratoryPlay:
    """A ``Play`` (see ``stage``)."""

    def __init__(self, laboratory: Laboratory) -> None:
        self.laboratory = laboratory
        self.step_ms = laboratory.step_ms
        self.duration_ms = laboratory.duration_ms
        # Of the venues that are shown, which take them after every step: nothing piles up.
        self._forced: dict[Name, list[Forced]] = {}

    @property
    def now_ms(self) -> int:
        return self.laboratory.now_ms

    def step(self) -> None:
        self.laboratory.step()
        for name, waiting in self._forced.items():
            waiting += [
                Forced(-1 if each.lots > 0 else 1, abs(each.lots), each.bankruptcy_tick, each.tick)
                for each in self.laboratory.listings[name].closed
            ]

    def books(self, venue: str) -> Sequence[StagedBook]:
        self._venue(venue)
        listings = self.laboratory.listings.items()
        return [self._book(name, listing) for name, listing in listings if name[0] == venue]

    def feed(self, venue: str) -> LiquidationFeed:
        return self._venue(venue).liquidation_feed

    def is_out(self, venue: str) -> bool:
        return any(listing.is_out for name, listing in self.laboratory.listings.items() if name[0] == venue)

    def asset_prices(self, venue: str) -> Mapping[str, float]:
        return {ASSET: self.laboratory.collateral.ratio(venue, self.now_ms)}

    def _venue(self, venue: str) -> VenueParameters:
        venues = {each.venue: each for each in self.laboratory.episode.venues}
        if venue not in venues:
            raise ValueError(f"the episode has no venue {venue!r}; it has {', '.join(venues)}")
        return venues[venue]

    def _book(self, name: Name, listing: Listing) -> StagedBook:
        self._forced[name] = []
        return StagedBook(
            listing.symbol,
            listing.exchange,
            partial(_quote, listing),
            partial(self._take_forced, name),
            self.laboratory.history(listing).points,
        )

    def _take_forced(self, name: Name) -> Sequence[Forced]:
        forced, self._forced[name] = self._forced[name], []
        return forced


def _quote(listing: Listing) -> Quote:
    mark, grid = listing.mark, listing.grid
    return Quote(
        mark_price=grid.price_of(listing.mark_tick),
        index_price=mark.index * grid.tick,
        rate=mark.rate,
        next_funding_ms=mark.next_funding_ms,
        open_lots=listing.open_lots,
    )


class Twins:
    """A ``Play`` of several that are stepped together and know nothing of one another: worlds alike but for accounts.

    Its venues are the twins, each of them one venue of its play.
    """

    def __init__(self, plays: Mapping[str, Play], venue: str) -> None:
        """Take plays of equal steps and length, by the names that their venue goes by here."""
        self._plays = dict(plays)
        self._venue = venue
        self._first = next(iter(self._plays.values()))

    @property
    def step_ms(self) -> int:
        return self._first.step_ms

    @property
    def duration_ms(self) -> int:
        return self._first.duration_ms

    @property
    def now_ms(self) -> int:
        return self._first.now_ms

    def step(self) -> None:
        for play in self._plays.values():
            play.step()

    def books(self, venue: str) -> Sequence[StagedBook]:
        return self._plays[venue].books(self._venue)

    def feed(self, venue: str) -> LiquidationFeed:
        return self._plays[venue].feed(self._venue)

    def is_out(self, venue: str) -> bool:
        return self._plays[venue].is_out(self._venue)

    def asset_prices(self, venue: str) -> Mapping[str, float]:
        return self._plays[venue].asset_prices(self._venue)
