"""Order book updates like those of a large venue, from a seed: a snapshot and absolute size changes."""

from __future__ import annotations

import random
from dataclasses import dataclass

Level = list[float]
"""Price and absolute size; size 0 deletes."""

TICK_USD = 1.0
MID_USD = 60_000.0
LEVELS = 1_000
"""A side of a snapshot, as Binance cuts it; at 1 USD a level it reaches 167 bps."""

CHANGES = 30
"""Changed levels an update, about what a depth stream at 100 ms carries."""


@dataclass(frozen=True, slots=True)
class Update:
    """One update: sizes that changed."""

    bids: list[Level]
    asks: list[Level]


@dataclass(frozen=True, slots=True)
class Frames:
    """A snapshot and what follows it. The book is never crossed after an update."""

    bids: list[Level]
    asks: list[Level]
    updates: list[Update]


def make_frames(count: int, seed: int, levels: int = LEVELS, mid_usd: float = MID_USD) -> Frames:
    """Make ``count`` updates: the touch walks by up to a tick, changes lie near it and thin out from there.

    Args:
        count: how many updates.
        seed: of everything that is drawn.
        levels: a side of the snapshot, more than ``CHANGES``.
        mid_usd: where it begins; a tick is 1 USD, so the higher, the finer are the ticks.
    """
    drawn = random.Random(seed)
    touch = int(mid_usd / TICK_USD)  # the best bid, in ticks; the best ask is a tick above it
    bids = {touch - depth: _size(drawn) for depth in range(levels)}
    asks = {touch + 1 + depth: _size(drawn) for depth in range(levels)}
    snapshot_bids = [_level(tick, bids[tick]) for tick in sorted(bids, reverse=True)]
    snapshot_asks = [_level(tick, asks[tick]) for tick in sorted(asks)]
    updates = []
    for _ in range(count):
        touch += drawn.choice((-1, 0, 0, 1))
        changed_bids = {tick: 0.0 for tick in bids if tick > touch}
        changed_asks = {tick: 0.0 for tick in asks if tick <= touch}
        changed_bids[touch], changed_asks[touch + 1] = _size(drawn), _size(drawn)
        while len(changed_bids) + len(changed_asks) < CHANGES:
            distance = 1 + min(int(drawn.expovariate(1 / 60.0)), levels - 2)
            size = 0.0 if drawn.random() < 0.3 else _size(drawn)
            if drawn.random() < 0.5:
                changed_bids.setdefault(touch - distance, size)
            else:
                changed_asks.setdefault(touch + 1 + distance, size)
        updates.append(Update(_keep(bids, changed_bids), _keep(asks, changed_asks)))
    return Frames(snapshot_bids, snapshot_asks, updates)


def _keep(book: dict[int, float], changed: dict[int, float]) -> list[Level]:
    for tick, size in changed.items():
        if size:
            book[tick] = size
        else:
            book.pop(tick, None)
    return [_level(tick, size) for tick, size in changed.items()]


def _level(tick: int, size: float) -> Level:
    return [tick * TICK_USD, size]


def _size(drawn: random.Random) -> float:
    return round(drawn.expovariate(1 / 0.5) + 0.001, 3)
