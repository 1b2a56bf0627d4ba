"""What is remembered of markets: mirrored flows, onsets, others, what is missing, how rare shocks are."""

from __future__ import annotations

import numpy as np
import pytest

from guard.forecasts import Direction
from guard.hazard.climate import FITTED_AT_FIRST, ClimateState
from guard.hazard.features import NAMES
from guard.hazard.observer import Observer, QuietState
from guard.hazard.tracks import Faded
from guard.readings import Reading
from guard.units import NS_PER_S
from tests.guard.hazard.forecasting import BTC, ELSEWHERE, Watched, reading_at


def value(found: Watched, direction: Direction, name: str) -> float:
    """One feature of the last reading."""
    assert found.reading is not None
    features = found.observer.features(direction, found.reading, found.measures, None)
    return float(features.values[NAMES.index(name)])


def stood(minutes: float = 20.0) -> Watched:
    """A market that stands."""
    found = Watched()
    for at in range(int(minutes * 12)):
        found.take(reading_at(at * 5.0, 100.0 + 0.01 * (at % 2)))
    return found


@pytest.mark.parametrize("name", ["net_1m", "forced_1m", "speed_1m", "beyond_5m", "is_onset", "depth_met"])
def test_selling_downwards_is_buying_upwards(name: str) -> None:
    """One code for both directions: turned around, all of it is the same."""
    fall, rise = stood(), stood()
    for at in range(24):
        second, far = 1200 + at * 5.0, 0.001 * (at + 1)
        fall.take(reading_at(second, 100.0 * np.exp(-far), sell_usd=2e5, bids_usd=5e5))
        rise.take(reading_at(second, 100.0 * np.exp(far), buy_usd=2e5, asks_usd=5e5))
    assert value(fall, Direction.DOWN, name) == pytest.approx(
        value(rise, Direction.UP, name), rel=1e-2, abs=1e-3
    )
    assert value(fall, Direction.DOWN, name) != pytest.approx(value(fall, Direction.UP, name), rel=1e-2)


def test_a_shorter_window_stands_for_one_that_is_not_long_enough_yet() -> None:
    """Weights of the three balance each other: a quiet market without an hour's volatility was told as a wild one."""
    found = stood(5.0)
    hour, quarter, minute = (
        value(found, Direction.DOWN, name) for name in ("volatility_60m", "volatility_15m", "volatility_1m")
    )
    assert found.measures is not None
    assert found.measures.volatility_60m is None
    assert hour == quarter
    assert np.isfinite(minute)


def test_an_onset_is_under_way_for_an_hour() -> None:
    """It is marked when it comes, its age grows, and it is over after 60 minutes."""
    found = stood()
    found.take(reading_at(1200, 98.0))
    assert value(found, Direction.DOWN, "is_onset") == 1.0
    assert value(found, Direction.UP, "is_other_onset") == 1.0
    found.take(reading_at(1200 + 3590, 98.0))
    assert value(found, Direction.DOWN, "onset_age") == pytest.approx(np.log(1 + 3590 / 60))
    found.take(reading_at(1200 + 3605, 98.0))
    assert value(found, Direction.DOWN, "is_onset") == 0.0


def test_others_are_seen_and_twins_are_told_apart() -> None:
    """A fall elsewhere is seen here, as a gap of the same coin; stale ones are not seen at all."""
    found = Watched()
    for at in range(240):
        found.take(reading_at(at * 5.0, 100.0, market=ELSEWHERE))
        found.take(reading_at(at * 5.0, 100.0))
    found.take(reading_at(1201, 98.0, market=ELSEWHERE))
    found.take(reading_at(1202, 100.0))
    assert value(found, Direction.DOWN, "peer_move_5m") > 0.5
    assert value(found, Direction.DOWN, "twin_gap") > 1.0
    assert value(found, Direction.UP, "twin_gap") < -1.0
    found.take(reading_at(1300, 100.0))
    assert np.isnan(value(found, Direction.DOWN, "peer_move_5m"))
    found.observer.forget(ELSEWHERE)
    assert found.observer.peers.twins(BTC, found.reading.at if found.reading else 0) == []


def test_a_market_of_which_nothing_is_known_has_no_calm_numbers() -> None:
    """Unknown is unknown: no book, no price, no open interest."""
    observer = Observer()
    empty = Reading(at=1, market=BTC, elapsed_s=0.0)
    observer.update(empty, None)
    told = observer.features(Direction.DOWN, empty, None, None)
    known = [name for name, number in zip(NAMES, told.values, strict=True) if not np.isnan(number)]
    assert set(known) <= {"is_onset", "is_other_onset"}
    assert np.isnan(told.reach).all()
    assert not told.has_map


def test_shocks_are_counted_where_it_was_quiet() -> None:
    """Hours count until a shock, which counts once; afterwards neither does for an hour."""
    found = stood(30.0)
    hours = found.observer.state().hours
    assert hours == pytest.approx(0.5, rel=0.01)
    assert found.observer.state().shocks == 0.0
    for at in range(60):
        found.take(reading_at(1800 + at * 5.0, 98.0 - 0.05 * at))
    told = found.observer.state()
    assert told.shocks == pytest.approx(1.0, rel=1e-3)
    assert told.hours == pytest.approx(hours, rel=0.01)


def test_what_was_counted_outlives_a_restart_and_odd_numbers_do_not() -> None:
    """State goes on; one that cannot be is left out."""
    observer = Observer()
    observer.restore(QuietState(shocks=2.0, hours=100.0))
    observer.restore(QuietState(shocks=-1.0, hours=float("inf")))
    told = observer.state()
    assert (told.shocks, told.hours) == (2.0, 100.0)
    assert told.climate is not None
    assert told.climate.fitted == pytest.approx(FITTED_AT_FIRST), "a former version told nothing of it"
    observer.restore(QuietState(shocks=2.0, hours=100.0, climate=ClimateState(fitted=0.02)))
    assert observer.climate.weight(0) == pytest.approx(0.02)


def test_a_shock_of_a_market_is_told_to_the_climate_with_how_it_goes_on() -> None:
    """As soon as it is first seen it is open; the farther it goes, the likelier the kind that goes on."""
    found = stood(30.0)
    found.observer.climate.restore(ClimateState(fitted=0.02))
    assert not found.observer.climate.is_open(1800 * NS_PER_S)
    told = []
    for at in range(80):
        reading = reading_at(1800 + at * 5.0, 100.0 - 0.1 * at)
        found.take(reading)
        told.append(found.observer.features(Direction.UP, reading, found.measures, None).quiet)
    assert told[-1].is_shaken
    assert told[10].fitted <= 0.02
    assert told[-1].fitted > 0.4


def test_a_mean_that_forgets_is_unbiased_from_the_first_number() -> None:
    """One number is its own mean; later ones take over."""
    faded = Faded(60.0)
    assert faded.mean is None
    faded.add(3.0, 5.0)
    assert faded.mean == pytest.approx(3.0)
    for _ in range(200):
        faded.add(1.0, 5.0)
    assert faded.mean == pytest.approx(1.0, abs=1e-3)
