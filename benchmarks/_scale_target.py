"""Part of ``scale``: the load that the design promises to carry, and what becomes of commands under it."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapters.storage.samples import read_samples
from benchmarks._daemon import Daemon
from benchmarks._frame import Better, Options, Result, quantile, result_of
from benchmarks._load import LoadServer
from guard.events import MarketFeatures, MarketsSampled

MARKETS, RATE = 500, 10.0
TOP, FACTOR = 50, 10.0
BURST_S, BURST_S_QUICK = 30.0, 8.0
BEFORE_S, BEFORE_S_QUICK = 15.0, 6.0
AFTER_S = 8.0
BOTS, FLICKER_RATE = 8, 10.0
"""Each bot's market loses its depth for 1.2 s and has it for 1.2 s: a pause and a resume each time."""

COMMANDS_MIN = 20.0
"""Too few to speak of a p99 otherwise. While it sheds, the daemon gives nothing back, so nothing is taken again."""

BARE_S = 5.0
SETTLED_S = 8.0
LAG_MS_MAX = 1_000.0
CATCH_UP_S_MAX = 5.0
COMMAND_FACTOR, COMMAND_MS_MORE = 1.5, 50.0
WINDOW_NS = 1_000_000_000
CALM_MS = 50.0
"""Behind by less than this is normal."""


@dataclass(frozen=True, slots=True)
class Phases:
    """When what was, Unix nanoseconds."""

    began: int
    burst: int
    burst_end: int
    end: int


def measure_target(options: Options) -> list[Result]:
    """500 markets x 10/s, the top 50 of them tenfold for a while, five bots being commanded."""
    burst_s = BURST_S_QUICK if options.quick else BURST_S
    before_s = BEFORE_S_QUICK if options.quick else BEFORE_S
    sys.stderr.write(f"scale: {MARKETS} markets x {RATE:g}/s, a burst of {burst_s:g} s on {TOP}\n")
    with (
        tempfile.TemporaryDirectory() as folder,
        LoadServer(markets=MARKETS, seed=options.seed, flicker=BOTS) as server,
        Daemon(Path(folder), server, bots=BOTS) as daemon,
    ):
        load: dict[str, Any] = {
            "rate": RATE,
            "trades_rate": RATE / 10.0,
            "marks_rate": 1.0,
            "flicker": BOTS,
            "flicker_rate": FLICKER_RATE,
            "top": TOP,
            "burst_factor": FACTOR,
        }
        server.ask("play", **load)
        daemon.ready_s()
        daemon.start_bots()
        time.sleep(SETTLED_S)
        played = server.ask("play", **load, burst_after_s=before_s, burst_for_s=burst_s)
        (burst,) = played["bursts_ns"]
        _sleep_until(burst[0])
        cpu_s, started = daemon.cpu_s, time.monotonic()
        _sleep_until(burst[1])
        cpu_ratio = (daemon.cpu_s - cpu_s) / (time.monotonic() - started)
        time.sleep(AFTER_S)
        stats = server.ask("stats")
        rss_mb = daemon.rss_mb
        arrived = daemon.ask_bots("arrived")["arrived"]
        server.ask("stop")
        time.sleep(3.0)
        bare = daemon.ask_bots("bare", seconds=BARE_S)
        metrics = daemon.metrics()
        time.sleep(1.0)
        phases = Phases(played["began_ns"], burst[0], burst[1], stats["now_ns"])
        aged = _aged(daemon.audit_path, phases)
    case = f"{MARKETS} x {RATE:g}/s, {FACTOR:g}x on {TOP}"
    return [
        result_of("scale", f"{case}: CPU of one core in the burst", [cpu_ratio * 100.0], "%"),
        result_of("scale", f"{case}: memory", [rss_mb], "MB"),
        *_lags(case, stats, phases),
        *_ages(case, aged),
        *_commands(case, stats["flips_us"], arrived, bare, phases),
        result_of("scale", f"{case}: the server itself was late by", [stats["late_ms_max"]], "ms"),
        result_of("scale", f"{case}: sheddings", [metrics.get("perpguard_sheddings_total", 0.0)], ""),
    ]


def _sleep_until(at_ns: int) -> None:
    time.sleep(max(at_ns - time.time_ns(), 0) / 1e9)


def _lags(case: str, stats: dict[str, Any], phases: Phases) -> list[Result]:
    """How far sockets were behind: before the burst, in it, and how long until that was over."""
    pongs = [(int(sent), float(lag)) for sent, lag in [*stats["pongs"], *stats["owed"]]]
    calm = [lag for sent, lag in pongs if phases.began < sent < phases.burst]
    burst = [lag for sent, lag in pongs if phases.burst <= sent < phases.burst_end]
    normal_ms = max(CALM_MS, quantile(calm, 0.99))
    after = sorted((sent, lag) for sent, lag in pongs if sent >= phases.burst_end)
    caught_up_s = next(
        (
            max(at - phases.burst_end, 0) / 1e9
            for at in range(phases.burst_end, phases.end, WINDOW_NS // 4)
            if _is_normal([lag for sent, lag in after if at <= sent < at + WINDOW_NS], normal_ms)
        ),
        AFTER_S,
    )
    return [
        result_of("scale", f"{case}: behind, before the burst, p99", [quantile(calm, 0.99)], "ms"),
        result_of("scale", f"{case}: behind, before the burst, worst", [max(calm)], "ms"),
        result_of("scale", f"{case}: behind, in the burst, p50", [quantile(burst, 0.5)], "ms"),
        result_of("scale", f"{case}: behind, in the burst, p99", [quantile(burst, 0.99)], "ms"),
        result_of("scale", f"{case}: behind, in the burst, worst", [max(burst)], "ms", target=LAG_MS_MAX),
        result_of("scale", f"{case}: back to normal after", [caught_up_s], "s", target=CATCH_UP_S_MAX),
    ]


def _is_normal(lags_ms: Sequence[float], normal_ms: float) -> bool:
    """Whether all but a hundredth is as before the burst: single hiccups of the machine are not the burst's."""
    return bool(lags_ms) and quantile(lags_ms, 0.99) <= normal_ms


def _aged(audit: Path, phases: Phases) -> dict[str, list[float]]:
    """How old the books were that the engine judged by, and how long a market went without a sample, in ms."""
    ages: list[float] = []
    pauses: list[float] = []
    judged_at: dict[str, int] = {}
    for event in read_samples(Path(f"{audit}.samples"), phases.burst, phases.burst_end):
        samples: Sequence[MarketFeatures] = ()
        if isinstance(event, MarketFeatures):
            samples = (event,)
        elif isinstance(event, MarketsSampled):
            samples = event.samples
        for sample in samples:
            if sample.exchange_at is not None:
                ages.append((sample.received_at - sample.exchange_at) / 1e6)
            if sample.market in judged_at:
                pauses.append((sample.received_at - judged_at[sample.market]) / 1e6)
            judged_at[sample.market] = sample.received_at
    return {"age": ages, "pause": pauses, "markets": [float(len(judged_at))]}


def _ages(case: str, aged: dict[str, list[float]]) -> list[Result]:
    if not aged["age"]:
        return []
    return [
        result_of("scale", f"{case}: age of a book when sampled, p99", [quantile(aged["age"], 0.99)], "ms"),
        result_of("scale", f"{case}: age of a book when sampled, worst", [max(aged["age"])], "ms"),
        result_of(
            "scale", f"{case}: between two samples of a market, p50", [quantile(aged["pause"], 0.5)], "ms"
        ),
        result_of("scale", f"{case}: between two samples of a market, worst", [max(aged["pause"])], "ms"),
        result_of("scale", f"{case}: markets judged", aged["markets"], "", better=Better.HIGHER),
    ]


def _commands(
    case: str,
    flips: dict[str, list[list[Any]]],
    arrived: Sequence[Sequence[Any]],
    bare: dict[str, list[float]],
    phases: Phases,
) -> list[Result]:
    """From when the server says that the makers of a market left until its bot's pause came out of the broker."""
    waited_ms, missed = _waited(flips, arrived, phases.began, phases.end)
    in_burst_ms, missed_in_burst = _waited(flips, arrived, phases.burst, phases.burst_end)
    label = f"{case}: depth gone -> pause at the bot"
    counted = [
        result_of(
            "scale",
            f"{label}, how many",
            [float(len(waited_ms))],
            "",
            better=Better.HIGHER,
            target=COMMANDS_MIN,
            baselines={"in the burst": float(len(in_burst_ms)), "arrived in all": float(len(arrived))},
        ),
        result_of(
            "scale",
            f"{label}, never",
            [float(missed)],
            "",
            target=0.0,
            baselines={"in the burst": float(missed_in_burst)},
        ),
    ]
    if not waited_ms:
        return counted
    publish_ms, commit_ms = (quantile(bare[name], 0.99) / 1e3 for name in ("publishes_us", "commits_us"))
    target = COMMAND_FACTOR * (publish_ms + commit_ms) + COMMAND_MS_MORE
    bases = {"bare publish p99, ms": publish_ms, "bare commit p99, ms": commit_ms}
    bases |= {"worst": max(waited_ms)}
    if in_burst_ms:
        bases |= {"in the burst, p99": quantile(in_burst_ms, 0.99)}
    return [
        *counted,
        result_of("scale", f"{label}, p50", [quantile(waited_ms, 0.5)], "ms"),
        result_of(
            "scale", f"{label}, p99", [quantile(waited_ms, 0.99)], "ms", target=target, baselines=bases
        ),
    ]


def _waited(
    flips: dict[str, list[list[Any]]], arrived: Sequence[Sequence[Any]], begin_ns: int, end_ns: int
) -> tuple[list[float], int]:
    """Per time that depth went, from then to the first pause in that phase; and how often none came.

    A bot that had not been given back what the last phase took from it has nothing to be told.
    """
    waited, missed = [], 0
    for number, of_market in enumerate(flips.values()):
        told = [(at, verb) for bot, verb, at, _ in arrived if bot == f"bot-{number}"]
        pauses = [at for at, verb in told if verb == "pause"]
        ends = [*(due for due, _ in of_market[1:]), None]
        for (due_us, gone), end_us in zip(of_market, ends, strict=True):
            due_ns = due_us * 1_000
            if not gone or end_us is None or not begin_ns <= due_ns < end_ns:
                continue
            before = [verb for at, verb in told if at < due_ns]
            if not before or before[-1] != "resume":
                continue
            within = [at for at in pauses if due_ns <= at < end_us * 1_000]
            if within:
                waited.append((within[0] - due_ns) / 1e6)
            else:
                missed += 1
    return waited, missed
