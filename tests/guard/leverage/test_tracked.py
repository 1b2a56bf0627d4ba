"""The exact map of accounts that a venue publishes: what is in it, what is not, and how it ages."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.events import TrackedPosition, TrackedPositionsSeen
from guard.forecasts import Direction
from guard.leverage.tracked import TrackedPositions, TrackedSettings, TrackedSide
from guard.units import NS_PER_S, MarketId

MARKET = MarketId("hyperliquid:ETH/USDC:USDC")
DOWN, UP = Direction.DOWN, Direction.UP


def position(account: str, size: float, liquidation_price: float | None) -> TrackedPosition:
    return TrackedPosition(account=account, size=size, entry_price=1.0, liquidation_price=liquidation_price)


def seen(seconds: float, accounts: str, *positions: TrackedPosition) -> TrackedPositionsSeen:
    """``accounts`` are letters, one each."""
    return TrackedPositionsSeen(
        received_at=int(seconds * NS_PER_S),
        market=MARKET,
        accounts=tuple(accounts),
        positions=positions,
        asked_accounts=3,
        is_complete=True,
    )


def side(
    tracked: TrackedPositions,
    direction: Direction,
    mark: float = 100.0,
    seconds: float = 0.0,
    open_interest: float | None = 100.0,
) -> TrackedSide | None:
    return tracked.side(direction, mark, int(seconds * NS_PER_S), open_interest, bin_log=0.001, bins=700)


def tracked_of(*events: TrackedPositionsSeen, **changed: float) -> TrackedPositions:
    tracked = TrackedPositions(MARKET, TrackedSettings(**changed))
    for event in events:
        tracked.take(event)
    return tracked


def test_each_side_is_its_own_and_coverage_is_of_open_interest() -> None:
    tracked = tracked_of(
        seen(0, "abc", position("a", 2.0, 90.0), position("b", -3.0, 110.0), position("c", 5.0, None))
    )
    longs, shorts = side(tracked, DOWN), side(tracked, UP)
    assert longs is not None
    assert shorts is not None
    assert longs.usd[int(math.log(100.0 / 90.0) / 0.001)] == pytest.approx(200.0)
    assert longs.usd.sum() == pytest.approx(200.0)
    assert longs.held_usd == pytest.approx(700.0)
    assert longs.coverage == pytest.approx(0.07)
    assert longs.accounts == 2
    assert shorts.usd[int(math.log(1.1) / 0.001)] == pytest.approx(300.0) == shorts.usd.sum()
    assert shorts.coverage == pytest.approx(0.03)


def test_accounts_are_replaced_one_by_one() -> None:
    tracked = tracked_of(
        seen(0, "ab", position("a", 1.0, 90.0), position("b", 2.0, 90.0)),
        seen(1, "b"),
        seen(2, "c", position("c", 4.0, 95.0)),
    )
    longs = side(tracked, DOWN, seconds=2)
    assert longs is not None
    assert longs.held_usd == pytest.approx(500.0)
    assert (longs.accounts, longs.oldest_s) == (2, 2.0)
    tracked.take(seen(3, "ac"))
    assert side(tracked, DOWN, seconds=3) is None
    assert tracked.accounts == 0


def test_what_is_old_counts_less_and_then_nothing() -> None:
    tracked = tracked_of(seen(0, "a", position("a", 1.0, 90.0)), fresh_s=10, half_life_s=100, age_s_max=500)
    held = [
        found.held_usd if (found := side(tracked, DOWN, seconds=at)) is not None else 0.0
        for at in (0, 10, 110, 210, 499, 500)
    ]
    assert held == pytest.approx([100.0, 100.0, 50.0, 25.0, 100.0 * 0.5**4.89, 0.0])


def test_who_the_mark_has_passed_counts_no_more_until_asked_again() -> None:
    tracked = tracked_of(seen(0, "ab", position("a", 1.0, 90.0), position("b", -1.0, 110.0)))
    tracked.sweep(91.0, 109.0)
    assert side(tracked, DOWN) is not None
    tracked.sweep(89.0, 100.0)
    assert side(tracked, DOWN) is None
    assert side(tracked, UP) is not None, "nobody reached its price"
    tracked.take(seen(1, "b", position("b", -1.0, 110.0)))
    assert side(tracked, DOWN) is None, "another account's answer says nothing of it"
    tracked.take(seen(1, "a", position("a", 0.8, 85.0)))
    assert side(tracked, DOWN) is not None


def test_nothing_of_another_market_or_of_nobody_asked_is_taken() -> None:
    tracked = tracked_of(seen(0, "a", position("b", 1.0, 90.0)))
    assert tracked.accounts == 0
    elsewhere = TrackedPositionsSeen(
        received_at=0,
        market=MarketId("hyperliquid:BTC/USDC:USDC"),
        accounts=("a",),
        positions=(position("a", 1.0, 90.0),),
        asked_accounts=1,
    )
    tracked.take(elsewhere)
    assert tracked.accounts == 0


def test_unknown_open_interest_is_no_coverage() -> None:
    tracked = tracked_of(seen(0, "a", position("a", 1.0, 90.0)))
    found = side(tracked, DOWN, open_interest=None)
    assert found is not None
    assert found.coverage is None
    assert side(tracked, DOWN, mark=math.nan) is None


_numbers = st.floats(allow_nan=True, allow_infinity=True)


@given(
    st.lists(st.tuples(_numbers, st.none() | _numbers), max_size=6),
    st.floats(1e-3, 1e6),
    st.floats(0.0, 1e5),
)
def test_odd_numbers_never_make_nan_or_more_than_is_held(
    told: list[tuple[float, float | None]], mark: float, seconds: float
) -> None:
    accounts = "abcdef"[: len(told)]
    positions = [position(name, size, price) for name, (size, price) in zip(accounts, told, strict=True)]
    tracked = tracked_of(seen(0, accounts, *positions))
    tracked.sweep(mark * 0.99, mark * 1.01)
    for direction in Direction:
        found = side(tracked, direction, mark, seconds)
        if found is not None:
            assert np.isfinite(found.usd).all() or math.isinf(found.held_usd)
            assert (found.usd >= 0.0).all()
            assert found.usd.sum() <= found.held_usd * (1.0 + 1e-9)
            assert found.coverage is not None
            assert 0.0 <= found.coverage <= 1.0
