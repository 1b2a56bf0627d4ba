"""What a supervisor is told, by the notify protocol of systemd: one datagram, a line for each assignment.

See sd_notify(3). Other supervisors speak it too (podman, s6 by a helper). Without one nothing is said.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from typing import Self

import structlog

log = structlog.get_logger()


@dataclass(slots=True)
class Notifier:
    """Sends assignments such as ``READY=1``; never raises and never waits: a supervisor must not hold us up.

    Attributes:
        address: of the datagram socket; one that begins with a NUL is in Linux' abstract name space.
        watchdog_s: the supervisor kills us when it has not heard ``WATCHDOG=1`` for so long; ``None``: never.
    """

    address: str
    watchdog_s: float | None = None
    _socket: socket.socket | None = None
    _failing: bool = False

    @classmethod
    def from_environment(cls, environment: MutableMapping[str, str] | None = None) -> Self | None:
        """Return one if a supervisor listens; takes its variables away, because children must not speak for us."""
        environment = os.environ if environment is None else environment
        address = environment.pop("NOTIFY_SOCKET", "")
        watchdog_s = watchdog_of(environment)
        for name in ("WATCHDOG_USEC", "WATCHDOG_PID"):
            environment.pop(name, None)
        if not address.startswith(("/", "@")):
            return None
        return cls("\0" + address[1:] if address.startswith("@") else address, watchdog_s)

    def notify(self, **assignments: str | int) -> None:
        """Send ``NAME=value`` lines in one datagram; a line break in a value would begin another one."""
        lines = [f"{name}={str(value).replace(chr(10), ' ')}" for name, value in assignments.items()]
        try:
            if self._socket is None:
                self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
                self._socket.setblocking(False)
            self._socket.sendto("\n".join(lines).encode(), self.address)
        except OSError as error:
            if not self._failing:
                log.warning("the supervisor cannot be told how we are", error=str(error))
            self._failing = True
        else:
            self._failing = False

    def close(self) -> None:
        """Free the socket; twice is harmless."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def watchdog_of(environment: Mapping[str, str]) -> float | None:
    """Seconds within which a supervisor wants to hear of us, ``None`` if it does not, or means another process.

    >>> watchdog_of({"WATCHDOG_USEC": "20000000"}), watchdog_of({})
    (20.0, None)
    """
    period = environment.get("WATCHDOG_USEC", "")
    meant = environment.get("WATCHDOG_PID", "")
    if not period.isdecimal() or int(period) == 0 or (meant and meant != str(os.getpid())):
        return None
    return int(period) / 1e6


def monotonic_usec() -> int:
    """When a reload began, as systemd wants it: microseconds of CLOCK_MONOTONIC."""
    return time.monotonic_ns() // 1000
