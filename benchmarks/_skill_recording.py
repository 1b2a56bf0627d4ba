"""Runs one episode through what the product gives its estimators, and writes down what they are given and the truth."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
from collections import defaultdict
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from adapters.simulation.coarse import coarse_events
from adapters.simulation.laboratory.laboratory import Laboratory
from adapters.simulation.laboratory.observed import market_of
from adapters.simulation.laboratory.parameters import Episode
from adapters.simulation.laboratory.truth import (
    BookTruth,
    ClosedBy,
    LiquidationTruth,
    MapTruth,
    PositionsTruth,
    TruthSink,
)
from benchmarks._skill_columns import columns_of
from guard.events import AnyEvent, MarketsWatched, OpenInterestHistorySeen, StreamsActive
from guard.market.view import MarketView
from guard.outlook.gatherer import Gatherer
from guard.readings import REFRESH_S, HistoryPoint, Reading
from guard.units import NS_PER_S, MarketId, Nanoseconds

Arrays = NDArray[Any]

BINS = 700
"""Of the true maps that are kept: up to 50 % below and 101 % above the mark."""

CLOSED_BY = tuple(ClosedBy)
REFRESH_NS = round(REFRESH_S * NS_PER_S)
OPENING_EVENTS = 200
"""What a venue tells of the past comes among the first so many events."""


class Level(StrEnum):
    """How closely an episode is played: in steps of 5 s, or order by order."""

    COARSE = "coarse"
    ORDER = "order"


class Truth:
    """Keeps what is true as it comes."""

    def __init__(self) -> None:
        self.maps: defaultdict[MarketId, list[MapTruth]] = defaultdict(list)
        self.books: defaultdict[MarketId, list[BookTruth]] = defaultdict(list)
        self.closed: defaultdict[MarketId, list[LiquidationTruth]] = defaultdict(list)

    def liquidation(self, truth: LiquidationTruth) -> None:
        """Keep a liquidation."""
        self.closed[truth.market].append(truth)

    def map(self, truth: MapTruth) -> None:
        """Keep a map."""
        self.maps[truth.market].append(truth)

    def positions(self, truth: PositionsTruth) -> None:
        """Positions are too many to keep."""

    def book(self, truth: BookTruth) -> None:
        """Keep who stands behind a book."""
        self.books[truth.market].append(truth)

    def arrays(self, market: MarketId) -> dict[str, Arrays]:
        """All of one market, by the names that files have them by."""
        maps, closed = self.maps[market], self.closed[market]
        found: dict[str, Arrays] = {
            "map/at": np.array([each.at_ns for each in maps], np.int64),
            "map/mark_price": np.array([each.mark_price for each in maps], np.float64),
            "map/open_interest": np.array([each.open_interest for each in maps], np.float64),
            "map/willingness": np.array([each.willingness for each in self.books[market]], np.float64),
            "map/beyond_usd": np.array(
                [(each.longs_usd[BINS:].sum(), each.shorts_usd[BINS:].sum()) for each in maps], np.float64
            ),
        }
        for name in ("longs_usd", "shorts_usd", "stops_below_usd", "stops_above_usd"):
            found[f"map/{name}"] = np.array([getattr(each, name)[:BINS] for each in maps], np.float32)
        found["closed/at"] = np.array([each.at_ns for each in closed], np.int64)
        for name in ("size", "price", "leverage"):
            found[f"closed/{name}"] = np.array([getattr(each, name) for each in closed], np.float64)
        found["closed/closed_by"] = np.array([CLOSED_BY.index(each.closed_by) for each in closed], np.int8)
        return found


class Readers:
    """Takes a reading of every market each 5 s, as the guard does, from the events that it hears."""

    def __init__(self) -> None:
        self.views: dict[MarketId, MarketView] = {}
        self.gatherer = Gatherer()
        self._due_at: dict[MarketId, Nanoseconds] = {}

    def apply(self, event: AnyEvent) -> Iterator[Reading]:
        """Fold an event, and give the readings that are due after it."""
        self.gatherer.apply(event)
        match event:
            case MarketsWatched(markets=markets):
                for market in markets:
                    view = self.views[market] = MarketView(market)
                    view.expect(event.periods_ms, event.absent, event.received_at)
                    self._due_at[market] = event.received_at
            case StreamsActive(activities=activities):
                for activity in activities:
                    self.views[MarketId(activity.subject)].apply(activity)
            case _:
                about: MarketId | None = getattr(event, "market", None)
                if about is not None:
                    self.views[about].apply(event)
                    yield from self._due(about, event.received_at)
        for market in self.views:  # one whose venue is silent is read as well
            if event.received_at >= self._due_at[market] + REFRESH_NS:
                yield from self._due(market, event.received_at)

    def _due(self, market: MarketId, now: Nanoseconds) -> Iterator[Reading]:
        if now >= self._due_at[market]:
            # On the grid: a sample that comes late makes one reading late, not all after it.
            self._due_at[market] += REFRESH_NS * ((now - self._due_at[market]) // REFRESH_NS + 1)
            yield self.gatherer.take(market, now, self.views[market])


def events_of(episode: Episode, level: Level, truth: TruthSink | None = None) -> Iterator[AnyEvent]:
    """What a guard hears of an episode."""
    if level is Level.ORDER:
        return Laboratory(episode, truth).events()
    return coarse_events(episode, truth)


def record(episode: Episode, level: Level = Level.COARSE) -> dict[str, Arrays]:
    """Run an episode; all of it as arrays."""
    truth, readers = Truth(), Readers()
    readings: defaultdict[MarketId, list[Reading]] = defaultdict(list)
    for event in events_of(episode, level, truth):
        for reading in readers.apply(event):
            readings[reading.market].append(reading)
    markets = [
        market_of(venue.venue, symbol.symbol) for venue in episode.venues for symbol in episode.symbols
    ]
    arrays: dict[str, Arrays] = {}
    for at, market in enumerate(markets):
        for name, column in columns_of(readings[market]).items():
            arrays[f"{at}/reading/{name}"] = column
        for name, column in truth.arrays(market).items():
            arrays[f"{at}/{name}"] = column
    arrays["facts"] = np.frombuffer(json.dumps(_facts(episode, markets)).encode(), np.uint8)
    return arrays


def _facts(episode: Episode, markets: list[MarketId]) -> dict[str, Any]:
    lowest = [symbol.brackets[0] for _ in episode.venues for symbol in episode.symbols]
    return {
        "markets": markets,
        "start_at_ns": episode.start_at_ns,
        "duration_s": episode.duration_s,
        "onset_s": episode.onset_s,
        "seed": episode.seed,
        "world": episode.world,
        "scenario": episode.scenario,
        "maintenance_ratio": [bracket.maintenance_ratio for bracket in lowest],
        "leverage_max": [bracket.leverage_max for bracket in lowest],
    }


def history_of(
    episode: Episode, path: Path | None, level: Level = Level.COARSE
) -> dict[MarketId, tuple[HistoryPoint, ...]]:
    """What venues tell of the days before an episode; empty where they tell nothing. Kept at ``path``, if given."""
    kind = dict[MarketId, tuple[HistoryPoint, ...]]
    if path is not None:
        with contextlib.suppress(FileNotFoundError, msgspec.DecodeError):
            return msgspec.msgpack.decode(path.read_bytes(), type=kind)
    found: dict[MarketId, tuple[HistoryPoint, ...]] = {
        event.market: event.points
        for event in itertools.islice(events_of(episode, level), OPENING_EVENTS)
        if isinstance(event, OpenInterestHistorySeen)
    }
    if path is not None and found:
        passing = path.with_suffix(f".{os.getpid()}.part")
        passing.write_bytes(msgspec.msgpack.encode(found))
        passing.replace(path)
    return found
