"""What replay says of files that others have written: why less is known than was hoped."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
from msgspec import structs

from adapters.history.event_file import EventFile, EventWriter
from adapters.history.event_schema import EventFileHeader, Origin
from guard.configuration import Settings
from guard.errors import FileUnusableError
from guard.events import (
    AnyEvent,
    BookSide,
    HistoryPoint,
    LiquidationSeen,
    MarketFeatures,
    MarketsWatched,
    OpenInterestHistorySeen,
    Stream,
)
from guard.replay.report import lines_of
from guard.replay.run import Replay
from guard.units import NS_PER_S, MarketId, Nanoseconds, venue_of
from tests.support.builders import at
from tests.support.market import MARKET, even_features

HEADER = EventFileHeader(origin=Origin.SIMULATION, software="somebody's")


def told(path: Path, events: Iterable[AnyEvent]) -> list[str]:
    with EventWriter(path, HEADER) as file:
        for event in events:
            file.write(event)
    report = Replay(Settings(), EventFile(path)).run()
    return [line.removeprefix("note: ") for line in lines_of(report) if line.startswith("note: ")]


def samples(count: int = 60, market: MarketId = MARKET) -> list[MarketFeatures]:
    return [even_features(at(float(second)), market=market) for second in range(count)]


def short(side: BookSide | None) -> BookSide:
    assert side is not None
    return structs.replace(side, curve_usd=side.curve_usd[:-1])


def test_what_was_not_known_for_long_is_told_with_its_share(tmp_path: Path) -> None:
    (only,) = told(tmp_path / "file", samples(400))
    assert only == f"{MARKET}: not known for so much of the time: open interest (100%), map (100%)"


def test_a_book_that_nothing_says_to_be_alive(tmp_path: Path) -> None:
    first, second = told(tmp_path / "file", [structs.replace(each, updates=0) for each in samples()])
    assert "never trusted (no sample says by updates above 0 that it was alive)" in first
    assert "book (100%)" in second


def test_a_venue_that_is_said_to_tell_liquidations_and_tells_none(tmp_path: Path) -> None:
    venue, closed = (
        venue_of(MARKET),
        LiquidationSeen(received_at=at(30.0), market=MARKET, size=1.0, price=100.0, notional_usd=100.0),
    )

    def of_liquidations(*before: AnyEvent, absent: tuple[Stream, ...] = ()) -> list[str]:
        watched = MarketsWatched(received_at=at(0.0), venue=venue, markets=(MARKET,), absent=absent)
        lines = told(tmp_path / "file", [watched, *samples(30), *before])
        return [line for line in lines if line.startswith(f"{venue}: ")]

    (only,) = of_liquidations()
    assert "told no liquidation" in only
    assert of_liquidations(absent=(Stream.LIQUIDATIONS,)) == of_liquidations(closed) == []


def test_times_in_another_unit(tmp_path: Path) -> None:
    shrunk = [
        structs.replace(each, received_at=each.received_at // NS_PER_S, book_at=None) for each in samples(120)
    ]
    assert "received_at is in nanoseconds since 1970" in told(tmp_path / "file", shrunk)[0]


def test_samples_that_no_estimator_can_read(tmp_path: Path) -> None:
    cut = [structs.replace(each, bids=short(each.bids)) for each in samples()]
    assert (
        f"{MARKET}: 60 samples whose curve_usd is not of the 17 distances" in told(tmp_path / "file", cut)[0]
    )
    crossed = [structs.replace(each, bid=each.ask, ask=each.bid) for each in samples()]
    assert "60 samples with status ok whose bid is not below the ask" in told(tmp_path / "file", crossed)[0]


def test_a_market_without_a_venue(tmp_path: Path) -> None:
    assert (
        "SOLUSDT: there is no venue in its name"
        in told(tmp_path / "file", samples(30, MarketId("SOLUSDT")))[0]
    )


def test_a_past_that_is_none(tmp_path: Path) -> None:
    times: list[Nanoseconds] = [at(-600.0), at(-300.0), at(-300.0), at(300.0)]
    past = OpenInterestHistorySeen(
        received_at=at(0.0),
        market=MARKET,
        points=tuple(HistoryPoint(at=each, price=100.0, open_interest=1e4) for each in times),
    )
    repeated, after, *_ = told(tmp_path / "file", [past, *samples()])
    assert after == f"{MARKET}: 1 points of open interest's past that lie after they are told"
    assert "1 points of open interest's past that are not later than the one before" in repeated


def test_a_time_that_is_no_whole_number_is_refused_at_once(tmp_path: Path) -> None:
    with (
        EventWriter(tmp_path / "file", HEADER) as file,
        pytest.raises(FileUnusableError, match=r"event 1 was received at 1\.5: whole nanoseconds"),
    ):
        file.write(structs.replace(samples(1)[0], received_at=1.5))
