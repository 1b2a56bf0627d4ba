"""What `perpguard bill` and `perpguard explain` tell of a record that a guard has written."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from adapters.storage import SqliteAudit
from adapters.storage.reader import SqliteAuditReader
from guard.audit import AnyRecord, Billed
from guard.audit_lines import record_words
from guard.bill.account import Chosen, account_of
from guard.billed import BillLine, BillMemory
from guard.cli import cli
from tests.support.billed_guard import BilledGuard
from tests.support.builders import ACCOUNT, finding

DAY = "2025-10-09"


def perpguard(*arguments: str | Path) -> Result:
    done = CliRunner().invoke(cli, [str(each) for each in arguments], env={"COLUMNS": "400"})
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def keep(path: Path, records: Sequence[AnyRecord]) -> Path:
    async def write() -> None:
        async with await SqliteAudit.open(path) as audit:
            await audit.append(list(records), durable=True)
            assert (await audit.last_bill()) == next(
                record.memory for record in reversed(records) if isinstance(record, Billed)
            )

    asyncio.run(write())
    return path


@pytest.fixture(scope="module")
def guard() -> BilledGuard:
    """A cut before a fall that paid off, and one that is still counted."""
    guard = BilledGuard(size=10.0)
    guard.policy.findings = [finding(max_size=4.0, account=ACCOUNT)]
    guard.live(5.0)
    guard.live(5.0, price=90.0)
    guard.policy.findings = []
    guard.live(60.0)
    guard.policy.findings = [finding(max_size=2.0, account=ACCOUNT)]
    guard.live(12.0)
    guard.live(12.0, price=91.0)
    last = guard.ledger.take(guard.guard.engine.state, last=True)
    assert last is not None
    guard.records.append(last)
    return guard


@pytest.fixture
def audit(guard: BilledGuard, tmp_path: Path) -> Path:
    steps = [step for step in guard.guard.steps if step.is_decision]
    return keep(tmp_path / "audit.sqlite3", sorted([*steps, *guard.records], key=lambda each: each.at))


def told(*arguments: str | Path) -> str:
    done = perpguard(*arguments)
    assert done.exit_code == 0, done.stderr
    return " ".join(done.stdout.split())


def test_the_whole_run_is_told_in_words(audit: Path) -> None:
    text = told("bill", "--audit", audit)
    assert "1 paid off, 0 false alarm(s)" in text
    assert "Saved 60.00 USD, cost 0.36 USD (fees 0.30, slippage 0.06, missed return 0.00): net +59.64" in text
    assert "Still counted: 1, as of now net -2.1" in text
    assert "loopback:main BTC/USDT:USDT, test" in text


def test_programs_are_told_the_same_in_numbers(audit: Path, guard: BilledGuard) -> None:
    done = json.loads(perpguard("bill", "--audit", audit, "--json").stdout)
    (row,) = [row for row in done["rows"] if row["policy"] == "test"]
    assert (row["commands"], row["false_alarms"]) == (1, 0)
    assert row["net_usd"] == pytest.approx(60.0 - row["fees_usd"] - row["slippage_usd"])
    assert row["net_bps"] == pytest.approx(row["net_usd"] / row["equity_usd"] * 10_000.0)
    assert done["total"]["net_usd"] == pytest.approx(row["net_usd"])
    assert [each["missed_usd"] for each in done["open"]] == [pytest.approx(2.0)]
    assert [each["decision"] for each in done["decisions"]] == [guard.cuts[0].id]
    assert abs(done["residual_usd"]) < 1e-9


def test_a_day_an_account_or_a_policy_can_be_chosen(audit: Path) -> None:
    assert "net +59.64" in told(
        "bill", "--audit", audit, "--day", DAY, "--account", "main", "--policy", "test"
    )
    for chosen in (("--day", "2025-10-08"), ("--account", "other"), ("--policy", "other")):
        assert "Nothing is billed yet" in told("bill", "--audit", audit, *chosen)


def test_a_command_is_explained_with_its_bill(audit: Path, guard: BilledGuard) -> None:
    text = told("explain", guard.cuts[0].id, "--audit", audit, "--long")
    assert "What it saved and what it cost It took off 6 BTC at a mark price of 100" in text
    assert "because the restriction had been over for the settle time: paid off." in text
    assert "Saved 60.00 USD; cost 0.36 USD" in text
    short = told("explain", guard.cuts[0].id, "--audit", audit)
    assert "Bill took off 6 BTC; saved 60.00, cost 0.36, net +59.64 USD after" in short
    assert "It is still counted" in told("explain", guard.cuts[1].id, "--audit", audit, "--long")


def test_a_record_of_no_bill_is_said_to_hold_none(tmp_path: Path, guard: BilledGuard) -> None:
    path = tmp_path / "audit.sqlite3"

    async def write() -> BillMemory | None:
        async with await SqliteAudit.open(path) as audit:
            await audit.append([guard.guard.steps[0]], durable=True)
            return await audit.last_bill()

    assert asyncio.run(write()) is None
    assert "Nothing is billed yet" in told("bill", "--audit", path)


def test_a_day_whose_end_nobody_recorded_is_added_up_from_its_decisions(guard: BilledGuard) -> None:
    lines = [line for record in guard.records for line in record.lines]
    memory = guard.records[-1].memory
    later = Billed(at=1, memory=BillMemory(since=memory.since, day="2025-10-20", run=memory.run))
    records = [Billed(at=0, memory=memory, lines=tuple(lines)), later]
    (row,) = [row for row in account_of(records, Chosen(day=DAY)).rows if row.policy == "test"]
    assert row.net_usd == pytest.approx(sum(line.net_usd for line in lines if line.policy == "test"))


def test_each_record_has_its_line(guard: BilledGuard, audit: Path) -> None:
    async def read() -> list[BillLine]:
        async with await SqliteAuditReader.open(audit) as reader:
            assert (await reader.verify()).ok
            bills = [stored.record for stored in await reader.bills()]
            assert bills == guard.records
            return [line for each in bills if isinstance(each, Billed) for line in each.lines]

    (line,) = asyncio.run(read())
    words = [record_words(record) for record in guard.records]
    assert any(line.decision in each and "paid off: cut loopback:main" in each for each in words)
