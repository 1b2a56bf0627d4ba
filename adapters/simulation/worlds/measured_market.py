"""One market's samples in bins of five seconds, from events as any venue would send them."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from guard.events import CURVE_BPS, NOTIONALS_USD, BookStatus, MarketFeatures

Floats = NDArray[np.float64]

BIN_S = 5.0
UNSEEN_BPS = 1_000.0
"""What taking 500 USD costs at least where nothing at all is seen of a side."""

_AT_100, _AT_500 = CURVE_BPS.index(100.0), CURVE_BPS.index(500.0)
_AT_500_USD = NOTIONALS_USD.index(500.0)

SUMS = (
    "spread_bps",
    "round_trip_bps",
    "bid_100",
    "bid_500",
    "ask_100",
    "samples",
    "quoted",
    "bought_usd",
    "sold_usd",
)


class MarketBins:
    """Sums of one market in each bin; grows with the episode alone, whose length is known."""

    def __init__(self, duration_s: float) -> None:
        self.count = max(1, math.ceil(duration_s / BIN_S))
        self.sums: dict[str, Floats] = {name: np.zeros(self.count) for name in SUMS}
        self.mid = np.full(self.count, np.nan)
        self.open_interest = np.full(self.count, np.nan)
        self.value_price = np.full(self.count, np.nan)

    def bin_of(self, seconds: float) -> int:
        return min(max(int(seconds / BIN_S), 0), self.count - 1)

    def sample(self, seconds: float, event: MarketFeatures) -> None:
        """Take a sample of the book. An empty side rests nothing; a book that cannot be believed is left out."""
        at, sums = self.bin_of(seconds), self.sums
        sums["bought_usd"][at] += event.buy_usd
        sums["sold_usd"][at] += event.sell_usd
        if event.status not in (BookStatus.OK, BookStatus.EMPTY):
            return
        sums["samples"][at] += 1
        bids, asks = event.bids, event.asks
        if event.status is BookStatus.EMPTY or event.bid is None or event.ask is None or not bids or not asks:
            return
        mid = 0.5 * (event.bid + event.ask)
        self.mid[at] = mid
        sums["quoted"][at] += 1
        sums["spread_bps"][at] += (event.ask - event.bid) / mid * 1e4
        sums["bid_100"][at] += bids.curve_usd[_AT_100]
        sums["bid_500"][at] += bids.curve_usd[_AT_500]
        sums["ask_100"][at] += asks.curve_usd[_AT_100]
        for side in (bids, asks):
            cost = side.slippage_bps[_AT_500_USD]
            sums["round_trip_bps"][at] += max(UNSEEN_BPS, side.visible_bps) if cost is None else cost

    def mean(self, name: str, first: int, last: int) -> float | None:
        """Mean over bins ``first`` to ``last`` (excluded) that were quoted, each bin alike; depth counts empty as 0."""
        counted = self.sums["samples" if name.startswith(("bid", "ask")) else "quoted"][first:last]
        seen = counted > 0
        if not seen.any():
            return None
        return float((self.sums[name][first:last][seen] / counted[seen]).mean())

    def means(self, name: str) -> Floats:
        """The mean of each bin; NaN where nothing was sampled."""
        counted = self.sums["samples" if name.startswith(("bid", "ask")) else "quoted"]
        means: Floats = np.full(self.count, np.nan)
        np.divide(self.sums[name], counted, out=means, where=counted > 0)
        return means

    def median_depth(self, name: str, first: int, last: int) -> float | None:
        """Median of the bins' means: what is usual."""
        values = self.means(name)[first:last]
        values = values[np.isfinite(values)]
        return float(np.median(values)) if values.size else None


def filled(values: Floats) -> Floats:
    """Carry the last value forward; before the first one, the first."""
    known = np.isfinite(values)
    if not known.any():
        return values
    at = np.maximum.accumulate(np.where(known, np.arange(values.size), -1))
    first = int(np.argmax(known))
    return np.asarray(values[np.where(at < 0, first, at)])


def in_groups(values: Floats, size: int, reduce: Callable[..., Floats]) -> Floats:
    """Reduce each ``size`` bins to one; what is left at the end is dropped. NaN where a group has none."""
    whole = values[: values.size // size * size].reshape(-1, size)
    if not whole.size:
        return np.empty(0)
    empty = ~np.isfinite(whole).any(axis=1)
    reduced = np.full(whole.shape[0], np.nan)
    reduced[~empty] = reduce(whole[~empty], axis=1)
    return reduced
