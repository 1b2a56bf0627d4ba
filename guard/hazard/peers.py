"""What the other markets do while one is looked at: how many fall, how wildly, whether its twin has gone ahead."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from math import log

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from guard.calibration.kernel import look
from guard.forecasts import Direction
from guard.hazard.tracks import Faded
from guard.units import NS_PER_S, MarketId, Nanoseconds, venue_of

STALE_NS = 60 * NS_PER_S
FIELDS = (
    "at",
    "move_1m",
    "move_5m",
    "z_1m",
    "z_5m",
    "depth_bid",
    "depth_ask",
    "liquid_longs",
    "liquid_shorts",
    "wild",
)
_AT, _M1, _M5, _Z1, _Z5, _BID, _ASK, _LONGS, _SHORTS, _WILD = range(len(FIELDS))


class PeerView(Struct, frozen=True, kw_only=True):
    """The others, seen from one market and direction; moves are positive in it.

    Attributes:
        count: how many were seen of late.
        speed_1m: mean of their log moves over a minute, in their own usual moves.
        speed_5m: likewise.
        move_5m: mean log move over five minutes.
        move_5m_max: greatest.
        depth_log: mean of log depth over usual, on the side that is met.
        forced_log: mean of asinh(10 liquidated in 5 min / usual depth).
        wild_log: mean of log volatility over usual.
        gap: how far same coins elsewhere have gone ahead of this market, log, less what is usual between them.
    """

    count: int
    speed_1m: float
    speed_5m: float
    move_5m: float
    move_5m_max: float
    depth_log: float
    forced_log: float
    wild_log: float
    gap: float | None


class _Seen(Struct, frozen=True):
    """What the others do, upwards positive; ``means`` along ``FIELDS``."""

    market: MarketId
    at: Nanoseconds
    count: int = 0
    means: Sequence[float] = ()
    rise_max: float = 0.0
    fall_max: float = 0.0
    ahead: float | None = None


@dataclass(slots=True)
class Peers:
    """A row for each market, written at its refresh and read at everybody else's.

    Cost: O(markets) a read, by numpy: 10 us at 200.
    """

    _index: dict[MarketId, int] = field(default_factory=dict)
    _rows: NDArray[np.float64] = field(default_factory=lambda: np.zeros((8, len(FIELDS))))
    _log_price: dict[MarketId, tuple[Nanoseconds, float]] = field(default_factory=dict)
    _twins: dict[str, list[MarketId]] = field(default_factory=dict)
    _elsewhere: dict[MarketId, list[MarketId]] = field(default_factory=dict)
    """Markets of the same coin at other venues, as far as they were asked for."""
    _usual_gap: dict[MarketId, Faded] = field(default_factory=dict)
    _means: array[float] = field(default_factory=lambda: array("d", [0.0] * (len(FIELDS) + 2)))
    """Scratch."""
    _seen: _Seen | None = None
    """The last look at the others: both directions ask for it."""

    def write(
        self, market: MarketId, at: Nanoseconds, price: float, row: tuple[float, ...], elapsed_s: float
    ) -> None:
        """Tell what a market is doing: ``FIELDS`` after the first, upwards positive."""
        self._seen = None
        place = self._index.get(market)
        if place is None:
            place = self._index[market] = len(self._index)
            if place == len(self._rows):
                self._rows = np.concatenate((self._rows, np.zeros_like(self._rows)))
            self._twins.setdefault(_coin(market), []).append(market)
            self._elsewhere.clear()
        self._rows[place] = (at / NS_PER_S, *row)
        self._log_price[market] = (at, log(price))
        gap = self._gap_now(market, at)
        if gap is not None:
            self._usual_gap.setdefault(market, Faded(3600.0)).add(gap, max(elapsed_s, 1.0))

    def view(self, market: MarketId, at: Nanoseconds, direction: Direction) -> PeerView | None:
        """What the others do in this direction; ``None`` where nobody else was seen within a minute."""
        seen = self._seen
        if seen is None or seen.market != market or seen.at != at:
            seen = self._seen = self._look(market, at)
        if seen.count == 0:
            return None
        means, sign = seen.means, direction.sign
        return PeerView(
            count=seen.count,
            speed_1m=sign * means[_Z1],
            speed_5m=sign * means[_Z5],
            move_5m=sign * means[_M5],
            move_5m_max=seen.rise_max if sign > 0 else seen.fall_max,
            depth_log=means[_BID if sign < 0 else _ASK],
            forced_log=means[_LONGS if sign < 0 else _SHORTS],
            wild_log=means[_WILD],
            gap=None if seen.ahead is None else sign * seen.ahead,
        )

    def _look(self, market: MarketId, at: Nanoseconds) -> _Seen:
        own = self._index.get(market, -1)
        count = look(self._rows, len(self._index), own, (at - STALE_NS) / NS_PER_S, self._means)
        if not count:
            return _Seen(market, at)
        gap, usual = self._gap_now(market, at), self._usual_gap.get(market)
        *means, rise_max, fall_min = self._means
        mean = None if usual is None else usual.mean
        ahead = None if gap is None or mean is None else gap - mean
        return _Seen(market, at, count, means, rise_max, -fall_min, ahead)

    def forget(self, market: MarketId) -> None:
        """The market is watched no more: its row is never fresh again, and used anew if it comes back."""
        self._seen = None
        place = self._index.get(market)
        if place is not None:
            self._rows[place, _AT] = -np.inf
        self._log_price.pop(market, None)
        self._usual_gap.pop(market, None)

    def twins(self, market: MarketId, at: Nanoseconds) -> list[MarketId]:
        """Markets of the same coin at other venues that were seen within a minute."""
        known = self._elsewhere.get(market)
        if known is None:
            same, venue = self._twins.get(_coin(market), ()), venue_of(market)
            known = self._elsewhere[market] = [twin for twin in same if venue_of(twin) != venue]
        told = self._log_price
        return [twin for twin in known if twin in told and at - told[twin][0] < STALE_NS]

    def _gap_now(self, market: MarketId, at: Nanoseconds) -> float | None:
        """Mean log price of the same coin elsewhere over this market's own."""
        own = self._log_price.get(market)
        if own is None:
            return None
        found = [self._log_price[twin][1] for twin in self.twins(market, at)]
        return sum(found) / len(found) - own[1] if found else None


@lru_cache(maxsize=4096)
def _coin(market: MarketId) -> str:
    return market.partition(":")[2].partition("/")[0]
