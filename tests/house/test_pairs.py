"""Python that is compiled with declarations beside it: what would mean something else in C is not written."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.house.support import ROOT

PAIRS = [
    file
    for folder in ("guard", "adapters", "policies")
    for file in sorted((ROOT / folder).rglob("*.pxd"))
    if file.with_suffix(".py").exists()
]


def literal_shifts(source: str) -> list[int]:
    """Lines on which a written number is shifted: to C it has 32 bits, and may come out as 0."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.BinOp)
        and isinstance(node.op, ast.LShift)
        and isinstance(node.left, ast.Constant)
    ]


def classes(source: str) -> set[str]:
    return {node.name for node in ast.parse(source).body if isinstance(node, ast.ClassDef)}


def test_there_are_pairs() -> None:
    assert len(PAIRS) >= 3


@pytest.mark.parametrize("declarations", PAIRS, ids=lambda file: file.stem)
def test_no_written_number_is_shifted(declarations: Path) -> None:
    assert literal_shifts(declarations.with_suffix(".py").read_text()) == []


@pytest.mark.parametrize("declarations", PAIRS, ids=lambda file: file.stem)
def test_what_is_declared_is_there(declarations: Path) -> None:
    """A class that was renamed in one of the two would be compiled as an ordinary, slow one."""
    declared = set(re.findall(r"^cdef class (\w+)", declarations.read_text(), re.MULTILINE))
    assert declared <= classes(declarations.with_suffix(".py").read_text())


def test_a_shift_is_found() -> None:
    assert literal_shifts("bit = 1\nbit <<= 40\nmost = 1 << 62\n") == [3]
