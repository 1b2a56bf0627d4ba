"""What `perpguard outlook` says of a record: the worst market first, both ways, and what is not known in words."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from adapters.storage import SqliteAudit
from guard.audit import AnyRecord, Step
from guard.audit_lines import record_words
from guard.cli import cli
from guard.cli.outlook_words import outlook_lines, table_lines
from guard.events import Tick
from guard.explain import explain
from guard.explain_outlook import changes_words
from guard.forecasts import MarketOutlook, Regime, SkillScore
from guard.units import NS_PER_S, MarketId
from tests.support.audit_records import MARKET, PAUSE_ID, START, whole_story
from tests.support.outlooks import outlook_of, without_map

ETH = MarketId("bybit:ETH/USDT:USDT")


def outlook(*arguments: str | Path) -> Result:
    done = CliRunner().invoke(cli, ["outlook", *(str(each) for each in arguments)], env={"COLUMNS": "80"})
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def told(at: int, *outlooks: MarketOutlook) -> Step:
    return Step(at=at, event=Tick(received_at=at), outlooks=outlooks)


def keep(path: Path, records: Sequence[AnyRecord]) -> Path:
    async def write() -> None:
        async with await SqliteAudit.open(path) as audit:
            await audit.append(records, durable=True)

    asyncio.run(write())
    return path


@pytest.fixture
def audit(tmp_path: Path) -> Path:
    before, later = START - 60 * NS_PER_S, START + 60 * NS_PER_S
    records = [
        told(before, outlook_of(MARKET, before, Regime.NORMAL)),
        *whole_story(),
        told(later, outlook_of(MARKET, later, Regime.WATCH), outlook_of(ETH, later, Regime.STRESSED)),
    ]
    return keep(tmp_path / "audit.sqlite3", records)


def test_without_a_market_there_is_a_line_for_each_the_worst_first(audit: Path) -> None:
    lines = outlook("--audit", audit).stdout.splitlines()
    assert lines[1].split()[:3] == ["bybit:ETH/USDT", "stressed", "12.5"]
    assert lines[2].split()[:3] == ["binanceusdm:BTC/USDT", "watch", "12.5"]
    assert max(map(len, lines)) <= 110


def test_a_market_is_told_whole_in_eighty_columns(audit: Path) -> None:
    done = outlook("btc", "--audit", audit)
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    text = " ".join(done.stdout.split())
    assert "open interest is 12.5 times what stands within 1 %" in text
    assert "IF IT FALLS others' longs liquidated" in text
    assert "5% 9.0M (4.5M .. 18M)" in text
    assert "############ 95 .. 94 5.0% .. 6.0% 12M (6.0M .. 24M)" in text
    assert "half stop within 4.0%, 3 of 4 within 7.0%, 9 of 10 within 11%" in text
    assert "chance to reach 2%: 75%, 5%: 40%, 10%: 12%" in text
    assert "thin books x1.5, forced orders x2.2, feedback x1.8" in text
    assert "R is at most 1.40, at 6.0%: it feeds itself there" in text
    assert "depth beyond 3.0% was not seen: it is extrapolated" in text
    assert "of their usual leverage longs should hold 56% (danger 2.4%, usually 1.8%:" in text
    assert "of their usual leverage shorts should hold 56%" in text
    assert "volatility_jump 3.50 ratio 0.60 #######" in text
    assert "hazard 15 min full 60% skill +0.12 over usual, 420 cases" in text
    assert [line for line in lines if len(line) > 80 and line.startswith(" ")] == []


def test_programs_get_everything(audit: Path) -> None:
    answer = json.loads(outlook("--audit", audit, "--json").stdout)
    assert [each["market"] for each in answer["outlooks"]] == [ETH, MARKET]
    assert answer["outlooks"][0]["reaches"][1]["direction"] == "up"


def test_a_market_that_is_not_there_is_said_with_those_that_are(audit: Path) -> None:
    done = outlook("DOGE", "--audit", audit)
    assert done.exit_code == 1
    assert str(ETH) in done.stderr
    told = json.loads(outlook("DOGE", "--audit", audit, "--json").stdout)
    assert (told["ok"], told["error"]) == (False, "UnknownMarket")
    assert str(ETH) in told["message"]


def test_what_is_not_known_is_said_and_never_blank() -> None:
    lines = list(outlook_lines(MarketOutlook(at=0, market=ETH, unknown=("book", "open interest"))))
    text = "\n".join(lines)
    assert "STATE     not known" in text
    assert "UNKNOWN   book, open interest: what rests on that is left out, and is not calm" in text
    assert text.count("how far a cascade would go is not known") == 2
    assert any("?" in line for line in table_lines([MarketOutlook(at=0, market=ETH)]))


def test_what_is_forced_is_not_known_without_a_map() -> None:
    """No forced orders, no feedback and R of 0 would be calm numbers for something that nobody knows."""
    whole = outlook_of(MARKET, START, Regime.NORMAL)
    assert "forced orders x" in "\n".join(outlook_lines(whole))
    lines = "\n".join(outlook_lines(without_map(whole)))
    assert "forced orders and feedback are not known: there is no map" in lines
    assert "forced orders x" not in lines
    assert "R is at most" not in lines
    assert "must be sold by others" not in lines


def test_what_is_not_known_is_null_for_programs(tmp_path: Path) -> None:
    unknown = without_map(outlook_of(MARKET, START, Regime.NORMAL))
    answer = json.loads(
        outlook("--audit", keep(tmp_path / "a.sqlite3", [told(START, unknown)]), "--json").stdout
    )
    reach = answer["outlooks"][0]["reaches"][0]
    assert {name for name, value in reach.items() if value is None} == {
        "barrier_usd",
        "reproduction",
        "reproduction_at",
        "forced_factor",
        "feedback_factor",
    }


def test_a_state_that_nothing_holds_is_no_unknown_input() -> None:
    held = MarketOutlook(
        at=0, market=ETH, regime=Regime.CASCADE, resume_share=0.0, unknown=("book", "regime held: cascade")
    )
    text = "\n".join(outlook_lines(held))
    assert "UNKNOWN   book: what rests on that" in text
    assert "the state stands only because nothing is known that could change it" in text
    assert "of what was cut nothing may be resumed now" in text


def test_who_was_not_judged_yet_is_told_in_a_line() -> None:
    scores = tuple(
        SkillScore(
            target=target,
            estimator=name,
            weight=0.5,
            skill=skill,
            baseline="usual",
            reliability_error=None,
            count=9.0,
        )
        for target, name, skill in (
            ("reach", "flow", None),
            ("hazard 5 min", "flow", 0.1),
            ("hazard 5 min", "full", None),
            ("reach", "full", None),
        )
    )
    lines = list(outlook_lines(MarketOutlook(at=0, market=ETH, skill=scores)))[-5:]
    assert [line.split() for line in lines[1:3]] == [
        ["hazard", "5", "min", "flow", "50%", "skill", "+0.10", "over", "usual,", "9", "cases"],
        ["hazard", "5", "min", "full", "50%", "nothing", "has", "come", "due", "yet"],
    ]
    assert lines[-1].split() == ["reach", "flow", "50%,", "full", "50%"]


def test_a_record_that_nobody_continues_is_said_to_be_old(audit: Path) -> None:
    assert "THIS IS OLD" in outlook("--audit", audit).stdout


def test_a_record_without_outlooks_says_how_to_get_one(tmp_path: Path) -> None:
    done = outlook("--audit", keep(tmp_path / "audit.sqlite3", whole_story()))
    assert "No outlook has been recorded yet" in done.stdout


def test_a_command_is_explained_with_the_state_of_its_market() -> None:
    before = [
        told(START - second * NS_PER_S, outlook_of(MARKET, START - second * NS_PER_S, regime))
        for second, regime in ((120, Regime.NORMAL), (60, Regime.STRESSED))
    ]
    other = told(START - 1, outlook_of(ETH, START - 1, Regime.CASCADE))
    text = explain([*before, other, *whole_story()], PAUSE_ID).text
    assert "What state the market was in" in text
    assert "At 2025-07-31 22:12:20" in text
    assert "it went from normal to stressed" in text
    assert "cascade" not in text
    assert "What state" not in explain(whole_story(), PAUSE_ID).text


def test_changes_of_regime_are_told_in_order_and_steadiness_in_a_sentence() -> None:
    steady = [outlook_of(MARKET, second * NS_PER_S, Regime.WATCH) for second in range(3)]
    (first, chance) = changes_words(steady)
    assert first.startswith("It was watch, although nothing holds it there any more")
    assert chance.endswith(": 1.0% for a fall of 5 % within 15 minutes.")
    assert list(changes_words([outlook_of(regime=None)])) == []


def test_lists_tell_some_outlooks_and_count_the_others() -> None:
    many = told(5, *(outlook_of(MarketId(f"a:{number}")) for number in range(5)))
    assert record_words(many).endswith("outlooks of 2 more")
