"""The second opinion is one: it knows nothing of the guard, agrees with arithmetic by hand, and with our solver."""

from __future__ import annotations

import ast
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from guard.leverage.margin_pool import Holding, Leg, LiquidationKind, MarginPool
from guard.leverage.solver import liquidation_of
from guard.margin_terms import ContractKind, MarginTier
from guard.units import MarketId
from tests.guard.liquidation import independent
from tests.guard.liquidation.independent import Account, Coins, Contract

ONE = MarketId("one")


def test_second_opinion_on_liquidation_imports_nothing_of_the_guard() -> None:
    """Only the standard library, so that no mistake of ours is in it."""
    tree = ast.parse(Path(independent.__file__).read_text())
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert imported == {"__future__", "dataclasses", "fractions"}


@pytest.mark.parametrize(
    ("size", "inverse", "margin", "expected"),
    [
        # 10 + (p - 100) = 0.01 p
        (1, False, 10, (Fraction(90 * 100, 99), None)),
        # 10 - (p - 100) = 0.01 p
        (-1, False, 10, (None, Fraction(110 * 100, 101))),
        # 100 USD: 0.1 + (1 - 100 / p) = 0.01 x 100 / p coins
        (100, True, Fraction(1, 10), (Fraction(101 * 10, 11), None)),
        # 0.1 - (1 - 100 / p) = 0.01 x 100 / p coins
        (-100, True, Fraction(1, 10), (None, Fraction(99 * 10, 9))),
    ],
)
def test_second_opinion_on_liquidation_agrees_with_arithmetic_by_hand(
    size: int, inverse: bool, margin: Fraction, expected: tuple[Fraction | None, Fraction | None]
) -> None:
    """Four accounts of which each equation is solved in one line."""
    contract = Contract(
        market="one",
        size=Fraction(size),
        entry=Fraction(100),
        mark=Fraction(100),
        brackets=((Fraction(0), Fraction(1, 100), Fraction(0)),),
        inverse=inverse,
    )
    coins = Coins(
        quantity=Fraction(margin), price=Fraction(100 if inverse else 1), follows="one" if inverse else None
    )
    found = independent.first_failure(Account(contracts=(contract,), coins=(coins,)), "one")
    for price, by_hand in zip(found, expected, strict=True):
        assert (price is None) == (by_hand is None)
        if price is not None and by_hand is not None:
            assert abs(price / by_hand - 1) < Fraction(1, 10**12)


def test_second_opinion_on_liquidation_says_when_an_account_has_failed() -> None:
    """It looks for no price where there is none to look for."""
    contract = Contract(
        market="one",
        size=Fraction(1),
        entry=Fraction(100),
        mark=Fraction(50),
        brackets=((Fraction(0), Fraction(1, 100), Fraction(0)),),
    )
    account = Account(contracts=(contract,), coins=(Coins(quantity=Fraction(10), price=Fraction(1)),))
    with pytest.raises(ValueError, match="fails where it stands"):
        independent.first_failure(account, "one")


@st.composite
def tiers(draw: st.DrawFn) -> tuple[MarginTier, ...]:
    """Tables as venues make them: rates rise, deductions keep the margin continuous."""
    floors = [0.0, *sorted(draw(st.sets(st.integers(1, 400), max_size=4)))]
    rates = sorted(
        draw(st.lists(st.integers(1, 60), min_size=len(floors), max_size=len(floors), unique=True))
    )
    made: list[MarginTier] = []
    for floor, rate in zip(floors, rates, strict=True):
        ratio = rate / 128
        before = made[-1] if made else None
        deduction = 0.0 if before is None else before.deduction + floor * (ratio - before.maintenance_ratio)
        made.append(MarginTier(floor=float(floor), maintenance_ratio=ratio, deduction=deduction))
    return tuple(made)


@st.composite
def pools(draw: st.DrawFn) -> MarginPool:
    """Up to three positions, two of them perhaps in one market, and collateral that may move with it."""
    kind = draw(st.sampled_from(ContractKind))
    at_entry, fee = draw(st.booleans()), draw(st.sampled_from((0.0, 0.0005, 0.002)))
    mark = draw(st.integers(50, 200)) / 4
    legs = tuple(
        Leg(
            market=market,
            size=draw(st.integers(-64, 64).filter(bool))
            / 8
            * (mark if kind is ContractKind.INVERSE else 1.0),
            entry_price=draw(st.integers(50, 200)) / 4,
            mark_price=mark,
            tiers=draw(tiers()),
            kind=kind,
            closing_fee=fee,
            maintenance_at_entry=at_entry,
        )
        for market in (*draw(st.lists(st.sampled_from((ONE, MarketId("two"))), max_size=2)), ONE)
    )
    holdings = (
        Holding(asset="USDT", quantity=draw(st.integers(-100, 800)) / 2, price_usd=1.0),
        Holding(
            asset="ONE",
            quantity=draw(st.integers(-4, 40)) / 8,
            price_usd=mark,
            haircut=draw(st.sampled_from((0.0, 0.05, 0.5))),
            market=ONE,
        ),
    )
    return MarginPool(legs=legs, holdings=holdings, other_maintenance_usd=float(draw(st.integers(0, 20))))


def account_of(pool: MarginPool) -> Account:
    return Account(
        contracts=tuple(
            Contract(
                market=leg.market,
                size=Fraction(leg.size),
                entry=Fraction(leg.entry_price),
                mark=Fraction(leg.mark_price),
                brackets=tuple(
                    (Fraction(tier.floor), Fraction(tier.maintenance_ratio), Fraction(tier.deduction))
                    for tier in leg.tiers
                ),
                inverse=leg.kind is ContractKind.INVERSE,
                fee=Fraction(leg.closing_fee),
                at_entry=leg.maintenance_at_entry,
            )
            for leg in pool.legs
        ),
        coins=tuple(
            Coins(
                quantity=Fraction(held.quantity),
                price=Fraction(held.price_usd),
                counts=1 - Fraction(held.haircut),
                follows=held.market,
            )
            for held in pool.holdings
        ),
        owed_besides=Fraction(pool.other_maintenance_usd),
        in_coin=pool.in_coin,
    )


@st.composite
def coin_pools(draw: st.DrawFn) -> MarginPool:
    """A perpetual and up to two other contracts on its coin, each at its own mark, and that coin behind them."""
    marks = {ONE: 25.0, MarketId("two"): 25.5, MarketId("three"): 24.0}
    table = draw(tiers())
    legs = tuple(
        Leg(
            market=market,
            size=draw(st.integers(-64, 64).filter(bool)) * 4.0,
            entry_price=draw(st.integers(60, 150)) / 4,
            mark_price=marks[market],
            tiers=table,
            kind=ContractKind.INVERSE,
        )
        for market in (*draw(st.lists(st.sampled_from(tuple(marks)), max_size=2)), ONE)
    )
    coins = Holding(asset="ONE", quantity=draw(st.integers(0, 160)) / 8, price_usd=25.0, market=ONE)
    return MarginPool(legs=legs, holdings=(coins,), in_coin=True)


@settings(max_examples=60, deadline=None)
@given(pools() | coin_pools())
def test_our_liquidation_prices_are_those_of_the_second_opinion(pool: MarginPool) -> None:
    """On both sides of the mark, over tiers, sides, kinds, hedges, fees, collateral that moves along, and coins."""
    account = account_of(pool)
    mark = Fraction(pool.legs[-1].mark_price)
    left = independent.left_over(account, ONE, mark)
    assume(abs(left) > Fraction(1, 1000))
    found = liquidation_of(pool, ONE)
    if left < 0:
        assert found.kind is LiquidationKind.FAILED
        return
    for ours, theirs in zip((found.below, found.above), independent.first_failure(account, ONE), strict=True):
        if theirs is not None:
            assert ours is not None
            assert abs(Fraction(ours) / theirs - 1) < Fraction(1, 10**9)
        elif ours is not None:
            # Farther away than the second opinion looks.
            assert not independent.LOWEST < Fraction(ours) / mark < independent.HIGHEST
