"""The courses that a generated market takes, as functions of time: price path, depth left, spread, activity."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Scenario(StrEnum):
    """``calm``: nothing; ``fall``: makers withdraw, then price falls; ``recover``: and comes all the way back.

    ``waves``: recovers again and again, one fall every four minutes, for as long as it plays.
    """

    CALM = "calm"
    FALL = "fall"
    RECOVER = "recover"
    WAVES = "waves"


WAVE_S = 240.0


@dataclass(frozen=True, slots=True)
class Point:
    """The course at one moment.

    ``price_ratio`` multiplies the start price; ``depth_ratio`` what makers quote; ``spread_ratio`` the
    spread; ``trade_ratio`` the rate of trades; ``sell_share`` is the share of takers that sell;
    ``forced_per_s`` the rate of forced sales.
    """

    price_ratio: float = 1.0
    depth_ratio: float = 1.0
    spread_ratio: float = 1.0
    trade_ratio: float = 1.0
    sell_share: float = 0.5
    forced_per_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Course:
    """Points in time, seconds from the start, joined by straight lines in the logarithm of price.

    With ``period_s`` it begins anew each time that this has passed.
    """

    knots: tuple[tuple[float, Point], ...]
    period_s: float | None = None

    def at(self, t_s: float) -> Point:
        """The course at ``t_s``; before the first and after the last knot it stays as it is there."""
        if self.period_s is not None:
            t_s %= self.period_s
        before_s, before = self.knots[0]
        for knot_s, point in self.knots:
            if t_s <= knot_s:
                span = knot_s - before_s
                return _between(before, point, 1.0 if span <= 0 else (t_s - before_s) / span)
            before_s, before = knot_s, point
        return before


def course_of(
    scenario: Scenario,
    duration_s: float,
    *,
    fall_ratio: float,
    calm_share: float,
    thinning_s: float,
    depth_left_ratio: float,
) -> Course:
    """Lay out a scenario.

    Args:
        scenario: which.
        duration_s: of the whole.
        fall_ratio: how far price falls, 0.1 for 10 %.
        calm_share: the part of the duration before makers withdraw, so that baselines can warm up.
        thinning_s: how long depth thins while price still stands.
        depth_left_ratio: what is left of the depth at the worst.
    """
    if scenario is Scenario.CALM:
        return Course(((0.0, Point()), (duration_s, Point())))
    if scenario is Scenario.WAVES:
        wave = course_of(
            Scenario.RECOVER,
            WAVE_S,
            fall_ratio=fall_ratio,
            calm_share=calm_share,
            thinning_s=thinning_s,
            depth_left_ratio=depth_left_ratio,
        )
        return Course(wave.knots, WAVE_S)
    thin_at = duration_s * calm_share
    fall_at = min(thin_at + thinning_s, duration_s * 0.8)
    left_s = duration_s - fall_at
    thinned = Point(1.0, depth_left_ratio * 1.4, 2.5, 1.2, 0.53)
    knots: list[tuple[float, Point]] = [
        (0.0, Point()),
        (thin_at, Point()),
        (thin_at + (fall_at - thin_at) * 0.7, Point(1.0, depth_left_ratio * 1.7, 2.0, 1.1, 0.52)),
        (fall_at, thinned),
    ]
    if scenario is Scenario.FALL:
        bottom_at = fall_at + left_s * 0.7
        knots += _legs(
            fall_at,
            bottom_at,
            fall_ratio,
            ((0.22, 0.34), (0.30, 0.28), (0.58, 0.74), (0.68, 0.66), (1.0, 1.0)),
            depth_left_ratio,
        )
        end = Point(1.0 - fall_ratio * 0.94, min(0.55, depth_left_ratio * 3.0), 1.6, 1.5, 0.5)
        knots.append((duration_s, end))
    else:
        bottom_at = fall_at + left_s * 0.4
        depth = fall_ratio * 0.6
        knots += _legs(fall_at, bottom_at, depth, ((0.35, 0.5), (0.5, 0.42), (1.0, 1.0)), depth_left_ratio)
        knots.append((bottom_at + left_s * 0.3, Point(1.0 - depth * 0.25, 0.6, 1.4, 2.0, 0.42)))
        knots.append((bottom_at + left_s * 0.48, Point(1.0, 0.9, 1.0, 1.2, 0.48)))
        knots.append((duration_s, Point()))
    return Course(tuple(knots))


def _legs(
    start_s: float,
    end_s: float,
    fall_ratio: float,
    legs: Sequence[tuple[float, float]],
    depth_left_ratio: float,
) -> list[tuple[float, Point]]:
    """Falls with small bounces between: ``legs`` are (share of the time, share of the fall)."""
    knots = []
    fallen = 0.0
    for time_share, fall_share in legs:
        falling = fall_share > fallen
        fallen = fall_share
        knots.append(
            (
                start_s + (end_s - start_s) * time_share,
                Point(
                    price_ratio=1.0 - fall_ratio * fall_share,
                    depth_ratio=depth_left_ratio * (1.0 if falling else 1.3),
                    spread_ratio=4.0 if falling else 2.5,
                    trade_ratio=4.0 if falling else 2.0,
                    sell_share=0.75 if falling else 0.4,
                    forced_per_s=2.0 if falling else 0.3,
                ),
            )
        )
    return knots


def _between(a: Point, b: Point, share: float) -> Point:
    def line(x: float, y: float) -> float:
        return x + (y - x) * share

    return Point(
        price_ratio=math.exp(line(math.log(a.price_ratio), math.log(b.price_ratio))),
        depth_ratio=line(a.depth_ratio, b.depth_ratio),
        spread_ratio=line(a.spread_ratio, b.spread_ratio),
        trade_ratio=line(a.trade_ratio, b.trade_ratio),
        sell_share=line(a.sell_share, b.sell_share),
        forced_per_s=line(a.forced_per_s, b.forced_per_s),
    )
