"""A loopback venue as a program of its own, whose market a test turns by hand through a file.

``python -m tests.support.venue_program FOLDER/NAME.json`` reads what ``VenueProgram.write`` wrote, listens on the
port that is named there, and follows ``FOLDER/NAME.market.json`` from then on.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from adapters.simulation import LoopbackVenue, VenueAccountSpec
from adapters.simulation.dialects import DialectName
from adapters.simulation.hyperliquid import address_of
from tests.support.eventually import eventually
from tests.support.hand_market import HandMarket
from tests.support.processes import Program

LOOK_S = 0.05


@dataclass(slots=True)
class VenueProgram:
    """One venue: what language it speaks, which accounts it has, and the process that it is."""

    folder: Path
    dialect: DialectName
    code: str
    """Binance's name of its only market."""
    accounts: Sequence[VenueAccountSpec]
    program: Program = field(init=False)
    market: HandMarket = field(default_factory=HandMarket)
    """What the market shall be; ``turn`` makes it so."""
    ccxt_urls: dict[str, Any] = field(default_factory=dict)
    """For whoever reads it, once it runs."""
    trading_urls: dict[str, Any] = field(default_factory=dict)
    """For bots, once it runs."""

    def __post_init__(self) -> None:
        command = (sys.executable, "-m", "tests.support.venue_program", str(self._settings_path))
        self.program = Program(f"venue-{self.dialect}", command, self.folder)
        settings = {
            "dialect": self.dialect,
            "code": self.code,
            "port": _free_port(),
            "accounts": [
                [each.name, each.api_key, each.api_secret, float(each.wallet_usdt), each.leverage]
                for each in self.accounts
            ],
        }
        self._settings_path.write_text(json.dumps(settings))
        self.turn()

    @property
    def id(self) -> str:
        """ccxt's id."""
        return self.dialect.ccxt_id

    @property
    def symbol(self) -> str:
        """ccxt's unified symbol of its only market."""
        return f"{self.code[:-4]}/{self.code[-4:]}:{self.code[-4:]}"

    def credentials(self, name: str) -> dict[str, Any]:
        """How the guard's settings name an account."""
        account = next(each for each in self.accounts if each.name == name)
        if self.dialect is DialectName.HYPERLIQUID:
            return {"wallet_address": address_of(account)}
        return {"api_key_file": f"{name}.api_key", "api_secret_file": f"{name}.api_secret"}

    def turn(self) -> None:
        """Let the market be as ``market`` says; a process that runs sees it within ``LOOK_S``."""
        told = {"price": self.market.price, "depth_ratio": self.market.depth_ratio}
        path = _market_path(self._settings_path)
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(told))
        fresh.replace(path)

    async def start(self) -> None:
        """Start the process and wait until it listens."""
        lives = len(self._announced()) + 1
        await self.program.start()
        await eventually(
            lambda: len(self._announced()) == lives or not self.program.runs,
            within_s=30.0,
            what=f"{self.program.name} to listen",
        )
        assert self.program.runs, self.program.tail()
        told = self._announced()[-1]
        self.ccxt_urls, self.trading_urls = told["urls"], told["trading_urls"]

    def _announced(self) -> list[dict[str, Any]]:
        path = self.program.stdout_path
        return self.program.events(path) if path.exists() else []

    @property
    def _settings_path(self) -> Path:
        return self.folder / f"venue-{self.dialect}.json"


async def _run(path: Path) -> None:
    settings = json.loads(await asyncio.to_thread(path.read_text))
    market = HandMarket(symbols=(settings["code"],))
    accounts = [VenueAccountSpec(*each) for each in settings["accounts"]]
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    _follow(market, path)
    venue = LoopbackVenue(market, accounts=accounts, port=settings["port"], dialect=settings["dialect"])
    async with venue:
        urls = {"urls": venue.ccxt_urls(), "trading_urls": venue.trading_urls()}
        print(json.dumps(urls), flush=True)
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), LOOK_S)
            _follow(market, path)


def _follow(market: HandMarket, path: Path) -> None:
    told = json.loads(_market_path(path).read_text())
    market.price, market.depth_ratio = told["price"], told["depth_ratio"]


def _market_path(settings_path: Path) -> Path:
    return settings_path.with_suffix(".market.json")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    asyncio.run(_run(Path(sys.argv[1])))
