"""The demo: a made-up market that falls, two paper bots of one strategy, and the real daemon beside one of them.

Everything is real but the market: the venue on loopback speaks Binance's API to unmodified ccxt, the
broker is the embedded one, and the daemon is the same ``App`` that ``perpguard run`` starts.
"""

from __future__ import annotations

import asyncio
import secrets
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live

from adapters.bots.paper import PaperBot
from adapters.bots.settings import PaperBotSettings
from adapters.log import LogFormat, LogLevel, LogSettings, configure_logging
from adapters.simulation.settings import VenueAccountSpec
from adapters.storage.reader import SqliteAuditReader
from guard.app import App
from guard.audit import Billed, Step
from guard.commands import OutcomeKind
from guard.configuration import Settings
from guard.demo_market import DemoMarket, DemoVenues, demo_venues
from guard.demo_report import BotLine, bill_lines, command_lines, final_table, live_table, verdict, wrapped
from guard.explain import explain
from guard.ports import CommandSink, StoredRecord
from guard.units import BotId, Nanoseconds, market_id
from perpguard_sdk.messages import Command, Heartbeat, Mode, Posture, Verb

FOLDER = Path("var/demo")
VENUE = "binanceusdm"
SYMBOL = "BTC/USDT:USDT"
GUARDED, UNGUARDED = "guarded", "unguarded"
WALLET_USDT = 10_000.0
READY_S = 60.0
SITE = "demo"
WIDTH = 118
"""Of the output where there is no terminal to fit it to."""

STRATEGY: dict[str, Any] = {
    "leverage": 20,
    "slice_usd": 20_000,
    "slices_open": 7,
    "slices_max": 9,
    "dip_bps": 60,
    "stop_bps": 800,
    "reentry_s": 5,
}


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What ``perpguard demo`` was asked for."""

    seed: int = 1
    scenario: str = "fall"
    suppress: bool = False
    folder: Path = FOLDER
    market: DemoMarket = DemoMarket.LABORATORY


def run_demo(
    seed: int = 1,
    scenario: str = "fall",
    *,
    suppress: bool = False,
    folder: Path = FOLDER,
    market: DemoMarket = DemoMarket.LABORATORY,
) -> int:
    """Run the demo in this terminal; returns 0 if it ran to its end and its audit verifies."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH)
    options = DemoOptions(seed, scenario, suppress, folder, market)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with (folder / "log.jsonl").open("w") as log_file:
        configure_logging(LogSettings(format=LogFormat.JSON, level=LogLevel.INFO), stream=log_file)
        return asyncio.run(_run(options, console))


async def _run(options: DemoOptions, console: Console) -> int:
    venues = demo_venues(options.market, options.scenario, options.seed, _accounts(options))
    console.print(_opening(options, venues))
    await venues.start()
    app = App(_settings(options, venues), wrap_sink=_Suppressing if options.suppress else _passing)
    try:
        await app.start()
        console.print("The guard waits until it is sure to be the only one, then the bots connect ...")
        await _until(lambda: app.runner.engine.state.epoch > 0)
        lines, began_at = await _with_bots(options, venues, app, console)
    finally:
        await app.stop("the demo is over")
        await venues.stop()
    return await _report(options, lines, began_at, console, venues.others())


async def _with_bots(
    options: DemoOptions, venues: DemoVenues, app: App, console: Console
) -> tuple[list[BotLine], Nanoseconds]:
    """Run both bots until the market is over; return their accounts, and when the market began."""
    bots = [PaperBot(_bot_settings(options, name, venues, app)) for name in (GUARDED, UNGUARDED)]
    # None of these ends by itself but by failing, and then the demo has nothing to show.
    running = [asyncio.create_task(bot.run(), name=f"bot {bot.name}") for bot in bots]
    running.append(asyncio.create_task(app.wait(), name="guard"))
    watching = asyncio.create_task(_watch(options, venues, app, console, bots), name="watch")
    try:
        done, _ = await asyncio.wait([*running, watching], return_when=asyncio.FIRST_COMPLETED)
        for task in done - {watching}:
            task.result()
        began_at = await watching
        return _lines(venues), began_at
    finally:
        for task in (*running, watching):
            task.cancel()
        await asyncio.gather(*running, watching, return_exceptions=True)


async def _watch(
    options: DemoOptions, venues: DemoVenues, app: App, console: Console, bots: Sequence[PaperBot]
) -> Nanoseconds:
    """Let the market begin once both bots may trade, and show it until it is over; return when it began."""
    await _until(lambda: all(bot.is_ready for bot in bots))
    venues.begin()
    began_at, started = app.clock.now(), time.monotonic()
    market = market_id(VENUE, SYMBOL)

    def look() -> Group:
        return live_table(
            elapsed_s=time.monotonic() - started,
            market=market,
            engine=app.runner.engine,
            guarded=BotId(GUARDED),
            lines=_lines(venues),
            suppressed=options.suppress,
            others=venues.others(),
        )

    over = asyncio.create_task(venues.finished(), name="market")
    try:
        if console.is_terminal:
            with Live(look(), console=console, refresh_per_second=4) as live:
                while not over.done():
                    await asyncio.wait([over], timeout=0.25)
                    live.update(look())
        else:
            while not over.done():
                await asyncio.wait([over], timeout=5.0)
                console.print(look())
        over.result()
    finally:
        over.cancel()
    return began_at


async def _report(
    options: DemoOptions, lines: list[BotLine], began_at: Nanoseconds, console: Console, others: str
) -> int:
    """Say what it came to and why, from the venue's accounts and from the audit."""
    console.print()
    console.print(final_table(lines))
    if others:
        console.print(f"In the guarded bot's market there were {others}.")
    console.print(verdict(*lines, suppressed=options.suppress), style="bold")
    path = options.folder / "audit.sqlite3"
    async with await SqliteAuditReader.open(path) as reader:
        records = [stored async for stored in reader.records()]
        checked = await reader.verify()
        console.print("\nWhat the guard asked, and what became of it:")
        for line in command_lines(records, began_at):
            console.print(wrapped("  " + line, console.width), highlight=False, soft_wrap=True)
        bills = [stored.record for stored in records if isinstance(stored.record, Billed)]
        console.print("\nThe bill, by the guard's own books (perpguard bill):")
        for line in bill_lines(bills, suppressed=options.suppress):
            console.print(wrapped("  " + line, console.width), highlight=False, soft_wrap=True)
        shown = _worth_explaining(records)
        if shown is not None:
            concerned = [stored.record for stored in await reader.story(shown)]
            console.print(f"\nWhy, for one of them (perpguard explain {shown} --audit {path}):\n")
            console.print(
                wrapped(explain(concerned, shown).text, console.width), highlight=False, soft_wrap=True
            )
    state = "verifies" if checked.ok else f"does NOT verify: {checked.detail}"
    console.print(f"\nThe audit of this run has {checked.records} records and {state}. It is kept in {path}.")
    return 0 if checked.ok else 1


def _accounts(options: DemoOptions) -> list[VenueAccountSpec]:
    """One for each bot, with its secrets where bots and guard find them."""
    accounts = [
        VenueAccountSpec(name, f"demo-key-{name}", secrets.token_hex(16), wallet_usdt=WALLET_USDT)
        for name in (GUARDED, UNGUARDED)
    ]
    for account in accounts:
        _keep(options.folder / f"{account.name}.api_key", account.api_key)
        _keep(options.folder / f"{account.name}.api_secret", account.api_secret)
        _keep(options.folder / f"{account.name}.key", secrets.token_hex(32))
    return accounts


def _settings(options: DemoOptions, venues: DemoVenues) -> Settings:
    """The daemon's settings: what a minute needs shorter than a month does, and otherwise the defaults."""
    folder = options.folder
    return Settings.model_validate(
        {
            "guard": {"name": "demo", "mode": "paper"},
            "broker": {"site": SITE, "data_dir": str(folder / "broker"), "claim_quiet_s": 2.0},
            "audit": {"path": str(folder / "audit.sqlite3")},
            "venues": [
                {
                    "id": VENUE,
                    "symbols": [SYMBOL],
                    "urls": venues.by_bot[GUARDED].ccxt_urls(),
                    "rate_limit": False,
                    "account_poll_s": 1.0,
                    "accounts": {
                        GUARDED: {
                            "api_key_file": str(folder / f"{GUARDED}.api_key"),
                            "api_secret_file": str(folder / f"{GUARDED}.api_secret"),
                        }
                    },
                }
            ],
            "bots": [
                {
                    "name": GUARDED,
                    "key_file": str(folder / f"{GUARDED}.key"),
                    "venue": VENUE,
                    "account": GUARDED,
                    "symbols": [SYMBOL],
                }
            ],
            "baseline": {"warm_up_s": 8.0, "half_life_s": 120.0, "recover_ms": 1000},
            "policies": {"pause_entries": {"confirm_s": 2.0}},
            "arbiter": {"hold_down_s": 8.0, "step_s": 3.0},
            "bill": {"settle_s": 10.0},
        }
    )


def _bot_settings(options: DemoOptions, name: str, venues: DemoVenues, app: App) -> PaperBotSettings:
    folder = options.folder
    broker = app.broker
    assert broker is not None, "the demo has its own broker"
    login: dict[str, str] = {}
    if name == GUARDED:
        _keep(folder / "broker.password", broker.bot_password(name))
        login = {"username": name, "password_file": str(folder / "broker.password")}
    return PaperBotSettings.model_validate(
        {
            "name": name,
            "guarded": name == GUARDED,
            # Suppressed, the bot is one that only a live guard could arm: it hears a paper guard and runs free.
            "mode": Mode.LIVE if options.suppress else Mode.PAPER,
            "key_file": str(folder / f"{name}.key"),
            "broker": {
                "host": broker.host,
                "port": broker.port,
                "protocol": "3.1.1",
                **login,
            },
            "site": SITE,
            "venue_id": VENUE,
            "account": name,
            "venue_urls": venues.by_bot[name].ccxt_urls(),
            "api_key_file": str(folder / f"{name}.api_key"),
            "api_secret_file": str(folder / f"{name}.api_secret"),
            "symbol": SYMBOL,
            "strategy": STRATEGY,
            "state_dir": str(folder / f"{name}.state"),
        }
    )


def _lines(venues: DemoVenues) -> list[BotLine]:
    """Both bots' accounts as the venue keeps them."""
    lines = []
    for name in (GUARDED, UNGUARDED):
        account = venues.account_state(name)
        lines.append(
            BotLine(
                name=name,
                deposit=float(account.deposit_usdt),
                equity=float(account.equity_usdt),
                size=float(sum(position.amount for position in account.positions)),
                notional=float(
                    sum(abs(position.amount) * position.mark_price for position in account.positions)
                ),
                fees=float(account.fees_usdt),
                fills=account.fills,
                liquidations=len(account.liquidations),
            )
        )
    return lines


def _worth_explaining(records: Sequence[StoredRecord]) -> str | None:
    """The first cut that was seen to take effect, else the first cut, else the first command."""
    steps = [stored.record for stored in records if isinstance(stored.record, Step)]
    commands = [publish.command for step in steps for publish in step.commands]
    cuts = [command for command in commands if command.verb is Verb.CUT_LEVERAGE]
    confirmed = {
        outcome.command_id
        for step in steps
        for outcome in step.outcomes
        if outcome.outcome is OutcomeKind.CONFIRMED
    }
    seen = [command for command in cuts if command.id in confirmed]
    chosen = next(iter(seen or cuts or commands), None)
    return None if chosen is None else chosen.id


@dataclass(slots=True)
class _Suppressing:
    """Lets heartbeats through, so that the bot knows of the guard, and nothing that it decides."""

    sink: CommandSink

    async def publish_command(self, command: Command) -> None:
        del command

    async def publish_posture(self, posture: Posture) -> None:
        del posture

    async def publish_heartbeat(self, heartbeat: Heartbeat) -> None:
        await self.sink.publish_heartbeat(heartbeat)


def _passing(sink: CommandSink) -> CommandSink:
    return sink


def _opening(options: DemoOptions, venues: DemoVenues) -> str:
    suppressed = (
        "\nThe guard decides but nothing is sent: both bots must end equal." if options.suppress else ""
    )
    return f"{venues.about}{suppressed}"


def _keep(path: Path, secret: str) -> None:
    path.touch(mode=0o600)
    path.write_text(secret)


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(READY_S):
        while not condition():  # noqa: ASYNC110 (several adapters must be ready; none of them tells us)
            await asyncio.sleep(0.05)
