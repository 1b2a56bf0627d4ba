"""Brokers with a guard and two bots as perpguard lets them in: mosquitto by files or plugin, and the embedded one."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import socket
import struct
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import aiomqtt
import pytest

from adapters.mqtt import dynsec
from adapters.mqtt.access import BotAccess
from adapters.mqtt.connection import Endpoint
from adapters.mqtt.embedded import EmbeddedBroker
from adapters.mqtt.mosquitto_files import MosquittoFiles, password_line
from adapters.mqtt.settings import BrokerSettings
from perpguard_sdk.topics import Topics
from tests.support.brokers import HOST, MISSING, TOOLS, Broker, find_program, mosquitto

SITE = "home"
GUARD = "guard"
ADMIN = "admin"
BOTS = (BotAccess("alpha", "alpha"), BotAccess("beta", "beta"))
PASSWORDS = {GUARD: "guard's password", "alpha": "alpha's password", "beta": "beta's password"}
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Guarded:
    """A running broker and how everybody logs in."""

    host: str
    port: int
    mqtt5: bool
    passwords: dict[str, str]
    broker: Broker | EmbeddedBroker

    @property
    def topics(self) -> Topics:
        return Topics(site=SITE)

    def client(
        self, user: str, *, identifier: str | None = None, will: aiomqtt.Will | None = None
    ) -> aiomqtt.Client:
        """A client of ``user``, with the identifier that the SDK takes unless another is given."""
        name = identifier or (f"perpguard-{SITE}-bot-{user}" if user != GUARD else None)
        return aiomqtt.Client(
            self.host,
            self.port,
            username=user,
            password=self.passwords[user],
            identifier=name,
            will=will,
            protocol=aiomqtt.ProtocolVersion.V5 if self.mqtt5 else aiomqtt.ProtocolVersion.V311,
            timeout=5.0,
        )

    def _spare_identifier(self, user: str) -> str | None:
        """nats-server makes a client wait whose id is still in use; the plugin knows only one for each bot."""
        return None if ADMIN in self.passwords else f"{user}-{next(_numbers)}"

    async def die(self, user: str, *, identifier: str | None = None, will: aiomqtt.Will) -> None:
        """Connect with a Will and end without a word, so that the broker publishes it."""
        client = self.client(user, identifier=identifier or self._spare_identifier(user), will=will)
        await client.__aenter__()
        sock = client._client.socket()
        assert isinstance(sock, socket.socket)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client._client._sock_close()
        if client._misc_task is not None:
            client._misc_task.cancel()
        client._disconnected.cancel()


@contextlib.asynccontextmanager
async def with_files(
    folder: Path, *, mqtt5: bool = True, acl: str | None = None, extra: str = ""
) -> AsyncIterator[Guarded]:
    """Mosquitto with the ACL and password files that ``perpguard bots`` writes, or another ACL's text."""
    files = MosquittoFiles(folder / "access")
    files.write(Topics(site=SITE), GUARD, BOTS, PASSWORDS)
    if acl is not None:
        files.acl_path.write_text(acl)
    lines = f"allow_anonymous false\npassword_file {files.password_path}\nacl_file {files.acl_path}\n{extra}"
    async with mosquitto(folder, extra=lines) as broker:
        yield Guarded(broker.host, broker.port, mqtt5, PASSWORDS, broker)


@contextlib.asynccontextmanager
async def with_plugin(
    folder: Path, *, more: Sequence[dynsec.Command] = (), mqtt5: bool = True
) -> AsyncIterator[Guarded]:
    """Mosquitto with the dynamic security plugin, set up by the commands that ``perpguard bots`` sends."""
    state = folder / "dynamic-security.json"
    _init_plugin(state)
    lines = f"allow_anonymous false\nplugin {_plugin()}\nplugin_opt_config_file {state}\n"
    async with mosquitto(folder, extra=lines) as broker:
        commands = [
            *dynsec.deny_by_default(),
            *dynsec.admit_guard(Topics(site=SITE), GUARD, PASSWORDS[GUARD]),
        ]
        for bot in BOTS:
            commands += dynsec.admit(Topics(site=SITE), bot, PASSWORDS[bot.user])
        await dynsec.apply(admin(broker), [*commands, *more])
        yield Guarded(broker.host, broker.port, mqtt5, {**PASSWORDS, ADMIN: ADMIN}, broker)


@contextlib.asynccontextmanager
async def embedded(folder: Path, bots: Sequence[BotAccess] = BOTS) -> AsyncIterator[Guarded]:
    """The embedded broker; its guard is called as in the settings."""
    find_program("nats-server")
    settings = BrokerSettings.model_validate({"data_dir": folder / "broker", "username": GUARD, "site": SITE})
    async with EmbeddedBroker(settings, bots) as broker:
        passwords = {GUARD: broker.password} | {each.user: broker.bot_password(each.user) for each in bots}
        yield Guarded(broker.host, broker.port, False, passwords, broker)


def admin(broker: Broker) -> Endpoint:
    """How the administrator of the plugin connects."""
    return Endpoint(
        host=HOST, port=broker.port, identifier="admin", mqtt5=True, username=ADMIN, password=ADMIN
    )


def _init_plugin(state: Path) -> None:
    """What ``mosquitto_ctrl dynsec init`` writes, with the password ``admin``."""
    _, _, line = password_line(ADMIN, ADMIN).partition("$7$")
    rounds, salt, digest = line.split("$")
    acls = [
        {"acltype": kind, "topic": "$CONTROL/dynamic-security/#", "priority": 0, "allow": True}
        for kind in ("publishClientSend", "publishClientReceive", "subscribePattern")
    ]
    client = {
        "username": ADMIN,
        "roles": [{"rolename": "admin"}],
        "password": digest,
        "salt": salt,
        "iterations": int(rounds),
    }
    access = {
        "publishClientSend": False,
        "publishClientReceive": True,
        "subscribe": False,
        "unsubscribe": True,
    }
    state.write_text(
        json.dumps(
            {
                "defaultACLAccess": access,
                "clients": [client],
                "groups": [],
                "roles": [{"rolename": "admin", "acls": acls}],
            }
        )
    )
    state.chmod(0o600)
    if os.geteuid() == 0:
        os.chown(state, 0, 0)


def _plugin() -> Path:
    for place in (Path("/usr/lib"), Path("/usr/local/lib"), TOOLS / "usr/lib"):
        for found in place.glob("**/mosquitto_dynamic_security.so"):
            return found
    pytest.skip(f"{MISSING} mosquitto_dynamic_security.so: it comes with the package mosquitto")
