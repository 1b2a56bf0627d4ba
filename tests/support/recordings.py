"""Reads the recorded market data beside the repository into samplers, one sample at a time."""

from __future__ import annotations

import gzip
import heapq
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from guard.events import MarketFeatures
from guard.market.book import new_book
from guard.market.sampler import MarketSampler
from guard.units import MarketId, ns_of

US_EPOCH_MAX = 10**17  # a time below this is in microseconds, above in nanoseconds


def lines_of(path: Path) -> Iterator[str]:
    """Lines of a gzip file up to its end or to where it breaks off."""
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            yield from file
    except (EOFError, zlib.error):
        return


def binance_frames(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Raw combined-stream frames with our time in nanoseconds; a broken last line is left out."""
    for line in lines_of(path):
        stamp, _, text = line.partition(" ")
        try:
            at, frame = int(stamp), json.loads(text)
        except ValueError:
            continue
        yield (at if at > US_EPOCH_MAX else at * 1_000), frame


def binance_samples(
    path: Path, every_ns: int = 250_000_000
) -> Iterator[tuple[MarketSampler, MarketFeatures]]:
    """Feed a recording and sample it four times a second."""
    market = MarketId(f"binanceusdm:{path.name}")
    sampler = MarketSampler(market, new_book(where=market))
    due = 0
    for at, frame in binance_frames(path):
        if "bids" in frame:
            sampler.on_snapshot(frame["bids"], frame["asks"], at)
        elif frame["data"]["e"] == "depthUpdate":
            sampler.on_deltas(frame["data"]["b"], frame["data"]["a"], at)
        elif frame["data"]["e"] == "trade":
            trade = frame["data"]
            sampler.on_trade(float(trade["p"]) * float(trade["q"]) * (-1.0 if trade["m"] else 1.0))
        if at >= due:
            due = max(due + every_ns, at)
            yield sampler, sampler.sample(at)


def hyperliquid_samples(folder: Path, coin: str, day: str) -> Iterator[tuple[MarketSampler, MarketFeatures]]:
    """Feed a day of 20-level snapshots and trades; a sample with each snapshot."""
    market = MarketId(f"hyperliquid:{coin}")
    sampler = MarketSampler(market, new_book(where=market))
    books = ((row["ts"], 0, row) for row in map(json.loads, lines_of(folder / f"l2_{coin}_{day}.jsonl.gz")))
    trades = (
        (row["ts"], 1, row) for row in map(json.loads, lines_of(folder / f"trades_{coin}_{day}.jsonl.gz"))
    )
    for ts, is_trade, row in heapq.merge(books, trades, key=lambda item: item[:2]):
        if is_trade:
            sampler.on_trade(row["px"] * row["sz"] * (-1.0 if row["side"] == "A" else 1.0))
            continue
        sampler.on_snapshot(row["bids"], row["asks"], ns_of(ts))
        yield sampler, sampler.sample(ns_of(ts))
