"""What the commands have in common: options, errors told without a traceback, lines and JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from guard.errors import GuardError, SettingsError

DEFAULT_SETTINGS = Path("settings.toml")
WIDTH_MAX = 110
"""Longer lines of prose are hard to read."""
EXIT_FAILED = 1
EXIT_SETTINGS = 2

SettingsOption = Annotated[
    Path,
    typer.Option("--settings", envvar="PERPGUARD_SETTINGS", help="The settings file.", show_default=True),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
AuditArgument = Annotated[
    Path | None, typer.Argument(help="The audit database; left out, the one that the settings name.")
]


@contextmanager
def errors_told(*, as_json: bool = False) -> Iterator[None]:
    """End with a clear line instead of a traceback: what happened, where, and what to do about it."""
    try:
        yield
    except GuardError as error:
        code = EXIT_SETTINGS if isinstance(error, SettingsError) else EXIT_FAILED
        if as_json:
            problems = [{"path": path, "message": each} for path, each in getattr(error, "problems", [])]
            print_json(
                {"ok": False, "error": type(error).__name__, "message": str(error), "problems": problems}
            )
        typer.echo(f"perpguard: {error}", err=True)
        raise typer.Exit(code) from error


def audit_path(path: Path | None, settings: Path) -> Path:
    """The audit that was asked for, else the one that the settings name."""
    if path is not None:
        return path
    from guard.configuration import load  # noqa: PLC0415

    return load(settings).audit.path


def print_json(value: object) -> None:
    """Print for programs."""
    typer.echo(json.dumps(value, indent=2))


def print_lines(lines: list[tuple[str, str, str]]) -> None:
    """As a table on a terminal; whole lines where a program or a file reads them."""
    console = Console(highlight=False)
    if not console.is_terminal:
        for line in lines:
            typer.echo("  ".join(line))
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("number", justify="right", no_wrap=True)
    table.add_column("time", no_wrap=True)
    table.add_column("what")
    for line in lines:
        table.add_row(*(escape(each) for each in line))
    console.print(table)
