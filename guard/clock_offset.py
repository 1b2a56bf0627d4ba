"""Watches how far our clock is from the venues', by the times that their messages bear; says so, and does nothing else.

A message takes some time to come, never less than none. The least of ``received - sent`` over a minute is
therefore our clock's lead over the venue's plus the shortest way: below zero our clock is behind for certain,
by that much at least; far above zero it is ahead, or everything of that venue comes late. Which of the two,
`perpguard doctor` can tell. Deadlines and staleness are judged by our own clock alone, so nothing hangs on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from guard.events import AnyEvent, LinkChanged, LinkKind, MarketFeatures, MarkPriceSeen
from guard.ports import Emit, Feed
from guard.units import NS_PER_MS, NS_PER_S, Nanoseconds, venue_of

BEHIND_MS_MAX = 500.0
AHEAD_MS_MAX = 1_000.0
"""Ways of a third of a second are common, of a second not."""

BACK_RATIO = 0.8
"""Within so much of the limit it is right again."""

WINDOW_NS = 30 * NS_PER_S
"""The least of the present window and of the one before it counts: of the last 30 to 60 s."""

SEEN_MIN = 20
JUDGE_NS = 5 * NS_PER_S


@dataclass(slots=True)
class _Least:
    since: Nanoseconds
    now: Nanoseconds | None = None
    before: Nanoseconds | None = None
    seen: int = 0

    def add(self, lag: Nanoseconds, at: Nanoseconds) -> None:
        if at - self.since >= WINDOW_NS:
            fresh = at - self.since < 2 * WINDOW_NS
            self.before, self.now, self.since = (self.now if fresh else None), None, at
        self.now = lag if self.now is None else min(self.now, lag)
        self.seen += 1

    @property
    def lag_ms(self) -> float | None:
        """What the least lag is, ``None`` before enough was seen."""
        known = [each for each in (self.now, self.before) if each is not None]
        return min(known) / NS_PER_MS if known and self.seen >= SEEN_MIN else None


@dataclass(slots=True)
class ClockOffset:
    """Give it every event of a venue's feed; it emits a ``LinkChanged`` of the clock when that is off, or right again.

    >>> from guard.units import MarketId
    >>> said: list[AnyEvent] = []
    >>> watch = ClockOffset(said.append)
    >>> for second in range(40):
    ...     at = second * NS_PER_S
    ...     watch.see(MarkPriceSeen(
    ...         received_at=at, exchange_at=at + 800 * NS_PER_MS, market=MarketId("okx:BTC/USDT:USDT"), mark_price=1.0
    ...     ))
    >>> [event.detail for event in said]
    ["our clock is behind okx's by 800 ms at least: see perpguard doctor, and set it by network time"]
    """

    emit: Callable[[AnyEvent], None]
    _least: dict[str, _Least] = field(default_factory=dict)
    _off: dict[str, str] = field(default_factory=dict)
    _judge_at: Nanoseconds = 0

    def see(self, event: AnyEvent) -> None:
        """Take note of an event that bears the venue's time."""
        if not isinstance(event, MarkPriceSeen | MarketFeatures) or event.exchange_at is None:
            return
        at = event.received_at
        least = self._least.setdefault(venue_of(event.market), _Least(at))
        least.add(at - event.exchange_at, at)
        if at >= self._judge_at:
            self._judge_at = at + JUDGE_NS
            self._judge(at)

    def lags_ms(self) -> Iterator[tuple[str, float]]:
        """Yield for each venue the least time that its messages took, by our clock less its own."""
        for venue, least in self._least.items():
            if least.lag_ms is not None:
                yield venue, least.lag_ms

    def lag_ms(self, venue: str) -> float | None:
        """The least time that a venue's messages took of late, as ``lags_ms``; ``None`` before enough were seen."""
        least = self._least.get(venue)
        return None if least is None else least.lag_ms

    def _judge(self, at: Nanoseconds) -> None:
        off: dict[str, str] = {}
        for venue, lag_ms in self.lags_ms():
            ratio = BACK_RATIO if venue in self._off else 1.0
            if lag_ms < -BEHIND_MS_MAX * ratio:
                off[venue] = f"our clock is behind {venue}'s by {-lag_ms:.0f} ms at least"
            elif lag_ms > AHEAD_MS_MAX * ratio:
                off[venue] = f"our clock is ahead of {venue}'s, or its messages take {lag_ms:.0f} ms at least"
        if off.keys() != self._off.keys():
            words = "; ".join(off.values())
            self.emit(
                LinkChanged(
                    received_at=at,
                    link=LinkKind.CLOCK,
                    up=not off,
                    detail=f"{words}: see perpguard doctor, and set it by network time"
                    if off
                    else "our clock and the venues' are together again",
                )
            )
        self._off = off


@dataclass(frozen=True, slots=True)
class TimedFeed:
    """A venue's feed whose events are held against our clock as they pass; all venues share one ``watch``."""

    feed: Feed
    watch: ClockOffset

    @property
    def name(self) -> str:
        """The feed's own."""
        return self.feed.name

    async def run(self, emit: Emit) -> None:
        """Run the feed; the watch sees each event first."""

        def seen(event: AnyEvent) -> None:
            self.watch.see(event)
            emit(event)

        await self.feed.run(seen)
