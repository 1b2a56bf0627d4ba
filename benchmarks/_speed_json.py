"""Part of ``speed``: from the bytes of a depth frame to numbers, and with ours on into the book."""

from __future__ import annotations

import functools
import math
import sys
from contextlib import ExitStack

from adapters.exchanges.frames import DECLINED, FrameReader, new_reader
from benchmarks._frame import Better, Options, Result, cpu_us_per, interleave, quantile, ratios, result_of
from benchmarks._load_market import FIRST_ID, LoadMarket, make_markets
from benchmarks._peers import PeerUnavailableError, PeerWorker, peer_python
from guard.events import BookStatus
from guard.market.book import new_book
from guard.market.live import new_live_book

FRAMES, FRAMES_QUICK = 4_000, 1_000
REQUIREMENTS = ("orjson==3.13.0", "ujson==5.11.0", "pysimdjson==7.0.2", "msgspec==0.22.0")
OURS = "ours: read, sequence checked, in the book"
HEADER = 4


def measure_json(options: Options) -> list[Result]:
    """Us a frame."""
    with ExitStack() as stack:
        return _measure_json(options, stack)


def _measure_json(options: Options, stack: ExitStack) -> list[Result]:
    count = FRAMES_QUICK if options.quick else FRAMES
    market = make_markets(1, options.seed)[0]
    frames = [market.depth(number)[HEADER:] for number in range(count)]
    results = []
    cases = {}
    reader = new_reader("binanceusdm")
    if reader is None:
        sys.stderr.write("there is no reader of raw frames: ours is left out\n")
    else:
        opening = make_markets(1, options.seed)[0]
        cases[OURS] = functools.partial(_take_all, reader, opening, frames)
    try:
        worker = stack.enter_context(PeerWorker(peer_python("json_parsers", REQUIREMENTS), "json_parsers"))
        parsers = worker.ask({"frames": [frame.decode() for frame in frames]})["parsers"]
        for parser in parsers:
            cases[parser] = functools.partial(_parse_all, worker, parser)
    except PeerUnavailableError as error:
        sys.stderr.write(f"without a peer, {error}\n")
    samples = interleave(cases, options)
    ours = samples.pop(OURS, None)
    size = sum(map(len, frames)) / len(frames)
    medians = {name: quantile(figures, 0.5) for name, figures in samples.items()}
    if ours is None:
        return [
            result_of("speed", f"JSON, {size:.0f} bytes: {name}", figures, "us/frame")
            for name, figures in samples.items()
        ]
    results.append(result_of("speed", f"JSON, {size:.0f} bytes: {OURS}", ours, "us/frame", baselines=medians))
    for name, figures in samples.items():
        label = f"JSON: {name} alone / {OURS}"
        results.append(result_of("speed", label, ratios(figures, ours), "x", better=Better.HIGHER))
    return results


def _parse_all(worker: PeerWorker, parser: str) -> float:
    return float(worker.ask({"parser": parser})["us"])


def _take_all(reader: FrameReader, opening: LoadMarket, frames: list[bytes]) -> float:
    """All of them into a fresh book, which must hold what the server holds afterwards."""
    bids, asks = opening.template.book_at(opening.step)
    live = new_live_book(new_book())
    live.book.load(
        [[float(part) for part in level] for level in bids],
        [[float(part) for part in level] for level in asks],
    )
    live.arm(FIRST_ID)
    reader.add_book(opening.code.decode(), 0, live)
    declined = 0

    def work() -> None:
        nonlocal declined
        for frame in frames:
            if reader.take(frame, 1) == DECLINED:
                declined += 1

    us = cpu_us_per(len(frames), work)
    assert not declined, f"{declined} of {len(frames)} frames were declined"
    assert live.book.status() is BookStatus.OK
    best = live.book.best_bid()
    after = opening.template.book_at(opening.step + len(frames))[0][0]
    assert best is not None
    assert math.isclose(best[0], float(after[0])), (best, after)
    assert math.isclose(best[1], float(after[1])), (best, after)
    return us
