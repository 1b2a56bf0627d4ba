"""What trading is taken to cost where nobody tells it, and for how long a decision is counted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Le


@dataclass(frozen=True, slots=True, kw_only=True)
class BillSettings:
    """How decisions are billed.

    Attributes:
        enabled: whether a bill is kept at all.
        taker_fee_bps: what an order that takes pays, bps of its notional; yours, not the venue's list price.
        liquidation_fee_bps: what the venue takes for a liquidation, bps of the notional closed; the rest of the margin
            is thought to be given back, which some venues do not do: savings are rather told too small.
        settle_s: how long after a restriction is over the position that it took is still counted.
        longest_s: after so long a decision is not counted any further, even if its restriction still holds.
        latency_ms: how late after a command the modelled account is thought to have obeyed, where nobody obeys.
    """

    enabled: bool = True
    taker_fee_bps: Annotated[float, Ge(0.0), Le(100.0)] = 5.0
    liquidation_fee_bps: Annotated[float, Ge(0.0), Le(1_000.0)] = 50.0
    settle_s: Annotated[float, Ge(1.0), Le(86_400.0)] = 900.0
    longest_s: Annotated[float, Ge(60.0), Le(2_592_000.0)] = 86_400.0
    latency_ms: Annotated[int, Ge(0), Le(600_000)] = 2_000
