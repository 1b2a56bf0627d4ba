"""A file that survives a crash at any moment: what the bot must remember."""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

import msgspec

from perpguard_sdk.errors import StoreError
from perpguard_sdk.records import StoredState


class _File(msgspec.Struct, frozen=True):
    sha256: str
    state: msgspec.Raw


class FileStore:
    """One JSON file, mode 0600, replaced whole: written beside, synced, renamed, folder synced.

    A checksum tells a damaged file from a good one. Two processes must not share a path.
    """

    def __init__(self, path: Path | str) -> None:
        self._path = Path(path)

    def load(self) -> StoredState | None:
        """Return what was saved last, ``None`` if there is no file.

        Raises:
            StoreError: the file cannot be read, or was damaged and is now named ``*.corrupt-N``.
        """
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(str(self._path), f"cannot be read: {error}") from error
        try:
            file = msgspec.json.decode(data, type=_File)
            if hashlib.sha256(file.state).hexdigest() != file.sha256:
                raise ValueError("the checksum does not match")  # noqa: TRY301
            return msgspec.json.decode(file.state, type=StoredState)
        except (msgspec.DecodeError, ValueError) as error:
            aside = self._set_aside()
            raise StoreError(str(self._path), f"is damaged ({error}) and was set aside as {aside}") from error

    def save(self, state: StoredState) -> None:
        """Replace the file; on return it is on the disk.

        Raises:
            StoreError: the disk is full or the folder cannot be written; the old file is untouched.
        """
        body = msgspec.json.encode(state)
        data = b'{"sha256":"' + hashlib.sha256(body).hexdigest().encode() + b'","state":' + body + b"}"
        beside = self._path.with_name(self._path.name + ".new")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            _write_synced(beside, data)
            beside.replace(self._path)
            _sync_folder(self._path.parent)
        except OSError as error:
            with contextlib.suppress(OSError):
                beside.unlink(missing_ok=True)
            raise StoreError(str(self._path), f"cannot be written: {error}") from error

    def _set_aside(self) -> str:
        for number in range(1, 1000):
            aside = self._path.with_name(f"{self._path.name}.corrupt-{number}")
            if not aside.exists():
                try:
                    self._path.rename(aside)
                except OSError as error:
                    return f"nothing ({error})"
                return aside.name
        return "nothing (999 damaged files lie there already)"


def _write_synced(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "wb") as file:  # noqa: PTH123 (an open descriptor, for the mode)
        os.fchmod(descriptor, 0o600)
        file.write(data)
        file.flush()
        os.fsync(descriptor)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
