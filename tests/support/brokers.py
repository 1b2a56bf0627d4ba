"""Real MQTT brokers for tests: mosquitto and nats-server on free ports of 127.0.0.1.

Both can be killed (``SIGKILL``), hung (``SIGSTOP``) and restarted on the same port with what was
retained. ``tests/conftest.py`` offers them as the fixtures ``mosquitto_broker`` and ``nats_broker``;
tests that need users, ACLs or several brokers call ``mosquitto(...)`` and ``nats(...)`` themselves::

    async with mosquitto(tmp_path, users={"guard": "secret"}) as broker:
        ...
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import os
import shutil
import signal
import socket
import struct
import sys
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.eventually import eventually

HOST = "127.0.0.1"
REPOSITORY = Path(__file__).parents[2]
TOOLS = REPOSITORY / ".tools"
MISSING = "MISSING PROGRAM:"
"""``.ci/run`` fails if this stands in a skip's reason."""

_Configure = Callable[[int], tuple[str, ...]]


@dataclass(slots=True, kw_only=True)
class Broker:
    """A running broker program; ``protocols`` are the MQTT versions that it speaks."""

    name: str
    protocols: tuple[str, ...]
    command: tuple[str, ...]
    environment: dict[str, str]
    log_path: Path
    port: int
    host: str = HOST
    username: str | None = None
    password: str | None = None
    database_path: Path | None = None
    tls: bool = False
    _process: Process | None = field(default=None, repr=False)

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self.name} is not running"
        return self._process.pid

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def start(self, *, within_s: float = 15.0) -> None:
        """Start the program and return once it answers an MQTT CONNECT."""
        assert self._process is None, f"{self.name} is running already"
        with self.log_path.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self.command, env=self.environment, stdout=log, stderr=log, stdin=asyncio.subprocess.DEVNULL
            )
        deadline = time.monotonic() + within_s
        answers = accepts if self.tls else answers_connect
        while not await answers(self.host, self.port):
            if self._process.returncode is not None or time.monotonic() > deadline:
                await self.kill()
                log_tail = self.log_path.read_text(errors="replace")[-2000:]
                raise ChildProcessError(f"{self.name} did not start on port {self.port}:\n{log_tail}")
            await asyncio.sleep(0.02)

    async def kill(self) -> None:
        """SIGKILL: nothing is said to anyone, only what is retained stays."""
        running = self._process is not None and self._process.returncode is None
        if self.database_path is not None and running:
            await self._save(self.database_path)
        await self._end(signal.SIGKILL)

    async def stop(self) -> None:
        """SIGTERM and wait."""
        await self._end(signal.SIGTERM)

    async def restart(self) -> None:
        """Start again on the same port, with the retained messages; kills it first if it runs."""
        await self.kill()
        await self.start()

    def suspend(self) -> None:
        """SIGSTOP: sockets stay open, nothing is answered; returns once every thread has stopped."""
        os.kill(self.pid, signal.SIGSTOP)
        deadline = time.monotonic() + 2.0
        while not _is_stopped(self.pid) and time.monotonic() < deadline:
            time.sleep(0.001)

    def resume(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    def hang_up(self) -> None:
        """SIGHUP: it reads its configuration and what that names again."""
        os.kill(self.pid, signal.SIGHUP)

    async def _save(self, path: Path) -> None:
        """Mosquitto writes what is retained now and then; have it written now, unless it is hung or dead."""
        before = _changed_at(path)
        with contextlib.suppress(ProcessLookupError, AssertionError):
            os.kill(self.pid, signal.SIGUSR1)
            await eventually(lambda: _changed_at(path) != before, within_s=1.0)

    async def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(how)
            process.send_signal(signal.SIGCONT)
        await process.wait()


@contextlib.asynccontextmanager
async def mosquitto(
    folder: Path,
    *,
    users: Mapping[str, str] | None = None,
    acl: str | None = None,
    extra: str = "",
    tls: bool = False,
    port: int | None = None,
) -> AsyncIterator[Broker]:
    """Run a real mosquitto with its files in ``folder``.

    Args:
        folder: an existing folder, one for each broker.
        users: names and passwords; without them anyone may connect.
        acl: the text of an ACL file in mosquitto's own format.
        extra: more lines for mosquitto.conf.
        tls: ``extra`` makes it a TLS listener: it has started once it takes connections.
        port: a fixed port instead of a free one.
    """
    program = find_program("mosquitto")
    lines = [
        "persistence true",
        f"persistence_location {folder}/",
        f"allow_anonymous {'false' if users else 'true'}",
        "log_type all",
        "set_tcp_nodelay true",
        extra,
    ]
    if os.geteuid() == 0:
        lines.append("user root")  # otherwise it drops privileges and cannot write its persistence folder
    if users:
        passwords = folder / "passwords"
        passwords.write_text("".join(_mosquitto_password(*user) for user in users.items()))
        passwords.chmod(0o600)
        lines.append(f"password_file {passwords}")
    if acl is not None:
        (folder / "acl").write_text(acl)
        (folder / "acl").chmod(0o600)
        lines.append(f"acl_file {folder}/acl")

    def configure(chosen: int) -> tuple[str, ...]:
        path = folder / "mosquitto.conf"
        path.write_text("\n".join([f"listener {chosen} {HOST}", *lines]) + "\n")
        return (program, "-c", str(path))

    username, password = next(iter(users.items())) if users else (None, None)
    broker = Broker(
        name="mosquitto",
        protocols=("5", "3.1.1"),
        command=(),
        environment=_environment(program),
        log_path=folder / "mosquitto.log",
        port=port or 0,
        username=username,
        password=password,
        database_path=folder / "mosquitto.db",
        tls=tls,
    )
    async with _running(broker, configure):
        yield broker


@contextlib.asynccontextmanager
async def nats(
    folder: Path,
    *,
    username: str | None = None,
    password: str | None = None,
    permissions: str = "",
    port: int | None = None,
) -> AsyncIterator[Broker]:
    """Run a real nats-server with an MQTT listener (3.1.1 only) and its files in ``folder``."""
    program = find_program("nats-server")
    authorization = ""
    if username:
        user = f'{{ user: "{username}", password: "{password}", permissions: {{ {permissions} }} }}'
        authorization = f"authorization {{ users: [ {user} ] }}"

    def configure(chosen: int) -> tuple[str, ...]:
        path = folder / "nats.conf"
        path.write_text(
            f'server_name: "test"\nlisten: "{HOST}:-1"\n{authorization}\n'
            f'jetstream {{ store_dir: "{folder}/jetstream" }}\nmqtt {{ listen: "{HOST}:{chosen}" }}\n'
        )
        return (program, "-c", str(path))

    broker = Broker(
        name="nats-server",
        protocols=("3.1.1",),
        command=(),
        environment=_environment(program),
        log_path=folder / "nats.log",
        port=port or 0,
        username=username,
        password=password,
    )
    async with _running(broker, configure):
        yield broker


@pytest.fixture
async def mosquitto_broker(tmp_path: Path) -> AsyncIterator[Broker]:
    """A real mosquitto without users."""
    folder = tmp_path / "mosquitto"
    folder.mkdir()
    async with mosquitto(folder) as broker:
        yield broker


@pytest.fixture
async def nats_broker(tmp_path: Path) -> AsyncIterator[Broker]:
    """A real nats-server without users."""
    folder = tmp_path / "nats"
    folder.mkdir()
    async with nats(folder) as broker:
        yield broker


def find_program(name: str) -> str:
    """Return the program's path, or skip the test loudly."""
    folders = [os.environ.get("PATH", ""), str(Path(sys.executable).parent), "/usr/sbin", "/usr/local/sbin"]
    folders += [str(TOOLS / "usr/sbin"), str(TOOLS / "usr/bin")]
    path = shutil.which(name, path=os.pathsep.join(folders))
    if path is None:
        pytest.skip(
            f"{MISSING} {name}: install it (apt-get install {name}, or make test unpacks it into .tools)"
        )
    return path


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


async def answers_connect(host: str, port: int, *, within_s: float = 1.0) -> bool:
    """Whether an MQTT broker answers a CONNECT there, be it with a refusal."""
    client_id = f"probe-{time.monotonic_ns():x}".encode()
    body = b"\x00\x04MQTT\x04\x02\x00\x0a" + struct.pack(">H", len(client_id)) + client_id
    writer = None
    try:
        async with asyncio.timeout(within_s):
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(b"\x10" + bytes([len(body)]) + body)
            return (await reader.readexactly(4))[0] == 0x20
    except (OSError, TimeoutError, asyncio.IncompleteReadError):
        return False
    finally:
        if writer is not None:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


async def accepts(host: str, port: int) -> bool:
    """Whether somebody takes TCP connections there."""
    try:
        _, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True


@contextlib.asynccontextmanager
async def _running(broker: Broker, configure: _Configure) -> AsyncIterator[None]:
    chosen = broker.port
    for attempt in range(5):
        broker.port = chosen or free_port()
        broker.command = configure(broker.port)
        try:
            await broker.start()
            break
        except ChildProcessError:
            # Between looking for a free port and using it, another test may take it.
            if chosen or attempt == 4:
                raise
    try:
        yield
    finally:
        await broker.stop()


def _is_stopped(pid: int) -> bool:
    """Whether all threads are stopped; where there is no /proc we believe it."""
    stats = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/stat")]
    return all(stat.rpartition(")")[2].split()[0] == "T" for stat in stats)


def _changed_at(path: Path) -> int:
    return path.stat().st_mtime_ns if path.exists() else 0


def _environment(program: str) -> dict[str, str]:
    environment = dict(os.environ)
    if program.startswith(str(TOOLS)):
        libraries = [str(path) for path in (TOOLS / "usr/lib").glob("*-linux-*")] + [str(TOOLS / "usr/lib")]
        environment["LD_LIBRARY_PATH"] = os.pathsep.join([*libraries, environment.get("LD_LIBRARY_PATH", "")])
    return environment


def _mosquitto_password(username: str, password: str) -> str:
    """One line of a mosquitto password file: PBKDF2-HMAC-SHA512, 101 rounds."""
    salt = os.urandom(12)
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, 101)
    return f"{username}:$7$101${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}\n"
