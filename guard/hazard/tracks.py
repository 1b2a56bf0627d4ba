"""What has flowed through a market, and how that compares with what usually does: sums that forget, nothing else kept.

All in USD and per market; windows are exponential (``tau``), so that a reading costs the same whatever came before.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import exp, isfinite, log

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


@dataclass(slots=True)
class Faded:
    """A mean that forgets, unbiased from the first number on; ``None`` before it."""

    tau_s: float
    total: float = 0.0
    weight: float = 0.0

    def add(self, value: float, elapsed_s: float) -> None:
        """Take a number that held for ``elapsed_s``."""
        kept = exp(-elapsed_s / self.tau_s)
        share = max(1.0 - kept, 1e-6)
        self.total = self.total * kept + share * value
        self.weight = self.weight * kept + share

    @property
    def mean(self) -> float | None:
        """The mean."""
        return self.total / self.weight if self.weight > 0.0 else None


@dataclass(slots=True)
class FlowTrack:
    """Flows, depth, spread and open interest of one market, remembered as fading sums.

    Formula:
        ``sum_w <- sum_w exp(-dt / w) + what came``; a mean likewise, over the weight that it gathered.

    Assumes:
        Readings in order of time. Depth's usual level is the market's own baseline where that is warm, else what it
        was over the last hour.

    Fails:
        In its first minutes, when "usual" is what was just seen.

    Cost: 8 us a reading as it is.
    """

    at: Nanoseconds | None = None
    bought: list[float] = field(default_factory=lambda: [0.0] * len(WINDOWS_S))
    sold: list[float] = field(default_factory=lambda: [0.0] * len(WINDOWS_S))
    longs: list[float] = field(default_factory=lambda: [0.0] * len(WINDOWS_S))
    shorts: list[float] = field(default_factory=lambda: [0.0] * len(WINDOWS_S))
    volume_slow: Faded = field(default_factory=lambda: Faded(SLOW_S))
    depth_slow: Faded = field(default_factory=lambda: Faded(SLOW_S))
    bid_log: Faded = field(default_factory=lambda: Faded(120.0))
    ask_log: Faded = field(default_factory=lambda: Faded(120.0))
    spread_slow: Faded = field(default_factory=lambda: Faded(SLOW_S))
    interest_5m: Faded = field(default_factory=lambda: Faded(300.0))
    interest_1h: Faded = field(default_factory=lambda: Faded(SLOW_S))
    premium_slow: Faded = field(default_factory=lambda: Faded(SLOW_S))
    variance_slow: Faded = field(default_factory=lambda: Faded(6 * SLOW_S))
    onset_down_at: Nanoseconds | None = None
    onset_up_at: Nanoseconds | None = None

    def update(self, reading: Reading, price: PriceMeasures | None) -> None:
        """Take a reading, and what its market's ``PriceTrack`` tells at it."""
        elapsed = min(max(reading.elapsed_s, 0.0), SLOW_S)
        if elapsed > GAP_S:
            for sums in (self.bought, self.sold, self.longs, self.shorts):
                sums[:] = [0.0] * len(WINDOWS_S)
        self.at = reading.at
        for window, tau in enumerate(WINDOWS_S):
            kept = exp(-elapsed / tau)
            self.bought[window] = self.bought[window] * kept + reading.buy_usd
            self.sold[window] = self.sold[window] * kept + reading.sell_usd
            self.longs[window] = self.longs[window] * kept + reading.liquidated_longs_usd
            self.shorts[window] = self.shorts[window] * kept + reading.liquidated_shorts_usd
        if elapsed > 0.0:
            self.volume_slow.add((reading.buy_usd + reading.sell_usd) / elapsed, elapsed)
        if reading.book is not None:
            self._take_book(reading.book, max(elapsed, 1.0))
        if reading.open_interest is not None and reading.open_interest > 0.0:
            self.interest_5m.add(log(reading.open_interest), max(elapsed, 1.0))
            self.interest_1h.add(log(reading.open_interest), max(elapsed, 1.0))
        premium = premium_of(reading)
        if premium is not None:
            self.premium_slow.add(premium, max(elapsed, 1.0))
        if price is not None:
            self._take_price(reading.at, price, max(elapsed, 1.0))

    def onset_age_s(self, direction: Direction) -> float | None:
        """Seconds since a shock in this direction was first seen; ``None`` once it is an hour past."""
        began = self.onset_down_at if direction is Direction.DOWN else self.onset_up_at
        if began is None or self.at is None or self.at - began >= ONSET_REFRACTORY_NS:
            return None
        return (self.at - began) / NS_PER_S

    def depth_usual_usd(self, book: BookReading | None) -> float | None:
        """What usually rests within 1 % on one side: the baseline where warm, else the mean of the last hour."""
        if book is not None and book.bid_normal_usd and book.ask_normal_usd:
            return (book.bid_normal_usd + book.ask_normal_usd) / 2.0
        return self.depth_slow.mean

    def _take_book(self, book: BookReading, elapsed: float) -> None:
        bids, asks = within_1_percent(book, Direction.DOWN), within_1_percent(book, Direction.UP)
        self.depth_slow.add((bids + asks) / 2.0, elapsed)
        self.bid_log.add(log(max(bids, 1.0)), elapsed)
        self.ask_log.add(log(max(asks, 1.0)), elapsed)
        if book.spread_bps > 0.0:
            self.spread_slow.add(log(book.spread_bps), elapsed)

    def _take_price(self, at: Nanoseconds, price: PriceMeasures, elapsed: float) -> None:
        if price.volatility_1m is not None:
            self.variance_slow.add(price.volatility_1m**2, elapsed)
        if (price.drawdown_5m or 0.0) >= ONSET_LOG and _is_over(self.onset_down_at, at):
            self.onset_down_at = at
        if (price.runup_5m or 0.0) >= ONSET_LOG and _is_over(self.onset_up_at, at):
            self.onset_up_at = at


def _is_over(began: Nanoseconds | None, at: Nanoseconds) -> bool:
    return began is None or at - began >= ONSET_REFRACTORY_NS


def within_1_percent(book: BookReading, direction: Direction) -> float:
    """What rests within 100 bps of mid on the side that a cascade in this direction meets, USD."""
    curve = book.bid_curve_usd if direction is Direction.DOWN else book.ask_curve_usd
    return curve[12]


def premium_of(reading: Reading) -> float | None:
    """Log of the mark over the index, ``None`` where either is unknown."""
    mark, index = reading.mark_price, reading.index_price
    if mark is None or index is None or not (mark > 0.0 and index > 0.0):
        return None
    value = log(mark / index)
    return value if isfinite(value) else None
