"""Anchors beside what episodes gave: median, quartiles, and what lies inside them or is missed by how much."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from rich.table import Table

from adapters.simulation.worlds.anchors import ANCHORS, DEPTH_BY_Z, FACTS, Anchor, Fact, Figure
from adapters.simulation.worlds.measures import Figures
from adapters.simulation.worlds.stylised import DepthRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One anchor with the figures of all episodes in which it could be measured."""

    anchor: Anchor
    values: tuple[float, ...]

    @property
    def quartiles(self) -> tuple[float, float, float] | None:
        """Lower quartile, median, upper quartile; ``None`` without a value."""
        if not self.values:
            return None
        low, middle, high = np.quantile(self.values, (0.25, 0.5, 0.75))
        return float(low), float(middle), float(high)

    @property
    def is_inside(self) -> bool:
        """Whether the figure that sources name most lies within the quartiles."""
        return self.missed_by == 0.0

    @property
    def missed_by(self) -> float | None:
        """How far the nearer quartile is from what sources name most, signed; 0 inside, ``None`` without a value."""
        found = self.quartiles
        if found is None:
            return None
        low, _, high = found
        typical = self.anchor.typical
        return max(0.0, low - typical) or min(0.0, high - typical)

    @property
    def is_median_within(self) -> bool:
        """Whether the median lies in the span that sources give."""
        found = self.quartiles
        return found is not None and self.anchor.low <= found[1] <= self.anchor.high


def rows_of(episodes: Sequence[Figures], anchors: Iterable[Anchor] = ANCHORS) -> list[Row]:
    """Put the figures of many episodes beside the anchors."""
    return [
        Row(anchor=anchor, values=tuple(one[anchor.figure] for one in episodes if anchor.figure in one))
        for anchor in anchors
    ]


def anchor_table(rows: Sequence[Row], title: str) -> Table:
    """Draw the table of anchors."""
    table = Table(title=title, title_justify="left")
    for heading in ("anchor", "symbols", "published", "median", "quartiles", "n", "verdict"):
        table.add_column(heading, justify="left" if heading in {"anchor", "symbols", "verdict"} else "right")
    for row in rows:
        anchor, found = row.anchor, row.quartiles
        span = f"{figure_text(anchor.low)} .. {figure_text(anchor.typical)} .. {figure_text(anchor.high)}"
        middle = figure_text(found[1]) if found else "-"
        quartiles = f"{figure_text(found[0])} .. {figure_text(found[2])}" if found else "-"
        table.add_row(
            f"{anchor.about} ({anchor.unit})",
            anchor.symbols,
            span,
            middle,
            quartiles,
            str(len(row.values)),
            verdict(row),
        )
    return table


def verdict(row: Row) -> str:
    """Say whether it is inside, and else by how much it is missed."""
    missed = row.missed_by
    if missed is None:
        return "not measured"
    within = "median in span" if row.is_median_within else "median outside"
    return f"inside, {within}" if missed == 0.0 else f"MISSED by {figure_text(missed)}, {within}"


def fact_table(found: Mapping[str, float], facts: Iterable[Fact] = FACTS) -> Table:
    """Draw the table of stylised facts."""
    table = Table(title="stylised facts", title_justify="left")
    for heading in ("fact", "published", "here", "verdict"):
        table.add_column(heading, justify="left" if heading in {"fact", "verdict"} else "right")
    for fact in facts:
        value = found.get(fact.name)
        span = f"{figure_text(fact.low)} .. {figure_text(fact.high)}"
        if value is None:
            table.add_row(fact.about, span, "-", "not measured")
            continue
        inside = fact.low <= value <= fact.high
        table.add_row(fact.about, span, figure_text(value), "inside" if inside else "OUTSIDE")
    return table


def depth_table(rows: Mapping[tuple[float, float], DepthRow]) -> Table:
    """Draw what is left of depth by |z| beside what is published of it."""
    table = Table(title="usual depth over least depth, bars of 5 min", title_justify="left")
    for heading in ("|z|", "published", "here", "bars"):
        table.add_column(heading, justify="right")
    for low, high, published in DEPTH_BY_Z:
        row = rows.get((low, high))
        span = f"{low:g} .. {high:g}" if high < 1e6 else f"{low:g} .."
        here = figure_text(1.0 / row.depth_left) if row else "-"
        table.add_row(span, figure_text(published), here, str(row.count if row else 0))
    return table


def figure_text(value: float) -> str:
    """Write three digits.

    >>> figure_text(0.95), figure_text(1234.5), figure_text(-0.0123)
    ('0.95', '1,234', '-0.0123')
    """
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def cascades(episodes: Sequence[Figures], threshold: float) -> int:
    """Count the episodes in which some market went beyond value by the threshold or more."""
    return sum(one.get(Figure.OVERSHOOT_MAX, 0.0) >= threshold for one in episodes)
