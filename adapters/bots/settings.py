"""Settings of a paper bot: who it is, where broker and venue are, and how it trades."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from perpguard_sdk.messages import Mode
from perpguard_sdk.topics import check_level


class Fault(StrEnum):
    """How a paper bot misbehaves, for tests of the guard."""

    NONE = "none"
    ACK_ONLY = "ack_only"
    MUTE = "mute"


class BotBrokerSettings(BaseModel):
    """Where the MQTT broker is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = Field(default="127.0.0.1", min_length=1, description="name or address")
    port: int = Field(default=1883, ge=1, le=65535, description="1883 without TLS, usually")
    protocol: Literal["5", "3.1.1"] = Field(default="5", description="version of MQTT; embedded is 3.1.1")
    username: str | None = Field(default=None, min_length=1, description="if the broker wants one")
    password_file: Path | None = Field(default=None, description="file that holds its password")
    tls_ca: Path | None = Field(default=None, description="authority that signed the broker's certificate")
    tls_cert: Path | None = Field(default=None, description="our certificate, where the broker asks for one")
    tls_key: Path | None = Field(default=None, description="its key")


class StrategySettings(BaseModel):
    """A long that is opened by slices, protected by a stop, and grows on dips."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    leverage: int = Field(default=10, ge=1, le=125, description="leverage set on the venue at start")
    slice_usd: float = Field(default=1_000.0, gt=0, description="USD of one entry")
    slices_max: int = Field(default=8, ge=1, description="slices held at most")
    slices_open: int | None = Field(
        default=None, ge=1, description="slices bought at start, one each mark price; half of slices_max"
    )
    dip_bps: float = Field(
        default=50.0, gt=0, lt=10_000, description="fall below the average entry that buys one more slice"
    )
    stop_bps: float = Field(default=400.0, gt=0, lt=10_000, description="stop below the average entry")
    reentry_s: float = Field(default=10.0, ge=0, description="pause after being stopped out")

    @property
    def opening(self) -> int:
        """Slices bought at start."""
        return self.slices_open or max(1, self.slices_max // 2)

    @model_validator(mode="after")
    def _opening_fits(self) -> StrategySettings:
        if self.slices_open is not None and self.slices_open > self.slices_max:
            raise ValueError(f"slices_open {self.slices_open} is above slices_max {self.slices_max}")
        return self


class PaperBotSettings(BaseModel):
    """One paper bot. ``guarded = false`` runs the same strategy without any MQTT."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, description="as in the guard's [[bots]]; one level of a topic")
    key_file: Path | None = Field(default=None, description="file with the secret that the guard signs with")
    broker: BotBrokerSettings = Field(default_factory=BotBrokerSettings, description="the MQTT broker")
    site: str = Field(default="home", description="as in the guard's [broker]")
    root: str = Field(default="perpguard", description="as in the guard's [broker]")
    mode: Mode = Field(default=Mode.PAPER, description="paper obeys a guard in paper mode, live a live one")
    venue_id: Literal["binanceusdm", "bybit", "hyperliquid"] = Field(
        default="binanceusdm",
        description="as the guard's settings name the venue; it is traded through ccxt's binanceusdm all the same, "
        "which loopback venues speak besides their own language",
    )
    account: str = Field(min_length=1, description="as the guard's settings name the account")
    venue_urls: dict[str, Any] = Field(
        default_factory=dict, description="overrides of ccxt's URLs; the loopback venue gives them"
    )
    api_key_file: Path = Field(description="file that holds the API key")
    api_secret_file: Path = Field(description="file that holds the API secret")
    symbol: str = Field(min_length=1, description="ccxt's unified symbol, as BTC/USDT:USDT")
    strategy: StrategySettings = Field(default_factory=StrategySettings, description="how it trades")
    guarded: bool = Field(default=True, description="whether it connects to the guard at all")
    fault: Fault = Field(
        default=Fault.NONE,
        description="ack_only: says applied and does nothing; mute: never acknowledges",
    )
    state_dir: Path = Field(description="folder of its state, journal and intents")
    dead_man_ms: int = Field(default=3_000, gt=0, description="silence that leads to safe mode")
    rearm_ms: int = Field(default=5_000, gt=0, description="heartbeats needed to leave it")
    report_ms: int = Field(default=2_000, gt=0, description="between two reports of positions")

    @field_validator("name", "site", "root")
    @classmethod
    def _is_level(cls, value: str) -> str:
        return check_level(value, "the name")

    @model_validator(mode="after")
    def _has_key(self) -> PaperBotSettings:
        if self.guarded and self.key_file is None:
            raise ValueError("key_file is missing: a guarded bot needs the key that the guard signs with")
        return self
