"""All estimators of all markets, in the order in which they need each other. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from guard.events import AnyEvent, OpenInterestHistorySeen, TrackedPositionsSeen
from guard.forecasts import Direction, MapForecast, MarketOutlook, ReachForecast
from guard.hazard.observer import Observer
from guard.leverage.cascade import CascadeResult, CascadeSettings, cascade, oi_depth_ratio
from guard.leverage.crowd.liquidation_map import LiquidationMap
from guard.leverage.crowd.mix import LeverageMix
from guard.leverage.crowd.settings import MapSettings
from guard.leverage.crowd.side_map import SideMap
from guard.leverage.tracked import TrackedPositions
from guard.outlook.broken import Broken
from guard.readings import Reading
from guard.signals.price_track import PriceTrack
from guard.units import MarketId

DIRECTIONS = (Direction.DOWN, Direction.UP)


@dataclass(slots=True)
class _Market:
    """What is kept of one market."""

    map: LiquidationMap
    track: PriceTrack = field(default_factory=PriceTrack)
    tracked: TrackedPositions | None = None


@dataclass(slots=True)
class Estimators:
    """Give each reading to ``update``; what is missing is named in the outlook, and never calm."""

    map_settings: MapSettings = field(default_factory=MapSettings)
    cascade_settings: CascadeSettings = field(default_factory=CascadeSettings)
    mix: LeverageMix = field(default_factory=LeverageMix)
    observer: Observer = field(default_factory=Observer)
    _markets: dict[MarketId, _Market] = field(default_factory=dict)
    _sides: dict[Direction, dict[MarketId, SideMap | None]] = field(
        default_factory=lambda: {direction: {} for direction in DIRECTIONS}
    )

    def hear(self, event: AnyEvent, broken: Broken) -> None:
        """Fold what is told of a market beside its readings."""
        match event:
            case OpenInterestHistorySeen(market=market, points=points):
                broken.ask("map", market, self._of(market).map.boot, points)
            case TrackedPositionsSeen(market=market):
                broken.ask("positions", market, self._track, event)
            case _:
                pass

    def update(self, reading: Reading, broken: Broken) -> MarketOutlook:
        """Estimate a market anew."""
        market, of = reading.market, self._of(reading.market)
        broken.ask("price", market, of.track.update, reading.at, reading.price)
        broken.ask("map", market, of.map.update, reading)
        measures = of.track.measures()
        broken.ask("flow", market, self.observer.update, reading, measures)
        maps = self._map(reading, of, broken)
        found = self._cascades(reading, broken)
        return MarketOutlook(
            at=reading.at,
            market=market,
            price=reading.price,
            oi_depth_ratio=oi_depth_ratio(reading),
            maps=maps,
            reaches=self._reaches(found),
            unknown=(*_missing(reading), *(() if maps else ("map",)), *broken.names(market)),
        )

    def forget(self, market: MarketId) -> None:
        """The market is watched no more."""
        self._markets.pop(market, None)
        self.observer.forget(market)
        for sides in self._sides.values():
            sides.pop(market, None)

    def _of(self, market: MarketId) -> _Market:
        found = self._markets.get(market)
        if found is None:
            found = self._markets[market] = _Market(LiquidationMap(market, self.mix, self.map_settings))
        return found

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
            side = broken.ask("map", reading.market, of.map.side, direction) if is_known else None
            self._sides[direction][reading.market] = side
            forecast = None if side is None else broken.ask("map", reading.market, of.map.forecast, direction)
            if forecast is not None:
                told.append(forecast)
        return tuple(told)

    def _cascades(self, reading: Reading, broken: Broken) -> Sequence[CascadeResult]:
        if reading.book is None:
            return ()
        asked = (
            broken.ask("cascade", reading.market, self._cascade, direction, reading)
            for direction in DIRECTIONS
        )
        return [found for found in asked if found is not None]

    def _cascade(self, direction: Direction, reading: Reading) -> CascadeResult:
        assert reading.book is not None
        sides = self._sides[direction]
        inputs = self.observer.cascade_inputs(direction, reading, sides)
        return cascade(direction, reading.book, sides.get(reading.market), inputs, self.cascade_settings)

    def _reaches(self, found: Sequence[CascadeResult]) -> tuple[ReachForecast, ...]:
        return tuple(each.forecast() for each in found)


def _missing(reading: Reading) -> list[str]:
    found = []
    if reading.book is None:
        found.append("book")
    if reading.mark_price is None:
        found.append("mark price")
    if reading.open_interest is None:
        found.append("open interest")
    return found
