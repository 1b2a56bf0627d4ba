"""What margin a position needs, and at which price it has it no more: isolated, linear, brackets with deductions.

Compiled where there is a compiler (margin_brackets.pxd), and the same results as it is.
"""

from __future__ import annotations

from array import array

from adapters.simulation.laboratory.parameters import MarginBracket
from guard.leverage.tiers import margin_tiers


class Brackets:
    """A symbol's maintenance margin; money is micros, sizes are signed lots, prices ticks (fractions of one too).

    ``micros`` is what one lot costs a tick. Deductions follow from the brackets below:
    ``c_n = c_(n-1) + floor_n * (r_n - r_(n-1))``.
    """

    def __init__(self, brackets: tuple[MarginBracket, ...], micros: int) -> None:
        tiers = margin_tiers(
            [(each.floor_usd, each.maintenance_ratio, each.leverage_max) for each in brackets]
        )
        self.count = len(tiers)
        self.micros = micros
        self.floor = array("d", [tier.floor * 1e6 for tier in tiers])
        self.ratio = array("d", [tier.maintenance_ratio for tier in tiers])
        self.deduction = array("d", [tier.deduction * 1e6 for tier in tiers])
        self.leverage = array("d", [tier.leverage_max for tier in tiers])

    def bracket_at(self, notional: float) -> int:
        """Return the bracket of a notional (micros); at a floor the one that it opens."""
        bracket = self.count - 1
        while bracket > 0 and notional < self.floor[bracket]:
            bracket -= 1
        return bracket

    def floor_of(self, bracket: int) -> float:
        """Return the least notional of a bracket (micros)."""
        return self.floor[bracket]

    def leverage_max(self, notional: float) -> float:
        """Return the highest leverage at which so much may be opened."""
        return self.leverage[self.bracket_at(notional)]

    def maintenance(self, notional: float) -> float:
        """Return the maintenance margin of a notional (both micros)."""
        bracket = self.bracket_at(notional)
        return self.ratio[bracket] * notional - self.deduction[bracket]

    def liquidation_price(self, lots: int, cost: int, margin: int) -> float:
        """Return the mark, in ticks, at which equity is maintenance margin; 0 or less: no fall gets there.

        ``cost`` is what was paid for the lots (negative for a short: what was got). A long at
        ``(q*e - W - c) / (q*(1 - r))``, a short at ``(q*e + W + c) / (q*(1 + r))``, in the bracket that holds the
        notional there; as equity less maintenance is monotone in price, there is one.
        """
        size = lots if lots > 0 else -lots
        signed = 1.0 * lots
        whole = 1.0 * size
        worth = (cost if cost > 0 else -cost) * 1.0
        bracket = self.bracket_at(worth)
        price = 0.0
        for _ in range(2 * self.count):  # twice: rounding at an edge must not go on for ever
            price = (1.0 * (cost - margin) - self.deduction[bracket]) / (signed - whole * self.ratio[bracket])
            if bracket > 0 and price < self.floor[bracket] / whole:
                bracket -= 1
            elif bracket + 1 < self.count and price >= self.floor[bracket + 1] / whole:
                bracket += 1
            else:
                break
        return price / self.micros

    def liquidation_tick(self, lots: int, cost: int, margin: int) -> int:
        """Return the first whole tick at which it is liquidated, from the side where it is not; 0 for none."""
        price = self.liquidation_price(lots, cost, margin)
        if price <= 0.0:
            return 0 if lots > 0 else 1
        if price > 1e12:
            return 0
        tick = int(price)
        if lots < 0 and tick < price:
            tick += 1
        return tick
