"""What it costs to keep one book and to measure it, against the books that bots use; ratios in one run.

Every variant gets the same updates and must end with the same features, or the benchmark fails.
"""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from benchmarks._ccxt_features import plain, vectorised
from benchmarks._frame import (
    Better,
    Options,
    Result,
    cpu_us_per,
    interleave,
    main,
    quantile,
    ratios,
    result_of,
)
from benchmarks._frames import Frames, make_frames
from benchmarks._peers import PeerUnavailableError, PeerWorker, peer_python
from benchmarks._speed_books import PEERS, Peer
from guard.events import CURVE_BPS, NOTIONALS_USD, BookSide
from guard.market.book import ArrayBook, Book, new_book
from guard.market.matrix import COLUMNS, FeatureMatrix, measure_into
from guard.market.sampler import MarketSampler
from guard.units import MarketId, Nanoseconds

UPDATES, UPDATES_QUICK = 1_000, 200
MARKET = MarketId("benchmark:BTC/USDT:USDT")
OURS = "perpguard"
"""Lists of floats in, the engine's event out: the long way, which most venues' updates go."""
ARRAYS = "perpguard, arrays in and out"
"""What the readers of frames and judgement do, and what hftbacktest is given: no object for each level and figure."""
NUMPY = "perpguard, numpy reference"
RATIO_MIN = 1.0
"""Nobody who does the same work may be faster."""


@dataclass(frozen=True, slots=True)
class Measured:
    """CPU time of an update, and best bid, best ask, depths and costs of both sides at the end.

    A feature is ``None`` where the variant does not claim to know it.
    """

    us: float
    last: list[float | None]


Variant = Callable[[bool], Measured]
"""Applies all updates to a fresh book; told whether to measure the book after each."""


def measure(options: Options) -> list[Result]:
    """Apply alone, then apply and measure after each update."""
    frames = make_frames(UPDATES_QUICK if options.quick else UPDATES, options.seed)
    variants: dict[str, Variant] = {
        OURS: functools.partial(run_ours, frames, new_book),
        ARRAYS: functools.partial(run_arrays, frames),
        NUMPY: functools.partial(run_ours, frames, ArrayBook),
        "ccxt, Python features": functools.partial(run_ccxt, frames, plain_features),
        "ccxt, numpy features": functools.partial(run_ccxt, frames, numpy_features),
    }
    with ExitStack() as stack:
        for peer in PEERS:
            try:
                variants[peer.name] = start_peer(stack, peer, frames)
            except PeerUnavailableError as error:
                sys.stderr.write(f"without a peer, {error}\n")
        together = compare("apply + features", variants, options, features=True)
        alone = {name.removesuffix(", numpy features"): variant for name, variant in variants.items()}
        del alone["ccxt, Python features"]
        return [*together, *compare("apply", alone, options, features=False)]


def compare(case: str, variants: Mapping[str, Variant], options: Options, *, features: bool) -> list[Result]:
    """Run the variants interleaved; ours, and what each of the others takes of it, both ways."""
    ends: dict[str, list[float | None]] = {}

    def figure_of(name: str) -> float:
        measured = variants[name](features)
        ends[name] = measured.last
        return measured.us

    samples = interleave({name: functools.partial(figure_of, name) for name in variants}, options)
    check_equal(ends)
    medians = {name: quantile(figures, 0.5) for name, figures in samples.items()}
    results = []
    for mine in (OURS, ARRAYS):
        others = {name: us for name, us in medians.items() if name != mine}
        label = f"{case}: {mine} ({new_book().implementation})"
        results.append(result_of("book", label, samples[mine], "us", baselines=others))
    for name, figures in samples.items():
        if name in {OURS, ARRAYS}:
            continue
        # hftbacktest is given arrays, prepared before, and tells an array; everybody else lists.
        mine = ARRAYS if name.startswith("hftbacktest") else OURS
        label = f"{case}: {name} / {mine}"
        ratio = ratios(figures, samples[mine])
        target = RATIO_MIN if features else None
        results.append(result_of("book", label, ratio, "x", better=Better.HIGHER, target=target))
    return results


def check_equal(ends: Mapping[str, list[float | None]]) -> None:
    """Speed with another result is worth nothing. AssertionError says which feature differs."""
    for name, last in ends.items():
        for place, (mine, other) in enumerate(zip(ends[OURS], last, strict=True)):
            if mine is not None and other is not None:
                same = math.isclose(mine, other, rel_tol=1e-9, abs_tol=1e-9)
                assert same, f"feature {place}: {OURS} {mine}, {name} {other}"


def run_ours(frames: Frames, make: Callable[[], Book], features: bool) -> Measured:
    """The sampler that an exchange adapter feeds. It also fits the curve behind the visible levels."""
    sampler = MarketSampler(MARKET, make())
    sampler.on_snapshot(frames.bids, frames.asks, Nanoseconds(1))

    def work() -> None:
        for number, update in enumerate(frames.updates, start=2):
            sampler.on_deltas(update.bids, update.asks, Nanoseconds(number))
            if features:
                sampler.sample(Nanoseconds(number))

    us = cpu_us_per(len(frames.updates), work)
    sample = sampler.sample(Nanoseconds(len(frames.updates) + 2))
    assert sample.bids is not None, sample.status
    assert sample.asks is not None
    return Measured(us, [sample.bid, sample.ask, *known(sample.bids), *known(sample.asks)])


def run_arrays(frames: Frames, features: bool) -> Measured:
    """The same book and all features in a row of an array; levels come as arrays, made before."""
    updates = [
        (np.array(each.bids).reshape(-1, 2), np.array(each.asks).reshape(-1, 2)) for each in frames.updates
    ]
    book, matrix = new_book(), FeatureMatrix.of(1)
    book.load(frames.bids, frames.asks)
    books = [book]

    def work() -> None:
        for bids, asks in updates:
            book.apply(bids, asks)
            if features:
                measure_into(matrix, books)

    us = cpu_us_per(len(updates), work)
    measure_into(matrix, books)
    row = dict(zip(COLUMNS, matrix.values[0].tolist(), strict=True))
    told: list[float | None] = [row["bid"], row["ask"]]
    for side in ("bids", "asks"):
        seen = row[f"{side}_visible_bps"]
        told += [row[f"{side}_depth_usd_{bps:g}_bps"] if bps <= seen else None for bps in CURVE_BPS]
        costs = (f"{side}_slippage_bps_{usd:g}_usd" for usd in NOTIONALS_USD)
        told += [row[cost] if matrix.known[0, COLUMNS.index(cost)] else None for cost in costs]
    return Measured(us, told)


def known(side: BookSide) -> list[float | None]:
    """What was seen, not extrapolated."""
    curve = zip(CURVE_BPS, side.curve_usd, strict=True)
    return [usd if bps <= side.visible_bps else None for bps, usd in curve] + list(side.slippage_bps)


def run_ccxt(frames: Frames, measured: Callable[[Any], list[float]], features: bool) -> Measured:
    """ccxt's own book, fed as its handlers feed it, a level at a time."""
    # It takes a second to import: not at the top.
    from ccxt.async_support.base.ws.order_book import OrderBook  # noqa: PLC0415

    book = OrderBook({"bids": frames.bids, "asks": frames.asks})

    def work() -> None:
        bids, asks = book["bids"], book["asks"]
        for update in frames.updates:
            for price, size in update.bids:
                bids.storeArray([price, size])
            for price, size in update.asks:
                asks.storeArray([price, size])
            if features:
                measured(book)

    us = cpu_us_per(len(frames.updates), work)
    return Measured(us, list(measured(book)))


def plain_features(book: Any) -> list[float]:
    return plain(book, CURVE_BPS, NOTIONALS_USD)


def numpy_features(book: Any) -> list[float]:
    return vectorised(book, CURVE_BPS, NOTIONALS_USD)


def start_peer(stack: ExitStack, peer: Peer, frames: Frames) -> Variant:
    """Start the peer's program and give it the frames. PeerUnavailableError if there is no such peer here."""
    python = peer_python(peer.environment, peer.requirements)
    worker = stack.enter_context(PeerWorker(python, peer.module))
    sent = asdict(frames) | {"distances_bps": CURVE_BPS, "notionals_usd": NOTIONALS_USD}
    worker.ask({"frames": sent})

    def run(features: bool) -> Measured:
        answer = worker.ask({"features": features})
        return Measured(answer["us"], answer["last"])

    return run


if __name__ == "__main__":
    sys.exit(main("book", measure))
