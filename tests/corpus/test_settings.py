"""Bad settings: every one is told with its path and what to do, none of them runs, none shows a secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from guard.check import check_settings
from tests.corpus.reading import Case, cases

KEY = "a-key-that-is-long-enough-for-anyone"
SHORT = "short"
PLAIN = "hunter2-in-plain-sight"


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KEY", "PASSWORD"):
        monkeypatch.setenv(f"PERPGUARD_CORPUS_{name}", KEY)
    monkeypatch.setenv("PERPGUARD_CORPUS_SHORT", SHORT)


@pytest.mark.parametrize("case", cases("settings.txt"), ids=str)
def test_bad_settings_are_told_with_their_path(case: Case, tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(case.text)

    checked = check_settings(path)

    told = [f"{where}: {message}" for where, message in checked.problems]
    assert not checked.ok
    assert any(case.where in line and case.words in line for line in told), told
    assert PLAIN not in " ".join(told)
    assert KEY not in " ".join(told)
