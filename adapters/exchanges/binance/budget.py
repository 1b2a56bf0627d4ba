"""How deep a snapshot may be, so that all markets are whole again within a minute. Pure: the time is passed in.

Binance allows 2,400 request weight a minute and address (https://developers.binance.com/docs/derivatives/
usds-margined-futures/general-info, "IP Limits"), which bots on the same machine share. Of these the connection for
markets takes 1,500 at most: 1,200 for books, 240 for open interest, 41 for what is listed. A book costs 2 for up to
50 levels, 5 for 100, 10 for 500 and 20 for 1,000 (".../market-data/rest-api/Order-Book").

So 500 markets are whole within one minute's weight (1,000, and 200 for depth), in the time that 500 answers take:
7 s where one takes 0.1 s, eight at once. Above 600 markets the rest waits for the next minute.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from guard.units import NS_PER_S, Nanoseconds

WINDOW_NS = 60 * NS_PER_S

BOOKS_WEIGHT = 1_200
"""A minute."""

CLIENT_WEIGHT = 1_500
"""A minute, for everything that the connection asks."""

LEAST = (50, 2)
"""Levels that every book gets, and their weight."""

STEPS = ((1_000, 20), (500, 10), (100, 5))
"""More levels, and their weight."""

SHARE = 0.06
"""Of what is left over once every book that is waited for has got its least, one may have so much."""


@dataclass(slots=True)
class SnapshotBudget:
    """Spends request weight on depth: who is first gets a deep book, and all get one.

    Of 200 markets 28 get 1,000 levels, 21 get 500, 27 get 100, the rest 50. What has become too narrow is taken
    again later, one market at a time.

    >>> budget = SnapshotBudget()
    >>> budget.expect((f"M{number}" for number in range(200)), 0)
    >>> levels = [budget.levels(f"M{number}", 0) for number in range(200)]
    >>> [levels.count(deep) for deep in (1_000, 500, 100, 50)], budget.spent
    ([28, 21, 27, 124], 1153)
    >>> budget.levels("M7", 61_000_000_000)
    1000
    """

    _spent: deque[tuple[Nanoseconds, int]] = field(default_factory=deque)
    _total: int = 0
    _awaited: dict[str, Nanoseconds] = field(default_factory=dict)

    def expect(self, markets: Iterable[str], now: Nanoseconds) -> None:
        """Keep weight for books that will be asked for within a minute: their streams begin."""
        self._awaited |= dict.fromkeys(markets, now)

    def forget(self, markets: Iterable[str]) -> None:
        """Keep none for these any more."""
        for market in markets:
            self._awaited.pop(market, None)

    def levels(self, market: str, now: Nanoseconds) -> int:
        """Return how many levels to ask for now, and note their weight as spent."""
        while self._spent and now - self._spent[0][0] >= WINDOW_NS:
            self._total -= self._spent.popleft()[1]
        self.forget([market, *(name for name, since in self._awaited.items() if now - since >= WINDOW_NS)])
        left = BOOKS_WEIGHT - self._total - LEAST[1] * (1 + len(self._awaited))
        levels, weight = next(
            ((levels, weight) for levels, weight in STEPS if weight - LEAST[1] <= SHARE * left), LEAST
        )
        self._spent.append((now, weight))
        self._total += weight
        return levels

    @property
    def spent(self) -> int:
        """Weight spent within the minute before the last request."""
        return self._total
