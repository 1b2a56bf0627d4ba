"""Engine.process(event) -> Step: the whole guard as a pure fold. No I/O, no clock, no randomness.

    event -> state.apply -> policies decide -> arbiter folds -> dispatch publishes -> Step

The same events give the same steps, live, in paper mode, in replay and in simulation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from guard.arbiter import Arbiter, ArbiterSettings
from guard.audit import Step
from guard.desired import Desired
from guard.dispatch import Dispatch, Dispatched, DispatchSettings
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

_RANKS = {severity: rank for rank, severity in enumerate(Severity)}

_JUDGEMENT, _DISPATCH = ("judgement", Subject()), ("dispatch", Subject())


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
    _broken: dict[tuple[str, Subject], Finding] = field(default_factory=dict)
    _confirmation: _Confirmation = field(init=False)

    def __post_init__(self) -> None:
        self._record = _Recorded()
        self._confirmation = _Confirmation()

    def process(self, event: AnyEvent) -> Step:
        """Fold one event and return what to record and to send because of it. Never raises.

        Whatever raises within is a finding that freezes and blocks entries, for as long as it does; all
        else that was decided before stands meanwhile.
        """
        self._apply(event)
        now = self.state.now
        if isinstance(event, _ONLY_NOTED):
            return Step(at=event.received_at, event=event)
        opened, closed = self._judge(now)
        if self.state.dropping:
            self._let_go()
        try:
            dispatched = self.dispatch.step(event, self._wanted, self.state, now)
            self._broken.pop(_DISPATCH, None)
        except Exception as error:  # noqa: BLE001 (what it says is repeated; the daemon must go on)
            self._broken[_DISPATCH] = _raised("dispatch", error, Subject())
            dispatched = Dispatched()
        return Step(
            at=event.received_at,
            event=event,
            opened=opened,
            closed=closed,
            postures=dispatched.postures,
            commands=dispatched.commands,
            outcomes=dispatched.outcomes,
        )

    def forget_shortcuts(self) -> None:
        """Work everything out anew at the next event; the same must come of it (tests hold it to that)."""
        self.arbiter.forget_shortcuts()
        self.dispatch.forget_shortcuts()

    def reconfigure(
        self,
        *,
        policies: Sequence[Policy],
        arbiter: ArbiterSettings,
        dispatch: DispatchSettings,
        floors: Mapping[BotId, Posture],
        now: Nanoseconds,
    ) -> None:
        """Judge by other settings from the next event on; ``state.reconfigure`` came before.

        Args:
            policies: those that decide now.
            arbiter: how slowly restrictions go.
            dispatch: how commands are repeated.
            floors: what new bots were last told.
            now: from when on; hold-downs of what is in force begin anew.
        """
        self.forget_shortcuts()
        self.policies = policies
        self.arbiter.reconfigure(arbiter, now)
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
        for bot, market in tuple(self.state.dropping):
            limits = self._wanted.get(bot, {}).get(market)
            if limits is None or not limits.restricts:
                self.state.let_go(bot, market)

    def _apply(self, event: AnyEvent) -> None:
        """Fold into the state; an estimator that raises is a finding for as long as its subject makes it raise."""
        try:
            self.state.apply(event)
        except Exception as error:  # noqa: BLE001 (whatever one estimator does, the others still run)
            subject = _subject_of(event)
            self._broken["estimators", subject] = _raised("estimators", error, subject)
        else:
            if self._broken:
                self._broken.pop(("estimators", _subject_of(event)), None)

    def _judge(self, now: Nanoseconds) -> tuple[tuple[Finding, ...], tuple[Finding, ...]]:
        """Decide and fold; return which findings are to be recorded as new, and which as gone."""
        try:
            findings = self._decide(now)
            self._wanted = self.arbiter.fold(findings, self.state, now)
            told = self._record.compare(self._standing, now)
            self._broken.pop(_JUDGEMENT, None)
        except Exception as error:  # noqa: BLE001 (what was decided stands, and nobody enters on it)
            raised = self._broken[_JUDGEMENT] = _raised("judgement", error, Subject())
            self._standing = {**self._standing, raised.key: raised}
            self._wanted = {
                bot: {market: limits.without_entries() for market, limits in by_market.items()}
                for bot, by_market in self._wanted.items()
            }
            told = self._record.tell(raised), ()
        return told

    def _decide(self, now: Nanoseconds) -> list[Finding]:
        findings = [*self.dispatch.findings(), *self._broken.values(), *self._raised_within()]
        for policy in self.policies:
            try:
                findings.extend(policy.decide(self.state, now))
            except Exception as error:  # noqa: BLE001 (whatever one policy does, the others still run)
                findings.append(_raised(policy.name, error, Subject()))
        standing: dict[FindingKey, Finding] = {}
        for finding in findings:
            key = finding.key
            known = standing.get(key)
            if known is None or _rank(finding) > _rank(known):
                standing[key] = finding
        self._standing = standing
        self._confirmation.follow(standing, now)
        return [
            finding
            for finding in findings
            if not finding.confirm_ms or self._confirmation.is_given(finding, now)
        ]

    def _raised_within(self) -> Iterator[Finding]:
        """Where one market of one bot could not be folded or dispatched; the others were."""
        for name, broken in (("arbiter", self.arbiter.broken), ("dispatch", self.dispatch.broken)):
            for (bot, market), error in broken.items():
                yield _raised(name, error, Subject(bot=bot, market=market))


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
    return _RANKS[finding.severity]


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
        opened = tuple([finding for key, finding in standing.items() if self._tells(key, finding, now)])
        gone = [key for key in self.told if key not in standing and self._has_lasted(key, now)]
        if not opened and not gone:
            return (), ()
        closed = tuple(self.told.pop(key) for key in gone)
        for finding in opened:
            self.told[finding.key] = finding
        for key in (*gone, *(finding.key for finding in opened)):
            self.milder_since.pop(key, None)
        return opened, closed

    def tell(self, finding: Finding) -> tuple[Finding, ...]:
        """Return a finding that stands outside of the comparison, if it was not told yet."""
        if finding.key in self.told:
            return ()
        self.told[finding.key] = finding
        return (finding,)

    def _tells(self, key: FindingKey, finding: Finding, now: Nanoseconds) -> bool:
        known = self.told.get(key)
        if known == finding:
            self.milder_since.pop(key, None)
            return False
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
    entries = (
        (new.limit.entries or Entries.ALLOWED).tightness,
        (old.limit.entries or Entries.ALLOWED).tightness,
    )
    return (
        _rank(new) > _rank(old)
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
