"""Humans' instructions: who, why, until when; what they take off, and that nothing is left of them afterwards."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from guard.arbiter import Arbiter, ArbiterSettings
from guard.desired import Limits
from guard.events import GuardStarted, InstructionSeen
from guard.findings import Finding, Limit, Reason, Severity
from guard.instructions import Instructions, heeded, is_silenced, problem_of
from guard.state import GuardState
from guard.units import ms_of
from perpguard_sdk.messages import Entries, Instruction, InstructionKind, Mode
from tests.support.builders import ACCOUNT, ALPHA, BETA, MARKET, at, born, finding, new_state

HOLD_S, STEP_S = 60.0, 20.0
IMMINENT = structs.replace(finding(reason=Reason.LIQUIDATION_NEAR, max_size=0.5), imminent=True)


def told(
    kind: InstructionKind, begins: float = 0.0, ends: float = 100.0, *, said: float = 0.0, **fields: Any
) -> Instruction:
    base = Instruction(
        id="a-note",
        kind=kind,
        author="ada",
        reason="maintenance",
        ts=ms_of(at(said)),
        starts_at=ms_of(at(begins)),
        expires_at=ms_of(at(ends)),
    )
    return structs.replace(base, **fields)


class Told:
    """An arbiter whose state hears instructions."""

    def __init__(self, *instructions: Instruction) -> None:
        self.state: GuardState = new_state(ALPHA)
        self.arbiter = Arbiter(ArbiterSettings(hold_down_s=HOLD_S, step_s=STEP_S))
        self.state.apply(born(0.0, ALPHA))
        for each in instructions:
            self.tell(0.0, each)

    def tell(self, seconds: float, instruction: Instruction) -> None:
        self.state.apply(InstructionSeen(received_at=at(seconds), instruction=instruction))

    def at(self, seconds: float, *findings: Finding) -> Limits:
        now = at(seconds)
        every = [*findings, *self.state.instructions.findings(now), *self.arbiter.waiting]
        return self.arbiter.fold(every, self.state, now)[ALPHA][MARKET]


def test_a_pause_holds_from_when_it_begins_until_it_ends_and_is_taken_back_in_steps() -> None:
    guard = Told(told(InstructionKind.PAUSE, 10.0, 100.0, market=str(MARKET)))

    seen = [guard.at(float(second)).entries for second in (0, 9, 10, 99, 100, 158, 159, 179, 199)]

    assert seen == [
        *[Entries.ALLOWED] * 2,
        *[Entries.REDUCE_ONLY] * 4,
        Entries.NO_ADDS,
        *[Entries.ALLOWED] * 2,
    ]


@pytest.mark.parametrize(
    ("instruction", "expected"),
    [
        (told(InstructionKind.HALT), Limits(entries=Entries.HALTED)),
        (told(InstructionKind.PAUSE, entries=Entries.NO_ADDS), Limits(entries=Entries.NO_ADDS)),
        (told(InstructionKind.CAP, max_leverage=3.0), Limits(max_leverage=3.0)),
        (told(InstructionKind.CAP, entry_share=0.5), Limits(entry_share=0.5)),
        (told(InstructionKind.HALT, bot=str(BETA)), Limits()),
        (told(InstructionKind.HALT, venue="elsewhere"), Limits()),
        (told(InstructionKind.HALT, account=str(ACCOUNT), venue="loopback"), Limits(entries=Entries.HALTED)),
        (told(InstructionKind.HALT, withdrawn=True), Limits()),
    ],
)
def test_what_tightens_is_asked_for_where_it_is_about(instruction: Instruction, expected: Limits) -> None:
    assert Told(instruction).at(1.0).parts == expected.parts


def test_what_is_ignored_is_not_asked_for_and_asked_for_at_once_when_that_is_over() -> None:
    thin = finding(entries=Entries.REDUCE_ONLY)
    guard = Told(told(InstructionKind.IGNORE, reasons=("depth_thin",)))

    assert guard.at(1.0, thin).entries is Entries.ALLOWED
    assert guard.at(99.0, thin).entries is Entries.ALLOWED
    assert guard.at(100.0, thin).entries is Entries.REDUCE_ONLY


@pytest.mark.parametrize("kind", [InstructionKind.IGNORE, InstructionKind.SILENCE])
def test_what_is_imminent_is_not_loosened_unless_that_is_forced(kind: InstructionKind) -> None:
    held = Told(told(kind, reasons=("liquidation_near",))).at(1.0, IMMINENT)
    forced = Told(told(kind, reasons=("liquidation_near",), forced=True)).at(1.0, IMMINENT)

    assert held.max_size == 0.5
    assert forced.max_size == (None if kind is InstructionKind.IGNORE else 0.5)


def test_a_silence_cuts_nothing_of_what_is_unknown_and_keeps_the_pause() -> None:
    stale = finding(reason=Reason.STALE_DATA, entries=Entries.REDUCE_ONLY, max_size=0.1, freezes=True)
    thin = finding(entries=Entries.REDUCE_ONLY, max_size=0.7)
    guard = Told(told(InstructionKind.SILENCE, venue="loopback"))

    limits = guard.at(1.0, stale, thin)

    assert (limits.entries, limits.max_size) == (Entries.REDUCE_ONLY, 0.7)
    in_force = guard.state.instructions.in_force(at(1.0))
    assert is_silenced(stale, in_force)
    assert not is_silenced(thin, in_force)
    assert not is_silenced(finding(reason=Reason.STALE_DATA, market=None), in_force), "it is about more"
    assert is_silenced(finding(reason=Reason.STALE_DATA, market=None, venue="loopback"), in_force)
    assert guard.at(100.0, stale).max_size == 0.1


def test_an_older_word_and_one_that_was_withdrawn_change_nothing() -> None:
    guard = Told(told(InstructionKind.HALT, ends=100.0))
    guard.tell(5.0, told(InstructionKind.HALT, ends=50.0, said=5.0, withdrawn=True))
    guard.tell(6.0, told(InstructionKind.HALT, ends=100.0))
    guard.tell(60.0, told(InstructionKind.HALT, ends=100.0, said=4.0))

    assert guard.at(60.0).entries is Entries.ALLOWED
    assert guard.state.instructions.told["a-note"].expires_at == ms_of(at(100.0))


def test_a_restarted_guard_goes_on_with_what_it_was_told() -> None:
    state = new_state(ALPHA)
    state.apply(
        GuardStarted(
            received_at=at(0.0),
            guard="g",
            epoch=2,
            session="s2",
            mode=Mode.PAPER,
            instructions=(told(InstructionKind.HALT), told(InstructionKind.HALT, ends=-1.0, id="over")),
        )
    )

    assert [each.id for each in state.instructions.in_force(at(1.0))] == ["a-note"]
    assert state.instructions.in_force(at(100.0)) == ()


_reasons = st.sampled_from([Reason.DEPTH_THIN, Reason.LIQUIDATION_NEAR, Reason.STALE_DATA])
_findings = st.lists(
    st.builds(
        lambda imminent, **fields: structs.replace(finding(**fields), imminent=imminent),
        imminent=st.booleans(),
        policy=st.sampled_from(["one", "two"]),
        reason=_reasons,
        severity=st.sampled_from(Severity),
        bot=st.sampled_from([None, ALPHA, BETA]),
        limit=st.builds(
            Limit,
            entries=st.sampled_from([None, *Entries]),
            max_size=st.none() | st.floats(0.0, 100.0),
            entry_share=st.sampled_from([None, 0.25, 0.5]),
        ),
        freezes=st.booleans(),
    ),
    max_size=5,
)
_loosening = st.lists(
    st.builds(
        lambda reasons, **fields: told(InstructionKind.IGNORE, 0.0, 50.0, reasons=reasons, **fields),
        reasons=st.lists(_reasons.map(str), min_size=1, max_size=2).map(tuple),
        forced=st.booleans(),
        bot=st.sampled_from([None, str(ALPHA), str(BETA)]),
        id=st.sampled_from(["a", "b", "c"]),
    )
    | st.builds(
        lambda name: told(InstructionKind.SILENCE, 0.0, 50.0, id=name), name=st.sampled_from(["d", "e"])
    ),
    max_size=3,
)


@settings(max_examples=60, deadline=None)
@given(findings=_findings, instructions=_loosening, data=st.data())
def test_order_never_matters_and_nothing_is_weaker_than_what_is_not_excepted(
    findings: list[Finding], instructions: list[Instruction], data: st.DataObject
) -> None:
    instructions = list({each.id: each for each in instructions}.values())
    shuffled = data.draw(st.permutations(findings))
    order = data.draw(st.permutations(instructions))
    limits = Told(*instructions).at(1.0, *findings)

    assert Told(*order).at(1.0, *shuffled) == limits
    asked = heeded(findings, instructions, bot=ALPHA, account=ACCOUNT, market=MARKET)
    mine = [each for each in asked if each.subject.bot in (None, ALPHA)]
    entries = [each.limit.entries for each in mine if each.limit.entries is not None]
    sizes = [each.limit.max_size for each in mine if each.limit.max_size is not None]
    assert limits.entries is Entries.tightest(*entries)
    assert limits.max_size == min(sizes, default=None)
    kept = [each for each in findings if each.imminent and not any(one.forced for one in instructions)]
    assert all(any(each.key == one.key for one in asked) for each in kept)


@settings(max_examples=60, deadline=None)
@given(before=_findings, after=_findings, instructions=_loosening)
def test_after_its_end_an_exception_is_as_if_it_had_never_been(
    before: list[Finding], after: list[Finding], instructions: list[Instruction]
) -> None:
    held, free = Told(*instructions), Told()
    held.at(1.0, *before)
    free.at(1.0)
    seconds = 50.0 + HOLD_S + 10 * STEP_S
    for step in range(1, 12):
        held.at(50.0 + step * STEP_S, *after)
        free.at(50.0 + step * STEP_S, *after)

    assert held.state.instructions.in_force(at(51.0)) == ()
    calm = [each for each in after if not each.freezes]
    for step in range(30):
        last, other = held.at(seconds + step * STEP_S, *calm), free.at(seconds + step * STEP_S, *calm)
    assert (last.entries, last.entry_share) == (other.entries, other.entry_share)
    assert (last.max_size is None) == (other.max_size is None)


def test_what_is_told_of_one_time_does_not_hang_on_when_it_was_asked() -> None:
    instructions = Instructions()
    instructions.take(told(InstructionKind.HALT, 10.0, 20.0), at(0.0))
    asked = [bool(instructions.in_force(at(second))) for second in (15.0, 5.0, 15.0, 25.0, 19.9)]

    assert asked == [True, False, True, False, True]


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({}, ""),
        ({"author": " "}, "author"),
        ({"reason": ""}, "reason"),
        ({"reason": "x\n"}, "reason"),
        ({"id": "Ümlaut"}, "id"),
        ({"ts": ms_of(at(120.0))}, "future"),
        ({"expires_at": ms_of(at(0.0))}, "end after"),
        ({"expires_at": ms_of(at(3600.0 * 73))}, "72 hours"),
        ({"starts_at": ms_of(at(86_400.0 * 61)), "expires_at": ms_of(at(86_400.0 * 61.5))}, "60 days"),
        ({"market": "BTC/USDT:USDT", "venue": "bybit"}, "not of venue"),
        ({"account": "main"}, "venue:account"),
        ({"bot": ""}, "name of 1"),
        ({"reasons": ("nonsense",)}, "is none"),
        ({"kind": InstructionKind.IGNORE}, "which reasons"),
        ({"kind": InstructionKind.CAP}, "a cap names"),
        ({"kind": InstructionKind.CAP, "max_size": 1.0}, "name the market"),
        ({"kind": InstructionKind.CAP, "max_leverage": float("nan")}, "0 or more"),
        ({"kind": InstructionKind.CAP, "entry_share": 2.0}, "0 to 1"),
        ({"max_leverage": 2.0}, "only a cap"),
    ],
)
def test_what_cannot_be_is_said(fields: dict[str, Any], problem: str) -> None:
    instruction = structs.replace(told(InstructionKind.HALT), **fields)
    said = problem_of(instruction, instruction.id, ms_of(at(0.0)), 72)

    assert problem in said
    assert bool(said) is bool(problem)


def test_one_that_was_made_shorter_is_not_played_back_once_it_is_over() -> None:
    first = told(InstructionKind.IGNORE, 0.0, 100.0, said=1.0, reasons=("depth_thin",))
    shorter = structs.replace(first, ts=ms_of(at(2.0)), expires_at=ms_of(at(10.0)))
    known = Instructions()

    assert known.take(first, at(1.0))
    assert known.take(shorter, at(2.0))
    assert known.in_force(at(20.0)) == ()
    assert not known.take(first, at(20.0))
    assert known.in_force(at(21.0)) == ()
    assert known.take(structs.replace(first, ts=ms_of(at(30.0))), at(30.0)), "what is new is heard"
