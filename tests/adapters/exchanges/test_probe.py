"""What ``perpguard doctor`` is told of a venue: over the real ccxt.pro and a venue on loopback."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from adapters.clock import SystemClock
from adapters.exchanges import AccountCredentials, VenueProbe, probe
from adapters.exchanges.venue import KeyPermissions
from adapters.simulation import LoopbackVenue, generated_source
from tests.support.exchange_feeds import ACCOUNT, secret_is_its_name, settings_for

BTC, TYPO = "BTC/USDT:USDT", "BTCUSDT"


async def probed(urls: dict[str, Any], *symbols: str, **changes: Any) -> VenueProbe:
    settings = settings_for(urls, *symbols, **changes)
    return await probe(settings, clock=SystemClock(), resolve_secret=secret_is_its_name)


async def test_a_venue_says_its_time_its_markets_and_what_each_key_may_do() -> None:
    strong = replace(ACCOUNT, name="strong", api_key="key-strong", api_secret="s", key_may_trade=True)
    named = {
        "main": AccountCredentials(api_key_env=ACCOUNT.api_key, api_secret_env=ACCOUNT.api_secret),
        "strong": AccountCredentials(api_key_env="key-strong", api_secret_env="s"),
        "wrong": AccountCredentials(api_key_env="nobody", api_secret_env="s"),
    }
    source = generated_source("calm", seed=1, duration_s=600.0)
    async with LoopbackVenue(source, accounts=[ACCOUNT, strong]) as venue:
        told = await probed(venue.ccxt_urls(), BTC, TYPO, accounts=named)

    assert (told.venue, told.reachable, told.error) == ("binanceusdm", True, None)
    assert told.clock_offset_ms is not None
    assert abs(told.clock_offset_ms) < 1_000.0
    assert told.listed == (BTC,)
    assert "did you mean BTC/USDT:USDT" in told.unknown[0]
    main, too_strong, wrong = told.accounts
    assert (main.account, main.permissions, main.error) == (
        "main",
        KeyPermissions(can_trade=False, can_withdraw=False),
        None,
    )
    assert "may trade" in str(too_strong.error)
    assert "the key is refused" in str(wrong.error)


async def test_a_venue_that_is_away_is_said_to_be() -> None:
    async with LoopbackVenue(generated_source("calm", seed=1, duration_s=600.0)) as venue:
        urls = venue.ccxt_urls()
    told = await probed(urls, BTC)

    assert not told.reachable
    assert "ExchangeNotAvailable" in str(told.error)
    assert told.capabilities.ways
    assert told.accounts == ()
