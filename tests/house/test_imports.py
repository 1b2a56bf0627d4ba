"""What importing costs: the program starts without the libraries that take a second to load."""

from __future__ import annotations

import ast
import sys

from tests.house.support import name_of, python_files, run, tree_of

HEAVY = ("ccxt", "polars", "sortedcontainers", "numba", "pandas")


def test_importing_every_decision_loads_no_heavy_library() -> None:
    code = "import sys, guard.ports, perpguard_sdk.messages; print(*sys.modules)"
    loaded = run(sys.executable, "-c", code).split()
    assert [name for name in HEAVY if name in loaded] == []


LAZY = ("ccxt", "matplotlib", "pyarrow")
"""The first costs a second and 110 MB, which no check and no replay must pay; the others may not be installed."""


def test_some_libraries_are_imported_only_where_they_are_used() -> None:
    at_the_top = [
        f"{name_of(path)}:{node.lineno}"
        for path in python_files("guard", "adapters", "policies")
        for node in tree_of(path).body
        if (isinstance(node, ast.Import) and any(alias.name.split(".")[0] in LAZY for alias in node.names))
        or (isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in LAZY)
    ]
    assert at_the_top == []
