"""What is told is what the messages of all estimators mixed by the gate would be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import log

import pytest
from msgspec import structs

from guard.forecasts import Direction, HazardForecast, ReachForecast
from guard.hazard.artefact import Expert
from guard.hazard.experts import Opinions, hazard_forecast, reach_forecast
from guard.hazard.sizing import beside_ratio, danger
from guard.leverage.cascade import CascadeResult, cascade, oi_depth_ratio
from guard.models import load_experts
from guard.outlook.judging import Judging
from guard.skill.gate import HAZARDS, SETTLED, USUAL, Gate, Target
from guard.skill.mixing import mix_hazards, mix_reaches
from tests.guard.hazard.forecasting import Watched, reading_at

MINUTES = 6


def by_messages(
    judging: Judging, structure: CascadeResult, said: Opinions
) -> tuple[HazardForecast | None, ReachForecast | None]:
    """Mix what each tells by itself."""
    ledger, direction = judging.ledger, structure.direction
    hazards: dict[str, HazardForecast] = {
        str(name): hazard_forecast(direction, each) for name, each in said.items()
    }
    if Expert.FULL in said:
        hazards[SETTLED] = ledger.recalibration.settle(hazards[str(Expert.FULL)])
    reaches = {str(name): reach_forecast(each, structure) for name, each in said.items()}
    usual = ledger.climatology
    market = reading_at(0.0, 100.0).market
    return (
        mix_hazards(ledger.gate, {USUAL: usual.hazard(market, direction), **hazards}),
        mix_reaches(ledger.gate, {USUAL: usual.reach(direction), **reaches}, structure.forecast()),
    )


def learned() -> Mapping[Target, Mapping[str, float]]:
    """An hour in which the flow did better."""
    return {target: {"flow": 0.7, "full": -0.4} for target in (Target.REACH, *HAZARDS)}


@pytest.mark.parametrize("has_map", [True, False])
def test_what_is_told_is_what_messages_mixed_by_the_gate_would_be(has_map: bool) -> None:
    """At each refresh, while the market is young and later, and after the gate and the rates have learned."""
    experts, judging, found = load_experts(), Judging(), Watched()
    judging.ledger.recalibration._logs[
        :
    ] = -0.4  # rates of life that are others than those of what was fitted on
    judging.ledger.restore(judging.ledger.state())
    told_hazards = 0
    for at in range(MINUTES * 12):
        reading = reading_at(at * 5.0, 100.0 * (1.0 - 0.0004 * at), sell_usd=1e5)
        found.take(reading)
        assert reading.book is not None
        structures = [cascade(direction, reading.book, None) for direction in Direction]
        features = [
            found.observer.features(each.direction, reading, found.measures, each) for each in structures
        ]
        if has_map:
            features = [structs.replace(each, has_map=True) for each in features]
        said = experts.estimate(features)
        reaches, hazards = judging.weigh(reading, structures, said, (0.0, 0.0), {})
        # What came due at this reading was taken into account before anything was told.
        for structure, of, hazard, reach in zip(structures, said, hazards, reaches, strict=True):
            assert (hazard, reach) == by_messages(judging, structure, of)
            told_hazards += 1
        if at == MINUTES * 6:
            judging.ledger.gate.learn(learned())
    assert told_hazards == 2 * MINUTES * 12


def test_nobody_who_counts_tells_nothing() -> None:
    """A gate that knows none of those that speak leaves reach and hazard untold."""
    judging, experts, found = Judging(), load_experts(), Watched()
    judging.ledger.gate = Gate(priors={target: {"somebody": 1.0} for target in Target})
    reading = reading_at(0.0, 100.0)
    found.take(reading)
    assert reading.book is not None
    structure = cascade(Direction.DOWN, reading.book, None)
    said = experts.estimate([found.observer.features(Direction.DOWN, reading, found.measures, structure)])
    assert judging.weigh(reading, [structure], said, (0.0,), {}) == ((), ())
    assert judging.size(reading, [structure], said) == ()


def test_leverage_is_sized_by_those_who_told_most_of_what_came() -> None:
    """The danger moves from what the one says to what the other says as the gate learns."""
    judging, experts, found = Judging(), load_experts(), Watched()
    reading = reading_at(0.0, 100.0)
    for at in range(24):
        reading = reading_at(at * 5.0, 100.0 * (1.0 - 0.002 * at), sell_usd=1e6)
        found.take(reading)
    assert reading.book is not None
    structure = cascade(Direction.DOWN, reading.book, None)
    said = experts.estimate([found.observer.features(Direction.DOWN, reading, found.measures, structure)])
    found_ratio = oi_depth_ratio(reading)
    assert found_ratio is not None
    flow, ratio = (_beside(danger(said[0], {name: 1.0}), found_ratio) for name in ("flow", "oi_depth"))
    before = judging.size(reading, [structure], said)[0].danger
    for _ in range(30):
        judging.ledger.gate.learn({Target.HAZARD_15: {"flow": -1.0, "oi_depth": 1.0}})
    after = judging.size(reading, [structure], said)[0].danger
    assert min(flow, ratio) < before < max(flow, ratio)
    assert abs(log(after / ratio)) < 0.1 * abs(log(before / ratio))
    unknown = judging.size(replace(reading, open_interest=None), [structure], said)[0].danger
    assert _beside(unknown, found_ratio) == pytest.approx(after, rel=1e-12)
    assert unknown != pytest.approx(after, rel=0.01)


def _beside(found: float | None, ratio: float) -> float:
    assert found is not None
    return beside_ratio(found, ratio)
