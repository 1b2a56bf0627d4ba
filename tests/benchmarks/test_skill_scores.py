"""The benchmark of skill puts those who know above those who guess, and sees through forecasts of another time."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks._frame import Result
from benchmarks._skill_rows import ORACLE, Runs
from benchmarks._skill_score_alarms import score_alarms
from benchmarks._skill_score_decisions import score_decisions
from benchmarks._skill_score_hazard import score_hazard
from benchmarks._skill_score_order import COARSE, score_order
from benchmarks._skill_score_reach import gather_onsets, score_reach
from benchmarks._skill_tables import MarketRun
from guard.skill.outcomes import farthest, onsets
from tests.support.skill_runs import DIRECTIONS, falling_run

EPISODES, FORMER = 24, 8
DRAWS = 8


def runs_of(sureness: float) -> Runs:
    judged = tuple(falling_run(number, sureness) for number in range(EPISODES))
    former = tuple(falling_run(100 + number, sureness) for number in range(FORMER))
    return Runs(judged, former, seed=5, draws=DRAWS)


def value(results: list[Result], case: str) -> Result:
    (found,) = (result for result in results if result.case == case)
    return found


@pytest.fixture(scope="module")
def by_sureness() -> dict[float, Runs]:
    return {sureness: runs_of(sureness) for sureness in (1.0, 0.5, 0.0, -1.0)}


def test_reach_ranks_those_who_know_above_those_who_guess(by_sureness: dict[float, Runs]) -> None:
    auc, error = {}, {}
    for sureness, runs in by_sureness.items():
        results = score_reach(runs)
        auc[sureness] = value(results, "reach: AUC of P(reach >= 5 %) at onsets")
        error[sureness] = value(results, "reach: mean error of its median (both cut at 16 %)").value
    assert auc[1.0].value == 1.0
    assert auc[1.0].baselines[ORACLE] == 1.0
    assert auc[1.0].met is True
    assert 0.3 < auc[0.0].value < 0.7
    assert auc[0.0].met is False
    assert auc[-1.0].value == 0.0
    assert error[1.0] < error[0.5] < error[0.0]


def test_hazard_ranks_those_who_know_above_those_who_guess(by_sureness: dict[float, Runs]) -> None:
    case = "hazard: 5 % within 45 min: Brier skill against climatology"
    skill = {sureness: value(score_hazard(runs), case).value for sureness, runs in by_sureness.items()}
    assert skill[1.0] > 0.8  # 45 minutes lie between what is told of 15 and of 60
    assert skill[1.0] > skill[0.5] > skill[0.0] > skill[-1.0]
    assert skill[-1.0] < 0.0


def test_alarms_of_those_who_know_come_early_and_are_true(by_sureness: dict[float, Runs]) -> None:
    recall = {}
    for sureness in (1.0, 0.0):
        runs = by_sureness[sureness]
        found = [
            each
            for each in score_alarms(Runs(runs.judged[:12], runs.chosen_by, runs.seed, runs.draws))
            if each.case.endswith("recall, at 1 false alarm a market and day")
        ]
        recall[sureness] = found[0]
    assert recall[1.0].value > 0.9
    assert recall[1.0].baselines["false a market and day"] < 0.5
    assert recall[0.0].value < 0.5


def test_decisions_of_those_who_know_lose_fewer_at_the_same_leverage(by_sureness: dict[float, Runs]) -> None:
    fewer, by_danger, leverage = {}, {}, {}
    for sureness in (1.0, 0.0):
        results = score_decisions(by_sureness[sureness])
        tried = {
            each.case.removeprefix("decisions, tried: fewer liquidated, capped by "): each for each in results
        }
        fewer[sureness] = tried["hazard of 10 %"].value
        by_danger[sureness] = tried["danger"].value
        leverage[sureness] = next(
            each.baselines["leverage"] for each in results if "liquidating entries" in each.case
        )
    assert fewer[1.0] > fewer[0.0] + 0.3
    assert by_danger[1.0] > by_danger[0.0] + 0.3
    assert leverage[1.0] == pytest.approx(5.0, abs=0.05)
    assert leverage[0.0] == pytest.approx(5.0, abs=0.05)


def test_what_is_judged_tells_the_gap_and_order_level_rows_the_coarse_figure(
    by_sureness: dict[float, Runs],
) -> None:
    case = "reach: AUC of P(reach >= 5 %) at onsets"
    gaps = [value(score_reach(by_sureness[sureness]), case).gap for sureness in (1.0, 0.0)]
    assert [gap is not None and gap.closed is not None and gap.closed > 0.7 for gap in gaps] == [True, False]
    runs = by_sureness[0.0]
    told = value(score_reach(runs), case)
    some = Runs(runs.judged[:8], runs.chosen_by, runs.seed, runs.draws)
    rows = {result.case: result for result in score_order(some, runs)}
    shown = rows[f"order level: {case}"]
    assert shown.baselines[COARSE] == told.value
    assert shown.value == value(score_reach(some), case).value
    assert all(each.target is None and each.gap is None for each in rows.values())
    assert any("alarms by" in name for name in rows)
    assert score_order(Runs((), runs.chosen_by, 1, 2), runs) == []


def test_the_forecasts_of_another_episode_are_worth_nothing(by_sureness: dict[float, Runs]) -> None:
    """What knows the truth of one episode is told of another: skill that survives this is not skill."""
    judged = by_sureness[1.0].judged
    permuted = tuple(told_by(run, judged[(at + 1) % len(judged)]) for at, run in enumerate(judged))
    runs = Runs(permuted, by_sureness[1.0].chosen_by, seed=5, draws=DRAWS)
    assert value(score_reach(runs), "reach: AUC of P(reach >= 5 %) at onsets").value < 0.75
    case = "hazard: 5 % within 45 min: Brier skill against climatology"
    assert value(score_hazard(runs), case).value < 0.0


def test_the_forecasts_of_another_time_are_worth_nothing(by_sureness: dict[float, Runs]) -> None:
    case = "hazard: 5 % within 45 min: Brier skill against climatology"
    shifted = []
    for run in (falling_run(number, 1.0) for number in range(EPISODES)):
        run.whole.values = np.roll(run.whole.values, len(run.thin) // 2, axis=0)
        shifted.append(run)
    runs = Runs(tuple(shifted), by_sureness[1.0].chosen_by, seed=5, draws=DRAWS)
    assert value(score_hazard(runs), case).value < 0.0


def test_onsets_and_reach_are_those_of_the_product() -> None:
    run = falling_run(3, 1.0)
    expected = []
    for direction in DIRECTIONS:
        rows = onsets(run.at, run.price, direction)
        truth = farthest(run.at, run.price, direction, 1800.0)
        expected += truth.value[rows][truth.known[rows]].tolist()
    assert gather_onsets([run]).reach.tolist() == expected
    assert expected


def told_by(run: MarketRun, other: MarketRun) -> MarketRun:
    """A market with another one's forecasts, at readings of the same number."""
    found = falling_run(run.number, 1.0)
    # Onsets differ, so all thin readings take what the other said at the thin reading nearest in time.
    places = np.searchsorted(other.thin, found.thin).clip(max=len(other.thin) - 1)
    found.whole.values = other.whole.values[places]
    found.often.values = other.often.values
    return found
