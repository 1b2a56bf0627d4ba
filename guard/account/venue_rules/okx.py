"""How OKX liquidates: isolated positions one by one, cross ones by settle currency or by an account's USD. No I/O.

Liquidation starts where the margin ratio is 100 %: equity over (maintenance + the taker fee of closing), both at mark.
The rate of a position's tier holds for all of it, tiers count size and not value, and nothing is deducted: maintenance
jumps where a tier ends, but no price makes a position change its tier. In cross margin the tier is that of both sides
of a contract together, and of the expiries of one underlying; a leg of ours counts alone, and what the account's own
maintenance is more is charged to its pool. The fee is the account's own (0.03 % was seen as well as 0.05 %), so ours is
that of an account without discount. In a cross account sides of one contract are closed against each other first.

Of an isolated position OKX names a price one tick nearer than where the ratio is 100 %; of a cross one, that price
itself. In multi-currency mode equity is the USD value of all currencies after discounts, and ``liqPx`` may be
left empty. In portfolio mode maintenance follows OKX's own scenarios: no price of ours is OKX's.
"""

from __future__ import annotations

from guard.account.venue_rules.rules import PartialLiquidation, VenueRules

TIERS = "https://www.okx.com/help/v-tiered-maintenance-margin-ratio-rules (2025-05-16, read 2026-11-22)"
PARTIAL = (
    "https://supdljgzdhc.okx.com/hc/en-us/articles/360020411711-V-Forced-Partial-or-Full-Liquidation "
    "(undated, read 2026-11-22)"
)
MULTI_CURRENCY = (
    "https://www.okx.com/help/iv-multi-currency-margin-mode-cross-margin-trading (2024-10-25,"
    " read 2026-11-22)"
)
POSITIONS = "https://www.okx.com/docs-v5/en/#trading-account-rest-api-get-positions (read 2026-11-22)"

TAKER_FEE = 0.0005
"""Of an account without discount, on swaps and futures."""

OKX = VenueRules(
    venue="okx",
    closing_fee=TAKER_FEE,
    # From the third tier on, two tiers at a time; what is in the first or second, or would fail even there, whole.
    partial=PartialLiquidation(tiers_down=2),
    sources=(TIERS, PARTIAL, MULTI_CURRENCY, POSITIONS),
)
OKX_EUROPE = VenueRules(venue="myokx", closing_fee=OKX.closing_fee, partial=OKX.partial, sources=OKX.sources)
OKX_AMERICA = VenueRules(venue="okxus", closing_fee=OKX.closing_fee, partial=OKX.partial, sources=OKX.sources)

RULES = (OKX, OKX_EUROPE, OKX_AMERICA)
