"""A market turned by hand, a loopback venue of it that speaks Bybit, and a trader there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from adapters.simulation import LoopbackVenue
from tests.adapters.simulation.bybit.clients import CODE, OTHER_CODE, client
from tests.support.exchange_feeds import ACCOUNT
from tests.support.hand_market import HandMarket


@pytest.fixture
def market() -> HandMarket:
    return HandMarket(symbols=(CODE, OTHER_CODE))


@pytest.fixture
async def venue(market: HandMarket) -> AsyncIterator[LoopbackVenue]:
    async with LoopbackVenue(market, accounts=[ACCOUNT], dialect="bybit") as started:
        yield started


@pytest.fixture
async def trader(venue: LoopbackVenue) -> AsyncIterator[Any]:
    """The trader's own client, which places orders in Bybit's words; the guard's only reads."""
    async with client(venue, ACCOUNT) as exchange:
        await exchange.load_markets()
        yield exchange
