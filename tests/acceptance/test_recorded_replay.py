"""Real recorded frames through the loopback venue and the real ccxt.pro: the book is right at every diff.

The recordings are Binance's own frames. Its ``bookTicker`` says best bid and ask at an update id; where a
depth diff ends at the same id, the book must say the same, in price and in size.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from adapters.simulation import LoopbackVenue, recorded_source
from guard.events import BookStatus, MarketFeatures, StreamFaultKind
from guard.market.book import Book
from guard.units import MarketId
from tests.support.eventually import eventually
from tests.support.exchange_feeds import feeds_for, running, settings_for

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "binance_ws"

SPEED = 30.0
"""The longest recording, 5.7 min, takes 12 s."""

Touch = tuple[float, float, float, float]
"""Best bid, its size, best ask, its size."""


@dataclass
class Recording:
    """What the file itself says."""

    snapshot_id: int = 0
    diffs: list[int] = field(default_factory=list)
    tickers: dict[int, Touch] = field(default_factory=dict)


def read(path: Path) -> Recording:
    recording = Recording()
    for message in _messages(path):
        data = message.get("data", message)
        match data.get("e"):
            case "depthUpdate":
                recording.diffs.append(data["u"])
            case "bookTicker":
                recording.tickers[data["u"]] = tuple(float(data[key]) for key in "bBaA")  # type: ignore[assignment]
            case None if "lastUpdateId" in data:
                recording.snapshot_id = data["lastUpdateId"]
    return recording


def unpacked(path: Path, folder: Path) -> Path:
    """A plain copy, up to where the file ends early, so that nothing of the replay depends on gzip."""
    copy = folder / path.name.removesuffix(".gz")
    with gzip.open(path, "rb") as packed, copy.open("wb") as plain:
        try:
            for line in packed:
                plain.write(line)
        except EOFError:
            pass
    return copy


def _messages(path: Path) -> Iterator[dict[str, Any]]:
    with path.open() as lines:
        for line in lines:
            yield json.loads(line.partition(" ")[2])


@dataclass
class Comparison:
    """What the feed's books said beside what the recording says."""

    recording: Recording
    seen: list[int] = field(default_factory=list)
    compared: int = 0
    different: list[str] = field(default_factory=list)

    def __call__(self, market: MarketId, update_id: int, book: Book) -> None:
        self.seen.append(update_id)
        expected = self.recording.tickers.get(update_id)
        if expected is None:
            return
        self.compared += 1
        bid, ask = book.best_bid(), book.best_ask()
        assert bid is not None
        assert ask is not None
        if (*bid, *ask) != expected:
            self.different.append(f"at {update_id}: book {(*bid, *ask)}, bookTicker {expected}")


@pytest.mark.timeout(150)
@pytest.mark.parametrize(
    ("name", "symbol", "compared_min"),
    [
        ("usdm_btcusdt_20240808.gz", "BTC/USDT:USDT", 600),
        ("usdm_btcusdt_20230404.dat.gz", "BTC/USDT:USDT", 300),
        ("usdm_ethusdt_20240718.gz", "ETH/USDT:USDT", 270),
    ],
)
async def test_every_diff_of_a_recording_is_applied_and_the_book_is_right(
    name: str, symbol: str, compared_min: int, tmp_path: Path
) -> None:
    if not (DATA / name).exists():
        pytest.skip(f"recorded market data is not there: {DATA / name}")
    path = unpacked(DATA / name, tmp_path)
    recording = read(path)
    comparison = Comparison(recording)
    expected = [last_id for last_id in recording.diffs if last_id >= recording.snapshot_id]
    async with LoopbackVenue(recorded_source(path), speed=SPEED, hold=True) as venue:
        feed, _ = feeds_for(settings_for(venue.ccxt_urls(), symbol), observer=comparison)
        async with running([feed]) as events:
            await events.until(MarketFeatures, lambda features: features.status is BookStatus.OK)
            venue.begin()
            await eventually(
                lambda: len(comparison.seen) >= len(expected), within_s=80.0, what=str(feed.counters)
            )

    assert comparison.seen == expected
    assert events.faults(StreamFaultKind.SEQUENCE_GAP, StreamFaultKind.MALFORMED) == []
    assert events.faults(StreamFaultKind.DISCONNECTED) == []
    assert comparison.different == []
    assert comparison.compared >= compared_min
    assert all(features.status is BookStatus.OK for features in events.of(MarketFeatures))
    counters = feed.counters[MarketId(f"binanceusdm:{symbol}")]
    assert counters.applied == len(expected)
    assert counters.stale == len(recording.diffs) - len(expected)
