"""Notices on their way to people: made at Ticks, kept while the broker is away, and nothing rests on them."""

from __future__ import annotations

from msgspec import structs

from guard.audit import Step
from guard.findings import Severity
from guard.notices import Notices, NoticeSettings
from guard.telling import WAITING_MAX, Telling
from guard.units import NS_PER_S
from perpguard_sdk.messages import Instruction, InstructionKind, Notice, NoticeKind
from tests.support.builders import ALPHA, MARKET, T0, at, finding, new_state, tick
from tests.support.fakes import FakeSink

BAD = structs.replace(finding(entries=None, max_size=1.0), severity=Severity.CRITICAL)
QUICK = NoticeSettings(settle_s=0.0, change_s=1.0, resolve_s=0.0)


def telling(sink: FakeSink) -> Telling:
    return Telling(sink, Notices(QUICK))


def step(seconds: float, *opened: object, closed: tuple[object, ...] = ()) -> Step:
    return Step(at=at(seconds), event=tick(seconds), opened=opened, closed=closed)  # type: ignore[arg-type]


def notices(sink: FakeSink) -> list[Notice]:
    return [message for message in sink.published if isinstance(message, Notice)]


async def test_what_is_due_is_published_once_in_order() -> None:
    sink, state = FakeSink(), new_state(ALPHA)
    people = telling(sink)
    people.note(step(1.0, BAD), state)
    people.note(step(2.0, closed=(BAD,)), state)
    await people.say()
    await people.say()
    assert [each.kind for each in notices(sink)] == [NoticeKind.OPENED, NoticeKind.RESOLVED]
    assert notices(sink)[0].severity == "critical"


async def test_while_the_broker_is_away_the_newest_wait() -> None:
    sink, state = FakeSink(down=True), new_state(ALPHA)
    people = telling(sink)
    for turn in range(WAITING_MAX):
        people.note(step(2.0 * turn, BAD), state)
        people.note(step(2.0 * turn + 1.0, closed=(BAD,)), state)
        await people.say()
    sink.down = False
    await people.say()
    said = notices(sink)
    assert len(said) == WAITING_MAX
    assert people.lost == WAITING_MAX
    assert said[-1].kind is NoticeKind.RESOLVED


async def test_what_a_wider_finding_covers_or_a_silence_names_is_not_said() -> None:
    sink, state = FakeSink(), new_state(ALPHA)
    covered = structs.replace(BAD, inhibited_by="pause_entries:venue_dislocated")
    people = telling(sink)
    people.note(step(1.0, covered), state)
    silence = Instruction(
        id="maintenance",
        kind=InstructionKind.SILENCE,
        author="ada",
        reason="the venue is being upgraded",
        ts=T0 // 1_000_000,
        expires_at=T0 // 1_000_000 + 600_000,
        market=MARKET,
        reasons=(BAD.reason.value,),
    )
    state.instructions.take(silence, at(0.0))
    other = telling(sink)
    other.note(step(1.0, BAD), state)
    await people.say()
    await other.say()
    assert notices(sink) == []
    other.note(Step(at=at(0.0) + 700 * NS_PER_S, event=tick(700.0)), state)
    await other.say()
    assert [each.kind for each in notices(sink)] == [NoticeKind.OPENED]


async def test_should_it_fail_it_ends_and_nothing_else() -> None:
    sink, state = FakeSink(), new_state(ALPHA)
    people = telling(sink)
    people.note(step(1.0, object()), state)
    people.note(step(2.0, BAD), state)
    await people.say()
    assert notices(sink) == []
