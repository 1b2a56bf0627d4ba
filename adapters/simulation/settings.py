"""Settings of the loopback venue: fees, margin tiers, behaviour towards slow clients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field, model_validator

Rate = Decimal


class LiquidationSteps(StrEnum):
    """How much of a failing cross position a venue closes at a time; isolated ones are closed whole."""

    WHOLE = "whole"
    TIERS = "tiers"
    """Down into the bracket below, then it is looked at again."""
    FIFTH = "fifth"
    """A fifth of one above 100,000 USD; what fails within 30 s after that goes whole. Hyperliquid, "Liquidations"."""


class MarginTier(BaseModel):
    """One bracket: from ``notional_floor`` USDT on, this much leverage and this maintenance rate."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    notional_floor: Decimal = Field(ge=0, description="USDT, where the bracket begins")
    notional_cap: Decimal = Field(gt=0, description="USDT, where it ends")
    leverage_max: int = Field(ge=1, le=125, description="highest leverage of a position in the bracket")
    maintenance_rate: Decimal = Field(gt=0, lt=1, description="maintenance margin as a ratio of notional")


def _tier(floor: int, cap: int, leverage: int, rate: str) -> MarginTier:
    return MarginTier(
        notional_floor=Decimal(floor),
        notional_cap=Decimal(cap),
        leverage_max=leverage,
        maintenance_rate=Decimal(rate),
    )


DEFAULT_TIERS = (
    _tier(0, 250_000, 125, "0.004"),
    _tier(250_000, 1_000_000, 100, "0.005"),
    _tier(1_000_000, 5_000_000, 50, "0.01"),
    _tier(5_000_000, 20_000_000, 20, "0.025"),
    _tier(20_000_000, 100_000_000, 10, "0.05"),
    _tier(100_000_000, 300_000_000, 5, "0.1"),
)


class MarginAsset(BaseModel):
    """An asset that the venue takes as margin in multi-assets mode."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    asset: str = Field(min_length=1, description="its name at the venue")
    haircut: Decimal = Field(default=Decimal(0), ge=0, le=1, description="what is left away of its value")
    price_usd: Decimal | None = Field(
        default=None, gt=0, description="USD a unit; without it, what the mark of its market says"
    )


def _asset(name: str, haircut: str, price_usd: str | None = None) -> MarginAsset:
    price = None if price_usd is None else Decimal(price_usd)
    return MarginAsset(asset=name, haircut=Decimal(haircut), price_usd=price)


DEFAULT_ASSETS = (
    _asset("USDT", "0", "1"),
    _asset("USDC", "0.0001", "1"),
    # Ratios of coins and USDC: binance.com, trading rules of multi-assets mode. Of the stablecoins that bear
    # interest they change too often to be worth repeating.
    _asset("USDE", "0.01", "1"),
    _asset("BFUSD", "0.001", "1"),
    _asset("BTC", "0.05"),
    _asset("ETH", "0.05"),
    _asset("BNB", "0.05"),
    _asset("SOL", "0.1"),
    _asset("XRP", "0.1"),
)
"""What Binance's multi-assets mode takes, in part; the first one is what contracts settle in."""


class LoopbackSettings(BaseModel):
    """How the venue charges and how it treats its clients."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    taker_fee_ratio: Decimal = Field(
        default=Decimal("0.0005"), ge=0, lt=1, description="of the notional taken"
    )
    maker_fee_ratio: Decimal = Field(
        default=Decimal("0.0002"), ge=0, lt=1, description="of the notional made"
    )
    liquidation_fee_ratio: Decimal = Field(
        default=Decimal("0.0125"),
        ge=0,
        lt=1,
        description="of the notional liquidated, if margin is left for it",
    )
    margin_tiers: tuple[MarginTier, ...] = Field(
        default=DEFAULT_TIERS, min_length=1, description="brackets, rising"
    )
    liquidation_steps: LiquidationSteps | None = Field(
        default=None, description="how failing cross positions are closed; as the venue does if not said"
    )
    margin_assets: tuple[MarginAsset, ...] = Field(
        default=DEFAULT_ASSETS, min_length=1, description="what multi-assets mode takes; USDT among them"
    )
    margin_call_ratio: float = Field(
        default=0.8, gt=0, le=1, description="maintenance over margin balance at which MARGIN_CALL is sent"
    )
    refill_ms: int = Field(
        default=2_000,
        ge=0,
        description="market time after which a level that an account took from is whole again",
    )
    match_every_ms: int = Field(
        default=0,
        ge=0,
        description="market time of one matching round, so that accounts compare; 0 matches at once",
    )
    mark_period_ms: int = Field(
        default=1_000,
        ge=100,
        description="how often a mark price is derived from mid where the source has none",
    )
    slow_client_s: float = Field(
        default=30.0,
        gt=0,
        description="how long the market waits for a client that reads nothing, then drops it",
    )
    client_frames_max: int = Field(
        default=4_000, ge=1, description="frames waiting for one client before the market waits for it"
    )
    listen_key_s: float = Field(default=3_600.0, gt=0, description="life of a listen key that nobody renews")
    recv_window_ms_max: int = Field(default=60_000, ge=1, description="largest recvWindow that is honoured")

    @model_validator(mode="after")
    def _tiers_are_contiguous(self) -> LoopbackSettings:
        check_tiers(self.margin_tiers)
        return self

    @model_validator(mode="after")
    def _settles_in_usdt(self) -> LoopbackSettings:
        settle = next((asset for asset in self.margin_assets if asset.asset == "USDT"), None)
        if settle is None or settle.price_usd is None or settle.haircut:
            raise ValueError("margin_assets: USDT must be among them, with a price and without a haircut")
        return self


def check_tiers(tiers: Sequence[MarginTier]) -> None:
    """See that brackets follow each other from 0.

    Raises:
        ValueError: they do not; the text says which.
    """
    floor = Decimal(0)
    for number, tier in enumerate(tiers):
        if tier.notional_floor != floor or tier.notional_cap <= floor:
            raise ValueError(f"margin_tiers.{number}: must begin at {floor} and end above it")
        floor = tier.notional_cap
    if not tiers:
        raise ValueError("margin_tiers: there must be one at least")


@dataclass(frozen=True, slots=True)
class VenueAccountSpec:
    """An account to open on the venue; ``leverage`` is what every symbol starts with.

    ``key_may_trade`` is only what the venue tells of the key: bots of tests trade with it all the same.
    ``collateral`` is what it holds beside its USDT, by asset; an account that holds any is in multi-assets mode from
    the start.
    """

    name: str
    api_key: str
    api_secret: str
    wallet_usdt: float | Decimal = 10_000.0
    leverage: int = 20
    key_may_trade: bool = False
    collateral: Mapping[str, float | Decimal] = field(default_factory=dict)
    hedged: bool = False
    """Whether it starts in hedge mode."""

    def __repr__(self) -> str:
        return (
            f"VenueAccountSpec(name={self.name!r}, wallet_usdt={self.wallet_usdt}, leverage={self.leverage})"
        )
