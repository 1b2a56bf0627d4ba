"""Puts a run's figures into the documentation: ``python -m benchmarks._skill_page OUT.json PAGE.md SPLIT``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"

FITTED = "full, at the rates it was fitted on"
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
    (f"reach, {FITTED}: AUC", "the same at the rates of made-up markets"),
    ("hazard: 5 % within 45 min: Brier skill against climatology", "hazard of 5 % in 45 min: Brier skill"),
    (f"hazard: 5 % within 45 min, {FITTED}: Brier skill", "the same at the rates of made-up markets"),
    ("hazard: 5 % within 45 min: reliability error", "hazard: reliability error"),
    (f"hazard: 5 % within 45 min, {FITTED}: reliability", "the same at the rates of made-up markets"),
    ("alarms by", "alarms: events found, at 1 false alarm a market and day"),
    *(
        (f"alarms by {score}: found", "alarms: found a minute before or more")
        for score in ("P(5 %) in 5 min", "P(5 %) in 15 min", "P(5 %) in 45 min", "P(2 %) in 5 min")
    ),
    ("decisions: fewer liquidated than at constant leverage", "liquidated less than at constant leverage"),
    ("cost: all estimators", "cost of a refresh of one market, ms"),
)
DECISIONS, FEWER = "decisions", "fewer liquidated than at constant leverage"
ORDER, COARSE = "order level: ", "coarse, same scenarios"
NOT_SIMPLE = {
    "oracle", "prototype", "onsets", "came", "events", "precision", "market days", "structure",
    "false a market and day", "positions", "leverage", "hours",
}  # fmt: skip


def page(figures: Sequence[Mapping[str, Any]], split: str) -> str:
    """The figures as a table, that of the decision test by world, and what order by order changes."""
    run = figures[0]["run"]
    lines = [
        f"Measured on the {split} split on {run['made_at'][:10]}, commit {run['machine']['commit']}; in brackets",
        "where 95 of 100 bootstraps of whole episodes lie. *Gap closed*: how much of the way from the best rule that",
        "needs no map to the oracle the guard has gone (the aim: 70 %); *no gap*: the oracle does no better than that",
        "rule, which is named. The prototype was judged in other made-up markets.",
        "",
        "| | guard | simple rules, the best | oracle | gap closed | prototype | target |",
        "|---|---|---|---|---|---|---|",
    ]
    for begin, label in SHOWN:
        found = next((each for each in figures if each["case"].startswith(begin)), None)
        if found is not None:
            lines.append(_row(label, found))
    return "\n".join([*lines, *_decisions(figures), *_order_level(figures)])


def _decisions(figures: Sequence[Mapping[str, Any]]) -> list[str]:
    worlds = [each for each in figures if each["case"].startswith(DECISIONS) and FEWER in each["case"]]
    if not worlds:
        return []
    names = [name for name in worlds[0]["baselines"] if name.startswith("liquidated, ")]
    titles = [name.removeprefix("liquidated, ") for name in names]
    lines = [
        "",
        "Of 100 positions at 5x on the mean so many were liquidated:",
        "",
        "| world | " + " | ".join(titles) + " |",
        "|---" * (len(names) + 1) + "|",
    ]
    for each in worlds:
        where = each["case"].partition(":")[0].removeprefix(DECISIONS).strip(", ") or "all"
        count = each["baselines"].get("positions", 1.0)
        told = [f"{100.0 * each['baselines'].get(name, 0.0) / count:.1f}" for name in names]
        lines.append(f"| {where} | " + " | ".join(told) + " |")
    return lines


def _order_level(figures: Sequence[Mapping[str, Any]]) -> list[str]:
    """Whether made-up markets in steps of 5 s flatter."""
    found = [each for each in figures if each["case"].startswith(ORDER)]
    labels = [(begin, label) for begin, label in SHOWN if not begin.startswith("cost")]
    rows = [
        f"| {label} | {_spread(each)} | {_number(each['baselines'].get(COARSE))} |"
        for begin, label in labels
        for each in found
        if each["case"].removeprefix(ORDER).startswith(begin)
        and (begin != "alarms by" or "recall" in each["case"])
    ]
    if not rows:
        return []
    return [
        "",
        "These episodes are played in steps of 5 s. A few others, played order by order:",
        "",
        "| | order by order | in steps, same scenarios |",
        "|---|---|---|",
        *rows,
    ]


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
        if name not in NOT_SIMPLE and not name.startswith(("score", "expert", "liquidated, "))
    }
    best = "-"
    if simple and "over true" in label:
        name = min(simple, key=lambda each: abs(simple[each] - 1.0))
        best = f"{simple[name]:.3g} ({name})"
    elif simple:
        name = (min if found["better"] == "lower" else max)(simple, key=lambda each: simple[each])
        best = f"{simple[name]:.3g} ({name})"
    target = (
        ""
        if found.get("target") is None
        else f"{'<=' if found['better'] == 'lower' else '>='} {found['target']:g}"
    )
    met = "" if found.get("met") is None else (", met" if found["met"] else ", **missed**")
    others = found["baselines"]
    return (
        f"| {label} | {_spread(found)} | {best} | {_number(others.get('oracle'))} | {_gap(found.get('gap'))} | "
        f"{_number(others.get('prototype'))} | {target}{met} |"
    )


def _spread(found: Mapping[str, Any]) -> str:
    return f"{found['value']:.3g} ({found['low']:.3g} .. {found['high']:.3g})"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def _gap(gap: Mapping[str, Any] | None) -> str:
    """Of the way from the baseline; which one it was is said where it is not the best of the column before."""
    if gap is None:
        return "-"
    if gap["closed"] is None:
        return f"no gap ({gap['baseline'].removeprefix('expert ')})"
    told = f"{100.0 * gap['closed']:.0f} %"
    if gap["low"] is None:
        return f"{told}, unsure ({gap['baseline'].removeprefix('expert ')})"
    return f"{told} ({100.0 * gap['low']:.0f} .. {100.0 * gap['high']:.0f})"


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
