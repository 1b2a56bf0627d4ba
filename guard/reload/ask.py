"""Asks a daemon from outside to read its settings again, and reads in its audit what came of it."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

from adapters.storage.health import lock_holder
from adapters.storage.reader import SqliteAuditReader
from guard.audit import SettingsReloaded
from guard.check import check_settings
from guard.errors import GuardError, SettingsError

ANSWER_S = 15.0
"""Reading and checking take half a second, feeds of a venue that hangs five; then it is recorded."""
POLL_S = 0.1
RECORDS_LOOKED_AT = 200
"""A daemon in a storm records some tens a second."""


class NoAnswerError(GuardError):
    """The daemon is not there, may not be asked, or has not answered; its text says which and what to do."""


def ask_to_reload(path: Path) -> SettingsReloaded:
    """Send SIGHUP to the daemon that writes the audit of these settings; return what it recorded.

    Raises:
        SettingsError: the settings cannot be used, so it was not asked.
        NoAnswerError: nobody runs with them, or nothing came.
        AuditError: its audit cannot be read.
    """
    checked = check_settings(path)
    if checked.settings is None or not checked.ok:
        raise SettingsError(str(path), checked.problems)
    audit = checked.settings.audit.path
    holder = lock_holder(audit)
    if holder is None or not holder.isdecimal():
        raise NoAnswerError(f"no daemon writes {audit}: start one with perpguard run, or name its settings")
    return asyncio.run(_ask(int(holder), audit))


async def _ask(process: int, audit: Path) -> SettingsReloaded:
    async with await SqliteAuditReader.open(audit) as reader:
        last = await reader.last_records(1)
        begun = last[-1].number if last else 0
        try:
            os.kill(process, signal.SIGHUP)
        except OSError as error:
            raise NoAnswerError(
                f"process {process}, which writes {audit}, cannot be asked ({error.strerror}): ask as its user, "
                "in its container, or with systemctl reload"
            ) from error
        until = time.monotonic() + ANSWER_S
        while time.monotonic() < until:
            for stored in await reader.last_records(RECORDS_LOOKED_AT):
                if stored.number > begun and isinstance(stored.record, SettingsReloaded):
                    return stored.record
            await asyncio.sleep(POLL_S)
    raise NoAnswerError(f"process {process} has not answered within {ANSWER_S:g} s: see its log")
