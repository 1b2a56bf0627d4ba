"""The one solver against venues' closed forms, and what must hold of any position."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from guard.leverage.liquidation_price import (
    NEVER_LIQUIDATED_LONG,
    liquidation_distance_bps,
    liquidation_price,
    margin_missing_usd,
    size_max,
)
from guard.leverage.tiers import maintenance, margin_tiers, tier_at
from guard.margin_terms import MarginTier

BTC = margin_tiers(
    [
        (0.0, 0.004, 125.0),
        (300_000.0, 0.005, 100.0),
        (800_000.0, 0.0065, 75.0),
        (3_000_000.0, 0.01, 50.0),
        (12_000_000.0, 0.02, 25.0),
        (70_000_000.0, 0.025, 20.0),
        (100_000_000.0, 0.05, 10.0),
    ]
)
"""Shaped like Binance's tiers of BTCUSDT."""

SIDE = st.sampled_from([1.0, -1.0])
SIZE = st.floats(0.001, 3_000.0)
PRICE = st.floats(100.0, 100_000.0)
LEVERAGE = st.floats(1.01, 100.0)
FEE = st.sampled_from([0.0, 0.0005])


def excess(
    size: float, entry: float, margin: float, tiers: tuple[MarginTier, ...], fee: float, price: float
) -> float:
    """F(p): what is left over maintenance and closing fee."""
    notional = abs(size) * price
    return margin + size * (price - entry) - maintenance(tiers, notional) - fee * notional


@given(SIDE, SIZE, PRICE, LEVERAGE, FEE)
def test_at_the_result_nothing_is_left_over(
    side: float, size: float, entry: float, leverage: float, fee: float
) -> None:
    margin = size * entry / leverage
    price = liquidation_price(
        side_size_signed=side * size, entry_price=entry, margin_usd=margin, tiers=BTC, taker_fee=fee
    )
    assert price is not None
    if price > 0.0:
        assert excess(side * size, entry, margin, BTC, fee, price) == pytest.approx(
            0.0, abs=1e-9 * size * entry
        )
    else:
        assert side > 0.0
        assert margin >= size * entry * (1 - 1e-12)
    worse = price * (1.0 - side * 0.001)
    if price > 0.0:
        assert excess(side * size, entry, margin, BTC, fee, worse) < 0.0, (
            "farther against it, it is under water"
        )


@given(SIDE, SIZE, PRICE, LEVERAGE, st.floats(0.01, 0.99))
def test_cutting_at_mark_always_moves_the_liquidation_price_away(
    side: float, size: float, mark: float, leverage: float, share: float
) -> None:
    """Cross: the equity at mark stays, the size shrinks."""
    equity = size * mark / leverage

    def at(kept: float) -> float:
        price = liquidation_price(
            side_size_signed=side * kept, entry_price=mark, margin_usd=equity, tiers=BTC, taker_fee=0.0005
        )
        assert price is not None
        return liquidation_distance_bps(
            side_size_signed=side * kept, mark_price=mark, liquidation_price=price
        )

    assume(at(size) > 0.0)
    assert at(size * share) >= at(size) - 1e-6


@given(SIDE, SIZE, PRICE, LEVERAGE, st.floats(0.001, 1.0))
def test_more_margin_always_moves_it_away(
    side: float, size: float, entry: float, leverage: float, more: float
) -> None:
    margin = size * entry / leverage

    def solve(margin_usd: float) -> float:
        price = liquidation_price(
            side_size_signed=side * size, entry_price=entry, margin_usd=margin_usd, tiers=BTC
        )
        assert price is not None
        return price

    assert side * solve(margin * (1.0 + more)) <= side * solve(margin) + 1e-9


@pytest.mark.parametrize(
    ("side", "expected"), [(1.0, (5_000.0 + 16_300.0 - 50 * 100_000.0) / (50 * (0.01 - 1.0))), (-1.0, None)]
)
def test_binance_form(side: float, expected: float | None) -> None:
    """LP = (W + c - s*q*e) / (q*(r - s)), here 50 BTC at 100,000 in the tier of 1 %."""
    r, c, q, e, w = 0.01, 16_300.0, 50.0, 100_000.0, 5_000.0
    form = (w + c - side * q * e) / (q * (r - side))
    solved = liquidation_price(
        side_size_signed=side * q, entry_price=e, margin_usd=w, maintenance_ratio=r, maintenance_amount=c
    )
    assert solved == pytest.approx(form)
    if expected is not None:
        assert solved == pytest.approx(expected)


def test_the_tier_of_the_result_counts_not_the_tier_of_the_entry() -> None:
    """3,100 k at entry is in the 1 % tier; at its liquidation price the position is in that of 0.65 %."""
    size, entry = 31.0, 100_000.0
    margin = size * entry / 20.0
    price = liquidation_price(side_size_signed=size, entry_price=entry, margin_usd=margin, tiers=BTC)
    assert price is not None
    tier = tier_at(BTC, size * price)
    assert tier.maintenance_ratio == 0.0065
    form = (margin + tier.deduction - size * entry) / (size * (tier.maintenance_ratio - 1.0))
    assert price == pytest.approx(form)


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_okx_isolated_form(side: float) -> None:
    """Long (q*e - W)/(q*(1 - r - f)), short (q*e + W)/(q*(1 + r + f))."""
    q, e, w, r, f = 3.0, 2_000.0, 300.0, 0.01, 0.0005
    form = (q * e - side * w) / (q * (1.0 - side * (r + f)))
    solved = liquidation_price(
        side_size_signed=side * q, entry_price=e, margin_usd=w, maintenance_ratio=r, taker_fee=f
    )
    assert solved == pytest.approx(form)


def test_a_long_that_its_margin_carries_to_zero_is_not_unknown() -> None:
    solved = liquidation_price(
        side_size_signed=1.0, entry_price=100.0, margin_usd=100.0, maintenance_ratio=0.01
    )
    assert solved == NEVER_LIQUIDATED_LONG == 0.0


def test_a_short_always_has_a_price() -> None:
    solved = liquidation_price(
        side_size_signed=-1.0, entry_price=100.0, margin_usd=1e6, maintenance_ratio=0.01
    )
    assert solved is not None
    assert solved > 9e5


@pytest.mark.parametrize(
    "wrong",
    [
        {"side_size_signed": 0.0},
        {"entry_price": 0.0},
        {"entry_price": math.nan},
        {"margin_usd": math.inf},
        {"maintenance_ratio": None},
        {"maintenance_ratio": -0.1},
        {"maintenance_ratio": 1.0},
        {"taker_fee": -0.1},
        {"maintenance_ratio": 0.9, "taker_fee": 0.2},
    ],
)
def test_what_makes_no_sense_is_not_known(wrong: dict[str, float | None]) -> None:
    good: dict[str, float | None] = {
        "side_size_signed": 1.0, "entry_price": 100.0, "margin_usd": 10.0, "maintenance_ratio": 0.01
    }  # fmt: skip
    assert liquidation_price(**{**good, **wrong}) is None  # type: ignore[arg-type]


@given(SIDE, SIZE, PRICE, LEVERAGE, st.floats(10.0, 5_000.0), st.floats(0.0, 50.0), FEE)
def test_the_largest_size_is_safe_and_the_largest(
    side: float, size: float, mark: float, leverage: float, distance_bps: float, impact: float, fee: float
) -> None:
    equity = size * mark / leverage

    def exit_cost_usd(cut: float) -> float:
        """Convex: ``impact`` bps for the first, and as much again for the whole position."""
        return cut * mark * impact * (1.0 + cut / size) / 1e4

    found = size_max(
        side_size_signed=side * size, mark_price=mark, equity_usd=equity, distance_bps=distance_bps, tiers=BTC,
        taker_fee=fee, exit_cost_usd=exit_cost_usd,
    )  # fmt: skip
    assert found is not None

    def distance(kept: float) -> float:
        cut = max(size - kept, 0.0)
        left = equity - exit_cost_usd(cut) - fee * cut * mark
        price = liquidation_price(
            side_size_signed=side * kept, entry_price=mark, margin_usd=left, tiers=BTC, taker_fee=fee
        )
        assert price is not None
        return liquidation_distance_bps(
            side_size_signed=side * kept, mark_price=mark, liquidation_price=price
        )

    if found > 1e-9 * size:
        assert distance(found * (1 - 1e-9)) >= distance_bps * (1 - 1e-6) - 1e-6
    for more in (1.01, 1.5):
        assert distance(max(found, 1e-6 * size) * more) < distance_bps * (1 + 1e-6) + 1e-6


@given(SIDE, SIZE, PRICE, st.floats(0.1, 100.0), st.floats(10.0, 5_000.0))
def test_the_closed_form_without_cost(
    side: float, size: float, mark: float, leverage: float, distance_bps: float
) -> None:
    equity, r = size * mark / leverage, 0.01
    limit = mark * (1.0 - side * distance_bps / 1e4)
    form = equity / (side * (mark - limit) + r * limit)
    found = size_max(
        side_size_signed=side * size,
        mark_price=mark,
        equity_usd=equity,
        distance_bps=distance_bps,
        maintenance_ratio=r,
    )
    assert found == pytest.approx(form)


@given(SIDE, SIZE, PRICE, LEVERAGE, st.floats(10.0, 5_000.0))
def test_the_missing_margin_is_what_makes_the_whole_size_safe(
    side: float, size: float, mark: float, leverage: float, distance_bps: float
) -> None:
    equity = size * mark / leverage
    missing = margin_missing_usd(
        side_size_signed=side * size, mark_price=mark, equity_usd=equity, distance_bps=distance_bps, tiers=BTC
    )
    assert missing is not None
    found = size_max(
        side_size_signed=side * size, mark_price=mark, equity_usd=(equity + missing) * (1 + 1e-9),
        distance_bps=distance_bps, tiers=BTC,
    )  # fmt: skip
    assert found is not None
    assert found >= size * (1 - 1e-6)


def test_in_a_book_that_costs_more_than_it_saves_no_size_is_safe() -> None:
    found = size_max(
        side_size_signed=10.0, mark_price=100.0, equity_usd=50.0, distance_bps=1_000.0, maintenance_ratio=0.01,
        exit_cost_usd=lambda cut: 50.0 * cut,
    )  # fmt: skip
    assert found == 0.0


def test_under_water_no_size_is_safe() -> None:
    assert (
        size_max(
            side_size_signed=-1.0,
            mark_price=100.0,
            equity_usd=-5.0,
            distance_bps=100.0,
            maintenance_ratio=0.01,
        )
        == 0.0
    )


def test_tiers_must_fit_together() -> None:
    for rows in (
        [],
        [(5.0, 0.01, 10.0)],
        [(0.0, 0.01, 10.0), (0.0, 0.02, 5.0)],
        [(0.0, 0.02, 10.0), (5.0, 0.01, 5.0)],
        [(0.0, 0.02, 10.0), (5.0, 1.5, 5.0)],
    ):
        with pytest.raises(ValueError, match="tier"):
            margin_tiers(rows)
