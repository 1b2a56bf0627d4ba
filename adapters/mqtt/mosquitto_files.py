"""Mosquitto's own files: ACL and passwords, kept in a folder of ours for the operator to point mosquitto at."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from adapters.mqtt.access import Access, check_name, mosquitto_acl
from adapters.mqtt.private_files import make_private_folder, write_private
from guard.errors import BrokerError
from perpguard_sdk.topics import Topics

ROUNDS: Final = 10_000
"""Of PBKDF2: 8 ms at each login. mosquitto_passwd takes 101, which is enough for our 256-bit passwords."""
SALT_BYTES: Final = 12
"""mosquitto 2.0 reads no other length."""


@dataclass(frozen=True, slots=True)
class MosquittoFiles:
    """An ACL file and a password file, both of mode 0600, whole at every moment."""

    folder: Path

    @property
    def acl_path(self) -> Path:
        """What ``acl_file`` in mosquitto.conf shall name."""
        return self.folder / "acl"

    @property
    def password_path(self) -> Path:
        """What ``password_file`` in mosquitto.conf shall name."""
        return self.folder / "passwords"

    def write(
        self, topics: Topics, guard_user: str, bots: Sequence[Access], passwords: Mapping[str, str]
    ) -> None:
        """Write both: the ACL anew, and in the password file the lines of ``passwords``.

        Other lines of the password file stay if they are of the guard or of ``bots``, or of users who are not
        ours to judge; ``forget`` removes one.

        Raises:
            BrokerError: a file cannot be written.
        """
        check_name(guard_user, "broker.username")
        lines = self._password_lines()
        lines |= {user: password_line(user, password) for user, password in passwords.items()}
        self._put(mosquitto_acl(topics, guard_user, bots), lines)

    def forget(self, topics: Topics, guard_user: str, bots: Sequence[Access], user: str) -> None:
        """Write both without ``user``; ``bots`` are those who stay.

        Raises:
            BrokerError: a file cannot be written.
        """
        lines = self._password_lines()
        lines.pop(user, None)
        self._put(mosquitto_acl(topics, guard_user, bots), lines)

    def users(self) -> set[str]:
        """Who has a password here."""
        return set(self._password_lines())

    def _password_lines(self) -> dict[str, str]:
        try:
            text = self.password_path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return {}
        except (OSError, UnicodeDecodeError) as error:
            raise self._unusable(error) from error
        return {line.partition(":")[0]: line for line in text.splitlines() if line.strip()}

    def _put(self, acl: str, lines: Mapping[str, str]) -> None:
        try:
            make_private_folder(self.folder)
            # Rights first: a user who can log in and may do nothing is harmless, the other way round is not.
            write_private(self.acl_path, acl)
            write_private(self.password_path, "".join(f"{line}\n" for line in lines.values()))
        except OSError as error:
            raise self._unusable(error) from error

    def _unusable(self, error: Exception) -> BrokerError:
        return BrokerError("mosquitto's files", f"{self.folder} cannot be used: {error}: free it")


def password_line(user: str, password: str) -> str:
    """One line of a mosquitto password file: PBKDF2-HMAC-SHA512 with a salt of its own.

    The format is that of mosquitto_passwd: ``user:$7$rounds$salt$hash``. Written here and not by that program
    because a password given to a program as an argument is seen by everybody on the machine.
    """
    salt = os.urandom(SALT_BYTES)
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, ROUNDS)
    return f"{user}:$7${ROUNDS}${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"
