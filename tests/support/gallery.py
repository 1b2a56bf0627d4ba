"""A made-up crash that is guarded and kept in a record, to read explanations from.

``python -m tests.support.gallery FOLDER`` writes the record, and to the screen what ``perpguard explain`` says of one
command of each policy that gave any. Engine, policies, bill and record are the real ones; books, prices and the venue's
accounts are made up: an hour that never was, six bots that obey, less than a second late.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import exp, inf
from pathlib import Path

from msgspec import structs

from adapters.storage import SqliteAudit
from guard.arbiter import Arbiter, ArbiterSettings
from guard.audit import AnyRecord, Sent, SessionOpened, Step, abridged
from guard.bill.ledger import Ledger
from guard.bill.settings import BillSettings
from guard.configuration import PolicySettings
from guard.dispatch import Dispatch, DispatchSettings
from guard.engine import Engine
from guard.events import AnyEvent, GuardStarted, MarginTermsSeen, MarkPriceSeen, Tick
from guard.holdings import MarginMode
from guard.leverage.tiers import margin_tiers
from guard.margin_terms import TermsSource, TierTable
from guard.market.view import BaselineSettings
from guard.paper.account import PaperAccount
from guard.paper.bot import PaperBot, Target
from guard.state import BotConfig, GuardState
from guard.units import NS_PER_MS, NS_PER_S, AccountId, BotId, MarketId, Nanoseconds, venue_of
from perpguard_sdk.messages import Command, Mode
from tests.support.market import even_features

START = 1_760_000_000 * NS_PER_S
"""2025-10-09 08:53:20 UTC."""
OPENS_S = 60.0
"""The bots open then, once it is known what is normal."""
CRASH_S = 390.0
FALL_S = 90.0
END_S = 1_000.0
SOONER_NS = 100 * NS_PER_MS
"""Bots are heard before the books, so that nothing is repeated to a bot that has answered."""

BTC = MarketId("binanceusdm:BTC/USDT:USDT")
ETH = MarketId("binanceusdm:ETH/USDT:USDT")
SOL = MarketId("binanceusdm:SOL/USDT:USDT")
DOGE = MarketId("binanceusdm:DOGE/USDT:USDT")
ADA = MarketId("binanceusdm:ADA/USDT:USDT")
XRP = MarketId("bybit:XRP/USDT:USDT")
XRP_ELSEWHERE = (MarketId("okx:XRP/USDT:USDT"), MarketId("binanceusdm:XRP/USDT:USDT"))


@dataclass(frozen=True, slots=True)
class Fate:
    """What a market's crash is like; ``depth_usd`` rests within each bp of mid before it."""

    price: float
    depth_usd: float
    fall: float
    """Share of its price that it loses."""
    depth_left: float
    """Share of its depth that is left while it falls."""
    fall_s: float = FALL_S
    back_s: float = inf
    """So long after the crash began its price is back."""

    def at(self, seconds: float) -> tuple[float, float]:
        """Price and size a level so long after the start."""
        since = min(max(seconds - CRASH_S, 0.0), self.fall_s)
        if seconds > CRASH_S + self.back_s:
            since = 0.0
        price = self.price * (1.0 - self.fall * since / self.fall_s)
        left = 1.0
        if seconds > CRASH_S - 30.0:  # makers withdraw before price goes
            over = max(seconds - CRASH_S - FALL_S, 0.0)
            left = self.depth_left + (1.0 - self.depth_left) * (1.0 - exp(-over / 20.0))
        return price, round(left, 3) * self.depth_usd / self.price


FATES = {
    BTC: Fate(60_000.0, 400_000.0, fall=0.05, depth_left=0.12),
    ETH: Fate(2_500.0, 200_000.0, fall=0.004, depth_left=0.15),
    SOL: Fate(150.0, 100_000.0, fall=0.14, depth_left=0.9),
    DOGE: Fate(0.2, 60_000.0, fall=0.055, depth_left=1.0, fall_s=45.0),
    ADA: Fate(0.5, 60_000.0, fall=0.0, depth_left=0.3),
    XRP: Fate(2.0, 60_000.0, fall=0.03, depth_left=1.0, fall_s=5.0, back_s=150.0),
    **dict.fromkeys(XRP_ELSEWHERE, Fate(2.0, 60_000.0, fall=0.0, depth_left=1.0)),
}


@dataclass(slots=True)
class Holds:
    """Opens once, with a stop, and wants the same for ever."""

    size: float
    stop: float | None = None

    def target(self, at: Nanoseconds, mark: float, account: PaperAccount, market: MarketId) -> Target:
        if at < START + int(OPENS_S * NS_PER_S):
            return Target(size=0.0, until=START + int(OPENS_S * NS_PER_S))
        return Target(size=self.size, stop=self.stop)

    def closed(self, at: Nanoseconds, *, by_stop: bool) -> None:
        self.size, self.stop = 0.0, None


def bot_of(
    name: str, market: MarketId, size: float, wallet_usd: float, leverage: float, stop: float | None = None
) -> PaperBot:
    """One trader: an account of its own, one market, crossed."""
    tiers = {market: margin_tiers([(0.0, 0.005, 100.0)])}
    return PaperBot(
        BotId(name),
        AccountId(f"{venue_of(market)}:{name}"),
        market,
        PaperAccount(wallet_usd=wallet_usd, tiers=tiers),
        Holds(size, stop),
        leverage,
        MarginMode.CROSS,
        latency_ns=400 * NS_PER_MS,
    )


def traders() -> tuple[PaperBot, ...]:
    return (
        bot_of("trend", BTC, 2.0, 10_500.0, 12.0),
        bot_of("grid", ETH, 40.0, 25_000.0, 5.0, stop=2_478.0),
        bot_of("basket", SOL, 200.0, 10_500.0, 3.0),
        bot_of("scalper", DOGE, 1_000_000.0, 11_000.0, 19.0),
        bot_of("patient", ADA, 0.0, 10_000.0, 3.0),
        bot_of("carry", XRP, -20_000.0, 21_000.0, 2.0),
    )


@dataclass
class Gallery:
    """The run: ``live`` it, then ``records`` are what a guard would have written down."""

    bots: tuple[PaperBot, ...] = field(default_factory=traders)
    records: list[AnyRecord] = field(default_factory=list)
    commands: list[tuple[str, Command]] = field(default_factory=list)
    """Each command once, with the policy whose finding it follows."""
    engine: Engine = field(init=False)
    ledger: Ledger = field(init=False)

    def __post_init__(self) -> None:
        state = GuardState.of(
            baseline=BaselineSettings(warm_up_s=40.0, recover_ms=1_000),
            markets=tuple(FATES),
            bots=tuple(
                BotConfig(bot=each.bot, account=each.account_id, markets=(each.market,)) for each in self.bots
            ),
            keyed_accounts=tuple(each.account_id for each in self.bots),
        )
        self.engine = Engine(
            state, PolicySettings().each, Arbiter(ArbiterSettings()), Dispatch(DispatchSettings())
        )
        self.ledger = Ledger(BillSettings(settle_s=60.0))

    def live(self, end_s: float = END_S) -> Gallery:
        """From the start to ``end_s``, a second at a time."""
        self.records.append(
            SessionOpened(
                at=START, guard="guard-1", epoch=1, session="s1", mode=Mode.PAPER, software_version="gallery",
                settings_digest="none",
            )
        )  # fmt: skip
        self.feed(terms())
        for bot in self.bots:
            born = bot.birth(START)
            fine = structs.replace(born.birth, no_adds=True, scales_entries=True)
            self.feed(structs.replace(born, birth=fine))
        self.feed(
            GuardStarted(
                received_at=START, guard="guard-1", epoch=1, session="s1", mode=Mode.PAPER, floors=()
            )
        )
        seconds = 0.0
        while seconds < end_s:
            is_quiet = OPENS_S + 20.0 < seconds < CRASH_S - 45.0 or seconds > CRASH_S + FALL_S + 60.0
            seconds += 3.0 if is_quiet else 1.0
            self.feed(*self.second(seconds))
        left = self.ledger.take(self.engine.state, last=True)
        self.records += [] if left is None else [left]
        return self

    def second(self, seconds: float) -> Iterator[AnyEvent]:
        at = START + int(seconds * NS_PER_S)
        fates = {market: fate.at(seconds) for market, fate in FATES.items()}
        samples = {
            market: even_features(at, price, bid_size=size, ask_size=size, market=market)
            for market, (price, size) in fates.items()
        }
        for bot in self.bots:
            bot.step(at - SOONER_NS, fates[bot.market][0], samples[bot.market])
            bot.version += 1  # an account is told of every second, as venues do while prices move
            yield from bot.events(at - SOONER_NS)
        for market, (price, _) in fates.items():
            yield samples[market]
            yield MarkPriceSeen(received_at=at, market=market, mark_price=price)
        yield Tick(received_at=at + NS_PER_MS)

    def feed(self, *events: AnyEvent) -> None:
        for event in events:
            step = self.engine.process(event)
            self.ledger.note(step, self.engine.state, self.engine.wanted)
            self._keep(step)
            for bot in self.bots:
                bot.hear(step.at, step.postures, step.commands)

    def _keep(self, step: Step) -> None:
        if step.is_decision:
            self.records.append(abridged(step))
        for publish in step.commands:
            sent = Sent(
                at=step.at + 3 * NS_PER_MS,
                subject=publish.command.id,
                bot=BotId(publish.command.bot),
                ok=True,
            )
            self.records.append(structs.replace(sent, bot=publish.command.bot))
            if publish.attempt == 1:
                self.commands.append((self._policy(publish.command), publish.command))
        billed = self.ledger.take(self.engine.state)
        self.records += [] if billed is None else [billed]

    def _policy(self, command: Command) -> str:
        market = next(each.market for each in self.bots if each.bot == command.bot)
        limits = self.engine.wanted.get(BotId(command.bot), {}).get(market)
        causes = () if limits is None else limits.causes
        return next(
            (each.policy for each in causes if each is not None and each.reason == command.reason), ""
        )

    def save(self, path: Path) -> Path:
        """Into a record as a guard keeps it."""

        async def write() -> None:
            async with await SqliteAudit.open(path) as audit:
                await audit.append(self.records, durable=True)

        asyncio.run(write())
        return path

    @property
    def one_of_each(self) -> dict[str, Command]:
        """The first command of each policy, one that trades where there is any, and the last that gave back."""
        found: dict[str, Command] = {}
        for policy, command in sorted(self.commands, key=lambda each: each[1].verb == "pause"):
            if policy and command.verb != "resume":
                found.setdefault(policy, command)
        resumed = [
            command for _, command in self.commands if command.verb == "resume" and command.bot == "patient"
        ]
        return found | ({"resume": resumed[-1]} if resumed else {})


def terms() -> MarginTermsSeen:
    tiers = tuple(margin_tiers([(0.0, 0.005, 100.0)]))
    tables = tuple(TierTable(market=market, tiers=tiers, source=TermsSource.VENUE) for market in FATES)
    return MarginTermsSeen(received_at=START, venue="binanceusdm", tiers=tables)


def main(folder: str) -> None:
    """Write the record and say how to read from it."""
    from typer.testing import CliRunner

    from guard.cli import cli

    path = Path(folder) / "audit.sqlite3"
    if path.exists():
        sys.exit(f"{path} is there already: name another folder")
    gallery = Gallery().live()
    gallery.save(path)
    for policy, command in gallery.one_of_each.items():
        told = CliRunner().invoke(cli, ["explain", command.id, "--audit", str(path)], env={"COLUMNS": "110"})
        print(f"$ perpguard explain {command.id} --audit {path}    # {policy}\n\n{told.output}\n")


if __name__ == "__main__":
    main(sys.argv[1])
