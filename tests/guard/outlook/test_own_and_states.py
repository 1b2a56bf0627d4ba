"""What the outlook is told of the trader's own side, and what states are judged by beside settings."""

from __future__ import annotations

from dataclasses import replace

import pytest

from guard.events import CURVE_BPS, AssetPrice, AssetPricesSeen
from guard.forecasts import Direction, HazardForecast, Regime, SignalValue
from guard.hazard.regime_settings import RegimeSettings
from guard.hazard.thresholds import thresholds
from guard.leverage.cascade import CascadeInputs, cascade
from guard.market.view import BaselineSettings
from guard.outlook.regimes import Judged, Regimes
from guard.readings import BookReading, Reading
from guard.state import GuardState
from guard.units import NS_PER_S as S
from tests.guard.leverage.cascade.books import PlainMap
from tests.support.builders import at, position, snapshot, tick
from tests.support.market import MARKET, even_features

CURVE = tuple(1e4 * bps for bps in CURVE_BPS)
BOOK = BookReading(
    bid=99.99,
    ask=100.01,
    bid_curve_usd=CURVE,
    ask_curve_usd=CURVE,
    bid_visible_bps=500.0,
    ask_visible_bps=500.0,
    bid_normal_usd=CURVE[CURVE_BPS.index(100.0)],
    ask_normal_usd=CURVE[CURVE_BPS.index(100.0)],
    spread_normal_bps=2.0,
)


def told(state: GuardState) -> dict[str, float | None]:
    outlook = state.outlook.of(MARKET)
    assert outlook is not None
    return {each.name: each.value for each in outlook.signals}


def watched(first_s: float, last_s: float, state: GuardState) -> None:
    for number in range(round((last_s - first_s) * 2.0)):
        state.apply(even_features(at(first_s + number * 0.5), market=MARKET))
        state.apply(tick(first_s + number * 0.5))


def test_what_one_holds_and_pegs_are_told_to_the_observables() -> None:
    state = GuardState.of(baseline=BaselineSettings(), markets=(MARKET,))
    watched(10.0, 30.0, state)
    assert (told(state)["own_round_trip"], told(state)["peg_deviation"]) == (None, None)
    state.apply(snapshot(30.0, position(-5.0, entry_price=100.0, mark_price=100.0)))
    usde = AssetPrice(asset="USDe", quote="USDT", bid=0.9599, ask=0.9601)
    for venue in ("binance", "bybit", "okx"):
        state.apply(AssetPricesSeen(received_at=at(30.0), venue=venue, prices=(usde,)))
    watched(30.0, 50.0, state)
    small = told(state)["own_round_trip"]
    assert small is not None
    assert told(state)["peg_deviation"] == pytest.approx(0.0408, abs=1e-3)
    state.apply(snapshot(50.0, position(-500.0, entry_price=100.0, mark_price=100.0)))
    watched(50.0, 70.0, state)
    large = told(state)["own_round_trip"]
    assert large is not None
    assert large > small > 0.0
    state.apply(snapshot(70.0))
    watched(70.0, 90.0, state)
    assert told(state)["own_round_trip"] is None


def judged(
    regimes: Regimes,
    at_s: float,
    book: BookReading | None = BOOK,
    hazard: float | None = 0.0,
    side: PlainMap | None = None,
    sigma: float | None = None,
) -> Judged:
    structures = () if book is None else [cascade(each, book, side, CascadeInputs()) for each in Direction]
    row = (0.0, hazard or 0.0, 0.0)
    hazards = (
        ()
        if book is None or hazard is None
        else (HazardForecast(direction=Direction.DOWN, probability=(row,) * 3, vulnerability=0.0, shock=0.0),)
    )
    return regimes.judge(
        Reading(at=round(at_s * S), market=MARKET, elapsed_s=5.0, book=book),
        structures=structures,
        hazards=hazards,
        signals=(SignalValue(name="spread_ratio", value=1.0, unit="ratio", alarm=0.0),),
        measures=None,
        sigma=sigma,
        flow=None,
    )


def test_hazards_are_held_against_cost_only_where_the_settings_leave_it_to_that() -> None:
    by_cost = RegimeSettings(
        hazard_watch=0.0, hazard_stressed=0.0, hazard_rise_watch=1.0, hazard_rise_stressed=1.0
    )
    found = thresholds(Direction.DOWN, BOOK, cascade(Direction.DOWN, BOOK, None))
    # What is usual of a market that nobody has seen counts as 0.1 %: below it no entry is.
    watch = max(found.watch, 0.00101)
    assert watch < RegimeSettings().hazard_watch
    assert judged(Regimes(by_cost), 5.0, hazard=watch * 1.1).regime is not Regime.NORMAL
    assert judged(Regimes(by_cost), 5.0, hazard=0.0005).regime is Regime.NORMAL
    assert judged(
        Regimes(replace(by_cost, hazard_watch=0.02, hazard_stressed=0.1)), 5.0, hazard=watch * 1.1
    ).regime is (Regime.NORMAL)


def test_without_any_hazard_cost_says_nothing() -> None:
    by_cost = RegimeSettings(hazard_watch=0.0, hazard_stressed=0.0)
    assert judged(Regimes(by_cost), 5.0, hazard=None).regime is Regime.NORMAL


def test_a_map_that_is_lost_does_not_calm_what_was_forced() -> None:
    """What R was counts on for a while where it is not known any more; by a map of nothing it is over at once."""
    for side, reasons in ((None, ("reproduction",)), (PlainMap(), ())):
        regimes = Regimes(RegimeSettings(reproduction_s=0.0))
        near = PlainMap()
        near.usd[1:40] = 1e8
        forced = judged(regimes, 5.0, side=near, sigma=1e-3)
        assert (forced.regime, forced.reasons) == (Regime.STRESSED, ("reproduction",))
        later = judged(regimes, 10.0, side=side, sigma=1e-3)
        assert (later.regime, later.reasons) == (Regime.STRESSED, reasons)


def test_a_state_that_stands_only_because_nothing_is_known_is_said() -> None:
    regimes = Regimes()
    assert judged(regimes, 5.0, hazard=0.5).regime is Regime.STRESSED
    held = judged(regimes, 10.0, book=None)
    assert (held.regime, held.is_held) == (Regime.STRESSED, True)
    assert not judged(regimes, 15.0, hazard=0.5).is_held


def test_a_held_state_is_named_among_the_unknown() -> None:
    state = GuardState.of(baseline=BaselineSettings(), markets=(MARKET,))
    watched(10.0, 30.0, state)
    known = state.outlook.of(MARKET)
    assert known is not None
    assert not [each for each in known.unknown if each.startswith("regime")]
    for second in range(30, 600, 5):
        state.apply(tick(float(second)))
    silent = state.outlook.of(MARKET)
    assert silent is not None
    assert "regime held: normal" in silent.unknown


@pytest.mark.parametrize(("half_life_s", "is_resumed"), [(2.0, True), (9.0, False)])
def test_resuming_waits_until_a_book_refills_as_it_usually_does(half_life_s: float, is_resumed: bool) -> None:
    regimes, at_s = Regimes(RegimeSettings(collapse_s=0.0)), 0.0
    usual = replace(BOOK, refill_half_life_s=1.5)
    for _ in range(500):
        at_s += 5.0
        judged(regimes, at_s, usual)
    gone = replace(usual, bid_curve_usd=tuple(usd * 0.01 for usd in CURVE))
    for _ in range(3):
        at_s += 5.0
        assert judged(regimes, at_s, gone).regime is Regime.CASCADE
    shares = []
    for _ in range(3_600 // 5):
        at_s += 5.0
        shares.append(judged(regimes, at_s, replace(BOOK, refill_half_life_s=half_life_s)).resume_share)
    assert (max(shares) > 0.0) is is_resumed
