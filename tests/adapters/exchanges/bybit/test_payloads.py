"""What each Bybit payload becomes, and that none with a number that is not one gets through."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from adapters.exchanges.bybit import payloads
from adapters.exchanges.sync import DepthDiff
from adapters.exchanges.venue import (
    DepthSnapshot,
    LiquidationFrame,
    OrderGone,
    OrderSeen,
    TradeFrame,
)
from guard.errors import MalformedFrameError
from guard.events import CollateralHeld, LiquidationTold, MarginMode, Pooling
from guard.margin_terms import ContractKind
from tests.adapters.exchanges.bybit.payloads import fixture


def near(value: Any, rel: float | None = None) -> Any:
    return pytest.approx(value, rel=rel)


CROSS = payloads.AccountMode()
ISOLATED = payloads.AccountMode(MarginMode.ISOLATED, Pooling.BY_SETTLE_ASSET)
PORTFOLIO = payloads.AccountMode(MarginMode.CROSS, Pooling.PORTFOLIO)


def parse_wallet(response: Any) -> Any:
    return payloads.parse_wallet(response, CROSS)


def test_a_book_begins_whole() -> None:
    book = payloads.parse_book(fixture("orderbook_snapshot"))

    assert isinstance(book, DepthSnapshot)
    assert (book.last_id, book.bids[0], book.exchange_at) == (
        18521288,
        ["16493.50", "0.006"],
        1672304484976_000_000,
    )


def test_a_delta_follows_the_update_before_it_by_one() -> None:
    diff = payloads.parse_book(fixture("orderbook_delta"))

    assert isinstance(diff, DepthDiff)
    assert (diff.previous_id, diff.first_id, diff.last_id) == (177400506, 177400507, 177400507)
    assert diff.bids[-1] == ["30240.00", "0"]


def test_a_restarted_service_sends_a_whole_book_whatever_it_calls_it() -> None:
    message = fixture("orderbook_delta")
    message["data"]["u"] = 1

    assert isinstance(payloads.parse_book(message), DepthSnapshot)


def test_the_book_over_rest() -> None:
    book = payloads.parse_depth(fixture("orderbook_rest"))

    assert (book.last_id, book.asks) == (230704, [["65557.7", "16.606555"]])


def test_trades_are_signed_by_their_taker_and_block_trades_are_left_out() -> None:
    assert payloads.parse_trades(fixture("public_trade")) == [
        TradeFrame(notional_usd=near(16578.50 * 0.001), exchange_at=1672304486865_000_000),
        TradeFrame(notional_usd=near(-16578.00 * 0.25), exchange_at=1672304486866_000_000),
    ]


def test_a_ticker_tells_mark_index_funding_and_open_interest() -> None:
    data = fixture("ticker_snapshot")["data"]
    mark = payloads.parse_ticker(data, 7)

    assert (mark.mark_price, mark.index_price, mark.funding_rate) == (17217.33, 17227.36, -0.000212)
    assert (mark.next_funding_at, mark.exchange_at) == (1673280000000_000_000, 7)
    assert payloads.parse_open_interest(data) == 68744.761


def test_a_contract_without_funding_has_none() -> None:
    ticker = {**fixture("ticker_snapshot")["data"], "fundingRate": "", "nextFundingTime": "0"}
    mark = payloads.parse_ticker(ticker, None)

    assert (mark.funding_rate, mark.next_funding_at) == (None, None)


def test_turnovers_are_told_by_code() -> None:
    assert payloads.parse_turnovers(fixture("tickers_rest")) == {"BTCUSDT": 2352.94950046}


def test_every_liquidation_of_a_frame_is_read_and_its_side_is_the_positions() -> None:
    short, long = payloads.parse_liquidations(fixture("all_liquidation"))

    assert short == LiquidationFrame(
        size=-20000.0, price=0.04499, notional_usd=20000 * 0.04499, exchange_at=1739502302929_000_000
    )
    assert (long.size, long.notional_usd) == (1500.0, near(66.15))


def test_what_a_key_may_do_is_withheld_by_read_only() -> None:
    granted = payloads.parse_permissions(fixture("query_api"))
    response = fixture("query_api")
    response["result"]["readOnly"] = 1
    response["result"]["permissions"]["Wallet"].append("Withdraw")
    reading = payloads.parse_permissions(response)
    response["result"]["readOnly"] = 0

    assert (granted.can_trade, granted.can_withdraw) == (True, False)
    assert (reading.can_trade, reading.can_withdraw) == (False, False)
    assert reading.detail.startswith("read-only; ContractTrade: Order, Position")
    assert payloads.parse_permissions(response).can_withdraw is True


def test_a_classic_account_is_refused_with_what_to_do() -> None:
    response = fixture("account_info")
    assert payloads.parse_account_mode(response) == replace(CROSS, has_inverse=False)
    response["result"]["unifiedMarginStatus"] = 5
    assert payloads.parse_account_mode(response) == CROSS
    response["result"]["marginMode"] = "ISOLATED_MARGIN"
    assert payloads.parse_account_mode(response) == ISOLATED
    response["result"]["marginMode"] = "PORTFOLIO_MARGIN"
    assert payloads.parse_account_mode(response) == PORTFOLIO
    response["result"]["unifiedMarginStatus"] = 1

    with pytest.raises(MalformedFrameError, match="upgrade it to a unified trading account"):
        payloads.parse_account_mode(response)


def test_an_empty_liquidation_price_says_that_there_is_none_where_the_market_may_trade() -> None:
    (position,), cursor = payloads.parse_positions(fixture("position_list"), CROSS)

    assert cursor == ""
    assert (position.market_code, position.side, position.size) == ("BTCUSDT", "BOTH", -0.3)
    assert (position.entry_price, position.mark_price, position.leverage) == (27464.50441675, 28224.5, 10.0)
    assert (position.margin_mode, position.margin_usd) == (MarginMode.CROSS, None)
    assert (position.liquidation_price, position.liquidation_told) == (None, LiquidationTold.NONE_EXISTS)
    assert position.unrealised_usd == near(-227.99867497)
    assert (position.settle, position.adl_rank, position.kind) == ("USDT", 0.4, ContractKind.LINEAR)


def test_portfolio_margin_names_no_liquidation_price_of_a_position() -> None:
    (position,), _ = payloads.parse_positions(fixture("position_list"), PORTFOLIO)

    assert (position.liquidation_price, position.liquidation_told) == (None, LiquidationTold.ACCOUNT_LEVEL)


def test_a_position_whose_liquidation_price_is_not_even_mentioned_has_an_unknown_one() -> None:
    response = fixture("position_list")
    del response["result"]["list"][0]["liqPrice"]

    (position,), _ = payloads.parse_positions(response, CROSS)

    assert (position.liquidation_price, position.liquidation_told) == (None, LiquidationTold.NOT_TOLD)


def test_an_inverse_position_is_of_dollars_and_margined_in_the_coin() -> None:
    (position,), _ = payloads.parse_positions(fixture("position_list_inverse"), ISOLATED)

    assert (position.kind, position.contracts_usd, position.quantity) == (
        ContractKind.INVERSE,
        -300.0,
        -300.0,
    )
    assert position.size == near(-300.0 / 28224.5)
    assert (position.settle, position.margin) == ("BTC", 0.00139186)
    assert position.margin_usd == near(0.00139186 * 28224.5)
    assert position.unrealised_usd == near(-0.00029413 * 28224.5)


def test_an_inverse_position_without_any_price_is_refused() -> None:
    response = fixture("position_list_inverse")
    response["result"]["list"][0] |= {"markPrice": "", "avgPrice": "0"}

    with pytest.raises(MalformedFrameError, match="has no price"):
        payloads.parse_positions(response, CROSS)


def test_an_inverse_order_becomes_base_units_at_its_own_price() -> None:
    response = fixture("order_realtime")
    response["result"] |= {"category": "inverse", "list": response["result"]["list"][:1]}

    (order,), _ = payloads.parse_open_orders(response)

    assert order.size == near(0.08 / 1600.0)


def test_both_sides_of_a_hedged_symbol_are_kept_apart() -> None:
    (long, short), cursor = payloads.parse_positions(fixture("position_list_hedged"), ISOLATED)

    assert cursor == "XRPUSDT%2C1"
    assert [(p.side, p.size, p.liquidation_price) for p in (long, short)] == [
        ("LONG", 100.0, 0.0001),
        ("SHORT", -40.0, 0.5512),
    ]
    assert (long.margin_mode, long.margin_usd, long.margin) == (MarginMode.ISOLATED, 3.6345, 3.6345)


def test_stable_coins_count_as_usd_and_other_collateral_only_if_it_is_used_as_such() -> None:
    totals = payloads.parse_wallet(fixture("wallet_balance"), CROSS)

    assert totals.wallets == {"USDT": 11728.54414904}
    assert totals.other_usd == 1500.25  # ETH; MNT is switched off
    assert totals.maintenance_usd == 0.25


def test_a_unified_account_tells_each_coin_at_what_it_values_it() -> None:
    totals = payloads.parse_wallet(fixture("wallet_balance"), CROSS)

    assert totals.pooling is Pooling.ONE_POOL
    assert totals.margin_ratio == 0.0
    assert totals.collateral == (
        CollateralHeld(asset="USDT", quantity=11728.54414904, venue_price_usd=near(0.990358805)),
        CollateralHeld(asset="ETH", quantity=0.5, venue_price_usd=3000.5),
        CollateralHeld(asset="MNT", quantity=100.0, venue_price_usd=0.55, is_collateral=False),
    )


def test_what_is_owed_counts_whether_or_not_the_coin_is_collateral() -> None:
    response = fixture("wallet_balance")
    coins = response["result"]["list"][0]["coin"]
    coins[2] |= {"walletBalance": "0.5", "spotBorrow": "2", "equity": "-1.5", "usdValue": "-4500"}
    coins[3] |= {"walletBalance": "-100", "equity": "-100", "usdValue": "-55"}

    totals = payloads.parse_wallet(response, CROSS)

    assert totals.other_usd == near(-4500.0 - 55.0)
    assert [held.quantity for held in totals.collateral or ()] == [11728.54414904, -1.5, -100.0]


def test_portfolio_and_isolated_margin_are_told_as_such() -> None:
    response = fixture("wallet_balance")
    response["result"]["list"][0]["accountMMRate"] = "0.42"

    portfolio, isolated = (payloads.parse_wallet(response, mode) for mode in (PORTFOLIO, ISOLATED))

    assert (portfolio.pooling, portfolio.margin_ratio) == (Pooling.PORTFOLIO, 0.42)
    assert (isolated.pooling, isolated.margin_ratio) == (Pooling.BY_SETTLE_ASSET, None)


def test_an_account_in_isolated_mode_has_no_maintenance_of_its_own() -> None:
    response = fixture("wallet_balance")
    response["result"]["list"][0]["totalMaintenanceMargin"] = ""

    assert payloads.parse_wallet(response, CROSS).maintenance_usd is None


def test_open_orders_are_read_with_what_is_left_of_them() -> None:
    (plain, stop, conditional, trailing), cursor = payloads.parse_open_orders(fixture("order_realtime"))

    assert cursor.startswith("page_args")
    assert plain == OrderSeen(
        key="fd4300ae-7847-404e-b947-b46980a4d140",
        market_code="ETHUSDT",
        size=0.08,
        buys=True,
        position_side="LONG",
        price=1600.0,
    )
    assert (stop.whole_position, stop.reduce_only, stop.stop_price, stop.price) == (True, True, 1500.0, None)
    assert (conditional.stop_price, conditional.price, conditional.size) == (1400.0, 1390.0, -0.05)
    assert (conditional.reduce_only, conditional.whole_position) == (True, False)
    assert trailing.stop_price is None


def test_a_private_position_frame_tells_the_position_and_asks_for_rest() -> None:
    (update,) = payloads.parse_private(fixture("ws_position"), CROSS)
    (position,) = update.positions

    assert update.stale
    assert (position.side, position.size, position.entry_price) == ("SHORT", -0.2, 28185.75)
    assert (position.liquidation_price, position.mark_price) == (31005.4, 28184.9)


def test_a_private_position_frame_of_a_closed_position_closes_it() -> None:
    message = fixture("ws_position")
    message["data"][0] |= {"size": "0", "side": "", "positionIdx": 0}
    (update,) = payloads.parse_private(message, CROSS)

    assert [(p.side, p.size) for p in update.positions] == [("BOTH", 0.0)]


def test_a_private_wallet_frame_tells_balances() -> None:
    (update,) = payloads.parse_private(fixture("ws_wallet"), CROSS)

    (balance,) = update.balances
    assert (balance.asset, balance.wallet, balance.counts_as_usd) == ("USDT", 11728.54414904, True)
    assert balance.held is not None
    assert balance.held.venue_price_usd == near(0.990358805)
    assert (update.maintenance_usd, update.margin_ratio) == (0.25, 0.0)


def test_a_coin_that_is_gone_from_the_wallet_is_told() -> None:
    message = fixture("ws_wallet")
    message["data"][0]["coin"][0] |= {"walletBalance": "0", "equity": "0", "usdValue": "0"}

    (update,) = payloads.parse_private(message, CROSS)

    assert [(balance.asset, balance.wallet) for balance in update.balances] == [("USDT", 0.0)]


def test_a_private_frame_of_an_inverse_position_is_read_where_the_account_has_such() -> None:
    message = fixture("ws_position")
    message["data"][0] |= {"category": "inverse", "symbol": "ETHUSD", "size": "100", "markPrice": "2000"}

    (update,) = payloads.parse_private(message, CROSS)

    assert [(p.contracts_usd, p.size, p.settle) for p in update.positions] == [(-100.0, -0.05, "ETH")]
    assert payloads.parse_private(message, replace(CROSS, has_inverse=False)) == []


def test_a_private_order_frame_tells_each_order_of_linear_markets() -> None:
    resting, filled = payloads.parse_private(fixture("ws_order"), CROSS)

    assert isinstance(resting.order, OrderSeen)
    assert filled.order == OrderGone("5cf98598-39a7-459e-97bf-76ca765ee020")


def test_frames_of_other_topics_say_nothing() -> None:
    assert payloads.parse_private({"topic": "execution", "data": []}, CROSS) == []


NOT_NUMBERS = ["NaN", "inf", "-Infinity", float("nan"), "soon", True, [1]]


def _with(name: str, *path: str | int, value: object) -> Any:
    """A fixture in which the value at ``path`` is another."""
    payload = fixture(name)
    at = payload
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    return payload


@pytest.mark.parametrize("value", NOT_NUMBERS)
@pytest.mark.parametrize(
    ("parse", "name", "path"),
    [
        (payloads.parse_trades, "public_trade", ("data", 0, "p")),
        (payloads.parse_trades, "public_trade", ("data", 1, "v")),
        (payloads.parse_liquidations, "all_liquidation", ("data", 1, "p")),
        (payloads.parse_liquidations, "all_liquidation", ("data", 0, "v")),
        (parse_wallet, "wallet_balance", ("result", "list", 0, "totalMaintenanceMargin")),
        (parse_wallet, "wallet_balance", ("result", "list", 0, "coin", 1, "walletBalance")),
        (payloads.parse_open_orders, "order_realtime", ("result", "list", 0, "price")),
        (payloads.parse_open_orders, "order_realtime", ("result", "list", 1, "triggerPrice")),
    ],
)
def test_a_number_that_is_not_one_is_refused(
    parse: Callable[[Any], Any], name: str, path: tuple[str | int, ...], value: object
) -> None:
    with pytest.raises(MalformedFrameError):
        parse(_with(name, *path, value=value))


@pytest.mark.parametrize("value", NOT_NUMBERS)
@pytest.mark.parametrize("field", ["size", "avgPrice", "liqPrice", "unrealisedPnl", "leverage"])
def test_a_position_with_a_number_that_is_not_one_is_refused(field: str, value: object) -> None:
    with pytest.raises(MalformedFrameError):
        payloads.parse_positions(_with("position_list", "result", "list", 0, field, value=value), CROSS)


@pytest.mark.parametrize("value", NOT_NUMBERS)
@pytest.mark.parametrize("field", ["markPrice", "indexPrice", "fundingRate"])
def test_a_ticker_with_a_number_that_is_not_one_is_refused(field: str, value: object) -> None:
    with pytest.raises(MalformedFrameError):
        payloads.parse_ticker({**fixture("ticker_snapshot")["data"], field: value}, None)


@pytest.mark.parametrize(
    ("name", "path", "value"),
    [
        ("orderbook_delta", ("data", "u"), None),
        ("orderbook_delta", ("data", "u"), 1.5),
        ("orderbook_delta", ("data", "b"), "levels"),
        ("orderbook_delta", ("data",), []),
        ("orderbook_delta", ("type",), "other"),
    ],
)
def test_a_book_frame_that_is_not_one_is_refused(name: str, path: tuple[str, ...], value: object) -> None:
    with pytest.raises(MalformedFrameError):
        payloads.parse_book(_with(name, *path, value=value))


@pytest.mark.parametrize("side", ["buy", "", None, 1, ["Buy"]])
def test_a_side_that_is_none_is_refused(side: object) -> None:
    with pytest.raises(MalformedFrameError):
        payloads.parse_liquidations(_with("all_liquidation", "data", 0, "S", value=side))
    with pytest.raises(MalformedFrameError):
        payloads.parse_positions(_with("position_list", "result", "list", 0, "side", value=side), CROSS)


@pytest.mark.parametrize("response", [None, [], "ok", {"result": []}, {"result": {"list": {}}}])
def test_an_answer_of_another_shape_is_refused(response: object) -> None:
    for parse in (parse_wallet, payloads.parse_open_orders, payloads.parse_tickers):
        with pytest.raises(MalformedFrameError):
            parse(response)
