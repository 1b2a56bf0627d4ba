"""An aiosqlite connection that runs a whole function in its thread, so that a transaction is one hop."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar, cast

import aiosqlite

from adapters.storage.faults import translated

T = TypeVar("T")


class WorkerConnection(aiosqlite.Connection):
    """Runs functions on the connection, one after another, in aiosqlite's thread.

    A transaction is one hop to that thread instead of one a statement, and a cancelled caller cannot
    leave it half done, because the function goes on to its end.
    """

    async def call(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Return ``function(connection)``. If the caller is cancelled the function still completes."""
        return cast("T", await self._execute(function, self._conn))  # type: ignore[no-untyped-call]


async def connect(path: Path, *, uri: str, busy_ms: int) -> WorkerConnection:
    """Open ``uri``; the caller closes it, or the process hangs at its end.

    Raises:
        AuditError: it cannot be opened.
    """

    def connector() -> sqlite3.Connection:
        return sqlite3.connect(
            uri, uri=True, isolation_level=None, timeout=busy_ms / 1000, check_same_thread=False
        )

    connection = WorkerConnection(connector, iter_chunk_size=1)
    with translated(path):
        return cast("WorkerConnection", await connection)


async def close_quietly(connection: WorkerConnection) -> None:
    """Close whatever state the connection is in, also while being cancelled."""
    await asyncio.shield(connection.close())


def absolute(path: Path | str) -> Path:
    """The path that error messages show, whatever folder their reader is in."""
    return Path(path).expanduser().absolute()
