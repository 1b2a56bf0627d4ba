"""The lock files are in step with pyproject.toml and hold what the design asks for."""

from __future__ import annotations

import re
from importlib.metadata import version

import pytest
from packaging.version import Version

from tests.house.support import ROOT, program, run

LOCKS = ("requirements.lock", "requirements-dev.lock")
CCXT_MIN = Version("4.5.80")
"""Since 4.5.65 ccxt pins its dependencies; a resolver in conflict falls back to 4.5.64 and says nothing."""


@pytest.mark.parametrize("lock", LOCKS)
def test_the_resolved_ccxt_is_not_a_fallback(lock: str) -> None:
    pinned = re.search(r"^ccxt==([\w.]+)", (ROOT / lock).read_text(), re.MULTILINE)
    assert pinned is not None
    assert Version(pinned[1]) >= CCXT_MIN


def test_the_installed_ccxt_is_not_a_fallback() -> None:
    assert Version(version("ccxt")) >= CCXT_MIN


def test_the_locks_are_in_step() -> None:
    run(program("python"), ROOT / "scripts/lock.py", "--check")


def test_the_smaller_lock_is_a_part_of_the_larger() -> None:
    smaller, larger = (
        set(re.findall(r"^[a-z][\w.-]*==[\w.]+", (ROOT / lock).read_text(), re.MULTILINE))
        for lock in LOCKS[:2]
    )
    assert smaller - larger == set()
