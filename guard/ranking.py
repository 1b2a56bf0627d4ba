"""Findings in the order in which they are folded, each taken as a share of what it first spoke of. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec
from msgspec import structs

from guard.bots import BotRecord
from guard.findings import Basis, Finding, Limit, Severity
from guard.units import NS_PER_S, BotId, MarketId, Nanoseconds, venue_of

BASIS_KEPT_S_MIN = 10.0
"""A position that is cut shows for a moment as if nothing were wrong: what it was cut from is not forgotten."""

_encoder = msgspec.json.Encoder()

_ASKS_NOTHING = Limit()
_SEVERITY_RANK = {severity: -rank for rank, severity in enumerate(Severity)}


@dataclass(slots=True)
class _KnownBasis:
    basis: Basis
    asked_at: Nanoseconds


@dataclass(slots=True)
class Ranking:
    """The findings of each market in order, and the sizes that their shares are of."""

    _bases: dict[tuple[object, ...], _KnownBasis] = field(default_factory=dict)
    _asked_bases: dict[MarketId | None, set[tuple[object, ...]]] = field(default_factory=dict)

    def rank(
        self,
        market: MarketId | None,
        found: Sequence[Finding],
        now: Nanoseconds,
        *,
        folded_at: Nanoseconds,
        hold_down_s: float,
    ) -> list[Finding]:
        """The findings about one market, worst first, without those that ask for nothing."""
        standing = self._asked_bases.get(market)
        if standing:
            for key in standing:  # they have been asked for all the while
                self._bases[key].asked_at = max(self._bases[key].asked_at, folded_at)
        asked: set[tuple[object, ...]] = set()
        kept_ns = int(max(hold_down_s, BASIS_KEPT_S_MIN) * NS_PER_S)
        ranked = [
            self._rebased(finding, now, kept_ns, asked)
            for finding in worst_first(found)
            if finding.freezes or finding.limit != _ASKS_NOTHING
        ]
        if asked or standing:
            self._asked_bases[market] = asked
        return ranked

    def _rebased(
        self, finding: Finding, now: Nanoseconds, kept_ns: Nanoseconds, asked_now: set[tuple[object, ...]]
    ) -> Finding:
        """Take a share of the size at which it was first asked for, not of what is left after obeying.

        A new reference (the stop has moved), a larger position or a pause of the asking as long as the
        hold-down begins anew.
        """
        basis, asked = finding.limit.basis, finding.limit.max_size
        if basis is None or asked is None or basis.size == 0.0:
            return finding
        key = (finding.key, basis.size > 0.0)
        known = self._bases.get(key)
        if (
            known is None
            or now - known.asked_at > kept_ns
            or known.basis.reference != basis.reference
            or abs(basis.size) > abs(known.basis.size)
        ):
            known = self._bases[key] = _KnownBasis(basis, now)
        known.asked_at = now
        asked_now.add(key)
        limit = structs.replace(finding.limit, max_size=asked * abs(known.basis.size / basis.size))
        return structs.replace(finding, limit=limit)


def concerns_bot(finding: Finding, bot: BotId, record: BotRecord) -> bool:
    """Whether a finding is about a bot; one that names a venue is about every bot that trades there."""
    subject = finding.subject
    return (
        (subject.bot is None or subject.bot == bot)
        and (subject.account is None or subject.account == record.config.account)
        and (subject.venue is None or subject.venue == venue_of(record.config.account))
    )


def uninhibited(findings: Sequence[Finding]) -> list[Finding]:
    """Leave out what a wider finding among them already asks for: the limits are the same, and have one cause."""
    wide = [finding for finding in findings if finding.subject.market is None]
    return [finding for finding in findings if inhibitor(finding, wide) is None]


def inhibitor(finding: Finding, wide: Sequence[Finding]) -> Finding | None:
    """Return the first of ``wide`` that asks at least what a pause of one market asks, for at least its subject."""
    limit, about = finding.limit, finding.subject
    if about.market is None or limit.entries is None or limit != Limit(entries=limit.entries):
        return None
    for other in wide:
        subject, entries = other.subject, other.limit.entries
        if (
            entries is not None
            and entries.tightness >= limit.entries.tightness
            and (other.freezes or not finding.freezes)
            and subject.market is None
            and subject.venue in (None, venue_of(about.market))
            and subject.account in (None, about.account)
            and subject.bot in (None, about.bot)
        ):
            return other
    return None


def differing(former: Sequence[Finding], now: Sequence[Finding]) -> list[Finding]:
    """Those that are among one of the two alone."""
    return [
        *(finding for finding in former if finding not in now),
        *(finding for finding in now if finding not in former),
    ]


def worst_first(findings: Sequence[Finding]) -> list[Finding]:
    """Worst first, then by name, so that the order in which policies ran does not matter."""
    if len(findings) < 2:
        return list(findings)
    ranks = [_rank(finding) for finding in findings]
    if len(set(ranks)) < len(ranks):  # of two with one name the bytes decide, which cost more
        return sorted(findings, key=lambda finding: (*_rank(finding), _encoder.encode(finding)))
    return [findings[place] for place in sorted(range(len(ranks)), key=ranks.__getitem__)]


def _rank(finding: Finding) -> tuple[int, str, str, str, str, str, str]:
    subject = finding.subject
    return (
        _SEVERITY_RANK[finding.severity],
        finding.policy,
        finding.reason,
        subject.market or "",
        subject.account or "",
        subject.bot or "",
        subject.venue or "",
    )
