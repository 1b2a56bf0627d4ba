"""The whole daemon in this process, as the demo runs it: it acts before a fall, and the venue shows that it did."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from adapters.bots.paper import PaperBot
from adapters.bots.settings import PaperBotSettings
from adapters.simulation.generated import generated_source
from adapters.simulation.settings import VenueAccountSpec
from adapters.simulation.venue import LoopbackVenue
from adapters.storage.reader import SqliteAuditReader
from guard.app import App
from guard.audit import Step
from guard.commands import OutcomeKind
from guard.configuration import Settings
from guard.ports import CommandSink
from perpguard_sdk.messages import Command, CutLeverage, Heartbeat, Posture, Verb
from tests.support.brokers import Broker, mosquitto
from tests.support.eventually import eventually
from tests.support.processes import merged
from tests.support.stage import CODE, STRATEGY, SYMBOL, VENUE, WALLET_USDT, guard_settings
from tests.support.together import Note

pytestmark = pytest.mark.acceptance

MARKET_S = 56.0
CALM_SHARE = 0.22
FALLEN_MAX = 0.02
WANTED = {Verb.PAUSE, Verb.CUT_LEVERAGE}


async def test_a_fall_leads_to_pause_and_cut_before_the_price_has_fallen(tmp_path: Path, note: Note) -> None:
    """Three guards on one venue: embedded broker, mosquitto with MQTT 5, mosquitto with 3.1.1."""
    place = tmp_path / "broker"
    place.mkdir()
    names = ("embedded", "mqtt5", "mqtt311")
    accounts = [
        VenueAccountSpec(name, f"key-{name}", f"secret-{name}", WALLET_USDT, STRATEGY["leverage"])
        for name in names
    ]
    source = generated_source("fall", seed=1, duration_s=MARKET_S, calm_share=CALM_SHARE, thinning_s=8.0)
    venue = LoopbackVenue(source, accounts=accounts, hold=True)
    async with mosquitto(place) as broker, venue, contextlib.AsyncExitStack() as stack:
        guards = [
            await stack.enter_async_context(_guarded(tmp_path / name, name, venue, broker)) for name in names
        ]
        await asyncio.gather(*(guard.ready() for guard in guards))
        begin_price = _mid(venue)
        venue.begin()
        await asyncio.gather(*(guard.opened() for guard in guards))
        done = await asyncio.gather(*(guard.acted() for guard in guards))
        for guard, commands in zip(guards, done, strict=True):
            assert guard.is_cut(commands[Verb.CUT_LEVERAGE])
            for verb, command in commands.items():
                fallen = 1.0 - guard.prices[command.id] / begin_price
                note(f"price fallen at the first {verb}, %", fallen * 100.0)
                assert fallen < FALLEN_MAX, f"{guard.name}: {verb} only at {fallen:.2%} ({command.id})"


@dataclass(slots=True)
class _Watching:
    """A sink that notes the price at which each command was sent."""

    sink: CommandSink
    venue: LoopbackVenue
    prices: dict[str, float]

    async def publish_command(self, command: Command) -> None:
        self.prices.setdefault(command.id, _mid(self.venue))
        await self.sink.publish_command(command)

    async def publish_posture(self, posture: Posture) -> None:
        await self.sink.publish_posture(posture)

    async def publish_heartbeat(self, heartbeat: Heartbeat) -> None:
        await self.sink.publish_heartbeat(heartbeat)


@dataclass(slots=True)
class _Guarded:
    """One guard with one paper bot."""

    name: str
    bot: PaperBot
    venue: LoopbackVenue
    audit_path: Path
    prices: dict[str, float]

    async def ready(self) -> None:
        await eventually(lambda: self.bot.is_ready, within_s=40.0, what=f"{self.name} to be armed")

    async def opened(self) -> float:
        """Wait until the bot holds what it opens with; returns how much."""
        await eventually(lambda: self._size() > 1.5, within_s=15.0, what=f"{self.name} to open its position")
        return self._size()

    async def acted(self) -> dict[Verb, Command]:
        """Wait until a pause and a cut are confirmed by the venue; returns the first of each."""
        return await eventually(
            self._confirmed, within_s=MARKET_S, every_s=0.2, what=f"{self.name} to pause and to cut"
        )

    def is_cut(self, command: Command) -> bool:
        return isinstance(command, CutLeverage) and self._size() <= command.max_size * 1.02

    async def _confirmed(self) -> dict[Verb, Command]:
        async with await SqliteAuditReader.open(self.audit_path) as reader:
            steps = [stored.record async for stored in reader.records() if isinstance(stored.record, Step)]
        done = {
            outcome.command_id
            for step in steps
            for outcome in step.outcomes
            if outcome.outcome is OutcomeKind.CONFIRMED and outcome.source == "venue"
        }
        found: dict[Verb, Command] = {}
        for step in steps:
            for publish in step.commands:
                if publish.command.id in done:
                    found.setdefault(publish.command.verb, publish.command)
        return found if set(found) >= WANTED else {}

    def _size(self) -> float:
        positions = self.venue.account_state(self.name).positions
        return sum(float(position.amount) for position in positions if position.symbol == CODE)


@contextlib.asynccontextmanager
async def _guarded(folder: Path, name: str, venue: LoopbackVenue, broker: Broker) -> AsyncIterator[_Guarded]:
    """Start a guard and its bot; ``name`` says over which broker."""
    _lay_out(folder, name)
    prices: dict[str, float] = {}
    settings = Settings.model_validate(_settings(folder, name, venue, broker))
    app = App(settings, wrap_sink=lambda sink: _Watching(sink, venue, prices))
    await app.start()
    try:
        bot = PaperBot(PaperBotSettings.model_validate(_bot_settings(folder, name, venue, broker, app)))
        trading = asyncio.create_task(bot.run(), name=f"bot {name}")
        try:
            yield _Guarded(name, bot, venue, settings.audit.path, prices)
        finally:
            trading.cancel()
            await asyncio.gather(trading, return_exceptions=True)
    finally:
        await app.stop("the test is over")
    async with await SqliteAuditReader.open(settings.audit.path) as reader:
        assert (await reader.verify()).ok


def _lay_out(folder: Path, name: str) -> None:
    folder.mkdir()
    for file, secret in (("key", name * 8), ("api_key", f"key-{name}"), ("api_secret", f"secret-{name}")):
        (folder / file).write_text(secret)
        (folder / file).chmod(0o600)


def _settings(folder: Path, name: str, venue: LoopbackVenue, broker: Broker) -> dict[str, Any]:
    place: dict[str, Any] = {"data_dir": str(folder / "broker"), "claim_quiet_s": 1.0, "site": name}
    if name != "embedded":
        protocol = "5" if name == "mqtt5" else "3.1.1"
        place |= {"kind": "external", "host": broker.host, "port": broker.port, "protocol": protocol}
    account = {"api_key_file": str(folder / "api_key"), "api_secret_file": str(folder / "api_secret")}
    key = str(folder / "key")
    return merged(
        guard_settings(),
        {
            "broker": place,
            "venues": [
                {
                    "id": VENUE,
                    "symbols": [SYMBOL],
                    "urls": venue.ccxt_urls(),
                    "account_poll_s": 0.5,
                    "orders_poll_s": 1.0,
                    "rate_limit": False,
                    "accounts": {name: account},
                }
            ],
            "bots": [{"name": name, "key_file": key, "venue": VENUE, "account": name}],
            "audit": {"path": str(folder / "audit.sqlite3")},
        },
    )


def _bot_settings(folder: Path, name: str, venue: LoopbackVenue, broker: Broker, app: App) -> dict[str, Any]:
    place: dict[str, Any] = {"host": broker.host, "port": broker.port, "protocol": "5"}
    if name == "mqtt311":
        place["protocol"] = "3.1.1"
    if app.broker is not None:
        (folder / "password").write_text(app.broker.bot_password(name))
        place = {
            "host": app.broker.host,
            "port": app.broker.port,
            "protocol": "3.1.1",
            "username": name,
            "password_file": folder / "password",
        }
    return {
        "name": name,
        "key_file": folder / "key",
        "broker": place,
        "site": name,
        "account": name,
        "venue_urls": venue.ccxt_urls(),
        "api_key_file": folder / "api_key",
        "api_secret_file": folder / "api_secret",
        "symbol": SYMBOL,
        "strategy": STRATEGY,
        "state_dir": folder / "bot",
        "rearm_ms": 1500,
        "report_ms": 500,
    }


def _mid(venue: LoopbackVenue) -> float:
    return venue.market(CODE).book.mid() or 0.0
