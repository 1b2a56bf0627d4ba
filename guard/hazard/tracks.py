"""What has flowed through a market, and how that compares with what usually does: sums that forget, nothing else kept.

Compiled where there is a compiler (tracks.pxd), and the same results as it is.
All in USD and per market; windows are exponential (``tau``), so that a reading costs the same whatever came before.
"""

from __future__ import annotations

import math
from array import array

from guard.events import CURVE_BPS
from guard.forecasts import Direction
from guard.readings import BookReading, Reading
from guard.signals.price_measures import PriceMeasures
from guard.units import NS_PER_S, Nanoseconds

WINDOWS_S = (60.0, 300.0, 1800.0)
SLOW_S = 3600.0
ONSET_LOG = 0.0151136
"""1.5 % as a log fall (``guard.skill.outcomes.ONSET_MOVE``)."""
ONSET_REFRACTORY_NS = 3600 * NS_PER_S
GAP_S = 120.0
"""After a silence as long, what had flowed before says nothing of now."""
_ONE_PERCENT = CURVE_BPS.index(100.0)
_UNKNOWN = float("nan")
_WINDOWS = len(WINDOWS_S)
_ONSET_LOG, _GAP_S, _SLOW_S = ONSET_LOG, GAP_S, SLOW_S


class Faded:
    """A mean that forgets, unbiased from the first number on; ``None`` before it."""

    def __init__(self, tau_s: float, total: float = 0.0, weight: float = 0.0) -> None:
        self.tau_s = tau_s
        self.total = total
        self.weight = weight

    def add(self, value: float, elapsed_s: float) -> None:
        """Take a number that held for ``elapsed_s``."""
        kept = math.exp(-elapsed_s / self.tau_s)
        share = max(1.0 - kept, 1e-6)
        self.total = self.total * kept + share * value
        self.weight = self.weight * kept + share

    @property
    def mean(self) -> float | None:
        """The mean."""
        return self.total / self.weight if self.weight > 0.0 else None

    def known(self) -> float:
        """The mean; NaN before the first number."""
        return self.total / self.weight if self.weight > 0.0 else _UNKNOWN

    def __reduce__(self) -> tuple[object, ...]:
        """Copy it, compiled or not."""
        return Faded, (self.tau_s, self.total, self.weight)


class FlowTrack:
    """Flows, depth, spread and open interest of one market, remembered as fading sums.

    Formula:
        ``sum_w <- sum_w exp(-dt / w) + what came``; a mean likewise, over the weight that it gathered.

    Assumes:
        Readings in order of time. Depth's usual level is the market's own baseline where that is warm, else what it
        was over the last hour.

    Fails:
        In its first minutes, when "usual" is what was just seen.

    Attributes:
        bought: by takers, one sum for each of ``WINDOWS_S``; likewise ``sold``, and what was liquidated of ``longs``
            and ``shorts``.
        onset_down_at: when a fall of 1.5 % was first seen, none in the hour before; ``None`` before the first.
        onset_up_at: likewise a rise.
    """

    def __init__(self) -> None:
        self.at: Nanoseconds | None = None
        self.bought = array("d", bytes(8 * _WINDOWS))
        self.sold = array("d", bytes(8 * _WINDOWS))
        self.longs = array("d", bytes(8 * _WINDOWS))
        self.shorts = array("d", bytes(8 * _WINDOWS))
        self._taus = array("d", WINDOWS_S)
        self.volume_slow = Faded(SLOW_S)
        self.depth_slow = Faded(SLOW_S)
        self.bid_log = Faded(120.0)
        self.ask_log = Faded(120.0)
        self.spread_slow = Faded(SLOW_S)
        self.interest_5m = Faded(300.0)
        self.interest_1h = Faded(SLOW_S)
        self.premium_slow = Faded(SLOW_S)
        self.variance_slow = Faded(6 * SLOW_S)
        self.onset_down_at: Nanoseconds | None = None
        self.onset_up_at: Nanoseconds | None = None

    def update(self, reading: Reading, price: PriceMeasures | None) -> None:
        """Take a reading, and what its market's ``PriceTrack`` tells at it."""
        elapsed = min(max(reading.elapsed_s, 0.0), _SLOW_S)
        bought, sold = reading.buy_usd, reading.sell_usd
        longs, shorts = reading.liquidated_longs_usd, reading.liquidated_shorts_usd
        if elapsed > _GAP_S:
            for window in range(_WINDOWS):
                self.bought[window] = self.sold[window] = self.longs[window] = self.shorts[window] = 0.0
        self.at = reading.at
        for window in range(_WINDOWS):
            kept = math.exp(-elapsed / self._taus[window])
            self.bought[window] = self.bought[window] * kept + bought
            self.sold[window] = self.sold[window] * kept + sold
            self.longs[window] = self.longs[window] * kept + longs
            self.shorts[window] = self.shorts[window] * kept + shorts
        if elapsed > 0.0:
            self.volume_slow.add((bought + sold) / elapsed, elapsed)
        lasted = max(elapsed, 1.0)
        if reading.book is not None:
            self._take_book(reading.book, lasted)
        interest = number(reading.open_interest)
        if interest > 0.0:
            self.interest_5m.add(math.log(interest), lasted)
            self.interest_1h.add(math.log(interest), lasted)
        premium = premium_of(reading)
        if not math.isnan(premium):
            self.premium_slow.add(premium, lasted)
        if price is not None:
            self._take_price(reading.at, price, lasted)

    def onset_age_s(self, direction: Direction) -> float | None:
        """Seconds since a shock in this direction was first seen; ``None`` once it is an hour past."""
        began = self.onset_down_at if direction is Direction.DOWN else self.onset_up_at
        if began is None or self.at is None or self.at - began >= ONSET_REFRACTORY_NS:
            return None
        return (self.at - began) / NS_PER_S

    def depth_usual_usd(self, book: BookReading | None) -> float | None:
        """What usually rests within 1 % on one side: the baseline where warm, else the mean of the last hour."""
        depth = self.depth(book)
        return None if math.isnan(depth) else depth

    def depth(self, book: BookReading | None) -> float:
        """As ``depth_usual_usd``; NaN where that is not known."""
        if book is not None:
            bids, asks = number(book.bid_normal_usd), number(book.ask_normal_usd)
            if not (math.isnan(bids) or math.isnan(asks) or bids == 0.0 or asks == 0.0):
                return (bids + asks) / 2.0
        return self.depth_slow.known()

    def __reduce__(self) -> tuple[object, ...]:
        """Copy it, compiled or not."""
        sums = bytes(self.bought), bytes(self.sold), bytes(self.longs), bytes(self.shorts)
        return _track_of, (self.at, self.onset_down_at, self.onset_up_at, sums, self.means())

    def means(self) -> tuple[Faded, ...]:
        """All that are kept, in order."""
        return (
            self.volume_slow, self.depth_slow, self.bid_log, self.ask_log, self.spread_slow, self.interest_5m,
            self.interest_1h, self.premium_slow, self.variance_slow,
        )  # fmt: skip

    def go_on(self, sums: tuple[bytes, ...], means: tuple[Faded, ...]) -> None:
        """Take what ``__reduce__`` of another gave."""
        self.bought, self.sold = array("d", sums[0]), array("d", sums[1])
        self.longs, self.shorts = array("d", sums[2]), array("d", sums[3])
        self.volume_slow, self.depth_slow, self.bid_log, self.ask_log, self.spread_slow = means[:5]
        self.interest_5m, self.interest_1h, self.premium_slow, self.variance_slow = means[5:]

    def _take_book(self, book: BookReading, elapsed: float) -> None:
        bids, asks, spread = (
            book.bid_curve_usd[_ONE_PERCENT],
            book.ask_curve_usd[_ONE_PERCENT],
            book.spread_bps,
        )
        self.depth_slow.add((bids + asks) / 2.0, elapsed)
        self.bid_log.add(math.log(max(bids, 1.0)), elapsed)
        self.ask_log.add(math.log(max(asks, 1.0)), elapsed)
        if spread > 0.0:
            self.spread_slow.add(math.log(spread), elapsed)

    def _take_price(self, at: Nanoseconds, price: PriceMeasures, elapsed: float) -> None:
        volatility = number(price.volatility_1m)
        if not math.isnan(volatility):
            self.variance_slow.add(volatility * volatility, elapsed)
        if number(price.drawdown_5m) >= _ONSET_LOG and _is_over(self.onset_down_at, at):
            self.onset_down_at = at
        if number(price.runup_5m) >= _ONSET_LOG and _is_over(self.onset_up_at, at):
            self.onset_up_at = at


def _track_of(
    at: Nanoseconds | None,
    onset_down_at: Nanoseconds | None,
    onset_up_at: Nanoseconds | None,
    sums: tuple[bytes, ...],
    means: tuple[Faded, ...],
) -> FlowTrack:
    copied = FlowTrack()
    copied.at, copied.onset_down_at, copied.onset_up_at = at, onset_down_at, onset_up_at
    copied.go_on(sums, means)
    return copied


def _is_over(began: Nanoseconds | None, at: Nanoseconds) -> bool:
    return began is None or at - began >= ONSET_REFRACTORY_NS


def within_1_percent(book: BookReading, direction: Direction) -> float:
    """What rests within 100 bps of mid on the side that a cascade in this direction meets, USD."""
    curve = book.bid_curve_usd if direction is Direction.DOWN else book.ask_curve_usd
    return curve[_ONE_PERCENT]


def premium_of(reading: Reading) -> float:
    """Log of the mark over the index, NaN where either is unknown."""
    mark, index = number(reading.mark_price), number(reading.index_price)
    if not (mark > 0.0 and index > 0.0):
        return _UNKNOWN
    value = math.log(mark / index)
    return value if math.isfinite(value) else _UNKNOWN


def number(value: float | None) -> float:
    """Give the number, NaN for ``None``."""
    return _UNKNOWN if value is None else value
