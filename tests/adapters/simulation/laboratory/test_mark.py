"""Mark price, premium and funding, worked out by hand."""

from __future__ import annotations

import math

import pytest

from adapters.simulation.laboratory.mark import Mark, index_of, median
from adapters.simulation.laboratory.parameters import FundingParameters
from tests.adapters.simulation.laboratory.episodes import START_AT_NS
from tests.support.uncompiled import uncompiled

HOUR_MS = 3_600_000
PACKAGE = "adapters.simulation.laboratory"


def new_mark(index: float = 1_000.0, **changed: float) -> Mark:
    return Mark(FundingParameters(**changed), START_AT_NS, index)


def test_the_mark_is_the_median_of_three_prices() -> None:
    mark = new_mark(interest=0.0)
    for second in range(30):
        # The middle of the book is 3 above the index, so that is the basis after 30 measurements.
        assert 1_000.0 <= mark.step(second * 1_000, 1_000.0, 1_002.0, 1_004.0, 1_010.0) <= 1_003.0
    after = mark.step(30_000, 1_000.0, 1_002.0, 1_004.0, 1_010.0)
    assert after == pytest.approx(1_003.0)
    # The book falls from the world: the last price is the lowest now, and what it was on the average lies between.
    assert mark.step(30_100, 1_000.0, 940.0, 950.0, 945.0) == pytest.approx(1_000.0, abs=2.0)
    # And when the index falls alone, last price and basis hold the mark between.
    assert mark.step(30_200, 980.0, 1_002.0, 1_004.0, 1_003.0) == pytest.approx(983.0, abs=0.5)


def test_without_a_last_price_or_a_book_the_index_counts() -> None:
    mark = new_mark(interest=0.0)
    assert mark.step(0, 1_000.0, 0.0, 0.0, 0.0) == 1_000.0
    assert mark.premium == 0.0


def test_steps_within_a_second_measure_once() -> None:
    often, seldom = new_mark(), new_mark()
    for now_ms in range(0, 60_000, 100):
        often.step(now_ms, 1_000.0, 1_001.0 + now_ms % 1_000, 1_002.0 + now_ms % 1_000, 1_001.0)
    for now_ms in range(0, 60_000, 1_000):
        seldom.step(now_ms, 1_000.0, 1_001.0, 1_002.0, 1_001.0)
    assert often.rate == seldom.rate
    assert often.premium == seldom.premium == pytest.approx(0.001)


def test_funding_is_due_at_whole_intervals_of_unix_time() -> None:
    mark = new_mark()
    # The episode begins at 09:00 UTC; intervals of 8 hours end at 16:00 and at 0:00.
    assert mark.next_funding_ms == 7 * HOUR_MS
    due = []
    for now_ms in range(0, 16 * HOUR_MS, 60_000):
        mark.step(now_ms, 1_000.0, 999.9, 1_000.1, 1_000.0)
        rate_ppb = mark.take_due_ppb()
        if rate_ppb:
            due.append((now_ms, rate_ppb))
        assert mark.take_due_ppb() == 0
    assert due == [(7 * HOUR_MS, 100_000), (15 * HOUR_MS, 100_000)]


@pytest.mark.parametrize(
    ("premium", "rate"),
    [
        (0.0, 0.0001),
        (0.0003, 0.0001),
        (0.002, 0.0015),
        (-0.002, -0.0015),
        (0.2, 0.02),
        (-0.2, -0.02),
    ],
)
def test_the_rate_is_the_premium_less_what_is_within_the_clamp(premium: float, rate: float) -> None:
    mark = Mark(FundingParameters(), 8 * HOUR_MS * 1_000_000, 1_000.0)
    book = 1_000.0 * (1.0 + premium)
    for second in range(120):
        mark.step(second * 1_000, 1_000.0, book, book, book)
    assert mark.premium == pytest.approx(premium)
    assert mark.rate == pytest.approx(rate)


def test_later_premiums_count_more() -> None:
    mark = Mark(FundingParameters(interest=0.0, clamp=0.0), 8 * HOUR_MS * 1_000_000, 1_000.0)
    for second, premium in enumerate((0.01, 0.0, 0.0, 0.02)):
        mark.step(second * 1_000, 1_000.0, 1_000.0 * (1 + premium), 1_000.0 * (1 + premium), 0.0)
    assert mark.rate == pytest.approx((1 * 0.01 + 4 * 0.02) / 10)


def test_an_index_that_is_cut_off_follows_its_own_book_a_part_of_the_way() -> None:
    assert index_of(100.0, 90.0, 1.0) == 100.0
    assert index_of(100.0, 0.0, 0.0) == 100.0
    assert index_of(100.0, 98.0, 0.5) == pytest.approx(100.0 - 0.5 * 0.3 * 2.0)
    assert index_of(100.0, 60.0, 0.0) == pytest.approx(100.0 - 0.3 * 5.0)


def test_the_median_is_the_middle_one_in_any_order() -> None:
    for one, two, three in (
        (1.0, 2.0, 3.0),
        (3.0, 1.0, 2.0),
        (2.0, 3.0, 1.0),
        (3.0, 2.0, 1.0),
        (2.0, 2.0, 1.0),
    ):
        assert median(one, two, three) == 2.0


def test_compiled_and_plain_say_the_same_to_the_last_bit() -> None:
    (plain,) = uncompiled(f"{PACKAGE}.mark")
    one, other = new_mark(), plain.Mark(FundingParameters(), START_AT_NS, 1_000.0)
    for step in range(5_000):
        mid = 1_000.0 + 5.0 * math.sin(step / 300.0)
        prices = (1_000.0 + math.cos(step / 700.0), mid - 0.5, mid + 0.5, mid)
        assert one.step(step * 100, *prices) == other.step(step * 100, *prices)
    assert (one.rate, one.premium) == (other.rate, other.premium)
