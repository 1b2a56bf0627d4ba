"""Flame graph of the daemon under load: ``python -m benchmarks._profile --out FILE.svg [--root TREE] [--markets 500]``.

py-spy looks at the running daemon from outside, from an environment of its own. ``--root`` names another checkout, to
look at another commit; the load server is always this one. The drawing is ours: a file of some kilobytes that needs
no script.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks._daemon import Daemon
from benchmarks._flame import draw, parse_collapsed, trimmed
from benchmarks._frame import ROOT
from benchmarks._load import LoadServer
from benchmarks._peers import peer_python

REQUIREMENTS = ("py-spy==0.4.3",)
SAMPLES_A_S = 50
"""With C's frames too, each look holds the daemon up for milliseconds."""

LOOKED_S = 8.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Start the daemon, wait until it is ready (or long enough), record, draw."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks._profile")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--root", type=Path, default=ROOT)
    parser.add_argument("--markets", type=int, default=500)
    parser.add_argument("--rate", type=float, default=10.0)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--warm-s", type=float, default=20.0)
    parser.add_argument("--title", default="")
    given = parser.parse_args(arguments)
    spy = peer_python("py-spy", REQUIREMENTS).with_name("py-spy")
    with (
        tempfile.TemporaryDirectory() as folder,
        LoadServer(markets=given.markets) as server,
        Daemon(
            Path(folder),
            server,
            root=given.root,
            environment={"PYTHONPATH": f"{given.root}:{given.root / 'sdk'}"},
        ) as daemon,
    ):
        server.ask("play", rate=given.rate, trades_rate=given.rate / 10.0, marks_rate=1.0)
        time.sleep(given.warm_s)
        words = f"{given.markets} markets x {given.rate:g}/s: {_looked_at(server, daemon)}"
        raw = Path(folder) / "stacks"
        command = [str(spy), "record", "--pid", str(daemon.pid), "--duration", str(given.seconds)]
        command += ["--rate", str(SAMPLES_A_S), "--format", "raw", "--function", "--native", "-o", str(raw)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        stacks = trimmed(parse_collapsed(raw.read_text(encoding="utf-8")))
    sys.stdout.write(words + "\n")
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(draw(stacks, title=given.title or words), encoding="utf-8")
    return 0


def _looked_at(server: LoadServer, daemon: Daemon) -> str:
    """What it costs while nobody looks at its stacks."""
    before, cpu_s, started = server.ask("stats"), daemon.cpu_s, time.monotonic()
    time.sleep(LOOKED_S)
    after, took_s, spent_s = server.ask("stats"), time.monotonic() - started, daemon.cpu_s - cpu_s
    lags = sorted(lag for sent, lag in [*after["pongs"], *after["owed"]] if sent > before["now_ns"])
    behind = max(lag for _, lag in [*after["pongs"][-1:], *after["owed"]]) / 1e3
    frames = after["frames"] - before["frames"]
    median = f"{lags[len(lags) // 2]:.1f} ms" if lags else "nothing answered"
    return (
        f"{spent_s / took_s:.0%} of a core, {spent_s / max(frames, 1) * 1e6:.0f} us a frame sent; sockets behind by "
        f"{median} (median), at the end {behind:.1f} s"
    )


if __name__ == "__main__":
    sys.exit(main())
