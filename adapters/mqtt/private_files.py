"""Files that only we may read, written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path
from typing import Final

PASSWORD_BYTES: Final = 32
"""256 bits: nobody guesses it, however fast the broker answers."""


def write_private(path: Path, text: str) -> None:
    """Write a file of mode 0600 so that at every moment the old or the new one is there, whole.

    Raises:
        OSError: the folder cannot be written, or the disk is full.
    """
    draft = _draft(path, text)
    try:
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def create_private(path: Path, text: str) -> bool:
    """Write a new file of mode 0600; returns ``False``, with nothing changed, if there is one already.

    Raises:
        OSError: the folder cannot be written, or the disk is full.
    """
    draft = _draft(path, text)
    try:
        os.link(draft, path)
    except FileExistsError:
        return False
    finally:
        draft.unlink(missing_ok=True)
    _sync_folder(path.parent)
    return True


def make_private_folder(path: Path) -> None:
    """Make a folder, and those above it, that only we may enter; one that is there stays as it is.

    Raises:
        OSError: it cannot be made.
    """
    if path.is_dir():
        return
    make_private_folder(path.parent)
    path.mkdir(exist_ok=True, mode=0o700)
    number = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _give_to_owner_of(path.parent, number)
    finally:
        os.close(number)


def new_password() -> str:
    """Return a password for a file, an environment variable or a URL: letters, digits, ``-`` and ``_``."""
    return secrets.token_urlsafe(PASSWORD_BYTES)


def _draft(path: Path, text: str) -> Path:
    draft = path.with_name(f".{path.name}.{os.getpid()}.new")
    draft.unlink(missing_ok=True)
    number = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(number, "w", encoding="utf-8") as file:
            _give_to_owner_of(path.parent, file.fileno())
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        draft.unlink(missing_ok=True)
        raise
    return draft


def _give_to_owner_of(folder: Path, number: int) -> None:
    """What root makes in the daemon's folder must be readable by the daemon's user, and by nobody else."""
    if os.geteuid() == 0:
        found = folder.stat()
        os.fchown(number, found.st_uid, found.st_gid)


def _sync_folder(folder: Path) -> None:
    """So that the name, too, is there after a power cut; some filesystems cannot, and then it is likely there."""
    with contextlib.suppress(OSError):
        number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
