"""The state of the engine as rows of a series: one market at one time each. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from adapters.history.series_file import SeriesRow
from guard.audit import Step
from guard.engine import Engine
from guard.events import DEPTH_BANDS_BPS, LiquidationSeen
from guard.findings import Finding, Severity
from guard.market.book import Side
from guard.market.view import MarketView
from guard.units import MarketId, Nanoseconds, venue_of
from perpguard_sdk.messages import Entries

NOTIONAL_USD = 500.0
_RANK = {severity: rank for rank, severity in enumerate(Severity)}


@dataclass(slots=True)
class _Since:
    """What happened in a market since its former row."""

    longs_usd: float = 0.0
    shorts_usd: float = 0.0
    opened: int = 0
    closed: int = 0


@dataclass(slots=True)
class Rows:
    """Give it every step; ``take`` the rows when they are due."""

    engine: Engine
    _since: dict[MarketId, _Since] = field(default_factory=dict)

    def note(self, step: Step) -> None:
        """Count what a step tells of each market."""
        event = step.event
        if isinstance(event, LiquidationSeen):
            since = self._since.setdefault(event.market, _Since())
            if event.size > 0.0:
                since.longs_usd += event.notional_usd
            else:
                since.shorts_usd += event.notional_usd
        for finding in step.opened:
            if finding.subject.market is not None:
                self._since.setdefault(finding.subject.market, _Since()).opened += 1
        for finding in step.closed:
            if finding.subject.market is not None:
                self._since.setdefault(finding.subject.market, _Since()).closed += 1

    def take(self, at: Nanoseconds) -> Iterator[SeriesRow]:
        """Yield a row for each market that is known, in order of name."""
        worst = self._worst()
        for market, view in sorted(self.engine.state.markets.items()):
            general = _worse(worst.get(venue_of(market)), worst.get(None))
            yield self._row(view, at, _worse(worst.get(market), general))
        self._since.clear()

    def _worst(self) -> dict[MarketId | str | None, Finding]:
        """The worst about each market, each venue, and all of them; what is about a bot or account is neither."""
        worst: dict[MarketId | str | None, Finding] = {}
        for finding in self.engine.findings:
            subject = finding.subject
            if subject.market is not None or (subject.account is None and subject.bot is None):
                about = subject.market or subject.venue
                found = _worse(worst.get(about), finding)
                assert found is not None
                worst[about] = found
        return worst

    def _row(self, view: MarketView, at: Nanoseconds, worst: Finding | None) -> SeriesRow:
        since = self._since.get(view.market, _Since())
        round_trip = view.round_trip_bps(NOTIONAL_USD)
        interest = view.open_interest
        entries, max_leverage = self._told(view.market)
        return SeriesRow(
            at=at,
            market=view.market,
            trust=view.trust(at).value,
            mid_price=view.mid_price,
            spread_bps=view.spread_bps,
            bid_depth_usd=_depths(view, Side.BID),
            ask_depth_usd=_depths(view, Side.ASK),
            bid_depth_ratio=view.depth_ratio(Side.BID),
            ask_depth_ratio=view.depth_ratio(Side.ASK),
            baseline_warm=view.is_warm(at),
            round_trip_bps_500usd=None if round_trip is None else round_trip.value,
            round_trip_extrapolated=None if round_trip is None else round_trip.extrapolated,
            mark_price=view.mark_price,
            open_interest=None if interest is None else interest.open_interest,
            open_interest_usd=None if interest is None else interest.open_interest_usd,
            liquidated_longs_usd=since.longs_usd,
            liquidated_shorts_usd=since.shorts_usd,
            severity=None if worst is None else worst.severity.value,
            reason=None if worst is None else worst.reason.value,
            entries=None if entries is None else entries.value,
            max_leverage=max_leverage,
            findings_opened=since.opened,
            findings_closed=since.closed,
            outlook=self.engine.state.outlook.of(view.market),
        )

    def _told(self, market: MarketId) -> tuple[Entries | None, float | None]:
        """The tightest that any bot may do there; ``None`` for the entries where no bot was told anything."""
        limits = [by_market[market] for by_market in self.engine.wanted.values() if market in by_market]
        leverages = [each.max_leverage for each in limits if each.max_leverage is not None]
        entries = Entries.tightest(*(each.entries for each in limits)) if limits else None
        return entries, min(leverages, default=None)


def _depths(view: MarketView, side: Side) -> tuple[float | None, ...]:
    found = (view.depth_usd(side, bps) for bps in DEPTH_BANDS_BPS)
    return tuple(None if each is None else each.value for each in found)


def _worse(one: Finding | None, other: Finding | None) -> Finding | None:
    """The worse of two; of equals the first by the name of its reason, so that order does not matter."""
    if one is None or other is None:
        return one or other
    return min(one, other, key=lambda each: (-_RANK[each.severity], each.reason.value))
