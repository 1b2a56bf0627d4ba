"""What venues do differently when they liquidate; everything else is one solver (``guard.leverage.solver``). No I/O."""

from __future__ import annotations

from guard.account.venue_rules import binance, bybit, hyperliquid, okx
from guard.account.venue_rules.rules import PartialLiquidation, VenueRules

__all__ = ["PartialLiquidation", "VenueRules", "rules_of"]


def rules_of(venue: str) -> VenueRules:
    """The rules of a venue by ccxt's id; of one that is not known, maintenance at mark and no closing fee.

    >>> rules_of("bybit").closing_fee > 0.0
    True
    """
    return _KNOWN.get(venue) or VenueRules(venue=venue)


_KNOWN: dict[str, VenueRules] = {
    rules.venue: rules
    for rules in (
        *binance.RULES,
        *bybit.RULES,
        *okx.RULES,
        *hyperliquid.RULES,
    )
}
