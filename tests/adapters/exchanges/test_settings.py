"""Impossible settings of a venue are refused before anything connects, with their path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from adapters.clock import SystemClock
from adapters.exchanges import VenueSettings, venue_feeds
from adapters.exchanges.transport import Transport
from guard.errors import SettingsError


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"id": "mtgox"}, ("id",)),
        ({"symbols": []}, ("top",)),
        ({"symbols": ["A", "B", "A"]}, ("symbols",)),
        ({"sample_ms": 1}, ("sample_ms",)),
        ({"symbol": ["A"]}, ("symbol",)),
        ({"accounts": {"main": {"api_key_env": "K"}}}, ("accounts", "main")),
        (
            {"accounts": {"main": {"api_key_env": "K", "api_key_file": "k", "api_secret_env": "S"}}},
            ("accounts", "main"),
        ),
        ({"id": "okx", "accounts": {"main": {"api_key_env": "K", "api_secret_env": "S"}}}, ("accounts",)),
        (
            {"id": "hyperliquid", "accounts": {"main": {"api_key_env": "K", "api_secret_env": "S"}}},
            ("accounts",),
        ),
        ({"id": "lighter", "accounts": {"main": {"api_key_env": "K", "api_secret_env": "S"}}}, ("accounts",)),
        ({"accounts": {"main": {"wallet_address": "0x1"}}}, ("accounts",)),
        (
            {"id": "hyperliquid", "accounts": {"main": {"wallet_address": "0x1", "password_env": "P"}}},
            ("accounts", "main"),
        ),
        ({"top": 501}, ("top",)),
        ({"top": 5, "choose_at_h": 24}, ("choose_at_h",)),
        ({"accounts": {"a b": {"api_key_env": "K", "api_secret_env": "S"}}}, ("accounts", "a b", "[key]")),
    ],
)
def test_an_impossible_setting_is_named(changes: dict[str, Any], path: tuple[str, ...]) -> None:
    with pytest.raises(ValidationError) as caught:
        VenueSettings.model_validate({"id": "binanceusdm", "symbols": ["BTC/USDT:USDT"], **changes})

    assert [error["loc"] for error in caught.value.errors()] == [path]


def test_a_missing_secret_is_the_callers_error_before_anything_is_made() -> None:
    settings = VenueSettings.model_validate(
        {
            "id": "binanceusdm",
            "symbols": ["BTC/USDT:USDT"],
            "accounts": {"main": {"api_key_env": "K", "api_secret_file": "s"}},
        }
    )
    asked = []

    def resolve(*, what: str, file: Path | str | None, env: str | None) -> bytes:
        asked.append((what, file, env))
        if file is not None:
            raise SettingsError("settings", [(what, "is not there")])
        return b"key\n"

    with pytest.raises(SettingsError, match=r"venues\.0\.accounts\.main\.api_secret"):
        venue_feeds(settings, clock=SystemClock(), resolve_secret=resolve, path="venues.0")

    assert asked == [
        ("venues.0.accounts.main.api_key", None, "K"),
        ("venues.0.accounts.main.api_secret", Path("s"), None),
    ]


@pytest.mark.parametrize(
    ("named", "meant"), [("binance usdm", "binanceusdm"), ("ByBit", "bybit"), ("kraken", "krakenfutures")]
)
def test_a_venue_that_ccxt_does_not_know_is_answered_with_those_that_look_like_it(
    named: str, meant: str
) -> None:
    with pytest.raises(ValidationError, match=f"did you mean.*{meant}"):
        VenueSettings.model_validate({"id": named, "top": 5})


def test_the_busiest_alone_are_enough() -> None:
    settings = VenueSettings.model_validate({"id": "hyperliquid", "top": 5})

    assert (settings.symbols, settings.top, settings.quote) == ([], 5, None)


def test_a_transport_that_is_not_installed_is_refused_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)

    with pytest.raises(ValidationError, match="picows is not installed here: install it"):
        VenueSettings(id="binanceusdm", symbols=["BTC/USDT:USDT"], transport=Transport.PICOWS)
    for transport in (Transport.AUTO, Transport.AIOHTTP):
        VenueSettings(id="binanceusdm", symbols=["BTC/USDT:USDT"], transport=transport)
