"""Builds events, bots and whole guards for tests, with times in seconds from a common start."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import msgspec

from guard.arbiter import Arbiter, ArbiterSettings
from guard.audit import Step
from guard.commands import CommandOutcome, PublishCommand, PublishPosture
from guard.dispatch import Dispatch, DispatchSettings
from guard.engine import Engine
from guard.events import (
    AccountSnapshot,
    AnyEvent,
    BotAcked,
    BotBorn,
    BotReported,
    BotStatusSeen,
    GuardStarted,
    MarginTermsSeen,
    MarketFeatures,
    MarkPriceSeen,
    Order,
    Position,
    PositionSource,
    Tick,
)
from guard.findings import Finding, Limit, Reason, Severity, Subject
from guard.margin_terms import MarginTier, TermsSource, TierTable
from guard.market.view import BaselineSettings
from guard.policy import Policy
from guard.state import BotConfig, GuardState
from guard.units import NS_PER_S, AccountId, BotId, MarketId, Nanoseconds, venue_of
from perpguard_sdk.messages import (
    Ack,
    AckStatus,
    Birth,
    BotState,
    BotStatus,
    Command,
    Entries,
    Evidence,
    Mode,
    Posture,
    Reported,
    ReportedOrder,
    ReportedPosition,
    StopRule,
    Verb,
    VerbCapability,
)
from tests.support.market import even_features

T0 = 1_760_000_000 * NS_PER_S
SYMBOL = "BTC/USDT:USDT"
MARKET = MarketId("loopback:BTC/USDT:USDT")
ETH = MarketId("loopback:ETH/USDT:USDT")
ACCOUNT = AccountId("loopback:main")
ALPHA, BETA = BotId("alpha"), BotId("beta")
ALL_VERBS = tuple(Verb)
QUICK = BaselineSettings(warm_up_s=20.0, recover_ms=1_000)


def at(seconds: float) -> Nanoseconds:
    """``seconds`` after the start, Unix nanoseconds."""
    return T0 + round(seconds * NS_PER_S)


def tick(seconds: float) -> Tick:
    return Tick(received_at=at(seconds))


def started(seconds: float = 0.0, *, epoch: int = 1, floors: Iterable[Posture] = ()) -> GuardStarted:
    return GuardStarted(
        received_at=at(seconds),
        guard="guard-1",
        epoch=epoch,
        session="s1",
        mode=Mode.PAPER,
        floors=tuple(floors),
    )


def born(
    seconds: float = 0.0,
    bot: BotId = ALPHA,
    *,
    verbs: Sequence[Verb] = ALL_VERBS,
    session: str = "b1",
    symbols: Sequence[str] = (SYMBOL,),
    deadline_ms: int = 2_000,
    mode: Mode = Mode.PAPER,
    is_fine: bool = True,
) -> BotBorn:
    birth = Birth(
        bot=bot,
        session=session,
        ts=at(seconds) // 1_000_000,
        software="test",
        software_version="1",
        mode=mode,
        venue="loopback",
        account="main",
        symbols=tuple(symbols),
        verbs={verb: VerbCapability(deadline_ms=deadline_ms) for verb in verbs},
        no_adds=is_fine,
        scales_entries=is_fine,
    )
    return BotBorn(received_at=at(seconds), birth=birth)


def bot_state(
    seconds: float, bot: BotId = ALPHA, *, state: BotStatus = BotStatus.ONLINE, session: str = "b1"
) -> BotStatusSeen:
    said = BotState(bot=bot, session=session, state=state, ts=at(seconds) // 1_000_000)
    return BotStatusSeen(received_at=at(seconds), state=said)


def reported(
    seconds: float,
    bot: BotId = ALPHA,
    *,
    size: float | None = None,
    entries: Entries = Entries.ALLOWED,
    version: int = 0,
    epoch: int = 0,
    safe_mode: bool = False,
    resync: bool = False,
    orders: Sequence[ReportedOrder] = (),
    positions_known: bool = True,
    liquidation_price: float | None = None,
    symbol: str = SYMBOL,
    session: str = "b1",
    clock_offset_ms: float | None = None,
    number: int = 0,
) -> BotReported:
    """A report; ``size`` ``None`` for no position at all."""
    positions: tuple[ReportedPosition, ...] = ()
    if size is not None:
        positions = (ReportedPosition(symbol=symbol, size=size, liquidation_price=liquidation_price),)
    message = Reported(
        bot=bot,
        session=session,
        ts=at(seconds) // 1_000_000,
        mode=Mode.PAPER,
        posture_version=version,
        epoch=epoch,
        seq=0,
        safe_mode=safe_mode,
        entries={} if entries is Entries.ALLOWED else {symbol: entries},
        positions=positions,
        orders=tuple(orders),
        positions_known=positions_known,
        number=number,
        clock_offset_ms=clock_offset_ms,
        resync=resync,
    )
    return BotReported(received_at=at(seconds), reported=message)


def acked(seconds: float, command: Command, status: AckStatus = AckStatus.APPLIED) -> BotAcked:
    ack = Ack(
        bot=command.bot,
        session="b1",
        command_id=command.id,
        epoch=command.epoch,
        seq=command.seq,
        status=status,
        at=at(seconds) // 1_000_000,
    )
    return BotAcked(received_at=at(seconds), ack=ack)


def position(size: float, *, market: MarketId = MARKET, **fields: object) -> Position:
    return msgspec.structs.replace(Position(market=market, size=size), **fields)


def order(
    order_id: str,
    size: float,
    *,
    market: MarketId = MARKET,
    price: float | None = None,
    stop_price: float | None = None,
    reduce_only: bool = False,
) -> Order:
    return Order(
        order_id=order_id,
        market=market,
        size=size,
        price=price,
        stop_price=stop_price,
        reduce_only=reduce_only,
    )


def snapshot(
    seconds: float,
    *positions: Position,
    orders: Sequence[Order] | None = (),
    equity_usd: float | None = None,
    source: PositionSource = PositionSource.VENUE,
    account: AccountId = ACCOUNT,
) -> AccountSnapshot:
    return AccountSnapshot(
        received_at=at(seconds),
        account=account,
        source=source,
        equity_usd=equity_usd,
        positions=positions,
        orders=None if orders is None else tuple(orders),
    )


def flat_terms(
    *markets: MarketId, ratio: float = 0.01, source: TermsSource = TermsSource.VENUE
) -> MarginTermsSeen:
    """A venue that demands the same share of every position."""
    tier = MarginTier(floor=0.0, maintenance_ratio=ratio)
    return MarginTermsSeen(
        received_at=at(0.0),
        venue=venue_of(markets[0]),
        tiers=tuple(TierTable(market=market, tiers=(tier,), source=source) for market in markets),
    )


def mark(seconds: float, price: float = 100.0, market: MarketId = MARKET) -> MarkPriceSeen:
    return MarkPriceSeen(received_at=at(seconds), market=market, mark_price=price)


def features(
    seconds: float,
    mid: float = 100.0,
    *,
    bid_size: float = 100.0,
    ask_size: float = 100.0,
    market: MarketId = MARKET,
) -> MarketFeatures:
    return even_features(at(seconds), mid, bid_size=bid_size, ask_size=ask_size, market=market)


def posture(bot: BotId = ALPHA, *, version: int = 7, epoch: int = 3, **restrictions: object) -> Posture:
    plain = Posture(bot=bot, version=version, epoch=epoch, session="s0", ts=0, expires_at=0, mode=Mode.PAPER)
    return msgspec.structs.replace(plain, **restrictions)


def finding(
    *,
    policy: str = "test",
    reason: Reason = Reason.DEPTH_THIN,
    severity: Severity = Severity.ACT,
    market: MarketId | None = MARKET,
    account: AccountId | None = None,
    bot: BotId | None = None,
    venue: str | None = None,
    entries: Entries | None = None,
    max_size: float | None = None,
    max_leverage: float | None = None,
    stop: StopRule | None = None,
    entry_share: float | None = None,
    limit: Limit | None = None,
    freezes: bool = False,
    evidence: float = 1.0,
) -> Finding:
    return Finding(
        policy=policy,
        reason=reason,
        severity=severity,
        subject=Subject(market=market, account=account, bot=bot, venue=venue),
        limit=limit
        or Limit(
            entries=entries, max_size=max_size, max_leverage=max_leverage, stop=stop, entry_share=entry_share
        ),
        evidence=(Evidence(name="measured", value=evidence, unit="ratio"),),
        freezes=freezes,
    )


@dataclass
class SaysWhatItIsTold:
    """A policy whose findings a test sets; it may also raise."""

    findings: Callable[[Nanoseconds], Iterable[Finding]] | Sequence[Finding] = ()
    name: str = "told"
    error: Exception | None = None

    def decide(self, state: GuardState, now: Nanoseconds) -> Iterable[Finding]:
        if self.error is not None:
            raise self.error
        return self.findings(now) if callable(self.findings) else self.findings


def new_state(
    *bots: BotId,
    markets: Sequence[MarketId] = (MARKET,),
    keyed: bool = False,
    baseline: BaselineSettings = QUICK,
    named_markets: Sequence[MarketId] = (),
) -> GuardState:
    return GuardState.of(
        baseline=baseline,
        markets=tuple(markets),
        bots=tuple(BotConfig(bot=bot, account=ACCOUNT, markets=tuple(named_markets)) for bot in bots),
        keyed_accounts=(ACCOUNT,) if keyed else (),
    )


@dataclass
class Guard:
    """An engine in a made-up world: feed it events, look at what it did."""

    engine: Engine
    steps: list[Step] = field(default_factory=list)

    @classmethod
    def of(
        cls,
        *bots: BotId,
        policies: Sequence[Policy] = (),
        arbiter: ArbiterSettings | None = None,
        dispatch: DispatchSettings | None = None,
        keyed: bool = False,
        markets: Sequence[MarketId] = (MARKET,),
        named_markets: Sequence[MarketId] = (),
    ) -> Guard:
        state = new_state(*(bots or (ALPHA,)), keyed=keyed, markets=markets, named_markets=named_markets)
        engine = Engine(
            state,
            policies,
            Arbiter(arbiter or ArbiterSettings()),
            Dispatch(dispatch or DispatchSettings()),
        )
        return cls(engine)

    def feed(self, *events: AnyEvent) -> list[Step]:
        """Process events; return their steps."""
        steps = [self.engine.process(event) for event in events]
        self.steps += steps
        return steps

    def ticks(self, first: float, last: float, every: float = 0.25) -> list[Step]:
        count = round((last - first) / every)
        return self.feed(*(tick(first + index * every) for index in range(count + 1)))

    @property
    def commands(self) -> list[PublishCommand]:
        return [command for step in self.steps for command in step.commands]

    @property
    def outcomes(self) -> list[CommandOutcome]:
        return [outcome for step in self.steps for outcome in step.outcomes]

    @property
    def postures(self) -> list[PublishPosture]:
        return [posture for step in self.steps for posture in step.postures]

    def posture(self, bot: BotId = ALPHA) -> Posture:
        """The posture of ``bot`` that was published last."""
        return next(p.posture for p in reversed(self.postures) if p.posture.bot == bot)


def seconds_of(moment: Nanoseconds) -> float:
    return (moment - T0) / NS_PER_S
