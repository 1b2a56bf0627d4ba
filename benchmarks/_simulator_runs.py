"""One symbol at one venue in the laboratory, with all that guards see and the truth: how long, how many, how large.

``python -m benchmarks._simulator_runs SEED HOURS ...`` prints resident memory after so many simulated hours, one line
of JSON each: memory is told by a process that has done nothing else.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from adapters.simulation.laboratory.laboratory import Laboratory
from adapters.simulation.laboratory.parameters import Episode
from adapters.simulation.laboratory.truth import BookTruth, LiquidationTruth, MapTruth, PositionsTruth
from adapters.simulation.worlds.drawing import draw_episode
from benchmarks._frame import ROOT

WORLD = "volatility"
SYMBOL = "BTCUSDT"
VENUE = "binanceusdm"
HOUR_S = 3_600.0


class Counted:
    """Truth that is made and let go: what there is to write is counted."""

    def __init__(self) -> None:
        self.rows = 0

    def liquidation(self, truth: LiquidationTruth) -> None:  # noqa: ARG002 - let go
        self.rows += 1

    def map(self, truth: MapTruth) -> None:  # noqa: ARG002
        self.rows += 1

    def positions(self, truth: PositionsTruth) -> None:  # noqa: ARG002
        self.rows += 1

    def book(self, truth: BookTruth) -> None:  # noqa: ARG002
        self.rows += 1


@dataclass(frozen=True, slots=True)
class Ran:
    """One run; what it took does not hold its construction."""

    steps: int
    book_events: int
    """Changes of a price level."""
    events: int
    """For guards."""
    cpu_s: float
    wall_s: float

    @property
    def book_events_per_s(self) -> float:
        return self.book_events / self.cpu_s

    @property
    def us_per_step(self) -> float:
        return self.cpu_s / self.steps * 1e6


def episode_of(scenario: str, seed: int, hours: float, symbol: str = SYMBOL) -> Episode:
    """An episode of one symbol at one venue."""
    return draw_episode(WORLD, scenario, seed, symbols=[symbol], venues=[VENUE], duration_s=hours * HOUR_S)


def run(episode: Episode) -> Ran:
    """Run an episode to its end, with all its events."""
    laboratory = Laboratory(episode, Counted())
    gc.collect()
    cpu_ns, wall = time.process_time_ns(), time.perf_counter()
    events = sum(1 for _ in laboratory.events())
    return Ran(
        steps=laboratory.now_ms // laboratory.step_ms,
        book_events=sum(market.exchange.book.changed for market in laboratory.markets.values()),
        events=events,
        cpu_s=(time.process_time_ns() - cpu_ns) / 1e9,
        wall_s=time.perf_counter() - wall,
    )


def resident_mb() -> float:
    """Of this process."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def memory_after(seed: int, hours: list[float]) -> list[float]:
    """Resident memory in MB after so many simulated hours (ascending), of a process of its own."""
    command = [sys.executable, "-m", "benchmarks._simulator_runs", str(seed), *map(str, hours)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return [json.loads(line)["mb"] for line in done.stdout.splitlines()]


def tell_memory(seed: int, hours: list[float]) -> None:
    """Print resident memory each time so many hours have passed."""
    laboratory = Laboratory(episode_of("calm", seed, hours[-1] + 0.1), Counted())
    left = [hour * HOUR_S * 1e3 for hour in hours]
    for _ in laboratory.events():
        if left and laboratory.now_ms >= left[0]:
            hour = left.pop(0) / HOUR_S / 1e3
            gc.collect()
            sys.stdout.write(json.dumps({"hours": hour, "mb": resident_mb()}) + "\n")
            sys.stdout.flush()
        if not left:
            return


if __name__ == "__main__":
    tell_memory(int(sys.argv[1]), [float(hour) for hour in sys.argv[2:]])
