"""What an operator is told of the record."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from adapters.storage import AuditSettings, SqliteAudit, health
from adapters.storage.health import CheckResult, StorageCheck, inspect_storage
from adapters.storage.segments import segments_of
from tests.adapters.storage.test_rotation import three_segments
from tests.support.audit_records import whole_story


def by_name(settings: AuditSettings) -> dict[str, StorageCheck]:
    return {check.name: check for check in inspect_storage(settings).checks}


async def test_a_record_that_is_well_is_said_to_be(tmp_path: Path) -> None:
    settings = AuditSettings(path=tmp_path / "audit.sqlite3", free_mb_min=1)
    async with await SqliteAudit.open(settings.path) as audit:
        await audit.append(whole_story(), durable=True)
        found = inspect_storage(settings)
        assert found.result is CheckResult.OK, found
        checks = by_name(settings)
        assert "7 records" in checks["chain"].detail
        assert str(os.getpid()) in checks["writer"].detail
    assert by_name(settings)["writer"].detail == "no guard writes it"


def test_before_the_first_start_all_is_well_too(tmp_path: Path) -> None:
    settings = AuditSettings(path=tmp_path / "deep" / "audit.sqlite3", free_mb_min=1)
    assert inspect_storage(settings).result is CheckResult.OK
    assert not settings.path.parent.exists(), "looking changes nothing"


async def test_what_is_wrong_is_named_with_a_remedy(tmp_path: Path) -> None:
    path = tmp_path / "audit.sqlite3"
    async with await SqliteAudit.open(path) as audit:
        await audit.append(whole_story(), durable=True)
    with sqlite3.connect(path, isolation_level=None) as database:
        database.execute("UPDATE records SET body = replace(body, 'alpha', 'gamma') WHERE number = 4")
    database.close()
    checks = by_name(AuditSettings(path=path, quota_mb=0.001, free_mb_min=1e9))
    assert checks["chain"].result is CheckResult.FAILED
    assert "record 4" in checks["chain"].detail
    assert checks["quota"].result is CheckResult.WARNING
    assert checks["space"].result is CheckResult.WARNING
    bad = [check for check in checks.values() if check.result is not CheckResult.OK]
    assert all(check.remedy for check in bad)
    assert inspect_storage(AuditSettings(path=path)).result is CheckResult.FAILED


def test_no_database_and_a_newer_one_are_named(tmp_path: Path) -> None:
    path = tmp_path / "audit.sqlite3"
    path.write_text("not a database " * 100)
    assert by_name(AuditSettings(path=path))["chain"].result is CheckResult.FAILED
    path.unlink()
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 99")
        database.execute("CREATE TABLE something (one)")
    database.close()
    assert "schema 99" in by_name(AuditSettings(path=path))["chain"].detail


def test_an_old_sqlite_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "SQLITE_MIN", (99, 0, 0))
    found = by_name(AuditSettings(path=tmp_path / "audit.sqlite3"))["sqlite"]
    assert (found.result, "99.0.0" in found.remedy) == (CheckResult.FAILED, True)


async def test_a_segment_that_is_missing_is_named(tmp_path: Path) -> None:
    settings = AuditSettings(path=tmp_path / "audit.sqlite3", free_mb_min=1)
    await three_segments(settings.path)
    assert by_name(settings)["segments"].detail == "2, none missing"
    segments_of(settings.path)[1].path.unlink()
    found = by_name(settings)["segments"]
    assert found.result is CheckResult.FAILED
    assert "records 9 to 12" in found.detail
    assert "audit.sqlite3.segments" in found.remedy


async def test_what_is_kept_aside_counts(tmp_path: Path) -> None:
    settings = AuditSettings(path=tmp_path / "audit.sqlite3", free_mb_min=1, quota_mb=1)
    await three_segments(settings.path)
    assert by_name(settings)["quota"].result is CheckResult.OK
    (tmp_path / "audit.sqlite3.damaged-1").write_bytes(bytes(2_000_000))
    found = by_name(settings)["quota"]
    assert found.result is CheckResult.WARNING
    assert "kept aside 1.9 MB" in found.detail
