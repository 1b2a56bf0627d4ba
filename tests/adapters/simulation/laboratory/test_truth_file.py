"""The truth of an episode comes back from its files, in equal bytes; nothing is left of what was broken off."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow.parquet as pq
import pytest

from adapters.simulation.laboratory.truth import (
    MAP_BINS,
    BookTruth,
    ClosedBy,
    LiquidationTruth,
    MapTruth,
    PositionsTruth,
)
from adapters.simulation.laboratory.truth_file import FILES, HEADER_KEY, TruthFiles, truth_document
from guard.errors import FileUnusableError
from guard.units import MarketId
from tests.house.support import ROOT

BTC = MarketId("binanceusdm:BTC/USDT:USDT")
LIQUIDATION = LiquidationTruth(
    at_ns=5,
    market=BTC,
    position=7,
    size=-0.5,
    price=101.0,
    bankruptcy_price=100.5,
    leverage=20.0,
    closed_by=ClosedBy.DELEVERAGE,
)
BOOK = BookTruth(
    at_ns=6,
    market=BTC,
    value_price=100.0,
    world_price=101.0,
    mark_price=102.0,
    willingness=0.5,
    maker_equity_ratio=0.9,
    fund_usd=1e6,
    arbitrage_ratio=1.0,
)


def a_map(at: int) -> MapTruth:
    bins = np.arange(MAP_BINS, dtype=np.float64)
    return MapTruth(
        at_ns=at,
        market=BTC,
        mark_price=100.0,
        open_interest=5.0,
        longs_usd=bins,
        shorts_usd=bins * 2.0,
        stops_below_usd=bins * 3.0,
        stops_above_usd=bins * 0.0,
    )


def positions(at: int, count: int) -> PositionsTruth:
    numbers = np.arange(count, dtype=np.int64)
    return PositionsTruth(
        at_ns=at,
        market=BTC,
        position=numbers,
        size=np.where(numbers % 2 == 0, 1.5, -1.5),
        entry_price=np.full(count, 100.0),
        leverage=np.full(count, 10.0),
        is_cross=numbers % 3 == 0,
        margin_usd=np.full(count, 15.0),
        liquidation_price=np.where(numbers % 4 == 0, 0.0, 91.0),
        stop_price=np.where(numbers % 5 == 0, 95.0, 0.0),
        opened_at=numbers - 10,
    )


def write(folder: Path, count: int = 10) -> None:
    folder.mkdir()
    with TruthFiles(folder, {"seed": 3}) as sink:
        sink.book(BOOK)
        for at in range(200):
            sink.map(a_map(at))
        sink.liquidation(LIQUIDATION)
        sink.positions(positions(8, 0))
        sink.positions(positions(9, count))
        sink.positions(positions(10, count))


def rows_of(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return found


def test_what_was_told_comes_back(tmp_path: Path) -> None:
    write(tmp_path / "run")
    (closed,) = rows_of(tmp_path / "run/liquidations.parquet")
    assert closed == {
        "at": 5,
        "market": BTC,
        "position": 7,
        "size": -0.5,
        "price": 101.0,
        "bankruptcy_price": 100.5,
        "leverage": 20.0,
        "closed_by": "deleverage",
    }
    (book,) = rows_of(tmp_path / "run/books.parquet")
    assert (book["value_price"], book["fund_usd"], book["willingness"]) == (100.0, 1e6, 0.5)
    maps = rows_of(tmp_path / "run/map.parquet")
    assert [row["at"] for row in maps] == list(range(200))
    assert maps[-1]["shorts_usd"] == [2.0 * number for number in range(MAP_BINS)]


def test_prices_that_do_not_exist_are_null(tmp_path: Path) -> None:
    write(tmp_path / "run")
    rows = rows_of(tmp_path / "run/positions.parquet")
    assert [(row["at"], row["position"]) for row in rows] == [(at, n) for at in (9, 10) for n in range(10)]
    assert [row["liquidation_price"] for row in rows[:5]] == [None, 91.0, 91.0, 91.0, None]
    assert [row["stop_price"] for row in rows[:6]] == [95.0, None, None, None, None, 95.0]
    assert [row["is_cross"] for row in rows[:4]] == [True, False, False, True]
    assert rows[0]["opened_at"] == -10


def test_many_positions_do_not_wait_for_the_end(tmp_path: Path) -> None:
    write(tmp_path / "run", 100_000)
    file = pq.ParquetFile(tmp_path / "run/positions.parquet")
    assert (file.num_row_groups, file.metadata.num_rows) == (2, 200_000)


def test_equal_truth_gives_equal_bytes_and_says_of_what_it_is(tmp_path: Path) -> None:
    write(tmp_path / "a")
    write(tmp_path / "b")
    for name in FILES:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
        told = pq.read_schema(tmp_path / "a" / name).metadata[HEADER_KEY]
        assert msgspec.json.decode(told) == {"version": 1, "seed": 3}


def test_what_is_broken_off_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        _break_off(tmp_path)
    assert list(tmp_path.iterdir()) == []


def _break_off(folder: Path) -> None:
    with TruthFiles(folder, {}) as sink:
        sink.map(a_map(1))
        raise KeyboardInterrupt


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileUnusableError, match="cannot be written"):
        TruthFiles(tmp_path / "no", {})


def test_the_page_is_up_to_date() -> None:
    """Else: python -m adapters.simulation.laboratory.truth_file > docs/reference/truth-files.md."""
    page = (ROOT / "docs/reference/truth-files.md").read_text()
    assert page == "\n".join(truth_document()).rstrip() + "\n"
