"""Settings of one venue: which markets are watched, which accounts are read, and how."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from adapters.exchanges.tracked_accounts import addresses_of
from adapters.exchanges.transport import Transport, installed
from adapters.exchanges.venue_ids import BY_ADDRESS, UNREADABLE, VENUE_IDS, WITH_PASSWORD

AccountName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
SECRETS = ("api_key", "api_secret", "password")


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
    password_file: Path | None = Field(
        default=None,
        description="file that holds the key's password, where the venue has one (OKX: passphrase)",
    )
    password_env: str | None = Field(
        default=None, min_length=1, description="environment variable that holds it"
    )
    wallet_address: str | None = Field(
        default=None,
        min_length=1,
        description="public address of the account, instead of a key (hyperliquid); no secret",
    )
    trade_keys_allowed: bool = Field(
        default=False,
        description="use a key that may trade or withdraw too; without this such a key is refused",
    )

    @model_validator(mode="after")
    def _one_place_each(self) -> AccountCredentials:
        places = {name: self.places(name) for name in SECRETS}
        for name, named in places.items():
            if len(named) > 1:
                raise ValueError(f"set exactly one of {name}_file and {name}_env")
        if self.wallet_address is not None and not any(places.values()):
            return self
        for name in ("api_key", "api_secret"):
            if not places[name]:
                raise ValueError(f"set exactly one of {name}_file and {name}_env")
        return self

    def places(self, secret: str) -> list[Path | str]:
        """Where one of ``SECRETS`` is found."""
        named = (getattr(self, f"{secret}_file"), getattr(self, f"{secret}_env"))
        return [place for place in named if place is not None]


class VenueSettings(BaseModel):
    """One venue."""

    model_config = ConfigDict(extra="forbid")

    id: str = Field(description="ccxt's id of the venue, e.g. binanceusdm, bybit, okx")
    symbols: list[str] = Field(
        default_factory=list, description="ccxt's unified symbols, e.g. BTC/USDT:USDT; watched always"
    )
    top: int = Field(
        default=0,
        ge=0,
        le=500,
        validate_default=True,
        description="besides these the busiest so many perpetuals, by turnover of 24 h; markets with "
        "positions and those of bots are always watched",
    )
    quote: str | None = Field(
        default=None,
        min_length=2,
        description="in what those are quoted; left out: USDT, on hyperliquid USDC, on binancecoinm USD",
    )
    choose_at_h: int = Field(default=0, ge=0, le=23, description="hour (UTC) at which they are chosen anew")
    choose_every_h: int = Field(default=24, ge=1, le=168, description="how often they are chosen anew")
    listing_poll_s: float = Field(
        default=3_600.0,
        ge=0.5,
        le=86_400,
        description="how often the venue's markets are read anew: what is listed, halted, delisted",
    )
    urls: dict[str, Any] = Field(
        default_factory=dict,
        description="replaces ccxt's URLs, in the same shape: a testnet, a proxy, loopback",
    )
    options: dict[str, Any] = Field(default_factory=dict, description="ccxt options, for those who know them")
    transport: Transport = Field(
        default=Transport.AUTO,
        description="what carries public frames: picows (fast), aiohttp (ccxt's own), or auto: picows where installed",
    )
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
    open_interest_history_days: float = Field(
        default=30.0,
        ge=0,
        le=30,
        description="how much of open interest's past is asked at a start, of venues that tell it; 0: nothing",
    )
    long_short_ratio_poll_s: float = Field(
        default=300.0,
        ge=0,
        le=86_400,
        description="how often the share of accounts that are long is asked, where it is told; 0: never",
    )
    tracked_addresses: list[str] = Field(
        default_factory=list,
        description="accounts of others whose positions the venue publishes (hyperliquid), to map exactly",
    )
    tracked_addresses_file: Path | None = Field(
        default=None, description="file with more of them, one a line; read anew every minute"
    )
    tracked_poll_s: float = Field(
        default=60.0, ge=0.2, le=86_400, description="how often each of them is asked about"
    )
    tracked_hot_poll_s: float = Field(
        default=15.0,
        ge=0.2,
        le=86_400,
        description="the same while one of its positions is within 5 % of liquidation",
    )
    margin_terms_poll_s: float = Field(
        default=3_600.0,
        ge=0.5,
        le=86_400,
        description="how often margin tiers and haircuts are read: a venue that raises them is told at once",
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
            near = difflib.get_close_matches(value.lower(), VENUE_IDS, n=4, cutoff=0.6)
            near += [name for name in sorted(VENUE_IDS) if name.startswith(value.lower())]
            hint = (
                f"did you mean {' or '.join(dict.fromkeys(near))}?" if near else "see docs/how-to/venues.md"
            )
            raise ValueError(f"{value!r} is not a venue with perpetuals that ccxt knows; {hint}")
        return value

    @field_validator("top")
    @classmethod
    def _watches_something(cls, value: int, info: ValidationInfo) -> int:
        if not value and info.data.get("symbols") == []:
            raise ValueError("name symbols, or set top to watch the busiest perpetuals, or both")
        return value

    @field_validator("accounts")
    @classmethod
    def _readable(
        cls, value: dict[str, AccountCredentials], info: ValidationInfo
    ) -> dict[str, AccountCredentials]:
        venue = info.data.get("id")
        for name, account in value.items():
            if venue in BY_ADDRESS and account.wallet_address is None:
                raise ValueError(f"{name}: {venue} needs no key: set wallet_address, and nothing else")
            if venue in BY_ADDRESS and account.places("api_key"):
                raise ValueError(f"{name}: {venue} needs no key: leave only wallet_address")
            if venue not in BY_ADDRESS and account.wallet_address is not None:
                raise ValueError(
                    f"{name}: wallet_address is of no use on {venue}: set api_key and api_secret"
                )
            if venue in WITH_PASSWORD and not account.places("password"):
                raise ValueError(
                    f"{name}: keys of {venue} have a password: set password_file or password_env"
                )
            if venue in UNREADABLE:
                raise ValueError(
                    f"{name}: an account of {venue} can be read only with what can also trade: leave it out, "
                    "and let bots report their positions"
                )
        return value

    @property
    def tracks_accounts(self) -> bool:
        """Whether anybody's published positions are to be read."""
        return bool(self.tracked_addresses) or self.tracked_addresses_file is not None

    @field_validator("tracked_addresses")
    @classmethod
    def _are_addresses(cls, value: list[str], info: ValidationInfo) -> list[str]:
        if value and info.data.get("id") not in BY_ADDRESS:
            raise ValueError(f"only {', '.join(sorted(BY_ADDRESS))} publishes positions: leave this out")
        return addresses_of(value, "tracked_addresses")

    @field_validator("tracked_addresses_file")
    @classmethod
    def _are_published(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if value is not None and info.data.get("id") not in BY_ADDRESS:
            raise ValueError(f"only {', '.join(sorted(BY_ADDRESS))} publishes positions: leave this out")
        return value

    @field_validator("transport")
    @classmethod
    def _is_there(cls, value: Transport) -> Transport:
        if value is Transport.PICOWS and installed(Transport.AUTO) is not value:
            raise ValueError(
                "picows is not installed here: install it (pip install picows), or leave this out"
            )
        return value

    @field_validator("symbols")
    @classmethod
    def _each_once(cls, value: list[str]) -> list[str]:
        twice = sorted({symbol for symbol in value if value.count(symbol) > 1})
        if twice:
            raise ValueError(f"named twice: {', '.join(twice)}")
        return value
