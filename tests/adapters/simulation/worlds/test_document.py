"""The page says what is declared."""

from __future__ import annotations

from pathlib import Path

from adapters.simulation.worlds.anchors import ANCHORS
from adapters.simulation.worlds.document import worlds_document
from adapters.simulation.worlds.scenarios import SCENARIOS
from adapters.simulation.worlds.tag import tag
from adapters.simulation.worlds.variants import WORLDS

PAGE = Path(__file__).parents[4] / "docs/reference/laboratory-worlds.md"


def test_the_page_is_what_the_declarations_give() -> None:
    assert PAGE.read_text() == worlds_document(), (
        "run: python -m adapters.simulation.worlds.document > docs/reference/laboratory-worlds.md"
    )


def test_the_page_names_all() -> None:
    page = worlds_document()
    assert tag() in page
    assert all(f"### `{name}`" in page for name in (*WORLDS, *SCENARIOS))
    assert all(anchor.source in page for anchor in ANCHORS)
