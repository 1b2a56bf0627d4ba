"""How the daemon grows: one ``perpguard run`` on one core, real sockets, real mosquitto, 50 to 1,000 markets.

The load server keeps to a schedule and asks every socket 50 times a second how far it has read, so lag is seen from
outside; CPU time and memory are the process's own. The target case is 500 markets at ten updates a second, of which
50 have ten times as many for half a minute, while bots are commanded.
"""

from __future__ import annotations

import math
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks._daemon import Daemon
from benchmarks._frame import Better, Options, Result, main, quantile, result_of
from benchmarks._load import LoadServer
from benchmarks._scale_days import measure_days
from benchmarks._scale_memory import base_mb, measure_messages
from benchmarks._scale_target import measure_target

MARKETS = (50, 200, 500, 1_000)
MARKETS_QUICK = (50, 200)
RATE = 5.0
"""Updates a second and market where markets grow: what the busiest hundred of a venue have on average."""

MEASURED_S, MEASURED_S_QUICK = 10.0, 5.0
SETTLED_S = 6.0
"""Baselines are warm then."""

EXPONENT_MAX = 1.05
READY_S_MAX = 10.0
MEMORY_MB_MAX = 150.0
READY_MARKETS = 200


@dataclass(frozen=True, slots=True)
class Load:
    """What the daemon is given."""

    markets: int
    rate: float = RATE
    levels: int = 1_000

    @property
    def case(self) -> str:
        return f"{self.markets} markets x {self.rate:g}/s, {self.levels} levels"


@dataclass(frozen=True, slots=True)
class Seen:
    """What came of it."""

    load: Load
    cpu_ratio: float
    frames_a_s: float
    lag_ms: Sequence[float]
    rss_mb: float
    ready_s: float

    @property
    def us_a_market_s(self) -> float:
        return self.cpu_ratio * 1e6 / self.load.markets


def measure(options: Options) -> list[Result]:
    """Growth with markets, levels and rate; readiness and memory; messages and days; the target case."""
    seconds = MEASURED_S_QUICK if options.quick else MEASURED_S
    base = base_mb()
    grown = [
        run(Load(markets), seconds, options) for markets in (MARKETS_QUICK if options.quick else MARKETS)
    ]
    results = [result for seen in grown for result in _figures(seen)]
    results.append(_exponent(grown))
    results += _at_readiness(grown, base)
    if not options.quick:
        for load in (Load(200, levels=100), Load(50, rate=10.0), Load(50, rate=100.0)):
            results += _figures(run(load, seconds, options))
    results += measure_target(options)
    results += measure_messages(options)
    results += measure_days(options)
    return results


def run(load: Load, seconds: float, options: Options) -> Seen:
    """Start server and daemon, wait until it is ready and warm, and look at it for so long."""
    sys.stderr.write(f"scale: {load.case}\n")
    with (
        tempfile.TemporaryDirectory() as folder,
        LoadServer(markets=load.markets, levels=load.levels, seed=options.seed) as server,
        Daemon(Path(folder), server) as daemon,
    ):
        server.ask("play", rate=load.rate, trades_rate=load.rate / 10.0, marks_rate=1.0)
        ready_s = daemon.ready_s()
        rss_mb = daemon.rss_mb
        time.sleep(SETTLED_S)
        before = server.ask("stats")
        cpu_s, started = daemon.cpu_s, time.monotonic()
        time.sleep(seconds)
        spent_s, took_s = daemon.cpu_s - cpu_s, time.monotonic() - started
        after = server.ask("stats")
    lag_ms = [lag for sent, lag in [*after["pongs"], *after["owed"]] if sent > before["now_ns"]]
    frames = after["frames"] - before["frames"]
    return Seen(load, spent_s / took_s, frames / took_s, lag_ms, rss_mb, ready_s)


def _figures(seen: Seen) -> list[Result]:
    case = seen.load.case
    return [
        _single(f"{case}: CPU of one core", seen.cpu_ratio * 100.0, "%"),
        _single(f"{case}: CPU a frame", seen.cpu_ratio * 1e6 / max(seen.frames_a_s, 1.0), "us"),
        result_of(
            "scale",
            f"{case}: frames",
            [seen.frames_a_s],
            "1/s",
            better=Better.HIGHER,
        ),
        result_of("scale", f"{case}: lag p99", [quantile(seen.lag_ms, 0.99)], "ms"),
        result_of("scale", f"{case}: lag, worst", [max(seen.lag_ms)], "ms"),
        _single(f"{case}: memory when ready", seen.rss_mb, "MB"),
        _single(f"{case}: ready after", seen.ready_s, "s"),
    ]


def _single(case: str, value: float, unit: str, target: float | None = None) -> Result:
    return result_of("scale", case, [value], unit, target=target)


def _exponent(grown: Sequence[Seen]) -> Result:
    """The slope of log CPU over log markets, least squares: 1 is linear."""
    x = [math.log(seen.load.markets) for seen in grown]
    y = [math.log(seen.cpu_ratio) for seen in grown]
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    above = sum((each - mean_x) * (other - mean_y) for each, other in zip(x, y, strict=True))
    slope = above / sum((each - mean_x) ** 2 for each in x)
    a_market = {f"{seen.load.markets} markets, us/s": seen.us_a_market_s for seen in grown}
    return result_of(
        "scale",
        "CPU grows with markets to the power of",
        [slope],
        "",
        target=EXPONENT_MAX,
        baselines=a_market,
    )


def _at_readiness(grown: Sequence[Seen], base: float) -> list[Result]:
    (seen,) = (seen for seen in grown if seen.load.markets == READY_MARKETS)
    return [
        _single(f"{READY_MARKETS} markets: every market judged once, after", seen.ready_s, "s", READY_S_MAX),
        result_of(
            "scale",
            f"{READY_MARKETS} markets: memory beyond interpreter and ccxt",
            [seen.rss_mb - base],
            "MB",
            target=MEMORY_MB_MAX,
            baselines={"interpreter and ccxt, MB": base},
        ),
    ]


if __name__ == "__main__":
    sys.exit(main("scale", measure))
