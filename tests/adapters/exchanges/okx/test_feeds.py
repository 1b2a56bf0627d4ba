"""The feeds over the real ccxt.pro, reading OKX from a local server of documented frames."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from typing import Any

import pytest

from adapters.clock import SystemClock
from adapters.exchanges import AccountCredentials, VenueSettings
from adapters.exchanges.ccxt_session import Credentials, Markets
from adapters.exchanges.okx import connect_account, connect_market
from adapters.exchanges.okx.market import DIAL_NS, RENEWALS_AN_HOUR
from guard.events import (
    AccountSnapshot,
    BookStatus,
    LiquidationSeen,
    MarginMode,
    MarketFeatures,
    MarkPriceSeen,
    OpenInterestSeen,
    Pooling,
    Stream,
    StreamActivity,
    StreamFault,
    StreamFaultKind,
)
from guard.margin_terms import ContractKind
from guard.units import AccountId, MarketId
from tests.adapters.exchanges.hyperliquid.sinks import QuietSink
from tests.adapters.exchanges.okx.payloads import fixture
from tests.adapters.exchanges.okx.server import BTC as BTC_CODE
from tests.adapters.exchanges.okx.server import ETH as ETH_CODE
from tests.adapters.exchanges.okx.server import KEY, PASSPHRASE, SECRET, OkxServer
from tests.support.eventually import eventually
from tests.support.exchange_feeds import Events, feeds_for, running, settings_for
from tests.support.hand_clock import HandClock

SYMBOL, OTHER = "BTC/USDT:USDT", "ETH/USDT:USDT"
BTC, ETH = MarketId(f"okx:{SYMBOL}"), MarketId(f"okx:{OTHER}")
MAIN = AccountId("okx:main")


@pytest.fixture
async def server() -> AsyncIterator[OkxServer]:
    async with OkxServer() as started:
        started.begins["books"] = fixture("books_snapshot")
        yield started


def settings(
    server: OkxServer, *symbols: str, passphrase: str | None = None, **changes: Any
) -> VenueSettings:
    if passphrase is not None:
        changes["accounts"] = {
            "main": AccountCredentials(
                api_key_env=KEY, api_secret_env=SECRET, password_env=passphrase, trade_keys_allowed=True
            )
        }
    return settings_for(server.urls(), *symbols, **{"id": "okx", **changes})


def update(code: str, previous: int, last: int, bid: str = "8476.97", size: str = "300") -> Any:
    message = fixture("books_update")
    message["arg"]["instId"] = code
    message["data"][0] |= {
        "prevSeqId": previous,
        "seqId": last,
        "bids": [[bid, size, "0", "1"]],
        "asks": [],
    }
    return message


def is_ok(features: MarketFeatures) -> bool:
    return features.status is BookStatus.OK


async def until_ok(events: Events, market: MarketId) -> MarketFeatures:
    return await events.until(MarketFeatures, lambda seen: seen.market == market and is_ok(seen))


async def until_fault(
    events: Events, kind: StreamFaultKind, stream: Stream = Stream.BOOK, subject: str = BTC
) -> StreamFault:
    return await events.until(
        StreamFault, lambda fault: (fault.fault, fault.stream, fault.subject) == (kind, stream, subject)
    )


async def until_subscribed(server: OkxServer, *channels: str) -> None:
    await eventually(lambda: all(server.socket_of(channel) for channel in channels), within_s=10.0)


async def test_everything_that_a_market_says_becomes_an_event_in_base_units(server: OkxServer) -> None:
    best: dict[str, object] = {}
    feed, _ = feeds_for(
        settings(server, SYMBOL, "IOST/USDT:USDT"),
        observer=lambda name, _, book: best.update({name: (book.best_bid(), book.best_ask())}),
    )
    async with running([feed]) as events:
        await until_ok(events, BTC)
        await until_subscribed(server, "trades", "index-tickers", "liquidation-orders", "open-interest")
        for name in ("trades", "index_tickers", "funding_rate", "mark_price", "open_interest"):
            await server.say(fixture(name))
        mark = await events.until(MarkPriceSeen)
        interest = await events.until(OpenInterestSeen)
        liquidations = fixture("liquidation_orders")
        del liquidations["arg"]["instType"]
        await server.say(liquidations)
        await events.until(LiquidationSeen, lambda seen: seen.size == 2_000.0)
        await events.until(StreamActivity, lambda seen: (seen.subject, seen.stream) == (BTC, Stream.TRADES))
        await events.until(MarketFeatures, lambda seen: seen.market == BTC and seen.buy_usd > 0.0)

    assert best[BTC] == ((8476.97, 2.56), (8476.98, 4.15))
    assert (mark.mark_price, mark.index_price) == (42310.6, 42301.2)
    assert (mark.funding_rate, mark.next_funding_at) == (0.0001875391284828, 1700726400000_000_000)
    assert interest.open_interest == pytest.approx(22161.1301)
    seen = [(liquidation.market, liquidation.size) for liquidation in events.of(LiquidationSeen)]
    assert seen == [("okx:IOST/USDT:USDT", size) for size in (-13_000.0, 4_000.0, 2_000.0)]
    assert events.of(StreamFault) == []


async def test_a_lost_update_begins_the_book_of_that_market_alone_again(server: OkxServer) -> None:
    feed, _ = feeds_for(settings(server, SYMBOL, OTHER))
    async with running([feed]) as events:
        for name in (BTC, ETH):
            await until_ok(events, name)
        books = server.socket_of("books")
        assert books is not None
        await server.say(update(BTC_CODE, 123456, 123460))
        await eventually(lambda: feed.counters[BTC].applied == 2)
        await server.say(update(BTC_CODE, 123470, 123480))
        await until_fault(events, StreamFaultKind.SEQUENCE_GAP)
        await events.until(MarketFeatures, lambda seen: seen.status is BookStatus.GAPPED)
        await until_fault(events, StreamFaultKind.RECONNECTED)
        # The whole book came again, and the stream goes on from it.
        await server.say(update(BTC_CODE, 123456, 123490, bid="8476.975"))
        await events.until(MarketFeatures, lambda seen: seen.market == BTC and seen.bid == 8476.975)

        assert books.heard == [
            ("subscribe", [("books", BTC_CODE), ("books", ETH_CODE)]),
            ("unsubscribe", [("books", BTC_CODE)]),
            ("subscribe", [("books", BTC_CODE)]),
        ]
        assert server.closed == []
    assert (feed.counters[BTC].gaps, feed.counters[ETH].gaps) == (1, 0)
    assert {fault.subject for fault in events.of(StreamFault)} == {BTC}


async def test_maintenance_and_a_minute_without_change_are_no_gap(server: OkxServer) -> None:
    feed, _ = feeds_for(settings(server))
    async with running([feed]) as events:
        await until_ok(events, BTC)
        steps = [(123456, 123456), (123456, 123460), (123460, 5), (5, 9)]
        for number, (previous, last) in enumerate(steps):
            await server.say(update(BTC_CODE, previous, last, size=str(300 + number)))
        await eventually(lambda: feed.counters[BTC].applied == 1 + len(steps))
        await server.say(update(BTC_CODE, 4, 6))  # lost: 9 was the last
        await until_fault(events, StreamFaultKind.SEQUENCE_GAP)

    assert feed.counters[BTC].gaps == 1


async def test_a_frame_that_cannot_be_read_stops_nothing(server: OkxServer) -> None:
    feed, _ = feeds_for(settings(server))
    async with running([feed]) as events:
        await until_ok(events, BTC)
        await server.say_text("books", '{"arg":{"channel":"books","instId":"BTC-USDT-SWAP"},"act')
        malformed = await until_fault(events, StreamFaultKind.MALFORMED)
        await server.say_text("books", "[]")
        await server.say(update(BTC_CODE, 123456, 123460, bid="8476.971"))
        await events.until(MarketFeatures, lambda seen: seen.bid == 8476.971)
        assert server.closed == []

    assert "frame begins" in malformed.detail


async def test_a_refused_channel_is_told_and_tried_again(server: OkxServer) -> None:
    server.refuse_channel = "books"
    feed, _ = feeds_for(settings(server))
    async with running([feed]) as events:
        lost = await until_fault(events, StreamFaultKind.DISCONNECTED)
        server.refuse_channel = None
        await until_ok(events, BTC)

    assert "60018" in lost.detail
    assert {each.path for each in server.opened} == {"/ws/v5/public"}


async def test_a_market_that_is_gone_takes_no_other_with_it_and_is_asked_for_again(server: OkxServer) -> None:
    server.refuse_code = ETH_CODE
    clock = HandClock()
    connection = await connect_market(settings(server), QuietSink(), clock, Markets())
    try:
        await connection.load([SYMBOL, OTHER])
        watching = asyncio.create_task(connection.watch(Stream.BOOK, [SYMBOL, OTHER]))
        await until_subscribed(server, "books")
        books = server.socket_of("books")
        assert books is not None
        await clock.advance(61.0)
        await eventually(lambda: books.heard[1:] == [("subscribe", [("books", ETH_CODE)])])
        server.refuse_code = None
        await clock.advance(61.0)
        await eventually(lambda: set(books.topics) == {("books", BTC_CODE), ("books", ETH_CODE)})
        assert not watching.done()
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    finally:
        await connection.close()


async def test_sockets_are_opened_one_after_the_other_and_each_serves_one_stream(server: OkxServer) -> None:
    feed, _ = feeds_for(settings(server))
    async with running([feed]):
        await until_subscribed(server, "books", "trades", "mark-price", "liquidation-orders", "open-interest")
        opened = [each.opened_s for each in server.sockets]
        carried = sorted(sorted(each.channels) for each in server.sockets)

    assert carried == [
        ["books"],
        ["funding-rate", "index-tickers", "mark-price"],
        ["liquidation-orders"],
        ["open-interest"],
        ["trades"],
    ]
    pauses = [later - sooner for sooner, later in itertools.pairwise(opened)]
    assert min(pauses) > DIAL_NS / 1e9 - 0.2


async def test_a_socket_whose_hourly_requests_are_used_up_is_opened_anew(server: OkxServer) -> None:
    sink = QuietSink()
    connection = await connect_market(settings(server), sink, SystemClock(), Markets())
    try:
        await connection.load([SYMBOL])
        watching = asyncio.create_task(connection.watch(Stream.BOOK, [SYMBOL]))
        await until_subscribed(server, "books")
        books = server.socket_of("books")
        assert books is not None
        for _ in range(RENEWALS_AN_HOUR):
            await connection.renew_depth(SYMBOL)
        await eventually(lambda: len(books.heard) == 1 + 2 * RENEWALS_AN_HOUR, within_s=10.0)
        assert not watching.done()
        await connection.renew_depth(SYMBOL)
        with pytest.raises(Exception, match="hourly requests"):
            await watching
        await eventually(lambda: server.closed == [books])
    finally:
        await connection.close()


async def test_inverse_swaps_are_refused_with_the_reason(server: OkxServer) -> None:
    connection = await connect_market(settings(server), QuietSink(), SystemClock(), Markets())
    try:
        known, errors = await connection.load(["BTC/USD:BTC", SYMBOL, "DOGE/USDT:USDT"])
        listed = await connection.list_perpetuals()
        depth = await connection.fetch_depth(SYMBOL)
        interest, _ = await connection.fetch_open_interest(SYMBOL)
        mark = await connection.fetch_mark(SYMBOL)
    finally:
        await connection.close()

    assert known == [SYMBOL]
    assert "margined in coin" in errors[0].detail
    assert "does not list 'DOGE/USDT:USDT'" in errors[1].detail
    assert {market.symbol: market.volume_usd for market in listed}[SYMBOL] == 111_125_000.0
    assert "BTC/USD:BTC" not in [market.symbol for market in listed]
    assert float(depth.bids[0][1]) == pytest.approx(0.3013)
    assert interest == pytest.approx(22161.1301)
    assert (mark.mark_price, mark.funding_rate) == (42310.6, 0.0001875391284828)


# -- the account ----------------------------------------------------------------------------------


async def test_an_account_is_told_whole(server: OkxServer) -> None:
    _, [feed] = feeds_for(settings(server, passphrase=PASSPHRASE))
    async with running([feed]) as events:
        seen = await events.until(
            AccountSnapshot,
            lambda seen: bool(seen.orders),
        )

    # In futures mode: all of it at the venue's price, without discounts.
    assert seen.wallet_usd == pytest.approx(4992.890093622894 + 7.5456 + 25000.5 + 12.0)
    assert seen.equity_usd == pytest.approx((seen.wallet_usd or 0.0) + 0.024 - 77.65 + 0.0012092 * 30_000)
    assert seen.pooling is Pooling.BY_SETTLE_ASSET
    assert [held.asset for held in seen.collateral or ()] == ["USDT", "BTC", "TRX"]
    # Of the account, and of the isolated position.
    assert seen.maintenance_usd == pytest.approx(0.3428274116 + 0.26346)
    by_market = {position.market: position for position in seen.positions}
    cross, isolated = by_market[MarketId("okx:XRP/USDT:USDT")], by_market[BTC]
    assert (cross.size, cross.leverage, cross.margin_mode) == (100.0, 3.0, MarginMode.CROSS)
    assert cross.liquidation_price == 0.3287514731020614
    assert (isolated.size, isolated.margin_usd, isolated.liquidation_price) == (-0.25, 105.5, None)
    inverse = by_market[MarketId("okx:BTC/USD:BTC")]
    assert (inverse.kind, inverse.contracts_usd, inverse.settle) == (ContractKind.INVERSE, 500.0, "BTC")
    assert inverse.liquidation_price == 15123.4
    assert seen.orders is not None
    assert len(seen.orders) == 5
    assert events.faults(StreamFaultKind.DISCONNECTED, StreamFaultKind.REFUSED) == []


async def test_what_the_private_streams_say_is_told_at_once(server: OkxServer) -> None:
    _, [feed] = feeds_for(settings(server, passphrase=PASSPHRASE, account_poll_s=60.0, orders_poll_s=60.0))
    async with running([feed]) as events:
        await events.until(AccountSnapshot, lambda seen: len(seen.orders or ()) == 5)
        await until_subscribed(server, "positions", "orders", "account", "orders-algo")
        for name in ("ws_positions", "ws_orders_algo"):
            message = fixture(name)
            await server.say(message)
        seen = await events.until(
            AccountSnapshot,
            lambda seen: len(seen.orders or ()) == 4 and any(p.size == -4_000.0 for p in seen.positions),
        )

    assert {each.path for each in server.opened} == {"/ws/v5/private", "/ws/v5/business"}
    moved = next(position for position in seen.positions if position.size == -4_000.0)
    assert (moved.leverage, moved.liquidation_price) == (3.0, 0.3287514731020614)


async def test_a_wrong_passphrase_is_a_refusal_that_shows_no_secret(server: OkxServer) -> None:
    _, [feed] = feeds_for(settings(server, passphrase="not-the-passphrase"))
    async with running([feed]) as events:
        refused = await until_fault(events, StreamFaultKind.REFUSED, Stream.ACCOUNT, MAIN)

    assert "make a new read-only key" in refused.detail
    for secret in (KEY, SECRET, "not-the-passphrase"):
        assert secret not in refused.detail


async def test_a_key_tells_what_it_may_do(server: OkxServer) -> None:
    credentials = Credentials(KEY, SECRET, PASSPHRASE)
    connection = await connect_account(
        settings(server), "main", credentials, QuietSink(), SystemClock(), Markets()
    )
    try:
        await connection.load()
        permissions = await connection.permissions()
    finally:
        await connection.close()

    assert (permissions.can_trade, permissions.can_withdraw) == (True, True)
