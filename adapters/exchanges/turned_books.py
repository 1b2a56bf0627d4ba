"""Books that turned when they had just been sampled: sampled again as soon as may be, not with their next update.

An update that empties a book may be the last one for a tenth of a second. If it comes within ``TURN_NS`` of a
sample, nobody would look at it before the next one, or the next round of samples.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Generic, Protocol, TypeVar

from guard.market.sampler import MarketSampler
from guard.ports import Clock
from guard.units import NS_PER_MS, Nanoseconds

TURN_NS = 10 * NS_PER_MS
"""A book that turns is sampled at once, but no more often than this: turning books come in swarms."""


class Turning(Protocol):
    """What is needed of a market."""

    @property
    def symbol(self) -> str: ...

    @property
    def sampler(self) -> MarketSampler: ...

    @property
    def said_at(self) -> Nanoseconds: ...


M = TypeVar("M", bound=Turning)


class TurnedBooks(Generic[M]):
    """Those of ``markets`` that wait; ``say`` emits a sample of one."""

    def __init__(self, markets: Mapping[str, M], clock: Clock, say: Callable[[M], None]) -> None:
        self._markets = markets
        self._clock = clock
        self._say = say
        self._waiting: dict[str, M] = {}  # keyed by market, so never larger than the number of markets
        self._any = asyncio.Event()

    def say_if_turned(self, market: M, now: Nanoseconds) -> None:
        """Say a book that has turned, now or once it may be said again."""
        if not market.sampler.has_turned:
            return
        if now - market.said_at >= TURN_NS:
            self._say(market)
        else:
            self._waiting[market.symbol] = market
            self._any.set()

    async def run(self) -> None:
        """Say those that wait, each in its time, until cancelled."""
        while True:
            while not self._waiting:
                self._any.clear()
                await self._any.wait()
            await self._clock.sleep_until(min(market.said_at for market in self._waiting.values()) + TURN_NS)
            waiting, self._waiting = self._waiting, {}
            for symbol, market in waiting.items():
                # Others may have sampled it meanwhile; then it has turned no more, or waits anew.
                if self._markets.get(symbol) is market:
                    self.say_if_turned(market, self._clock.now())
