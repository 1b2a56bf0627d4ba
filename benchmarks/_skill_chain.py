"""Runs the product's estimators over an episode, and beside them the same ones with the true map in place of theirs.

Of each episode one venue's market of each symbol is scored, the venues in turn; all markets are watched, as the guard
does: maps learn from all, and cascades meet other venues' books. A test holds that what is made here of a market's
readings is what the guard's own ``Outlook`` makes of them.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks._skill_episodes import SkillEpisode
from benchmarks._skill_maps import EntryMap, MapRows, StaticMap, TrueMap, TrueShape
from benchmarks._skill_observables import observables, radar_inputs, volatility
from benchmarks._skill_tables import (
    AS_FITTED,
    DIRECTIONS,
    EXPERT,
    OFTEN,
    WHOLE,
    EpisodeRun,
    Floats,
    MarketRun,
    Table,
)
from guard.errors import ArtefactInvalidError
from guard.forecasts import Direction, HazardForecast, ReachForecast, SizingForecast
from guard.hazard.artefact import Expert
from guard.hazard.experts import Estimates, Experts, Opinions, hazard_forecast, reach_forecast
from guard.hazard.observer import Observer
from guard.leverage.cascade.result import CascadeResult
from guard.leverage.cascade.structure import cascade
from guard.leverage.crowd.liquidation_map import LiquidationMap
from guard.leverage.crowd.mix import LeverageMix
from guard.leverage.crowd.side_map import SideMap
from guard.models import load_experts
from guard.outlook.broken import Broken
from guard.outlook.estimators import Estimators
from guard.outlook.judging import Judging, Told
from guard.readings import Reading
from guard.signals.price_measures import PriceMeasures
from guard.signals.price_track import PriceTrack
from guard.skill.gate import USUAL
from guard.skill.mixing import mix_hazards, mix_reaches
from guard.skill.outcomes import onsets
from guard.units import NS_PER_S, MarketId, venue_of

Sides = Mapping[Direction, Mapping[MarketId, SideMap | None]]

ROWS_THIN = 6
"""All chains are evaluated at every so manieth reading (half a minute)."""
ROWS_CALM = 6
"""Where nothing moves, estimates are made at every so manieth reading, and hold until the next; ..."""
THIN_CALM = 2
"""Where nothing moves, the oracle is asked at every so manieth of the thin readings, and what it said holds."""
MOVED = 0.01
"""... and at each one where price went so far from the extreme of the last five minutes."""
MAP_S = 120.0
"""Maps are held against the truth so often."""
MAP_FROM_S = 600.0
"""Not sooner than this: every map begins from what venues tell of the past."""


@dataclass(slots=True)
class Chain:
    """The estimators of all markets, in the order of the guard's; maps may be others than the product's."""

    experts: Experts | None
    mix: LeverageMix = field(default_factory=LeverageMix)
    observer: Observer = field(default_factory=Observer)
    judging: Judging = field(default_factory=Judging)
    maps: dict[MarketId, LiquidationMap] = field(default_factory=dict)
    tracks: dict[MarketId, PriceTrack] = field(default_factory=dict)
    sides: dict[Direction, dict[MarketId, SideMap | None]] = field(
        default_factory=lambda: {direction: {} for direction in DIRECTIONS}
    )
    _changed: set[MarketId] = field(default_factory=set)

    def watch(self, episode: SkillEpisode) -> None:
        """Begin with the markets of an episode and what venues tell of their past."""
        history = episode.history
        for market in episode.markets:
            self.maps[market] = LiquidationMap(market, self.mix)
            self.tracks[market] = PriceTrack()
        for table in episode.tables:
            self.maps[table.market].take_terms(table)
        for market, held in self.maps.items():
            held.boot(history.get(market, ()))

    def update(self, reading: Reading) -> PriceMeasures | None:
        """Take a reading; what its market's price did of late."""
        market = reading.market
        track = self.tracks[market]
        track.update(reading.at, reading.price)
        price = track.measures()
        self.observer.update(reading, price)
        self.maps[market].update(reading)
        self._changed.add(market)
        return price

    def look(self) -> Sides:
        """The maps as they are now; those that were updated since are drawn anew."""
        for market in self._changed:
            for direction, sides in self.sides.items():
                sides[market] = self.maps[market].side(direction)
        self._changed.clear()
        return self.sides

    def estimate(self, reading: Reading, price: PriceMeasures | None, sides: Sides) -> Said | None:
        """What structure and experts make of a reading that was taken last, given maps by direction and market.

        ``None`` where the book may not be believed.
        """
        if reading.book is None:
            return None
        results, features = [], []
        for direction in DIRECTIONS:
            inputs = self.observer.cascade_inputs(direction, reading, sides[direction])
            result = cascade(direction, reading.book, sides[direction].get(reading.market), inputs)
            results.append(result)
            features.append(self.observer.features(direction, reading, price, result))
        if self.experts is None:
            return Said(results, None)
        estimates = self.experts.estimate(features)
        return Said(results, estimates, self.judging.size(reading, results, estimates))

    def judge(self, reading: Reading, said: Said | None, sides: Sides) -> Told:
        """Weigh what was said as the guard does, and keep it to be judged."""
        own = {direction: sides[direction].get(reading.market) for direction in DIRECTIONS}
        if said is None or said.experts is None:
            self.judging.follow(reading, own)
            return _by_structure(said), ()
        return self.judging.weigh(reading, said.structures, said.experts, (0.0, 0.0), own)

    def weigh(self, reading: Reading, said: Said | None) -> Told:
        """Weigh what was said by the same weights, and keep nothing: it is not the product's."""
        if said is None or said.experts is None:
            return _by_structure(said), ()
        ledger = self.judging.ledger
        reaches, hazards = [], []
        for structure, by_expert in zip(said.structures, said.experts, strict=True):
            direction = structure.direction
            usual = ledger.climatology
            hazard = mix_hazards(
                ledger.gate,
                {
                    USUAL: usual.hazard(reading.market, direction),
                    **{str(name): hazard_forecast(direction, each) for name, each in by_expert.items()},
                },
            )
            reach = mix_reaches(
                ledger.gate,
                {
                    USUAL: usual.reach(direction),
                    **{str(name): reach_forecast(each, structure) for name, each in by_expert.items()},
                },
                structure.forecast(),
            )
            hazards += [] if hazard is None else [hazard]
            reaches += [] if reach is None else [reach]
        return tuple(reaches), tuple(hazards)


@dataclass(frozen=True, slots=True)
class Said:
    """Structure and experts of one reading, both directions; ``experts`` is ``None`` where none are fitted.

    ``sizings`` is what leverage is sized by.
    """

    structures: Sequence[CascadeResult]
    experts: Sequence[Opinions] | None
    sizings: Sequence[SizingForecast] = ()


def _by_structure(said: Said | None) -> tuple[ReachForecast, ...]:
    """What is told where no models are fitted."""
    return () if said is None else tuple(structure.forecast() for structure in said.structures)


def run_episode(
    episode: SkillEpisode, *, experts: Experts | None, seed: int, rows_calm: int = ROWS_CALM
) -> EpisodeRun:
    """Run the product's chain over all readings of an episode, and score one venue's market of each symbol."""
    chain = Chain(experts)
    chain.watch(episode)
    truths = {market: TrueMap(episode.truth(market)) for market in episode.markets}
    scored = {market: _Scored(episode, market, seed, rows_calm) for market in scored_markets(episode)}
    rows = dict.fromkeys(episode.markets, 0)
    for reading in merged(episode):
        market = reading.market
        row = rows[market]
        rows[market] += 1
        one = scored.get(market)
        price = chain.update(reading)
        truths[market].update(reading)
        if one is None:
            continue
        if one.is_estimated[row]:
            sides = chain.look()
            said = chain.estimate(reading, price, sides)
            one.product(row, said, chain.judge(reading, said, sides))
            if one.asks_oracle(row):
                true = {
                    direction: {name: truth.side(direction) for name, truth in truths.items()}
                    for direction in DIRECTIONS
                }
                said = chain.estimate(reading, price, true)
                one.write(one.run.oracle, row, said, chain.weigh(reading, said))
        else:
            chain.judging.ledger.observe(reading)
        one.maps(reading, chain.maps[market], truths[market])
    return EpisodeRun(
        episode.task.name,
        [one.finish() for one in scored.values() if len(one.run.at)],
        episode.facts.get("mechanism", ""),
    )


def refresh_ms(episode: SkillEpisode) -> float:
    """CPU time of one refresh of one market by the guard's own ``Estimators``, over an episode, milliseconds."""
    estimators, broken = Estimators(fitted_experts()), Broken()
    readings = list(merged(episode))
    began_ns = time.process_time_ns()
    for reading in readings:
        estimators.update(reading, broken)
    return (time.process_time_ns() - began_ns) / 1e6 / len(readings)


def scored_markets(episode: SkillEpisode) -> tuple[MarketId, ...]:
    """One market of each symbol, its venue by turns of episode and symbol."""
    venues = list(dict.fromkeys(venue_of(market) for market in episode.markets))
    symbols = list(dict.fromkeys(market.partition(":")[2] for market in episode.markets))
    return tuple(
        MarketId(f"{venues[(episode.task.number + at) % len(venues)]}:{symbol}")
        for at, symbol in enumerate(symbols)
    )


def merged(episode: SkillEpisode) -> Iterator[Reading]:
    """All markets' readings by time."""
    return heapq.merge(
        *(episode.readings(market) for market in episode.markets), key=lambda reading: reading.at
    )


def fitted_experts() -> Experts | None:
    """The artefact that is shipped; ``None`` where there is none that fits."""
    try:
        return load_experts()
    except ArtefactInvalidError:
        return None


class _Scored:
    """Writes down what is said of one market."""

    def __init__(self, episode: SkillEpisode, market: MarketId, seed: int, rows_calm: int) -> None:
        columns = episode.columns(market)
        price, at = episode.price(market), columns["at"]
        found = {direction: onsets(at, price, direction) for direction in DIRECTIONS}
        thin = np.unique(np.concatenate((np.arange(0, len(at), ROWS_THIN), *found.values())))
        self.run = MarketRun(
            world=episode.task.world,
            scenario=episode.task.scenario,
            number=episode.task.number,
            market=market,
            maintenance=episode.facts["maintenance_ratio"][episode.markets.index(market)],
            at=at,
            price=price,
            mark=columns["mark_price"],
            mark_low=columns["mark_low"],
            mark_high=columns["mark_high"],
            volatility=volatility(columns),
            radar=radar_inputs(columns),
            seen={direction: observables(columns, direction) for direction in DIRECTIONS},
            thin=thin,
            onset_rows=found,
            often=Table(len(at), OFTEN),
            whole=Table(len(thin), WHOLE),
            oracle=Table(len(thin), WHOLE),
            experts={name: Table(len(thin), EXPERT) for name in (*Expert, AS_FITTED)},
        )
        moved = np.max(np.abs([self.run.seen[each]["drop, 5 min"] for each in DIRECTIONS]), axis=0)
        self.is_estimated = (np.arange(len(at)) % rows_calm == 0) | (moved >= MOVED)
        self.is_estimated[thin] = True
        # Onsets and what moves are asked at each thin reading; else at every other one.
        self.is_asked = (np.arange(len(thin)) % THIN_CALM == 0) | (moved[thin] >= MOVED)
        self.is_asked |= np.isin(thin, np.concatenate(list(found.values())))
        self._onset_rows = {int(row) for rows in found.values() for row in rows}
        self._place = {int(row): at for at, row in enumerate(thin)}
        self._generator = np.random.default_rng([seed, episode.task.number])
        self._rows = {name: MapRows() for name in ("map", "static", "entries")}
        self._calm: list[bool] = []
        self._static, self._entries = StaticMap(), EntryMap()
        self._entries.boot(episode.history.get(market, ()))
        self._entries_row = 0
        self._start_at = episode.facts["start_at_ns"]
        self._map_due_at = self._start_at + round(MAP_FROM_S * NS_PER_S)

    def finish(self) -> MarketRun:
        """All of it; what was estimated holds until the next estimate."""
        latest = np.maximum.accumulate(np.where(self.is_estimated, np.arange(len(self.is_estimated)), 0))
        self.run.often.values = self.run.often.values[latest]
        asked = np.maximum.accumulate(np.where(self.is_asked, np.arange(len(self.is_asked)), 0))
        self.run.oracle.values = self.run.oracle.values[asked]
        self.run.maps = {name: rows.arrays() for name, rows in self._rows.items()}
        self.run.map_calm = np.repeat(np.array(self._calm, np.bool_), len(DIRECTIONS))
        return self.run

    def asks_oracle(self, row: int) -> bool:
        """Whether the oracle is asked at this reading."""
        place = self._place.get(row)
        return place is not None and bool(self.is_asked[place])

    def product(self, row: int, said: Said | None, told: Told) -> None:
        """Write what the product says."""
        reaches, hazards = told
        for reach in reaches:
            self.run.often.write(row, DIRECTIONS.index(reach.direction), {"reach": reach.probability})
        for hazard in hazards:
            self.run.often.write(row, DIRECTIONS.index(hazard.direction), _hazard(hazard))
        place = self._place.get(row)
        if place is None:
            return
        self.write(self.run.whole, row, said, told)
        if said is None or said.experts is None:
            return
        for structure, by_expert in zip(said.structures, said.experts, strict=True):
            if Expert.FULL in by_expert:
                self._expert(row, AS_FITTED, by_expert.as_fitted(Expert.FULL), structure)
            for name, each in by_expert.items():
                self._expert(row, name, each, structure)

    def _expert(self, row: int, name: str, each: Estimates, structure: CascadeResult) -> None:
        """Write what one expert says; its reach is judged at onsets alone, and messages of it cost."""
        direction = structure.direction
        told = {"hazard": _hazard(hazard_forecast(direction, each))["hazard"]}
        if row in self._onset_rows:
            reach = reach_forecast(each, structure)
            told |= {"reach": reach.probability, "expected": reach.expected}
        self.run.experts[name].write(self._place[row], DIRECTIONS.index(direction), told)

    def write(self, table: Table, row: int, said: Said | None, told: Told) -> None:
        """Write all that is said at a thin reading."""
        place = self._place[row]
        for structure in () if said is None else said.structures:
            table.write(place, DIRECTIONS.index(structure.direction), _structure(structure))
        for sizing in () if said is None else said.sizings:
            table.write(place, DIRECTIONS.index(sizing.direction), {"sizing": sizing.danger})
        reaches, hazards = told
        for reach in reaches:
            table.write(
                place,
                DIRECTIONS.index(reach.direction),
                {"reach": reach.probability, "quantiles": reach.quantiles, "expected": reach.expected},
            )
        for hazard in hazards:
            table.write(place, DIRECTIONS.index(hazard.direction), _hazard(hazard))

    def maps(self, reading: Reading, held: LiquidationMap, truth: TrueMap) -> None:
        """Hold the maps against the truth, if it is time."""
        if not self._entries_row % ROWS_THIN:
            self._entries.update(reading)
        self._entries_row += 1
        if reading.at < self._map_due_at or reading.mark_price is None or reading.open_interest is None:
            return
        self._map_due_at += round(MAP_S * NS_PER_S)
        self._static.update(reading)
        interest_usd = reading.open_interest * reading.mark_price
        row = int(np.searchsorted(self.run.at, reading.at))
        before = self.run.price[max(row - 360, 0) : row + 1]
        before = before[np.isfinite(before)]
        self._calm.append(bool(len(before) and before.max() / before.min() < 1.02))
        for direction in DIRECTIONS:
            side, forecast = held.side(direction), held.forecast(direction)
            true = TrueShape(truth.side(direction).usd, direction, interest_usd)
            others: dict[str, Callable[[Direction], Floats]] = {
                "static": self._static.usd,
                "entries": self._entries.usd,
            }
            for name, usd in others.items():
                self._rows[name].add(usd(direction), true, None, self._generator)
            if side is not None and forecast is not None:
                intervals = [(each.low_usd, each.high_usd) for each in forecast.within]
                self._rows["map"].add(side.usd, true, intervals, self._generator)


def _hazard(told: HazardForecast) -> dict[str, Any]:
    return {
        "hazard": np.array(told.probability).ravel(),
        "shock": told.shock,
        "vulnerability": told.vulnerability,
    }


def _structure(result: CascadeResult) -> dict[str, Any]:
    return {
        "ereach": result.ereach,
        "structure": result.expected,
        "structure_book": result.expected_book,
        "structure_reach": result.probability,
        "structure_quantiles": result.quantiles,
    }
