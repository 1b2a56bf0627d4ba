"""The commands that run something, or say what would run."""

from __future__ import annotations

import platform
import sqlite3
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from guard.cli.shared import (
    DEFAULT_SETTINGS,
    EXIT_FAILED,
    EXIT_SETTINGS,
    JsonOption,
    SettingsOption,
    errors_told,
    print_json,
)
from guard.errors import SettingsError
from guard.stopping import end_at_once_if_asked


def run(settings: SettingsOption = DEFAULT_SETTINGS) -> None:
    """Run the daemon until SIGTERM or Ctrl-C. Paper mode unless the settings ask for live."""
    end_at_once_if_asked()
    with errors_told():
        from guard.check import check_settings  # noqa: PLC0415 (each command loads only what it needs)

        checked = check_settings(settings)
        if checked.settings is None or not checked.ok:
            raise SettingsError(str(settings), checked.problems)
        from guard import app  # noqa: PLC0415

        app.run(checked.settings, checked.warnings, settings)


def demo(
    seed: Annotated[int, typer.Option(help="The same seed makes the same market.")] = 1,
    scenario: Annotated[str, typer.Option(help="fall, or recover: a fall that recovers.")] = "fall",
    suppress: Annotated[bool, typer.Option("--suppress", help="Decide everything, send nothing.")] = False,
    market: Annotated[
        str | None,
        typer.Option(help="laboratory: makers, takers and others' positions make it; or scripted."),
    ] = None,
) -> None:
    """A falling market on this machine, two equal bots, one guarded and one not; about a minute."""
    with errors_told():
        from guard.demo import run_demo  # noqa: PLC0415
        from guard.demo_market import market_for  # noqa: PLC0415

        try:
            chosen = market_for(scenario, market)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from error
        code = run_demo(seed=seed, scenario=scenario, suppress=suppress, market=chosen)
    raise typer.Exit(code)


def check(settings: SettingsOption = DEFAULT_SETTINGS, as_json: JsonOption = False) -> None:
    """Check the settings, connecting to nothing, and say what would run."""
    from guard.check import check_settings, would_run  # noqa: PLC0415

    checked = check_settings(settings)
    plan = would_run(checked.settings) if checked.settings is not None else None
    if as_json:
        print_json(
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


def reload(settings: SettingsOption = DEFAULT_SETTINGS, as_json: JsonOption = False) -> None:
    """Have the daemon that runs with these settings read them again, and say what came of it."""
    with errors_told(as_json=as_json):
        from guard.audit_lines import reload_words  # noqa: PLC0415
        from guard.reload.ask import ask_to_reload  # noqa: PLC0415

        came = ask_to_reload(settings)
    if as_json:
        print_json({"ok": came.applied, **msgspec.to_builtins(came)})
    else:
        typer.echo(reload_words(came), err=not came.applied)
    raise typer.Exit(0 if came.applied else EXIT_FAILED)


def version(as_json: JsonOption = False) -> None:
    """Print the versions of perpguard and of what it stands on."""
    versions = {
        name: version_of(name)
        for name in ("perpguard", "perpguard-sdk", "ccxt", "aiomqtt", "aiosqlite", "msgspec", "numpy")
    }
    versions |= {"sqlite": sqlite3.sqlite_version, "python": platform.python_version()}
    if as_json:
        print_json(versions)
        return
    for name, found in versions.items():
        typer.echo(f"{name} {found}")


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
