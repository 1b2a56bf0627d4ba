"""An outage is one line in the log, however many streams and attempts it takes with it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict

from adapters.exchanges.outages import Outages
from guard.events import Stream, StreamFaultKind
from guard.units import MarketId
from tests.support.hand_clock import HandClock

BTC = MarketId("binanceusdm:BTC/USDT:USDT")
MARKETS = [MarketId(f"binanceusdm:{number}/USDT:USDT") for number in range(50)]
AWAY, REFUSED = StreamFaultKind.DISCONNECTED, StreamFaultKind.REFUSED


class Stage:
    """Outages that are flushed once a second, and what they wrote."""

    def __init__(self, written: list[EventDict]) -> None:
        self.clock = HandClock()
        self.outages = Outages(self.clock)
        self.written = written

    async def seconds(self, count: int) -> list[EventDict]:
        """Let time pass; return what was written meanwhile."""
        before = len(self.written)
        for _ in range(count):
            await self.clock.advance(1.0, step_s=1.0)
            self.outages.flush()
        return self.written[before:]


@pytest.fixture
def stage() -> Iterator[Stage]:
    with capture_logs() as written:
        yield Stage(written)


async def test_all_that_goes_together_is_one_line_and_so_is_its_return(stage: Stage) -> None:
    for market in MARKETS:
        for stream in (Stream.BOOK, Stream.TRADES):
            stage.outages.lost((market, stream), AWAY, "closed")
            stage.outages.lost((market, stream), AWAY, "refused by 127.0.0.1")
    (lost,) = await stage.seconds(30)
    for market in MARKETS:
        for stream in (Stream.BOOK, Stream.TRADES):
            stage.outages.back((market, stream))
    (back,) = await stage.seconds(30)

    assert lost["what"] == ["book of 50 markets", "trades of 50 markets"]
    assert lost["detail"] == "refused by 127.0.0.1"
    assert (back["what"], back["away_s"]) == (lost["what"], 31.0)


async def test_what_stays_away_is_called_to_mind_ever_more_seldom(stage: Stage) -> None:
    stage.outages.lost((BTC, Stream.BOOK), AWAY, "closed")
    lines = await stage.seconds(600)
    assert [line.get("away_s") for line in lines] == [None, 61.0, 181.0, 421.0]


async def test_the_first_line_comes_once_it_is_clear_what_is_lost(stage: Stage) -> None:
    stage.outages.lost((BTC, Stream.BOOK), AWAY, "closed")
    stage.outages.flush()
    assert stage.written == []


async def test_a_moment_is_told_as_a_moment(stage: Stage) -> None:
    stage.outages.lost((BTC, Stream.BOOK), AWAY, "update 17 was lost")
    stage.outages.back((BTC, Stream.BOOK))
    (line,) = await stage.seconds(5)
    assert (line["what"], line["detail"]) == ([f"book of {BTC}"], "update 17 was lost")
    assert line["log_level"] == "info"


async def test_a_refusal_is_told_apart_and_as_an_error(stage: Stage) -> None:
    stage.outages.lost((BTC, Stream.BOOK), AWAY, "closed")
    stage.outages.lost((BTC, Stream.ACCOUNT), REFUSED, "make a new key")
    lost, refused = await stage.seconds(5)
    assert (lost["log_level"], lost["detail"]) == ("warning", "closed")
    assert (refused["log_level"], refused["detail"]) == ("error", "make a new key")


async def test_a_second_outage_is_told_again(stage: Stage) -> None:
    for _ in range(2):
        stage.outages.lost((BTC, Stream.BOOK), AWAY, "closed")
        assert len(await stage.seconds(5)) == 1
        stage.outages.back((BTC, Stream.BOOK))
        assert len(await stage.seconds(5)) == 1
