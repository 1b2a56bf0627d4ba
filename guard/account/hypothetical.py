"""Positions that are not held but asked about: "what if I held this". No I/O, no clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from guard.events import AccountSnapshot, Position, PositionSource
from guard.units import AccountId, MarketId, Nanoseconds


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
    """Return one snapshot an account; each position stands on its own margin."""
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


def _position(asked: Hypothetical) -> Position:
    return Position(
        market=asked.market,
        size=asked.size,
        entry_price=asked.entry_price,
        leverage=asked.leverage,
        margin_usd=_margin_usd(asked),
    )


def _margin_usd(asked: Hypothetical) -> float:
    return (
        asked.margin_usd
        if asked.margin_usd is not None
        else abs(asked.size) * asked.entry_price / asked.leverage
    )
