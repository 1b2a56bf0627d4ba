"""The doctor: finds each thing that is wrong, says what to do, and disturbs nobody."""

from __future__ import annotations

import asyncio
import json
import resource
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from adapters.clock import network_time
from adapters.simulation.settings import VenueAccountSpec
from adapters.simulation.venue import LoopbackVenue
from adapters.storage.lock import WriterLock
from guard import doctor
from guard.cli import cli
from guard.doctor import Check, Doctor, Limits, Status, verdict, wal_check
from tests.support.brokers import Broker, mosquitto
from tests.support.hand_market import HandMarket
from tests.support.processes import write_toml
from tests.support.shifted import Shifted

SYMBOL = "BTC/USDT:USDT"


@pytest.fixture
async def venue() -> AsyncIterator[LoopbackVenue]:
    spec = VenueAccountSpec("main", "key-main", "secret-main", 1_000.0, 10)
    async with LoopbackVenue(HandMarket(), accounts=[spec]) as started:
        yield started


def settings_file(folder: Path, **settings: Any) -> Path:
    secret = folder / "alpha.key"
    secret.write_text("a key that nobody can guess\n")
    secret.chmod(0o600)
    base: dict[str, Any] = {
        "audit": {"path": "audit.sqlite3"},
        "bots": [{"name": "alpha", "key_file": "alpha.key", "venue": "binanceusdm", "account": "main"}],
        "venues": [{"id": "binanceusdm", "symbols": [SYMBOL]}],
    }
    return write_toml(folder / "settings.toml", base | settings)


def watched(venue: LoopbackVenue, folder: Path, **more: Any) -> dict[str, Any]:
    for name, value in (("k", "key-main"), ("s", "secret-main")):
        (folder / name).write_text(value)
        (folder / name).chmod(0o600)
    accounts = {"main": {"api_key_file": "k", "api_secret_file": "s"}}
    base = {"id": "binanceusdm", "symbols": [SYMBOL], "urls": venue.ccxt_urls(), "accounts": accounts}
    return base | {"rate_limit": False} | more


def of(checks: Sequence[Check], start: str) -> list[Check]:
    return [check for check in checks if check.name.startswith(start)]


def one(checks: Sequence[Check], name: str) -> Check:
    (found,) = of(checks, name)
    return found


def failed(checks: Sequence[Check]) -> list[str]:
    return [check.name for check in checks if check.status is Status.FAILED]


def open_to_all(folder: Path) -> None:
    folder.chmod(0o777)


def damage(path: Path) -> None:
    path.write_bytes(b"this is no database" * 100)


async def offline(path: Path, **more: Any) -> tuple[Check, ...]:
    return await Doctor(path, offline=True, environment={}, **more).examine()


# All is well


async def test_where_all_is_well_nothing_fails_and_each_part_is_told(
    tmp_path: Path, venue: LoopbackVenue, mosquitto_broker: Broker
) -> None:
    path = settings_file(
        tmp_path,
        venues=[watched(venue, tmp_path)],
        broker={"kind": "external", "host": mosquitto_broker.host, "port": mosquitto_broker.port},
    )
    began_s = time.monotonic()
    checks = await Doctor(path, environment={}).examine()
    assert failed(checks) == [], [check for check in checks if check.status is Status.FAILED]
    assert time.monotonic() - began_s < 30.0
    data = one(checks, "venue binanceusdm: data").detail
    assert "streamed: book" in data
    assert "polled: open_interest" in data
    assert abs(float(one(checks, "venue binanceusdm: clock").detail.split()[3])) < 500
    assert one(checks, "venue binanceusdm: account main").status is not Status.FAILED
    assert of(checks, "broker: ")
    assert one(checks, "daemon").detail == "none runs with these settings"
    assert not (tmp_path / "audit.sqlite3").exists(), "looking makes nothing"


# What is wrong, each by itself


async def test_settings_that_cannot_be_used_are_told_and_the_rest_is_still_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text("[guard]\nnmae = 'x'\n")
    checks = await offline(path)
    assert failed(checks) == ["settings"]
    assert "did you mean name" in one(checks, "settings").detail
    assert of(checks, "python")
    assert of(checks, "clock")


async def test_a_broker_that_is_away_fails_with_what_to_do(tmp_path: Path) -> None:
    path = settings_file(tmp_path, venues=[], bots=[], broker={"kind": "external", "port": 1})
    checks = await Doctor(path, environment={}).examine()
    (found,) = [check for check in checks if check.status is Status.FAILED]
    assert found.name == "broker: reachable"
    assert found.remedy


async def test_a_broker_that_refuses_the_password_fails(tmp_path: Path) -> None:
    place = tmp_path / "broker"
    place.mkdir()
    async with mosquitto(place, users={"guard": "right-password"}) as broker:
        (tmp_path / "password").write_text("wrong-password")
        (tmp_path / "password").chmod(0o600)
        access = {"host": broker.host, "port": broker.port, "username": "guard", "password_file": "password"}
        path = settings_file(tmp_path, venues=[], bots=[], broker={"kind": "external", **access})
        checks = await Doctor(path, environment={}).examine()
    assert any(name.startswith("broker: ") for name in failed(checks))


async def test_the_embedded_broker_of_a_guard_that_does_not_run_is_not_missed(tmp_path: Path) -> None:
    path = settings_file(tmp_path, venues=[], bots=[])
    checks = await Doctor(path, environment={}).examine()
    assert one(checks, "broker").status is Status.OK


async def test_a_venue_that_is_away_a_symbol_that_is_none_and_a_key_that_is_refused(
    tmp_path: Path, venue: LoopbackVenue
) -> None:
    bad = watched(venue, tmp_path, symbols=[SYMBOL, "NONE/USDT:USDT"])
    path = settings_file(tmp_path, venues=[bad])
    (tmp_path / "k").write_text("another-key")
    checks = await Doctor(path, environment={}).examine()
    assert "NONE/USDT:USDT" in one(checks, "venue binanceusdm: symbol").detail
    assert one(checks, "venue binanceusdm: account main").status is Status.FAILED
    await venue.stop()
    checks = await Doctor(path, environment={}).examine()
    assert "venue binanceusdm" in failed(checks)


async def test_clocks_that_are_apart_are_told(tmp_path: Path, venue: LoopbackVenue) -> None:
    path = settings_file(tmp_path, venues=[watched(venue, tmp_path)])
    for offset_ms, status in ((800, Status.WARNING), (-4_000, Status.FAILED)):
        checks = await Doctor(path, environment={}, clock=Shifted(offset_ms)).examine()
        found = one(checks, "venue binanceusdm: clock")
        assert found.status is status
        assert ("behind" if offset_ms > 0 else "ahead of") in found.detail


async def test_secrets_that_others_can_use_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = settings_file(tmp_path)
    assert one(await offline(path), "secrets").status is Status.OK
    (tmp_path / "alpha.key").chmod(0o644)
    found = one(await offline(path), "secret bots.0.key")
    assert found.status is Status.WARNING
    assert "644" in found.detail
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert one(await offline(path), "secrets").status is Status.OK, "systemd's own, behind an access list"
    assert "chmod" not in " ".join(check.detail for check in of(await offline(path), "settings"))
    monkeypatch.delenv("CREDENTIALS_DIRECTORY")
    open_to_all(tmp_path)
    assert "secret bots.0.key" in failed(await offline(path))


async def test_too_few_open_files_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = settings_file(tmp_path)
    assert one(await offline(path), "files").status is Status.OK
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    monkeypatch.setattr(doctor, "FILES_BESIDES", soft)
    found = one(await offline(path), "files")
    assert found.status is Status.FAILED
    assert str(soft) in found.detail
    assert str(hard) in found.remedy or "unlimited" in found.remedy


async def test_a_damaged_audit_fails(tmp_path: Path) -> None:
    path = settings_file(tmp_path)
    damage(tmp_path / "audit.sqlite3")
    assert [name for name in failed(await offline(path)) if name.startswith("audit: ")]


async def test_a_check_that_hangs_ends_in_its_time_and_the_others_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = settings_file(tmp_path, venues=[], bots=[], broker={"kind": "external", "port": 1})

    async def hang(*_arguments: object, **_named: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(doctor, "probe_broker", hang)
    checks = await Doctor(path, environment={}, limits=Limits(broker_s=0.1)).examine()
    found = one(checks, "broker")
    assert found.status is Status.FAILED
    assert "0.1 s" in found.detail
    assert one(checks, "files").status is Status.OK


@pytest.mark.parametrize(
    ("environment", "status"),
    [
        ({}, Status.OK),
        ({"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "20000000"}, Status.OK),
        ({"NOTIFY_SOCKET": "/run/x"}, Status.WARNING),
        ({"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "500000"}, Status.WARNING),
    ],
)
async def test_a_supervisor_that_asks_for_too_little_or_too_much(
    tmp_path: Path, environment: dict[str, str], status: Status
) -> None:
    checks = await Doctor(settings_file(tmp_path), offline=True, environment=environment).examine()
    assert one(checks, "supervisor").status is status


@pytest.mark.parametrize(
    ("version", "has_the_bug"),
    [((3, 40, 1), True), ((3, 44, 6), False), ((3, 50, 6), True), ((3, 51, 2), True), ((3, 53, 0), False)],
)
def test_versions_with_the_bug_of_the_write_ahead_log_are_known(
    version: tuple[int, ...], has_the_bug: bool
) -> None:
    assert ("WAL-reset" in wal_check(version).detail) is has_the_bug


def test_the_kernel_tells_of_its_clock() -> None:
    told = network_time()
    assert told is None or told.error_ms >= 0.0


# A daemon that runs


async def test_running_says_whether_anybody_writes_the_audit(tmp_path: Path) -> None:
    path = settings_file(tmp_path)
    assert verdict(await Doctor(path).running()) is Status.FAILED
    lock = WriterLock(tmp_path / "audit.sqlite3")
    try:
        assert verdict(await Doctor(path).running()) is Status.OK
        assert "runs" in one(await offline(path), "daemon").detail
    finally:
        lock.release()


@pytest.mark.parametrize(("answer", "status"), [("200 OK", Status.OK), ("503 No", Status.FAILED)])
async def test_running_asks_for_the_health_that_is_served(
    tmp_path: Path, answer: str, status: Status
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 {answer}\r\n\r\nno Tick for 9 s".encode())
        writer.close()

    lock = WriterLock(tmp_path / "audit.sqlite3")
    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        path = settings_file(tmp_path, metrics={"enabled": True, "port": port})
        checks = await Doctor(path).running()
    lock.release()
    assert verdict(checks) is status
    assert one(checks, "health").detail == "no Tick for 9 s"


# The command


def test_the_command_ends_1_only_for_failures_and_speaks_json(tmp_path: Path) -> None:
    path = settings_file(tmp_path)
    answer = CliRunner().invoke(cli, ["doctor", "--offline", "--json", "--settings", str(path)])
    said = json.loads(answer.stdout)
    assert answer.exit_code == 0
    assert said["ok"]
    assert {"name", "status", "detail", "remedy"} == set(said["checks"][0])
    (tmp_path / "alpha.key").unlink()
    answer = CliRunner().invoke(cli, ["doctor", "--offline", "--settings", str(path)])
    assert answer.exit_code == 1
    assert "->" in answer.stdout
