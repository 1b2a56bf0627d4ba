"""What a run says at its end about liquidation cases: how many of which kind, and how far we were from each."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.guard.liquidation.cases import Label, load

ERRORS = "liquidation error bps"
"""Name under which a test records how far a price was from the expected one."""


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print cases by venue and label, and the errors of those that ran."""
    measured: dict[tuple[str, str], list[float]] = {}
    for report in terminalreporter.stats.get("passed", []) + terminalreporter.stats.get("failed", []):
        for name, value in getattr(report, "user_properties", ()):
            if name == ERRORS:
                venue, label, error_bps = value
                measured.setdefault((venue, label), []).append(error_bps)
    if not measured:
        return
    terminalreporter.section("liquidation prices against their sources")
    terminalreporter.write_line(
        f"{'venue':<14}{'label':<14}{'cases':>6}{'prices':>8}{'worst, bps of price':>22}"
    )
    counts: Counter[str] = Counter()
    for venue, cases in load().items():
        for label in Label:
            number = sum(case.label is label for case in cases)
            if not number:
                continue
            counts[label] += number
            errors = measured.get((venue, label.value), [])
            worst = f"{max(errors):.4f}" if errors else "not run"
            terminalreporter.write_line(f"{venue:<14}{label:<14}{number:>6}{len(errors):>8}{worst:>22}")
    total = ", ".join(f"{counts[label]} {label}" for label in Label)
    errors = sorted(
        error for (_, label), found in measured.items() if label != Label.DERIVED.value for error in found
    )
    p99 = errors[min(len(errors) - 1, int(0.99 * len(errors)))]
    terminalreporter.write_line(
        f"{total}; p99 of {len(errors)} prices that count {p99:.4f} bps, worst {errors[-1]:.4f} bps"
    )
