"""The report says what is inside, and what is missed by how much."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from adapters.simulation.worlds.anchors import ANCHORS, FACTS, Anchor, Figure
from adapters.simulation.worlds.report import (
    Row,
    anchor_table,
    cascades,
    depth_table,
    fact_table,
    rows_of,
    verdict,
)
from adapters.simulation.worlds.stylised import DepthRow

ANCHOR = Anchor(
    figure=Figure.FALL_BTC,
    about="fall",
    symbols="BTC",
    unit="ratio",
    low=0.13,
    typical=0.14,
    high=0.15,
    source="somebody",
)


@pytest.mark.parametrize(
    ("values", "missed", "said"),
    [
        ((0.10, 0.12, 0.14, 0.16, 0.18), 0.0, "inside, median in span"),
        ((0.10, 0.11, 0.12, 0.16, 0.18), 0.0, "inside, median outside"),
        ((0.20, 0.22, 0.24, 0.26, 0.28), 0.08, "MISSED by 0.08, median outside"),
        ((0.01, 0.02, 0.03, 0.04, 0.05), -0.10, "MISSED by -0.1, median outside"),
        ((), None, "not measured"),
    ],
)
def test_a_miss_is_told_with_its_size(values: tuple[float, ...], missed: float | None, said: str) -> None:
    row = Row(anchor=ANCHOR, values=values)
    assert row.missed_by == (missed if missed is None else pytest.approx(missed))
    assert row.is_inside is (missed == 0.0)
    assert verdict(row) == said


def test_every_anchor_has_its_row_whether_measured_or_not() -> None:
    rows = rows_of([{Figure.FALL_BTC: 0.14}, {Figure.FALL_BTC: 0.2}, {}])
    assert [row.anchor for row in rows] == list(ANCHORS)
    assert {row.anchor.figure: len(row.values) for row in rows if row.values} == {Figure.FALL_BTC: 2}


def test_tables_name_anchors_facts_and_depths() -> None:
    console = Console(file=io.StringIO(), width=200)
    console.print(anchor_table(rows_of([{Figure.FALL_BTC: 0.3}]), "title"))
    console.print(fact_table({"kurtosis_1min": 20.0, "memory_1": 0.9}))
    console.print(depth_table({(8.0, 12.0): DepthRow(7, 9.5, 0.5)}))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "MISSED by 0.16" in text
    assert "OUTSIDE" in text
    assert "1.75" in text
    assert all(fact.about in text for fact in FACTS)


def test_cascades_are_counted() -> None:
    assert cascades([{Figure.OVERSHOOT_MAX: 0.06}, {Figure.OVERSHOOT_MAX: 0.04}, {}], 0.05) == 1


def test_anchors_and_facts_are_in_order_and_name_who_says_so() -> None:
    for anchor in ANCHORS:
        assert anchor.low <= anchor.typical <= anchor.high
        assert anchor.source
    assert len({anchor.figure for anchor in ANCHORS}) == len(ANCHORS)
    assert all(fact.low < fact.high and fact.source for fact in FACTS)
