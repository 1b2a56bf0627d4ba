"""The private stream and REST merge to one account, and what one of them lost comes to light."""

from __future__ import annotations

import pytest

from adapters.exchanges.account_state import AccountState
from adapters.exchanges.venue import (
    AccountReading,
    AccountTotals,
    AccountUpdate,
    AlgoKey,
    BalanceSeen,
    OrderGone,
    OrderSeen,
    PositionSeen,
)
from guard.units import AccountId

LONG = PositionSeen("BTCUSDT", "BOTH", 0.5, entry_price=60_000.0, mark_price=59_000.0, leverage=10.0,
                    liquidation_price=50_000.0, unrealised_usd=-500.0)  # fmt: skip
STOP = OrderSeen(AlgoKey("7"), "BTCUSDT", -0.5, buys=False, stop_price=55_000.0, reduce_only=True)


def a_state() -> AccountState:
    return AccountState(AccountId("binanceusdm:main"), symbol_of={"BTCUSDT": "BTC/USDT:USDT"}.__getitem__)


def reading(
    *positions: PositionSeen, wallet: float = 1_000.0, orders: tuple[OrderSeen, ...] | None = ()
) -> AccountReading:
    return AccountReading(AccountTotals({"USDT": wallet}, 25.0, 118.0), positions, orders)


def read(state: AccountState, told: AccountReading) -> bool:
    state.begin_reading()
    return state.apply_reading(told)


def test_equity_is_wallet_and_unrealised_profit() -> None:
    state = a_state()

    read(state, reading(LONG, orders=(STOP,)))

    snapshot = state.snapshot(1)
    assert (snapshot.wallet_usd, snapshot.equity_usd, snapshot.maintenance_usd) == (1_025.0, 525.0, 118.0)
    assert snapshot.orders is not None
    assert snapshot.orders[0].order_id == "7"
    assert state.suspects == {}


def test_orders_that_were_never_read_are_unknown_not_absent() -> None:
    state = a_state()

    read(state, reading(LONG, orders=None))

    assert state.snapshot(1).orders is None


def test_both_sides_of_a_hedge_are_positions_of_their_own() -> None:
    state = a_state()

    read(state, reading(
        PositionSeen("BTCUSDT", "LONG", 2.0, entry_price=1.0), PositionSeen("BTCUSDT", "SHORT", -0.5, entry_price=1.0)
    ))  # fmt: skip

    assert sorted(position.size for position in state.snapshot(1).positions) == [-0.5, 2.0]


def test_a_new_size_keeps_leverage_and_loses_the_liquidation_price() -> None:
    state = a_state()
    read(state, reading(LONG))

    state.apply_update(AccountUpdate(positions=(PositionSeen("BTCUSDT", "BOTH", 0.9, entry_price=60_000.0),)))

    (position,) = state.snapshot(1).positions
    assert (position.size, position.leverage, position.liquidation_price) == (0.9, 10.0, None)


def test_a_position_that_only_changed_its_profit_keeps_its_liquidation_price() -> None:
    state = a_state()
    read(state, reading(LONG))

    state.apply_update(
        AccountUpdate(
            positions=(PositionSeen("BTCUSDT", "BOTH", 0.5, entry_price=60_000.0, unrealised_usd=9.0),)
        )
    )

    (position,) = state.snapshot(1).positions
    assert position.liquidation_price == 50_000.0
    assert state.snapshot(1).equity_usd == 1_034.0


def test_a_closed_position_is_gone() -> None:
    state = a_state()
    read(state, reading(LONG))

    state.apply_update(AccountUpdate(positions=(PositionSeen("BTCUSDT", "BOTH", 0.0),)))

    assert state.snapshot(1).positions == ()


def test_what_the_stream_says_during_a_reading_is_newer_than_the_reading() -> None:
    state = a_state()
    read(state, reading(LONG, orders=(STOP,)))

    state.begin_reading()
    state.apply_update(
        AccountUpdate(
            balances=(BalanceSeen("USDT", 990.0),),
            positions=(PositionSeen("BTCUSDT", "BOTH", 0.2, entry_price=60_000.0),),
            order=OrderGone(STOP.key),
        )
    )
    overtaken = state.apply_reading(reading(LONG, orders=(STOP,)))

    assert overtaken
    snapshot = state.snapshot(1)
    assert snapshot.wallet_usd == 1_015.0
    assert [position.size for position in snapshot.positions] == [0.2]
    assert snapshot.orders == ()
    assert state.suspects == {}


def test_what_rest_knows_and_the_stream_did_not_say_is_taken_and_suspect() -> None:
    state = a_state()
    read(state, reading())

    read(state, reading(LONG, wallet=900.0, orders=(STOP,)))

    assert sorted(state.suspects.values()) == [
        "order 7 is known to REST alone",
        "position BTC/USDT:USDT: stream 0, REST 0.5",
        "wallet USDT: stream 1000.00, REST 900.00",
    ]
    assert state.snapshot(1).wallet_usd == 925.0
    assert len(state.snapshot(1).positions) == 1


def test_a_suspect_that_the_stream_explains_after_all_was_only_late() -> None:
    state = a_state()
    read(state, reading())
    read(state, reading(LONG, orders=(STOP,)))

    state.apply_update(AccountUpdate(positions=(LONG,), order=STOP))

    assert state.suspects == {}


def test_an_order_that_rests_no_more_at_the_venue_is_suspect() -> None:
    state = a_state()
    read(state, reading(orders=(STOP,)))

    read(state, reading(orders=()))

    assert list(state.suspects.values()) == ["order 7 is known to the stream alone"]
    assert state.snapshot(1).orders == ()


def test_a_rounding_of_the_wallet_is_no_difference() -> None:
    state = a_state()
    read(state, reading(wallet=1_000.0))

    read(state, reading(wallet=1_000.004))

    assert state.suspects == {}


@pytest.mark.parametrize(("position_side", "buys", "size"), [("BOTH", False, -0.5), ("LONG", False, 0.0)])
def test_a_stop_for_the_whole_position_is_as_large_as_it(position_side: str, buys: bool, size: float) -> None:
    state = a_state()
    stop = OrderSeen(
        "8", "BTCUSDT", 0.0, buys=buys, position_side=position_side, stop_price=1.0, whole_position=True
    )

    read(state, reading(LONG, orders=(stop,)))

    orders = state.snapshot(1).orders
    assert orders is not None
    assert orders[0].size == size
