"""What is true of a crowd and no venue tells: its positions, and where price would close them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from adapters.simulation.laboratory.crowd import Crowd
    from adapters.simulation.laboratory.ladder import Ladder

Floats = NDArray[np.float64]
Wholes = NDArray[np.int64]


def snapshot(crowd: Crowd) -> dict[str, NDArray[Any]]:
    """Return all positions, those longest there in the book first; names as in ``PositionsTruth``.

    ``position``, ``size`` (base, signed), ``entry_price``, ``leverage``, ``is_cross``, ``margin_usd``,
    ``liquidation_price``, ``stop_price``, ``target_price`` (USD, 0: none) and ``opened_ms``.
    """
    slots = _whole(crowd.live)[: crowd.count]
    number = _whole(crowd.number)[slots]
    slots = slots[np.argsort(number)]
    lots = _whole(crowd.lots)[slots]
    grid = crowd.exchange.grid
    is_long = lots > 0
    entry_ticks = _whole(crowd.cost)[slots] / (lots * float(crowd.micros))
    return {
        "position": _whole(crowd.number)[slots],
        "size": lots * grid.lot,
        "entry_price": entry_ticks * grid.tick,
        "leverage": np.asarray(crowd.leverage)[slots].copy(),
        "is_cross": _whole(crowd.is_cross)[slots] != 0,
        "margin_usd": _whole(crowd.margin)[slots] / 1e6,
        "liquidation_price": np.where(is_long, _ticks(crowd.falls, slots), _ticks(crowd.rises, slots))
        * grid.tick,
        "stop_price": np.where(is_long, _ticks(crowd.below, slots), _ticks(crowd.above, slots)) * grid.tick,
        "target_price": np.where(is_long, _ticks(crowd.above, slots), _ticks(crowd.below, slots)) * grid.tick,
        "opened_ms": _whole(crowd.opened_ms)[slots],
    }


def map_bins(
    crowd: Crowd, mark_tick: int, bin_log: float, bins: int
) -> tuple[Floats, Floats, Floats, Floats]:
    """Return notional in USD at the mark by log distance: longs, shorts liquidated; stops below, above.

    Bin j holds what is closed when the mark has moved by j to j + 1 times ``bin_log``, the last one what is farther
    (within the book); what is due already is in the first.
    """
    slots = _whole(crowd.live)[: crowd.count]
    lots = _whole(crowd.lots)[slots]
    usd = np.abs(lots) * (mark_tick * crowd.micros / 1e6)
    is_long = lots > 0
    made = []
    for ladder, among in (
        (crowd.falls, is_long),
        (crowd.rises, ~is_long),
        (crowd.below, is_long),
        (crowd.above, ~is_long),
    ):
        ticks = _ticks(ladder, slots)
        held = among & (ticks > 0)
        away = np.log(ticks[held] / mark_tick)
        if ladder.is_falling:
            away = -away
        at = np.clip((away / bin_log).astype(np.int64), 0, bins - 1)
        made.append(np.bincount(at, weights=usd[held], minlength=bins).astype(np.float64))
    return made[0], made[1], made[2], made[3]


def _whole(values: Any) -> Wholes:
    return np.asarray(values, dtype=np.int64)


def _ticks(ladder: Ladder, slots: Wholes) -> Wholes:
    ticks = _whole(ladder.tick)
    held: Wholes = np.where(slots < ticks.size, ticks[np.minimum(slots, ticks.size - 1)], 0)
    return held
