"""The scripts under the Makefile: what they say when something is missing, and that CI fails on it."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.house.support import ROOT, run

SHELL_TOOLS = ("sh", "bash", "env", "dirname", "cat", "grep", "tee", "mktemp", "rm", "id", "tr", "sed")


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A folder of programs with little in it, to be the whole PATH."""
    folder = tmp_path / "programs"
    folder.mkdir()
    for name in SHELL_TOOLS:
        found = shutil.which(name)
        assert found is not None, name
        (folder / name).symlink_to(found)
    return folder


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree with the scripts alone, in a folder with a space in its name."""
    folder = tmp_path / "a tree"
    shutil.copytree(ROOT / "scripts", folder / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / ".ci", folder / ".ci")
    for name in ("pyproject.toml", "sdk/pyproject.toml", "requirements.lock", "requirements-dev.lock"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    return folder


def add_program(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def only_path(folder: Path) -> dict[str, str]:
    return {"PATH": str(folder), "HOME": os.environ.get("HOME", "/")}


def test_without_a_python_it_says_what_to_install(bare: Path, tree: Path) -> None:
    output = run("sh", "scripts/python.sh", cwd=tree, env=only_path(bare), status=1)
    assert "needs Python 3.11 or later and found none" in output


def test_a_python_that_is_too_old_is_passed_over(bare: Path, tree: Path) -> None:
    add_program(bare, "python3", "exit 1")
    (bare / "python3.13").symlink_to(sys.executable)
    assert str(bare / "python3.13") in run("sh", "scripts/python.sh", cwd=tree, env=only_path(bare))


def test_a_python_that_was_asked_for_is_not_silently_replaced(bare: Path, tree: Path) -> None:
    (bare / "python3").symlink_to(sys.executable)
    env = only_path(bare) | {"PYTHON": "python2.7"}
    assert "PYTHON=python2.7 is not a Python" in run("sh", "scripts/python.sh", cwd=tree, env=env, status=1)


def test_a_python_that_cannot_make_environments_says_which_package_is_missing(bare: Path, tree: Path) -> None:
    # Fit by its version, but without ensurepip, as Debian ships it.
    add_program(bare, "python3", 'case "$*" in *ensurepip*) exit 1 ;; esac')
    output = run("sh", "scripts/python.sh", cwd=tree, env=only_path(bare), status=1)
    assert "python3-venv" in output


def test_a_program_that_cannot_be_had_is_said_and_the_rest_goes_on(bare: Path, tree: Path) -> None:
    if any(Path(folder, "mosquitto").exists() for folder in ("/usr/sbin", "/usr/local/sbin")):
        # It also looks there, so make it look for another program.
        script = tree / "scripts/tools.sh"
        script.write_text(
            script.read_text().replace("need mosquitto mosquitto", "need no-such-program mosquitto")
        )
    output = run("sh", "scripts/tools.sh", cwd=tree, env=only_path(bare))
    assert "MISSING PROGRAM" in output
    assert "install mosquitto with your package manager" in output


@pytest.mark.parametrize(
    ("says", "status", "expected"),
    [
        ("5 passed", 0, "all of it took"),
        ("MISSING PROGRAM: mosquitto: install it (4 tests skipped)", 1, "failed: tests were skipped"),
    ],
)
def test_ci_passes_only_if_nothing_was_skipped_for_want_of_a_program(
    bare: Path, tree: Path, says: str, status: int, expected: str
) -> None:
    add_program(bare, "make", f"echo '{says}'")
    output = run("bash", ".ci/run", cwd=tree, env=only_path(bare), status=status)
    assert expected in output


def test_ci_fails_if_a_stage_fails(bare: Path, tree: Path) -> None:
    add_program(bare, "make", 'case "$*" in *check*) exit 2 ;; esac; echo tested')
    assert "tested" not in run("bash", ".ci/run", cwd=tree, env=only_path(bare), status=2)


@pytest.mark.parametrize(
    ("file", "old", "new", "expected"),
    [
        ("pyproject.toml", "ccxt>=4.5.80", "ccxt>=4.5.81", "requirements.lock is out of step"),
        ("sdk/pyproject.toml", "msgspec>=0.19", "msgspec>=0.20", "requirements-dev.lock is out of step"),
        (
            "requirements.lock",
            "\naiohttp==",
            "\n--extra-index-url https://example.org\naiohttp==",
            "names an index",
        ),
        ("requirements.lock", "\naiohttp==", "\n-e ./sdk\naiohttp==", "names an index"),
        ("requirements.lock", "\naiohttp==", "\nnobody==1.0\naiohttp==", "no hash for nobody==1.0"),
    ],
)
def test_a_lock_that_is_out_of_step_is_found(
    tree: Path, file: str, old: str, new: str, expected: str
) -> None:
    path = tree / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    assert expected in run(sys.executable, "scripts/lock.py", "--check", cwd=tree, status=1)


def test_a_lock_that_is_missing_is_said(tree: Path) -> None:
    (tree / "requirements.lock").unlink()
    assert "missing: run make lock" in run(sys.executable, "scripts/lock.py", "--check", cwd=tree, status=1)
