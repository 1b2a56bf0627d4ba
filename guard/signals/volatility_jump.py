# cython: auto_pickle=True
"""Volatility of the last minute against the last hour's, and how much of it came in jumps. No I/O, no clock."""

from __future__ import annotations

import math

from guard.forecasts import Direction, SignalValue
from guard.signals.context import VOLATILITY_MIN, Context, Features
from guard.signals.usual import clip

RATIO_FULL = 5.0
_LOG_FULL = math.log(RATIO_FULL)
SHARE_USUAL, SHARE_FULL = 0.15, 0.60
"""Without any jump 180 returns give a share of 0 to 0.15 by chance."""


class VolatilityJump:
    """Realised volatility 1 min over 60 min, and the jump share of the last 15 minutes (bipower variation).

    Formula: see ``PriceTrack``. Unit: ratio; 1 is as in the last hour. Alarm of the ratio: log(ratio) / log 5, so that
    five times as wild is 1 and a fifth is -1; of the share: 0 at 0.15 (what chance gives) and 1 at 0.60.

    Source: own prices. Cost: 1 us. Assumption: prices every 5 s, so that the minute has 12 returns (a relative error
    of 20 %). Failure modes: the hour holds the minute, so that the ratio is bounded by sqrt(60); an hour that began
    wild hides a jump (the usual volatility of ``Context`` does not); a step from a thin book's mid counts as a jump.

    >>> from guard.readings import Reading
    >>> from guard.signals.context import Context
    >>> from guard.signals.price_measures import PriceMeasures
    >>> jump = VolatilityJump()
    >>> seen = PriceMeasures(0, 100.0, volatility_1m=5e-4, volatility_60m=1e-4, jump_share_15m=0.6)
    >>> jump.update(Context(Reading(at=0, market="v:A", elapsed_s=5.0), seen, 1e-4))
    >>> [(round(value.value, 2), value.alarm) for value in jump.values()]
    [(5.0, 1.0), (0.6, 1.0)]
    """

    def __init__(self) -> None:
        self._ratio: float | None = None
        self._share: float | None = None
        self._usual_ratio: float | None = None

    def update(self, context: Context) -> None:
        """Take what was measured of the price."""
        measures = context.measures
        self._ratio = self._share = self._usual_ratio = None
        if measures is None:
            return
        self._share = measures.jump_share_15m
        if measures.volatility_1m is not None:
            minute = measures.volatility_1m
            now = max(minute, VOLATILITY_MIN)
            if measures.volatility_60m is not None:
                hour = measures.volatility_60m
                self._ratio = now / max(hour, VOLATILITY_MIN)
            if context.sigma is not None:
                usual = context.sigma
                self._usual_ratio = now / usual

    def values(self) -> tuple[SignalValue, ...]:
        """Ratio and jump share."""
        ratio, share = self._ratio, self._share
        return (
            SignalValue(
                name="volatility_jump",
                value=ratio,
                unit="ratio",
                alarm=None if ratio is None else clip(math.log(ratio) / _LOG_FULL),
            ),
            SignalValue(
                name="jump_share",
                value=share,
                unit="ratio",
                alarm=None
                if share is None
                else clip((share - SHARE_USUAL) / (SHARE_FULL - SHARE_USUAL), 0.0),
            ),
        )

    def features(self, _direction: Direction, /) -> Features:
        """The same in both directions: logs of the ratios to the hour's and to the usual volatility, and the share."""
        made: Features = {}
        if self._ratio is not None:
            made["volatility_jump"] = math.log(self._ratio)
        if self._usual_ratio is not None:
            made["volatility_usual"] = clip(math.log(self._usual_ratio), -5.0, 5.0)
        if self._share is not None:
            made["jump_share"] = self._share
        return made
