"""Tampering with the audit shows, and the first bad record is named."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from adapters.storage import SqliteAudit, SqliteAuditReader
from guard.audit import chain_hash, encode_record
from guard.errors import AuditCorruptError
from guard.ports import Verdict
from tests.support.audit_records import seconds, tick, whole_story


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    path = tmp_path / "audit.sqlite3"
    async with await SqliteAudit.open(path) as audit:
        await audit.append(whole_story(), durable=True)
    return path


def tamper(path: Path, *statements: str) -> None:
    database = sqlite3.connect(path)
    for statement in statements:
        database.execute(statement)
    database.commit()
    database.close()


async def verdict(path: Path) -> Verdict:
    async with await SqliteAuditReader.open(path) as reader:
        return await reader.verify()


async def test_an_untouched_audit_verifies_and_tells_its_last_hash(path: Path) -> None:
    found = await verdict(path)
    assert found.ok
    assert found.records == 7
    assert "last hash" in found.detail


@pytest.mark.parametrize(
    ("statements", "broken_at", "words"),
    [
        (
            ["UPDATE records SET body = replace(body, 'depth_thin', 'depth_fine') WHERE number = 3"],
            3,
            "changed",
        ),
        (["UPDATE records SET hash = '00' WHERE number = 4"], 4, "changed"),
        (["UPDATE records SET at = at + 1 WHERE number = 2"], 2, "time or kind"),
        (["UPDATE records SET kind = 'sent' WHERE number = 2"], 2, "time or kind"),
        (["DELETE FROM records WHERE number = 4"], 4, "record 4 removed"),
        (["DELETE FROM records WHERE number = 1"], 1, "record 1 removed"),
        (["DELETE FROM records WHERE number >= 6"], 6, "records 6 to 7 were removed from the end"),
        (
            [
                "DELETE FROM records WHERE number = 4",
                "UPDATE records SET number = number - 1 WHERE number > 4",
            ],
            4,
            "",
        ),
        (
            [
                "UPDATE records SET number = 99 WHERE number = 4",
                "UPDATE records SET number = 4 WHERE number = 5",
                "UPDATE records SET number = 5 WHERE number = 99",
            ],
            4,
            "moved",
        ),
        (["INSERT INTO records SELECT 8, at, kind, body, hash FROM records WHERE number = 7"], 8, "inserted"),
        (["DELETE FROM record_command WHERE number = 4"], 4, "record_command"),
        (["INSERT INTO record_finding VALUES ('depth_thin', 77)"], 77, "record_finding"),
        (["UPDATE epoch SET epoch = 40"], 7, "epoch or postures"),
        (["DELETE FROM posture"], 7, "epoch or postures"),
        (["DELETE FROM meta"], 1, "added by something else"),
    ],
)
async def test_tampering_is_told_with_the_first_bad_record(
    path: Path, statements: list[str], broken_at: int, words: str
) -> None:
    tamper(path, *statements)
    found = await verdict(path)
    assert broken_at == found.broken_at
    assert words in found.detail


async def test_a_record_appended_by_something_else_shows_even_if_it_is_chained_well(path: Path) -> None:
    body = encode_record(tick(seconds(77)))
    database = sqlite3.connect(path)
    last = database.execute("SELECT hash FROM records WHERE number = 7").fetchone()[0]
    database.execute(
        "INSERT INTO records VALUES (8, ?, 'step', ?, ?)",
        (seconds(77), body.decode(), chain_hash(last, body)),
    )
    database.commit()
    database.close()
    assert (await verdict(path)).broken_at == 8


async def test_a_page_of_garbage_in_the_middle_is_a_verdict_and_not_a_crash(tmp_path: Path) -> None:
    path = tmp_path / "audit.sqlite3"
    async with await SqliteAudit.open(path) as audit:
        await audit.append([tick(seconds(each)) for each in range(3000)], durable=True)
    with path.open("r+b") as file:
        file.seek(40 * 4096)
        file.write(b"\xa5" * 4096 * 8)
    found = await verdict(path)
    assert not found.ok
    assert found.broken_at is not None
    assert 1 < found.broken_at < 3000


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE records SET body = replace(body, 'alpha', 'alphb') WHERE number = 3",
        "DELETE FROM records WHERE number = 7",
        "DELETE FROM records WHERE number = 2",
        "DELETE FROM records",
        "DELETE FROM meta",
    ],
)
async def test_a_chain_broken_near_its_end_is_refused_at_open(path: Path, statement: str) -> None:
    tamper(path, statement)
    with pytest.raises(AuditCorruptError, match=r"audit\.sqlite3.*Keep the file, it is evidence"):
        await SqliteAudit.open(path)


async def test_the_tail_is_checked_also_where_it_is_shorter_than_the_file(tmp_path: Path) -> None:
    path = tmp_path / "audit.sqlite3"
    async with await SqliteAudit.open(path) as audit:
        await audit.append([tick(seconds(each)) for each in range(1500)], durable=True)
    async with await SqliteAudit.open(path) as audit:
        await audit.append([tick(seconds(2000))], durable=True)
    tamper(path, "UPDATE records SET at = at, body = replace(body, 'tick', 'tock') WHERE number = 700")
    with pytest.raises(AuditCorruptError, match="record 700"):
        await SqliteAudit.open(path)
