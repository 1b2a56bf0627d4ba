"""Alarms at a budget of false ones: thresholds chosen on other episodes, recall and lead on these."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from guard.skill.outcomes import ALARM_REFRACTORY_S, ALARM_VALID_S, judge_alarms
from guard.units import NS_PER_S

Floats = NDArray[np.float64]
Times = NDArray[np.int64]

FALSE_A_DAY = 1.0
LEAD_S = 60.0
DAY_S = 86_400.0
THRESHOLDS = 48
"""So many are tried: quantiles of the score, finer towards the top."""


@dataclass(frozen=True, slots=True)
class Watched:
    """One market and direction of one episode: a score at each reading and when its events were."""

    episode: int
    at: Times
    score: Floats
    event_at: Times

    @property
    def days(self) -> float:
        """How long it was watched."""
        return float(self.at[-1] - self.at[0]) / NS_PER_S / DAY_S if len(self.at) else 0.0


@dataclass(frozen=True, slots=True)
class Judged:
    """What a threshold brings in one ``Watched``."""

    episode: int
    events: int
    found: int
    early: int
    """Found at least a minute before."""
    true: int
    false: int
    days: float
    leads_s: tuple[float, ...]


def judge(watched: Sequence[Watched], threshold: float) -> list[Judged]:
    """Hold alarms against events; see ``guard.skill.outcomes.judge_alarms`` for what counts."""
    found = []
    for one in watched:
        told = judge_alarms(one.at, one.score, threshold, one.event_at)
        leads = told.lead_s[np.isfinite(told.lead_s)]
        found.append(
            Judged(
                episode=one.episode,
                events=len(one.event_at),
                found=len(leads),
                early=int((leads >= LEAD_S).sum()),
                true=int(told.true.sum()),
                false=told.false,
                days=one.days,
                leads_s=tuple(leads.tolist()),
            )
        )
    return found


def threshold_of(watched: Sequence[Watched], false_a_day: float = FALSE_A_DAY) -> float:
    """Choose the threshold with the best recall among those with no more false alarms a market and day.

    Infinite where none has so few.
    """
    values = np.concatenate([one.score[np.isfinite(one.score)] for one in watched] or [np.zeros(0)])
    if len(values) == 0:
        return float("inf")
    levels = 1.0 - np.geomspace(0.3, 1e-5, THRESHOLDS)
    best, most = float("inf"), (-1, -1)
    quantiles = np.unique(np.quantile(values, levels))
    # Also between them: what says the same number many times leaves gaps.
    for threshold in np.sort(np.concatenate((quantiles, (quantiles[1:] + quantiles[:-1]) / 2.0))):
        judged = judge(watched, float(threshold))
        days = sum(one.days for one in judged)
        if sum(one.false for one in judged) > false_a_day * days:
            continue
        gained = (sum(one.found for one in judged), sum(one.early for one in judged))
        if gained > most:
            best, most = float(threshold), gained
    return best


def labels_of(one: Watched) -> tuple[Floats, NDArray[np.bool_]]:
    """Whether an event comes within the time that alarms stand, at each reading, and where that may be asked.

    While an event is under way, and where the recording ends before it could be told, it may not.
    """
    following = np.searchsorted(one.event_at, one.at, side="right")
    truth = np.zeros(len(one.at))
    asked = np.ones(len(one.at), np.bool_)
    if len(one.event_at):
        upcoming = one.event_at[np.minimum(following, len(one.event_at) - 1)]
        is_coming = (following < len(one.event_at)) & (upcoming - one.at <= ALARM_VALID_S * NS_PER_S)
        truth = is_coming.astype(np.float64)
        former = one.event_at[np.maximum(following - 1, 0)]
        asked &= (following == 0) | (one.at - former >= ALARM_REFRACTORY_S * NS_PER_S)
    if len(one.at):
        asked &= (truth > 0.5) | (one.at <= one.at[-1] - round(ALARM_VALID_S * NS_PER_S))
    return truth, asked & np.isfinite(one.score)
