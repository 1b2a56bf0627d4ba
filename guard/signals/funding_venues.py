"""Funding of a coin over all venues: a crowd of one venue is local, one of all is the market's. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Mapping

from guard.forecasts import Direction, SignalValue
from guard.signals.context import Features
from guard.signals.cross_venue import coin_of
from guard.signals.funding_regime import Z_FULL, Z_QUIET
from guard.signals.usual import clip
from guard.units import MarketId


class FundingOverVenues:
    """Mean over venues of a coin's funding z-scores (each interval is of its own length, a z-score is not).

    Unit: standard deviations. Alarm: as of ``FundingRegime``. Source: what venues tell. Cost: 1 us a market. Unknown
    with fewer than two venues.

    >>> over = FundingOverVenues()
    >>> over.update({MarketId("a:X/USDT:USDT"): 4.0, MarketId("b:X/USDT:USDT"): 2.0, MarketId("a:Y/USDT:USDT"): 1.0})
    >>> over.of(MarketId("b:X/USDT:USDT")), over.of(MarketId("a:Y/USDT:USDT"))
    (3.0, None)
    """

    def __init__(self) -> None:
        self._means: dict[str, tuple[float, int]] = {}

    def update(self, scores: Mapping[MarketId, float | None]) -> None:
        """Take z-scores of all markets."""
        sums: dict[str, tuple[float, int]] = {}
        for market, z in scores.items():
            if z is not None:
                total, count = sums.get(coin_of(market), (0.0, 0))
                sums[coin_of(market)] = total + z, count + 1
        self._means = {coin: (total / count, count) for coin, (total, count) in sums.items() if count > 1}

    def of(self, market: MarketId) -> float | None:
        """The mean of a market's coin."""
        found = self._means.get(coin_of(market))
        return None if found is None else found[0]

    def values(self, market: MarketId) -> tuple[SignalValue, ...]:
        """The one mean."""
        found = self._means.get(coin_of(market))
        if found is None:
            return _UNKNOWN
        alarm = clip((abs(found[0]) - Z_QUIET) / (Z_FULL - Z_QUIET), 0.0)
        about = f"{found[1]} venues"
        return (SignalValue(name="funding_z_venues", value=found[0], unit="sd", alarm=alarm, about=about),)

    def features(self, market: MarketId, direction: Direction) -> Features:
        """Positive where those pay whom a move in this direction liquidates."""
        found = self._means.get(coin_of(market))
        return {} if found is None else {"funding_z_venues": clip(-direction.sign * found[0], -10.0, 10.0)}


_UNKNOWN = (SignalValue(name="funding_z_venues", value=None, unit="sd", alarm=None),)
