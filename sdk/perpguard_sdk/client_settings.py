"""What a bot author sets: who the bot is, where the broker is, where the state is kept."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from perpguard_sdk.codec import check_key
from perpguard_sdk.messages import Mode, Verb, VerbCapability
from perpguard_sdk.session_settings import SessionSettings
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
        tls: a context for TLS, ``None`` for plain TCP.
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
    tls: ssl.SSLContext | None = None
    dead_man_ms: int = 3_000
    rearm_ms: int = 5_000
    report_ms: int = 2_000
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
        if not self.symbols:
            raise ValueError(f"bot {self.bot} trades no symbol: name at least one, as BTC/USDT:USDT")
        for name in ("dead_man_ms", "rearm_ms", "report_ms"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be above 0, not {getattr(self, name)}")

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
        )
