"""What people install: both distributions, with a compiler and without, each in a fresh environment."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.house.support import ROOT, SHIPPED, program, run

pytestmark = [pytest.mark.slow, pytest.mark.installs, pytest.mark.timeout(400)]

PACKAGES = ("guard", "adapters", "policies")
TYPED = """
from guard.units import BotId
from perpguard_sdk.messages import Pause

reveal_type(BotId("alpha"))
reveal_type(Pause)
"""
WITHOUT_COMPILER = {**os.environ, "CC": "false", "CXX": "false"}
IMPLEMENTATIONS = """
from adapters.exchanges.frames import new_reader
from adapters.simulation.laboratory import exchange
from guard.market.book import new_book
from guard.market.live import new_live_book

book, reader = new_book(), new_reader("binanceusdm")
assert reader is not None
laboratory = "python" if exchange.__file__.endswith(".py") else "compiled"
print(book.implementation, new_live_book(book).implementation, reader.implementation, laboratory)
"""
SETUP_WITHOUT_CYTHON = """
import sys

sys.modules["Cython"] = None
sys.argv = ["setup.py", "build_ext", "--build-lib", "nothing"]
exec(compile(open("setup.py").read(), "setup.py", "exec"))
"""
# What Cython would write into each compiled module, compiled once for all of them.
SHARED = "guard/_cyutility"
OWNERS = "import json, importlib.metadata as m; print(json.dumps(m.packages_distributions()))"


@dataclass(frozen=True)
class Built:
    """The four files that would be published, and the copy of the tree they were made from."""

    tree: Path
    wheel: Path
    sdk_wheel: Path
    sdist: Path
    sdk_sdist: Path


@dataclass(frozen=True)
class Environment:
    """A virtual environment that knows nothing of this tree."""

    folder: Path

    def program(self, name: str) -> Path:
        return self.folder / "bin" / name

    def install(self, *arguments: str | Path) -> None:
        pip = ("-m", "pip", "--python", self.program("python"), "install", "--quiet", "--no-compile")
        run(sys.executable, *pip, *arguments, cwd=self.folder)

    def run(self, name: str, *arguments: str | Path, status: int = 0) -> str:
        """Run one of its programs, away from the tree."""
        outside = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        return run(self.program(name), *arguments, cwd=self.folder, env=outside, status=status)


def new_environment(folder: Path) -> Environment:
    run(sys.executable, "-m", "venv", "--without-pip", folder)
    return Environment(folder)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Build from a copy, each wheel from its source distribution, where every compiler fails."""
    tree = tmp_path_factory.mktemp("tree")
    unwanted = shutil.ignore_patterns("__pycache__", "*.egg-info", "*.so")
    for folder in (*PACKAGES, "sdk", "tests/house", "benchmarks"):
        shutil.copytree(ROOT / folder, tree / folder, ignore=unwanted)
    for name in ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    out = tree / "dist"
    for source in (tree, tree / "sdk"):
        run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, source, env=WITHOUT_COMPILER)
    return Built(
        tree=tree,
        wheel=only(out, "perpguard-*.whl"),
        sdk_wheel=only(out, "perpguard_sdk-*.whl"),
        sdist=only(out, "perpguard-*.tar.gz"),
        sdk_sdist=only(out, "perpguard_sdk-*.tar.gz"),
    )


@pytest.fixture(scope="module")
def installed(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """The program as an operator installs it: locked dependencies, then the wheels."""
    environment = new_environment(tmp_path_factory.mktemp("installed"))
    environment.install("--require-hashes", "-r", ROOT / "requirements.lock")
    environment.install("--no-deps", built.sdk_wheel, built.wheel)
    return environment


@pytest.fixture(scope="module")
def compiled_wheel(built: Built) -> Path:
    """Built from the source distribution, where there is a compiler."""
    folder = built.tree / "unpacked"
    with tarfile.open(built.sdist) as archive:
        archive.extractall(folder, filter="data")
    out = built.tree / "compiled"
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, only(folder, "*"))
    return only(out, "perpguard-*.whl")


@pytest.fixture(scope="module")
def sdk_alone(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """The SDK as a bot's author installs it: with whatever it asks for, here in the locked versions."""
    environment = new_environment(tmp_path_factory.mktemp("sdk"))
    locked = re.findall(r"^[a-z][\w.-]*==[\w.]+", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    constraints = environment.folder / "constraints.txt"
    wanted = re.compile("aiomqtt|msgspec|paho-mqtt|typing-extensions")
    constraints.write_text("\n".join(pin for pin in locked if wanted.match(pin)))
    environment.install("-c", constraints, built.sdk_wheel)
    return environment


def only(folder: Path, pattern: str) -> Path:
    (path,) = folder.glob(pattern)
    return path


def test_the_wheels_hold_all_that_is_shipped_and_nothing_else(built: Built) -> None:
    names = {name for wheel in (built.wheel, built.sdk_wheel) for name in zipfile.ZipFile(wheel).namelist()}
    shipped = {
        path.relative_to(ROOT).as_posix().removeprefix("sdk/")
        for folder in SHIPPED
        for path in (ROOT / folder).rglob("*")
        if path.is_file()
        and "__pycache__" not in path.parts
        and path.suffix not in {".so", ".c", ".pyx", ".pxi"}
    }
    assert {name for name in names if ".dist-info/" not in name} == shipped
    assert {f"{package}/py.typed" for package in (*PACKAGES, "perpguard_sdk")} <= names


def libraries_in(wheel: Path) -> set[str]:
    """Modules that were compiled."""
    names = zipfile.ZipFile(wheel).namelist()
    return {name.partition(".")[0] for name in names if name.endswith((".so", ".pyd"))}


def test_the_wheels_need_no_compiler(built: Built) -> None:
    """They were built where every compiler fails; a compiled part is optional."""
    for wheel in (built.wheel, built.sdk_wheel):
        assert libraries_in(wheel) == set()


def test_without_a_compiler_the_references_run_and_say_that_they_are_slow(installed: Environment) -> None:
    assert set(installed.run("python", "-c", IMPLEMENTATIONS).split()) <= {"numpy", "python"}
    shutil.copy(ROOT / "settings.toml", installed.folder)
    said = installed.run("perpguard", "doctor", "--offline")
    assert re.search(r"books\W+the slow reference", said)


def test_without_cython_nothing_is_compiled_and_nothing_fails(built: Built) -> None:
    said = run(sys.executable, "-c", SETUP_WITHOUT_CYTHON, cwd=built.tree)
    assert "without Cython nothing is compiled" in said
    assert not list((built.tree / "nothing").rglob("*.so"))


def test_with_a_compiler_the_compiled_parts_are_in_the_wheel_and_run(
    compiled_wheel: Path, built: Built, installed: Environment, tmp_path: Path
) -> None:
    sources = {
        path.relative_to(ROOT).with_suffix("").as_posix()
        for folder in PACKAGES
        for path in (ROOT / folder).rglob("*.p*")
        if path.suffix == ".pyx" or (path.suffix == ".py" and path.with_suffix(".pxd").exists())
    }
    assert sources
    assert libraries_in(compiled_wheel) == sources | {SHARED}
    environment = new_environment(tmp_path / "compiled")
    environment.install("--no-deps", built.sdk_wheel, compiled_wheel)
    # Dependencies are those of the other environment, behind what is installed here.
    (here,), (there,) = (each.folder.glob("lib/python*/site-packages") for each in (environment, installed))
    (here / "dependencies.pth").write_text(f"{there}\n")
    assert set(environment.run("python", "-c", IMPLEMENTATIONS).split()) == {"compiled"}


def test_what_cython_rejects_does_not_stop_the_others_and_is_named(tmp_path: Path) -> None:
    for folder in PACKAGES:
        (tmp_path / folder).mkdir()
    for name, declared in {
        "right": "cpdef long long add(long long x)",
        "wrong": "cpdef long long ad(",
    }.items():
        (tmp_path / f"guard/{name}.py").write_text("def add(x):\n    return x + 1\n")
        (tmp_path / f"guard/{name}.pxd").write_text(declared)
    shutil.copy(ROOT / "setup.py", tmp_path)
    said = run(sys.executable, "setup.py", "build_ext", "--inplace", cwd=tmp_path, status=1)
    assert "Cython rejected guard.wrong" in said
    assert {path.name.partition(".")[0] for path in (tmp_path / "guard").glob("*.so")} == {
        "right",
        Path(SHARED).name,
    }


def test_the_source_distribution_holds_what_is_compiled_and_not_what_was_made_of_it(built: Built) -> None:
    with tarfile.open(built.sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    kept = {
        path.relative_to(ROOT).as_posix()
        for folder in PACKAGES
        for path in (ROOT / folder).rglob("*")
        if path.suffix in {".pyx", ".pxi", ".pxd", ".pyi"}
    }
    assert kept | {"setup.py"} <= names
    assert [name for name in names if name.endswith((".c", ".so", ".pyd"))] == []


def test_every_file_that_is_published_carries_the_licence(built: Built) -> None:
    for wheel in (built.wheel, built.sdk_wheel):
        assert any(name.endswith("licenses/LICENSE") for name in zipfile.ZipFile(wheel).namelist())
    for sdist in (built.sdist, built.sdk_sdist):
        with tarfile.open(sdist) as archive:
            assert any(name.count("/") == 1 and name.endswith("/LICENSE") for name in archive.getnames())


def test_the_program_says_its_version(installed: Environment) -> None:
    assert "0.1.0" in installed.run("perpguard", "version")


def test_the_shipped_settings_are_right(installed: Environment) -> None:
    shutil.copy(ROOT / "settings.toml", installed.folder)
    installed.run("perpguard", "check")


def test_a_typo_in_the_settings_is_named_with_its_path(installed: Environment) -> None:
    path = installed.folder / "settings.toml"
    path.write_text("depht_usd_min = 1\n" + (ROOT / "settings.toml").read_text())
    assert "depht_usd_min" in installed.run("perpguard", "check", status=2)


def test_nobody_else_provides_our_names(installed: Environment) -> None:
    """``adapters`` and ``policies`` are names that somebody else may have thought of too."""
    owners = json.loads(installed.run("python", "-c", OWNERS))
    assert {name: set(owners[name]) for name in PACKAGES} == {name: {"perpguard"} for name in PACKAGES}
    assert set(owners["perpguard_sdk"]) == {"perpguard-sdk"}


def test_what_is_installed_fits_together(installed: Environment) -> None:
    run(sys.executable, "-m", "pip", "--python", installed.program("python"), "check")


def test_what_is_installed_type_checks(installed: Environment) -> None:
    assert_types_are_seen(installed)


def test_an_editable_install_type_checks(built: Built, tmp_path: Path) -> None:
    environment = new_environment(tmp_path / "editable")
    build = "import sys, setuptools.build_meta as b; b.build_editable(sys.argv[1])"
    for source in (built.tree, built.tree / "sdk"):
        run(sys.executable, "-c", build, tmp_path, cwd=source, env=WITHOUT_COMPILER)
    environment.install("--no-deps", *sorted(tmp_path.glob("*.whl")))
    assert_types_are_seen(environment)


def assert_types_are_seen(environment: Environment) -> None:
    source = environment.folder / "typed.py"
    source.write_text(TYPED)
    options = ("--strict", "--config-file", os.devnull, "--python-executable", environment.program("python"))
    # The tree must not be found through the environment that runs the tests.
    output = run(program("mypy"), *options, "--cache-dir", os.devnull, source, cwd=environment.folder)
    assert 'Revealed type is "guard.units.BotId"' in output
    assert "perpguard_sdk.messages.Pause" in output


def test_the_sdk_brings_only_what_it_says(sdk_alone: Environment) -> None:
    output = run(
        sys.executable, "-m", "pip", "--python", sdk_alone.program("python"), "list", "--format=json"
    )
    names = {entry["name"].lower() for entry in json.loads(output[: output.rindex("]") + 1])}
    assert {"aiomqtt", "msgspec", "perpguard-sdk"} <= names
    assert names <= {"aiomqtt", "msgspec", "paho-mqtt", "perpguard-sdk", "typing-extensions"}


def test_every_module_of_the_sdk_imports_alone(sdk_alone: Environment) -> None:
    modules = [f"perpguard_sdk.{path.stem}" for path in (ROOT / "sdk/perpguard_sdk").glob("[a-z]*.py")]
    sdk_alone.run("python", "-W", "error", "-c", f"import {', '.join(modules)}")
