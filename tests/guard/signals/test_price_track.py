"""The price track against a naive one that keeps everything, at irregular times and over gaps."""

from __future__ import annotations

from itertools import pairwise
from math import inf, isfinite, log, nan, sqrt
from random import Random

import msgspec
import pytest

from guard.signals import price_track as compiled
from guard.signals.memory import PriceTrackState
from guard.signals.price_measures import PriceMeasures
from guard.units import NS_PER_S, Nanoseconds
from tests.support.uncompiled import is_compiled, uncompiled

(SOURCE,) = uncompiled("guard.signals.price_track")
TRACKS = [
    pytest.param(
        compiled.PriceTrack, id="compiled" if is_compiled(compiled) else "source, for want of a compiler"
    ),
    pytest.param(SOURCE.PriceTrack, id="source"),
]
START = 1_760_000_000 * NS_PER_S


def path_of(seed: int, count: int, *, gaps: bool = True) -> list[tuple[Nanoseconds, float]]:
    random = Random(seed)
    at, price, points = START, 100.0, []
    for _ in range(count):
        step = random.choice((5.0, 5.0, 5.0, 4.9, 5.3, 1.9, 11.0))
        if gaps and random.random() < 0.004:
            step = random.choice((70.0, 400.0, 2_500.0))
        at += int(step * NS_PER_S)
        price *= 1.0 + random.gauss(0.0, 0.0004 * sqrt(step)) + (0.01 if random.random() < 0.005 else 0.0)
        points.append((at, price))
    return points


class Naive:
    """Everything that was seen, and measures by looking at all of it."""

    def __init__(self, points: list[tuple[Nanoseconds, float]]) -> None:
        self.points = [(at, log(price)) for at, price in points]
        self.now = points[-1][0]

    def within(self, seconds: float) -> list[tuple[Nanoseconds, float]]:
        edge = self.now - int(seconds * NS_PER_S)
        before = [point for point in self.points if point[0] <= edge]
        return before[-1:] + [point for point in self.points if point[0] > edge]

    def returns(self, seconds: float) -> list[tuple[float, float]]:
        points = self.within(seconds)
        pairs = pairwise(points)
        made = [((b[0] - a[0]) / NS_PER_S, b[1] - a[1]) for a, b in pairs]
        return [(dt, change) for dt, change in made if dt <= SOURCE.GAP_S]

    def volatility(self, seconds: float, least: float) -> float | None:
        returns = self.returns(seconds)
        seen = sum(dt for dt, _ in returns)
        return sqrt(sum(change * change for _, change in returns) / seen) if seen >= least else None

    def move(self, seconds: float) -> float | None:
        edge = self.now - int(seconds * NS_PER_S)
        allowed = max(seconds * 0.25, 7.5) * NS_PER_S
        before = [point for point in self.points if point[0] <= edge]
        later = [point for point in self.points if point[0] > edge]
        if not before:
            return None
        for near in (before[-1], later[0] if later else before[-1]):
            if abs(near[0] - edge) <= allowed:
                return self.points[-1][1] - near[1]
        return None

    def extremes(self, seconds: float) -> tuple[float, float]:
        logs = [value for _, value in self.within(seconds)]
        return max(logs) - logs[-1], logs[-1] - min(logs)

    def regained(self, sign: int) -> float:
        logs = [sign * value for _, value in self.within(1_800.0)]
        high = max(logs)
        last = max(place for place, value in enumerate(logs) if value == high)
        low = min(logs[last:])
        return 1.0 if high - low <= 1e-9 else (logs[-1] - low) / (high - low)


def same(left: float | None, right: float | None) -> bool:
    if left is None or right is None:
        return left is right
    return left == pytest.approx(right, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("track_class", TRACKS)
@pytest.mark.parametrize("seed", range(3))
def test_measures_are_those_of_looking_at_everything(
    track_class: type[compiled.PriceTrack], seed: int
) -> None:
    points = path_of(seed, 900)
    track = track_class()
    checked = 0
    for place, (at, price) in enumerate(points):
        assert track.update(at, price)
        if place % 23 != 5:
            continue
        seen = track.measures()
        assert seen is not None
        naive = Naive(points[: place + 1])
        assert same(seen.move_1m, naive.move(60.0))
        assert same(seen.move_5m, naive.move(300.0))
        assert same(seen.move_15m, naive.move(900.0))
        assert same(track.move_over(123.0), naive.move(123.0))
        assert same(seen.volatility_1m, naive.volatility(60.0, 30.0))
        assert same(seen.volatility_15m, naive.volatility(900.0, 300.0))
        assert same(seen.volatility_60m, naive.volatility(3_600.0, 600.0))
        if seen.drawdown_30m is not None:
            assert same(seen.drawdown_30m, naive.extremes(1_800.0)[0])
            assert same(seen.runup_30m, naive.extremes(1_800.0)[1])
            assert same(seen.regained_30m, naive.regained(1))
            assert same(seen.given_back_30m, naive.regained(-1))
            checked += 1
        if seen.drawdown_5m is not None:
            assert same(seen.drawdown_5m, naive.extremes(300.0)[0])
            assert same(seen.runup_5m, naive.extremes(300.0)[1])
    assert checked > 10


def test_compiled_and_source_tell_the_same() -> None:
    points = path_of(7, 3_000)
    tracks = compiled.PriceTrack(), SOURCE.PriceTrack()
    for at, price in points:
        assert len({track.update(at, price) for track in tracks}) == 1
    assert tracks[0].measures() == tracks[1].measures()
    assert tracks[0].state() == tracks[1].state()


@pytest.mark.parametrize("track_class", TRACKS)
def test_a_longer_run_than_there_are_slots_changes_nothing(track_class: type[compiled.PriceTrack]) -> None:
    points = path_of(3, SOURCE.SLOTS + 800, gaps=False)
    long, short = track_class(), track_class()
    for at, price in points:
        long.update(at, price)
    for at, price in points[-1_000:]:
        short.update(at, price)
    of_long, of_short = long.measures(), short.measures()
    assert of_long is not None
    assert of_short is not None
    for name in PriceMeasures.__struct_fields__:
        assert same(getattr(of_long, name), getattr(of_short, name)), name


MIRRORED = {
    "drawdown_5m": "runup_5m",
    "drawdown_30m": "runup_30m",
    "regained_30m": "given_back_30m",
}
MIRRORED |= {up: down for down, up in MIRRORED.items()}


def test_down_and_up_are_mirror_images() -> None:
    down, up = compiled.PriceTrack(), compiled.PriceTrack()
    for at, price in path_of(11, 700):
        down.update(at, price)
        up.update(at, 10_000.0 / price)
    fell, rose = down.measures(), up.measures()
    assert fell is not None
    assert rose is not None
    for name in PriceMeasures.__struct_fields__[2:]:
        down_there, up_there = getattr(fell, name), getattr(rose, MIRRORED.get(name, name))
        assert same(
            down_there, -up_there if name.startswith("move") and up_there is not None else up_there
        ), name


def test_what_was_not_seen_is_unknown() -> None:
    track = compiled.PriceTrack()
    assert track.measures() is None
    assert track.newest_at is None
    track.update(START, 100.0)
    seen = track.measures()
    assert seen is not None
    assert {getattr(seen, name) for name in PriceMeasures.__struct_fields__[2:]} == {None}
    for second in range(5, 1_900, 5):
        track.update(START + second * NS_PER_S, 100.0)
    track.update(START + 4_000 * NS_PER_S, 90.0)
    seen = track.measures()
    assert seen is not None
    assert seen.move_5m is None
    assert seen.drawdown_30m is None
    assert seen.volatility_1m is None
    assert seen.volatility_60m == 0.0  # the gap's fall is no return; what was seen before it still counts


@pytest.mark.parametrize("track_class", TRACKS)
@pytest.mark.parametrize("price", [None, 0.0, -1.0, nan, inf, -inf, 1e308, 5e-324])
def test_what_is_no_price_is_left_out(track_class: type[compiled.PriceTrack], price: float | None) -> None:
    track = track_class()
    track.update(START, 100.0)
    before = track.measures()
    assert not track.update(START + 5 * NS_PER_S, price)
    assert track.measures() is before


@pytest.mark.parametrize("track_class", TRACKS)
def test_another_price_or_another_clock_begins_anew(track_class: type[compiled.PriceTrack]) -> None:
    track = track_class()
    for second in range(0, 700, 5):
        track.update(START + second * NS_PER_S, 100.0)
    assert not track.update(START + 695 * NS_PER_S + 900_000_000, 100.0)  # too soon after the newest
    assert track.update(START + 705 * NS_PER_S, 1e-6)
    seen = track.measures()
    assert seen is not None
    assert seen.price == pytest.approx(1e-6)
    assert seen.volatility_15m is None
    assert track.update(START, 1e-6)
    assert track.newest_at == START
    for number in (9e299, 2e-300, 1e299, 1e-299):
        assert track.update((track.newest_at or 0) + 2 * NS_PER_S, number)
        made = track.measures()
        assert made is not None
        assert all(isfinite(value) for value in msgspec.structs.astuple(made) if value is not None)


@pytest.mark.parametrize("track_class", TRACKS)
def test_a_restored_track_tells_the_same(track_class: type[compiled.PriceTrack]) -> None:
    track, other = track_class(), track_class()
    points = path_of(5, 1_500)
    for at, price in points[:-50]:
        track.update(at, price)
    kept = msgspec.json.decode(msgspec.json.encode(track.state()), type=PriceTrackState)
    other.restore(kept)
    for at, price in points[-50:]:
        track.update(at, price)
        other.update(at, price)
    before, after = track.measures(), other.measures()
    assert before is not None
    assert after is not None
    for name in PriceMeasures.__struct_fields__:
        assert same(getattr(before, name), getattr(after, name)), name
    other.restore(PriceTrackState(version=2, at=(START,), price=(1.0,)))
    assert other.measures() is None
