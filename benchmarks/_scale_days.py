"""Part of ``scale``: what the engine and the books keep after days, in hours that pass as fast as they are worked out.

Run as ``python -m benchmarks._scale_days SEED HOURS``: prints the resident memory after each hour, in MB.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from itertools import cycle

from benchmarks._frame import ROOT, Options, Result, result_of
from benchmarks._load import rss_mb
from benchmarks._load_market import make_markets

HOURS, HOURS_QUICK = 72, 8
WARM_HOURS = 4
"""Until what fills up once has done so; baselines look back that far and farther, in arrays of fixed size."""

SAMPLE_S = 15
GROWTH_MB_MAX = 5.0


def measure_days(options: Options) -> list[Result]:
    """Memory after days, less what it was after some hours."""
    hours = HOURS_QUICK if options.quick else HOURS
    sys.stderr.write(f"scale: {hours} simulated hours\n")
    command = [sys.executable, "-m", "benchmarks._scale_days", str(options.seed), str(hours)]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    figures: list[float] = json.loads(done.stdout)
    return [
        result_of(
            "scale",
            f"{hours / 24:g} days of judging: memory grows by",
            [figures[-1] - figures[WARM_HOURS]],
            "MB",
            target=GROWTH_MB_MAX,
            baselines={f"after {WARM_HOURS} h, MB": figures[WARM_HOURS], "at the end, MB": figures[-1]},
        )
    ]


def live(seed: int, hours: int) -> list[float]:
    """Feed four markets, sampled every few seconds, to an engine with every policy."""
    from benchmarks._engine_markets import T0  # noqa: PLC0415
    from benchmarks.engine import MARKETS as NAMES  # noqa: PLC0415
    from benchmarks.engine import _engine  # noqa: PLC0415
    from guard.events import GuardStarted, MarkPriceSeen, Tick  # noqa: PLC0415
    from guard.market.book import new_book  # noqa: PLC0415
    from guard.market.sampler import MarketSampler  # noqa: PLC0415
    from guard.units import NS_PER_S  # noqa: PLC0415
    from perpguard_sdk.messages import Mode  # noqa: PLC0415

    engine = _engine()
    engine.process(GuardStarted(received_at=T0, guard="guard", epoch=1, session="s", mode=Mode.PAPER))
    samplers = [MarketSampler(name, new_book()) for name in NAMES]
    changes = []
    for market, sampler in zip(make_markets(len(NAMES), seed), samplers, strict=True):
        bids, asks = market.template.book_at(0)
        sampler.on_snapshot(bids, asks, T0)
        steps = [(list(bids.items()), list(asks.items())) for bids, asks in market.template.changes]
        changes.append(cycle(steps))
    figures = []
    for number in range(1, hours * 3_600 // SAMPLE_S + 1):
        at = T0 + number * SAMPLE_S * NS_PER_S
        for sampler, following in zip(samplers, changes, strict=True):
            bids, asks = next(following)
            sampler.on_deltas(bids, asks, at)
            engine.process(sampler.sample(at))
        if number % 4 == 0:
            for name in NAMES:
                engine.process(MarkPriceSeen(received_at=at, market=name, mark_price=60_000.0))
            engine.process(Tick(received_at=at))
        if number % (3_600 // SAMPLE_S) == 0:
            gc.collect()
            figures.append(rss_mb(os.getpid()))
    return figures


if __name__ == "__main__":
    sys.stdout.write(json.dumps(live(int(sys.argv[1]), int(sys.argv[2]))))
