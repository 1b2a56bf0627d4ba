"""A few of the rounds of ``scripts/kill_rounds.py``, and that its checks find what they are for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec import structs

from guard.audit import AnyRecord, AuditGap, Step
from guard.ports import Verdict
from perpguard_sdk.messages import Entries
from scripts.kill_rounds import Evidence, judge, play
from tests.support.audit_records import (
    BTC,
    PAUSE_ID,
    outcome_step,
    pause_step,
    posture,
    seconds,
    session,
    whole_story,
)
from tests.support.together import together

ROUNDS = 2
SEED = 63
"""Kills daemon and broker at once, then broker and bot."""


@pytest.mark.acceptance
@together
async def test_what_is_killed_at_random_moments_loses_and_doubles_nothing(tmp_path: Path) -> None:
    turns = await play(tmp_path, ROUNDS, SEED, say=False)
    assert [turn.problems for turn in turns] == [[]] * ROUNDS
    assert {victim for turn in turns for victim in turn.victims} == {"daemon", "broker", "bot"}
    assert turns[-1].executed > 0


def story() -> list[AnyRecord]:
    """A pause from its decision to its outcome, decided by the session that was opened."""
    records = whole_story()
    step = records[2]
    assert isinstance(step, Step)
    (issued,) = step.commands
    command = structs.replace(issued.command, session="s1")
    records[2] = structs.replace(step, commands=(structs.replace(issued, command=command),))
    return records


def evidence() -> Evidence:
    return Evidence(
        verdict=Verdict(7, None, "as written"),
        records=story(),
        executed=[PAUSE_ID],
        heard=[posture(1, Entries.ALLOWED), posture(2, Entries.REDUCE_ONLY)],
        session="s1",
    )


def test_evidence_of_a_good_round_is_good() -> None:
    assert judge(evidence()) == []


def double(good: Evidence) -> Evidence:
    return Evidence(good.verdict, good.records, [PAUSE_ID, PAUSE_ID], good.heard, good.session)


def unrecorded(good: Evidence) -> Evidence:
    return Evidence(good.verdict, good.records, [PAUSE_ID, "unknown"], good.heard, good.session)


def without_outcome(good: Evidence) -> Evidence:
    return Evidence(good.verdict, good.records[:-1], good.executed, good.heard, good.session)


def of_no_session(good: Evidence) -> Evidence:
    records = [*good.records[1:], session(epoch=2), outcome_step(at=seconds(20))]
    return Evidence(good.verdict, records, good.executed, good.heard, "s2")


def lost_records(good: Evidence) -> Evidence:
    gap = AuditGap(at=seconds(30), from_at=seconds(29), records_lost=3, why="the disk was away")
    return Evidence(good.verdict, [*good.records, gap], good.executed, good.heard, good.session)


def broken_chain(good: Evidence) -> Evidence:
    return Evidence(Verdict(3, 4, "record 4 was changed"), good.records, good.executed, good.heard, "s1")


def heard_weaker(good: Evidence) -> Evidence:
    return Evidence(good.verdict, good.records, good.executed, [posture(2, Entries.ALLOWED)], "s1")


def sent_ahead_weaker(good: Evidence) -> Evidence:
    return Evidence(good.verdict, good.records, good.executed, [posture(3, Entries.ALLOWED)], "s1")


def restarted_weaker(good: Evidence) -> Evidence:
    again = pause_step("01J9PAUSE0002", at=seconds(60), epoch=2)
    issued = structs.replace(again.postures[0], posture=posture(3, Entries.ALLOWED, epoch=2))
    loose = structs.replace(again, postures=(issued,), commands=())
    return Evidence(good.verdict, [*good.records, session(epoch=2), loose], good.executed, good.heard, "s2")


@pytest.mark.parametrize(
    ("plant", "said"),
    [
        (double, "DOUBLE"),
        (unrecorded, "UNRECORDED"),
        (without_outcome, "LOST"),
        (of_no_session, "LOST"),
        (lost_records, "records were lost"),
        (broken_chain, "does not verify"),
        (heard_weaker, "WEAKER"),
        (sent_ahead_weaker, "WEAKER"),
        (restarted_weaker, "WEAKER"),
    ],
)
def test_each_check_finds_what_it_is_for(plant: Callable[[Evidence], Evidence], said: str) -> None:
    (problem,) = judge(plant(evidence()))
    assert said in problem


def test_a_limit_that_is_gone_or_larger_is_weaker() -> None:
    tight = structs.replace(posture(2, Entries.REDUCE_ONLY), max_size={BTC: 0.5})
    loose = structs.replace(tight, version=3, max_size={BTC: 0.6})
    good = evidence()
    step = good.records[2]
    assert isinstance(step, Step)
    issued = structs.replace(step.postures[0], posture=tight)
    records = list(good.records)
    records[2] = structs.replace(step, postures=(issued,))
    for heard in (loose, structs.replace(tight, max_size={})):
        (problem,) = judge(Evidence(good.verdict, records, good.executed, [heard], "s1"))
        assert "max_size" in problem
