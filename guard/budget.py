"""How many reductions a day are commanded without a human: beyond that one is asked and entries wait. No I/O.

One reduction is one way down: all slices, repetitions and tighter targets until the size that was asked for is seen.
Whatever is imminent is commanded whatever was spent, and spends nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain

from guard.desired import Desired, Limits
from guard.effects import size_of
from guard.findings import Finding, Limit, Reason, Severity, Subject
from guard.pacing import SIZE_TOLERANCE, Changed, joined
from guard.state import GuardState
from guard.units import NS_PER_MS, NS_PER_S, AccountId, BotId, MarketId, Nanoseconds, ms_of, symbol_of
from perpguard_sdk.messages import Entries, Evidence, StopRule

POLICY_NAME = "dispatch"

DAY_NS = 86_400 * NS_PER_S

Key = tuple[BotId, MarketId]


@dataclass(frozen=True, slots=True)
class Allowance:
    """How many reductions a bot may be asked for in a market, and all bots of an account together, in 24 hours."""

    of_bot: int
    of_account: int


@dataclass(slots=True)
class _Granted:
    """What a bot may be brought to without asking: ``is_done`` once it was seen to be there."""

    size: float | None
    stop: StopRule | None
    is_done: bool = False

    def follow_up(self, limits: Limits) -> None:
        """What is asked for no more is granted no more: going back there is another reduction."""
        if limits.max_size is None or (self.size is not None and limits.max_size > self.size):
            self.size = limits.max_size
        self.stop = limits.stop


@dataclass(slots=True)
class Budget:
    """What was spent of the allowance, what of what is wanted is granted, and what waits for a human; see the module.

    What was spent in the last 24 hours goes out with each posture, and comes back with the last one of a former guard.
    """

    _spent: dict[Key, list[Nanoseconds]] = field(default_factory=dict)
    _granted: dict[Key, _Granted] = field(default_factory=dict)
    _waits: dict[Key, Finding] = field(default_factory=dict)
    _limited: set[Key] = field(default_factory=set)

    def restart(self, state: GuardState) -> None:
        """Begin an epoch: remember what a former guard has spent, and what it had asked for already."""
        self._granted.clear()
        self._waits.clear()
        for bot, floor in state.floors.items():
            for market in state.bots[bot].markets:
                symbol = symbol_of(market)
                spent = {*self._spent.get((bot, market), ())}
                spent.update(at * NS_PER_MS for at in floor.reductions.get(symbol, ()))
                if spent:
                    self._spent[bot, market] = sorted(spent)
                if symbol in floor.max_size or symbol in floor.stops:
                    size, stop = floor.max_size.get(symbol), floor.stops.get(symbol)
                    self._granted[bot, market] = _Granted(size, stop)

    def told(self, bot: BotId, now: Nanoseconds) -> dict[str, tuple[int, ...]]:
        """Return what a posture has to remember: when reductions of its bot began, by symbol, Unix ms."""
        return {
            symbol_of(market): tuple(ms_of(at) for at in times if now - at < DAY_NS)
            for (spender, market), times in self._spent.items()
            if spender == bot and any(now - at < DAY_NS for at in times)
        }

    def findings(self) -> Iterator[Finding]:
        """Yield what would have been commanded and waits for a human."""
        yield from self._waits.values()

    def follow(
        self,
        desired: Desired,
        changed: Changed | None,
        state: GuardState,
        now: Nanoseconds,
        *,
        allowance: Callable[[BotId], Allowance],
        stop_told: Callable[[BotId, MarketId], StopRule | None],
        is_granted: Callable[[BotId, MarketId], bool],
    ) -> tuple[Desired, Changed | None]:
        """Return what of ``desired`` may be commanded at ``now``, and where that is not what it was before.

        Args:
            desired: what is wanted.
            changed: where that is not what it was, ``None`` for maybe everywhere.
            state: who holds what.
            now: Unix nanoseconds.
            allowance: how much may be spent on a bot.
            stop_told: the stop rule that a bot was told last.
            is_granted: whether a human has said that what was spent is not to be minded.
        """
        held_back: dict[BotId, dict[MarketId, Limits]] = {}
        moved: dict[BotId, set[MarketId]] = {}
        for bot, market in self._todo(desired, changed):
            was_waiting = (bot, market) in self._waits
            limits = self._judge(
                bot, market, desired[bot][market], state, now, allowance(bot), stop_told, is_granted
            )
            if limits is not None:
                held_back.setdefault(bot, {})[market] = limits
            if limits is not None or was_waiting:
                moved.setdefault(bot, set()).add(market)
        if not moved:
            return desired, changed
        given = {
            bot: {**each, **held_back[bot]} if bot in held_back else each for bot, each in desired.items()
        }
        return given, None if changed is None else joined(changed, moved)

    def _todo(self, desired: Desired, changed: Changed | None) -> Sequence[Key]:
        """Where sizes or stops are limited, or were: in the order of names."""
        todo = {key for key in self._granted.keys() | self._waits.keys() if key[1] in desired.get(key[0], ())}
        self._granted = {key: known for key, known in self._granted.items() if key in todo}
        self._waits = {key: known for key, known in self._waits.items() if key in todo}
        if changed is None:
            self._limited.clear()
        for bot in desired if changed is None else changed:
            limits = desired.get(bot, {})
            where = None if changed is None else changed[bot]
            for market in limits if where is None else where & limits.keys():
                self._limited.discard((bot, market))
                if limits[market].max_size is not None or limits[market].stop is not None:
                    self._limited.add(
                        (bot, market)
                    )  # looked at at each step: what is held may grow beyond it
        self._limited = {key for key in self._limited if key[1] in desired.get(key[0], ())}
        return sorted(todo | self._limited)

    def _judge(
        self,
        bot: BotId,
        market: MarketId,
        limits: Limits,
        state: GuardState,
        now: Nanoseconds,
        allowance: Allowance,
        stop_told: Callable[[BotId, MarketId], StopRule | None],
        is_granted: Callable[[BotId, MarketId], bool],
    ) -> Limits | None:
        """Grant what is wanted in a market (``None``), or return what may be told instead of it."""
        key = (bot, market)
        self._waits.pop(key, None)
        if limits.max_size is None and limits.stop is None:
            self._granted.pop(key, None)
            return None
        size = size_of(state, state.bots[bot], market)
        held = None if size is None else abs(size.value)
        granted = self._granted.get(key)
        if granted is not None and not granted.is_done and granted.size is not None and held is not None:
            granted.is_done = held <= granted.size * (1.0 + SIZE_TOLERANCE) + 1e-12
        if not _disrupts(limits, granted, held):
            if granted is not None:
                granted.follow_up(limits)
            return None
        is_on_the_way = granted is not None and granted.size is not None and not granted.is_done
        if not is_on_the_way and not limits.is_imminent and not is_granted(bot, market):
            account = state.bots[bot].config.account
            spent = self._count([key], now)
            spent_account = self._count([each for each in self._spent if _is_of(each, account, state)], now)
            if spent >= allowance.of_bot or spent_account >= allowance.of_account:
                self._waits[key] = _finding(key, limits, held, spent, spent_account, allowance)
                return replace(
                    limits.without_entries(),
                    max_size=None if granted is None else granted.size,
                    stop=stop_told(bot, market),
                )
            self._spent.setdefault(key, []).append(now // NS_PER_MS * NS_PER_MS)
        self._granted[key] = _Granted(limits.max_size, limits.stop)
        return None

    def _count(self, keys: Sequence[Key], now: Nanoseconds) -> int:
        for key in keys:
            if key in self._spent:
                self._spent[key] = [at for at in self._spent[key] if now - at < DAY_NS]
        return len(list(chain.from_iterable(self._spent.get(key, ()) for key in keys)))


def _is_of(key: Key, account: AccountId, state: GuardState) -> bool:
    record = state.bots.get(key[0])
    return record is not None and record.config.account == account


def _disrupts(limits: Limits, granted: _Granted | None, held: float | None) -> bool:
    """Whether carrying limits out takes something off a position, or moves its stop, beyond what is granted."""
    if held == 0.0:
        return False
    size, known = limits.max_size, None if granted is None else granted.size
    is_smaller = size is not None and (known is None or size < known * (1.0 - SIZE_TOLERANCE))
    if is_smaller and (held is None or held > (size or 0.0) * (1.0 + SIZE_TOLERANCE) + 1e-12):
        return True
    price = None if limits.stop is None else limits.stop.stop_price
    granted_stop = None if granted is None else granted.stop
    return price is not None and (granted_stop is None or granted_stop.stop_price != price)


def _finding(
    key: Key, limits: Limits, held: float | None, spent: int, spent_account: int, allowance: Allowance
) -> Finding:
    bot, market = key
    cause = limits.size_cause or limits.stop_cause
    evidence = [
        Evidence(
            name="reductions_in_a_day", value=float(spent), unit="reductions", limit=float(allowance.of_bot)
        ),
        Evidence(
            name="reductions_of_the_account_in_a_day",
            value=float(spent_account),
            unit="reductions",
            limit=float(allowance.of_account),
        ),
        Evidence(
            name="would_ask_because_of", value=str(cause.reason) if cause else "a former guard", unit="reason"
        ),
    ]
    if limits.max_size is not None:
        evidence.append(Evidence(name="would_ask_for_a_size_of", value=limits.max_size, unit="base units"))
    if limits.stop is not None and limits.stop.stop_price is not None:
        evidence.append(Evidence(name="would_ask_for_a_stop_at", value=limits.stop.stop_price, unit="quote"))
    if held is not None:
        evidence.append(Evidence(name="position", value=held, unit="base units"))
    return Finding(
        policy=POLICY_NAME,
        reason=Reason.BUDGET_SPENT,
        severity=Severity.CRITICAL,
        subject=Subject(market=market, bot=bot),
        limit=Limit(entries=Entries.REDUCE_ONLY),
        evidence=tuple(evidence),
        counterfactual=(
            "would be commanded if less had been reduced in the last 24 hours, if a human told the guard to ignore "
            "budget_spent, or if the liquidation were imminent"
        ),
    )
