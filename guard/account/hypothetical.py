"""Positions that are not held but asked about: "what if I held this". No I/O, no clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from guard.events import AccountSnapshot, MarginMode, Position, PositionSource
from guard.leverage.liquidation_price import liquidation_price
from guard.units import AccountId, MarketId, Nanoseconds

MAINTENANCE_RATIO = 0.01
"""Maintenance margin over notional where no venue tells it: above the first tiers of the large markets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hypothetical:
    """One position as the settings name it: signed base units, quote per base, notional over margin, USD."""

    account: AccountId
    market: MarketId
    size: float
    entry_price: float
    leverage: float
    margin_usd: float | None = None


def snapshots_of(asked: Sequence[Hypothetical], at: Nanoseconds) -> tuple[AccountSnapshot, ...]:
    """Return one snapshot an account; each position stands on its own margin, its liquidation price solved."""
    accounts = dict.fromkeys(each.account for each in asked)
    return tuple(
        AccountSnapshot(
            received_at=at,
            account=account,
            source=PositionSource.SETTINGS,
            equity_usd=sum(_margin_usd(each) for each in asked if each.account == account),
            positions=tuple(_position(each) for each in asked if each.account == account),
        )
        for account in accounts
    )


def estimated_liquidation_price(
    position: Position, *, equity_usd: float | None = None, others: Sequence[Position] = ()
) -> float | None:
    """Solve for a price where nobody told it.

    The margin is the one told (isolated); else, in cross mode with a known equity, the account's equity
    less this position's profit and the maintenance margin of ``others``; else entry notional over
    leverage. ``None`` where none of these is known. Source: ``guard.leverage.liquidation_price``; a flat
    maintenance ratio of 1 % where a position has none, which errs to the near side in the first tiers.
    """
    entry = position.entry_price
    margin = position.margin_usd
    crossed = position.margin_mode is not MarginMode.ISOLATED
    if margin is None and crossed and entry is not None and equity_usd is not None:
        profit = position.size * ((position.mark_price or entry) - entry)
        margin = equity_usd - profit - sum(_maintenance_usd(other) for other in others)
    if margin is None and position.leverage and entry is not None:
        margin = abs(position.size) * entry / position.leverage
    if margin is None or entry is None:
        return None
    return liquidation_price(
        side_size_signed=position.size,
        entry_price=entry,
        margin_usd=margin,
        maintenance_ratio=position.maintenance_ratio or MAINTENANCE_RATIO,
        maintenance_amount=position.maintenance_amount_usd,
    )


def _maintenance_usd(position: Position) -> float:
    price = position.mark_price or position.entry_price or 0.0
    ratio = position.maintenance_ratio or MAINTENANCE_RATIO
    return abs(position.size) * price * ratio - position.maintenance_amount_usd


def _position(asked: Hypothetical) -> Position:
    return Position(
        market=asked.market,
        size=asked.size,
        entry_price=asked.entry_price,
        leverage=asked.leverage,
        margin_usd=_margin_usd(asked),
        liquidation_price=liquidation_price(
            side_size_signed=asked.size,
            entry_price=asked.entry_price,
            margin_usd=_margin_usd(asked),
            maintenance_ratio=MAINTENANCE_RATIO,
        ),
        maintenance_ratio=MAINTENANCE_RATIO,
    )


def _margin_usd(asked: Hypothetical) -> float:
    return (
        asked.margin_usd
        if asked.margin_usd is not None
        else abs(asked.size) * asked.entry_price / asked.leverage
    )
