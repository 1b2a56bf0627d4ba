"""The embedded broker's users: a password file for each bot, and the configuration that lets them in."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from adapters.mqtt.access import Access, nats_subject, rights_of
from adapters.mqtt.private_files import create_private, make_private_folder, new_password, write_private
from adapters.mqtt.settings import BrokerSettings, read_password
from guard.errors import BrokerError
from perpguard_sdk.topics import Topics


@dataclass(frozen=True, slots=True)
class UserStore:
    """Passwords of one site's bots at the embedded broker, one file of mode 0600 for each.

    Daemon and command line share it: whoever first needs a password makes it.
    """

    folder: Path

    @classmethod
    def of(cls, settings: BrokerSettings) -> UserStore:
        """The store in the broker's folder."""
        return cls(settings.data_dir.absolute() / f"users-{settings.site}")

    def path(self, user: str) -> Path:
        """Where the password of ``user`` is, or would be."""
        return self.folder / user

    def password(self, user: str) -> str:
        """Return the user's password; made if there is none.

        Raises:
            BrokerError: it cannot be written.
            SettingsError: it cannot be read.
        """
        path = self.path(user)
        if not path.exists():
            try:
                make_private_folder(self.folder)
                create_private(path, new_password() + "\n")
            except OSError as error:
                raise self._unusable(error) from error
        return read_password(path)

    def rotate(self, user: str) -> str:
        """Replace the user's password by a new one, and return that.

        Raises:
            BrokerError: it cannot be written.
        """
        password = new_password()
        try:
            make_private_folder(self.folder)
            write_private(self.path(user), password + "\n")
        except OSError as error:
            raise self._unusable(error) from error
        return password

    def remove(self, user: str) -> bool:
        """Forget the user; returns whether it was known.

        Raises:
            BrokerError: its file cannot be removed.
        """
        try:
            self.path(user).unlink()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise self._unusable(error) from error
        return True

    def passwords(self, users: Iterable[str]) -> dict[str, str]:
        """The password of each, as ``password`` gives it."""
        return {user: self.password(user) for user in users}

    def _unusable(self, error: OSError) -> BrokerError:
        return BrokerError(
            "embedded", f"{self.folder} cannot be used: {error}: free it or set broker.data_dir"
        )


def nats_authorization(
    topics: Topics,
    guard: tuple[str, str],
    others: Iterable[Access],
    passwords: Mapping[str, str],
) -> str:
    """Write nats-server's ``authorization`` block: the guard may do all, everybody else what is theirs.

    All are let in over MQTT only, so that NATS' own protocol, which cannot be switched off, is of no use to
    anybody. A permission for ``$MQTT.>`` is not needed (nats-server 2.15): without it, what is stored for
    other clients cannot be reached through MQTT topics of such names.

    Args:
        topics: of the site.
        guard: the guard's user and password.
        others: who else there is: bots, and who tells facts from outside.
        passwords: by their users.
    """
    lines = [_user(*guard)]
    for each in others:
        rights = rights_of(topics, each)
        publish = json.dumps([nats_subject(topic) for topic in rights.write])
        subscribe = json.dumps([nats_subject(topic) for topic in rights.read])
        permissions = (
            f", permissions: {{ publish: {{ allow: {publish} }}, subscribe: {{ allow: {subscribe} }} }}"
        )
        lines.append(_user(each.user, passwords[each.user], permissions))
    users = ",\n".join(lines)
    return f"authorization {{ users: [\n{users}\n] }}\n"


def _user(name: str, password: str, permissions: str = "") -> str:
    """One user; strings are quoted as JSON, which nats-server reads alike."""
    login = f"user: {json.dumps(name)}, password: {json.dumps(password, ensure_ascii=False)}"
    return f'  {{ {login}, allowed_connection_types: ["MQTT"]{permissions} }}'
