"""The fold of one market's events into what policies ask about it. Deterministic; no I/O, no clock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from msgspec.structs import replace

from guard.events import (
    CURVE_BPS,
    BookSide,
    BookStatus,
    LiquidationSeen,
    MarketFeatures,
    MarkPriceSeen,
    OpenInterestSeen,
    Stream,
    StreamActivity,
    StreamFault,
)
from guard.market import liquidity
from guard.market.baseline import Baseline, BaselineSettings
from guard.market.book import Side
from guard.market.flow import PriceResponse, SlidingSum
from guard.market.freshness import StreamClock, StreamState
from guard.market.liquidity import Estimate
from guard.market.recovery import BookRecovery
from guard.market.side_memory import SideMemory
from guard.units import BPS_PER_UNIT, NS_PER_MS, NS_PER_S, MarketId, Nanoseconds

__all__ = ["BaselineSettings", "BookTrust", "Estimate", "MarketView"]

MARK_DOUBT_RATIO = 0.02
"""So far from the middle of a market's own book is a mark price doubted; premiums of perpetuals are a tenth of it."""

MARK_DOUBT_S = 5.0
"""After so long a doubted mark price is believed: it was told again meanwhile, venues do so every 1 to 3 s."""

_REFILL_AT = CURVE_BPS.index(25.0)
"""Sweeps are looked for in the depth within this distance of mid."""


class BookTrust(StrEnum):
    """Whether this market's book may be acted on; everything but TRUSTED is unknown, never calm."""

    TRUSTED = "trusted"
    STALE = "stale"
    RECOVERING = "recovering"
    NEVER = "never"
    CROSSED = "crossed"
    GAPPED = "gapped"
    EMPTY = "empty"
    UNSYNCED = "unsynced"


@dataclass(slots=True)
class MarketView:
    """Everything known of one market. Feed it with ``apply``; asking changes nothing.

    What needs the book answers ``None`` while the last sample had no usable one. It does *not* look at
    freshness: ask ``trust(now)`` first. Depth and its baseline are those within ``settings.band_bps``.

    Learning freezes while a side's depth is at or below both ``freeze_z`` and ``freeze_ratio``, and goes
    on once both sides are half-way back, so that a crisis does not become normal; after ``freeze_s_max`` the baseline
    is learned anew, ``is_warm`` is false until that is done, and ``baseline_relearned_at`` tells when.

    Attributes:
        market: whose view it is; events of others are ignored.
        settings: how normal is learned and when a stream is stale.
        features: the latest sample, whatever its status.
        mark: the latest mark price.
        open_interest: the latest open interest.
        baseline_relearned_at: when a frozen baseline was last given up, ``None`` for never.
        expected_at: since when its streams are expected, ``None`` where nobody has said that they are watched.
        absent: streams that its venue cannot give: their silence says nothing.
        recovery: whether its book was hurt, and how far it has come back.

    Assumptions: events come in the order of ``received_at``. Failure modes: those of its parts; and
    with the band wider than what is visible, depth and its normal are both extrapolated, so that a
    thinning behind the visible levels goes unseen.

    >>> from guard.events import MarkPriceSeen
    >>> view = MarketView(MarketId("binanceusdm:BTC/USDT:USDT"))
    >>> view.apply(MarkPriceSeen(received_at=1, market=view.market, mark_price=60_000.0))
    >>> view.mark_price, view.mid_price, view.trust(now=1).value
    (60000.0, None, 'never')
    """

    market: MarketId
    settings: BaselineSettings = field(default_factory=BaselineSettings)
    features: MarketFeatures | None = None
    mark: MarkPriceSeen | None = None
    open_interest: OpenInterestSeen | None = None
    baseline_relearned_at: Nanoseconds | None = None
    expected_at: Nanoseconds | None = None
    absent: frozenset[Stream] = frozenset()
    recovery: BookRecovery = field(init=False, repr=False, default_factory=BookRecovery)
    _periods_ms: dict[Stream, int] = field(init=False, repr=False)
    _bids: SideMemory = field(init=False, repr=False)
    _asks: SideMemory = field(init=False, repr=False)
    _spread: Baseline = field(init=False, repr=False)
    _flow: SlidingSum = field(init=False, repr=False)
    _liquidations: SlidingSum = field(init=False, repr=False)
    _response: PriceResponse = field(init=False, repr=False)
    _clocks: dict[Stream, StreamClock] = field(init=False, repr=False)
    _book_clock: StreamClock | None = field(init=False, repr=False, default=None)
    _mark_clock: StreamClock | None = field(init=False, repr=False, default=None)
    _mid: float | None = field(init=False, repr=False, default=None)
    _spread_bps: float | None = field(init=False, repr=False, default=None)
    _frozen_at: Nanoseconds | None = field(init=False, repr=False, default=None)
    _ok_since: Nanoseconds | None = field(init=False, repr=False, default=None)

    def __post_init__(self) -> None:
        self._bids = SideMemory(_baseline(self.settings))
        self._asks = SideMemory(_baseline(self.settings))
        self._spread = _baseline(self.settings)
        self._flow, self._liquidations = SlidingSum(), SlidingSum()
        self._response = PriceResponse()
        self._clocks = {}
        self._periods_ms = {}

    # ---------------------------------------------------------------- the one mutation

    def apply(self, event: object) -> None:
        """Fold one event; those of other markets or of no concern are ignored."""
        match event:
            case MarketFeatures(market=self.market):
                self._apply_features(event)
            case MarkPriceSeen(market=self.market):
                self.mark = event
                (self._mark_clock or self._clock(Stream.MARK_PRICE)).hear(event.received_at)
            case OpenInterestSeen(market=self.market):
                self.open_interest = event
                self._clock(Stream.OPEN_INTEREST).hear(event.received_at)
            case LiquidationSeen(market=self.market):
                self._liquidations.add(event.received_at, event.notional_usd)
            case StreamActivity(subject=self.market) | StreamFault(subject=self.market):
                self._clock(event.stream).apply(event)
            case _:
                pass

    def reconfigure(self, settings: BaselineSettings) -> None:
        """Judge and learn by other settings from now on; depth within another band is learned anew."""
        former, self.settings = self.settings, settings
        learning = {
            "half_life_s": settings.half_life_s,
            "warm_up_s": settings.warm_up_s,
            "forget_s": settings.freeze_s_max,
        }
        self._spread.reconfigure(**learning)
        for memory in (self._bids, self._asks):
            memory.depth.reconfigure(**learning)
            if settings.band_bps != former.band_bps:
                memory.depth = _baseline(settings)
                memory.below.clear()
                self._frozen_at = None
        if settings.band_bps != former.band_bps:
            self.recovery = BookRecovery()
        self._look_again()
        for clock in self._clocks.values():
            clock.reconfigure(limit_ms_min=settings.stale_ms_min, recover_ms=settings.recover_ms)

    def expect(self, periods_ms: Mapping[Stream, int], absent: Iterable[Stream], at: Nanoseconds) -> None:
        """Take it that the market is watched from ``at`` on: how often its streams speak, which never will."""
        if self.expected_at is None:
            self.expected_at = at
        self.absent = frozenset(absent)
        self._periods_ms = dict(periods_ms)
        for stream, clock in self._clocks.items():
            clock.expect(self._periods_ms.get(stream, 0))

    # ---------------------------------------------------------------- prices

    @property
    def mid_price(self) -> float | None:
        """Half-way between best bid and best ask."""
        return self._mid

    @property
    def mark_price(self) -> float | None:
        """The venue's latest mark price, on which liquidations trigger; see ``stream_state`` for its age."""
        return None if self.mark is None else self.mark.mark_price

    @property
    def spread_bps(self) -> float | None:
        """Best ask less best bid, in bps of mid."""
        return self._spread_bps

    # ---------------------------------------------------------------- depth and cost now

    def depth_usd(self, side: Side, bps: float) -> Estimate | None:
        """Notional resting within ``bps`` of mid."""
        book = self._book_side(side)
        return None if book is None else liquidity.depth_usd(book, bps)

    def round_trip_bps(self, notional_usd: float) -> Estimate | None:
        """Cost of buying ``notional_usd`` and selling it at once."""
        bids, asks = self._book_side(Side.BID), self._book_side(Side.ASK)
        if bids is None or asks is None:
            return None
        return liquidity.round_trip_bps(bids, asks, notional_usd)

    def exit_cost_bps(self, size: float) -> Estimate | None:
        """Cost against mid, positive, of closing a position of signed ``size`` base units at market."""
        mid = self.mid_price
        book = self._book_side(Side.BID if size >= 0.0 else Side.ASK)
        if book is None or mid is None:
            return None
        return liquidity.slippage_bps(book, abs(size) * mid)

    def reach_bps(self, side: Side, notional_usd: float) -> Estimate | None:
        """How far from mid a market order of ``notional_usd`` into ``side`` goes."""
        book = self._book_side(side)
        return None if book is None else liquidity.reach_bps(book, notional_usd)

    def thin_zones(self, side: Side) -> tuple[tuple[float, float], ...]:
        """Price bands (low, high) in which far less rests than belongs there, nearest first."""
        book, mid = self._book_side(side), self.mid_price
        if book is None or mid is None:
            return ()
        memory = self._memory(side)
        normal = memory.density() if memory.depth.is_warm else None
        return liquidity.thin_zones(book, side, mid, normal_density=normal)

    # ---------------------------------------------------------------- against normal

    def normal_depth_usd(self, side: Side) -> float | None:
        """What depth within the band usually is at this hour."""
        return self._memory(side).depth.normal()

    def depth_ratio(self, side: Side) -> float | None:
        """Depth within the band now over normal: 1 is normal, 0.2 a fifth of it."""
        return self._bids.ratio if side is Side.BID else self._asks.ratio

    def is_depth_seen(self, side: Side) -> bool:
        """Whether the levels that are told reach as far as the band whose depth is judged."""
        depth = self.depth_usd(side, self.settings.band_bps)
        return depth is not None and not depth.extrapolated

    def depth_z(self, side: Side) -> float | None:
        """Robust z-score of log depth within the band; negative is thin."""
        memory = self._memory(side)
        return None if memory.depth_usd is None else memory.depth.z(memory.depth_usd)

    @property
    def spread_z(self) -> float | None:
        """Robust z-score of ``log(1 bp + spread)``: changes far below a bp do not count."""
        spread = self.spread_bps
        return None if spread is None else self._spread.z(1.0 + spread)

    @property
    def spread_ratio(self) -> float | None:
        """Spread over normal, both with 1 bp added, so that one tick more of a tiny spread is not double."""
        spread, normal = self.spread_bps, self._spread.normal()
        return (1.0 + spread) / normal if spread is not None and normal else None

    def thin_for_ns(self, side: Side, ratio: float, now: Nanoseconds) -> Nanoseconds:
        """How long ``depth_ratio`` has been below ``ratio`` without a break; 0 if it is not, or unknown.

        Time counts only as far as the book has shown signs of life: silence is not thinness.
        """
        memory = self._memory(side)
        since = memory.below.since(ratio)
        if since is None:
            return 0
        heard_at = None if self._book_clock is None else self._book_clock.last_at
        alive = max(memory.below.last_at, heard_at or 0)
        return max(min(now, alive) - since, 0)

    def is_warm(self, now: Nanoseconds) -> bool:
        """Whether the baselines rest on enough data, and on data younger than ``freeze_s_max``."""
        if self.features is None or not self._has_observed_enough:
            return False
        ok_at = self._bids.below.last_at
        return ok_at > 0 and now - ok_at <= self.settings.freeze_s_max * NS_PER_S

    @property
    def baseline_frozen(self) -> bool:
        """Whether learning stands still because the market is stressed."""
        return self._frozen_at is not None

    # ---------------------------------------------------------------- flow

    @property
    def refill_half_life_ms(self) -> float | None:
        """How fast depth comes back after a sweep, the slower side; ``None`` before the first sweep."""
        if self.features is None:
            return None
        now = self.features.received_at
        known = [memory.refill.half_life_ms(now) for memory in (self._bids, self._asks)]
        return max((value for value in known if value is not None), default=None)

    def cvd_usd(self, window_s: float) -> float:
        """Takers' buying less selling over the last ``window_s`` up to the latest sample, at most an hour."""
        return 0.0 if self.features is None else self._flow.total(window_s, self.features.received_at)

    @property
    def price_response_bps_per_musd(self) -> float | None:
        """How far mid moves for each million USD that takers buy (Kyle's lambda)."""
        return self._response.bps_per_musd

    def liquidations_usd(self, window_s: float, now: Nanoseconds) -> float:
        """Notional seen liquidated in the last ``window_s``, both sides, at most an hour; a lower bound."""
        return self._liquidations.total(window_s, now)

    # ---------------------------------------------------------------- trust

    def trust(self, now: Nanoseconds) -> BookTrust:
        """Judge the book at ``now``: silence first, then what the book says of itself, then recovery."""
        clock = self._book_clock
        if self.features is None or clock is None:
            return BookTrust.NEVER
        state = clock.state(now)
        if state is StreamState.NEVER:
            return BookTrust.NEVER
        if state is StreamState.STALE:
            return BookTrust.STALE
        if self.features.status is not BookStatus.OK:
            return BookTrust(self.features.status.value)
        ok_since = self._ok_since
        if state is StreamState.RECOVERING or ok_since is None:
            return BookTrust.RECOVERING
        is_recovered = now - ok_since >= self.settings.recover_ms * NS_PER_MS
        return BookTrust.TRUSTED if is_recovered else BookTrust.RECOVERING

    def is_mark_doubted(self, size: float) -> bool:
        """Whether the mark price is far worse for a position of a signed ``size`` than the middle of its own book.

        A single wrong mark price stands until the next one comes, which at some venues is seconds: whoever acts on it
        has to wait for another.
        """
        mark, mid = self.mark_price, self._mid
        if mark is None or mid is None or mid <= 0.0:
            return False
        worse = mid - mark if size > 0.0 else mark - mid
        return worse > MARK_DOUBT_RATIO * mid

    def stream_state(self, stream: Stream, now: Nanoseconds) -> StreamState:
        """How fresh one stream is; NEVER before its first sign of life."""
        clock = self._mark_clock if stream is Stream.MARK_PRICE else self._clocks.get(stream)
        return StreamState.NEVER if clock is None else clock.state(now)

    def is_missing(self, stream: Stream, now: Nanoseconds) -> bool:
        """Whether a stream that is expected has never said anything for longer than its silence may last."""
        if self.expected_at is None or stream in self.absent or stream in self._clocks:
            return False
        limit_ms = max(self.settings.stale_ms_min, 5 * self._periods_ms.get(stream, 0))
        return now - self.expected_at > limit_ms * NS_PER_MS

    def silence_ms(self, stream: Stream, now: Nanoseconds) -> int | None:
        """Milliseconds since the stream last said anything; ``None`` if it never did."""
        clock = self._clocks.get(stream)
        return None if clock is None or clock.last_at is None else (now - clock.last_at) // NS_PER_MS

    def silence_ms_max(self, stream: Stream) -> int:
        """Silence beyond which the stream is stale, milliseconds."""
        clock = self._clocks.get(stream)
        return self.settings.stale_ms_min if clock is None else clock.limit_ns // NS_PER_MS

    # ---------------------------------------------------------------- within

    @property
    def _has_observed_enough(self) -> bool:
        return self._bids.depth.is_warm and self._asks.depth.is_warm

    def _memory(self, side: Side) -> SideMemory:
        return self._bids if side is Side.BID else self._asks

    def _book_side(self, side: Side) -> BookSide | None:
        if self.features is None:
            return None
        return self.features.bids if side is Side.BID else self.features.asks

    def _clock(self, stream: Stream) -> StreamClock:
        clock = self._clocks.get(stream)
        if clock is None:
            clock = self._clocks[stream] = StreamClock(
                limit_ms_min=self.settings.stale_ms_min, recover_ms=self.settings.recover_ms
            )
            clock.expect(self._periods_ms.get(stream, 0))
            if stream is Stream.BOOK:
                self._book_clock = clock
            elif stream is Stream.MARK_PRICE:
                self._mark_clock = clock
        return clock

    def _apply_features(self, features: MarketFeatures) -> None:
        at = features.received_at
        if _is_crossed(features):
            # Who wrote it may not have looked; what rests on it would fail, or be believed.
            features = replace(features, status=BookStatus.CROSSED)
        self.features = features
        if features.book_at is not None and features.updates:
            (self._book_clock or self._clock(Stream.BOOK)).hear(features.book_at)
        flow = features.buy_usd - features.sell_usd
        self._flow.add(at, flow)
        bid, ask = features.bid, features.ask
        if bid is None or ask is None:
            mid = self._mid = self._spread_bps = None
        else:
            mid = self._mid = (bid + ask) / 2.0
            self._spread_bps = (ask - bid) / mid * BPS_PER_UNIT
        self._look_again()
        if features.status is not BookStatus.OK or mid is None:
            self._interrupt()
            return
        if self._ok_since is None:
            self._ok_since = at
        self._response.observe(at, mid, flow)
        for memory, book in ((self._bids, features.bids), (self._asks, features.asks)):
            if book is not None:
                memory.refill.observe(at, book.curve_usd[_REFILL_AT])
        self._learn(at)
        for memory in (self._bids, self._asks):
            memory.look_again()
            if memory.ratio is not None:
                memory.below.push(at, memory.ratio)
        self._observe_recovery(at)

    def _observe_recovery(self, at: Nanoseconds) -> None:
        bids, asks = self._bids.ratio, self._asks.ratio
        if bids is not None and asks is not None and self._has_observed_enough:
            refill_ms = self.refill_half_life_ms
            self.recovery.observe(at, min(bids, asks), self.spread_ratio, self._spread_bps, refill_ms)

    def _look_again(self) -> None:
        """Work out once what is asked of the latest sample many times."""
        band_bps, features = self.settings.band_bps, self.features
        for memory, book in (
            (self._bids, None if features is None else features.bids),
            (self._asks, None if features is None else features.asks),
        ):
            memory.depth_usd = None if book is None else liquidity.depth_usd(book, band_bps).value
            memory.look_again()

    def _interrupt(self) -> None:
        """The book is unknown: what counts time without a break starts again."""
        self._ok_since = None
        self._response.interrupt()
        self.recovery.interrupt()
        for memory in (self._bids, self._asks):
            memory.refill.interrupt()
            memory.below.clear()

    def _learn(self, at: Nanoseconds) -> None:
        self._judge_freeze(at)
        if self._frozen_at is not None:
            self._bids.depth.touch(at)
            self._asks.depth.touch(at)
            self._spread.touch(at)
            return
        for side, memory in ((Side.BID, self._bids), (Side.ASK, self._asks)):
            book, depth_usd = self._book_side(side), memory.depth_usd
            if book is not None and depth_usd is not None and depth_usd > 0.0:
                memory.learn_density(at, book, self.settings.half_life_s)
                memory.depth.observe(at, depth_usd)
        if self._spread_bps is not None:
            self._spread.observe(at, 1.0 + self._spread_bps)

    def _judge_freeze(self, at: Nanoseconds) -> None:
        scored = [
            (memory, ratio) for memory in (self._bids, self._asks) if (ratio := memory.ratio) is not None
        ]
        if not scored or not self._has_observed_enough:
            self._frozen_at = None
            return
        limit_z, limit_ratio = self.settings.freeze_z, self.settings.freeze_ratio
        if self._frozen_at is None:
            if any(ratio <= limit_ratio and memory.z <= limit_z for memory, ratio in scored):
                self._frozen_at = at
        elif all(ratio > (1.0 + limit_ratio) / 2.0 or memory.z > limit_z / 2.0 for memory, ratio in scored):
            self._frozen_at = None
        elif at - self._frozen_at > self.settings.freeze_s_max * NS_PER_S:
            self._frozen_at = None
            self.baseline_relearned_at = at
            self._spread.relearn()
            self.recovery = BookRecovery()
            self._bids.relearn()
            self._asks.relearn()


def _baseline(settings: BaselineSettings) -> Baseline:
    return Baseline(
        half_life_s=settings.half_life_s, warm_up_s=settings.warm_up_s, forget_s=settings.freeze_s_max
    )


def _is_crossed(features: MarketFeatures) -> bool:
    """Whether prices cross that are said to be in order."""
    bid, ask = features.bid, features.ask
    return features.status is BookStatus.OK and bid is not None and ask is not None and bid >= ask
