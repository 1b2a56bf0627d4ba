"""How long it takes from what is seen to a smaller position: measured of cuts, assumed until then. No I/O."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import ceil, exp, log

from guard.account.slowing import ActionPace, Slowness
from guard.commands import CommandOutcome, OutcomeKind
from guard.units import NS_PER_S, BotId, Nanoseconds
from perpguard_sdk.messages import Command, Verb

ASSUMED_S = 30.0
"""What an action is taken to need until enough were measured."""

CONFIRMED_MIN = 20
"""Cuts seen to take effect before their times are believed: of so few the 99th percentile is the slowest."""

OPEN_MAX = 10_000
"""Commands waited for at once, the oldest forgotten: ten for each of a thousand bots, 1 MB."""

VENUE_VERBS = frozenset({Verb.CUT_LEVERAGE, Verb.WIDEN_STOPS})
"""Commands that a bot can carry out only with its venue."""

_HALF_LIFE = 200.0  # cuts after which one counts half
_LOW_S, _HIGH_S = 1e-3, 3600.0
_STEP = 0.1  # a bin is 10 % wide, and what is told is its upper end
_BINS = ceil(log(_HIGH_S / _LOW_S) / _STEP) + 1


@dataclass(frozen=True, slots=True)
class ActionTime:
    """How long an action must be reckoned to take.

    ``seconds`` is the 99th percentile of those measured, or what is assumed (``is_assumed``) while there are too few:
    never less than what was measured so far. ``count`` is how many were measured.
    """

    seconds: float
    is_assumed: bool
    count: int = 0


@dataclass(slots=True)
class ActionTimes:
    """The fold of cuts and what became of them; see the module.

    An action begins when the event arrived that the cut was decided upon and ends when its effect was confirmed:
    read from the position itself, not from the bot's answer. Only cuts of positions count, because nothing else
    moves a liquidation price away: a pause is confirmed in milliseconds and would hide how long a cut takes.

    A cut that failed is counted with the time that was assumed or the time that it had, whichever is longer: that it
    was refused at once makes no action fast. Those that another took the place of, or that nobody could see the end
    of (a bot that only listens among them), are not counted.

    Beside that it is kept how long cuts and moved stops (whatever a venue has a part in) take now against their usual,
    for each bot and verb: ``slowness``. What failed counts there with the time that it had.

    Quantiles come from a histogram in steps of 10 %, the upper end of a bin, in which a cut counts half after
    200 others of the same bot.

    >>> times = ActionTimes()
    >>> times.action_time()
    ActionTime(seconds=30.0, is_assumed=True, count=0)
    """

    assumed_s: float = ASSUMED_S
    confirmed_min: int = CONFIRMED_MIN
    _open: dict[str, tuple[Verb, Nanoseconds]] = field(default_factory=dict)
    _by_bot: dict[BotId, _Durations] = field(default_factory=dict)
    _all: _Durations | None = None
    _paces: dict[tuple[BotId, Verb], ActionPace] = field(default_factory=dict)

    def begin(self, command: Command, caused_at: Nanoseconds) -> None:
        """A command was decided because of what arrived at ``caused_at``; repeated, it began with the first time."""
        if command.verb not in VENUE_VERBS or command.id in self._open:
            return
        if len(self._open) >= OPEN_MAX:
            del self._open[next(iter(self._open))]
        self._open[command.id] = command.verb, caused_at

    def end(self, outcome: CommandOutcome) -> None:
        """Count what became of a command; commands that did not begin here are ignored."""
        begun = self._open.pop(outcome.command_id, None)
        if begun is None:
            return
        verb, begun_at = begun
        seconds = max(outcome.judged_at - begun_at, 0) / NS_PER_S
        if outcome.outcome in (OutcomeKind.CONFIRMED, OutcomeKind.FAILED):
            self._paces.setdefault((outcome.bot, verb), ActionPace()).add(seconds)
        if verb is not Verb.CUT_LEVERAGE:
            return
        match outcome.outcome:
            case OutcomeKind.CONFIRMED:
                pass
            case OutcomeKind.FAILED:
                seconds = max(seconds, self.assumed_s)
            case _:
                return
        if self._all is None:
            self._all = _Durations()
        self._all.add(seconds)
        self._by_bot.setdefault(outcome.bot, _Durations()).add(seconds)

    def of_bot(self, bot: BotId) -> ActionTime:
        """The time of one bot's actions."""
        return self._told(self._by_bot.get(bot, _NONE))

    def slowness(self, bots: Iterable[BotId]) -> tuple[Verb, Slowness] | None:
        """How much longer than usual actions of ``bots`` take now, by the verb that has slowed most; else ``None``.

        Given the bots of one venue it tells of that venue: a bot that alone is slow is as slow to act.
        """
        wanted = set(bots)
        known = [
            (verb, slowness)
            for (bot, verb), pace in self._paces.items()
            if bot in wanted and (slowness := pace.slowness()) is not None
        ]
        return max(known, key=lambda each: each[1].ratio, default=None)

    def action_time(self, bots: Iterable[BotId] | None = None) -> ActionTime:
        """The time of the slowest of ``bots``, which is what an account of theirs waits for; ``None``: of all actions.

        What is assumed of one of them is assumed of all, unless a slower one was measured. Where there is no bot
        nobody can act for the guard, and what is assumed holds.
        """
        if bots is None:
            return self._told(self._all or _NONE)
        return max(
            (self.of_bot(bot) for bot in bots),
            key=lambda each: (each.seconds, each.is_assumed),
            default=ActionTime(self.assumed_s, is_assumed=True),
        )

    def _told(self, durations: _Durations) -> ActionTime:
        measured = durations.p99_s()
        if durations.count >= self.confirmed_min:
            return ActionTime(measured, is_assumed=False, count=durations.count)
        return ActionTime(max(self.assumed_s, measured), is_assumed=True, count=durations.count)


@dataclass(slots=True)
class _Durations:
    """A decayed histogram of seconds: a new one weighs more instead of all others less."""

    count: int = 0
    _bins: list[float] = field(default_factory=lambda: [0.0] * _BINS)
    _weight: float = 1.0

    def add(self, seconds: float) -> None:
        place = int(log(min(max(seconds, _LOW_S), _HIGH_S) / _LOW_S) / _STEP)
        self.count += 1
        self._weight *= 2.0 ** (1.0 / _HALF_LIFE)
        if self._weight > 1e100:
            self._bins = [each / self._weight for each in self._bins]
            self._weight = 1.0
        self._bins[place] += self._weight

    def p99_s(self) -> float:
        """The upper end of the bin of the 99th percentile, 0.0 for nothing."""
        left = 0.01 * sum(self._bins)
        for place in range(_BINS - 1, -1, -1):
            left -= self._bins[place]
            if left < 0.0:
                return _LOW_S * exp(_STEP * (place + 1))
        return 0.0


_NONE = _Durations()
