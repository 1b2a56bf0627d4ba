"""The habits of the house, held by counting: sizes, docstrings, no clocks, no prints, no leftovers."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.support import ROOT, SHIPPED, WRITTEN, calls_in, name_of, python_files, tree_of

FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 70
SPEAKS = ("guard/cli", "guard/demo", "guard/settings_document")
"""How the names of files begin whose job is to print for people."""

READS_CLOCKS = {"adapters/clock.py"}
WALL_CLOCKS = re.compile(r"^(time\.(time|time_ns)|(datetime\.)*(datetime|date)\.(now|utcnow|today))$")
SLEEPS = re.compile(r"^(time|asyncio|anyio)\.sleep\((?!0\))")
"""``asyncio.sleep(0)`` waits for nothing: it lets other tasks run."""

# Put together here, so that this file does not find itself.
LEFTOVERS = re.compile(r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "XX" + "X"]) + r")\b")
MOCKING = re.compile(r"^\s*(from unittest\b|import unittest\b)|\bmock\.patch\b|\bmocker\b", re.MULTILINE)
MACHINE_PATHS = re.compile(r"(?<![\w.$~-])/" + r"(?:work|home|root|Users)/\w")
TEXT_SUFFIXES = {".py", ".toml", ".md", ".sh", ".svg", ".yml", ".yaml", ".json", ".lock", ".cfg", ".txt", ""}


def functions_in(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    yield from (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def text_files() -> list[Path]:
    folders = [ROOT / folder for folder in (*WRITTEN, "sdk", "docs", ".ci")]
    found = {path for folder in folders for path in folder.rglob("*") if path.suffix in TEXT_SUFFIXES}
    found |= {path for path in ROOT.iterdir() if path.suffix in TEXT_SUFFIXES}
    return sorted(
        path for path in found if path.is_file() and not re.search(r"egg-info|__pycache__", str(path))
    )


def test_files_are_short() -> None:
    sizes = {name_of(path): len(path.read_text().splitlines()) for path in python_files(*WRITTEN)}
    assert {name: lines for name, lines in sizes.items() if lines > FILE_LINES_MAX} == {}


def test_functions_are_short() -> None:
    long = {
        f"{name_of(path)}:{function.lineno} {function.name}": lines
        for path in python_files(*WRITTEN)
        for function in functions_in(tree_of(path))
        if (lines := lines_of(function)) > FUNCTION_LINES_MAX
    }
    assert long == {}


def lines_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Its length without its docstring: a formula with its units and a doctest may take a page."""
    lines = (function.end_lineno or 0) - function.lineno + 1
    if ast.get_docstring(function) is not None:
        lines -= (function.body[0].end_lineno or 0) - function.body[0].lineno + 1
    return lines


def test_every_module_says_what_it_holds() -> None:
    silent = [
        name_of(path)
        for path in python_files(*WRITTEN)
        if path.read_text().strip() and not ast.get_docstring(tree_of(path))
    ]
    assert silent == []


def test_every_public_name_of_the_core_and_the_sdk_is_described() -> None:
    """Functions and classes; methods are left to review."""
    silent = [
        f"{name_of(path)}:{node.lineno} {node.name}"
        for path in python_files("guard", "policies", "sdk/perpguard_sdk")
        for node in tree_of(path).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
    ]
    assert silent == []


def test_only_the_commands_print() -> None:
    printing = [
        f"{name_of(path)}:{line}"
        for path in python_files(*SHIPPED)
        if not name_of(path).startswith(SPEAKS) and path.name != "__main__.py"
        for call, line in calls_in(tree_of(path))
        if call == "print"
    ]
    assert printing == []


def test_one_file_reads_the_wall_clock() -> None:
    """Everything else is given a clock, so that replay and simulation can give another."""
    reading = [
        f"{name_of(path)}:{line} {call}"
        for path in python_files("guard", "adapters", "policies")
        if name_of(path) not in READS_CLOCKS
        for call, line in calls_in(tree_of(path))
        if WALL_CLOCKS.match(call)
    ]
    assert reading == []


def test_no_randomness_decides() -> None:
    chance = [
        f"{name_of(path)}:{line} {call}"
        for path in python_files("guard", "policies")
        for call, line in calls_in(tree_of(path))
        if re.search(r"\brandom\b|\buuid[14]\b|\burandom\b", call) and not is_outer(path)
    ]
    assert chance == []


def is_outer(path: Path) -> bool:
    """Whether the file is of the program around the decisions, which may name sessions by chance."""
    return name_of(path).startswith(("guard/app", "guard/cli", "guard/demo", "guard/runner"))


def test_tests_wait_for_conditions_and_do_not_sleep() -> None:
    """A fake that does something every so often may: it sleeps in a ``while True``, and nobody waits for it.

    So may a soak, which is a program that lets the world run, and no test.
    """
    sleeping = [
        f"{name_of(path)}:{line} {call}"
        for path in python_files("tests")
        if not {"support", "soak"} & set(path.parts)
        for call, line in sleeps_outside_of_fakes(tree_of(path))
    ]
    assert sleeping == []


def sleeps_outside_of_fakes(tree: ast.Module) -> list[tuple[str, int]]:
    beating = [
        range(node.lineno, (node.end_lineno or 0) + 1)
        for node in ast.walk(tree)
        if isinstance(node, ast.While) and isinstance(node.test, ast.Constant)
    ]
    return [
        (ast.unparse(node), node.lineno)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and SLEEPS.match(ast.unparse(node))
        if not any(node.lineno in lines for lines in beating)
    ]


def test_fakes_are_written_by_hand() -> None:
    mocking = [
        name_of(path)
        for path in python_files("tests", "benchmarks")
        if re.search(
            r"^\s*(from unittest(\.mock)? import|import unittest)|\bmock\.patch\b|\bmocker\b",
            path.read_text(),
            re.MULTILINE,
        )
        and path.name != Path(__file__).name
    ]
    assert mocking == []


@pytest.mark.parametrize("pattern", [LEFTOVERS, MACHINE_PATHS], ids=["leftovers", "machine paths"])
def test_no_file_holds(pattern: re.Pattern[str]) -> None:
    found = [
        f"{name_of(path)}:{number}: {line.strip()[:80]}"
        for path in text_files()
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), start=1)
        if pattern.search(line)
    ]
    assert found == []


def test_every_test_folder_is_a_package() -> None:
    """Two test files of one name collide otherwise."""
    bare = {
        name_of(path.parent) for path in python_files("tests") if not (path.parent / "__init__.py").exists()
    }
    assert bare == set()


def test_decisions_are_numbered_once() -> None:
    decisions = sorted((ROOT / "docs/decisions").glob("*.md"))
    numbers = [path.name[:4] for path in decisions]
    assert all(number.isdigit() for number in numbers), numbers
    assert len(set(numbers)) == len(numbers), numbers
