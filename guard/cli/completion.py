"""The command that prints what a shell needs to complete our commands, and what answers the shell."""

from __future__ import annotations

import os
from enum import StrEnum
from typing import Annotated

import typer

PROGRAM = "perpguard"
ASKED_BY = "_PERPGUARD_COMPLETE"
"""A shell that wants words runs us with this variable."""


class Shell(StrEnum):
    """Those that can be served."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def completion(
    shell: Annotated[Shell, typer.Argument(help="Whose completion: bash, zsh or fish.")],
) -> None:
    """Print the shell's completion script: source <(perpguard completion bash), or into its folder of completions."""
    from typer.completion import (  # type: ignore[attr-defined]  # noqa: PLC0415 (loaded where needed)
        get_completion_script,
    )

    typer.echo(get_completion_script(prog_name=PROGRAM, complete_var=ASKED_BY, shell=shell))


def answer_shells() -> None:
    """Let a shell that asks for words be answered, by the next call of the command line."""
    if ASKED_BY in os.environ:
        from typer.completion import (  # type: ignore[attr-defined]  # noqa: PLC0415 (loaded where needed)
            completion_init,
        )

        completion_init()
