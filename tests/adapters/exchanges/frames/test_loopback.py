"""Frames as the loopback venue words them, over real sockets: both ways end with the same books and flows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from adapters.exchanges.frames import DECLINED
from adapters.simulation import LoopbackVenue
from tests.adapters.exchanges.frames.corpus import Snapshot, feed
from tests.adapters.exchanges.frames.long_way import LongWay, assert_equal
from tests.adapters.exchanges.frames.readers import IMPLEMENTATIONS, make_way
from tests.support.walk_market import WalkMarket

FRAMES = 400
CODES = ("BTCUSDT", "ETHUSDT")
BINANCE = "/".join(
    f"{code.lower()}@{stream}" for code in CODES for stream in ("depth@100ms", "aggTrade", "trade")
)
TOPICS = [f"{topic}.{code}" for code in CODES for topic in ("orderbook.200", "publicTrade", "tickers")]


async def frames_of(
    venue: LoopbackVenue, path: str, subscriptions: list[dict[str, Any]]
) -> AsyncIterator[str]:
    """What a bare client hears; the market moves as fast as it listens, from when it has subscribed."""
    url = f"ws://127.0.0.1:{venue.port}{path}"
    async with aiohttp.ClientSession() as session, session.ws_connect(url) as socket:
        for subscription in subscriptions:
            await socket.send_json(subscription)
        if subscriptions:  # the answer says that they were heard
            yield (await socket.receive(5)).data
        venue.begin()
        for _ in range(FRAMES):
            yield (await socket.receive(5)).data


@pytest.mark.parametrize(
    ("dialect", "path", "codes", "subscriptions", "taken_min"),
    [
        ("binance", f"/stream?streams={BINANCE}", CODES, [], 390),
        ("bybit", "/v5/public/linear", CODES, [{"op": "subscribe", "args": TOPICS}], 190),
        (
            "hyperliquid",
            "/hyperliquid/ws",
            ("BTC", "ETH"),
            [
                {"method": "subscribe", "subscription": {"type": "trades", "coin": coin}}
                for coin in ("BTC", "ETH")
            ],
            390,
        ),
    ],
)
async def test_both_ways_of_a_loopback_venue(
    dialect: str, path: str, codes: tuple[str, ...], subscriptions: list[dict[str, Any]], taken_min: int
) -> None:
    name = {"binance": "binanceusdm"}.get(dialect, dialect)
    market = WalkMarket(CODES, seed=5)
    sizes = dict.fromkeys(codes, 1.0)
    pairs = [(make_way(each, name, sizes), LongWay(name, sizes)) for each in IMPLEMENTATIONS]
    if dialect == "binance":  # its snapshot is asked for
        for code in codes:
            opening = market.opening(code)
            sides = [[list(level) for level in side] for side in (opening.bids, opening.asks)]
            for way in (way for pair in pairs for way in pair):
                feed(way, Snapshot(code, opening.last_update_id, *sides), 0)
    taken = [0] * len(pairs)
    async with asyncio.timeout(60), LoopbackVenue(market, speed=0, hold=True, dialect=dialect) as venue:
        at = 0
        async for frame in frames_of(venue, path, subscriptions):
            at += 1
            for number, (fast, slow) in enumerate(pairs):
                taken[number] += fast.take(frame, at) != DECLINED
                slow.take(frame, at)
                assert_equal(fast, slow)
    assert at >= FRAMES
    assert min(taken) >= taken_min
    assert all(market.live.changed for market in pairs[0][1].markets.values())
    assert pairs[0][1].verdicts["malformed"] == 0
