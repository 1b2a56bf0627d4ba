"""Who a bot is and what it can do, as its session is told once."""

from __future__ import annotations

from dataclasses import dataclass

from perpguard_sdk.messages import Birth, Mode, Verb, VerbCapability
from perpguard_sdk.topics import Topics


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSettings:
    """What a session is told once; all of it is in ``BotClientSettings`` too. Durations in ms."""

    bot: str
    key: bytes
    topics: Topics
    mode: Mode
    venue: str
    account: str
    symbols: tuple[str, ...]
    verbs: dict[Verb, VerbCapability]
    software: str
    software_version: str
    dead_man_ms: int = 3_000
    rearm_ms: int = 5_000
    report_ms: int = 2_000
    scales_entries: bool = False

    def birth(self, session: str, wall_ms: int) -> Birth:
        """What the bot says of itself when it connects."""
        return Birth(
            bot=self.bot,
            session=session,
            ts=wall_ms,
            software=self.software,
            software_version=self.software_version,
            mode=self.mode,
            venue=self.venue,
            account=self.account,
            symbols=self.symbols,
            verbs=self.verbs,
            no_adds=True,
            scales_entries=self.scales_entries,
        )
