"""Numbers that make sense, and nothing in the place of those that make none. Pure: no I/O, no clock.

Venues and bots tell odd numbers now and then, mostly where they mean none. What is odd is not known from here on,
so that no sum, record or metric has to look for it again.
"""

from __future__ import annotations

from msgspec import structs

from guard.events import AccountSnapshot, Position
from guard.leverage.lines import LARGEST, SMALLEST_PRICE


def sensible_price(price: float | None) -> float | None:
    """The price, ``None`` where it is none.

    >>> sensible_price(100.0), sensible_price(0.0), sensible_price(float("inf"))
    (100.0, None, None)
    """
    return price if price is not None and SMALLEST_PRICE < price < LARGEST else None


def sensible_number(number: float | None) -> float | None:
    """The number, ``None`` where it is none or too large to be meant."""
    return number if number is not None and -LARGEST < number < LARGEST else None


def sensible_size(size: float | None) -> float | None:
    """The signed size, ``None`` where it is none: no venue counts so finely, or so far."""
    return size if size is not None and SMALLEST_PRICE < abs(size) < LARGEST else None


def sensible_position(position: Position) -> Position:
    """The position, itself where all of it makes sense; a size that makes none is 0, and is said to be missing."""
    cleaned = (
        sensible_size(position.size) or 0.0,
        sensible_price(position.entry_price),
        sensible_price(position.mark_price),
        sensible_price(position.leverage),
        sensible_number(position.margin_usd),
        sensible_number(position.liquidation_price),
        sensible_size(position.contracts_usd),
        sensible_number(position.margin),
        sensible_number(position.adl_rank),
    )
    told = (
        position.size,
        position.entry_price,
        position.mark_price,
        position.leverage,
        position.margin_usd,
        position.liquidation_price,
        position.contracts_usd,
        position.margin,
        position.adl_rank,
    )
    if cleaned == told:
        return position
    size, entry, mark, leverage, margin_usd, liquidation, contracts_usd, margin, rank = cleaned
    return structs.replace(
        position,
        size=size,
        entry_price=entry,
        mark_price=mark,
        leverage=leverage,
        margin_usd=margin_usd,
        liquidation_price=liquidation,
        contracts_usd=contracts_usd,
        margin=margin,
        adl_rank=rank,
    )


def sensible_snapshot(snapshot: AccountSnapshot) -> AccountSnapshot:
    """The account without sums that make no sense; its collateral is judged where it is valued."""
    cleaned = (
        sensible_number(snapshot.equity_usd),
        sensible_number(snapshot.wallet_usd),
        sensible_number(snapshot.maintenance_usd),
        sensible_number(snapshot.margin_ratio),
    )
    told = (snapshot.equity_usd, snapshot.wallet_usd, snapshot.maintenance_usd, snapshot.margin_ratio)
    positions = tuple(map(sensible_position, snapshot.positions))
    if cleaned == told and all(
        one is other for one, other in zip(positions, snapshot.positions, strict=True)
    ):
        return snapshot
    equity_usd, wallet_usd, maintenance_usd, margin_ratio = cleaned
    return structs.replace(
        snapshot,
        equity_usd=equity_usd,
        wallet_usd=wallet_usd,
        maintenance_usd=maintenance_usd,
        margin_ratio=margin_ratio,
        positions=positions,
    )
