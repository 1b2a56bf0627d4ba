"""What the tests of the house share: the tree's files and their syntax trees."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ("guard", "adapters", "policies", "sdk/perpguard_sdk")
WRITTEN = (*SHIPPED, "tests", "benchmarks", "scripts")


def python_files(*folders: str) -> list[Path]:
    """Every Python file below the folders, in order."""
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def name_of(path: Path) -> str:
    """The file as people write it, relative to the repository."""
    return path.relative_to(ROOT).as_posix()


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def calls_in(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Each call's dotted name as written, and its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node.lineno


def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def run(
    *command: str | Path, cwd: Path | None = None, env: dict[str, str] | None = None, status: int = 0
) -> str:
    """Run a program and return what it printed; AssertionError with all of it if it ends otherwise."""
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=env, capture_output=True, text=True, check=False
    )
    output = done.stdout + done.stderr
    assert done.returncode == status, f"{' '.join(map(str, command))} ended {done.returncode}:\n{output}"
    return output


def program(name: str) -> Path:
    """A program of the environment that runs the tests."""
    return Path(sys.executable).parent / name
