"""The commands about policies: which there are, and whether one keeps what every policy has to keep."""

from __future__ import annotations

import inspect
from typing import Annotated, Any

import typer

from guard.cli.shared import (
    DEFAULT_SETTINGS,
    EXIT_FAILED,
    JsonOption,
    SettingsOption,
    errors_told,
    print_json,
)

commands = typer.Typer(
    help="Policies: what there is, and whether one of your own keeps what it has to.", no_args_is_help=True
)


@commands.command("list")
def list_policies(settings: SettingsOption = DEFAULT_SETTINGS, as_json: JsonOption = False) -> None:
    """List perpguard's own policies and those that other distributions offer, and which of them decide."""
    with errors_told(as_json=as_json):
        from guard.configuration import load  # noqa: PLC0415
        from guard.extensions import offered  # noqa: PLC0415

        policies = load(settings).policies
        named = policies.others
        rows = [_row(policy, "perpguard") for policy in policies.each if policy.name not in named]
        used = {policy.name: policy for policy in policies.each if policy.name in named}
        for name, found in offered().items():
            source = ", ".join(each.source for each in found)
            if name in used:
                rows.append(_row(used[name], source))
            else:
                rows.append(
                    {"name": name, "source": source, "decides": False, "about": "not named in the settings"}
                )
    if as_json:
        print_json({"ok": True, "policies": rows})
        return
    width = max(len(row["name"]) for row in rows)
    for row in rows:
        state = "decides" if row["decides"] else "is off"
        typer.echo(f"{row['name']:<{width}}  {state:<7}  {row['source']}: {row['about']}")


@commands.command("check")
def check(
    name: Annotated[str, typer.Argument(help="As in the settings, or of an entry point that is installed.")],
    as_json: JsonOption = False,
) -> None:
    """Check that a policy is pure, deterministic and documented, refuses impossible settings and never raises."""
    with errors_told(as_json=as_json):
        from guard.configuration import PolicySettings  # noqa: PLC0415
        from guard.conformance.states import STATES  # noqa: PLC0415
        from guard.conformance.suite import problems_of  # noqa: PLC0415
        from guard.extensions import kind_of  # noqa: PLC0415

        own: dict[str, type[Any]] = {policy.name: type(policy) for policy in PolicySettings().each}
        problems = problems_of(own[name] if name in own else kind_of(name))
    if as_json:
        print_json({"ok": not problems, "policy": name, "states": list(STATES), "problems": problems})
    elif problems:
        typer.echo(f"{name} does not keep what a policy has to:")
        for problem in problems:
            typer.echo(f"  {problem}")
    else:
        typer.echo(f"{name}: keeps everything, in {len(STATES)} made-up worlds")
    if problems:
        raise typer.Exit(EXIT_FAILED)


def _row(policy: Any, source: str) -> dict[str, Any]:
    about = (inspect.getdoc(policy) or "").partition("\n")[0]
    return {"name": policy.name, "source": source, "decides": bool(policy.enabled), "about": about}
