"""Part of ``scale``: what memory the daemon takes, and whether it stays at that over a million messages a market."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks._daemon import Daemon
from benchmarks._frame import ROOT, Options, Result, result_of
from benchmarks._load import LoadServer

MARKETS = 4
MESSAGES, MESSAGES_QUICK = 1_000_000, 100_000
"""A market."""

BLAST = 100_000
"""Frames at once: 80 MB in the load server."""

GROWTH_MB_MAX = 5.0
WARM_MESSAGES = 200_000
"""Before the first look: what fills up once has done so, such as the samples that wait to be written."""

LOOKS = 3
"""Resident memory breathes: the most of so many looks is compared."""

_BASE = """
import sys
from adapters.exchanges.ccxt_import import venue_class
venue_class("binanceusdm")
fields = open("/proc/self/statm").read().split()
print(int(fields[1]) * {page})
"""


def base_mb() -> float:
    """Resident memory of an interpreter that has imported the one venue of ccxt that the daemon imports, MB."""
    page = os.sysconf("SC_PAGE_SIZE")
    done = subprocess.run(
        [sys.executable, "-c", _BASE.format(page=page)], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return int(done.stdout) / 1e6


def measure_messages(options: Options) -> list[Result]:
    """Feed a few markets as fast as it goes; the daemon goes on judging meanwhile."""
    messages = MESSAGES_QUICK if options.quick else MESSAGES
    sys.stderr.write(f"scale: {messages:,} messages a market\n")
    with (
        tempfile.TemporaryDirectory() as folder,
        LoadServer(markets=MARKETS, seed=options.seed) as server,
        Daemon(Path(folder), server) as daemon,
    ):
        server.ask("play", rate=10.0, marks_rate=1.0)
        daemon.ready_s()
        server.ask("stop")
        before_mb = max(_blasts(server, daemon, WARM_MESSAGES * MARKETS)[-LOOKS:])
        cpu_s, started = daemon.cpu_s, time.monotonic()
        after_mb = max(_blasts(server, daemon, messages * MARKETS)[-LOOKS:])
        spent_s, took_s = daemon.cpu_s - cpu_s, time.monotonic() - started
    sent = messages * MARKETS
    case = f"{messages:,} messages a market"
    return [
        result_of(
            "scale",
            f"{case}: memory grows by",
            [after_mb - before_mb],
            "MB",
            target=GROWTH_MB_MAX,
            baselines={"before, MB": before_mb, "after, MB": after_mb},
        ),
        result_of(
            "scale",
            f"{case}: CPU a message, judging included",
            [spent_s * 1e6 / sent],
            "us",
            baselines={"messages/s": sent / took_s},
        ),
    ]


def _blasts(server: LoadServer, daemon: Daemon, frames: int) -> list[float]:
    """Send so many; resident memory after each part, in MB."""
    seen = []
    for _ in range(frames // BLAST):
        server.ask("blast", frames=BLAST)
        seen.append(daemon.rss_mb)
    return seen
