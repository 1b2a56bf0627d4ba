"""The compiled books, hot states and features equal the numpy references, whatever comes."""

from __future__ import annotations

import gc
import math
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.errors import MalformedFrameError
from guard.events import BookSide, BookStatus
from guard.market.book import ArrayBook, Book, Side, new_book
from guard.market.implementation import compiled, implementation, why_slow
from guard.market.liquidity import PlainCurve, curve_of, side_features
from guard.market.live import NEVER, ArrayLiveBook, LiveBook, new_live_book
from guard.market.sampler import MarketSampler, measured
from guard.units import MarketId
from tests.support.implementations import compiled_book, compiled_live, live_of, needs_compiled
from tests.support.recordings import binance_frames

pytestmark = needs_compiled

Level = tuple[float, float]

TICKS = st.integers(1, 60).map(lambda tick: tick * 0.1)
PRICES = TICKS | st.floats(1e-9, 1e18)
SIZES = st.sampled_from([0.0, 0.0, -0.0, 0.001, 1.0, 2.5, 1e6, 1e18]) | st.floats(0.0, 1e6)
BATCH = st.lists(st.tuples(PRICES, SIZES), max_size=12)
STEPS = st.lists(st.tuples(st.sampled_from(["load", "apply", "apply", "clear"]), BATCH, BATCH), max_size=10)


def assert_equal(one: Book, other: Book) -> None:
    for side in Side:
        for mine, its in zip(one.side(side), other.side(side), strict=True):
            assert mine.dtype == its.dtype == np.float64
            assert mine.tolist() == its.tolist()
        assert one.horizon(side) == other.horizon(side)
    assert (one.best_bid(), one.best_ask(), one.status()) == (
        other.best_bid(),
        other.best_ask(),
        other.status(),
    )


def both(capacity: int = 64) -> tuple[ArrayBook, Book]:
    return ArrayBook(capacity, where="v:X"), compiled_book(capacity, where="v:X")


def outcome(change: Callable[[Any, Any], None], bids: object, asks: object) -> str:
    try:
        change(bids, asks)
    except MalformedFrameError as error:
        return str(error)
    return ""


# Books


@given(STEPS, st.integers(1, 8) | st.just(4_096))
def test_books_are_equal_after_every_step(
    steps: list[tuple[str, list[Level], list[Level]]], capacity: int
) -> None:
    one, other = both(capacity)
    for step, bids, asks in steps:
        for book in (one, other):
            if step == "clear":
                book.clear()
            else:
                (book.load if step == "load" else book.apply)(bids, asks)
        assert_equal(one, other)


@settings(max_examples=30)
@given(st.integers(0, 2**32), st.integers(200, 1_500), st.sampled_from([50, 700, 4_096]))
def test_books_are_equal_with_many_levels_at_once(seed: int, count: int, capacity: int) -> None:
    """So many are merged in one pass, in whatever order they come and however often a price is said."""
    drawn = np.random.default_rng(seed)
    one, other = both(capacity)
    for step in range(4):
        sides = []
        for _ in Side:
            prices = drawn.integers(1, 2 * count, count) * 0.01
            sizes = drawn.integers(0, 3, count) * 0.5
            sides.append(np.column_stack([prices, sizes]))
        for book in (one, other):
            (book.apply if step % 2 else book.load)(sides[0], sides[1].tolist())
        assert_equal(one, other)


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("count", [1, 31, 32, 33, 255, 256, 257, 1_000])
def test_books_grow_by_whatever_comes(order: int, count: int) -> None:
    one, other = both(4_096)
    levels = [(100.0 + tick, float(tick % 7)) for tick in range(count)][::order]
    for book in (one, other):
        book.load(levels, levels)
        for level in levels:
            book.apply([(level[0] + 0.5, 1.0)], [(level[0] - 0.5, 1.0)])
    assert_equal(one, other)


ODD = st.one_of(
    st.floats(),
    st.booleans(),
    st.none(),
    st.integers(-3, 10**25),
    st.sampled_from([10**400, "1.5", " 1.5", "1_0", "1e5", "nan", "inf", "1e999", "", "x", "-1", "0", "0x1", "1.5\0"]),
    st.sampled_from([b"1.5", "\u0661", [1.0], (), {}, 1j, np.float64(2.5), np.True_, np.int64(3)]),
)  # fmt: skip
PAIRS = st.lists(st.lists(ODD, min_size=1, max_size=3) | st.tuples(ODD, ODD) | ODD, max_size=4)


@settings(max_examples=300)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::numpy.exceptions.ComplexWarning")
@given(
    PAIRS | st.sampled_from([(), None, 5, "ab", np.zeros((2, 2)), np.ones((1, 3)), [[], []]]), st.booleans()
)
def test_what_cannot_be_read_is_refused_alike(odd: Any, is_snapshot: bool) -> None:
    one, other = both()
    good = [(10.0, 1.0)], [(11.0, 1.0)]
    said = set()
    for book in (one, other):
        book.load(*good)
        change = book.load if is_snapshot else book.apply
        said.add((outcome(change, odd, good[1]), outcome(change, good[0], odd)))
    assert len(said) == 1
    assert_equal(one, other)


def test_numbers_mean_the_same_however_they_are_written() -> None:
    one, other = both()
    bids: Any = [("0.1", "1e-3"), ["0.30000000000000004", 5], (7, "123456789.123456789")]
    for book in (one, other):
        book.load(bids, [[np.float64(8.5), 2]])
    assert_equal(one, other)
    assert other.side(Side.BID)[0].tolist() == [7.0, 0.30000000000000004, 0.1]


def test_a_view_stays_readable_when_the_book_has_moved_on_or_is_gone() -> None:
    """Not its content, which is valid until the next change, but its memory."""
    book = compiled_book()
    book.load([(float(price), 1.0) for price in range(1, 20)], [(30.0, 1.0)])
    prices, sizes = book.side(Side.BID)
    book.apply([(price / 100.0, 1.0) for price in range(1, 1_500)], [])
    assert np.isfinite(prices).all()
    moved, _ = book.side(Side.BID)
    del book
    gc.collect()
    assert prices.size == sizes.size == 19
    assert np.isfinite(moved).all()
    with pytest.raises(ValueError, match="read-only"):
        moved[0] = 1.0


def test_a_book_needs_room() -> None:
    for make in (ArrayBook, compiled_book):
        with pytest.raises(ValueError, match="at least one level a side, not 0"):
            make(0)


# The hot state


def state_of(live: LiveBook) -> tuple[object, ...]:
    return (
        live.armed, live.last_id, live.book_at, live.exchange_at, live.changed, live.updates, live.buy_usd,
        live.sell_usd, live.said, live.book_heard_at, live.needs_attention, live.has_turned,
    )  # fmt: skip


TIMES = st.integers(0, 2**62)
CALLS = st.lists(
    st.one_of(
        st.tuples(st.just("arm"), st.integers(-(2**64), 2**64)),
        st.tuples(st.just("disarm")),
        st.tuples(st.just("applied"), TIMES, TIMES | st.just(NEVER)),
        st.tuples(st.just("traded"), st.floats(-1e9, 1e9)),
        st.tuples(st.just("hear_book"), TIMES),
        st.tuples(st.just("hear_trades"), TIMES),
        st.tuples(st.just("take_book_heard")),
        st.tuples(st.just("take_trades_heard")),
        st.tuples(st.just("sampled"), st.sampled_from(BookStatus)),
        st.tuples(st.just("levels"), BATCH, BATCH),
    ),
    max_size=25,
)


@given(CALLS)
def test_hot_states_are_equal_after_every_call(calls: list[tuple[Any, ...]]) -> None:
    one, other = (live_of(book) for book in both())
    for name, *arguments in calls:
        answers = []
        for live in (one, other):
            call = live.book.apply if name == "levels" else getattr(live, name)
            answers.append(call(*arguments))
        assert answers[0] == answers[1]
        assert state_of(one) == state_of(other)


@settings(max_examples=50)
@given(st.integers(0, 2**32))
def test_both_turn_at_the_same_change(seed: int) -> None:
    """Sizes are added up in one order, so that not even rounding tells them apart."""
    drawn = np.random.default_rng(seed)
    one, other = (live_of(book) for book in both(4_096))
    for count in (3, 7, 8, 15, 16, 20, 40):
        bids = [(100.0 - 0.1 * level, drawn.exponential()) for level in range(count)]
        asks = [(100.1 + 0.1 * level, drawn.exponential()) for level in range(count)]
        for live in (one, other):
            live.book.load(bids, asks)
            live.sampled(live.book.status())
        # Half of everything is on the edge between turned and not; then one size by the least that there is.
        for side, levels in ((Side.BID, bids), (Side.ASK, asks)):
            halves = [(price, size / 2.0) for price, size in levels]
            nudged = [
                (price, math.nextafter(size, 9.0 * drawn.integers(0, 2)))
                for price, size in (halves[at] for at in drawn.integers(0, count, 20))
            ]
            for change in [*halves, *nudged]:
                for live in (one, other):
                    live.book.apply(*(([change], []) if side is Side.BID else ([], [change])))
                assert one.has_turned == other.has_turned
            for live in (one, other):
                live.book.load(bids, asks)


def test_attributes_can_be_set_alike() -> None:
    for live in (ArrayLiveBook(ArrayBook()), compiled_live(compiled_book())):
        live.said, live.last_id, live.changed = BookStatus.GAPPED, 7, True
        assert (live.said, live.last_id, live.changed) == (BookStatus.GAPPED, 7, True)


def test_a_book_and_its_hot_state_survive_pickling() -> None:
    live = compiled_live(compiled_book(3, where="v:X"))
    live.book.load([(9.0, 1.0), (8.0, 2.0)], [(10.0, 1.0)])
    live.arm(5)
    live.traded(-3.0)
    live.hear_book(4)
    live.sampled(BookStatus.OK)
    live.applied(7, NEVER)
    copy: LiveBook = pickle.loads(pickle.dumps(live))
    assert state_of(copy) == state_of(live)
    assert_equal(copy.book, live.book)
    copy.book.apply([(8.5, 1.0), (8.2, 1.0)], [])
    assert copy.book.horizon(Side.BID) == 8.2


# Features


def numbers_of(side: BookSide) -> list[float | None]:
    return [
        *side.curve_usd,
        *side.slippage_bps,
        side.visible_bps,
        side.visible_usd,
        side.slope_usd,
        side.slope_kappa,
    ]


def assert_measured_alike(one: Book, other: Book, horizons: dict[Side, float | None]) -> None:
    reference, fast = measured(one, horizons), measured(other, horizons)
    for mine, its in zip(reference[:2], fast[:2], strict=True):
        for place, (expected, actual) in enumerate(zip(numbers_of(mine), numbers_of(its), strict=True)):
            assert (expected is None) == (actual is None), place
            if expected is not None and actual is not None:
                assert math.isclose(expected, actual, rel_tol=1e-12, abs_tol=1e-12), place
    assert math.isclose(reference[2], fast[2], rel_tol=1e-12, abs_tol=1e-12)


AWAY = st.floats(0.01, 2_000.0) | st.sampled_from([1.0, 2.0, 5.0, 10.0, 25.0, 100.0, 500.0])
USD = st.floats(0.01, 3e6) | st.sampled_from([500.0, 10_000.0, 100_000.0])
SIDE = st.lists(st.tuples(AWAY, USD), min_size=1, max_size=40)


@settings(max_examples=200)
@given(SIDE, SIDE, st.floats(1e-4, 1e5), st.none() | AWAY, st.none() | st.floats(-50.0, 50.0))
def test_measured_books_are_equal(
    bids: list[Level], asks: list[Level], mid: float, low: float | None, high: float | None
) -> None:
    levels = [
        [(mid * (1.0 + sign * away / 1e4), usd / mid) for away, usd in side]
        for sign, side in ((-1.0, bids), (1.0, asks))
    ]
    ends = {
        Side.BID: None if low is None else mid * (1.0 - low / 1e4),
        # Price may have left what is known altogether.
        Side.ASK: None if high is None else mid * (1.0 + high / 1e4),
    }
    one, other = both(4_096)
    for book in (one, other):
        book.load(levels[0], levels[1])
    assert_measured_alike(one, other, ends)
    assert_measured_alike(one, other, {})


@settings(max_examples=200)
@given(
    SIDE,
    st.none() | st.floats(0.0, 2_000.0),
    st.lists(st.floats(-1.0, 20_000.0) | AWAY, min_size=1, max_size=4),
    st.lists(st.floats(-1.0, 1e12) | USD, min_size=2, max_size=4),
)
def test_curves_are_equal_number_for_number(
    levels: list[Level], end: float | None, distances: list[float], notionals: list[float]
) -> None:
    ordered = sorted(dict(levels).items())
    prices = np.array([100.0 * (1.0 - away / 1e4) for away, _ in ordered])
    sizes = np.array([usd / 100.0 for _, usd in ordered])
    side = side_features(prices, sizes, 100.0, horizon=None if end is None else 100.0 * (1.0 - end / 1e4))
    one, other = PlainCurve(side), curve_of(side)
    assert type(other) is compiled().CompiledCurve
    for bps in distances:
        assert one.depth(bps) == other.depth(bps)
    # Where a point of the curve is asked for exactly, and everywhere else.
    asked = sorted({*notionals, *side.curve_usd, side.visible_usd})
    for usd in asked:
        assert one.reach(usd) == other.reach(usd)
    for low, high in pairwise([max(usd, 0.0) for usd in asked]):
        for floor in (0.0, 3.0, 5_000.0):
            assert one.integral(low, high, floor) == other.integral(low, high, floor)


def test_a_curve_has_a_point_for_each_distance() -> None:
    side = BookSide(curve_usd=(1.0,), visible_bps=1.0, visible_usd=1.0, slippage_bps=())
    with pytest.raises(ValueError, match="points, not 1"):
        compiled().CompiledCurve(side)


def test_a_side_without_levels_is_not_measured() -> None:
    book = compiled_book(where="v:X")
    with pytest.raises(ValueError, match="v:X: a side without levels"):
        measured(book, {})


@pytest.mark.parametrize("name", ["usdm_btcusdt_20240808.gz", "usdm_ethusdt_20240718.gz"])
def test_recorded_minutes_make_equal_books_and_samples(shared_data: Path, name: str) -> None:
    market = MarketId("v:X")
    one, other = (MarketSampler(market, book) for book in both(4_096))
    applied = 0
    for number, (at, frame) in enumerate(islice(binance_frames(shared_data / "binance_ws" / name), 12_000)):
        for sampler in (one, other):
            if "bids" in frame:
                sampler.on_snapshot(frame["bids"], frame["asks"], at)
                applied += 1
            elif frame["data"]["e"] == "depthUpdate":
                sampler.on_deltas(frame["data"]["b"], frame["data"]["a"], at)
                applied += 1
        assert one.has_turned == other.has_turned
        if number % 20 == 0 and one.status is BookStatus.OK:
            assert_equal(one.book, other.book)
            assert_measured_alike(one.book, other.book, {})
            first, second = one.sample(at), other.sample(at)
            assert (first.bid, first.ask, first.updates) == (second.bid, second.ask, second.updates)
    assert applied > 1_000


# Which one runs


def test_the_compiled_one_is_the_default_where_it_is_built() -> None:
    book = new_book()
    assert (implementation(), why_slow(), book.implementation) == ("compiled", "", "compiled")
    assert new_live_book(book).implementation == "compiled"
    assert new_live_book(ArrayBook()).implementation == "numpy"
    assert type(book) is compiled().CompiledBook


@pytest.mark.parametrize(("value", "expected"), [("1", "numpy"), ("0", "compiled"), ("", "compiled")])
def test_an_environment_variable_switches_it_off(value: str, expected: str) -> None:
    code = "from guard.market.book import new_book; print(new_book().implementation)"
    env = {**os.environ, "PERPGUARD_NO_COMPILED": value}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == expected
