"""What can go wrong, one tree; each leaf says what its operator does about it.

::

    GuardError
    ├── SettingsError            correct the setting that ``path`` names, in the file that ``where`` names
    ├── ExtraMissingError        install the extra that is named: pip install 'perpguard[EXTRA]'
    ├── FileUnusableError        give the file that was meant, or make it anew
    ├── ArtefactInvalidError     numbers that were fitted cannot be used: install the program anew, or fit again
    ├── FatalError               said on the state topic, then the daemon stops
    │   └── FencedError          another guard of a higher epoch is in charge: stop one of the two
    └── RecoverableError         logged and counted; the daemon keeps deciding
        ├── VenueError           a venue refused, failed or fell silent
        │   ├── VenueAuthError   the venue refuses the key: make a new read-only key
        │   └── UnknownSymbolError   the venue does not list the symbol: correct it in the settings
        ├── MalformedFrameError  a frame of a venue or a recording could not be read
        ├── BrokerError          the MQTT broker is away or refuses us
        │   └── BrokerAuthError  the broker refuses user or password
        └── AuditError           the audit cannot be written or read
            ├── AuditFullError   the disk is full: free space
            ├── AuditLockedError another process holds the database: stop it
            ├── AuditCorruptError    the database or its hash chain is damaged: keep it, start a new one
            └── CommandNotFoundError no command, or more than one, has such an id: look it up
"""

from __future__ import annotations


class GuardError(Exception):
    """Base of all errors of perpguard."""


class SettingsError(GuardError):
    """A setting is unknown, impossible or missing.

    Attributes:
        problems: one ``(path, message)`` for each; path as in ``venues.0.symbols``.
        where: the file or environment variable that it came from.
    """

    def __init__(self, where: str, problems: list[tuple[str, str]]) -> None:
        lines = "\n".join(f"  {path}: {message}" for path, message in problems)
        super().__init__(f"{where}: {len(problems)} setting(s) cannot be used:\n{lines}")
        self.where = where
        self.problems = problems


class ExtraMissingError(GuardError):
    """A command needs a library that was not installed with the program. Install ``perpguard[extra]``."""

    def __init__(self, missing: str, extra: str) -> None:
        super().__init__(f"{missing} is not installed: pip install 'perpguard[{extra}]'")
        self.missing = missing
        self.extra = extra


class FileUnusableError(GuardError):
    """A file that was named cannot be read, or must not be written over.

    Attributes:
        path: which file.
        detail: what is wrong with it, and what to do.
        row: where in a table, counted from 1; ``None`` where it is the file as a whole.
    """

    def __init__(self, path: str, detail: str, row: int | None = None) -> None:
        super().__init__(f"{path}: {f'row {row}: ' if row is not None else ''}{detail}")
        self.path = path
        self.detail = detail
        self.row = row


class ArtefactInvalidError(GuardError):
    """Numbers that were fitted for estimators cannot be used. Install the program anew, or fit them again.

    Attributes:
        where: which part of the artefact.
        detail: what is wrong with it.
    """

    def __init__(self, where: str, detail: str) -> None:
        super().__init__(f"{where}: {detail}")
        self.where = where
        self.detail = detail


class FatalError(GuardError):
    """Nothing sensible can go on: said on the state topic, then the daemon stops."""


class FencedError(FatalError):
    """Another guard is in charge of this site. Stop one of the two."""


class RecoverableError(GuardError):
    """Logged and counted; the daemon keeps deciding."""


class VenueError(RecoverableError):
    """A venue refused, failed or fell silent."""

    def __init__(self, venue: str, detail: str) -> None:
        super().__init__(f"{venue}: {detail}")
        self.venue = venue
        self.detail = detail


class VenueAuthError(VenueError):
    """The venue refuses the key. Make a new read-only key and name its file in the settings."""


class UnknownSymbolError(VenueError):
    """The venue does not list a symbol. Correct it in the settings."""


class MalformedFrameError(RecoverableError):
    """A frame of a venue or a line of a recording could not be read; ``where`` is its stream or path:line."""

    def __init__(self, where: str, detail: str) -> None:
        super().__init__(f"{where}: {detail}")
        self.where = where
        self.detail = detail


class BrokerError(RecoverableError):
    """The MQTT broker is away or refuses us; ``broker`` is host:port."""

    def __init__(self, broker: str, detail: str) -> None:
        super().__init__(f"MQTT broker {broker}: {detail}")
        self.broker = broker
        self.detail = detail


class BrokerAuthError(BrokerError):
    """The broker refuses user or password. Correct broker.username and its password file."""


class AuditError(RecoverableError):
    """The audit cannot be written or read."""

    def __init__(self, path: str, detail: str) -> None:
        super().__init__(f"audit {path}: {detail}")
        self.path = path
        self.detail = detail


class AuditFullError(AuditError):
    """The disk is full. Free space; gaps are journalled until then."""


class AuditLockedError(AuditError):
    """Another process holds the database. Stop it, or give this guard its own path."""


class AuditCorruptError(AuditError):
    """The database or its hash chain is damaged. Keep the file as evidence and start a new one."""


class CommandNotFoundError(AuditError):
    """No recorded command, or more than one, begins with the id that was given. Look it up in the audit."""
