"""The state of each market, from what is known of it at a refresh. No I/O, no clock.

Compiled where there is a compiler (regimes.pxd), and the same results as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import exp, inf, log, sqrt

import numpy as np
from msgspec import Struct

from guard.events import CURVE_BPS
from guard.forecasts import HORIZONS_S, MOVES, HazardForecast, Regime, SignalValue
from guard.hazard.regime import RegimeInputs, RegimeMachine, RegimeState
from guard.hazard.regime_settings import RegimeSettings
from guard.hazard.thresholds import thresholds
from guard.hazard.tracks import FlowTrack
from guard.leverage.cascade import CascadeResult
from guard.readings import BookReading, Reading
from guard.signals.price_measures import PriceMeasures
from guard.signals.usual import Usual
from guard.units import MarketId, Nanoseconds

_HORIZON, _MOVE = HORIZONS_S.index(900), MOVES.index(0.05)
_ONE_PERCENT = CURVE_BPS.index(100.0)
_PLACES = {bps: place for place, bps in enumerate(CURVE_BPS)}
_USUAL_MOVES = 2.0 * sqrt(900.0)
"""A stretch that feeds itself is near if it begins within two usual moves of 15 minutes."""

_NAMED = RegimeSettings()
_NOTHING_KNOWN = RegimeInputs(is_known=False)
_REFILL_HALF_LIFE_S = 86_400.0
_REFILL_WARM_S = 1_800.0
_UNHURT = (Regime.NORMAL, Regime.WATCH)

ROUND_TRIP_BPS_MIN = 5.0
"""A cheaper round trip is no stress, however cheap it usually is: fees are more, and one tick makes ten of a tenth."""


class Judged(Struct, frozen=True):
    """A state, since when, what holds it there (worst first), and how much of what was cut may be resumed."""

    regime: Regime
    since: Nanoseconds
    reasons: tuple[str, ...]
    resume_share: float
    is_held: bool = False
    """It stands only because nothing is known."""
    unseen: tuple[str, ...] = ()
    """Criteria that do not count only because the depth they are told of lies beyond what levels show."""


class Regimes:
    """A machine for each market."""

    def __init__(self, settings: RegimeSettings | None = None) -> None:
        self.settings = settings or RegimeSettings()
        self._machines: dict[MarketId, RegimeMachine] = {}
        self._refills: dict[MarketId, Usual] = {}
        """Log of each book's usual half-life of refilling, s; learned while nothing is wrong, anew by every run."""

    def judge(
        self,
        reading: Reading,
        *,
        structures: Sequence[CascadeResult],
        hazards: Sequence[HazardForecast],
        signals: Iterable[SignalValue],
        measures: PriceMeasures | None,
        sigma: float | None,
        flow: FlowTrack | None,
    ) -> Judged:
        """Judge a market anew; where its book may not be believed its state is held.

        Args:
            reading: of this refresh.
            structures: the cascade in each direction.
            hazards: likewise.
            signals: the observables.
            measures: what its price did.
            sigma: its usual volatility per square root of a second.
            flow: what flowed through it.
        """
        machine = self._of(reading.market)
        inputs = _NOTHING_KNOWN
        if reading.book is not None:
            entries = self._by_cost(reading.book, structures, hazards)
            refill = self._refill(reading, machine.regime)
            inputs = _inputs(
                reading.book, structures, hazards, signals, measures, sigma, flow, entries, refill
            )
        regime = machine.update(reading.at, inputs)
        return Judged(
            regime,
            machine.since_at,
            machine.reasons,
            machine.resume_share,
            machine.is_held_unknown,
            machine.unseen,
        )

    def _by_cost(
        self, book: BookReading, structures: Sequence[CascadeResult], hazards: Sequence[HazardForecast]
    ) -> tuple[float | None, float | None]:
        """Entries of the hazard that the settings leave to cost: for the direction whose hazard is worse."""
        settings = self.settings
        if settings.hazard_watch > 0.0 and settings.hazard_stressed > 0.0:
            return None, None
        worst = None
        for each in hazards:
            if worst is None or each.probability[_HORIZON][_MOVE] > worst.probability[_HORIZON][_MOVE]:
                worst = each
        found = None
        for structure in structures:
            if found is None and worst is not None and structure.direction is worst.direction:
                found = structure
        if found is None:
            watch, stressed = _NAMED.hazard_watch, _NAMED.hazard_stressed
        else:
            told = thresholds(found.direction, book, found)
            watch, stressed = told.watch, told.cut
        return (
            settings.hazard_watch or watch,
            settings.hazard_stressed or stressed,
        )

    def _refill(self, reading: Reading, regime: Regime) -> float | None:
        """How long the book takes to refill over how long it usually does; ``None`` until that is known."""
        half_life_s = None if reading.book is None else reading.book.refill_half_life_s
        if half_life_s is None or not 0.0 < half_life_s < inf:
            return None
        usual = self._refills.get(reading.market)
        if usual is None:
            usual = self._refills[reading.market] = Usual(_REFILL_HALF_LIFE_S)
        log_s = log(half_life_s)
        ratio = exp(log_s - usual.mean) if usual.seconds >= _REFILL_WARM_S else None
        if regime in _UNHURT:
            usual.update(log_s, min(reading.elapsed_s, 60.0))
        return ratio

    def reconfigure(self, settings: RegimeSettings) -> None:
        """Judge by other settings from now on; states stay."""
        self.settings = settings
        for machine in self._machines.values():
            machine.settings = settings

    def forget(self, market: MarketId) -> None:
        """The market is watched no more."""
        self._machines.pop(market, None)
        self._refills.pop(market, None)

    def state(self) -> Mapping[MarketId, RegimeState]:
        """What is remembered for another run."""
        return {market: machine.state() for market, machine in self._machines.items()}

    def restore(self, market: MarketId, state: RegimeState) -> None:
        """Go on from a state, unless the market was judged already."""
        if market not in self._machines:
            self._of(market).restore(state)

    def __reduce__(self) -> tuple[object, ...]:
        """Copy it, compiled or not."""
        return _regimes_of, (self.settings, self._machines, self._refills)

    def go_on(self, machines: dict[MarketId, RegimeMachine], refills: dict[MarketId, Usual]) -> None:
        """Take what ``__reduce__`` of another gave."""
        self._machines, self._refills = machines, refills

    def _of(self, market: MarketId) -> RegimeMachine:
        machine = self._machines.get(market)
        if machine is None:
            machine = self._machines[market] = RegimeMachine(self.settings)
        return machine


def _regimes_of(
    settings: RegimeSettings, machines: dict[MarketId, RegimeMachine], refills: dict[MarketId, Usual]
) -> Regimes:
    copied = Regimes(settings)
    copied.go_on(machines, refills)
    return copied


def _inputs(
    book: BookReading,
    structures: Sequence[CascadeResult],
    hazards: Sequence[HazardForecast],
    signals: Iterable[SignalValue],
    measures: PriceMeasures | None,
    sigma: float | None,
    flow: FlowTrack | None,
    entries: tuple[float | None, float | None],
    refill: float | None,
) -> RegimeInputs:
    moved = None if measures is None else measures.move_1m
    round_trip = spread = None
    for each in signals:
        if each.name == "round_trip_ratio":
            round_trip = each.value
        elif each.name == "spread_ratio":
            spread = each.value
    cost_bps = book.round_trip_bps
    if round_trip is not None and cost_bps is not None and cost_bps < ROUND_TRIP_BPS_MIN:
        round_trip = min(round_trip, 1.0)
    bids = _ratio(book.bid_curve_usd, book.bid_normal_usd, book.normal_bps)
    asks = _ratio(book.ask_curve_usd, book.ask_normal_usd, book.normal_bps)
    return RegimeInputs(
        hazard_15m=_worst(hazards),
        hazard_watch=entries[0],
        hazard_stressed=entries[1],
        depth_z=_least(book.bid_depth_z, book.ask_depth_z),
        depth_ratio=_least(bids, asks),
        is_depth_seen=_is_seen(book, bids, asks),
        round_trip_ratio=round_trip,
        reproduction=_reproduction(structures, sigma),
        liquidations_per_min=None if flow is None else _liquidated(book, flow),
        speed=abs(moved) / (sigma * sqrt(60.0)) if moved is not None and sigma else None,
        spread_ratio=spread,
        refill_ratio=refill,
    )


def _worst(hazards: Sequence[HazardForecast]) -> float | None:
    """Of all directions, within 15 minutes."""
    found: float | None = None
    for each in hazards:
        told = each.probability[_HORIZON][_MOVE]
        if found is None or told > found:
            found = told
    return found


def _least(one: float | None, other: float | None) -> float | None:
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)


def _ratio(curve: tuple[float, ...], normal_usd: float | None, bps: float) -> float | None:
    """Depth over its normal within the band of the baselines."""
    if not normal_usd:
        return None
    place = _PLACES.get(bps)
    usd = float(np.interp(bps, CURVE_BPS, curve)) if place is None else curve[place]
    return usd / normal_usd


def _is_seen(book: BookReading, bids: float | None, asks: float | None) -> bool:
    """Whether the thinner side's levels reach as far as the band that its depth is told of."""
    is_of_bids = asks is None or (bids is not None and bids <= asks)
    return (book.bid_visible_bps if is_of_bids else book.ask_visible_bps) >= book.normal_bps


def _reproduction(structures: Sequence[CascadeResult], sigma: float | None) -> float | None:
    """The greatest R that price may come to on an ordinary day; only whether it is above 1 where it is not told.

    Without a map of others' positions it is not known what is forced, and not 0.
    """
    if not sigma:
        return None
    near, worst, is_known = _USUAL_MOVES * sigma, 0.0, False
    for each in structures:
        if not each.has_map:
            continue
        is_known = True
        if each.reproduction_at is not None and each.reproduction_at <= near:
            worst = max(worst, each.reproduction)
        elif worst < 1.0:
            for stretch in each.stretches:
                if stretch.near <= near:
                    worst = 1.0
    return worst if is_known else None


def _liquidated(book: BookReading, flow: FlowTrack) -> float | None:
    """Notional liquidated in the last minute over what stands within 1 % on the side that takes it, the worse side."""
    worst: float | None = None
    bids, asks = book.bid_curve_usd[_ONE_PERCENT], book.ask_curve_usd[_ONE_PERCENT]
    if bids > 0.0:
        worst = flow.longs[0] / bids
    if asks > 0.0:
        share = flow.shorts[0] / asks
        worst = share if worst is None else max(worst, share)
    return worst
