"""Our books and ccxt's in a process of its own, asked as a peer is.

``PERPGUARD_NO_COMPILED=1`` in its environment has ours be the slow one. Ours works out all that a sample holds, and
tells of it what was asked for; the others work out only that.
"""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from adapters.exchanges.frames import new_reader
from benchmarks._ccxt_features import plain, vectorised
from benchmarks._frame import cpu_us_per
from guard.market.book import Book, new_book
from guard.market.live import new_live_book
from guard.market.matrix import COLUMNS, FeatureMatrix, measure_into

Frames = dict[str, Any]
Told = list[float | None]


class Measured:
    """Features of one book in one row, all that a sample holds; told are those that were asked for."""

    def __init__(self, book: Book, frames: Frames) -> None:
        self._books = [book]
        self._matrix = FeatureMatrix.of(1)
        asked = [
            *(f"depth_usd_{bps:g}_bps" for bps in frames["distances_bps"]),
            *(f"slippage_bps_{usd:g}_usd" for usd in frames["notionals_usd"]),
        ]
        names = ["bid", "ask", *(f"{side}_{name}" for side in ("bids", "asks") for name in asked)]
        self._asked = [COLUMNS.index(name) for name in names]
        self._depths = {
            COLUMNS.index(f"{side}_depth_usd_{bps:g}_bps"): (side, bps)
            for side in ("bids", "asks")
            for bps in frames["distances_bps"]
        }

    def measure(self) -> None:
        measure_into(self._matrix, self._books)

    def told(self) -> Told:
        """What was asked for; nothing of what lies behind the visible levels, which is not measured but fitted."""
        self.measure()
        row, known = self._matrix.values[0].tolist(), self._matrix.known[0].tolist()
        found: Told = []
        for at in self._asked:
            side, bps = self._depths.get(at, ("bids", 0.0))
            visible_bps = row[COLUMNS.index(f"{side}_visible_bps")]
            found.append(row[at] if known[at] and bps <= visible_bps else None)
        return found


def run_ours(frames: Frames, *, features: bool) -> tuple[float, Told]:
    book = new_book()
    book.load(frames["bids"], frames["asks"])
    measured = Measured(book, frames)

    # Prepared as a book wants them, as with the others.
    updates = [
        tuple(np.array(update[side]).reshape(-1, 2) for side in ("bids", "asks"))
        for update in frames["updates"]
    ]

    def work() -> None:
        for bids, asks in updates:
            book.apply(bids, asks)
            if features:
                measured.measure()

    us = cpu_us_per(len(frames["updates"]), work)
    return us, measured.told()


def run_whole(frames: Frames, *, features: bool) -> tuple[float, Told]:
    """From the text of Binance's frames, which is parsed and whose sequence is checked on the way."""
    reader = new_reader("binanceusdm")
    assert reader is not None
    live = new_live_book(new_book())
    live.book.load(frames["bids"], frames["asks"])
    live.arm(0)
    reader.add_book("BTCUSDT", 0, live)
    measured = Measured(live.book, frames)
    texts = [_text(update, number) for number, update in enumerate(frames["updates"], start=1)]

    def work() -> None:
        for text in texts:
            reader.take(text, 1)
            if features:
                measured.measure()

    us = cpu_us_per(len(texts), work)
    assert reader.declined == 0, f"{reader.declined} frames were declined"
    return us, measured.told()


def _text(update: dict[str, Any], number: int) -> bytes:
    sides = [
        ",".join(f'["{price:.2f}","{size:.3f}"]' for price, size in update[side]) for side in ("bids", "asks")
    ]
    head = f'{{"e":"depthUpdate","E":1760000000000,"T":1760000000000,"s":"BTCUSDT","U":{number},"u":{number}'
    return f'{head},"pu":{number - 1},"b":[{sides[0]}],"a":[{sides[1]}]}}'.encode()


def run_ccxt(
    frames: Frames,
    *,
    features: bool,
    measured: Callable[[Any, Sequence[float], Sequence[float]], list[float]],
) -> tuple[float, Told]:
    """ccxt's own book, fed as its handlers feed it, a level at a time."""
    from ccxt.async_support.base.ws.order_book import OrderBook  # noqa: PLC0415 - it takes a second

    asked = frames["distances_bps"], frames["notionals_usd"]
    book = OrderBook({"bids": frames["bids"], "asks": frames["asks"]})

    def work() -> None:
        bids, asks = book["bids"], book["asks"]
        for update in frames["updates"]:
            for price, size in update["bids"]:
                bids.storeArray([price, size])
            for price, size in update["asks"]:
                asks.storeArray([price, size])
            if features:
                measured(book, *asked)

    us = cpu_us_per(len(frames["updates"]), work)
    return us, list(measured(book, *asked))


BOOKS: dict[str, Callable[..., tuple[float, Told]]] = {
    "ours": run_ours,
    "ours, whole frames": run_whole,
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
