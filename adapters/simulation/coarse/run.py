"""The coarse mode: an episode in steps of 5 s with depth curves instead of orders, as events or as arrays."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import numpy as np
from numpy.typing import NDArray

from adapters.simulation.coarse.market import CoarseMarket
from adapters.simulation.coarse.rounds import Round
from adapters.simulation.coarse.series import OFFSETS, ROW, Series
from adapters.simulation.laboratory.collateral import Collateral
from adapters.simulation.laboratory.drive import DriveState
from adapters.simulation.laboratory.laboratory import Laboratory
from adapters.simulation.laboratory.listing import Listing
from adapters.simulation.laboratory.parameters import Episode, SymbolParameters, VenueParameters
from adapters.simulation.laboratory.truth import ClosedBy, TruthSink
from adapters.simulation.laboratory.value import Values
from guard.events import AnyEvent, MarketsWatched, Stream

STEP_MS = 5_000

SLOW = (Stream.BOOK, Stream.TRADES, Stream.MARK_PRICE, Stream.OPEN_INTEREST)
"""Streams that speak in each calm step and not between two."""

ROUNDS_STRESSED = 10
"""A step in which something happens is gone through in so many rounds of 500 ms, a calm one in one of 5 s."""

STRESSED_Z = 5.0
"""Something happens when price moved so many of its usual deviations of late, somewhere, ..."""

STRESSED_WILLINGNESS = 0.6
"""... when makers are not willing to rest so much of their usual, ..."""

STRESSED_DEPTHS = 0.02
"""... or when so much of a depth was liquidated in a round, or somebody is selling so much in one."""


def coarse_events(episode: Episode, truth: TruthSink | None = None) -> Iterator[AnyEvent]:
    """Run an episode coarsely and yield what guards see, by ``received_at``: the kinds that the laboratory gives.

    Books are sampled once a step of 5 s, in stress each second; ``truth`` takes what no venue tells, as it happens.
    """
    return CoarseLaboratory(episode, truth).events()


def coarse_series(episode: Episode, every_s: float = STEP_MS / 1_000.0) -> Series:
    """Run an episode coarsely and return what was at every book, a row each ``every_s`` seconds (whole steps of 5 s).

    ValueError where ``every_s`` is no multiple of 5 s above 0.
    """
    every = round(every_s * 1_000.0 / STEP_MS)
    if every < 1 or abs(every * STEP_MS - every_s * 1_000.0) > 1e-6:
        raise ValueError(f"rows are {STEP_MS / 1_000.0:g} s apart or a multiple of that, not {every_s} s")
    return CoarseLaboratory(episode).series(every)


class CoarseListing(Listing):
    """A listing whose market is curves."""

    market_class = CoarseMarket
    trading: CoarseMarket

    def __init__(self, episode: Episode, venue: VenueParameters, symbol: SymbolParameters, at: int) -> None:
        super().__init__(episode, venue, symbol, at)
        self.round = Round(self.trading, self.mark, self.outside, at, self.grid.tick, self.grid.lot)
        self.closed_lots = 0
        """Liquidated in the last round, told or not."""
        self._closed_lots = 0

    def step(self, now_ms: int, values: Values, drive: DriveState, collateral: Collateral) -> None:
        """Let a round happen here, and what it brings to the rest of the world."""
        self.is_out = drive.is_out
        ratio = collateral.ratio(self.venue.venue, now_ms)
        self.mark_tick = self.round.step(now_ms, values, drive, ratio)
        self.take_closed(now_ms)
        engine = self.crowd.engine
        before, self._closed_lots = (
            self._closed_lots,
            engine.book_lots + engine.fund_lots + engine.deleveraged_lots,
        )
        self.closed_lots = self._closed_lots - before


class CoarseLaboratory(Laboratory):
    """The laboratory with curves for books and rounds for steps: ``step`` goes on by one round."""

    listing_class = CoarseListing

    def __init__(self, episode: Episode, truth: TruthSink | None = None) -> None:
        self._rounds_left = 0
        self._round_ms = 0
        super().__init__(episode, truth)
        self.books = tuple(listing for listing in self._in_order if isinstance(listing, CoarseListing))

    def step(self) -> None:
        """Go on by one round: of 5 s in calm, of 500 ms where something happens."""
        if self._rounds_left == 0:
            rounds = ROUNDS_STRESSED if self._is_stressed() else 1
            self._begin_rounds(STEP_MS // rounds)
            self._rounds_left = rounds
        self._rounds_left -= 1
        self.step_to(self.now_ms + self._round_ms)

    def events(self) -> Iterator[AnyEvent]:
        """Run to the episode's end and yield what guards see; streams speak once a round, which they are told."""
        for event in super().events():
            if isinstance(event, MarketsWatched):
                periods_ms = {stream: max(event.periods_ms.get(stream, 0), STEP_MS) for stream in SLOW}
                yield msgspec.structs.replace(event, periods_ms=periods_ms)
            else:
                yield event

    def series(self, every: int) -> Series:
        """Run to the episode's end and return a row each ``every`` steps, the first one of the begin."""
        rows = self.duration_ms // (STEP_MS * every) + 1
        written = np.zeros((rows, len(self.books), ROW))
        for row in range(rows):
            while self.now_ms < row * STEP_MS * every:
                self.step()
                for at, listing in enumerate(self.books):
                    if listing.closed:
                        _add_closed(written[row, at], listing)
            for at, listing in enumerate(self.books):
                out = written[row, at]
                listing.round.write(out, self.values)
                out[OFFSETS["is_out"]] = float(listing.is_out)
        at_s = np.arange(rows, dtype=np.float64) * (STEP_MS * every / 1_000.0)
        return Series.of_rows(tuple(listing.market for listing in self.books), at_s, written)

    def _begin_rounds(self, round_ms: int) -> None:
        if round_ms != self._round_ms:
            self._round_ms = round_ms
            for listing in self.books:
                listing.round.set_round(round_ms)

    def _is_stressed(self) -> bool:
        if self.values.factor_z > STRESSED_Z:
            return True
        for listing, state in zip(self.books, self._states, strict=True):
            market = listing.trading
            if listing.z > STRESSED_Z or market.willingness < STRESSED_WILLINGNESS:
                return True
            if abs(state.sell_depths) > STRESSED_DEPTHS:
                return True
            if listing.closed_lots > STRESSED_DEPTHS * market.depth_lots:
                return True
        return False


def _add_closed(out: NDArray[np.float64], listing: Listing) -> None:
    """Add what the venue closed in a round to a row."""
    usd_per_lot = listing.grid.micros / 1e6
    for each in listing.closed:
        usd = abs(each.lots) * each.tick * usd_per_lot
        out[OFFSETS["liquidated_longs_usd" if each.lots > 0 else "liquidated_shorts_usd"]] += usd
        out[OFFSETS["liquidations"]] += 1.0
        if each.closed_by is ClosedBy.INSURANCE:
            out[OFFSETS["insured_usd"]] += usd
        if each.closed_by is ClosedBy.DELEVERAGE:
            out[OFFSETS["deleveraged_usd"]] += usd
