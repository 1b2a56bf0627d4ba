"""What a supervisor is told: ready once an epoch is held, alive only while the engine judges Ticks."""

from __future__ import annotations

from dataclasses import dataclass, field

from guard.events import LinkChanged, LinkKind
from guard.supervised import Supervised
from perpguard_sdk.messages import Entries, Mode
from tests.support.builders import ALPHA, Guard, SaysWhatItIsTold, at, finding, started, tick


@dataclass
class Heard:
    said: list[dict[str, str | int]] = field(default_factory=list)

    def notify(self, **assignments: str | int) -> None:
        self.said.append(assignments)

    def of(self, name: str) -> list[str | int]:
        return [each[name] for each in self.said if name in each]


@dataclass
class Scene:
    guard: Guard
    heard: Heard = field(default_factory=Heard)
    supervised: Supervised = field(init=False)

    def __post_init__(self) -> None:
        self.supervised = Supervised(
            self.heard, self.guard.engine, Mode.PAPER, watchdog_s=20.0, monotonic_usec=lambda: 77
        )

    def ticks(self, first: float, last: float) -> None:
        for number in range(round((last - first) * 4)):
            seconds = first + number / 4
            self.guard.feed(tick(seconds))
            self.supervised.on_tick(at(seconds))


def scene() -> Scene:
    told = SaysWhatItIsTold([finding(entries=Entries.HALTED)])
    return Scene(Guard.of(ALPHA, policies=[told]))


def test_it_is_ready_once_when_an_epoch_is_held() -> None:
    here = scene()
    here.ticks(0.0, 12.0)
    assert here.heard.of("READY") == []
    assert here.heard.of("EXTEND_TIMEOUT_USEC") == [60_000_000] * 3
    here.guard.feed(started(12.0, epoch=7))
    here.ticks(12.0, 24.0)
    assert here.heard.of("READY") == [1]
    assert len(here.heard.of("EXTEND_TIMEOUT_USEC")) == 3


def test_the_watchdog_is_fed_by_ticks_and_by_nothing_else() -> None:
    here = scene()
    here.ticks(0.0, 20.0)
    assert here.heard.of("WATCHDOG") == [1] * 4
    here.guard.feed(started(20.0))
    here.supervised.reloading()
    here.supervised.reloaded()
    assert here.heard.of("WATCHDOG") == [1] * 4


def test_the_status_says_mode_findings_and_links_and_is_said_when_it_changes() -> None:
    here = scene()
    here.guard.feed(started(0.0, epoch=7))
    here.ticks(0.0, 5.0)
    words = "paper, decides in epoch 7; 1 finding (1 act); broker up, audit up"
    statuses = here.heard.of("STATUS")
    assert len(statuses) <= 2
    assert str(statuses[-1]).startswith(words)
    here.guard.feed(LinkChanged(received_at=at(5.0), link=LinkKind.BROKER, up=False))
    here.ticks(5.0, 8.0)
    assert "broker away" in str(here.heard.of("STATUS")[-1])
    assert len(here.heard.of("STATUS")) == len(statuses) + 1


def test_a_reload_is_bracketed_and_the_end_is_the_last_word() -> None:
    here = scene()
    here.guard.feed(started(0.0))
    here.ticks(0.0, 1.0)
    here.supervised.reloading()
    here.supervised.reloaded()
    assert [each for each in here.heard.said if "RELOADING" in each or "READY" in each][1:] == [
        {"RELOADING": 1, "MONOTONIC_USEC": 77, "STATUS": "reading the settings again"},
        here.heard.said[-1],
    ]
    assert here.heard.said[-1]["READY"] == 1
    here.supervised.stopping("asked to stop")
    here.ticks(1.0, 30.0)
    assert here.heard.said[-1] == {"STOPPING": 1, "STATUS": "stopping: asked to stop"}


def test_it_is_not_ready_again_by_a_reload_before_it_was_ready() -> None:
    here = scene()
    here.supervised.reloading()
    here.supervised.reloaded()
    assert here.heard.of("READY") == []
