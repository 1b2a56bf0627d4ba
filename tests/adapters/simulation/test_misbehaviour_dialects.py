"""Faults act alike in whatever language the venue speaks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import ccxt
import pytest

from adapters.simulation import DialectName, Fault, FaultKind, LoopbackVenue
from tests.support.eventually import eventually
from tests.support.walk_market import WalkMarket

SYMBOLS = {
    DialectName.BINANCE: ("BTCUSDT", "BTC/USDT:USDT"),
    DialectName.BYBIT: ("BTCUSDT", "BTC/USDT:USDT"),
    DialectName.HYPERLIQUID: ("BTCUSDC", "BTC/USDC:USDC"),
}
every_dialect = pytest.mark.parametrize("dialect", list(DialectName))


@asynccontextmanager
async def speaking(dialect: DialectName) -> AsyncIterator[tuple[LoopbackVenue, Any, str, str]]:
    """A venue, an unmodified client of it, and what the market is called at either."""
    import ccxt.pro as ccxtpro  # a second and 110 MB: only where it is used

    code, symbol = SYMBOLS[dialect]
    async with LoopbackVenue(WalkMarket((code,), 1), dialect=dialect) as venue:
        exchange = getattr(ccxtpro, dialect.ccxt_id)({"urls": venue.ccxt_urls(), "enableRateLimit": False})
        exchange.timeout_on_exit = 0
        try:
            await exchange.load_markets()
            yield venue, exchange, code, symbol
        finally:
            await exchange.close()


@every_dialect
async def test_books_that_are_dropped_do_not_come_and_others_do(dialect: DialectName) -> None:
    async with speaking(dialect) as (venue, exchange, code, symbol):
        await exchange.watch_order_book(symbol)
        venue.misbehave(Fault(kind=FaultKind.DROP, streams=("depth",), symbols=(code,)))
        await eventually(lambda: venue.misbehaviour.hits[FaultKind.DROP] >= 1)
        shown = exchange.orderbooks[symbol]["bids"][:5]
        seen = venue.market(code).book.update_id
        await eventually(lambda: venue.market(code).book.update_id > seen + 20)
        assert exchange.orderbooks[symbol]["bids"][:5] == shown
        trades = await exchange.watch_trades(symbol)
        assert trades


@every_dialect
async def test_a_request_is_refused_with_what_the_client_takes_for_trouble(dialect: DialectName) -> None:
    async with speaking(dialect) as (venue, exchange, _, symbol):
        venue.misbehave(Fault(kind=FaultKind.STATUS, status=503, count=1))
        with pytest.raises(ccxt.BaseError):
            await exchange.fetch_order_book(symbol)
        assert (await exchange.fetch_order_book(symbol))["bids"]


@every_dialect
async def test_a_new_tick_is_in_the_books_of_every_dialect(dialect: DialectName) -> None:
    async with speaking(dialect) as (venue, exchange, code, symbol):
        venue.misbehave(Fault(kind=FaultKind.TICK_SIZE, symbols=(code,), tick_ratio=10))
        seen = venue.market(code).book.update_id
        await eventually(lambda: venue.market(code).book.update_id > seen)
        book = await exchange.fetch_order_book(symbol)

    assert all(price == round(price) for side in ("bids", "asks") for price, *_ in book[side])


@every_dialect
async def test_a_delisted_market_has_no_book(dialect: DialectName) -> None:
    async with speaking(dialect) as (venue, exchange, code, symbol):
        venue.misbehave(Fault(kind=FaultKind.DELIST, symbols=(code,)))
        try:
            book = await exchange.fetch_order_book(symbol)
        except (ccxt.BaseError, TypeError, AttributeError):
            book = {"bids": []}  # Hyperliquid answers null, of which ccxt makes what it can
        assert not book["bids"]
        venue.behave()
        assert (await exchange.fetch_order_book(symbol))["bids"]
