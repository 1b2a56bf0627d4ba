"""What each OKX payload becomes, in base units, and that none with a number that is not one gets through."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from adapters.exchanges.margin_ratios import RATIO_MAX
from adapters.exchanges.okx import account_payloads, payloads
from adapters.exchanges.okx.account_payloads import Contract
from adapters.exchanges.sync import DepthDiff
from adapters.exchanges.venue import (
    AlgoKey,
    DepthSnapshot,
    LiquidationFrame,
    OrderGone,
    OrderSeen,
    TradeFrame,
)
from guard.errors import MalformedFrameError
from guard.events import CollateralHeld, LiquidationTold, MarginMode, Pooling
from guard.margin_terms import ContractKind
from tests.adapters.exchanges.okx.payloads import fixture


def near(value: Any, rel: float | None = None) -> Any:
    return pytest.approx(value, rel=rel)


SIZES = {"BTC-USDT-SWAP": 0.01, "ETH-USDT-SWAP": 0.1, "XRP-USDT-SWAP": 100.0, "IOST-USDT-SWAP": 1000.0}
CONTRACTS = {code: Contract(size, settle="USDT") for code, size in SIZES.items()}
"""Base units a contract; inverse swaps have none."""


def test_a_book_begins_whole_and_its_sizes_are_base_units() -> None:
    (book,) = payloads.parse_books(fixture("books_snapshot"), 0.01)

    assert isinstance(book, DepthSnapshot)
    assert (book.last_id, book.exchange_at) == (123456, 1597026383085_000_000)
    assert [[float(price), float(size)] for price, size in book.bids] == [
        [8476.97, 2.56],
        [8475.55, 1.01],
        [8475.54, 1.0],
    ]


def test_an_update_names_the_one_before_it() -> None:
    (diff,) = payloads.parse_books(fixture("books_update"), 0.01)

    assert isinstance(diff, DepthDiff)
    assert (diff.previous_id, diff.last_id) == (123456, 123457)
    assert [float(size) for _, size in diff.asks] == [4.15, 0.0]


def test_the_book_over_rest() -> None:
    book = payloads.parse_depth(fixture("books_rest"), 0.01)

    assert (book.last_id, float(book.bids[0][1])) == (3235851742, near(0.3013))


def test_trades_are_signed_by_their_taker() -> None:
    assert payloads.parse_trades(fixture("trades"), 0.01) == [
        TradeFrame(notional_usd=near(42219.9 * 0.12), exchange_at=1630048897897_000_000),
        TradeFrame(notional_usd=near(-42219.8 * 0.015), exchange_at=1630048897899_000_000),
    ]


def test_mark_index_funding_and_open_interest() -> None:
    mark, index = fixture("mark_price")["data"][0], fixture("index_tickers")["data"][0]
    funding, interest = fixture("funding_rate")["data"][0], fixture("open_interest")["data"][0]

    assert payloads.parse_mark_price(mark) == (42310.6, 1630049139746_000_000)
    assert payloads.parse_index_price(index) == 42301.2
    assert payloads.parse_funding(funding) == (0.0001875391284828, 1700726400000_000_000)
    assert payloads.parse_open_interest(interest, 0.01) == (
        near(22161.1301),
        1743041250440_000_000,
    )


def test_every_one_of_the_details_is_a_liquidation_and_inverse_swaps_are_left_out() -> None:
    found = payloads.parse_liquidations(fixture("liquidation_orders"), SIZES.get)

    assert [(code, frame.size) for code, frame in found] == [
        ("IOST-USDT-SWAP", -13_000.0),
        ("IOST-USDT-SWAP", 4_000.0),
        ("IOST-USDT-SWAP", 2_000.0),
    ]
    assert found[0][1] == LiquidationFrame(
        size=-13_000.0,
        price=0.007831,
        notional_usd=near(101.803),
        exchange_at=1692266434010_000_000,
    )


def test_the_side_of_the_position_says_who_was_liquidated_whatever_the_order_says() -> None:
    message = fixture("liquidation_orders")
    message["data"][0]["details"] = [{**message["data"][0]["details"][1], "side": "buy"}]

    ((_, frame),) = payloads.parse_liquidations(message, SIZES.get)

    assert frame.size == 4_000.0


def test_turnovers_are_quote_currency() -> None:
    assert payloads.parse_turnovers(fixture("tickers_rest")) == {"BTC-USDT-SWAP": 111_125_000.0}


def test_what_a_key_may_do() -> None:
    permissions = account_payloads.parse_permissions(fixture("account_config"))
    response = fixture("account_config")
    response["data"][0]["perm"] = "read_only"
    reading = account_payloads.parse_permissions(response)

    assert (permissions.can_trade, permissions.can_withdraw) == (True, True)
    assert (reading.can_trade, reading.can_withdraw) == (False, False)


def test_positions_are_base_units_and_inverse_ones_are_left_out() -> None:
    cross, isolated = account_payloads.parse_positions(fixture("positions")["data"], CONTRACTS.get)

    assert (cross.side, cross.size, cross.leverage) == ("BOTH", 100.0, 3.0)
    assert (cross.margin_mode, cross.margin_usd) == (MarginMode.CROSS, None)
    assert cross.liquidation_price == 0.3287514731020614
    assert (cross.settle, cross.adl_rank, cross.margin) == ("USDT", 0.2, None)
    assert cross.unrealised_usd == near(0.024)
    assert (isolated.side, isolated.size, isolated.margin_usd) == ("SHORT", -0.25, 105.5)
    assert (isolated.margin_mode, isolated.liquidation_price) == (MarginMode.ISOLATED, None)


def inverse_row() -> dict[str, Any]:
    return {
        **fixture("positions")["data"][2],
        "pos": "-5",
        "mgnMode": "isolated",
        "margin": "0.002",
    }


def test_a_coin_margined_swap_is_of_dollars_with_margin_and_profit_in_the_coin() -> None:
    contracts = {"BTC-USD-SWAP": Contract(100.0, is_inverse=True, settle="BTC")}

    (position,) = account_payloads.parse_positions([inverse_row()], contracts.get)

    assert (position.kind, position.contracts_usd, position.quantity) == (
        ContractKind.INVERSE,
        -500.0,
        -500.0,
    )
    assert position.size == near(-500.0 / 30_000.0)
    assert (position.settle, position.margin, position.margin_usd) == ("BTC", 0.002, near(60.0))
    assert position.unrealised_usd == near(0.0012092 * 30_000.0)
    assert position.adl_rank == 1.0


def test_a_coin_margined_swap_without_any_price_is_refused() -> None:
    contracts = {"BTC-USD-SWAP": Contract(100.0, is_inverse=True)}
    row = {**inverse_row(), "markPx": "", "avgPx": ""}

    with pytest.raises(MalformedFrameError, match="has no price"):
        account_payloads.parse_positions([row], contracts.get)


def test_an_order_of_a_coin_margined_swap_becomes_base_units_at_its_own_price() -> None:
    contracts = {"BTC-USDT-SWAP": Contract(100.0, is_inverse=True)}
    rows = fixture("orders_pending")["data"][:1]

    (order,) = account_payloads.parse_orders(rows, contracts.get)

    assert isinstance(order, OrderSeen)
    assert order.size == near(7 * 100.0 / 13013.5)


def test_an_empty_liquidation_price_is_the_accounts_in_portfolio_margin_and_else_not_told() -> None:
    row = {**fixture("positions")["data"][0], "liqPx": ""}

    told = [
        account_payloads.parse_positions([row], CONTRACTS.get, pooling)[0]
        for pooling in (Pooling.ONE_POOL, Pooling.PORTFOLIO)
    ]

    assert [position.liquidation_price for position in told] == [None, None]
    assert [position.liquidation_told for position in told] == [
        LiquidationTold.NOT_TOLD,
        LiquidationTold.ACCOUNT_LEVEL,
    ]


def test_a_net_position_is_signed() -> None:
    rows = [{**fixture("positions")["data"][0], "pos": "-7"}]

    assert [position.size for position in account_payloads.parse_positions(rows, CONTRACTS.get)] == [-700.0]


def test_a_wallet_is_equity_less_what_positions_tell_themselves() -> None:
    totals = account_payloads.parse_account(fixture("balance"))

    assert totals.wallets == {"USDT": near(4992.890093622894 + 7.5456)}
    assert totals.other_usd == 23750.25  # BTC as discounted; TRX is no collateral
    assert totals.maintenance_usd == 0.3428274116


def test_in_multi_currency_margin_each_currency_counts_at_its_discount() -> None:
    totals = account_payloads.parse_account(fixture("balance"), Pooling.ONE_POOL)

    assert totals.pooling is Pooling.ONE_POOL
    usdt, btc, trx = totals.collateral or ()
    # Of 5,000.44 the venue's trading bots have 150: what is left is its cash balance.
    assert (usdt.asset, usdt.quantity, usdt.is_collateral) == ("USDT", near(4850.435693622894), True)
    assert (btc.quantity, btc.venue_price_usd) == (0.5, 50_001.0)
    assert btc.venue_haircut == near(1.0 - 23750.25 / 25000.5)
    assert (trx.is_collateral, trx.quantity) == (False, 100.0)
    # The venue tells equity over maintenance and fees.
    assert totals.margin_ratio == near(1.0 / 143682.59776662575)


def test_in_futures_mode_each_currency_backs_its_own_and_the_worst_tells_the_ratio() -> None:
    response = fixture("balance")
    response["data"][0] |= {"mmr": "", "mgnRatio": ""}
    usdt, btc, _ = response["data"][0]["details"]
    usdt |= {"mmr": "12.5", "mgnRatio": "40", "disEq": ""}
    btc |= {"mmr": "0.01", "mgnRatio": "5", "disEq": "", "upl": "0.1", "collateralEnabled": False}

    totals = account_payloads.parse_account(response, Pooling.BY_SETTLE_ASSET)

    assert totals.pooling is Pooling.BY_SETTLE_ASSET
    assert totals.margin_ratio == 0.2
    assert totals.maintenance_usd == near(12.5 + 0.01 * 50_001.0)
    held = {each.asset: each for each in totals.collateral or ()}
    assert held["BTC"] == CollateralHeld(asset="BTC", quantity=0.4, venue_price_usd=50_001.0)


def test_what_is_owed_is_negative_and_not_left_out() -> None:
    response = fixture("balance")
    response["data"][0]["details"][1] |= {"eq": "-0.5", "eqUsd": "-25000.5", "disEq": "-25000.5"}

    totals = account_payloads.parse_account(response, Pooling.ONE_POOL)

    assert totals.other_usd == -25000.5
    assert [held.quantity for held in totals.collateral or ()][1] == -0.5


def test_what_isolated_positions_must_keep_is_told_by_themselves() -> None:
    contracts = {**CONTRACTS, "BTC-USD-SWAP": Contract(100.0, is_inverse=True)}
    rows = [*fixture("positions")["data"][:2], {**inverse_row(), "mmr": "0.0001"}]

    assert account_payloads.isolated_maintenance_usd(rows, contracts.get) == near(0.26346 + 0.0001 * 30_000.0)


def test_a_ratio_of_nothing_left_is_beyond_liquidation() -> None:
    response = fixture("balance")
    response["data"][0]["mgnRatio"] = "-0.5"

    assert account_payloads.parse_account(response, Pooling.ONE_POOL).margin_ratio == RATIO_MAX


def test_the_mode_of_an_account_tells_what_backs_its_positions() -> None:
    response = fixture("account_config")
    told = []
    for level in "1234":
        response["data"][0]["acctLv"] = level
        told.append(account_payloads.parse_pooling(response))

    assert told == [
        Pooling.BY_SETTLE_ASSET,
        Pooling.BY_SETTLE_ASSET,
        Pooling.ONE_POOL,
        Pooling.PORTFOLIO,
    ]
    response["data"][0]["acctLv"] = "5"
    with pytest.raises(MalformedFrameError, match="acctLv"):
        account_payloads.parse_pooling(response)


def test_in_futures_mode_each_currency_has_its_own_maintenance() -> None:
    response = fixture("balance")
    response["data"][0]["mmr"] = ""
    response["data"][0]["details"][0]["mmr"] = "12.5"

    assert account_payloads.parse_account(response).maintenance_usd == 12.5
    response["data"][0]["details"][0]["mmr"] = ""
    assert account_payloads.parse_account(response).maintenance_usd is None


def test_ordinary_orders() -> None:
    net, closing = account_payloads.parse_orders(fixture("orders_pending")["data"], CONTRACTS.get)

    assert net == OrderSeen(
        key="1752588852617379840",
        market_code="BTC-USDT-SWAP",
        size=near(0.07),
        buys=True,
        price=13013.5,
    )
    assert isinstance(closing, OrderSeen)
    assert (closing.position_side, closing.size, closing.reduce_only) == ("LONG", -0.1, True)


def test_conditional_orders() -> None:
    trigger, pair, trailing = account_payloads.parse_orders(
        fixture("orders_algo_pending")["data"], CONTRACTS.get
    )

    assert isinstance(trigger, OrderSeen)
    assert isinstance(pair, OrderSeen)
    assert isinstance(trailing, OrderSeen)
    assert (trigger.key, trigger.stop_price, trigger.price) == (AlgoKey("681096944655273984"), 50_000.0, None)
    assert (trigger.size, trigger.reduce_only, trigger.whole_position) == (-0.1, True, False)
    assert (pair.stop_price, pair.whole_position, pair.size) == (48_000.0, True, 0.0)
    assert trailing.stop_price is None


def test_private_positions_are_those_of_swaps_and_need_no_rest() -> None:
    (update,) = account_payloads.parse_private(fixture("ws_positions"), CONTRACTS.get)

    assert [(p.market_code, p.size) for p in update.positions] == [("XRP-USDT-SWAP", -4_000.0)]
    assert not update.stale


def test_a_private_account_frame_tells_balances() -> None:
    (update,) = account_payloads.parse_private(fixture("ws_account"), CONTRACTS.get)

    told = [(balance.asset, balance.wallet, balance.counts_as_usd) for balance in update.balances]
    assert told == [("USDT", near(5000.4357, rel=1e-6), True), ("BTC", 0.5, False), ("TRX", 100.0, False)]
    held = {balance.asset: balance.held for balance in update.balances}
    assert held["USDT"] is not None
    assert held["USDT"].quantity == near(4850.435693622894)
    assert update.maintenance_usd is None
    assert update.margin_ratio == near(1.0 / 143682.59776662575)
    assert update.exchange_at == 1705474164160_000_000


def test_private_orders_rest_or_are_gone() -> None:
    resting, filled = account_payloads.parse_private(fixture("ws_orders"), CONTRACTS.get)
    cancelled, pair = account_payloads.parse_private(fixture("ws_orders_algo"), CONTRACTS.get)

    assert isinstance(resting.order, OrderSeen)
    assert filled.order == OrderGone("1752588852617379842")
    assert cancelled.order == OrderGone(AlgoKey("681096944655273984"))
    assert isinstance(pair.order, OrderSeen)


NOT_NUMBERS = ["NaN", "inf", "-Infinity", float("nan"), "soon", True, [1]]


@pytest.mark.parametrize("value", NOT_NUMBERS)
@pytest.mark.parametrize(
    ("parse", "name", "field"),
    [
        (payloads.parse_mark_price, "mark_price", "markPx"),
        (payloads.parse_index_price, "index_tickers", "idxPx"),
        (payloads.parse_funding, "funding_rate", "fundingRate"),
        (lambda row: payloads.parse_open_interest(row, 0.01), "open_interest", "oi"),
        (lambda row: payloads.parse_trades({"data": [row]}, 0.01), "trades", "px"),
        (lambda row: payloads.parse_trades({"data": [row]}, 0.01), "trades", "sz"),
        (lambda row: account_payloads.parse_positions([row], CONTRACTS.get), "positions", "pos"),
        (lambda row: account_payloads.parse_positions([row], CONTRACTS.get), "positions", "liqPx"),
        (lambda row: account_payloads.parse_positions([row], CONTRACTS.get), "positions", "upl"),
        (lambda row: account_payloads.parse_orders([row], CONTRACTS.get), "orders_pending", "px"),
        (lambda row: account_payloads.parse_orders([row], CONTRACTS.get), "orders_pending", "sz"),
        (lambda row: account_payloads.parse_orders([row], CONTRACTS.get), "orders_algo_pending", "triggerPx"),
        (lambda row: account_payloads.parse_account({"data": [row]}), "balance", "mmr"),
    ],
)
def test_a_number_that_is_not_one_is_refused(
    parse: Callable[[Any], Any], name: str, field: str, value: object
) -> None:
    with pytest.raises(MalformedFrameError):
        parse({**fixture(name)["data"][0], field: value})


@pytest.mark.parametrize("value", [*NOT_NUMBERS, "-1", "0"])
@pytest.mark.parametrize("field", ["sz", "bkPx"])
def test_a_liquidation_with_a_number_that_is_not_one_is_refused(field: str, value: object) -> None:
    message = fixture("liquidation_orders")
    message["data"][0]["details"][2][field] = value
    with pytest.raises(MalformedFrameError):
        payloads.parse_liquidations(message, SIZES.get)


@pytest.mark.parametrize(
    "level", [["1"], "1", "12", None, ["1", "NaN"], ["1", "many"], ["1", None], {"a": 1}]
)
def test_a_level_that_is_none_is_refused(level: object) -> None:
    message = fixture("books_update")
    message["data"][0]["bids"].append(level)
    with pytest.raises(MalformedFrameError):
        payloads.parse_books(message, 0.01)


@pytest.mark.parametrize(
    ("field", "value"), [("seqId", None), ("seqId", "x"), ("prevSeqId", None), ("bids", None), ("asks", "x")]
)
def test_an_update_without_one_of_its_fields_is_refused(field: str, value: object) -> None:
    message = fixture("books_update")
    message["data"][0][field] = value
    with pytest.raises(MalformedFrameError):
        payloads.parse_books(message, 0.01)


@pytest.mark.parametrize("value", ["", None, 1, ["net"], "both"])
@pytest.mark.parametrize("field", ["posSide", "mgnMode", "instId"])
def test_a_position_with_words_that_are_not_known_is_refused(field: str, value: object) -> None:
    if field == "instId" and value == "both":
        return  # a market that is not watched
    with pytest.raises(MalformedFrameError):
        account_payloads.parse_positions([{**fixture("positions")["data"][0], field: value}], CONTRACTS.get)


@pytest.mark.parametrize("response", [None, [], "ok", {"data": {}}, {"data": [1]}, {"data": []}])
def test_an_answer_of_another_shape_is_refused(response: object) -> None:
    for parse in (account_payloads.parse_account, account_payloads.parse_permissions):
        with pytest.raises(MalformedFrameError):
            parse(response)
