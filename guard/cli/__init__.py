"""The commands of the program. Exit codes: 0 done, 1 failed, 2 settings that cannot be used.

One module for each family of commands; ``shared`` holds what they have in common.
"""

from __future__ import annotations

import typer

from guard.cli import (
    accounts,
    audit,
    backup,
    bill,
    bots,
    completion,
    doctor,
    explain,
    outlook,
    outside,
    override,
    policies,
    replay,
    running,
    simulate,
)

__all__ = ["cli", "main"]

cli = typer.Typer(
    help="Watches depth and positions of perpetual futures and tells bots, over MQTT, to take less risk in time.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
cli.command("run")(running.run)
cli.command("demo")(running.demo)
cli.command("check")(running.check)
cli.command("doctor")(doctor.doctor)
cli.command("reload")(running.reload)
cli.command("explain")(explain.explain)
cli.command("simulate")(simulate.simulate)
cli.command("replay")(replay.replay)
cli.command("accounts")(accounts.accounts)
cli.command("outlook")(outlook.outlook)
cli.command("bill")(bill.bill)
cli.command("backup")(backup.backup)
cli.command("restore")(backup.restore)
cli.command("version")(running.version)
cli.command("completion")(completion.completion)
cli.add_typer(audit.commands, name="audit")
cli.add_typer(bots.commands, name="bots")
cli.add_typer(outside.commands, name="outside")
cli.add_typer(override.commands, name="override")
cli.add_typer(policies.commands, name="policies")


def main() -> None:
    """Run the command line."""
    completion.answer_shells()
    cli(prog_name=completion.PROGRAM)
