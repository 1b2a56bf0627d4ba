"""The pages about files are those that the columns make."""

from __future__ import annotations

from adapters.history.document import event_document, series_document
from adapters.history.event_kinds import ATTRIBUTES, SIDE
from adapters.history.event_schema import COLUMNS, depth_columns, slippage_columns
from tests.house.support import ROOT


def test_the_pages_are_up_to_date() -> None:
    """Else: python -m adapters.history.document events > docs/reference/event-files.md, and series alike."""
    assert (ROOT / "docs/reference/event-files.md").read_text() == event_document()
    assert (ROOT / "docs/reference/series-files.md").read_text() == series_document()


def test_every_column_is_filled_by_some_kind() -> None:
    filled = {"received_at", "exchange_at", "type", "parts", "body"}
    filled |= {column for attributes in ATTRIBUTES.values() for column, _ in attributes}
    for side in ("bid", "ask"):
        filled |= {f"{side}_{attribute}" for attribute in SIDE}
        filled |= {*depth_columns(side), *slippage_columns(side)}
    assert {column.name for column in COLUMNS} == filled
    assert len({column.name for column in COLUMNS}) == len(COLUMNS)
