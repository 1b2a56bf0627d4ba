"""Keeps what the estimators learned while the guard runs, and gives it back at the next start."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from adapters.storage.outlook_memory import OutlookMemoryFile, read_memory
from guard.errors import FileUnusableError
from guard.events import OutlookRestored
from guard.outlook.memory import OutlookMemory, decode, encode
from guard.outlook.outlook import Outlook
from guard.ports import Clock, Emit
from guard.units import NS_PER_S

WRITE_S = 300.0
"""What a kill -9 can cost. Gathering it takes the loop 0.3 ms a market, the rest is done in a thread."""

log = structlog.get_logger()


def remembered_in(path: Path) -> OutlookRestored:
    """What a file of any guard holds, as an event. FileUnusableError where it holds nothing that can be used."""
    try:
        kept = read_memory(path)
        decode(kept.body)
    except (OSError, ValueError) as error:
        raise FileUnusableError(str(path), str(error)) from error
    return OutlookRestored(
        received_at=kept.written_at, written_at=kept.written_at, digest=kept.digest, memory=kept.body
    )


@dataclass(slots=True)
class Remembering:
    """Fulfils Feed of guard.ports; it has nothing to say. ``recall`` comes before it runs, ``write`` also at the end.

    ``outlook`` gives the one of the engine as it is now; of one that is not enabled nothing is kept or recalled, and
    the file stays.
    """

    file: OutlookMemoryFile
    outlook: Callable[[], Outlook]
    guard: str
    clock: Clock
    write_s: float = WRITE_S
    name: str = "outlook memory"
    _writing: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def recall(self) -> OutlookRestored | None:
        """Read what was kept last, as the first event of a run; ``None`` where there is nothing that can be used."""
        if not self.outlook().settings.enabled:
            return None
        return await asyncio.to_thread(self._recall)

    async def run(self, emit: Emit) -> None:  # noqa: ARG002 (a Feed is given it)
        """Keep it every ``write_s`` until cancelled."""
        while True:
            await self.clock.sleep_until(self.clock.now() + int(self.write_s * NS_PER_S))
            await self.write()

    async def write(self) -> bool:
        """Keep it now; answer whether it could be done."""
        if not self.outlook().settings.enabled:
            return False
        async with self._writing:
            memory = self.outlook().remember(self.guard, self.clock.now())
            return await asyncio.to_thread(self._write, memory)

    def _write(self, memory: OutlookMemory) -> bool:
        return self.file.write(encode(memory), memory.at)

    def _recall(self) -> OutlookRestored | None:
        kept = self.file.read()
        if kept is None:
            return None
        try:
            decode(kept.body)
        except ValueError as error:
            self.file.set_aside("newer", str(error))
            return None
        return OutlookRestored(
            received_at=self.clock.now(), written_at=kept.written_at, digest=kept.digest, memory=kept.body
        )
