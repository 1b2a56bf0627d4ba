"""The SQLite audit keeps what it is given, byte for byte, for one writer and any number of readers."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path

import pytest

from adapters.storage import SqliteAudit, SqliteAuditReader
from guard.audit import AnyRecord, SettingsReloaded, Step, encode_record
from guard.errors import AuditError, AuditLockedError, CommandNotFoundError
from guard.events import Tick
from guard.ports import AuditLog, AuditReader, Memory, StoredRecord
from perpguard_sdk.messages import Entries
from tests.support.audit_records import (
    PAUSE_ID,
    depth_finding,
    pause_step,
    seconds,
    session,
    tick,
    traced,
    whole_story,
)


async def stored(reader: AuditReader, command_id: str | None = None) -> list[StoredRecord]:
    return [each async for each in reader.records(command_id=command_id)]


async def test_fulfils_the_ports(tmp_path: Path) -> None:
    async with await SqliteAudit.open(tmp_path / "audit.sqlite3") as audit:
        log: AuditLog = audit
        reader: AuditReader = audit
        memory: Memory = audit
        await log.append([session()], durable=True)
        assert [each.number for each in await stored(reader)] == [1]
        assert await memory.last_epoch() == 1


async def test_records_come_back_byte_for_byte_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "audit.sqlite3"
    records = whole_story()
    async with await SqliteAudit.open(path) as audit:
        await audit.append(records[:3], durable=True)
        await audit.append(records[3:], durable=False)
    async with await SqliteAudit.open(path) as audit:
        back = await stored(audit)
        assert records == [each.record for each in back]
        assert [encode_record(each) for each in records] == [encode_record(each.record) for each in back]
        assert (len(records), back[-1].hash) == audit.head
        assert (await audit.verify()).ok


async def test_the_way_of_a_command_belongs_to_its_records(tmp_path: Path) -> None:
    path = tmp_path / "audit.sqlite3"
    way = traced(at=seconds(11))
    async with await SqliteAudit.open(path) as audit:
        await audit.append([*whole_story(), traced("another", at=seconds(11)), way], durable=True)
        found = await stored(audit, PAUSE_ID)
        assert found[-1].record == way
        assert len(found) == len(whole_story()) - 2 + 1
        assert (await audit.verify()).ok


async def test_only_its_owner_can_read_the_file(tmp_path: Path) -> None:
    path = tmp_path / "audit.sqlite3"
    async with await SqliteAudit.open(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_memory_holds_the_highest_epoch_and_each_bots_last_posture(tmp_path: Path) -> None:
    path = tmp_path / "audit.sqlite3"
    async with await SqliteAudit.open(path) as audit:
        assert await audit.last_epoch() == 0
        assert await audit.last_postures() == {}
        await audit.append(
            [*whole_story(), session(epoch=7, at=seconds(60)), session(epoch=5, at=seconds(61))], durable=True
        )
    async with await SqliteAudit.open(path) as audit:
        assert await audit.last_epoch() == 7
        postures = await audit.last_postures()
        assert {bot: each.version for bot, each in postures.items()} == {"alpha": 2}
        assert list(postures["alpha"].entries.values()) == [Entries.REDUCE_ONLY]  # type: ignore[index]


async def test_a_command_is_found_by_a_unique_start_and_by_last(tmp_path: Path) -> None:
    async with await SqliteAudit.open(tmp_path / "audit.sqlite3") as audit:
        await audit.append(whole_story(), durable=True)
        await audit.append([pause_step("01J9PAUSE0002", at=seconds(99))], durable=True)
        assert [each.number for each in await stored(audit, PAUSE_ID)] == [3, 4, 5, 6, 7]
        with pytest.raises(CommandNotFoundError, match="begins several commands"):
            await stored(audit, "01J9")
        with pytest.raises(CommandNotFoundError, match="no command begins with 'zz'"):
            await stored(audit, "zz")
        assert [each.number for each in await stored(audit, "last")] == [8]
        assert [each.number for each in await stored(audit, "01J9PAUSE0002")] == [8]


async def test_a_story_adds_what_led_to_the_command(tmp_path: Path) -> None:
    path = tmp_path / "audit.sqlite3"
    async with await SqliteAudit.open(path) as audit:
        await audit.append([tick(seconds(0)), *whole_story()], durable=True)
        await audit.append([tick(seconds(50))], durable=True)
        async with await SqliteAuditReader.open(path) as reader:
            assert [each.number for each in await reader.story("last")] == [2, 3, 4, 5, 6, 7, 8]


async def test_a_story_holds_since_when_a_finding_stood_and_when_it_ended(tmp_path: Path) -> None:
    def finding_step(at_s: float, *, closes: bool = False) -> Step:
        at = seconds(at_s)
        found = (depth_finding(),)
        return Step(
            at=at, event=Tick(received_at=at), opened=() if closes else found, closed=found if closes else ()
        )

    records: list[AnyRecord] = [
        session(),  # 1
        finding_step(1),
        finding_step(2, closes=True),
        finding_step(3),  # 4: opened again
        finding_step(4),  # changed
        finding_step(5),  # changed
        pause_step(at=seconds(6)),  # 7
    ]
    async with await SqliteAudit.open(tmp_path / "audit.sqlite3") as audit:
        await audit.append(records, durable=True)
        async with await SqliteAuditReader.open(audit.path) as reader:
            assert [each.number for each in await reader.story("last")] == [1, 2, 3, 4, 7]


async def test_a_story_holds_the_last_changes_of_settings_before_the_command(tmp_path: Path) -> None:
    def change(at_s: float) -> SettingsReloaded:
        at = seconds(at_s)
        return SettingsReloaded(at=at, cause="SIGHUP", applied=True, former_digest="a", settings_digest="b")

    records: list[AnyRecord] = [session(), change(1), tick(seconds(2)), pause_step(at=seconds(3)), change(4)]
    async with await SqliteAudit.open(tmp_path / "audit.sqlite3") as audit:
        await audit.append(records, durable=True)
        async with await SqliteAuditReader.open(audit.path) as reader:
            assert [each.number for each in await reader.story("last")] == [1, 2, 4]


async def test_many_records_are_read_in_pages_and_from_the_end(tmp_path: Path) -> None:
    async with await SqliteAudit.open(tmp_path / "audit.sqlite3") as audit:
        await audit.append([tick(seconds(each)) for each in range(1203)], durable=False)
        assert list(range(1, 1204)) == [each.number for each in await stored(audit)]
        async with await SqliteAuditReader.open(audit.path) as reader:
            assert [each.number for each in await reader.last_records(2)] == [1202, 1203]


async def test_a_second_writer_is_refused_and_readers_are_not(tmp_path: Path) -> None:
    path = tmp_path / "audit.sqlite3"
    async with await SqliteAudit.open(path) as audit:
        with pytest.raises(AuditLockedError, match="another guard writes it"):
            await SqliteAudit.open(path)
        await audit.append([session()], durable=True)
        async with await SqliteAuditReader.open(path) as reader:
            assert len(await stored(reader)) == 1
    async with await SqliteAudit.open(path):
        pass


async def test_appends_at_once_keep_one_chain(tmp_path: Path) -> None:
    async with await SqliteAudit.open(tmp_path / "audit.sqlite3") as audit:
        async with asyncio.TaskGroup() as tasks:
            for each in range(40):
                tasks.create_task(
                    audit.append([tick(seconds(each)), tick(seconds(each))], durable=each % 2 == 0)
                )
        assert audit.head[0] == 80
        assert (await audit.verify()).ok


async def test_a_cancelled_append_still_completes_whole(tmp_path: Path) -> None:
    async with await SqliteAudit.open(tmp_path / "audit.sqlite3") as audit:
        waiting = asyncio.create_task(
            audit.append([tick(seconds(each)) for each in range(3)], durable=True), name="cancelled append"
        )
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await audit.append([tick(seconds(9))], durable=True)
        assert audit.head[0] == 4
        assert (await audit.verify()).ok


async def test_nothing_is_appended_after_closing(tmp_path: Path) -> None:
    audit = await SqliteAudit.open(tmp_path / "audit.sqlite3")
    await audit.close()
    await audit.close()
    with pytest.raises(AuditError, match="closed already"):
        await audit.append([session()], durable=True)


async def test_a_reader_needs_an_audit(tmp_path: Path) -> None:
    with pytest.raises(AuditError, match=r"nothing\.sqlite3.*No such file"):
        await SqliteAuditReader.open(tmp_path / "nothing.sqlite3")
    (tmp_path / "empty.sqlite3").touch()
    with pytest.raises(AuditError, match="empty file"):
        await SqliteAuditReader.open(tmp_path / "empty.sqlite3")
