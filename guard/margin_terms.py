"""What a venue demands: margin tiers of its contracts and what it counts of each collateral. Values only, no I/O.

They come from the venue, from what was last stored of it, or from a formula of our own, and say which. They
change while the guard runs (``guard.events.MarginTermsSeen``): a venue that raises them is part of a crash.
"""

from __future__ import annotations

from enum import StrEnum
from math import inf

from msgspec import Struct

from guard.units import MarketId, Nanoseconds


class ContractKind(StrEnum):
    """How a contract pays."""

    LINEAR = "linear"
    """Sized in the base coin, margined and paid in the quote: profit is size x (price - entry)."""
    INVERSE = "inverse"
    """Sized in the quote (USD), margined and paid in the base coin: profit is size x (1/entry - 1/price) coins."""


class TierUnit(StrEnum):
    """In what the floors of a tier table are counted."""

    NOTIONAL = "notional"
    """Position value at mark: quote currency (linear), base coin (inverse). Price moves a position between tiers."""
    SIZE = "size"
    """What a position counts whatever the price: base coin (linear), quote currency (inverse). OKX."""


class TermsSource(StrEnum):
    """Whose word a table is; an earlier member is believed before a later one."""

    VENUE = "venue"
    STORED = "stored"
    """The venue's, as stored at ``as_of``: it could not be asked now."""
    FORMULA = "formula"
    """Ours, made to ask for more than venues do: nobody told the venue's."""


class MarginTier(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What positions from ``floor`` on must keep.

    Their maintenance margin is ``maintenance_ratio * value - deduction``, of the whole value; value and deduction
    are in quote currency (linear) or base coin (inverse).
    """

    floor: float
    maintenance_ratio: float
    deduction: float = 0.0
    leverage_max: float = inf


class TierTable(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The tiers of one market, ascending from a floor of 0; ``as_of`` is when the venue told them."""

    market: MarketId
    tiers: tuple[MarginTier, ...]
    kind: ContractKind = ContractKind.LINEAR
    unit: TierUnit = TierUnit.NOTIONAL
    source: TermsSource = TermsSource.VENUE
    as_of: Nanoseconds | None = None


class HaircutTier(Struct, frozen=True, kw_only=True):
    """What the venue leaves away of the part of a holding from ``floor_usd`` on: ``haircut`` within 0..1."""

    floor_usd: float
    haircut: float


class CollateralTerms(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a venue counts one asset as collateral: by parts of its value (marginal), ascending from 0 USD.

    No tiers: the asset is no collateral there. Where the venue counts floors in units of the asset, ``unit_usd`` is the
    price at which they were made USD: at another price they stand elsewhere, and are the same floors all the same.
    """

    asset: str
    tiers: tuple[HaircutTier, ...] = ()
    unit_usd: float | None = None
    source: TermsSource = TermsSource.VENUE
    as_of: Nanoseconds | None = None
