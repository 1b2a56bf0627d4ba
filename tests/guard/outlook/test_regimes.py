"""States of a market that is watched: compiled they are what plain Python says, with the same reasons."""

from __future__ import annotations

import copy
import dataclasses
from math import exp
from typing import Any

import msgspec
import numpy as np
import pytest

from guard.events import CURVE_BPS
from guard.forecasts import HORIZONS_S, MOVES, Direction, HazardForecast, Regime, SignalValue
from guard.hazard.regime_settings import RegimeSettings
from guard.hazard.tracks import FlowTrack
from guard.leverage.cascade import cascade
from guard.leverage.crowd.side_map import SideMap
from guard.outlook.regimes import Regimes
from guard.signals.price_track import PriceTrack
from guard.units import NS_PER_S
from tests.guard.hazard.test_rows import readings
from tests.support.uncompiled import uncompiled

AS_IT_IS = uncompiled("guard.hazard.regime", "guard.outlook.regimes")[1]
BY_COST = RegimeSettings(hazard_watch=0.0, hazard_stressed=0.0)


@pytest.mark.parametrize("settings", [RegimeSettings(), BY_COST])
def test_states_are_the_same_compiled_or_not(settings: RegimeSettings) -> None:
    """Over markets that move, with and without maps, hazards and baselines."""
    drawn, seen = np.random.default_rng(3), set()
    fast, slow = Regimes(settings), AS_IT_IS.Regimes(settings)
    for seed in range(2):
        prices, flow = PriceTrack(), FlowTrack()
        for step, reading in enumerate(readings(seed)):
            prices.update(reading.at, reading.price)
            measures = prices.measures()
            flow.update(reading, measures)
            wild, book = float(drawn.exponential(0.3)), reading.book
            side = SideMap(np.full(240, 4e5 * wild), 0.5, 100.0) if step % 5 else None
            structures = [cascade(each, book, side) for each in Direction] if book is not None else []
            row = tuple(min(0.01 * exp(3.0 * wild), 1.0) for _ in MOVES)
            given: dict[str, Any] = {
                "structures": structures,
                "hazards": [
                    HazardForecast(
                        direction=each.direction,
                        probability=(row,) * len(HORIZONS_S),
                        vulnerability=0.1,
                        shock=0.1,
                    )
                    for each in structures
                    if step % 7
                ],
                "signals": [
                    SignalValue(name=name, value=value, unit="ratio", alarm=None)
                    for name, value in (("round_trip_ratio", 1.0 + wild), ("x", 0.0), ("spread_ratio", None))
                ],
                "measures": measures if step % 9 else None,
                "sigma": 3e-4 if step % 4 else None,
                "flow": flow if step % 6 else None,
            }
            said = fast.judge(reading, **given)
            assert msgspec.json.encode(said) == msgspec.json.encode(slow.judge(reading, **given))
            seen.add(said.regime)
        fast, slow = copy.deepcopy(fast), copy.deepcopy(slow)
    assert {Regime.NORMAL, Regime.STRESSED} < seen
    assert msgspec.json.encode(fast.state()) == msgspec.json.encode(slow.state())


@pytest.mark.parametrize(("cost_bps", "regime"), [(2.0, Regime.NORMAL), (20.0, Regime.STRESSED)])
def test_a_round_trip_that_costs_next_to_nothing_is_no_stress(cost_bps: float, regime: Regime) -> None:
    """Where it usually costs a tenth of a tick's worth, a tick is ten times as much."""
    reading = next(each for each in readings(0) if each.book is not None)
    assert reading.book is not None
    calm = dataclasses.replace(reading.book, round_trip_bps=cost_bps, bid_depth_z=0.0, ask_depth_z=0.0)
    reading = dataclasses.replace(reading, book=calm)
    regimes, given = Regimes(RegimeSettings()), nothing_but(round_trip_ratio=8.0)
    regimes.judge(reading, **given)
    said = regimes.judge(dataclasses.replace(reading, at=reading.at + 5 * NS_PER_S), **given)
    assert said.regime is regime


@pytest.mark.parametrize(("visible_bps", "regime"), [(20.0, Regime.NORMAL), (100.0, Regime.CASCADE)])
def test_depth_that_is_made_out_of_the_nearest_levels_is_said_and_not_taken(
    visible_bps: float, regime: Regime
) -> None:
    """Of the thinner side: how far the other one is seen says nothing."""
    reading = next(each for each in readings(0) if each.book is not None)
    book = reading.book
    assert book is not None
    regimes, given = Regimes(RegimeSettings()), nothing_but()
    for step in range(2):
        thin = dataclasses.replace(
            book,
            bid_visible_bps=visible_bps,
            ask_visible_bps=120.0 - visible_bps,
            normal_bps=100.0,
            bid_normal_usd=20.0 * book.bid_curve_usd[CURVE_BPS.index(100.0)],
            ask_normal_usd=book.ask_curve_usd[CURVE_BPS.index(100.0)],
            bid_depth_z=0.0,
            ask_depth_z=0.0,
        )
        at = reading.at + 5 * step * NS_PER_S
        said = regimes.judge(dataclasses.replace(reading, at=at, book=thin), **given)
    assert said.regime is regime
    assert said.unseen == (("collapse",) if regime is Regime.NORMAL else ())


def nothing_but(**signals: float) -> dict[str, Any]:
    """What is known beside the book."""
    told = [SignalValue(name=name, value=value, unit="ratio", alarm=None) for name, value in signals.items()]
    return {
        "structures": [],
        "hazards": [],
        "signals": told,
        "measures": None,
        "sigma": None,
        "flow": None,
    }
