"""From a venue's frames to the engine's event: what an exchange adapter feeds, market by market. No I/O."""

from __future__ import annotations

from collections import deque

from guard.errors import MalformedFrameError
from guard.events import BookSide, BookStatus, MarketFeatures
from guard.market.book import Book, Levels, Side
from guard.market.liquidity import imbalance, side_features
from guard.units import BPS_PER_UNIT, NS_PER_S, MarketId, Nanoseconds

CHURN_BPS = 10.0
"""Near the touch every level is replaced so often that diffs alone come to know all of it ..."""

CHURN_S = 60.0
"""... within this time: of the notional within 10 bps, 100 % on BTC and 96 % on ETH (Binance, 2024)."""

HORIZON_BPS_MIN = 5.0
"""With less than this known on a side, a new snapshot is worth its cost."""


TURN_BPS = 5.0
TURN_LEVELS = 20
TURN_RATIO = 0.5
"""See ``MarketSampler.has_turned``: recorded BTC books turn about once in 2 s, ETH once in 15 s (2023-24)."""


class MarketSampler:
    """Keeps one market's book and flow up to date and samples them when judgement is due.

    Feed it in the order of arrival; ``sample`` coalesces everything since the previous sample.

    How far the book is complete: a snapshot shows each side up to its last level; afterwards diffs name
    only what changes. When price has drifted past that, the near levels are known again because they
    churn: a price that has been within ``CHURN_BPS`` of the touch for ``CHURN_S`` is taken as known.
    The farther of the two is the horizon, and everything behind it is extrapolated.

    A venue that keeps a window of its best levels by itself (``windowed``) never speaks of what lies behind
    it, churned or not: there the horizon is the last level held, however price moves.

    Assumptions: frames are applied in the venue's order (the adapter checks sequence numbers) and
    ``sample`` is called at least every few seconds, since it is what watches the touch.
    Failure modes: between leaving the snapshot and a minute of churn nothing is visible: depth within
    10 bps is then a lower bound (half in the first seconds, on ETH) until ``wants_snapshot`` is met.

    Attributes:
        market: whose book it is.
        book: the book; read it freely, change it only through this class.

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
        self.book = book
        self._gapped = False
        self._book_at: Nanoseconds | None = None
        self._exchange_at: Nanoseconds | None = None
        self._buy_usd = self._sell_usd = 0.0
        self._updates = self._gaps = 0
        self._sampled: tuple[float, float, float] | None = None
        self._churned = {Side.BID: _ChurnHorizon(Side.BID), Side.ASK: _ChurnHorizon(Side.ASK)}

    def on_snapshot(
        self, bids: Levels, asks: Levels, received_at: Nanoseconds, exchange_at: Nanoseconds | None = None
    ) -> None:
        """Replace the book; ends a gap. Raises MalformedFrameError, and then the book counts as gapped."""
        try:
            self.book.load(bids, asks)
        except MalformedFrameError:
            self.mark_gapped()
            raise
        self._gapped = False
        self._applied(received_at, exchange_at)

    def on_deltas(
        self, bids: Levels, asks: Levels, received_at: Nanoseconds, exchange_at: Nanoseconds | None = None
    ) -> None:
        """Set absolute sizes. Raises MalformedFrameError, and then the book counts as gapped: it was lost."""
        try:
            self.book.apply(bids, asks)
        except MalformedFrameError:
            self.mark_gapped()
            raise
        self._applied(received_at, exchange_at)

    def on_trade(self, signed_notional_usd: float) -> None:
        """Count a trade by its taker: positive bought, negative sold."""
        if signed_notional_usd >= 0.0:
            self._buy_usd += signed_notional_usd
        else:
            self._sell_usd -= signed_notional_usd

    def mark_gapped(self) -> None:
        """An update was lost: the book is not to be believed until the next snapshot."""
        if not self._gapped:
            self._gaps += 1
        self._gapped = True

    def mark_unsynced(self) -> None:
        """The connection was lost or renewed: forget the book until the next snapshot."""
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
        """Whether the book differs so much from the last sample that the next one should not wait.

        That is: the mid moved by ``TURN_BPS``, or the size on the best ``TURN_LEVELS`` levels of a side
        fell below ``TURN_RATIO`` of what it was. Cheap enough to be asked after every diff.
        """
        touch = self._touch()
        if touch is None or self._sampled is None:
            return False
        mid, bid_size, ask_size = touch
        mid_then, bid_then, ask_then = self._sampled
        moved = abs(mid - mid_then) >= mid_then * TURN_BPS / BPS_PER_UNIT
        return moved or bid_size < bid_then * TURN_RATIO or ask_size < ask_then * TURN_RATIO

    def _touch(self) -> tuple[float, float, float] | None:
        bid, ask = self.book.best_bid(), self.book.best_ask()
        if bid is None or ask is None:
            return None
        sizes = [float(self.book.side(side)[1][:TURN_LEVELS].sum()) for side in (Side.BID, Side.ASK)]
        return (bid[0] + ask[0]) / 2.0, sizes[0], sizes[1]

    def sample(self, received_at: Nanoseconds) -> MarketFeatures:
        """Measure now and start counting flow anew. Never raises; a book not OK has no prices or sides."""
        status = self.status
        self._sampled = self._touch()
        horizons: dict[Side, float | None] = {Side.BID: None, Side.ASK: None}
        bid, ask = self.book.best_bid(), self.book.best_ask()
        if status is BookStatus.OK and bid is not None and ask is not None:
            for side, touch in ((Side.BID, bid[0]), (Side.ASK, ask[0])):
                if self._windowed:
                    horizons[side] = float(self.book.side(side)[0][-1])
                else:
                    horizons[side] = self._churned[side].farther(received_at, touch, self.book.horizon(side))
        features = features_from(
            self.book,
            market=self.market,
            received_at=received_at,
            exchange_at=self._exchange_at,
            status=status,
            horizons=horizons,
            book_at=self._book_at,
            buy_usd=self._buy_usd,
            sell_usd=self._sell_usd,
            updates=self._updates,
            gaps=self._gaps,
        )
        self._buy_usd = self._sell_usd = 0.0
        self._updates = self._gaps = 0
        return features

    def _applied(self, received_at: Nanoseconds, exchange_at: Nanoseconds | None) -> None:
        self._book_at = received_at
        self._exchange_at = exchange_at
        self._updates += 1


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
        mid = (bid[0] + ask[0]) / 2.0
        ends = horizons or {}
        bids = side_features(*book.side(Side.BID), mid, horizon=ends.get(Side.BID) or book.horizon(Side.BID))
        asks = side_features(*book.side(Side.ASK), mid, horizon=ends.get(Side.ASK) or book.horizon(Side.ASK))
        balance = imbalance(bids, asks)
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


class _ChurnHorizon:
    """The price up to which a side has been within ``CHURN_BPS`` of its touch for all of ``CHURN_S``.

    For bids that is the highest of the touches of the last minute, less 10 bps: a sliding maximum.
    """

    __slots__ = ("_peaks", "_sign", "_since")

    def __init__(self, side: Side) -> None:
        self._sign = 1.0 if side is Side.BID else -1.0
        self._peaks: deque[tuple[Nanoseconds, float]] = deque()
        self._since: Nanoseconds | None = None

    def reset(self) -> None:
        self._peaks.clear()
        self._since = None

    def farther(self, at: Nanoseconds, touch: float, horizon: float | None) -> float | None:
        """The farther of the snapshot's ``horizon`` and what has churned, having seen ``touch`` at ``at``."""
        if self._since is None:
            self._since = at
        ranked = self._sign * touch
        while self._peaks and self._peaks[-1][1] <= ranked:
            self._peaks.pop()
        self._peaks.append((at, ranked))
        span = int(CHURN_S * NS_PER_S)
        # The peak before the window still held at its start, so it goes only once the next is older too.
        while len(self._peaks) > 1 and self._peaks[1][0] <= at - span:
            self._peaks.popleft()
        if at - self._since < span:
            return horizon
        churned = self._sign * self._peaks[0][1] * (1.0 - self._sign * CHURN_BPS / BPS_PER_UNIT)
        if horizon is None:
            return churned
        return min(horizon, churned) if self._sign > 0.0 else max(horizon, churned)
