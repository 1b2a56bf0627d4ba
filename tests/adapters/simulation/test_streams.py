"""The WebSocket surface as Binance documents it, with a bare client."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from adapters.simulation import FrameKind, LoopbackSettings, LoopbackVenue
from adapters.simulation.binance import parse_stream
from tests.adapters.simulation.clients import ALICE
from tests.adapters.simulation.steady import SteadySource
from tests.support.eventually import eventually

TEN_STEPS = [60_000.0 + number for number in range(10)]


@asynccontextmanager
async def socket_of(venue: LoopbackVenue, path: str) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"ws://127.0.0.1:{venue.port}{path}", autoping=False) as socket,
    ):
        yield socket


async def receive(socket: aiohttp.ClientWebSocketResponse) -> Any:
    async with asyncio.timeout(5):
        return json.loads((await socket.receive()).data)


async def ask(socket: aiohttp.ClientWebSocketResponse, method: str, *params: object) -> Any:
    await socket.send_json({"method": method, "params": params, "id": 7})
    return await receive(socket)


def held(prices: list[float] | None = None) -> LoopbackVenue:
    return LoopbackVenue(SteadySource(prices or TEN_STEPS), accounts=[ALICE], speed=0, hold=True)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("btcusdt@depth", ("BTCUSDT", FrameKind.DEPTH)),
        ("btcusdt@depth@500ms", ("BTCUSDT", FrameKind.DEPTH)),
        ("btcusdt@aggTrade", ("BTCUSDT", FrameKind.AGGREGATE_TRADE)),
        ("btcusdt@markPrice@1s", ("BTCUSDT", FrameKind.MARK_PRICE)),
        ("!bookTicker", ("!", FrameKind.BOOK_TICKER)),
        ("!markPrice@arr@1s", ("!", FrameKind.MARK_PRICE)),
        ("btcusdt@openInterest", None),
        ("btcusdt@kline_1m", None),
        ("nonsense", None),
    ],
)
def test_stream_names(name: str, expected: object) -> None:
    assert parse_stream(name) == expected


async def test_subscriptions_are_made_listed_and_ended() -> None:
    async with held() as venue, socket_of(venue, "/ws") as socket:
        assert await ask(socket, "SUBSCRIBE", "btcusdt@trade", "btcusdt@depth@100ms") == {
            "result": None,
            "id": 7,
        }
        assert (await ask(socket, "LIST_SUBSCRIPTIONS"))["result"] == ["btcusdt@trade", "btcusdt@depth@100ms"]
        await ask(socket, "UNSUBSCRIBE", "btcusdt@depth@100ms")
        assert (await ask(socket, "LIST_SUBSCRIPTIONS"))["result"] == ["btcusdt@trade"]

        venue.begin()

        assert (await receive(socket))["e"] == "trade"
        assert (await receive(socket))["e"] == "trade"


@pytest.mark.parametrize("path", ["/ws/btcusdt@trade", "/public/ws/btcusdt@trade"])
async def test_raw_streams_come_bare(path: str) -> None:
    async with held() as venue, socket_of(venue, path) as socket:
        venue.begin()
        assert (await receive(socket))["e"] == "trade"


@pytest.mark.parametrize("path", ["/stream", "/market/stream"])
async def test_combined_streams_come_in_an_envelope_with_the_name_asked_for(path: str) -> None:
    async with (
        held() as venue,
        socket_of(venue, f"{path}?streams=btcusdt@depth@0ms/btcusdt@markPrice") as socket,
    ):
        venue.begin()
        first, second = await receive(socket), await receive(socket)

    assert (first["stream"], first["data"]["e"]) == ("btcusdt@depth@0ms", "depthUpdate")
    assert (second["stream"], second["data"]["e"]) == ("btcusdt@markPrice", "markPriceUpdate")


async def test_the_envelope_can_be_switched() -> None:
    async with held() as venue, socket_of(venue, "/ws/btcusdt@trade") as socket:
        await ask(socket, "SET_PROPERTY", "combined", True)
        assert (await ask(socket, "GET_PROPERTY", "combined"))["result"] is True
        venue.begin()
        assert (await receive(socket))["stream"] == "btcusdt@trade"


async def test_all_markets_in_one_stream() -> None:
    venue = LoopbackVenue(SteadySource(TEN_STEPS, symbols=("BTCUSDT", "ETHUSDT")), speed=0, hold=True)
    async with venue, socket_of(venue, "/ws/!markPrice@arr@1s") as socket:
        venue.begin()
        first, second = await receive(socket), await receive(socket)

    assert [first[0]["s"], second[0]["s"]] == ["BTCUSDT", "ETHUSDT"]


async def test_a_ping_is_answered() -> None:
    async with held() as venue, socket_of(venue, "/ws") as socket:
        await socket.ping(b"hello")
        async with asyncio.timeout(5):
            answer = await socket.receive()

    assert (answer.type, answer.data) == (aiohttp.WSMsgType.PONG, b"hello")


@pytest.mark.parametrize(
    "text", ["what", "{}", '{"method":"DANCE","id":7}', '{"method":"SUBSCRIBE","params":[1],"id":7}']
)
async def test_a_request_that_makes_no_sense_is_answered_with_an_error(text: str) -> None:
    async with held() as venue, socket_of(venue, "/ws") as socket:
        await socket.send_str(text)
        assert (await receive(socket))["error"]["code"] == 2
        assert (await ask(socket, "LIST_SUBSCRIPTIONS"))["result"] == []


async def test_the_recorded_ids_reach_the_client_in_order_and_without_loss() -> None:
    prices = [60_000.0 + number % 7 for number in range(3_000)]
    # Room for few frames only: the market has to wait for the client again and again.
    settings = LoopbackSettings(client_frames_max=10)
    venue = LoopbackVenue(SteadySource(prices), speed=0, hold=True, settings=settings)
    async with venue, socket_of(venue, "/ws/btcusdt@depth") as socket:
        venue.begin()
        seen = [(await receive(socket))["pu"] for _ in prices]

    assert seen == [100 + 2 * number for number in range(3_000)]


async def test_a_client_that_reads_nothing_is_dropped_and_the_others_go_on() -> None:
    prices = [60_000.0 + number % 7 for number in range(6_000)]
    settings = LoopbackSettings(client_frames_max=50, slow_client_s=0.3)
    venue = LoopbackVenue(SteadySource(prices), speed=0, hold=True, settings=settings)
    async with (
        venue,
        socket_of(venue, "/ws/btcusdt@depth") as idle,
        socket_of(venue, "/ws/btcusdt@depth") as busy,
    ):
        transport = idle._response.connection.transport  # type: ignore[union-attr]
        transport.pause_reading()  # type: ignore[union-attr]
        venue.begin()
        for _ in prices:
            await receive(busy)
        await venue.finished()
        await eventually(lambda: len(venue.connections) == 1)
        transport.resume_reading()  # type: ignore[union-attr]


async def test_the_user_stream_needs_its_listen_key() -> None:
    async with held([60_000.0]) as venue, aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{venue.port}/fapi/v1/listenKey"
        key = {"X-MBX-APIKEY": ALICE.api_key}
        async with session.put(url, headers=key) as answer:
            assert (await answer.json())["code"] == -1125
        async with session.post(url) as answer:
            assert (answer.status, (await answer.json())["code"]) == (401, -2014)
        async with session.post(url, headers=key) as answer:
            listen_key = (await answer.json())["listenKey"]
        async with session.put(url, headers=key) as answer:
            assert (await answer.json())["listenKey"] == listen_key

        for path in ("/ws/", "/private/ws?listenKey="):
            async with socket_of(venue, path + listen_key) as socket:
                venue.expire_listen_keys()
                event = await receive(socket)
                assert (event["e"], event["listenKey"]) == ("listenKeyExpired", listen_key)
                async with asyncio.timeout(5):
                    assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
            async with session.post(url, headers=key) as answer:
                listen_key = (await answer.json())["listenKey"]
        async with socket_of(venue, f"/ws/{listen_key}") as socket, session.delete(url, headers=key):
            async with asyncio.timeout(5):
                assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
