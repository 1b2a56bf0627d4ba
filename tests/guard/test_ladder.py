"""How far the guard goes: rungs read off limits, one back at a time, and what only a human opens again."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from guard.arbiter import Arbiter, ArbiterSettings
from guard.audit import encode_record
from guard.desired import Limits
from guard.events import AnyEvent, GuardStarted, InstructionSeen
from guard.findings import Finding, Limit, Reason, Severity
from guard.ladder import Rung, allowed, rung_of
from guard.ranking import inhibitor, uninhibited, worst_first
from guard.state import GuardState
from perpguard_sdk.messages import Entries, InstructionKind, Mode, Posture
from tests.guard.test_instructions import HOLD_S, STEP_S, Told, told
from tests.support.builders import (
    ALPHA,
    ETH,
    MARKET,
    SYMBOL,
    Guard,
    SaysWhatItIsTold,
    at,
    born,
    finding,
    posture,
    reported,
    started,
    tick,
)

CLOSE = finding(policy="brake", severity=Severity.CRITICAL, limit=Limit(flatten=True))


def on(rung: Rung, *instructions: Any) -> Told:
    guard = Told(*instructions)
    settings_of = ArbiterSettings(hold_down_s=HOLD_S, step_s=STEP_S, highest_rung=rung)
    guard.arbiter.reconfigure(settings_of, at(-1_000.0))
    return guard


@pytest.mark.parametrize(
    ("limits", "rung"),
    [
        (Limits(), Rung.ADVISE),
        (Limits(entries=Entries.NO_ADDS), Rung.NO_ADDS),
        (Limits(entry_share=0.5), Rung.NO_ADDS),
        (Limits(entries=Entries.REDUCE_ONLY, entry_share=0.5), Rung.PAUSE_ENTRIES),
        (Limits(max_leverage=3.0, entries=Entries.HALTED), Rung.REDUCE),
        (Limits(max_size=3.0, size_cause=finding(reason=Reason.DRAWDOWN)), Rung.REDUCE),
        (Limits(max_size=3.0, size_cause=finding(reason=Reason.LIQUIDATION_NEAR)), Rung.REDUCE_TO_SAFE),
        (Limits(max_size=0.0, flattened=True), Rung.FLATTEN),
    ],
)
def test_the_rung_is_read_off_the_limits(limits: Limits, rung: Rung) -> None:
    assert rung_of(limits) is rung


_limits = st.builds(
    Limit,
    entries=st.sampled_from([None, *Entries]),
    max_size=st.none() | st.floats(0.1, 100.0),
    max_leverage=st.none() | st.floats(1.0, 50.0),
    entry_share=st.sampled_from([None, 0.25, 0.5]),
    flatten=st.booleans(),
)


@settings(max_examples=60, deadline=None)
@given(
    limit=_limits | st.just(Limit(entry_share=0.0)),
    highest=st.sampled_from(Rung),
    reason=st.sampled_from(Reason),
)
def test_nothing_goes_beyond_the_highest_rung(limit: Limit, highest: Rung, reason: Reason) -> None:
    guard = on(highest)
    guard.state.apply(reported(0.0, ALPHA, size=200.0))
    asks = finding(limit=limit, reason=reason)

    limits = guard.at(0.0, asks)

    if reason in (Reason.RESTART_FLOOR, Reason.INSTRUCTED):
        return
    shown = rung_of(limits)
    if highest is Rung.REDUCE and shown is Rung.REDUCE_TO_SAFE:
        assert limits.max_size is None or limits.max_size >= 100.0
    else:
        assert shown.height <= highest.height
    assert allowed(allowed(asks, highest), highest) == allowed(asks, highest)


def test_closing_everything_is_not_done_by_default_and_people_are_told() -> None:
    guard = on(Rung.REDUCE_TO_SAFE)

    limits = guard.at(0.0, CLOSE)

    assert (limits.entries, limits.max_size, limits.flattened) == (Entries.REDUCE_ONLY, None, False)
    (waits,) = guard.arbiter.waiting
    assert waits.reason is Reason.FLATTEN_WAITS
    assert waits.limit == Limit()
    guard.at(1.0)
    assert list(guard.arbiter.waiting) == []


def test_what_was_closed_is_opened_by_a_human_alone_and_then_in_steps() -> None:
    guard = on(Rung.FLATTEN)
    assert guard.at(0.0, CLOSE).flattened

    later = guard.at(100_000.0)
    assert (later.entries, later.max_size, rung_of(later)) == (Entries.HALTED, 0.0, Rung.FLATTEN)
    guard.arbiter.reconfigure(ArbiterSettings(hold_down_s=HOLD_S, step_s=STEP_S), at(100_000.0))
    assert guard.at(100_001.0).flattened, "what was closed is not opened by a setting"

    release = told(InstructionKind.RELEASE, 100_002.0, 100_100.0, said=100_002.0, bot=str(ALPHA))
    guard.tell(100_002.0, release)
    released = guard.at(100_002.0, CLOSE)
    assert not released.flattened
    assert released.max_size == 0.0, "one step after the other"
    steps = [guard.at(100_002.0 + second) for second in range(59, 400)]
    heights = [rung_of(each).height for each in steps]
    assert heights == sorted(heights, reverse=True)
    assert {0, 1, 2, 3} <= set(heights), "no rung is left out"
    assert steps[-1].parts == Limits().parts


def test_what_a_former_guard_closed_stays_closed() -> None:
    guard = on(Rung.REDUCE_TO_SAFE)
    floor: Posture = structs.replace(posture(version=7), flattened=(SYMBOL,))
    guard.state.apply(
        GuardStarted(received_at=at(0.0), guard="g", epoch=5, session="s", mode=Mode.PAPER, floors=(floor,))
    )
    assert guard.at(1.0).flattened
    guard.tell(10.0, told(InstructionKind.RELEASE, 10.0, 20.0, said=10.0))
    assert not guard.at(10.0).flattened
    assert not guard.at(30.0).flattened, "the floor is taken up once"


@settings(max_examples=60, deadline=None)
@given(
    limits=st.lists(_limits, min_size=1, max_size=4),
    gaps=st.lists(st.floats(1.0, 30.0), min_size=30, max_size=40),
)
def test_one_rung_at_a_time_back_and_each_after_its_time(limits: list[Limit], gaps: list[float]) -> None:
    guard = on(Rung.REDUCE_TO_SAFE)
    now = 0.0
    last = guard.at(now, *(finding(limit=limit) for limit in limits))
    changed_at = now
    for gap in gaps:
        now += gap
        limits_now = guard.at(now)
        loosened = limits_now.parts != last.parts
        if loosened:
            assert now - changed_at >= (HOLD_S if changed_at == 0.0 else 0.0)
            order = last.entries.tightness - limits_now.entries.tightness
            assert order in (0, 1), "entries go one step at a time"
            if limits_now.entries.tightness < Entries.REDUCE_ONLY.tightness < 2 * last.entries.tightness:
                assert last.max_size is None or last.entries is limits_now.entries
            changed_at = now
        last = limits_now


_pauses = st.lists(
    st.builds(
        finding,
        policy=st.sampled_from(["one", "two"]),
        severity=st.sampled_from(Severity),
        market=st.sampled_from([None, MARKET, ETH]),
        venue=st.sampled_from([None, "loopback", "elsewhere"]),
        bot=st.sampled_from([None, ALPHA]),
        limit=_limits.map(lambda limit: structs.replace(limit, flatten=False)),
        freezes=st.booleans(),
    ),
    max_size=6,
)


@settings(max_examples=80, deadline=None)
@given(findings=_pauses)
def test_what_is_inhibited_changes_no_limit(findings: list[Finding]) -> None:
    findings = [each for each in findings if each.subject.market is None or each.subject.venue is None]
    kept = uninhibited(worst_first(findings))
    every, fewer = Told().at(0.0, *findings), Told().at(0.0, *kept)

    assert every == fewer
    assert {each.subject.market for each in findings if each not in kept} <= {MARKET, ETH}


def test_a_pause_of_a_venue_stands_for_those_of_its_markets() -> None:
    wide = finding(policy="venue", market=None, venue="loopback", entries=Entries.HALTED)
    narrow = finding(entries=Entries.REDUCE_ONLY, severity=Severity.CRITICAL)
    guard = Told()

    assert guard.at(0.0, narrow, wide).entries_cause == wide
    assert guard.arbiter.marked(narrow).inhibited_by == "venue:depth_thin"
    assert guard.arbiter.marked(wide) == wide
    cut = finding(entries=Entries.REDUCE_ONLY, max_size=1.0)
    assert inhibitor(cut, [wide]) is None
    assert inhibitor(structs.replace(narrow, freezes=True), [wide]) is None
    state: GuardState = guard.state
    assert state.instructions.in_force(at(0.0)) == ()


_actions = st.one_of(
    st.lists(
        st.builds(
            finding,
            policy=st.sampled_from(["one", "two"]),
            market=st.sampled_from([None, MARKET]),
            limit=_limits,
            freezes=st.booleans(),
        ),
        max_size=3,
    ),
    st.builds(
        lambda kind, ends, **fields: (kind, ends, fields),
        kind=st.sampled_from(InstructionKind),
        ends=st.floats(5.0, 90.0),
        id=st.sampled_from(["a", "b"]),
        reasons=st.just(("depth_thin",)),
        bot=st.sampled_from([None, str(ALPHA)]),
        withdrawn=st.booleans(),
    ),
    st.floats(0.0, 50.0),
)


@settings(max_examples=25, deadline=None)
@given(script=st.lists(st.tuples(st.floats(0.2, 40.0), _actions), min_size=3, max_size=14))
def test_what_is_left_out_because_nothing_has_changed_would_change_nothing(
    script: list[tuple[float, Any]],
) -> None:
    guards = []
    for _ in range(2):
        policy = SaysWhatItIsTold()
        guard = Guard.of(ALPHA, policies=(policy,))
        guard.engine.arbiter = Arbiter(
            ArbiterSettings(hold_down_s=20.0, step_s=5.0, highest_rung=Rung.FLATTEN)
        )
        guards.append((guard.engine, policy))
    now = 0.1
    for first in (born(0.0, ALPHA), started(0.1)):
        for engine, _ in guards:
            engine.process(first)
    for gap, action in script:
        now += gap
        event: AnyEvent = tick(now)
        if isinstance(action, float):
            event = reported(now, ALPHA, size=action)
        elif isinstance(action, tuple):
            kind, ends, fields = action
            cap = {"max_leverage": 3.0} if kind is InstructionKind.CAP else {}
            said = told(kind, now, now + ends, said=now, **fields, **cap)
            event = InstructionSeen(received_at=at(now), instruction=said)
        else:
            for _, policy in guards:
                policy.findings = action
        (quick, _), (whole, _) = guards
        for each in (event, tick(now + 0.1)):
            whole.forget_shortcuts()
            assert encode_record(quick.process(each)) == encode_record(whole.process(each))
            assert quick.wanted == whole.wanted
