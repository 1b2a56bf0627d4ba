"""What a bot author sets: who the bot is, where the broker is, where the state is kept."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from perpguard_sdk.codec import check_key
from perpguard_sdk.messages import Mode, Verb, VerbCapability
from perpguard_sdk.session_settings import SessionSettings
from perpguard_sdk.tls import tls_context
from perpguard_sdk.topics import Topics, check_level

PORT_MAX = 65_535


@dataclass(frozen=True, kw_only=True)
class BotClientSettings:
    """All that a ``BotClient`` is told; impossible values raise ValueError at once.

    Attributes:
        bot: the name that the guard's settings give this bot; one level of a topic.
        key: the secret that the guard signs with, at least 16 bytes.
        mode: LIVE, or PAPER for a bot that trades on paper; it obeys only a guard of the same mode.
        venue: ccxt's id of the venue; ``account`` and ``symbols`` as the guard's settings name them.
        verbs: what the bot can do, and how long each may take before it counts as failed.
        state_path: the file that must survive a restart; one for each bot.
        dead_man_ms: after so long without a heartbeat the bot goes to safe mode.
        rearm_ms: so long heartbeats must have come before it leaves safe mode.
        report_ms: how often positions are looked at and reported.
        scales_entries: whether it asks ``Limits.entry_share`` for the size of each new entry; a bot that does not
            is kept from entering until the share is 1.
        tls: a context for TLS, ``None`` for plain TCP; or:
        tls_ca: PEM of the authority that signed the broker's certificate; read anew at each connection, as
            are ``tls_cert`` and ``tls_key`` (our own, where the broker asks for one) and ``password_file``,
            so that new ones are taken up without a restart.
    """

    bot: str
    key: bytes = field(repr=False)
    site: str
    host: str
    mode: Mode
    venue: str
    account: str
    symbols: tuple[str, ...]
    verbs: dict[Verb, VerbCapability]
    state_path: Path | str
    port: int = 1883
    protocol: Literal["5", "3.1.1"] = "5"
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    password_file: Path | str | None = None
    tls: ssl.SSLContext | None = field(default=None, repr=False)
    tls_ca: Path | str | None = None
    tls_cert: Path | str | None = None
    tls_key: Path | str | None = None
    tls_key_passphrase: str = field(default="", repr=False)
    dead_man_ms: int = 3_000
    rearm_ms: int = 5_000
    report_ms: int = 2_000
    scales_entries: bool = False
    root: str = "perpguard"
    software: str = "perpguard-sdk"
    software_version: str = "0.1.0"

    def __post_init__(self) -> None:
        check_level(self.bot, "bot")
        check_key(self.key, f"key of bot {self.bot}")
        Topics(site=self.site, root=self.root)
        if not 0 < self.port <= PORT_MAX:
            raise ValueError(f"port {self.port} is not between 1 and {PORT_MAX}")
        if self.protocol not in ("5", "3.1.1"):
            raise ValueError(f"protocol {self.protocol!r} is neither '5' nor '3.1.1'")
        if self.password is not None and self.password_file is not None:
            raise ValueError("give password or password_file, not both")
        if (self.password is not None or self.password_file is not None) and self.username is None:
            raise ValueError("a password needs a username")
        if self.tls is not None and self.tls_ca is not None:
            raise ValueError("give tls or tls_ca, not both")
        if (self.tls_cert is None) != (self.tls_key is None) or (self.tls_cert and not self.tls_ca):
            raise ValueError("tls_cert and tls_key go together, and with tls_ca")
        if not self.symbols:
            raise ValueError(f"bot {self.bot} trades no symbol: name at least one, as BTC/USDT:USDT")
        for name in ("dead_man_ms", "rearm_ms", "report_ms"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be above 0, not {getattr(self, name)}")

    def login(self) -> tuple[str | None, ssl.SSLContext | None]:
        """Password and TLS context for the next connection, from files as they are now.

        Raises:
            ValueError: a file cannot be read; the words never hold any of it.
        """
        password, tls = self.password, self.tls
        if self.password_file is not None:
            password = read_secret(Path(self.password_file))
        if self.tls_ca is not None:
            tls = tls_context(self.tls_ca, self.tls_cert, self.tls_key, self.tls_key_passphrase)
        return password, tls

    @property
    def topics(self) -> Topics:
        return Topics(site=self.site, root=self.root)

    def for_session(self) -> SessionSettings:
        """The part that the session needs."""
        return SessionSettings(
            bot=self.bot,
            key=self.key,
            topics=self.topics,
            mode=self.mode,
            venue=self.venue,
            account=self.account,
            symbols=self.symbols,
            verbs=self.verbs,
            software=self.software,
            software_version=self.software_version,
            dead_man_ms=self.dead_man_ms,
            rearm_ms=self.rearm_ms,
            report_ms=self.report_ms,
            scales_entries=self.scales_entries,
        )


def read_secret(path: Path) -> str:
    """Return a file's text without the line end.

    Raises:
        ValueError: it cannot be read, is not text, or is empty; the words never hold any of it.
    """
    try:
        text = path.read_text(encoding="utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not text") from None
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    if not text:
        raise ValueError(f"{path} is empty")
    return text
