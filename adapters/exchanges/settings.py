"""Settings of one venue: which markets are watched, which accounts are read, and how."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

VENUE_IDS = ("binanceusdm",)
"""The venues that this version can read, by ccxt's ids."""

AccountName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]


class AccountCredentials(BaseModel):
    """Where the key and the secret of one account are found; the key needs to be able to read only."""

    model_config = ConfigDict(extra="forbid")

    api_key_file: Path | None = Field(default=None, description="file that holds the API key")
    api_key_env: str | None = Field(
        default=None, min_length=1, description="environment variable that holds it"
    )
    api_secret_file: Path | None = Field(default=None, description="file that holds the API secret")
    api_secret_env: str | None = Field(
        default=None, min_length=1, description="environment variable that holds it"
    )

    @model_validator(mode="after")
    def _one_place_each(self) -> AccountCredentials:
        for name in ("api_key", "api_secret"):
            places = (getattr(self, f"{name}_file"), getattr(self, f"{name}_env"))
            if sum(place is not None for place in places) != 1:
                raise ValueError(f"set exactly one of {name}_file and {name}_env")
        return self


class VenueSettings(BaseModel):
    """One venue."""

    model_config = ConfigDict(extra="forbid")

    id: str = Field(description="ccxt's id of the venue, e.g. binanceusdm")
    symbols: list[str] = Field(min_length=1, description="ccxt's unified symbols, e.g. BTC/USDT:USDT")
    urls: dict[str, Any] = Field(
        default_factory=dict,
        description="replaces ccxt's URLs, in the same shape: a testnet, a proxy, loopback",
    )
    options: dict[str, Any] = Field(default_factory=dict, description="ccxt options, for those who know them")
    sample_ms: int = Field(default=250, ge=20, le=10_000, description="how often a changed book is judged")
    account_poll_s: float = Field(
        default=5.0, ge=0.2, le=300, description="how often accounts are read over REST"
    )
    orders_poll_s: float = Field(
        default=30.0,
        ge=0.2,
        le=600,
        description="how often all open orders are read over REST: costs 80 request weight",
    )
    open_interest_poll_s: float = Field(
        default=15.0, ge=0.2, le=3_600, description="how often open interest is asked"
    )
    funding_poll_s: float = Field(
        default=60.0,
        ge=0.2,
        le=3_600,
        description="how often funding is asked where the stream has not told it",
    )
    silence_s_max: float = Field(
        default=15.0,
        ge=0.5,
        le=600,
        description="a socket that shows no sign of life for so long is closed and opened again",
    )
    retry_s_max: float = Field(
        default=10.0, ge=0.1, le=600, description="longest pause between attempts to reconnect"
    )
    refused_retry_s: float = Field(
        default=60.0, ge=0.1, le=3_600, description="pause before a key that the venue refused is tried again"
    )
    rate_limit: bool = Field(
        default=True, description="keep to the venue's request limits; off only against a venue on loopback"
    )
    accounts: dict[AccountName, AccountCredentials] = Field(
        default_factory=dict, description="accounts to read, by a name of your own"
    )

    @field_validator("id")
    @classmethod
    def _known_venue(cls, value: str) -> str:
        if value not in VENUE_IDS:
            raise ValueError(f"{value!r} is not a venue of this version: {', '.join(VENUE_IDS)}")
        return value

    @field_validator("symbols")
    @classmethod
    def _each_once(cls, value: list[str]) -> list[str]:
        twice = sorted({symbol for symbol in value if value.count(symbol) > 1})
        if twice:
            raise ValueError(f"named twice: {', '.join(twice)}")
        return value
