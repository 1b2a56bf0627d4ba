"""What the demo says at its end and in its live lines, from accounts and records."""

from __future__ import annotations

import pytest

from guard.audit import AnyRecord, Step
from guard.demo_report import BotLine, command_lines, findings_text, posture_text, verdict, wrapped
from guard.desired import Limits
from guard.events import Tick
from guard.ports import StoredRecord
from perpguard_sdk.messages import Entries, StopRule
from tests.support.audit_records import depth_finding, outcome_step, pause_step, seconds


def line(equity: float) -> BotLine:
    return BotLine(
        name="alpha",
        deposit=10_000.0,
        equity=equity,
        size=0.0,
        notional=0.0,
        fees=0.0,
        fills=0,
        liquidations=0,
    )


@pytest.mark.parametrize(
    ("guarded", "unguarded", "suppressed", "said"),
    [
        (6_000.0, 0.0, False, "Guarding was worth 6,000.00 USDT here."),
        (8_800.0, 10_100.0, False, "Guarding cost 1,300.00 USDT here:"),
        (10_000.0, 10_000.004, False, "Guarding made no difference here."),
        (9_000.0, 9_000.0, True, "both bots ended equal, to the cent."),
        (9_000.0, 9_000.01, True, "that should not be."),
    ],
)
def test_says_what_guarding_was_worth_also_where_it_cost(
    guarded: float, unguarded: float, suppressed: bool, said: str
) -> None:
    assert said in verdict(line(guarded), line(unguarded), suppressed=suppressed)


def test_one_line_a_command_timed_from_the_markets_beginning() -> None:
    pause = pause_step(at=seconds(10))
    again = Step(
        at=seconds(10.5),
        event=Tick(received_at=seconds(10.5)),
        commands=tuple(type(each)(command=each.command, attempt=2) for each in pause.commands),
    )
    records: list[AnyRecord] = [pause, again, outcome_step(at=seconds(11), detail="no order rests")]
    kept = [StoredRecord(number=at, hash="", record=each) for at, each in enumerate(records)]
    assert list(command_lines(kept, seconds(6))) == [
        "   4.0 s  pause        depth thin        -> confirmed, seen on the venue: no order rests"
    ]


def test_what_is_asked_and_found_is_said_in_words() -> None:
    assert posture_text(Limits()) == "nothing"
    asked = Limits(entries=Entries.REDUCE_ONLY, max_size=1.5, stop=StopRule(stop_price=54_351.5))
    assert posture_text(asked) == (
        "no new entries, reducing only, a position of at most 1.500, the stop at 54,351.5"
    )
    assert findings_text([]) == "found: nothing"
    assert findings_text([depth_finding()]) == "found: the thin book"


def test_long_lines_are_broken_between_words_and_indented() -> None:
    assert wrapped("  one two three", 10) == "  one two\n    three"
