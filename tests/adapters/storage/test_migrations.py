"""Records of older schemas are brought forward, backed up before, and never half."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sqlite3
from pathlib import Path

import pytest

from adapters.storage import SqliteAudit, SqliteAuditReader
from adapters.storage.migrations import STEPS, migrate, version_of
from adapters.storage.rotation import rotate
from adapters.storage.schema import SCHEMA_VERSION
from guard.errors import AuditError
from tests.adapters.storage.test_rotation import verdict
from tests.support.audit_records import PAUSE_ID, seconds, tick, whole_story

FIRST = Path(__file__).parent / "data" / "audit-schema-1.sqlite3"
"""Written by the code of schema 1: a whole story, a session of epoch 3 and one more pause."""
FIRST_HEAD = (9, "c9f1cc863acb8d40961a880e1c5ef86261447837296e025e1f91c51314b940b3")


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return Path(shutil.copy(FIRST, tmp_path / "audit.sqlite3"))


async def test_the_first_schema_is_brought_forward_and_kept(old: Path) -> None:
    async with await SqliteAudit.open(old) as audit:
        assert audit.head == FIRST_HEAD
        kept = audit.migrated
        assert kept is not None
        assert kept.name == "audit.sqlite3.schema-1"
        assert await audit.last_epoch() == 3
        assert [each.record async for each in audit.records()][:7] == whole_story()
        await audit.append([tick(seconds(200))], durable=True)
        await rotate(audit, seconds(201))
        assert (await audit.verify()).ok
    assert FIRST.read_bytes() == kept.read_bytes() or (await verdict(kept)).ok
    assert (await verdict(kept)).records == 9
    async with await SqliteAudit.open(old) as audit:
        assert audit.migrated is None


async def test_the_first_schema_can_be_read_and_verified_as_it_is(old: Path) -> None:
    async with await SqliteAuditReader.open(old) as reader:
        assert (await reader.verify()).ok
        assert [each.number for each in await reader.story(PAUSE_ID)] == [1, 2, 3, 4, 5, 6, 7]
    assert not old.with_name(old.name + ".schema-1").exists()


def test_every_schema_has_its_step() -> None:
    assert sorted(STEPS) == list(range(2, SCHEMA_VERSION + 1))


def test_a_step_that_fails_leaves_everything_as_it_was(old: Path) -> None:
    def breaks(database: sqlite3.Connection) -> None:
        database.execute("DELETE FROM records")
        database.execute("CREATE TABLE half_done (one)")
        database.execute("no sql")

    with contextlib.closing(sqlite3.connect(old, isolation_level=None)) as database:
        with pytest.raises(sqlite3.OperationalError):
            migrate(old, database, steps={**STEPS, 3: breaks}, to_version=3)
        assert version_of(database) == 1
        assert database.execute("SELECT count(*) FROM records").fetchone() == (9,)
        names = {name for (name,) in database.execute("SELECT name FROM sqlite_schema")}
        assert not names & {"half_done", "span"}
        assert migrate(old, database) == old.with_name(old.name + ".schema-1")


def test_a_newer_record_is_refused_and_left_alone(old: Path) -> None:
    with contextlib.closing(sqlite3.connect(old, isolation_level=None)) as database:
        database.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    before = old.read_bytes()
    with pytest.raises(AuditError, match="a newer perpguard wrote it"):
        asyncio.run(SqliteAudit.open(old))
    assert before[100:] == old.read_bytes()[100:]
