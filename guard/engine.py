"""Engine.process(event) -> Step: the whole guard as a pure fold. No I/O, no clock, no randomness.

    event -> state.apply -> policies decide -> arbiter folds -> dispatch publishes -> Step

The same events give the same steps, live, in paper mode, in replay and in simulation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from guard.arbiter import Arbiter, ArbiterSettings
from guard.audit import Step
from guard.desired import Desired
from guard.dispatch import Dispatch, DispatchSettings
from guard.events import (
    AccountSnapshot,
    AnyEvent,
    LiquidationSeen,
    MarketFeatures,
    MarkPriceSeen,
    OpenInterestSeen,
    Stream,
    StreamActivity,
    StreamFault,
)
from guard.findings import Finding, Limit, Reason, Severity, Subject
from guard.policy import Policy
from guard.state import GuardState
from guard.units import NS_PER_MS, NS_PER_S, AccountId, BotId, MarketId, Nanoseconds
from perpguard_sdk.messages import Entries, Evidence, Posture, StopRule

FindingKey = tuple[str, str, str | None, str | None, str | None]

_ONLY_NOTED = (MarkPriceSeen, OpenInterestSeen, LiquidationSeen, StreamActivity)
"""Events that change the state but wait for the next Tick or sample to be judged: they come often."""

LIMIT_CHANGE_RATIO = 0.05
"""A standing finding is recorded again when a number in its limit was tightened by more than this share."""

LIMIT_MILDER_RATIO = 1.0 / 3.0
"""It is recorded as milder when the number has been half as much again, or more, for ``MILDER_FOR_NS``."""

MILDER_FOR_NS = 5 * NS_PER_S

_SEVERITIES = list(Severity)


@dataclass(slots=True)
class Engine:
    """Owns the state; see the module."""

    state: GuardState
    policies: Sequence[Policy]
    arbiter: Arbiter = field(default_factory=lambda: Arbiter(ArbiterSettings()))
    dispatch: Dispatch = field(default_factory=lambda: Dispatch(DispatchSettings()))
    _wanted: Desired = field(default_factory=dict)
    _standing: dict[FindingKey, Finding] = field(default_factory=dict)
    _record: _Recorded = field(init=False)
    _broken: dict[Subject, Finding] = field(default_factory=dict)
    _confirmation: _Confirmation = field(init=False)

    def __post_init__(self) -> None:
        self._record = _Recorded()
        self._confirmation = _Confirmation()

    def process(self, event: AnyEvent) -> Step:
        """Fold one event and return what to record and to send because of it. Never raises."""
        self._apply(event)
        now = self.state.now
        if isinstance(event, _ONLY_NOTED):
            return Step(at=event.received_at, event=event)
        findings = self._decide(now)
        opened, closed = self._record.compare(self._standing, now)
        self._wanted = self.arbiter.fold(findings, self.state, now)
        if self.state.leaving:
            self._let_go()
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

    def reconfigure(
        self,
        *,
        policies: Sequence[Policy],
        arbiter: ArbiterSettings,
        dispatch: DispatchSettings,
        floors: Mapping[BotId, Posture],
    ) -> None:
        """Judge by other settings from the next event on; ``state.reconfigure`` came before.

        Args:
            policies: those that decide now.
            arbiter: how slowly restrictions go.
            dispatch: how commands are repeated.
            floors: what new bots were last told.
        """
        self.policies = policies
        self.arbiter.reconfigure(arbiter, self.state.now)
        self.dispatch.reconfigure(dispatch, floors)

    @property
    def wanted(self) -> Desired:
        """What every bot may do since the last judgement, whether or not it was said to it yet."""
        return self._wanted

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What stands since the last judgement."""
        return tuple(self._standing.values())

    def _let_go(self) -> None:
        """A market that a bot does not trade any more goes when no restriction is left on it."""
        for bot, market in tuple(self.state.leaving):
            limits = self._wanted.get(bot, {}).get(market)
            if limits is None or not limits.restricts:
                self.state.let_go(bot, market)

    def _apply(self, event: AnyEvent) -> None:
        """Fold into the state; an estimator that raises is a finding for as long as its subject makes it raise."""
        try:
            self.state.apply(event)
        except Exception as error:  # noqa: BLE001 (whatever one estimator does, the others still run)
            self._broken[_subject_of(event)] = _raised("estimators", error, _subject_of(event))
        else:
            self._broken.pop(_subject_of(event), None)

    def _decide(self, now: Nanoseconds) -> list[Finding]:
        findings = [*self.dispatch.findings(), *self._broken.values()]
        for policy in self.policies:
            try:
                findings.extend(policy.decide(self.state, now))
            except Exception as error:  # noqa: BLE001 (whatever one policy does, the others still run)
                findings.append(_raised(policy.name, error, Subject()))
        self._standing = {}
        for finding in findings:
            known = self._standing.get(finding.key)
            if known is None or _rank(finding) > _rank(known):
                self._standing[finding.key] = finding
        self._confirmation.follow(self._standing, now)
        return [finding for finding in findings if self._confirmation.is_given(finding, now)]


@dataclass(slots=True)
class _Confirmation:
    """Since when each finding has stood at each severity or worse."""

    since: dict[FindingKey, dict[int, Nanoseconds]] = field(default_factory=dict)

    def follow(self, standing: Mapping[FindingKey, Finding], now: Nanoseconds) -> None:
        """Begin to count what is new or worse, and forget what is milder or gone."""
        self.since = {
            key: {rank: self.since.get(key, {}).get(rank, now) for rank in range(_rank(finding) + 1)}
            for key, finding in standing.items()
            if finding.confirm_ms
        }

    def is_given(self, finding: Finding, now: Nanoseconds) -> bool:
        """Whether something may be asked because of the finding at ``now``."""
        if not finding.confirm_ms:
            return True
        since = self.since.get(finding.key, {}).get(_rank(finding))
        return since is not None and now - since >= finding.confirm_ms * NS_PER_MS


def _rank(finding: Finding) -> int:
    return _SEVERITIES.index(finding.severity)


@dataclass(slots=True)
class _Recorded:
    """What the audit was told last: what is worse is told at once, what is milder or gone once it has lasted.

    So evidence that jitters about a threshold, while the posture holds still, does not fill the audit.
    """

    told: dict[FindingKey, Finding] = field(default_factory=dict)
    milder_since: dict[FindingKey, Nanoseconds] = field(default_factory=dict)

    def compare(
        self, standing: Mapping[FindingKey, Finding], now: Nanoseconds
    ) -> tuple[tuple[Finding, ...], tuple[Finding, ...]]:
        """Return what to record as new or changed, and what as gone."""
        opened = tuple(finding for key, finding in standing.items() if self._tells(key, finding, now))
        gone = [key for key in self.told if key not in standing and self._has_lasted(key, now)]
        closed = tuple(self.told.pop(key) for key in gone)
        for finding in opened:
            self.told[finding.key] = finding
        for key in (*gone, *(finding.key for finding in opened)):
            self.milder_since.pop(key, None)
        return opened, closed

    def _tells(self, key: FindingKey, finding: Finding, now: Nanoseconds) -> bool:
        known = self.told.get(key)
        if known is None or _is_worse(finding, known, LIMIT_CHANGE_RATIO):
            return True
        if _is_worse(known, finding, LIMIT_MILDER_RATIO):
            return self._has_lasted(key, now)
        self.milder_since.pop(key, None)
        return False

    def _has_lasted(self, key: FindingKey, now: Nanoseconds) -> bool:
        return now - self.milder_since.setdefault(key, now) >= MILDER_FOR_NS


def _subject_of(event: AnyEvent) -> Subject:
    match event:
        case MarketFeatures() | MarkPriceSeen() | OpenInterestSeen() | LiquidationSeen():
            return Subject(market=event.market)
        case AccountSnapshot():
            return Subject(account=event.account)
        case StreamActivity(stream=Stream.ACCOUNT) | StreamFault(stream=Stream.ACCOUNT):
            return Subject(account=AccountId(event.subject))
        case StreamActivity() | StreamFault():
            return Subject(market=MarketId(event.subject))
        case _:
            return Subject()


def _raised(name: str, error: Exception, subject: Subject) -> Finding:
    """What is not judged is not known: nothing is loosened and nothing is entered."""
    return Finding(
        policy=name,
        reason=Reason.POLICY_RAISED,
        severity=Severity.ACT,
        subject=subject,
        limit=Limit(entries=Entries.REDUCE_ONLY),
        evidence=(Evidence(name="error", value=f"{type(error).__name__}: {error}", unit="text"),),
        counterfactual="would not stand if it had not failed; report it with the audit of this step",
        freezes=True,
    )


def _is_worse(new: Finding, old: Finding, ratio: float) -> bool:
    """Whether anything in ``new`` is tighter than in ``old``, a number by more than ``ratio``."""
    severities = _SEVERITIES.index(new.severity), _SEVERITIES.index(old.severity)
    entries = (
        (new.limit.entries or Entries.ALLOWED).tightness,
        (old.limit.entries or Entries.ALLOWED).tightness,
    )
    return (
        severities[0] > severities[1]
        or entries[0] > entries[1]
        or (new.freezes and not old.freezes)
        or _is_less(new.limit.max_size, old.limit.max_size, ratio)
        or _is_less(new.limit.max_leverage, old.limit.max_leverage, ratio)
        or _has_moved(new.limit.stop, old.limit.stop)
    )


def _is_less(new: float | None, old: float | None, ratio: float) -> bool:
    if new is None or old is None:
        return new is not None and old is None
    return new < old * (1.0 - ratio)


def _has_moved(new: StopRule | None, old: StopRule | None) -> bool:
    if new is None or old is None:
        return new is not None and old is None
    if new.stop_price is None or old.stop_price is None:
        return new.stop_price is not None
    return abs(new.stop_price - old.stop_price) > LIMIT_CHANGE_RATIO * abs(old.stop_price)
