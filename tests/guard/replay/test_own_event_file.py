"""The example of docs/how-to/write-your-own-event-file.md, word for word: it is written, replayed and scored."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from guard.cli import cli

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "write-your-own-event-file.md"
WRITES, READS = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)


def test_the_page_runs_as_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("my_market.py").write_text(WRITES)
    Path("read.py").write_text(READS)
    commands = re.findall(r"^\$ (.*)$", PAGE.read_text(), flags=re.MULTILINE)
    assert commands[:2] == ["python my_market.py events.parquet", "touch settings.toml"]
    monkeypatch.setattr(sys, "argv", ["my_market.py", "events.parquet"])
    runpy.run_path("my_market.py", run_name="__main__")
    Path("settings.toml").touch()

    program, *arguments = commands[2].split()
    assert program == "perpguard"
    done = CliRunner().invoke(cli, arguments)

    assert done.exit_code == 0, done.output
    assert "note:" not in done.stdout, "the example leaves nothing out"
    rows = pq.read_table("series.parquet").to_pylist()
    assert rows[-1]["outlook_unknown"] == ""
    assert all(
        rows[-1][name] is not None for name in ("down_map_usd_5pct", "down_reach_q50", "down_reproduction")
    )
    assert {"normal", "cascade"} <= {row["regime"] for row in rows}
    calm, crash = rows[len(rows) // 2], max(rows, key=lambda row: row["down_hazard_5pct_15min"] or 0.0)
    assert crash["down_reach_p_5pct"] > calm["down_reach_p_5pct"]
    runpy.run_path("read.py", run_name="__main__")
    assert re.search(r"Brier score of \d\d hazards: 0\.\d{3}", capsys.readouterr().out)
