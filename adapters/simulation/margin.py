"""Margin arithmetic of Binance USD-M: maintenance by tier, liquidation price. Pure functions of Decimals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from math import prod

from adapters.simulation.settings import MarginTier

ZERO = Decimal(0)
RATE_MAX = Decimal("0.99")
"""More than a position is worth is never asked for."""
CENT = Decimal("0.00000001")
"""Money is kept to eight decimals, as Binance does."""


def money(amount: Decimal) -> Decimal:
    """Round to the eight decimals that money is kept to."""
    return amount.quantize(CENT)


@dataclass(frozen=True, slots=True)
class Bracket:
    """A tier with ``cum``, the amount that makes maintenance margin continuous at its floor."""

    number: int
    tier: MarginTier
    cum: Decimal


class BracketTable:
    """The tiers of a venue; ``cum_n = cum_(n-1) + floor_n (rate_n - rate_(n-1))``."""

    def __init__(self, tiers: Sequence[MarginTier]) -> None:
        self.brackets: tuple[Bracket, ...] = ()
        self.closing_fee = ZERO
        """What is kept for the fee of closing besides, as a share of value."""
        self._tiers: tuple[MarginTier, ...] = ()
        self._ratios: list[Decimal] = []
        """By how much more is asked for, for each reason that there is."""
        self.set(tiers)

    def set(self, tiers: Sequence[MarginTier]) -> None:
        """Put other tiers in force."""
        self._tiers = tuple(tiers)
        self._rebuild()

    def scale(self, ratio: Decimal, *, on: bool = True) -> None:
        """Ask for ``ratio`` times as much for one more reason, or for one of this size less."""
        if on:
            self._ratios.append(ratio)
        else:
            self._ratios.remove(ratio)
        self._rebuild()

    def _rebuild(self) -> None:
        brackets: list[Bracket] = []
        for number, told in enumerate(self._tiers, start=1):
            rate = min(prod(self._ratios, start=told.maintenance_rate), RATE_MAX)
            tier = told.model_copy(update={"maintenance_rate": rate})
            cum = ZERO
            if brackets:
                before = brackets[-1]
                step = tier.maintenance_rate - before.tier.maintenance_rate
                cum = before.cum + tier.notional_floor * step
            brackets.append(Bracket(number, tier, cum))
        self.brackets = tuple(brackets)

    def of(self, notional: Decimal) -> Bracket:
        """The bracket that a position of this notional (absolute, USDT) is in."""
        for bracket in self.brackets:
            if notional < bracket.tier.notional_cap:
                return bracket
        return self.brackets[-1]

    def maintenance(self, notional: Decimal) -> Decimal:
        """Maintenance margin in USDT: ``notional x (rate + closing fee) - cum``."""
        bracket = self.of(notional)
        return notional * (bracket.tier.maintenance_rate + self.closing_fee) - bracket.cum

    def notional_max(self, leverage: int) -> Decimal:
        """The largest position allowed at this leverage, USDT."""
        caps = [b.tier.notional_cap for b in self.brackets if b.tier.leverage_max >= leverage]
        return max(caps, default=ZERO)

    @property
    def leverage_max(self) -> int:
        return self.brackets[0].tier.leverage_max

    def liquidation_price(
        self, legs: Sequence[tuple[Decimal, Decimal]], backing: Decimal, mark: Decimal
    ) -> Decimal:
        """The mark at which ``backing + unrealised == maintenance``; 0 where there is none.

        Args:
            legs: signed size (long positive) and signed entry notional, ``size x entry price``, of the position, or
                of both of a hedged pair.
            backing: USDT that stand behind them alone: the isolated wallet, or the cross margin plus the other
                positions' unrealised profit less their maintenance.
            mark: as it is; it chooses the brackets, as the venue does.

        ``backing + sum(size p - cost) = sum(|size| p (rate + closing fee) - cum)``, solved for p.
        """
        denominator = above = ZERO
        for amount, cost in legs:
            bracket = self.of(abs(amount) * mark)
            denominator += amount - abs(amount) * (bracket.tier.maintenance_rate + self.closing_fee)
            above += cost - bracket.cum
        if denominator == ZERO:
            return ZERO
        return max((above - backing) / denominator, ZERO)
