"""All estimators of all markets, in the order in which they need each other. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from guard.events import (
    AnyEvent,
    MarginTermsSeen,
    OpenInterestHistorySeen,
    OutsideFactSeen,
    TrackedPositionsSeen,
)
from guard.forecasts import (
    Direction,
    FittedForecast,
    HazardForecast,
    MapForecast,
    MarketOutlook,
    ReachForecast,
    SignalValue,
    SizingForecast,
)
from guard.hazard.experts import Experts, fitted_forecast
from guard.hazard.observer import Observer
from guard.leverage.cascade import CascadeResult, CascadeSettings, cascade, oi_depth_ratio
from guard.leverage.crowd.liquidation_map import LiquidationMap
from guard.leverage.crowd.map_state import MapState
from guard.leverage.crowd.mix import LeverageMix
from guard.leverage.crowd.settings import MapSettings
from guard.leverage.crowd.side_map import SideMap
from guard.leverage.tracked import TrackedPositions
from guard.margin_terms import TierTable
from guard.outlook.broken import Broken
from guard.outlook.judging import Judging, counted
from guard.outlook.memory import OutlookMemory, RegimeKept
from guard.outlook.regimes import Judged, Regimes
from guard.readings import REFRESH_S, Reading
from guard.signals.outside import OutsideFact
from guard.signals.signals import Signals
from guard.units import NS_PER_S, MarketId, Nanoseconds

DIRECTIONS = (Direction.DOWN, Direction.UP)

_Forecasts = tuple[
    tuple[ReachForecast, ...],
    tuple[HazardForecast, ...],
    tuple[SizingForecast, ...],
    tuple[FittedForecast, ...],
]

TOGETHER_NS = round(REFRESH_S * NS_PER_S)
"""What lies between markets is worked out so often, once for all of them."""


@dataclass(slots=True)
class _Market:
    """What is kept of one market."""

    map: LiquidationMap
    reading: Reading | None = None
    tracked: TrackedPositions | None = None


@dataclass(slots=True)
class Estimators:
    """Give each reading to ``update``; what is missing is named in the outlook, and never calm.

    Of a market whose book may not be believed no reach and no hazard is told, of one whose mark price is not known no
    map.

    Attributes:
        experts: the fitted models; without them the reach is told as structure has it, and no hazard.
    """

    experts: Experts | None = None
    map_settings: MapSettings = field(default_factory=MapSettings)
    cascade_settings: CascadeSettings = field(default_factory=CascadeSettings)
    mix: LeverageMix = field(default_factory=LeverageMix)
    signals: Signals = field(default_factory=Signals)
    observer: Observer = field(default_factory=Observer)
    judging: Judging = field(default_factory=Judging)
    regimes: Regimes = field(default_factory=Regimes)
    _markets: dict[MarketId, _Market] = field(default_factory=dict)
    _remembered: dict[MarketId, MapState] = field(default_factory=dict)
    """Maps of a former run, each until its market is heard of again."""
    _tables: dict[MarketId, TierTable] = field(default_factory=dict)
    """What margin is required, also of markets that nobody watches yet."""
    _sides: dict[Direction, dict[MarketId, SideMap | None]] = field(
        default_factory=lambda: {direction: {} for direction in DIRECTIONS}
    )
    _together_at: Nanoseconds = 0

    def hear(self, event: AnyEvent, broken: Broken) -> None:
        """Fold what is told of a market beside its readings."""
        match event:
            case OpenInterestHistorySeen(market=market, points=points):
                broken.ask("map", market, self._of(market).map.boot, points)
            case MarginTermsSeen(tiers=tables):
                for table in tables:
                    self._tables[table.market] = table
                    if table.market in self._markets:
                        broken.ask("map", table.market, self._markets[table.market].map.take_terms, table)
            case TrackedPositionsSeen(market=market):
                broken.ask("positions", market, self._track, event)
            case OutsideFactSeen(name=name, value=None):
                self.signals.drop_fact(name)
            case OutsideFactSeen(name=name, value=float() as value):
                at = event.received_at if event.observed_at is None else event.observed_at
                fact = OutsideFact(name=name, value=value, at=at, expires_at=event.expires_at)
                broken.ask("outside facts", None, self.signals.take_fact, fact)
            case _:
                pass

    def update(self, reading: Reading, broken: Broken) -> MarketOutlook:
        """Estimate a market anew."""
        market, of = reading.market, self._of(reading.market)
        of.reading = reading
        broken.ask("signals", market, self.signals.update, reading)
        self._look_together(reading.at, broken)
        broken.ask("map", market, of.map.update, reading)
        broken.ask("flow", market, self.observer.update, reading, self.signals.measures(market))
        maps = self._map(reading, of, broken)
        structures = self._cascades(reading, broken)
        told = broken.ask("hazard", market, self._forecast, reading, structures)
        reaches, hazards, sizings, fitted = told or (
            tuple(each.forecast() for each in structures),
            (),
            (),
            (),
        )
        signals: tuple[SignalValue, ...]
        signals = broken.ask("signals told", market, self.signals.values, market, reading.at) or ()
        judged = broken.ask("regime", market, self._judge, reading, structures, hazards, signals)
        return MarketOutlook(
            at=reading.at,
            market=market,
            regime=None if judged is None else judged.regime,
            regime_since=None if judged is None else judged.since,
            regime_reasons=() if judged is None else judged.reasons,
            resume_share=None if judged is None else judged.resume_share,
            price=reading.price,
            oi_depth_ratio=oi_depth_ratio(reading),
            maps=maps,
            reaches=reaches,
            hazards=hazards,
            sizings=sizings,
            fitted=fitted,
            signals=signals,
            skill=broken.ask("skill", None, self.judging.scores) or (),
            unknown=(
                *_missing(reading),
                *(() if maps else ("map",)),
                *((f"regime held: {judged.regime}",) if judged is not None and judged.is_held else ()),
                *(
                    (f"regime without {', '.join(judged.unseen)}",)
                    if judged is not None and judged.unseen
                    else ()
                ),
                *broken.names(market),
            ),
        )

    def take_own(
        self, held_usd: Mapping[MarketId, float], depegs: Mapping[str, float], at: Nanoseconds
    ) -> None:
        """Take what one holds, USD by market, and how far assets are below what they stand for, log by asset."""
        for market in self._markets:
            self.signals.hold(market, held_usd.get(market) or None)
        self.signals.take_pegs(depegs, at)

    def forget(self, market: MarketId) -> None:
        """The market is watched no more."""
        self._markets.pop(market, None)
        self.observer.forget(market)
        self.signals.forget(market)
        self.judging.forget(market)
        self.regimes.forget(market)
        for sides in self._sides.values():
            sides.pop(market, None)

    def _of(self, market: MarketId) -> _Market:
        found = self._markets.get(market)
        if found is None:
            found = self._markets[market] = _Market(LiquidationMap(market, self.mix, self.map_settings))
            if market in self._tables:
                found.map.take_terms(self._tables[market])
            kept = self._remembered.pop(market, None)
            if kept is not None:
                found.map.restore(kept)
        return found

    def remember(self, guard: str, at: Nanoseconds) -> OutlookMemory:
        """Everything that would have to be learned again."""
        maps = [state for of in self._markets.values() if (state := of.map.state()) is not None]
        return OutlookMemory(
            guard=guard,
            at=at,
            maps=(*maps, *self._remembered.values()),
            mix=self.mix.state(),
            signals=self.signals.state(),
            ledger=self.judging.ledger.state(),
            usual_danger=self.judging.usual_danger.state(),
            quiet=self.observer.state(),
            regimes=tuple(
                RegimeKept(market=market, state=state) for market, state in self.regimes.state().items()
            ),
        )

    def restore(self, memory: OutlookMemory) -> None:
        """Go on from what a former run had learned; markets that are already followed keep what they have."""
        if memory.mix is not None:
            self.mix.restore(memory.mix)
        if memory.signals is not None:
            self.signals.restore(memory.signals)
        if memory.ledger is not None:
            self.judging.ledger.restore(memory.ledger)
        if memory.usual_danger is not None:
            self.judging.usual_danger.restore(memory.usual_danger)
        if memory.quiet is not None:
            self.observer.restore(memory.quiet)
        for regime in memory.regimes:
            self.regimes.restore(regime.market, regime.state)
        self._remembered = {kept.market: kept for kept in memory.maps if kept.market not in self._markets}

    def _look_together(self, now: Nanoseconds, broken: Broken) -> None:
        if now - self._together_at < TOGETHER_NS:
            return
        self._together_at = now
        readings = {market: of.reading for market, of in self._markets.items() if of.reading is not None}
        broken.ask("signals together", None, self.signals.update_together, readings, now)

    def _track(self, event: TrackedPositionsSeen) -> None:
        of = self._of(event.market)
        if of.tracked is None:
            of.tracked = TrackedPositions(event.market)
            of.map.take_tracked(of.tracked)
        of.tracked.take(event)

    def _map(self, reading: Reading, of: _Market, broken: Broken) -> tuple[MapForecast, ...]:
        """The map as it is told; one whose mark price is not known lies nobody knows where."""
        is_known = reading.mark_price is not None
        told = []
        for direction in DIRECTIONS:
            name, market = f"map {direction}", reading.market
            side = broken.ask(name, market, of.map.side, direction) if is_known else None
            self._sides[direction][market] = side
            forecast = (
                None if side is None else broken.ask(f"{name} told", market, of.map.forecast, direction)
            )
            if forecast is not None:
                told.append(forecast)
        return tuple(told)

    def _cascades(self, reading: Reading, broken: Broken) -> Sequence[CascadeResult]:
        if reading.book is None:
            return ()
        asked = (
            broken.ask(f"cascade {direction}", reading.market, self._cascade, direction, reading)
            for direction in DIRECTIONS
        )
        return [found for found in asked if found is not None]

    def _cascade(self, direction: Direction, reading: Reading) -> CascadeResult:
        assert reading.book is not None
        sides = self._sides[direction]
        inputs = self.observer.cascade_inputs(direction, reading, sides)
        # A map that has not been better than none of late is counted with less, down to none.
        side = counted(sides.get(reading.market), self.judging.ledger.gate.map_share)
        return cascade(direction, reading.book, side, inputs, self.cascade_settings)

    def _forecast(self, reading: Reading, structures: Sequence[CascadeResult]) -> _Forecasts | None:
        """What the experts say, weighed by how they have done; it is kept to be judged when its time has come."""
        sides = {direction: self._sides[direction].get(reading.market) for direction in DIRECTIONS}
        if self.experts is None or len(structures) < len(DIRECTIONS):
            self.judging.follow(reading, sides)
            return None
        measures = self.signals.measures(reading.market)
        estimates = self.experts.estimate(
            [self.observer.features(each.direction, reading, measures, each) for each in structures]
        )
        shifts = [self.signals.log_odds(each.direction, reading.at) for each in structures]
        sizings = self.judging.size(reading, structures, estimates)
        dangers = [each.danger for each in sizings]
        self.judging.usual_danger.learn(reading.market, reading.at, dangers)
        pairs = zip(structures, estimates, strict=True)
        told = [fitted_forecast(structure.direction, said) for structure, said in pairs]
        fitted = tuple([each for each in told if each is not None])
        return (*self.judging.weigh(reading, structures, estimates, shifts, sides), sizings, fitted)

    def _judge(
        self,
        reading: Reading,
        structures: Sequence[CascadeResult],
        hazards: Sequence[HazardForecast],
        signals: Sequence[SignalValue],
    ) -> Judged:
        market = reading.market
        return self.regimes.judge(
            reading,
            structures=structures,
            hazards=hazards,
            signals=signals,
            measures=self.signals.measures(market),
            sigma=self.signals.sigma(market),
            flow=self.observer.tracks.get(market),
        )


def _missing(reading: Reading) -> list[str]:
    found = []
    if reading.book is None:
        found.append("book")
    if reading.mark_price is None:
        found.append("mark price")
    if reading.open_interest is None:
        found.append("open interest")
    return found
