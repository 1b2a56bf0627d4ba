"""Runs tests that mostly wait side by side: each is a test of its own, and a few of them run at a time.

An acceptance test starts real processes and waits for seconds to pass. One after another the folder takes
six minutes, of which the machine works in one.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

AT_ONCE = 3
"""So many at a time keep two cores half busy; more would make each slower than its deadlines."""

Note = Callable[[str, float], None]
"""Notes one measurement; its name says in which unit."""
Scenario = Callable[..., Awaitable[None]]


def together(scenario: Scenario) -> Callable[[Crowd], Awaitable[None]]:
    """Make a test of a coroutine function that takes ``tmp_path`` and, if it likes, ``note``."""

    async def test(crowd: Crowd) -> None:
        await crowd.result(scenario)

    test.__name__ = test.__qualname__ = scenario.__name__
    test.__doc__, test.__module__ = scenario.__doc__, scenario.__module__
    marked: Any = pytest.mark.asyncio(loop_scope="session")(test)
    marked.scenario = scenario
    return marked  # type: ignore[no-any-return]


@dataclass(slots=True)
class Crowd:
    """The scenarios of this run, each a task; the first test that asks starts them all."""

    scenarios: list[Scenario]
    folder: Callable[[str], Path]
    note: Note
    _tasks: dict[Scenario, asyncio.Task[None]] = field(default_factory=dict)

    async def result(self, scenario: Scenario) -> None:
        """Wait for one scenario; raises what it raised."""
        if not self._tasks:
            turns = asyncio.Semaphore(AT_ONCE)
            self._tasks = {
                each: asyncio.create_task(self._play(each, turns), name=each.__name__)
                for each in self.scenarios
            }
        await asyncio.shield(self._tasks[scenario])

    async def end(self) -> None:
        """Stop those that nobody waits for any more."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _play(self, scenario: Scenario, turns: asyncio.Semaphore) -> None:
        async with turns:
            wanted = inspect.signature(scenario).parameters
            given: dict[str, Any] = {"tmp_path": self.folder(scenario.__name__[:40])}
            if "note" in wanted:
                given["note"] = self.note
            await scenario(**given)


def scenarios_of(items: list[pytest.Item]) -> list[Scenario]:
    """The scenarios behind these tests, in their order."""
    found = (getattr(getattr(item, "function", None), "scenario", None) for item in items)
    return [scenario for scenario in found if scenario is not None]


def contiguous(items: list[pytest.Item]) -> list[pytest.Item]:
    """The same tests, those that run together in one row: their loop stands still while others run."""
    crowd = [item for item in items if scenarios_of([item])]
    if not crowd:
        return items
    first = items.index(crowd[0])
    before = items[:first]
    after = [item for item in items[first:] if not scenarios_of([item])]
    return [*before, *crowd, *after]


async def crowd_of(
    items: list[pytest.Item], folder: Callable[[str], Path], note: Note
) -> AsyncIterator[Crowd]:
    """The body of the fixture ``crowd``."""
    crowd = Crowd(scenarios_of(items), folder, note)
    try:
        yield crowd
    finally:
        await crowd.end()
