"""The whole outlook on a made-up market: what is told of whatever streams there are, and that it limits nobody."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator

import msgspec
import pytest

from adapters.simulation.coarse import coarse_events
from adapters.simulation.worlds.drawing import draw_episode
from guard.audit import Step, encode_record
from guard.building import build_engine
from guard.configuration import Settings
from guard.engine import Engine
from guard.events import (
    AnyEvent,
    LiquidationSeen,
    MarketFeatures,
    MarketsWatched,
    MarkPriceSeen,
    OpenInterestHistorySeen,
    OpenInterestSeen,
    StreamActivity,
    StreamsActive,
    Tick,
)
from guard.forecasts import Direction, MarketOutlook
from guard.units import NS_PER_S, MarketId

SETTINGS = Settings.model_validate({})


@pytest.fixture(scope="module")
def events() -> list[AnyEvent]:
    """Ten minutes of two coins at one venue, the last of them a fall; every second a Tick."""
    episode = draw_episode(
        "volatility", "fall", 11, symbols=("BTCUSDT", "SOLUSDT"), venues=("bybit",), duration_s=600.0
    )
    return list(with_ticks(coarse_events(episode)))


def with_ticks(events: Iterable[AnyEvent]) -> Iterator[AnyEvent]:
    tick_at = None
    for event in events:
        if tick_at is None:
            tick_at = event.received_at + NS_PER_S
        while tick_at <= event.received_at:
            yield Tick(received_at=tick_at)
            tick_at += NS_PER_S
        yield event


def run(events: Iterable[AnyEvent], settings: Settings = SETTINGS) -> tuple[Engine, list[Step]]:
    engine = build_engine(settings)
    return engine, [engine.process(event) for event in events]


def last_of(events: Iterable[AnyEvent]) -> dict[MarketId, MarketOutlook]:
    engine, _ = run(events)
    assert {name for name, _, _ in engine.state.outlook.broken} <= {"experts"}
    return {each.market: each for each in engine.state.outlook}


def only(*kinds: type) -> Callable[[AnyEvent], bool]:
    return lambda event: isinstance(event, (*kinds, Tick))


def without(*kinds: type) -> Callable[[AnyEvent], bool]:
    return lambda event: not isinstance(event, kinds)


def test_all_streams_tell_everything(events: list[AnyEvent]) -> None:
    outlooks = last_of(events)
    assert len(outlooks) == 2
    for outlook in outlooks.values():
        assert set(outlook.unknown) <= {"experts"}
        assert outlook.regime is not None
        assert outlook.oi_depth_ratio is not None
        for direction in Direction:
            told, reach = outlook.map(direction), outlook.reach(direction)
            assert told is not None
            assert reach is not None
            assert (outlook.sizing(direction) is None) == (outlook.hazard(direction) is None)
            assert list(reach.quantiles) == sorted(reach.quantiles)
            assert list(reach.probability) == sorted(reach.probability, reverse=True)
            assert all(each.low_usd <= each.usd <= each.high_usd for each in told.within)


def test_nothing_that_is_told_is_no_number(events: list[AnyEvent]) -> None:
    for outlook in last_of(events).values():
        assert all(math.isfinite(number) for number in numbers_of(msgspec.to_builtins(outlook)))


def numbers_of(value: object) -> Iterator[float]:
    if isinstance(value, float):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from numbers_of(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from numbers_of(each)


@pytest.mark.parametrize(
    ("keeps", "unknown", "has_map", "has_reach"),
    [
        (without(MarketsWatched, StreamsActive, StreamActivity), set(), True, True),
        (without(OpenInterestHistorySeen), set(), True, True),
        (without(LiquidationSeen), set(), True, True),
        (without(MarkPriceSeen), set(), True, True),
        (without(OpenInterestSeen, OpenInterestHistorySeen), {"open interest", "map"}, False, True),
        (only(MarketFeatures), {"open interest", "map"}, False, True),
        (only(MarketFeatures, OpenInterestSeen), set(), True, True),
        (without(MarketFeatures), {"book", "regime held: normal"}, True, False),
    ],
    ids=[
        "nobody says what is watched",
        "no past",
        "no liquidations",
        "no marks",
        "no open interest",
        "books alone",
        "books and open interest",
        "no books",
    ],
)
def test_a_file_of_some_streams_is_told_as_far_as_they_go(
    events: list[AnyEvent],
    keeps: Callable[[AnyEvent], bool],
    unknown: set[str],
    has_map: bool,
    has_reach: bool,
) -> None:
    outlooks = last_of(event for event in events if keeps(event))
    assert len(outlooks) == 2
    for outlook in outlooks.values():
        assert set(outlook.unknown) - {"experts"} == unknown
        assert (outlook.map(Direction.DOWN) is not None) is has_map
        assert (outlook.reach(Direction.DOWN) is not None) is has_reach
        assert (outlook.hazard(Direction.DOWN) is None) or has_reach


def test_map_and_reach_are_told_within_the_first_minute(events: list[AnyEvent]) -> None:
    begin = events[0].received_at
    for outlook in last_of(event for event in events if event.received_at <= begin + 60 * NS_PER_S).values():
        assert outlook.map(Direction.DOWN) is not None
        assert outlook.reach(Direction.UP) is not None


def test_the_same_events_give_the_same_outlooks_shortcuts_or_none(events: list[AnyEvent]) -> None:
    engine, steps = run(events)
    anew = build_engine(SETTINGS)
    for step, event in zip(steps, events, strict=True):
        anew.forget_shortcuts()
        assert encode_record(step) == encode_record(anew.process(event))
    assert list(engine.state.outlook) == list(anew.state.outlook)


def test_the_outlook_itself_finds_nothing_and_limits_nobody(events: list[AnyEvent]) -> None:
    # Policies read it (decision 0278): without the one that does on these events, nothing is decided otherwise.
    readers: dict[str, object] = {"policies": {"pause_entries": {"enabled": False}}}
    _, steps = run(events, Settings.model_validate(readers))
    _, bare = run(events, Settings.model_validate({"outlook": {"enabled": False}} | readers))
    assert any(step.outlooks for step in steps)
    assert not any(step.outlooks for step in bare)
    for step, other in zip(steps, bare, strict=True):
        assert decided(step) == decided(other)


def decided(step: Step) -> tuple[object, ...]:
    """All but what says that an estimator is broken, which limits nobody either."""
    opened = [each for each in step.opened if not each.policy.startswith("outlook.")]
    return opened, step.closed, step.postures, step.commands, step.outcomes


def test_a_book_that_is_lost_takes_reach_and_hazard_along_and_holds_the_regime(
    events: list[AnyEvent],
) -> None:
    end = events[-1].received_at
    engine, _ = run(events)
    before = {each.market: each.regime for each in engine.state.outlook}
    for second in range(1, 121):
        engine.process(Tick(received_at=end + second * NS_PER_S))
    for outlook in engine.state.outlook:
        assert {"book", "mark price"} <= set(outlook.unknown)
        assert (outlook.maps, outlook.reaches, outlook.hazards) == ((), (), ())
        assert outlook.regime is before[outlook.market]
