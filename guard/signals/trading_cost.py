# cython: auto_pickle=True
"""What it costs to get in and out now, against what it usually costs. No I/O, no clock."""

from __future__ import annotations

import math

from guard.events import CURVE_BPS
from guard.forecasts import Direction, SignalValue
from guard.readings import BookReading
from guard.signals.context import USUAL_HALF_LIFE_S, Context, Features
from guard.signals.usual import Usual, clip, is_number
from guard.units import BPS_PER_UNIT

RATIO_FULL = 5.0
"""Five times the usual round trip is what STRESSED is entered by."""
COST_FULL_BPS = 500.0
"""The sign of 10 October 2025: 500 USD in and out cost 500 bps on books that looked open."""
COST_MIN_BPS = 0.01
_LOG_FULL = math.log(RATIO_FULL)
WARM_S = 300.0


class TradingCost:
    """Spread, the round trip of 500 USD and that of one's own size, the first two as ratios to what is usual.

    Formula: spread / its baseline (else its decayed log mean, half-life 4 h); round trip / its decayed log mean.
    Alarm of a ratio: log(ratio) / log 5, from -1 to 1, and 1 where the round trip of 500 USD costs ``COST_FULL_BPS``,
    whatever was usual. The own size's round trip is walked on the depth curves, in bps; its alarm is cost / 500 bps.

    Source: the book. Cost: 3 us. Assumptions: what is shown can be taken. Failure modes: icebergs make it cheaper,
    quotes that are pulled dearer; the own size's cost rests on a coarse curve, extrapolated where it is not seen.

    >>> from guard.readings import BookReading, Reading
    >>> from guard.signals.context import Context
    >>> curve = tuple(1e4 * bps for bps in CURVE_BPS)
    >>> book = BookReading(bid=99.95, ask=100.05, bid_curve_usd=curve, ask_curve_usd=curve, bid_visible_bps=1e3,
    ...                    ask_visible_bps=1e3, spread_normal_bps=2.0, round_trip_bps=10.0)
    >>> cost = TradingCost()
    >>> cost.update(Context(Reading(at=0, market="v:A", elapsed_s=5.0, book=book), None, None))
    >>> round(cost.spread_ratio, 2), cost.round_trip_ratio, round(cost.values()[0].alarm, 3)
    (5.0, None, 1.0)
    """

    def __init__(self) -> None:
        self._spread = Usual(USUAL_HALF_LIFE_S, warm_s=WARM_S)
        self._round_trip = Usual(USUAL_HALF_LIFE_S, warm_s=WARM_S)
        self.own_usd: float | None = None
        """What one holds here; told from outside, ``None``: nothing."""
        self.spread_ratio: float | None = None
        self.round_trip_ratio: float | None = None
        self.round_trip_bps: float | None = None
        self.own_bps: float | None = None

    def update(self, context: Context) -> None:
        """Take a reading."""
        reading = context.reading
        book, elapsed = reading.book, reading.elapsed_s
        elapsed = min(elapsed, 60.0)
        self.spread_ratio = self.round_trip_ratio = self.round_trip_bps = self.own_bps = None
        if book is None:
            return
        spread = max(_spread_bps(book), COST_MIN_BPS)
        if is_number(spread):
            self.spread_ratio = _ratio(self._spread, spread, elapsed)
            if book.spread_normal_bps is not None:
                usual = book.spread_normal_bps
                if is_number(usual) and usual > 0.0:
                    self.spread_ratio = spread / max(usual, COST_MIN_BPS)
        if book.round_trip_bps is not None and is_number(book.round_trip_bps):
            cost = book.round_trip_bps
            self.round_trip_bps = cost
            self.round_trip_ratio = _ratio(self._round_trip, max(cost, COST_MIN_BPS), elapsed)
        if self.own_usd is not None and is_number(self.own_usd):
            self.own_bps = round_trip_bps(book, abs(self.own_usd))

    def usuals(self) -> dict[str, Usual]:
        """What is learned, by name."""
        return {"spread": self._spread, "round_trip": self._round_trip}

    def values(self) -> tuple[SignalValue, ...]:
        """Ratio of the spread, ratio of the round trip, and what the own size costs."""
        alarm = _alarm(self.round_trip_ratio)
        if self.round_trip_bps is not None and self.round_trip_bps >= COST_FULL_BPS:
            alarm = 1.0
        own_alarm = None if self.own_bps is None else clip(self.own_bps / COST_FULL_BPS, 0.0)
        return (
            SignalValue(
                name="spread_ratio", value=self.spread_ratio, unit="ratio", alarm=_alarm(self.spread_ratio)
            ),
            SignalValue(name="round_trip_ratio", value=self.round_trip_ratio, unit="ratio", alarm=alarm),
            SignalValue(name="own_round_trip", value=self.own_bps, unit="bps", alarm=own_alarm),
        )

    def features(self, _direction: Direction, /) -> Features:
        """Logs of the ratios and of the round trip, the same in both directions."""
        made: Features = {}
        if self.spread_ratio is not None:
            made["spread_ratio"] = clip(math.log(self.spread_ratio), -5.0, 7.0)
        if self.round_trip_ratio is not None:
            made["round_trip_ratio"] = clip(math.log(self.round_trip_ratio), -5.0, 7.0)
        if self.round_trip_bps is not None:
            made["round_trip"] = clip(math.log(max(self.round_trip_bps, COST_MIN_BPS)), -5.0, 10.0)
        return made


def round_trip_bps(book: BookReading, usd: float) -> float | None:
    """Cost of buying so much and selling it at once, bps of mid, by the book's curves; ``None`` beyond them.

    Between two points of a curve, notional is taken as spread evenly; before the first, from half the spread on.

    >>> curve = tuple(1e4 * bps for bps in CURVE_BPS)
    >>> book = BookReading(bid=100.0, ask=100.0, bid_curve_usd=curve, ask_curve_usd=curve, bid_visible_bps=1e3,
    ...                    ask_visible_bps=1e3)
    >>> round(round_trip_bps(book, 1e6)), round_trip_bps(book, 1e12)
    (100, None)
    """
    ways = [_way_bps(curve, book.spread_bps / 2.0, usd) for curve in (book.bid_curve_usd, book.ask_curve_usd)]
    if ways[0] is None or ways[1] is None:
        return None
    return ways[0] + ways[1]


def _way_bps(curve: tuple[float, ...], half_spread_bps: float, usd: float) -> float | None:
    taken, paid, near = 0.0, 0.0, max(half_spread_bps, 0.0)
    if usd <= 0.0:
        return near
    for upto, far in zip(curve, CURVE_BPS, strict=False):
        start, far_bps = min(near, far), max(near, far)
        more = min(upto, usd) - taken
        if more > 0.0:
            reached = start + (far_bps - start) * more / max(upto - taken, 1e-9)
            paid += more * (start + reached) / 2.0
            taken += more
        near = far_bps
        if taken >= usd:
            return min(paid / usd, BPS_PER_UNIT)
    return None


def _spread_bps(book: BookReading) -> float:
    bid, ask = book.bid, book.ask
    return (ask - bid) / ((bid + ask) / 2.0) * BPS_PER_UNIT


def _ratio(usual: Usual, value: float, elapsed_s: float) -> float | None:
    told = math.log(value)
    ratio = math.exp(clip(told - usual.mean, -20.0, 20.0)) if usual.is_warm else None
    usual.update(told, elapsed_s)
    return ratio


def _alarm(ratio: float | None) -> float | None:
    return None if ratio is None else clip(math.log(ratio) / _LOG_FULL)
