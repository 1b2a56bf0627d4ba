"""Everyone's leverage: tiers, liquidation prices and the sizes that keep them away. No I/O, no clock."""
