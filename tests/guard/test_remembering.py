"""What estimators learned is written now and then and at the end, and comes back as the first event."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from adapters.storage.outlook_memory import OutlookMemoryFile
from guard.errors import FileUnusableError
from guard.events import AnyEvent
from guard.outlook.outlook import Outlook
from guard.outlook.settings import OutlookSettings
from guard.remembering import Remembering, remembered_in
from tests.support.eventually import eventually
from tests.support.fakes import FakeClock
from tests.support.skill_readings import MARKET, START_AT, reading, refreshes


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.sqlite3.outlook"


def remembering(path: Path, outlook: Outlook, clock: FakeClock | None = None) -> Remembering:
    return Remembering(OutlookMemoryFile(path, "main"), lambda: outlook, "main", clock or FakeClock())


def experienced() -> Outlook:
    outlook = Outlook()
    for at in refreshes(60):
        outlook.estimators.update(reading(at, 100.0), outlook.broken)
    return outlook


def is_there(path: Path) -> bool:
    return path.exists()


def content(path: Path) -> bytes:
    return path.read_bytes()


async def test_a_run_begins_with_what_the_former_one_wrote_at_its_end(path: Path) -> None:
    assert await remembering(path, Outlook()).recall() is None
    former = experienced()
    assert await remembering(path, former).write()
    event = await remembering(path, Outlook()).recall()
    assert event is not None
    later = Outlook()
    later.hear(event)
    assert [each.market for each in later.remember("main", START_AT).maps] == [MARKET]


async def test_it_is_written_every_five_minutes(path: Path) -> None:
    clock = FakeClock()
    told: list[AnyEvent] = []
    task = asyncio.create_task(remembering(path, experienced(), clock).run(told.append))
    try:
        await asyncio.sleep(0)
        clock.advance(299_000)
        await asyncio.sleep(0)
        assert not is_there(path)
        clock.advance(1_000)
        await eventually(lambda: is_there(path), what="it was written")
    finally:
        task.cancel()
    assert not told


async def test_what_is_not_estimated_is_not_kept_and_what_was_stays(path: Path) -> None:
    assert await remembering(path, experienced()).write()
    before = content(path)
    off = Outlook()
    off.reconfigure(OutlookSettings(enabled=False))
    assert await remembering(path, off).recall() is None
    assert not await remembering(path, off).write()
    assert content(path) == before


async def test_a_body_that_no_longer_means_anything_is_set_aside(path: Path) -> None:
    OutlookMemoryFile(path, "main").write(b"of another program", 1)
    assert await remembering(path, Outlook()).recall() is None
    assert is_there(path.with_name(path.name + ".newer-1"))


async def test_a_replay_may_be_given_a_guards_file(path: Path) -> None:
    assert await remembering(path, experienced()).write()
    event = remembered_in(path)
    later = Outlook()
    later.hear(event)
    assert [each.market for each in later.remember("main", START_AT).maps] == [MARKET]
    with pytest.raises(FileUnusableError, match="nowhere"):
        remembered_in(path.with_name("nowhere"))
