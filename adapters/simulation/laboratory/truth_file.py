"""The truth of a made-up market in Parquet files, as it comes: what no guard may see, for whoever judges guards.

``docs/reference/truth-files.md`` tells the columns; ``python -m adapters.simulation.laboratory.truth_file`` makes it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
import numpy as np

from adapters.simulation.laboratory.truth import (
    MAP_BIN_LOG,
    MAP_BINS,
    BookTruth,
    LiquidationTruth,
    MapTruth,
    PositionsTruth,
)
from guard.columns import Column, Kind, document
from guard.tables import RowWriter

VERSION = 1
HEADER_KEY = b"perpguard.truth"
MAP_ROWS_MAX = 128
"""Four lists of 1,000 numbers in a row: 4 MB."""
POSITIONS_ROWS_MAX = 100_000
"""So many wait until they are written: 8 MB."""

_AT = Column("at", Kind.INTEGER, "Unix ns", required=True)
_MARKET = Column("market", Kind.NAME, "`venue:symbol`, ccxt's names", required=True)


def _number(name: str, meaning: str, *, required: bool = True) -> Column:
    return Column(name, Kind.NUMBER, meaning, required=required)


def _bins(name: str, meaning: str) -> Column:
    return Column(name, Kind.NUMBERS, meaning, required=True, width=MAP_BINS)


LIQUIDATIONS = (
    _AT,
    _MARKET,
    Column("position", Kind.INTEGER, "its number in `positions.parquet`", required=True),
    _number("size", "base units, positive where a long was closed"),
    _number("price", "average of what was got; the bankruptcy price where no book took it"),
    _number("bankruptcy_price", "at which nothing of its margin is left"),
    _number("leverage", "as its owner chose it"),
    Column("closed_by", Kind.NAME, "who took it: book, insurance, deleverage", required=True),
)
MAP = (
    _AT,
    _MARKET,
    _number("mark_price", "quote per base"),
    _number("open_interest", "base units, both sides counted once"),
    _bins(
        "longs_usd",
        f"element j: notional at mark of longs that are liquidated when the mark falls by j to j + 1 times "
        f"{MAP_BIN_LOG:g} in its logarithm; the last one holds what is farther",
    ),
    _bins("shorts_usd", "alike, of shorts when it rises"),
    _bins("stops_below_usd", "alike, stop orders that a fall triggers, of longs; no book shows them"),
    _bins("stops_above_usd", "alike, those of shorts that a rise triggers"),
)
POSITIONS = (
    _AT,
    _MARKET,
    Column("position", Kind.INTEGER, "its number, which it keeps", required=True),
    _number("size", "base units, positive for a long"),
    _number("entry_price", "quote per base"),
    _number("leverage", "as chosen; 0 for hedged holders"),
    Column("is_cross", Kind.FLAG, "whether all of its owner's money stands behind it", required=True),
    _number("margin_usd", "what stands behind it, without its unrealised profit"),
    _number("liquidation_price", "mark at which it is liquidated; null: no price does", required=False),
    _number("stop_price", "of its stop order; null: none", required=False),
    Column("opened_at", Kind.INTEGER, "Unix ns", required=True),
)
BOOKS = (
    _AT,
    _MARKET,
    _number("value_price", "what it is worth to those who know: follows no trade"),
    _number("world_price", "of all other markets of the symbol together"),
    _number("mark_price", "quote per base"),
    _number("willingness", "share of their usual that makers are willing to rest, mean by share, 0..1"),
    _number("maker_equity_ratio", "what makers have left of their capital"),
    _number("fund_usd", "left in the insurance fund"),
    _number("arbitrage_ratio", "of arbitrage's usual strength"),
)
FILES: Mapping[str, tuple[Column, ...]] = {
    "liquidations.parquet": LIQUIDATIONS,
    "map.parquet": MAP,
    "positions.parquet": POSITIONS,
    "books.parquet": BOOKS,
}


class TruthFiles:
    """A ``TruthSink`` that writes into a folder; a context manager that leaves all files whole, or none of its own.

    Memory is bounded by one row group of each file. Equal truth gives equal bytes, with the same version of pyarrow.

    Args:
        folder: it is there; files of these names are replaced.
        about: what the files say of themselves, as JSON.

    Raises:
        ExtraMissingError: pyarrow is not installed.
        FileUnusableError: a file cannot be written.
    """

    def __init__(self, folder: Path, about: Mapping[str, Any]) -> None:
        told = {HEADER_KEY: msgspec.json.encode({"version": VERSION, **about}, order="deterministic")}
        self._stack = ExitStack()
        with ExitStack() as opening:
            self._liquidations, self._map, self._positions, self._books = (
                opening.enter_context(RowWriter(folder / name, columns, told, **limits))
                for (name, columns), limits in zip(
                    FILES.items(), ({}, {"rows_max": MAP_ROWS_MAX}, {}, {}), strict=True
                )
            )
            self._stack = opening.pop_all()
        self._waiting: list[PositionsTruth] = []

    def liquidation(self, truth: LiquidationTruth) -> None:
        """Write a liquidation. Raises FileUnusableError, as all that write."""
        self._liquidations.write(
            (
                truth.at_ns,
                truth.market,
                truth.position,
                truth.size,
                truth.price,
                truth.bankruptcy_price,
                truth.leverage,
                truth.closed_by.value,
            )
        )

    def map(self, truth: MapTruth) -> None:
        """Write a map."""
        self._map.write(
            (
                truth.at_ns,
                truth.market,
                truth.mark_price,
                truth.open_interest,
                truth.longs_usd,
                truth.shorts_usd,
                truth.stops_below_usd,
                truth.stops_above_usd,
            )
        )

    def positions(self, truth: PositionsTruth) -> None:
        """Write all positions of a book."""
        self._waiting.append(truth)
        if sum(each.position.size for each in self._waiting) >= POSITIONS_ROWS_MAX:
            self._write_positions()

    def book(self, truth: BookTruth) -> None:
        """Write the state behind a book."""
        self._books.write(
            (
                truth.at_ns,
                truth.market,
                truth.value_price,
                truth.world_price,
                truth.mark_price,
                truth.willingness,
                truth.maker_equity_ratio,
                truth.fund_usd,
                truth.arbitrage_ratio,
            )
        )

    def _write_positions(self) -> None:
        waiting, self._waiting = [each for each in self._waiting if each.position.size], []
        if not waiting:
            return
        sizes = [each.position.size for each in waiting]
        self._positions.write_columns(
            np.repeat([each.at_ns for each in waiting], sizes),
            [name for each, size in zip(waiting, sizes, strict=True) for name in [each.market] * size],
            *(
                np.concatenate([getattr(each, name) for each in waiting])
                for name in ("position", "size", "entry_price", "leverage", "is_cross", "margin_usd")
            ),
            *(
                np.ma.masked_equal(np.concatenate([getattr(each, name) for each in waiting]), 0.0)
                for name in ("liquidation_price", "stop_price")
            ),
            np.concatenate([each.opened_at for each in waiting]),
        )

    def __enter__(self) -> Self:
        """The sink itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Make all files whole, or leave none of them if anything was raised."""
        if kind is not None:
            self._stack.__exit__(kind, error, trace)
            return
        with self._stack:
            self._write_positions()


ABOUT = """\
# Truth files

<!-- Made by `python -m adapters.simulation.laboratory.truth_file > docs/reference/truth-files.md`; a test compares. -->

What `perpguard simulate` writes beside the events: what is true of the made-up market and no venue tells. It is for
judging guards, maps and forecasts afterwards; nothing that decides may read it, and no part of the guard can. Parquet
files (zstd, a checksum on each page); equal episodes give equal bytes, with the same version of pyarrow. Under
`perpguard.truth` their metadata hold world, scenario, seed and the hash of the worlds, as JSON.
"""

OFTEN = {
    "liquidations.parquet": "One row for each position that the venue closed, when it was done with it and each second "
    "until then; what the book, the fund and others who had to close took of it apart.",
    "map.parquet": "One row for each market every `truth_s` of the episode (a minute): everyone's liquidation prices.",
    "positions.parquet": "Every position of each market every `positions_s` (an hour).",
    "books.parquet": "One row for each market every `truth_s`: who stands behind its book.",
}


def truth_document() -> Iterator[str]:
    """Yield the lines of the page that describes the files."""
    yield ABOUT
    for name, columns in FILES.items():
        yield f"## `{name}`\n\n{OFTEN[name]}\n"
        yield from document(columns)
        yield ""


if __name__ == "__main__":
    sys.stdout.write("\n".join(truth_document()).rstrip() + "\n")
