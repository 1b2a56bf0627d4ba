"""The unmodified ccxt.pro client of Hyperliquid, with nothing but its URLs overridden, on the loopback venue."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from adapters.simulation import LoopbackSettings, LoopbackVenue, VenueAccountSpec
from adapters.simulation.hyperliquid import address_of
from tests.adapters.simulation.hyperliquid.clients import ALICE, CODE, SYMBOL, TRADED, reader, trader
from tests.support.eventually import eventually
from tests.support.hand_market import HandMarket


def a_venue(market: HandMarket | None = None, **settings: Any) -> LoopbackVenue:
    return LoopbackVenue(market or HandMarket(), accounts=[ALICE], dialect="hyperliquid", **settings)


def shown(levels: list[Any]) -> list[list[float]]:
    return [[float(price), float(size)] for price, size, *_ in levels]


async def test_all_kinds_of_markets_load_as_ccxt_asks_for_them() -> None:
    venue = a_venue(HandMarket(symbols=("BTCUSDT", "ETHUSDT")))
    async with venue, reader(venue) as exchange:
        markets = await exchange.load_markets()

    assert sorted(markets) == ["BTC/USDC:USDC", "ETH/USDC:USDC"]
    assert (markets[SYMBOL]["baseName"], markets[SYMBOL]["linear"], markets[SYMBOL]["active"]) == (
        "BTC",
        True,
        True,
    )


async def test_the_book_is_the_venues_best_twenty_levels_a_side() -> None:
    venue = a_venue(hold=True)  # the market stands still
    async with venue, reader(venue) as exchange:
        book = await exchange.watch_order_book(SYMBOL)
        own = venue.market(CODE).book

        assert shown(book["bids"]) == shown(own.bids.top(20))
        assert shown(book["asks"]) == shown(own.asks.top(20))
        assert shown((await exchange.fetch_order_book(SYMBOL))["bids"]) == shown(own.bids.top(20))


async def test_a_book_follows_the_market_with_each_block() -> None:
    market = HandMarket()
    venue = a_venue(market)
    async with venue, reader(venue) as exchange:
        await exchange.watch_order_book(SYMBOL)
        market.fall(100.0)

        async def has_followed() -> bool:
            book = await exchange.watch_order_book(SYMBOL)
            return bool(book["asks"][0][0] < 59_500.0)

        await eventually(has_followed)


@pytest.mark.parametrize("figures", [4, 3])
async def test_a_coarse_book_sums_up_what_rests_behind_each_of_its_prices(figures: int) -> None:
    venue = a_venue(hold=True)
    async with venue, reader(venue) as exchange:
        coarse = await exchange.fetch_order_book(SYMBOL, None, {"nSigFigs": figures})
        own = shown(venue.market(CODE).book.bids.top(1000))
        step = 10.0 ** (5 - figures)

        assert 2 <= len(coarse["bids"]) <= 20
        for price, size in shown(coarse["bids"]):
            resting = sum(held for at, held in own if price <= at < price + step)
            assert size == pytest.approx(resting)


async def test_prices_funding_and_open_interest_come_in_one_context() -> None:
    venue = a_venue()
    async with venue, reader(venue) as exchange:
        context = (await exchange.watch_ticker(SYMBOL))["info"]

        assert (context["markPx"], context["oraclePx"], context["openInterest"]) == (
            "60000",
            "60000",
            "80000",
        )
        assert float(context["funding"]) * 8 == pytest.approx(0.0001)
        assert (await exchange.fetch_open_interest(SYMBOL))["openInterestAmount"] == 80_000.0
        assert (await exchange.fetch_funding_rate(SYMBOL))["markPrice"] == 60_000.0


async def test_trades_come_with_the_takers_side() -> None:
    venue = a_venue()
    async with venue, reader(venue) as exchange:
        trade = (await exchange.watch_trades(SYMBOL))[-1]

        assert (trade["price"], trade["amount"]) == (60_000.0, 0.01)
        assert trade["side"] in ("buy", "sell")


async def test_what_an_account_does_in_binances_words_is_told_in_hyperliquids() -> None:
    venue = a_venue()
    async with venue, reader(venue) as exchange, trader(venue) as bot:
        await asyncio.gather(exchange.load_markets(), bot.load_markets())
        assert (await exchange.watch_positions()) == []
        states = asyncio.create_task(exchange.watch_positions())
        updates = asyncio.create_task(exchange.watch_orders())
        fills = asyncio.create_task(exchange.watch_my_trades())
        await exchange.fetch_time()  # what was subscribed to before it is subscribed by now

        await bot.create_order(TRADED, "market", "buy", 0.1)

        assert (await fills)[-1]["amount"] == 0.1
        assert (await updates)[-1]["symbol"] == SYMBOL
        states.cancel()
        position = (await exchange.fetch_positions())[0]
        own = venue.account_state("alice").positions[0]
        assert (position["side"], position["contracts"], position["leverage"]) == ("long", 0.1, 20.0)
        assert position["entryPrice"] == float(own.entry_price)
        assert position["marginMode"] == "cross"
        balance = await exchange.fetch_balance()
        assert balance["USDC"]["total"] == pytest.approx(
            float(venue.account_state("alice").equity_usdt), abs=1
        )


async def test_resting_and_conditional_orders_are_listed_as_what_they_are() -> None:
    venue = a_venue()
    async with venue, reader(venue) as exchange, trader(venue) as bot:
        await bot.create_order(TRADED, "market", "buy", 0.1)
        await bot.create_order(TRADED, "limit", "sell", 0.05, 61_000)
        await bot.create_order(
            TRADED, "market", "sell", 0.1, None, {"stopLossPrice": 58_000, "reduceOnly": True}
        )
        told = {order["info"]["orderType"]: order["info"] for order in await exchange.fetch_open_orders()}

    assert set(told) == {"Limit", "Stop Market"}
    assert (told["Limit"]["limitPx"], told["Limit"]["isTrigger"]) == ("61000", False)
    stop = told["Stop Market"]
    assert (stop["triggerPx"], stop["isTrigger"], stop["reduceOnly"]) == ("58000", True, True)


async def test_a_liquidation_is_told_to_its_owner() -> None:
    market = HandMarket()
    poor = VenueAccountSpec("alice", "key-alice", "secret-alice", 400)
    venue = LoopbackVenue(market, accounts=[poor], dialect="hyperliquid")
    async with venue, reader(venue) as exchange, trader(venue) as bot:
        await bot.create_order(TRADED, "market", "buy", 0.1)
        watching = asyncio.create_task(exchange.watch_my_liquidations_for_symbols([SYMBOL]))
        await exchange.fetch_time()
        market.fall(700.0)
        told = (await asyncio.wait_for(watching, 10.0))[-1]

    assert told["info"]["liquidation"]["liquidatedUser"] == address_of(poor)
    assert (told["symbol"], told["info"]["side"]) == (SYMBOL, "A")


async def test_maintenance_is_what_the_venue_liquidates_by() -> None:
    """Half of the initial margin at each tier's maximum leverage is the rate of the venue's own bracket."""
    venue = a_venue(hold=True)
    async with venue, reader(venue) as exchange:
        meta, _ = await exchange.publicPostInfo({"type": "metaAndAssetCtxs"})

    tiers = meta["marginTables"][0][1]["marginTiers"]
    told = [1 / (2 * Decimal(tier["maxLeverage"])) for tier in tiers]
    assert told == [tier.maintenance_rate for tier in LoopbackSettings().margin_tiers]


async def test_what_cannot_be_read_is_refused_in_the_venues_words() -> None:
    import ccxt.pro as ccxtpro

    venue = a_venue(hold=True)
    async with venue, reader(venue) as exchange:
        with pytest.raises(ccxtpro.BaseError, match="Failed to deserialize"):
            await exchange.publicPostInfo({"type": "nonsense"})
        with pytest.raises(ccxtpro.BaseError, match="Failed to deserialize"):
            await exchange.publicPostInfo({"type": "clearinghouseState", "user": "somebody"})
        await exchange.load_markets()
        url = exchange.urls["api"]["ws"]["public"]
        request = {"method": "subscribe", "subscription": {"type": "l2Book", "coin": "NOTHING"}}
        with pytest.raises(ccxtpro.ExchangeError, match="Invalid subscription"):
            await exchange.watch(url, "x", request, "x")


async def test_an_address_that_never_deposited_has_an_empty_account() -> None:
    venue = a_venue(hold=True)
    stranger = VenueAccountSpec("nobody", "key", "secret")
    async with venue, reader(venue, stranger) as exchange:
        assert (await exchange.fetch_balance())["USDC"]["total"] == 0.0
        request = {"type": "userRole", "user": address_of(stranger)}
        assert await exchange.publicPostInfo(request) == {"role": "missing"}
