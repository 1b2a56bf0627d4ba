"""Our books and ccxt's in a process of its own, asked as a peer is.

``PERPGUARD_NO_COMPILED=1`` in its environment has ours be the slow one.

The levels come as lists of floats, as peers get them. Ours works out all that a sample holds, and tells of it what
was asked for; the others work out only that.
"""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks._frame import cpu_us_per
from benchmarks.peers.plain_features import side_of
from guard.events import CURVE_BPS, BookSide
from guard.events import NOTIONALS_USD as ALL_NOTIONALS_USD
from guard.market.book import new_book
from guard.market.sampler import features_from
from guard.units import MarketId

MARKET = MarketId("benchmark:BTC/USDT:USDT")

Frames = dict[str, Any]
Told = list[float | None]


def run_ours(frames: Frames, *, features: bool) -> tuple[float, Told]:
    book = new_book()
    book.load(frames["bids"], frames["asks"])

    def work() -> None:
        for update in frames["updates"]:
            book.apply(update["bids"], update["asks"])
            if features:
                features_from(book, market=MARKET, received_at=1)

    us = cpu_us_per(len(frames["updates"]), work)
    sample = features_from(book, market=MARKET, received_at=1)
    assert sample.bids is not None, sample.status
    assert sample.asks is not None
    return us, [sample.bid, sample.ask, *_asked(sample.bids, frames), *_asked(sample.asks, frames)]


def _asked(side: BookSide, frames: Frames) -> Told:
    at = [CURVE_BPS.index(bps) for bps in frames["distances_bps"]]
    depths = [side.curve_usd[place] if CURVE_BPS[place] <= side.visible_bps else None for place in at]
    costs = [side.slippage_bps[ALL_NOTIONALS_USD.index(usd)] for usd in frames["notionals_usd"]]
    return [*depths, *costs]


def run_ccxt(
    frames: Frames, *, features: bool, measured: Callable[[Any, Frames], Told]
) -> tuple[float, Told]:
    """ccxt's own book, fed as its handlers feed it, a level at a time."""
    from ccxt.async_support.base.ws.order_book import OrderBook  # noqa: PLC0415 - it takes a second

    book = OrderBook({"bids": frames["bids"], "asks": frames["asks"]})

    def work() -> None:
        bids, asks = book["bids"], book["asks"]
        for update in frames["updates"]:
            for price, size in update["bids"]:
                bids.storeArray([price, size])
            for price, size in update["asks"]:
                asks.storeArray([price, size])
            if features:
                measured(book, frames)

    us = cpu_us_per(len(frames["updates"]), work)
    return us, measured(book, frames)


def plain(book: Any, frames: Frames) -> Told:
    """A loop over levels."""
    bid, ask = book["bids"][0][0], book["asks"][0][0]
    mid = (bid + ask) / 2
    asked = frames["distances_bps"], frames["notionals_usd"]
    return [bid, ask, *side_of(book["bids"], mid, *asked), *side_of(book["asks"], mid, *asked)]


def vectorised(book: Any, frames: Frames) -> Told:
    """The levels turned into arrays, as one does to be faster."""
    bid, ask = book["bids"][0][0], book["asks"][0][0]
    mid = (bid + ask) / 2
    found = [bid, ask]
    for name in ("bids", "asks"):
        levels = np.array(book[name], dtype=np.float64)
        distance = np.abs(levels[:, 0] - mid) * (1e4 / mid)
        usd, base = np.cumsum(levels[:, 0] * levels[:, 1]), np.cumsum(levels[:, 1])
        within = np.searchsorted(distance, np.asarray(frames["distances_bps"]) * (1 + 1e-9), side="right")
        found += np.where(within > 0, usd[np.maximum(within, 1) - 1], 0.0).tolist()
        for wanted in frames["notionals_usd"]:
            at = int(np.searchsorted(usd, wanted))
            if at == usd.size:
                found.append(-1.0)
                continue
            before_usd, before_base = (usd[at - 1], base[at - 1]) if at else (0.0, 0.0)
            vwap = wanted / (before_base + (wanted - before_usd) / levels[at, 0])
            found.append(float(abs(vwap / mid - 1) * 1e4))
    return list(found)


BOOKS: dict[str, Callable[..., tuple[float, Told]]] = {
    "ours": run_ours,
    "ccxt, Python features": functools.partial(run_ccxt, measured=plain),
    "ccxt, numpy features": functools.partial(run_ccxt, measured=vectorised),
}


def main() -> None:
    """Take frames once, then run as often as asked."""
    frames: Frames = {}
    run = BOOKS[sys.argv[1]]
    for line in sys.stdin:
        asked = json.loads(line)
        if "frames" in asked:
            frames = asked["frames"]
            answer: dict[str, Any] = {"implementation": new_book().implementation}
        else:
            us, last = run(frames, features=asked["features"])
            answer = {"us": us, "last": last}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
