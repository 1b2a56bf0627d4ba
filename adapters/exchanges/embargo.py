"""When a venue asks for no more requests, none is sent: one embargo for all connections to a venue.

Limits count by address: what one connection is told holds for the others. Who asks on during a 429 is banned
(418) for minutes, then days; so requests fail here, before they are sent, until the time is over.
"""

from __future__ import annotations

import email.utils
import time
from collections.abc import Callable, Mapping

import structlog

REFUSALS = {429: 10.0, 418: 120.0}
"""HTTP statuses that ask for no more requests, and for how long where no Retry-After says so, in seconds."""

_log = structlog.get_logger(__name__)


class Embargo:
    """Of one venue. Times are of the monotonic clock, so that a step of the wall clock ends no ban."""

    def __init__(self, venue: str, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._venue = venue
        self._monotonic_s = monotonic_s
        self._until_s = 0.0

    @property
    def left_s(self) -> float:
        """How long no request may be sent; 0 where they may."""
        return max(0.0, self._until_s - self._monotonic_s())

    def hear(self, status: int, headers: Mapping[str, str]) -> None:
        """Take note of an answer's status and headers."""
        if status not in REFUSALS:
            return
        asked_s = retry_after_s(headers)
        wait_s = REFUSALS[status] if asked_s is None else asked_s
        until_s = self._monotonic_s() + wait_s
        if until_s > self._until_s:
            if not self.left_s:
                _log.warning(
                    "venue asks for no requests: none is sent for a while, streams go on",
                    venue=self._venue,
                    status=status,
                    wait_s=round(wait_s, 1),
                )
            self._until_s = until_s


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Read Retry-After, seconds or a date; ``None`` where it says nothing.

    >>> retry_after_s({"Retry-After": "7"}), retry_after_s({"retry-after": "soon"}), retry_after_s({})
    (7.0, None, None)
    """
    text = next((value for name, value in headers.items() if name.lower() == "retry-after"), "").strip()
    if text.isdecimal():
        return float(text)
    date = email.utils.parsedate_tz(text)
    if date is None:
        return None
    # A date is on the venue's clock, so it is compared with what the answer says that time is there.
    told = email.utils.parsedate_tz(next((v for n, v in headers.items() if n.lower() == "date"), ""))
    if told is None:
        return None
    return max(0.0, email.utils.mktime_tz(date) - email.utils.mktime_tz(told))
