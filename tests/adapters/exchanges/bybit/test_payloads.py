"""What each Bybit payload becomes, and that none with a number that is not one gets through."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from adapters.exchanges.bybit import payloads
from adapters.exchanges.sync import DepthDiff
from adapters.exchanges.venue import (
    BalanceSeen,
    DepthSnapshot,
    LiquidationFrame,
    OrderGone,
    OrderSeen,
    TradeFrame,
)
from guard.errors import MalformedFrameError
from guard.events import MarginMode
from tests.adapters.exchanges.bybit.payloads import fixture


def near(value: Any, rel: float | None = None) -> Any:
    return pytest.approx(value, rel=rel)


CROSS, ISOLATED = MarginMode.CROSS, MarginMode.ISOLATED


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
    assert payloads.parse_margin_mode(response) is CROSS
    response["result"]["marginMode"] = "ISOLATED_MARGIN"
    assert payloads.parse_margin_mode(response) is ISOLATED
    response["result"]["unifiedMarginStatus"] = 1

    with pytest.raises(MalformedFrameError, match="upgrade it to a unified trading account"):
        payloads.parse_margin_mode(response)


def test_a_cross_position_without_a_liquidation_price_has_an_unknown_one() -> None:
    (position,), cursor = payloads.parse_positions(fixture("position_list"), CROSS)

    assert cursor == ""
    assert (position.market_code, position.side, position.size) == ("BTCUSDT", "BOTH", -0.3)
    assert (position.entry_price, position.mark_price, position.leverage) == (27464.50441675, 28224.5, 10.0)
    assert (position.margin_mode, position.margin_usd, position.liquidation_price) == (CROSS, None, None)
    assert position.unrealised_usd == near(-227.99867497)


def test_both_sides_of_a_hedged_symbol_are_kept_apart() -> None:
    (long, short), cursor = payloads.parse_positions(fixture("position_list_hedged"), ISOLATED)

    assert cursor == "XRPUSDT%2C1"
    assert [(p.side, p.size, p.liquidation_price) for p in (long, short)] == [
        ("LONG", 100.0, 0.0001),
        ("SHORT", -40.0, 0.5512),
    ]
    assert (long.margin_mode, long.margin_usd) == (ISOLATED, 3.6345)


def test_stable_coins_count_as_usd_and_other_collateral_only_if_it_is_used_as_such() -> None:
    totals = payloads.parse_wallet(fixture("wallet_balance"))

    assert totals.wallets == {"USDT": 11728.54414904}
    assert totals.other_usd == 1500.25  # ETH; MNT is switched off
    assert totals.maintenance_usd == 0.25


def test_an_account_in_isolated_mode_has_no_maintenance_of_its_own() -> None:
    response = fixture("wallet_balance")
    response["result"]["list"][0]["totalMaintenanceMargin"] = ""

    assert payloads.parse_wallet(response).maintenance_usd is None


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

    assert update.balances == (BalanceSeen("USDT", 11728.54414904),)


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
        (payloads.parse_wallet, "wallet_balance", ("result", "list", 0, "totalMaintenanceMargin")),
        (payloads.parse_wallet, "wallet_balance", ("result", "list", 0, "coin", 1, "walletBalance")),
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
    for parse in (payloads.parse_wallet, payloads.parse_open_orders, payloads.parse_tickers):
        with pytest.raises(MalformedFrameError):
            parse(response)
