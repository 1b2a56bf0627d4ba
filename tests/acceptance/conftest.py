"""Lets tests that mostly wait run side by side, and says at the end of the run what was measured."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.together import Crowd, Note, contiguous, crowd_of

_FIGURES = pytest.StashKey[dict[str, list[float]]]()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def crowd(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Crowd]:
    """The tests of this run that are marked ``together``."""
    async for crowd in crowd_of(request.session.items, tmp_path_factory.mktemp, _note(request.config)):
        yield crowd


@pytest.fixture
def note(request: pytest.FixtureRequest) -> Note:
    return _note(request.config)


def _note(config: pytest.Config) -> Note:
    empty: dict[str, list[float]] = defaultdict(list)
    figures = config.stash.setdefault(_FIGURES, empty)

    def keep(name: str, value: float) -> None:
        figures[name].append(value)

    return keep


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items[:] = contiguous(items)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    figures = config.stash.get(_FIGURES, {})
    if figures:
        terminalreporter.section("MEASURED")
    for name, values in sorted(figures.items()):
        low, middle, high = min(values), statistics.median(values), max(values)
        terminalreporter.write_line(f"{name}: n={len(values)} {low:.2f} / {middle:.2f} / {high:.2f}")
