"""Watched in one language and traded in another: each client hears its own, and refusals are in its words."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from adapters.simulation import LoopbackVenue
from adapters.simulation.dialects import DialectName
from tests.adapters.simulation.clients import ALICE, SYMBOL
from tests.support.eventually import eventually
from tests.support.hand_market import HandMarket

WATCHED = [DialectName.BYBIT, DialectName.HYPERLIQUID]


def a_venue(dialect: DialectName) -> LoopbackVenue:
    return LoopbackVenue(HandMarket(), accounts=[ALICE], dialect=dialect)


def trader(venue: LoopbackVenue, **more: Any) -> Any:
    import ccxt.pro as ccxtpro  # a second and 110 MB: only where it is used

    keys = {"apiKey": ALICE.api_key, "secret": ALICE.api_secret}
    exchange = ccxtpro.binanceusdm({"urls": venue.trading_urls(), "enableRateLimit": False, **keys, **more})
    exchange.timeout_on_exit = 0
    return exchange


@pytest.mark.parametrize("dialect", WATCHED)
async def test_orders_are_taken_and_told_in_binances_words(dialect: DialectName) -> None:
    async with a_venue(dialect) as venue:
        bot = trader(venue)
        try:
            told = asyncio.create_task(bot.watch_orders())
            await eventually(lambda: any(each.account == "alice" for each in venue.connections))
            await bot.create_order(SYMBOL, "market", "buy", 0.1)

            assert (await asyncio.wait_for(told, 10.0))[-1]["symbol"] == SYMBOL
            assert (await bot.watch_mark_price(SYMBOL))["markPrice"] == 60_000.0
        finally:
            await bot.close()


@pytest.mark.parametrize("dialect", WATCHED)
async def test_a_refusal_is_in_the_words_of_whoever_asked(dialect: DialectName) -> None:
    async with a_venue(dialect) as venue, aiohttp.ClientSession() as session:
        address = f"http://127.0.0.1:{venue.port}"
        async with session.get(f"{address}/fapi/v1/depth") as answer:
            assert (answer.status, (await answer.json())["code"]) == (400, -1102)
        async with session.get(f"{address}/nowhere") as answer:
            assert answer.status == 404
            assert "-5000" not in await answer.text()


async def test_a_private_socket_of_bybit_hears_nothing_of_binance() -> None:
    import ccxt.pro as ccxtpro

    async with a_venue(DialectName.BYBIT) as venue:
        keys = {"apiKey": ALICE.api_key, "secret": ALICE.api_secret, "enableRateLimit": False}
        heard: list[Any] = []

        class Listener(ccxtpro.bybit):  # type: ignore[misc]  # ccxt is untyped
            def handle_message(self, client: Any, message: Any) -> None:
                heard.append(message)
                super().handle_message(client, message)

        reader = Listener({"urls": venue.ccxt_urls(), **keys})
        reader.timeout_on_exit = 0
        bot = trader(venue)
        try:
            told = asyncio.create_task(reader.watch_orders())
            await eventually(lambda: any(each.account == "alice" for each in venue.connections))
            await eventually(lambda: any("subscribe" in json.dumps(message) for message in heard))
            await bot.create_order(SYMBOL, "market", "buy", 0.1)
            await asyncio.wait_for(told, 10.0)
        finally:
            await reader.close()
            await bot.close()

        assert heard
        assert [message for message in heard if isinstance(message, dict) and "e" in message] == []
