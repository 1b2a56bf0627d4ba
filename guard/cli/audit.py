"""The commands that read the record of every decision."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated, Any

import msgspec
import typer

from guard.cli.shared import (
    DEFAULT_SETTINGS,
    EXIT_FAILED,
    AuditArgument,
    JsonOption,
    SettingsOption,
    audit_path,
    errors_told,
    print_json,
    print_lines,
)

commands = typer.Typer(help="The record of every decision.", no_args_is_help=True)


@commands.command("verify")
def audit_verify(
    path: AuditArgument = None, settings: SettingsOption = DEFAULT_SETTINGS, as_json: JsonOption = False
) -> None:
    """Recompute the whole record: has anything been changed, removed, reordered or inserted?"""
    with errors_told(as_json=as_json):
        from adapters.storage.reader import SqliteAuditReader  # noqa: PLC0415

        place = audit_path(path, settings)

        async def verify() -> Any:
            async with await SqliteAuditReader.open(place) as reader:
                return await reader.verify()

        verdict = asyncio.run(verify())
    if as_json:
        print_json(
            {
                "ok": verdict.ok,
                "audit": str(place),
                "records": verdict.records,
                "broken_at": verdict.broken_at,
                "detail": verdict.detail,
            }
        )
    elif verdict.ok:
        typer.echo(f"{place}: {verdict.detail}")
    else:
        typer.echo(
            f"{place}: BROKEN at record {verdict.broken_at}: {verdict.detail}. Records before it are as written. "
            "Keep the file, it is evidence.",
            err=True,
        )
    raise typer.Exit(0 if verdict.ok else EXIT_FAILED)


@commands.command("show")
def audit_show(
    path: AuditArgument = None,
    last: Annotated[int, typer.Option(min=1, help="How many of the last records.")] = 20,
    settings: SettingsOption = DEFAULT_SETTINGS,
    as_json: JsonOption = False,
) -> None:
    """Print the last records, oldest first; with --json one record a line, whole."""
    with errors_told(as_json=as_json):
        from adapters.storage.reader import SqliteAuditReader  # noqa: PLC0415
        from guard.audit_lines import record_words, utc_words  # noqa: PLC0415

        place = audit_path(path, settings)

        async def read() -> Any:
            async with await SqliteAuditReader.open(place) as reader:
                return await reader.last_records(last)

        stored = asyncio.run(read())
    if as_json:
        for each in stored:
            record = msgspec.to_builtins(each.record)
            typer.echo(json.dumps({"number": each.number, "hash": each.hash, "record": record}))
        return
    lines = [(str(each.number), utc_words(each.record.at), record_words(each.record)) for each in stored]
    print_lines(lines)
