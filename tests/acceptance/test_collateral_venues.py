"""The same three legs at venues with other rules: what liquidates them there is what the guard says."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from adapters.simulation import DialectName, LoopbackSpot, LoopbackVenue, VenueAccountSpec
from adapters.simulation.hyperliquid import address_of
from guard.account.risk import AccountRisk
from tests.support.assessed import Assessments, check_legs, is_settled
from tests.support.hand_market import HandMarket
from tests.support.stage import READY_S, ground
from tests.support.together import together

pytestmark = pytest.mark.acceptance

BYBIT, HYPERLIQUID = DialectName.BYBIT, DialectName.HYPERLIQUID
HELD = 20_000.0
UNIFIED = VenueAccountSpec(
    "unified", "key-unified", "secret-unified", 10_000.0, 20, collateral={"USDE": HELD}
)
DOLLARS = VenueAccountSpec("dollars", "key-dollars", "secret-dollars", 30_000.0, 20)
LEGS = {"BTC": 2.0, "ETH": -20.0, "YFI": 15.0}
SCALES = {"BTC": 1.0, "ETH": 0.05, "YFI": 0.1}
QUOTES = {BYBIT: "USDT", HYPERLIQUID: "USDC"}
ACCOUNTS = {BYBIT: UNIFIED, HYPERLIQUID: DOLLARS}


@together
async def test_bybit_and_hyperliquid_liquidate_where_it_is_said_that_they_do(tmp_path: Path) -> None:
    """Bybit's unified account counts every coin and keeps the fee of closing; Hyperliquid's has dollars alone."""
    async with contextlib.AsyncExitStack() as stack:
        here = await stack.enter_async_context(ground(tmp_path))
        venues = {dialect: await stack.enter_async_context(traded(dialect)) for dialect in ACCOUNTS}
        spots = {
            exchange: await stack.enter_async_context(LoopbackSpot(exchange, {"USDE": 1.0}))
            for exchange in ("binance", "okx")
        }
        site = await here.site("home", [account.name for account in ACCOUNTS.values()])
        daemon = site.daemon(
            venues=[watched(venue, dialect) for dialect, venue in venues.items()],
            bots=[
                {
                    "name": account.name,
                    "key_file": f"{account.name}.key",
                    "venue": dialect.ccxt_id,
                    "account": account.name,
                }
                for dialect, account in ACCOUNTS.items()
            ],
            collateral={"prices": compared(spots)},
        )
        await site.start(daemon)
        await site.tap.expect_guard(lambda said: said.epoch > 0, within_s=READY_S)
        audit = Assessments(site, daemon)
        for dialect, account in ACCOUNTS.items():
            risk = await audit.until(
                f"{dialect.ccxt_id}:{account.name}", is_whole, f"an assessment at {dialect}"
            )
            check_legs(risk, venues[dialect], account.name)
            state = venues[dialect].account_state(account.name)
            assert risk.venue_equity_usd == pytest.approx(float(state.equity_usdt), rel=1e-5)
            assert risk.venue_margin_ratio == pytest.approx(
                float(state.maintenance_usdt / state.equity_usdt), rel=1e-3
            )


def is_whole(risk: AccountRisk) -> bool:
    """Whether nothing is missing, what the venue leaves away of a coin included."""
    coins = [each for each in risk.holdings if each.asset == "USDE"]
    return is_settled(risk, len(LEGS)) and all("venue" in each.parts for each in coins)


@contextlib.asynccontextmanager
async def traded(dialect: DialectName) -> AsyncIterator[LoopbackVenue]:
    """A venue whose account holds its legs."""
    codes = {f"{base}{QUOTES[dialect]}": base for base in LEGS}
    market = HandMarket(symbols=tuple(codes), scales={code: SCALES[base] for code, base in codes.items()})
    async with LoopbackVenue(market, accounts=[ACCOUNTS[dialect]], dialect=dialect) as venue:
        for code, base in codes.items():
            venue.trade(ACCOUNTS[dialect].name, code, LEGS[base])
        yield venue


def watched(venue: LoopbackVenue, dialect: DialectName) -> dict[str, Any]:
    account, quote = ACCOUNTS[dialect], QUOTES[dialect]
    keys = {"api_key_file": f"{account.name}.api_key", "api_secret_file": f"{account.name}.api_secret"}
    credentials = {"wallet_address": address_of(account)} if dialect is HYPERLIQUID else keys
    return {
        "id": dialect.ccxt_id,
        "symbols": [f"{base}/{quote}:{quote}" for base in LEGS],
        "urls": venue.ccxt_urls(),
        "sample_ms": 200,
        "account_poll_s": 0.5,
        "orders_poll_s": 2.0,
        "margin_terms_poll_s": 0.5,
        "rate_limit": False,
        "accounts": {account.name: {**credentials, "trade_keys_allowed": True}},
    }


def compared(spots: dict[str, LoopbackSpot]) -> dict[str, Any]:
    urls = {exchange: spot.ccxt_urls() for exchange, spot in spots.items()}
    return {"venues": [*urls], "urls": urls, "poll_s": 0.5, "rate_limit": False}
