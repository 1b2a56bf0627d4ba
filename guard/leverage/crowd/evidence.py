"""What a window of time says of the candidates: what was swept of each class beside what was told of liquidations."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from guard.leverage.crowd.settings import LEVERAGES
from guard.leverage.crowd.side_map import Floats

WINDOW_S = 60.0
"""Evidence is weighed so often: what was swept and what was told of it are seconds apart."""

UNITS_MAX = 20.0
"""Units of evidence that one window counts for at most: a crash is one event, not a hundred."""

BACKGROUND_SHARE = 2e-6
"""Share of open interest that is liquidated in a window from where no map has any."""

SILENCE_UNITS = 1e-4
"""Nothing told where no candidate expected so much says nothing."""

BUSY_PER_S = 0.5
"""A throttled feed that tells so many a second hides some: what it told is a lower bound then."""

THROTTLED_WEIGHT = 0.5


@dataclass(slots=True)
class Window:
    """One side: what was swept by class (times its share, USD), what was told, and whether that is only a bound."""

    swept: Floats = field(default_factory=lambda: np.zeros(len(LEVERAGES)))
    told_usd: float = 0.0
    is_bound: bool = False


def log_likelihood(
    window: Window, shares: Floats, unit_usd: float, open_interest_usd: float, capture: float | None
) -> tuple[Floats, Floats] | None:
    """Tell how likely each candidate makes what was told, and how much each foretold, in units; ``(M,)`` each.

    Formula: with n what was told over the unit and m what a candidate's shares make of what was swept, plus a
    background, ``w * (n log m - m)``: units are counted as Poisson's are, since positions come in lumps. w falls with
    n and m beyond ``UNITS_MAX``. Where only a bound was told, a candidate that foretold more is no worse for it.

    Args:
        window: of one side.
        shares: of open interest by class, ``(M, K)``.
        unit_usd: what is liquidated at once, above 0.
        open_interest_usd: for the background.
        capture: share of liquidations that a throttled feed tells; ``None`` where it tells all.

    Returns:
        ``None`` where the window says nothing: nothing told and next to nothing swept.
    """
    if window.told_usd <= 0.0 and not window.swept.any():
        return None
    expected = shares @ window.swept / unit_usd
    if window.told_usd <= 0.0 and float(expected.max()) < SILENCE_UNITS:
        return None
    expected = expected + BACKGROUND_SHARE * open_interest_usd / unit_usd
    told, weight = window.told_usd / unit_usd, 1.0
    if capture is not None:
        told, weight = told / capture, THROTTLED_WEIGHT
    counted = np.minimum(expected, max(told, 1e-9)) if window.is_bound else expected
    logs = told * np.log(counted) - counted
    weight /= 1.0 + max(told, _median(counted)) / UNITS_MAX
    return logs * weight, expected


def _median(values: Floats) -> float:
    """As numpy's, which takes ten times as long over so few."""
    middle = len(values) // 2
    ordered = np.partition(values, (middle - 1, middle))
    above = float(ordered[middle])
    return above if len(values) % 2 else 0.5 * (float(ordered[middle - 1]) + above)
