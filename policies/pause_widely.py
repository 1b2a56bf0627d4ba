"""Pause a venue, an account, or everything, while a good share of its markets is under stress."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from math import ceil
from typing import Annotated, ClassVar

from annotated_types import Ge, Gt, Le

from guard.findings import Finding, Limit, Reason, Severity, Subject
from guard.market.book import Side
from guard.market.view import BookTrust, MarketView
from guard.outlook.asking import UNDER_STRESS, hazard_of, if_fresh
from guard.state import GuardState
from guard.units import NS_PER_S, MarketId, Nanoseconds, venue_of
from perpguard_sdk.messages import Entries, Evidence


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseWidely:
    """Pauses entries in all markets of a venue or an account, or everywhere, where many of them are under stress.

    What begins in half of the markets does not stop at the others: a market that is calm yet is paused with them. A
    market is under stress in the state STRESSED or CASCADE with a chance of 5 % within 15 minutes of at least
    ``hazard_stressed``; without an outlook no older than ``outlook_s_max`` if its depth was below ``thin_ratio`` of
    normal for ``thin_s``. One of which nothing is known is not counted, either way.

    A venue is paused if ``share`` of its markets that are known, and ``markets_min``, are under stress; an account
    likewise by the markets that it holds positions in, ``held_min`` at least; everything if ``share`` of the venues,
    and ``venues_min``, are paused. Nothing is loosened there meanwhile.

    Attributes:
        enabled: whether it decides at all.
        share: share of the markets (venues) that has to be under stress.
        markets_min: so many markets of a venue at least.
        held_min: so many of the markets that an account holds positions in at least.
        venues_min: so many venues at least.
        outlook_s_max: an outlook that is older, in seconds, counts as unknown.
        hazard_stressed: chance of 5 % within 15 minutes that bears out a state of stress.
        thin_ratio: depth over its normal below which a market without an outlook is under stress.
        thin_s: seconds for which it must have been so.
        confirm_s: seconds for which a finding must have stood before anything is asked because of it.
    """

    __pydantic_config__: ClassVar[object] = {"extra": "forbid"}
    name: ClassVar[str] = "pause_widely"
    at_ticks: ClassVar[bool] = True

    enabled: bool = True
    share: Annotated[float, Gt(0.0), Le(1.0)] = 0.5
    markets_min: Annotated[int, Ge(1), Le(10_000)] = 3
    held_min: Annotated[int, Ge(1), Le(10_000)] = 2
    venues_min: Annotated[int, Ge(1), Le(1_000)] = 2
    outlook_s_max: Annotated[float, Ge(5.0), Le(300.0)] = 20.0
    hazard_stressed: Annotated[float, Ge(0.0), Le(1.0)] = 0.01
    thin_ratio: Annotated[float, Gt(0.0), Le(1.0)] = 0.5
    thin_s: Annotated[float, Ge(0.0), Le(600.0)] = 30.0
    confirm_s: Annotated[float, Ge(0.0), Le(600.0)] = 5.0

    def decide(self, state: GuardState, now: Nanoseconds) -> Iterator[Finding]:
        """Yield what stands of each venue, of each account, and of everything."""
        if not self.enabled:
            return
        known = {market: self._is_stressed(state, view, now) for market, view in state.markets.items()}
        by_venue: dict[str, list[MarketId]] = defaultdict(list)
        for market, is_stressed in known.items():
            if is_stressed is not None:
                by_venue[venue_of(market)].append(market)
        stressed = {market for market, is_stressed in known.items() if is_stressed}
        paused = []
        for venue, markets in sorted(by_venue.items()):
            found = self._found(
                Subject(venue=venue), f"markets of {venue}", markets, stressed, self.markets_min
            )
            if found is not None:
                paused.append(venue)
                yield found
        everything = self._found(Subject(), "venues", list(by_venue), set(paused), self.venues_min)
        if everything is not None:
            yield everything
        for account in state.accounts.values():
            held = {
                position.market for position in account.positions if known.get(position.market) is not None
            }
            subject = Subject(account=account.account)
            found = self._found(subject, "held markets", sorted(held), stressed, self.held_min)
            if found is not None:
                yield found

    def _is_stressed(self, state: GuardState, view: MarketView, now: Nanoseconds) -> bool | None:
        """Whether a market is under stress; ``None`` where nobody knows."""
        outlook = if_fresh(state.outlook.of(view.market), now, self.outlook_s_max)
        hazard = None if outlook is None else hazard_of(outlook)
        if outlook is not None and hazard is not None:
            return outlook.regime in UNDER_STRESS and hazard >= self.hazard_stressed
        if view.trust(now) is not BookTrust.TRUSTED or not view.is_warm(now):
            return None
        thin_ns = max(view.thin_for_ns(side, self.thin_ratio, now) for side in Side)
        return thin_ns > 0 and thin_ns >= self.thin_s * NS_PER_S

    def _found(
        self, subject: Subject, what: str, members: Collection[str], stressed: Collection[str], least: int
    ) -> Finding | None:
        """Say it where enough of the members are under stress."""
        found = sorted(set(members) & set(stressed))
        needed, unit = (
            max(least, ceil(self.share * len(members))),
            what.split()[-1 if what == "held markets" else 0],
        )
        if len(found) < needed:
            return None
        return Finding(
            policy=self.name,
            reason=Reason.REGIME_STRESSED,
            severity=Severity.CRITICAL,
            subject=subject,
            limit=Limit(entries=Entries.REDUCE_ONLY),
            evidence=(
                Evidence(name=f"{what} under stress", value=len(found), unit=unit, limit=needed),
                Evidence(name=f"{what} known", value=len(members), unit=unit),
                Evidence(name="which", value=", ".join(found[:10]), unit="text"),
            ),
            confirm_ms=int(self.confirm_s * 1000),
            counterfactual=f"would not stand with fewer than {needed} of {len(members)} {what} under stress",
            freezes=True,
        )
