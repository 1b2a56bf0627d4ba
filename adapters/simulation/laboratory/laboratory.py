"""The laboratory: all markets of an episode, order by order, step by step, and what guards see of them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from operator import attrgetter

from adapters.simulation.laboratory.collateral import Collateral
from adapters.simulation.laboratory.drive import Drive
from adapters.simulation.laboratory.listing import Listing
from adapters.simulation.laboratory.market import Market
from adapters.simulation.laboratory.observed import ObservedVenue
from adapters.simulation.laboratory.parameters import Episode
from adapters.simulation.laboratory.past import history_of
from adapters.simulation.laboratory.truth import TruthSink
from adapters.simulation.laboratory.truth_rows import book_of, liquidation_of, map_of, positions_of
from adapters.simulation.laboratory.value import Values
from guard.events import AnyEvent, OpenInterestHistorySeen
from guard.units import NS_PER_MS, Nanoseconds

_ARRIVAL = attrgetter("received_at")


class Laboratory:
    """All that happens in an episode.

    Each step: what the scenario does and what value does, then every book in the order of the episode's venues and,
    within them, symbols. A book knows how far price moved at the symbol's other venues in the step before. Everything
    follows from the episode; nothing is kept that grows with time but what the truth's sink keeps.

    Attributes:
        markets: who trades in each book, by venue and Binance's name of the symbol.
        listings: the same with mark, funding and what the venue tells.
        now_ms: since the episode began.
        duration_ms: when it ends.

    Args:
        episode: all of it.
        truth: takes what no venue tells, as it happens.
    """

    listing_class: type[Listing] = Listing
    """Of its books: the coarse mode has its own."""

    def __init__(self, episode: Episode, truth: TruthSink | None = None) -> None:
        self.episode = episode
        self.step_ms = episode.step_ms
        self.duration_ms = round(episode.duration_s * 1_000.0)
        self.now_ms = 0
        self.values = Values(episode)
        self.drive = Drive(episode)
        self.collateral = Collateral(episode)
        self.listings: dict[tuple[str, str], Listing] = {
            (venue.venue, symbol.symbol): self.listing_class(episode, venue, symbol, at)
            for venue in episode.venues
            for at, symbol in enumerate(episode.symbols)
        }
        self._in_order = tuple(self.listings.values())
        self._others = tuple(
            tuple(other for other in self._in_order if other.at == listing.at and other is not listing)
            for listing in self._in_order
        )
        self._states = tuple(self.drive.of(venue, symbol) for venue, symbol in self.listings)
        self._truth = truth
        self._map_ms = max(round(episode.truth_s * 1_000.0), episode.step_ms)
        self._positions_ms = max(round(episode.positions_s * 1_000.0), episode.step_ms)
        self.step_to(0)

    @property
    def markets(self) -> dict[tuple[str, str], Market]:
        """Who trades in each book."""
        return {name: listing.trading for name, listing in self.listings.items()}

    @property
    def now_ns(self) -> Nanoseconds:
        """Unix time of the last step."""
        return self.episode.start_at_ns + self.now_ms * NS_PER_MS

    def step(self) -> None:
        """Go on by ``step_ms``."""
        self.step_to(self.now_ms + self.step_ms)

    def step_to(self, now_ms: int) -> None:
        """Let one step happen that ends at ``now_ms``."""
        before_ms, self.now_ms = self.now_ms, now_ms
        self.drive.step(now_ms)
        self.values.step(now_ms)
        for listing, others in zip(self._in_order, self._others, strict=True):
            listing.outside.other_z = max((other.z for other in others), default=0.0)
        for listing, state in zip(self._in_order, self._states, strict=True):
            listing.step(now_ms, self.values, state, self.collateral)
        for listing in self._in_order:
            listing.z = abs(listing.trading.z)
        if self._truth is not None:
            self._tell_truth(self._truth, before_ms, now_ms)

    def events(self) -> Iterator[AnyEvent]:
        """Run to the episode's end and yield what guards see, by ``received_at``; from where it stands now.

        First what each venue's feed says at its start: what it watches, and each market's past before the episode.
        """
        venues = [
            ObservedVenue(
                self.episode,
                venue,
                [listing for listing in self._in_order if listing.venue is venue],
                self.collateral,
            )
            for venue in self.episode.venues
        ]
        for venue in venues:
            yield venue.watched()
        for listing in self._in_order:
            yield self.history(listing)
        latest = self.now_ns
        while self.now_ms < self.duration_ms:
            self.step()
            events = list(chain.from_iterable([venue.step(self.now_ms, latest) for venue in venues]))
            if events:
                events.sort(key=_ARRIVAL)
                latest = events[-1].received_at
                yield from events

    def history(self, listing: Listing) -> OpenInterestHistorySeen:
        """What the venue tells of a market's past; nothing is drawn for it, so that the episode stays as it is."""
        points = history_of(self.episode, listing.venue, listing.symbol, listing.trading.open_lots_usual)
        return OpenInterestHistorySeen(
            received_at=self.episode.start_at_ns, market=listing.market, points=points
        )

    def _tell_truth(self, truth: TruthSink, before_ms: int, now_ms: int) -> None:
        start_at, at = self.episode.start_at_ns, self.now_ns
        for listing in self._in_order:
            for closed in listing.closed:
                truth.liquidation(liquidation_of(listing, closed, start_at))
        if now_ms == 0 or now_ms // self._map_ms != before_ms // self._map_ms:
            for listing in self._in_order:
                value, world = self.values.value_price(listing.at), self.values.world_price(listing.at)
                truth.book(book_of(listing, at, value, world))
                truth.map(map_of(listing, at))
        if now_ms == 0 or now_ms // self._positions_ms != before_ms // self._positions_ms:
            for listing in self._in_order:
                truth.positions(positions_of(listing, at, start_at))
