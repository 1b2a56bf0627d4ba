"""The unmodified ccxt.pro bybit client on the loopback venue: markets, streams, orders, refusals."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from adapters.simulation import LoopbackVenue, generated_source
from tests.adapters.simulation.bybit.clients import CODE, OTHER, OTHER_CODE, SYMBOL, client
from tests.adapters.simulation.clients import ALICE
from tests.support.eventually import eventually
from tests.support.hand_market import HandMarket


@pytest.fixture
def market() -> HandMarket:
    return HandMarket(symbols=(CODE, OTHER_CODE))


@pytest.fixture
async def venue(market: HandMarket) -> AsyncIterator[LoopbackVenue]:
    async with LoopbackVenue(market, accounts=[ALICE], dialect="bybit") as running:
        yield running


@pytest.fixture
async def alice(venue: LoopbackVenue) -> AsyncIterator[Any]:
    async with client(venue, ALICE) as exchange:
        await exchange.load_markets()
        yield exchange


async def test_ccxts_own_book_is_the_venues_after_a_market_has_played_out() -> None:
    source = generated_source("calm", seed=2, symbols=(CODE,), duration_s=60.0)
    async with (
        LoopbackVenue(source, dialect="bybit", speed=0, hold=True) as venue,
        client(venue) as exchange,
    ):
        await exchange.watch_order_book(SYMBOL, 200)
        venue.begin()
        await venue.finished()
        own = venue.market(CODE).book
        expected = [
            [[float(price), float(size)] for price, size in side.top(200)] for side in (own.bids, own.asks)
        ]

        def shown() -> list[Any]:
            book = exchange.orderbooks[SYMBOL]
            return [[list(level[:2]) for level in side] for side in (book["bids"], book["asks"])]

        await eventually(lambda: shown() == expected, within_s=10.0)
        assert own.diffs > 500


async def test_public_streams_and_rest_agree(venue: LoopbackVenue) -> None:
    async with client(venue) as exchange:
        markets = await exchange.load_markets()
        assert (markets[SYMBOL]["linear"], markets[SYMBOL]["precision"]) == (
            True,
            {"amount": 0.001, "price": 0.1},
        )
        trade = (await exchange.watch_trades(SYMBOL))[-1]
        streamed = await exchange.watch_ticker(SYMBOL)
        asked = await exchange.fetch_ticker(SYMBOL)
        interest = await exchange.fetch_open_interest(SYMBOL)
        funding = await exchange.fetch_funding_rate(SYMBOL)
        book = await exchange.fetch_order_book(SYMBOL, 50)

    assert trade["side"] in ("buy", "sell")
    assert (streamed["markPrice"], asked["markPrice"]) == (60_000.0, 60_000.0)
    assert interest["openInterestAmount"] == 80_000.0
    assert funding["fundingRate"] == 0.0001
    assert len(book["bids"]) == 50


async def test_a_ticker_that_tells_only_what_changed_stays_whole(
    venue: LoopbackVenue, market: HandMarket
) -> None:
    async with client(venue) as exchange:
        first = await exchange.watch_ticker(SYMBOL)
        market.fall(10.0)

        async def moved() -> Any:
            while (ticker := await exchange.watch_ticker(SYMBOL))["markPrice"] == first["markPrice"]:
                pass
            return ticker

        async with asyncio.timeout(10.0):
            later = await moved()

    assert later["markPrice"] == pytest.approx(59_940.0)
    assert float(later["info"]["fundingRate"]) == 0.0001  # not told again


async def test_liquidations_come_as_the_venue_tells_them(
    venue: LoopbackVenue, market: HandMarket, alice: Any
) -> None:
    await alice.set_leverage(50, SYMBOL)
    await alice.create_order(SYMBOL, "market", "buy", 3.0)
    watching = asyncio.create_task(alice.watch_liquidations(SYMBOL))
    await eventually(lambda: any(f"allLiquidation.{CODE}" in each.names for each in venue.connections))
    market.fall(600.0)
    async with asyncio.timeout(10.0):
        (seen,) = await watching

    # The side of the position that was liquidated, not of an order: ccxt passes it on as it is.
    assert (seen["side"], seen["contracts"]) == ("buy", 3.0)


async def test_orders_positions_and_balance_agree_with_the_venue(venue: LoopbackVenue, alice: Any) -> None:
    positions, balances = asyncio.create_task(_next_positions(alice)), asyncio.create_task(_balance(alice))
    await eventually(
        lambda: {name for each in venue.connections for name in each.names} >= {"position", "wallet"}
    )
    await alice.set_leverage(10, SYMBOL)
    order = await alice.create_order(SYMBOL, "market", "sell", 0.5)
    own = venue.account_state("alice").positions[0]

    async with asyncio.timeout(10.0):
        (streamed,) = await positions
        balance = await balances
    (asked,) = await alice.fetch_positions([SYMBOL])
    for position in (streamed, asked):
        assert (position["side"], position["contracts"], position["leverage"]) == ("short", 0.5, 10.0)
        assert position["liquidationPrice"] == pytest.approx(float(own.liquidation_price))
        assert position["entryPrice"] == pytest.approx(float(own.entry_price))
    assert balance["USDT"]["total"] == pytest.approx(
        float(venue.account_state("alice").equity_usdt), rel=1e-5
    )
    wallet = float(venue.account_state("alice").wallet_usdt)
    assert (await alice.fetch_balance())["USDT"]["total"] == pytest.approx(wallet)
    assert order["id"].isdigit()


async def _next_positions(exchange: Any) -> Any:
    """The next position with a size; leverage alone changing brings one without."""
    while not (found := [each for each in await exchange.watch_positions([SYMBOL]) if each["contracts"]]):
        pass
    return found


async def _balance(exchange: Any) -> Any:
    return await exchange.watch_balance()


async def test_orders_are_listed_in_pages_and_cancelled(venue: LoopbackVenue, alice: Any) -> None:
    import ccxt

    first = await alice.create_order(SYMBOL, "limit", "buy", 0.01, 50_000, {"clientOrderId": "mine"})
    stop = await alice.create_order(
        SYMBOL, "market", "sell", 0.01, None, {"triggerPrice": 55_000, "triggerDirection": "descending"}
    )
    await alice.create_order(SYMBOL, "limit", "buy", 0.01, 49_000, {"postOnly": True})
    pages = [await alice.privateGetV5OrderRealtime({"category": "linear", "symbol": CODE, "limit": 2})]
    cursor = pages[0]["result"]["nextPageCursor"]
    pages.append(
        await alice.privateGetV5OrderRealtime(
            {"category": "linear", "symbol": CODE, "limit": 2, "cursor": cursor}
        )
    )
    assert [len(page["result"]["list"]) for page in pages] == [2, 1]
    assert pages[1]["result"]["nextPageCursor"] == ""
    listed = {order["id"]: order for order in await alice.fetch_open_orders(SYMBOL)}
    assert (listed[first["id"]]["clientOrderId"], listed[stop["id"]]["triggerPrice"]) == ("mine", 55_000.0)

    await alice.cancel_order(stop["id"], SYMBOL)
    with pytest.raises(ccxt.OrderNotFound, match="110001"):
        await alice.cancel_order("77", SYMBOL)
    await alice.cancel_all_orders(SYMBOL)
    assert venue.account_state("alice").open_orders == ()


async def test_a_stop_becomes_an_order_when_the_mark_reaches_it(
    venue: LoopbackVenue, market: HandMarket, alice: Any
) -> None:
    await alice.create_order(SYMBOL, "market", "buy", 0.5)
    await alice.create_order(
        SYMBOL,
        "market",
        "sell",
        0.5,
        None,
        {
            "triggerPrice": 59_500,
            "triggerDirection": "descending",
            "reduceOnly": True,
            "triggerBy": "MarkPrice",
        },
    )
    market.fall(100.0)
    await eventually(lambda: venue.account_state("alice").positions == ())


async def test_what_the_venue_refuses_is_refused_in_bybits_words(alice: Any) -> None:
    import ccxt

    with pytest.raises(ccxt.InsufficientFunds, match="110007"):
        await alice.create_order(SYMBOL, "market", "buy", 50.0)
    with pytest.raises(ccxt.ExchangeError, match="110017"):
        await alice.create_order(SYMBOL, "market", "sell", 0.1, None, {"reduceOnly": True})
    with pytest.raises(ccxt.BadRequest, match="symbol invalid"):
        await alice.publicGetV5MarketOrderbook({"category": "linear", "symbol": "NOSUCH"})
    with pytest.raises(ccxt.BadRequest, match="symbol or settleCoin"):
        await alice.privateGetV5PositionList({"category": "linear"})
    alice.secret = "another"
    with pytest.raises(ccxt.AuthenticationError, match="10004"):
        await alice.fetch_balance()
    alice.apiKey = "unknown"
    with pytest.raises(ccxt.AuthenticationError, match="10003"):
        await alice.fetch_balance()
    alice.apiKey, alice.secret = ALICE.api_key, ALICE.api_secret
    alice.options["timeDifference"] = 60_000
    with pytest.raises(ccxt.InvalidNonce, match="10002"):
        await alice.fetch_balance()


async def test_leaving_a_book_and_watching_it_again_begins_with_the_whole_one(venue: LoopbackVenue) -> None:
    async with client(venue) as exchange:
        await exchange.watch_order_book(SYMBOL, 50)
        await exchange.un_watch_order_book(SYMBOL, {"limit": 50})
        await eventually(lambda: not any(each.names for each in venue.connections))
        again = await exchange.watch_order_book(SYMBOL, 50)
        both = await exchange.watch_order_book(OTHER, 50)

    assert (len(again["bids"]), len(both["bids"])) == (50, 50)


# -- with a bare client ---------------------------------------------------------------------------


@asynccontextmanager
async def bare(venue: LoopbackVenue, path: str) -> AsyncIterator[Any]:
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"ws://127.0.0.1:{venue.port}{path}") as socket,
    ):

        async def ask(op: str, *args: object) -> Any:
            await socket.send_json({"op": op, "req_id": "7", "args": list(args)})
            async with asyncio.timeout(5):
                while True:
                    answer = json.loads((await socket.receive()).data)
                    if answer.get("req_id") == "7":
                        return answer

        yield ask


async def test_a_subscription_is_taken_whole_or_not_at_all(venue: LoopbackVenue) -> None:
    async with bare(venue, "/v5/public/linear") as ask:
        refused = await ask("subscribe", f"tickers.{CODE}", "tickers.NOSUCH")
        assert (refused["success"], refused["op"]) == (False, "subscribe")
        assert "handler not found,topic:tickers.NOSUCH" in refused["ret_msg"]
        assert not venue.connections[0].names

        assert (await ask("subscribe", f"tickers.{CODE}"))["success"]
        again = await ask("subscribe", f"tickers.{CODE}")
        assert again["ret_msg"] == f"error:already subscribed,topic:tickers.{CODE}"
        assert not (await ask("subscribe", f"orderbook.500.{CODE}"))["success"]
        assert (await ask("ping"))["ret_msg"] == "pong"
        assert not (await ask("nonsense"))["success"]


async def test_a_private_socket_says_nothing_before_it_is_logged_in(venue: LoopbackVenue) -> None:
    async with bare(venue, "/v5/private") as ask:
        assert "not authorized" in (await ask("subscribe", "position"))["ret_msg"]
        refused = await ask("auth", ALICE.api_key, "9999999999999", "wrong")
        assert (refused["success"], refused["op"]) == (False, "auth")
        assert not (await ask("subscribe", "wallet"))["success"]
        assert (await ask("ping"))["op"] == "pong"


async def test_addresses_that_are_not_bybits_are_not_there(venue: LoopbackVenue) -> None:
    async with aiohttp.ClientSession() as session:
        async with session.get(f"http://127.0.0.1:{venue.port}/v5/market/nothing") as answer:
            assert (answer.status, (await answer.json())["retCode"]) == (404, 404)
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await session.ws_connect(f"ws://127.0.0.1:{venue.port}/v6/public/linear")
