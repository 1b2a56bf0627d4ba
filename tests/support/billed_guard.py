"""A guard with a ledger beside it, in a made-up world whose every cost can be worked out by hand."""

from __future__ import annotations

from dataclasses import dataclass, field

from msgspec import structs

from guard.arbiter import ArbiterSettings
from guard.audit import Billed
from guard.bill.ledger import Ledger
from guard.bill.settings import BillSettings
from guard.billed import BillLine
from guard.events import AnyEvent, BotReported, MarkPriceSeen
from guard.holdings import Position
from guard.margin_terms import ContractKind
from guard.market import liquidity
from perpguard_sdk.messages import AckStatus, CutLeverage, Entries, Mode, Pause
from tests.support.builders import (
    ACCOUNT,
    ALPHA,
    SYMBOL,
    Guard,
    SaysWhatItIsTold,
    acked,
    at,
    born,
    features,
    mark,
    position,
    reported,
    snapshot,
    started,
    tick,
)

SETTINGS = BillSettings(taker_fee_bps=5.0, liquidation_fee_bps=50.0, settle_s=20.0)


@dataclass
class BilledGuard:
    """One account with one bot that does at once what it is told, unless its guard is of another mode."""

    size: float = 10.0
    equity_usd: float | None = 1_000.0
    """At the start; then by what is traded, at the fee and the book that the ledger knows of."""
    liquidation_price: float | None = None
    bot_mode: Mode = Mode.PAPER
    obeys: bool = True
    price: float = 100.0
    policy: SaysWhatItIsTold = field(default_factory=SaysWhatItIsTold)
    settings: BillSettings = SETTINGS
    guard: Guard = field(init=False)
    ledger: Ledger = field(init=False)
    records: list[Billed] = field(default_factory=list)
    lines: list[BillLine] = field(default_factory=list)
    seconds: float = 0.0
    depth: float = 100.0
    entries: Entries = Entries.ALLOWED
    withheld: dict[str, float] | None = None
    """What the bot says it would hold more, had its entries not been held back."""
    silent: bool = False
    kind: ContractKind = ContractKind.LINEAR
    cash_usd: float = field(init=False)
    next_funding_s: float | None = None
    funding_rate: float | None = None
    _done: int = 0

    def __post_init__(self) -> None:
        quick = ArbiterSettings(hold_down_s=2.0, step_s=1.0)
        self.guard = Guard.of(ALPHA, policies=[self.policy], arbiter=quick)
        self.ledger = Ledger(self.settings)
        self.cash_usd = (self.equity_usd or 0.0) - self.size * self.price
        self.feed(born(0.0, mode=self.bot_mode), started(0.0))
        self.live(3.0)

    def feed(self, *events: AnyEvent) -> None:
        for event in events:
            (step,) = self.guard.feed(event)
            self.ledger.note(step, self.guard.engine.state, self.guard.engine.wanted)
            record = self.ledger.take(self.guard.engine.state)
            if record is not None:
                self.records.append(record)
                self.lines += record.lines

    def live(self, for_s: float, *, price: float | None = None) -> None:
        """Let time pass at one price."""
        self.price = self.price if price is None else price
        until = self.seconds + for_s
        while self.seconds < until - 1e-9:
            self.seconds += 0.5
            now = self.seconds
            self.feed(features(now, self.price, bid_size=self.depth, ask_size=self.depth), self.marked(now))
            self.feed(snapshot(now, *self.held(), equity_usd=self.worth))
            posture = self.guard.posture() if self.guard.postures else None
            if not self.silent:
                self.feed(self.said(now, 0 if posture is None else posture.version))
            self.feed(tick(now))
            self.obey()

    def said(self, now: float, version: int) -> BotReported:
        size = self.size or None
        event = reported(now, size=size, version=version, epoch=1, entries=self.entries)
        return structs.replace(event, reported=structs.replace(event.reported, withheld=self.withheld))

    def marked(self, now: float) -> MarkPriceSeen:
        due = None if self.next_funding_s is None else at(self.next_funding_s)
        return structs.replace(mark(now, self.price), funding_rate=self.funding_rate, next_funding_at=due)

    @property
    def worth(self) -> float | None:
        """Equity at mark, from what was traded and nothing else."""
        return None if self.equity_usd is None else self.cash_usd + self.size * self.price

    def trade(self, size: float) -> None:
        """Buy (above 0) or sell at the book, and pay the fee: the trader's own doing, or what was commanded."""
        self.cash_usd -= size * self.price + trade_cost_usd(size, self.price, self.depth)
        self.size += size

    def held(self) -> tuple[Position, ...]:
        held = position(self.size, liquidation_price=self.liquidation_price)
        return (structs.replace(held, kind=self.kind),) if self.size else ()

    def obey(self) -> None:
        """Do what was told since the last time, if this bot obeys this guard."""
        commands = self.guard.commands[self._done :]
        self._done += len(commands)
        if not self.obeys or self.bot_mode is not Mode.PAPER:
            return
        for publish in commands:
            command = publish.command
            match command:
                case CutLeverage(max_size=most):
                    side = 1.0 if self.size > 0.0 else -1.0
                    self.trade(side * min(abs(self.size), most) - self.size)
                case Pause(entries=entries):
                    self.entries = entries
                case _:
                    self.entries = self.guard.posture().entries.get(SYMBOL, Entries.ALLOWED)
            self.feed(acked(self.seconds, command, AckStatus.APPLIED))

    def line(self, decision: str) -> BillLine:
        """The last word on a decision: of the record, or of the ledger's open ones."""
        open_lines = list(self.ledger.open_lines(self.guard.engine.state))
        unrecorded = self.ledger.books.lines
        return next(
            each for each in reversed([*self.lines, *unrecorded, *open_lines]) if each.decision == decision
        )

    @property
    def cuts(self) -> list[CutLeverage]:
        found = {one.command.id: one.command for one in self.guard.commands}
        return [each for each in found.values() if isinstance(each, CutLeverage)]

    @property
    def conserved(self) -> tuple[float, float]:
        return self.ledger.books.conserved_usd(ACCOUNT, self.guard.engine.state)


def slippage_usd(size: float, price: float, depth: float = 100.0) -> float:
    """What the even book takes for a trade of this size, by the sample's own word."""
    sample = features(0.0, price, bid_size=depth, ask_size=depth)
    side = sample.bids if size < 0.0 else sample.asks
    assert side is not None
    return liquidity.slippage_bps(side, abs(size) * price).value * 1e-4 * abs(size) * price


def trade_cost_usd(size: float, price: float, depth: float = 100.0) -> float:
    """The taker's fee and what the book takes."""
    return abs(size) * price * 5e-4 + (slippage_usd(size, price, depth) if size else 0.0)
