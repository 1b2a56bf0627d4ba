"""What ccxt's unified structures say, in base units and USD, or that it is not certain."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.exchanges.generic.payloads import (
    Contract,
    contract_of,
    read_book,
    read_liquidation,
    read_mark,
    read_open_interest,
    read_orders,
    read_positions,
    read_totals,
    read_trade,
    read_turnovers,
)
from guard.errors import MalformedFrameError
from guard.events import CollateralHeld, LiquidationTold, MarginMode
from guard.margin_terms import ContractKind

LINEAR = Contract("BTC/USDT:USDT", 0.001, is_inverse=False, settle="USDT")
INVERSE = Contract("BTC/USD:BTC", 100.0, is_inverse=True, settle="BTC")
CONTRACTS = {LINEAR.symbol: LINEAR, INVERSE.symbol: INVERSE}


def test_a_contract_is_what_the_market_says_it_is() -> None:
    market: dict[str, Any] = {"symbol": "X", "linear": True, "inverse": False, "contractSize": 10.0}

    assert contract_of(market, "gate") == Contract("X", 10.0, is_inverse=False)
    assert contract_of(market, "deribit").size == 1.0  # its amounts are in coins whatever a contract is
    for broken in ({"contractSize": None}, {"linear": False}, {"contractSize": 0.0}):
        with pytest.raises(MalformedFrameError):
            contract_of({**market, **broken}, "gate")


def test_levels_are_counted_in_contracts() -> None:
    book = {"bids": [[50_000.0, 2_000.0]], "asks": [[50_010.0, 10.0, 1]], "nonce": 7, "timestamp": 1_000}

    linear, inverse = read_book(book, LINEAR), read_book(book, INVERSE)
    assert (linear.bids, linear.asks, linear.last_id) == ([[50_000.0, 2.0]], [[50_010.0, 0.01]], 7)
    assert inverse.bids == [[50_000.0, 4.0]]  # 2,000 contracts of 100 USD
    assert linear.exchange_at == 1_000_000_000


@pytest.mark.parametrize("book", [None, [], {"bids": None}, {"bids": [[1.0]], "asks": []}, {"bids": "x"}])
def test_a_book_that_cannot_be_read_is_refused(book: Any) -> None:
    with pytest.raises(MalformedFrameError):
        read_book(book, LINEAR)


def test_a_trade_counts_by_its_taker() -> None:
    trade = {"side": "sell", "amount": 100.0, "price": 50_000.0, "timestamp": None}

    linear, inverse = read_trade(trade, LINEAR), read_trade(trade, INVERSE)
    assert linear is not None
    assert inverse is not None
    assert (linear.notional_usd, inverse.notional_usd) == (-5_000.0, -10_000.0)
    assert read_trade({**trade, "side": None}, LINEAR) is None
    with pytest.raises(MalformedFrameError):
        read_trade({**trade, "price": float("nan")}, LINEAR)


def test_a_mark_price_that_is_not_told_is_none() -> None:
    mark = read_mark({"markPrice": 5.0, "fundingRate": 0.0001, "fundingTimestamp": 2_000}, "X")

    assert mark is not None
    assert (mark.mark_price, mark.funding_rate, mark.next_funding_at) == (5.0, 0.0001, 2_000_000_000)
    assert read_mark({"markPrice": None, "fundingRate": 0.0001}, "X") is None
    with pytest.raises(MalformedFrameError):
        read_mark({"markPrice": -1.0}, "X")


@pytest.mark.parametrize(
    ("told", "contract", "mark", "size"),
    [
        ({"openInterestAmount": 500.0}, Contract("X", 1.0, is_inverse=False), None, 500.0),
        ({"openInterestAmount": 500.0}, LINEAR, 50_000.0, None),  # contracts or coins?
        ({"openInterestAmount": 500.0, "openInterestValue": 25_000.0}, LINEAR, 50_000.0, 0.5),
        ({"openInterestAmount": 500.0, "openInterestValue": 25_100_000.0}, LINEAR, 50_000.0, 500.0),
        ({"openInterestAmount": 500.0, "openInterestValue": 7.0}, LINEAR, 50_000.0, None),
        ({"openInterestAmount": 500.0, "openInterestValue": 25_000.0}, LINEAR, None, None),
        ({"openInterestAmount": 500.0, "openInterestValue": 50_000.0}, INVERSE, 50_000.0, 1.0),
        ({"openInterestAmount": None, "openInterestValue": 50_000.0}, LINEAR, 50_000.0, None),
    ],
)
def test_open_interest_is_told_only_where_its_unit_is_certain(
    told: Any, contract: Contract, mark: float | None, size: float | None
) -> None:
    found = read_open_interest(told, contract, mark)

    assert (None if found is None else found[0]) == size


def test_a_liquidation_is_signed_by_the_position_that_was_closed() -> None:
    told = {"side": "sell", "contracts": 1_000.0, "price": 50_000.0}

    order = read_liquidation(told, LINEAR, side_is_orders=True)
    position = read_liquidation(told, LINEAR, side_is_orders=False)
    assert (order.size, position.size) == (1.0, -1.0)
    assert order.notional_usd == position.notional_usd == 50_000.0
    with pytest.raises(MalformedFrameError):
        read_liquidation({**told, "side": None}, LINEAR, side_is_orders=True)


POSITION: dict[str, Any] = {
    "symbol": LINEAR.symbol,
    "side": "short",
    "contracts": 500.0,
    "entryPrice": 50_000.0,
    "markPrice": 49_000.0,
    "unrealizedPnl": 500.0,
    "marginMode": "isolated",
    "positionMargin": 2_500.0,
    "leverage": 10.0,
    "liquidationPrice": 0.0,
    "maintenanceMargin": 100.0,
}


def test_a_position_holds_what_is_told_and_nothing_else() -> None:
    (seen,) = read_positions([POSITION, {**POSITION, "contracts": 0.0}], CONTRACTS)

    assert (seen.market_code, seen.side, seen.size) == (LINEAR.symbol, "BOTH", -0.5)
    # 0 is not known, and never safe: ccxt writes it for several things.
    assert (seen.liquidation_price, seen.liquidation_told) == (None, LiquidationTold.NOT_TOLD)
    assert (seen.settle, seen.margin, seen.kind) == ("USDT", 2_500.0, ContractKind.LINEAR)
    assert (seen.margin_mode, seen.margin_usd) == (MarginMode.ISOLATED, 2_500.0)
    assert seen.unrealised_usd == 0.0  # a profit that the balance may hold already is not counted twice
    (bare,) = read_positions([{"symbol": LINEAR.symbol, "side": "long", "contracts": 1.0}], CONTRACTS)
    assert (bare.margin_mode, bare.margin_usd, bare.leverage, bare.entry_price) == (None, None, None, None)


def test_an_inverse_position_is_of_dollars_and_pays_coins() -> None:
    told = {**POSITION, "symbol": INVERSE.symbol, "unrealizedPnl": -0.01, "positionMargin": 0.1}

    (seen,) = read_positions([told], CONTRACTS)

    assert (seen.kind, seen.contracts_usd, seen.settle) == (ContractKind.INVERSE, -50_000.0, "BTC")
    assert seen.size == pytest.approx(-50_000.0 / 49_000.0)
    assert seen.margin == 0.1
    assert seen.margin_usd == pytest.approx(4_900.0)
    assert seen.unrealised_usd == pytest.approx(-490.0)
    totals = read_totals({"total": {"BTC": 1.0}}, [{**told, "maintenanceMargin": 0.002}], CONTRACTS)
    assert totals.maintenance_usd == pytest.approx(98.0)


def test_collateral_is_told_without_what_is_owed_and_without_profit_that_may_be_in_it() -> None:
    balance = {"total": {"USDT": 1_000.0, "BTC": 2.0, "ETH": 0.0}, "debt": {"BTC": 0.5}}

    totals = read_totals(balance, [POSITION], CONTRACTS)

    assert totals.collateral == (
        CollateralHeld(asset="USDT", quantity=500.0),
        CollateralHeld(asset="BTC", quantity=1.5),
    )


def test_two_legs_of_one_market_are_kept_apart() -> None:
    seen = read_positions([POSITION, {**POSITION, "side": "long", "unrealizedPnl": -9.0}], CONTRACTS)

    assert [(leg.side, leg.size, leg.unrealised_usd) for leg in seen] == [
        ("SHORT", -0.5, 0.0),
        ("LONG", 0.5, -9.0),
    ]


@pytest.mark.parametrize(
    "broken",
    [
        {"symbol": "X/Y:Y"},
        {"side": None},
        {"contracts": float("inf")},
        {"symbol": INVERSE.symbol, "entryPrice": None, "markPrice": None},
    ],
)
def test_a_position_that_is_not_understood_makes_the_account_unknown(broken: dict[str, Any]) -> None:
    with pytest.raises(MalformedFrameError):
        read_positions([{**POSITION, **broken}], CONTRACTS)


def test_maintenance_is_known_only_where_every_position_tells_it() -> None:
    balance = {"total": {"USDT": 1_000.0, "BTC": 2.0, "USDC": None}}

    whole = read_totals(balance, [POSITION, {**POSITION, "maintenanceMargin": 50.0}])
    part = read_totals(balance, [POSITION, {**POSITION, "maintenanceMargin": None}])
    assert (whole.wallets, whole.maintenance_usd) == ({"USDT": 1_000.0}, 150.0)
    assert part.maintenance_usd is None
    with pytest.raises(MalformedFrameError):
        read_totals({}, [])


def test_orders_are_what_is_left_of_them() -> None:
    order = {
        "id": "1",
        "symbol": LINEAR.symbol,
        "side": "sell",
        "amount": 300.0,
        "remaining": 100.0,
        "price": 51_000.0,
    }

    (seen,) = read_orders([order, {**order, "symbol": "X/Y:Y"}], CONTRACTS)
    assert (seen.size, seen.buys, seen.price, seen.stop_price) == (-0.1, False, 51_000.0, None)


def test_a_turnover_that_is_not_told_is_left_out() -> None:
    tickers = {
        "A": {"quoteVolume": 5.0},
        "B": {"quoteVolume": None},
        "C": {"quoteVolume": -1.0},
        "D": None,
        "E": {"quoteVolume": "NaN"},
    }

    assert read_turnovers(tickers) == {"A": 5.0}
