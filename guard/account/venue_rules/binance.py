"""How Binance liquidates: USD-M (one-way, hedge, multi-assets) and COIN-M. No I/O.

Both margin modes are liquidated where maintenance, valued at mark, has eaten the margin balance: of an isolated
position its own, in cross mode that of all positions that share the wallet. The clearance fee is taken from what is
closed and is no part of the trigger. In hedge mode both sides of a contract share one cross price; isolated sides
have one each.
"""

from __future__ import annotations

from guard.account.venue_rules.rules import PartialLiquidation, VenueRules

LINEAR_FAQ = (
    "https://www.binance.com/en/support/faq/b3c689c1f50a44cabb3a84e663b81d93 (2020-08-14, read 2026-11-22)"
)
INVERSE_FAQ = (
    "https://www.binance.com/en/support/faq/ceccfcfb4e3a45e3b48b0b1bb1a8ae46 (2021-02-05, read 2026-11-22)"
)

PROTOCOL = "https://www.binance.com/en/support/faq/360033525271 (2024-05-29, read 2026-11-22)"

PARTIAL = PartialLiquidation()
"""All orders of the account are cancelled; one immediate-or-cancel order then takes off so much that the account would
hold again, how much is not published; what does not hold after that goes to the insurance fund at the bankruptcy
price. Small positions, the page says, are nearly always closed whole."""

USDM = VenueRules(
    venue="binanceusdm",
    partial=PARTIAL,
    shared_all_or_none=True,  # error -4168: multi-assets mode knows cross margin alone
    sources=(LINEAR_FAQ, PROTOCOL),
)
COINM = VenueRules(venue="binancecoinm", partial=PARTIAL, sources=(INVERSE_FAQ, PROTOCOL))
EITHER = VenueRules(
    venue="binance", partial=PARTIAL, shared_all_or_none=True, sources=(LINEAR_FAQ, INVERSE_FAQ, PROTOCOL)
)

RULES = (USDM, COINM, EITHER)
