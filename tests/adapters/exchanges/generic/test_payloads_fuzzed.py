"""Whatever ccxt hands over, a reader reads it or refuses it: no other exception, no number that is not finite."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from adapters.exchanges.generic import payloads, terms
from guard.errors import MalformedFrameError

CONTRACT = payloads.Contract("BTC/USDT:USDT", 0.001, is_inverse=False)
INVERSE = payloads.Contract("BTC/USD:BTC", 100.0, is_inverse=True)
CONTRACTS = {contract.symbol: contract for contract in (CONTRACT, INVERSE)}

KEYS = (
    "symbol",
    "side",
    "price",
    "amount",
    "remaining",
    "contracts",
    "contractSize",
    "linear",
    "inverse",
    "markPrice",
    "indexPrice",
    "fundingRate",
    "timestamp",
    "bids",
    "asks",
    "nonce",
    "total",
    "USDT",
    "entryPrice",
    "positionMargin",
    "leverage",
    "liquidationPrice",
    "marginMode",
    "hedged",
    "unrealizedPnl",
    "maintenanceMargin",
    "openInterestAmount",
    "openInterestValue",
    "quoteVolume",
    "id",
    "triggerPrice",
    "stopPrice",
    "reduceOnly",
    "minNotional",
    "maintenanceMarginRate",
    "currency",
)
SCALARS = some.one_of(
    some.none(),
    some.booleans(),
    some.integers(-(10**20), 10**20),
    some.floats(),
    some.sampled_from(["buy", "sell", "long", "short", "isolated", "1.5", "", *CONTRACTS]),
)
ROWS = some.dictionaries(some.sampled_from(KEYS), SCALARS, max_size=12)
LEVELS = some.lists(some.lists(SCALARS, max_size=3), max_size=4)
ANYTHING = some.one_of(
    SCALARS,
    ROWS,
    some.lists(some.one_of(ROWS, SCALARS), max_size=4),
    some.fixed_dictionaries({"bids": LEVELS, "asks": LEVELS, "nonce": SCALARS}),
    some.fixed_dictionaries({"total": ROWS}),
    some.dictionaries(some.sampled_from([*CONTRACTS, "X"]), some.one_of(ROWS, some.lists(ROWS, max_size=3))),
)

READERS: dict[str, Callable[[Any], object]] = {
    "contract": lambda told: payloads.contract_of(told, "gate") if isinstance(told, dict) else None,
    "trade": lambda told: payloads.read_trade(told, CONTRACT),
    "mark": lambda told: payloads.read_mark(told, CONTRACT.symbol),
    "open interest": lambda told: payloads.read_open_interest(told, CONTRACT, 50_000.0),
    "liquidation": lambda told: payloads.read_liquidation(told, INVERSE, side_is_orders=True),
    "turnovers": payloads.read_turnovers,
    "positions": lambda told: payloads.read_positions(told, CONTRACTS),
    "totals": lambda told: payloads.read_totals(told, []),
    "orders": lambda told: payloads.read_orders(told, CONTRACTS),
    "tiers": lambda told: terms.read_tiers(told, terms.Counting(deducts=True)),
    # The numbers in its levels are judged by the book itself, as a whole.
    "book": lambda told: payloads.read_book(told, INVERSE).last_id,
}


@pytest.mark.parametrize("reader", READERS)
@given(told=ANYTHING)
def test_a_reader_reads_or_refuses(reader: str, told: Any) -> None:
    try:
        value = READERS[reader](told)
    except MalformedFrameError:
        return
    assert all(map(math.isfinite, numbers_in(value)))


def numbers_in(value: object) -> list[float]:
    if isinstance(value, float):
        return [value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return numbers_in([getattr(value, field.name) for field in dataclasses.fields(value)])
    if isinstance(value, Mapping):
        return numbers_in(list(value.values()))
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [number for each in value for number in numbers_in(each)]
    return []
