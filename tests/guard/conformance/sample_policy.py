"""A policy as somebody else would write one: it keeps everything that a policy has to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from annotated_types import Ge, Le

from guard.findings import Finding, Limit, Reason, Severity, Subject
from guard.state import GuardState
from guard.units import Nanoseconds
from perpguard_sdk.messages import Entries, Evidence


def found(**others: Any) -> Finding:
    fields: dict[str, Any] = {
        "policy": "mine",
        "reason": Reason.SPREAD_WIDE,
        "severity": Severity.ACT,
        "subject": Subject(),
        "limit": Limit(entries=Entries.REDUCE_ONLY),
        "evidence": (Evidence(name="spread", value=9.0, unit="bps"),),
        "counterfactual": "would not stand with a spread below 5 bps",
    }
    return Finding(**{**fields, **others})


@dataclass(frozen=True, slots=True, kw_only=True)
class Mine:
    """Finds the same thing always.

    Attributes:
        enabled: whether it decides at all.
        wide_bps: from which spread on.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
    name: ClassVar[str] = "mine"

    enabled: bool = True
    wide_bps: Annotated[float, Ge(0.0), Le(100.0)] = 5.0

    def decide(self, state: GuardState, now: Nanoseconds) -> Iterator[Finding]:
        if self.enabled:
            yield found()
