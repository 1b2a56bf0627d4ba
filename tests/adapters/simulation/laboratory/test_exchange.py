"""The laboratory's exchange: nothing is lost or made, to the millionth of a USD, whatever is traded."""

from __future__ import annotations

from decimal import Decimal
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.simulation.laboratory import exchange as compiled
from adapters.simulation.laboratory.grid import Grid
from adapters.simulation.laboratory.owners import ACCOUNTS, CROWD, ENGINE, MAKERS
from adapters.simulation.laboratory.parameters import SymbolParameters
from tests.support.uncompiled import is_compiled, uncompiled

LABORATORY = "adapters.simulation.laboratory"
*_, SOURCE = uncompiled(f"{LABORATORY}.bits", f"{LABORATORY}.book", f"{LABORATORY}.exchange")
EXCHANGES = [
    pytest.param(
        compiled.Exchange, id="compiled" if is_compiled(compiled) else "source, for want of a compiler"
    ),
    pytest.param(SOURCE.Exchange, id="source"),
]
GRID = Grid(
    SymbolParameters(
        symbol="ETHUSDT",
        tick=Decimal("0.1"),
        lot=Decimal("0.001"),
        price_start=100.0,
        depth_usd=1e6,
        half_spread_bps=1.0,
        open_interest_usd=1e7,
        volume_day_usd=1e8,
        beta=1.0,
        volatility_day=0.03,
        brackets=(),
    )
)
OWNERS = ACCOUNTS + 4
ACTIONS = st.tuples(
    st.integers(0, 4),
    st.integers(0, OWNERS - 1),
    st.integers(0, OWNERS - 1),
    st.sampled_from((1, -1)),
    st.integers(900, 1_100),
    st.integers(0, 5_000),
)
Action = tuple[int, int, int, int, int, int]


def act(exchange: Any, action: Action) -> Any:
    kind, owner, other, side, tick, lots = action
    match kind:
        case 0:
            return exchange.place(owner, side, tick, lots)
        case 1:
            return exchange.take(owner, side, lots)
        case 2:
            return exchange.hand_over(owner, other, lots, lots * tick * 7)
        case 3:
            return exchange.transfer(owner, other, side * lots)
        case _:
            return exchange.fund(tick, side * lots * 37)


def sums(exchange: Any) -> tuple[int, int]:
    owners = range(exchange.owners_count)
    cash = sum(exchange.cash_of(owner) for owner in owners)
    return sum(
        exchange.lots_of(owner) for owner in owners
    ), cash + exchange.fees_micros + exchange.funding_micros


@pytest.mark.parametrize("exchange_class", EXCHANGES)
@settings(max_examples=120, deadline=None)
@given(
    actions=st.lists(ACTIONS, max_size=80), maker_fee=st.integers(-300, 300), taker_fee=st.integers(0, 900)
)
def test_lots_and_money_are_conserved(
    exchange_class: Any, actions: list[Action], maker_fee: int, taker_fee: int
) -> None:
    exchange = exchange_class(GRID, maker_fee, taker_fee)
    for action in actions:
        act(exchange, action)
        assert sums(exchange) == (0, 0)
        assert exchange.book.best_bid < exchange.book.best_ask
        assert exchange.longs_of_others() - exchange.shorts_of_others() == -exchange.lots_of(CROWD)
    exchange.pay_funding(CROWD, 1_234_567)
    assert sums(exchange) == (0, 0)


def random_actions(seed: int, count: int) -> list[Action]:
    random = Random(seed)
    return [
        (
            random.choice((0, 0, 0, 1, 1, 2, 3, 4)),
            random.randrange(OWNERS),
            random.randrange(OWNERS),
            random.choice((1, -1)),
            random.randrange(900, 1_100),
            random.randrange(1, 5_000),
        )
        for _ in range(count)
    ]


def everything(exchange: Any) -> tuple[Any, ...]:
    owners = range(exchange.owners_count)
    return (
        [
            (exchange.lots_of(owner), exchange.cash_of(owner), exchange.equity_of(owner, 1_000))
            for owner in owners
        ],
        (exchange.fees_micros, exchange.funding_micros, exchange.volume_lots, exchange.trades_lost),
        (exchange.longs_of_others(), exchange.shorts_of_others(), exchange.open_lots(5)),
        exchange.take_volume(),
        [tuple(trade) for trade in exchange.take_trades()],
        [tuple(fill) for fill in exchange.take_account_fills()],
    )


@pytest.mark.skipif(
    not is_compiled(compiled), reason="nothing is compiled here, so there is nothing to compare"
)
@pytest.mark.parametrize("seed", range(2))
def test_it_is_the_same_compiled_and_not(seed: int) -> None:
    ours, source = compiled.Exchange(GRID), SOURCE.Exchange(GRID)
    for number, action in enumerate(random_actions(seed, 4_000)):
        ours.now_ms = source.now_ms = number * 100
        assert act(ours, action) == act(source, action)
        assert (ours.filled_lots, ours.filled_micros, ours.filled_fee_micros) == (
            source.filled_lots,
            source.filled_micros,
            source.filled_fee_micros,
        )
        if number % 1_000 == 999:
            assert everything(ours) == everything(source)


@pytest.mark.parametrize("exchange_class", EXCHANGES)
def test_a_trade_is_cleared_with_its_fees(exchange_class: Any) -> None:
    """By hand: 3 lots of 0.001 at 100.0 USD and 2 at 100.1 are 0.5002 USD; 0.02 % and 0.05 % of each fill."""
    exchange = exchange_class(GRID)
    exchange.place(MAKERS, -1, 1_000, 3)
    exchange.place(MAKERS + 1, -1, 1_001, 9)
    assert exchange.take(CROWD, 1, 5) == 5
    assert (exchange.filled_lots, exchange.filled_micros) == (5, 500_200)
    assert exchange.filled_fee_micros == 150 + 100
    assert [exchange.lots_of(owner) for owner in (CROWD, MAKERS, MAKERS + 1)] == [5, -3, -2]
    assert exchange.cash_of(CROWD) == -500_200 - 250
    assert exchange.cash_of(MAKERS) == 300_000 - 60
    assert exchange.cash_of(MAKERS + 1) == 200_200 - 40
    assert exchange.equity_of(CROWD, 1_010) == 5 * 1_010 * 100 - 500_450
    assert exchange.fees_micros == 350
    assert exchange.take_volume() == (5, 0, 500_200, 0)
    assert exchange.take_volume() == (0, 0, 0, 0)


@pytest.mark.parametrize("exchange_class", EXCHANGES)
def test_longs_pay_shorts_at_a_rate_above_nothing(exchange_class: Any) -> None:
    """0.01 % of 0.01 base units at 100 USD is 100 micros; the crowd is left to who knows its positions."""
    exchange = exchange_class(GRID)
    exchange.hand_over(CROWD, ENGINE, 10, 0)
    exchange.hand_over(MAKERS, CROWD, 3, 0)
    assert exchange.fund(1_000, 100_000) == -100 + 30
    assert [exchange.cash_of(owner) for owner in (ENGINE, MAKERS, CROWD)] == [-100, 30, 0]
    assert exchange.funding_micros == 70
    exchange.pay_funding(CROWD, 70)
    assert exchange.funding_micros == 0
    assert exchange.fund(1_000, -100_000) == 70


@pytest.mark.parametrize("module", [pytest.param(compiled, id="compiled"), pytest.param(SOURCE, id="source")])
def test_amounts_of_billions_fit(module: Any) -> None:
    """Ten billion USD at 2 % funding and 0.05 % fees: exact, where a plain product would need more than 64 bits."""
    micros = 10**10 * 10**6
    assert module.fee_micros(micros, 500) == micros * 500 // 10**6
    assert module.fee_micros(micros + 7_777, -500) == -((micros + 7_777) * 500 // 10**6)
    assert module.funding_micros(10**7, 10**9, 20_000_000) == 10**16 * 20_000_000 // 10**9
    assert module.funding_micros(-(10**7), 10**9, 20_000_000) == -(10**16 * 20_000_000 // 10**9)
    assert module.funding_micros(-3, 10**9, -20_000_000) == 60_000_000


@pytest.mark.parametrize("exchange_class", EXCHANGES)
def test_fills_of_accounts_are_told_once(exchange_class: Any) -> None:
    exchange = exchange_class(GRID)
    exchange.now_ms = 700
    resting = exchange.place(ACCOUNTS + 1, -1, 1_000, 3)
    exchange.take(MAKERS, 1, 2)
    exchange.place(MAKERS, 1, 900, 5)
    exchange.take(ACCOUNTS + 2, -1, 5)
    assert [tuple(fill) for fill in exchange.take_account_fills()] == [
        (700, ACCOUNTS + 1, resting, -1, 1_000, 2, True, 40),
        (700, ACCOUNTS + 2, -1, -1, 900, 5, False, 225),
    ]
    assert exchange.take_account_fills() == []
    assert exchange.owners_count == ACCOUNTS + 3


@pytest.mark.parametrize("exchange_class", EXCHANGES)
def test_of_many_trades_the_latest_are_kept(exchange_class: Any) -> None:
    exchange = exchange_class(GRID)
    for number in range(compiled.TRADES_KEPT + 5):
        exchange.now_ms = number
        exchange.place(MAKERS, -1, 1_000, 1)
        exchange.take(CROWD, 1, 1)
    trades = exchange.take_trades()
    assert [trades[0].now_ms, trades[-1].now_ms] == [5, compiled.TRADES_KEPT + 4]
    assert (len(trades), exchange.trades_lost) == (compiled.TRADES_KEPT, 5)
    assert exchange.take_trades() == []


@pytest.mark.parametrize("exchange_class", EXCHANGES)
def test_nobody_has_a_number_below_nothing(exchange_class: Any) -> None:
    exchange = exchange_class(GRID)
    with pytest.raises(ValueError, match="no owner has the number -1"):
        exchange.place(-1, 1, 1_000, 1)
    assert (exchange.lots_of(-1), exchange.cash_of(10_000)) == (0, 0)
