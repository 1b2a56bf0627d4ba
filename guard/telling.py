"""Tells people what matters: keeps the notices beside the engine, logs them, and hands them to whoever carries them.

Nothing rests on it: should it fail, it says so once and ends, and all else goes on.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import structlog

from guard.audit import Step
from guard.errors import BrokerError
from guard.events import Tick
from guard.findings import Finding
from guard.instructions import is_silenced
from guard.notices import Notices
from guard.ports import StatusSink
from guard.state import GuardState
from perpguard_sdk.messages import Notice

WAITING_MAX = 64
"""Notices kept while the broker is away, the newest."""

log = structlog.get_logger()


@dataclass(slots=True)
class Telling:
    """``note`` every step, ``say`` now and then. ``lost`` counts notices that could never be handed over."""

    sink: StatusSink
    notices: Notices = field(default_factory=Notices)
    lost: int = 0
    _waiting: deque[Notice] = field(default_factory=deque)
    _is_over: bool = False

    def note(self, step: Step, state: GuardState) -> None:
        """Take a step; at a Tick, make and log what is due."""
        if self._is_over:
            return
        try:
            self.notices.note(step, state)
            due = self._due(step, state) if isinstance(step.event, Tick) else ()
        except Exception:
            self._is_over = True
            log.exception("no notices are made any more: this is a bug, please report it with these lines")
            return
        for notice in due:
            log.warning("notice", kind=notice.kind, about=notice.about, what=notice.title, lines=notice.lines)
            if len(self._waiting) == WAITING_MAX:
                self._waiting.popleft()
                self.lost += 1
            self._waiting.append(notice)

    async def say(self) -> None:
        """Hand over what waits, oldest first; what the broker does not take waits for the next time."""
        while self._waiting:
            notice = self._waiting[0]
            try:
                await self.sink.publish_notice(notice)
            except BrokerError:
                return
            if self._waiting and self._waiting[0] is notice:
                self._waiting.popleft()

    def _due(self, step: Step, state: GuardState) -> tuple[Notice, ...]:
        in_force = state.instructions.in_force(step.at)

        def is_held_back(finding: Finding) -> bool:
            return bool(finding.inhibited_by) or is_silenced(finding, in_force)

        return self.notices.due(step.at, state.guard, is_held_back)
