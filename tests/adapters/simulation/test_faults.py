"""The faults that a venue can be told to have, as the unmodified ccxt.pro client meets them."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import ccxt
import pytest

from adapters.simulation import LoopbackVenue, generated_source
from tests.adapters.simulation.clients import ALICE, CODE, SYMBOL, client
from tests.support.eventually import eventually


def calm(duration_s: float = 30.0) -> LoopbackVenue:
    return LoopbackVenue(generated_source("calm", seed=3, duration_s=duration_s), accounts=[ALICE])


async def watch_for_long(exchange: Any) -> None:
    """Watch the book until it fails, ten seconds at most."""
    async with asyncio.timeout(10):
        while True:
            await exchange.watch_order_book(SYMBOL)


async def caught_up(exchange: Any, venue: LoopbackVenue) -> None:
    """Watch until the client's book is of the update that the venue's is of."""
    async with asyncio.timeout(10):
        while (await exchange.watch_order_book(SYMBOL))["nonce"] != venue.market(CODE).book.update_id:
            pass


async def test_a_lost_update_is_a_sequence_gap_and_a_new_snapshot_heals_it() -> None:
    async with calm() as venue, client(venue) as exchange:
        await caught_up(exchange, venue)

        venue.skip_update(CODE)
        with pytest.raises(ccxt.ChecksumError):
            await watch_for_long(exchange)

        await caught_up(exchange, venue)


async def test_dropped_connections_fail_the_watchers_and_can_be_made_anew() -> None:
    async with calm() as venue, client(venue) as exchange:
        await caught_up(exchange, venue)

        venue.drop_connections()
        with pytest.raises(ccxt.NetworkError):
            await watch_for_long(exchange)

        await caught_up(exchange, venue)


async def test_a_silent_venue_keeps_the_connection_and_answers_rest() -> None:
    async with calm() as venue, client(venue) as exchange:
        await caught_up(exchange, venue)

        venue.go_silent()
        before = venue.market(CODE).book.update_id
        await eventually(lambda: venue.market(CODE).book.update_id > before + 500)
        nonce = exchange.orderbooks[SYMBOL]["nonce"]
        assert nonce <= before + 500
        assert await exchange.fetch_time()
        assert len(venue.connections) == 1
        venue.go_silent(False)

        with pytest.raises(ccxt.ChecksumError):  # what was not said is missing afterwards
            await watch_for_long(exchange)
        await caught_up(exchange, venue)


async def test_refused_keys() -> None:
    async with calm() as venue, client(venue, ALICE) as exchange:
        await exchange.load_markets()
        venue.refuse_keys()
        with pytest.raises(ccxt.AuthenticationError, match="-2015"):
            await exchange.fetch_balance()
        with pytest.raises(ccxt.AuthenticationError, match="-2015"):
            await exchange.watch_balance()

        venue.refuse_keys(False)
        assert (await exchange.fetch_balance())["USDT"]["total"] == 10_000.0


async def test_a_corrupt_frame_reaches_the_client_as_it_is() -> None:
    async with (
        calm() as venue,
        aiohttp.ClientSession() as session,
        session.ws_connect(f"ws://127.0.0.1:{venue.port}/ws/btcusdt@depth") as socket,
        asyncio.timeout(5),
    ):
        venue.corrupt_next_frame(CODE)
        with pytest.raises(json.JSONDecodeError):
            json.loads((await socket.receive()).data)
        assert json.loads((await socket.receive()).data)["e"] == "depthUpdate"


async def test_a_fault_for_an_unknown_symbol_is_an_error_of_the_test() -> None:
    async with calm() as venue:
        for fault in (venue.skip_update, venue.corrupt_next_frame):
            with pytest.raises(KeyError):
                fault("DOGEUSDT")
