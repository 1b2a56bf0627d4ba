"""Liquidity features the way most bots compute them: a loop over levels. Standard library only.

The early end, once the last distance is passed and the last notional is filled, is the fairest form: loops
in the wild run over all levels.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

BPS = 1e4


def side_of(
    levels: Iterable[Sequence[float]],
    mid: float,
    distances_bps: Sequence[float],
    notionals_usd: Sequence[float],
) -> list[float]:
    """Notional within each distance, then cost in bps of each notional (-1 if the side does not hold it)."""
    depths: list[float] = []
    costs: list[float] = []
    usd = base = 0.0
    for price, size in levels:
        distance = abs(price - mid) * (BPS / mid)
        while len(depths) < len(distances_bps) and distance > distances_bps[len(depths)] * (1 + 1e-9):
            depths.append(usd)
        while len(costs) < len(notionals_usd) and usd + price * size >= notionals_usd[len(costs)]:
            wanted = notionals_usd[len(costs)]
            vwap = wanted / (base + (wanted - usd) / price)
            costs.append(abs(vwap / mid - 1) * BPS)
        if len(depths) == len(distances_bps) and len(costs) == len(notionals_usd):
            return depths + costs
        usd += price * size
        base += size
    depths += [usd] * (len(distances_bps) - len(depths))
    costs += [-1.0] * (len(notionals_usd) - len(costs))
    return depths + costs
