"""What a soak showed: a table, a verdict for each quantity, and a drawing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.soak.watch import Series

EXCEPTIONS = ("exception", "Traceback (most recent call last)", "was never retrieved", "this is a bug")


@dataclass(frozen=True, slots=True)
class Bound:
    """A quantity is flat if the median of its last quarter is no more above that of its second than this."""

    ratio: float
    absolute: float

    def allows(self, series: Series) -> bool:
        before, after = series.part(0.25, 0.5), series.part(0.75, 1.0)
        return after <= before * (1.0 + self.ratio) + self.absolute


BOUNDS = {
    "RSS": Bound(0.03, 4.0),
    "RSS of a bot": Bound(0.03, 4.0),
    "open files": Bound(0.0, 6.0),
    "threads": Bound(0.0, 2.0),
    "tasks": Bound(0.0, 10.0),
    "events waiting": Bound(0.0, 50.0),
    "tick age": Bound(0.0, 0.5),
}
"""Of what must not grow."""

DATABASE_MB_MAX = 40.0
"""What the settings of the soak allow, 22 MB, and the live database and its log on top: it may saw, not climb."""


@dataclass(frozen=True, slots=True)
class Line:
    """One quantity of the report."""

    name: str
    unit: str
    early: float
    late: float
    largest: float
    per_h: float
    ok: bool | None

    def __str__(self) -> str:
        verdict = {True: "bounded" if self.name == "database" else "flat", False: "GROWS", None: ""}[self.ok]
        unit = f" {self.unit}" if self.unit else ""
        return (
            f"{self.name:16}{self.early:10.2f}{self.late:10.2f}{self.largest:10.2f}"
            f"{self.per_h:+12.2f}{unit + '/h':8}{verdict}"
        )


HEAD = f"{'':16}{'2nd quarter':>10}{'last':>9}{'largest':>10}{'slope':>12}"


def lines_of(series: Iterable[Series]) -> list[Line]:
    """Judge every quantity."""
    return [
        Line(
            each.name,
            each.unit,
            each.part(0.25, 0.5),
            each.part(0.75, 1.0),
            each.largest,
            each.slope_per_h,
            _is_flat(each),
        )
        for each in series
    ]


def _is_flat(series: Series) -> bool | None:
    if series.name == "database":
        return series.largest <= DATABASE_MB_MAX
    return BOUNDS[series.name].allows(series) if series.name in BOUNDS else None


def exceptions_in(path: Path) -> list[str]:
    """Lines of a log that speak of an exception that nobody had foreseen."""
    lines = path.read_text(errors="replace").splitlines()
    return [line for line in lines if any(sign in line for sign in EXCEPTIONS)]


def draw(series: Iterable[Series], path: Path) -> None:
    """Write an SVG with one small chart a quantity, time in minutes."""
    charts = [_chart(each) for each in series if each.points]
    height = 240
    parts = []
    for number, chart in enumerate(charts):
        x, y = (number % 2) * 560, (number // 2) * height
        body = chart.render(is_unicode=True, disable_xml_declaration=True)
        parts.append(body.replace("<svg ", f'<svg x="{x}" y="{y}" width="550" height="{height}" ', 1))
    rows = (len(charts) + 1) // 2
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'width="1120" height="{rows * height}">{"".join(parts)}</svg>\n'
    )


def _chart(series: Series) -> Any:
    # Not above: it puts an importer of the old kind among Python's own, and everyone's imports would warn.
    import pygal
    from pygal.style import CleanStyle

    step = max(len(series.points) // 300, 1)
    chart = pygal.XY(
        title=f"{series.name}{f', {series.unit}' if series.unit else ''} over minutes",
        width=550,
        height=240,
        show_legend=False,
        show_dots=False,
        js=[],
        range=(0, max(series.largest * 1.1, 1.0)),
        style=CleanStyle,
        xrange=(0, series.points[-1][0] / 60.0 or 1.0),
        x_title=None,
        no_prefix=False,
    )
    chart.add(series.name, [(at_s / 60.0, value) for at_s, value in series.points[::step]])
    return chart
