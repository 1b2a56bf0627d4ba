"""Which findings stand, by what they are about, and what has changed since they were told. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from guard.findings import Finding, Severity
from guard.units import NS_PER_MS, NS_PER_S, MarketId, Nanoseconds
from perpguard_sdk.messages import Entries, StopRule

FindingKey = tuple[str, str, str | None, str | None, str | None, str | None]

LIMIT_CHANGE_RATIO = 0.05
"""A standing finding is recorded again when a number in its limit was tightened by more than this share."""

LIMIT_MILDER_RATIO = 1.0 / 3.0
"""It is recorded as milder when the number has been half as much again, or more, for ``MILDER_FOR_NS``."""

MILDER_FOR_NS = 5 * NS_PER_S

_RANKS = {severity: rank for rank, severity in enumerate(Severity)}


@dataclass(slots=True)
class Standing:
    """What every source of findings said last, market by market.

    Sources are numbered; of two findings with one name the worse one stands, else that of the earlier source.
    A source is told anew as a whole or for some markets; what names no market is always told.

    Attributes:
        changed: names whose finding is another since ``settle`` was called before the last time, or gone.
    """

    changed: set[FindingKey] = field(default_factory=set)
    _said: dict[int, dict[MarketId | None, list[Finding]]] = field(default_factory=dict)
    _worst: dict[MarketId | None, dict[FindingKey, Finding]] = field(default_factory=dict)
    _others: set[MarketId | None] = field(default_factory=set)

    def tell(self, source: int, findings: Iterable[Finding], markets: AbstractSet[MarketId] | None) -> None:
        """Take what a source says now of ``markets`` (``None`` for all); of others it says what it said."""
        said = self._said.setdefault(source, {})
        found: dict[MarketId | None, list[Finding]] = {}
        for finding in findings:
            market = finding.subject.market
            if markets is None or market is None or market in markets:
                found.setdefault(market, []).append(finding)
        if said:
            asked = said.keys() if markets is None else {None, *markets} & said.keys()
            for market in asked - found.keys():
                del said[market]
                self._others.add(market)
        for market, each in found.items():
            if said.get(market) != each:
                said[market] = each
                self._others.add(market)

    def settle(self) -> AbstractSet[MarketId | None]:
        """Return of which markets anything else is said since the last call, and work out ``changed``."""
        others, self._others, self.changed = self._others, set(), set()
        for market in others:
            former, worst = self._worst.get(market, {}), self._worst_of(market)
            for key in former.keys() | worst.keys():
                if former.get(key) != worst.get(key):
                    self.changed.add(key)
            if worst:
                self._worst[market] = worst
            else:
                self._worst.pop(market, None)
        return others

    def about(self, market: MarketId | None) -> Iterator[Finding]:
        """Everything that is said of one market, or that names none."""
        for source in sorted(self._said):
            yield from self._said[source].get(market, ())

    @property
    def markets(self) -> AbstractSet[MarketId | None]:
        """All of which anything is said."""
        return self._worst.keys()

    def get(self, key: FindingKey) -> Finding | None:
        """The finding of a name, ``None`` if it does not stand."""
        market = None if key[2] is None else MarketId(key[2])
        return self._worst.get(market, {}).get(key)

    def __iter__(self) -> Iterator[Finding]:
        for worst in self._worst.values():
            yield from worst.values()

    def keys(self) -> Iterator[FindingKey]:
        """The names of all that stands."""
        for worst in self._worst.values():
            yield from worst

    def _worst_of(self, market: MarketId | None) -> dict[FindingKey, Finding]:
        worst: dict[FindingKey, Finding] = {}
        for finding in self.about(market):
            key = finding.key
            known = worst.get(key)
            if known is None or rank_of(finding) > rank_of(known):
                worst[key] = finding
        return worst


@dataclass(slots=True)
class Confirmation:
    """Since when each finding has stood at each severity or worse, and whose time comes next."""

    since: dict[FindingKey, dict[int, Nanoseconds]] = field(default_factory=dict)
    _due: dict[MarketId | None, Nanoseconds] = field(default_factory=dict)

    def follow(self, keys: Iterable[FindingKey], standing: Standing, now: Nanoseconds) -> None:
        """Begin to count what is new or worse among ``keys``, and forget what is milder or gone."""
        for key in keys:
            finding = standing.get(key)
            if finding is None or not finding.confirm_ms:
                self.since.pop(key, None)
                continue
            known = self.since.get(key, {})
            self.since[key] = {rank: known.get(rank, now) for rank in range(rank_of(finding) + 1)}

    def due(self, now: Nanoseconds) -> set[MarketId | None]:
        """Where something has stood for long enough by now."""
        return {market for market, at in self._due.items() if now >= at}

    def given(
        self, market: MarketId | None, findings: Iterable[Finding], now: Nanoseconds
    ) -> tuple[Finding, ...]:
        """Those of a market's findings because of which something may be asked at ``now``."""
        self._due.pop(market, None)
        given = []
        for finding in findings:
            if finding.confirm_ms:
                since = self.since.get(finding.key, {}).get(rank_of(finding), now)
                at = since + finding.confirm_ms * NS_PER_MS
                if now < at:
                    self._due[market] = min(at, self._due.get(market, at))
                    continue
            given.append(finding)
        return tuple(given)


@dataclass(slots=True)
class Recorded:
    """What the audit was told last: what is worse is told at once, what is milder or gone once it has lasted.

    So evidence that jitters about a threshold, while the posture holds still, does not fill the audit.
    """

    told: dict[FindingKey, Finding] = field(default_factory=dict)
    milder_since: dict[FindingKey, Nanoseconds] = field(default_factory=dict)
    _next_at: Nanoseconds = 0

    def compare(
        self, keys: AbstractSet[FindingKey] | None, standing: Standing, now: Nanoseconds
    ) -> tuple[tuple[Finding, ...], tuple[Finding, ...]]:
        """Return what to record as new or changed, and what as gone.

        ``keys`` are the names whose finding may be another than at the last call, ``None`` for all.
        """
        if keys is None:
            keys = {*standing.keys(), *self.told}
        if self.milder_since and now >= self._next_at:
            keys = keys | self.milder_since.keys()
        if not keys:
            return (), ()
        stands = [(key, standing.get(key)) for key in sorted(keys, key=_order)]
        opened = [found for key, found in stands if found is not None and self._tells(key, found, now)]
        gone = [key for key, found in stands if found is None and self._is_gone(key, now)]
        closed = tuple(self.told.pop(key) for key in gone)
        for finding in opened:
            self.told[finding.key] = finding
        for key in (*gone, *(finding.key for finding in opened)):
            self.milder_since.pop(key, None)
        self._next_at = min(self.milder_since.values(), default=0) + MILDER_FOR_NS
        return tuple(opened), closed

    def tell(self, finding: Finding) -> tuple[Finding, ...]:
        """Return a finding that stands outside of the comparison, if it was not told yet."""
        if finding.key in self.told:
            return ()
        self.told[finding.key] = finding
        return (finding,)

    def _tells(self, key: FindingKey, finding: Finding, now: Nanoseconds) -> bool:
        known = self.told.get(key)
        if known == finding:
            self.milder_since.pop(key, None)
            return False
        if known is None or _is_worse(finding, known, LIMIT_CHANGE_RATIO):
            return True
        if _is_worse(known, finding, LIMIT_MILDER_RATIO):
            return self._has_lasted(key, now)
        self.milder_since.pop(key, None)
        return False

    def _is_gone(self, key: FindingKey, now: Nanoseconds) -> bool:
        if key not in self.told:
            self.milder_since.pop(key, None)
            return False
        return self._has_lasted(key, now)

    def _has_lasted(self, key: FindingKey, now: Nanoseconds) -> bool:
        return now - self.milder_since.setdefault(key, now) >= MILDER_FOR_NS


def rank_of(finding: Finding) -> int:
    """How bad it is: a higher rank is worse."""
    return _RANKS[finding.severity]


def _order(key: FindingKey) -> tuple[str, ...]:
    policy, reason, market, account, bot, venue = key
    return policy, market or "", reason, account or "", bot or "", venue or ""


def _is_worse(new: Finding, old: Finding, ratio: float) -> bool:
    """Whether anything in ``new`` is tighter than in ``old``, a number by more than ``ratio``."""
    entries = (
        (new.limit.entries or Entries.ALLOWED).tightness,
        (old.limit.entries or Entries.ALLOWED).tightness,
    )
    return (
        rank_of(new) > rank_of(old)
        or entries[0] > entries[1]
        or (new.freezes and not old.freezes)
        or _is_less(new.limit.max_size, old.limit.max_size, ratio)
        or _is_less(new.limit.max_leverage, old.limit.max_leverage, ratio)
        or _is_less(new.limit.entry_share, old.limit.entry_share, ratio)
        or (new.limit.flatten and not old.limit.flatten)
        or (new.imminent and not old.imminent)
        or _has_moved(new.limit.stop, old.limit.stop)
    )


def _is_less(new: float | None, old: float | None, ratio: float) -> bool:
    if new is None or old is None:
        return new is not None and old is None
    return new < old * (1.0 - ratio)


def _has_moved(new: StopRule | None, old: StopRule | None) -> bool:
    if new is None or old is None:
        return new is not None and old is None
    if new.stop_price is None or old.stop_price is None:
        return new.stop_price is not None
    return abs(new.stop_price - old.stop_price) > LIMIT_CHANGE_RATIO * abs(old.stop_price)
