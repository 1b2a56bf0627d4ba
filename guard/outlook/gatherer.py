"""Gathers what happens in each market between two refreshes into one reading. No I/O, no clock."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf, isfinite

from guard.events import (
    AnyEvent,
    LiquidationSeen,
    LongShortRatioSeen,
    MarketFeatures,
    MarketsSampled,
    MarketsWatched,
    MarkPriceSeen,
    OpenInterestSeen,
    Stream,
)
from guard.market.book import Side
from guard.market.freshness import StreamState
from guard.market.view import BookTrust, MarketView
from guard.readings import BookReading, LiquidationFeed, Reading
from guard.units import NS_PER_S, MarketId, Nanoseconds, venue_of

ROUND_TRIP_USD = 500.0
"""Whose round trip is told: where nobody can sell so little, nothing fills."""

FEEDS = {
    "binance": LiquidationFeed.THROTTLED,
    "bybit": LiquidationFeed.COMPLETE,
    "hyperliquid": LiquidationFeed.COMPLETE,
    "okx": LiquidationFeed.THROTTLED,
}
"""How much of its liquidations a venue tells, by how its ccxt id begins; all others are taken to throttle.

Binance's forceOrder and OKX's liquidation-orders: at most the latest of a contract in each second. Bybit's
allLiquidation: all, every 500 ms. Hyperliquid: every fill is public and says whether it liquidated. Each by the
venue's own documentation of its API.
"""

MARK_AGE_S_MIN, MARK_AGE_S_MAX = 15.0, 300.0
INTEREST_AGE_S_MIN, INTEREST_AGE_S_MAX = 180.0, 3600.0
"""A mark (an open interest) holds for this long at least, and as long as five of its usual pauses, up to the other."""

PAUSES = 5.0

PRICE_LEAP, INTEREST_LEAP = 2.0, 3.0
"""What a price (an open interest) is this many times as high or low as right before is not believed at once ..."""

LEAPS_BELIEVED = 3
"""... but when it has been said so often in a row: one wrong tick empties a map for hours, a real leap stays."""

MID_AGE_NS_MAX = 60 * NS_PER_S
"""A middle of the book this long ago says nothing of where price may be by now."""

SHARE_AGE_NS_MAX = 3600 * NS_PER_S
"""The share of accounts that are long is told every five minutes or so, and moves slowly."""


@dataclass(slots=True)
class _Heard:
    """When a slow stream last spoke, and how long its pauses are."""

    age_s_min: float
    age_s_max: float
    at: Nanoseconds | None = None
    pause_s: float = 0.0

    def hear(self, at: Nanoseconds) -> None:
        if self.at is not None and at > self.at:
            pause_s = min((at - self.at) / NS_PER_S, self.age_s_max)
            self.pause_s += (pause_s - self.pause_s) * (0.1 if self.pause_s > 0.0 else 1.0)
        self.at = at

    def holds(self, now: Nanoseconds) -> bool:
        """Whether what was said last still does."""
        if self.at is None:
            return False
        return now - self.at <= max(self.age_s_min, min(PAUSES * self.pause_s, self.age_s_max)) * NS_PER_S


@dataclass(slots=True)
class _Believed:
    """What was believed last, and what leapt away from it since."""

    leap: float
    last: float | None = None
    odd: float = 0.0
    odds: int = 0

    def believes(self, value: float, *, is_recent: bool) -> bool:
        """Whether ``value`` may follow what was believed last; nothing that is not recent speaks against it."""
        if self.may_be(value, is_recent=is_recent):
            self.last, self.odds = value, 0
            return True
        self.odds = self.odds + 1 if self.odds and self._is_near(value, self.odd) else 1
        self.odd = value
        if self.odds < LEAPS_BELIEVED:
            return False
        self.last, self.odds = value, 0
        return True

    def may_be(self, value: float, *, is_recent: bool) -> bool:
        """Whether ``value`` is no leap; it is not counted as said."""
        return self.last is None or not is_recent or self._is_near(value, self.last)

    def _is_near(self, value: float, other: float) -> bool:
        return value <= self.leap * other and other <= self.leap * value


@dataclass(slots=True)
class _Gathered:
    """What was heard of one market, and since its former reading."""

    read_at: Nanoseconds | None = None
    mark: MarkPriceSeen | None = None
    interest: OpenInterestSeen | None = None
    mark_heard: _Heard = field(default_factory=lambda: _Heard(MARK_AGE_S_MIN, MARK_AGE_S_MAX))
    interest_heard: _Heard = field(default_factory=lambda: _Heard(INTEREST_AGE_S_MIN, INTEREST_AGE_S_MAX))
    marks: _Believed = field(default_factory=lambda: _Believed(PRICE_LEAP))
    interests: _Believed = field(default_factory=lambda: _Believed(INTEREST_LEAP))
    mids: _Believed = field(default_factory=lambda: _Believed(PRICE_LEAP))
    mid_at: Nanoseconds = 0
    longs_share: float | None = None
    longs_share_at: Nanoseconds = 0
    mark_low: float = inf
    mark_high: float = 0.0
    buy_usd: float = 0.0
    sell_usd: float = 0.0
    longs_usd: float = 0.0
    shorts_usd: float = 0.0
    liquidations: int = 0

    def may_close(self, size: float) -> bool:
        """Whether so much may have been liquidated at once, in base units: no more than there ever was."""
        return (
            self.interest is None
            or not self.interest.open_interest > 0.0
            or size <= self.interest.open_interest
        )

    def begin(self, now: Nanoseconds) -> None:
        """A reading was taken: count anew."""
        self.read_at = now
        self.mark_low, self.mark_high = inf, 0.0
        self.buy_usd = self.sell_usd = self.longs_usd = self.shorts_usd = 0.0
        self.liquidations = 0


class Gatherer:
    """Fold every event with ``apply``; ``take`` one market's reading when it is due.

    It keeps its own idea of how long a mark price or an open interest holds, by the pauses that each has been seen to
    make: files of others say nothing of how often a stream speaks. A stream that is known to be broken counts for
    nothing at once, as the view says. Where no mark price was ever told, the middle of the book stands for it.

    One price or amount that leaps away from the one before is left out until it has been said three times in a row, and
    so is a liquidation of more than the whole open interest: one wrong tick would undo what was learned for hours.

    Failure modes: a poll that slows down is stale until its pauses are learned; prices and amounts that are not
    positive and finite are left out without a word (``guard.market`` says it of the book); a price that halves between
    two refreshes is unknown for two more; a wrong first one is believed until three others agree.

    >>> market = MarketId("bybit:BTC/USDT:USDT")
    >>> gatherer = Gatherer()
    >>> gatherer.apply(MarkPriceSeen(received_at=NS_PER_S, market=market, mark_price=101.0))
    >>> gatherer.apply(MarkPriceSeen(received_at=2 * NS_PER_S, market=market, mark_price=100.0))
    >>> reading = gatherer.take(market, 5 * NS_PER_S, MarketView(market))
    >>> reading.mark_price, reading.mark_high, reading.book, reading.feed.value
    (100.0, 101.0, None, 'absent')
    """

    __slots__ = ("_absent", "_markets", "_tells")

    def __init__(self) -> None:
        self._markets: dict[MarketId, _Gathered] = {}
        self._absent: dict[str, frozenset[Stream]] = {}
        self._tells: set[str] = set()

    def apply(self, event: AnyEvent) -> None:  # noqa: C901, PLR0912 (one case an event is the table of the fold)
        """Fold one event; those that are about no market are ignored."""
        match event:
            case MarketFeatures():
                self._take_flow(event)
            case MarkPriceSeen():
                self._take_mark(event)
            case MarketsSampled(samples=samples):
                for sample in samples:
                    self._take_flow(sample)
            case OpenInterestSeen(market=market, open_interest=interest):
                if 0.0 <= interest < inf:
                    self._take_interest(event)
            case LiquidationSeen(market=market, notional_usd=usd, size=size):
                gathered = self._of(market)
                if 0.0 < usd < inf and gathered.may_close(abs(size)):
                    gathered.liquidations += 1
                    self._tells.add(venue_of(market))
                    if size > 0.0:
                        gathered.longs_usd += usd
                    else:
                        gathered.shorts_usd += usd
            case LongShortRatioSeen(market=market, longs_share=share):
                if 0.0 <= share <= 1.0:
                    gathered = self._of(market)
                    gathered.longs_share, gathered.longs_share_at = share, event.received_at
            case MarketsWatched(venue=venue, absent=absent):
                self._absent[venue] = frozenset(absent)
            case _:
                pass

    def has_mark(self, market: MarketId) -> bool:
        """Whether its venue was ever heard to tell a mark price: where not, the middle of the book stands for it."""
        gathered = self._markets.get(market)
        return gathered is not None and gathered.mark is not None

    def read_at(self, market: MarketId) -> Nanoseconds | None:
        """When a market's former reading was taken."""
        gathered = self._markets.get(market)
        return None if gathered is None else gathered.read_at

    def forget(self, market: MarketId) -> None:
        """The market is watched no more."""
        self._markets.pop(market, None)

    def feed(self, market: MarketId) -> LiquidationFeed:
        """How much of a market's liquidations its venue tells.

        Of a venue that nobody said is watched, as in somebody's file, silence says nothing until it has told one.
        """
        venue = venue_of(market)
        absent = self._absent.get(venue)
        if venue not in self._tells if absent is None else Stream.LIQUIDATIONS in absent:
            return LiquidationFeed.ABSENT
        return next(
            (feed for begin, feed in FEEDS.items() if venue.startswith(begin)), LiquidationFeed.THROTTLED
        )

    def take(self, market: MarketId, now: Nanoseconds, view: MarketView) -> Reading:
        """Return what is known of a market at ``now`` and what happened since its former reading; count anew."""
        gathered = self._of(market)
        mark = gathered.mark
        if mark is not None and (
            not gathered.mark_heard.holds(now) or _is_broken(view, Stream.MARK_PRICE, now)
        ):
            mark = None
        interest = gathered.interest
        if interest is not None and (
            not gathered.interest_heard.holds(now) or _is_broken(view, Stream.OPEN_INTEREST, now)
        ):
            interest = None
        former_at, book = gathered.read_at, book_reading(view, now)
        if book is not None:
            if gathered.mids.believes(book.mid, is_recent=now - gathered.mid_at <= MID_AGE_NS_MAX):
                gathered.mid_at = now
            else:
                book = None
        price = None if mark is None else mark.mark_price
        if gathered.mark is None and book is not None and not _is_broken(view, Stream.MARK_PRICE, now):
            price = book.mid
        reading = Reading(
            at=now,
            market=market,
            elapsed_s=0.0 if former_at is None else max(now - former_at, 0) / NS_PER_S,
            book=book,
            mark_price=price,
            mark_low=None if price is None else min(gathered.mark_low, price),
            mark_high=None if price is None else max(gathered.mark_high, price),
            index_price=None if mark is None else mark.index_price,
            funding_rate=None if mark is None else mark.funding_rate,
            open_interest=None if interest is None else interest.open_interest,
            open_interest_at=None if interest is None else interest.received_at,
            buy_usd=gathered.buy_usd,
            sell_usd=gathered.sell_usd,
            liquidated_longs_usd=gathered.longs_usd,
            liquidated_shorts_usd=gathered.shorts_usd,
            liquidations=gathered.liquidations,
            feed=self.feed(market),
            longs_share=gathered.longs_share if now - gathered.longs_share_at <= SHARE_AGE_NS_MAX else None,
        )
        gathered.begin(now)
        return reading

    def _of(self, market: MarketId) -> _Gathered:
        gathered = self._markets.get(market)
        if gathered is None:
            gathered = self._markets[market] = _Gathered()
        return gathered

    def _take_flow(self, event: MarketFeatures) -> None:
        gathered = self._of(event.market)
        if gathered.mark is None and event.bid is not None and event.ask is not None:
            mid = (event.bid + event.ask) / 2.0
            is_recent = event.received_at - gathered.mid_at <= MID_AGE_NS_MAX
            if 0.0 < mid < inf and gathered.mids.may_be(mid, is_recent=is_recent):
                gathered.mark_low, gathered.mark_high = (
                    min(gathered.mark_low, mid),
                    max(gathered.mark_high, mid),
                )
        if event.buy_usd or event.sell_usd:
            if 0.0 <= event.buy_usd < inf:
                gathered.buy_usd += event.buy_usd
            if 0.0 <= event.sell_usd < inf:
                gathered.sell_usd += event.sell_usd

    def _take_interest(self, event: OpenInterestSeen) -> None:
        gathered = self._of(event.market)
        is_recent = gathered.interest_heard.holds(event.received_at)
        if gathered.interests.believes(event.open_interest, is_recent=is_recent):
            gathered.interest = event
            gathered.interest_heard.hear(event.received_at)

    def _take_mark(self, event: MarkPriceSeen) -> None:
        price = event.mark_price
        if not 0.0 < price < inf:
            return
        gathered = self._of(event.market)
        if not gathered.marks.believes(price, is_recent=gathered.mark_heard.holds(event.received_at)):
            return
        if gathered.mark is None:
            gathered.mark_low, gathered.mark_high = inf, 0.0
        gathered.mark = event
        gathered.mark_heard.hear(event.received_at)
        gathered.mark_low = min(gathered.mark_low, price)
        gathered.mark_high = max(gathered.mark_high, price)


def book_reading(view: MarketView, now: Nanoseconds) -> BookReading | None:
    """The book as estimators are given it; ``None`` unless it may be acted on."""
    features = view.features
    if features is None or view.trust(now) is not BookTrust.TRUSTED:
        return None
    bids, asks, bid, ask = features.bids, features.asks, features.bid, features.ask
    if bids is None or asks is None or bid is None or ask is None:
        return None
    if not (0.0 < bid <= ask < inf and isfinite(bids.curve_usd[-1]) and isfinite(asks.curve_usd[-1])):
        return None
    round_trip = view.round_trip_bps(ROUND_TRIP_USD)
    refill_ms = view.refill_half_life_ms
    spread_bps, spread_ratio = view.spread_bps, view.spread_ratio
    is_warm = view.is_warm(now)
    return BookReading(
        bid=bid,
        ask=ask,
        bid_curve_usd=bids.curve_usd,
        ask_curve_usd=asks.curve_usd,
        bid_visible_bps=bids.visible_bps,
        ask_visible_bps=asks.visible_bps,
        bid_kappa=bids.slope_kappa,
        ask_kappa=asks.slope_kappa,
        bid_normal_usd=view.normal_depth_usd(Side.BID) if is_warm else None,
        ask_normal_usd=view.normal_depth_usd(Side.ASK) if is_warm else None,
        normal_bps=view.settings.band_bps,
        bid_depth_z=view.depth_z(Side.BID) if is_warm else None,
        ask_depth_z=view.depth_z(Side.ASK) if is_warm else None,
        spread_z=view.spread_z if is_warm else None,
        spread_normal_bps=(
            max((1.0 + spread_bps) / spread_ratio - 1.0, 0.0)
            if is_warm and spread_bps is not None and spread_ratio
            else None
        ),
        round_trip_bps=None if round_trip is None else round_trip.value,
        refill_half_life_s=None if refill_ms is None else refill_ms / 1_000.0,
    )


def _is_broken(view: MarketView, stream: Stream, now: Nanoseconds) -> bool:
    """Whether a stream is known to be cut off: stale before its silence could make it so."""
    if view.stream_state(stream, now) is not StreamState.STALE:
        return False
    silence_ms = view.silence_ms(stream, now)
    return silence_ms is not None and silence_ms <= view.silence_ms_max(stream)
