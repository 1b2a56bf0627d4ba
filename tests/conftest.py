"""Fixtures that every test may ask for, and what a run says at its end about tests that could not run."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.support.brokers import mosquitto_broker, nats_broker

__all__ = ["mosquitto_broker", "nats_broker", "shared_data"]

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
LOUD = ("MISSING PROGRAM", "MISSING DATA")
"""How the reason of a skip begins that nobody may overlook; ``.ci/run`` fails on the first of them."""

MARKERS = (
    "slow: takes seconds; left out with -m 'not slow' while working, never in make test",
    "installs: builds or installs packages, so it needs the network",
    "acceptance: the whole program from outside, real processes; takes seconds each",
)


def pytest_configure(config: pytest.Config) -> None:
    for marker in MARKERS:
        config.addinivalue_line("markers", marker)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of recorded market data beside the repository; the test skips loudly without it."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"MISSING DATA: recorded market data, looked for in {SHARED_DATA}")
    return SHARED_DATA


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say last, and once each, what was not tested for want of a program or of data."""
    missing: Counter[str] = Counter()
    for report in terminalreporter.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        reason = reason.removeprefix("Skipped: ")
        if reason.startswith(LOUD):
            missing[reason] += 1
    if missing:
        terminalreporter.section("NOT TESTED", red=True, bold=True)
        for reason, tests in missing.most_common():
            terminalreporter.write_line(f"{reason} ({tests} tests skipped)", red=True)
