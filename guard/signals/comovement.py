"""How much all coins move as one: the first eigenvalue's share, counted once for all markets. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Mapping
from math import exp, log

import numpy as np
import numpy.typing as npt

from guard.forecasts import SignalValue
from guard.signals.context import Features
from guard.signals.cross_venue import coin_of
from guard.signals.usual import Usual, clip
from guard.units import NS_PER_S, MarketId, Nanoseconds

Floats = npt.NDArray[np.float64]

STEP_S = 4.5
STEP_S_MAX = 30.0
HALF_LIFE_S = 900.0 * 0.6931471805599453
"""Of an exponential window of 15 minutes."""
WARM_S = 600.0
USUAL_HALF_LIFE_S = 4 * 3_600.0
ALARM_FULL = 0.3
ROUNDS = 3
EXACT_MAX = 32
COINS_MAX = 1_000
RETURN_MAX = 0.2


class Comovement:
    """Share of variance in the first principal component of the coins' 5-second returns, above what chance gives.

    Formula: C = decayed covariance (15 min) of the coins' log returns (mean over venues), S = C scaled to unit
    diagonal, l = its greatest eigenvalue (above 32 coins by three rounds of power iteration a step); with n coins
    c = (l - 1) / (n - 1), the mean correlation where all are alike: 0 apart, 1 as one. Unit: ratio. Alarm:
    (c - usual) / 0.3 within -1 and 1, the usual being its decayed mean over 4 h.

    Source: prices of two or more coins. Cost: O(n^2) a step for all markets together, 0.1 ms for 200 coins.
    Assumptions: prices at most a step apart. Failure modes: prices that are read at different times within the 5 s
    correlate less (Epps, 1979), the usual takes that out; returns of one step that all jump dominate 15 minutes.

    >>> together = Comovement()
    >>> for step in range(200):
    ...     up = 1.0 + 0.001 * (step % 2)
    ...     prices = {MarketId("v:A/USDT:USDT"): 100.0 * up, MarketId("v:B/USDT:USDT"): 5.0 * up}
    ...     together.update(prices, step * 5 * NS_PER_S)
    >>> round(together.share, 3)
    1.0
    """

    def __init__(self) -> None:
        self._places: dict[str, int] = {}
        self._covariance: Floats = np.zeros((0, 0))
        self._seconds: Floats = np.zeros(0)
        self._vector: Floats = np.zeros(0)
        self._before: dict[MarketId, float] = {}
        self._at: Nanoseconds | None = None
        self.usual = Usual(USUAL_HALF_LIFE_S, warm_s=1_800.0)
        self.share: float | None = None
        self.coins = 0
        self._told: tuple[SignalValue, ...] | None = None

    def update(self, prices: Mapping[MarketId, float], now: Nanoseconds) -> None:
        """Take all fresh prices; calls sooner than a step after the last change nothing."""
        elapsed_s = 0.0 if self._at is None else (now - self._at) / NS_PER_S
        if self._at is not None and 0.0 <= elapsed_s < STEP_S:
            return
        logs = {market: log(price) for market, price in prices.items() if 1e-300 < price < 1e300}
        before, self._before, self._at = self._before, logs, now
        self.share = None
        self._told = None
        if 0.0 < elapsed_s <= STEP_S_MAX:
            self._take(_returns(before, logs), elapsed_s)
            self._measure(elapsed_s)

    def _take(self, returns: dict[str, float], elapsed_s: float) -> None:
        for coin in returns:
            if coin not in self._places and len(self._places) < COINS_MAX:
                self._places[coin] = len(self._places)
        count = len(self._places)
        grown = count - len(self._seconds)
        if grown:
            self._covariance = np.pad(self._covariance, (0, grown))
            self._seconds = np.pad(self._seconds, (0, grown))
            self._vector = np.pad(self._vector, (0, grown), constant_values=1.0)
        moved = np.zeros(count)
        keep = exp(-log(2.0) * elapsed_s / HALF_LIFE_S)
        self._seconds *= keep
        for coin, change in returns.items():
            place = self._places.get(coin)
            if place is not None:
                moved[place] = change
                self._seconds[place] += elapsed_s
        self._covariance *= keep
        self._covariance += np.multiply.outer(moved, moved)

    def _measure(self, elapsed_s: float) -> None:
        # An exponential window of 15 minutes holds 900 s when full, 438 s after WARM_S.
        warm = 900.0 * (1.0 - exp(-WARM_S / 900.0))
        variances = self._covariance.diagonal()
        known = np.flatnonzero((self._seconds >= 0.9 * warm) & (variances > 0.0))
        self.coins = len(known)
        if len(known) < 2:
            return
        scale = 1.0 / np.sqrt(variances[known])
        matrix = self._covariance if len(known) == len(variances) else self._covariance[np.ix_(known, known)]
        correlation = matrix * scale[:, None] * scale
        self.share = clip((self._greatest(correlation, known) - 1.0) / (len(known) - 1.0), 0.0)
        self.usual.update(self.share, elapsed_s)

    def _greatest(self, correlation: Floats, known: npt.NDArray[np.intp]) -> float:
        if len(known) <= EXACT_MAX:
            return float(np.linalg.eigvalsh(correlation)[-1])
        vector = self._vector[known]
        greatest = 1.0
        for _ in range(ROUNDS):
            length = float(np.sqrt(vector @ vector))
            vector = vector / length if 1e-9 < length < 1e9 else np.full(len(known), len(known) ** -0.5)
            turned = correlation @ vector
            greatest, vector = float(vector @ turned), turned
        self._vector[known] = vector
        return greatest

    def values(self) -> tuple[SignalValue, ...]:
        """The same for all markets."""
        if self._told is None:
            alarm = None if self.share is None else clip((self.share - self.usual.mean) / ALARM_FULL)
            about = f"{self.coins} coins" if self.share is not None else ""
            self._told = (
                SignalValue(name="comovement", value=self.share, unit="ratio", alarm=alarm, about=about),
            )
        return self._told

    def features(self) -> Features:
        """The same in both directions: the share and how far it is above the usual."""
        if self.share is None:
            return {}
        return {"comovement": self.share, "comovement_rise": self.share - self.usual.mean}


def _returns(before: Mapping[MarketId, float], logs: Mapping[MarketId, float]) -> dict[str, float]:
    """Mean log return of each coin over its venues."""
    sums: dict[str, tuple[float, int]] = {}
    for market, value in logs.items():
        if market in before:
            coin = coin_of(market)
            total, count = sums.get(coin, (0.0, 0))
            sums[coin] = total + clip(value - before[market], -RETURN_MAX, RETURN_MAX), count + 1
    return {coin: total / count for coin, (total, count) in sums.items()}
