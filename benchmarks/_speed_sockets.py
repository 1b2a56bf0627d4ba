"""Part of ``speed``: whole clients on a real WebSocket, stock ccxt.pro and ours, and the floor below both.

Each variant is a process pinned to one core, with a load server of its own, seeded alike, on the other. In a round
each is sent a burst, as fast as it reads; afterwards each has 2,000 messages a second for some seconds.
"""

from __future__ import annotations

import math
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field

from benchmarks._frame import Better, Options, Result, interleave, quantile, ratios, result_of
from benchmarks._load import LoadServer, ask, cores, cpu_s, end, spawn
from benchmarks._load_client import LEVELS_COMPARED, features_of

MARKETS = 200
PACE = 10.0
"""Messages a second and market: 2,000 in all."""

PACED_S, PACED_S_QUICK = 4.0, 2.0
ROUNDS, ROUNDS_QUICK = 5, 3
COMPARED = ("M0000USDT", "M0013USDT", "M0101USDT", "M0199USDT")
BURST_RATIO_MIN, PACED_RATIO_MIN = 100.0, 10.0
BASELINE = "stock ccxt.pro + features in Python"
PICOWS, AIOHTTP = {"transport": "picows"}, {"transport": "aiohttp"}


@dataclass(frozen=True, slots=True)
class Reader:
    """One variant: what it is called, what runs, and how many frames make a burst of about half a second."""

    name: str
    variant: str
    frames: int
    settings: dict[str, str] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)


READERS = (
    Reader("stock ccxt.pro, no features", "stock", 4_000),
    Reader(BASELINE, "stock+features", 1_600),
    Reader("ours + features, picows", "ours", 60_000, PICOWS),
    Reader("ours + features, aiohttp", "ours", 40_000, AIOHTTP),
    Reader("ours as shipped, picows", "ours sampled", 60_000, PICOWS),
    Reader("ours as shipped, aiohttp", "ours sampled", 40_000, AIOHTTP),
    Reader("ours + features, nothing compiled", "ours", 2_000, PICOWS, {"PERPGUARD_NO_COMPILED": "1"}),
    Reader("floor: frame headers", "floor", 200_000),
    Reader("floor: JSON scanned", "floor+scan", 100_000),
)


@dataclass(slots=True)
class Connected:
    """A variant that runs, with its server."""

    reader: Reader
    server: LoadServer
    process: subprocess.Popen[str]

    @property
    def keeps_books(self) -> bool:
        return not self.reader.variant.startswith("floor")

    def burst(self) -> float:
        """CPU time a message, in us."""
        before = cpu_s(self.process.pid)
        self.server.ask("blast", frames=self.reader.frames)
        return (cpu_s(self.process.pid) - before) * 1e6 / self.reader.frames

    def paced(self, seconds: float) -> dict[str, float]:
        """CPU time a message and lags in us, at a steady rate; whoever cannot keep up is behind at the end."""
        ask(self.process, {"do": "time", "on": True})
        before, updates = cpu_s(self.process.pid), self.updates()
        self.server.ask("play", rate=PACE, spin=True)
        time.sleep(seconds)
        done, spent = self.updates() - updates, cpu_s(self.process.pid) - before
        sent = self.server.ask("stats")
        stopped = self.server.ask("stop")
        read = ask(self.process, {"do": "read"})
        ask(self.process, {"do": "time", "on": False})
        pongs = [lag_ms * 1e3 for _, lag_ms in sent["pongs"]]
        lags = read["lags_us"] or {"p50": quantile(pongs, 0.5), "p99": quantile(pongs, 0.99)}
        # What was sampled may have come before: nobody can have read more than was sent.
        read_frames = min(done, sent["frames"]) if self.keeps_books else sent["frames"]
        return {
            "us": spent * 1e6 / max(read_frames, 1),
            "p50": lags["p50"],
            "p99": lags["p99"],
            "behind_s": stopped["caught_up_s"],
        }

    def updates(self) -> int:
        return int(ask(self.process, {"do": "read"})["updates"])

    def check(self) -> None:
        """Hold books and features against the server's own; AssertionError says where they differ."""
        if not self.keeps_books:
            return
        truth = self.server.ask("truth", codes=list(COMPARED))
        symbols = {code: f"{code.removesuffix('USDT')}/USDT:USDT" for code in COMPARED}
        told = ask(self.process, {"do": "books", "symbols": list(symbols.values())})
        for code, (_, *sides) in truth.items():
            mine = told[symbols[code]]
            real = [[[float(part) for part in level] for level in side] for side in sides]
            for name, levels in zip(("bids", "asks"), real, strict=True):
                assert mine[name] == levels[:LEVELS_COMPARED], f"{self.reader.name}: {name} of {code} differ"
            expected = features_of(*real)
            for place, (wanted, found) in enumerate(zip(expected, mine["features"], strict=True)):
                if found is None or wanted == -1.0:
                    continue
                where = f"{self.reader.name}, {code}, feature {place}: {found}, not {wanted}"
                assert math.isclose(wanted, found, rel_tol=1e-9, abs_tol=1e-9), where


def connect(reader: Reader, options: Options, stack: ExitStack) -> Connected:
    """Start one; when this returns all its books stand."""
    server = stack.enter_context(LoadServer(markets=MARKETS, levels=1_000, seed=options.seed))
    process = spawn([sys.executable, "-m", "benchmarks._load_client"], core=cores()[0], env=reader.env)
    stack.callback(end, process)
    asked = {
        "variant": reader.variant,
        "urls": server.urls,
        "symbols": server.symbols,
        "settings": reader.settings,
    }
    ask(process, asked)
    return Connected(reader, server, process)


def measure_sockets(options: Options) -> list[Result]:
    """Bursts in rounds, then a steady rate, then everybody's books."""
    with ExitStack() as stack:
        return _measure_sockets(options, stack)


def _measure_sockets(options: Options, stack: ExitStack) -> list[Result]:
    connected = {reader.name: connect(reader, options, stack) for reader in READERS}
    rounds = Options(
        options.quick, options.seed, min(options.repetitions, ROUNDS_QUICK if options.quick else ROUNDS)
    )
    cases: dict[str, Callable[[], float]] = {name: each.burst for name, each in connected.items()}
    bursts = interleave(cases, rounds)
    paced: dict[str, list[dict[str, float]]] = {name: [] for name in connected}
    seconds = PACED_S_QUICK if options.quick else PACED_S
    # Round by round here too; the sum of CPU time over some seconds needs no round to be thrown away.
    for _ in range(1 if options.quick else 2):
        for name, each in connected.items():
            paced[name].append(each.paced(seconds))
    for each in connected.values():
        each.check()
    return [*_bursts(bursts), *_paced(paced)]


def _bursts(bursts: dict[str, list[float]]) -> list[Result]:
    baseline = bursts[BASELINE]
    medians = {name: quantile(figures, 0.5) for name, figures in bursts.items()}
    results = [
        result_of("speed", f"burst: {name}", figures, "us CPU/message") for name, figures in bursts.items()
    ]
    per_s = [1e6 / us for us in bursts["ours + features, picows"]]
    results.append(
        result_of(
            "speed",
            "burst: ours + features, picows",
            per_s,
            "messages/CPU s",
            better=Better.HIGHER,
            baselines={name: 1e6 / us for name, us in medians.items()},
        )
    )
    for name, figures in bursts.items():
        if name.startswith("ours"):
            target = BURST_RATIO_MIN if "nothing compiled" not in name else None
            results.append(
                result_of(
                    "speed",
                    f"burst: messages a CPU second, {name} / {BASELINE}",
                    ratios(baseline, figures),
                    "x",
                    better=Better.HIGHER,
                    target=target,
                )
            )
    return results


def _paced(paced: dict[str, list[dict[str, float]]]) -> list[Result]:
    rate = f"{MARKETS * PACE:,.0f} messages/s"
    results = []
    for name, rounds in paced.items():
        for figure, unit in (
            ("us", "us CPU/message"),
            ("p50", "us"),
            ("p99", "us"),
            ("behind_s", "s to catch up"),
        ):
            label = {
                "us": "",
                "p50": ", latency p50",
                "p99": ", latency p99",
                "behind_s": ", left at the end",
            }[figure]
            results.append(
                result_of("speed", f"{rate}: {name}{label}", [each[figure] for each in rounds], unit)
            )
    baseline = [each["us"] for each in paced[BASELINE]]
    for name, rounds in paced.items():
        if name.startswith("ours"):
            target = PACED_RATIO_MIN if "nothing compiled" not in name else None
            ratio = ratios(baseline, [each["us"] for each in rounds])
            results.append(
                result_of(
                    "speed",
                    f"{rate}: messages a CPU second, {name} / {BASELINE}",
                    ratio,
                    "x",
                    better=Better.HIGHER,
                    target=target,
                )
            )
    return results
