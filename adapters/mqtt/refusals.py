"""Refused messages, all counted and some told: a flood of rubbish must not become a flood of events."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from guard.events import MessageRefused
from guard.ports import Emit
from guard.units import NS_PER_S, BotId, Nanoseconds

WINDOW_NS: Final = 10 * NS_PER_S
"""One event for each sort of refusal and topic in so much time."""


class Refusal(StrEnum):
    """Why a message was refused."""

    MALFORMED = "malformed"
    OVERSIZE = "oversize"
    WRONG_SIGNATURE = "wrong_signature"
    UNKNOWN_BOT = "unknown_bot"
    UNKNOWN_TOPIC = "unknown_topic"
    WRONG_NAME = "wrong_name"
    WRONG_TYPE = "wrong_type"
    IMPOSSIBLE_NUMBER = "impossible_number"
    CLEARED = "cleared"
    OTHER_GUARD = "other_guard"
    EPOCH_AHEAD = "epoch_ahead"
    OVERFLOW = "overflow"
    NOT_ECHOED = "not_echoed"
    BAD_FACT = "bad_fact"
    BAD_INSTRUCTION = "bad_instruction"


@dataclass(slots=True)
class _Pending:
    topic: str
    bot: BotId | None
    detail: str
    told_at: Nanoseconds
    untold: int = 0


@dataclass(slots=True)
class Refusals:
    """Counts refusals and emits ``MessageRefused``: the first at once, later ones summed up.

    Messages of unknown bots and on unknown topics share one key whatever their topic, because whoever
    floods us chooses the names. So there are at most bots x topics x reasons keys.
    """

    counts: Counter[Refusal] = field(default_factory=Counter)
    _pending: dict[tuple[Refusal, str], _Pending] = field(default_factory=dict)

    def refuse(
        self, why: Refusal, topic: str, detail: str, *, bot: BotId | None, now: Nanoseconds, emit: Emit
    ) -> None:
        """Count one refused message, and tell it if none of its sort was told lately."""
        self.counts[why] += 1
        key = (why, topic if bot is not None else "")
        known = self._pending.get(key)
        if known is None:
            self._pending[key] = _Pending(topic, bot, detail, told_at=now)
            emit(MessageRefused(received_at=now, topic=topic, bot=bot, detail=f"{why}: {detail}"))
            return
        known.topic, known.detail = topic, detail
        known.untold += 1
        self._tell_if_due(known, why, now, emit)

    def start_over(self) -> None:
        """Forget what was not told yet: others are known from now on. What was counted stays counted."""
        self._pending.clear()

    def flush(self, now: Nanoseconds, emit: Emit) -> None:
        """Tell what was held back for a whole window, and forget what has been quiet for one."""
        for key, known in list(self._pending.items()):
            if now - known.told_at < WINDOW_NS:
                continue
            if known.untold:
                self._tell_if_due(known, key[0], now, emit)
            else:
                del self._pending[key]

    @staticmethod
    def _tell_if_due(known: _Pending, why: Refusal, now: Nanoseconds, emit: Emit) -> None:
        if now - known.told_at < WINDOW_NS:
            return
        seconds = (now - known.told_at) // NS_PER_S
        detail = f"{why}: {known.detail} ({known.untold} such messages in {seconds} s)"
        emit(
            MessageRefused(
                received_at=now, topic=known.topic, bot=known.bot, detail=detail, count=known.untold
            )
        )
        known.told_at, known.untold = now, 0
