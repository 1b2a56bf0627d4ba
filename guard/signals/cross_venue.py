# cython: auto_pickle=True
"""Where a market stands beside the same coin's markets on other venues, and who is behind whom. No I/O, no clock."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from guard.forecasts import Direction, SignalValue
from guard.readings import Reading
from guard.signals.context import VOLATILITY_MIN, Features
from guard.signals.usual import Usual, clip
from guard.units import BPS_PER_UNIT, NS_PER_S, MarketId, Nanoseconds, symbol_of

FRESH_NS = 15 * NS_PER_S
HALF_LIFE_S = 3_600.0
SPREAD_BPS_MIN = 0.5
DIVERGENCE_FULL = 10.0
GAP_FULL = 3.0
APART_LOG_MAX = 1.0
"""Farther apart two prices are not of the same thing."""
LIMIT = 50.0
_MINUTE_ROOT_S = math.sqrt(60.0)


@dataclass(slots=True)
class VenueGap:
    """One market beside the others of its coin.

    Attributes:
        divergence: log mid less the median over venues, less what that usually is, in median spreads.
        gap: how far the others' median is beyond this one, likewise, in usual 1-minute moves; negative: they are lower.
        venues: how many were compared, this one included.
    """

    divergence: float
    gap: float
    venues: int


class CrossVenue:
    """Divergence of venues, for all markets at once.

    Formula: y_i = log mid_i - u_i over the markets of a coin that are fresh (15 s), u_i the decayed mean (1 h) of
    log mid_i - median, which takes out another quote currency's peg and lasting premiums. Divergence_i =
    10^4 (y_i - median y) / max(median spread, 0.5 bps). Gap_i = (median of the others' y - y_i) / (sigma_i sqrt(60)).
    Units: spreads, and usual 1-minute moves. Alarm: |divergence| / 10 and |gap| / 3, at most 1.

    Source: books of two or more venues. Cost: 3 us a market. Assumptions: readings are at most 5 s apart, which in a
    fast fall is a gap of its own (mean 0 over time). Failure modes: with two venues nobody knows which is off, both
    diverge by half; a venue whose book froze and still counts as fresh pulls the median.

    >>> from guard.readings import BookReading
    >>> def seen(venue, bid):
    ...     book = BookReading(bid=bid, ask=bid + 0.02, bid_curve_usd=(), ask_curve_usd=(), bid_visible_bps=0.0,
    ...                        ask_visible_bps=0.0)
    ...     return Reading(at=0, market=MarketId(f"{venue}:A/USDT:USDT"), elapsed_s=5.0, book=book)
    >>> cross = CrossVenue()
    >>> for low in (100.0, 100.0, 99.8):
    ...     both = [seen("a", 100.0), seen("b", low), seen("c", 100.0)]
    ...     cross.update({each.market: each for each in both}, {}, 0)
    >>> round(cross.of(MarketId("b:A/USDT:USDT")).divergence)
    -10
    """

    def __init__(self) -> None:
        self._usual: dict[MarketId, Usual] = {}
        self._gaps: dict[MarketId, VenueGap] = {}

    def of(self, market: MarketId) -> VenueGap | None:
        """What was found last; ``None`` where there is nothing to compare with."""
        return self._gaps.get(market)

    def update(
        self, readings: Mapping[MarketId, Reading], sigmas: Mapping[MarketId, float | None], now: Nanoseconds
    ) -> None:
        """Compare all markets; ``sigmas`` are usual volatilities per square root of a second."""
        self._gaps = {}
        for market in self._usual.keys() - readings.keys():
            del self._usual[market]
        for group in _groups(readings, now).values():
            if len(group) > 1:
                self._compare(group, sigmas)

    def _compare(self, group: list[Reading], sigmas: Mapping[MarketId, float | None]) -> None:
        logs = [math.log(_price(reading)) for reading in group]
        middle = _median(logs)
        near = [place for place, value in enumerate(logs) if abs(value - middle) < APART_LOG_MAX]
        if len(near) < 2:
            return
        spread = max(_median([_spread_bps(group[place]) for place in near]), SPREAD_BPS_MIN)
        held: list[float] = []
        for place in near:
            reading = group[place]
            market, own, elapsed = reading.market, logs[place], reading.elapsed_s
            apart = own - middle
            usual = self._usual.get(market)
            if usual is None:
                usual = self._usual[market] = Usual(HALF_LIFE_S, clip_sd=2.0, warm_s=30.0)
                usual.update(apart, 5.0)
            held.append(own - usual.mean)
            usual.update(apart, clip(elapsed, 0.0, 60.0))
        centre = _median(held)
        for at, place in enumerate(near):
            own, others = held[at], _median(held[:at] + held[at + 1 :])
            market = group[place].market
            sigma = sigmas.get(market) or 1e-4
            sigma = max(sigma, VOLATILITY_MIN)
            self._gaps[market] = VenueGap(
                clip((own - centre) * BPS_PER_UNIT / spread, -LIMIT, LIMIT),
                clip((others - own) / (sigma * _MINUTE_ROOT_S), -LIMIT, LIMIT),
                len(near),
            )

    def values(self, market: MarketId) -> tuple[SignalValue, ...]:
        """Divergence and gap of one market."""
        found = self._gaps.get(market)
        if found is None:
            return _UNKNOWN
        about = f"{found.venues} venues"
        return (
            SignalValue(
                name="venue_divergence",
                value=found.divergence,
                unit="spreads",
                alarm=clip(abs(found.divergence) / DIVERGENCE_FULL),
                about=about,
            ),
            SignalValue(
                name="venue_gap",
                value=found.gap,
                unit="sd",
                alarm=clip(abs(found.gap) / GAP_FULL),
                about=about,
            ),
        )

    def features(self, market: MarketId, direction: Direction) -> Features:
        """Divergence by size; the gap positive where the others are ahead in the direction."""
        found = self._gaps.get(market)
        if found is None:
            return {}
        return {
            "venue_divergence": min(abs(found.divergence), 20.0),
            "venue_gap": clip(direction.sign * found.gap, -10.0, 10.0),
        }


@lru_cache(maxsize=8_192)
def coin_of(market: MarketId) -> str:
    """What a market is of, as its symbol says it.

    >>> coin_of(MarketId("bybit:BTC/USDT:USDT")), coin_of(MarketId("v:1000PEPE/USDC:USDC"))
    ('BTC', '1000PEPE')
    """
    return symbol_of(market).partition("/")[0].upper()


def _median(values: list[float]) -> float:
    """The middle one, or the mean of the two in the middle; of at least one number."""
    in_order = sorted(values)
    half = len(in_order) // 2
    if len(in_order) % 2:
        return in_order[half]
    return (in_order[half - 1] + in_order[half]) / 2


def _groups(readings: Mapping[MarketId, Reading], now: Nanoseconds) -> dict[str, list[Reading]]:
    made: dict[str, list[Reading]] = {}
    for market, reading in sorted(readings.items()):
        at = reading.at
        if (
            -FRESH_NS <= now - at <= FRESH_NS
            and reading.book is not None
            and 1e-300 < _price(reading) < 1e300
        ):
            made.setdefault(coin_of(market), []).append(reading)
    return made


def _price(reading: Reading) -> float:
    book = reading.book
    if book is None:
        return 0.0
    bid, ask = book.bid, book.ask
    return (bid + ask) / 2.0


def _spread_bps(reading: Reading) -> float:
    book = reading.book
    if book is None:
        return SPREAD_BPS_MIN
    bid, ask = book.bid, book.ask
    return (ask - bid) / ((bid + ask) / 2.0) * 10_000.0


_UNKNOWN = (
    SignalValue(name="venue_divergence", value=None, unit="spreads", alarm=None),
    SignalValue(name="venue_gap", value=None, unit="sd", alarm=None),
)
