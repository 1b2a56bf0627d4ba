"""What deploy/ holds fits the program: settings exist, the unit is tight, the broker lets in whom it should."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from guard.cli import cli
from guard.configuration import Settings, load
from guard.doctor import Doctor, Status
from guard.settings_shape import items_of, walk
from tests.support.brokers import HOST, find_program
from tests.support.eventually import eventually

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
UNIT = DEPLOY / "perpguard.service"
EXPOSURE_MAX = 1.5
"""Of systemd-analyze security; 1.2 when it was written. Below 2 it says OK with a smile."""


def systemd_analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("NOT CHECKED: the unit, because systemd-analyze is not here")
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=False, timeout=60)


def exposure(unit: Path) -> subprocess.CompletedProcess[str]:
    threshold = str(round(EXPOSURE_MAX * 10))
    return systemd_analyze("security", "--offline=true", f"--threshold={threshold}", "--no-pager", str(unit))


def directives(text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if "=" in line and not line.startswith("#"):
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


# systemd


def test_the_unit_is_right(tmp_path: Path) -> None:
    """Checked with a program that is here in the place of the installed one."""
    here = tmp_path / UNIT.name
    here.write_text(UNIT.read_text().replace("/opt/perpguard/.venv/bin/perpguard", sys.executable))
    answer = systemd_analyze("verify", "--man=no", str(here))
    assert (answer.returncode, answer.stderr) == (0, "")


def test_the_unit_exposes_little() -> None:
    answer = exposure(UNIT)
    assert answer.returncode == 0, answer.stdout


def test_a_unit_without_its_hardening_exposes_too_much(tmp_path: Path) -> None:
    loose = tmp_path / UNIT.name
    kept = [
        line
        for line in UNIT.read_text().splitlines()
        if not line.startswith(("Protect", "Private", "SystemCall"))
    ]
    loose.write_text("\n".join(kept))
    assert exposure(loose).returncode != 0


def test_the_unit_asks_for_what_the_daemon_does() -> None:
    unit = directives(UNIT.read_text())
    assert unit["Type"] == ["notify"]
    assert unit["ExecReload"] == ["/bin/kill -HUP $MAINPID"]
    assert unit["RestartPreventExitStatus"] == ["2"]
    assert int(unit["WatchdogSec"][0].rstrip("s")) * 1000 > 10 * Settings().guard.tick_ms
    assert unit["LoadCredential"] == ["secrets:/etc/perpguard/secrets"]


# Containers


@pytest.mark.parametrize("name", ["perpguard.service", "Dockerfile", "compose.yaml"])
def test_every_setting_that_is_set_there_exists(name: str) -> None:
    known = {"__".join((*path, each)).upper() for path, kind in walk(Settings) for each in items_of(kind)}
    named = re.findall(r"PERPGUARD_([A-Z_]+)[=:]", (DEPLOY / name).read_text())
    assert named
    assert set(named) - {"SETTINGS"} <= known


def test_what_compose_sets_makes_settings_that_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (DEPLOY / "compose.yaml").read_text()
    for name, value in re.findall(r"^ +(PERPGUARD_[A-Z_]+): (\S+)$", text, re.MULTILINE):
        monkeypatch.setenv(name, value)
    (tmp_path / "settings.toml").write_text("")
    settings = load(tmp_path / "settings.toml")
    assert (settings.broker.host, settings.broker.username) == ("mosquitto", "guard")


def test_the_image_is_made_of_what_is_here_and_let_in() -> None:
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    sources = {source for line in copied for source in line.split()}
    assert {"requirements.lock", "sdk", "guard"} <= sources
    let_in = {
        line[1:]
        for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    assert sources == let_in
    assert all((ROOT / source).exists() for source in sources)


def test_compose_names_files_that_are_here() -> None:
    text = (DEPLOY / "compose.yaml").read_text()
    assert "./mosquitto.conf:" in text
    dockerfile = re.search(r"dockerfile: (\S+)", text)
    assert dockerfile is not None
    assert (ROOT / dockerfile.group(1)).exists()


# The broker


@contextlib.asynccontextmanager
async def deployed_mosquitto(folder: Path, port: int) -> AsyncIterator[None]:
    """The broker with deploy/mosquitto.conf, only its places are others."""
    text = (DEPLOY / "mosquitto.conf").read_text()
    places = {
        "listener 1883\n": f"listener {port} {HOST}\n",
        "/mosquitto/access/": f"{folder}/secrets/mosquitto/",
        "/mosquitto/data/": f"{folder}/",
    }
    for old, new in places.items():
        assert old in text
        text = text.replace(old, new)
    if os.geteuid() == 0:
        text += "user root\n"
    (folder / "mosquitto.conf").write_text(text)
    process = await asyncio.create_subprocess_exec(
        find_program("mosquitto"), "-c", str(folder / "mosquitto.conf"), stderr=asyncio.subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.kill()
        await process.wait()


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind((HOST, 0))
        return int(listening.getsockname()[1])


async def test_the_brokers_file_runs_with_what_bots_add_makes(tmp_path: Path) -> None:
    port = free_port()
    secrets = tmp_path / "secrets"
    secrets.mkdir(mode=0o700)
    secret(secrets / "broker.password", "a password of the guard's own")
    path = tmp_path / "settings.toml"
    path.write_text(
        f'[broker]\nkind = "external"\nport = {port}\nusername = "guard"\n'
        'password_file = "secrets/broker.password"\n'
        '[[venues]]\nid = "binanceusdm"\nsymbols = ["BTC/USDT:USDT"]\n'
    )
    asked = ["bots", "add", "alpha", "--account", "main", "--settings", str(path)]
    answer = await asyncio.to_thread(CliRunner().invoke, cli, asked)
    assert answer.exit_code == 0, answer.output
    async with deployed_mosquitto(tmp_path, port):
        await eventually(lambda: answers(port), what="mosquitto")
        doctor = Doctor(path, environment={})
        checks = [each for each in await doctor.examine() if each.name.startswith("broker: ")]
        assert checks
        assert [each for each in checks if each.status is Status.FAILED] == []
        if (client := shutil.which("mosquitto_sub")) is not None:
            assert await health(client, port) == 0, "the health check of compose.yaml"


def secret(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o600)


def answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=1):
        return True
    return False


async def health(client: str, port: int) -> int:
    """Run the health check of compose.yaml against the broker."""
    found = re.search(r'"CMD-SHELL", "(.+)"\]', (DEPLOY / "compose.yaml").read_text())
    assert found is not None
    line = found.group(1).replace("mosquitto_sub -h 127.0.0.1", f"{client} -h {HOST} -p {port}")
    process = await asyncio.create_subprocess_shell(line)
    return await process.wait()
