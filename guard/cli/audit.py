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
    """Recompute the whole record: has anything been changed, removed, reordered or inserted?

    Its segments are part of it, and complete files of samples are held against the hashes in it. A segment
    can be named by itself.
    """
    with errors_told(as_json=as_json):
        from adapters.storage.reader import SqliteAuditReader  # noqa: PLC0415
        from adapters.storage.settings import SamplesSettings  # noqa: PLC0415
        from adapters.storage.verify_samples import verify_samples  # noqa: PLC0415
        from guard.configuration import load  # noqa: PLC0415

        place = audit_path(path, settings)
        samples = (SamplesSettings() if path is not None else load(settings).samples).folder(place)
        # Of a record that was named by its path we do not know whether samples lie elsewhere.
        looks = path is None or samples.is_dir()

        async def verify() -> tuple[Any, list[str]]:
            async with await SqliteAuditReader.open(place) as reader:
                verdict = await reader.verify()
                about_samples = await reader.about_samples() if verdict.ok and looks else []
                return verdict, verify_samples(about_samples, samples)

        verdict, problems = asyncio.run(verify())
    ok = verdict.ok and not problems
    if as_json:
        print_json(
            {
                "ok": ok,
                "audit": str(place),
                "records": verdict.records,
                "broken_at": verdict.broken_at,
                "detail": verdict.detail,
                "samples": problems,
            }
        )
    elif verdict.ok:
        typer.echo(f"{place}: {verdict.detail}")
        for problem in problems:
            typer.echo(f"samples: {problem}", err=True)
    else:
        typer.echo(
            f"{place}: BROKEN at record {verdict.broken_at}: {verdict.detail}. Records before it are as written. "
            "Keep the file, it is evidence.",
            err=True,
        )
    raise typer.Exit(0 if ok else EXIT_FAILED)


@commands.command("segments")
def audit_segments(
    path: AuditArgument = None, settings: SettingsOption = DEFAULT_SETTINGS, as_json: JsonOption = False
) -> None:
    """List the files that the record is made of, oldest first."""
    with errors_told(as_json=as_json):
        from adapters.storage.reader import SqliteAuditReader  # noqa: PLC0415
        from adapters.storage.segments import segments_of  # noqa: PLC0415

        place = audit_path(path, settings).absolute()

        async def read() -> tuple[Any, int]:
            async with await SqliteAuditReader.open(place) as reader:
                last = await reader.last_records(1)
                return await reader.span(), last[-1].number if last else 0

        span, last = asyncio.run(read())
        found = segments_of(place)
    files = [
        {"file": str(each.path), "first": each.first, "last": each.last, "bytes": each.size_bytes}
        for each in found
        if each.first > span.retired_number
    ]
    files.append(
        {"file": str(place), "first": span.base_number + 1, "last": last, "bytes": place.stat().st_size}
    )
    if as_json:
        print_json({"ok": True, "retired": span.retired_number, "files": files})
        return
    if span.retired_number:
        typer.echo(f"records 1 to {span.retired_number} were removed by retention")
    for each in files:
        typer.echo(f"{each['first']:>10} to {each['last']:>10}  {each['bytes']:>12} bytes  {each['file']}")


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
