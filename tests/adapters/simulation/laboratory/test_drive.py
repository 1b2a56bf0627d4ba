"""Impulses as a state of each book: amounts come to the same with any step, and what holds holds in its time."""

from __future__ import annotations

import math

import pytest

from adapters.simulation.laboratory.drive import Drive
from adapters.simulation.laboratory.parameters import Impulse, ImpulseKind
from tests.adapters.simulation.laboratory.episodes import small_episode


def told(
    kind: ImpulseKind, size: float, *, at_s: float = 10.0, duration_s: float = 20.0, **where: str
) -> Impulse:
    return Impulse(kind=kind, at_s=at_s, duration_s=duration_s, size=size, **where)


@pytest.mark.parametrize("step_ms", [100, 5_000, 7_000, 60_000])
def test_amounts_come_to_the_same_with_any_step(step_ms: int) -> None:
    impulses = (
        told(ImpulseKind.SELL, 3.0),
        told(ImpulseKind.SELL, 1.0, at_s=15.0, duration_s=0.0),
        told(ImpulseKind.ENTRIES, 0.2, at_s=0.0, duration_s=33.3),
    )
    drive = Drive(small_episode(impulses=impulses))
    state = drive.of("binanceusdm", "BTCUSDT")
    sold = entered = 0.0
    for now_ms in range(0, 121_000, step_ms):
        drive.step(now_ms)
        sold += state.sell_depths
        entered += state.entries_ratio
    assert sold == pytest.approx(4.0)
    assert entered == pytest.approx(0.2)
    assert state.sell_depths == state.entries_ratio == 0.0


def test_what_holds_for_a_time_holds_then_and_not_before_or_after() -> None:
    impulses = (
        told(ImpulseKind.WITHDRAW, 0.1),
        told(ImpulseKind.WITHDRAW, 0.5, at_s=20.0, duration_s=20.0),
        told(ImpulseKind.ARBITRAGE_STOP, 0.75, at_s=5.0, duration_s=10.0),
        told(ImpulseKind.OUTAGE, 1.0, at_s=50.0, duration_s=1.0),
    )
    drive = Drive(small_episode(impulses=impulses))
    state = drive.of("bybit", "ALTUSDT")
    seen = {}
    for now_ms in range(0, 60_000, 100):
        drive.step(now_ms)
        seen[now_ms] = (state.withdraw, state.arbitrage, state.is_out)
    assert seen[4_900] == (1.0, 1.0, False)
    assert seen[5_000] == (1.0, 0.25, False)
    assert seen[10_000] == (0.1, 0.25, False)
    assert seen[20_000] == (0.05, 1.0, False)
    assert seen[30_100] == (0.5, 1.0, False)
    assert seen[40_100] == (1.0, 1.0, False)
    assert seen[49_900][2] is False
    assert seen[50_000][2] is True
    assert seen[51_100] == (1.0, 1.0, False)


def test_a_step_that_is_longer_than_what_happens_has_it_all_the_same() -> None:
    drive = Drive(small_episode(impulses=(told(ImpulseKind.WITHDRAW, 0.1, at_s=12.0, duration_s=1.0),)))
    state = drive.of("bybit", "ALTUSDT")
    seen = []
    for now_ms in range(0, 30_000, 5_000):
        drive.step(now_ms)
        seen.append(state.withdraw)
    assert seen == [1.0, 1.0, 1.0, 0.1, 1.0, 1.0]


def test_only_the_books_that_are_named_are_driven() -> None:
    impulses = (
        told(ImpulseKind.SELL, 1.0, venue="bybit"),
        told(ImpulseKind.WITHDRAW, 0.5, symbol="ALTUSDT"),
        told(ImpulseKind.VALUE, -0.1),
        told(ImpulseKind.DEPEG, -0.3),
    )
    drive = Drive(small_episode(impulses=impulses))
    drive.step(0)
    drive.step(20_000)
    seen = {
        (venue, symbol): (drive.of(venue, symbol).sell_depths, drive.of(venue, symbol).withdraw)
        for venue in ("binanceusdm", "bybit")
        for symbol in ("BTCUSDT", "ALTUSDT")
    }
    assert seen == {
        ("binanceusdm", "BTCUSDT"): (0.0, 1.0),
        ("binanceusdm", "ALTUSDT"): (0.0, 0.5),
        ("bybit", "BTCUSDT"): (0.5, 1.0),
        ("bybit", "ALTUSDT"): (0.5, 0.5),
    }


@pytest.mark.parametrize(
    ("impulse", "words"),
    [
        (told(ImpulseKind.SELL, 1.0, venue="okx"), "venue okx"),
        (told(ImpulseKind.SELL, 1.0, symbol="DOGEUSDT"), "symbol DOGEUSDT"),
        (told(ImpulseKind.SELL, math.inf), "finite"),
        (told(ImpulseKind.SELL, 1.0, duration_s=-1.0), "0 or more"),
    ],
)
def test_impulses_that_would_do_nothing_are_refused(impulse: Impulse, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Drive(small_episode(impulses=(impulse,)))
