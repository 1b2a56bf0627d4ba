"""The arms without a guard: the same accounts alone, with a brake, and with freqtrade's protections.

They need no engine: between two marks at which a bot would do something nothing happens to its account, so time is
leapt over. Prices and books are those that the guarded accounts had.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from benchmarks._policies_accounts import Ran, Slot, Watched
from guard.events import AnyEvent, MarketFeatures, MarkPriceSeen
from guard.margin_terms import TierTable
from guard.paper.account import PaperAccount
from guard.paper.bot import Strategy, Target
from guard.units import NS_PER_S, MarketId, Nanoseconds

BRAKE_FALL, BRAKE_S, BRAKED_S = 0.02, 300.0, 3_600.0
"""A move of 2 % against a position within 5 minutes has it be 1x for the hour after."""

BRAKED_LEVERAGE = 1.0
Floats = NDArray[np.float64]
Times = NDArray[np.int64]


@dataclass(slots=True)
class Prices:
    """One market's marks, and the latest book at each."""

    at: Times
    mark: Floats
    books: list[MarketFeatures | None]
    funding: list[tuple[Nanoseconds, float]]


@dataclass(slots=True)
class _Heard:
    at: list[int] = field(default_factory=list)
    mark: list[float] = field(default_factory=list)
    books: list[MarketFeatures | None] = field(default_factory=list)
    funding: list[tuple[Nanoseconds, float]] = field(default_factory=list)
    book: MarketFeatures | None = None
    due: tuple[Nanoseconds, float] | None = None


def prices_of(events: Iterable[AnyEvent]) -> dict[MarketId, Prices]:
    """What the accounts of an episode see of it."""
    heard: dict[MarketId, _Heard] = {}
    for event in events:
        if isinstance(event, MarketFeatures):
            heard.setdefault(event.market, _Heard()).book = event
        elif isinstance(event, MarkPriceSeen):
            one = heard.setdefault(event.market, _Heard())
            one.at.append(event.received_at)
            one.mark.append(event.mark_price)
            one.books.append(one.book)
            if event.next_funding_at is not None:
                if one.due is not None and event.next_funding_at != one.due[0]:
                    one.funding.append((event.received_at, one.due[1]))
                one.due = (event.next_funding_at, event.funding_rate or 0.0)
    return {
        market: Prices(np.array(one.at, np.int64), np.array(one.mark), one.books, one.funding)
        for market, one in heard.items()
    }


def run_alone(
    slot: Slot,
    tiers: dict[MarketId, TierTable],
    prices: Prices,
    start_at: Nanoseconds,
    end_at: Nanoseconds,
    *,
    scale: float = 1.0,
    wrap: Callable[[Strategy], Strategy] | None = None,
) -> Ran:
    """Let one account live through an episode without a guard, its leverage multiplied by ``scale``."""
    watched = Watched(slot, slot.bot(tiers, scale), start_at)
    bot = watched.bot
    if wrap is not None:
        bot.strategy = wrap(bot.strategy)
    at, marks, count = prices.at, prices.mark, len(prices.at)
    funding = list(prices.funding)
    row = int(np.searchsorted(at, slot.opens_at))
    while row < count:
        now, mark = int(at[row]), float(marks[row])
        bot.account.mark(slot.market, mark)
        if funding and funding[0][0] <= now:
            bot.account.fund(slot.market, funding.pop(0)[1])
        watched.venue(now)
        if watched.is_over:
            break
        bot.step(now, mark, prices.books[row])
        watched.note(now)
        until = funding[0][0] if funding else 2**62
        row = _leap(watched, prices, row, until)
    return watched.end(end_at)


def _leap(watched: Watched, prices: Prices, row: int, until: Nanoseconds) -> int:
    """Go on to the next mark at which something happens, counting what lies between."""
    bot, market = watched.bot, watched.slot.market
    low, high, wakes_at = bot.quiet
    liquidation = bot.account.liquidation_price(market)
    size = bot.account.size(market)
    if liquidation is not None and size:
        low, high = (max(low, liquidation), high) if size > 0.0 else (low, min(high, liquidation))
    stop_row = int(np.searchsorted(prices.at, min(until, wakes_at)))
    stop_row = min(max(stop_row, row + 1), len(prices.at))
    within = prices.mark[row + 1 : stop_row]
    outside = np.flatnonzero((within <= low) | (within >= high))
    next_row = row + 1 + int(outside[0]) if len(outside) else stop_row
    watched.leap(prices.at[row:next_row], prices.mark[row:next_row])
    return next_row


@dataclass(slots=True)
class Braked:
    """A strategy that is 1x while its market has moved fast against it of late."""

    inner: Strategy
    braked: NDArray[np.bool_]
    prices: Prices

    def target(self, at: Nanoseconds, mark: float, account: PaperAccount, market: MarketId) -> Target:
        """What the strategy wants, or what is 1x."""
        wanted = self.inner.target(at, mark, account, market)
        row = max(int(np.searchsorted(self.prices.at, at, side="right")) - 1, 0)
        is_braked = bool(self.braked[row])
        others = np.flatnonzero(self.braked[row:] != is_braked)
        until = int(self.prices.at[row + int(others[0])]) if len(others) else 2**62
        size = wanted.size
        if is_braked:
            most = BRAKED_LEVERAGE * max(account.equity_usd, 0.0) / mark
            held = abs(account.size(market))
            # It is cut once, not with every tick of its equity.
            most = max(most, held) if held <= most * 1.1 else most
            size = min(abs(size), most) * (1.0 if size > 0.0 else -1.0)
        return Target(
            size=size, stop=wanted.stop, low=wanted.low, high=wanted.high, until=min(until, wanted.until)
        )

    def closed(self, at: Nanoseconds, *, by_stop: bool) -> None:
        """Tell the strategy."""
        self.inner.closed(at, by_stop=by_stop)


def braked_rows(prices: Prices, sign: float) -> NDArray[np.bool_]:
    """At which marks the brake is on for a long (1) or a short (-1)."""
    signed = sign * np.log(prices.mark)
    peak = _rolling_max(prices.at, signed, round(BRAKE_S * NS_PER_S))
    fired = signed <= peak + np.log(1.0 - BRAKE_FALL)
    last = np.where(fired, prices.at, -(2**62))
    last = np.maximum.accumulate(last)
    return np.asarray(prices.at - last <= round(BRAKED_S * NS_PER_S))


def _rolling_max(at: Times, values: Floats, span: int) -> Floats:
    """The highest value of the last ``span`` at each time."""
    found = np.empty_like(values)
    begins = np.searchsorted(at, at - span)
    queue: list[int] = []
    head = 0
    for row, begin in enumerate(begins):
        while len(queue) > head and values[queue[-1]] <= values[row]:
            queue.pop()
        queue.append(row)
        while queue[head] < begin:
            head += 1
        found[row] = values[queue[head]]
    return found
