"""Notice bots that are silent or whose clock is off: what they are told may not arrive, or arrive late."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt, Le

from guard.findings import Finding, Reason, Severity, Subject
from guard.state import BotRecord, GuardState
from guard.units import NS_PER_S, Nanoseconds
from perpguard_sdk.messages import Evidence


@dataclass(frozen=True, slots=True, kw_only=True)
class DistrustBots:
    """Says which bots cannot be relied upon. It asks for no limit: a silent bot guards itself by its dead-man.

    Attributes:
        enabled: whether it decides at all.
        silent_s: seconds without a report after which a bot counts as silent.
        clock_offset_ms: offset of the bot's wall clock from the guard's, either way, that is worth saying.
        refused_max: refused messages in a bot's name before they are a finding.
        refused_s: seconds after the last of them until which it stands.
    """

    __pydantic_config__ = {"extra": "forbid"}
    name = "distrust_bots"

    enabled: bool = True
    silent_s: Annotated[float, Gt(0.0), Le(3_600.0)] = 15.0
    clock_offset_ms: Annotated[float, Gt(0.0), Le(3_600_000.0)] = 500.0
    refused_max: Annotated[int, Ge(1), Le(1_000)] = 3
    refused_s: Annotated[float, Gt(0.0), Le(86_400.0)] = 300.0

    def decide(self, state: GuardState, now: Nanoseconds) -> Iterator[Finding]:
        """Yield what is wrong with each bot at ``now``."""
        if not self.enabled or state.started_at is None:
            return
        for record in state.bots.values():
            yield from self._silence(record, state.started_at, now)
            yield from self._clock(record)
        for bot, refusals in state.refusals.items():
            last = refusals.last
            if last is None or now - last.received_at > self.refused_s * NS_PER_S:
                continue
            if refusals.count >= self.refused_max:
                yield Finding(
                    policy=self.name,
                    reason=Reason.MESSAGE_REFUSED,
                    severity=Severity.WATCH,
                    subject=Subject(bot=bot),
                    evidence=(
                        Evidence(name="refused", value=last.detail, unit="text"),
                        Evidence(name="topic", value=last.topic, unit="topic"),
                    ),
                    counterfactual="would not stand if what is published there were signed with the bot's key",
                )

    def _silence(self, record: BotRecord, started_at: Nanoseconds, now: Nanoseconds) -> Iterator[Finding]:
        silence_s = (now - max(record.reported_at or 0, started_at)) / NS_PER_S
        if record.is_online and silence_s <= self.silent_s:
            return
        if record.birth is None and silence_s <= self.silent_s:
            return
        was = "never heard" if record.birth is None else "silent" if record.is_online else "offline"
        yield Finding(
            policy=self.name,
            reason=Reason.BOT_SILENT,
            severity=Severity.WATCH,
            subject=Subject(bot=record.config.bot),
            evidence=(
                Evidence(name="bot", value=was, unit="state"),
                Evidence(name="silence", value=round(silence_s), unit="s", limit=self.silent_s),
            ),
            counterfactual="would not stand with a report of the bot in time; until then only its dead-man guards it",
        )

    def _clock(self, record: BotRecord) -> Iterator[Finding]:
        offset = record.reported.clock_offset_ms if record.reported is not None else None
        if offset is None or abs(offset) <= self.clock_offset_ms:
            return
        yield Finding(
            policy=self.name,
            reason=Reason.BOT_CLOCK_OFFSET,
            severity=Severity.INFO,
            subject=Subject(bot=record.config.bot),
            evidence=(Evidence(name="clock offset", value=offset, unit="ms", limit=self.clock_offset_ms),),
            counterfactual="would not stand with the bot's machine on network time; commands are timed without it",
        )
