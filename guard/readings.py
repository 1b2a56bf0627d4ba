"""What estimators are given of one market at one refresh: all that was heard since the one before. Values only.

All of them (liquidation map, cascade, signals, hazard, skill) read nothing else of a market, so that a live feed, a
recorded file and a made-up market are one thing to them. Missing is ``None``, never a calm number.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from guard.events import HistoryPoint, TrackedPosition
from guard.units import MarketId, Nanoseconds

__all__ = [
    "REFRESH_S",
    "BookReading",
    "HistoryPoint",
    "LiquidationFeed",
    "Reading",
    "TrackedPosition",
]

REFRESH_S = 5.0
"""Seconds between two readings of a market, as a rule; estimators take any, and count by the time that passed."""


class LiquidationFeed(StrEnum):
    """How much of what is liquidated a venue tells."""

    COMPLETE = "complete"
    """All of it (Bybit's allLiquidation, Hyperliquid's trades)."""
    THROTTLED = "throttled"
    """At most one a symbol a second (Binance's forceOrder)."""
    ABSENT = "absent"
    """Nothing: silence says nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BookReading:
    """A book that may be believed. Bids are what a fall meets, asks what a rise meets.

    Attributes:
        bid: best bid, quote per base.
        ask: best ask.
        bid_curve_usd: notional resting within each of ``guard.events.CURVE_BPS`` of mid, cumulative; what lies beyond
            ``bid_visible_bps`` is extrapolated as ``usd ~ bps ** kappa``.
        ask_curve_usd: as above.
        bid_visible_bps: farthest level that was seen, bps of mid.
        ask_visible_bps: as above.
        bid_kappa: exponent of the extrapolation; ``None`` where fewer than three levels are visible.
        ask_kappa: as above.
        bid_normal_usd: what depth within ``normal_bps`` usually is at this hour; ``None`` until the baseline is warm.
        ask_normal_usd: as above.
        normal_bps: the band of the baselines.
        bid_depth_z: robust z-score of log depth within that band; negative is thin.
        ask_depth_z: as above.
        spread_z: robust z-score of log spread; positive is wide.
        spread_normal_bps: what the spread usually is.
        round_trip_bps: cost of buying 500 USD and selling them at once; ``None`` where nobody can tell.
        refill_half_life_s: how fast depth comes back after a sweep; ``None`` before the first.
    """

    bid: float
    ask: float
    bid_curve_usd: tuple[float, ...]
    ask_curve_usd: tuple[float, ...]
    bid_visible_bps: float
    ask_visible_bps: float
    bid_kappa: float | None = None
    ask_kappa: float | None = None
    bid_normal_usd: float | None = None
    ask_normal_usd: float | None = None
    normal_bps: float = 100.0
    bid_depth_z: float | None = None
    ask_depth_z: float | None = None
    spread_z: float | None = None
    spread_normal_bps: float | None = None
    round_trip_bps: float | None = None
    refill_half_life_s: float | None = None

    @property
    def mid(self) -> float:
        """Half-way between best bid and best ask."""
        return (self.bid + self.ask) / 2.0

    @property
    def spread_bps(self) -> float:
        """Best ask less best bid, bps of mid."""
        return (self.ask - self.bid) / self.mid * 10_000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One market at ``at``, and what happened in it in the ``elapsed_s`` before.

    Attributes:
        at: our clock, Unix nanoseconds.
        elapsed_s: since the former reading of this market; 0 for the first. After an outage it is long.
        book: ``None`` while the book is unknown (stale, crossed, gapped): then nothing may be said of depth.
        mark_price: latest; liquidations trigger on it. ``None`` where unknown or stale.
        mark_low: least mark since the former reading, the latest included.
        mark_high: greatest, likewise.
        index_price: of the venue's spot index.
        funding_rate: per interval, a ratio; positive is paid by longs.
        open_interest: base units, both sides counted once; ``None`` where unknown or stale.
        open_interest_at: when that was heard: it comes every 10 s to minutes.
        buy_usd: what takers bought since the former reading.
        sell_usd: what takers sold, positive.
        liquidated_longs_usd: what the venue told of closed longs since the former reading, positive.
        liquidated_shorts_usd: as above.
        liquidations: how many of them were told.
        feed: how much of them the venue tells.
        longs_share: accounts that are long over all accounts, 0..1, as told every few minutes.
    """

    at: Nanoseconds
    market: MarketId
    elapsed_s: float
    book: BookReading | None = None
    mark_price: float | None = None
    mark_low: float | None = None
    mark_high: float | None = None
    index_price: float | None = None
    funding_rate: float | None = None
    open_interest: float | None = None
    open_interest_at: Nanoseconds | None = None
    buy_usd: float = 0.0
    sell_usd: float = 0.0
    liquidated_longs_usd: float = 0.0
    liquidated_shorts_usd: float = 0.0
    liquidations: int = 0
    feed: LiquidationFeed = LiquidationFeed.THROTTLED
    longs_share: float | None = None

    @property
    def price(self) -> float | None:
        """The mid where the book is known, else the mark."""
        return self.mark_price if self.book is None else self.book.mid
