"""Bots let in, given new keys and thrown out while the daemon and its embedded broker run."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from adapters.simulation.settings import VenueAccountSpec
from adapters.simulation.venue import LoopbackVenue
from perpguard_sdk.client_file import read_client_settings
from perpguard_sdk.messages import BotState, BotStatus
from perpguard_sdk.topics import Topics
from tests.support.brokers import HOST, Broker, find_program, free_port
from tests.support.eventually import eventually
from tests.support.hand_market import HandMarket
from tests.support.processes import Program, _toml, ask, merged, perpguard
from tests.support.stage import READY_S, STRATEGY, SYMBOL, VENUE, WALLET_USDT, guard_settings
from tests.support.tap import Tap, tap
from tests.support.together import together

pytestmark = pytest.mark.acceptance

TOPICS = Topics(site="home")


@together
async def test_bots_come_change_and_go_under_a_guard_that_runs(tmp_path: Path) -> None:
    find_program("nats-server")
    accounts = [
        VenueAccountSpec("alpha", "key-alpha", "secret-alpha", WALLET_USDT, STRATEGY["leverage"]),
    ]
    async with LoopbackVenue(HandMarket(), accounts=accounts) as venue:
        place = Place(tmp_path, venue)
        place.lay_out()
        daemon = place.program("daemon", *perpguard("run", "--settings", "settings.toml"))
        try:
            await daemon.start()
            port = tmp_path / "var/broker/port"
            await eventually(
                lambda: "the guard decides" in daemon.tail(100_000), within_s=READY_S, every_s=0.1
            )
            password = (tmp_path / "var/broker/password-home").read_text().strip()
            broker = Broker(
                name="embedded",
                protocols=("3.1.1",),
                command=(),
                environment={},
                log_path=tmp_path / "none",
                port=int(port.read_text()),
                username="perpguard",
                password=password,
            )
            async with tap(broker, TOPICS, place.keys) as heard:
                await place.story(heard)
        finally:
            if daemon.runs:
                await daemon.terminate()  # killed, it would leave its broker behind
            await asyncio.gather(*(program.close() for program in place.programs))


@dataclass(slots=True)
class Place:
    """A folder with settings that name no bot yet, and what runs in it."""

    folder: Path
    venue: LoopbackVenue
    programs: list[Program] = field(default_factory=list)
    keys: dict[str, bytes] = field(default_factory=dict)

    def lay_out(self) -> None:
        """Settings as people write them: ``bots add`` needs blocks, not one line."""
        base = merged(guard_settings(), {"broker": {"claim_quiet_s": 0.5, "port": free_port()}})
        lines = [f"{name} = {_toml(table)}" for name, table in base.items()]
        urls = _toml(self.venue.ccxt_urls())
        lines += ["[[venues]]", f'id = "{VENUE}"', f'symbols = ["{SYMBOL}"]', f"urls = {urls}"]
        lines += ["rate_limit = false", "account_poll_s = 0.5"]
        lines += ["[venues.accounts.alpha]", 'api_key_file = "api_key"', 'api_secret_file = "api_secret"']
        (self.folder / "settings.toml").write_text("\n".join(lines) + "\n")
        for name, secret in (("api_key", "key-alpha"), ("api_secret", "secret-alpha")):
            (self.folder / name).write_text(secret)
            (self.folder / name).chmod(0o600)

    async def story(self, heard: Tap) -> None:
        # Let in: the bot reads the file that it was given, and is armed.
        await self.bots("add", "alpha")
        self.read_key()
        bot = self.bot()
        await bot.start()
        await heard.expect(
            BotState, _is(BotStatus.ONLINE), bot="alpha", within_s=READY_S, what="an armed bot"
        )

        # New key: the guard has it at once, the bot has not: safe mode, said, until it is restarted with it.
        since_s = time.monotonic()
        await self.bots("rotate", "alpha")
        await eventually(
            lambda: "safe mode: " in bot.tail(100_000).rpartition("armed by the guard")[2],
            within_s=20.0,
            every_s=0.1,
            what="safe mode of a bot with the former key",
        )
        await bot.terminate()
        self.read_key()
        bot = self.bot("again")
        await bot.start()
        await heard.expect(
            BotState,
            _is(BotStatus.ONLINE),
            bot="alpha",
            since_s=since_s,
            within_s=READY_S,
            what="a bot armed with its new key",
        )

        # Thrown out: no connection, nothing retained, no word of the guard any more.
        await self.bots("revoke", "alpha")
        await eventually(
            lambda: "safe mode: " in bot.tail(100_000).rpartition("armed by the guard")[2],
            within_s=20.0,
            every_s=0.1,
            what="safe mode of a bot that was thrown out",
        )
        since_s = time.monotonic()
        await heard.expect_guard(
            lambda state: state.epoch > 0, name="guard-1", since_s=since_s, within_s=30.0
        )
        # Clearing what was retained is the last of it, and says nothing.
        late = [each for each in heard.heard if each.at_s > since_s + 1.0 and each.payload]
        said = [each for each in late if "/alpha" in each.topic]
        assert said == []
        assert not (self.folder / "secrets/alpha.key").exists()

    def bot(self, name: str = "bot") -> Program:
        """The paper bot, with what the file for it says."""
        given = read_client_settings(self.folder / "secrets/alpha.bot.toml", verbs={}, state_path="unused")
        settings = {
            "name": given.bot,
            "key_file": str(self.folder / "secrets/alpha.key"),
            "broker": {
                "host": given.host,
                "port": given.port,
                "protocol": given.protocol,
                "username": given.username,
                "password_file": str(given.password_file),
            },
            "site": given.site,
            "account": given.account,
            "venue_urls": self.venue.ccxt_urls(),
            "api_key_file": str(self.folder / "api_key"),
            "api_secret_file": str(self.folder / "api_secret"),
            "symbol": SYMBOL,
            "strategy": STRATEGY,
            "state_dir": str(self.folder / "bot.d"),
            "report_ms": 500,
            "rearm_ms": 1000,
        }
        assert given.host == HOST
        (self.folder / f"{name}.json").write_text(json.dumps(settings))
        return self.program(name, sys.executable, "-m", "adapters.bots.paper", "--settings", f"{name}.json")

    def read_key(self) -> None:
        """The tap verifies what it hears with the key that holds now."""
        self.keys["alpha"] = (self.folder / "secrets/alpha.key").read_text().strip().encode()

    async def bots(self, *arguments: str) -> None:
        answer = await ask("bots", *arguments, "--settings", "settings.toml", folder=self.folder)
        assert answer.code == 0, answer.err

    def program(self, name: str, *command: str) -> Program:
        program = Program(name, command, self.folder)
        self.programs.append(program)
        return program


def _is(status: BotStatus) -> Any:
    return lambda state: state.state is status
