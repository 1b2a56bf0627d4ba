"""A bot on paper in the process: keeps a strategy's target, and obeys postures and commands as one with the SDK does.

It trades one market on one account. Nothing here reads a clock: ``step`` is told what time it is, and what was sent to
the bot is heard ``latency_ns`` later. What it has done comes out as the events by which a guard learns of a real one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import inf
from typing import Protocol

from guard.commands import PublishCommand, PublishPosture
from guard.events import AnyEvent, BotAcked, BotBorn, BotReported, MarketFeatures
from guard.holdings import MarginMode, Order
from guard.paper.account import PaperAccount, Traded
from guard.paper.fills import limit_fill, market_fill
from guard.units import (
    BPS_PER_UNIT,
    NS_PER_MS,
    AccountId,
    BotId,
    MarketId,
    Nanoseconds,
    ms_of,
    symbol_of,
    venue_of,
)
from perpguard_sdk.limits import Restrictions, of_command, of_posture, tightest, tightest_stop
from perpguard_sdk.messages import (
    ALL_SYMBOLS,
    Ack,
    AckStatus,
    Birth,
    Command,
    Effect,
    Entries,
    Mode,
    Posture,
    Reported,
    ReportedOrder,
    ReportedPosition,
    Resume,
    StopRule,
    Verb,
    VerbCapability,
)

LATENCY_NS = 1_500 * NS_PER_MS
"""From when something is sent until it is done: broker, bot and venue."""

REPORT_NS = 10_000 * NS_PER_MS
"""It reports so often where nothing has changed, and at once where something has."""

SIZE_TOLERANCE = 1e-9
GROWTH_MIN_SHARE = 0.05
"""Less than this share of its target is not worth an order."""

MARGIN_KEPT = 0.98
"""Of its equity this much may be margin: fees have to be paid from the rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a strategy wants to hold now.

    Attributes:
        size: signed base units; grown to at most, given up down to.
        stop: trigger of its protective stop, ``None`` for none.
        low, high: marks between which it will want the same.
        until: until when it will.
    """

    size: float
    stop: float | None = None
    low: float = 0.0
    high: float = inf
    until: Nanoseconds = 2**63 - 1


class Strategy(Protocol):
    """What a bot trades by; it may remember."""

    def target(self, at: Nanoseconds, mark: float, account: PaperAccount, market: MarketId) -> Target:
        """Say what it wants at a mark."""
        ...

    def closed(self, at: Nanoseconds, *, by_stop: bool) -> None:
        """Be told that its position is gone by its stop, or by its own wish."""
        ...


@dataclass(slots=True)
class PaperBot:
    """See the module. ``hear`` every step of a guard, ``step`` as time and prices go on, ``events`` to tell of it.

    A position larger than the posture allows is reduced at once; an entry happens where entries, size, leverage and
    ``entry_share`` (a part of the target, taken as the most that a position may be grown to) allow it. Margin that a
    cut sets free is put behind what is left of an isolated position as far as ``max_leverage`` asks for it: that is
    what makes its liquidation price move.

    Attributes:
        leverage: notional over margin at which it opens; of its equity where it is crossed.
        mode: how its position is margined.
    """

    bot: BotId
    account_id: AccountId
    market: MarketId
    account: PaperAccount
    strategy: Strategy
    leverage: float
    mode: MarginMode = MarginMode.ISOLATED
    latency_ns: Nanoseconds = LATENCY_NS
    traded: list[Traded] = field(default_factory=list)
    slippage_usd: float = 0.0
    """Paid against mid, by all orders."""
    stop: float | None = None
    version: int = 0
    """Rises whenever something is held, ordered or obeyed that was not before."""
    _posture: Posture | None = None
    _commands: list[Command] = field(default_factory=list)
    _waiting: list[tuple[Nanoseconds, Posture | Command]] = field(default_factory=list)
    _seen: set[str] = field(default_factory=set)
    _acks: list[Command] = field(default_factory=list)
    _price_limit: float | None = None
    _restrictions: Restrictions = field(default_factory=Restrictions)
    _target: Target | None = None
    _told_version: int = -1
    _told_at: Nanoseconds = 0
    _number: int = 0
    _seq: int = 0
    _is_pending: bool = False

    def birth(self, at: Nanoseconds) -> BotBorn:
        """Say what it is."""
        return BotBorn(
            received_at=at,
            birth=Birth(
                bot=self.bot,
                session=f"{self.bot}-1",
                ts=ms_of(at),
                software="perpguard-paper",
                software_version="1",
                mode=Mode.PAPER,
                venue=venue_of(self.market),
                account=self.account_id.partition(":")[2],
                symbols=(symbol_of(self.market),),
                verbs={verb: VerbCapability(deadline_ms=5_000) for verb in Verb},
                no_adds=True,
                scales_entries=True,
            ),
        )

    def hear(
        self,
        at: Nanoseconds,
        postures: Iterable[PublishPosture] = (),
        commands: Iterable[PublishCommand] = (),
    ) -> None:
        """Be sent these at ``at``; what is for others is ignored."""
        for publish in postures:
            if publish.posture.bot == self.bot:
                self._waiting.append((at + self.latency_ns, publish.posture))
        for sent in commands:
            if sent.command.bot == self.bot:
                self._waiting.append((at + self.latency_ns, sent.command))

    @property
    def is_busy(self) -> bool:
        """Whether something was sent to it that it has not done yet."""
        return bool(self._waiting) or self._is_pending

    @property
    def quiet(self) -> tuple[float, float, Nanoseconds]:
        """Between which marks, and until when, it would do nothing if nobody told it anything; but see liquidation."""
        target = self._target
        if target is None or self._is_pending:
            return inf, -inf, 0
        low, high, held = target.low, target.high, self.account.size(self.market)
        if self.stop is not None and held:
            low, high = (max(low, self.stop), high) if held > 0.0 else (low, min(high, self.stop))
        return low, high, target.until

    @property
    def entries(self) -> Entries:
        """What it may do now, as far as it has heard."""
        by_symbol = self._restrictions.entries
        symbol = symbol_of(self.market)
        return Entries.tightest(*(by_symbol[key] for key in (symbol, ALL_SYMBOLS) if key in by_symbol))

    def step(self, at: Nanoseconds, mark: float, book: MarketFeatures | None) -> None:
        """Go on to ``at``: hear what has come, obey, then follow the strategy."""
        self.account.mark(self.market, mark)
        has_heard = self._listen(at)
        if self._is_stopped(mark):
            self._close(at, mark, book, by_stop=True)
        target = self._target
        is_quiet = (
            target is not None
            and not has_heard
            and not self._is_pending
            and target.low < mark < target.high
            and at < target.until
        )
        if is_quiet:
            return
        target = self._target = self.strategy.target(at, mark, self.account, self.market)
        self._is_pending = False
        self._follow(at, mark, book, target)
        self._set_stop(mark, target)

    def liquidated(self, at: Nanoseconds) -> None:
        """Be told that the venue has taken its position."""
        self.stop, self.version = None, self.version + 1
        self._target = None
        self.strategy.closed(at, by_stop=True)

    def events(self, at: Nanoseconds) -> list[AnyEvent]:
        """What a guard learns of it and of its account now: nothing where nothing has changed of late."""
        if self.version == self._told_version and at < self._told_at + REPORT_NS:
            return []
        self._told_version, self._told_at = self.version, at
        self._number += 1
        acks, self._acks = self._acks, []
        orders = self._orders()
        return [
            *(BotAcked(received_at=at, ack=self._ack(command, at)) for command in acks),
            self.account.snapshot(self.account_id, at, orders, self.leverage),
            BotReported(received_at=at, reported=self._report(at)),
        ]

    def _listen(self, at: Nanoseconds) -> bool:
        due = [message for due_at, message in self._waiting if due_at <= at]
        if not due:
            return False
        self._waiting = [each for each in self._waiting if each[0] > at]
        for message in due:
            if isinstance(message, Posture):
                if self._posture is None or message.version >= self._posture.version:
                    self._posture = message
                    self._commands = [
                        each for each in self._commands if each.posture_version > message.version
                    ]
            elif message.id not in self._seen:
                self._seen.add(message.id)
                self._acks.append(message)
                self._seq = max(self._seq, message.seq)
                if not isinstance(message, Resume):
                    self._commands.append(message)
                self._price_limit = getattr(message, "price_limit", None)
        self._take_restrictions()
        self.version += 1
        return True

    def _take_restrictions(self) -> None:
        parts = [of_command(command) for command in self._commands]
        if self._posture is not None:
            parts.insert(0, of_posture(self._posture))
        self._restrictions = tightest(*parts)

    def _of(self, by_symbol: dict[str, float]) -> float:
        return min(
            (by_symbol[key] for key in (symbol_of(self.market), ALL_SYMBOLS) if key in by_symbol), default=inf
        )

    def _follow(self, at: Nanoseconds, mark: float, book: MarketFeatures | None, target: Target) -> None:
        held = self.account.size(self.market)
        allowed = min(abs(target.size), self._of(self._restrictions.max_size))
        sign = 1.0 if (held or target.size) > 0.0 else -1.0
        if abs(held) > allowed + SIZE_TOLERANCE:
            is_own = abs(held) > abs(target.size) + SIZE_TOLERANCE
            self._reduce(at, sign * allowed - held, mark, book, limit=None if is_own else self._price_limit)
        elif self._may_grow(held):
            share = self._entry_share()
            allowed = min(allowed, abs(target.size) * share)
            leverage = min(self.leverage, self._of(self._restrictions.max_leverage))
            most = MARGIN_KEPT * leverage * max(self.account.equity_usd, 0.0) / mark
            wanted = min(allowed, most) - abs(held)
            if wanted > max(GROWTH_MIN_SHARE * abs(target.size), 0.0):
                self._grow(sign * wanted, mark, book, leverage)
        self._put_margin()

    def _entry_share(self) -> float:
        return min(1.0, self._of(self._restrictions.entry_share))

    def _may_grow(self, held: float) -> bool:
        entries = self.entries
        return entries is Entries.ALLOWED or (entries is Entries.NO_ADDS and held == 0.0)

    def _grow(self, size: float, mark: float, book: MarketFeatures | None, leverage: float) -> None:
        fill = None if book is None else market_fill(book, size)
        if fill is None:
            self._is_pending = True
            return
        leg = self.account.legs.get(self.market)
        own = self.leverage if leg is None else leverage
        needed = abs(size) * fill.price / own
        if self.mode is MarginMode.ISOLATED and needed > MARGIN_KEPT * self.account.free_usd:
            size *= MARGIN_KEPT * max(self.account.free_usd, 0.0) / needed
        if abs(size) * mark < 1.0:
            return
        self._trade(size, fill.price, fill.cost_bps, mark, leverage=own)

    def _reduce(
        self, at: Nanoseconds, size: float, mark: float, book: MarketFeatures | None, limit: float | None
    ) -> None:
        if book is None:
            self._is_pending = True
            return
        fill = market_fill(book, size) if limit is None else limit_fill(book, size, limit)
        if fill is None or abs(fill.size) < abs(size) - SIZE_TOLERANCE:
            self._is_pending = True
        if fill is not None and fill.size:
            self._trade(fill.size, fill.price, fill.cost_bps, mark)
            if not self.account.size(self.market) and self._target is not None and not self._target.size:
                self._target = None
                self.strategy.closed(at, by_stop=False)

    def _close(self, at: Nanoseconds, mark: float, book: MarketFeatures | None, *, by_stop: bool) -> None:
        held = self.account.size(self.market)
        fill = None if book is None else market_fill(book, -held)
        if fill is None:
            return
        self._trade(-held, fill.price, fill.cost_bps, mark)
        self.stop, self._target = None, None
        self.strategy.closed(at, by_stop=by_stop)

    def _trade(
        self, size: float, price: float, cost_bps: float, mark: float, leverage: float | None = None
    ) -> None:
        isolated = leverage if self.mode is MarginMode.ISOLATED else None
        self.traded.append(self.account.trade(self.market, size, price, leverage=isolated, mark_price=mark))
        self.slippage_usd += abs(size) * price * cost_bps / BPS_PER_UNIT
        self.version += 1

    def _put_margin(self) -> None:
        """Put free money behind an isolated position until its leverage is what it may be."""
        leg = self.account.legs.get(self.market)
        most = self._of(self._restrictions.max_leverage)
        if leg is None or leg.margin_usd is None or most == inf:
            return
        missing = leg.notional_usd / most - (leg.margin_usd + leg.profit_usd)
        if missing > 0.01 * leg.margin_usd and self.account.add_margin(self.market, missing) > 0.0:
            self.version += 1

    def _is_stopped(self, mark: float) -> bool:
        held = self.account.size(self.market)
        return (
            self.stop is not None and held != 0.0 and (mark <= self.stop if held > 0.0 else mark >= self.stop)
        )

    def _set_stop(self, mark: float, target: Target) -> None:
        stop = target.stop
        held = self.account.size(self.market)
        rule = self._stop_rule()
        if stop is not None and rule is not None:
            sign = 1.0 if held > 0.0 else -1.0
            if rule.stop_price is not None:
                stop = rule.stop_price
            elif rule.distance_bps_min is not None:
                edge = mark * (1.0 - sign * rule.distance_bps_min / BPS_PER_UNIT)
                stop = min(stop, edge) if held > 0.0 else max(stop, edge)
        if not held:
            stop = None
        if stop != self.stop:
            self.stop, self.version = stop, self.version + 1

    def _stop_rule(self) -> StopRule | None:
        rules = self._restrictions.stops
        found = [rules[key] for key in (symbol_of(self.market), ALL_SYMBOLS) if key in rules]
        if not found:
            return None
        return found[0] if len(found) == 1 else tightest_stop(found[1], found[0])

    def _orders(self) -> tuple[Order, ...]:
        if self.stop is None:
            return ()
        held = self.account.size(self.market)
        return (
            Order(
                order_id=f"{self.bot}-stop",
                market=self.market,
                size=-held,
                stop_price=self.stop,
                reduce_only=True,
            ),
        )

    def _ack(self, command: Command, at: Nanoseconds) -> Ack:
        return Ack(
            bot=self.bot,
            session=f"{self.bot}-1",
            command_id=command.id,
            epoch=command.epoch,
            seq=command.seq,
            status=AckStatus.APPLIED,
            at=ms_of(at),
            effect=Effect(size_after=self.account.size(self.market), stop_price_after=self.stop),
        )

    def _report(self, at: Nanoseconds) -> Reported:
        posture, symbol = self._posture, symbol_of(self.market)
        leg = self.account.legs.get(self.market)
        positions = () if leg is None else (self._position(symbol),)
        orders = tuple(
            ReportedOrder(
                order_id=order.order_id,
                symbol=symbol,
                size=order.size,
                stop_price=order.stop_price,
                reduce_only=True,
            )
            for order in self._orders()
        )
        return Reported(
            bot=self.bot,
            session=f"{self.bot}-1",
            ts=ms_of(at),
            mode=Mode.PAPER,
            posture_version=0 if posture is None else posture.version,
            epoch=0 if posture is None else posture.epoch,
            seq=self._seq,
            safe_mode=False,
            entries=self._restrictions.entries,
            max_leverage=self._restrictions.max_leverage,
            max_size=self._restrictions.max_size,
            entry_share=self._restrictions.entry_share,
            positions=positions,
            orders=orders,
            guard="" if posture is None else posture.session,
            number=self._number,
            clock_offset_ms=0.0,
        )

    def _position(self, symbol: str) -> ReportedPosition:
        leg = self.account.legs[self.market]
        return ReportedPosition(
            symbol=symbol,
            size=leg.size,
            entry_price=leg.entry_price,
            leverage=self.leverage,
            mark_price=leg.mark_price,
            liquidation_price=self.account.liquidation_price(self.market),
        )
