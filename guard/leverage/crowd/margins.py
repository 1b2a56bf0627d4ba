"""What margin others must keep in a market, from the tiers that its venue publishes. No I/O, no clock."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from guard.leverage.tiers import maintenance, tier_at
from guard.margin_terms import ContractKind, TermsSource, TierTable, TierUnit

SIZE_SHARE = 3e-4
"""Of open interest: half of it is in positions that are larger. What is liquidated at once (``unit_share``) is the
mean position of open interest, this its median, where sizes are log-normal."""

SIZE_LOG_SD = 1.6

RATE_STEP = 5e-4
"""Rates are told in half bins of the map: markets with nearly the same share where their entries are put down."""

RATE_MIN, RATE_MAX = 0.002, 0.1

_LEVELS: Final = (-1.2816, -0.5244, 0.0, 0.5244, 1.2816)
"""Standard normal numbers, middles of fifths."""


@dataclass(frozen=True, slots=True)
class Margins:
    """``maintenance`` of notional, the mean over positions; ``leverage_max`` that one of usual size may have."""

    maintenance: float
    leverage_max: float


def margins_of(table: TierTable, open_interest: float, mark_price: float) -> Margins | None:
    """Say what tiers mean for a crowd that holds so much together.

    Formula: the mean of ``maintenance(size) / value(size)`` over log-normal sizes, deductions counted.
    Assumptions: sizes go with open interest. Failure modes: a market of a few large accounts is in higher tiers.

    Args:
        table: of a venue; ours (``TermsSource.FORMULA``) asks for more than venues do, and says nothing of others.
        open_interest: base units, above 0.
        mark_price: quote per base, above 0.

    Returns:
        ``None`` where the table says nothing that can be used.

    >>> from guard.leverage.tiers import margin_tiers
    >>> from guard.units import MarketId
    >>> table = TierTable(
    ...     market=MarketId("bybit:BTC/USDT:USDT"),
    ...     tiers=margin_tiers([(0, 0.004, 150), (300e3, 0.005, 100), (3e6, 0.01, 50)]),
    ... )
    >>> margins_of(table, 30_000.0, 100_000.0)
    Margins(maintenance=0.005, leverage_max=100.0)
    """
    if table.source is TermsSource.FORMULA or not table.tiers:
        return None
    rates = []
    leverage_max = math.inf
    for level in _LEVELS:
        size = SIZE_SHARE * open_interest * math.exp(SIZE_LOG_SD * level)
        worth = size * mark_price
        is_linear = table.kind is ContractKind.LINEAR
        value = worth if is_linear else size
        counted = value if table.unit is TierUnit.NOTIONAL else (size if is_linear else worth)
        tier = tier_at(table.tiers, counted)
        if table.unit is TierUnit.NOTIONAL:
            rates.append(maintenance(table.tiers, value) / value)
        else:
            rates.append(max(tier.maintenance_ratio - tier.deduction / value, 0.0))
        if level == 0.0:
            leverage_max = tier.leverage_max
    rate = round(sum(rates) / len(rates) / RATE_STEP) * RATE_STEP
    if not (math.isfinite(rate) and leverage_max >= 1.0):
        return None
    return Margins(min(max(rate, RATE_MIN), RATE_MAX), leverage_max)
