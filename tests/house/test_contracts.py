"""The import contracts hold, each of them can fail, and no module stands outside of them."""

from __future__ import annotations

import ast
import os
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.house.support import ROOT, SHIPPED, program, pyproject, python_files, run, tree_of

CONTRACTS: list[dict[str, Any]] = pyproject()["tool"]["importlinter"]["contracts"]
LAYERS: list[list[str]] = [
    re.findall(r"[\w.]+", layer) for layer in next(c for c in CONTRACTS if c["id"] == "layers")["layers"]
]


@dataclass(frozen=True)
class Planted:
    """An import that a contract forbids, and the file that gets it."""

    path: str
    line: str


VIOLATIONS = {
    "layers": Planted("guard/findings.py", "import guard.market"),
    "market-leverage": Planted("guard/market/planted.py", "import guard.leverage"),
    "policies": Planted("policies/planted_one.py", "import policies.planted_two"),
    "adapters": Planted("adapters/mqtt/planted.py", "import adapters.storage"),
    "pure": Planted("guard/market/planted.py", "import asyncio"),
    "policies-loop": Planted("policies/planted_one.py", "import guard.ports"),
    "adapters-inside": Planted("adapters/mqtt/planted.py", "import guard.state"),
    "truth": Planted("adapters/simulation/planted.py", "import adapters.simulation.laboratory.truth_file"),
    "sdk": Planted("sdk/perpguard_sdk/planted.py", "import numpy"),
    "shipped": Planted("adapters/mqtt/planted.py", "import tests.support"),
}
MORE_LAYER_VIOLATIONS = [
    Planted("policies/planted_one.py", "import adapters.mqtt"),
    Planted("adapters/mqtt/planted.py", "import policies"),
    Planted("guard/account/planted.py", "import guard.market"),
    Planted("guard/market/planted.py", "import guard.account"),
    Planted("guard/leverage/planted.py", "import guard.account"),
    Planted("guard/events.py", "import guard.commands"),
    Planted("guard/units.py", "import guard.errors"),
    Planted("guard/state.py", "import guard.policy"),
    Planted("guard/ports.py", "import adapters.mqtt"),
]


def copy_of_the_sources(folder: Path) -> dict[str, str]:
    """Copy what is shipped and return the environment in which Python finds the copy first."""
    for source in SHIPPED:
        shutil.copytree(ROOT / source, folder / source, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    # Planting two policies that may import each other needs both to be there.
    (folder / "policies/planted_two.py").touch()
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(folder / "sdk")])}


def lint(folder: Path, env: dict[str, str], *options: str, status: int) -> str:
    return run(
        program("lint-imports"), "--no-cache", "--no-logo", *options, cwd=folder, env=env, status=status
    )


def test_every_contract_is_kept() -> None:
    output = lint(ROOT, dict(os.environ), status=0)
    assert f"Contracts: {len(CONTRACTS)} kept, 0 broken." in output


@pytest.mark.parametrize("identifier", [contract["id"] for contract in CONTRACTS])
def test_a_contract_fails_on_what_it_forbids(identifier: str, tmp_path: Path) -> None:
    env = copy_of_the_sources(tmp_path)
    assert "1 kept, 0 broken" in lint(tmp_path, env, "--contract", identifier, status=0)
    plant(tmp_path, VIOLATIONS[identifier])
    output = lint(tmp_path, env, "--contract", identifier, status=1)
    assert module_of(VIOLATIONS[identifier].path) in output


@pytest.mark.parametrize(
    "planted", MORE_LAYER_VIOLATIONS, ids=lambda planted: f"{planted.path} {planted.line}"
)
def test_the_layers_fail_on(planted: Planted, tmp_path: Path) -> None:
    env = copy_of_the_sources(tmp_path)
    plant(tmp_path, planted)
    assert module_of(planted.path) in lint(tmp_path, env, "--contract", "layers", status=1)


def plant(folder: Path, planted: Planted) -> None:
    path = folder / planted.path
    before = path.read_text() if path.exists() else '"""Planted."""\n'
    path.write_text(f"{before}\n{planted.line}\n")


def module_of(path: str) -> str:
    return path.removeprefix("sdk/").removesuffix(".py").replace("/", ".")


def modules_of_guard() -> set[str]:
    return {
        f"guard.{path.stem}"
        for path in (ROOT / "guard").iterdir()
        if (path.suffix == ".py" and path.stem != "__init__") or (path / "__init__.py").exists()
    }


def test_every_module_of_guard_stands_in_the_layers() -> None:
    """A module outside of them could import anything: give a new one its place in pyproject.toml."""
    assert modules_of_guard() - {module for layer in LAYERS for module in layer} == set()


def test_everything_below_the_ports_is_held_pure() -> None:
    below = LAYERS[next(number for number, layer in enumerate(LAYERS) if "guard.ports" in layer) + 1 :]
    expected = {module for layer in below for module in layer} & modules_of_guard() | {"policies"}
    assert expected == set(next(c for c in CONTRACTS if c["id"] == "pure")["source_modules"])


def test_no_inside_module_of_guard_is_open_to_adapters() -> None:
    """What an adapter may know of guard is listed here; everything else is forbidden to it or above it."""
    open_to_adapters = {
        "guard.ports",
        "guard.audit",
        "guard.columns",
        "guard.extras",
        "guard.tables",
        "guard.holdings",
        "guard.margin_terms",
        "guard.market",
        "guard.leverage",
        "guard.meters",
        "guard.readings",
        "guard.forecasts",
    }
    open_to_adapters |= {"guard.audit_lines", "guard.explain", "guard.explain_words"}
    open_to_adapters |= {"guard.explain_hops", "guard.explain_outlook", "guard.explain_story", "guard.hops"}
    open_to_adapters |= {"guard.explain_brief", "guard.explain_reasons"}
    open_to_adapters |= {"guard.instructions", "guard.billed"}
    open_to_adapters |= {"guard.findings", "guard.events", "guard.commands", "guard.units", "guard.errors"}
    place = next(number for number, layer in enumerate(LAYERS) if "adapters" in layer)
    above = {module for layer in LAYERS[: place + 1] for module in layer}
    forbidden = set(next(c for c in CONTRACTS if c["id"] == "adapters-inside")["forbidden_modules"])
    assert modules_of_guard() - open_to_adapters - above == forbidden


def test_the_sdk_uses_the_standard_library_and_its_two_dependencies() -> None:
    allowed = set(sys.stdlib_module_names) | {"aiomqtt", "msgspec", "perpguard_sdk"}
    imported = {
        name.split(".")[0]
        for path in python_files("sdk/perpguard_sdk")
        for node in ast.walk(tree_of(path))
        for name in names_imported_by(node)
    }
    assert imported - allowed == set()


def names_imported_by(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or ""] if isinstance(node, ast.ImportFrom) else []
