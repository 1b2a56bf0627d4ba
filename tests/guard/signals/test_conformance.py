"""What every observable must do: be deterministic, bounded, honest about what it does not know, and no respecter of
directions."""

from __future__ import annotations

import gc
import sys
from dataclasses import replace
from math import inf, isfinite, nan
from types import FunctionType, ModuleType
from typing import Any

import msgspec
import pytest

from guard.forecasts import Direction, SignalValue
from guard.readings import Reading
from guard.signals.memory import SignalsState
from guard.signals.outside import OutsideFact
from guard.signals.signals import Signals
from guard.units import NS_PER_S, MarketId, Nanoseconds
from tests.guard.signals.readings import ALT, BTC, START, mirrored, walk
from tests.support.uncompiled import pairs, uncompiled

OTHER = MarketId("w:ALT/USDT:USDT")
MARKETS = (BTC, ALT, OTHER)
NEGATED_UP = (
    "vacuum",
    "absorption",
    "mark_basis",
    "spot_basis",
    "funding_z",
    "funding_z_venues",
    "venue_gap",
    "venue_divergence",
    "leader_move",
)


def streams(count: int, *, drift: float = 0.0) -> list[list[Reading]]:
    paths = [walk(market, seed, count, drift=drift) for seed, market in enumerate(MARKETS)]
    return [list(step) for step in zip(*paths, strict=True)]


def fed(steps: list[list[Reading]], signals: Signals | None = None) -> Signals:
    signals = signals or Signals()
    for step in steps:
        for reading in step:
            signals.update(reading)
        signals.update_together({reading.market: reading for reading in step}, step[0].at)
    at = steps[-1][0].at
    signals.take_pegs({"USDE": 0.01}, at)
    signals.take_fact(OutsideFact(name="risk", value=0.5, at=at, expires_at=at + 600 * NS_PER_S))
    return signals


def values_of(signals: Signals, market: MarketId, at: Nanoseconds) -> dict[str, SignalValue]:
    return {value.name: value for value in signals.values(market, at)}


@pytest.fixture(scope="module")
def calm() -> list[list[Reading]]:
    return streams(400)


@pytest.fixture(scope="module")
def known(calm: list[list[Reading]]) -> Signals:
    return fed(calm)


NAMES = [value.name for value in Signals().values(ALT, START)]


def test_names_are_distinct_and_always_the_same(known: Signals) -> None:
    assert len(set(NAMES)) == len(NAMES) > 15
    for market in (*MARKETS, MarketId("v:NEVER/USDT:USDT")):
        assert [value.name for value in known.values(market, START + 1_995 * NS_PER_S)] == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_each_says_something_once_it_has_seen_enough(name: str, known: Signals) -> None:
    known.hold(ALT, 1e4)
    for reading in streams(400)[-1]:
        known.update(replace(reading, at=reading.at + NS_PER_S))
    value = values_of(known, ALT, START + 1_996 * NS_PER_S)[name]
    assert value.value is not None, name
    assert value.alarm is not None, name


@pytest.mark.parametrize("name", NAMES)
def test_each_is_unknown_where_nothing_was_heard(name: str, known: Signals) -> None:
    at = START + 1_996 * NS_PER_S
    assert values_of(Signals(), ALT, at)[name].alarm is None
    late = values_of(known, ALT, at + 61 * NS_PER_S)[name]
    assert late.value is None
    assert late.alarm is None


@pytest.mark.parametrize("name", NAMES)
def test_each_is_unknown_where_its_input_misses(name: str, calm: list[list[Reading]]) -> None:
    bare = [[Reading(at=r.at, market=r.market, elapsed_s=r.elapsed_s) for r in step] for step in calm]
    signals = Signals()
    for step in bare:
        for reading in step:
            signals.update(reading)
        signals.update_together({reading.market: reading for reading in step}, step[0].at)
    value = values_of(signals, ALT, bare[-1][0].at)[name]
    assert value.value is None
    assert value.alarm is None


def test_what_becomes_unknown_is_no_longer_told(calm: list[list[Reading]]) -> None:
    signals = fed(calm)
    at = calm[-1][0].at
    for step in range(1, 8):
        signals.update(Reading(at=at + step * 5 * NS_PER_S, market=ALT, elapsed_s=5.0))
    told = values_of(signals, ALT, at + 35 * NS_PER_S)
    for name in NAMES[:13]:
        assert told[name].value is None, name


def test_the_same_readings_make_the_same_values(calm: list[list[Reading]], known: Signals) -> None:
    again = fed(calm)
    at = calm[-1][0].at
    fresh = fed(calm)
    for market in MARKETS:
        assert again.values(market, at) == fresh.values(market, at)
        assert again.features(market, Direction.DOWN) == fresh.features(market, Direction.DOWN)


@pytest.mark.parametrize("drift", [0.0, -0.0006])
def test_down_and_up_are_mirror_images(drift: float) -> None:
    steps = streams(420, drift=drift)
    at = steps[-1][0].at
    fell, rose = fed(steps), fed([[mirrored(reading) for reading in step] for step in steps])
    for market in MARKETS:
        before, after = values_of(fell, market, at), values_of(rose, market, at)
        for name in NAMES:
            turned = {
                "failed_rebounds_down": "failed_rebounds_up",
                "failed_rebounds_up": "failed_rebounds_down",
            }
            sign = -1.0 if name in NEGATED_UP else 1.0
            ours, theirs = before[name].value, after[turned.get(name, name)].value
            assert (ours is None) == (theirs is None), name
            if ours is not None and theirs is not None:
                assert ours == pytest.approx(sign * theirs, rel=1e-4, abs=1e-5), name
        down = fell.features(market, Direction.DOWN)
        assert down == pytest.approx(rose.features(market, Direction.UP), rel=1e-4, abs=1e-5)


def test_compiled_and_as_they_are_observables_say_the_same(calm: list[list[Reading]]) -> None:
    others = ("comovement", "funding_venues", "leader", "outside", "pegs")
    names = (*pairs("guard.signals"), *(f"guard.signals.{name}" for name in others))
    slow = fed(calm, dict(zip(names, uncompiled(*names), strict=True))["guard.signals.signals"].Signals())
    quick = fed(calm)
    assert type(slow) is not type(quick)
    at = calm[-1][0].at
    for market in MARKETS:
        assert slow.values(market, at) == quick.values(market, at)
        for direction in Direction:
            assert slow.features(market, direction) == quick.features(market, direction)
    assert slow.state() == quick.state()


def test_alarms_and_features_stay_within_their_bounds(calm: list[list[Reading]]) -> None:
    signals = Signals()
    for step in streams(420, drift=-0.002):
        for reading in step:
            signals.update(reading)
        signals.update_together({reading.market: reading for reading in step}, step[0].at)
        for value in signals.values(ALT, step[0].at):
            assert value.alarm is None or -1.0 <= value.alarm <= 1.0, value
        for direction in Direction:
            for name, number in signals.features(ALT, direction).items():
                assert isfinite(number), name
                assert abs(number) <= 50.0, name


ODD = (nan, inf, -inf, 0.0, -1.0, 1e308, 5e-324, 1e-20)
FIELDS = (
    "mark_price",
    "mark_low",
    "index_price",
    "funding_rate",
    "open_interest",
    "buy_usd",
    "sell_usd",
    "elapsed_s",
)
BOOK_FIELDS = ("bid", "ask", "spread_normal_bps", "round_trip_bps", "bid_depth_z", "spread_z")


@pytest.mark.parametrize("odd", ODD)
def test_odd_numbers_raise_nothing_and_are_not_told(odd: float) -> None:
    steps = streams(200)
    signals = fed(steps)
    at = steps[-1][0].at
    changed: list[dict[str, Any]] = [{field: odd} for field in FIELDS]
    for field in BOOK_FIELDS:
        book = steps[-1][1].book
        assert book is not None
        wrong_book: dict[str, Any] = {field: odd}
        changed.append({"book": replace(book, **wrong_book)})
    changed.append({"at": 0, "open_interest_at": 10**18})
    for turn, fields in enumerate(changed * 2):
        base: dict[str, Any] = {"at": at + (turn + 1) * 5 * NS_PER_S}
        for reading in steps[-1]:
            wrong = replace(reading, **(base | fields))
            signals.update(wrong)
            signals.update_together({r.market: replace(r, **(base | fields)) for r in steps[-1]}, base["at"])
        signals.hold(ALT, odd)
        signals.take_pegs({"A": odd}, base["at"])
        signals.take_fact(OutsideFact(name="risk", value=odd, at=at, expires_at=at + 10**13))
        for market in MARKETS:
            for value in signals.values(market, base["at"]):
                assert value.value is None or isfinite(value.value), (fields, value)
                assert value.alarm is None or -1.0 <= value.alarm <= 1.0, (fields, value)
            for name, number in signals.features(market, Direction.UP).items():
                assert isfinite(number), name


def held_bytes(thing: object) -> int:
    seen: dict[int, object] = {}
    waiting = [thing]
    while waiting:
        one = waiting.pop()
        if id(one) not in seen and not isinstance(one, type | ModuleType | FunctionType | Reading):
            seen[id(one)] = one
            waiting += gc.get_referents(one)
    return sum(sys.getsizeof(one) for one in seen.values())


def test_memory_does_not_grow(calm: list[list[Reading]]) -> None:
    signals = Signals()
    sizes = []
    for turn in range(4):
        for step in calm:
            moved = [replace(reading, at=reading.at + turn * 2_000 * NS_PER_S) for reading in step]
            for reading in moved:
                signals.update(reading)
            signals.update_together({reading.market: reading for reading in moved}, moved[0].at)
        sizes.append(held_bytes(signals))
    assert sizes[3] <= sizes[1] * 1.01


def test_another_run_goes_on_where_this_one_stopped(calm: list[list[Reading]]) -> None:
    first = fed(calm[:-60])
    kept = msgspec.json.decode(msgspec.json.encode(first.state()), type=SignalsState)
    second = Signals()
    second.restore(kept)
    fed(calm[-60:], first)
    fed(calm[-60:], second)
    at = calm[-1][0].at
    ours, theirs = values_of(first, ALT, at), values_of(second, ALT, at)
    for name in ("volatility_jump", "jump_share", "funding_z", "spread_ratio", "round_trip_ratio"):
        value = ours[name].value
        assert value is not None
        assert theirs[name].value == pytest.approx(value, rel=1e-6), name
    other = Signals()
    other.restore(msgspec.structs.replace(kept, version=99))
    assert other.measures(ALT) is None
