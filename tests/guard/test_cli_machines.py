"""What programs and shells read of the command line: JSON everywhere, and completion."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from guard.cli import cli
from guard.cli.completion import Shell

ROOT = Path(__file__).parents[2]
WITHOUT_JSON = {
    "run": "its log is JSON wherever it does not go to a terminal or the journal",
    "demo": "a show for people; its record is an audit like any other",
    "completion": "a shell's script",
}
"""Commands without --json, and why."""


def commands_of(
    group: typer.core.TyperGroup, path: str = ""
) -> Iterator[tuple[str, typer.core.TyperCommand]]:
    for name, command in group.commands.items():
        where = f"{path} {name}".strip()
        if hasattr(command, "commands"):
            yield from commands_of(command, where)  # type: ignore[arg-type]
        else:
            yield where, command  # type: ignore[misc]


def test_every_command_that_a_machine_may_read_has_json() -> None:
    root = typer.main.get_command(cli)
    found = {
        where: {option for parameter in command.params for option in parameter.opts}
        for where, command in commands_of(root)  # type: ignore[arg-type]
    }
    assert {"run", "check", "reload", "audit verify", "explain"} <= set(found)
    without = {where for where, options in found.items() if "--json" not in options}
    assert without == set(WITHOUT_JSON)


def test_settings_that_cannot_be_used_are_json_for_reload_too(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text("[guard]\nnmae = 'x'\n")
    answer = CliRunner().invoke(cli, ["reload", "--json", "--settings", str(path)])
    assert answer.exit_code == 2
    said = json.loads(answer.stdout)
    assert [each["path"] for each in said["problems"]] == ["guard.nmae"]


def test_reload_without_a_daemon_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text("")
    answer = CliRunner().invoke(cli, ["reload", "--settings", str(path)])
    assert answer.exit_code == 1
    assert "start one with perpguard run" in answer.stderr


@pytest.mark.parametrize(
    ("line", "offered"), [("au", ["audit"]), ("audit ver", ["verify"]), ("relo", ["reload"])]
)
def test_bash_completes_with_the_script_that_is_printed(
    tmp_path: Path, line: str, offered: list[str]
) -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("no bash here")
    script = CliRunner().invoke(cli, ["completion", "bash"]).stdout
    program = tmp_path / "perpguard"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m guard "$@"\n')
    program.chmod(0o755)
    words = " ".join(shlex.quote(word) for word in ["perpguard", *line.split()])
    asking = (
        f"{script}\nCOMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))\n"
        '_perpguard_completion perpguard; printf "%s\\n" "${COMPREPLY[@]}"\n'
    )
    answer = subprocess.run(
        [bash, "--norc", "-c", asking],
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert answer.stdout.split() == offered, answer.stderr


@pytest.mark.parametrize("shell", list(Shell))
def test_each_shell_gets_a_script_that_asks_us(shell: Shell) -> None:
    answer = CliRunner().invoke(cli, ["completion", shell])
    assert answer.exit_code == 0
    assert f"_PERPGUARD_COMPLETE=complete_{shell}" in answer.stdout
