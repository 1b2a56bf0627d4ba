"""A whole small world for acceptance tests: broker, venue, daemons and bots, all real, each its own process.

The venue runs in the test's process, because a test turns its market by hand, breaks it, and reads its
accounts; it is reached over TCP like any other.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import json
import secrets
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from adapters.simulation.settings import VenueAccountSpec
from adapters.simulation.venue import LoopbackVenue
from adapters.storage.reader import SqliteAuditReader
from guard.audit import AnyRecord, Step
from guard.commands import CommandOutcome
from guard.ports import Verdict
from perpguard_sdk.messages import BotState, BotStatus, Command, GuardStatus, Reported
from perpguard_sdk.topics import Topics
from tests.support.brokers import Broker, mosquitto
from tests.support.eventually import eventually
from tests.support.hand_market import HandMarket
from tests.support.processes import Program, merged, perpguard, write_toml
from tests.support.tap import Tap, tap

VENUE = "binanceusdm"
CODE = "BTCUSDT"
SYMBOL = "BTC/USDT:USDT"
WALLET_USDT = 10_000.0
READY_S = 45.0
"""Python with ccxt takes seconds to start where two cores are shared by many."""

STRATEGY: dict[str, Any] = {
    "leverage": 20,
    "slice_usd": 50_000,
    "slices_max": 3,
    "slices_open": 2,
    "dip_bps": 40,
    "stop_bps": 480,
    "reentry_s": 3600,
}
"""Opens 100,000 USD on 10,000, then waits for a dip of 40 bps to buy a third slice."""

OPENED = 2
"""Entries after which a bot's position is open."""


def guard_settings() -> dict[str, Any]:
    """The daemon's settings, with everything that waits for minutes shortened to seconds."""
    return {
        "guard": {"name": "guard-1", "tick_ms": 200},
        "baseline": {"warm_up_s": 3.0, "half_life_s": 600.0, "recover_ms": 500},
        "policies": {"pause_entries": {"confirm_s": 0.5, "collapse_s": 0.5, "stage_s": 0.0}},
        # A market by hand says nothing of cascades: what is estimated of it would hold it for as long as it liked.
        "outlook": {"enabled": False},
        "arbiter": {"hold_down_s": 2.0, "step_s": 0.3},
        "log": {"format": "json"},
    }


@dataclass(slots=True)
class Ground:
    """Broker, venue and the market under a test's hands; sites stand on it. Use ``ground(...)``."""

    folder: Path
    broker: Broker
    market: HandMarket
    venue: LoopbackVenue
    stack: contextlib.AsyncExitStack
    sites: list[Site] = field(default_factory=list)

    async def site(self, name: str, bots: Sequence[str], **settings: Any) -> Site:
        """Lay out a site: keys, settings, a tap; nothing of it runs yet."""
        folder = self.folder / name
        folder.mkdir()
        keys = {bot: secrets.token_urlsafe(24).encode() for bot in bots}
        for bot, key in keys.items():
            _secret(folder / f"{bot}.key", key.decode())
            _secret(folder / f"{bot}.api_key", f"key-{bot}")
            _secret(folder / f"{bot}.api_secret", f"secret-{bot}")
        listening = tap(self.broker, Topics(site=name), keys, wait=self.broker.runs)
        listener = await self.stack.enter_async_context(listening)
        site = Site(name, folder, self, keys, listener, settings)
        self.stack.push_async_callback(site.close)
        self.sites.append(site)
        return site


@dataclass(slots=True)
class Site:
    """One site on the broker: its daemon, its bots, what is heard of them, and what they left on disk."""

    name: str
    folder: Path
    ground: Ground
    keys: dict[str, bytes]
    tap: Tap
    settings: dict[str, Any]
    programs: list[Program] = field(default_factory=list)

    # Programs

    def daemon(self, name: str = "guard-1", *, run: str = "", **settings: Any) -> Program:
        """``perpguard run`` with a settings file of its own; ``run`` tells two of one name apart."""
        label = run or name
        path = write_toml(self.folder / f"{label}.toml", self.daemon_settings(name, label, settings))
        return self._program(label, perpguard("run", "--settings", str(path)))

    def daemon_settings(self, name: str, label: str, over: Mapping[str, Any]) -> dict[str, Any]:
        broker = self.ground.broker
        base = {
            "guard": {"name": name},
            "broker": {"kind": "external", "host": broker.host, "port": broker.port, "site": self.name},
            "venues": [
                {
                    "id": VENUE,
                    "symbols": [SYMBOL],
                    "urls": self.ground.venue.ccxt_urls(),
                    "sample_ms": 100,
                    "account_poll_s": 0.5,
                    "orders_poll_s": 1.0,
                    "rate_limit": False,
                    "accounts": {
                        bot: {"api_key_file": f"{bot}.api_key", "api_secret_file": f"{bot}.api_secret"}
                        for bot in self.keys
                    },
                }
            ],
            "bots": [
                {"name": bot, "key_file": f"{bot}.key", "venue": VENUE, "account": bot} for bot in self.keys
            ],
            "audit": {"path": f"{label}.sqlite3"},
        }
        return merged(merged(merged(guard_settings(), base), self.settings), over)

    def bot(self, name: str, *, clock_offset_ms: int = 0, **settings: Any) -> Program:
        """The paper bot with state in ``<name>.d``; its wall clock may be off."""
        broker = self.ground.broker
        base = {
            "name": name,
            "key_file": str(self.folder / f"{name}.key"),
            "broker": {"host": broker.host, "port": broker.port},
            "site": self.name,
            "account": name,
            "venue_urls": self.ground.venue.ccxt_urls(),
            "api_key_file": str(self.folder / f"{name}.api_key"),
            "api_secret_file": str(self.folder / f"{name}.api_secret"),
            "symbol": SYMBOL,
            "strategy": STRATEGY,
            "state_dir": str(self.folder / f"{name}.d"),
            "report_ms": 500,
        }
        path = self.folder / f"{name}.json"
        path.write_text(json.dumps(merged(base, settings)))
        module = ("adapters.bots.paper", "--settings", str(path))
        shifted = ("tests.support.shifted_clock", str(clock_offset_ms)) if clock_offset_ms else ()
        return self._program(name, (sys.executable, "-m", *shifted, *module))

    async def close(self) -> None:
        await asyncio.gather(*(program.close() for program in self.programs))

    def story(self) -> str:
        """Where everything stands and the end of what every program wrote, for the message of a failure."""
        lines = [f"=== site {self.name}", str(self.tap.guard())]
        for bot in self.keys:
            lines += [str(self.tap.posture(bot)), str(self.tap.reported(bot)), str(self.tap.bot_state(bot))]
            for heard, command in self.tap.commands(bot):
                answers = [str(ack.status) for ack in self.tap.acks(bot, command.id)]
                lines.append(f"{heard.at_s:.2f} {command.id} {command.verb} {command.reason} {answers}")
        return "\n".join([*lines, *(program.tail() for program in self.programs)])

    # Waiting

    async def decides(self, name: str = "guard-1", *, since_s: float = 0.0, within_s: float = READY_S) -> int:
        """Wait until the guard decides and nothing troubles it; returns its epoch."""
        _, state = await self.tap.expect_guard(
            lambda state: state.state is GuardStatus.DECIDING and state.epoch > 0,
            name=name,
            since_s=since_s,
            within_s=within_s,
        )
        return state.epoch

    async def armed(self, bot: str, *, since_s: float = 0.0, within_s: float = READY_S) -> float:
        """Wait until the bot is out of safe mode; returns when, on the monotonic clock."""
        heard, _ = await self.tap.expect(
            BotState,
            lambda state: state.state is BotStatus.ONLINE,
            bot=bot,
            since_s=since_s,
            within_s=within_s,
            what=f"{bot} out of safe mode",
        )
        return heard.at_s

    async def in_safe_mode(self, bot: str, *, since_s: float, within_s: float = 10.0) -> float:
        """Wait until the bot says that it went to safe mode; returns when, on the monotonic clock."""
        heard, _ = await self.tap.expect(
            BotState,
            lambda state: state.state is BotStatus.SAFE_MODE,
            bot=bot,
            since_s=since_s,
            within_s=within_s,
            what=f"{bot} in safe mode",
        )
        return heard.at_s

    async def opened(self, bot: str, *, within_s: float = READY_S) -> None:
        """Wait until the bot has opened its position, has a stop under it, and has told the guard."""

        def is_whole(said: Reported) -> bool:
            return bool(said.positions) and said.positions[0].size == self.size(bot) and len(said.orders) == 1

        await eventually(
            lambda: self.entries(bot) >= OPENED, within_s=within_s, what=f"{bot} to open its position"
        )
        since_s = time.monotonic()
        await self.tap.expect(
            Reported, is_whole, bot=bot, since_s=since_s, what=f"{bot} to report its position"
        )

    async def reports(self, bot: str, count: int) -> None:
        """Let the bot look at the market and report so often: time in which it does, or does not, act."""
        since_s = time.monotonic()
        await eventually(
            lambda: len(self.tap.all(Reported, bot=bot, since_s=since_s)) >= count,
            within_s=10.0 + count,
            what=f"{count} reports of {bot}",
        )

    async def start(self, *programs: Program) -> None:
        await asyncio.gather(*(program.start() for program in programs))

    async def play(self, *bots: str) -> None:
        """Wait until the guard decides, and these bots are armed and hold their positions."""
        await self.decides()
        await asyncio.gather(*(self.armed(bot) for bot in bots))
        await asyncio.gather(*(self.opened(bot) for bot in bots))

    # What was done

    def journal(self, bot: str, what: str | None = None) -> list[dict[str, Any]]:
        """The bot's journal over all its lives."""
        path = self.folder / f"{bot}.d" / f"{bot}.journal.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        entries: list[dict[str, Any]] = [json.loads(line) for line in lines]
        return [entry for entry in entries if what is None or entry["what"] == what]

    def executed(self, bot: str) -> list[str]:
        """Ids of the commands that the bot began to execute, in order."""
        return [str(entry["command_id"]) for entry in self.journal(bot, "command")]

    def executed_at_ms(self, bot: str) -> dict[str, int]:
        """When the bot began to execute each command, on this machine's wall clock; from its log."""
        began: dict[str, int] = {}
        for event in self.logged(bot, "command"):
            began.setdefault(str(event["command_id"]), _unix_ms(event["timestamp"]))
        return began

    def logged(self, bot: str, event: str) -> list[dict[str, Any]]:
        """What the bot logged in all its lives, of events that begin so."""
        program = next(program for program in self.programs if program.name == bot)
        lines = program.events(program.stdout_path)
        return [line for line in lines if str(line.get("event", "")).startswith(event)]

    def entries(self, bot: str) -> int:
        """How often the bot opened or enlarged its position."""
        return len(self.journal(bot, "entry"))

    def fills(self, bot: str) -> int:
        return self.ground.venue.account_state(bot).fills

    def size(self, bot: str) -> float:
        """The bot's position as the venue has it."""
        positions = self.ground.venue.account_state(bot).positions
        return sum(float(position.amount) for position in positions if position.symbol == CODE)

    @property
    def audit_path(self) -> Path:
        return self.folder / "guard-1.sqlite3"

    async def outcomes(self, bot: str | None = None) -> dict[str, CommandOutcome]:
        """How each command ended, by its id, as the audit has it."""
        steps = [record for record in await self.records() if isinstance(record, Step)]
        found = [outcome for step in steps for outcome in step.outcomes]
        return {each.command_id: each for each in found if bot is None or each.bot == bot}

    async def commands(self) -> dict[str, Command]:
        """Every command that was ever decided, by its id, whether or not it could be sent."""
        steps = [record for record in await self.records() if isinstance(record, Step)]
        return {publish.command.id: publish.command for step in steps for publish in step.commands}

    async def assert_executed_in_time(self, *bots: str) -> None:
        """No bot has begun to execute a command that was expired."""
        commands = await self.commands()
        for bot in bots:
            for command_id, began_ms in self.executed_at_ms(bot).items():
                assert began_ms < commands[command_id].expires_at, f"{bot} executed {command_id} too late"

    async def records(self, path: Path | None = None) -> list[AnyRecord]:
        """Every record of the audit, whose daemon may be running."""
        async with await SqliteAuditReader.open(path or self.audit_path) as reader:
            return [stored.record async for stored in reader.records()]

    async def verdict(self, path: Path | None = None) -> Verdict:
        async with await SqliteAuditReader.open(path or self.audit_path) as reader:
            return await reader.verify()

    def _program(self, name: str, command: Sequence[str]) -> Program:
        program = Program(name, command, self.folder)
        self.programs.append(program)
        return program


@contextlib.asynccontextmanager
async def ground(
    folder: Path,
    accounts: Sequence[str] = (),
    *,
    broker: Broker | None = None,
    users: Mapping[str, str] | None = None,
) -> AsyncIterator[Ground]:
    """Start a mosquitto and a venue with an account for each of these bots."""
    market = HandMarket()
    specs = [
        VenueAccountSpec(name, f"key-{name}", f"secret-{name}", WALLET_USDT, STRATEGY["leverage"])
        for name in accounts
    ]
    async with contextlib.AsyncExitStack() as stack:
        if broker is None:
            place = folder / "broker"
            place.mkdir()
            broker = await stack.enter_async_context(mosquitto(place, users=users))
        venue = await stack.enter_async_context(LoopbackVenue(market, accounts=specs))
        whole = Ground(folder, broker, market, venue, stack)
        try:
            yield whole
        except BaseException as error:
            for site in whole.sites:
                error.add_note(site.story())
            raise


def _unix_ms(timestamp: str) -> int:
    return round(dt.datetime.fromisoformat(timestamp).timestamp() * 1000)


def _secret(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o600)
