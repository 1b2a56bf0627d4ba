"""Lets tests that mostly wait run side by side, and says at the end of the run what was measured."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.together import Crowd, contiguous, crowd_of

_FIGURES = pytest.StashKey[dict[str, list[float]]]()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def crowd(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Crowd]:
    """The tests of this run that are marked ``together``."""
    empty: dict[str, list[float]] = defaultdict(list)
    figures = request.config.stash.setdefault(_FIGURES, empty)

    def note(name: str, seconds: float) -> None:
        figures[name].append(seconds)

    async for crowd in crowd_of(request.session.items, tmp_path_factory.mktemp, note):
        yield crowd


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items[:] = contiguous(items)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    figures = config.stash.get(_FIGURES, {})
    if figures:
        terminalreporter.section("MEASURED")
    for name, seconds in sorted(figures.items()):
        low, middle, high = min(seconds), statistics.median(seconds), max(seconds)
        terminalreporter.write_line(f"{name}: n={len(seconds)} {low:.2f} / {middle:.2f} / {high:.2f} s")
