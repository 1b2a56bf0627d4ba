"""How dangerous leverage is: the mean of odds at fitted rates, and the share of usual leverage that follows."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, log

import numpy as np
import pytest

from guard.forecasts import MOVES, Direction, SizingForecast
from guard.hazard.artefact import Expert
from guard.hazard.experts import CELLS, Experts, Opinions
from guard.hazard.features import HAZARD_HORIZONS_S
from guard.hazard.sizing import (
    DANGER_USUAL,
    HALF_LIFE_S,
    RATIO_POWER,
    RATIO_USUAL,
    SHARE_MAX,
    SHARE_MIN,
    USUAL_PRIOR_H,
    UsualDanger,
    UsualState,
    beside_ratio,
    danger,
    leverage_share,
    sizing_forecast,
)
from guard.leverage.cascade import cascade
from guard.models import load_experts
from guard.units import NS_PER_S, MarketId
from tests.guard.hazard.forecasting import BTC, ELSEWHERE, Watched, reading_at

SHARES = {"oi_depth": 0.25, "full": 0.75}


def opinions(
    chances: dict[Expert, float], *, within_s: int = 900, move: float = 0.10, told: float = 0.5
) -> Opinions:
    """Experts that are sure of nothing but one hazard, as fitted; in life it is told as ``told``."""
    fitted = np.full((len(chances), CELLS), 0.5)
    estimates = Opinions(
        np.full((len(chances), CELLS), told), {name: at for at, name in enumerate(chances)}, fitted
    )
    place = (HAZARD_HORIZONS_S.index(within_s), MOVES.index(move))
    for name, chance in chances.items():
        before = estimates.as_fitted(name).hazard
        assert before[place] == 0.5
        row = fitted[estimates.rows[name]]
        at = CELLS - 2 - before.size + place[0] * len(MOVES) + place[1]
        row[at] = chance
        assert estimates.as_fitted(name).hazard[place] == chance
    return estimates


def test_danger_is_the_mean_of_log_odds_of_ten_percent_in_fifteen_minutes() -> None:
    """Weighed by what each expert counts; others' cells say nothing in it."""
    said = opinions({Expert.OI_DEPTH: 0.2, Expert.FULL: 0.002})
    odds = 0.25 * log(0.2 / 0.8) + 0.75 * log(0.002 / 0.998)
    assert danger(said, SHARES) == pytest.approx(1.0 / (1.0 + exp(-odds)), rel=1e-12)
    assert danger(opinions({Expert.FULL: 0.9}, within_s=300), SHARES) == pytest.approx(0.5)
    assert danger(opinions({Expert.FULL: 0.9}, move=0.05), SHARES) == pytest.approx(0.5)


def test_who_does_not_count_is_not_heard() -> None:
    """And where nobody counts nothing is told."""
    said = opinions({Expert.OI_DEPTH: 0.2, Expert.FLOW: 0.9, Expert.FULL: 0.002})
    assert danger(said, {"oi_depth": 1.0}) == pytest.approx(0.2, rel=1e-12)
    assert danger(said, {}) is None
    assert danger(said, {"flow": 0.0}) is None
    assert sizing_forecast(Direction.DOWN, said, {}) is None


def test_rarity_of_shocks_where_one_lives_does_not_count() -> None:
    """Danger compares markets and moments: what is told in life may be far less, and the danger is the same."""
    rare, usual = (opinions({Expert.FULL: 0.03}, told=told) for told in (1e-5, 0.4))
    assert danger(rare, SHARES) == danger(usual, SHARES) == pytest.approx(0.03)


@pytest.mark.parametrize("chance", [0.0, 1.0])
def test_certainty_stays_a_chance(chance: float) -> None:
    """A danger can always be divided by."""
    found = danger(opinions({Expert.FULL: chance}), SHARES)
    assert found is not None
    assert 0.0 < found < 1.0
    assert leverage_share(found) == (SHARE_MAX if chance == 0.0 else SHARE_MIN)


def test_leverage_falls_with_the_square_of_danger() -> None:
    """Within its bounds."""
    assert leverage_share(DANGER_USUAL) == 1.0
    assert leverage_share(2.0 * DANGER_USUAL) == pytest.approx(0.25)
    assert leverage_share(0.03, usual=0.03) == 1.0
    shares = [leverage_share(10.0 ** (-at / 10.0)) for at in range(60)]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (SHARE_MIN, SHARE_MAX)


@pytest.mark.parametrize(
    ("found", "usual"), [(0.0, 0.02), (-0.1, 0.02), (1.5, 0.02), (float("nan"), 0.02), (0.1, 0.0)]
)
def test_what_is_no_chance_is_refused(found: float, usual: float) -> None:
    """A share of leverage is never made of it."""
    with pytest.raises(ValueError, match="a danger is a chance above 0"):
        leverage_share(found, usual)


def test_open_interest_over_depth_moves_the_odds_of_danger() -> None:
    """By its power, so that leverage falls with its root where danger is small; it stays a chance."""
    odds = [each / (1.0 - each) for each in (beside_ratio(0.02, 20.0), beside_ratio(0.02, 320.0))]
    assert beside_ratio(0.02, RATIO_USUAL) == pytest.approx(0.02, rel=1e-12)
    assert odds[1] / odds[0] == pytest.approx(16.0**RATIO_POWER, rel=1e-12)
    small = [leverage_share(beside_ratio(0.01, ratio), 0.01) for ratio in (RATIO_USUAL, 4.0 * RATIO_USUAL)]
    assert small[1] / small[0] == pytest.approx(0.5, rel=0.02)
    for found in (1e-5, 0.5, 0.999):
        told = [beside_ratio(found, ratio) for ratio in (0.0, 1.0, 20.0, 1e4, 1e12)]
        assert told == sorted(told)
        assert 0.0 < told[0] < told[-1] < 1.0


def test_an_open_interest_that_is_not_known_leaves_what_is_fitted() -> None:
    """Nothing is made of it."""
    said = opinions({Expert.FULL: 0.03})
    told = sizing_forecast(Direction.DOWN, said, SHARES, 0.02)
    assert told is not None
    assert told.danger == danger(said, SHARES)
    assert told.leverage_share == leverage_share(told.danger, 0.02)
    beside = sizing_forecast(Direction.DOWN, said, SHARES, 0.02, 16.0 * RATIO_USUAL)
    assert beside is not None
    assert beside.danger == beside_ratio(told.danger, 16.0 * RATIO_USUAL) > told.danger
    assert beside.leverage_share < told.leverage_share


def test_a_deep_book_makes_nothing_safe_that_experts_fear() -> None:
    """More than one's usual leverage is told only where the fitted danger alone would allow it."""
    said = opinions({Expert.FULL: 2.0 * DANGER_USUAL})
    told = sizing_forecast(Direction.DOWN, said, SHARES, 0.1, 0.1)
    assert told is not None
    assert told.danger < DANGER_USUAL
    assert told.leverage_share == 1.0


def test_a_market_that_falls_in_a_thinning_book_bears_less() -> None:
    """The shipped experts, of a market in which nothing happens and one that sells off into less and less."""
    experts = load_experts()
    calm = _after_minutes(experts, slope=0.0, thinning=0.0)
    falling = _after_minutes(experts, slope=0.0006, thinning=0.011)
    assert falling[0].danger > 3.0 * calm[0].danger
    assert falling[0].leverage_share < calm[0].leverage_share


def _after_minutes(experts: Experts, *, slope: float, thinning: float) -> list[SizingForecast]:
    found = Watched()
    said: Sequence[Opinions] = ()
    for at in range(6 * 12):
        depth = 1e6 * (1.0 - thinning * at)
        reading = reading_at(
            at * 5.0, 100.0 * (1.0 - slope * at), bids_usd=depth, asks_usd=depth, sell_usd=1e8 * slope
        )
        found.take(reading)
        assert reading.book is not None
        structures = [cascade(direction, reading.book, None) for direction in Direction]
        said = experts.estimate(
            [found.observer.features(each.direction, reading, found.measures, each) for each in structures]
        )
    shares = {"oi_depth": 0.1, "flow": 0.3, "full": 0.6}
    told = (sizing_forecast(direction, each, shares) for direction, each in zip(Direction, said, strict=True))
    return [each for each in told if each is not None]


def heard(
    usual: UsualDanger, hours: float, *dangers: float, begin_s: float = 0.0, market: MarketId = BTC
) -> float:
    """Tell it of a market each half minute; what is usual then."""
    for at in range(round(hours * 120) + 1):
        usual.learn(market, int((begin_s + 30.0 * at) * NS_PER_S), dangers)
    return usual.value


def test_what_is_usual_is_learned_from_all_markets() -> None:
    """From what it was in training towards what it is here; a bad market's share is less than a good one's."""
    assert UsualDanger().value == pytest.approx(DANGER_USUAL)
    usual = UsualDanger()
    assert heard(usual, USUAL_PRIOR_H, 0.03, 0.07) == pytest.approx((DANGER_USUAL * 0.0458) ** 0.5, rel=0.05)
    usual = UsualDanger()
    for hour in range(150):
        heard(usual, 1.0, 0.045, begin_s=3600.0 * hour)
        heard(usual, 1.0, 0.0075, begin_s=3600.0 * hour, market=ELSEWHERE)
    assert usual.value == pytest.approx((0.045 * 0.0075) ** 0.5, rel=0.1)
    assert leverage_share(0.045, usual.value) < 0.5
    assert leverage_share(0.0075, usual.value) == SHARE_MAX


def test_a_crisis_that_has_become_usual_makes_nothing_safe() -> None:
    """A new guard of fifty markets hears 150 market-hours of it in three hours."""
    usual = UsualDanger()
    for minute in range(180):
        for market in range(50):
            usual.learn(MarketId(f"v:{market}"), minute * 60 * NS_PER_S, [0.2])
    assert usual.value > 3.0 * DANGER_USUAL
    assert leverage_share(1.5 * DANGER_USUAL, usual.value) == 1.0
    assert leverage_share(0.2, usual.value) < 0.3


def test_gaps_and_what_is_told_twice_are_not_counted() -> None:
    """An hour of silence is a minute, and the same moment nothing."""
    usual = UsualDanger()
    heard(usual, 1.0, 0.5)
    heard(usual, 1.0, 0.5, begin_s=7200.0)
    assert usual.hours == pytest.approx(2.0 + 60.0 / 3600.0, abs=0.015)
    before = usual.value
    usual.learn(BTC, int(10800 * NS_PER_S), [0.5])
    usual.learn(BTC, int(3600 * NS_PER_S), [0.5])
    usual.learn(BTC, int(10805 * NS_PER_S), [])
    assert usual.value == before


def test_what_was_usual_is_forgotten_by_half_in_a_week_and_outlives_the_guard() -> None:
    """It is kept as it was, and fades while nobody watches."""
    usual = UsualDanger()
    before = heard(usual, 24.0, 0.1)
    other = UsualDanger()
    other.restore(usual.state())
    assert other.value == pytest.approx(before, rel=1e-12)
    assert UsualDanger().state() == UsualState(at=0, hours=0.0, log_danger=log(DANGER_USUAL))
    heard(other, 0.01, 0.1, begin_s=HALF_LIFE_S + 24.0 * 3600.0)
    assert other.hours == pytest.approx(usual.hours / 2.0, rel=0.01)
    assert DANGER_USUAL < other.value < before
    other.forget(BTC)
    assert other.hours == pytest.approx(usual.hours / 2.0, rel=0.01)


def test_where_nothing_is_told_nothing_is_learned() -> None:
    """A market of which nobody says anything counts no hours, and begins anew."""
    usual = UsualDanger()
    heard(usual, 1.0)
    assert usual.hours == 0.0
    assert usual.value == pytest.approx(DANGER_USUAL)
    heard(usual, 1.0, 0.5, begin_s=3600.0)
    assert usual.hours == pytest.approx(1.0, abs=0.01)
