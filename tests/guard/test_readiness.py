"""When the guard has seen everything that it is to watch, and what it says until then."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec
import pytest

from guard.events import (
    AnyEvent,
    BookStatus,
    MarketsWatched,
    PositionSource,
    Stream,
    StreamActivity,
    StreamFault,
    StreamFaultKind,
)
from guard.readiness import Readiness
from guard.units import AccountId, MarketId
from tests.support.builders import ACCOUNT, ETH, MARKET, Guard, at, features, snapshot, started, tick


def watched(*markets: MarketId) -> MarketsWatched:
    return MarketsWatched(received_at=at(0.1), venue="loopback", markets=markets)


def heard(seconds: float, market: MarketId) -> StreamActivity:
    now = at(seconds)
    return StreamActivity(
        received_at=now, subject=market, stream=Stream.BOOK, updates=3, last_at=now, gap_ns_max=0
    )


def fault(subject: MarketId | AccountId, kind: StreamFaultKind, stream: Stream = Stream.BOOK) -> StreamFault:
    return StreamFault(received_at=at(0.5), subject=subject, stream=stream, fault=kind)


@dataclass
class Scene:
    guard: Guard = field(default_factory=lambda: Guard.of(keyed=True, markets=(MARKET, ETH)))
    readiness: Readiness = field(init=False)

    def __post_init__(self) -> None:
        self.readiness = Readiness(self.guard.engine, at(-2.0))

    def take(self, seconds: float, *events: AnyEvent) -> str:
        """Process events, then a Tick; return what is missing."""
        self.guard.feed(*events, tick(seconds))
        self.readiness.on_tick(at(seconds))
        return self.readiness.words


EVERYTHING: dict[str, tuple[AnyEvent, ...]] = {
    "epoch": (started(0.1),),
    "has not said yet what it watches": (watched(MARKET, ETH),),
    "1 of 2 books of loopback": (features(0.5, market=ETH), heard(0.5, ETH)),
    "is not read yet": (snapshot(0.5),),
}
BOOK = (features(0.5), heard(0.5, MARKET))


def test_it_is_ready_once_everything_was_seen_and_stays_so() -> None:
    scene = Scene()
    words = scene.take(0.25)
    assert "0 of 2 books of loopback are whole" in words
    assert all(missing in words for missing in EVERYTHING if not missing.startswith("1"))

    assert scene.take(1.0, *(event for events in EVERYTHING.values() for event in events), *BOOK) == ""
    assert (scene.readiness.seconds, scene.readiness.counts()) == (3.0, {"loopback": (2, 2)})

    scene.take(2.0, fault(MARKET, StreamFaultKind.DISCONNECTED), fault(ACCOUNT, StreamFaultKind.DISCONNECTED))
    assert (scene.readiness.seconds, scene.readiness.words) == (3.0, "")


@pytest.mark.parametrize("missing", EVERYTHING)
def test_whatever_one_thing_is_missing_it_is_not_ready_and_says_what(missing: str) -> None:
    scene = Scene()
    others = [event for name, events in EVERYTHING.items() if name != missing for event in events]
    assert missing in scene.take(1.0, *others, *BOOK)
    assert scene.readiness.seconds is None


def test_a_book_that_is_not_whole_was_not_judged() -> None:
    scene = Scene()
    broken = msgspec.structs.replace(features(0.5), status=BookStatus.UNSYNCED)
    everything = [event for events in EVERYTHING.values() for event in events]
    assert "1 of 2 books" in scene.take(1.0, *everything, broken, heard(0.5, MARKET))
    assert scene.take(1.5, features(1.4)) == ""


def test_what_the_venue_refuses_is_known_to_be_broken_and_what_is_lost_is_not() -> None:
    lost, refused = StreamFaultKind.DISCONNECTED, StreamFaultKind.REFUSED
    scene = Scene()
    scene.take(1.0, started(0.1), watched(MARKET, ETH), features(0.5, market=ETH), heard(0.5, ETH))
    missing = scene.take(2.0, fault(MARKET, lost), fault(ACCOUNT, lost, Stream.ACCOUNT))
    assert "1 of 2 books" in missing
    assert str(ACCOUNT) in missing

    assert scene.take(3.0, fault(MARKET, refused), fault(ACCOUNT, refused, Stream.ACCOUNT)) == ""


def test_positions_that_a_bot_tells_do_not_stand_for_an_account_that_is_to_be_read() -> None:
    scene = Scene()
    others = [event for name, events in EVERYTHING.items() if "read" not in name for event in events]
    assert "is not read yet" in scene.take(1.0, *others, *BOOK, snapshot(0.5, source=PositionSource.SETTINGS))
