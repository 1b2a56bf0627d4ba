"""How a liquidation begins: how much of a position its venue closes first, and when more follows. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from math import inf, isfinite

from guard.account.venue_rules.rules import VenueRules
from guard.events import MarginMode
from guard.leverage.margin_pool import Leg
from guard.margin_terms import ContractKind, TierUnit


class StepCause(StrEnum):
    """Why a first step is as large as it is."""

    WHOLE = "whole"
    """The venue closes whole positions, or does so with one so small or in so low a tier."""
    SHARE = "share"
    """The venue's fixed share."""
    TIERS = "tiers"
    """What does not fit into a lower tier."""
    UNTOLD = "untold"
    """The venue begins with a part and does not say with how much: all of it must be reckoned with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstStep:
    """What the venue closes first once a position has reached its liquidation price.

    Attributes:
        share: of the position, within 0..1; 1 is all of it.
        size_left: signed, in the unit of ``Leg.size``.
        cause: why so much.
        whole_within_s: for so long after the step, a further liquidation closes all that is left.
    """

    share: float
    size_left: float
    cause: StepCause
    whole_within_s: float = 0.0


def first_step(
    rules: VenueRules, leg: Leg, price: float | None = None, mode: MarginMode = MarginMode.ISOLATED
) -> FirstStep:
    """What is closed first of a position that is liquidated at ``price``, by default its mark.

    By tiers, the venue leaves what still fits into the tier so many lower: a position of tier ``n`` (from 0) goes down
    to the floor of tier ``n - tiers_down + 1``, one in the lowest ``tiers_down`` tiers is closed whole. That the
    account may need more than the first step at once is not counted here.
    """
    whole = FirstStep(share=1.0, size_left=0.0, cause=StepCause.WHOLE)
    partial, at = rules.partial, leg.mark_price if price is None else price
    if partial is None or not isfinite(leg.size) or leg.size == 0.0 or not 0.0 < at < inf:
        return whole
    if mode not in partial.modes or (partial.share is None and partial.tiers_down <= 0):
        return replace(whole, cause=StepCause.UNTOLD)
    if partial.share is not None:
        if _notional_usd(leg, at) < partial.notional_usd_min:
            return whole
        left = leg.size * (1.0 - partial.share)
        return FirstStep(
            share=partial.share, size_left=left, cause=StepCause.SHARE, whole_within_s=partial.whole_within_s
        )
    counted = _counted(leg, at)
    tier = sum(tier.floor <= counted for tier in leg.tiers) - 1
    if tier < partial.tiers_down or _notional_usd(leg, at) < partial.notional_usd_min:
        return whole
    kept = leg.tiers[tier - partial.tiers_down + 1].floor / counted
    return FirstStep(
        share=1.0 - kept,
        size_left=leg.size * kept,
        cause=StepCause.TIERS,
        whole_within_s=partial.whole_within_s,
    )


def _notional_usd(leg: Leg, price: float) -> float:
    return abs(leg.size) if leg.kind is ContractKind.INVERSE else abs(leg.size) * price


def _counted(leg: Leg, price: float) -> float:
    """The position in the unit of its tiers' floors."""
    if leg.unit is TierUnit.SIZE:
        return abs(leg.size)
    return abs(leg.size) / price if leg.kind is ContractKind.INVERSE else abs(leg.size) * price
