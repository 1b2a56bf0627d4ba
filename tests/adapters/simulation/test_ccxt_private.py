"""The unmodified ccxt.pro client on its account: orders, positions, balance, refusals."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from adapters.simulation import LoopbackVenue, VenueAccountSpec, generated_source
from tests.adapters.simulation.clients import ALICE, BOB, CODE, SYMBOL, client
from tests.adapters.simulation.steady import SteadySource
from tests.support.eventually import eventually


@pytest.fixture
async def venue() -> AsyncIterator[LoopbackVenue]:
    """A market that stands still."""
    async with LoopbackVenue(SteadySource(), accounts=[ALICE, BOB]) as running:
        yield running


@pytest.fixture
async def alice(venue: LoopbackVenue) -> AsyncIterator[Any]:
    async with client(venue, ALICE) as exchange:
        await exchange.load_markets()
        yield exchange


async def test_the_balance_is_the_wallet(alice: Any) -> None:
    balance = await alice.fetch_balance()

    assert balance["USDT"] == {"free": 10_000.0, "used": 0.0, "total": 10_000.0}
    assert (await alice.fetch_balance({"useV2": True}))["USDT"]["total"] == 10_000.0
    (raw,) = await alice.fapiPrivateV2GetBalance()
    assert (raw["asset"], raw["balance"], raw["availableBalance"]) == (
        "USDT",
        "10000.00000000",
        "10000.00000000",
    )


async def test_a_market_order_makes_a_position(venue: LoopbackVenue, alice: Any) -> None:
    order = await alice.create_order(SYMBOL, "market", "buy", 0.5)

    assert (order["status"], order["filled"], order["average"]) == ("closed", 0.5, 60_000.5)
    for useV2 in (False, True):  # noqa: N806 - ccxt's name
        (position,) = [p for p in await alice.fetch_positions([SYMBOL], {"useV2": useV2}) if p["contracts"]]
        assert (position["side"], position["contracts"], position["entryPrice"]) == ("long", 0.5, 60_000.5)
        assert position["marginMode"] == "cross"
        assert position["liquidationPrice"] == pytest.approx(
            float(venue.account_state("alice").positions[0].liquidation_price)
        )
    balance = await alice.fetch_balance()
    assert balance["USDT"]["total"] == pytest.approx(10_000 - 0.5 * 60_000.5 * 0.0005 - 0.25)
    (trade,) = await alice.fetch_my_trades(SYMBOL)
    assert (trade["order"], trade["fee"]["cost"]) == (order["id"], pytest.approx(15.000125))
    assert [o["id"] for o in await alice.fetch_orders(SYMBOL)] == [order["id"]]


async def test_limit_orders_are_listed_found_and_cancelled(venue: LoopbackVenue, alice: Any) -> None:
    import ccxt

    first = await alice.create_order(SYMBOL, "limit", "buy", 0.1, 59_000, {"clientOrderId": "mine"})
    await alice.create_order(SYMBOL, "limit", "buy", 0.1, 58_000)
    assert (first["status"], first["clientOrderId"]) == ("open", "mine")
    assert len(await alice.fetch_open_orders(SYMBOL)) == 2
    assert len(await alice.fapiPrivateGetOpenOrders()) == 2
    assert (await alice.fetch_order(first["id"], SYMBOL))["status"] == "open"

    assert (await alice.cancel_order(first["id"], SYMBOL))["status"] == "canceled"
    with pytest.raises(ccxt.OrderNotFound, match="-2011"):
        await alice.cancel_order(first["id"], SYMBOL)
    with pytest.raises(ccxt.OrderNotFound, match="-2013"):
        await alice.fetch_order("77", SYMBOL)
    await alice.cancel_all_orders(SYMBOL)

    assert venue.account_state("alice").open_orders == ()


async def test_stops_go_the_way_ccxt_sends_them(venue: LoopbackVenue, alice: Any) -> None:
    await alice.create_order(SYMBOL, "market", "buy", 0.5)

    stop = await alice.create_order(
        SYMBOL, "STOP_MARKET", "sell", None, None, {"stopPrice": 59_000, "closePosition": True}
    )
    sized = await alice.create_order(
        SYMBOL,
        "market",
        "sell",
        0.2,
        None,
        {"stopLossPrice": 58_500, "reduceOnly": True, "workingType": "MARK_PRICE"},
    )
    profit = await alice.create_order(
        SYMBOL, "TAKE_PROFIT_MARKET", "sell", 0.5, None, {"takeProfitPrice": 62_000, "reduceOnly": True}
    )

    listed = await alice.fetch_open_orders(SYMBOL, params={"trigger": True})
    assert {order["id"]: (order["type"], order["triggerPrice"]) for order in listed} == {
        stop["id"]: ("market", 59_000.0),
        sized["id"]: ("market", 58_500.0),
        profit["id"]: ("market", 62_000.0),
    }
    states = {order.trigger_price: order for order in venue.account_state("alice").open_orders}
    assert states[59_000].close_position  # type: ignore[index]
    assert (await alice.fetch_order(stop["id"], SYMBOL, {"trigger": True}))["status"] == "open"
    await alice.cancel_order(stop["id"], SYMBOL, {"trigger": True})
    await alice.cancel_all_orders(SYMBOL, {"trigger": True})
    assert venue.account_state("alice").open_orders == ()


async def test_a_reduce_only_order_never_opens(alice: Any) -> None:
    import ccxt

    with pytest.raises(ccxt.ExchangeError, match="-2022"):
        await alice.create_order(SYMBOL, "market", "sell", 0.1, None, {"reduceOnly": True})

    await alice.create_order(SYMBOL, "market", "buy", 0.1)
    order = await alice.create_order(SYMBOL, "market", "sell", 0.5, None, {"reduceOnly": True})

    assert order["filled"] == 0.1
    assert [p for p in await alice.fetch_positions() if p["contracts"]] == []


async def test_leverage_tiers_and_margin_settings(alice: Any) -> None:
    import ccxt

    tiers = (await alice.fetch_leverage_tiers([SYMBOL]))[SYMBOL]
    assert tiers[0]["maxLeverage"] == 125.0
    assert [tier["maintenanceMarginRate"] for tier in tiers[:3]] == [0.004, 0.005, 0.01]

    await alice.set_leverage(7, SYMBOL)
    await alice.set_margin_mode("isolated", SYMBOL)
    leverage = await alice.fetch_leverage(SYMBOL)
    assert (leverage["longLeverage"], leverage["marginMode"]) == (7, "isolated")
    assert (await alice.fetch_position_mode(SYMBOL))["hedged"] is False
    with pytest.raises(ccxt.ExchangeError, match="-4046"):
        await alice.fapiPrivatePostMarginType({"symbol": CODE, "marginType": "ISOLATED"})
    with pytest.raises(ccxt.ExchangeError, match="-4028"):
        await alice.fapiPrivatePostLeverage({"symbol": CODE, "leverage": 126})
    with pytest.raises(ccxt.ExchangeError, match="-4059"):
        await alice.set_position_mode(False)

    await alice.create_order(SYMBOL, "market", "buy", 0.07)
    await alice.add_margin(SYMBOL, 100)
    (position,) = await alice.fetch_positions([SYMBOL])
    assert (position["marginMode"], position["info"]["isolatedWallet"]) == ("isolated", "700.00500000")
    with pytest.raises(ccxt.ExchangeError, match="-4051"):
        await alice.reduce_margin(SYMBOL, 500)


async def test_what_the_wallet_cannot_carry_is_refused(alice: Any) -> None:
    import ccxt

    # ccxt's own InsufficientFunds needs Binance's host name in the URL; the code is in the text.
    with pytest.raises(ccxt.ExchangeError, match="-2019"):
        await alice.create_order(SYMBOL, "market", "buy", 5)


async def test_the_private_stream_tells_orders_positions_and_balance(alice: Any) -> None:
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        orders = group.create_task(alice.watch_orders(SYMBOL))
        positions = group.create_task(alice.watch_positions([SYMBOL]))
        balance = group.create_task(alice.watch_balance())
        trades = group.create_task(alice.watch_my_trades(SYMBOL))
        snapshot = await positions  # empty: ccxt asks by REST first
        positions = group.create_task(alice.watch_positions([SYMBOL]))
        await eventually(lambda: any(c.isConnected for u, c in alice.clients.items() if "private" in u))
        await alice.create_order(SYMBOL, "market", "sell", 0.25)

    assert snapshot == []
    assert orders.result()[-1]["symbol"] == SYMBOL
    assert [(p["side"], p["contracts"]) for p in positions.result()] == [("short", 0.25)]
    assert balance.result()["USDT"]["total"] == pytest.approx(10_000 - 7.5, abs=0.01)
    (trade,) = trades.result()
    assert (trade["side"], trade["amount"], trade["takerOrMaker"]) == ("sell", 0.25, "taker")
    assert await eventually(lambda: next(iter(alice.orders))["status"] == "closed")


@pytest.mark.parametrize(
    ("key", "secret", "code"),
    [("key-alice", "not the secret", "-1022"), ("key-nobody", "secret-alice", "-2015")],
)
async def test_a_wrong_key_or_signature_is_refused(
    venue: LoopbackVenue, key: str, secret: str, code: str
) -> None:
    import ccxt

    async with client(venue, VenueAccountSpec("x", key, secret)) as exchange:
        with pytest.raises(ccxt.AuthenticationError, match=code):
            await exchange.fetch_balance()
        with pytest.raises(ccxt.AuthenticationError, match=code):
            await exchange.create_order(SYMBOL, "market", "buy", 1)
    assert venue.account_state("alice").fills == 0


async def test_a_clock_that_is_off_is_refused(venue: LoopbackVenue) -> None:
    import ccxt

    async with client(venue, ALICE) as exchange:
        for off_ms in (-60_000, 60_000):
            exchange.options["timeDifference"] = -off_ms
            with pytest.raises(ccxt.InvalidNonce, match="-1021"):
                await exchange.fapiPrivateV3GetAccount()
        exchange.options["timeDifference"] = 0
        assert await exchange.fapiPrivateV3GetAccount()


async def test_an_account_that_fails_in_a_fall_is_liquidated_and_told_so() -> None:
    source = generated_source("fall", seed=4, duration_s=20, calm_share=0.1, thinning_s=1, fall_ratio=0.1)
    venue = LoopbackVenue(source, accounts=[ALICE, BOB], speed=10.0, hold=True)
    async with venue, client(venue, BOB) as bob, client(venue, ALICE) as alice:
        await bob.create_order(SYMBOL, "market", "buy", 0.6)
        await alice.create_order(SYMBOL, "market", "buy", 0.05)
        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            liquidated = group.create_task(bob.watch_my_liquidations(SYMBOL))
            await eventually(lambda: any(c.isConnected for u, c in bob.clients.items() if "private" in u))
            venue.begin()
            await venue.finished()

        assert liquidated.result()[0]["side"] == "sell"
        (liquidation,) = venue.account_state("bob").liquidations
        assert float(liquidation.size) == 0.6
        assert float(venue.account_state("bob").wallet_usdt) == 0.0
        assert (await bob.fetch_balance())["USDT"]["total"] == 0.0
        assert venue.account_state("alice").liquidations == ()
        assert float(venue.account_state("alice").equity_usdt) == pytest.approx(10_000 - 0.05 * 5_650, abs=40)
