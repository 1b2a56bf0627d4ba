"""The decision test: who is liquidated if leverage is capped by one rule or another, at the same mean leverage.

A fixed set of positions, a long and a short in each market watched, is opened at the mark and opened anew every ten
minutes with the leverage that the rule allows then; for these ten minutes nothing is done. It is liquidated when the
mark reaches what its margin bears at the maintenance ratio of the lowest bracket. Every rule's caps are scaled until
they are 5x on the mean over all times and positions of a world, and kept between 1x and 10x.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from guard.forecasts import Direction
from guard.skill.outcomes import farthest

Floats = NDArray[np.float64]
Times = NDArray[np.int64]
Mask = NDArray[np.bool_]

LEVERAGE_MEAN = 5.0
LEVERAGE_MIN, LEVERAGE_MAX = 1.0, 10.0
FROZEN_S = 600.0
ROWS_ENTRY = 6
"""An entry each half a minute."""
ENTRIES_ROUND = 20
"""So many entries later a position is opened anew: ten minutes."""
BEGINS = 4
"""Positions begin at so many times, spread over the first ten minutes."""


@dataclass(frozen=True, slots=True)
class Held:
    """One position kept up through an episode.

    Attributes:
        episode: its number.
        world: of the episode.
        bearable: by entry, the leverage from which on a position opened then is liquidated within ten minutes.
        known: by entry, whether the mark was known then and all the time after.
        wanted: by rule, what it would allow at each entry, up to a factor.
    """

    episode: int
    world: str
    bearable: Floats
    known: Mask
    wanted: Mapping[str, Floats]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a rule brings: by position, whether it was liquidated (a share of ``BEGINS``), and by entry."""

    liquidated: Floats
    ticks: Floats
    entries: Floats
    leverage_mean: float


def bearable_leverage(
    at: Times, mark: Floats, low: Floats, high: Floats, direction: Direction, maintenance: float
) -> tuple[Floats, Mask]:
    """Give the leverage that a position against ``direction`` (a long for DOWN) opened at each reading does not bear.

    Long: ``mark (1 - 1/L) / (1 - r)`` is reached within ten minutes; short: ``mark (1 + 1/L) / (1 + r)``.
    """
    extreme = low if direction is Direction.DOWN else high
    turned = np.where(np.isfinite(extreme), extreme, mark)
    # The extreme belongs to the time before its reading, so what follows an entry begins with the next reading.
    following = farthest_extreme(at, mark, turned, direction)
    if direction is Direction.DOWN:
        margin = 1.0 - (1.0 - following.moved) * (1.0 - maintenance)
    else:
        margin = (1.0 + following.moved) * (1.0 + maintenance) - 1.0
    return 1.0 / np.maximum(margin, 1e-9), following.known


@dataclass(frozen=True, slots=True)
class Following:
    """How far the mark goes against a position within ten minutes, as a fraction, and where that is known."""

    moved: Floats
    known: Mask


def farthest_extreme(at: Times, mark: Floats, extreme: Floats, direction: Direction) -> Following:
    """Farthest of ``extreme`` in the ten minutes after each reading, against the mark at it."""
    beyond = farthest(at, mark, direction, FROZEN_S)
    # ``farthest`` compares like with like; between two readings the mark may have been farther than at both.
    shifted = np.concatenate((extreme[1:], extreme[-1:]))
    sign = float(direction.sign)
    edge = np.where(np.isfinite(shifted), sign * shifted, -np.inf)
    rows = round(FROZEN_S / 5.0)
    padded = np.concatenate((edge[:-1], np.full(rows, -np.inf)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, rows)[: len(at)]
    most = windows.max(axis=1)
    most = np.concatenate((most, np.full(len(at) - len(most), -np.inf)))
    with np.errstate(invalid="ignore"):
        by_extreme = (most - sign * mark) / mark
    moved = np.maximum(np.where(np.isfinite(by_extreme), by_extreme, 0.0), beyond.value)
    return Following(np.clip(moved, 0.0, None), beyond.known & np.isfinite(mark))


def leverages(wanted: Floats, factor: float) -> Floats:
    """What a rule allows, scaled; where it knows nothing, the mean."""
    told = np.where(np.isfinite(wanted), wanted * factor, LEVERAGE_MEAN)
    return np.clip(told, LEVERAGE_MIN, LEVERAGE_MAX)


def factor_of(wanted: Floats) -> float:
    """The factor with which a rule allows ``LEVERAGE_MEAN`` on the mean."""
    low, high = 1e-9, 1e9
    for _ in range(200):
        middle = float(np.sqrt(low * high))
        if leverages(wanted, middle).mean() < LEVERAGE_MEAN:
            low = middle
        else:
            high = middle
    return high


def outcomes(held: Sequence[Held], rules: Sequence[str]) -> dict[str, Outcome]:
    """Let each rule cap the same positions; leverage is matched within each world."""
    found = {}
    for rule in rules:
        liquidated, ticks, entries = (np.zeros(len(held)) for _ in range(3))
        allowed = []
        for world in dict.fromkeys(one.world for one in held):
            chosen = [at for at, one in enumerate(held) if one.world == world]
            wanted = np.concatenate([held[at].wanted[rule][held[at].known] for at in chosen])
            factor = factor_of(wanted)
            allowed.append(leverages(wanted, factor))
            for at in chosen:
                one = held[at]
                gone = (leverages(one.wanted[rule], factor) >= one.bearable) & one.known
                ticks[at], entries[at] = gone.sum(), one.known.sum()
                begins = range(0, ENTRIES_ROUND, ENTRIES_ROUND // BEGINS)
                liquidated[at] = np.mean([gone[begin::ENTRIES_ROUND].any() for begin in begins])
        mean = float(np.concatenate(allowed).mean()) if allowed else float("nan")
        found[rule] = Outcome(liquidated, ticks, entries, mean)
    return found
