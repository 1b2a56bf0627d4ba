"""What `perpguard accounts` says: the nearest first, what is not known in words, and nothing blank."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from msgspec import structs
from typer.testing import CliRunner, Result

from adapters.storage import SqliteAudit
from guard.account.risk import AccountRisk
from guard.audit import AnyRecord, Step
from guard.cli import cli
from guard.events import Tick
from guard.leverage.margin_pool import LiquidationKind
from guard.units import NS_PER_S, MarketId
from tests.support.assessments import BTC, DARK, MAIN, START, UNIFIED, as_a_whole, near, unknown
from tests.support.audit_records import whole_story
from tests.support.builders import Guard, position, snapshot, tick


def accounts(*arguments: str | Path) -> Result:
    done = CliRunner().invoke(cli, ["accounts", *(str(each) for each in arguments)], env={"COLUMNS": "400"})
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def keep(path: Path, records: Sequence[AnyRecord]) -> Path:
    async def write() -> None:
        async with await SqliteAudit.open(path) as audit:
            await audit.append(records, durable=True)

    asyncio.run(write())
    return path


def assessed(at: int, *risks: AccountRisk) -> Step:
    return Step(at=at, event=Tick(received_at=at), assessed=risks)


@pytest.fixture
def audit(tmp_path: Path) -> Path:
    later = START + 30 * NS_PER_S
    records = [assessed(START, near(), as_a_whole()), *whole_story(), assessed(later, unknown(later))]
    return keep(tmp_path / "audit.sqlite3", records)


def told(path: Path, *options: str) -> str:
    done = accounts("--audit", path, *options)
    assert done.exit_code == 0, done.stderr
    return " ".join(done.stdout.split())


def test_the_nearest_of_all_accounts_comes_first_and_the_unknown_beside_it(audit: Path) -> None:
    text = told(audit)
    places = [
        text.index(f"{MAIN}: BTC/USDT:USDT is liquidated 2.56% away, 62 s at stressed speed"),
        text.index(f"{UNIFIED}: cross fails if all fall by the same, 9%"),
        text.index(f"{DARK}: PEPE/USDT:USDT: NOT KNOWN where it is liquidated"),
        text.index("ALL ACCOUNTS TOGETHER"),
    ]
    assert places == sorted(places)


def test_our_price_the_venues_and_their_difference_are_told_with_the_time_that_is_left(audit: Path) -> None:
    text = told(audit, "--account", "main")
    assert "liquidated at 97,435.9, 2.56% below the mark" in text
    assert "our price is 97,101.5, the venue says 97,435.9: ours is 33.4 bps lower" in text
    assert "an action takes 30 s (assumed, too few were measured): TIME FOR 2 ONLY" in text
    assert "10 BTC long, 1.0 million USD: nobody of ours" in text
    assert "34% what it has lost of its peg, over venues <- decides" in text
    assert str(UNIFIED) not in text


def test_what_is_not_known_is_said_in_words(audit: Path) -> None:
    text = told(audit)
    assert "NOT KNOWN where it is liquidated, which is never safe" in text
    assert "equity: not known" in text
    assert "has no price of its own: the venue liquidates the account as a whole" in text
    assert "if all rise by the same, it holds however far" in text
    assert not re.search(r"\b(None|nan|inf|null)\b", text)


def test_a_step_is_told_with_what_it_does_while_it_is_of_this_account_still(tmp_path: Path) -> None:
    now = told(keep(tmp_path / "a.sqlite3", [assessed(START, near())]))
    assert "isolate SOL/USDT:USDT: nothing would liquidate it, now after 4.1%; costs about 120 USD" in now
    moved = structs.replace(near(), stress=(structs.replace(near().stress[0], distance_bps=None),))
    changed = told(keep(tmp_path / "b.sqlite3", [assessed(START, moved)]))
    assert "isolate SOL" not in changed
    assert "the account has changed since this was worked out" in changed
    assert "cross USDT: holds however far all fall, rise, or move against it" in changed


def test_a_leg_that_fails_now_is_the_first_word(tmp_path: Path) -> None:
    legs = near().legs
    failed = structs.replace(legs[0], kind=LiquidationKind.FAILED, distance_bps=0.0, seconds_stressed=0.0)
    path = keep(tmp_path / "a.sqlite3", [assessed(START, structs.replace(near(), legs=(legs[1], failed)))])
    text = told(path)
    assert "cross USDT, SOL/USDT:USDT in it: FAILS NOW by our reckoning" in text
    assert "but not all tiers are known, and ours ask for more than venues do" in text
    assert text.index("SOL/USDT:USDT 500 SOL short") < text.index("BTC/USDT:USDT 50 BTC long")


def test_too_little_time_for_one_action_is_told(tmp_path: Path) -> None:
    legs = near().legs
    soon = structs.replace(legs[1], seconds_stressed=29.0)
    path = keep(tmp_path / "a.sqlite3", [assessed(START, structs.replace(near(), legs=(legs[0], soon)))])
    assert "29 s at stressed speed, 67 min at present speed; an action takes 30 s" in told(path)
    assert "TOO LATE for one under stress" in told(path)


def test_the_last_word_on_each_account_counts(tmp_path: Path) -> None:
    later = START + 60 * NS_PER_S
    closer = structs.replace(near(later), equity_usd=1.0)
    path = keep(tmp_path / "a.sqlite3", [assessed(START, near(), as_a_whole()), assessed(later, closer)])
    said = json.loads(accounts("--audit", path, "--json").stdout)
    assert [(each["account"], each.get("equity_usd")) for each in said["accounts"]] == [
        (MAIN, 1.0),
        (UNIFIED, 100_000.0),
    ]
    assert [each["record"] for each in said["accounts"]] == [2, 1]


def test_an_account_that_was_not_assessed_for_long_is_not_among_them(tmp_path: Path) -> None:
    later = START + 3_600 * NS_PER_S
    path = keep(tmp_path / "a.sqlite3", [assessed(START, near()), assessed(later, as_a_whole(later))])
    assert str(MAIN) not in told(path)


def test_what_is_old_says_so(audit: Path) -> None:
    assert "THIS IS OLD" in told(audit)


def test_an_account_that_could_not_be_seen_any_more_says_so(tmp_path: Path) -> None:
    risk = structs.replace(near(), told_at=START - 300 * NS_PER_S)
    assert "LAST TOLD" in told(keep(tmp_path / "unseen.sqlite3", [assessed(START, risk)]))
    seen = structs.replace(risk, told_at=START)
    assert "LAST TOLD" not in told(keep(tmp_path / "seen.sqlite3", [assessed(START, seen)]))


def test_what_the_venue_would_take_is_told(audit: Path) -> None:
    text = told(audit)
    assert (
        "auto-deleveraging: by its profit and leverage, about 80% of the way to the front of its queue"
        in text
    )
    assert "the venue closes 20% of it first" in text
    assert "a fall of everything hits" in text


def test_json_holds_the_assessment_whole(audit: Path) -> None:
    said = json.loads(accounts("--audit", audit, "--json").stdout)
    assert said["ok"] is True
    assert said["overview"]["nearest"][0]["market"] == BTC
    assert said["overview"]["unknown"] == [[DARK, "okx:PEPE/USDT:USDT"]]
    [main] = [each for each in said["accounts"] if each["account"] == MAIN]
    assert main["legs"][1]["difference_bps"] == -33.44
    assert main["age_s"] > 0


def test_many_positions_are_told_from_the_nearest_on(tmp_path: Path) -> None:
    leg = near().legs[1]
    legs = tuple(
        structs.replace(leg, market=MarketId(f"binanceusdm:C{n}/USDT:USDT"), distance_bps=5_000.0 - n)
        for n in range(25)
    )
    path = keep(tmp_path / "a.sqlite3", [assessed(START, structs.replace(near(), legs=legs, holders=()))])
    text = told(path)
    assert "and 15 more, further away; --all tells them" in text
    assert "C24/USDT:USDT 50 C24 long" in text
    assert "C0/USDT:USDT 50 C0 long" not in text
    assert "C0/USDT:USDT 50 C0 long" in told(path, "--all")


def test_an_empty_record_says_what_to_do(tmp_path: Path) -> None:
    path = keep(tmp_path / "a.sqlite3", whole_story())
    assert "No account has been assessed yet" in told(path)
    assert "read-only key" in told(path)
    said = json.loads(accounts("--audit", path, "--json").stdout)
    assert (said["ok"], said["accounts"]) == (True, [])


def test_an_account_that_is_not_there_is_an_error_that_names_those_that_are(audit: Path) -> None:
    done = accounts("--audit", audit, "--account", "binanceusdm:other")
    assert done.exit_code == 1
    assert f"there are: {MAIN}, {UNIFIED}, {DARK}" in done.stderr


def test_no_record_at_all_is_an_error(tmp_path: Path) -> None:
    done = accounts("--audit", tmp_path / "none.sqlite3")
    assert done.exit_code == 1
    assert "none.sqlite3" in done.stderr


def test_an_account_that_holds_nothing_any_more_is_not_told_as_it_was(tmp_path: Path) -> None:
    told_by_venue = (snapshot(1.0, position(2.0)), tick(1.5), snapshot(2.0), tick(2.5), tick(3.5))
    steps = [step for step in Guard.of().feed(*told_by_venue) if step.assessed]
    assert [[len(risk.legs) for risk in step.assessed] for step in steps] == [[1], [0]]
    text = told(keep(tmp_path / "a.sqlite3", steps))
    assert "It holds no position any more." in text
    assert "BTC/USDT:USDT" not in text
