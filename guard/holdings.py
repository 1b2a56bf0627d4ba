"""What an account holds, as its venue, a bot or the settings tell it. Values only."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from guard.margin_terms import ContractKind
from guard.units import MarketId


class MarginMode(StrEnum):
    """How a position is margined."""

    CROSS = "cross"
    ISOLATED = "isolated"


class LiquidationTold(StrEnum):
    """What the venue said of a liquidation price where it named none."""

    NOT_TOLD = "not_told"
    """Missing: a source that has no such field, or left it empty without saying why."""
    NONE_EXISTS = "none_exists"
    """The venue answers that no price of this market liquidates it (0 or below where it documents that)."""
    ACCOUNT_LEVEL = "account_level"
    """The venue liquidates the account as a whole and names no price (portfolio margin)."""


class Position(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A position as its venue, a bot or the settings tell it.

    ``size`` signed base units; ``liquidation_price`` is the source's own word and ``None`` where it told none, which is
    never safe (ours is in ``guard.account.risk``); ``margin_usd`` is the isolated margin or ``None`` in cross mode.
    Of an inverse contract (``kind``) ``contracts_usd`` is the signed size in USD, which no price moves, and
    ``margin`` the isolated margin in its settle asset; ``settle`` is that asset, ``None`` where not told.
    ``adl_rank`` is the share of the queue to be deleveraged that stands behind it, 0..1, 1 goes first.
    """

    market: MarketId
    size: float
    entry_price: float | None = None
    mark_price: float | None = None
    leverage: float | None = None
    margin_mode: MarginMode | None = None
    margin_usd: float | None = None
    liquidation_price: float | None = None
    kind: ContractKind = ContractKind.LINEAR
    contracts_usd: float | None = None
    margin: float | None = None
    settle: str | None = None
    liquidation_told: LiquidationTold = LiquidationTold.NOT_TOLD
    adl_rank: float | None = None


class Order(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A resting order; ``size`` signed, buy positive; ``stop_price`` its trigger if it is conditional."""

    order_id: str
    market: MarketId
    size: float
    price: float | None = None
    stop_price: float | None = None
    reduce_only: bool = False


class PositionSource(StrEnum):
    """Who says so; an earlier member is believed before a later one."""

    VENUE = "venue"
    BOT = "bot"
    SETTINGS = "settings"


class Pooling(StrEnum):
    """What stands behind the cross positions of an account."""

    BY_SETTLE_ASSET = "by_settle_asset"
    """Each settle asset backs the positions that are paid in it: Binance single-asset and COIN-M, OKX futures mode."""
    ONE_POOL = "one_pool"
    """All collateral, by its value in USD, backs all cross positions: multi-asset modes, unified accounts."""
    PORTFOLIO = "portfolio"
    """As one pool, but maintenance follows the venue's own scenarios: no price of ours is the venue's."""


class CollateralHeld(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """So much of one asset in an account, without unrealised profit of positions; negative is a debt.

    ``venue_price_usd`` is at what the venue values a unit, ``None`` where not told; ``venue_haircut`` what it leaves
    away of that, 0..1. ``is_collateral`` says whether it counts for margin at all, by venue and owner.
    """

    asset: str
    quantity: float
    venue_price_usd: float | None = None
    venue_haircut: float | None = None
    is_collateral: bool = True
