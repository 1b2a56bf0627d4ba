"""What a replay says of each market second by second, in Parquet: docs/reference/series-files.md tells the columns."""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Struct

from adapters.history.event_schema import EventFileHeader
from adapters.history.outlook_columns import COLUMNS as OUTLOOK_COLUMNS
from adapters.history.outlook_columns import Cell, cells_of
from guard.columns import Column, Kind
from guard.errors import FileUnusableError
from guard.events import DEPTH_BANDS_BPS
from guard.extras import need
from guard.forecasts import MarketOutlook
from guard.tables import RowWriter
from guard.units import MarketId, Nanoseconds

VERSION = 2
"""1 had no outlook."""
HEADER_KEY = b"perpguard.series"


class SeriesHeader(Struct, frozen=True, kw_only=True):
    """What a series says of itself: what was replayed, by which settings; it never names a path or a time of day."""

    version: int = VERSION
    events: EventFileHeader
    settings_digest: str
    every_s: float


class SeriesRow(Struct, frozen=True, kw_only=True):
    """One market at one time, as the columns tell it."""

    at: Nanoseconds
    market: MarketId
    trust: str
    mid_price: float | None
    spread_bps: float | None
    bid_depth_usd: tuple[float | None, ...]
    ask_depth_usd: tuple[float | None, ...]
    bid_depth_ratio: float | None
    ask_depth_ratio: float | None
    baseline_warm: bool
    round_trip_bps_500usd: float | None
    round_trip_extrapolated: bool | None
    mark_price: float | None
    open_interest: float | None
    open_interest_usd: float | None
    liquidated_longs_usd: float
    liquidated_shorts_usd: float
    severity: str | None
    reason: str | None
    entries: str | None
    max_leverage: float | None
    findings_opened: int
    findings_closed: int
    outlook: MarketOutlook | None = None


def _depths(side: str) -> tuple[Column, ...]:
    return tuple(
        Column(
            f"{side}_depth_usd_{bps:g}bps",
            Kind.NUMBER,
            f"notional within {bps:g} bps of mid in the latest sample, USD; null without a usable book",
        )
        for bps in DEPTH_BANDS_BPS
    )


COLUMNS = (
    Column("at", Kind.INTEGER, "what was known then, Unix ns", required=True),
    Column("market", Kind.NAME, "`venue:symbol`, ccxt's names", required=True),
    Column("trust", Kind.NAME, "whether the book may be acted on: `trusted`, or why not", required=True),
    Column("mid_price", Kind.NUMBER, "half-way between best bid and ask, quote per base"),
    Column("spread_bps", Kind.NUMBER, "best ask less best bid, bps of mid"),
    *_depths("bid"),
    *_depths("ask"),
    Column("bid_depth_ratio", Kind.NUMBER, "depth within `baseline.band_bps` over its normal; 1 is normal"),
    Column("ask_depth_ratio", Kind.NUMBER, "as above"),
    Column(
        "baseline_warm", Kind.FLAG, "whether that normal rests on enough data to be acted on", required=True
    ),
    Column("round_trip_bps_500usd", Kind.NUMBER, "cost of buying 500 USD and selling them at once, bps"),
    Column("round_trip_extrapolated", Kind.FLAG, "whether that is read from behind the visible levels"),
    Column("mark_price", Kind.NUMBER, "the latest, quote per base"),
    Column("open_interest", Kind.NUMBER, "the latest, base units"),
    Column("open_interest_usd", Kind.NUMBER, "the latest, USD"),
    Column(
        "liquidated_longs_usd",
        Kind.NUMBER,
        "notional that the venue told since the market's former row; a lower bound where it throttles",
        required=True,
    ),
    Column("liquidated_shorts_usd", Kind.NUMBER, "as above", required=True),
    Column(
        "severity",
        Kind.NAME,
        "worst of what stands about this market, or about all: info, watch, act, critical; null: nothing stands",
    ),
    Column("reason", Kind.NAME, "why that one stands; of equals the first by name"),
    Column(
        "entries",
        Kind.NAME,
        "what a bot that trades this market was told: allowed, reduce_only, halted; null before the first word",
    ),
    Column("max_leverage", Kind.NUMBER, "largest leverage it was told, notional over equity; null: no limit"),
    Column(
        "findings_opened",
        Kind.INTEGER,
        "findings about this market that are new, or worse, since its former row",
        required=True,
    ),
    Column("findings_closed", Kind.INTEGER, "findings about it that ended since then", required=True),
    *OUTLOOK_COLUMNS,
)


def check_replaceable(path: Path) -> None:
    """See to it that a series may be written there.

    Raises:
        FileUnusableError: something else is there.
    """
    if not path.exists():
        return
    try:
        found = need("pyarrow.parquet", extra="lab").read_schema(path).metadata or {}
    except (OSError, ValueError):
        found = {}
    if HEADER_KEY not in found:
        raise FileUnusableError(str(path), "is there, and is no series: give another name for the series")


class SeriesWriter(RowWriter):
    """Writes a series; a context manager that leaves a whole file, or none. Raises as ``RowWriter``."""

    def __init__(self, path: Path, header: SeriesHeader) -> None:
        super().__init__(path, COLUMNS, {HEADER_KEY: msgspec.json.encode(header, order="deterministic")})
        # Rows of a market repeat its outlook until the next one is made.
        self._cells: dict[MarketId, tuple[MarketOutlook | None, tuple[Cell, ...]]] = {}

    def take(self, row: SeriesRow) -> None:
        """Write one row. Raises FileUnusableError."""
        self.write(
            (
                row.at,
                row.market,
                row.trust,
                row.mid_price,
                row.spread_bps,
                *row.bid_depth_usd,
                *row.ask_depth_usd,
                row.bid_depth_ratio,
                row.ask_depth_ratio,
                row.baseline_warm,
                row.round_trip_bps_500usd,
                row.round_trip_extrapolated,
                row.mark_price,
                row.open_interest,
                row.open_interest_usd,
                row.liquidated_longs_usd,
                row.liquidated_shorts_usd,
                row.severity,
                row.reason,
                row.entries,
                row.max_leverage,
                row.findings_opened,
                row.findings_closed,
                *self._outlook_cells(row),
            )
        )

    def _outlook_cells(self, row: SeriesRow) -> tuple[Cell, ...]:
        former = self._cells.get(row.market)
        if former is None or former[0] is not row.outlook:
            former = self._cells[row.market] = row.outlook, cells_of(row.outlook)
        return former[1]
