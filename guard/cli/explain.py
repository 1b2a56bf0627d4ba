"""The command that says why a command was given."""

from __future__ import annotations

import asyncio
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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

if TYPE_CHECKING:
    from guard.explain_brief import Brief


def explain(
    command_id: Annotated[str, typer.Argument(help="The command's id, a unique start of it, or: last")],
    audit: Annotated[Path | None, typer.Option("--audit", help="The audit database.")] = None,
    settings: SettingsOption = DEFAULT_SETTINGS,
    in_full: Annotated[
        bool, typer.Option("--long", help="Everything that is known: each measure, sending and hop.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Say in plain words why a command was given, on what evidence, what came of it, and what would have spared it."""
    with errors_told(as_json=as_json):
        from adapters.storage.reader import SqliteAuditReader  # noqa: PLC0415
        from guard import explain as explaining  # noqa: PLC0415
        from guard.explain_brief import brief  # noqa: PLC0415
        from guard.hops import slowest_of, whole_ns  # noqa: PLC0415

        place = audit_path(audit, settings)

        async def read() -> Any:
            async with await SqliteAuditReader.open(place) as reader:
                return await reader.find_command(command_id), await reader.story(command_id)

        found, story = asyncio.run(read())
        records = [stored.record for stored in story]
        explanation = explaining.explain(records, found)
        short = brief(records, found, [stored.number for stored in story])
    if as_json:
        print_json(
            {
                "command_id": explanation.command_id,
                "title": explanation.title,
                "outcome": explanation.outcome,
                "story": None if short is None else short.told,
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
    if short is not None and not in_full:
        for line in brief_lines(short, width):
            typer.echo(line)
        return
    for line in explanation.text.splitlines():
        indent = line[: len(line) - len(line.lstrip(" -"))].replace("-", " ")
        typer.echo(textwrap.fill(line, width, subsequent_indent=indent) if line else "")


def brief_lines(short: Brief, width: int) -> Iterator[str]:
    """The lines of a brief: a title, what was asked, why and what came of it, then a column of labels."""
    yield short.title
    yield ""
    for sentence in short.headline:
        yield textwrap.fill(sentence, width, break_on_hyphens=False)
    yield ""
    column = max((len(label) for label, _ in short.parts), default=0) + 2
    for label, words in short.parts:
        yield textwrap.fill(
            words,
            width,
            initial_indent=label.ljust(column),
            subsequent_indent=" " * column,
            break_on_hyphens=False,
            break_long_words=False,
        )
