"""The examples of docs/how-to/venues.md are settings that are accepted."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from adapters.exchanges import VenueSettings, capabilities_of
from guard.events import Stream

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "venues.md"
EXAMPLES = re.findall(r"```toml\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_is_accepted_as_it_stands(example: str) -> None:
    venues = [VenueSettings.model_validate(table) for table in tomllib.loads(example)["venues"]]

    assert all(venue.symbols or venue.top for venue in venues)
    assert all(capabilities_of(venue).ways.keys() >= {Stream.BOOK, Stream.TRADES} for venue in venues)


def test_every_venue_in_depth_has_an_example() -> None:
    named = {table["id"] for example in EXAMPLES for table in tomllib.loads(example)["venues"]}

    assert named >= {"binanceusdm", "binancecoinm", "bybit", "okx", "hyperliquid"}
