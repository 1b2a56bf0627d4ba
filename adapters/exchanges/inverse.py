"""Positions in inverse contracts, told in dollars and coins, as the venue-neutral values have them. Pure: no I/O."""

from __future__ import annotations

from dataclasses import replace

from adapters.exchanges.venue import PositionSeen
from guard.errors import MalformedFrameError
from guard.margin_terms import ContractKind


def inverse_in_base_units(seen: PositionSeen, where: str) -> PositionSeen:
    """Turn a position of dollars, with margin and profit in the coin, to base units and dollars at its mark."""
    price = seen.mark_price or seen.entry_price
    if price is None:
        raise MalformedFrameError(where, f"position {seen.market_code} has no price")
    return replace(
        seen,
        quantity=seen.size,
        size=seen.size / price,
        margin_usd=None if seen.margin is None else seen.margin * price,
        unrealised_usd=seen.unrealised_usd * price,
        kind=ContractKind.INVERSE,
        contracts_usd=seen.size,
    )
