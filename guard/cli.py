"""The commands of the program. Exit codes: 0 done, 1 failed, 2 settings that cannot be used."""

from __future__ import annotations

import asyncio
import json
import platform
import sqlite3
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from guard.errors import GuardError, SettingsError
from guard.stopping import end_at_once_if_asked

DEFAULT_SETTINGS = Path("settings.toml")
WIDTH_MAX = 110
"""Longer lines of prose are hard to read."""
EXIT_FAILED = 1
EXIT_SETTINGS = 2

cli = typer.Typer(
    help="Watches depth and positions of perpetual futures and tells bots, over MQTT, to take less risk in time.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
audit_cli = typer.Typer(help="The record of every decision.", no_args_is_help=True)
cli.add_typer(audit_cli, name="audit")

SettingsOption = Annotated[
    Path,
    typer.Option("--settings", envvar="PERPGUARD_SETTINGS", help="The settings file.", show_default=True),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
AuditArgument = Annotated[
    Path | None, typer.Argument(help="The audit database; left out, the one that the settings name.")
]


def main() -> None:
    """Run the command line."""
    cli()


@cli.command()
def run(settings: SettingsOption = DEFAULT_SETTINGS) -> None:
    """Run the daemon until SIGTERM or Ctrl-C. Paper mode unless the settings ask for live."""
    end_at_once_if_asked()
    with _errors_told():
        from guard.check import check_settings  # noqa: PLC0415 (each command loads only what it needs)

        checked = check_settings(settings)
        if checked.settings is None or not checked.ok:
            raise SettingsError(str(settings), checked.problems)
        from guard import app  # noqa: PLC0415

        app.run(checked.settings, checked.warnings)


@cli.command()
def demo(
    seed: Annotated[int, typer.Option(help="The same seed makes the same market.")] = 1,
    scenario: Annotated[str, typer.Option(help="fall, or recover: a fall that recovers.")] = "fall",
    suppress: Annotated[bool, typer.Option("--suppress", help="Decide everything, send nothing.")] = False,
) -> None:
    """A falling market on this machine, two equal bots, one guarded and one not; about a minute."""
    with _errors_told():
        from guard.demo import run_demo  # noqa: PLC0415

        code = run_demo(seed=seed, scenario=scenario, suppress=suppress)
    raise typer.Exit(code)


@cli.command()
def check(settings: SettingsOption = DEFAULT_SETTINGS, as_json: JsonOption = False) -> None:
    """Check the settings, connecting to nothing, and say what would run."""
    from guard.check import check_settings, would_run  # noqa: PLC0415

    checked = check_settings(settings)
    plan = would_run(checked.settings) if checked.settings is not None else None
    if as_json:
        _print_json(
            {
                "ok": checked.ok,
                "settings": str(settings),
                "problems": [{"path": path, "message": message} for path, message in checked.problems],
                "warnings": checked.warnings,
                "would_run": plan,
            }
        )
    else:
        _print_check(settings, checked.problems, checked.warnings, plan)
    raise typer.Exit(0 if checked.ok else EXIT_SETTINGS)


@audit_cli.command("verify")
def audit_verify(
    path: AuditArgument = None, settings: SettingsOption = DEFAULT_SETTINGS, as_json: JsonOption = False
) -> None:
    """Recompute the whole record: has anything been changed, removed, reordered or inserted?"""
    with _errors_told(as_json=as_json):
        from adapters.storage.reader import SqliteAuditReader  # noqa: PLC0415

        place = _audit_path(path, settings)

        async def verify() -> Any:
            async with await SqliteAuditReader.open(place) as reader:
                return await reader.verify()

        verdict = asyncio.run(verify())
    if as_json:
        _print_json(
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


@audit_cli.command("show")
def audit_show(
    path: AuditArgument = None,
    last: Annotated[int, typer.Option(min=1, help="How many of the last records.")] = 20,
    settings: SettingsOption = DEFAULT_SETTINGS,
    as_json: JsonOption = False,
) -> None:
    """Print the last records, oldest first; with --json one record a line, whole."""
    with _errors_told(as_json=as_json):
        from adapters.storage.reader import SqliteAuditReader  # noqa: PLC0415
        from guard.audit_lines import record_words, utc_words  # noqa: PLC0415

        place = _audit_path(path, settings)

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
    _print_lines(lines)


@cli.command()
def explain(
    command_id: Annotated[str, typer.Argument(help="The command's id, a unique start of it, or: last")],
    audit: Annotated[Path | None, typer.Option("--audit", help="The audit database.")] = None,
    settings: SettingsOption = DEFAULT_SETTINGS,
    as_json: JsonOption = False,
) -> None:
    """Say in plain words why a command was given, on what evidence, and what came of it."""
    with _errors_told(as_json=as_json):
        from adapters.storage.reader import SqliteAuditReader  # noqa: PLC0415
        from guard import explain as explaining  # noqa: PLC0415

        place = _audit_path(audit, settings)

        async def read() -> Any:
            async with await SqliteAuditReader.open(place) as reader:
                return await reader.find_command(command_id), await reader.story(command_id)

        found, story = asyncio.run(read())
        explanation = explaining.explain([stored.record for stored in story], found)
    if as_json:
        _print_json(
            {
                "command_id": explanation.command_id,
                "title": explanation.title,
                "outcome": explanation.outcome,
                "sections": {each.heading: list(each.sentences) for each in explanation.sections},
                "records": [stored.number for stored in story],
            }
        )
        return
    width = min(Console().width, WIDTH_MAX)
    for line in explanation.text.splitlines():
        indent = line[: len(line) - len(line.lstrip(" -"))].replace("-", " ")
        typer.echo(textwrap.fill(line, width, subsequent_indent=indent) if line else "")


@cli.command()
def version(as_json: JsonOption = False) -> None:
    """Print the versions of perpguard and of what it stands on."""
    versions = {
        name: version_of(name)
        for name in ("perpguard", "perpguard-sdk", "ccxt", "aiomqtt", "aiosqlite", "msgspec", "numpy")
    }
    versions |= {"sqlite": sqlite3.sqlite_version, "python": platform.python_version()}
    if as_json:
        _print_json(versions)
        return
    for name, found in versions.items():
        typer.echo(f"{name} {found}")


@contextmanager
def _errors_told(*, as_json: bool = False) -> Iterator[None]:
    """End with a clear line instead of a traceback: what happened, where, and what to do about it."""
    try:
        yield
    except GuardError as error:
        code = EXIT_SETTINGS if isinstance(error, SettingsError) else EXIT_FAILED
        if as_json:
            problems = [{"path": path, "message": each} for path, each in getattr(error, "problems", [])]
            _print_json(
                {"ok": False, "error": type(error).__name__, "message": str(error), "problems": problems}
            )
        typer.echo(f"perpguard: {error}", err=True)
        raise typer.Exit(code) from error


def _audit_path(path: Path | None, settings: Path) -> Path:
    if path is not None:
        return path
    from guard.configuration import load  # noqa: PLC0415

    return load(settings).audit.path


def _print_check(
    path: Path, problems: list[tuple[str, str]], warnings: list[str], plan: dict[str, Any] | None
) -> None:
    for where, message in problems:
        typer.echo(f"{path}: {where}: {message}", err=True)
    for warning in warnings:
        typer.echo(f"warning: {warning}", err=True)
    if problems:
        typer.echo(f"{len(problems)} problem(s); nothing would run.", err=True)
        return
    assert plan is not None
    typer.echo(f"{path} is right. perpguard run would do this:")
    for name, value in plan.items():
        typer.echo(f"  {name.replace('_', ' ')}: {_plan_words(value)}")
    typer.echo("Symbols, keys and passwords are tried only when it runs: check connects to nothing.")


def _plan_words(value: object) -> str:
    match value:
        case dict():
            return "; ".join(f"{name} {_venue_words(each)}" for name, each in value.items()) or "none"
        case list():
            return ", ".join(str(each) for each in value) or "none"
        case _:
            return str(value)


def _venue_words(venue: dict[str, list[str]]) -> str:
    accounts = ", ".join(venue["accounts"]) or "no account"
    return f"{', '.join(venue['symbols'])} ({accounts})"


def _print_json(value: object) -> None:
    typer.echo(json.dumps(value, indent=2))


def _print_lines(lines: list[tuple[str, str, str]]) -> None:
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
