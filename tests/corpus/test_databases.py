"""Bad databases: told apart, kept as evidence, and the guard goes on with a new one that says so."""

from __future__ import annotations

import gzip
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from adapters.storage import SqliteAudit, SqliteAuditReader, open_audit
from guard.audit import AuditGap
from guard.errors import AuditCorruptError, AuditError
from tests.support.audit_records import seconds, tick, whole_story
from tests.support.fakes import FakeClock

PAGE = 4096
Damage = Callable[[Path], None]


async def written(path: Path) -> None:
    async with await SqliteAudit.open(path) as audit:
        await audit.append(whole_story(), durable=True)
        await audit.append([tick(seconds(each)) for each in range(100, 400)], durable=True)


def at_byte(offset: int, data: bytes) -> Damage:
    def damage(path: Path) -> None:
        with path.open("r+b") as file:
            file.seek(offset)
            file.write(data)

    return damage


def cut_to(size: int) -> Damage:
    return lambda path: os.truncate(path, size)


def replaced(data: bytes) -> Damage:
    def damage(path: Path) -> None:
        path.write_bytes(data)

    return damage


def told(*statements: str) -> Damage:
    def damage(path: Path) -> None:
        database = sqlite3.connect(path)
        for statement in statements:
            database.execute(statement)
        database.commit()
        database.close()

    return damage


def _compressed(path: Path) -> None:
    path.write_bytes(gzip.compress(path.read_bytes()))


def _another_database(path: Path) -> None:
    path.unlink()
    told("CREATE TABLE trades (id INTEGER, price REAL)", "INSERT INTO trades VALUES (1, 2.0)")(path)


def _garbage_beside(suffix: str) -> Damage:
    def damage(path: Path) -> None:
        path.with_name(path.name + suffix).write_bytes(os.urandom(9000))

    return damage


CORRUPT: dict[str, Damage] = {
    "text instead of a database": replaced(b"this is no database, it is a diary\n" * 500),
    "JSON instead of a database": replaced(b'{"records": []}'),
    "a web page instead of a database": replaced(b"<html><body>502 Bad Gateway</body></html>"),
    "binary zeros": replaced(b"\0" * 5 * PAGE),
    "random bytes": replaced(os.urandom(5 * PAGE)),
    "compressed by somebody who meant well": _compressed,
    "half a header": cut_to(50),
    "a header and nothing else": cut_to(100),
    "cut inside the first page": cut_to(2000),
    "cut after the first page": cut_to(PAGE),
    "cut in the middle": lambda path: os.truncate(path, path.stat().st_size // 2 // PAGE * PAGE),
    "cut inside a page": lambda path: os.truncate(path, path.stat().st_size - 1000),
    "the magic is gone": at_byte(0, b"\0" * 16),
    "a page size of 3": at_byte(16, b"\x00\x03"),
    "the schema page is garbage": at_byte(100, b"\xa5" * 2000),
    "a tree page is garbage": at_byte(3 * PAGE, b"\xa5" * PAGE),
    "pages are zero": at_byte(2 * PAGE, b"\0" * 3 * PAGE),
    "a table is gone": told("DROP TABLE records"),
    "the summary is gone": told("DROP TABLE meta"),
    "all records are gone": told("DELETE FROM records"),
    "the last record is gone": told("DELETE FROM records WHERE number = 307"),
    "the last record was edited": told("UPDATE records SET body = '{}' WHERE number = 307"),
    "a hash is of another length": told("UPDATE records SET hash = 'abc' WHERE number = 307"),
    "a record that is no record": told("""UPDATE records SET body = '{"kind":"tea"}' WHERE number = 307"""),
    "the summary says more than there is": told("UPDATE meta SET records = 999"),
    "the summary has another hash": told("UPDATE meta SET last_hash = 'f00'"),
}

MENDED_BY_SQLITE: dict[str, Damage] = {
    "a log that is garbage": _garbage_beside("-wal"),
    "a shared memory that is garbage": _garbage_beside("-shm"),
}
"""SQLite's own checksums tell it that these hold nothing; the database itself is whole."""


@pytest.mark.parametrize("name", CORRUPT)
async def test_a_damaged_audit_is_refused_kept_and_followed_by_a_new_one(name: str, tmp_path: Path) -> None:
    path = tmp_path / "audit.sqlite3"
    await written(path)
    CORRUPT[name](path)
    evidence = path.read_bytes()

    with pytest.raises(AuditCorruptError, match=r"audit\.sqlite3"):
        await SqliteAudit.open(path)
    audit, aside = await open_audit(path, FakeClock(seconds(500)))
    async with audit:
        await audit.append([tick(seconds(501))], durable=True)
        found = [stored.record async for stored in audit.records()]
        verdict = await audit.verify()

    assert aside is not None
    assert aside.read_bytes() == evidence
    assert isinstance(found[0], AuditGap)
    assert verdict.ok


@pytest.mark.parametrize("name", CORRUPT)
async def test_verify_says_of_each_that_it_is_broken_and_does_not_crash(name: str, tmp_path: Path) -> None:
    path = tmp_path / "audit.sqlite3"
    await written(path)
    CORRUPT[name](path)

    try:
        async with await SqliteAuditReader.open(path) as reader:
            verdict = await reader.verify()
    except AuditError as error:
        assert "audit.sqlite3" in str(error)  # noqa: PT017 (either way of saying so will do)
    else:
        assert not verdict.ok


@pytest.mark.parametrize("name", MENDED_BY_SQLITE)
async def test_rubbish_beside_a_whole_database_loses_nothing(name: str, tmp_path: Path) -> None:
    path = tmp_path / "audit.sqlite3"
    await written(path)
    MENDED_BY_SQLITE[name](path)

    async with await SqliteAudit.open(path) as audit:
        await audit.append([tick(seconds(501))], durable=True)
        verdict = await audit.verify()

    assert verdict.ok
    assert verdict.records == 308


@pytest.mark.parametrize(
    "what", ["a folder", "a link to nowhere", "a newer perpguard's", "of something else"]
)
async def test_what_is_no_damage_is_not_set_aside(what: str, tmp_path: Path) -> None:
    path = tmp_path / "audit.sqlite3"
    if what == "a folder":
        path.mkdir()
    elif what == "a newer perpguard's":
        await written(path)
        told("PRAGMA user_version = 999")(path)
    elif what == "of something else":
        await written(path)
        _another_database(path)
    else:
        path.symlink_to(tmp_path / "no" / "such" / "folder" / "file")

    with pytest.raises(AuditError, match=r"audit\.sqlite3") as caught:
        await open_audit(path, FakeClock(seconds(500)))

    assert not isinstance(caught.value, AuditCorruptError)
    assert not [name for name in os.listdir(tmp_path) if "corrupt" in name]  # noqa: PTH208 (short)
