"""From a venue's frames to the engine's event: what an exchange adapter feeds, market by market. No I/O."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from math import inf

from guard.errors import MalformedFrameError
from guard.events import BookSide, BookStatus, MarketFeatures
from guard.market.book import Book, Levels, Side
from guard.market.implementation import compiled
from guard.market.liquidity import imbalance, side_features
from guard.market.live import NEVER, new_live_book
from guard.units import BPS_PER_UNIT, NS_PER_S, MarketId, Nanoseconds

CHURN_BPS = 10.0
"""Near the touch every level is replaced so often that diffs alone come to know all of it ..."""

CHURN_S = 60.0
"""... within this time: of the notional within 10 bps, 100 % on BTC and 96 % on ETH (Binance, 2024)."""

CHURN_NS = int(CHURN_S * NS_PER_S)

HORIZON_BPS_MIN = 5.0
"""With less than this known on a side, a new snapshot is worth its cost."""


class MarketSampler:
    """Keeps one market's book and flow up to date and samples them when judgement is due.

    Feed it in the order of arrival; ``sample`` coalesces everything since the previous sample.

    How far the book is complete: a snapshot shows each side up to its last level; afterwards diffs name
    only what changes. When price has drifted past that, the near levels are known again because they
    churn: a price that has been within ``CHURN_BPS`` of the touch for ``CHURN_S`` is taken as known.
    The farther of the two is the horizon, and everything behind it is extrapolated.

    A venue that keeps a window of its best levels by itself (``windowed``) never speaks of what lies behind
    it, churned or not: there the horizon is the last level held, however price moves.

    Whoever reads frames may also change ``live`` by itself while it is armed, as its own rules say. Everything that
    is fed here disarms it: who knows by which number the stream goes on arms it again. A book that is gapped or
    unsynced is never armed.

    Assumptions: frames are applied in the venue's order (the adapter checks sequence numbers) and
    ``sample`` is called at least every few seconds, since it is what watches the touch.
    Failure modes: between leaving the snapshot and a minute of churn nothing is visible: depth within
    10 bps is then a lower bound (half in the first seconds, on ETH) until ``wants_snapshot`` is met.

    Attributes:
        market: whose book it is.
        live: the book and the flow, shared with who reads frames.

    >>> from guard.market.book import new_book
    >>> sampler = MarketSampler(MarketId("v:BTC/USDT:USDT"), new_book())
    >>> sampler.on_snapshot([[99.0, 5.0]], [[101.0, 5.0]], received_at=1)
    >>> sampler.on_trade(-250.0)
    >>> sample = sampler.sample(2)
    >>> sample.status.value, sample.bid, sample.sell_usd, sample.updates
    ('ok', 99.0, 250.0, 1)
    >>> sampler.sample(3).sell_usd
    0.0
    """

    def __init__(self, market: MarketId, book: Book, *, windowed: bool = False) -> None:
        self.market = market
        self._windowed = windowed
        self.live = new_live_book(book)
        self._gapped = False
        self._gaps = 0
        self._churned = {Side.BID: _ChurnHorizon(Side.BID), Side.ASK: _ChurnHorizon(Side.ASK)}

    @property
    def book(self) -> Book:
        """The book; read it freely, change it only through this class and ``live``."""
        return self.live.book

    def on_snapshot(
        self, bids: Levels, asks: Levels, received_at: Nanoseconds, exchange_at: Nanoseconds | None = None
    ) -> None:
        """Replace the book; ends a gap. Raises MalformedFrameError, and then the book counts as gapped."""
        self.live.disarm()
        try:
            self.book.load(bids, asks)
        except MalformedFrameError:
            self.mark_gapped()
            raise
        self._gapped = False
        self.live.applied(received_at, NEVER if exchange_at is None else exchange_at)

    def on_deltas(
        self, bids: Levels, asks: Levels, received_at: Nanoseconds, exchange_at: Nanoseconds | None = None
    ) -> None:
        """Set absolute sizes. Raises MalformedFrameError, and then the book counts as gapped: it was lost."""
        self.live.disarm()
        try:
            self.book.apply(bids, asks)
        except MalformedFrameError:
            self.mark_gapped()
            raise
        self.live.applied(received_at, NEVER if exchange_at is None else exchange_at)

    def on_trade(self, signed_notional_usd: float) -> None:
        """Count a trade by its taker: positive bought, negative sold."""
        self.live.traded(signed_notional_usd)

    def mark_gapped(self) -> None:
        """An update was lost: the book is not to be believed until the next snapshot."""
        self.live.disarm()
        if not self._gapped:
            self._gaps += 1
        self._gapped = True

    def mark_unsynced(self) -> None:
        """The connection was lost or renewed: forget the book until the next snapshot."""
        self.live.disarm()
        self.book.clear()
        self._gapped = False
        for churned in self._churned.values():
            churned.reset()

    @property
    def status(self) -> BookStatus:
        """What the next sample will say of the book."""
        status = self.book.status()
        return BookStatus.GAPPED if self._gapped and status is not BookStatus.UNSYNCED else status

    @property
    def wants_snapshot(self) -> bool:
        """Whether a new snapshot would help: none is held, one was lost, or price left what it covered."""
        if self.status in (BookStatus.UNSYNCED, BookStatus.GAPPED):
            return True
        bid, ask = self.book.best_bid(), self.book.best_ask()
        if bid is None or ask is None:
            return True
        lowest, highest = self.book.horizon(Side.BID), self.book.horizon(Side.ASK)
        near = HORIZON_BPS_MIN / BPS_PER_UNIT
        low_known = lowest is not None and lowest <= bid[0] * (1.0 - near)
        return not (low_known and highest is not None and highest >= ask[0] * (1.0 + near))

    @property
    def has_turned(self) -> bool:
        """Whether the book differs so much from the last sample that the next one should not wait."""
        return self.live.has_turned

    def sample(self, received_at: Nanoseconds) -> MarketFeatures:
        """Measure now and start counting flow anew. Never raises; a book not OK has no prices or sides."""
        live, status = self.live, self.status
        features = features_from(
            live.book,
            market=self.market,
            received_at=received_at,
            exchange_at=None if live.exchange_at == NEVER else live.exchange_at,
            status=status,
            horizons=self._horizons(received_at) if status is BookStatus.OK else None,
            book_at=None if live.book_at == NEVER else live.book_at,
            buy_usd=live.buy_usd,
            sell_usd=live.sell_usd,
            updates=live.updates,
            gaps=self._gaps,
        )
        live.sampled(status)
        self._gaps = 0
        return features

    def _horizons(self, at: Nanoseconds) -> dict[Side, float | None]:
        book = self.book
        ends: dict[Side, float | None] = {}
        for side, best in ((Side.BID, book.best_bid()), (Side.ASK, book.best_ask())):
            if self._windowed or best is None:
                ends[side] = float(book.side(side)[0][-1])
            else:
                ends[side] = self._churned[side].farther(at, best[0], book.horizon(side))
        return ends


def features_from(
    book: Book,
    *,
    market: MarketId,
    received_at: Nanoseconds,
    exchange_at: Nanoseconds | None = None,
    status: BookStatus | None = None,
    horizons: dict[Side, float | None] | None = None,
    book_at: Nanoseconds | None = None,
    buy_usd: float = 0.0,
    sell_usd: float = 0.0,
    updates: int = 0,
    gaps: int = 0,
) -> MarketFeatures:
    """Make the engine's event from a book as it stands; ``status`` overrides the book's own."""
    known = book.status() if status is None else status
    bid, ask = book.best_bid(), book.best_ask()
    bids: BookSide | None = None
    asks: BookSide | None = None
    balance: float | None = None
    if known is BookStatus.OK and bid is not None and ask is not None:
        bids, asks, balance = measured(book, horizons or {})
    return MarketFeatures(
        received_at=received_at,
        exchange_at=exchange_at,
        market=market,
        status=known,
        book_at=book_at,
        bid=bid[0] if bids is not None and bid is not None else None,
        ask=ask[0] if asks is not None and ask is not None else None,
        bids=bids,
        asks=asks,
        imbalance=balance,
        buy_usd=buy_usd,
        sell_usd=sell_usd,
        updates=updates,
        gaps=gaps,
    )


def measured(book: Book, horizons: Mapping[Side, float | None]) -> tuple[BookSide, BookSide, float]:
    """Both sides of a book that has both, and their imbalance; ``horizons`` override the book's own."""
    module = compiled()
    if module is not None and isinstance(book, module.CompiledBook):
        fast: tuple[BookSide, BookSide, float] = module.sides_of(
            book, horizons.get(Side.BID), horizons.get(Side.ASK)
        )
        return fast
    (bid_prices, bid_sizes), (ask_prices, ask_sizes) = book.side(Side.BID), book.side(Side.ASK)
    mid = (float(bid_prices[0]) + float(ask_prices[0])) / 2.0
    low, high = horizons.get(Side.BID), horizons.get(Side.ASK)
    bids = side_features(bid_prices, bid_sizes, mid, horizon=book.horizon(Side.BID) if low is None else low)
    asks = side_features(ask_prices, ask_sizes, mid, horizon=book.horizon(Side.ASK) if high is None else high)
    return bids, asks, imbalance(bids, asks)


class _ChurnHorizon:
    """The price up to which a side has been within ``CHURN_BPS`` of its touch for all of ``CHURN_S``.

    For bids that is the highest of the touches of the last minute, less 10 bps: a sliding maximum. One peak a
    second is kept, its highest touch with its latest time: the horizon is rather too near than too far.
    """

    __slots__ = ("_at", "_high", "_peak", "_peaks", "_second", "_sign", "_since")

    def __init__(self, side: Side) -> None:
        self._sign = 1.0 if side is Side.BID else -1.0
        self._peaks: deque[tuple[Nanoseconds, float]] = deque()
        self.reset()

    def reset(self) -> None:
        self._peaks.clear()
        self._since: Nanoseconds | None = None
        self._second = -1
        self._at, self._high, self._peak = 0, -inf, -inf

    def farther(self, at: Nanoseconds, touch: float, horizon: float | None) -> float | None:
        """The farther of the snapshot's ``horizon`` and what has churned, having seen ``touch`` at ``at``."""
        ranked = self._sign * touch
        second = at // NS_PER_S
        if second != self._second:
            self._turn(at)
            self._second, self._high = second, ranked
        elif ranked > self._high:
            self._high = ranked
        self._at = at
        if self._since is None:
            self._since = at
        if at - self._since < CHURN_NS:
            return horizon
        peak = max(self._peak, self._high)
        churned = self._sign * peak * (1.0 - self._sign * CHURN_BPS / BPS_PER_UNIT)
        if horizon is None:
            return churned
        return min(horizon, churned) if self._sign > 0.0 else max(horizon, churned)

    def _turn(self, at: Nanoseconds) -> None:
        """Put the second that has ended to the others, and forget what is older than the window."""
        peaks = self._peaks
        if self._second >= 0:
            while peaks and peaks[-1][1] <= self._high:
                peaks.pop()
            peaks.append((self._at, self._high))
        # The peak before the window still held at its start, so it goes only once the next is older too.
        while len(peaks) > 1 and peaks[1][0] <= at - CHURN_NS:
            peaks.popleft()
        self._peak = peaks[0][1] if peaks else -inf
