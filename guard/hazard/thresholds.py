"""From what probability on acting costs less than waiting: thresholds from cost, not taste."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

from guard.forecasts import Direction
from guard.leverage.cascade.result import CascadeResult
from guard.leverage.cascade.sizing import ExitCosts, exit_costs
from guard.readings import BookReading

WATCH_COST = 0.0005
"""What looking harder and opening nothing costs, as a share of notional: about half a spread and a fee forgone."""

FLOOR, CEILING = 0.001, 0.9
"""A threshold below would act on noise; above it, leaving in the crash costs hardly more than leaving now."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Probabilities of the fall (rise) from which on to watch, and from which on to cut. 0..1, ``watch <= cut``."""

    watch: float
    cut: float


def cut_from(costs: ExitCosts) -> float:
    """Give the hazard from which on cutting now costs less than waiting.

    Formula:
        Now costs ``C_now``; waiting costs ``(1 - h) C_later + h C_crash``. They are equal at
        ``h* = (C_now - C_later) / (C_crash - C_later)``.

    Assumes one decision: cut now, or at leisure if nothing comes. Where leaving later costs as much as now there is no
    reason to wait (0); where leaving in the crash costs no more than now, none to hurry (1): hedge elsewhere or add
    margin instead.

    >>> round(cut_from(ExitCosts(now=0.0010, later=0.0005, crash=0.105)), 4)
    0.0048
    >>> round(cut_from(ExitCosts(now=0.025, later=0.0005, crash=0.045)), 2)
    0.55
    """
    saved, lost = costs.now - costs.later, costs.crash - costs.later
    if not (isfinite(saved) and isfinite(lost)):
        return CEILING
    if saved <= 0.0:
        return 0.0
    return 1.0 if lost <= saved else saved / lost


def thresholds(
    direction: Direction,
    book: BookReading,
    found: CascadeResult,
    *,
    usd: float = 10_000.0,
    fee_ratio: float = 0.0005,
    reach: float | None = None,
) -> Thresholds:
    """Give the thresholds of a position of ``usd`` at this book, held against the hazard of that move.

    ``reach`` is what a crash takes, a fraction; the mean reach of the structure where it is not given. ``usd`` is the
    part that would be cut at once. The least loss that a watch is worth is ``WATCH_COST`` of what a crash costs.
    """
    costs = exit_costs(direction, book, usd, fee_ratio, found, found.expected if reach is None else reach)
    cut = min(max(cut_from(costs), FLOOR), CEILING)
    # To watch costs WATCH_COST and saves nothing by itself: it makes the cut come one refresh earlier.
    watch = min(max(WATCH_COST / max(costs.crash - costs.later, WATCH_COST), FLOOR), cut)
    return Thresholds(watch=watch, cut=cut)
