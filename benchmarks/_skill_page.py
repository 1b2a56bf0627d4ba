"""Puts a run's figures into the documentation: ``python -m benchmarks._skill_page OUT.json PAGE.md SPLIT``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"

SHOWN = (
    ("map, calm: estimated over true mass within 5 %", "mass within 5 %, estimated over true"),
    ("map, calm: estimated over true mass within 10 %", "mass within 10 %, estimated over true"),
    ("map, calm: log-sd of that ratio within 5 %", "spread of that at 5 % (log-sd)"),
    ("map, calm: distance of shapes within 10 % (W1)", "how far the shapes are apart, bps"),
    ("map, calm: greatest three peaks found within 75 bps", "true peaks found within 75 bps"),
    ("reach: share within the 80 % band", "reach: falls that ended within the 80 % band"),
    ("reach: mean width of the 80 % band", "reach: width of that band, points"),
    ("reach: AUC of P(reach >= 5 %) at onsets", "reach: told the bad falls from the others (AUC)"),
    ("reach: AUC in the worst world", "the same in the worst world"),
    ("hazard: 5 % within 45 min: Brier skill against climatology", "hazard of 5 % in 45 min: Brier skill"),
    ("hazard: 5 % within 45 min: reliability error", "hazard: reliability error"),
    ("alarms by", "alarms: events found, at 1 false alarm a market and day"),
    ("cost: all estimators", "cost of a refresh of one market, ms"),
)
DECISIONS, FEWER = "decisions", "fewer liquidated than at constant leverage"
NOT_SIMPLE = {
    "oracle", "prototype", "gap closed", "onsets", "came", "events", "precision", "market days",
    "false a market and day", "positions", "leverage", "hours",
}  # fmt: skip


def page(figures: Sequence[Mapping[str, Any]], split: str) -> str:
    """The figures as a table, and that of the decision test by world."""
    run = figures[0]["run"]
    lines = [
        f"Measured on the {split} split on {run['made_at'][:10]}, commit {run['machine']['commit']}; in brackets",
        "where 95 of 100 bootstraps of whole episodes lie.",
        "",
        "| | guard | simple rules, the best | oracle | target |",
        "|---|---|---|---|---|",
    ]
    for begin, label in SHOWN:
        found = next((each for each in figures if each["case"].startswith(begin)), None)
        if found is not None:
            lines.append(_row(label, found))
    worlds = [each for each in figures if each["case"].startswith(DECISIONS) and FEWER in each["case"]]
    if worlds:
        lines += ["", "Of 100 positions at 5x on the mean so many were liquidated:", ""]
        names = [name for name in worlds[0]["baselines"] if name.startswith("liquidated, ")]
        titles = [name.removeprefix("liquidated, ") for name in names]
        lines += ["| world | " + " | ".join(titles) + " |", "|---" * (len(names) + 1) + "|"]
        for each in worlds:
            where = each["case"].partition(":")[0].removeprefix(DECISIONS).strip(", ") or "all"
            count = each["baselines"].get("positions", 1.0)
            told = [f"{100.0 * each['baselines'].get(name, 0.0) / count:.1f}" for name in names]
            lines.append(f"| {where} | " + " | ".join(told) + " |")
    return "\n".join(lines)


def put(text: str, figures: str) -> str:
    """Replace what stands between the marks; ValueError where there are none."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{figures}\n{END}{after}"


def _row(label: str, found: Mapping[str, Any]) -> str:
    simple = {
        name: value
        for name, value in found["baselines"].items()
        if name not in NOT_SIMPLE and not name.startswith(("score", "expert"))
    }
    best = "-"
    if simple and "over true" in label:
        name = min(simple, key=lambda each: abs(simple[each] - 1.0))
        best = f"{simple[name]:.3g} ({name})"
    elif simple:
        name = (min if found["better"] == "lower" else max)(simple, key=lambda each: simple[each])
        best = f"{simple[name]:.3g} ({name})"
    oracle = found["baselines"].get("oracle")
    target = (
        ""
        if found.get("target") is None
        else f"{'<=' if found['better'] == 'lower' else '>='} {found['target']:g}"
    )
    met = "" if found.get("met") is None else (", met" if found["met"] else ", **missed**")
    return (
        f"| {label} | {found['value']:.3g} ({found['low']:.3g} .. {found['high']:.3g}) | {best} | "
        f"{'-' if oracle is None else f'{oracle:.3g}'} | {target}{met} |"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Read a run, write the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks._skill_page")
    parser.add_argument("json", type=Path)
    parser.add_argument("page", type=Path)
    parser.add_argument("split")
    given = parser.parse_args(arguments)
    figures = json.loads(given.json.read_bytes())
    text = given.page.read_text(encoding="utf-8")
    given.page.write_text(put(text, page(figures, given.split)), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
