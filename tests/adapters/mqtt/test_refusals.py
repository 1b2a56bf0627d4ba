"""Refusals are all counted, told at once when new, and summed up after that."""

from __future__ import annotations

from adapters.mqtt.refusals import WINDOW_NS, Refusal, Refusals
from guard.events import AnyEvent, MessageRefused
from guard.units import NS_PER_S, BotId, Nanoseconds

ALPHA = BotId("alpha")


class Told:
    """Refusals and what they emit."""

    def __init__(self) -> None:
        self.refusals = Refusals()
        self.events: list[AnyEvent] = []

    def refuse(self, now: Nanoseconds, *, topic: str = "t", bot: BotId | None = ALPHA) -> None:
        self.refusals.refuse(Refusal.MALFORMED, topic, "why", bot=bot, now=now, emit=self.events.append)

    def flush(self, now: Nanoseconds) -> None:
        self.refusals.flush(now, self.events.append)

    @property
    def details(self) -> list[str]:
        return [event.detail for event in self.events if isinstance(event, MessageRefused)]


def test_the_first_is_told_at_once_and_the_rest_summed_up_after_the_window() -> None:
    told = Told()
    for second in range(5):
        told.refuse(second * NS_PER_S)
    assert told.details == ["malformed: why"]
    told.flush(WINDOW_NS - 1)
    assert len(told.events) == 1
    told.flush(WINDOW_NS)
    assert told.details[1:] == ["malformed: why (4 such messages in 10 s)"]
    assert told.refusals.counts[Refusal.MALFORMED] == 5


def test_after_a_quiet_window_the_next_is_told_at_once() -> None:
    told = Told()
    told.refuse(0)
    told.flush(WINDOW_NS)
    told.refuse(WINDOW_NS + 1)
    assert told.details == ["malformed: why", "malformed: why"]


def test_topics_of_known_bots_are_told_apart_and_those_of_strangers_are_not() -> None:
    told = Told()
    for topic in ("a", "b"):
        told.refuse(0, topic=topic)
    for number in range(1000):
        told.refuse(0, topic=f"stranger-{number}", bot=None)
    assert len(told.events) == 3
    assert told.refusals.counts[Refusal.MALFORMED] == 1002
    assert len(told.refusals._pending) == 3, "whoever floods us chooses the names, not our memory"
