"""Sums over classes and bins say what numpy says, and compiled what plain Python says to the last digit."""

from __future__ import annotations

from array import array
from types import ModuleType

import numpy as np
import pytest

from guard.leverage.crowd import LeverageMix, LiquidationMap, drawing
from guard.leverage.crowd.mix import CANDIDATES
from tests.guard.leverage.crowd.readings import MARKET, reading
from tests.support.uncompiled import uncompiled

plain = uncompiled("guard.leverage.crowd.drawing")[0]
KNOTS = array("q", [0, 3, 8, 20])


@pytest.fixture(params=[drawing, plain], ids=["as installed", "plain"])
def made(request: pytest.FixtureRequest) -> ModuleType:
    module = request.param
    assert isinstance(module, ModuleType)
    return module


def drawn(seed: int) -> tuple[np.ndarray, np.ndarray, np.random.Generator]:
    generator = np.random.default_rng(seed)
    mass = generator.exponential(1.0, (4, 40)) * (generator.random((4, 40)) < 0.5)
    return mass, generator.dirichlet(np.ones(4)) * 0.8, generator


def test_a_map_is_the_shares_of_classes_between_bins(made: ModuleType) -> None:
    mass, shares, _ = drawn(1)
    usd = np.full(20, np.nan)
    made.draw(shares @ mass, 5, 0.25, KNOTS, array("d", [2.0, 0.0, 1.5]), usd)
    mixed = shares @ (0.75 * mass[:, 5:25] + 0.25 * mass[:, 6:26])
    assert usd == pytest.approx(mixed * np.repeat([2.0, 0.0, 1.5], [3, 5, 12]), rel=1e-12)


def test_what_classes_hold_is_counted_from_within_the_marks_bin(made: ModuleType) -> None:
    mass, _, _ = drawn(2)
    held = np.full((4, 3), np.nan)
    made.held_within(mass, 5, 0.25, 3.0, KNOTS, held)
    ahead = 0.75 * mass[:, 5:25] + 0.25 * mass[:, 6:26]
    assert held == pytest.approx(3.0 * np.cumsum(ahead, axis=1)[:, [2, 7, 19]], rel=1e-12)


def test_candidates_agree_on_their_weighted_middle(made: ModuleType) -> None:
    _, _, generator = drawn(3)
    held, candidates = generator.exponential(1.0, (4, 3)), generator.random((9, 4))
    candidates[2] = 0.0  # who holds nothing there has the logarithm of next to nothing
    weights = generator.dirichlet(np.ones(9))
    weights[2] = 0.0
    weights /= weights.sum()
    medians, spreads = np.empty(3), np.empty(3)
    made.agree(held, candidates, weights, medians, spreads)
    logs = np.log(np.maximum(candidates @ held, 1e-300))
    assert np.log(medians) == pytest.approx(weights @ logs, rel=1e-9)
    assert spreads == pytest.approx(weights @ (logs - weights @ logs) ** 2, rel=1e-9)


def test_amounts_within_distances_end_with_the_map(made: ModuleType) -> None:
    usd = np.array([1.0, 2.0, 4.0])
    places = [0.0, 0.5, 2.0, 2.25, 3.0, 99.0]
    told = made.upto(usd, array("d", places))
    assert told == pytest.approx(np.interp(places, range(4), [0.0, 1.0, 3.0, 7.0]))


@pytest.mark.parametrize("side", [0, 1])
def test_evidence_of_others_counts_in_part(made: ModuleType, side: int) -> None:
    _, _, generator = drawn(4)
    own = -generator.exponential(5.0, (2, CANDIDATES))
    alike = own - generator.exponential(5.0, (2, CANDIDATES))
    everybody = alike - generator.exponential(50.0, (2, CANDIDATES))
    prior = generator.normal(0.0, 1.0, CANDIDATES)
    logs = prior.copy()
    made.believe(logs, own, alike, everybody, side, array("d", [0.4, 0.6, 0.3, 0.1]))
    other = 1 - side
    expected = np.exp(
        prior
        + own[side]
        + 0.4 * own[other]
        + 0.6 * (alike[side] - own[side])
        + 0.3 * (everybody[side] - alike[side])
        + 0.1 * (everybody[other] - alike[other])
    )
    assert logs == pytest.approx(expected / expected.sum(), rel=1e-9)


def test_compiled_and_plain_are_equal_to_the_last_digit() -> None:
    mass, shares, generator = drawn(5)
    held, candidates, weights = (
        generator.exponential(1.0, (4, 3)),
        generator.random((9, 4)),
        generator.dirichlet(np.ones(9)),
    )
    evidence = -generator.exponential(5.0, (3, 2, CANDIDATES))
    told = []
    for module in (drawing, plain):
        usd, sums, medians, spreads = np.empty(20), np.empty((4, 3)), np.empty(3), np.empty(3)
        logs = np.zeros(CANDIDATES)
        module.draw(shares @ mass, 5, 0.3, KNOTS, array("d", [2.0, 0.1, 1.5]), usd)
        module.held_within(mass, 5, 0.3, 3.0, KNOTS, sums)
        module.agree(held, candidates, weights, medians, spreads)
        module.believe(logs, *evidence, 1, array("d", [0.4, 0.6, 0.3, 0.1]))
        within = module.upto(usd, array("d", [0.3, 7.7, 19.0]))
        told.append([*usd, *sums.ravel(), *medians, *spreads, *logs, *within])
    assert told[0] == told[1]


def test_what_a_map_is_drawn_from_follows_all_that_happens() -> None:
    made = LiquidationMap(MARKET, LeverageMix())
    generator = np.random.default_rng(6)
    mark = 100.0
    for step in range(300):
        mark *= float(np.exp(generator.normal(0.0, 4e-3)))
        opened = 1_000.0 * float(np.exp(generator.normal(0.0, 0.02)))
        told = {"liquidated_longs_usd": 50.0} if step % 9 == 0 else {}
        made.update(
            reading(step, mark, opened, mark_low=mark * 0.999, mark_high=mark * 1.001, buy_usd=1e3, **told)
        )
        for side in made._sides:
            assert side.mixed() == pytest.approx(side.shares @ side.mass, rel=1e-12, abs=1e-12)
