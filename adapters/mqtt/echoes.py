"""Whether what we publish comes back to us, the only sign of life for what the broker does not acknowledge.

Heartbeats have QoS 0, and with MQTT 3.1.1 a broker that forbids a publish acknowledges it all the same.
But we are subscribed to heartbeats and postures, so every one of ours must return.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

OVERDUE_S: Final = 3.0
"""Echoes take milliseconds; after three seconds without heartbeats the bots are in safe mode."""


@dataclass(slots=True)
class Echoes:
    """Topics on which something of ours is on its way; times are monotonic seconds."""

    _sent_at: dict[str, float] = field(default_factory=dict)
    _suspects: set[str] = field(default_factory=set)

    def sent(self, topic: str, at: float) -> None:
        """Note a publish; the oldest that has not come back counts."""
        self._sent_at.setdefault(topic, at)

    def came(self, topic: str) -> None:
        """Note that something came in on ``topic``."""
        self._sent_at.pop(topic, None)

    def look(self, now: float) -> tuple[bool, list[str]]:
        """Return whether something is overdue for the first time, and what has stayed so since the last look.

        Two looks, because after a stall of our own the echoes lie unread behind us. What is returned is
        forgotten, until it is sent again.

        >>> echoes = Echoes()
        >>> echoes.sent("a", at=1.0); echoes.sent("b", at=1.0)
        >>> echoes.look(now=3.0), echoes.look(now=5.0)
        ((False, []), (True, []))
        >>> echoes.came("b")
        >>> echoes.look(now=6.0), echoes.look(now=9.0)
        ((False, ['a']), (False, []))
        """
        missing = sorted(self._suspects & self._sent_at.keys())
        for topic in missing:
            del self._sent_at[topic]
        self._suspects = {topic for topic, at in self._sent_at.items() if now - at > OVERDUE_S}
        return bool(self._suspects), missing
