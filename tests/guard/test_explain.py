"""Explanations, word for word: ``python -m tests.guard.test_explain`` writes the expected texts anew."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import get_args

import msgspec
import pytest
from msgspec import structs

from adapters.storage.unfinished import unfinished
from guard.audit import AnyRecord, SettingChange, SettingsReloaded, Step, TraceEnd
from guard.audit_lines import record_words
from guard.commands import OutcomeKind, PublishCommand, PublishPosture
from guard.events import AccountSnapshot, AnyEvent, Position, PositionSource, Tick
from guard.explain import explain
from guard.explain_hops import CAUSES, ENDS, HOPS
from guard.explain_reasons import REASONS
from guard.explain_words import VERBS
from guard.findings import Finding, Limit, Reason, Severity, Subject
from guard.hops import Hop
from guard.units import NS_PER_MS, account_id
from perpguard_sdk.messages import (
    AckStatus,
    CutLeverage,
    Effect,
    Entries,
    Evidence,
    Resume,
    StopRule,
    Verb,
    WidenStops,
)
from tests.support.audit_records import (
    BOT,
    BTC,
    MARKET,
    PAUSE_ID,
    ack_step,
    depth_finding,
    outcome_step,
    pause_step,
    posture,
    seconds,
    sent,
    session,
    tick,
    traced,
    whole_story,
)

GOLDEN = Path(__file__).parent / "golden"
CUT_ID = "5f3a-alpha-4"


def envelope(command_id: str, at: int, reason: Reason, evidence: tuple[Evidence, ...]) -> dict[str, object]:
    return {
        "id": command_id,
        "bot": BOT,
        "epoch": 1,
        "seq": 4,
        "ts": at // NS_PER_MS,
        "expires_at": at // NS_PER_MS + 10_000,
        "posture_version": 3,
        "symbol": BTC,
        "reason": reason,
        "evidence": evidence,
        "dry_run": False,
    }


def near_finding(distance_bps: float) -> Finding:
    return Finding(
        policy="cut_leverage",
        reason=Reason.LIQUIDATION_NEAR,
        severity=Severity.CRITICAL,
        subject=Subject(market=MARKET, account=account_id("binanceusdm", "main")),
        limit=Limit(max_size=0.62, max_leverage=6.0),
        evidence=(
            Evidence(name="distance to liquidation", value=distance_bps, unit="bps", limit=612.0),
            Evidence(name="mark price", value=58_211.4, unit="USD"),
            Evidence(name="liquidation price", value=56_004.0, unit="USD"),
            Evidence(name="position", value=1.5, unit="base units", limit=0.62),
            Evidence(name="exit cost of the position", value=14.2, unit="bps"),
            Evidence(name="reach of the shock", value=533.6, unit="bps"),
            Evidence(name="shock", value=41_234_567.0, unit="USD"),
            Evidence(name="bid depth over normal", value=0.231, unit="ratio"),
            Evidence(name="book", value="extrapolated beyond its visible levels", unit="text"),
        ),
        counterfactual="would not stand with a liquidation price 233 bps farther away",
    )


def cut_story() -> list[AnyRecord]:
    """The finding stood for two seconds; sent twice; judged from the venue's account."""
    issued = seconds(62)
    finding = near_finding(379.2)
    cut = CutLeverage(
        max_leverage=6.0,
        max_size=0.62,
        **envelope(CUT_ID, issued, finding.reason, finding.evidence),  # type: ignore[arg-type]
    )
    before = posture(2, Entries.REDUCE_ONLY, at=seconds(10))
    after = posture(3, Entries.REDUCE_ONLY, at=issued)
    limited = msgspec.structs.replace(after, max_size={BTC: 0.62}, max_leverage={"*": 6.0})
    snapshot = AccountSnapshot(
        received_at=seconds(63.1),
        account=account_id("binanceusdm", "main"),
        source=PositionSource.VENUE,
        positions=(Position(market=MARKET, size=0.61),),
    )
    judged = outcome_step(
        at=seconds(63.1), command_id=CUT_ID, detail="the position is 0.61, at most 0.62 asked"
    )
    return [
        session(),
        Step(
            at=seconds(10),
            event=Tick(received_at=seconds(10)),
            opened=(depth_finding(),),
            postures=(PublishPosture(posture=before, tightens=True, changed=True),),
        ),
        Step(at=seconds(60), event=Tick(received_at=seconds(60)), opened=(near_finding(441.0),)),
        Step(
            at=issued,
            event=Tick(received_at=issued),
            opened=(finding,),
            postures=(PublishPosture(posture=limited, tightens=True, changed=True),),
            commands=(PublishCommand(command=cut, attempt=1),),
        ),
        sent(CUT_ID, at=seconds(62.001), ok=False, detail="MQTT broker 127.0.0.1:1883: not connected"),
        Step(
            at=seconds(62.5),
            event=Tick(received_at=seconds(62.5)),
            commands=(PublishCommand(command=cut, attempt=2),),
        ),
        sent(CUT_ID, at=seconds(62.504)),
        ack_step(AckStatus.RECEIVED, at=seconds(62.51), command_id=CUT_ID),
        ack_step(at=seconds(62.9), command_id=CUT_ID, effect=Effect(size_before=1.5, size_after=0.61)),
        Step(at=seconds(63.1), event=snapshot, outcomes=judged.outcomes),
    ]


def liar_story() -> list[AnyRecord]:
    """The bot says applied and does nothing."""
    return [
        session(),
        pause_step(at=seconds(10)),
        sent(at=seconds(10.003)),
        ack_step(at=seconds(10.02)),
        outcome_step(
            OutcomeKind.FAILED,
            at=seconds(13),
            detail="2 order(s) that can enter rest, 8812 the first of them",
        ),
    ]


def deaf_story() -> list[AnyRecord]:
    """Nobody answers and nobody can see."""
    return [
        pause_step(at=seconds(10)),
        sent(at=seconds(10.003)),
        outcome_step(
            OutcomeKind.UNVERIFIABLE,
            at=seconds(13),
            source="nobody",
            detail="neither the venue's account nor a report of the bot can be seen",
        ),
    ]


def dry_story() -> list[AnyRecord]:
    """A paper guard beside a bot that obeys live guards."""
    return [
        pause_step(at=seconds(10)),
        sent(at=seconds(10.003)),
        outcome_step(
            OutcomeKind.UNVERIFIABLE,
            at=seconds(13),
            source="venue",
            detail="a dry run for this bot: it obeys a live guard; 1 order(s) that can enter rest, 8812",
        ),
    ]


def resume_story() -> list[AnyRecord]:
    """The depth came back, stayed for the hold-down, and the bot loosens."""
    issued = seconds(160)
    resume = Resume(
        entries=Entries.ALLOWED,
        **envelope("5f3a-alpha-9", issued, Reason.RECOVERED, ()),  # type: ignore[arg-type]
    )
    return [
        session(),
        pause_step(at=seconds(10)),
        Step(at=seconds(100), event=Tick(received_at=seconds(100)), closed=(depth_finding(),)),
        Step(
            at=issued,
            event=Tick(received_at=issued),
            postures=(
                PublishPosture(posture=posture(3, Entries.ALLOWED, at=issued), tightens=False, changed=True),
            ),
            commands=(PublishCommand(command=resume, attempt=1),),
        ),
        sent("5f3a-alpha-9", at=seconds(160.004)),
        ack_step(AckStatus.APPLIED, at=seconds(160.02), command_id="5f3a-alpha-9"),
        outcome_step(
            at=seconds(161),
            command_id="5f3a-alpha-9",
            source="bot",
            detail="the bot reports entries allowed under posture 3",
        ),
    ]


def first_resume_story() -> list[AnyRecord]:
    """The guard had just started, saw account and market, and took back what it had begun with.

    Of the depth that was thin under a former guard nothing is said, nor of the position of another account.
    """
    issued = seconds(130)
    resume = Resume(
        entries=Entries.ALLOWED,
        **envelope("5f3a-alpha-1", issued, Reason.RECOVERED, ()),  # type: ignore[arg-type]
    )
    unknown = Finding(
        policy="distrust_stale_data",
        reason=Reason.ACCOUNT_UNKNOWN,
        severity=Severity.WATCH,
        subject=Subject(account=account_id("binanceusdm", "main")),
        limit=Limit(entries=Entries.REDUCE_ONLY),
        evidence=(Evidence(name="account", value="recovering", unit="stream state"),),
        freezes=True,
    )
    began = msgspec.structs.replace(
        posture(1, Entries.REDUCE_ONLY, at=seconds(60)), reasons=(Reason.ACCOUNT_UNKNOWN,)
    )
    return [
        pause_step(at=seconds(10)),
        Step(at=seconds(20), event=Tick(received_at=seconds(20)), closed=(depth_finding(),)),
        Step(at=seconds(55), event=Tick(received_at=seconds(55)), opened=(unknown,)),
        session(epoch=2, at=seconds(60)),
        Step(
            at=seconds(60),
            event=Tick(received_at=seconds(60)),
            postures=(PublishPosture(posture=began, tightens=True, changed=True),),
        ),
        Step(
            at=seconds(70),
            event=Tick(received_at=seconds(70)),
            opened=(near_finding(441.0),),
            closed=(unknown,),
        ),
        Step(
            at=issued,
            event=Tick(received_at=issued),
            postures=(
                PublishPosture(posture=posture(2, Entries.ALLOWED, at=issued), tightens=False, changed=True),
            ),
            commands=(PublishCommand(command=resume, attempt=1),),
        ),
    ]


def widen_story() -> list[AnyRecord]:
    """A stop that was rejected by the bot."""
    issued = seconds(20)
    evidence = (
        Evidence(name="stop distance", value=44.0, unit="bps", limit=132.0),
        Evidence(name="stop price", value=58_456.0, unit="USD"),
        Evidence(name="reach of a wick", value=132.0, unit="bps"),
        Evidence(name="wick", value=250_210.0, unit="USD"),
        Evidence(name="ask depth over normal", value=0.18, unit="ratio", limit=0.5),
        Evidence(name="position", value=-0.5, unit="base units", limit=0.2),
        Evidence(name="new stop price", value=59_812.0, unit="USD"),
    )
    widen = WidenStops(
        max_size=0.2,
        stop=StopRule(stop_price=59_812.0, avoid=((59_100.0, 59_420.0),)),
        **envelope("5f3a-alpha-5", issued, Reason.STOP_IN_THIN_ZONE, evidence),  # type: ignore[arg-type]
    )
    return [
        session(),
        Step(
            at=issued,
            event=Tick(received_at=issued),
            commands=(PublishCommand(command=widen, attempt=1),),
        ),
        sent("5f3a-alpha-5", at=seconds(20.004)),
        ack_step(AckStatus.REJECTED, at=seconds(20.1), command_id="5f3a-alpha-5", detail="lot size is 0.5"),
        outcome_step(
            OutcomeKind.SUPERSEDED,
            at=seconds(20.2),
            command_id="5f3a-alpha-5",
            detail="a newer widen_stops takes its place",
        ),
    ]


def lost_story() -> list[AnyRecord]:
    """Only the tail is left."""
    return [sent(at=seconds(10.003)), ack_step(at=seconds(10.1))]


def followed_story() -> list[AnyRecord]:
    """A pause that was written down with its hops: at first sent ahead and not answered, then answered."""
    story = whole_story()
    first = traced(
        at=seconds(10.5),
        cause="tick",
        end=TraceEnd.REPEATED,
        sent_ahead=True,
        venue_lag_ms=None,
        features=0,
        bot=0,
        durable=50_000_000,
    )
    again = traced(at=seconds(10.52), attempt=2, venue=0, decode=0, book=0, bot=400_000_000)
    return [*story, first, again]


STORIES: dict[str, tuple[Callable[[], list[AnyRecord]], str]] = {
    "pause_confirmed": (whole_story, PAUSE_ID),
    "cut_confirmed_at_the_second_attempt": (cut_story, CUT_ID),
    "pause_acknowledged_and_not_done": (liar_story, PAUSE_ID),
    "pause_of_a_bot_that_only_listens": (dry_story, PAUSE_ID),
    "pause_never_answered": (deaf_story, PAUSE_ID),
    "resume_confirmed": (resume_story, "5f3a-alpha-9"),
    "resume_after_the_start": (first_resume_story, "5f3a-alpha-1"),
    "widen_superseded": (widen_story, "5f3a-alpha-5"),
    "pause_followed": (followed_story, PAUSE_ID),
    "decision_lost": (lost_story, PAUSE_ID),
}


@pytest.mark.parametrize("name", STORIES)
def test_reads_as_written(name: str) -> None:
    records, command_id = STORIES[name]
    assert explain(records(), command_id).text + "\n" == (GOLDEN / f"{name}.txt").read_text()


def test_other_commands_and_later_findings_do_not_get_in() -> None:
    records = [*whole_story(), pause_step("other", at=seconds(30)), tick(seconds(31))]
    assert explain(records, PAUSE_ID) == explain(whole_story(), PAUSE_ID)


def test_the_outcome_is_told_as_data_too() -> None:
    assert explain(liar_story(), PAUSE_ID).outcome is OutcomeKind.FAILED
    assert explain(lost_story(), PAUSE_ID).outcome is None


def test_a_command_that_a_killed_guard_left_open_is_said_to_be() -> None:
    gap = unfinished([session(), pause_step(at=seconds(10))], seconds(100))
    assert gap is not None
    told = explain([session(), pause_step(at=seconds(10)), gap], PAUSE_ID)
    assert "No effect has been judged: its guard ended before, as the next one found at" in told.text
    assert told.outcome is None


def test_the_way_of_each_attempt_is_told_as_data_and_on_one_line_too() -> None:
    first, again = explain(followed_story(), PAUSE_ID).traced
    assert (first.attempt, again.attempt) == (1, 2)
    assert record_words(again) == (
        f"{PAUSE_ID} to alpha took 424 ms, attempt 2: sample 18 ms, features 310 us, decide 480 us, durable 1.9 ms, "
        "publish 2.6 ms, bot 400 ms"
    )
    assert f"{PAUSE_ID} to alpha took 76 ms, repeated: venue 4.1 ms" in record_words(first)
    assert explain(whole_story(), PAUSE_ID).traced == ()


def test_every_reason_and_verb_has_words() -> None:
    assert set(REASONS) == set(Reason)
    assert set(VERBS) == set(Verb)
    assert set(HOPS) == set(Hop)
    assert set(ENDS) == set(TraceEnd)
    assert set(CAUSES) <= {each.__struct_config__.tag for each in get_args(AnyEvent)}


def test_a_change_of_settings_before_a_command_is_named() -> None:
    records, command_id = cut_story(), CUT_ID
    first = next(index for index, record in enumerate(records) if isinstance(record, Step))
    change = SettingChange(path="policies.cut_leverage.buffer_bps", old="50.0", new="80.0", effect="tightens")
    reloaded = SettingsReloaded(
        at=records[first].at - 1,
        cause="SIGHUP",
        applied=True,
        former_digest="a",
        settings_digest="b",
        changes=(change,),
    )
    refused = structs.replace(reloaded, applied=False, problems=("guard.name: restart needed",))
    told = explain([*records[:first], reloaded, refused, *records[first:]], command_id).text
    assert "Its settings had last been changed" in told
    assert "policies.cut_leverage.buffer_bps from 50.0 to 80.0" in told
    assert "last been changed" not in explain([*records[:first], refused, *records[first:]], command_id).text
    assert record_words(reloaded).startswith(
        "settings changed (SIGHUP): policies.cut_leverage.buffer_bps 50.0 -> 80.0"
    )
    assert "restart needed" in record_words(refused)


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for each, (build, identity) in STORIES.items():
        (GOLDEN / f"{each}.txt").write_text(explain(build(), identity).text + "\n")
