"""Liquidation prices in brackets, held against the guard's own solver."""

from __future__ import annotations

import numpy as np
import pytest

from adapters.simulation.laboratory.margin_brackets import Brackets
from adapters.simulation.laboratory.parameters import MarginBracket
from guard.leverage.liquidation_price import liquidation_price
from guard.leverage.tiers import margin_tiers
from tests.support.crowds import BRACKETS

MICROS = 1_000
TIERS = margin_tiers([(each.floor_usd, each.maintenance_ratio, each.leverage_max) for each in BRACKETS])


def test_a_long_and_a_short_in_the_first_bracket_as_by_hand() -> None:
    # 100 lots of 10 USD at 10,000 ticks with 10 %: (1000 - 100) / (1 - 0.01) and (1000 + 100) / (1 + 0.01).
    brackets = Brackets(BRACKETS, MICROS)
    notional, margin = 100 * 10_000 * MICROS, 100 * 1_000 * MICROS
    assert brackets.liquidation_price(100, notional, margin) == pytest.approx(9_000 / 0.99)
    assert brackets.liquidation_price(-100, -notional, margin) == pytest.approx(11_000 / 1.01)
    assert brackets.liquidation_tick(100, notional, margin) == 9_090  # the first whole tick below
    assert brackets.liquidation_tick(-100, -notional, margin) == 10_892  # and above


def test_no_fall_liquidates_what_is_paid_in_full() -> None:
    brackets = Brackets(BRACKETS, MICROS)
    assert brackets.liquidation_tick(100, 100 * 10_000 * MICROS, 100 * 10_000 * MICROS) == 0


def test_a_thousand_random_positions_as_the_solver_of_the_guard() -> None:
    brackets = Brackets(BRACKETS, MICROS)
    rng = np.random.default_rng(6)
    others = 0
    for _ in range(1_000):
        side = int(rng.choice([-1, 1]))
        entry = int(rng.integers(2_000, 30_000))
        lots = int(np.exp(rng.uniform(0.0, np.log(3e6 / (entry * MICROS / 1e6)))))
        notional = lots * entry * MICROS
        margin = int(notional / brackets.leverage_max(notional) * (1.0 + rng.exponential(1.0)))
        expected = liquidation_price(
            side_size_signed=side * lots, entry_price=entry, margin_usd=margin / MICROS, tiers=micro_tiers()
        )
        assert expected is not None
        assert brackets.liquidation_price(side * lots, side * notional, margin) == pytest.approx(
            expected, abs=1e-6 * entry
        ) or (expected == 0.0 and brackets.liquidation_price(side * lots, side * notional, margin) <= 0.0)
        bracket_there = brackets.bracket_at(lots * expected * MICROS)
        others += bracket_there != brackets.bracket_at(notional)
        tick = brackets.liquidation_tick(side * lots, side * notional, margin)
        assert abs(tick - expected) <= 1.0
    assert others > 25  # many are liquidated in another bracket than the one of their entry


def micro_tiers() -> tuple:  # type: ignore[type-arg] # the solver's table, in ticks times lots instead of USD
    return margin_tiers(
        [(tier.floor * 1e6 / MICROS, tier.maintenance_ratio, tier.leverage_max) for tier in TIERS]
    )


def test_at_its_liquidation_price_equity_is_maintenance_margin() -> None:
    brackets = Brackets(BRACKETS, MICROS)
    for lots in (100, 20_000, 60_000, -100, -20_000, -60_000):
        cost = lots * 10_000 * MICROS
        margin = int(abs(cost) * 0.21)
        price = brackets.liquidation_price(lots, cost, margin)
        equity = margin + lots * price * MICROS - cost
        assert equity == pytest.approx(brackets.maintenance(abs(lots) * price * MICROS), rel=1e-9)


def test_brackets_that_do_not_follow_are_refused() -> None:
    with pytest.raises(ValueError, match="floor of 0"):
        Brackets((MarginBracket(floor_usd=5.0, maintenance_ratio=0.01, leverage_max=50.0),), MICROS)
