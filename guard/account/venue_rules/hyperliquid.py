"""How Hyperliquid liquidates: isolated positions one by one, cross positions of one perp dex together. No I/O.

Liquidation starts where account value (of an isolated position: its margin and profit) is below maintenance, half of
the initial margin at maximum leverage, at mark. Above a tier's floor its rate counts less a deduction, so that
maintenance is continuous; the tier is that of the value at the price reached. No fee of closing is demanded, and
none of clearing is charged.

The first order closes 20 % of a position above 100,000 USDC; within the next 30 s any further one closes all. Below
two thirds of maintenance the liquidator vault takes over everything, and the maintenance margin is lost with it; perp
dexs of builders (HIP-3) have no such backstop. Unified and portfolio margin accounts also count spot balances, of
which ``clearinghouseState`` says nothing: a price that follows from it alone is too near, or wrong.
"""

from __future__ import annotations

from guard.account.venue_rules.rules import PartialLiquidation, VenueRules

LIQUIDATIONS = "https://hyperliquid.gitbook.io/hyperliquid-docs/trading/liquidations (read 2026-11-22)"
MARGIN_TIERS = "https://hyperliquid.gitbook.io/hyperliquid-docs/trading/margin-tiers (read 2026-11-22)"
EXAMPLE = (
    "https://github.com/hyperliquid-dex/ts-examples/blob/main/examples/LiquidationPx.tsx (read 2026-11-22)"
)
BUILDERS = "https://docs.hyena.trade/trading/liquidation (HIP-3, read 2026-11-22)"

HYPERLIQUID = VenueRules(
    venue="hyperliquid",
    partial=PartialLiquidation(share=0.2, notional_usd_min=100_000.0, whole_within_s=30.0),
    sources=(LIQUIDATIONS, MARGIN_TIERS, EXAMPLE, BUILDERS),
)

RULES = (HYPERLIQUID,)
