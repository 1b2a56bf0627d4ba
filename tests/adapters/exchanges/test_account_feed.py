"""The account feed over the real ccxt.pro and real accounts of a venue on loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from adapters.clock import SystemClock
from adapters.exchanges.binance import connect_account
from adapters.exchanges.binance.account import BinanceAccount
from adapters.exchanges.ccxt_session import Credentials, Markets
from adapters.simulation import LoopbackVenue, generated_source
from guard.events import (
    AccountSnapshot,
    MarginMode,
    MarketFeatures,
    Pooling,
    Position,
    PositionSource,
    Stream,
    StreamActivity,
    StreamFault,
    StreamFaultKind,
)
from guard.units import AccountId, MarketId
from tests.adapters.exchanges.hyperliquid.sinks import QuietSink
from tests.adapters.simulation.clients import client
from tests.support.eventually import eventually
from tests.support.exchange_feeds import ACCOUNT, Events, feeds_for, running, settings_for

MAIN = AccountId("binanceusdm:main")
BTC = MarketId("binanceusdm:BTC/USDT:USDT")
SYMBOL = "BTC/USDT:USDT"


@pytest.fixture
async def venue() -> AsyncIterator[LoopbackVenue]:
    source = generated_source("calm", seed=1, duration_s=600.0)
    async with LoopbackVenue(source, accounts=[ACCOUNT]) as started:
        yield started


@pytest.fixture
async def trader(venue: LoopbackVenue) -> AsyncIterator[Any]:
    """The trader's own client, which places orders; the guard's only reads."""
    from ccxt.pro import binanceusdm

    client = binanceusdm(
        {
            "apiKey": ACCOUNT.api_key,
            "secret": ACCOUNT.api_secret,
            "urls": venue.ccxt_urls(),
            "enableRateLimit": False,
        }
    )
    await client.load_markets()
    client.timeout_on_exit = 0
    yield client
    await client.close()


def is_flat(snapshot: AccountSnapshot) -> bool:
    return not snapshot.positions


def the_position(snapshot: AccountSnapshot) -> Position:
    (position,) = snapshot.positions
    return position


def latest(events: Events) -> AccountSnapshot | None:
    snapshots = events.of(AccountSnapshot)
    return snapshots[-1] if snapshots else None


async def until_fault(events: Events, kind: StreamFaultKind) -> StreamFault:
    return await events.until(StreamFault, lambda fault: fault.fault is kind and fault.subject == MAIN)


async def test_an_account_is_told_whole_and_again_and_again(venue: LoopbackVenue) -> None:
    _, [feed] = feeds_for(settings_for(venue.ccxt_urls(), account=True))
    async with running([feed]) as events:
        await eventually(lambda: len(events.of(AccountSnapshot)) >= 4, within_s=15.0, what=events.tail())
        activity = await events.until(StreamActivity)

    snapshot = events.of(AccountSnapshot)[-1]
    assert snapshot.account == MAIN
    assert snapshot.source is PositionSource.VENUE
    assert (snapshot.wallet_usd, snapshot.equity_usd) == (10_000.0, 10_000.0)
    assert (snapshot.positions, snapshot.orders) == ((), ())
    assert (activity.subject, activity.stream) == (MAIN, Stream.ACCOUNT)
    assert events.of(StreamFault) == []


async def test_a_position_is_told_with_all_that_liquidation_needs(venue: LoopbackVenue, trader: Any) -> None:
    _, [feed] = feeds_for(settings_for(venue.ccxt_urls(), account=True))
    async with running([feed]) as events:
        await events.until(AccountSnapshot, is_flat)
        await trader.set_leverage(10, SYMBOL)
        await trader.create_order(SYMBOL, "market", "sell", 0.5)
        await events.until(
            AccountSnapshot,
            lambda seen: (
                bool(seen.positions)
                and the_position(seen).liquidation_price is not None
                and the_position(seen).leverage is not None
            ),
        )
        snapshot = events.of(AccountSnapshot)[-1]
        state = venue.account_state("main")

    position = the_position(snapshot)
    assert (position.market, position.size, position.leverage) == (BTC, -0.5, 10.0)
    assert position.margin_mode is MarginMode.CROSS
    assert position.margin_usd is None
    assert position.liquidation_price == pytest.approx(
        float(state.positions[0].liquidation_price or 0), rel=1e-3
    )
    assert position.entry_price == pytest.approx(60_000, rel=0.05)
    assert snapshot.equity_usd == pytest.approx(float(state.equity_usdt), rel=1e-3)
    assert snapshot.wallet_usd is not None
    assert snapshot.wallet_usd < 10_000.0  # the fee
    assert snapshot.maintenance_usd is not None
    assert snapshot.maintenance_usd > 0.0
    assert events.faults(StreamFaultKind.RECONCILED) == []


async def test_a_fill_is_told_by_the_stream_before_rest_is_asked(venue: LoopbackVenue, trader: Any) -> None:
    settings = settings_for(venue.ccxt_urls(), account=True, account_poll_s=60.0)
    _, [feed] = feeds_for(settings)
    async with running([feed]) as events:
        await events.until(AccountSnapshot, is_flat)
        await events.until(StreamActivity)
        await trader.create_order(SYMBOL, "market", "buy", 0.1)
        first = await events.until(AccountSnapshot, lambda seen: not is_flat(seen))

    assert the_position(first).size == 0.1
    assert first.exchange_at is not None
    assert the_position(first).liquidation_price is None  # not known yet, and never safe


async def test_stops_and_orders_come_and_go(venue: LoopbackVenue, trader: Any) -> None:
    _, [feed] = feeds_for(settings_for(venue.ccxt_urls(), account=True, orders_poll_s=60.0))
    async with running([feed]) as events:
        await events.until(AccountSnapshot, is_flat)
        await trader.create_order(SYMBOL, "market", "buy", 0.1)
        stop = await trader.create_order(
            SYMBOL, "market", "sell", 0.1, None, {"stopPrice": 50_000.0, "reduceOnly": True}
        )
        await trader.create_order(SYMBOL, "limit", "buy", 0.2, 40_000.0)
        both = await events.until(AccountSnapshot, lambda seen: len(seen.orders or ()) == 2)
        await trader.cancel_order(stop["id"], SYMBOL, {"trigger": True})
        one = await events.until(
            AccountSnapshot, lambda seen: len(seen.orders or ()) == 1 and seen.received_at > both.received_at
        )

    assert both.orders is not None
    orders = {order.stop_price: order for order in both.orders}
    assert orders[50_000.0].size == -0.1
    assert orders[50_000.0].reduce_only
    assert (orders[None].price, orders[None].size) == (40_000.0, 0.2)
    assert one.orders is not None
    assert one.orders[0].price == 40_000.0
    assert events.faults(StreamFaultKind.RECONCILED) == []


async def test_orders_that_were_there_before_are_found_over_rest(venue: LoopbackVenue, trader: Any) -> None:
    await trader.create_order(SYMBOL, "market", "buy", 0.1)
    await trader.create_order(
        SYMBOL, "market", "sell", 0.1, None, {"stopPrice": 50_000.0, "closePosition": True}
    )
    _, [feed] = feeds_for(settings_for(venue.ccxt_urls(), account=True))
    async with running([feed]) as events:
        seen = await events.until(AccountSnapshot, lambda seen: bool(seen.orders) and not is_flat(seen))

    assert seen.orders is not None
    (order,) = seen.orders
    assert (order.stop_price, order.reduce_only, order.size) == (50_000.0, True, -0.1)


async def test_a_refused_key_is_told_and_market_data_goes_on(venue: LoopbackVenue) -> None:
    venue.refuse_keys()
    market, accounts = feeds_for(settings_for(venue.ccxt_urls(), account=True))
    async with running([market, *accounts]) as events:
        refused = await until_fault(events, StreamFaultKind.REFUSED)
        await events.until(MarketFeatures)
        events.forget()
        await events.until(MarketFeatures)
        venue.refuse_keys(refuse=False)
        await until_fault(events, StreamFaultKind.RECONNECTED)
        await events.until(AccountSnapshot)

    assert "make a new read-only key" in refused.detail
    assert ACCOUNT.api_secret not in refused.detail
    assert ACCOUNT.api_key not in refused.detail


async def test_a_key_that_is_refused_later_is_a_refusal_too(venue: LoopbackVenue) -> None:
    _, [feed] = feeds_for(settings_for(venue.ccxt_urls(), account=True))
    async with running([feed]) as events:
        await events.until(AccountSnapshot)
        venue.refuse_keys()
        await until_fault(events, StreamFaultKind.REFUSED)


async def test_an_expired_listen_key_is_renewed(venue: LoopbackVenue, trader: Any) -> None:
    settings = settings_for(venue.ccxt_urls(), account=True, account_poll_s=60.0)
    _, [feed] = feeds_for(settings)
    async with running([feed]) as events:
        await events.until(AccountSnapshot, is_flat)
        await events.until(StreamActivity)
        venue.expire_listen_keys()
        await until_fault(events, StreamFaultKind.DISCONNECTED)
        await until_fault(events, StreamFaultKind.RECONNECTED)
        await trader.create_order(SYMBOL, "market", "buy", 0.1)
        seen = await events.until(AccountSnapshot, lambda seen: not is_flat(seen))

    assert seen.exchange_at is not None  # by the stream


async def test_what_the_stream_lost_is_taken_from_rest_and_told(venue: LoopbackVenue, trader: Any) -> None:
    _, [feed] = feeds_for(settings_for(venue.ccxt_urls(), account=True))
    async with running([feed]) as events:
        await events.until(AccountSnapshot, is_flat)
        await events.until(StreamActivity)
        venue.go_silent()
        await trader.create_order(SYMBOL, "market", "buy", 0.1)
        reconciled = await until_fault(events, StreamFaultKind.RECONCILED)
        seen = await events.until(AccountSnapshot, lambda seen: not is_flat(seen))
        venue.go_silent(silent=False)
        await until_fault(events, StreamFaultKind.RECONNECTED)

    assert the_position(seen).size == 0.1
    assert "position BTC/USDT:USDT: stream 0, REST 0.1" in reconciled.detail


async def test_cut_connections_lose_nothing(venue: LoopbackVenue, trader: Any) -> None:
    _, [feed] = feeds_for(settings_for(venue.ccxt_urls(), account=True))
    async with running([feed]) as events:
        await events.until(AccountSnapshot, is_flat)
        venue.drop_connections()
        await trader.create_order(SYMBOL, "market", "buy", 0.1)
        await until_fault(events, StreamFaultKind.RECONNECTED)
        await events.until(AccountSnapshot, lambda seen: not is_flat(seen))
        await trader.create_order(SYMBOL, "market", "sell", 0.1)
        await eventually(lambda: (seen := latest(events)) is not None and is_flat(seen), what=events.tail())


async def test_the_venue_itself_says_that_a_key_may_trade_and_the_account_stays_unknown() -> None:
    source = generated_source("calm", seed=1, duration_s=600.0)
    strong = replace(ACCOUNT, key_may_trade=True)
    async with LoopbackVenue(source, accounts=[strong]) as venue:
        _, [feed] = feeds_for(settings_for(venue.ccxt_urls(), account=True))
        async with running([feed]) as events:
            refused = await until_fault(events, StreamFaultKind.REFUSED)

    assert "the key may trade (enableFutures)" in refused.detail
    assert events.of(AccountSnapshot) == []


async def test_collateral_is_told_asset_by_asset_and_follows_the_accounts_mode() -> None:
    rich = replace(ACCOUNT, collateral={"BTC": 0.1})
    source = generated_source("calm", seed=1, duration_s=600.0)
    async with LoopbackVenue(source, accounts=[rich]) as venue:
        _, [feed] = feeds_for(settings_for(venue.ccxt_urls(), account=True, account_poll_s=60.0))
        async with running([feed]) as events, client(venue, ACCOUNT) as exchange:
            flat = await events.until(AccountSnapshot, is_flat)
            await exchange.create_order(SYMBOL, "market", "buy", 0.5)
            first = await events.until(AccountSnapshot, lambda seen: bool(seen.positions))
            whole = await events.until(
                AccountSnapshot, lambda seen: bool(seen.positions) and seen.margin_ratio is not None
            )
            state = venue.account_state("main")
            price, haircut = venue.asset_price("BTC"), 0.05

    usdt, btc = flat.collateral or ()
    assert flat.pooling is Pooling.ONE_POOL
    assert (usdt.asset, usdt.quantity, usdt.venue_price_usd) == ("USDT", 10_000.0, 1.0)
    assert (btc.asset, btc.quantity, btc.venue_haircut) == ("BTC", 0.1, haircut)
    assert btc.venue_price_usd == pytest.approx(price, rel=0.05)
    # The stream tells that something moved, and not what the whole of it comes to.
    assert (first.margin_ratio, first.maintenance_usd, the_position(first).liquidation_price) == (
        None,
        None,
        None,
    )
    position = the_position(whole)
    assert (position.settle, position.adl_rank, position.margin_mode) == ("USDT", 0.25, MarginMode.CROSS)
    assert whole.margin_ratio == pytest.approx(
        (whole.maintenance_usd or 0.0) / float(state.equity_usdt), rel=1e-2
    )
    assert events.faults(StreamFaultKind.RECONCILED) == []


async def test_another_mode_is_asked_for_once_the_stream_says_that_it_changed() -> None:
    rich = replace(ACCOUNT, collateral={"BTC": 0.1})
    source = generated_source("calm", seed=1, duration_s=600.0)
    async with LoopbackVenue(source, accounts=[rich]) as venue, client(venue, ACCOUNT) as exchange:
        credentials = Credentials(ACCOUNT.api_key, ACCOUNT.api_secret)
        settings = settings_for(venue.ccxt_urls(), account=True)
        connection = await connect_account(
            settings, "main", credentials, QuietSink(), SystemClock(), Markets()
        )
        try:
            await connection.load()
            told = [await connection.read(orders=False)]
            await exchange.fapiPrivatePostMultiAssetsMargin({"multiAssetsMargin": "false"})
            assert isinstance(connection, BinanceAccount)
            connection.take("", {"e": "ACCOUNT_CONFIG_UPDATE", "E": 1, "T": 1, "ai": {"j": False}})
            told.append(await connection.read(orders=False))
        finally:
            await connection.close()

    assert [reading.totals.pooling for reading in told] == [Pooling.ONE_POOL, Pooling.BY_SETTLE_ASSET]
    held = {each.asset: each for each in told[1].totals.collateral or ()}
    assert (held["BTC"].quantity, held["BTC"].venue_price_usd) == (0.1, None)
