"""Briefs of commands: of handmade stories, and of a crash that real policies went through."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from msgspec import structs
from typer.testing import CliRunner

from guard.audit import AnyRecord, SettingChange, SettingsReloaded, Step
from guard.cli import cli
from guard.commands import PublishCommand, PublishPosture
from guard.events import Tick
from guard.explain import explain
from guard.explain_brief import brief
from guard.explain_reasons import REASON_NAMES, REASONS
from guard.explain_words import REMEDIES, evidence_words, offer_words
from guard.findings import Finding, Limit, Offer, Pace, Reason, Remedy, Severity, Subject
from guard.units import BotId
from perpguard_sdk.messages import CutLeverage, Entries, Evidence, Resume
from tests.guard.test_explain import CUT_ID, cut_story, envelope, liar_story, lost_story, near_finding
from tests.support.audit_records import (
    BOT,
    BTC,
    MARKET,
    PAUSE_ID,
    pause_step,
    posture,
    seconds,
    session,
    tick,
)
from tests.support.builders import born
from tests.support.gallery import Gallery

LINES_MAX = 25


def parts_of(records: list[AnyRecord], command_id: str) -> dict[str, str]:
    told = brief(records, command_id)
    assert told is not None
    return {"Headline": " ".join(told.headline), **dict(told.parts)}


def with_finding(story: list[AnyRecord], finding: Finding, at_s: float) -> list[AnyRecord]:
    """The story, and a finding that began before its command."""
    first = next(index for index, record in enumerate(story) if isinstance(record, Step))
    return [
        *story[:first],
        Step(at=seconds(at_s), event=Tick(received_at=seconds(at_s)), opened=(finding,)),
        *story[first:],
    ]


def instructed(kind: str, *more: Evidence) -> Finding:
    return Finding(
        policy="instruction:night-shift",
        reason=Reason.INSTRUCTED,
        severity=Severity.WATCH,
        subject=Subject(bot=BotId(BOT)),
        evidence=(
            Evidence(name="told by", value="ann", unit="person"),
            Evidence(name="because", value="listing at noon", unit="text"),
            Evidence(name="kind", value=kind, unit="kind"),
            *more,
        ),
        counterfactual="would not stand once it is withdrawn, or after 2025-07-31 23:00:00 UTC",
    )


# Words


def test_every_reason_has_a_sentence_and_a_name_and_every_remedy_words() -> None:
    assert set(REASONS) == set(REASON_NAMES) == set(Reason)
    assert set(REMEDIES) == set(Remedy)
    assert all(words.endswith(".") and words[0].isupper() for words in REASONS.values())
    assert not any(words.endswith(".") or "_" in words for words in REASON_NAMES.values())


@pytest.mark.parametrize(
    ("name", "value", "unit", "words"),
    [
        ("shift", -0.0, "bps", "shift: 0 bps"),
        ("speed of the price", 326.7512, "bps/min", "speed of the price: 327 bps/min"),
        ("since the high", 0.138, "h", "since the high: 8.3 min"),
        ("position", 1_000_000.0, "base units", "position: 1,000,000 BTC"),
        ("normal depth", 80_395_953.0, "USD", "normal depth: 80.4 million USD"),
        ("mark price", 58_211.4, "USD", "mark price: 58,211.4 USD"),
        ("leverage", 11.51, "x", "leverage: 11.5 times"),
    ],
)
def test_numbers_have_their_unit_and_no_more_digits_than_mean_something(
    name: str, value: float, unit: str, words: str
) -> None:
    assert evidence_words(Evidence(name=name, value=value, unit=unit), BTC) == words


def test_an_offer_says_where_and_what_it_costs() -> None:
    hedge = Offer(
        remedy=Remedy.HEDGE_ELSEWHERE, amount_usd=12_000.0, about="okx:BTC/USDT:USDT", cost_usd=7.25
    )
    assert offer_words(hedge) == (
        "hedge at another venue: 12,000 USD (BTC/USDT:USDT on okx), for about 7.25 USD"
    )
    assert offer_words(structs.replace(hedge, cost_usd=None, about="")).endswith(
        "12,000 USD, at an unknown cost"
    )


# Handmade stories


def test_a_cut_is_told_with_what_would_have_spared_it_and_by_its_ids() -> None:
    told = brief(cut_story(), CUT_ID, numbers=range(101, 101 + len(cut_story())))
    assert told is not None
    parts = dict(told.parts)
    assert "(of 1.5 BTC that it held)" in told.headline[0]
    assert "Policy cut_leverage called it critical; it had stood for 2.0 s." in told.headline[1]
    assert told.headline[2] == (
        "Confirmed 1.1 s after the decision, judged from the venue's own positions and orders: "
        "the position is 0.61 BTC, at most 0.62 BTC asked."
    )
    assert parts["Evidence"].startswith(
        "distance to liquidation: 379 bps (limit 612 bps); position: 1.5 BTC (limit"
    )
    assert (
        parts["Otherwise"] == "It would not have come to this with a liquidation price 233 bps farther away."
    )
    assert parts["Also stood"] == "the thin book"
    assert parts["Chain"] == (
        "finding cut_leverage/liquidation_near (record 104) -> posture 3 -> command 5f3a-alpha-4 (record 104), "
        "sent 2 times -> bot: applied after 900 ms -> effect: confirmed (record 110)"
    )


def test_a_liar_is_not_believed_and_a_lost_decision_has_no_brief() -> None:
    headline = parts_of(liar_story(), PAUSE_ID)["Headline"]
    assert "Failed 3.0 s after the decision" in headline
    assert "an ack proves nothing by itself" in headline
    assert brief(lost_story(), PAUSE_ID) is None


def test_a_slice_is_told_to_be_one_of_an_unwinding() -> None:
    paced = structs.replace(
        near_finding(379.2),
        limit=Limit(max_size=0.2, max_leverage=6.0, pace=Pace(slice_size=0.4, interval_ms=3_000)),
    )
    issued = seconds(62)
    cut = CutLeverage(
        max_leverage=6.0,
        max_size=1.1,
        price_limit=58_000.0,
        **envelope(CUT_ID, issued, paced.reason, paced.evidence),  # type: ignore[arg-type]
    )
    step = Step(
        at=issued,
        event=Tick(received_at=issued),
        opened=(paced,),
        commands=(PublishCommand(command=cut, attempt=1),),
    )
    told = brief([step], CUT_ID)
    assert told is not None
    words = "a slice of one unwinding to 0.2 BTC: at most 0.4 BTC every 3.0 s; no worse than at 58,000"
    assert words in told.headline[0]
    asked = told.told["asked"]
    assert isinstance(asked, dict)
    assert asked["price_limit"] == 58_000.0


def test_offers_instructions_and_what_was_inhibited_are_told() -> None:
    offering = structs.replace(
        near_finding(441.0),
        policy="other",
        offers=(Offer(remedy=Remedy.ADD_MARGIN, amount_usd=500.0, about="USDT", cost_usd=0.0),),
        inhibited_by="cut_leverage/liquidation_near",
    )
    ignoring = instructed("ignore", Evidence(name="about", value="spread_wide", unit="reasons"))
    parts = parts_of(with_finding(with_finding(cut_story(), offering, 5.0), ignoring, 4.0), CUT_ID)
    assert parts["Instead"] == "add margin: 500 USD (USDT), which costs nothing"
    assert "liquidation too near (told of by cut_leverage/liquidation_near already)" in parts["Also stood"]
    assert parts["By a human"] == (
        "ignore about spread wide by ann: listing at noon (until 2025-07-31 23:00:00 UTC), instruction night-shift"
    )


def test_a_resume_says_at_which_stage_it_is_and_what_the_rest_waits_for() -> None:
    issued = seconds(160)
    coming = Finding(
        policy="pause_entries",
        reason=Reason.RESUMING,
        severity=Severity.WATCH,
        subject=Subject(market=MARKET),
        limit=Limit(entries=Entries.NO_ADDS, entry_share=0.25),
        evidence=(Evidence(name="depth over normal", value=0.8, unit="ratio", limit=0.6),),
        counterfactual="would not stand once depth above 60% of its normal has stood",
    )
    share = structs.replace(posture(3, Entries.ALLOWED, at=issued), entry_share={BTC: 0.25})
    resume = Resume(entries=Entries.ALLOWED, **envelope("r", issued, Reason.RECOVERED, ()))  # type: ignore[arg-type]
    finding = pause_step(at=seconds(10)).opened[0]
    story: list[AnyRecord] = [
        session(),
        pause_step(at=seconds(10)),
        Step(at=seconds(100), event=Tick(received_at=seconds(100)), opened=(coming,), closed=(finding,)),
        Step(
            at=issued,
            event=Tick(received_at=issued),
            postures=(PublishPosture(posture=share, tightens=False, changed=True),),
            commands=(PublishCommand(command=resume, attempt=1),),
        ),
    ]
    parts = parts_of(story, "r")
    assert "the thin book: ended after 90.0 s, 60.0 s before this command" in parts["Headline"]
    assert parts["Stage"] == (
        "new entries of 25% of their usual size; of the market: depth over normal: 80% (limit 60%). "
        "All of it comes back once depth above 60% of its normal has stood."
    )


def test_what_concerns_other_accounts_and_venues_does_not_get_in() -> None:
    other = structs.replace(near_finding(9.0), subject=Subject(account="binanceusdm:other"))  # type: ignore[arg-type]
    assert parts_of(with_finding(cut_story(), other, 5.0), CUT_ID) == parts_of(
        [*cut_story(), tick(seconds(70))], CUT_ID
    )


def test_a_resume_of_a_bot_whose_account_is_known_leaves_out_what_is_said_of_others() -> None:
    issued = seconds(160)
    resume = Resume(entries=Entries.ALLOWED, **envelope("r", issued, Reason.RECOVERED, ()))  # type: ignore[arg-type]
    birth = born(bot=BotId(BOT))
    other = structs.replace(near_finding(9.0), limit=Limit(entries=Entries.NO_ADDS))
    given = Step(
        at=issued,
        event=Tick(received_at=issued),
        opened=(other,),
        commands=(PublishCommand(command=resume, attempt=1),),
    )
    unknown, known = [given], [Step(at=seconds(1), event=birth), given]
    assert parts_of([*unknown], "r")["Also stood"] == "liquidation too near"
    assert "Also stood" not in parts_of([*known], "r")


def test_the_last_change_of_settings_is_named() -> None:
    change = SettingChange(path="policies.cut_leverage.buffer_bps", old="50.0", new="80.0", effect="tightens")
    reloaded = SettingsReloaded(
        at=seconds(9), cause="SIGHUP", applied=True, former_digest="a", settings_digest="b", changes=(change,)
    )
    story = cut_story()
    assert "buffer_bps from 50.0 to 80.0" in parts_of([story[0], reloaded, *story[1:]], CUT_ID)["Settings"]
    assert "Settings" not in parts_of(story, CUT_ID)


# A crash that real policies went through


@pytest.fixture(scope="module")
def gallery() -> Gallery:
    return Gallery().live(510.0)


@pytest.fixture(scope="module")
def audit(gallery: Gallery, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return gallery.save(tmp_path_factory.mktemp("gallery") / "audit.sqlite3")


def test_commands_of_five_policies_are_explained_in_few_lines(gallery: Gallery, audit: Path) -> None:
    commands = gallery.one_of_each
    assert {
        "cut_leverage",
        "widen_stops",
        "pause_entries",
        "venue_failure",
        "respect_latency",
        "drawdown_brake",
    } <= set(commands)
    for policy, command in commands.items():
        done = CliRunner().invoke(cli, ["explain", command.id, "--audit", str(audit)], env={"COLUMNS": "110"})
        assert done.exit_code == 0, done.output
        lines = done.stdout.splitlines()
        assert len(lines) <= LINES_MAX, policy
        assert "  records" not in done.stdout
        text = " ".join(done.stdout.split())
        if command.verb != "resume":
            assert f"Policy {policy} called it" in text
            assert "Otherwise" in text, policy
        assert "Confirmed" in text or "Superseded" in text, policy
        assert f"command {command.id}" in text


def test_programs_can_follow_it_by_ids(gallery: Gallery, audit: Path) -> None:
    cut = gallery.one_of_each["cut_leverage"]
    done = CliRunner().invoke(cli, ["explain", cut.id, "--audit", str(audit), "--json"])
    story = json.loads(done.stdout)["story"]
    assert story["finding"]["key"]["policy"] == "cut_leverage"
    assert story["finding"]["key"]["market"] == "binanceusdm:BTC/USDT:USDT"
    assert story["posture_after"] == cut.posture_version
    assert (story["rung_before"], story["rung_after"]) == ("advise", "reduce to safe")
    assert story["finding"]["record"] <= story["asked"]["record"] < story["effect"]["record"]
    assert story["asked"]["slice"].startswith("a slice of one unwinding")
    assert {each["unit"] for each in story["evidence"]} >= {"bps", "USD"}
    assert story["counterfactual"].startswith("It would not")


def test_in_full_it_says_at_least_as_much(gallery: Gallery, audit: Path) -> None:
    cut = gallery.one_of_each["cut_leverage"]
    done = CliRunner().invoke(
        cli, ["explain", cut.id, "--audit", str(audit), "--long"], env={"COLUMNS": "400"}
    )
    assert explain(gallery.records, cut.id).sections[0].sentences[0] in " ".join(done.stdout.split())
    assert "What was measured" in done.stdout
