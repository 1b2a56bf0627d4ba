"""Says in the log what of a venue is away and when it is back: one line for all that goes together.

A lost venue takes five streams of every market with it, and each attempt to get one back fails anew; whoever
reads the log wants to know of one outage, how long it lasts, and why.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

import structlog

from guard.events import Stream, StreamFaultKind
from guard.ports import Clock
from guard.units import NS_PER_S, AccountId, MarketId, Nanoseconds

SETTLE_NS = NS_PER_S // 2
"""What is lost within it is told in one line; what is back within it was lost for a moment only."""
REMIND_NS = 60 * NS_PER_S
REMIND_NS_MAX = 3_600 * NS_PER_S
NAMED_MAX = 3
"""More subjects of one stream are counted instead."""

_Key = tuple[MarketId | AccountId, Stream]
_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Outage:
    since: Nanoseconds
    kind: StreamFaultKind
    detail: str
    told: bool = False


@dataclass(slots=True)
class Outages:
    """What is away now; nothing is written before ``flush``."""

    clock: Clock
    _away: dict[_Key, _Outage] = field(default_factory=dict)
    _back: dict[_Key, _Outage] = field(default_factory=dict)
    _remind_ns: Nanoseconds = REMIND_NS
    _remind_at: Nanoseconds = 0

    def lost(self, key: _Key, kind: StreamFaultKind, detail: str) -> None:
        """Note that something is away, or still away for a newer reason."""
        outage = self._away.get(key)
        if outage is None or outage.kind is not kind:
            outage = self._away[key] = _Outage(self.clock.now(), kind, detail)
        outage.detail = detail
        self._back.pop(key, None)

    def back(self, key: _Key) -> None:
        """Note that it is back."""
        outage = self._away.pop(key, None)
        if outage is not None:
            self._back[key] = outage

    def forget(self, key: _Key) -> None:
        """Nobody waits for it any more."""
        self._away.pop(key, None)
        self._back.pop(key, None)

    def flush(self) -> None:
        """Write what is due: losses, returns, and now and then what is still away."""
        now = self.clock.now()
        self._tell_back(now)
        fresh = {
            key: each for key, each in self._away.items() if not each.told and now - each.since >= SETTLE_NS
        }
        for refused in (False, True):
            self._tell_lost({key: each for key, each in fresh.items() if _is_refusal(each) is refused})
        if fresh:
            self._remind_ns, self._remind_at = REMIND_NS, now + REMIND_NS
        elif any(each.told for each in self._away.values()) and now >= self._remind_at:
            self._remind_ns = min(2 * self._remind_ns, REMIND_NS_MAX)
            self._remind_at = now + self._remind_ns
            _log.warning(
                "venue is still away: check the network, then the venue's status page",
                **_facts(self._away),
                away_s=_longest_s(self._away.values(), now),
            )

    def _tell_lost(self, lost: dict[_Key, _Outage]) -> None:
        if not lost:
            return
        if any(_is_refusal(each) for each in lost.values()):
            _log.error("venue refuses us, trying again slowly", **_facts(lost))
        else:
            _log.warning("venue lost, trying again; what is unknown allows no entries", **_facts(lost))
        for each in lost.values():
            each.told = True

    def _tell_back(self, now: Nanoseconds) -> None:
        back, self._back = self._back, {}
        told = {key: each for key, each in back.items() if each.told}
        brief = {key: each for key, each in back.items() if not each.told}
        if told:
            _log.info("venue is back", what=_names(told), away_s=_longest_s(told.values(), now))
        if brief:
            _log.info("lost for a moment", **_facts(brief))


def _is_refusal(outage: _Outage) -> bool:
    return outage.kind is StreamFaultKind.REFUSED


def _facts(outages: dict[_Key, _Outage]) -> dict[str, object]:
    details = dict.fromkeys(each.detail for each in outages.values())
    return {"what": _names(outages), "detail": "; ".join(list(details)[:NAMED_MAX])}


def _names(keys: Iterable[_Key]) -> list[str]:
    subjects: dict[Stream, list[str]] = defaultdict(list)
    for subject, stream in keys:
        subjects[stream].append(subject)
    return [
        f"{stream} of {', '.join(each) if len(each) <= NAMED_MAX else f'{len(each)} markets'}"
        for stream, each in sorted(subjects.items())
    ]


def _longest_s(outages: Iterable[_Outage], now: Nanoseconds) -> float:
    return round((now - min(each.since for each in outages)) / NS_PER_S, 1)
