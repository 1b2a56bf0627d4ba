"""The fixtures of OKX and Hyperliquid against a third opinion, in the words of the venues' own pages."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.guard.liquidation.independent_okx_hyperliquid import Case, hyperliquid_price, okx_price

FIXTURES = Path(__file__).parent / "fixtures"
PRICE = {"okx": okx_price, "hyperliquid": hyperliquid_price}
CASES = [
    pytest.param(venue, case, id=f"{venue}-{case['id']}")
    for venue in PRICE
    for case in json.loads((FIXTURES / f"{venue}.json").read_text(encoding="utf-8"))
]
SAME = 1e-11
"""Of a price; what the files of worked-out cases print is fourteen digits."""


@pytest.mark.parametrize(("venue", "case"), CASES)
def test_liquidation_prices_are_those_of_the_venue_s_own_words(venue: str, case: Case) -> None:
    """A third derivation finds what the file expects, be it a response of the venue or worked out."""
    rounding = float(case.get("rounding", 0.0))
    for expected in case["expected"]:
        found = PRICE[venue](case, expected["market"])
        if expected["price"] is None:
            assert found is None
        else:
            assert found is not None
            price = float(expected["price"])
            assert abs(float(found) - price) <= rounding + SAME * price
