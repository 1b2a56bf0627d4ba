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

Look = tuple[int, int, int] | None


@dataclass(slots=True)
class _Known:
    look: Look
    digest: bytes


@dataclass(slots=True)
class Watch:
    """Waits for a reason to read the settings again; use it from one task.

    What a file held when its change was noticed counts as read: a change that comes while it is read is another.

    Attributes:
        files: the settings file and those of its secrets, as they are named now.
        asked: set by SIGHUP.
        poll_s: between two looks. What changed must look the same twice: a file half written is not read.
    """

    files: Callable[[], Iterable[Path]]
    asked: asyncio.Event
    poll_s: float = POLL_S
    _known: dict[Path, _Known] = field(default_factory=dict)
    _last: dict[Path, Look] = field(default_factory=dict)

    def follow(self) -> None:
        """Take new files for read as they are, and forget those that are named no more."""
        names = list(self.files())
        self._known = {path: self._known.get(path) or _Known(_look(path), _digest(path)) for path in names}

    async def reason(self, *, look_at_files: bool) -> str:
        """Return why the settings are to be read again, once there is a reason."""
        while True:
            try:
                async with asyncio.timeout(self.poll_s):
                    await self.asked.wait()
            except TimeoutError:
                if look_at_files and (changed := await asyncio.to_thread(self._changed)):
                    return f"{changed} changed"
            else:
                self.asked.clear()
                await asyncio.to_thread(self._note_all)
                return ASKED

    def _changed(self) -> str:
        """The names of files that hold something else and have come to rest; empty while there is none."""
        looks = {path: _look(path) for path in self._known}
        former, self._last = self._last, looks
        moved = [path for path, look in looks.items() if look != self._known[path].look]
        if any(path not in former or looks[path] != former[path] for path in moved):
            return ""  # it may still be written
        differing = []
        for path in moved:
            digest = _digest(path)
            if digest != self._known[path].digest:
                differing.append(path.name)
            self._known[path] = _Known(looks[path], digest)
        return ", ".join(differing)

    def _note_all(self) -> None:
        self._known = {path: _Known(_look(path), _digest(path)) for path in self._known}


def _look(path: Path) -> Look:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _digest(path: Path) -> bytes:
    try:
        return hashlib.sha256(path.read_bytes()).digest()
    except OSError:
        return b""
