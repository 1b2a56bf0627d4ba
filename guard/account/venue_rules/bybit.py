"""How Bybit liquidates: isolated positions one by one, cross positions of a unified account together. No I/O.

Since 2025-09-02 maintenance is valued at mark; until then it was at entry. The fee of closing is within the
initial and the maintenance margin alike: a margin that is told with it must be compared with a demand that has it.
Isolated, it is reckoned at the bankruptcy price and stays. Cross, the page on maintenance shows it at mark times
(1 - 1/leverage) for a long and (1 + 1/leverage) for a short, in the list of positions; whether the account's total
has it is not said. Here it is the fee at the price reached: fee / leverage too much for a long and too little for a
short, half a bp of price at ten times leverage. A hedged pair is charged for both sides; Bybit asks for less, how much
less is not told.
"""

from __future__ import annotations

from guard.account.venue_rules.rules import PartialLiquidation, VenueRules
from guard.events import MarginMode

HELP, READ = "https://www.bybit.com/en/help-center/article", "read 2026-11-22"
ISOLATED = (
    f"{HELP}/Liquidation-Price-Calculation-under-Isolated-Mode-Unified-Trading-Account (2026-05-27, {READ})"
)
PROCESS = f"{HELP}/UTA-Trading-Rules-Liquidation-Process (2026-08-07, {READ})"
ADJUSTMENT = (
    f"{HELP}/Understanding-the-Adjustment-and-Impact-of-the-New-Margin-Calculation (2025-09-18, {READ})"
)
MARGIN = f"{HELP}/Maintenance-Margin-USDT-Contract (2026-04-16, {READ})"

TAKER_FEE = 0.00055
"""Of an account without discount."""

PARTIAL = PartialLiquidation(tiers_down=1, modes=frozenset((MarginMode.ISOLATED,)))
"""Isolated: orders of the contract are cancelled; from the second tier on, one order then takes off what does not fit
into the next lower one; a position that still does not hold, or stands in the lowest tier, is taken over whole at the
bankruptcy price. Of a cross account orders are cancelled and debts repaid first; in which order and how much of its
positions then goes is not told."""

BYBIT = VenueRules(
    venue="bybit",
    closing_fee=TAKER_FEE,
    fee_at_bankruptcy=frozenset((MarginMode.ISOLATED,)),
    fee_in_maintenance=True,
    partial=PARTIAL,
    shared_all_or_none=True,  # a unified account has one margin mode
    sources=(ISOLATED, PROCESS, ADJUSTMENT, MARGIN),
)

RULES = (BYBIT,)
