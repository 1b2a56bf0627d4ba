"""Part of ``speed``: what one update of one book costs, applied alone and with seventeen features after it."""

from __future__ import annotations

import functools
import importlib.util
import math
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks._frame import Better, Options, Result, interleave, quantile, ratios, result_of
from benchmarks._frames import make_frames
from benchmarks._load import ask, cores, end, spawn
from benchmarks._load_client import BANDS_BPS, NOTIONALS_USD
from benchmarks._peers import PeerUnavailableError, PeerWorker, peer_python

UPDATES, UPDATES_QUICK = 1_000, 300
OURS = "ours, compiled"
OURS_WHOLE = "ours, compiled, from the frame's bytes"
"""The others are given numbers; this one reads them itself."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A book of others: its environment, its program, what is installed there."""

    name: str
    environment: str
    module: str
    requirements: tuple[str, ...]


PEERS = (
    Peer("sortedcontainers", "sortedcontainers", "sorted_book", ("sortedcontainers==2.4.0",)),
    Peer("cryptofeed order_book", "order_book", "cryptofeed_book", ("order_book==0.6.1",)),
    Peer("nautilus_trader", "nautilus_trader", "nautilus_book", ("nautilus_trader==1.221.0",)),
    Peer("hftbacktest, numba features", "hftbacktest", "hftbacktest_book", ("hftbacktest==2.4.4",)),
)

GRIDS = {"1,000 levels reach 167 bps": 60_000.0, "24 bps, as BTC's": 420_000.0}
"""Mid in ticks. Most perpetuals have coarse ticks; Binance's BTC-USDT showed 24 bps in 1,000 levels in August 2024."""

Book = Callable[[bool], dict[str, Any]]


def measure_books(options: Options) -> list[Result]:
    """Us an update, with and without features; ours must be faster than every peer."""
    results: list[Result] = []
    for grid, mid_usd in GRIDS.items():
        count = UPDATES_QUICK if options.quick else UPDATES
        generated = make_frames(count, options.seed, mid_usd=mid_usd)
        frames = asdict(generated) | {"distances_bps": BANDS_BPS, "notionals_usd": NOTIONALS_USD}
        with ExitStack() as of_grid:
            results += _of_grid(grid, start_books(frames, of_grid), options)
    return results


def _of_grid(grid: str, books: Mapping[str, Book], options: Options) -> list[Result]:
    results = []
    for what, features in (("book + 17 features", True), ("book alone", False)):
        if not features and grid != next(iter(GRIDS)):
            continue  # how far apart levels are is nothing to a book
        case = f"{what}, {grid}"
        chosen = {name: book for name, book in books.items() if features or "Python" not in name}
        samples = _compare(chosen, options, features=features)
        ours = samples.pop(OURS)
        medians = {name: quantile(figures, 0.5) for name, figures in samples.items()}
        results.append(result_of("speed", f"{case}: {OURS}", ours, "us/update", baselines=medians))
        for name, figures in samples.items():
            target = 1.0 if features and not name.startswith("ours") else None
            label = f"{case}: {name} / ours"
            ratio = ratios(figures, ours)
            results.append(result_of("speed", label, ratio, "x", better=Better.HIGHER, target=target))
    return results


def start_books(frames: dict[str, Any], stack: ExitStack) -> dict[str, Book]:
    """Start everybody's program and give it the frames; who cannot be made here is left out, and said."""
    books: dict[str, Book] = {}
    for name, variant, env in (
        (OURS, "ours", {}),
        (OURS_WHOLE, "ours, whole frames", {}),
        ("ours, numpy", "ours", {"PERPGUARD_NO_COMPILED": "1"}),
        ("ccxt, Python features", "ccxt, Python features", {}),
        ("ccxt, numpy features", "ccxt, numpy features", {}),
    ):
        process = spawn([sys.executable, "-m", "benchmarks._own_books", variant], core=cores()[0], env=env)
        stack.callback(end, process)
        said = ask(process, {"frames": frames})["implementation"]
        if name == OURS and said != "compiled":
            sys.stderr.write("the extension is not built: what is called compiled is numpy\n")
        books[name] = functools.partial(_asked_features, functools.partial(ask, process))
    for peer in PEERS:
        if importlib.util.find_spec(f"benchmarks.peers.{peer.module}") is None:
            sys.stderr.write(f"without a peer, {peer.name}: no program\n")
            continue
        try:
            python = peer_python(peer.environment, peer.requirements)
            worker = stack.enter_context(PeerWorker(python, peer.module))
            worker.ask({"frames": frames})
        except PeerUnavailableError as error:
            sys.stderr.write(f"without a peer, {error}\n")
            continue
        books[peer.name] = functools.partial(_asked_features, worker.ask)
    return books


def _asked_features(ask_it: Callable[[dict[str, Any]], dict[str, Any]], features: bool) -> dict[str, Any]:
    return ask_it({"features": features})


def _compare(books: Mapping[str, Book], options: Options, *, features: bool) -> dict[str, list[float]]:
    ends: dict[str, list[float | None]] = {}

    def figure_of(name: str) -> float:
        answer = books[name](features)
        ends[name] = answer["last"]
        return float(answer["us"])

    samples = interleave({name: functools.partial(figure_of, name) for name in books}, options)
    check_equal(ends)
    return samples


def check_equal(ends: Mapping[str, list[float | None]]) -> None:
    """Speed with another result is worth nothing. AssertionError says which feature differs."""
    for name, last in ends.items():
        assert len(last) == len(ends[OURS]), f"{name} tells {len(last)} features, ours {len(ends[OURS])}"
        for place, (mine, other) in enumerate(zip(ends[OURS], last, strict=True)):
            if mine is not None and other is not None:
                same = math.isclose(mine, other, rel_tol=1e-9, abs_tol=1e-9)
                assert same, f"feature {place}: ours {mine}, {name} {other}"
