"""What venues do differently when they liquidate; everything else is one solver (``guard.leverage.solver``). No I/O."""

from __future__ import annotations

from dataclasses import dataclass

from guard.events import MarginMode


@dataclass(frozen=True, slots=True, kw_only=True)
class PartialLiquidation:
    """How a venue begins: with a part of a position instead of all of it.

    Attributes:
        share: what is closed first, of the position; ``None`` if it follows from tiers (``tiers_down``).
        tiers_down: by how many tiers a position is reduced at a time; 0 if it does not go by tiers.
        notional_usd_min: positions below it are closed whole at once.
        cooldown_s: after a step the venue waits so long before the next.
    """

    share: float | None = None
    tiers_down: int = 0
    notional_usd_min: float = 0.0
    cooldown_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueRules:
    """The liquidation rules of one venue.

    Attributes:
        venue: ccxt's id.
        closing_fee: what is demanded for closing besides maintenance, share of value at the price reached; the taker
            fee where the rule names that and no other is known.
        maintenance_at_entry: modes in which maintenance is valued at the entry price and not at mark.
        partial: how a liquidation begins, ``None`` where whole positions are closed at once.
        sources: public pages that say so, with the date at which they were read.
    """

    venue: str
    closing_fee: float = 0.0
    maintenance_at_entry: frozenset[MarginMode] = frozenset()
    partial: PartialLiquidation | None = None
    sources: tuple[str, ...] = ()


def rules_of(venue: str) -> VenueRules:
    """The rules of a venue by ccxt's id; of one that is not known, maintenance at mark and no closing fee."""
    return _KNOWN.get(venue, VenueRules(venue=venue))


_KNOWN: dict[str, VenueRules] = {}
