"""What users of ccxt's book do to measure it: a loop over its levels, or the levels turned into arrays.

Each tells best bid and ask, then for bids and for asks the depth within each distance and the cost of each notional,
-1 where the side does not hold so much.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.peers.plain_features import side_of


def plain(book: Any, distances_bps: Sequence[float], notionals_usd: Sequence[float]) -> list[float]:
    """A loop over levels."""
    bid, ask = book["bids"][0][0], book["asks"][0][0]
    mid = (bid + ask) / 2
    sides = [side_of(book[name], mid, distances_bps, notionals_usd) for name in ("bids", "asks")]
    return [bid, ask, *sides[0], *sides[1]]


def vectorised(book: Any, distances_bps: Sequence[float], notionals_usd: Sequence[float]) -> list[float]:
    """The levels turned into arrays, as one does to be faster."""
    bid, ask = book["bids"][0][0], book["asks"][0][0]
    mid = (bid + ask) / 2
    found = [bid, ask]
    for name in ("bids", "asks"):
        levels = np.array(book[name], dtype=np.float64)
        distance = np.abs(levels[:, 0] - mid) * (1e4 / mid)
        usd, base = np.cumsum(levels[:, 0] * levels[:, 1]), np.cumsum(levels[:, 1])
        within = np.searchsorted(distance, np.asarray(distances_bps) * (1 + 1e-9), side="right")
        found += np.where(within > 0, usd[np.maximum(within, 1) - 1], 0.0).tolist()
        for wanted in notionals_usd:
            at = int(np.searchsorted(usd, wanted))
            if at == usd.size:
                found.append(-1.0)
                continue
            before_usd, before_base = (usd[at - 1], base[at - 1]) if at else (0.0, 0.0)
            vwap = wanted / (before_base + (wanted - before_usd) / levels[at, 0])
            found.append(float(abs(vwap / mid - 1) * 1e4))
    return found
