"""What estimators have learned, kept over restarts in one file that is complete or not there.

A file that cannot be used is renamed, never removed, and the log says where it went and what to do; the guard then
starts as on its first day: maps fill up within hours, weights of estimators are those of the release.

Form: a line ``perpguard-outlook VERSION``, a line of JSON (``Header``), then ``bytes`` of zlib. Each file that a guard
went on from is kept beside it under its digest, as long as there are not more than ``RESTORED_MAX``: the record of that
run names the digest, so that the run can be judged again from what it knew.
"""

from __future__ import annotations

import hashlib
import os
import zlib
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import msgspec
import structlog
from msgspec import Struct

from adapters.storage.files import settle
from guard.units import Nanoseconds

VERSION = 1
MAGIC = b"perpguard-outlook "
BYTES_MAX = 128 * 1024 * 1024
"""Of what is in it; 500 markets of 120 KB are half of it."""
HEADER_BYTES_MAX = 4096
RESTORED_MAX = 8
"""A guard that is restarted daily keeps a week; one file of 200 markets is 13 MB."""
COMPRESSION = 1
"""Half of it are zeros, which any level sees."""

log = structlog.get_logger()


class Header(Struct, frozen=True, kw_only=True):
    """What a file says of itself; ``sha256`` is of the ``bytes`` that follow."""

    guard: str
    written_at: Nanoseconds
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Kept:
    """What a file held: ``body`` as it was given to ``write``; ``digest`` names it."""

    body: bytes
    digest: str
    written_at: Nanoseconds


class UnusableMemoryError(ValueError):
    """A file that cannot be used; ``kind`` is what it is renamed to: ``damaged``, ``newer`` or ``other``."""

    def __init__(self, kind: str, why: str) -> None:
        super().__init__(why)
        self.kind = kind


class OutlookMemoryFile:
    """One guard's file. Nothing here raises: what fails is said in the log, and the former file stays.

    Blocking: call it from a thread.
    """

    def __init__(self, path: Path, guard: str) -> None:
        self.path = path
        self._guard = guard

    def write(self, body: bytes, at: Nanoseconds) -> bool:
        """Keep ``body`` in the place of what was kept before; answer whether it could be done."""
        try:
            write_memory(self.path, body, guard=self._guard, at=at)
        except (OSError, ValueError) as error:
            log.warning(
                "what was learned cannot be kept over a restart: the file before stays as it is",
                file=str(self.path),
                why=str(error),
            )
            return False
        return True

    def read(self) -> Kept | None:
        """Return what was kept last, and keep that file under its digest; ``None`` where there is nothing to use."""
        try:
            kept = read_memory(self.path, guard=self._guard)
        except FileNotFoundError:
            return None
        except UnusableMemoryError as error:
            self.set_aside(error.kind, str(error))
            return None
        except OSError as error:
            # It would be written over in a few minutes.
            self.set_aside("unread", str(error))
            return None
        self._keep_restored(kept.digest)
        return kept

    def set_aside(self, kind: str, why: str) -> Path | None:
        """Rename the file to ``NAME.KIND-N``, say so, and return the new name; ``None`` if that fails too."""
        names = (self.path.with_name(f"{self.path.name}.{kind}-{number}") for number in count(1))
        aside = next(name for name in names if not name.exists())
        try:
            self.path.rename(aside)
        except OSError as error:
            log.warning("a file that cannot be used cannot be renamed", file=str(self.path), why=str(error))
            return None
        log.warning(
            "what was learned before cannot be used: starting as on the first day",
            why=why,
            moved_to=str(aside),
            remedy=_REMEDIES.get(kind, _REMEDIES["damaged"]),
        )
        return aside

    def restored(self, digest: str) -> Path:
        """Where the file of ``digest`` is kept that a run went on from."""
        return self.path.with_name(f"{self.path.stem}-{digest[:16]}{self.path.suffix}")

    def _keep_restored(self, digest: str) -> None:
        """Give the file a second name, which the next ``write`` leaves alone; the oldest of them go."""
        name = self.restored(digest)
        try:
            if not name.exists():
                os.link(self.path, name)
            others = sorted(
                self.path.parent.glob(f"{self.path.stem}-????????????????{self.path.suffix}"),
                key=lambda each: each.stat().st_mtime_ns,
            )
            for old in [each for each in others if each != name][: max(0, len(others) - RESTORED_MAX)]:
                old.unlink()
        except OSError as error:
            log.warning(
                "what this run goes on from cannot be kept beside it: its record cannot be judged again",
                file=str(name),
                why=str(error),
            )


_REMEDIES = {
    "unread": "look at the disk and at the rights of this file, then move it back while the guard is stopped",
    "damaged": "restore this file from a backup, or remove the renamed one: the guard learns anew",
    "newer": "start the newer version again, or go on with this one, which learns anew",
    "other": "it is another guard's: give each guard an audit path of its own, or move it back for that one",
}


def write_memory(path: Path, body: bytes, *, guard: str, at: Nanoseconds) -> None:
    """Write a file whole. Raises OSError, and ValueError if it would be too large to be read."""
    if len(body) > BYTES_MAX:
        raise ValueError(f"it would hold {len(body)} bytes, more than {BYTES_MAX}")
    packed = zlib.compress(body, COMPRESSION)
    header = Header(guard=guard, written_at=at, bytes=len(packed), sha256=hashlib.sha256(packed).hexdigest())
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".part")
    first = MAGIC + str(VERSION).encode() + b"\n"
    partial.write_bytes(b"".join((first, msgspec.json.encode(header), b"\n", packed)))
    settle(partial, path)


def read_memory(path: Path, *, guard: str | None = None) -> Kept:
    """Read and check a file; with ``guard`` only one of that guard.

    Raises:
        OSError: it cannot be read (FileNotFoundError: there is none).
        UnusableMemoryError: it is damaged, of a newer version, or another guard's.
    """
    with path.open("rb") as file:
        first = file.readline(HEADER_BYTES_MAX)
        if not first.startswith(MAGIC) or not first.endswith(b"\n"):
            raise UnusableMemoryError("damaged", "it does not begin as such a file does")
        version = first[len(MAGIC) : -1].decode(errors="replace")
        if version != str(VERSION):
            raise UnusableMemoryError(
                "newer", f"it is of version {version[:20]}, and this program reads {VERSION}"
            )
        try:
            header = msgspec.json.decode(file.readline(HEADER_BYTES_MAX), type=Header)
        except msgspec.MsgspecError as error:
            raise UnusableMemoryError("damaged", f"its header cannot be read: {error}") from error
        if not 0 <= header.bytes <= BYTES_MAX:
            raise UnusableMemoryError("damaged", f"it says that it holds {header.bytes} bytes")
        # One more than it says, so that a longer file is noticed as a shorter one is.
        packed = file.read(header.bytes + 1)
    if len(packed) != header.bytes or hashlib.sha256(packed).hexdigest() != header.sha256:
        raise UnusableMemoryError("damaged", "its content is not what was written")
    if guard is not None and header.guard != guard:
        raise UnusableMemoryError("other", f"it is of the guard {header.guard!r}, and this one is {guard!r}")
    unpacking = zlib.decompressobj()
    try:
        body = unpacking.decompress(packed, BYTES_MAX)
    except zlib.error as error:
        raise UnusableMemoryError("damaged", f"its content cannot be unpacked: {error}") from error
    if not unpacking.eof:
        raise UnusableMemoryError("damaged", f"it holds more than {BYTES_MAX} bytes")
    return Kept(body, header.sha256, header.written_at)
