"""Lets bots in to the broker of the settings and throws them out: embedded, or mosquitto by its files or plugin."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from adapters.mqtt import dynsec
from adapters.mqtt.access import Access, BotAccess, check_name, retained_topics
from adapters.mqtt.connection import Connection, Endpoint
from adapters.mqtt.embedded import HOST, USERNAME, kept_port
from adapters.mqtt.mosquitto_files import MosquittoFiles
from adapters.mqtt.private_files import create_private, make_private_folder, new_password, write_private
from adapters.mqtt.settings import BrokerKind, BrokerSettings, ProtocolVersion, read_password
from adapters.mqtt.tls import tls_context
from adapters.mqtt.users import UserStore
from guard.errors import BrokerError, SettingsError
from perpguard_sdk.topics import Topics

FOLDER: Final = "mosquitto"
"""Below the folder of secrets."""
RETAINED_S: Final = 0.5
"""What is retained comes within milliseconds of the subscription."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """What was done: ``to_do`` is left to people, in sentences; ``password_file`` is what the bot logs in with."""

    password_file: Path | None
    written: tuple[Path, ...]
    to_do: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Admission:
    """The door of one broker. All of it may be done again without harm.

    Args:
        settings: of the broker.
        secrets: the folder for passwords and mosquitto's files.
        administrator: who may change mosquitto's dynamic security; its changes are sent if given.
    """

    settings: BrokerSettings
    secrets: Path
    administrator: Endpoint | None = None

    @property
    def topics(self) -> Topics:
        """Of the site."""
        return Topics(site=self.settings.site, root=self.settings.root)

    @property
    def files(self) -> MosquittoFiles:
        """Mosquitto's files of this guard."""
        return MosquittoFiles(self.secrets / FOLDER)

    def password_path(self, access: BotAccess) -> Path:
        """Where the bot's password is, or would be."""
        if self._is_embedded:
            return UserStore.of(self.settings).path(access.user)
        return self.secrets / f"{access.bot}.password"

    async def admit(self, access: BotAccess, bots: Sequence[Access], *, anew: bool = False) -> Admitted:
        """Let a bot in, with a new password if it has none or if asked for ``anew``.

        Args:
            access: the bot.
            bots: all that shall have access, this one among them.
            anew: the password that it has is replaced.

        Raises:
            BrokerError: a file cannot be written, or dynamic security refuses.
            SettingsError: a password file cannot be read.
        """
        if self._is_embedded:
            store = UserStore.of(self.settings)
            password = store.rotate(access.user) if anew else store.password(access.user)
            del password
            return Admitted(store.path(access.user), (store.path(access.user),), ())
        path = self.password_path(access)
        password = self._password(path, anew=anew)
        to_do: list[str] = []
        written = [path, *self._write_files(access, bots, password, to_do)]
        written += await self._tell_plugin(access, dynsec.admit(self.topics, access, password), to_do)
        return Admitted(path, tuple(written), tuple(to_do))

    async def expel(self, access: BotAccess, bots: Sequence[Access]) -> Admitted:
        """Throw a bot out; ``bots`` are those who stay.

        Raises:
            BrokerError: a file cannot be written or removed, or dynamic security refuses.
        """
        if self._is_embedded:
            store = UserStore.of(self.settings)
            return Admitted(None, (store.path(access.user),) if store.remove(access.user) else (), ())
        to_do: list[str] = []
        written: list[Path] = []
        path = self.password_path(access)
        if path.exists():
            path.unlink()
            written.append(path)
        if access.user in self.files.users() and self.settings.username is not None:
            self.files.forget(self.topics, self.settings.username, bots, access.user)
            written += [self.files.acl_path, self.files.password_path]
            to_do.append(self._reload_words())
        written += await self._tell_plugin(access, dynsec.expel(self.topics, access), to_do)
        return Admitted(None, tuple(written), tuple(to_do))

    async def clear(self, access: BotAccess, *, guard: str) -> int:
        """Take away what is retained of a bot, as the guard's user; returns of how many topics there was any.

        Raises:
            BrokerError: the broker is away, or refuses it.
            SettingsError: the guard's password or a TLS file cannot be read.
        """
        if self._is_embedded and not (self.settings.data_dir / "port").exists():
            return 0  # it never ran
        connection = Connection(guard_endpoint(self.settings, f"perpguard-{guard}-revoke"), None)
        await connection.open()
        topics = retained_topics(self.topics, access.bot)
        found: set[str] = set()
        try:
            await connection.subscribe_all([(topic, 1) for topic in topics])
            while (message := await connection.receive(within_s=RETAINED_S)) is not None:
                found |= {message.topic} if message.payload else set()
            for topic in topics:
                await connection.send(topic, b"", qos=1, retain=True)
        finally:
            await connection.close()
        return len(found)

    @property
    def _is_embedded(self) -> bool:
        return self.settings.kind is BrokerKind.EMBEDDED

    def _password(self, path: Path, *, anew: bool) -> str:
        try:
            make_private_folder(path.parent)
            if anew:
                write_private(path, new_password() + "\n")
            else:
                create_private(path, new_password() + "\n")
        except OSError as error:
            raise BrokerError("passwords", f"{path} cannot be written: {error}: free it") from error
        return read_password(path)

    def _write_files(
        self, access: BotAccess, bots: Sequence[Access], password: str, to_do: list[str]
    ) -> list[Path]:
        guard_user = self.settings.username
        if guard_user is None:
            to_do.append(
                "the guard itself logs in without a user, so this broker cannot tell it from anybody: set "
                "broker.username and broker.password_file, then do this again"
            )
            return []
        files, passwords = self.files, {access.user: password}
        if guard_user not in files.users():
            guards = self.settings.password()
            if guards is None:
                to_do.append(
                    f"give user {guard_user} (the guard) a password: mosquitto_passwd {files.password_path}"
                )
            else:
                passwords[guard_user] = guards
        files.write(self.topics, guard_user, bots, passwords)
        to_do.append(self._reload_words())
        return [files.acl_path, files.password_path]

    def _reload_words(self) -> str:
        return (
            f"mosquitto with files: let acl_file name {self.files.acl_path} and password_file "
            f"{self.files.password_path}, and send it SIGHUP"
        )

    async def _tell_plugin(
        self, access: BotAccess, commands: list[dynsec.Command], to_do: list[str]
    ) -> list[Path]:
        path = self.files.folder / f"{access.bot}.dynsec.json"
        if self.administrator is not None:
            await dynsec.apply(self.administrator, commands)
            path.unlink(missing_ok=True)
            return []
        try:
            make_private_folder(path.parent)
            write_private(path, json.dumps({"commands": commands}, indent=2) + "\n")
        except OSError as error:
            raise BrokerError("mosquitto's files", f"{path} cannot be written: {error}: free it") from error
        to_do.append(
            f"mosquitto with its dynamic security plugin: do this again with --apply, or publish {path} (it holds "
            f"the password) on {dynsec.TOPIC} as its administrator"
        )
        return [path]


def guard_endpoint(settings: BrokerSettings, identifier: str) -> Endpoint:
    """How the guard's user reaches the broker of the settings, be it embedded in a daemon that runs.

    Raises:
        BrokerError: the embedded broker has never run.
        SettingsError: the password or a TLS file cannot be read.
    """
    embedded = settings.kind is BrokerKind.EMBEDDED
    host, port, username, password = settings.host, settings.port_used, settings.username, settings.password()
    if embedded:
        host, username = HOST, username or USERNAME
        port = settings.port or kept_port(settings)
        kept = settings.data_dir / f"password-{settings.site}"
        if not port or (password is None and not kept.exists()):
            raise BrokerError("embedded", "it has not run yet: start perpguard run")
        password = password or read_password(kept)
    return Endpoint(
        host=host,
        port=port,
        identifier=identifier,
        mqtt5=settings.protocol_used is ProtocolVersion.V5,
        username=username,
        password=password,
        tls=tls_context(settings),
        keepalive_s=settings.keepalive_s,
        timeout_s=settings.publish_timeout_s,
    )


def administrator(settings: BrokerSettings, user: str, password_file: Path) -> Endpoint:
    """How the administrator of dynamic security reaches an external broker.

    Raises:
        SettingsError: the broker is embedded, or the password or a TLS file cannot be read.
    """
    if settings.kind is BrokerKind.EMBEDDED:
        problem = "the embedded broker has no dynamic security and needs none: leave --apply out"
        raise SettingsError("settings", [("broker.kind", problem)])
    check_name(user, "--admin-user")
    return Endpoint(
        host=settings.host,
        port=settings.port_used,
        identifier=f"perpguard-{settings.site}-admin",
        mqtt5=settings.protocol_used is ProtocolVersion.V5,
        username=user,
        password=read_password(password_file),
        tls=tls_context(settings),
        timeout_s=settings.publish_timeout_s,
    )
