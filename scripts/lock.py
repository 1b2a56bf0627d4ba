"""Make the lock files, or check that they are in step: ``lock.py [--check] [--upgrade]``.

``requirements-dev.lock`` holds everything with hashes, for every Python from 3.11 on and every platform
(uv's universal resolution); ``requirements.lock`` is the part of it that the daemon and the demo need.
The first line of each carries a digest of the requirements that it was made from, so that checking
needs no network. Runs on the standard library alone; uv gets an environment of its own.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
UV = "uv==0.13.9"
PYTHON_MIN = "3.11"
LOCKS = {
    # In this order: the second is made with the versions of the first.
    "requirements-dev.lock": ["--extra", "embedded", "--extra", "lab", "--extra", "dev"],
    "requirements.lock": ["--extra", "embedded", "-c", "requirements-dev.lock"],
}
DIGEST_LINE = "# made by `make lock` from requirements with digest "


def main() -> int:
    """Do what the arguments say; 1 if a lock is out of step."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--check", action="store_true", help="change nothing, exit 1 if a lock is out of step"
    )
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions instead of keeping")
    arguments = parser.parse_args()
    if arguments.check:
        problems = [problem for name in LOCKS for problem in problems_of(ROOT / name)]
        for problem in problems:
            sys.stderr.write(f"lock: {problem}\n")
        return 1 if problems else 0
    uv = install_uv()
    for name, options in LOCKS.items():
        compile_lock(uv, name, options, upgrade=arguments.upgrade)
        sys.stdout.write(f"lock: {name} made\n")
    return 0


def requirements_digest() -> str:
    """Digest of everything that the locks are made from."""
    wanted = []
    for path in (ROOT / "pyproject.toml", ROOT / "sdk" / "pyproject.toml"):
        document = tomllib.loads(path.read_text(encoding="utf-8"))
        project = document["project"]
        wanted.append(
            {
                "python": project["requires-python"],
                "dependencies": project["dependencies"],
                "extras": project.get("optional-dependencies", {}),
                "groups": document.get("dependency-groups", {}),
                "build": document["build-system"]["requires"],
            }
        )
    return hashlib.sha256(json.dumps(wanted, sort_keys=True).encode()).hexdigest()[:16]


def problems_of(path: Path) -> list[str]:
    """What is wrong with a lock file, in words."""
    if not path.exists():
        return [f"{path.name} is missing: run make lock"]
    text = path.read_text(encoding="utf-8")
    problems = []
    if not text.startswith(DIGEST_LINE + requirements_digest()):
        problems.append(
            f"{path.name} is out of step with pyproject.toml or sdk/pyproject.toml: run make lock"
        )
    strange = re.search(r"^(-e|--|\.|/).*|^.*\b(https?|file)://.*$", text, re.MULTILINE)
    if strange:
        problems.append(f"{path.name} names an index, an address or a local path: {strange.group()!r}")
    pins = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)[1:]
    problems += [
        f"{path.name}: no hash for {pin.splitlines()[0]}" for pin in pins if "--hash=sha256:" not in pin
    ]
    return problems


def install_uv() -> Path:
    """Give uv an environment of its own and return its program."""
    folder = ROOT / ".venv-peers" / "lock"
    program = folder / "bin" / "uv"
    stamp = folder / UV
    if not stamp.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        subprocess.run([str(folder / "bin" / "python"), "-m", "pip", "install", "-q", UV], check=True)
        stamp.touch()
    return program


def compile_lock(uv: Path, name: str, options: list[str], *, upgrade: bool) -> None:
    """Resolve into a lock file, without the indexes and settings that this machine may have configured."""
    path = ROOT / name
    command = [str(uv), "pip", "compile", "--quiet", "--no-config", "--universal", "--generate-hashes"]
    command += ["--python-version", PYTHON_MIN, "--no-header"]
    command += ["--no-emit-package", "perpguard-sdk", "--group", "build", *options, "pyproject.toml"]
    command += ["--output-file", name]
    if upgrade:
        command.append("--upgrade")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("UV_", "PIP_"))}
    subprocess.run(command, check=True, cwd=ROOT, env=environment)
    path.write_text(
        f"{DIGEST_LINE}{requirements_digest()}\n{path.read_text(encoding='utf-8')}", encoding="utf-8"
    )


if __name__ == "__main__":
    sys.exit(main())
