"""What is remembered of all markets for the models of reach and hazard, and the features that come of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import asinh, inf, log, sqrt

from msgspec import Struct

from guard.forecasts import Direction
from guard.hazard.climate import Climate, ClimateState
from guard.hazard.features import Features, Quiet, features
from guard.hazard.peers import Peers
from guard.hazard.tracks import ONSET_LOG, ONSET_REFRACTORY_NS, FlowTrack, within_1_percent
from guard.leverage.cascade.result import CascadeResult
from guard.leverage.cascade.structure import NOTHING_MORE, CascadeInputs, Elsewhere, SideMap
from guard.readings import BookReading, Reading
from guard.signals.price_measures import PriceMeasures
from guard.units import MarketId, Nanoseconds

MINUTE_ROOT_S, FIVE_MINUTES_ROOT_S = sqrt(60.0), sqrt(300.0)
VOLATILITY_MIN = 2e-5
"""Per square root of a second; a market that stood still is not infinitely surprised by a tick."""


QUIET_HALF_LIFE_H = 14 * 24.0
"""In which half of what was counted of shocks is forgotten, by a market's own time."""
QUIET_GAP_S = 60.0
"""A longer silence is not counted as quiet."""


class QuietState(Struct, frozen=True, kw_only=True):
    """What was counted of shocks, to be kept; see ``Quiet``."""

    shocks: float = 0.0
    hours: float = 0.0
    climate: ClimateState | None = None
    """Missing in what was kept by former versions."""


@dataclass(slots=True)
class Observer:
    """One for all markets: a ``FlowTrack`` each, and what they are to each other.

    ``update`` at each reading, then ``features`` of that reading, as often as is wanted.
    """

    tracks: dict[MarketId, FlowTrack] = field(default_factory=dict)
    peers: Peers = field(default_factory=Peers)
    shocks: float = 0.0
    hours: float = 0.0
    climate: Climate = field(default_factory=Climate)
    _weather: tuple[Nanoseconds, float, bool] | None = None
    """What the climate told last, for both directions to ask once."""
    _books: dict[MarketId, BookReading | None] = field(default_factory=dict)

    def update(self, reading: Reading, price: PriceMeasures | None) -> None:
        """Take a reading, and what its market's ``PriceTrack`` tells at it."""
        self._weather = None
        track = self.tracks.get(reading.market)
        if track is None:
            track = self.tracks[reading.market] = FlowTrack()
        onsets = (track.onset_down_at, track.onset_up_at)
        track.update(reading, price)
        self._count(reading, track, onsets)
        self.climate.follow(reading.market, reading.at, reading.price)
        self._begin(reading, track)
        self._books[reading.market] = reading.book
        if price is not None and reading.price is not None and reading.price > 0.0:
            self.peers.write(
                reading.market, reading.at, reading.price, _row(reading, price, track), reading.elapsed_s
            )

    def state(self) -> QuietState:
        """How often shocks came, to be kept over a restart."""
        return QuietState(shocks=self.shocks, hours=self.hours, climate=self.climate.state())

    def restore(self, state: QuietState) -> None:
        """Go on from what a former run had counted."""
        if 0.0 <= state.shocks < inf and 0.0 <= state.hours < inf:
            self.shocks, self.hours = state.shocks, state.hours
        if state.climate is not None:
            self.climate.restore(state.climate)
            self._weather = None

    def _count(self, reading: Reading, track: FlowTrack, onsets: tuple[Nanoseconds | None, ...]) -> None:
        """Count the market's quiet time, and the shocks that ended it."""
        for at in onsets:
            if at is not None and reading.at - at < ONSET_REFRACTORY_NS:
                return
        has_begun = reading.at in (track.onset_down_at, track.onset_up_at)
        elapsed_h = min(max(reading.elapsed_s, 0.0), QUIET_GAP_S) / 3600.0
        kept = 0.5 ** (elapsed_h / (QUIET_HALF_LIFE_H * max(len(self.tracks), 1)))
        self.shocks = self.shocks * kept + has_begun
        self.hours = self.hours * kept + elapsed_h

    def _begin(self, reading: Reading, track: FlowTrack) -> None:
        """Tell the climate of shocks that were first seen at this reading."""
        at, price = reading.at, reading.price
        if price is None:
            return
        if track.onset_down_at == at:
            self.climate.begin(reading.market, Direction.DOWN, at, price)
        if track.onset_up_at == at:
            self.climate.begin(reading.market, Direction.UP, at, price)

    def _quiet(
        self, direction: Direction, at: Nanoseconds, price: PriceMeasures | None, track: FlowTrack
    ) -> Quiet:
        share = 0.0
        if track.onset_age_s(direction) is None:
            gone: float | None = 0.0
            if price is not None:
                gone = price.drawdown_5m if direction is Direction.DOWN else price.runup_5m
            share = max(1.0 - (gone or 0.0) / ONSET_LOG, 0.0)
        weather = self._weather
        if weather is None or weather[0] != at:
            climate = self.climate
            weather = self._weather = at, climate.weight(at), climate.is_open(at)
        return Quiet(self.shocks, self.hours, share, weather[1], weather[2])

    def forget(self, market: MarketId) -> None:
        """The market is watched no more."""
        self.tracks.pop(market, None)
        self.climate.forget(market)
        self._weather = None
        self._books.pop(market, None)
        self.peers.forget(market)

    def cascade_inputs(
        self, direction: Direction, reading: Reading, sides: Mapping[MarketId, SideMap | None]
    ) -> CascadeInputs:
        """What ``cascade`` is to be given beside book and map of the reading that was taken last of its market.

        ``sides`` are maps of this direction by market: those of the same coin elsewhere are met through arbitrage.
        Models were fitted on cascades that were given this.
        """
        track = self.tracks.get(reading.market)
        if track is None:
            return NOTHING_MORE
        usual = track.variance_slow.mean
        elsewhere = tuple(
            Elsewhere(book=book, side=sides.get(twin), recent_net_usd=self._net(twin, direction))
            for twin in self.peers.twins(reading.market, reading.at)
            if (book := self._books.get(twin)) is not None
        )
        return CascadeInputs(
            recent_net_usd=self._net(reading.market, direction),
            volatility_5m=sqrt(usual) * FIVE_MINUTES_ROOT_S if usual else None,
            index_price=reading.index_price,
            elsewhere=elsewhere,
        )

    def _net(self, market: MarketId, direction: Direction) -> float:
        """What takers did in a direction on balance in about the last minute, USD."""
        track = self.tracks.get(market)
        return 0.0 if track is None else direction.sign * (track.bought[0] - track.sold[0])

    def features(
        self,
        direction: Direction,
        reading: Reading,
        price: PriceMeasures | None,
        cascade: CascadeResult | None,
    ) -> Features:
        """What models are given of the reading that was taken last of its market."""
        track = self.tracks.get(reading.market)
        peers = self.peers.view(reading.market, reading.at, direction)
        if track is None:
            return features(direction, reading, price, FlowTrack(), peers, cascade)
        return features(
            direction, reading, price, track, peers, cascade, self._quiet(direction, reading.at, price, track)
        )


def _row(reading: Reading, price: PriceMeasures, track: FlowTrack) -> tuple[float, ...]:
    book = reading.book
    depth = track.depth_usual_usd(book)
    usual = track.variance_slow.mean
    unit = max(price.volatility_60m or 0.0, sqrt(usual) if usual else 0.0, VOLATILITY_MIN)
    one, five = price.move_1m or 0.0, price.move_5m or 0.0
    bid = ask = forced_longs = forced_shorts = 0.0
    if depth is not None and depth > 0.0:
        if book is not None:
            bid = log(max(within_1_percent(book, Direction.DOWN) / depth, 1e-4))
            ask = log(max(within_1_percent(book, Direction.UP) / depth, 1e-4))
        forced_longs, forced_shorts = (
            asinh(10.0 * track.longs[1] / depth),
            asinh(10.0 * track.shorts[1] / depth),
        )
    wild = 0.0 if not price.volatility_1m else log(max(price.volatility_1m / unit, 1e-3))
    return (
        one,
        five,
        one / (unit * MINUTE_ROOT_S),
        five / (unit * FIVE_MINUTES_ROOT_S),
        bid,
        ask,
        forced_longs,
        forced_shorts,
        wild,
    )
