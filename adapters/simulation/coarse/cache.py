"""Episodes are generated once: a folder of series, each under the hash of its episode and of what made it.

A file tells the SHA-256 of what it holds, and is believed if that is so. The folder is bounded; the oldest files go.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import structlog

from adapters.simulation.coarse.series import Series
from adapters.simulation.laboratory.parameters import Episode
from guard.units import NS_PER_S

log = structlog.get_logger(__name__)

FORMAT = 1
"""Goes up when what is in a file changes."""

BYTES_MAX = 8 * 2**30
"""Some 2,000 episodes of six hours with four symbols at two venues."""

SOURCES = ("laboratory", "coarse")
"""Packages beside this one whose text is the mechanism."""

SUFFIX = ".series"
PART = ".part"
ABANDONED_NS = 3_600 * NS_PER_S
"""A file that is still being written so long after the one written last belongs to a process that was killed."""


def default_folder() -> Path:
    """Where episodes are kept if nobody says: the user's folder for caches."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA")
        return Path(base or Path.home() / "AppData" / "Local") / "perpguard" / "episodes"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "perpguard" / "episodes"


def digest_of(episode: Episode) -> str:
    """SHA-256 of all values of an episode, as hexadecimal digits."""
    told = json.dumps(dataclasses.asdict(episode), sort_keys=True, default=_plain)
    return hashlib.sha256(told.encode()).hexdigest()


@functools.cache
def mechanism_digest() -> str:
    """SHA-256 of the code that makes series of episodes: another one may make others."""
    digest = hashlib.sha256(f"{FORMAT} numpy {np.__version__}\n".encode())
    for package in SOURCES:
        folder = Path(__file__).parents[1] / package
        for path in sorted((*folder.glob("*.py"), *folder.glob("*.pxd"))):
            digest.update(f"{package}/{path.name}\n".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


@dataclasses.dataclass(slots=True)
class EpisodeCache:
    """Series on disk, made where they are missing.

    Attributes:
        folder: made when something is written; several processes may share it.
        bytes_max: all files together; what was written first is removed first.
        make: episode and seconds between rows to series.
    """

    folder: Path
    make: Callable[[Episode, float], Series]
    bytes_max: int = BYTES_MAX
    mechanism: str = dataclasses.field(default_factory=mechanism_digest)
    hits: int = 0
    misses: int = 0
    damaged: int = 0

    def path_of(self, episode: Episode, every_s: float) -> Path:
        """Where the series of an episode belong, written every so many seconds."""
        told = f"{digest_of(episode)} {self.mechanism} {every_s!r}"
        return self.folder / (hashlib.sha256(told.encode()).hexdigest()[:40] + SUFFIX)

    def series(self, episode: Episode, every_s: float) -> Series:
        """The series of an episode: read if they are there and whole, else made and kept.

        A damaged file is said in the log, counted, and made anew. OSError if the folder cannot be written.
        """
        path = self.path_of(episode, every_s)
        found = self._read(path)
        if found is not None:
            self.hits += 1
            return found
        self.misses += 1
        made = self.make(episode, every_s)
        self._write(path, made.to_bytes())
        return made

    def has(self, episode: Episode, every_s: float) -> bool:
        """Whether a file is there, whole or not."""
        return self.path_of(episode, every_s).exists()

    def _read(self, path: Path) -> Series | None:
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        try:
            return _checked(data)
        except ValueError as error:
            self.damaged += 1
            log.warning("cached episode is damaged; it is generated anew", file=str(path), reason=str(error))
            return None

    def _write(self, path: Path, body: bytes) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        passing = path.with_suffix(f".{os.getpid()}{PART}")
        passing.write_bytes(hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
        passing.replace(path)
        self._make_room(path)

    def _make_room(self, newest: Path) -> None:
        """Remove what is oldest until the rest fits; the newest stays, however large."""
        kept = self._told(SUFFIX)
        abandoned_ns = max(kept)[0] - ABANDONED_NS
        for at_ns, _, path in self._told(PART):
            if at_ns < abandoned_ns:
                path.unlink(missing_ok=True)
        total = sum(size for _, size, _ in kept)
        for _, size, path in sorted(kept):
            if total <= self.bytes_max:
                return
            if path != newest:
                path.unlink(missing_ok=True)
                total -= size

    def _told(self, suffix: str) -> list[tuple[int, int, Path]]:
        """When each file was written, how large it is, and where."""
        told = []
        for path in self.folder.glob(f"*{suffix}"):
            with contextlib.suppress(FileNotFoundError):  # another process removed it
                status = path.stat()
                told.append((status.st_mtime_ns, status.st_size, path))
        return told


def _checked(data: bytes) -> Series:
    told, _, body = data.partition(b"\n")
    if told != hashlib.sha256(body).hexdigest().encode():
        raise ValueError("its digest is not that of what it holds")
    return Series.from_bytes(body)


def _plain(value: Any) -> str:
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(f"{value!r} is no value of an episode")
