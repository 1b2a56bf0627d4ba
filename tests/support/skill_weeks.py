"""Weeks of made-up markets, minute by minute, to see how weights follow estimators: true rates, and what is said.

Falls of 2 % come at the rates of life (one 15-minute window in some hundreds), half of them to many markets at once,
and which markets they come to is told by something that one estimator knows, until it does not any more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from guard.forecasts import MOVES
from guard.skill.evidence import Evidence, log_gains
from guard.skill.gate import ESTIMATORS, FLOW, FULL, OI_DEPTH, USUAL, Gate, Target

Floats = NDArray[np.float64]

PRIOR = {USUAL: 0.05, OI_DEPTH: 0.1, FLOW: 0.25, FULL: 0.6}
TAIL = 2.75
"""Of falls of 2 %, 8 in 100 go to 5 %, 12 in 1000 to 10 %."""
MINUTES = 15
EVERY = 5
"""Minutes between forecasts that are counted."""
KNOWN_SD = 0.6
"""How much more (less) likely, in log, one standard deviation of what is known makes a fall."""
COMMON_SD = 1.0


@dataclass(slots=True)
class Weeks:
    """``weights`` of the estimator that knows something, hour by hour."""

    weights: Floats
    events: int


def live(
    seed: int,
    days: int,
    *,
    markets: int,
    rate: float,
    says: Callable[[int, Floats, Floats], Floats],
    gate: Gate | None = None,
) -> Weeks:
    """Let ``days`` pass.

    ``says(hour, known, noise)`` gives the log factor by market that ``FULL`` says, from what is true and from noise of
    the same kind; ``rate`` is of falls of 2 % in 15 minutes, a market and direction.
    """
    chance = np.random.default_rng(seed)
    hours = days * 24
    common = _wandering(chance, hours, 1, 6.0) * COMMON_SD
    known, noise = (_wandering(chance, hours, markets, 12.0) for _ in range(2))
    everywhere = np.exp(common - COMMON_SD**2 / 2.0)
    true = rate / MINUTES * everywhere * _factor(known)
    sizes = _falls(chance, true, everywhere[:, 0] * rate / MINUTES)
    farthest = _farthest(sizes)
    gate = gate or Gate({Target.HAZARD_15: PRIOR})
    evidence, weights = Evidence(), []
    for hour in range(hours):
        rates: Mapping[str, Floats] = {
            FULL: rate / MINUTES * everywhere[hour] * np.exp(says(hour, known[hour], noise[hour])),
            FLOW: np.full(markets, rate / MINUTES * everywhere[hour, 0]),
            OI_DEPTH: rate / MINUTES * _factor(0.5 * known[hour]),
            USUAL: np.full(markets, rate / MINUTES),
        }
        happened = farthest[hour * 60 : (hour + 1) * 60 : EVERY]
        shape = (*happened.shape[:2], len(ESTIMATORS), 2, len(MOVES))
        said = np.broadcast_to(_said(rates, markets), shape).reshape(-1, *shape[2:]).astype(np.float32)
        weight = np.array([gate.weight(Target.HAZARD_15, name) for name in ESTIMATORS])
        gains = log_gains(said, happened.reshape(-1, 2), np.tile(weight, (len(said), 1)))
        for market, row in enumerate(gains.reshape(*shape[:3]).sum(axis=0).tolist()):
            evidence.add(Target.HAZARD_15, market, dict(zip(ESTIMATORS, row, strict=True)), EVERY / MINUTES)
        gate.learn(evidence.take())
        weights.append(gate.weight(Target.HAZARD_15, FULL))
    return Weeks(np.array(weights), int((sizes > 0.0).sum()))


def knows(hour: int, known: Floats, noise: Floats) -> Floats:
    """It says what is so."""
    return KNOWN_SD * known - KNOWN_SD**2 / 2.0


def guesses(hour: int, known: Floats, noise: Floats) -> Floats:
    """It says what has nothing to do with it, as often too much as too little."""
    return KNOWN_SD * noise - KNOWN_SD**2 / 2.0


def exaggerates(hour: int, known: Floats, noise: Floats) -> Floats:
    """It knows, and says five times too much."""
    found: Floats = knows(hour, known, noise) + np.log(5.0)
    return found


def _factor(known: Floats) -> Floats:
    return np.asarray(np.exp(KNOWN_SD * known - KNOWN_SD**2 / 2.0))


def _wandering(chance: np.random.Generator, hours: int, columns: int, half_life_h: float) -> Floats:
    keep = 0.5 ** (1.0 / half_life_h)
    steps = chance.standard_normal((hours, columns))
    found = np.empty_like(steps)
    found[0] = steps[0]
    for hour in range(1, hours):
        found[hour] = keep * found[hour - 1] + np.sqrt(1.0 - keep**2) * steps[hour]
    return found


def _falls(chance: np.random.Generator, true: Floats, common: Floats) -> Floats:
    """Size of the fall that begins in each minute, by market and direction; half of all come to a quarter at once."""
    by_minute = np.repeat(true, 60, axis=0)[:, :, None]
    shape = (by_minute.shape[0], true.shape[1], 2)
    is_common = chance.random((shape[0], 1, 2)) < 0.5 * 4.0 * np.repeat(common, 60)[:, None, None]
    share = by_minute / (4.0 * np.repeat(common, 60)[:, None, None])
    hit = is_common & (chance.random(shape) < share)
    own = chance.random(shape) < 0.5 * by_minute
    size = np.where(hit, chance.random((shape[0], 1, 2)), chance.random(shape))
    return np.where(hit | own, MOVES[0] * (1.0 - size) ** (-1.0 / TAIL), 0.0)


def _farthest(sizes: Floats) -> Floats:
    """Greatest fall that begins within ``MINUTES`` after each minute."""
    padded = np.concatenate([sizes, np.zeros((MINUTES, *sizes.shape[1:]))])
    farthest: Floats = np.max([padded[late : late + len(sizes)] for late in range(MINUTES)], axis=0)
    return farthest


def _said(rates: Mapping[str, Floats], markets: int) -> Floats:
    tail = (MOVES[0] / np.array(MOVES)) ** TAIL
    said = np.full((markets, len(ESTIMATORS), 1, len(MOVES)), -1.0)
    for row, name in enumerate(ESTIMATORS):
        if name in rates:
            said[:, row, 0] = 1.0 - np.exp(-rates[name][:, None] * MINUTES * tail)
    return said
