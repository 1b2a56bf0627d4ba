"""The reference page names every signal, in its unit, and every outside fact that weighs."""

from __future__ import annotations

import re
from pathlib import Path

from guard.signals.outside import SCALES
from guard.signals.signals import Signals
from guard.units import MarketId

PAGE = (Path(__file__).parents[3] / "docs/reference/signals.md").read_text(encoding="utf-8")


def rows(page: str) -> dict[str, str]:
    """The second column of every row of tables, by each name in the first."""
    made: dict[str, str] = {}
    for line in page.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| `"):
            made |= dict.fromkeys(re.findall(r"`(\w+)`", cells[0]), cells[1])
    return made


def test_every_signal_is_in_the_page_and_nothing_else() -> None:
    told = Signals().values(MarketId("v:A/USDT:USDT"), 0)
    names = {value.name for value in told} | {scale.name for scale in SCALES}
    assert set(rows(PAGE)) == names


def test_units_are_those_of_the_page() -> None:
    units = {"0..1": "ratio"}
    page = rows(PAGE)
    for value in Signals().values(MarketId("v:A/USDT:USDT"), 0):
        assert units.get(page[value.name], page[value.name]) == value.unit, value.name


def test_facts_weigh_what_the_page_says() -> None:
    for scale in SCALES:
        assert f"`{scale.name}`" in PAGE
        assert f"+{scale.shift:.2f}" in PAGE
