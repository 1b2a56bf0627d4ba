"""Planted secrets, and then a search for them in all that the program writes, says and publishes."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sys
import time
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from adapters.simulation.settings import VenueAccountSpec
from adapters.simulation.venue import LoopbackVenue
from guard.cli import cli
from perpguard_sdk.messages import GuardStatus, Reported
from perpguard_sdk.topics import Topics
from tests.support.brokers import HOST, Broker, free_port, mosquitto
from tests.support.certificates import authority
from tests.support.eventually import eventually
from tests.support.hand_market import HandMarket
from tests.support.processes import Program, ask, merged, perpguard, write_toml
from tests.support.stage import STRATEGY, SYMBOL, VENUE, WALLET_USDT, guard_settings
from tests.support.tap import Tap, tap
from tests.support.together import together

pytestmark = pytest.mark.acceptance

PLACES = (
    "api_key",
    "api_secret",
    "wrong_api_key",
    "wrong_api_secret",
    "bot_key",
    "wrong_bot_key",
    "broker_password",
    "wrong_broker_password",
    "bot_password",
    "tls_passphrase",
    "wrong_tls_passphrase",
    "in_the_settings",
    "in_the_environment",
)
TOPICS = Topics(site="home")


@dataclass(slots=True)
class Canaries:
    """One for each place where a secret is given, rightly or wrongly, and all that was heard and seen."""

    values: dict[str, str]
    said: dict[str, bytes] = field(default_factory=dict)

    def found(self) -> list[str]:
        """Which canary is where, in any of the spellings that a program might choose."""
        return [
            f"{name} in {where}"
            for where, text in self.said.items()
            for name, value in self.values.items()
            if any(spelling in text for spelling in spellings(value))
        ]


def spellings(value: str) -> set[bytes]:
    raw = value.encode()
    # The middle of its base64, which is the same wherever it begins in a longer text but for the three phases.
    phases = [base64.b64encode(b"x" * phase + raw)[4:-4] for phase in range(3)]
    other = {raw.hex().encode(), raw.hex(" ").encode(), urllib.parse.quote(value).encode(), raw[::-1]}
    return {raw, raw.upper(), *phases, *other, raw[: len(raw) // 2 + 4]}


def test_the_search_finds_what_it_looks_for() -> None:
    """A canary in a line of JSON, in an authorization header, in bytes, cut off."""
    canaries = Canaries({"it": "canary-it-0123456789abcdef"})
    value = canaries.values["it"]
    canaries.said = {
        "json": json.dumps({"x": f"a {value} b"}).encode(),
        "header": base64.b64encode(f"user:{value}".encode()),
        "hex": b"00" + value.encode().hex().encode(),
        "cut": value[:20].encode(),
        "clean": b"canary-it",
    }
    assert canaries.found() == [f"it in {where}" for where in ("json", "header", "hex", "cut")]


@together
async def test_no_planted_secret_is_ever_seen_again(tmp_path: Path) -> None:
    canaries = Canaries({place: f"canary{os.urandom(12).hex()}{place.replace('_', '')}" for place in PLACES})
    value = canaries.values
    certificates = authority(tmp_path / "ca")
    pair = certificates.issue("broker")
    guards = certificates.issue("guard", passphrase=value["tls_passphrase"])
    tls_port = free_port()
    lines = (
        f"listener {tls_port} {HOST}\ncafile {certificates.ca}\ncertfile {pair.cert}\nkeyfile {pair.key}\n"
        "require_certificate true\n"
    )
    users = {"spy": "the spy's", "guard": value["broker_password"], "alpha": value["bot_password"]}
    specs = [
        VenueAccountSpec("main", value["api_key"], value["api_secret"], WALLET_USDT, STRATEGY["leverage"])
    ]
    place = tmp_path / "site"
    (place / "broker").mkdir(parents=True)
    async with (
        mosquitto(place / "broker", users=users, extra=lines) as broker,
        LoopbackVenue(HandMarket(), accounts=specs) as venue,
        tap(broker, TOPICS, {"alpha": value["bot_key"].encode()}) as heard,
    ):
        scene = Scene(place, canaries, broker, venue, heard, tls_port)
        scene.write_secrets(guards.key)
        scene.lay_out({"tls_ca": certificates.ca, "tls_cert": guards.cert, "tls_key": guards.key})
        try:
            await scene.play()
        finally:
            await scene.close()
    canaries.said |= {f"topic {each.topic}": each.payload for each in heard.heard}
    canaries.said |= scene.files()
    assert canaries.found() == []
    assert scene.crash_was_seen()


@dataclass(slots=True)
class Scene:
    """The daemon and a bot, through what goes right and what goes wrong."""

    folder: Path
    canaries: Canaries
    broker: Broker
    venue: LoopbackVenue
    heard: Tap
    tls_port: int
    metrics_port: int = field(default_factory=free_port)
    programs: list[Program] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)
    planted: set[str] = field(default_factory=lambda: {"not_text"})

    @property
    def value(self) -> dict[str, str]:
        return self.canaries.values

    def write_secrets(self, guards_key: Path) -> None:
        guards_key.chmod(0o600)
        for name in ("api_key", "api_secret", "wrong_api_key", "wrong_api_secret", "bot_key"):
            self.write(name, self.value[name])
        self.write("broker_password", self.value["wrong_broker_password"])
        self.write("bot_password", self.value["bot_password"])
        self.write("tls_passphrase", self.value["tls_passphrase"])
        self.write("wrong_tls_passphrase", self.value["wrong_tls_passphrase"])
        (self.folder / "not_text").write_bytes(b"\xff\xfe" + self.value["in_the_settings"].encode())

    def write(self, name: str, text: str) -> None:
        self.planted.add(name)
        path = self.folder / name
        path.write_text(text)
        path.chmod(0o600)

    def lay_out(self, tls: dict[str, Path]) -> None:
        """The settings, with one account whose key the venue refuses, everything loud."""
        accounts = {
            "main": {"api_key_file": "api_key", "api_secret_file": "api_secret"},
            "bad": {"api_key_file": "wrong_api_key", "api_secret_file": "wrong_api_secret"},
        }
        base: dict[str, Any] = {
            "broker": {
                "kind": "external",
                "host": HOST,
                "port": self.tls_port,
                "username": "guard",
                "password_file": "broker_password",
                "claim_quiet_s": 0.5,
                "tls_key_passphrase_file": "tls_passphrase",
                **tls,
            },
            "venues": [
                {
                    "id": VENUE,
                    "symbols": [SYMBOL],
                    "urls": self.venue.ccxt_urls(),
                    "account_poll_s": 0.5,
                    "refused_retry_s": 1.0,
                    "rate_limit": False,
                    "accounts": accounts,
                }
            ],
            "bots": [{"name": "alpha", "key_file": "bot_key", "venue": VENUE, "account": "main"}],
            "audit": {"path": "audit.sqlite3"},
            "metrics": {"enabled": True, "port": self.metrics_port},
            "log": {"level": "debug"},
        }
        self.settings = merged(guard_settings(), base)
        write_toml(self.folder / "settings.toml", self.settings)

    async def play(self) -> None:
        daemon = self.program("daemon", perpguard("run", "--settings", "settings.toml"))
        await daemon.start()
        await eventually(
            lambda: "refuses user" in daemon.tail(200_000),
            within_s=45.0,
            every_s=0.1,
            what="a refused password",
        )
        self.write("broker_password", self.value["broker_password"])
        await self.heard.expect_guard(lambda state: state.epoch > 0, within_s=45.0)
        bot = self.program("bot", (sys.executable, "-m", "adapters.bots.paper", "--settings", "bot.json"))
        self.write_bot("bot_key")
        await bot.start()
        await self.heard.expect(Reported, lambda said: not said.safe_mode, bot="alpha", within_s=45.0)
        await eventually(
            lambda: self.value["wrong_api_key"] and "refuse" in daemon.tail(500_000),
            within_s=20.0,
            every_s=0.1,
        )
        await bot.terminate()
        self.write("bot_key_of_bot", self.value["wrong_bot_key"])
        self.write_bot("bot_key_of_bot")
        since_s = time.monotonic()
        await bot.start()
        await self.heard.expect_guard(
            lambda state: state.state is GuardStatus.DEGRADED and "signature" in str(state.problems),
            since_s=since_s,
            within_s=45.0,
        )
        await self.look_around()
        await bot.close()
        await daemon.terminate()
        await self.crash()
        await self.misuse()

    def write_bot(self, key_file: str) -> None:
        settings = {
            "name": "alpha",
            "key_file": str(self.folder / key_file),
            "broker": {
                "host": HOST,
                "port": self.broker.port,
                "username": "alpha",
                "password_file": str(self.folder / "bot_password"),
            },
            "site": "home",
            "account": "main",
            "venue_urls": self.venue.ccxt_urls(),
            "api_key_file": str(self.folder / "api_key"),
            "api_secret_file": str(self.folder / "api_secret"),
            "symbol": SYMBOL,
            "strategy": STRATEGY,
            "state_dir": str(self.folder / "bot.d"),
            "report_ms": 500,
            "rearm_ms": 1000,
        }
        (self.folder / "bot.json").write_text(json.dumps(settings))

    async def look_around(self) -> None:
        """Everything that an operator may ask while the daemon runs."""
        for path in ("/metrics", "/healthz"):
            url = f"http://{HOST}:{self.metrics_port}{path}"
            self.canaries.said[path] = await asyncio.to_thread(_get, url)
        for command in ("check", "check --json", "bots --json", "audit show --json", "explain last --json"):
            # In a thread: these run a loop of their own.
            await asyncio.to_thread(self.say_here, *command.split(), "--settings", "settings.toml")
        await self.say("doctor", "--json", "--settings", "settings.toml")

    async def crash(self) -> None:
        """A bug that raises with every secret in its hands; the daemon ends 1 and writes a traceback."""
        self.write("planted", "\n".join(each for name, each in self.value.items() if name in _KNOWN))
        planted = (sys.executable, "-m", "tests.support.planted_crash", "planted")
        crashing = self.program("crash", (*planted, "run", "--settings", "settings.toml"))
        await crashing.start()
        assert await crashing.ended(within_s=60.0) == 1

    async def misuse(self) -> None:
        """What people do wrong with secrets, each with a command that reads it."""
        settings, secret = self.settings, self.value["in_the_settings"]
        wrong: dict[str, dict[str, Any]] = {
            "password in it": {"broker": {"password": secret}},
            "secret in it": {"venues": [{**settings["venues"][0], "secret": secret, "apiKey": secret}]},
            "a key in it": {"bots": [{**settings["bots"][0], "key": secret}]},
            "wrong type": {"broker": {"tls_key_passphrase_file": [secret]}},
            "two places": {"broker": {"password_env": "CANARY_PASSWORD"}},
            "a wrong passphrase": {"broker": {"tls_key_passphrase_file": "wrong_tls_passphrase"}},
            "not text": {"broker": {"password_file": "not_text"}},
            "a key that is too short": {
                "bots": [{**settings["bots"][0], "key_env": "CANARY", "key_file": None}]
            },
        }
        for number, (what, over) in enumerate(wrong.items()):
            write_toml(self.folder / f"wrong{number}.toml", merged(settings, over))
            file = f"wrong{number}.toml"
            assert self.say_here("check", "--json", "--settings", file, label=what) == 2, what
        (self.folder / "broken.toml").write_text(f'[broker]\npassword = "{secret}\nusername = x')
        assert self.say_here("check", "--settings", "broken.toml", label="no TOML") == 2
        await self.say("run", "--settings", "wrong6.toml")

    async def say(self, *command: str) -> None:
        environment = {"CANARY_PASSWORD": self.value["in_the_environment"]}
        answer = await ask(*command, folder=self.folder, environment=environment)
        self.canaries.said[" ".join(command)] = f"{answer.out}\n{answer.err}".encode()

    def say_here(self, *command: str, label: str = "") -> int:
        """The same without a process of its own; returns the exit code."""
        environment = {"CANARY": self.value["in_the_environment"][:12], "CANARY_PASSWORD": "x"}
        *rest, file = command
        answer = CliRunner().invoke(cli, [*rest, str(self.folder / file)], env=environment)
        self.canaries.said[label or " ".join(command)] = answer.output.encode()
        return answer.exit_code

    def program(self, name: str, command: tuple[str, ...]) -> Program:
        environment = {"CANARY_PASSWORD": self.value["in_the_environment"]}
        program = Program(name, command, self.folder, environment)
        self.programs.append(program)
        return program

    async def close(self) -> None:
        await asyncio.gather(*(program.close() for program in self.programs))

    def files(self) -> dict[str, bytes]:
        """All that the programs wrote: logs, the audit's raw bytes, samples, the bot's state."""
        found = (path for path in self.folder.rglob("*") if path.is_file())
        return {
            str(path.relative_to(self.folder)): path.read_bytes()
            for path in found
            if path.name not in self.planted and path.suffix != ".toml"
        }

    def crash_was_seen(self) -> bool:
        text = (self.folder / "crash.stderr").read_text()
        return "planted: " in text and text.count("[redacted]") >= len(_KNOWN)


_KNOWN = (
    "api_key",
    "api_secret",
    "wrong_api_key",
    "wrong_api_secret",
    "bot_key",
    "broker_password",
    "tls_passphrase",
)
"""What a daemon was given, and so can blank."""


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as answer:
        body: bytes = answer.read()
        return body
