"""Features of a market in one direction as a row of numbers: the arithmetic of ``guard.hazard.features``.

Compiled where there is a compiler (rows.pxd), and the same results as it is. NaN is unknown throughout; each function
writes its numbers into ``out`` from ``at`` on, and gives where the next ones belong. No I/O, no clock.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from guard.calibration.kernel import lay_along, log_odds
from guard.forecasts import Direction
from guard.hazard.peers import PeerView
from guard.hazard.tracks import FlowTrack, number, premium_of
from guard.leverage.cascade.result import CascadeResult
from guard.readings import BookReading, Reading
from guard.signals.price_measures import PriceMeasures

Floats = NDArray[np.float64]

PRICES, FLOWS, BOOKS, PEERS, INTERESTS = 19, 23, 9, 8, 5
"""How many numbers each function writes; those of flows hold those of the book."""
CHANCE_MIN = 3.4e-4
"""Structural chances are held within this and 1 less it."""
VOLATILITY_MIN = 2e-5
_UNKNOWN = float("nan")
_VOLATILITY_MIN, _CHANCE_MIN = VOLATILITY_MIN, CHANCE_MIN
_ONE_PERCENT, _NEAR, _FAR = 12, 8, 16
"""Of ``guard.events.CURVE_BPS``."""


def of_price(out: Floats, at: int, direction: Direction, price: PriceMeasures | None, flow: FlowTrack) -> int:
    """Speeds, ways from extremes, volatilities and onsets."""
    is_down = direction is Direction.DOWN
    onset = number(flow.onset_age_s(direction))
    other = flow.onset_age_s(Direction.UP if is_down else Direction.DOWN)
    out[at + 16] = math.log(1.0 + onset / 60.0)
    out[at + 17] = 0.0 if math.isnan(onset) else 1.0
    out[at + 18] = 0.0 if other is None else 1.0
    if price is None:
        for place in range(at, at + 16):
            out[place] = _UNKNOWN
        return at + 19
    sign = -1.0 if is_down else 1.0
    slow = math.sqrt(flow.variance_slow.known())
    if slow == 0.0:
        slow = _UNKNOWN
    minute = number(price.volatility_1m)
    quarter = _or(number(price.volatility_15m), minute)
    hour = _or(number(price.volatility_60m), quarter)
    unit = max(_or(hour, 0.0), _or(slow, 0.0), _VOLATILITY_MIN)
    one, five = sign * number(price.move_1m), sign * number(price.move_5m)
    down, up = number(price.drawdown_30m), number(price.runup_30m)
    out[at] = math.asinh(one / 0.005)
    out[at + 1] = math.asinh(five / 0.01)
    out[at + 2] = math.asinh(sign * number(price.move_15m) / 0.02)
    out[at + 3] = math.asinh(one / (unit * 7.746))
    out[at + 4] = math.asinh(five / (unit * 17.32))
    out[at + 5] = math.asinh(number(price.drawdown_5m if is_down else price.runup_5m) / 0.01)
    out[at + 6] = math.asinh((down if is_down else up) / 0.02)
    out[at + 7] = math.asinh((up if is_down else down) / 0.02)
    out[at + 8] = number(price.regained_30m if is_down else price.given_back_30m)
    out[at + 9] = ratio(minute, 1e-4)
    out[at + 10] = ratio(quarter, 1e-4)
    out[at + 11] = ratio(hour, 1e-4)
    out[at + 12] = ratio(minute, unit)
    out[at + 13] = ratio(quarter, unit)
    out[at + 14] = ratio(hour, slow)
    out[at + 15] = number(price.jump_share_15m)
    return at + 19


def of_flow(out: Floats, at: int, direction: Direction, reading: Reading, flow: FlowTrack) -> int:
    """What takers and liquidations did, what rests, premium, lag and funding."""
    is_down = direction is Direction.DOWN
    sign = -1.0 if is_down else 1.0
    book = reading.book
    unit = flow.depth(book)
    if not unit > 0.0:
        unit = _UNKNOWN
    volume, usual_volume = flow.bought[1] + flow.sold[1], flow.volume_slow.known()
    out[at] = math.asinh(10.0 * (sign * (flow.bought[0] - flow.sold[0])) / unit)
    out[at + 1] = math.asinh(3.0 * (sign * (flow.bought[1] - flow.sold[1])) / unit)
    out[at + 2] = math.asinh(1.0 * (sign * (flow.bought[2] - flow.sold[2])) / unit)
    out[at + 3] = ratio(volume, usual_volume * 300.0)
    out[at + 4] = ratio(usual_volume, unit / 3600.0)
    lag = _UNKNOWN
    if book is None:
        for place in range(at + 5, at + 14):
            out[place] = _UNKNOWN
    else:
        of_book(out, at + 5, is_down, book, flow, unit)
        mark = number(reading.mark_price)
        if mark > 0.0:
            lag = math.log(mark / book.mid)
    along = flow.longs if is_down else flow.shorts
    against = flow.shorts if is_down else flow.longs
    out[at + 14] = math.asinh(30.0 * along[0] / unit)
    out[at + 15] = math.asinh(10.0 * along[1] / unit)
    out[at + 16] = math.asinh(3.0 * along[2] / unit)
    out[at + 17] = math.asinh(10.0 * against[1] / unit)
    premium = premium_of(reading)
    out[at + 18] = sign * premium * 100.0
    out[at + 19] = sign * (premium - flow.premium_slow.known()) * 100.0
    out[at + 20] = -sign * lag * 100.0
    out[at + 21] = -sign * math.asinh(number(reading.funding_rate) * 1e4)
    share = number(reading.longs_share)
    out[at + 22] = -sign * math.log(share / (1.0 - share)) if 0.0 < share < 1.0 else _UNKNOWN
    return at + 23


def of_book(out: Floats, at: int, is_down: bool, book: BookReading, flow: FlowTrack, unit: float) -> int:
    """What rests on the side that is met and on the other, the spread and what a round trip costs."""
    curve = book.bid_curve_usd if is_down else book.ask_curve_usd
    behind = book.ask_curve_usd if is_down else book.bid_curve_usd
    met, other, near, far = curve[_ONE_PERCENT], behind[_ONE_PERCENT], curve[_NEAR], curve[_FAR]
    spread = book.spread_bps
    out[at] = ratio(met, unit)
    out[at + 1] = ratio(other, unit)
    out[at + 2] = math.log(max(met, 1.0)) - (flow.bid_log if is_down else flow.ask_log).known()
    out[at + 3] = ratio(near, met)
    out[at + 4] = ratio(far, met)
    out[at + 5] = math.log(spread) - flow.spread_slow.known() if spread > 0.0 else _UNKNOWN
    out[at + 6] = ratio(spread, 1.0)
    out[at + 7] = ratio(number(book.round_trip_bps), 10.0)
    out[at + 8] = ratio(number(book.refill_half_life_s), 60.0)
    return at + 9


def of_peers(out: Floats, at: int, peers: PeerView | None) -> int:
    """What the other markets do."""
    if peers is None:
        for place in range(at, at + 8):
            out[place] = _UNKNOWN
        return at + 8
    move, most, gap = number(peers.move_5m), number(peers.move_5m_max), number(peers.gap)
    out[at] = math.asinh(number(peers.speed_1m))
    out[at + 1] = math.asinh(number(peers.speed_5m))
    out[at + 2] = math.asinh(move / 0.01)
    out[at + 3] = math.asinh(most / 0.01)
    out[at + 4] = peers.depth_log
    out[at + 5] = peers.forced_log
    out[at + 6] = peers.wild_log
    out[at + 7] = math.asinh(gap / 0.002)
    return at + 8


def of_interest(out: Floats, at: int, reading: Reading, flow: FlowTrack) -> int:
    """Open interest over depth and volume, and how it changes."""
    interest, price = number(reading.open_interest), number(reading.price)
    if math.isnan(price) or not interest > 0.0:
        for place in range(at, at + 5):
            out[place] = _UNKNOWN
        return at + 5
    usd = interest * price
    book = reading.book
    both = _UNKNOWN
    if book is not None:
        bids, asks = book.bid_curve_usd[_ONE_PERCENT], book.ask_curve_usd[_ONE_PERCENT]
        both = bids + asks
    out[at] = ratio(usd, both)
    out[at + 1] = ratio(usd, 2.0 * flow.depth(book))
    out[at + 2] = ratio(usd, flow.volume_slow.known() * 3600.0)
    out[at + 3] = 100.0 * (math.log(interest) - flow.interest_5m.known())
    out[at + 4] = 100.0 * (math.log(interest) - flow.interest_1h.known())
    return at + 5


def of_structure(out: Floats, at: int, cascade: CascadeResult | None, count: int) -> int:
    """What the cascade tells, ``count`` numbers."""
    if cascade is None:
        for place in range(at, at + count):
            out[place] = _UNKNOWN
        return at + count
    values = cascade.features.values()
    for place in range(count):
        out[at + place] = values[place]
    return at + count


class Graded:
    """Features that have a value for each distance: what a random walk goes, and what the structure tells there.

    Log of what a random walk goes in the time, over the distance: how usual such a move would be. And structural
    chance, forced over standing and barrier at each distance; the latter two are told at three, and between.
    """

    def __init__(self, walk: Sequence[float], logs: Sequence[float], moves: Sequence[float]) -> None:
        """Take, for each row, log of the root of the time over the distance, and log of the distance."""
        self._walk = array("d", walk)
        self._logs = array("d", logs)
        self._moves = array("d", moves)
        self._told = array("d", [0.0] * len(moves))
        self._distances: tuple[float, ...] = ()
        self._places = array("d", [0.0])

    def lay(
        self, out: Floats, price: PriceMeasures | None, cascade: CascadeResult | None, odds: array[float]
    ) -> int:
        """Write ``(rows, 6)``; ``odds`` are ``odds_of`` the cascade."""
        minute = quarter = hour = _UNKNOWN
        if price is not None:
            minute = number(price.volatility_1m)
            quarter = _or(number(price.volatility_15m), minute)
            hour = _or(number(price.volatility_60m), quarter)
        self._lay_walk(out, 0, minute)
        self._lay_walk(out, 1, quarter)
        self._lay_walk(out, 2, hour)
        if cascade is None:
            for row in range(len(self._walk)):
                out[row, 3] = out[row, 4] = out[row, 5] = _UNKNOWN
            return 0
        if cascade.distances is not self._distances:
            self._distances = cascade.distances
            self._places = array("d", [math.log(max(distance, 1e-6)) for distance in cascade.distances])
        named = cascade.features
        lay_along(out, 3, self._logs, self._places, odds)
        self._told[0], self._told[1], self._told[2] = named.forced_2, named.forced_5, named.forced_10
        lay_along(out, 4, self._logs, self._moves, self._told)
        self._told[0], self._told[1], self._told[2] = named.barrier_2, named.barrier_5, named.barrier_10
        lay_along(out, 5, self._logs, self._moves, self._told)
        return 0

    def _lay_walk(self, out: Floats, column: int, volatility: float) -> int:
        spread = _UNKNOWN
        if volatility != 0.0 and not math.isnan(volatility):
            spread = math.log(max(volatility, 1e-6))
        for row in range(len(self._walk)):
            out[row, column] = self._walk[row] + spread
        return 0


def odds_of(cascade: CascadeResult | None) -> array[float]:
    """Log-odds of the structural chances of reaching its distances; anything where there is no cascade."""
    return array("d", [0.0]) if cascade is None else log_odds(cascade.survival, _CHANCE_MIN)


def ratio(value: float, unit: float) -> float:
    """Log of a ratio of positive amounts, within e^-10..e^10; NaN where there is none.

    >>> ratio(1.0, 1.0), round(ratio(0.0, 1.0)), ratio(1.0, 0.0)
    (0.0, -10, nan)
    """
    if not unit > 0.0 or not value >= 0.0:
        return _UNKNOWN
    return math.log(min(max(value / unit, 4.5e-5), 2.2e4))


def _or(value: float, instead: float) -> float:
    return instead if math.isnan(value) else value
