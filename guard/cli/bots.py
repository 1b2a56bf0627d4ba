"""The commands that let bots in and throw them out."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from guard.cli.shared import DEFAULT_SETTINGS, JsonOption, SettingsOption, errors_told, print_json
from guard.errors import SettingsError

if TYPE_CHECKING:
    from guard.credentials import Administrator, BotLine, Outcome

commands = typer.Typer(
    help="Who may be commanded: list bots, let one in, give it new keys, throw it out.",
    invoke_without_command=True,
)

NameArgument = Annotated[str, typer.Argument(help="The bot's name: letters, digits, - and _.")]
ApplyOption = Annotated[
    bool,
    typer.Option("--apply", help="Send the change to mosquitto's dynamic security, as its administrator."),
]
AdminUserOption = Annotated[str, typer.Option("--admin-user", help="That administrator's user.")]
AdminPasswordOption = Annotated[
    Path | None, typer.Option("--admin-password-file", help="A file that holds its password.")
]


@commands.callback()
def bots(
    context: typer.Context, settings: SettingsOption = DEFAULT_SETTINGS, as_json: JsonOption = False
) -> None:
    """List the bots of the settings."""
    if context.invoked_subcommand is not None:
        return
    with errors_told(as_json=as_json):
        from guard.credentials import list_bots  # noqa: PLC0415 (each command loads only what it needs)

        lines = list_bots(settings)
    if as_json:
        print_json([msgspec.to_builtins(line) for line in lines])
        return
    _print_bots(lines)


@commands.command("add")
def add(
    name: NameArgument,
    venue: Annotated[str | None, typer.Option(help="As in venues; left out, the only one.")] = None,
    account: Annotated[
        str | None, typer.Option(help="As in venues.N.accounts; left out, the only one.")
    ] = None,
    symbols: Annotated[
        list[str] | None, typer.Option("--symbol", "--symbols", help="What it trades; once for each.")
    ] = None,
    user: Annotated[str | None, typer.Option(help="Its user at the broker; left out, its name.")] = None,
    apply: ApplyOption = False,
    admin_user: AdminUserOption = "admin",
    admin_password_file: AdminPasswordOption = None,
    settings: SettingsOption = DEFAULT_SETTINGS,
    as_json: JsonOption = False,
) -> None:
    """Give a new bot its key, its broker user, its place in the settings, and a file with what it needs."""
    with errors_told(as_json=as_json):
        from guard.credentials import NewBot, add_bot  # noqa: PLC0415

        new = NewBot(name=name, venue=venue, account=account, symbols=tuple(symbols or ()), user=user)
        outcome = _run(add_bot(settings, new, _administrator(admin_user, admin_password_file, apply=apply)))
    _tell(outcome, as_json=as_json)


@commands.command("rotate")
def rotate(
    name: NameArgument,
    apply: ApplyOption = False,
    admin_user: AdminUserOption = "admin",
    admin_password_file: AdminPasswordOption = None,
    settings: SettingsOption = DEFAULT_SETTINGS,
    as_json: JsonOption = False,
) -> None:
    """Give a bot a new key and a new password; it is in safe mode until it has them."""
    with errors_told(as_json=as_json):
        from guard.credentials import rotate_bot  # noqa: PLC0415

        admin = _administrator(admin_user, admin_password_file, apply=apply)
        outcome = _run(rotate_bot(settings, name, admin))
    _tell(outcome, as_json=as_json)


@commands.command("revoke")
def revoke(
    name: NameArgument,
    apply: ApplyOption = False,
    admin_user: AdminUserOption = "admin",
    admin_password_file: AdminPasswordOption = None,
    settings: SettingsOption = DEFAULT_SETTINGS,
    as_json: JsonOption = False,
) -> None:
    """Take a bot out of the settings and from the broker, with its key and what is retained of it."""
    with errors_told(as_json=as_json):
        from guard.credentials import revoke_bot  # noqa: PLC0415

        admin = _administrator(admin_user, admin_password_file, apply=apply)
        outcome = _run(revoke_bot(settings, name, admin))
    _tell(outcome, as_json=as_json)


def _administrator(user: str, password_file: Path | None, *, apply: bool) -> Administrator | None:
    from guard.credentials import Administrator  # noqa: PLC0415

    if not apply:
        return None
    if password_file is None:
        problem = "--apply needs it: a file that holds the administrator's password"
        raise SettingsError("perpguard bots", [("--admin-password-file", problem)])
    return Administrator(user, password_file)


def _run(work: Coroutine[Any, Any, Outcome]) -> Outcome:
    return asyncio.run(work)


def _tell(outcome: Outcome, *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "ok": True,
                "bot": outcome.bot,
                "done": outcome.done,
                "files": [str(path) for path in outcome.files],
                "to_do": outcome.to_do,
                "snippet": str(outcome.snippet) if outcome.snippet is not None else None,
            }
        )
        return
    for line in outcome.done:
        typer.echo(line)
    for path in dict.fromkeys(outcome.files):
        typer.echo(f"  {'wrote' if path.exists() else 'removed'} {path}")
    for line in outcome.to_do:
        typer.echo(f"left to do: {line}")
    if outcome.snippet is not None:
        typer.echo(f"\n{outcome.snippet}:\n{outcome.snippet.read_text()}", nl=False)


def _print_bots(lines: list[BotLine]) -> None:
    if not lines:
        typer.echo("no bot: perpguard bots add NAME")
        return
    rows = [_row(line) for line in lines]
    console = Console(highlight=False)
    if not console.is_terminal:
        for row in rows:
            typer.echo("  ".join(row))
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("name", "account", "markets", "broker user", "key", "since"):
        table.add_column(heading)
    for row in rows:
        table.add_row(*(escape(each) for each in row))
    console.print(table)


def _row(line: BotLine) -> tuple[str, ...]:
    markets = ", ".join(line.symbols) or "as it says"
    key = line.fingerprint or f"UNUSABLE: {line.problem}"
    return line.name, f"{line.venue}:{line.account}", markets, line.user, key, line.changed_at or "unknown"
