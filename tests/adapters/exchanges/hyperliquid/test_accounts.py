"""Whose account is read at Hyperliquid, and all of it: real ccxt, a venue on loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from adapters.clock import SystemClock
from adapters.exchanges import VenueSettings
from adapters.exchanges.ccxt_session import Credentials, Markets
from adapters.exchanges.hyperliquid import connect_account
from adapters.exchanges.hyperliquid.account import HyperliquidAccount
from adapters.simulation import LoopbackVenue
from adapters.simulation.hyperliquid import address_of
from guard.errors import VenueAuthError
from tests.adapters.exchanges.hyperliquid.payloads import fixture
from tests.adapters.exchanges.hyperliquid.sinks import QuietSink
from tests.adapters.simulation.hyperliquid.clients import ALICE, SYMBOL
from tests.support.hand_clock import HandClock
from tests.support.hand_market import HandMarket


@pytest.fixture
async def venue() -> AsyncIterator[LoopbackVenue]:
    async with LoopbackVenue(HandMarket(), accounts=[ALICE], dialect="hyperliquid") as started:
        yield started


def settings(venue: LoopbackVenue) -> VenueSettings:
    return VenueSettings(id="hyperliquid", symbols=[SYMBOL], urls=venue.ccxt_urls(), rate_limit=False)


async def test_what_is_no_address_is_refused_with_what_to_do(venue: LoopbackVenue) -> None:
    clock = SystemClock()
    connection = await connect_account(
        settings(venue), "main", Credentials(wallet_address="0x12"), QuietSink(), clock, Markets()
    )
    try:
        with pytest.raises(VenueAuthError, match="wallet_address: give the address of the account"):
            await connection.load()
    finally:
        await connection.close()


async def test_a_key_is_not_even_handed_to_ccxt_and_may_nothing(venue: LoopbackVenue) -> None:
    credentials = Credentials(key="k", secret="s", wallet_address=address_of(ALICE))
    connection = await connect_account(
        settings(venue), "main", credentials, QuietSink(), SystemClock(), Markets()
    )
    try:
        await connection.load()
        permissions = await connection.permissions()
        client = connection._client  # type: ignore[attr-defined]
        assert (permissions.can_trade, permissions.can_withdraw) == (False, False)
        assert not client.apiKey
        assert not client.secret
        assert not client.privateKey
    finally:
        await connection.close()


class AgentAccount(HyperliquidAccount):
    """An address that turns out to be an API wallet's."""

    async def _role(self) -> tuple[str, str | None]:
        return "agent", "0x15f43d1f2dee81424afd891943262aa90f22cc2a"


async def test_an_api_wallet_is_refused_with_the_address_of_its_owner(venue: LoopbackVenue) -> None:
    credentials = Credentials(wallet_address=address_of(ALICE))
    connection = AgentAccount(settings(venue), "main", credentials, QuietSink(), SystemClock(), Markets())
    try:
        with pytest.raises(VenueAuthError, match=r"give the address of the account .* 0x15f43d1f"):
            await connection.load()
    finally:
        await connection.close()


class SpreadAccount(HyperliquidAccount):
    """An account that also holds a position on a builder-deployed exchange whose collateral is USDH."""

    mode = "disabled"

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.asked: list[str] = []

    async def _ask(self, request: dict[str, str]) -> Any:
        asked = f"{request['type']} {request.get('dex', '')}".strip()
        self.asked.append(asked)
        state = fixture("clearinghouse_state")
        state["assetPositions"][1]["position"]["coin"] = "xyz:TSLA"
        answers = {
            "userAbstraction": self.mode,
            "perpDexs": [None, {"name": "xyz"}, {"name": "flx"}],
            "meta xyz": {"collateralToken": 360},
            "spotMeta": {"tokens": [{"name": "USDC", "index": 0}, {"name": "USDH", "index": 360}]},
            "spotClearinghouseState": {"balances": [{"coin": "USDH", "token": 360, "total": "100"}]},
            "clearinghouseState flx": fixture("clearinghouse_state_ws")["data"]["clearinghouseState"],
            "clearinghouseState xyz": state,
        }
        return answers[asked] if asked in answers else await super()._ask(request)


@pytest.mark.parametrize(
    ("mode", "collateral", "settle"),
    [("disabled", "xyz:USDH", "xyz:USDH"), ("unifiedAccount", "USDH", "USDH")],
)
async def test_positions_on_builder_deployed_exchanges_are_read_with_what_backs_them(
    venue: LoopbackVenue, mode: str, collateral: str, settle: str
) -> None:
    credentials, clock = Credentials(wallet_address=address_of(ALICE)), HandClock()
    connection = SpreadAccount(settings(venue), "main", credentials, QuietSink(), clock, Markets())
    connection.mode = mode
    try:
        await connection.load()
        first = await connection.read(orders=False)
        connection.asked.clear()
        await connection.read(orders=False)
        again = list(connection.asked)
        await clock.advance(61.0)
        connection.asked.clear()
        await connection.read(orders=False)
    finally:
        await connection.close()

    tsla = next(position for position in first.positions if position.market_code == "xyz:TSLA")
    assert (tsla.settle, connection.symbol_of("xyz:TSLA")) == (settle, "XYZ-TSLA/USDH:USDH")
    held = {each.asset: each for each in first.totals.collateral or ()}
    assert held[collateral].quantity == pytest.approx(110.0)
    # All of them once a minute, else only those in which there is anything.
    assert "clearinghouseState xyz" in again
    assert not {"perpDexs", "clearinghouseState flx", "meta xyz"} & set(again)
    assert {"perpDexs", "clearinghouseState flx"} <= set(connection.asked)
