"""Settings of the feed that asks several venues what collateral costs there."""

from __future__ import annotations

import difflib
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

SPOT_VENUES = (
    "binance",
    "bitfinex",
    "bitget",
    "bitstamp",
    "bybit",
    "coinbaseexchange",
    "gate",
    "gemini",
    "kraken",
    "kucoin",
    "mexc",
    "okx",
)
"""ccxt's ids of venues whose best spot prices anyone may ask, with bid and ask."""

DEFAULT_VENUES = ("binance", "bybit", "okx", "kraken", "bitstamp", "bitfinex")
"""Three where collateral is traded most, and three that quote USDT and USDC in USD: one of three may be wrong."""


class AssetPriceSettings(BaseModel):
    """What collateral costs at several venues, asked while an account holds any that backs more than itself."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool = Field(default=True, description="ask at all; without it no depeg is seen")
    venues: tuple[str, ...] = Field(
        default=DEFAULT_VENUES,
        description="venues whose spot prices are compared, by ccxt's ids; no key is needed. Three or more, "
        "and three that quote in USD, so that one that is wrong is outvoted",
    )
    assets: tuple[str, ...] = Field(default=(), description="asked always, whoever holds them, e.g. USDe")
    poll_s: float = Field(default=5.0, ge=0.5, le=60, description="how often each venue is asked")
    timeout_s: float = Field(default=5.0, ge=0.5, le=60, description="a venue that answers later is silent")
    urls: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        description="by venue, replaces ccxt's URLs, in the same shape: a proxy, loopback",
    )
    rate_limit: bool = Field(
        default=True, description="keep to the venues' request limits; off only against loopback"
    )

    @field_validator("venues")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if name not in SPOT_VENUES:
                near = difflib.get_close_matches(name.lower(), SPOT_VENUES, n=2, cutoff=0.5)
                hint = f"did you mean {' or '.join(near)}?" if near else f"choose of {', '.join(SPOT_VENUES)}"
                raise ValueError(f"{name!r} is no venue whose spot prices can be asked here; {hint}")
        twice = sorted({name for name in value if value.count(name) > 1})
        if twice:
            raise ValueError(f"named twice: {', '.join(twice)}")
        return value

    @model_validator(mode="after")
    def _fits(self) -> AssetPriceSettings:
        if self.enabled and not self.venues:
            raise ValueError("name venues, or set enabled = false")
        unused = sorted(set(self.urls) - set(self.venues))
        if unused:
            raise ValueError(f"urls: {', '.join(unused)} is not among the venues")
        return self
