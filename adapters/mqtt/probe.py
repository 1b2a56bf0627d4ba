"""Tries, beside a running guard and without disturbing it, whether the broker lets a guard do its work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from adapters.mqtt.settings import BrokerSettings


class ProbeStatus(StrEnum):
    """How one thing stands; the worst of all is the probe's."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeFinding:
    """One thing that was tried: ``remedy`` says what to do, empty if all is well."""

    name: str
    status: ProbeStatus
    detail: str
    remedy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsDetails:
    """What was agreed on for the encrypted connection; days count from now, ``None`` without a certificate."""

    version: str
    cipher: str
    broker_expires_days: float
    ours_expires_days: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerProbe:
    """What was found; ``findings`` in the order in which they were tried."""

    broker: str
    reachable: bool
    authenticated: bool
    protocol: str
    tls: TlsDetails | None
    findings: tuple[ProbeFinding, ...]

    @property
    def status(self) -> ProbeStatus:
        """The worst of the findings."""
        found = {finding.status for finding in self.findings}
        return next((each for each in (ProbeStatus.FAIL, ProbeStatus.WARN) if each in found), ProbeStatus.OK)


async def probe_broker(settings: BrokerSettings, *, guard: str, bots: Sequence[str]) -> BrokerProbe:
    """Connect as the guard would, try each of its rights on names that nobody has, and say what is missing.

    It never raises for what a broker does, takes at most some ten seconds, and changes nothing that is kept.
    """
    raise NotImplementedError((settings, guard, bots))
