"""The account feed over the real ccxt.pro, reading Bybit from a venue on loopback."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.simulation import Fault, FaultKind, LoopbackVenue
from guard.events import (
    AccountSnapshot,
    MarginMode,
    Pooling,
    Position,
    Stream,
    StreamFault,
    StreamFaultKind,
)
from tests.adapters.exchanges.bybit.stage import BTC, MAIN, settings, until_fault
from tests.adapters.simulation.bybit.clients import SYMBOL
from tests.adapters.simulation.clients import client as binance_client
from tests.support.eventually import eventually
from tests.support.exchange_feeds import ACCOUNT, feeds_for, running


def is_flat(snapshot: AccountSnapshot) -> bool:
    return not snapshot.positions


def the_position(snapshot: AccountSnapshot) -> Position:
    (position,) = snapshot.positions
    return position


def is_whole(snapshot: AccountSnapshot) -> bool:
    """Whether the stream and REST have told what they know."""
    return (
        bool(snapshot.positions)
        and snapshot.maintenance_usd != 0.0
        and the_position(snapshot).liquidation_price is not None
    )


async def test_a_position_is_told_with_all_that_liquidation_needs(venue: LoopbackVenue, trader: Any) -> None:
    _, [feed] = feeds_for(settings(venue, account=True))
    async with running([feed]) as events:
        await events.until(AccountSnapshot, is_flat)
        await trader.set_leverage(10, SYMBOL)
        await trader.create_order(SYMBOL, "market", "sell", 0.5)
        # What the stream moved is known again with the reading after it.
        snapshot = await events.until(
            AccountSnapshot, lambda seen: is_whole(seen) and bool(seen.maintenance_usd)
        )
        state = venue.account_state("main")

    position, own = the_position(snapshot), state.positions[0]
    assert (position.market, position.size, position.leverage) == (BTC, -0.5, 10.0)
    assert (position.margin_mode, position.margin_usd) == (MarginMode.CROSS, None)
    assert position.liquidation_price == pytest.approx(float(own.liquidation_price), rel=1e-9)
    assert position.entry_price == pytest.approx(float(own.entry_price), rel=1e-9)
    assert snapshot.equity_usd == pytest.approx(float(state.equity_usdt), rel=1e-6)
    assert snapshot.wallet_usd == pytest.approx(float(state.wallet_usdt), rel=1e-9)
    maintenance_usd = 0.5 * 60_000 * (0.004 + 0.00055)  # with the fee of closing
    assert snapshot.maintenance_usd == pytest.approx(maintenance_usd, rel=1e-3)
    assert snapshot.pooling is Pooling.ONE_POOL
    assert [held.asset for held in snapshot.collateral or ()] == ["USDT"]
    assert snapshot.margin_ratio == pytest.approx(maintenance_usd / float(state.equity_usdt), rel=1e-2)
    assert (position.settle, position.adl_rank) == ("USDT", 0.2)
    assert events.faults(StreamFaultKind.RECONCILED) == []


async def test_the_margin_of_an_isolated_position_is_told(venue: LoopbackVenue, trader: Any) -> None:
    await trader.set_margin_mode("isolated")
    await trader.create_order(SYMBOL, "market", "buy", 0.1)
    _, [feed] = feeds_for(settings(venue, account=True))
    async with running([feed]) as events:
        snapshot = await events.until(AccountSnapshot, is_whole)

    position = the_position(snapshot)
    assert position.margin_mode is MarginMode.ISOLATED
    assert position.margin_usd == pytest.approx(0.1 * 60_000 / 20, rel=1e-3)
    assert snapshot.maintenance_usd is None
    assert position.liquidation_price == pytest.approx(
        float(venue.account_state("main").positions[0].liquidation_price)
    )


async def test_a_fill_is_told_by_the_stream_before_rest_is_asked(venue: LoopbackVenue, trader: Any) -> None:
    _, [feed] = feeds_for(settings(venue, account=True, account_poll_s=60.0))
    async with running([feed]) as events:
        await events.until(AccountSnapshot, is_flat)
        await eventually(
            lambda: any("position" in connection.names for connection in venue.connections), within_s=10.0
        )
        await trader.create_order(SYMBOL, "market", "buy", 0.1)
        first = await events.until(AccountSnapshot, lambda seen: not is_flat(seen))

    assert the_position(first).size == 0.1
    assert first.exchange_at is not None  # by the stream
    assert the_position(first).leverage == 20.0


async def test_stops_and_orders_come_and_go(venue: LoopbackVenue, trader: Any) -> None:
    _, [feed] = feeds_for(settings(venue, account=True, orders_poll_s=60.0))
    async with running([feed]) as events:
        await events.until(AccountSnapshot, is_flat)
        await trader.create_order(SYMBOL, "market", "buy", 0.1)
        stop = await trader.create_order(
            SYMBOL,
            "market",
            "sell",
            0.1,
            None,
            {"triggerPrice": 50_000.0, "triggerDirection": "descending", "reduceOnly": True},
        )
        await trader.create_order(SYMBOL, "limit", "buy", 0.02, 40_000.0)
        both = await events.until(AccountSnapshot, lambda seen: len(seen.orders or ()) == 2)
        await trader.cancel_order(stop["id"], SYMBOL)
        one = await events.until(
            AccountSnapshot, lambda seen: len(seen.orders or ()) == 1 and seen.received_at > both.received_at
        )

    assert both.orders is not None
    orders = {order.stop_price: order for order in both.orders}
    assert (orders[50_000.0].size, orders[50_000.0].reduce_only) == (-0.1, True)
    assert (orders[None].price, orders[None].size) == (40_000.0, 0.02)
    assert one.orders is not None
    assert one.orders[0].price == 40_000.0
    assert events.faults(StreamFaultKind.RECONCILED) == []


async def test_a_stop_that_closes_the_whole_position_is_as_large_as_it(venue: LoopbackVenue) -> None:
    """The trader trades in Binance's words, as bots do on every loopback venue; the guard reads Bybit's."""
    async with binance_client(venue, ACCOUNT, urls=venue.trading_urls()) as exchange:
        await exchange.create_order(SYMBOL, "market", "buy", 0.1)
        await exchange.create_order(
            SYMBOL, "market", "sell", None, None, {"stopPrice": 50_000.0, "closePosition": True}
        )
    _, [feed] = feeds_for(settings(venue, account=True))
    async with running([feed]) as events:
        seen = await events.until(AccountSnapshot, lambda seen: bool(seen.orders) and not is_flat(seen))

    assert seen.orders is not None
    (order,) = seen.orders
    assert (order.stop_price, order.reduce_only, order.size) == (50_000.0, True, -0.1)


async def test_what_the_stream_lost_is_taken_from_rest_and_told(venue: LoopbackVenue, trader: Any) -> None:
    _, [feed] = feeds_for(settings(venue, account=True))
    async with running([feed]) as events:
        await events.until(AccountSnapshot, is_flat)
        await eventually(
            lambda: any("position" in connection.names for connection in venue.connections), within_s=10.0
        )
        venue.go_silent()
        await trader.create_order(SYMBOL, "market", "buy", 0.1)
        reconciled = await until_fault(events, StreamFaultKind.RECONCILED, Stream.ACCOUNT, MAIN)
        venue.go_silent(silent=False)
        await until_fault(events, StreamFaultKind.RECONNECTED, Stream.ACCOUNT, MAIN)

    assert "position BTC/USDT:USDT: stream 0, REST 0.1" in reconciled.detail


async def test_a_refused_key_is_told_without_itself_and_tried_again(venue: LoopbackVenue) -> None:
    venue.refuse_keys()
    _, [feed] = feeds_for(settings(venue, account=True))
    async with running([feed]) as events:
        refused = await until_fault(events, StreamFaultKind.REFUSED, Stream.ACCOUNT, MAIN)
        venue.refuse_keys(refuse=False)
        await until_fault(events, StreamFaultKind.RECONNECTED, Stream.ACCOUNT, MAIN)
        await events.until(AccountSnapshot)

    assert "make a new read-only key" in refused.detail
    assert ACCOUNT.api_secret not in refused.detail
    assert ACCOUNT.api_key not in refused.detail


async def test_a_clock_that_was_moved_is_measured_again(venue: LoopbackVenue) -> None:
    _, [feed] = feeds_for(settings(venue, account=True))
    async with running([feed]) as events:
        await events.until(AccountSnapshot)
        venue.misbehave(Fault(kind=FaultKind.CLOCK_SKEW, offset_s=30.0))
        lost = await until_fault(events, StreamFaultKind.DISCONNECTED, Stream.ACCOUNT, MAIN)
        await until_fault(events, StreamFaultKind.RECONNECTED, Stream.ACCOUNT, MAIN)

    assert "10002" in lost.detail


async def test_a_login_goes_by_the_venues_clock(venue: LoopbackVenue) -> None:
    venue.misbehave(Fault(kind=FaultKind.CLOCK_SKEW, offset_s=60.0))
    _, [feed] = feeds_for(settings(venue, account=True))
    async with running([feed]) as events:
        await events.until(AccountSnapshot)
        await eventually(lambda: any("position" in each.names for each in venue.connections), within_s=10.0)

    assert events.of(StreamFault) == []


async def test_cut_connections_lose_nothing(venue: LoopbackVenue, trader: Any) -> None:
    _, [feed] = feeds_for(settings(venue, account=True, account_poll_s=60.0))
    async with running([feed]) as events:
        await events.until(AccountSnapshot, is_flat)
        await eventually(lambda: any(c.account for c in venue.connections), within_s=10.0)
        venue.drop_connections()
        await trader.create_order(SYMBOL, "market", "buy", 0.1)
        await until_fault(events, StreamFaultKind.DISCONNECTED, Stream.ACCOUNT, MAIN)
        seen = await events.until(AccountSnapshot, lambda seen: not is_flat(seen))
        await until_fault(events, StreamFaultKind.RECONNECTED, Stream.ACCOUNT, MAIN)

    assert the_position(seen).size == 0.1
