"""How far stablecoins and wrapped collateral are below what they stand for, taken as told. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite

from guard.forecasts import SignalValue
from guard.signals.context import Features
from guard.signals.usual import clip
from guard.units import NS_PER_S, Nanoseconds

STALE_NS = 60 * NS_PER_S
DEVIATION_QUIET, DEVIATION_FULL = 0.001, 0.02


class PegDeviation:
    """The worst deviation among assets whose worth is known (``guard.account.pegs``), of all markets alike.

    Formula: greatest log(what it stands for / its price over venues), 0 and up. Unit: log ratio. Alarm: 0 up to
    0.1 % (ordinary noise between venues), 1 from 2 %.

    Source: spot books of several venues. Cost: nothing a market. Assumption: who tells it leaves single venues out.
    Failure mode: an asset that no venue tells is not among them; silence of a minute is unknown.

    >>> pegs = PegDeviation()
    >>> pegs.take({"USDE": 0.011, "USDT": 0.0}, 0)
    >>> pegs.values(0)[0].value, round(pegs.values(0)[0].alarm, 2), pegs.values(61 * NS_PER_S)[0].value
    (0.011, 0.53, None)
    """

    def __init__(self) -> None:
        self._told: tuple[str, float] | None = None
        self._at: Nanoseconds = 0

    def take(self, deviations: Mapping[str, float], at: Nanoseconds) -> None:
        """Take log deviations by asset, all that are known now; none is unknown."""
        known = {asset: value for asset, value in deviations.items() if isfinite(value)}
        worst = max(sorted(known), key=lambda asset: known[asset], default=None)
        self._told = None if worst is None else (worst, clip(known[worst], 0.0, 10.0))
        self._at = at

    def of(self, now: Nanoseconds) -> tuple[str, float] | None:
        """The worst asset and its deviation."""
        return self._told if 0 <= now - self._at <= STALE_NS else None

    def values(self, now: Nanoseconds) -> tuple[SignalValue, ...]:
        """The one deviation."""
        told = self.of(now)
        if told is None:
            return _UNKNOWN
        alarm = clip((told[1] - DEVIATION_QUIET) / (DEVIATION_FULL - DEVIATION_QUIET), 0.0)
        return (SignalValue(name="peg_deviation", value=told[1], unit="log", alarm=alarm, about=told[0]),)

    def features(self, now: Nanoseconds) -> Features:
        """In percent, the same in both directions."""
        told = self.of(now)
        return {} if told is None else {"peg_deviation": min(told[1] * 100.0, 20.0)}


_UNKNOWN = (SignalValue(name="peg_deviation", value=None, unit="log", alarm=None),)
