"""What is told to a supervisor such as systemd, and when: only the engine's own progress keeps us alive there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from guard.engine import Engine
from guard.events import LinkKind
from guard.findings import Finding, Severity
from guard.readiness import Readiness
from guard.units import NS_PER_S, Nanoseconds
from perpguard_sdk.messages import Mode

BEATS_A_PERIOD = 4
"""So often a watchdog's period: one datagram may be late, or lost to a full socket."""

STATUS_S = 1.0

STARTING_S = 60.0
"""While the epoch is waited for, each Tick says that the start may take so much longer: the broker may be away."""

EXTEND_S = 5.0

_TROUBLES = {
    LinkKind.ENGINE: "overloaded",
    LinkKind.SETTINGS: "settings refused",
    LinkKind.CLOCK: "clock off",
    LinkKind.DISK: "disk nearly full",
}

_SEVERITIES = list(Severity)


class Notify(Protocol):
    """Sends assignments to the supervisor. Never raises and never waits."""

    def notify(self, **assignments: str | int) -> None: ...


@dataclass(slots=True)
class Supervised:
    """Give ``on_tick`` every Tick that the engine has judged: nothing else makes it say that we live.

    Attributes:
        notifier: where it is said.
        engine: what is asked how it is.
        mode: for the status line.
        readiness: whether everything was seen once, for the status line too.
        watchdog_s: within which the supervisor must hear of us.
        monotonic_usec: the time of a reload, as the supervisor wants it.
    """

    notifier: Notify
    engine: Engine
    mode: Mode
    readiness: Readiness | None = None
    watchdog_s: float | None = None
    monotonic_usec: Callable[[], int] = lambda: 0
    _ready: bool = False
    _over: bool = False
    _beat_at: Nanoseconds = 0
    _extend_at: Nanoseconds = 0
    _status_at: Nanoseconds = 0
    _status: str = ""

    def on_tick(self, at: Nanoseconds) -> None:
        """Say what is due: that we live, how we are, and, the first time that an epoch is held, that we are ready."""
        if self._over:
            return
        if not self._ready and self.engine.state.epoch > 0:
            self._ready = True
            self.notifier.notify(READY=1, STATUS=self._words())
        elif not self._ready and at >= self._extend_at:
            self._extend_at = at + int(EXTEND_S * NS_PER_S)
            self.notifier.notify(EXTEND_TIMEOUT_USEC=int(STARTING_S * 1e6))
        if self.watchdog_s is not None and at >= self._beat_at:
            self._beat_at = at + int(self.watchdog_s * NS_PER_S / BEATS_A_PERIOD)
            self.notifier.notify(WATCHDOG=1)
        if at >= self._status_at:
            self._status_at = at + int(STATUS_S * NS_PER_S)
            self._say_status()

    def reloading(self) -> None:
        """The settings are being read again; ``reloaded`` must follow."""
        self.notifier.notify(
            RELOADING=1, MONOTONIC_USEC=self.monotonic_usec(), STATUS="reading the settings again"
        )

    def reloaded(self) -> None:
        """Reading the settings is over, whatever came of it."""
        self._status = ""
        if self._ready:
            self.notifier.notify(READY=1, STATUS=self._words())

    def stopping(self, why: str) -> None:
        """The end has begun; nothing is said after it."""
        self._over = True
        self.notifier.notify(STOPPING=1, STATUS=f"stopping: {why}")

    def _say_status(self) -> None:
        words = self._words()
        if words != self._status:
            self._status = words
            self.notifier.notify(STATUS=words)

    def _words(self) -> str:
        state = self.engine.state
        if state.epoch == 0:
            return f"{self.mode}, waits for the broker and for its epoch; {self._link_words()}"
        found = findings_words(self.engine.findings)
        missing = self.readiness.words if self.readiness is not None else ""
        starts = f"not ready yet: {missing}; " if missing else ""
        return f"{self.mode}, decides in epoch {state.epoch}; {starts}{found}; {self._link_words()}"

    def _link_words(self) -> str:
        down = self.engine.state.links_down
        words = [f"{link} {'away' if link in down else 'up'}" for link in (LinkKind.BROKER, LinkKind.AUDIT)]
        return ", ".join([*words, *(said for link, said in _TROUBLES.items() if link in down)])


def findings_words(findings: tuple[Finding, ...]) -> str:
    """How many findings stand, the worst first.

    >>> findings_words(())
    'no findings'
    """
    if not findings:
        return "no findings"
    counts = Counter(finding.severity for finding in findings)
    worst = sorted(counts, key=_SEVERITIES.index, reverse=True)
    noun = "finding" if len(findings) == 1 else "findings"
    return f"{len(findings)} {noun} ({', '.join(f'{counts[each]} {each}' for each in worst)})"
