"""The outlook of every market: gathers, refreshes each at its own pace, keeps what is to be told. No I/O, no clock.

    events -> reading -> map, cascade, signals -> hazard -> regime -> skill -> MarketOutlook

The state owns one, like ``guard.own_side``, and folds events into it. It finds nothing wrong and limits nobody.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from msgspec import structs

from guard.account.equity import EquityKept
from guard.events import (
    AnyEvent,
    LongShortRatioSeen,
    MarginTermsSeen,
    OpenInterestHistorySeen,
    OutlookRestored,
    OutsideFactSeen,
    TrackedPositionsSeen,
)
from guard.forecasts import MarketOutlook
from guard.market.view import MarketView
from guard.outlook.broken import Broken
from guard.outlook.estimators import Estimators
from guard.outlook.gatherer import Gatherer
from guard.outlook.memory import OutlookMemory, decode
from guard.outlook.recording import Recording
from guard.outlook.settings import OutlookSettings
from guard.units import NS_PER_S, MarketId, Nanoseconds

TOLD_SELDOM = (
    OpenInterestHistorySeen,
    LongShortRatioSeen,
    TrackedPositionsSeen,
    OutsideFactSeen,
    MarginTermsSeen,
)
"""What estimators are told beside readings."""
EARLY_SHARE = 0.9
"""A sample that comes a little before a market's time counts as on time: samples every 5 s must not be every 10 s."""
SILENT_REFRESHES = 2.0
"""A market without samples for so many refreshes is looked at all the same, at a Tick."""
SILENT_MAX = 16
"""So many of those at a Tick at most: hundreds of markets may have gone silent at once."""
LOOK_NS = NS_PER_S
"""Ticks look for silent markets, and for what is to be written, so often."""


@dataclass(slots=True)
class Outlook:
    """See the module. ``hear`` every event, ``look`` at a market after its sample, ``tick`` as time passes.

    An estimator that raises is left out, said (``broken``) and asked again at the next refresh; the others go on.
    """

    settings: OutlookSettings = field(default_factory=OutlookSettings)
    estimators: Estimators = field(default_factory=Estimators)
    broken: Broken = field(default_factory=Broken)
    equities: tuple[EquityKept, ...] = ()
    """Highs of accounts, to be remembered beside: the own side's, who tells them here."""
    recalled: tuple[EquityKept, ...] = ()
    """The same as they were remembered, for the own side to take."""
    _gatherer: Gatherer = field(default_factory=Gatherer)
    _recording: Recording = field(default_factory=Recording)
    _latest: dict[MarketId, MarketOutlook] = field(default_factory=dict)
    _looked_at: Nanoseconds = 0
    _own_at: Nanoseconds = 0

    def of(self, market: MarketId) -> MarketOutlook | None:
        """The latest outlook of a market; ``None`` before the first."""
        return self._latest.get(market)

    def suppose(self, outlook: MarketOutlook) -> None:
        """Take an outlook that was not estimated here: a market's in a made-up world, until it is estimated anew."""
        self._latest[outlook.market] = outlook

    def __iter__(self) -> Iterator[MarketOutlook]:
        """The latest outlook of every market."""
        return iter(self._latest.values())

    def hear(self, event: AnyEvent) -> None:
        """Fold an event."""
        if self.settings.enabled:
            if isinstance(event, OutlookRestored):
                self._restore(event)
            if isinstance(event, TOLD_SELDOM):
                self.estimators.hear(event, self.broken)
            self._gatherer.apply(event)

    def look(self, view: MarketView, now: Nanoseconds) -> None:
        """A market was sampled: estimate it anew if its time has come."""
        if not self.settings.enabled:
            return
        read_at = self._gatherer.read_at(view.market)
        if read_at is None or now - read_at >= self._period_ns * EARLY_SHARE:
            self._refresh(view, now)

    def tick(self, markets: Mapping[MarketId, MarketView], now: Nanoseconds) -> None:
        """Time passed: look at markets that have gone silent, and at what is to be written."""
        if not self.settings.enabled or now - self._looked_at < LOOK_NS:
            return
        self._looked_at = now
        for market in self._latest.keys() - markets.keys():
            self.forget(market)
        late_ns, found = self._period_ns * SILENT_REFRESHES, 0
        for market, view in markets.items():
            read_at = self._gatherer.read_at(market)
            if read_at is None and not self._gatherer.has_mark(market):
                continue
            if read_at is None or now - read_at >= late_ns:
                self._refresh(view, now)
                found += 1
                if found == SILENT_MAX:
                    break
        self._recording.tick(self._latest.values(), now, self.settings)

    def wants_own(self, now: Nanoseconds) -> bool:
        """Whether what one holds and what collateral is worth is to be told anew, by ``take_own``."""
        return self.settings.enabled and now - self._own_at >= self._period_ns

    def take_own(
        self, held_usd: Mapping[MarketId, float], depegs: Mapping[str, float], now: Nanoseconds
    ) -> None:
        """Take what one holds, USD by market, and how far assets are below what they stand for, log by asset."""
        self._own_at = now
        self.broken.ask("own side", None, self.estimators.take_own, held_usd, depegs, now)

    def take_worth_recording(self, now: Nanoseconds) -> tuple[MarketOutlook, ...]:
        """What is to be written down since the last call."""
        return self._recording.take(now)

    def reconfigure(self, settings: OutlookSettings) -> None:
        """Go on by other settings; what was learned is kept."""
        self.settings = settings
        self.estimators.regimes.reconfigure(settings.regime)
        if not settings.enabled:
            for market in tuple(self._latest):
                self.forget(market)

    def forget(self, market: MarketId) -> None:
        """The market is watched no more."""
        self._gatherer.forget(market)
        self._recording.forget(market)
        self._latest.pop(market, None)
        self.broken.forget(market)
        self.estimators.forget(market)

    def remember(self, guard: str, at: Nanoseconds) -> OutlookMemory:
        """Everything that would have to be learned again, to be kept over a restart."""
        return structs.replace(self.estimators.remember(guard, at), equities=self.equities)

    def _restore(self, event: OutlookRestored) -> None:
        try:
            memory = decode(event.memory)
        except ValueError:
            # Who made the event has read it before; a record holds none (guard.audit.abridged).
            return
        self.equities = self.recalled = memory.equities
        self.broken.ask("memory", None, self.estimators.restore, memory)

    @property
    def _period_ns(self) -> float:
        return self.settings.refresh_s * NS_PER_S

    def _refresh(self, view: MarketView, now: Nanoseconds) -> None:
        reading = self._gatherer.take(view.market, now, view)
        outlook = self.estimators.update(reading, self.broken)
        self._latest[view.market] = outlook
        self._recording.note(outlook)
