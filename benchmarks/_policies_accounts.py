"""Who is guarded and who is not: the accounts of an episode, the same for every arm, and what is counted of each.

Of every market that is watched one account is long and one is short. Six of a venue's accounts have these leverages,
which go round from episode to episode; so do the kinds of margin, and every third one buys dips.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from guard.holdings import MarginMode
from guard.margin_terms import TierTable
from guard.paper.account import PaperAccount, PaperTerms
from guard.paper.bot import PaperBot, Strategy
from guard.paper.strategies import DipBuyer, Holder
from guard.units import NS_PER_S, BotId, MarketId, Nanoseconds, account_id, venue_of

LEVERAGES = (3.0, 5.0, 8.0, 3.0, 12.0, 5.0)
"""6x on the mean."""

EQUITY_USD = 2_000.0
"""Of each account: orders of some thousand USD do not move these books."""

OPENS_S = 5.0
"""All open so long after the episode began: their bots run before the guard does."""

TERMS = PaperTerms()
STOP_SHARE = 0.6
"""A dip buyer's stop is no farther than this share of what its leverage bears."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """One account, as every arm has it."""

    number: int
    market: MarketId
    sign: float
    leverage: float
    mode: MarginMode
    buys_dips: bool
    opens_at: Nanoseconds

    @property
    def name(self) -> str:
        """For people, such as ``a03-long-12x-isolated-dips``."""
        side = "long" if self.sign > 0.0 else "short"
        kind = "dips" if self.buys_dips else "holds"
        return f"a{self.number:02d}-{side}-{self.leverage:g}x-{self.mode}-{kind}"

    def bot(self, tiers: dict[MarketId, TierTable], scale: float = 1.0) -> PaperBot:
        """Make its bot and account; ``scale`` multiplies the leverage."""
        leverage = min(self.leverage * scale, tiers[self.market].tiers[0].leverage_max)
        return PaperBot(
            bot=BotId(self.name),
            account_id=account_id(venue_of(self.market), self.name),
            market=self.market,
            account=PaperAccount(EQUITY_USD, {self.market: tiers[self.market].tiers}, TERMS),
            strategy=self._strategy(leverage),
            leverage=leverage,
            mode=self.mode,
        )

    def _strategy(self, leverage: float) -> Strategy:
        if not self.buys_dips:
            return Holder(self.sign, leverage, self.opens_at)
        stop = min(0.08, max(STOP_SHARE / leverage, 0.045))
        return DipBuyer(self.sign, leverage, self.opens_at, stop=stop)


def slots_of(markets: Sequence[MarketId], number: int, start_at: Nanoseconds) -> tuple[Slot, ...]:
    """The accounts of the episode with this number."""
    sided = [(market, sign) for market in markets for sign in (1.0, -1.0)]
    slots = []
    for at, (market, sign) in enumerate(sided):
        turn = at + number
        slots.append(
            Slot(
                number=at,
                market=market,
                sign=sign,
                leverage=LEVERAGES[turn % len(LEVERAGES)],
                mode=MarginMode.ISOLATED if (turn // 2 + number) % 2 == 0 else MarginMode.CROSS,
                buys_dips=(at + number // 2) % 3 == 2,
                opens_at=start_at + round(OPENS_S * NS_PER_S),
            )
        )
    return tuple(slots)


class Ran(Struct, kw_only=True):
    """What became of one account in one arm. Money as a share of the equity that it began with."""

    slot: str
    market: str
    leverage: float
    mode: str
    buys_dips: bool
    sign: float
    liquidated_s: float | None = None
    """Seconds after the episode began."""
    lost: float = 0.0
    """To the venue, by liquidations."""
    realised: float = 0.0
    """Profit that was realised, less all that was paid."""
    equity: float = 1.0
    """At the end."""
    drawdown: float = 0.0
    """The largest fall of equity from its peak, as a share of the peak."""
    fees: float = 0.0
    slippage: float = 0.0
    lived_s: float = 0.0
    """From when it was to open until it was liquidated, or the end."""
    leverage_s: float = 0.0
    """Leverage times seconds, of that time."""
    notional_s: float = 0.0
    """Notional over the equity it began with, times seconds."""
    orders: int = 0
    cuts: int = 0
    """Commands to cut or widen that asked for less than was held."""
    pauses: int = 0
    commands: int = 0
    changes: int = 0
    """Of what it may do: entries, whether a size is set, entry share."""

    @property
    def leverage_mean(self) -> float:
        return self.leverage_s / self.lived_s if self.lived_s > 0.0 else 0.0


@dataclass(slots=True)
class Watched:
    """Follows one bot's account through time."""

    slot: Slot
    bot: PaperBot
    start_at: Nanoseconds
    ran: Ran = field(init=False)
    is_over: bool = False
    _peak: float = EQUITY_USD
    _at: Nanoseconds = 0

    def __post_init__(self) -> None:
        slot = self.slot
        self.ran = Ran(
            slot=slot.name,
            market=slot.market,
            leverage=slot.leverage,
            mode=slot.mode,
            buys_dips=slot.buys_dips,
            sign=slot.sign,
        )
        self._at = slot.opens_at

    def venue(self, at: Nanoseconds) -> None:
        """The venue looks at the marks."""
        account = self.bot.account
        if not account.fails(self.slot.market):
            return
        before = account.equity_usd
        self.note(at)
        account.liquidate()
        self.bot.liquidated(at)
        self.is_over = True
        self.ran.liquidated_s = (at - self.start_at) / NS_PER_S
        self.ran.lost += (before - account.equity_usd) / EQUITY_USD
        self._draw(account.equity_usd)

    def note(self, at: Nanoseconds) -> None:
        """Count the time since the last call by what is held now."""
        if self.is_over or at <= self._at:
            return
        account, seconds = self.bot.account, (at - self._at) / NS_PER_S
        self._at = at
        equity, notional = account.equity_usd, account.notional_usd
        self.ran.lived_s += seconds
        self.ran.leverage_s += seconds * (notional / max(equity, 1.0))
        self.ran.notional_s += seconds * notional / EQUITY_USD
        self._draw(equity)

    def leap(self, at: NDArray[np.int64], mark: NDArray[np.float64]) -> None:
        """Count a span in which nothing but price changed; the last mark holds until the next call."""
        if self.is_over or len(at) < 2:
            return
        account, market = self.bot.account, self.slot.market
        leg = account.legs.get(market)
        size = 0.0 if leg is None else leg.size
        equity = account.equity_usd + size * (mark - mark[0])
        notional = abs(size) * mark
        seconds = np.diff(np.maximum(at, self._at)) / NS_PER_S
        self._at = max(int(at[-1]), self._at)
        self.ran.lived_s += float(seconds.sum())
        self.ran.leverage_s += float(seconds @ (notional / np.maximum(equity, 1.0))[:-1])
        self.ran.notional_s += float(seconds @ notional[:-1]) / EQUITY_USD
        peaks = np.maximum(np.maximum.accumulate(equity), self._peak)
        self.ran.drawdown = max(self.ran.drawdown, float((1.0 - equity / peaks).max()))
        self._peak = float(peaks[-1])
        account.mark(market, float(mark[-1]))

    def _draw(self, equity: float) -> None:
        self._peak = max(self._peak, equity)
        self.ran.drawdown = max(self.ran.drawdown, 1.0 - equity / self._peak)

    def end(self, at: Nanoseconds) -> Ran:
        """The whole of it."""
        self.note(at)
        account = self.bot.account
        self.ran.equity = account.equity_usd / EQUITY_USD
        self.ran.fees = account.fees_usd / EQUITY_USD
        self.ran.slippage = self.bot.slippage_usd / EQUITY_USD
        self.ran.realised = (account.realised_usd - account.fees_usd + account.funding_usd) / EQUITY_USD
        self.ran.orders = len(self.bot.traded)
        return self.ran
