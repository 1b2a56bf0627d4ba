"""The map of everybody else: it adds up to open interest, is swept by the mark, and both sides are one code."""

from __future__ import annotations

import math
from itertools import pairwise

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.events import TrackedPosition, TrackedPositionsSeen
from guard.forecasts import Direction
from guard.leverage.crowd import BINS, LeverageMix, LiquidationMap, MapSettings, MapState, MixState
from guard.leverage.crowd.mix import CANDIDATES, LEVERAGED, TILTS, candidate_shares
from guard.leverage.crowd.settings import LEVERAGES
from guard.leverage.crowd.side import Side
from guard.leverage.tracked import TrackedPositions
from guard.readings import HistoryPoint, LiquidationFeed
from guard.units import NS_PER_S, MarketId
from tests.guard.leverage.crowd.readings import MARKET, START_AT, reading, walk

UNDER_WAY = settings(max_examples=25, deadline=None)
SHARES = candidate_shares()[len(LEVERAGED) * TILTS.index(0.0) + LEVERAGED.index(0.7)]


def begun(mix: LeverageMix | None = None) -> LiquidationMap:
    made = LiquidationMap(MARKET, mix or LeverageMix())
    made.update(reading(0, 100.0))
    return made


def within(made: LiquidationMap, direction: Direction, move: float) -> float:
    side = made.side(direction)
    assert side is not None
    return side.within(abs(math.log1p(direction.sign * move)))


def history(hours: int, price: float = 100.0, last: float | None = None) -> list[HistoryPoint]:
    steps = hours * 12
    return [
        HistoryPoint(
            at=START_AT - (steps - at) * 300 * NS_PER_S,
            price=price * (1.0 + 0.01 * math.sin(at / 9.0)) if at < steps or last is None else last,
            open_interest=1_000.0 + at % 5,
        )
        for at in range(steps + 1)
    ]


def test_nothing_is_said_before_a_mark_and_open_interest() -> None:
    made = LiquidationMap(MARKET, LeverageMix())
    made.update(reading(0, 100.0, None))
    assert made.side(Direction.DOWN) is None
    assert made.forecast(Direction.UP) is None
    assert made.state() is None
    made.update(reading(1, 100.0))
    assert made.side(Direction.DOWN) is not None


@UNDER_WAY
@given(
    st.lists(
        st.tuples(
            st.floats(-0.03, 0.03), st.floats(0.0, 0.02), st.floats(0.0, 0.02), st.floats(500.0, 2_000.0)
        ),
        min_size=2,
        max_size=25,
    )
)
def test_both_sides_add_up_to_open_interest_whatever_happens(
    steps: list[tuple[float, float, float, float]],
) -> None:
    made = begun()
    mark = 100.0
    for step, (move, below, above, opened) in enumerate(steps):
        mark *= math.exp(move)
        made.update(
            reading(
                step + 1, mark, opened, mark_low=mark * math.exp(-below), mark_high=mark * math.exp(above)
            )
        )
        for side in made._sides:
            assert side.total() == pytest.approx(opened, rel=1e-6)
            assert (side.mass >= -1e-9).all()


@UNDER_WAY
@given(st.floats(0.001, 0.3), st.floats(1.0, 1e6))
def test_a_sweep_takes_what_was_there_and_nothing_else(depth: float, size: float) -> None:
    side = Side(Direction.DOWN, MapSettings())
    side.weigh(SHARES)
    side.start(100.0, size, 0.03)
    before = side.total()
    lost = side.sweep(100.0 * math.exp(-depth), 100.0, 100.0)
    assert lost is not None
    assert side.total() + float(SHARES @ lost) == pytest.approx(before, rel=1e-9)
    side.sweep(100.0 * math.exp(-depth * 0.99), 100.0, 100.0)
    assert side.total() == pytest.approx(before - float(SHARES @ lost), rel=2e-3)


def test_longs_and_shorts_are_one_code_in_a_mirror() -> None:
    """A short's coordinate is a long's with its sign turned: equal kernels give equal maps of mirrored prices."""
    longs, shorts = Side(Direction.DOWN, MapSettings()), Side(Direction.UP, MapSettings())
    for side in (longs, shorts):
        side.weigh(SHARES)
        side.start(100.0, 1_000.0, 0.03)
    shorts.mass[:] = longs.mass
    shorts.place = shorts.edge = longs.place
    shorts.base = longs.base
    longs.place = longs.edge = shorts.place = shorts.edge = round(longs.place) + 0.25
    price = math.exp(-longs.place * 0.001)
    lost = longs.sweep(price * math.exp(-0.0303), price, price)
    gained = shorts.sweep(1.0 / price, math.exp(0.0303) / price, 1.0 / price)
    assert lost is not None
    assert gained is not None
    np.testing.assert_allclose(lost, gained, rtol=1e-9)
    np.testing.assert_allclose(longs.ahead(), shorts.ahead(), rtol=1e-9)


def test_what_the_mark_went_through_is_gone() -> None:
    made = begun()
    before = within(made, Direction.DOWN, 0.049)
    made.update(reading(1, 100.0, mark_low=95.0))
    assert within(made, Direction.DOWN, 0.049) < 0.02 * before


def test_only_the_mark_sweeps() -> None:
    made = begun()
    before = within(made, Direction.DOWN, 0.05)
    for step in range(1, 20):
        made.update(reading(step, 100.0, sell_usd=1e6))
    assert within(made, Direction.DOWN, 0.05) > 0.95 * before


def test_what_is_opened_now_stands_where_its_leverage_puts_it() -> None:
    made = begun()
    near, far = within(made, Direction.DOWN, 0.05), within(made, Direction.DOWN, 0.3)
    for step in range(1, 60):
        made.update(reading(step, 100.0, 1_000.0 + 10.0 * step, buy_usd=10.0, sell_usd=10.0))
    gained = within(made, Direction.DOWN, 0.3) - far
    assert gained > 0.0
    assert within(made, Direction.DOWN, 0.005) < 0.02 * gained
    assert within(made, Direction.DOWN, 0.05) > near


def test_who_wins_leaves_first_when_the_others_are_swept() -> None:
    """Longs are swept and open interest falls as much: shorts of high leverage go, not shorts alike."""
    ratios = []
    for fallen in (1_000.0, 800.0):
        made = begun()
        for step, mark in enumerate((98.0, 94.0, 90.0, 86.0), 1):
            made.update(reading(step, mark, 1_000.0 + (fallen - 1_000.0) * step / 4))
        side = made._sides[1]
        side.flush()
        ratios.append(side.mass[LEVERAGES.index(20.0)].sum() / side.mass[LEVERAGES.index(2.0)].sum())
    assert ratios[1] < 0.8 * ratios[0]


def test_no_odd_number_breaks_it() -> None:
    made = LiquidationMap(MARKET, LeverageMix())
    marks = (math.nan, -1.0, 0.0, math.inf, 100.0, 1e-9, 1e12, 100.0, math.nan, 101.0)
    for step, mark in enumerate(marks):
        odd = (math.nan, -5.0, 10.0, math.inf)[step % 4]
        made.update(
            reading(
                step, mark, odd, mark_low=odd, liquidated_longs_usd=odd, buy_usd=odd, elapsed_s=abs(odd) * 1e9
            )
        )
        made.boot([HistoryPoint(at=step, price=mark, open_interest=odd)])
    for direction in Direction:
        side = made.side(direction)
        if side is not None:
            assert np.isfinite(side.usd).all()
            assert (side.usd >= 0.0).all()


@pytest.mark.parametrize("direction", list(Direction))
def test_amounts_hold_their_middle_and_bands_are_bands(direction: Direction) -> None:
    made = begun()
    made.boot(history(48))
    told = made.forecast(direction)
    assert told is not None
    for amount in told.within:
        assert 0.0 <= amount.low_usd < amount.usd < amount.high_usd
    assert [amount.usd for amount in told.within] == sorted(amount.usd for amount in told.within)
    assert told.bands
    for band in told.bands:
        assert 0.0 <= band.near < band.far <= 0.13
        assert abs(math.log(band.far_price / band.near_price)) >= 0.0009
        assert 0.0 < band.mass.low_usd < band.mass.usd < band.mass.high_usd
    places = sorted((band.near, band.far) for band in told.bands)
    assert all(one[1] <= other[0] for one, other in pairwise(places))


def test_a_past_rise_puts_longs_below_where_a_stationary_guess_has_fewer() -> None:
    """Who came in at 100 with 10x is liquidated about 91: that is known from the past, not from the present."""
    made = LiquidationMap(MARKET, LeverageMix())
    flat = LiquidationMap(MARKET, LeverageMix())
    points = [
        HistoryPoint(
            at=START_AT - (600 - at) * 300 * NS_PER_S,
            price=100.0 if at < 500 else 110.0,
            open_interest=1_000.0,
        )
        for at in range(601)
    ]
    made.boot(points)
    for each in (made, flat):
        each.update(reading(0, 110.0))
    humps = []
    for each in (made, flat):
        side = each.side(Direction.DOWN)
        assert side is not None
        near, far = abs(math.log(91.5 / 110.0)), abs(math.log(90.0 / 110.0))
        humps.append(
            (side.within(far) - side.within(near)) / (side.within(near) - side.within(2 * near - far))
        )
    assert humps[0] > 1.3 * humps[1]


def test_published_positions_stand_exactly_and_take_their_part_of_the_estimate() -> None:
    made = begun()
    tracked = TrackedPositions(MARKET)
    held = TrackedPosition(account="a", size=400.0, entry_price=100.0, liquidation_price=93.0)
    tracked.take(
        TrackedPositionsSeen(
            received_at=START_AT, market=MARKET, accounts=("a",), positions=(held,), asked_accounts=1
        )
    )
    before = made.side(Direction.DOWN)
    told_before = made.forecast(Direction.DOWN)
    made.take_tracked(tracked)
    after, told = made.side(Direction.DOWN), made.forecast(Direction.DOWN)
    assert before is not None
    assert after is not None
    assert told is not None
    assert told_before is not None
    expected = before.usd * 0.6
    expected[72] += 40_000.0
    np.testing.assert_allclose(after.usd, expected, rtol=1e-9)
    assert told.exact_share == pytest.approx(40_000.0 / after.within(-math.log(0.9)), rel=1e-6)
    wide, narrow = told_before.within[2], told.within[2]
    assert narrow.high_usd / narrow.low_usd < wide.high_usd / wide.low_usd
    made.update(reading(1, 92.0))
    assert made.forecast(Direction.DOWN).exact_share == 0.0  # type: ignore[union-attr]


def test_a_map_goes_on_from_where_it_was_kept() -> None:
    mix = LeverageMix()
    made = begun(mix)
    made.boot(history(24))
    for each in walk(200, 1, first=1):
        made.update(each)
    kept = made.state()
    assert kept is not None
    again = LiquidationMap(MARKET, mix)
    assert again.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(kept), type=MapState))
    for direction in Direction:
        one, other = made.side(direction), again.side(direction)
        assert one is not None
        assert other is not None
        np.testing.assert_allclose(other.usd, one.usd, rtol=0.05, atol=1e-2)


def test_after_a_gap_a_map_knows_less_and_what_lay_between_is_gone() -> None:
    made = begun()
    kept = made.state()
    assert kept is not None
    again = LiquidationMap(MARKET, LeverageMix())
    assert again.restore(kept)
    seen = begun()
    seen.update(reading(1, 96.0))
    again.update(reading(12 * 60 * 8, 96.0, elapsed_s=0.0))
    after, before = again.side(Direction.DOWN), seen.side(Direction.DOWN)
    assert before is not None
    assert after is not None
    assert after.log_sd > before.log_sd + 0.02
    again.update(reading(12 * 60 * 8 + 1, 100.0))
    assert within(again, Direction.DOWN, 0.035) < 0.2 * within(made, Direction.DOWN, 0.035)


@pytest.mark.parametrize(
    "changed",
    [
        {"version": 99},
        {"market": MarketId("bybit:ETH/USDT:USDT")},
        {"classes": 3},
        {"bins": 5},
        {"sides": ()},
    ],
)
def test_what_was_kept_by_another_version_is_not_taken(changed: dict[str, object]) -> None:
    kept = begun().state()
    assert kept is not None
    again = LiquidationMap(MARKET, LeverageMix())
    assert not again.restore(msgspec.structs.replace(kept, **changed))
    assert again.side(Direction.DOWN) is None


def test_a_restored_map_fills_its_gap_from_history() -> None:
    made = begun()
    kept = made.state()
    assert kept is not None
    again = LiquidationMap(MARKET, LeverageMix())
    assert again.restore(kept)
    later = [
        HistoryPoint(at=START_AT + (at - 5) * 300 * NS_PER_S, price=price, open_interest=1_000.0)
        for at, price in enumerate((100.0,) * 6 + (97.0, 95.0, 97.0, 100.0))
    ]
    again.boot(later)
    assert within(again, Direction.DOWN, 0.045) < 0.2 * within(made, Direction.DOWN, 0.045)


def test_equal_readings_give_equal_maps() -> None:
    made = [begun(), begun()]
    for each in walk(300, 5, first=1):
        for one in made:
            one.update(each)
    sides = [one.side(Direction.UP) for one in made]
    assert sides[0] is not None
    assert sides[1] is not None
    np.testing.assert_array_equal(sides[0].usd, sides[1].usd)
    assert sides[0].usd.shape == (BINS,)


def test_a_lower_highest_leverage_moves_mass_away_from_the_mark() -> None:
    masses = []
    for most in (125.0, 10.0):
        made = LiquidationMap(MARKET, LeverageMix(), MapSettings(leverage_max=most))
        made.update(reading(0, 100.0))
        masses.append(within(made, Direction.DOWN, 0.02))
    assert masses[1] < 0.8 * masses[0]


def test_candidates_never_own_more_than_there_is() -> None:
    shares = candidate_shares()
    assert shares.shape == (CANDIDATES, len(LEVERAGES))
    assert (shares >= 0.0).all()
    assert (shares.sum(axis=1) <= 1.0).all()
    assert (candidate_shares(10.0)[:, LEVERAGES.index(10.0) + 1 :] == 0.0).all()


def test_a_feed_that_tells_nothing_teaches_nothing() -> None:
    mix = LeverageMix()
    made = begun(mix)
    for step in range(1, 60):
        made.update(reading(step, 100.0 - 0.05 * step, feed=LiquidationFeed.ABSENT))
    assert mix.version == 0


def test_a_mix_that_was_kept_weighs_alike() -> None:
    mix = LeverageMix()
    made = begun(mix)
    for step in range(1, 120):
        made.update(reading(step, 100.0 - 0.05 * step, liquidated_longs_usd=20.0))
    assert mix.version > 0
    again = LeverageMix()
    assert again.restore(msgspec.json.decode(msgspec.json.encode(mix.state()), type=MixState))
    for market in (MARKET, MarketId("binanceusdm:BTC/USDT:USDT"), MarketId("bybit:ETH/USDT:USDT")):
        np.testing.assert_allclose(
            again.weights(market, Direction.DOWN), mix.weights(market, Direction.DOWN), rtol=1e-6
        )
    assert not again.restore(msgspec.structs.replace(mix.state(), version=99))
