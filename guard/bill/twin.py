"""An account as it would be had nothing been commanded, kept as its difference from the real one. Pure.

Deposits, withdrawals and whatever the trader does by himself change both alike and need not be known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from guard.billed import TwinMemory
from guard.units import AccountId, MarketId


@dataclass(slots=True)
class Twin:
    """Double entry beside the decisions' own sums: what the twin holds and has more than the guarded account.

    Attributes:
        account: whose twin it is.
        extra: signed base units that the twin holds more, by market.
        cash_usd: what it has more in cash, negative for less.
        booked_usd: what the decisions say that the guarded side has more.
        seen: the account's own signed size where it was last looked at.

    >>> btc = MarketId("v:BTC/USDT:USDT")
    >>> twin = Twin(AccountId("v:main"))
    >>> twin.part(btc, 2.0, 100.0, paid_usd=1.0)  # the guarded side sold 2 for 200 less 1
    >>> twin.guarded_more_usd({btc: 90.0})
    19.0
    >>> twin.meet(btc, 2.0, 95.0, paid_usd=1.0)  # and bought them back
    >>> twin.guarded_more_usd({})
    8.0
    """

    account: AccountId
    extra: dict[MarketId, float] = field(default_factory=dict)
    cash_usd: float = 0.0
    booked_usd: float = 0.0
    seen: dict[MarketId, float] = field(default_factory=dict)

    def part(self, market: MarketId, size: float, price: float, *, paid_usd: float) -> None:
        """The guarded side has ``size`` less from ``price`` on, for which it paid more than the twin."""
        self.extra[market] = self.extra.get(market, 0.0) + size
        self.cash_usd += paid_usd - size * price

    def meet(self, market: MarketId, size: float, price: float, *, paid_usd: float) -> None:
        """Both hold the same of ``size`` again, from ``price`` on."""
        left = self.extra.get(market, 0.0) - size
        self.cash_usd += paid_usd + size * price
        if abs(left) <= 1e-12 * max(abs(size), 1.0):
            # What rounding leaves is worth nothing, and must not be held for ever.
            self.cash_usd += left * price
            self.extra.pop(market, None)
        else:
            self.extra[market] = left

    def pay(self, usd: float) -> None:
        """The twin alone pays (funding of what it holds more, its liquidation); negative: it receives."""
        self.cash_usd -= usd

    def guarded_more_usd(self, marks: Mapping[MarketId, float]) -> float:
        """Return the equity of the guarded side less the twin's; ``marks`` of all that is ``extra``."""
        return -(self.cash_usd + sum(size * marks[market] for market, size in self.extra.items()))

    def remember(self) -> TwinMemory:
        """What a guard that is started anew goes on from."""
        return TwinMemory(
            account=self.account,
            cash_usd=self.cash_usd,
            booked_usd=self.booked_usd,
            extra=dict(self.extra),
            seen=dict(self.seen),
        )

    @classmethod
    def of(cls, memory: TwinMemory) -> Twin:
        """Go on from a memory."""
        return cls(memory.account, dict(memory.extra), memory.cash_usd, memory.booked_usd, dict(memory.seen))
