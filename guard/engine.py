"""Engine.process(event) -> Step: the whole guard as a pure fold. No I/O, no clock, no randomness.

    event -> state.apply -> policies decide -> arbiter folds -> dispatch publishes -> Step

The same events give the same steps, live, in paper mode, in replay and in simulation. Only what an event may
have changed is asked for again (``guard.scope``); at a Tick, everything.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from msgspec import structs

from guard.arbiter import Arbiter, ArbiterSettings
from guard.audit import Step
from guard.commands import Dispatched
from guard.desired import Desired
from guard.dispatch import Dispatch, DispatchSettings
from guard.events import (
    AccountSnapshot,
    AnyEvent,
    LiquidationSeen,
    MarketFeatures,
    MarketsSampled,
    MarkPriceSeen,
    OpenInterestSeen,
    Stream,
    StreamActivity,
    StreamFault,
    StreamsActive,
)
from guard.findings import Finding, Limit, Reason, Severity, Subject
from guard.policy import DecideFor, Policy, only_at_ticks
from guard.scope import ONLY_NOTED, Scope, before, scope_of
from guard.standing import Confirmation, Recorded, Standing
from guard.state import GuardState
from guard.units import AccountId, BotId, MarketId, Nanoseconds
from perpguard_sdk.messages import Entries, Evidence, Posture

_JUDGEMENT, _DISPATCH = ("judgement", Subject()), ("dispatch", Subject())

_OF_DISPATCH, _OF_ENGINE, _OF_PARTS, _OF_POLICIES = range(4)
"""The sources of findings by number; policies follow each other from the last one on."""


@dataclass(slots=True)
class Engine:
    """Owns the state; see the module."""

    state: GuardState
    policies: Sequence[Policy]
    arbiter: Arbiter = field(default_factory=lambda: Arbiter(ArbiterSettings()))
    dispatch: Dispatch = field(default_factory=lambda: Dispatch(DispatchSettings()))
    _wanted: Desired = field(default_factory=dict)
    _standing: Standing = field(default_factory=Standing)
    _record: Recorded = field(default_factory=Recorded)
    _confirmation: Confirmation = field(default_factory=Confirmation)
    _broken: dict[tuple[str, Subject], Finding] = field(default_factory=dict)
    _raising: set[int] = field(default_factory=set)
    _noted: set[MarketId] = field(default_factory=set)
    _left: set[MarketId] = field(default_factory=set)
    _is_anew: bool = True
    _asks_all: bool = True
    _compares_all: bool = True

    def process(self, event: AnyEvent) -> Step:
        """Fold one event and return what to record and to send because of it. Never raises.

        Whatever raises within is a finding that freezes and blocks entries, for as long as it does; all
        else that was decided before stands meanwhile.
        """
        if isinstance(event, ONLY_NOTED):
            self._apply(event)
            if isinstance(event, MarkPriceSeen):
                self._noted.add(event.market)
            return Step(at=event.received_at, event=event)
        was = before(event, self.state)
        self._apply(event)
        now, scope = self.state.now, scope_of(event, was, self.state)
        if scope is not None:
            scope |= self._left
        self._left.clear()
        noted, self._noted = self._noted, set()
        touched = None if scope is None else noted
        opened, closed = self._judge(None if self._asks_all else scope, touched, now)
        if self.state.dropping:
            self._let_go()
        changed = None if self._compares_all else self.arbiter.changed
        self._compares_all = True
        try:
            dispatched = self.dispatch.step(
                event, self._wanted, self.state, now, changed=changed, touched=touched
            )
            self._broken.pop(_DISPATCH, None)
            self._compares_all = False
        except Exception as error:  # noqa: BLE001 (what it says is repeated; the daemon must go on)
            self._broken[_DISPATCH] = _raised("dispatch", error, Subject())
            dispatched = Dispatched()
        self._time(event, dispatched)
        return Step(
            at=event.received_at,
            event=event,
            opened=opened,
            closed=closed,
            postures=dispatched.postures,
            commands=dispatched.commands,
            outcomes=dispatched.outcomes,
            assessed=self.state.own.take_worth_recording(),
            outlooks=self.state.outlook.take_worth_recording(now),
        )

    def forget_shortcuts(self) -> None:
        """Work everything out anew at the next event; the same must come of it (tests hold it to that)."""
        self._is_anew = self._compares_all = True
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
        self._standing, self._asks_all = Standing(), True
        self._raising.clear()
        self.policies = policies
        self.arbiter.reconfigure(arbiter, now)
        self.dispatch.reconfigure(dispatch, floors)

    def _time(self, event: AnyEvent, dispatched: Dispatched) -> None:
        """Take note of what was asked because of an event, and of how long what was asked before has taken."""
        times = self.state.own.action_times
        for publish in dispatched.commands:
            times.begin(publish.command, event.received_at)
        for outcome in dispatched.outcomes:
            times.end(outcome)

    @property
    def wanted(self) -> Desired:
        """What every bot may do since the last judgement, whether or not it was said to it yet."""
        return self._wanted

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What stands since the last judgement."""
        return tuple(self._standing)

    def _let_go(self) -> None:
        """A market that a bot does not trade any more goes when no restriction is left on it."""
        for bot, market in tuple(self.state.dropping):
            limits = self._wanted.get(bot, {}).get(market)
            if limits is None or not limits.restricts:
                self.state.let_go(bot, market)
                self._left.add(market)

    def _apply(self, event: AnyEvent) -> None:
        """Fold into the state; an estimator that raises is a finding for as long as its subject makes it raise."""
        match event:
            case MarketsSampled(samples=parts) | StreamsActive(activities=parts):
                self.state.pass_time(event.received_at)
                for part in parts:
                    self._apply_one(part)
            case _:
                self._apply_one(event)

    def _apply_one(self, event: AnyEvent) -> None:
        try:
            self.state.apply(event)
        except Exception as error:  # noqa: BLE001 (whatever one estimator does, the others still run)
            subject = _subject_of(event)
            self._broken["estimators", subject] = _raised("estimators", error, subject)
        else:
            if self._broken:
                self._broken.pop(("estimators", _subject_of(event)), None)

    def _judge(
        self, scope: Scope, touched: frozenset[MarketId] | set[MarketId] | None, now: Nanoseconds
    ) -> tuple[tuple[Finding, ...], tuple[Finding, ...]]:
        """Decide and fold; return which findings are to be recorded as new, and which as gone."""
        # Should anything raise, all is worked out at the next event.
        is_anew, self._is_anew = self._is_anew, True
        try:
            self._ask(scope, now, is_anew=is_anew)
            others = self._standing.settle()
            standing, keys = self._standing, self._standing.changed
            self._confirmation.follow({*standing.keys(), *keys} if is_anew else keys, standing, now)
            told = others | self._confirmation.due(now)
            if is_anew or self.arbiter.is_anew:
                told = told | standing.markets
            given = {market: self._confirmation.given(market, standing.about(market), now) for market in told}
            self._wanted = self.arbiter.fold_changed(given, self.state, now, touched=touched)
            opened, closed = self._record.compare(None if is_anew else keys, standing, now)
            recorded = tuple(self.arbiter.marked(finding) for finding in opened), closed
            self._broken.pop(_JUDGEMENT, None)
            self._is_anew = self._asks_all = False
        except Exception as error:  # noqa: BLE001 (what was decided stands, and nobody enters on it)
            raised = self._broken[_JUDGEMENT] = _raised("judgement", error, Subject())
            self._asks_all = self._compares_all = True
            self._standing.tell(_OF_ENGINE, self._broken.values(), None)
            self._standing.settle()
            self.arbiter.forget_shortcuts()
            self._wanted = {
                bot: {market: limits.without_entries() for market, limits in by_market.items()}
                for bot, by_market in self._wanted.items()
            }
            recorded = self._record.tell(raised), ()
        return recorded

    def _ask(self, scope: Scope, now: Nanoseconds, *, is_anew: bool) -> None:
        """Have everyone say what is wrong now: in the markets of ``scope``, or everywhere."""
        standing = self._standing
        standing.tell(_OF_DISPATCH, self.dispatch.findings(), None)
        standing.tell(_OF_ENGINE, self._broken.values(), None)
        standing.tell(_OF_PARTS, [*self._raised_within(), *self._of_people(now)], None)
        for number, policy in enumerate(self.policies, _OF_POLICIES):
            if scope is not None and not is_anew and only_at_ticks(policy):
                continue
            decide_for: DecideFor | None = getattr(policy, "decide_for", None)
            markets = None if decide_for is None or number in self._raising else scope
            found: list[Finding] = []
            try:
                if markets is None or decide_for is None or is_anew:
                    found.extend(policy.decide(self.state, now))
                else:
                    found.extend(decide_for(self.state, now, markets))
                self._raising.discard(number)
            except Exception as error:  # noqa: BLE001 (whatever one policy does, the others still run)
                self._raising.add(number)  # until it does not, it is asked about everything
                found.append(_raised(policy.name, error, Subject()))
            standing.tell(number, found, markets)

    def _of_people(self, now: Nanoseconds) -> Iterator[Finding]:
        """What people told, for as long as it holds, and what waits for them."""
        yield from self.state.instructions.findings(now)
        yield from self.arbiter.waiting

    def _raised_within(self) -> Iterator[Finding]:
        """Where one market of one bot could not be folded or dispatched; the others were."""
        for name, broken in (("arbiter", self.arbiter.broken), ("dispatch", self.dispatch.broken)):
            for (bot, market), error in broken.items():
                yield _raised(name, error, Subject(bot=bot, market=market))
        for name, where, error in self.state.outlook.broken:
            # No policy rests on it: what is not estimated is not in the outlook, and that is all.
            raised = _raised(f"outlook.{name}", error, Subject(market=where))
            yield structs.replace(raised, severity=Severity.WATCH, limit=Limit(), freezes=False)


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
