"""A run's figures in the documentation, and what real data show where they are made up to show it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks._skill_page import BEGIN, END, page, put
from benchmarks._skill_real import score_real

RUN = {"made_at": "2026-11-22T16:00:00+00:00", "machine": {"commit": "abc"}}


def figure(case: str, **others: Any) -> dict[str, Any]:
    told = {
        "case": case,
        "value": 0.9,
        "low": 0.8,
        "high": 1.0,
        "better": "higher",
        "target": None,
        "met": None,
    }
    return told | {"baselines": {}, "run": RUN} | others


def test_a_page_shows_the_best_simple_rule_the_oracle_and_what_was_missed() -> None:
    told = page(
        [
            figure(
                "reach: AUC of P(reach >= 5 %) at onsets",
                target=0.93,
                met=False,
                baselines={"speed": 0.7, "OI / depth": 0.8, "oracle": 0.95, "onsets": 50.0, "prototype": 0.9},
                gap={"baseline": "OI / depth", "closed": 0.667, "low": 0.4, "high": 0.9, "why": ""},
            ),
            figure(
                "order level: reach: AUC of P(reach >= 5 %) at onsets",
                baselines={"coarse, same scenarios": 0.91, "oracle": 0.95},
            ),
            figure(
                "hazard: 5 % within 45 min: Brier skill against climatology",
                baselines={"OI / depth": 0.1, "expert flow": 0.5, "oracle": 0.3},
                gap={
                    "baseline": "expert flow",
                    "closed": None,
                    "low": None,
                    "high": None,
                    "why": "no better",
                },
            ),
            figure(
                "decisions, news: fewer liquidated than at constant leverage, capped by x",
                baselines={"liquidated, constant": 5.0, "liquidated, map": 1.0, "positions": 50.0},
            ),
        ],
        "test",
    )
    assert (
        "| 0.9 (0.8 .. 1) | 0.8 (OI / depth) | 0.95 | 67 % (40 .. 90) | 0.9 | >= 0.93, **missed** |" in told
    )
    assert "| 0.1 (OI / depth) | 0.3 | no gap (flow) | - |" in told
    assert "| 0.9 (0.8 .. 1) | 0.91 |" in told
    assert "| news | 10.0 | 2.0 |" in told
    assert "test split" in told


def test_figures_go_between_their_marks_and_nowhere_else() -> None:
    assert put(f"a\n{BEGIN}\nold\n{END}\nb", "new") == f"a\n{BEGIN}\nnew\n{END}\nb"
    with pytest.raises(ValueError, match="has no"):
        put("a page without marks", "new")


def test_real_hours_are_ranked_by_what_was_swept(tmp_path: Path) -> None:
    """Hours in which more was liquidated the farther price went: all three predictions see it, none is perfect."""
    folder = tmp_path / "perp_hourly_2024"
    folder.mkdir()
    generator = np.random.default_rng(4)
    price, rows = 100.0, 24 * 9
    names = ("ohlcv", "open-interest", "liquidation", "long-short-ratio")
    files: dict[str, list[str]] = {name: [] for name in names}
    heads = {
        "ohlcv": "time_utc,open,high,low,close,volume,buy_volume",
        "open-interest": "time_utc,close",
        "liquidation": "time_utc,long,short",
        "long-short-ratio": "time_utc,long_pct",
    }
    for row in range(rows):
        move = float(generator.normal(0.0, 0.01))
        low, high = price * min(1.0, math.exp(move)), price * max(1.0, math.exp(move))
        closed = 2_000.0 * abs(move) * float(generator.uniform(0.7, 1.3))
        price *= math.exp(move)
        at = f"2024-06-{1 + row // 24:02d} {row % 24:02d}:00:00"
        files["ohlcv"].append(f"{at},{price},{high},{low},{price},1000,500")
        files["open-interest"].append(f"{at},50000")
        files["liquidation"].append(f"{at},{closed if move < 0 else 0},{closed if move > 0 else 0}")
        files["long-short-ratio"].append(f"{at},55")
    for name, lines in files.items():
        (folder / f"AUSDT_{name}.csv").write_text("\n".join([heads[name], *lines, ""]), encoding="utf-8")
    results = {result.case: result for result in score_real(1, 10, tmp_path)}
    ranked = results["real, 2024: rank correlation of swept mass with what was liquidated in the hour"]
    assert ranked.value > 0.5
    assert ranked.baselines["|move| x OI"] > 0.9
    assert len(results) == 3
    assert score_real(1, 10, tmp_path / "nowhere") == []
