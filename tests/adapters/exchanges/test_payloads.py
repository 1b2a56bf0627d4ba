"""What each Binance payload becomes, and that none with a number that is not one gets through."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from adapters.exchanges.binance import payloads
from adapters.exchanges.binance.account_payloads import (
    parse_account,
    parse_asset_indexes,
    parse_multi_assets,
)
from adapters.exchanges.parsers import unknown_symbol
from adapters.exchanges.venue import (
    AlgoKey,
    BalanceSeen,
    LiquidationFrame,
    MarkFrame,
    OrderGone,
    OrderSeen,
    PositionSeen,
    TradeFrame,
)
from guard.errors import MalformedFrameError
from guard.events import CollateralHeld, LiquidationTold, MarginMode, Pooling
from tests.adapters.exchanges import samples


def test_a_depth_diff_keeps_its_ids_and_levels() -> None:
    diff = payloads.parse_depth(samples.DEPTH)

    assert (diff.previous_id, diff.first_id, diff.last_id) == (2710246765326, 2710246765373, 2710246765597)
    assert diff.bids == [["5000.00", "14.368"], ["28018.90", "0.000"]]
    assert diff.asks == [["28145.20", "6.961"]]
    assert diff.exchange_at == 1680652700586_000_000


def test_a_snapshot_keeps_its_id_and_levels() -> None:
    snapshot = payloads.parse_snapshot(samples.SNAPSHOT)

    assert snapshot.last_id == 2710246765483
    assert snapshot.bids[0] == ["28145.10", "3.818"]


def test_a_trade_of_a_buyer_who_was_maker_is_a_sale() -> None:
    assert payloads.parse_trade(samples.TRADE) == TradeFrame(
        notional_usd=-28145.10 * 0.002, exchange_at=1680652700452_000_000
    )


def test_an_aggregated_trade_of_a_taker_who_bought_is_positive() -> None:
    trade = payloads.parse_trade(samples.AGGREGATED_TRADE)

    assert trade is not None
    assert trade.notional_usd == pytest.approx(0.1)


def test_what_the_insurance_fund_took_is_not_a_trade() -> None:
    assert payloads.parse_trade({**samples.TRADE, "X": "INSURANCE_FUND"}) is None


def test_a_mark_price_comes_with_index_and_funding() -> None:
    assert payloads.parse_mark(samples.MARK) == MarkFrame(
        mark_price=28147.27373413,
        index_price=28159.75642857,
        funding_rate=0.00002754,
        next_funding_at=1680652800000_000_000,
        exchange_at=1680652701000_000_000,
    )


def test_a_contract_without_funding_has_none() -> None:
    mark = payloads.parse_mark({**samples.MARK, "r": "", "T": 0, "i": "0"})

    assert (mark.funding_rate, mark.next_funding_at, mark.index_price) == (None, None, None)


def test_the_premium_index_tells_the_same_as_the_stream() -> None:
    mark = payloads.parse_premium_index(samples.PREMIUM_INDEX)

    assert (mark.mark_price, mark.funding_rate) == (11793.63104562, 0.00038246)


def test_a_selling_forced_order_closed_a_long() -> None:
    assert payloads.parse_liquidation(samples.FORCED_ORDER) == LiquidationFrame(
        size=0.014, price=9910.0, notional_usd=0.014 * 9910.0, exchange_at=1568014460893_000_000
    )


def test_a_buying_forced_order_closed_a_short() -> None:
    order = {**samples.FORCED_ORDER["o"], "S": "BUY"}

    assert payloads.parse_liquidation({**samples.FORCED_ORDER, "o": order}).size == -0.014


def test_open_interest_is_in_base_units() -> None:
    assert payloads.parse_open_interest(samples.OPEN_INTEREST) == (10659.509, 1589437530011_000_000)


def test_a_cross_position_whose_liquidation_price_is_zero_is_liquidated_by_none() -> None:
    (position,) = payloads.parse_positions([samples.POSITION_V3])

    assert position == PositionSeen(
        market_code="WLDUSDT",
        side="BOTH",
        size=5.0,
        entry_price=2.3483,
        mark_price=2.3956,
        leverage=5.0,
        margin_mode=MarginMode.CROSS,
        margin_usd=None,
        liquidation_price=None,
        unrealised_usd=0.2365,
        settle="USDT",
        liquidation_told=LiquidationTold.NONE_EXISTS,
        adl_rank=0.5,
    )


def test_a_position_without_the_field_is_not_told_to_be_safe() -> None:
    row = {key: value for key, value in samples.POSITION_V3.items() if key != "liquidationPrice"}

    (position,) = payloads.parse_positions([row])

    assert (position.liquidation_price, position.liquidation_told) == (None, LiquidationTold.NOT_TOLD)


@pytest.mark.parametrize("place", ["5", "-1", "x"])
def test_a_place_in_the_queue_that_is_none_is_refused(place: str) -> None:
    with pytest.raises(MalformedFrameError):
        payloads.parse_positions([{**samples.POSITION_V3, "adl": place}])


def test_both_sides_of_a_hedged_symbol_are_kept_apart() -> None:
    short = {**samples.POSITION_V2_HEDGED, "positionSide": "SHORT", "positionAmt": "-3", "leverage": "10"}

    positions = payloads.parse_positions([samples.POSITION_V2_HEDGED, short])

    assert [(position.side, position.size) for position in positions] == [("LONG", 20.0), ("SHORT", -3.0)]
    assert positions[0].margin_mode is MarginMode.ISOLATED
    assert positions[0].margin_usd == pytest.approx(15517.54150468)
    assert positions[0].liquidation_price == 5930.78


def test_rows_without_a_position_are_left_out() -> None:
    assert payloads.parse_positions([{**samples.POSITION_V3, "positionAmt": "0.000"}]) == []


def test_stable_coins_count_as_usd_and_other_collateral_as_the_venue_values_it() -> None:
    told = {**samples.ACCOUNT, "totalWalletBalance": "132.5"}
    multi_assets = parse_account(told, multi_assets=True)
    single_asset = parse_account({**samples.ACCOUNT, "totalWalletBalance": "23.72469206"})

    assert multi_assets.wallets == {"USDT": 23.72469206, "USDC": 103.0}
    assert multi_assets.other_usd == pytest.approx(5.77530794)
    assert single_asset.other_usd == 0.0
    assert single_asset.maintenance_usd == 3.1


def test_in_single_asset_mode_each_asset_backs_its_own_and_the_worst_tells_the_ratio() -> None:
    assets = [
        *samples.ACCOUNT["assets"][:1],
        {
            "asset": "USDC",
            "walletBalance": "5",
            "maintMargin": "4",
            "crossWalletBalance": "5",
            "crossUnPnl": "1",
        },
    ]
    positions = [
        {"symbol": "BTCUSDT", "isolatedWallet": "10", "maintMargin": "1.1"},
        {"symbol": "ETHUSDT", "isolatedWallet": "0", "maintMargin": "2"},
        {"symbol": "ETHUSDC", "isolatedWallet": "0", "maintMargin": "4"},
    ]

    totals = parse_account({**samples.ACCOUNT, "assets": assets, "positions": positions})

    assert totals.pooling is Pooling.BY_SETTLE_ASSET
    assert totals.collateral == (
        CollateralHeld(asset="USDT", quantity=23.72469206),
        CollateralHeld(asset="USDC", quantity=5.0),
    )
    # USDT without its isolated position: 2 / (13.72469206 - 3.72469206).
    assert totals.margin_ratio == pytest.approx(4.0 / 6.0)
    alone = parse_account({**samples.ACCOUNT, "assets": assets[:1], "positions": positions[:2]})
    assert alone.margin_ratio == pytest.approx(0.2)
    assert (alone.maintenance_usd, totals.maintenance_usd) == (3.1, 7.1)


def test_in_multi_assets_mode_all_of_it_is_one_pool_at_the_indexes() -> None:
    indexes = parse_asset_indexes(samples.ASSET_INDEXES)

    totals = parse_account(samples.MULTI_ASSETS_ACCOUNT, indexes=indexes)

    assert totals.pooling is Pooling.ONE_POOL
    assert totals.margin_ratio == pytest.approx(0.01)
    assert totals.maintenance_usd == 63.8
    assert totals.wallets == {"USDT": 1_000.0, "USDC": -300.0}
    assert sum(totals.wallets.values()) + totals.other_usd == pytest.approx(6380.1)
    assert totals.collateral == (
        CollateralHeld(asset="USDT", quantity=1_000.0, venue_price_usd=0.99, venue_haircut=0.01),
        CollateralHeld(asset="USDC", quantity=-300.0, venue_price_usd=1.0, venue_haircut=0.0),
        CollateralHeld(asset="BTC", quantity=0.1, venue_price_usd=60_000.0, venue_haircut=0.05),
        CollateralHeld(asset="XYZ", quantity=7.0, is_collateral=False),
    )


def test_what_is_owed_costs_the_index_and_the_buffer_above_it() -> None:
    owed = {**samples.MULTI_ASSETS_ACCOUNT["assets"][2], "walletBalance": "-0.1"}
    account = {**samples.MULTI_ASSETS_ACCOUNT, "assets": [owed]}

    (held,) = parse_account(account, indexes=parse_asset_indexes(samples.ASSET_INDEXES)).collateral or ()

    assert (held.quantity, held.venue_price_usd) == (-0.1, 63_000.0)


def test_the_mode_of_an_account_is_told_or_it_is_not_read() -> None:
    assert parse_multi_assets({"multiAssetsMargin": True})
    assert not parse_multi_assets({"multiAssetsMargin": False})
    with pytest.raises(MalformedFrameError):
        parse_multi_assets({})


def test_an_open_order_has_the_size_that_is_left() -> None:
    assert payloads.parse_open_orders([samples.OPEN_ORDER]) == [
        OrderSeen(
            key="3697213934",
            market_code="BTCUSDT",
            size=-(0.010 - 0.004),
            buys=False,
            price=33000.0,
            stop_price=None,
            reduce_only=True,
        )
    ]


def test_a_conditional_order_has_its_trigger_and_an_id_of_its_own_kind() -> None:
    (stop,) = payloads.parse_open_algo_orders([samples.OPEN_ALGO_ORDER])

    assert stop.key == AlgoKey("3358")
    assert (stop.stop_price, stop.price, stop.size, stop.reduce_only) == (30000.0, None, -0.002, True)


def test_a_stop_that_closes_the_whole_position_reduces_whatever_it_says() -> None:
    (stop,) = payloads.parse_open_algo_orders(
        [{**samples.OPEN_ALGO_ORDER, "closePosition": True, "reduceOnly": False, "quantity": "0"}]
    )

    assert (stop.whole_position, stop.reduce_only, stop.size) == (True, True, 0.0)


def test_a_trailing_stop_has_no_trigger_that_could_be_told() -> None:
    (stop,) = payloads.parse_open_algo_orders(
        [{**samples.OPEN_ALGO_ORDER, "orderType": "TRAILING_STOP_MARKET"}]
    )

    assert stop.stop_price is None


def test_an_account_update_tells_wallets_and_positions_and_asks_for_rest() -> None:
    update = payloads.parse_user_event(samples.ACCOUNT_UPDATE)

    assert update is not None
    assert update.stale
    assert update.balances == (
        BalanceSeen("USDT", 1127.95750089),
        BalanceSeen("BNB", 1.0, counts_as_usd=False),
    )
    (position,) = update.positions
    assert (position.size, position.margin_mode, position.margin_usd) == (
        -0.089,
        MarginMode.ISOLATED,
        87.1365894,
    )
    assert (position.liquidation_price, position.liquidation_told) == (None, LiquidationTold.NOT_TOLD)
    assert (position.settle, position.margin) == ("USDT", 87.1365894)


def test_an_order_update_tells_the_order_or_that_it_is_gone() -> None:
    resting = payloads.parse_user_event(samples.ORDER_UPDATE)
    filled = payloads.parse_user_event(
        {**samples.ORDER_UPDATE, "o": {**samples.ORDER_UPDATE["o"], "X": "FILLED"}}
    )

    assert resting is not None
    assert filled is not None
    assert isinstance(resting.order, OrderSeen)
    assert (resting.order.size, resting.order.stop_price, resting.order.reduce_only) == (
        -0.001,
        7103.04,
        True,
    )
    assert filled.order == OrderGone("8886774")


def test_a_cancelled_conditional_order_is_gone() -> None:
    update = payloads.parse_user_event(samples.ALGO_UPDATE)

    assert update is not None
    assert update.order == OrderGone(AlgoKey("2148719"))


def test_a_changed_leverage_asks_for_rest_and_an_unknown_event_for_nothing() -> None:
    update = payloads.parse_user_event(samples.CONFIG_UPDATE)

    assert update is not None
    assert update.stale
    assert payloads.parse_user_event({"e": "STRATEGY_UPDATE"}) is None


@pytest.mark.parametrize("value", ["NaN", "inf", "-Infinity", float("nan"), "soon", True, [1]])
@pytest.mark.parametrize(
    ("parse", "sample", "field"),
    [
        (payloads.parse_trade, samples.TRADE, "p"),
        (payloads.parse_mark, samples.MARK, "p"),
        (payloads.parse_mark, samples.MARK, "r"),
        (payloads.parse_premium_index, samples.PREMIUM_INDEX, "markPrice"),
        (payloads.parse_open_interest, samples.OPEN_INTEREST, "openInterest"),
        (parse_account, samples.ACCOUNT, "totalMaintMargin"),
    ],
)
def test_a_number_that_is_not_one_is_refused(
    parse: Callable[[Any], Any], sample: samples.Sample, field: str, value: object
) -> None:
    with pytest.raises(MalformedFrameError):
        parse({**sample, field: value})


@pytest.mark.parametrize(
    ("parse", "row", "field"),
    [
        (payloads.parse_positions, samples.POSITION_V3, "liquidationPrice"),
        (payloads.parse_positions, samples.POSITION_V3, "positionAmt"),
        (payloads.parse_open_orders, samples.OPEN_ORDER, "price"),
        (payloads.parse_open_algo_orders, samples.OPEN_ALGO_ORDER, "triggerPrice"),
    ],
)
def test_a_row_with_a_number_that_is_not_one_is_refused(
    parse: Callable[[Any], Any], row: samples.Sample, field: str
) -> None:
    with pytest.raises(MalformedFrameError):
        parse([{**row, field: "NaN"}])


@pytest.mark.parametrize("field", ["U", "u", "pu", "b", "a"])
def test_a_diff_without_one_of_its_fields_is_refused(field: str) -> None:
    with pytest.raises(MalformedFrameError):
        payloads.parse_depth({key: value for key, value in samples.DEPTH.items() if key != field})


@pytest.mark.parametrize("price", ["0", "-1"])
def test_a_price_that_is_not_positive_is_refused(price: str) -> None:
    with pytest.raises(MalformedFrameError):
        payloads.parse_mark({**samples.MARK, "p": price})


@pytest.mark.parametrize("written", ["BTCUSDT", "btc/usdt", "BTC/USDT", "BTC/USDTT:USDT"])
def test_an_unknown_symbol_is_named_with_those_that_look_like_it(written: str) -> None:
    error = unknown_symbol("binanceusdm", written, ["ETH/USDT:USDT", "BTC/USDT:USDT", "WIF/USDT:USDT"])

    assert repr(written) in error.detail
    assert "did you mean BTC/USDT:USDT" in error.detail
