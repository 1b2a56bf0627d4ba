"""The command that says why a command was given."""

from __future__ import annotations

import asyncio
import textwrap
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from guard.cli.shared import (
    DEFAULT_SETTINGS,
    WIDTH_MAX,
    JsonOption,
    SettingsOption,
    audit_path,
    errors_told,
    print_json,
)


def explain(
    command_id: Annotated[str, typer.Argument(help="The command's id, a unique start of it, or: last")],
    audit: Annotated[Path | None, typer.Option("--audit", help="The audit database.")] = None,
    settings: SettingsOption = DEFAULT_SETTINGS,
    as_json: JsonOption = False,
) -> None:
    """Say in plain words why a command was given, on what evidence, and what came of it."""
    with errors_told(as_json=as_json):
        from adapters.storage.reader import SqliteAuditReader  # noqa: PLC0415
        from guard import explain as explaining  # noqa: PLC0415
        from guard.hops import slowest_of, whole_ns  # noqa: PLC0415

        place = audit_path(audit, settings)

        async def read() -> Any:
            async with await SqliteAuditReader.open(place) as reader:
                return await reader.find_command(command_id), await reader.story(command_id)

        found, story = asyncio.run(read())
        explanation = explaining.explain([stored.record for stored in story], found)
    if as_json:
        print_json(
            {
                "command_id": explanation.command_id,
                "title": explanation.title,
                "outcome": explanation.outcome,
                "sections": {each.heading: list(each.sentences) for each in explanation.sections},
                "traced": [
                    {
                        "attempt": each.attempt,
                        "cause": each.cause,
                        "end": each.end,
                        "sent_ahead": each.sent_ahead,
                        "hops_ns": each.hops_ns,
                        "whole_ns": whole_ns(each.hops_ns),
                        "slowest": slowest_of(each.hops_ns),
                    }
                    for each in explanation.traced
                ],
                "records": [stored.number for stored in story],
            }
        )
        return
    width = min(Console().width, WIDTH_MAX)
    for line in explanation.text.splitlines():
        indent = line[: len(line) - len(line.lstrip(" -"))].replace("-", " ")
        typer.echo(textwrap.fill(line, width, subsequent_indent=indent) if line else "")
