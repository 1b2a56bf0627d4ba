"""What each Hyperliquid payload becomes, and that none with a number that is not one gets through."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from adapters.exchanges.hyperliquid import payloads, terms
from adapters.exchanges.hyperliquid.account_payloads import parse_spot
from adapters.exchanges.venue import LiquidationFrame, MarkFrame, OrderGone, OrderSeen, TradeFrame
from guard.errors import MalformedFrameError
from guard.events import LiquidationTold, MarginMode
from tests.adapters.exchanges.hyperliquid.payloads import fixture

NOW = 1_710_131_900_000_000_000
NEXT_HOUR = 1_710_133_200_000_000_000
US = "0x5c902b2eb0e1d9eb9a232014824ae6247df0a480"


def test_a_book_has_the_time_of_its_block_for_an_id() -> None:
    coin, book = payloads.parse_book(fixture("l2_book")["data"])

    assert (coin, book.last_id, book.exchange_at) == ("BTC", 1710131872708, 1710131872708_000_000)
    assert (book.bids, book.asks) == ([["68674.0", "0.97139"]], [["68675.0", "0.04396"]])


def test_a_book_that_was_asked_for_has_its_numbers_as_text() -> None:
    coin, book = payloads.parse_book(fixture("l2_book_rest"))

    assert (coin, book.last_id, book.exchange_at) == ("ETH", 1704290104840, 1704290104840_000_000)
    assert book.asks == [["2216.5", "70.5893"]]


def test_the_side_of_a_trade_is_the_takers() -> None:
    sold = fixture("trades")["data"]
    bought = [{**sold[0], "side": "B"}]

    frame = TradeFrame(notional_usd=-68517.0 * 0.005, exchange_at=1710125266669_000_000)
    assert payloads.parse_trades(sold) == [payloads.Trade("BTC", 981894269203506, frame)]
    assert payloads.parse_trades(bought)[0].frame.notional_usd == 68517.0 * 0.005


def test_a_context_is_mark_oracle_hourly_funding_and_open_interest() -> None:
    context = payloads.parse_context(fixture("active_asset_ctx")["data"], NOW)

    assert context.mark == MarkFrame(14.3161, 14.32, 0.0000125, NEXT_HOUR, None)
    assert (context.open_interest, context.volume_usd) == (688.11, 1169046.29406)


def test_all_contexts_at_once_leave_out_what_has_no_price() -> None:
    contexts = payloads.parse_contexts(fixture("meta_and_asset_ctxs"), NOW)

    assert [(context.coin, context.mark.mark_price) for context in contexts] == [
        ("BTC", 14.3161),
        ("ETH", 6.0436),
        ("ARK", 8.4542),
        ("HPOS", 0.07),
    ]


def test_an_isolated_position_has_its_margin_without_its_profit() -> None:
    told = fixture("clearinghouse_state")
    told["assetPositions"][0]["position"] |= {"unrealizedPnl": "-3.0", "marginUsed": "21.88097"}
    eth = payloads.parse_state(told).positions[0]

    assert (eth.market_code, eth.size, eth.entry_price, eth.leverage) == ("ETH", 0.2259, 2213.9, 20.0)
    assert (eth.margin_mode, eth.liquidation_price) == (MarginMode.ISOLATED, 2125.00856238)
    assert eth.margin_usd == pytest.approx(24.88097)
    assert (eth.margin, eth.settle, eth.adl_rank) == (eth.margin_usd, "USDC", None)
    assert eth.mark_price == pytest.approx(500.12001 / 0.2259)


def test_a_cross_position_without_a_liquidation_price_has_none_that_is_known() -> None:
    btc = payloads.parse_state(fixture("clearinghouse_state")).positions[1]

    assert (btc.size, btc.margin_mode, btc.margin_usd) == (-0.01, MarginMode.CROSS, None)
    assert (btc.liquidation_price, btc.mark_price, btc.unrealised_usd) == (None, 61_000.0, -10.0)
    assert btc.liquidation_told is LiquidationTold.NOT_TOLD


def test_the_wallet_is_the_account_value_without_unrealised_profit() -> None:
    state = payloads.parse_state(fixture("clearinghouse_state"))

    assert state.wallet_usd == pytest.approx(110.0)
    assert state.exchange_at == 1704261007014_000_000


def test_maintenance_of_isolated_positions_is_added_from_their_maximum_leverage() -> None:
    told = fixture("clearinghouse_state")

    assert payloads.parse_state(told).maintenance_usd == pytest.approx(7.625 + 500.12001 / 50)


def test_an_empty_account_is_streamed_in_the_same_shape() -> None:
    state = payloads.parse_state(fixture("clearinghouse_state_ws")["data"]["clearinghouseState"])

    assert (state.wallet_usd, state.maintenance_usd, state.positions) == (0.0, 0.0, ())


def test_orders_keep_their_triggers_and_spot_orders_are_left_out() -> None:
    limit, stop_limit, stop_market, take_profit = payloads.parse_open_orders(fixture("frontend_open_orders"))

    assert limit == OrderSeen("3991946565", "ETH", 0.1, True, price=2000.0)
    assert stop_limit == OrderSeen("8670487141", "BLUR", 20.0, True, price=0.5, stop_price=0.6)
    # Its limit only bounds the slippage: it is no price at which anything would rest.
    assert stop_market == OrderSeen("91490942", "BTC", -0.2, False, stop_price=58_000.0, reduce_only=True)
    assert take_profit.whole_position
    assert (take_profit.size, take_profit.stop_price, take_profit.reduce_only) == (0.0, 70_000.0, True)


def test_of_order_updates_only_ends_are_believed() -> None:
    assert payloads.parse_order_updates(fixture("order_updates")["data"]) == [OrderGone("7456484276")]


def test_only_the_liquidations_of_our_own_positions_are_ours() -> None:
    told = fixture("user_fills")["data"]

    assert payloads.parse_own_liquidations(told, US.upper().replace("0X", "0x")) == [
        ("BTC", LiquidationFrame(0.11693, 72528.0, 0.11693 * 72528.0, 1710208712815_000_000))
    ]
    assert payloads.parse_own_liquidations({**told, "isSnapshot": True}, US) == []


def test_an_api_wallet_says_whom_it_trades_for() -> None:
    assert payloads.parse_role(fixture("user_role_agent")) == (
        "agent",
        "0x15f43d1f2dee81424afd891943262aa90f22cc2a",
    )
    assert payloads.parse_role({"role": "missing"}) == ("missing", None)


def _both(response: Any) -> Any:
    return payloads.parse_contexts(response, NOW), terms.parse_tiers(response)


def data(name: str) -> Any:
    """The part of a fixture that its parser takes."""
    payload = fixture(name)
    return payload["data"] if isinstance(payload, dict) and "channel" in payload else payload


PARSERS: dict[str, Callable[[Any], Any]] = {
    "l2_book": payloads.parse_book,
    "l2_book_rest": payloads.parse_book,
    "trades": payloads.parse_trades,
    "active_asset_ctx": lambda payload: payloads.parse_context(payload, NOW),
    "meta_and_asset_ctxs": _both,
    "clearinghouse_state": payloads.parse_state,
    "spot_clearinghouse_state": parse_spot,
    "frontend_open_orders": payloads.parse_open_orders,
    "order_updates": payloads.parse_order_updates,
    "user_fills": lambda payload: payloads.parse_own_liquidations(payload, US),
    "user_role_agent": payloads.parse_role,
}
LISTS = {"frontend_open_orders", "order_updates", "trades"}

NUMBERS = (
    ("trades", (0, "px")),
    ("trades", (0, "sz")),
    *(("active_asset_ctx", ("ctx", key)) for key in ("markPx", "oraclePx", "funding", "openInterest")),
    *(("meta_and_asset_ctxs", (1, 0, key)) for key in ("markPx", "oraclePx", "funding", "dayNtlVlm")),
    ("meta_and_asset_ctxs", (0, "universe", 0, "marginTableId")),
    ("meta_and_asset_ctxs", (0, "marginTables", 0, 1, "marginTiers", 1, "lowerBound")),
    ("meta_and_asset_ctxs", (0, "marginTables", 0, 1, "marginTiers", 1, "maxLeverage")),
    ("clearinghouse_state", ("marginSummary", "accountValue")),
    ("clearinghouse_state", ("crossMaintenanceMarginUsed",)),
    *(
        ("clearinghouse_state", ("assetPositions", 0, "position", key))
        for key in ("szi", "entryPx", "positionValue", "liquidationPx", "marginUsed", "unrealizedPnl")
    ),
    ("clearinghouse_state", ("assetPositions", 0, "position", "leverage", "value")),
    ("spot_clearinghouse_state", ("balances", 0, "total")),
    *(("frontend_open_orders", (1, key)) for key in ("sz", "limitPx", "triggerPx")),
    *(("user_fills", ("fills", 1, key)) for key in ("px", "sz")),
)
"""Every number that is read, but for levels, which stay text for the book to read and refuse as a whole."""


@pytest.mark.parametrize("name", PARSERS)
@pytest.mark.parametrize("wrong", [None, 7, "text", [], {}, [None], [[], []], {"levels": [1]}], ids=repr)
def test_whatever_else_comes_is_a_malformed_frame_and_never_a_crash(name: str, wrong: Any) -> None:
    PARSERS[name](data(name))

    if wrong == [] and name in LISTS:
        assert PARSERS[name](wrong) == []
    else:
        with pytest.raises(MalformedFrameError):
            PARSERS[name](wrong)


@pytest.mark.parametrize(("name", "path"), NUMBERS, ids=str)
@pytest.mark.parametrize("wrong", ["NaN", "Infinity", "12,5", True], ids=str)
def test_no_number_that_is_not_one_gets_through(
    name: str, path: tuple[str | int, ...], wrong: object
) -> None:
    payload = data(name)
    holder = payload
    for key in path[:-1]:
        holder = holder[key]
    assert path[-1] in holder
    holder[path[-1]] = wrong

    with pytest.raises(MalformedFrameError):
        PARSERS[name](payload)
