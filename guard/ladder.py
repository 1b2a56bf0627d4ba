"""How far the guard goes: rungs from advice to closing everything, what is in force on them, what is allowed. No I/O.

    advise -> no adds -> pause entries -> reduce (n %) -> reduce to safe -> flatten

A rung is never chosen: it is read off the limits, which follow from the findings alone.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import structs

from guard.desired import Limits
from guard.findings import Finding, Limit, Reason, Severity, Subject
from guard.units import BotId, MarketId
from perpguard_sdk.messages import Entries, Evidence

POLICY_NAME = "ladder"


class Rung(StrEnum):
    """What is done at most; a later one is harder."""

    ADVISE = "advise"
    NO_ADDS = "no_adds"
    PAUSE_ENTRIES = "pause_entries"
    REDUCE = "reduce"
    REDUCE_TO_SAFE = "reduce_to_safe"
    FLATTEN = "flatten"

    @property
    def height(self) -> int:
        """Rank, 0 for the lowest."""
        return _HEIGHTS[self]


_HEIGHTS = {rung: height for height, rung in enumerate(Rung)}

SAFETY = frozenset({Reason.LIQUIDATION_NEAR, Reason.LIQUIDATION_WITHIN_REACH, Reason.ACTION_TOO_SLOW})
"""Reasons whose size is the largest that is not liquidated, not a share of what is held."""


def rung_of(limits: Limits) -> Rung:
    """Read off what is in force for one bot in one market.

    >>> rung_of(Limits()), rung_of(Limits(entries=Entries.HALTED)), rung_of(Limits(max_size=1.0))
    (<Rung.ADVISE: 'advise'>, <Rung.PAUSE_ENTRIES: 'pause_entries'>, <Rung.REDUCE: 'reduce'>)
    """
    if limits.flattened:
        return Rung.FLATTEN
    if (limits.max_size, limits.max_leverage) != (None, None):
        cause = limits.size_cause
        is_safety = cause is not None and (cause.imminent or cause.reason in SAFETY)
        return Rung.REDUCE_TO_SAFE if is_safety else Rung.REDUCE
    if limits.entries.tightness >= Entries.REDUCE_ONLY.tightness:
        return Rung.PAUSE_ENTRIES
    if limits.entries is Entries.NO_ADDS or limits.entry_share < 1.0:
        return Rung.NO_ADDS
    return Rung.ADVISE


def allowed(finding: Finding, highest: Rung) -> Finding:
    """Take from what a finding asks whatever lies above ``highest``; what it says stays.

    Closing everything becomes no entries, and as much of a cut as is asked beside it; that it was asked stays to be
    seen. ``reduce`` is left to whoever knows the position: how much may be taken off is not in the finding.
    """
    limit = finding.limit
    if limit.flatten and highest is not Rung.FLATTEN:
        entries = Entries.tightest(limit.entries or Entries.ALLOWED, Entries.REDUCE_ONLY)
        size = None if limit.max_size == 0.0 else limit.max_size
        limit = structs.replace(limit, entries=entries, max_size=size)
    if highest.height < Rung.REDUCE.height:
        limit = Limit(entries=limit.entries, entry_share=limit.entry_share, flatten=limit.flatten)
    if highest is Rung.NO_ADDS:
        most = None if limit.entries is None else min(limit.entries, Entries.NO_ADDS, key=_tightness)
        share = None if limit.entry_share is None else max(limit.entry_share, SHARE_MIN)
        limit = Limit(entries=most, entry_share=share, flatten=limit.flatten)
    if highest is Rung.ADVISE:
        limit = Limit(flatten=limit.flatten)
    return finding if limit == finding.limit else structs.replace(finding, limit=limit)


SHARE_MIN = 0.25
"""Where nothing but adding may be forbidden, an entry keeps this part of its usual size."""


def _tightness(entries: Entries) -> int:
    return entries.tightness


def flattened(bot: BotId, market: MarketId, finding: Finding | None) -> Finding:
    """What stands for one bot in one market from when everything was closed until a human releases it.

    ``finding`` is the one that asked for it, ``None`` if a former guard's posture says so.
    """
    return Finding(
        policy=POLICY_NAME,
        reason=Reason.RESTART_FLOOR if finding is None else finding.reason,
        severity=Severity.CRITICAL,
        subject=Subject(bot=bot, market=market),
        limit=Limit(entries=Entries.HALTED, max_size=0.0),
        evidence=() if finding is None else finding.evidence,
        counterfactual="would not stand once somebody has released it: perpguard override release",
        freezes=True,
        imminent=True,
    )


def waits(bot: BotId, market: MarketId, asked: Finding, *, is_latched: bool) -> Finding:
    """Say to people that everything should be closed, or was, and that it is for them to go on."""
    said = (
        "closed; only a human opens it again (perpguard override release)"
        if is_latched
        else "not closed: arbiter.highest_rung does not allow it; close it by hand, or allow it"
    )
    return Finding(
        policy=POLICY_NAME,
        reason=Reason.FLATTEN_WAITS,
        severity=Severity.CRITICAL,
        subject=Subject(bot=bot, market=market),
        evidence=(
            Evidence(name="position", value=said, unit="text"),
            Evidence(name="asked by", value=asked.policy, unit="policy"),
            Evidence(name="because of", value=asked.reason.value, unit="reason"),
        ),
        counterfactual="would not stand if nothing less than no position were safe",
    )
