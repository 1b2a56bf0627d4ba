"""Loosen nothing while the broker or the audit is away: what cannot be said or recorded is not done."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from guard.events import LinkKind
from guard.findings import Finding, Reason, Severity, Subject
from guard.state import GuardState
from guard.units import Nanoseconds
from perpguard_sdk.messages import Evidence

_REASONS = {
    LinkKind.BROKER: Reason.BROKER_DOWN,
    LinkKind.AUDIT: Reason.AUDIT_DOWN,
    LinkKind.ENGINE: Reason.OVERLOADED,
    LinkKind.SETTINGS: Reason.SETTINGS_REFUSED,
    LinkKind.CLOCK: Reason.CLOCK_OFFSET,
    LinkKind.DISK: Reason.DISK_SHORT,
}

_ONLY_SAID = (LinkKind.SETTINGS, LinkKind.CLOCK, LinkKind.DISK)
"""What someone should look at, while the guard knows all that it needs to loosen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DistrustLinks:
    """Freezes every restriction while something that the daemon depends on is down. Nothing to set but on or off.

    Settings that were refused, a clock that is off and a disk that is nearly full are said, and freeze nothing.

    Attributes:
        enabled: whether it decides at all.
    """

    __pydantic_config__ = {"extra": "forbid"}
    name = "distrust_links"

    enabled: bool = True

    def decide(self, state: GuardState, now: Nanoseconds) -> Iterator[Finding]:  # noqa: ARG002 (part of Policy)
        """Yield one finding for each link that is down."""
        if not self.enabled:
            return
        for link, event in state.links_down.items():
            yield Finding(
                policy=self.name,
                reason=_REASONS[link],
                severity=Severity.WATCH if link in _ONLY_SAID else Severity.ACT,
                subject=Subject(),
                evidence=(Evidence(name=str(link), value=event.detail, unit="text"),),
                counterfactual=f"would not stand with the {link} back",
                freezes=link not in _ONLY_SAID,
            )
