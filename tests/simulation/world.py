"""The simulated world: processes, broker, venue, the faults' levers, and a trace that can be compared."""

from __future__ import annotations

import hashlib
from collections import deque
from random import Random
from typing import TYPE_CHECKING

from guard.findings import Finding, Limit, Reason, Severity, Subject
from guard.units import NS_PER_S, BotId, market_id
from perpguard_sdk.messages import Entries, StopRule
from tests.simulation.bots import BotProcess
from tests.simulation.broker import Broker
from tests.simulation.guards import GuardProcess
from tests.simulation.referee import Referee
from tests.simulation.storage import Database, Home
from tests.simulation.venue import BOTS, BTC, ETH, SIZE_FULL, VENUE, Venue
from tests.simulation.virtual_time import Schedule

if TYPE_CHECKING:
    from tests.simulation.plants import Plant

T0_NS = 1_760_000_000 * NS_PER_S
ACCOUNT_S = 2.0
MARKET_S = 2.0
TRACE_LINES = 4_000
DATABASE_EVERY = 8
"""One seed of so many keeps its records in SQLite."""
POLICY = "scripted"


class World:
    """Everything that a seed makes happen, happens here."""

    def __init__(self, seed: int, plant: Plant) -> None:
        self.seed, self.plant = seed, plant
        self.t0_ns = T0_NS
        self.chance = Random(f"campaign {seed}")
        self.schedule = Schedule()
        self.broker = Broker(self.schedule, self.chance)
        self.venue = Venue()
        self.keys = {bot.name: f"key of {bot.name} ".encode() * 2 for bot in BOTS}
        self.demands: dict[int, Finding] = {}
        self.lines: deque[str] = deque(maxlen=TRACE_LINES)
        self.digest = hashlib.blake2b(digest_size=16)
        self.referee = Referee(self)
        self.guards: list[GuardProcess] = []
        self.homes = (Home("guard-1"), Home("guard-2"))
        if seed % DATABASE_EVERY == DATABASE_EVERY - 1:
            for home in self.homes:
                home.database = Database()
        self.bots = [BotProcess(self, spec, plant) for spec in BOTS]
        self.venue_is_away = False
        self.venue_late_s = 0.0
        self.is_quiet = False
        """No more faults."""
        self.is_over = False
        self._demand = 0

    def start(self) -> None:
        """Begin with one guard and all bots."""
        self.start_guard(self.homes[0])
        for bot in self.bots:
            bot.start()
        self._show_accounts()
        self._show_markets()

    def trace(self, *words: object) -> None:
        """Add a line to what two runs of one seed must have in common."""
        line = f"{self.schedule.now_ns / NS_PER_S:.6f} {words}"
        self.lines.append(line)
        self.digest.update(line.encode())

    def start_guard(self, home: Home) -> GuardProcess:
        """Start a guard at home; one that runs there already is killed first."""
        for running in self.guards_at(home):
            running.crash()
        home.begin()
        process = GuardProcess(self, home, self.plant)
        self.trace("guard starts", home.name, process.session)
        self.guards.append(process)
        return process

    def guards_at(self, home: Home) -> list[GuardProcess]:
        return [guard for guard in self.guards if guard.home is home and guard.is_alive]

    @property
    def living_guards(self) -> list[GuardProcess]:
        return [guard for guard in self.guards if guard.is_alive]

    def some_guard(self) -> GuardProcess | None:
        living = self.living_guards
        return self.chance.choice(living) if living else None

    def some_bot(self) -> BotProcess:
        return self.chance.choice(self.bots)

    def venue_changed(self, account: str) -> None:
        """The venue tells of a change at once, as its private stream does."""
        self.schedule.after(0.05, self._show_account, account)

    def change_demand(self) -> None:
        """Let the policy ask for something more, or for something no more."""
        if self.demands and self.chance.random() < 0.45:
            self.demands.pop(self.chance.choice(list(self.demands)))
            return
        self._demand += 1
        self.demands[self._demand] = self._some_demand()
        self.trace("demand", self._demand)

    def _some_demand(self) -> Finding:
        chance = self.chance
        symbol = chance.choice((BTC, ETH))
        subject = Subject(market=market_id(VENUE, symbol))
        if chance.random() < 0.3:
            subject = Subject(market=subject.market, bot=BotId(chance.choice(BOTS).name))
        elif chance.random() < 0.2:
            subject = Subject(account=chance.choice(BOTS).account_id)
        entries = chance.choice((None, Entries.REDUCE_ONLY, Entries.REDUCE_ONLY, Entries.HALTED))
        size = round(SIZE_FULL * chance.uniform(0.1, 0.9), 3) if chance.random() < 0.5 else None
        stop = None
        if size is not None and subject.market is not None and chance.random() < 0.4:
            stop = StopRule(stop_price=round(chance.uniform(80.0, 92.0), 2))
        leverage = round(chance.uniform(1.0, 3.0), 1) if chance.random() < 0.3 else None
        return Finding(
            policy=POLICY,
            reason=chance.choice((Reason.DEPTH_THIN, Reason.LIQUIDATION_NEAR, Reason.SPREAD_WIDE)),
            severity=chance.choice((Severity.ACT, Severity.CRITICAL)),
            subject=subject,
            limit=Limit(entries=entries, max_size=size, max_leverage=leverage, stop=stop),
            freezes=chance.random() < 0.1,
        )

    def _show_accounts(self) -> None:
        for account in ("main", "other"):
            self._show_account(account)
        self.schedule.after(ACCOUNT_S, self._show_accounts)

    def _show_account(self, account: str) -> None:
        if self.venue_is_away:
            return
        found = next(bot.account_id for bot in BOTS if bot.account == account)
        shown = self.venue.account(account)
        for guard in self.living_guards:
            delay_s = 0.01 + self.venue_late_s * self.chance.random()
            self.schedule.after(delay_s, guard.show_account, found, *shown)

    def _show_markets(self) -> None:
        for guard in self.living_guards:
            guard.show_markets()
        self.schedule.after(MARKET_S, self._show_markets)
