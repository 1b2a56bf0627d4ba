"""Metrics of skill by cases whose answer is known, maps by maps that are known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks._frame import Better
from benchmarks._skill_alarms import Watched, judge, labels_of, threshold_of
from benchmarks._skill_decisions import (
    LEVERAGE_MEAN,
    Held,
    bearable_leverage,
    factor_of,
    leverages,
    outcomes,
)
from benchmarks._skill_maps import MapRows, TrueShape, carried_bps, masses, peaks, recall, shifted
from benchmarks._skill_metrics import (
    Measured,
    average_precision,
    between_horizons,
    block_sums,
    bootstrap,
    bootstrap_sums,
    hazard_by,
    logistic_fit,
    logistic_values,
    reliability_error,
    spearman,
)
from benchmarks._skill_rows import ORACLE, Runs, Sampled, gap_of, ratio_row, row
from guard.forecasts import HORIZONS_S, MOVES, Direction
from guard.leverage.crowd.side_map import BINS
from guard.units import NS_PER_S

Floats = NDArray[np.float64]
DRAWN = np.random.default_rng(7)


def test_both_bootstraps_agree_and_hold_the_mean_of_blocks_not_of_samples() -> None:
    blocks = np.repeat(np.arange(20), 50)
    values = np.repeat(DRAWN.normal(size=20), 50)
    slow = bootstrap(blocks, lambda at: float(values[at].mean()), 3, draws=200)
    sums = block_sums(blocks, values, np.ones(len(values)))
    quick = bootstrap_sums(sums, lambda total: float(total[0] / total[1]), 3, draws=200)
    assert slow.value == pytest.approx(quick.value)
    assert slow.low == pytest.approx(quick.low, abs=0.15)
    deviation = values[::50].std() / np.sqrt(20)
    assert 2.5 * deviation < quick.high - quick.low < 5.5 * deviation
    assert bootstrap(blocks, lambda at: float(values[at].mean()), 3, draws=200) == slow


def test_calibrated_probabilities_are_reliable_and_doubled_ones_are_not() -> None:
    chance = DRAWN.uniform(0.0, 0.5, 20_000)
    came = (DRAWN.uniform(size=20_000) < chance).astype(np.float64)
    assert reliability_error(chance, came) < 0.01
    assert reliability_error(2.0 * chance, came) > 0.2


def test_a_regression_finds_what_it_was_made_of() -> None:
    features = DRAWN.normal(size=(8_000, 2))
    chance = 1.0 / (1.0 + np.exp(-(-1.0 + 2.0 * features[:, 0])))
    came = (DRAWN.uniform(size=8_000) < chance).astype(np.float64)
    found = logistic_fit(features, came, ridge=1e-6)
    assert found == pytest.approx([-1.0, 2.0, 0.0], abs=0.15)
    assert logistic_values(found, features) == pytest.approx(chance, abs=0.06)


def test_probability_grows_between_horizons_at_a_constant_rate() -> None:
    nearer, farther = np.array([0.1]), np.array([0.19])
    assert between_horizons(nearer, farther, 900.0, 1800.0, 1350.0) == pytest.approx(1.0 - 0.9**1.5)
    told = np.arange(9.0)[None, :] / 100.0
    assert hazard_by(told, HORIZONS_S[1], MOVES[1]) == pytest.approx(0.04)
    assert 0.04 < hazard_by(told, 2700.0, MOVES[1])[0] < 0.07
    with pytest.raises(ValueError, match="beyond"):
        hazard_by(told, 7200.0, MOVES[1])


def test_equal_scores_share_their_precision() -> None:
    assert average_precision(np.ones(4), np.array([1.0, 0.0, 0.0, 0.0])) == 0.25
    assert spearman(np.arange(5.0), np.arange(5.0) ** 3) == pytest.approx(1.0)


def test_a_row_tells_whether_its_target_is_met() -> None:
    made = row(
        "x", Measured(0.8, 0.7, 0.9), "", better=Better.HIGHER, target=0.85, baselines={"a": 0.6}, oracle=0.9
    )
    assert made.met is False
    assert made.baselines == {"a": 0.6, ORACLE: 0.9}
    assert ratio_row("x", Measured(0.7, 0.6, 0.9), (0.75, 1.25), "").met is False
    assert ratio_row("x", Measured(1.2, 0.6, 1.9), (0.75, 1.25), "").met is True


def means(*of_episodes: float) -> Sampled:
    """The mean of a number of each episode, ten samples each."""
    values = np.repeat(np.array(of_episodes), 10)
    return Sampled(np.repeat(np.arange(len(of_episodes)), 10), lambda drawn: float(values[drawn].mean()))


def test_a_gap_is_closed_by_as_much_as_the_best_baseline_leaves() -> None:
    runs = Runs((), (), seed=3, draws=60)
    low, high = means(2.0, 4.0, 6.0, 8.0), means(1.0, 2.0, 3.0, 4.0)
    ours, oracle = means(3.0, 6.0, 9.0, 12.0), means(4.0, 8.0, 12.0, 16.0)
    gap = gap_of(ours, {"low": high, "best": low}, oracle, runs, better=Better.HIGHER)
    assert gap is not None
    assert (gap.baseline, gap.why) == ("best", "")
    assert gap.closed == pytest.approx(0.5)
    assert gap.low == pytest.approx(0.5), "all three are drawn together, so their ratio stands"
    assert gap.high == pytest.approx(0.5)
    turned = gap_of(ours, {"best": oracle}, low, runs, better=Better.LOWER)
    assert turned is not None
    assert turned.closed == pytest.approx(0.5)


def test_where_an_oracle_is_no_better_there_is_no_gap_and_that_is_said() -> None:
    runs = Runs((), (), seed=3, draws=60)
    ours = means(3.0, 6.0, 9.0, 12.0)
    none = gap_of(ours, {"best": means(4.0, 8.0)}, means(3.0, 8.0), runs, better=Better.HIGHER)
    assert none is not None
    assert (none.closed, none.low, none.high) == (None, None, None)
    assert "no better" in none.why
    crossed = {"best": means(1.0, 9.0, 1.0, 9.0)}
    unsure = gap_of(ours, crossed, means(9.0, 1.0, 9.0, 1.4), runs, better=Better.HIGHER)
    assert unsure is not None
    assert unsure.closed is not None
    assert unsure.low is None
    assert "bootstraps" in unsure.why
    assert gap_of(ours, {}, ours, runs, better=Better.HIGHER) is None


# -- maps ------------------------------------------------------------------------------------------------


def bumps(*at: int, width: float = 4.0) -> Floats:
    bins = np.arange(BINS)
    found: Floats = np.sum([np.exp(-0.5 * ((bins - each) / width) ** 2) for each in at], axis=0) * 1e5
    return found


def test_a_map_that_is_the_truth_is_perfect_and_one_elsewhere_is_not() -> None:
    truth = bumps(15, 45, 80)
    rows = {name: MapRows() for name in ("same", "double", "elsewhere")}
    generator = np.random.default_rng(1)
    for name, told in (("same", truth), ("double", 2.0 * truth), ("elsewhere", bumps(30, 60, 95))):
        intervals = [(0.9 * mass, 1.1 * mass) for mass in masses(told, Direction.DOWN)]
        rows[name].add(told, TrueShape(truth, Direction.DOWN, 1e8), intervals, generator)
    same, double, elsewhere = (rows[name].arrays() for name in ("same", "double", "elsewhere"))
    assert np.abs(same["ratio_log"]).max() == 0.0
    assert (same["emd_bps"][0], same["recall"][0], same["inside"].mean()) == (0.0, 1.0, 1.0)
    assert double["ratio_log"] == pytest.approx(np.log(2.0), abs=0.02)
    assert (double["emd_bps"][0], double["recall"][0], double["inside"].sum()) == (
        pytest.approx(0.0),
        1.0,
        0.0,
    )
    assert elsewhere["emd_bps"][0] > 100.0
    assert elsewhere["recall"][0] == 0.0
    assert 0.1 < same["recall_random"][0] < 0.6


def test_shapes_are_as_far_apart_as_they_were_moved() -> None:
    assert carried_bps(bumps(30), bumps(40)) == pytest.approx(100.0, rel=0.02)
    assert np.isnan(carried_bps(np.zeros(BINS), bumps(40)))
    assert shifted(bumps(40), 10)[:60] == pytest.approx(bumps(30)[:60])
    for far in (-2_000, 2_000):
        assert not shifted(bumps(40), far).any()
    assert shifted(bumps(40), -10)[20:80] == pytest.approx(bumps(50)[20:80])


def test_peaks_are_greatest_first_and_apart() -> None:
    found = peaks(bumps(20, 26, 70) + bumps(70))
    assert found[0] == pytest.approx(70, abs=1)
    assert len(found) == 3
    assert min(abs(one - other) for at, one in enumerate(found) for other in found[:at]) > 15
    assert np.isnan(recall(found, peaks(np.zeros(BINS))))
    assert recall(peaks(np.zeros(BINS)), found) == 0.0


# -- decisions -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("direction", list(Direction))
def test_bearable_leverage_is_where_the_margin_is_used_up(direction: Direction) -> None:
    rows, maintenance = 300, 0.01
    at = np.arange(rows, dtype=np.int64) * 5 * NS_PER_S
    mark = 100.0 * np.exp(np.cumsum(np.random.default_rng(3).normal(0.0, 0.003, rows)))
    low, high = mark * 0.999, mark * 1.001
    bearable, known = bearable_leverage(at, mark, low, high, direction, maintenance)
    assert known.any()
    for entry in np.flatnonzero(known)[::37]:
        after = slice(entry + 1, entry + 121)
        for ratio, is_gone in ((0.999, False), (1.001, True)):
            leverage = bearable[entry] * ratio
            if direction is Direction.DOWN:
                price = mark[entry] * (1.0 - 1.0 / leverage) / (1.0 - maintenance)
                assert bool(low[after].min() <= price) is is_gone
            else:
                price = mark[entry] * (1.0 + 1.0 / leverage) / (1.0 + maintenance)
                assert bool(high[after].max() >= price) is is_gone


def test_leverage_is_matched_and_who_knows_loses_nobody() -> None:
    held = []
    for number in range(30):
        bearable = np.random.default_rng(number).lognormal(2.0, 0.6, 200)
        wanted = {"knows": bearable, "constant": np.ones(200), "against": 1.0 / bearable}
        held.append(Held(number, "world", bearable, np.ones(200, np.bool_), wanted))
    told = outcomes(held, ["knows", "constant", "against"])
    assert [told[name].leverage_mean for name in told] == pytest.approx([LEVERAGE_MEAN] * 3, abs=0.01)
    ticks = {name: each.ticks.sum() for name, each in told.items()}
    assert ticks["knows"] < 0.05 * ticks["constant"]
    assert ticks["constant"] < ticks["against"]
    unknown = np.full(50, np.nan)
    assert leverages(unknown, factor_of(np.ones(5))).tolist() == [LEVERAGE_MEAN] * 50


# -- alarms ----------------------------------------------------------------------------------------------


def watched(score: Floats, events: list[int], rows: int = 4_000, episode: int = 0) -> Watched:
    at = np.arange(rows, dtype=np.int64) * 5 * NS_PER_S
    return Watched(episode, at, score, at[events])


def test_alarms_before_an_event_are_true_and_others_false() -> None:
    score = np.zeros(4_000)
    score[1_900] = score[500] = 1.0
    (judged,) = judge([watched(score, [2_000])], 0.5)
    assert (judged.events, judged.found, judged.early, judged.true, judged.false) == (1, 1, 1, 1, 1)
    assert judged.leads_s == (500.0,)


def test_a_threshold_keeps_to_its_budget_of_false_alarms() -> None:
    # One event an episode, told exactly; and noise that a lower threshold would alarm by.
    former = []
    for number in range(12):
        score = np.random.default_rng(number).uniform(0.0, 0.5, 4_000)
        score[1_880:2_000] = 0.9
        former.append(watched(score, [2_000], episode=number))
    threshold = threshold_of(former, 1.0)
    assert 0.45 < threshold <= 0.9
    judged = judge(former, threshold)
    assert sum(one.found for one in judged) == 12
    assert sum(one.false for one in judged) <= sum(one.days for one in judged)
    assert threshold_of([]) == float("inf")


def test_what_is_asked_leaves_out_what_is_under_way_or_unseen() -> None:
    truth, asked = labels_of(watched(np.zeros(4_000), [2_000]))
    assert truth[1_460:2_000].all()
    assert not truth[:1_459].any()
    assert not asked[2_000:2_719].any()
    assert not asked[-540:].any()
    assert asked[3_000]
