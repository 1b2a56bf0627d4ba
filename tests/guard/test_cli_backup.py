"""The commands that copy the record, put it back, and list what it is made of, as an operator runs them."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from adapters.storage import SqliteAudit
from adapters.storage.rotation import rotate
from adapters.storage.segments import segments_of
from guard.cli import cli
from tests.support.audit_records import seconds, tick, whole_story

SECRET = "a-password-that-somebody-pasted"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with settings and a record of two segments."""
    (tmp_path / "password").write_text(SECRET)
    (tmp_path / "password").chmod(0o600)
    (tmp_path / "settings.toml").write_text(
        f'# {SECRET}\n[audit]\npath = "audit.sqlite3"\n'
        '[broker]\nkind = "external"\nusername = "guard"\npassword_file = "password"\n'
    )

    async def keep() -> None:
        async with await SqliteAudit.open(tmp_path / "audit.sqlite3") as audit:
            await audit.append(whole_story(), durable=True)
            await rotate(audit, seconds(50))
            await audit.append([tick(seconds(60))], durable=True)

    asyncio.run(keep())
    return tmp_path


def ask(place: Path, *arguments: str) -> Result:
    return CliRunner().invoke(cli, [*arguments, "--settings", str(place / "settings.toml")])


def answer(place: Path, *arguments: str) -> Any:
    found = ask(place, *arguments, "--json")
    assert found.exit_code == 0, found.output
    return json.loads(found.stdout)


def test_a_record_goes_away_and_comes_back(place: Path) -> None:
    said = answer(place, "backup", str(place / "backup"))
    assert (said["records"], said["epoch"], said["ok"]) == (10, 1, True)
    refused = ask(place, "restore", str(place / "backup"))
    assert refused.exit_code == 1
    assert "--force keeps it aside" in refused.stderr
    said = answer(place, "restore", str(place / "backup"), "--force")
    assert said["aside"] == str(place / "audit.sqlite3.before-restore-1")
    verified = answer(place, "audit", "verify")
    assert (verified["ok"], verified["records"], verified["samples"]) == (True, 11, [])
    assert "put back from" in ask(place, "audit", "show", "--last", "1").stdout


def test_settings_go_along_without_secrets(place: Path) -> None:
    answer(place, "backup", str(place / "backup"))
    kept = (place / "backup" / "settings.toml").read_text()
    assert kept == (place / "settings.toml").read_text().replace(SECRET, "***")


def test_words_for_people(place: Path) -> None:
    assert "10 records" in ask(place, "backup", str(place / "backup")).stdout
    shutil.rmtree(place / "audit.sqlite3.segments")
    for left in place.glob("audit.sqlite3*"):
        left.unlink()
    found = ask(place, "restore", str(place / "backup"))
    assert found.exit_code == 0, found.output
    assert "11 records are back, the next epoch is above 1" in found.stdout


def test_the_files_of_the_record_are_listed(place: Path) -> None:
    said = answer(place, "audit", "segments")
    assert [(each["first"], each["last"]) for each in said["files"]] == [(1, 8), (9, 10)]
    assert "9 to         10" in ask(place, "audit", "segments").stdout


def test_a_segment_that_is_gone_fails_verify_and_says_where_it_belongs(place: Path) -> None:
    segments_of(place / "audit.sqlite3")[0].path.unlink()
    found = ask(place, "audit", "verify")
    assert found.exit_code == 1
    assert "records 1 to 8 are nowhere" in found.stderr
    assert "audit.sqlite3.segments" in found.stderr
