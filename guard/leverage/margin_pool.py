"""What is liquidated together: positions and the collateral that stands behind them. Values only, no I/O.

An isolated position with its margin is a pool; so are all cross positions of an account that share collateral.
Everything is valued in USD at a state of prices, so that linear and inverse contracts, and several collaterals,
stand in one sum::

    F = sum of collateral value after haircuts + sum of profit - sum of maintenance - sum of closing fees

    linear   profit q (p - e)        maintenance  r |q| p - c        fee f |q| p          q base units
    inverse  profit N (p/e - 1)      maintenance  r |N|   - c p      fee f |N|            N USD, c coins

The pool is liquidated where F reaches 0. Each term is linear in p within a tier, inverse ones too: what they pay in
coins is worth p a coin.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from guard.margin_terms import ContractKind, MarginTier, TierUnit
from guard.units import MarketId


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """One open position; of a hedged pair each side is one.

    Attributes:
        market: whose mark price moves it.
        size: signed, long positive: base units (linear) or USD (inverse).
        entry_price: quote per base, > 0.
        mark_price: quote per base, > 0.
        tiers: ascending, the first from 0; see ``guard.margin_terms.MarginTier``.
        kind: linear or inverse.
        unit: in what the floors of ``tiers`` are counted.
        closing_fee: what the venue demands for closing, as a share of value at the price reached.
        maintenance_at_entry: whether the venue values the maintenance margin at the entry price, so that it stays.
    """

    market: MarketId
    size: float
    entry_price: float
    mark_price: float
    tiers: tuple[MarginTier, ...]
    kind: ContractKind = ContractKind.LINEAR
    unit: TierUnit = TierUnit.NOTIONAL
    closing_fee: float = 0.0
    maintenance_at_entry: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """So much of one collateral.

    Attributes:
        asset: its name at the venue.
        quantity: units of the asset; negative is a debt, which no haircut makes smaller.
        price_usd: what a unit is worth, USD.
        haircut: what is not counted of it, within 0..1.
        market: the market whose mark price it moves with (the coin of an inverse pool), ``None`` if with none.
    """

    asset: str
    quantity: float
    price_usd: float
    haircut: float = 0.0
    market: MarketId | None = None

    @property
    def value_usd(self) -> float:
        """What it counts for, USD."""
        value = self.quantity * self.price_usd
        return value if value < 0.0 else value * (1.0 - self.haircut)


@dataclass(frozen=True, slots=True, kw_only=True)
class MarginPool:
    """Positions that fail together and what stands behind them.

    ``other_maintenance_usd`` is what the venue demands besides, for what we cannot see one by one (open orders,
    options, borrowing): constant. ``in_coin`` says that all legs are paid in one coin and all holdings are it (COIN-M):
    what others than the moving market are worth is then so many coins and not so many dollars, and a perpetual's price
    is solved right beside a quarterly contract on the same coin.
    """

    legs: tuple[Leg, ...]
    holdings: tuple[Holding, ...]
    other_maintenance_usd: float = 0.0
    in_coin: bool = False


class LiquidationKind(StrEnum):
    """What is known of where a position is liquidated; ``None`` as a price always has one of these beside it."""

    PRICE = "price"
    """At a price of its own market, all others staying where they are."""
    CANNOT = "cannot"
    """No price of its own market liquidates it, and the pool holds at prices as they are."""
    ACCOUNT_LEVEL = "account_level"
    """No single price tells it: the account fails with several prices together (portfolio margin)."""
    FAILED = "failed"
    """The pool fails at prices as they are."""
    MISSING = "missing"
    """Not known: something that it follows from was not told. Never safe."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolState:
    """A pool at a state of prices, USD; it fails where ``free_usd`` is 0 or less.

    ``free_usd = equity_usd - maintenance_usd - closing_fee_usd``.
    """

    equity_usd: float
    maintenance_usd: float
    closing_fee_usd: float

    @property
    def free_usd(self) -> float:
        return self.equity_usd - self.maintenance_usd - self.closing_fee_usd
