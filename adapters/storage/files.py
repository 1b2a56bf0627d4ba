"""Files that are complete under their names or not there at all."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

READ_BYTES = 1 << 20


def sync_folder(folder: Path) -> None:
    """Have the names in ``folder`` on the disk. Raises OSError."""
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def settle(partial: Path, whole: Path) -> None:
    """Give a finished file its name once its bytes are on the disk. Raises OSError."""
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.replace(whole)
    sync_folder(whole.parent)


def sha256_of(path: Path) -> str:
    """Hash a file; hashing lets other threads run. Raises OSError."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(READ_BYTES):
            digest.update(block)
    return digest.hexdigest()
