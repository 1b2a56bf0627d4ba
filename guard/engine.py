"""Engine.process(event) -> Step: the whole guard as a pure fold. No I/O, no clock, no randomness.

    event -> state.apply -> policies decide -> arbiter folds -> dispatch publishes -> Step

The same events give the same steps, live, in paper mode, in replay and in simulation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from guard.arbiter import Arbiter, ArbiterSettings
from guard.audit import Step
from guard.desired import Desired
from guard.dispatch import Dispatch, DispatchSettings
from guard.events import AnyEvent, LiquidationSeen, MarkPriceSeen, OpenInterestSeen, StreamActivity
from guard.findings import Finding, Limit, Reason, Severity, Subject
from guard.policy import Policy
from guard.state import GuardState
from guard.units import Nanoseconds
from perpguard_sdk.messages import Evidence

FindingKey = tuple[str, str, str | None, str | None, str | None]

_ONLY_NOTED = (MarkPriceSeen, OpenInterestSeen, LiquidationSeen, StreamActivity)
"""Events that change the state but wait for the next Tick or sample to be judged: they come often."""

LIMIT_CHANGE_RATIO = 0.05
"""A standing finding is recorded again when a number in its limit moved by more than this share."""


@dataclass(slots=True)
class Engine:
    """Owns the state; see the module."""

    state: GuardState
    policies: Sequence[Policy]
    arbiter: Arbiter = field(default_factory=lambda: Arbiter(ArbiterSettings()))
    dispatch: Dispatch = field(default_factory=lambda: Dispatch(DispatchSettings()))
    _wanted: Desired = field(default_factory=dict)
    _standing: dict[FindingKey, Finding] = field(default_factory=dict)
    _recorded: dict[FindingKey, Finding] = field(default_factory=dict)

    def process(self, event: AnyEvent) -> Step:
        """Fold one event and return what to record and to send because of it. Never raises."""
        self.state.apply(event)
        now = self.state.now
        if isinstance(event, _ONLY_NOTED):
            return Step(at=event.received_at, event=event)
        findings = self._decide(now)
        opened, closed = self._compare(findings)
        self._wanted = self.arbiter.fold(findings, self.state, now)
        dispatched = self.dispatch.step(event, self._wanted, self.state, now)
        return Step(
            at=event.received_at,
            event=event,
            opened=opened,
            closed=closed,
            postures=dispatched.postures,
            commands=dispatched.commands,
            outcomes=dispatched.outcomes,
        )

    @property
    def wanted(self) -> Desired:
        """What every bot may do since the last judgement, whether or not it was said to it yet."""
        return self._wanted

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What stands since the last judgement."""
        return tuple(self._standing.values())

    def _decide(self, now: Nanoseconds) -> list[Finding]:
        findings = list(self.dispatch.findings())
        for policy in self.policies:
            try:
                findings.extend(policy.decide(self.state, now))
            except Exception as error:  # noqa: BLE001 (whatever one policy does, the others still run)
                findings.append(_raised(policy.name, error))
        return findings

    def _compare(self, findings: list[Finding]) -> tuple[tuple[Finding, ...], tuple[Finding, ...]]:
        """What is new or changed enough to record, and what no policy says any more."""
        self._standing = {finding.key: finding for finding in findings}
        opened = tuple(
            finding
            for key, finding in self._standing.items()
            if (known := self._recorded.get(key)) is None or _has_changed(known, finding)
        )
        closed = tuple(finding for key, finding in self._recorded.items() if key not in self._standing)
        for finding in closed:
            del self._recorded[finding.key]
        for finding in opened:
            self._recorded[finding.key] = finding
        return opened, closed


def _raised(policy: str, error: Exception) -> Finding:
    return Finding(
        policy=policy,
        reason=Reason.POLICY_RAISED,
        severity=Severity.ACT,
        subject=Subject(),
        limit=Limit(),
        evidence=(Evidence(name="error", value=f"{type(error).__name__}: {error}", unit="text"),),
        counterfactual="would not stand if the policy had not failed; report it with the audit of this step",
        freezes=True,
    )


def _has_changed(old: Finding, new: Finding) -> bool:
    if (old.severity, old.freezes, old.limit.entries) != (new.severity, new.freezes, new.limit.entries):
        return True
    pairs = (
        (old.limit.max_size, new.limit.max_size),
        (old.limit.max_leverage, new.limit.max_leverage),
        (_stop_price(old), _stop_price(new)),
    )
    return any(_has_moved(before, after) for before, after in pairs)


def _stop_price(finding: Finding) -> float | None:
    return finding.limit.stop.stop_price if finding.limit.stop is not None else None


def _has_moved(before: float | None, after: float | None) -> bool:
    if before is None or after is None:
        return before is not after
    return abs(after - before) > LIMIT_CHANGE_RATIO * max(abs(before), abs(after))
