"""What humans told outlives the guard that heard it: the audit has the latest word of each."""

from __future__ import annotations

from pathlib import Path

from msgspec import structs

from adapters.storage.audit import SqliteAudit
from guard.audit import Step
from guard.events import InstructionSeen
from perpguard_sdk.messages import Instruction, InstructionKind
from tests.support.audit_records import seconds, whole_story

HALT = Instruction(
    id="halt-1", kind=InstructionKind.HALT, author="ada", reason="odd", ts=1, expires_at=10**13
)


def heard(at: int, told: Instruction) -> Step:
    return Step(at=seconds(at), event=InstructionSeen(received_at=seconds(at), instruction=told))


async def test_the_latest_word_of_each_is_remembered_across_segments(tmp_path: Path) -> None:
    path = tmp_path / "audit.sqlite3"
    withdrawn = structs.replace(HALT, ts=3, withdrawn=True)
    planned = structs.replace(HALT, id="plan", kind=InstructionKind.SILENCE, ts=2)
    async with await SqliteAudit.open(path) as audit:
        assert await audit.last_instructions() == ()
        await audit.append([*whole_story(), heard(70, HALT), heard(71, planned)], durable=True)
        await audit.cut(seconds(72))
        await audit.append([heard(73, withdrawn)], durable=True)
    async with await SqliteAudit.open(path) as audit:
        assert set(await audit.last_instructions()) == {withdrawn, planned}
        assert (await audit.verify()).ok
