"""hftbacktest's ROIVectorMarketDepth (Rust), measured by a loop that numba compiles; in an environment of its own.

Its book can only be fed by its backtest: events in its own arrays, one time an update. They are marked for the local
side alone, so that it keeps one book and not two. numba compiles before anything is timed; on its own that takes
several seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba  # type: ignore[import-untyped,import-not-found,unused-ignore]
import numpy as np
from hftbacktest import (  # type: ignore[import-untyped,import-not-found,unused-ignore]
    BUY_EVENT,
    DEPTH_EVENT,
    LOCAL_EVENT,
    SELL_EVENT,
    BacktestAsset,
    ROIVectorMarketDepthBacktest,
)
from hftbacktest.binding import event_dtype  # type: ignore[import-untyped,import-not-found,unused-ignore]

from benchmarks.peers.serve import serve

TICK_USD = 1.0
LOT = 0.001
MARGIN_TICKS = 2_000
"""Kept beyond the snapshot on both sides: the prices that its vector covers are fixed."""
STEP_NS = 1_000_000


@numba.njit  # type: ignore[untyped-decorator,unused-ignore]
def _side(  # type: ignore[no-untyped-def] # numba infers them
    quantities, lowest, best, step, mid, distances_bps, notionals_usd, out
):
    """``plain_features.side_of`` over a vector of quantities by tick."""
    depths, costs = 0, 0
    usd = base = 0.0
    tick = best
    while 0 <= tick - lowest < quantities.size:
        size = quantities[tick - lowest]
        if size > 0.0:
            price = tick * TICK_USD
            distance = abs(price - mid) * (1e4 / mid)
            while depths < distances_bps.size and distance > distances_bps[depths] * (1 + 1e-9):
                out[depths] = usd
                depths += 1
            while costs < notionals_usd.size and usd + price * size >= notionals_usd[costs]:
                wanted = notionals_usd[costs]
                vwap = wanted / (base + (wanted - usd) / price)
                out[distances_bps.size + costs] = abs(vwap / mid - 1) * 1e4
                costs += 1
            if depths == distances_bps.size and costs == notionals_usd.size:
                return
            usd += price * size
            base += size
        tick += step
    for at in range(depths, distances_bps.size):
        out[at] = usd
    for at in range(costs, notionals_usd.size):
        out[distances_bps.size + at] = -1.0


@numba.njit  # type: ignore[untyped-decorator,unused-ignore]
def _measure(hbt, distances_bps, notionals_usd, out):  # type: ignore[no-untyped-def]
    depth = hbt.depth(0)
    each = distances_bps.size + notionals_usd.size
    out[0], out[1] = depth.best_bid, depth.best_ask
    mid = (out[0] + out[1]) / 2
    lowest = depth.roi_lb_tick
    asked = distances_bps, notionals_usd
    _side(depth.bid_depth, lowest, depth.best_bid_tick, -1, mid, *asked, out[2 : 2 + each])
    _side(depth.ask_depth, lowest, depth.best_ask_tick, 1, mid, *asked, out[2 + each :])


@numba.njit  # type: ignore[untyped-decorator,unused-ignore]
def _run(hbt, updates, features, distances_bps, notionals_usd, out):  # type: ignore[no-untyped-def]
    for _ in range(updates):
        hbt.elapse(STEP_NS)
        if features:
            _measure(hbt, distances_bps, notionals_usd, out)


class Book:
    """A backtest that stands after the snapshot."""

    def __init__(
        self, events: Any, bounds: tuple[float, float], updates: int, asked: tuple[Any, Any]
    ) -> None:
        self._updates, self._asked = updates, asked
        asset = (
            BacktestAsset()
            .data(events)
            .linear_asset(1.0)
            .constant_order_latency(0, 0)
            .risk_adverse_queue_model()
            .no_partial_fill_exchange()
            .trading_value_fee_model(0.0, 0.0)
            .tick_size(TICK_USD)
            .lot_size(LOT)
            .roi_lb(bounds[0])
            .roi_ub(bounds[1])
        )
        self._hbt = ROIVectorMarketDepthBacktest([asset])
        self._out = np.zeros(2 + 2 * sum(each.size for each in asked))
        _run(self._hbt, 1, False, *asked, self._out)  # the snapshot; it also compiles

    def apply_all(self, *, features: bool) -> None:
        _run(self._hbt, self._updates, features, *self._asked, self._out)

    def last(self) -> list[float]:
        _measure(self._hbt, *self._asked, self._out)
        told: list[float] = self._out.tolist()
        return told


def make(frames: dict[str, Any]) -> Callable[[], Book]:
    """Write all events, compile everything, and return what makes a fresh book."""
    batches = [frames, *frames["updates"]]
    rows = [
        (DEPTH_EVENT | LOCAL_EVENT | flag, at, at, price, size)
        for at, batch in enumerate(batches, start=1)
        for flag, levels in ((BUY_EVENT, batch["bids"]), (SELL_EVENT, batch["asks"]))
        for price, size in levels
    ]
    events = np.zeros(len(rows), event_dtype)
    for name, column in zip(("ev", "exch_ts", "local_ts", "px", "qty"), zip(*rows, strict=True), strict=True):
        events[name] = np.array(column)
    for name in ("exch_ts", "local_ts"):
        events[name] *= STEP_NS
    prices = events["px"]
    bounds = float(prices.min() - MARGIN_TICKS * TICK_USD), float(prices.max() + MARGIN_TICKS * TICK_USD)
    asked = np.array(frames["distances_bps"]), np.array(frames["notionals_usd"])

    def fresh() -> Book:
        return Book(events, bounds, len(frames["updates"]), asked)

    fresh().apply_all(features=True)
    return fresh


if __name__ == "__main__":
    serve(make)
