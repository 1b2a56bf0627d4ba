"""Says when the settings are to be read again: SIGHUP asks for it, or a file of theirs changed and came to rest."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

POLL_S = 1.0
"""Polling sees what replaces a file too (editors, configuration managers, mounted secrets); it costs a stat each."""

ASKED = "SIGHUP"

Look = tuple[tuple[int, int, int] | None, ...]


@dataclass(slots=True)
class Watch:
    """Waits for a reason to read the settings again; use it from one task.

    Attributes:
        files: the settings file and those of its secrets, as they are named now.
        asked: set by SIGHUP.
        poll_s: between two looks. What changed must look the same twice: a file half written is not read.
    """

    files: Callable[[], Iterable[Path]]
    asked: asyncio.Event
    poll_s: float = POLL_S
    _names: tuple[Path, ...] = ()
    _look: Look = ()
    _digest: bytes = b""
    _settled: Look = field(default=())

    def begin(self) -> None:
        """Take what the files hold now for known."""
        self._names = tuple(self.files())
        self._look = self._settled = _look(self._names)
        self._digest = _digest(self._names)

    async def reason(self, *, look_at_files: bool) -> str:
        """Return why the settings are to be read again, once there is a reason."""
        while True:
            try:
                async with asyncio.timeout(self.poll_s):
                    await self.asked.wait()
            except TimeoutError:
                if look_at_files and await asyncio.to_thread(self._changed):
                    return f"{self._names[0].name} or a secret's file changed"
            else:
                self.asked.clear()
                await asyncio.to_thread(self.begin)
                return ASKED

    def _changed(self) -> bool:
        former, self._look = self._look, _look(self._names)
        if self._look == self._settled or self._look != former:
            return False
        digest, self._settled = _digest(self._names), self._look
        differs, self._digest = digest != self._digest, digest
        return differs


def _look(files: Iterable[Path]) -> Look:
    found: list[tuple[int, int, int] | None] = []
    for path in files:
        try:
            status = path.stat()
        except OSError:
            found.append(None)
        else:
            found.append((status.st_mtime_ns, status.st_size, status.st_ino))
    return tuple(found)


def _digest(files: Iterable[Path]) -> bytes:
    whole = hashlib.sha256()
    for path in files:
        try:
            content = path.read_bytes()
        except OSError:
            content = b""
        whole.update(hashlib.sha256(content).digest())
    return whole.digest()
