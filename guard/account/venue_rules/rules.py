"""What a venue does differently when it liquidates, as values. No I/O."""

from __future__ import annotations

from dataclasses import dataclass

from guard.events import MarginMode


@dataclass(frozen=True, slots=True, kw_only=True)
class PartialLiquidation:
    """How a venue begins: with a part of a position instead of all of it.

    With neither ``share`` nor ``tiers_down``, the venue says that it begins with a part and not with how much.

    Attributes:
        modes: for which this is said; in others the venue begins with a part of which nothing more is known.
        share: what is closed first, of the position; ``None`` if it follows from tiers (``tiers_down``).
        tiers_down: by how many tiers a position is reduced at a time; 0 if it does not go by tiers.
        notional_usd_min: positions below it are closed whole at once.
        whole_within_s: for so long after a step, what is still to be liquidated is closed whole.
    """

    modes: frozenset[MarginMode] = frozenset(MarginMode)
    share: float | None = None
    tiers_down: int = 0
    notional_usd_min: float = 0.0
    whole_within_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueRules:
    """The liquidation rules of one venue.

    Attributes:
        venue: ccxt's id.
        closing_fee: what is demanded for closing besides maintenance, share of value at the price reached; the taker
            fee where the rule names that and no other is known.
        fee_at_bankruptcy: modes in which that fee is a share of value at the bankruptcy price and within the margin
            that the venue tells (``guard.account.venue_rules.fees``).
        fee_in_maintenance: whether the maintenance margin that the venue tells of an account has that fee within.
        maintenance_at_entry: modes in which maintenance is valued at the entry price and not at mark.
        partial: how a liquidation begins, ``None`` where whole positions are closed at once.
        shared_all_or_none: no single position can be isolated while all collateral backs all of them: the mode is
            the account's.
        sources: public pages that say so, with the date at which they were read.
    """

    venue: str
    closing_fee: float = 0.0
    fee_at_bankruptcy: frozenset[MarginMode] = frozenset()
    fee_in_maintenance: bool = False
    maintenance_at_entry: frozenset[MarginMode] = frozenset()
    partial: PartialLiquidation | None = None
    shared_all_or_none: bool = False
    sources: tuple[str, ...] = ()
