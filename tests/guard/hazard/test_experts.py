"""Experts evaluated together: order, mirrors, missing maps, weights, rarity, and what a document may not be."""

from __future__ import annotations

from math import log
from pathlib import Path

import msgspec
import numpy as np
import pytest
from msgspec.structs import replace

from guard.errors import ArtefactInvalidError
from guard.forecasts import HORIZONS_S, MOVES, QUANTILES, Direction
from guard.hazard.artefact import FORMATS, LIFE_HAZARD, LIFE_SHOCK, LIFE_SHOCKS_PER_H, Expert, Forest, Head
from guard.hazard.climate import LIFE_REACH
from guard.hazard.experts import (
    SHIFT_MAX,
    Estimates,
    Experts,
    Opinions,
    fitted_forecast,
    hazard_forecast,
    mixed,
    reach_forecast,
)
from guard.hazard.features import HAZARD_HORIZONS_S, NAMES, REACH_DISTANCES, Features, Quiet
from guard.leverage.cascade.structure import cascade
from guard.models import load_experts
from tests.guard.hazard.forecasting import Watched, book_at, document, reading_at

FOREST = Forest(
    head="reach",
    asked=REACH_DISTANCES.index(0.05),
    moved=(0, len(REACH_DISTANCES)),
    share=0.5,
    features=("oi_depth",),
    graded=("chance",),
    bias=0.2,
    depth=1,
    columns=(0, 1),
    cuts=(1.0, 0.0),
    unknown_left=(True, True),
    leaves=(-0.5, 1.5, 0.1, 0.4),
)


def watched(step: float) -> Watched:
    """A market that stood for twenty minutes and then moved by so much each five seconds."""
    found = Watched()
    for at in range(240):
        found.take(reading_at(at * 5.0, 100.0 + 0.01 * (at % 3)))
    for at in range(12):
        found.take(reading_at(1200 + at * 5.0, 100.0 * (1.0 + step) ** at))
    return found


def features_of(found: Watched, direction: Direction, *, structure: bool = True) -> Features:
    """What models are given of the last reading."""
    assert found.reading is not None
    assert found.reading.book is not None
    told = cascade(direction, found.reading.book, None) if structure else None
    return found.observer.features(direction, found.reading, found.measures, told)


def test_what_is_told_is_in_order_and_is_no_certainty() -> None:
    """Farther is never likelier, longer never less so, and nothing is told as 0 or 1, for any features."""
    experts = load_experts()
    rng = np.random.default_rng(7)
    for _ in range(50):
        features = Features(
            values=rng.normal(0.0, 5.0, len(NAMES)),
            reach=rng.normal(0.0, 5.0, (len(REACH_DISTANCES), 6)),
            hazard=rng.normal(0.0, 5.0, (len(HAZARD_HORIZONS_S) * len(MOVES), 6)),
            has_map=True,
        )
        features.values[rng.integers(len(NAMES), size=9)] = np.nan
        for told in experts.estimate([features])[0].values():
            assert (np.diff(told.reach) <= 1e-12).all()
            assert (np.diff(told.hazard, axis=0) >= -1e-12).all()
            assert (np.diff(told.hazard, axis=1) <= 1e-12).all()
            for each in (*told.reach, *told.hazard.ravel(), told.vulnerability, told.shock):
                assert 0.0 < each < 1.0


def test_a_fall_and_a_rise_are_mirrors() -> None:
    """What a fall is downwards, a rise is upwards; the other direction is told less."""
    experts = Experts.of(document())
    fall, rise = watched(-0.001), watched(0.001)
    down, up = experts.estimate([features_of(fall, each) for each in Direction])
    down_of_rise, up_of_rise = experts.estimate([features_of(rise, each) for each in Direction])
    assert down[Expert.FLOW].reach == pytest.approx(up_of_rise[Expert.FLOW].reach, rel=0.06)
    assert up[Expert.FLOW].reach == pytest.approx(down_of_rise[Expert.FLOW].reach, rel=0.06)
    assert (down[Expert.FLOW].reach > up[Expert.FLOW].reach).all()
    assert down[Expert.CLIMATOLOGY].reach == pytest.approx(up[Expert.CLIMATOLOGY].reach)


def test_without_a_map_the_full_expert_is_silent() -> None:
    """A structure of the book alone is not what it was fitted on."""
    told = Experts.of(document()).estimate([features_of(watched(-0.001), Direction.DOWN)])[0]
    assert Expert.FULL not in told
    assert set(told) == {Expert.CLIMATOLOGY, Expert.OI_DEPTH, Expert.FLOW}


def test_a_market_of_a_few_seconds_is_told_by_what_is_usual_alone() -> None:
    """Of a price that is not known for a minute nobody who reads prices says anything."""
    found = Watched()
    for at in range(3):
        found.take(reading_at(at * 5.0, 100.0))
    young = found.observer.features(Direction.DOWN, reading_at(10.0, 100.0), found.measures, None)
    assert young.is_young
    assert young.quiet.share == 1.0
    assert set(Experts.of(document()).estimate([young])[0]) == {Expert.CLIMATOLOGY, Expert.OI_DEPTH}


def test_nothing_known_is_told_as_usual() -> None:
    """A market of which nothing is known gets the intercepts."""
    nothing = Features(
        values=np.full(len(NAMES), np.nan),
        reach=np.full((len(REACH_DISTANCES), 6), np.nan),
        hazard=np.full((12, 6), np.nan),
        has_map=False,
    )
    told = Experts.of(document()).estimate([nothing])[0]
    assert told[Expert.FLOW].reach == pytest.approx(told[Expert.CLIMATOLOGY].reach)


def test_the_mixture_lies_between_and_follows_the_weights() -> None:
    """The linear pool of two; nobody's weight gives nothing."""
    flat = [Estimates(np.full(17, each), np.full((4, 3), each), each, each) for each in (0.2, 0.6)]
    said = {Expert.FLOW: flat[0], Expert.FULL: flat[1]}
    told = mixed(said, {Expert.FLOW: 3.0, Expert.FULL: 1.0})
    assert told is not None
    assert told.reach == pytest.approx(np.full(17, 0.3))
    assert told.shock == pytest.approx(0.3)
    assert mixed(said, {}) is None


def test_forecasts_take_their_shape_from_the_vocabulary() -> None:
    """Quantiles along QUANTILES, probabilities along HORIZONS_S and MOVES; each is that of its cell."""
    found = watched(-0.001)
    told = Experts.of(document()).estimate([features_of(found, Direction.DOWN)])[0][Expert.FLOW]
    reach = reach_forecast(told, cascade(Direction.DOWN, book_at(100.0), None))
    hazard = hazard_forecast(Direction.DOWN, told)
    assert (reach.direction, reach.forced_factor, reach.reproduction) == (Direction.DOWN, None, None), (
        "no map"
    )
    assert len(reach.quantiles) == len(QUANTILES)
    assert list(reach.quantiles) == sorted(reach.quantiles)
    assert reach.probability == pytest.approx([told.reach[REACH_DISTANCES.index(move)] for move in MOVES])
    assert len(hazard.probability) == len(HORIZONS_S)
    at = HAZARD_HORIZONS_S.index(900), MOVES.index(0.05)
    assert hazard.probability[1][1] == pytest.approx(told.hazard[at])
    assert hazard.probability[1][1] <= hazard.probability[2][1]
    assert msgspec.json.decode(msgspec.json.encode(hazard), type=type(hazard)) == hazard


def test_hazards_of_a_quiet_market_follow_how_rare_shocks_are_there() -> None:
    """A guard begins with a rate between, and counts; once a shock is under way rarity is no argument any more."""
    experts = Experts.of(document())
    here = experts.shift(Quiet(shocks=0.0, hours=0.0, share=1.0))
    calm = experts.shift(Quiet(shocks=0.0, hours=2352.0, share=1.0))
    life = experts.shift(Quiet(shocks=LIFE_SHOCKS_PER_H * 1e4, hours=1e4, share=1.0))
    wild = experts.shift(Quiet(shocks=588.0, hours=588.0, share=1.0))
    assert log(LIFE_SHOCKS_PER_H / document().shocks_per_h) < here < 0.0
    assert calm == -SHIFT_MAX
    assert life == pytest.approx(log(LIFE_SHOCKS_PER_H / document().shocks_per_h), abs=0.02)
    assert wild > 0.0
    assert experts.shift(Quiet(shocks=0.0, hours=1200.0, share=0.0)) == 0.0


def asked(experts: Experts, quiet: Quiet, **values: float) -> Opinions:
    """Tell what is made of a market that is as it usually is but for some features."""
    features = Features(
        values=np.full(len(NAMES), np.nan),
        reach=np.full((len(REACH_DISTANCES), 6), np.nan),
        hazard=np.full((12, 6), np.nan),
        has_map=True,
        quiet=quiet,
    )
    for name, value in values.items():
        features.values[NAMES.index(name)] = value
    return experts.estimate([features])[0]


def test_what_is_told_lies_between_life_and_the_fit_by_which_kind_of_market_it_is() -> None:
    """All of the fit, all of life, and between; what is told as fitted is the same in all of them."""
    experts = load_experts()
    fitted, life, between = (
        asked(experts, Quiet(share=0.0, fitted=weight, is_shaken=True)) for weight in (1.0, 0.0, 0.25)
    )
    for each in (life, between):
        assert each.fitted == pytest.approx(fitted.fitted)
    full = {name: of[Expert.FULL] for name, of in (("fit", fitted), ("life", life), ("between", between))}
    assert full["fit"].reach == pytest.approx(fitted.as_fitted(Expert.FULL).reach)
    assert full["fit"].hazard == pytest.approx(fitted.as_fitted(Expert.FULL).hazard)
    assert full["life"].reach == pytest.approx(LIFE_REACH)
    assert full["life"].vulnerability == pytest.approx(LIFE_REACH[REACH_DISTANCES.index(0.05)])
    assert full["between"].reach == pytest.approx(0.25 * full["fit"].reach + 0.75 * full["life"].reach)
    assert (full["life"].hazard < full["between"].hazard).all()
    assert (full["between"].hazard < full["fit"].hazard).all()


def test_what_is_told_as_fitted_is_of_the_one_that_sees_most() -> None:
    """The full one where there is a map, else that of flows; nobody of a market of a few seconds."""
    experts = load_experts()
    seen = asked(experts, Quiet(share=1.0, fitted=0.3))
    told = fitted_forecast(Direction.UP, seen)
    full = seen.as_fitted(Expert.FULL)
    assert told is not None
    assert (told.direction, told.weight, told.vulnerability) == (Direction.UP, 0.3, full.vulnerability)
    assert told.reach == pytest.approx([full.reach[REACH_DISTANCES.index(move)] for move in MOVES])
    assert told.hazard[2][1] == full.hazard[HAZARD_HORIZONS_S.index(3600), 1]
    blind = Opinions(seen.told, {Expert.FLOW: seen.rows[Expert.FLOW]}, seen.fitted)
    flow = fitted_forecast(Direction.UP, blind)
    assert flow is not None
    assert flow.shock == seen.as_fitted(Expert.FLOW).shock
    assert fitted_forecast(Direction.UP, Opinions(seen.told, {}, seen.fitted)) is None


def test_hazards_of_life_are_those_that_were_counted_where_the_fit_tells_what_it_does_in_calm() -> None:
    """As often as it came in two months, of a market of which the fit tells what it told in calm episodes."""
    experts = load_experts()
    calm = replace(
        experts.document,
        calm_hazard=tuple(asked(experts, Quiet())[Expert.FULL].hazard.ravel()),
        calm_shock=asked(experts, Quiet())[Expert.FULL].shock,
    )
    lived = Quiet(shocks=LIFE_SHOCKS_PER_H * 1e5, hours=1e5, share=1.0, fitted=0.0)
    told = asked(Experts.of(calm), lived)[Expert.FULL]
    assert told.hazard.ravel() == pytest.approx(LIFE_HAZARD, rel=0.02)
    assert told.shock == pytest.approx(LIFE_SHOCK, rel=0.02)


def test_a_shock_elsewhere_ends_the_quiet_of_the_kind_that_crashes_together() -> None:
    """Rarity is no argument in it any more, and still is one in life."""
    experts = load_experts()
    for weight, is_raised in ((1.0, True), (0.0, False)):
        calm, shaken = (
            asked(experts, Quiet(share=1.0, fitted=weight, is_shaken=is_shaken))[Expert.FULL].hazard
            for is_shaken in (False, True)
        )
        assert bool((shaken > 1.2 * calm).all()) is is_raised
        assert is_raised or shaken == pytest.approx(calm)


def test_a_shock_is_never_told_rarer_than_the_fall_that_needs_one() -> None:
    """5 % in 15 minutes and 2 % in five each hold 1.5 % in five, in what is told of any market and as fitted."""
    experts = load_experts()
    rng = np.random.default_rng(3)
    binding = 0
    for _ in range(60):
        values = dict(zip(NAMES, rng.normal(0.0, 2.0, len(NAMES)).tolist(), strict=True))
        quiet = Quiet(share=float(rng.random()), fitted=float(rng.random()))
        for told in asked(experts, quiet, **values).values():
            least = max(told.hazard[HAZARD_HORIZONS_S.index(900), 1], told.hazard[0, 0])
            assert told.shock >= least
            binding += told.shock == least
    assert binding > 0


def test_trees_move_the_reach_of_the_full_expert_by_half_of_what_they_see_more() -> None:
    """All distances by the same log-odds, in order; nobody else, and nothing else of it."""
    plain, bent = Experts.of(document()), Experts.of(replace(document(), trees=(FOREST,)))
    for interest, score in ((2.0, 0.2 + 1.5 + 0.1), (float("nan"), 0.2 - 0.5 + 0.1)):
        before, after = (asked(each, Quiet(), oi_depth=interest) for each in (plain, bent))
        former, told = (_log_odds(each[Expert.FULL].reach) for each in (before, after))
        more = 0.5 * (score - former[FOREST.asked])
        assert told - former == pytest.approx(np.full(len(REACH_DISTANCES), more))
        assert after[Expert.FULL].hazard.tolist() == before[Expert.FULL].hazard.tolist()
        assert after[Expert.FLOW].reach.tolist() == before[Expert.FLOW].reach.tolist()


def test_trees_of_a_horizon_move_its_cells_and_keep_all_in_order() -> None:
    """A quarter of an hour may not be told less than five minutes, nor than what trees leave of an hour."""
    cell = HAZARD_HORIZONS_S.index(900) * len(MOVES) + MOVES.index(0.05)
    sure = replace(FOREST, head="hazard", asked=cell, moved=(3, 6), bias=9.0)
    plain, bent = Experts.of(document()), Experts.of(replace(document(), trees=(sure,)))
    before, after = (asked(each, Quiet())[Expert.FULL] for each in (plain, bent))
    assert after.hazard[1, 1] > before.hazard[1, 1] + 0.1
    assert (np.diff(after.hazard, axis=0) >= 0.0).all()
    assert (np.diff(after.hazard, axis=1) <= 0.0).all()
    assert after.reach.tolist() == before.reach.tolist()
    assert (after.vulnerability, after.hazard[0].tolist()) == (
        before.vulnerability,
        before.hazard[0].tolist(),
    )


def _log_odds(chances: np.ndarray) -> np.ndarray:
    return np.asarray(np.log(chances / (1.0 - chances)))


@pytest.mark.parametrize(
    ("spoiled", "where"),
    [
        (replace(document(), format=99), "format"),
        (replace(document(), reach_distances=(0.01,)), "reach_distances"),
        (replace(document(), shocks_per_h=0.0), "shocks_per_h"),
        (replace(document(), experts={}), "experts"),
        (replace(document(), experts={"oracle": document().experts["flow"]}), "experts"),
        (
            replace(
                document(), experts={"flow": replace(document().experts["flow"], shock=Head(intercept=()))}
            ),
            "experts.flow",
        ),
        (
            replace(document(), features=(replace(document().features[0], name="omen"),)),
            "features",
        ),
        (replace(document(), trees=(replace(FOREST, features=("omen",)),)), "trees"),
        (replace(document(), trees=(replace(FOREST, graded=()),)), "trees"),
        (replace(document(), trees=(replace(FOREST, share=1.5),)), "trees"),
        (replace(document(), trees=(replace(FOREST, leaves=(1.0,)),)), "trees"),
        (replace(document(), trees=(replace(FOREST, head="tail"),)), "trees"),
        (replace(document(), trees=(replace(FOREST, asked=99),)), "trees"),
        (replace(document(), trees=(replace(FOREST, moved=(3, 18)),)), "trees"),
    ],
)
def test_a_document_for_another_program_is_refused(spoiled: object, where: str) -> None:
    """What does not fit is named."""
    with pytest.raises(ArtefactInvalidError) as told:
        Experts.of(spoiled)  # type: ignore[arg-type]
    assert told.value.where == where


def test_the_artefact_that_is_shipped_is_taken() -> None:
    """It lies in the package, and was fitted on something."""
    experts = load_experts()
    assert set(experts.names) == set(Expert)
    assert experts.document.format in FORMATS


def test_files_that_are_no_artefacts_are_refused(tmp_path: Path) -> None:
    """Not there, not JSON, another format, numbers missing."""
    for body in (None, b"{", b'{"format": 99}', b'{"format": 1}'):
        path = tmp_path / "outlook.json"
        if body is not None:
            path.write_bytes(body)
        with pytest.raises(ArtefactInvalidError):
            load_experts(path)
