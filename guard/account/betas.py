"""How much further each held market moves than the one that leads it, from their prices of the last hours. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import exp, isfinite, log

from guard.units import NS_PER_S, MarketId, Nanoseconds

STEP_NS = 5 * NS_PER_S
"""Returns over so long are compared: shorter ones say more of who is quoted first than of who moves how far."""
HALF_LIFE_S = 3_600.0
WARM_STEPS = 120
"""Ten minutes of returns; before that a market counts as moving with its leader one to one."""
BETA_MIN, BETA_MAX = 1.0, 5.0
"""In a crash nothing that is held moves less than its leader: calm weeks say otherwise and mislead."""


@dataclass(slots=True)
class _Pair:
    covariance: float = 0.0
    steps: int = 0


@dataclass(slots=True)
class Betas:
    """Decayed regressions of each market's log returns on its leader's.

    >>> betas = Betas()
    >>> betas.of(MarketId("v:DOGE"))
    1.0
    """

    _at: Nanoseconds = 0
    _leader: MarketId | None = None
    _variance: float = 0.0
    _logs: dict[MarketId, float] = field(default_factory=dict)
    _pairs: dict[MarketId, _Pair] = field(default_factory=dict)

    def observe(self, marks: Mapping[MarketId, float], leader: MarketId | None, at: Nanoseconds) -> None:
        """Take prices of all held markets and of their leader; those between two steps are left out."""
        if at - self._at < STEP_NS:
            return
        elapsed_s, self._at = (at - self._at) / NS_PER_S, at
        logs = {market: log(mark) for market, mark in marks.items() if isfinite(mark) and mark > 0.0}
        before, self._logs = self._logs, logs
        if leader != self._leader:
            self._leader, self._variance, self._pairs = leader, 0.0, {}
        if leader not in logs or leader not in before or elapsed_s > 4 * STEP_NS / NS_PER_S:
            return
        led = logs[leader] - before[leader]
        keep = exp(-log(2.0) * elapsed_s / HALF_LIFE_S)
        self._variance = keep * self._variance + led * led
        for market in self._pairs.keys() - logs.keys():
            del self._pairs[market]
        for market, value in logs.items():
            if market in before:
                pair = self._pairs.setdefault(market, _Pair())
                pair.covariance = keep * pair.covariance + led * (value - before[market])
                pair.steps += 1

    def of(self, market: MarketId) -> float:
        """How far a market moves when its leader moves by 1, within ``BETA_MIN`` and ``BETA_MAX``."""
        pair = self._pairs.get(market)
        if pair is None or pair.steps < WARM_STEPS or self._variance <= 0.0:
            return BETA_MIN
        return min(max(pair.covariance / self._variance, BETA_MIN), BETA_MAX)
