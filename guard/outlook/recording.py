"""Which outlooks are written down, and how little of each: a change of regime at once, all else now and then. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from guard.forecasts import Band, MarketOutlook, Regime
from guard.outlook.settings import OutlookSettings
from guard.units import NS_PER_S, MarketId, Nanoseconds

DIGITS = 6
"""Significant digits of every number in a record."""
BANDS = 3
"""Of each direction in a record."""


@dataclass(slots=True)
class Recording:
    """Remembers what was written of each market and says what is to be written now.

    An outlook takes 4 KB of a record, and what is said of estimators 3 KB once a record. Of up to 20 markets each is
    written once a minute: 6 MB a day and market, 120 MB a day at the most, however many there are; changes of regime
    come on top, held to a few an hour by the regime's own dwell times.
    """

    _regimes: dict[MarketId, Regime | None] = field(default_factory=dict)
    _at: dict[MarketId, Nanoseconds] = field(default_factory=dict)
    _waiting: dict[MarketId, MarketOutlook] = field(default_factory=dict)

    def note(self, outlook: MarketOutlook) -> None:
        """An outlook was made: it is written at once if the regime is another."""
        market = outlook.market
        if market not in self._regimes:
            self._regimes[market] = outlook.regime
        elif outlook.regime is not self._regimes[market]:
            self._regimes[market] = outlook.regime
            self._waiting[market] = outlook

    def tick(self, outlooks: Iterable[MarketOutlook], now: Nanoseconds, settings: OutlookSettings) -> None:
        """Time passed: those that are due are written."""
        latest = tuple(outlooks)
        crowded = len(latest) * 60.0 / settings.recorded_per_minute_max
        period_ns = round(max(settings.recorded_s, crowded) * NS_PER_S)
        for outlook in latest:
            written_at = self._at.get(outlook.market)
            if written_at is None:
                # The first comes after a period, by when there is something to tell.
                self._at[outlook.market] = now
            elif now - written_at >= period_ns:
                self._waiting[outlook.market] = outlook

    def take(self, now: Nanoseconds) -> tuple[MarketOutlook, ...]:
        """Return what is to be written, by name of the market; it counts as written."""
        if not self._waiting:
            return ()
        # How estimators have done is the same for all markets: it is written once in a record.
        found = tuple(
            abridged(self._waiting[market], with_skill=number == 0)
            for number, market in enumerate(sorted(self._waiting))
        )
        for market in self._waiting:
            self._at[market] = now
        self._waiting.clear()
        return found

    def forget(self, market: MarketId) -> None:
        """The market is watched no more."""
        self._regimes.pop(market, None)
        self._at.pop(market, None)
        self._waiting.pop(market, None)


def abridged(outlook: MarketOutlook, *, with_skill: bool = True) -> MarketOutlook:
    """The outlook as it is recorded: six digits, the largest bands, observables that are known.

    >>> abridged(MarketOutlook(at=1, market=MarketId("venue:A"), price=0.123456789)).price
    0.123457
    """
    short = msgspec.structs.replace(
        outlook,
        maps=tuple(msgspec.structs.replace(each, bands=_largest(each.bands)) for each in outlook.maps),
        signals=tuple(each for each in outlook.signals if each.value is not None),
        skill=outlook.skill if with_skill else (),
    )
    told = _rounded(msgspec.to_builtins(short))
    return msgspec.convert(told, MarketOutlook)


def _largest(bands: tuple[Band, ...]) -> tuple[Band, ...]:
    return tuple(sorted(bands, key=lambda band: -band.mass.usd)[:BANDS])


def _rounded(value: object) -> object:
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(each) for each in value]
    return value
