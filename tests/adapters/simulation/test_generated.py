"""The made-up market: repeatable, and shaped like the scenario that was asked for."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest

from adapters.simulation import FrameKind, generated_source
from adapters.simulation.book import VenueBook
from adapters.simulation.generated import symbol_names
from adapters.simulation.scenarios import Scenario, course_of
from adapters.simulation.source import Frame
from adapters.simulation.wire import decode_depth

START_NS = 1_700_000_000_000_000_000


def played(scenario: str, seed: int = 1, **settings: float) -> list[Frame]:
    return list(generated_source(scenario, seed=seed, **settings).frames(START_NS))  # type: ignore[arg-type]


def test_equal_seeds_make_equal_frames_and_others_do_not() -> None:
    assert played("fall", duration_s=10) == played("fall", duration_s=10)
    assert played("fall", duration_s=10) != played("fall", seed=2, duration_s=10)


def test_diffs_follow_one_another_without_a_gap_and_never_cross_the_book() -> None:
    source = generated_source("fall", seed=3, duration_s=20)
    book = VenueBook(source.opening("BTCUSDT"))

    for frame in source.frames(START_NS):
        if frame.kind is FrameKind.DEPTH:
            update = decode_depth(frame.payload)
            assert update.pu == book.update_id
            assert update.pu < update.U <= update.u
            book.apply(update)
            bid, ask = book.bids.best_price(), book.asks.best_price()
            assert bid is not None
            assert ask is not None
            assert bid < ask


@pytest.mark.parametrize("scenario", ["calm", "fall", "recover"])
def test_the_book_reaches_two_percent_on_both_sides(scenario: str) -> None:
    opening = generated_source(scenario, seed=1).opening("BTCUSDT")

    assert len(opening.bids) > 200
    assert float(opening.bids[-1][0]) < 60_000 * 0.98
    assert float(opening.asks[-1][0]) > 60_000 * 1.02


@dataclass(frozen=True)
class Second:
    """The market once a second: mid, spread in bps, and the bids within 20 bps and 150 bps in USD."""

    mid: float
    spread_bps: float
    near_usd: float
    far_usd: float


def seconds(scenario: str, **settings: float) -> list[Second]:
    source = generated_source(scenario, seed=5, **settings)  # type: ignore[arg-type]
    book = VenueBook(source.opening("BTCUSDT"))
    found = []
    for number, frame in enumerate(f for f in source.frames(START_NS) if f.kind is FrameKind.DEPTH):
        book.apply(decode_depth(frame.payload))
        if number % 10 == 9:
            found.append(look(book))
    return found


def look(book: VenueBook) -> Second:
    mid = book.mid()
    bid, ask = book.bids.best_price(), book.asks.best_price()
    assert mid is not None
    assert bid is not None
    assert ask is not None

    def within(bps: float) -> float:
        reach = mid * (1.0 - bps / 10_000.0)
        return sum(float(p) * float(q) for p, q in book.bids.top(1_000) if float(p) >= reach)

    return Second(mid, (ask - bid) / mid * 10_000.0, within(20.0), within(150.0))


def test_calm_stays_calm() -> None:
    course = seconds("calm", duration_s=30)

    assert max(s.mid for s in course) / min(s.mid for s in course) < 1.005
    assert max(s.far_usd for s in course) < 1.6 * min(s.far_usd for s in course)


def test_depth_withdraws_for_seconds_before_price_falls_and_then_price_falls_as_far_as_asked() -> None:
    course = seconds("fall", duration_s=60, fall_ratio=0.10, calm_share=0.4, thinning_s=8)
    calm = course[:23]
    normal = sum(s.far_usd for s in calm) / len(calm)
    spread = sum(s.spread_bps for s in calm) / len(calm)

    first_thin = next(i for i, s in enumerate(course) if s.far_usd < 0.5 * normal)
    first_fallen = next(i for i, s in enumerate(course) if s.mid < 60_000 * 0.995)
    assert first_fallen - first_thin >= 3
    assert course[first_fallen].far_usd < 0.35 * normal
    assert course[first_fallen].spread_bps > 1.5 * spread
    assert 0.885 < min(s.mid for s in course) / 60_000 < 0.905
    assert course[-1].far_usd > 1.2 * min(s.far_usd for s in course)


def test_the_fall_bounces_and_is_printed() -> None:
    course = seconds("fall", duration_s=60)
    falling = [s.mid for s in course if s.mid < 60_000 * 0.99]
    rises = [later - before for before, later in pairwise(falling) if later > before]
    kinds = Counter(frame.kind for frame in played("fall", duration_s=60))

    assert len(rises) >= 3
    assert kinds[FrameKind.FORCED_ORDER] >= 5
    assert kinds[FrameKind.MARK_PRICE] == 60


def test_recovery_comes_all_the_way_back() -> None:
    course = seconds("recover", duration_s=60, fall_ratio=0.10)

    assert min(s.mid for s in course) < 60_000 * 0.95
    assert abs(course[-1].mid / 60_000 - 1) < 0.004
    assert course[-1].far_usd > 0.7 * course[5].far_usd


def test_event_times_follow_the_start() -> None:
    source = generated_source("calm", seed=1, duration_s=3)
    first = next(f for f in source.frames(START_NS) if f.kind is FrameKind.DEPTH)

    assert decode_depth(first.payload).E * 1_000_000 == first.at_ns == START_NS + 100_000_000


def test_several_symbols_come_in_order_of_time_and_do_not_move_alike() -> None:
    source = generated_source("calm", seed=1, symbols=("BTCUSDT", "ETHUSDT", "PEPEUSDT"), duration_s=5)
    frames = list(source.frames(START_NS))

    assert [f.at_ns for f in frames] == sorted(f.at_ns for f in frames)
    assert {f.symbol for f in frames} == {"BTCUSDT", "ETHUSDT", "PEPEUSDT"}
    assert [spec.tick for spec in source.specs] == [Decimal("0.1"), Decimal("0.01"), Decimal("0.001")]


@pytest.mark.parametrize(
    "settings", [{"fall_ratio": 1.0}, {"duration_s": 0}, {"symbols": ()}, {"depth_10bps_usd": 0}]
)
def test_numbers_that_make_no_market_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        generated_source("fall", seed=1, **settings)


def test_an_unknown_scenario_is_refused() -> None:
    with pytest.raises(ValueError, match="crash"):
        generated_source("crash", seed=1)


def test_waves_fall_and_come_back_every_four_minutes() -> None:
    course = course_of(
        Scenario.WAVES, 3_600.0, fall_ratio=0.1, calm_share=0.4, thinning_s=8.0, depth_left_ratio=0.15
    )
    prices = [course.at(float(second)).price_ratio for second in range(960)]

    assert prices[:240] * 4 == prices
    assert min(prices) < 0.95
    assert prices[239] > 0.99


def test_of_many_symbols_only_the_busy_ones_move_at_full_pace() -> None:
    source = generated_source("calm", seed=3, symbols=symbol_names(25), duration_s=3.0, busy=2)
    moves = Counter(frame.symbol for frame in source.frames(START_NS) if frame.kind is FrameKind.DEPTH)
    marks = Counter(frame.symbol for frame in source.frames(START_NS) if frame.kind is FrameKind.MARK_PRICE)
    assert [moves[symbol] for symbol in symbol_names(25)] == [30, 30, *[3] * 23]
    assert set(marks.values()) == {3}
