"""The command that examines everything a guard stands on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from guard.cli.shared import (
    DEFAULT_SETTINGS,
    EXIT_FAILED,
    JsonOption,
    SettingsOption,
    errors_told,
    print_json,
)

if TYPE_CHECKING:
    from guard.doctor import Check


def doctor(
    settings: SettingsOption = DEFAULT_SETTINGS,
    offline: Annotated[
        bool, typer.Option("--offline", help="Leave out what connects to a broker or a venue.")
    ] = False,
    running: Annotated[
        bool, typer.Option("--running", help="Only whether the daemon runs and decides; for health checks.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Examine clock, secrets, disk, limits, broker and venues beside a running guard; ends 1 if anything failed."""
    with errors_told(as_json=as_json):
        from guard.doctor import Doctor, Status, verdict  # noqa: PLC0415 (each command loads only what it needs)

        visit = Doctor(settings, offline=offline)
        checks = asyncio.run(visit.running() if running else visit.examine())
        worst = verdict(checks)
    if as_json:
        print_json(
            {
                "ok": worst is not Status.FAILED,
                "status": worst,
                "checks": [msgspec.to_builtins(check) for check in checks],
            }
        )
    else:
        _print(checks)
    raise typer.Exit(EXIT_FAILED if worst is Status.FAILED else 0)


def _print(checks: tuple[Check, ...]) -> None:
    for check in checks:
        typer.echo(f"{check.status:8}{check.name}: {check.detail}")
        if check.remedy:
            typer.echo(f"{'':8}-> {check.remedy}")
    counts = {
        status: sum(check.status == status for check in checks) for status in ("failed", "warning", "ok")
    }
    typer.echo(", ".join(f"{count} {status}" for status, count in counts.items()))
