"""The command that tells what guarding saved and what it cost."""

from __future__ import annotations

import asyncio
import textwrap
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from guard.audit import Billed
from guard.bill.account import Chosen, account_of
from guard.cli.shared import (
    DEFAULT_SETTINGS,
    WIDTH_MAX,
    JsonOption,
    SettingsOption,
    audit_path,
    errors_told,
    print_json,
)


def bill(
    audit: Annotated[Path | None, typer.Option("--audit", help="The audit database.")] = None,
    day: Annotated[
        str | None, typer.Option("--day", help="Only what ended on this UTC day: 2025-10-10.")
    ] = None,
    account: Annotated[
        str | None, typer.Option("--account", help="Only this one: VENUE:NAME or NAME.")
    ] = None,
    policy: Annotated[str | None, typer.Option("--policy", help="Only decisions of this policy.")] = None,
    settings: SettingsOption = DEFAULT_SETTINGS,
    as_json: JsonOption = False,
) -> None:
    """Say what guarding saved and what it cost: by decision, account, market and policy, against unguarded twins.

    From the record alone; it may run beside the guard. What is unknown is said to be unknown.
    """
    with errors_told(as_json=as_json):
        from adapters.storage.reader import SqliteAuditReader  # noqa: PLC0415

        place = audit_path(audit, settings)

        async def read() -> list[Billed]:
            async with await SqliteAuditReader.open(place) as reader:
                return [each.record for each in await reader.bills() if isinstance(each.record, Billed)]

        told = account_of(asyncio.run(read()), Chosen(day=day, account=account, policy=policy))
    if as_json:
        print_json({"ok": True, "audit": str(place), **told.as_builtins()})
        return
    width = min(Console().width, WIDTH_MAX)
    for line in told.text():
        indent = line[: len(line) - len(line.lstrip(" "))] + "    "
        typer.echo(textwrap.fill(line, width, subsequent_indent=indent) if line.strip() else "")
