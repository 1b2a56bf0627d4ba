"""Reads a process from outside, every few seconds: memory, files, tasks, what it wrote, how late it is."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from tests.soak.world import World

PAGE_BYTES = 4096
READ_S = 5.0


@dataclass(slots=True)
class Series:
    """One quantity over time: ``(seconds since the start, value)``."""

    name: str
    unit: str
    points: list[tuple[float, float]] = field(default_factory=list)

    def part(self, first: float, last: float) -> float:
        """The median over a share of the time, e.g. 0.5 to 0.75."""
        count = len(self.points)
        chosen = [value for _, value in self.points[int(count * first) : max(int(count * last), 1)]]
        return median(chosen) if chosen else 0.0

    @property
    def largest(self) -> float:
        return max((value for _, value in self.points), default=0.0)

    @property
    def slope_per_h(self) -> float:
        """Of the straight line through the second half (Theil-Sen: the median of all pairs' slopes)."""
        half = self.points[len(self.points) // 2 :]
        step = max(len(half) // 150, 1)
        thinned = half[::step]
        slopes = [
            (later[1] - earlier[1]) / (later[0] - earlier[0])
            for index, earlier in enumerate(thinned)
            for later in thinned[index + 1 :]
        ]
        return median(slopes) * 3600.0 if slopes else 0.0


@dataclass(slots=True)
class Watch:
    """Samples until cancelled."""

    world: World
    every_s: float = 5.0
    series: dict[str, Series] = field(default_factory=dict)
    missed: int = 0
    """Pages of metrics that could not be read in time."""
    counters: dict[str, float] = field(default_factory=dict)
    """The last page: every sample by name and labels."""
    _began_s: float = field(default_factory=time.monotonic)

    async def run(self) -> None:
        timeout = aiohttp.ClientTimeout(total=READ_S)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            while True:
                await self.sample(session)
                await asyncio.sleep(self.every_s)

    async def sample(self, session: aiohttp.ClientSession) -> None:
        """Take one look at everything."""
        pid = self.world.daemon.pid
        self._note("RSS", "MB", _rss_bytes(pid) / 1e6)
        self._note("open files", "", float(_open_files(pid)))
        self._note("threads", "", float(_status(pid, "Threads")))
        self._note("database", "MB", self.world.database_bytes / 1e6)
        bot = next(iter(self.world.bots.values()), None)
        if bot is not None and bot.runs:
            self._note("RSS of a bot", "MB", _rss_bytes(bot.pid) / 1e6)
        try:
            async with session.get(f"http://127.0.0.1:{self.world.metrics_port}/metrics") as answer:
                page = await answer.text()
        except (aiohttp.ClientError, TimeoutError):
            self.missed += 1
            return
        self.counters = {
            " ".join([sample.name.removeprefix("perpguard_"), *sample.labels.values()]): sample.value
            for family in text_string_to_metric_families(page)
            for sample in family.samples
        }
        self._note("tasks", "", self.counters["tasks"])
        self._note("events waiting", "", self._sum("events_waiting "))
        self._note("tick age", "s", self.counters["tick_age_seconds"])
        self._note("markets trusted", "", self._sum("markets ", "trusted"))

    def _sum(self, prefix: str, containing: str = "") -> float:
        return sum(
            value for name, value in self.counters.items() if name.startswith(prefix) and containing in name
        )

    def _note(self, name: str, unit: str, value: float) -> None:
        found = self.series.setdefault(name, Series(name, unit))
        found.points.append((time.monotonic() - self._began_s, value))


def _rss_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES


def _open_files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def _status(pid: int, key: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1])
    return 0
