"""What acceptance tests measure is said at the end of the run: name, how often, smallest, middle, largest."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Callable

import pytest

Note = Callable[[str, float], None]
"""Notes one measurement, seconds."""

_FIGURES = pytest.StashKey[dict[str, list[float]]]()


@pytest.fixture
def note(request: pytest.FixtureRequest) -> Note:
    empty: dict[str, list[float]] = defaultdict(list)
    figures = request.config.stash.setdefault(_FIGURES, empty)

    def keep(name: str, seconds: float) -> None:
        figures[name].append(seconds)

    return keep


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    figures = config.stash.get(_FIGURES, {})
    if figures:
        terminalreporter.section("MEASURED")
    for name, seconds in sorted(figures.items()):
        low, middle, high = min(seconds), statistics.median(seconds), max(seconds)
        terminalreporter.write_line(f"{name}: n={len(seconds)} {low:.2f} / {middle:.2f} / {high:.2f} s")
