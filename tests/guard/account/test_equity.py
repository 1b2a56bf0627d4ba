"""Only profit and loss move the index: false readings, deposits and withdrawals do not."""

from __future__ import annotations

import math
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.account.equity import EquityTrack
from guard.events import AccountSnapshot
from guard.units import NS_PER_S
from tests.support.builders import at, position, snapshot

WINDOW_NS = 168 * 3_600 * NS_PER_S
SIZE = 10.0


def told(seconds: float, price: float, cash: float, size: float = SIZE) -> AccountSnapshot:
    """``cash`` is equity at a price of 100."""
    held = position(size, entry_price=100.0, mark_price=price)
    return snapshot(seconds, held, equity_usd=cash + size * (price - 100.0))


def wrong(seconds: float, price: float, equity: float) -> AccountSnapshot:
    return snapshot(seconds, position(SIZE, entry_price=100.0, mark_price=price), equity_usd=equity)


def fed(track: EquityTrack, readings: Iterable[AccountSnapshot]) -> EquityTrack:
    for each in readings:
        track.observe(each, {}, each.received_at)
    return track


def share(track: EquityTrack, seconds: float = 10_000.0) -> float:
    found = track.drawdown(at(seconds), WINDOW_NS)
    assert found is not None
    return found.share


def calm(count: int = 400, step_s: float = 10.0, start_s: float = 0.0) -> list[AccountSnapshot]:
    return [
        told(start_s + number * step_s, 100.0 + math.sin(number / 9.0), 1_000.0) for number in range(count)
    ]


def test_a_loss_that_prices_explain_is_a_drawdown() -> None:
    track = fed(EquityTrack(), [told(number * 10.0, 100.0, 1_000.0) for number in range(50)])
    fed(track, [told(500.0 + number, 100.0 - number, 1_000.0) for number in range(31)])

    assert share(track) == pytest.approx(0.28, abs=0.001), "the highest of the last three"
    found = track.drawdown(at(600.0), WINDOW_NS)
    assert found is not None
    assert found.unexplained_usd == 0.0
    assert found.equity_usd == pytest.approx(700.0)


def test_a_loss_before_the_window_is_forgotten() -> None:
    track = fed(EquityTrack(), [told(number * 10.0, 100.0, 1_000.0) for number in range(50)])
    fed(track, [told(500.0 + number, 70.0, 1_000.0) for number in range(5)])
    late = 9 * 24 * 3_600.0
    fed(track, [told(late + 10.0 * number, 70.0, 1_000.0) for number in range(5)])

    assert share(track, 600.0) == pytest.approx(0.3, abs=0.001)
    assert share(track, late + 50.0) == 0.0


@pytest.mark.parametrize("equity", [10_000.0, 1_300.0, 700.0, 1.0])
@pytest.mark.parametrize("count", [1, 2])
def test_a_false_reading_moves_nothing(equity: float, count: int) -> None:
    track = fed(EquityTrack(), calm())
    before = share(track)
    fed(track, [wrong(4_000.0 + number, 100.0, equity) for number in range(count)])
    found = track.drawdown(at(4_001.0), WINDOW_NS)
    assert found is not None
    assert found.unexplained_usd == pytest.approx(equity - 1_000.0, abs=30.0)
    fed(track, calm(start_s=4_010.0))

    assert share(track) == pytest.approx(before, abs=0.012)
    assert track.unexplained_usd == 0.0


def test_a_false_price_of_one_reading_makes_no_high() -> None:
    """Equity and mark price are wrong together, so that the change is explained."""
    track = fed(EquityTrack(), calm())
    fed(track, [told(4_000.0, 150.0, 1_000.0)])
    fed(track, calm(start_s=4_010.0))

    assert share(track) < 0.02


def test_a_false_low_of_one_reading_is_no_drawdown() -> None:
    track = fed(EquityTrack(), calm())
    fed(track, [told(4_000.0, 50.0, 1_000.0)])

    assert share(track) < 0.02


@pytest.mark.parametrize("flow", [-900.0, -500.0, 300.0, 5_000.0])
def test_money_that_comes_or_goes_is_neither_high_nor_loss(flow: float) -> None:
    track = fed(EquityTrack(), calm())
    fed(track, [told(4_000.0 + 10.0 * number, 100.0, 1_000.0 + flow) for number in range(200)])

    assert share(track) < 0.02
    assert track.unexplained_usd == 0.0
    found = track.drawdown(at(7_000.0), WINDOW_NS)
    assert found is not None
    assert found.equity_usd == pytest.approx(1_000.0 + flow)


def test_a_loss_goes_on_counting_while_something_is_unexplained() -> None:
    track = fed(EquityTrack(), calm())
    fed(track, [told(4_000.0 + number, 100.0 - number, 700.0) for number in range(21)])

    assert share(track) == pytest.approx(0.18, abs=0.02)
    assert track.unexplained_usd == pytest.approx(-300.0, abs=20.0)


def test_a_deposit_does_not_hide_a_loss() -> None:
    track = fed(EquityTrack(), [told(number * 10.0, 100.0, 1_000.0) for number in range(50)])
    fed(track, [told(500.0 + number, 100.0 - number, 1_000.0) for number in range(31)])
    fed(track, [told(600.0 + 10.0 * number, 70.0, 2_000.0) for number in range(30)])

    assert share(track) == pytest.approx(0.3, abs=0.005)


def test_what_was_closed_at_a_loss_stays_lost() -> None:
    track = fed(EquityTrack(), [told(number * 10.0, 100.0, 1_000.0) for number in range(50)])
    track.observe(told(500.0, 80.0, 1_000.0), {}, at(500.0))
    for number in range(5):
        flat = snapshot(501.0 + number, equity_usd=800.0)
        track.observe(flat, {}, at(501.0 + number))

    assert share(track) == pytest.approx(0.2, abs=0.001)


def test_a_high_has_to_stand_for_five_minutes() -> None:
    short = fed(EquityTrack(), calm(100))
    fed(short, [told(1_000.0 + 10.0 * number, 130.0, 1_000.0) for number in range(20)])
    fed(short, [told(1_200.0 + 10.0 * number, 100.0, 1_000.0) for number in range(20)])
    long = fed(EquityTrack(), calm(100))
    fed(long, [told(1_000.0 + 10.0 * number, 130.0, 1_000.0) for number in range(40)])
    fed(long, [told(1_400.0 + 10.0 * number, 100.0, 1_000.0) for number in range(20)])

    assert share(short) < 0.02
    assert share(long) == pytest.approx(0.3 / 1.3, abs=0.01)


@settings(max_examples=40, deadline=None)
@given(
    flows=st.lists(st.floats(-0.8, 3.0), min_size=1, max_size=4),
    walk=st.lists(st.floats(-0.3, 0.3), min_size=30, max_size=30),
)
def test_no_flow_is_ever_a_drawdown(flows: list[float], walk: list[float]) -> None:
    """The same walk with and without money that comes and goes, in a calm market, is as far below its high."""
    plain, moved = EquityTrack(), EquityTrack()
    seconds, cash, price = 0.0, 1_000.0, 100.0
    for flow in flows:
        cash *= 1.0 + flow
        for change in walk:
            seconds += 10.0
            price = min(max(price + change * 0.1, 97.0), 103.0)
            fed(plain, [told(seconds, price, 1_000.0, size=1.0)])
            fed(moved, [told(seconds, price, cash, size=1.0)])
    assert share(moved) <= 0.02
    assert share(plain) <= 0.02


@pytest.mark.parametrize("share_paid", [-0.05, 0.05])
def test_many_payments_are_together_no_drawdown_and_no_high(share_paid: float) -> None:
    track, cash = EquityTrack(), 10_000.0
    for payment in range(60):
        fed(track, [told(payment * 600.0 + 100.0 * number, 100.0, cash) for number in range(6)])
        cash *= 1.0 + share_paid

    assert track.index == pytest.approx(1.0)
    assert share(track, 36_000.0) == pytest.approx(0.0, abs=1e-9)
