"""How a position is come down with: in slices, each only after the effect of the last one was seen. No I/O, no clock.

What the arbiter wants of a paced position is its end; what bots are told, in posture and command alike, is the
size that they may have by now. A bot that starts again and reads its posture is therefore never ahead of the pace.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, fields

from guard.desired import Desired, Limits
from guard.effects import size_of
from guard.findings import Pace
from guard.state import GuardState
from guard.units import NS_PER_MS, AccountId, BotId, MarketId, Nanoseconds
from perpguard_sdk.messages import StopRule

Changed = Mapping[BotId, AbstractSet[MarketId] | None]

SIZE_TOLERANCE = 0.02
"""A lot that cannot be split is not a disobedience."""

SIZE_EPSILON = 1e-9
"""Sizes that are worked out in different ways differ by so little, as a ratio."""

SLICE_TOLERANCE = 0.25
"""So much of a slice may be left of it; were it more, small slices would seem done before they are begun."""


@dataclass(frozen=True, slots=True)
class PacedLimits(Limits):
    """Limits on the way to what is wanted: ``max_size`` is what the position may be by now.

    ``tolerance`` is how far above ``max_size`` (as a ratio) counts as reached, ``price_limit`` the worst price.
    """

    tolerance: float = SIZE_TOLERANCE
    price_limit: float | None = None


def pace_of(limits: Limits) -> Pace | None:
    """Return how the size in ``limits`` is to be come to, ``None`` for at once: so whatever cannot wait is done."""
    cause = limits.size_cause
    if cause is None or limits.max_size is None:
        return None
    return None if limits.is_imminent else cause.limit.pace


def tolerance_of(limits: Limits) -> float:
    """Return how far above its limit, as a ratio, a size counts as reached."""
    return limits.tolerance if isinstance(limits, PacedLimits) else SIZE_TOLERANCE


def price_limit_of(limits: Limits) -> float | None:
    """Return the worst price that a reduction may take, ``None`` for any."""
    return limits.price_limit if isinstance(limits, PacedLimits) else None


@dataclass(slots=True)
class _Stage:
    """What one bot may hold by now, ``set_at`` when it was told so, ``seen`` whether it was seen to be so."""

    size: float
    slice_size: float
    set_at: Nanoseconds
    stop: StopRule | None
    seen: bool = False


@dataclass(slots=True)
class Pacing:
    """Where each unwinding is; see the module.

    All bots of one account's position take one slice together, whose parts add up to the pace's, and the next one
    begins once each of them was seen to have done its part, or has failed to. A stage never rises while the
    unwinding lasts, and is never above what another finding asks for without a pace. A stop is told once the stage is
    no larger than the size that it was asked for with, and until then it stays where the bot was told last: a rule that
    stands for a smaller size must not hold for a larger one.
    """

    broken: dict[tuple[BotId, MarketId | None], Exception] = field(default_factory=dict)
    _stages: dict[tuple[BotId, MarketId], _Stage] = field(default_factory=dict)
    _paced: set[tuple[BotId, MarketId]] = field(default_factory=set)
    _shares: dict[tuple[BotId, MarketId], float] = field(default_factory=dict)
    _told: dict[tuple[BotId, MarketId], float] = field(default_factory=dict)
    """What was told at once before an unwinding began: no stage is above it."""
    _last: dict[tuple[BotId, MarketId], float | None] = field(default_factory=dict)
    """The size that was told last, paced or not: a stop told with it may not stand over a larger one."""

    def restart(self) -> None:
        """Begin every unwinding anew, from what is held."""
        self._stages.clear()

    def follow(
        self,
        desired: Desired,
        changed: Changed | None,
        state: GuardState,
        now: Nanoseconds,
        *,
        has_failed: Callable[[BotId, MarketId], bool],
        stop_told: Callable[[BotId, MarketId], StopRule | None],
    ) -> tuple[Desired, Changed | None]:
        """Return what bots may be told of ``desired`` at ``now``, and where that is not what it was before.

        Args:
            desired: what is wanted in the end.
            changed: where that is not what it was, ``None`` for maybe everywhere.
            state: who holds what.
            now: Unix nanoseconds.
            has_failed: whether a bot's last reduction in a market has ended without its effect.
            stop_told: the stop rule that a bot was told last.
        """
        todo = self._todo(desired, changed)
        if not todo:
            return desired, changed
        paced: dict[BotId, dict[MarketId, Limits]] = {}
        moved: dict[BotId, set[MarketId]] = {}
        for account, market in sorted({(state.bots[bot].config.account, market) for bot, market in todo}):
            for bot, limits in self._follow_position(
                account, market, desired, state, now, has_failed=has_failed, stop_told=stop_told
            ):
                if limits is not None:
                    paced.setdefault(bot, {})[market] = limits
                moved.setdefault(bot, set()).add(market)
        told = {bot: {**limits, **paced[bot]} if bot in paced else limits for bot, limits in desired.items()}
        return told, None if changed is None else joined(changed, moved)

    def _todo(self, desired: Desired, changed: Changed | None) -> set[tuple[BotId, MarketId]]:
        todo = {key for key in self._stages if key[0] in desired}
        for key in self._stages.keys() - todo:
            del self._stages[key]
        if changed is None:
            self._paced.clear()
        for bot in desired if changed is None else changed:
            limits = desired.get(bot, {})
            where = None if changed is None else changed[bot]
            for market in limits if where is None else where & limits.keys():
                self._paced.discard((bot, market))
                if (bot, market) not in self._stages and pace_of(limits[market]) is None:
                    self._last[bot, market] = limits[market].max_size
                if pace_of(limits[market]) is not None:
                    self._paced.add((bot, market))  # looked at at each step: what is held may grow beyond it
                elif (size := limits[market].max_size) is not None:
                    self._told[bot, market] = size
                else:
                    self._told.pop((bot, market), None)
        self._paced = {key for key in self._paced if key[1] in desired.get(key[0], ())}
        return todo | self._paced

    def _follow_position(
        self,
        account: AccountId,
        market: MarketId,
        desired: Desired,
        state: GuardState,
        now: Nanoseconds,
        *,
        has_failed: Callable[[BotId, MarketId], bool],
        stop_told: Callable[[BotId, MarketId], StopRule | None],
    ) -> Iterable[tuple[BotId, Limits | None]]:
        """Yield, for each owner that is or was paced, what it may be told; ``None`` for what is wanted itself."""
        owners = [
            bot
            for bot, limits in desired.items()
            if state.bots[bot].config.account == account and market in limits
        ]
        # Each of them is looked at, because that is where it is noted.
        self._shares = _shares(owners, market, desired, state)
        are_over = [self._is_over(bot, market, state, has_failed) for bot in owners]
        for bot in owners:
            limits, known = desired[bot][market], self._stages.get((bot, market))
            try:
                self._move(
                    (bot, market), limits, state, now, is_round_over=all(are_over), stop_told=stop_told
                )
            except Exception as error:  # noqa: BLE001 (what cannot be paced is wanted at once; others go on)
                self.broken[bot, market] = error
                self._stages.pop((bot, market), None)
            else:
                self.broken.pop((bot, market), None)
            stage = self._stages.get((bot, market))
            if stage is not None and limits.size_at_once is not None:
                stage.size = min(stage.size, max(limits.size_at_once, limits.max_size or 0.0))
            if stage is not None:
                yield bot, _at_stage(limits, stage)
            elif known is not None:
                yield bot, None
            self._last[bot, market] = limits.max_size if stage is None else stage.size
        for bot in [bot for bot, known in self._stages if known == market and market not in desired[bot]]:
            del self._stages[bot, market]

    def _is_over(
        self,
        bot: BotId,
        market: MarketId,
        state: GuardState,
        has_failed: Callable[[BotId, MarketId], bool],
    ) -> bool:
        """Whether a bot has done its part of the slice under way, or failed to."""
        stage = self._stages.get((bot, market))
        if stage is None:
            return True
        size = size_of(state, state.bots[bot], market)
        if size is None or size.seen_at <= stage.set_at:
            return stage.seen
        stage.seen = abs(size.value) <= stage.size * (1.0 + _tolerance(stage)) + 1e-12
        return stage.seen or has_failed(bot, market)

    def _move(
        self,
        key: tuple[BotId, MarketId],
        limits: Limits,
        state: GuardState,
        now: Nanoseconds,
        *,
        is_round_over: bool,
        stop_told: Callable[[BotId, MarketId], StopRule | None],
    ) -> None:
        """Begin, go on with, or end an unwinding."""
        target, pace, stage = limits.max_size, pace_of(limits), self._stages.get(key)
        held = _held(state, *key)
        if target is None or (pace is None and limits.size_cause is not None):
            self._stages.pop(key, None)
        elif pace is None:  # it is being taken back: nobody asks for less than there is by now
            if stage is not None and stage.size <= target:
                del self._stages[key]
        elif stage is not None:
            self._go_on(key, stage, target, pace, held, now, is_round_over=is_round_over)
        elif held is not None and held > target * (1.0 + SIZE_TOLERANCE) + 1e-12:
            slice_size = pace.slice_size * self._shares.get(key, 1.0)
            size = max(target, min(held - slice_size, self._told.get(key, held)))
            last = self._last.get(key)
            is_larger = last is not None and size > last * (1.0 + SIZE_EPSILON)
            self._stages[key] = _Stage(size, slice_size, now, None if is_larger else stop_told(*key))

    def _go_on(
        self,
        key: tuple[BotId, MarketId],
        stage: _Stage,
        target: float,
        pace: Pace,
        held: float | None,
        now: Nanoseconds,
        *,
        is_round_over: bool,
    ) -> None:
        if stage.size <= target:
            if stage.seen:
                del self._stages[key]
            else:
                stage.size = target
        elif held is not None and is_round_over and now >= stage.set_at + pace.interval_ms * NS_PER_MS:
            # Who has failed is asked for the same again, or from where its price limit has left it.
            slice_size = pace.slice_size * self._shares.get(key, 1.0) if stage.seen else stage.slice_size
            size = min(stage.size, max(target, held - slice_size))
            if size < stage.size:
                self._stages[key] = _Stage(size, slice_size, now, stage.stop)
        elif held is not None and stage.seen and held < stage.size * (1.0 - SIZE_TOLERANCE):
            stage.size = max(target, held)  # a stop has fired: what is gone is not bought back


def _stop_at(limits: Limits, stage: _Stage) -> StopRule | None:
    """The stop that may stand over what a bot may hold by now."""
    is_fit = limits.stop_size is None or stage.size <= limits.stop_size * (1.0 + SIZE_EPSILON)
    if limits.stop is None or is_fit:
        return limits.stop
    return stage.stop if limits.stop_at_once is None else limits.stop_at_once


def _at_stage(limits: Limits, stage: _Stage) -> PacedLimits:
    pace, parts = pace_of(limits), {each.name: getattr(limits, each.name) for each in fields(Limits)}
    assert limits.max_size is not None
    stage.stop = _stop_at(limits, stage)
    parts.update(max_size=max(stage.size, limits.max_size), stop=stage.stop)
    price_limit = None if pace is None else pace.price_limit
    return PacedLimits(**parts, tolerance=_tolerance(stage), price_limit=price_limit)


def _tolerance(stage: _Stage) -> float:
    if stage.size <= 0.0:
        return SIZE_TOLERANCE
    return min(SIZE_TOLERANCE, SLICE_TOLERANCE * stage.slice_size / stage.size)


def _held(state: GuardState, bot: BotId, market: MarketId) -> float | None:
    """What a bot holds at most, absolute base units; ``None`` where nobody has said anything.

    Of one that does not say itself: what of the account's position the others do not hold.
    """
    size = size_of(state, state.bots[bot], market)
    if size is not None:
        return abs(size.value)
    account = state.accounts.get(state.bots[bot].config.account)
    if account is None or account.source is None:
        return None
    whole = account.size(market)
    others = (other for other in state.owners(state.bots[bot].config.account, market) if other != bot)
    held = (account.held(other, market) for other in others if other in account.held_by_bot)
    return max(abs(whole) - sum(abs(part) for part in held if part * whole > 0.0), 0.0)


def _shares(
    owners: Sequence[BotId], market: MarketId, desired: Desired, state: GuardState
) -> dict[tuple[BotId, MarketId], float]:
    """Each owner's part of a slice of the whole position: as much of it as it has to take off of all that is paced."""
    excess: dict[tuple[BotId, MarketId], float] = {}
    for bot in owners:
        limits, held = desired[bot][market], _held(state, bot, market)
        if held is not None and limits.max_size is not None and pace_of(limits) is not None:
            excess[bot, market] = max(held - limits.max_size, 0.0)
    total = sum(excess.values())
    return {key: each / total for key, each in excess.items()} if total > 0.0 else {}


def joined(changed: Changed, moved: Mapping[BotId, AbstractSet[MarketId]]) -> Changed:
    """Return where something is not what it was, of one or the other."""
    joined = dict(changed)
    for bot, markets in moved.items():
        known = joined.get(bot, frozenset())
        joined[bot] = None if known is None else known | markets
    return joined
