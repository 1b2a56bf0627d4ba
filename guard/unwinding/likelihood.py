"""The chance of a move between those that are told: how likely price goes so far within so long. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from math import exp, isfinite, log

from guard.forecasts import HORIZONS_S, MOVES, QUANTILES

_LEAST, _ODDS_MAX = 1e-9, 30.0
_DISTANCE_MIN = 1e-4


def chance_of(
    probability: Sequence[Sequence[float]], distance: float, horizon_s: float, least_slope: float = 1.0
) -> float | None:
    """Interpolate ``HazardForecast.probability`` (by ``HORIZONS_S`` and ``MOVES``) at a distance and a time.

    Formula:
        Log-odds are taken as straight in the log of the distance and of the time between what is told: the chance of a
        move x is about ``c x ** -a``, and grows with a power of the time. Beyond what is told the line goes on, in
        distance with a slope of at least ``least_slope`` (twice as far is at most half as likely); in less time than is
        told the odds go with the time, and in more than is told they are not said to rise.

    Args:
        probability: 0..1, a row for each of ``HORIZONS_S``.
        distance: a fraction of the price, positive.
        horizon_s: seconds, positive.
        least_slope: a of what lies beyond.

    Returns:
        0..1, falling with the distance and rising with the time; ``None`` where a number is none.

    Assumptions: neighbours tell the same power law. Failure modes: below 2 % it is extrapolated, and that near a
    liquidation every chance is large: what is asked of the book alone (``CutLeverage.buffer_bps``) decides there.

    >>> told = ((0.02, 0.005, 0.001), (0.06, 0.02, 0.005), (0.2, 0.08, 0.02))
    >>> round(chance_of(told, 0.05, 900.0), 4), round(chance_of(told, 0.10, 3600.0), 4)
    (0.02, 0.02)
    >>> 0.005 < chance_of(told, 0.07, 900.0) < 0.02, chance_of(told, 0.20, 900.0) < 0.0026
    (True, True)
    """
    numbers = [distance, horizon_s, *(each for row in probability for each in row)]
    if not all(isfinite(each) for each in numbers) or len(probability) != len(HORIZONS_S):
        return None
    x = log(max(distance, _DISTANCE_MIN))
    odds = [_along(_LOG_MOVES, [_odds(each) for each in row], x, -least_slope) for row in probability]
    rising = [max(odds[: at + 1]) for at in range(len(odds))]
    time = log(max(horizon_s, 1.0))
    found = _along(_LOG_HORIZONS, rising, min(max(time, _LOG_HORIZONS[0]), _LOG_HORIZONS[-1]), None)
    return 1.0 / (1.0 + exp(-_clip(found + min(time - _LOG_HORIZONS[0], 0.0))))


_LOG_MOVES = tuple(log(each) for each in MOVES)
_LOG_HORIZONS = tuple(log(each) for each in HORIZONS_S)


def _along(places: Sequence[float], values: Sequence[float], x: float, slope_most: float | None) -> float:
    """Straight between two neighbours, and on beyond the last; there no flatter than ``slope_most`` (negative)."""
    at = min(max(bisect_left(places, x), 1), len(places) - 1)
    slope = (values[at] - values[at - 1]) / (places[at] - places[at - 1])
    slope = max(slope, 0.0) if slope_most is None else min(slope, 0.0)
    if x > places[-1] and slope_most is not None:
        slope = min(slope, slope_most)
    base = at if x >= places[at] else at - 1
    return values[base] + slope * (x - places[base])


def _odds(chance: float) -> float:
    kept = min(max(chance, _LEAST), 1.0 - _LEAST)
    return log(kept / (1.0 - kept))


def _clip(odds: float) -> float:
    return min(max(odds, -_ODDS_MAX), _ODDS_MAX)


def quantile_of(quantiles: Sequence[float], share: float) -> float | None:
    """Interpolate quantiles along ``guard.forecasts.QUANTILES``; ``None`` where a number is none.

    >>> quantile_of((0.01, 0.02, 0.03, 0.04, 0.05, 0.08, 0.10), 0.9)
    0.08
    >>> round(quantile_of((0.01, 0.02, 0.03, 0.04, 0.05, 0.08, 0.10), 0.925), 4)
    0.09
    """
    if len(quantiles) != len(QUANTILES) or not all(isfinite(each) for each in quantiles):
        return None
    at = min(max(bisect_left(QUANTILES, share), 1), len(QUANTILES) - 1)
    low, high = QUANTILES[at - 1], QUANTILES[at]
    part = min(max((share - low) / (high - low), 0.0), 1.0)
    return max(
        quantiles[at] if part == 1.0 else quantiles[at - 1] + part * (quantiles[at] - quantiles[at - 1]), 0.0
    )
