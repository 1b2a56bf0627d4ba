"""Other ways to bring a position down when a bot does not: in order, and at their end a human. No I/O, no clock.

A reduction that was not seen is asked for again by itself. Each time that it fails once more the next route is taken
as well. That entries are halted with the first failure is no route, but always so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from enum import StrEnum

from guard.desired import Desired, Limits
from guard.effects import size_of
from guard.findings import Finding, Limit, Reason, Severity, Subject
from guard.pacing import SIZE_TOLERANCE, Changed, joined
from guard.state import GuardState
from guard.units import NS_PER_S, BotId, MarketId, Nanoseconds
from perpguard_sdk.messages import Entries, Evidence, Verb

POLICY_NAME = "dispatch"

TRIES_NS = 60 * NS_PER_S
"""So long a bot is not asked itself while others have not done what they are to do instead of it."""

Key = tuple[BotId, MarketId]


class Route(StrEnum):
    """A way to have a reduction done, or known."""

    POSTURE = "posture"
    """Its posture is published again at once: a bot that reads it and hears no commands may follow."""
    OTHER_BOTS = "other_bots"
    """Others that own the same position take off what it does not, from their own parts."""
    HUMAN = "human"
    """A human is told that the routes have come to their end."""


@dataclass(frozen=True, slots=True)
class Stubborn:
    """A bot that has not reduced: how often in a row, and when all that it was told is over."""

    times: int
    over_at: Nanoseconds


@dataclass(slots=True)
class _Cover:
    """What others take off instead of a bot, base units: in all, by now as far as seen, and how much nobody can."""

    since: Nanoseconds
    by: tuple[BotId, ...] = ()
    failed: frozenset[BotId] = frozenset()
    size: float = 0.0
    seen: float = 0.0
    left: float = 0.0

    def is_under_way(self, now: Nanoseconds) -> bool:
        """Whether the others may still do what has not been seen of it."""
        return self.seen < self.size * (1.0 - SIZE_TOLERANCE) and now < self.since + TRIES_NS


@dataclass(slots=True)
class Routes:
    """Who covers for whom; see the module.

    Others begin once nothing that a bot was told can be done any more. It may keep, in its posture too, as much more as
    was seen to be off the others' parts: all together never have more than the position may be, and should it come back
    later, nothing is taken off twice. So it stays until nobody limits the position any more. Another that fails as well
    gets its own part back, and the first one's limit falls by as much.
    """

    _handed: set[Key] = field(default_factory=set)
    _covers: dict[Key, _Cover] = field(default_factory=dict)
    _stubborn: dict[Key, Stubborn] = field(default_factory=dict)
    _ended: dict[Key, Stubborn] = field(default_factory=dict)
    _told: set[Key] = field(default_factory=set)
    _now: Nanoseconds = 0

    def restart(self) -> None:
        """Begin an epoch: everybody is asked again."""
        self._handed.clear()
        self._covers.clear()
        self._stubborn = {}
        self._ended = {}
        self._told = set()

    @property
    def waiting(self) -> set[Key]:
        """Who is asked for no reduction now: others do it, or will once nothing that it was told can be done."""
        return {
            key
            for key in self._handed
            if key not in self._covers or self._covers[key].is_under_way(self._now)
        }

    def follow(
        self,
        desired: Desired,
        changed: Changed | None,
        state: GuardState,
        now: Nanoseconds,
        *,
        stubborn: Mapping[Key, Stubborn],
        routes: Callable[[BotId], Sequence[Route]],
    ) -> tuple[Desired, Changed | None]:
        """Return what is wanted of each bot once some do what others do not, and where that is not what it was.

        Args:
            desired: what is wanted of each, whatever the others do.
            changed: where that is not what it was, ``None`` for maybe everywhere.
            state: who holds what.
            now: Unix nanoseconds.
            stubborn: who has not reduced.
            routes: the order for a bot.
        """
        self._now = now
        self._ended = {key: how for key, how in stubborn.items() if _is_due(Route.HUMAN, how, routes(key[0]))}
        for key, how in stubborn.items():
            if _is_due(Route.OTHER_BOTS, how, routes(key[0])) and self._helpers(
                key, desired, state, stubborn
            ):
                self._handed.add(key)
        self._stubborn = {
            **{key: how for key, how in self._stubborn.items() if key in self._handed},
            **stubborn,
        }
        taken: dict[BotId, dict[MarketId, Limits]] = {}
        moved: dict[BotId, set[MarketId]] = {}
        failing = {key for key, how in stubborn.items() if _is_due(Route.OTHER_BOTS, how, routes(key[0]))}
        for key in sorted(self._handed):
            limits = desired.get(key[0], {}).get(key[1])
            if limits is None or limits.max_size is None:
                self._handed.discard(key)
                if self._covers.pop(key, None) is not None:
                    moved.setdefault(key[0], set()).add(key[1])
                continue
            known = self._stubborn.get(key)
            if key not in self._covers and (known is None or now < known.over_at):
                continue  # it may still do what it was told last
            self._cover(key, desired, state, stubborn, failing, taken)
        told_now = {(bot, market) for bot, limits in taken.items() for market in limits}
        for bot, market in sorted(told_now | self._told):
            moved.setdefault(bot, set()).add(
                market
            )  # also who was told something else before, and is no more
        self._told = told_now
        if not moved:
            return desired, changed
        told = {bot: {**each, **taken[bot]} if bot in taken else each for bot, each in desired.items()}
        return told, None if changed is None else joined(changed, moved)

    def findings(self) -> Iterator[Finding]:
        """Yield who is covered for, and where the routes have come to their end."""
        for key in sorted(self._covers.keys() | self._ended.keys()):
            yield _finding(key, self._covers.get(key), self._stubborn.get(key), is_ended=key in self._ended)

    def _helpers(
        self, key: Key, desired: Desired, state: GuardState, stubborn: Mapping[Key, Stubborn]
    ) -> list[BotId]:
        """Those who own the same position on the same side, are limited in it as well, and obey."""
        bot, market = key
        account, own = state.bots[bot].config.account, size_of(state, state.bots[bot], market)
        cause = desired.get(bot, {}).get(market, Limits()).size_cause
        if own is None or own.value == 0.0 or cause is None or cause.subject.bot is not None:
            return []
        helpers = []
        for other in state.owners(account, market):
            record = state.bots[other]
            size, limits = size_of(state, record, market), desired.get(other, {}).get(market, Limits())
            can = record.is_online and record.birth is not None and Verb.CUT_LEVERAGE in record.birth.verbs
            is_willing = other != bot and can and (other, market) not in stubborn.keys() | self._handed
            if is_willing and limits.max_size and size is not None and size.value * own.value > 0.0:
                helpers.append(other)
        return helpers

    def _cover(
        self,
        key: Key,
        desired: Desired,
        state: GuardState,
        stubborn: Mapping[Key, Stubborn],
        failing: AbstractSet[Key],
        taken: dict[BotId, dict[MarketId, Limits]],
    ) -> None:
        """Take what a bot holds too much off the others' parts, and let it keep what is seen to be off them."""
        bot, market = key
        limits, size = desired[bot][market], size_of(state, state.bots[bot], market)
        if size is None:
            return
        known = self._covers.setdefault(key, _Cover(since=self._now))
        failed = known.failed | {other for other in known.by if (other, market) in failing}
        if not known.by or failed != known.failed:
            known.by += tuple(self._helpers(key, desired, state, stubborn))
        known.failed, known.by = failed, tuple(dict.fromkeys(each for each in known.by if each not in failed))
        target = limits.max_size or 0.0
        excess = max(abs(size.value) - target, 0.0)
        parts = {
            other: (taken.get(other, {}).get(market) or desired[other][market]).max_size or 0.0
            for other in known.by
            if market in desired.get(other, {})
        }
        room = sum(parts.values())
        known.size, known.seen = min(excess, room), 0.0
        known.left = excess - known.size
        for other, part in parts.items():
            base = taken.get(other, {}).get(market) or desired[other][market]
            less = max(part - (known.size * part / room if room else 0.0), 0.0)
            taken.setdefault(other, {})[market] = replace(base, max_size=less)
            held = size_of(state, state.bots[other], market)
            if held is not None:
                known.seen += max(part - max(abs(held.value), less), 0.0)
        if excess > SIZE_TOLERANCE * target:
            # A stop that was asked for with a smaller size must not stand over what it keeps.
            stop = limits.stop if limits.stop_size is None else None
            own = replace(limits, max_size=target + known.seen, stop=stop, entries=Entries.HALTED)
            taken.setdefault(bot, {})[market] = own


def _is_due(route: Route, how: Stubborn, routes: Sequence[Route]) -> bool:
    return route in routes and how.times > list(routes).index(route)


def _finding(key: Key, cover: _Cover | None, how: Stubborn | None, *, is_ended: bool) -> Finding:
    bot, market = key
    evidence = [Evidence(name="times_failed", value=float(how.times if how else 0), unit="commands")]
    if cover is not None:
        evidence += [
            Evidence(name="others_take_off", value=cover.size, unit="base units"),
            Evidence(name="nobody_takes_off", value=cover.left, unit="base units"),
            Evidence(name="others", value=", ".join(cover.by), unit="bots"),
        ]
    is_left = cover is None or cover.left > 0.0
    return Finding(
        policy=POLICY_NAME,
        reason=Reason.ROUTES_ENDED if is_ended and is_left else Reason.COVERED_BY_OTHERS,
        severity=Severity.CRITICAL,
        subject=Subject(market=market, bot=bot),
        limit=Limit(entries=Entries.HALTED),
        evidence=tuple(evidence),
        counterfactual="would not stand if the bot had reduced when it was asked to",
    )
