"""A book of two sortedcontainers.SortedDict, run in an environment of its own; answers lines of JSON."""

from __future__ import annotations

import gc
import json
import sys
import time
from typing import Any

from sortedcontainers import SortedDict  # type: ignore[import-untyped,unused-ignore]

from benchmarks.peers.plain_features import side_of


class Book:
    """Prices to sizes; bids under the negative of their price, so that both sides read best first."""

    def __init__(self, bids: list[list[float]], asks: list[list[float]]) -> None:
        self.bids = SortedDict({-price: size for price, size in bids})
        self.asks = SortedDict({price: size for price, size in asks})  # noqa: C416

    def apply(self, bids: list[list[float]], asks: list[list[float]]) -> None:
        """Set absolute sizes; 0 deletes."""
        for price, size in bids:
            if size:
                self.bids[-price] = size
            else:
                self.bids.pop(-price, None)
        for price, size in asks:
            if size:
                self.asks[price] = size
            else:
                self.asks.pop(price, None)

    def features(self, distances_bps: list[float], notionals_usd: list[float]) -> list[float]:
        """Best bid and ask, then both sides."""
        bid, ask = -self.bids.keys()[0], self.asks.keys()[0]
        mid = (bid + ask) / 2
        bids = side_of(((-key, size) for key, size in self.bids.items()), mid, distances_bps, notionals_usd)
        return [bid, ask, *bids, *side_of(self.asks.items(), mid, distances_bps, notionals_usd)]


def run(frames: dict[str, Any], *, features: bool) -> dict[str, Any]:
    """Apply every update, with or without features after each; CPU time in microseconds an update."""
    book = Book(frames["bids"], frames["asks"])
    distances, notionals = frames["distances_bps"], frames["notionals_usd"]
    gc.collect()
    gc.disable()
    started = time.process_time_ns()
    for update in frames["updates"]:
        book.apply(update["bids"], update["asks"])
        if features:
            book.features(distances, notionals)
    us = (time.process_time_ns() - started) / 1e3 / len(frames["updates"])
    gc.enable()
    return {"us": us, "last": book.features(distances, notionals)}


def main() -> None:
    """Take frames once, then run as often as asked."""
    frames: dict[str, Any] = {}
    for line in sys.stdin:
        question = json.loads(line)
        if "frames" in question:
            frames = question["frames"]
            answer: dict[str, Any] = {}
        else:
            answer = run(frames, features=question["features"])
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
