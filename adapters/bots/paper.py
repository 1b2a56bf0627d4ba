"""The paper bot: trades through ccxt, and obeys the guard through the SDK.

``python -m adapters.bots.paper --settings FILE.json`` runs one; SIGTERM stops it in order, and a kill
is survived through its state folder. ``PaperBot(settings).run()`` runs one in-process.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import structlog
from pydantic import ValidationError

from adapters.bots.desk import Desk, Journal
from adapters.bots.ghost import Ghost
from adapters.bots.settings import Fault, PaperBotSettings
from adapters.bots.strategy import DipBuyer, may_buy, ruled_price
from adapters.bots.trading import CcxtTrading, Holding, Mark, Trading
from guard.errors import SettingsError, VenueError
from perpguard_sdk.actions import Publish
from perpguard_sdk.client import BotClient, BotClientSettings, ClientState
from perpguard_sdk.executor import BotView, CommandFailed, CommandRejected
from perpguard_sdk.limits import Limits, Restrictions, tightest
from perpguard_sdk.messages import (
    ALL_SYMBOLS,
    Ack,
    Command,
    CutLeverage,
    Effect,
    Entries,
    Pause,
    ReportedOrder,
    ReportedPosition,
    Resume,
    StopRule,
    Verb,
    VerbCapability,
    WidenStops,
)
from perpguard_sdk.stops import widen_stops_safely

MARKS_MAX = 16
"""Marks come once a second and a decision takes a few hundred ms: 16 are a venue that hangs. The oldest
are then left out, because deciding on a price of a quarter of a minute ago helps nobody."""
RETRY_S = 1.0
UNGUARDED = Limits()

NO_MARKS = "mark prices are lost, trying again"
NO_DECISION = "nothing is decided on this mark"

_log = structlog.get_logger()


class PaperBot:
    """One bot on one symbol. ``trading`` is the venue, by default ccxt's as the settings say.

    Raises:
        SettingsError: a secret cannot be read.
    """

    def __init__(self, settings: PaperBotSettings, trading: Trading | None = None) -> None:
        self.settings = settings
        self.name = settings.name
        self.journal_path = settings.state_dir / f"{settings.name}.journal.jsonl"
        self._strategy = DipBuyer(settings.strategy, settings.symbol)
        self._ghost = Ghost(self._strategy)
        self._trading = trading or _ccxt_trading(settings)
        self._desk = Desk(
            self._trading, Journal(self.journal_path), settings.state_dir / f"{settings.name}.reduction.json"
        )
        self._client = _client(settings, self) if settings.guarded else None
        self._marks: asyncio.Queue[Mark] = asyncio.Queue(MARKS_MAX)
        self._started = False
        self._trouble: dict[str, str] = {}

    @property
    def limits(self) -> Limits:
        """What the guard and a human's hand allow; without a guard, or only pretending to obey, the hand alone."""
        limits = UNGUARDED
        if self._client is not None and self.settings.fault is not Fault.ACK_ONLY:
            limits = self._client.limits
        own = self.held_by_hand
        if own is Entries.ALLOWED:
            return limits
        both = tightest(limits.restrictions, Restrictions(entries={ALL_SYMBOLS: own}))
        return replace(limits, restrictions=both)

    @property
    def held_by_hand(self) -> Entries:
        """What a human allows: a word of ``Entries`` in the file ``NAME.hold`` of the state folder, all without it."""
        try:
            return Entries((self.settings.state_dir / f"{self.name}.hold").read_text().strip())
        except FileNotFoundError:
            return Entries.ALLOWED
        except (OSError, ValueError):
            return Entries.HALTED  # somebody meant something by it

    @property
    def guard_state(self) -> ClientState | None:
        """How the connection to the guard stands, ``None`` without one."""
        return None if self._client is None else self._client.state

    @property
    def is_ready(self) -> bool:
        """Whether it hears the market, and the guard, if it has one, has let it out of safe mode."""
        heard = self._started and self._trading.is_streaming
        state = self.guard_state
        return heard and (state is None or (state.connected and not state.safe_mode))

    async def run(self) -> None:
        """Trade until cancelled; whatever rests on the venue then stays there, stops above all.

        Raises:
            ValueError: the state file belongs to another bot.
        """
        try:
            await self._start()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._hear(), name=f"bot-{self.name}-marks")
                group.create_task(self._trade(), name=f"bot-{self.name}-trade")
                if self._client is not None:
                    group.create_task(self._client.run(), name=f"bot-{self.name}-guard")
        finally:
            await self._trading.close()

    async def _start(self) -> None:
        while True:
            try:
                await self._trading.start()
                await self._desk.set_leverage(self.settings.strategy.leverage)
            except VenueError as error:
                self._tell("the venue cannot be used, trying again", error)
                await asyncio.sleep(RETRY_S)
            else:
                self._started = True
                return

    # Trading

    async def _hear(self) -> None:
        while True:
            try:
                async for mark in self._trading.marks():
                    if self._marks.full():
                        self._marks.get_nowait()
                    self._marks.put_nowait(mark)
                    self._trouble.pop(NO_MARKS, None)
            except VenueError as error:
                self._tell(NO_MARKS, error)
            await asyncio.sleep(RETRY_S)

    async def _trade(self) -> None:
        while True:
            mark = await self._marks.get()
            try:
                async with self._desk.lock:
                    await self._decide(mark)
                self._trouble.pop(NO_DECISION, None)
            except VenueError as error:
                self._tell(NO_DECISION, error)

    def _tell(self, what: str, error: VenueError) -> None:
        """Say what does not work, once for each reason until it works again."""
        if self._trouble.get(what) != str(error):
            self._trouble[what] = str(error)
            _log.warning(what, bot=self.name, reason=str(error))

    async def _decide(self, mark: Mark) -> None:
        holding, equity_usd = await asyncio.gather(self._trading.holding(), self._trading.equity_usd())
        self._strategy.watch(mark, holding)
        before, limits = holding, self.limits
        await self._desk.set_leverage(self._strategy.leverage(limits))
        if self._strategy.wants_slice(mark, holding, equity_usd, limits):
            size = self._trading.round_size(self._strategy.slice_size(mark, limits), up=False)
            try:
                await self._desk.enter(size, self.settings.symbol, mark.at_ms)
            except VenueError:
                self._strategy.refused(mark)
                raise
            self._strategy.bought()
            holding = await self._trading.holding()
        bought = holding.size - before.size
        self._ghost.see(mark, before, bought, equity_usd, limits, self.held_by_hand, self._rounded_down)
        await self._protect(holding)

    def _rounded_down(self, size: float) -> float:
        return self._trading.round_size(size, up=False)

    async def _protect(self, holding: Holding) -> float | None:
        price = self._strategy.stop_price(holding, self.limits)
        if price is not None and holding.mark_price is not None and holding.mark_price <= price:
            # No stop can be placed there any more: what it would have done is due now.
            holding = await self._desk.reduce_to(0.0, "stop passed")
        return await self._desk.move_stop(holding, price)

    # What the SDK asks of a bot

    async def execute(self, command: Command) -> Effect:
        """Do a command, once."""
        if self.settings.fault is Fault.ACK_ONLY:
            return Effect()
        try:
            return await self._obey(command)
        except VenueError as error:
            raise CommandFailed(str(error)) from error

    async def _obey(self, command: Command) -> Effect:
        async with self._desk.lock:
            self._desk.journal.write("command", command_id=command.id, verb=command.verb, seq=command.seq)
            match command:
                case Pause():
                    return Effect(orders_cancelled=await self._desk.cancel_entries())
                case Resume():
                    return Effect()
                case CutLeverage():
                    return await self._cut(command)
                case WidenStops():
                    return await self._widen(command)

    async def reconcile(self, command: Command) -> Effect | None:
        """After a crash in the middle of ``command``: the effect if it is there, else ``None``."""
        async with self._desk.lock:
            holding, orders = await self._trading.holding(), await self._trading.orders()
        match command:
            case Pause():
                return None if any(not order.reduce_only for order in orders) else Effect()
            case Resume():
                return Effect()
            case CutLeverage(max_size=size_max) if abs(holding.size) <= size_max:
                return Effect(size_after=holding.size)
            case _:
                return None

    async def view(self) -> BotView:
        """The position and the orders as the venue shows them now."""
        holding, orders = await self._trading.holding(), await self._trading.orders()
        position = ReportedPosition(
            symbol=self.settings.symbol,
            size=holding.size,
            entry_price=holding.entry_price,
            leverage=holding.leverage,
            mark_price=holding.mark_price,
            liquidation_price=holding.liquidation_price,
        )
        own, withheld = self.held_by_hand, self._ghost.withheld
        return BotView(
            own_entries={} if own is Entries.ALLOWED else {ALL_SYMBOLS: own},
            withheld={} if withheld is None else {self.settings.symbol: withheld},
            positions=(position,) if holding.size else (),
            orders=tuple(
                ReportedOrder(
                    order_id=order.order_id,
                    symbol=self.settings.symbol,
                    size=order.size,
                    price=order.price,
                    stop_price=order.stop_price,
                    reduce_only=order.reduce_only,
                )
                for order in orders
            ),
        )

    async def limits_changed(self, limits: Limits) -> None:
        """Cancel what rests and may not any more."""
        if limits.may_enter(self.settings.symbol) or self.settings.fault is Fault.ACK_ONLY:
            return
        async with self._desk.lock:
            if not may_buy(await self._trading.holding(), limits, self.settings.symbol):
                await self._desk.cancel_entries()

    async def _cut(self, command: CutLeverage) -> Effect:
        before = await self._trading.holding()
        after = await self._desk.reduce_to(command.max_size, command.id, command.price_limit)
        self._ghost.was_cut(before.size - after.size)
        await self._desk.set_leverage(min(self.settings.strategy.leverage, max(1, int(command.max_leverage))))
        stop_price = await self._protect(after)
        return Effect(size_before=before.size, size_after=after.size, stop_price_after=stop_price)

    async def _widen(self, command: WidenStops) -> Effect:
        async def read_size() -> float:
            return (await self._trading.holding()).size

        async def cut(size_max: float) -> None:
            before = await read_size()
            after = await self._desk.reduce_to(size_max, command.id)
            self._ghost.was_cut(before - after.size)

        async def move_stop(rule: StopRule) -> float | None:
            holding = await self._trading.holding()
            own = self._strategy.stop_price(holding, UNGUARDED)
            if own is None:
                raise CommandRejected("this bot holds no long, whose stop it could move")
            return await self._desk.move_stop(holding, ruled_price(rule, own, holding.mark_price))

        return await widen_stops_safely(command, cut=cut, read_size=read_size, move_stop=move_stop)


class _MuteClient(BotClient):
    """A client that does everything and acknowledges nothing: what a guard must not be fooled by."""

    def publish(self, publish: Publish) -> None:
        if not isinstance(publish.message, Ack):
            super().publish(publish)


def _client(settings: PaperBotSettings, bot: PaperBot) -> BotClient:
    assert settings.key_file is not None, "settings check this"
    broker = settings.broker
    if broker.password_file is not None:
        _secret(broker.password_file, "broker.password_file")  # said now, not at each connection
    kind = _MuteClient if settings.fault is Fault.MUTE else BotClient
    try:
        client_settings = BotClientSettings(
            bot=settings.name,
            key=_secret(settings.key_file, "key_file"),
            site=settings.site,
            root=settings.root,
            host=broker.host,
            port=broker.port,
            protocol=broker.protocol,
            username=broker.username,
            password_file=broker.password_file,
            tls_ca=broker.tls_ca,
            tls_cert=broker.tls_cert,
            tls_key=broker.tls_key,
            mode=settings.mode,
            venue=settings.venue_id,
            account=settings.account,
            symbols=(settings.symbol,),
            verbs={verb: VerbCapability(deadline_ms=deadline) for verb, deadline in _DEADLINES_MS.items()},
            state_path=settings.state_dir / f"{settings.name}.state.json",
            dead_man_ms=settings.dead_man_ms,
            rearm_ms=settings.rearm_ms,
            report_ms=settings.report_ms,
            scales_entries=True,
            software="perpguard-paper-bot",
        )
    except ValueError as error:
        raise SettingsError(f"bot {settings.name}", [("key_file", str(error))]) from error
    return kind(client_settings, bot)


_DEADLINES_MS = {Verb.PAUSE: 3_000, Verb.RESUME: 3_000, Verb.CUT_LEVERAGE: 8_000, Verb.WIDEN_STOPS: 8_000}
"""A decision of the strategy may hold the venue for a second, and each order may take as long to fill."""


def _ccxt_trading(settings: PaperBotSettings) -> CcxtTrading:
    return CcxtTrading(
        settings.symbol,
        settings.venue_urls,
        _secret(settings.api_key_file, "api_key_file").decode(),
        _secret(settings.api_secret_file, "api_secret_file").decode(),
    )


def _secret(path: Path, setting: str) -> bytes:
    """Read a secret as the guard reads it: the bytes of the file but for the newline at its end."""
    try:
        secret = path.read_bytes().rstrip(b"\r\n")
    except OSError as error:
        raise SettingsError(str(path), [(setting, f"cannot be read: {error}")]) from error
    if not secret.strip():
        raise SettingsError(str(path), [(setting, "the file is empty")])
    return secret


def read_settings(path: Path) -> PaperBotSettings:
    """Read a bot's settings from a JSON file.

    Raises:
        SettingsError: the file cannot be read, or a setting in it is unknown, missing or impossible.
    """
    try:
        return PaperBotSettings.model_validate_json(path.read_bytes())
    except OSError as error:
        raise SettingsError(str(path), [("", f"cannot be read: {error}")]) from error
    except ValidationError as error:
        problems = [(".".join(str(part) for part in each["loc"]), each["msg"]) for each in error.errors()]
        raise SettingsError(str(path), problems) from error


def _log_as_json() -> None:
    """One line of JSON on standard output for each thing done; what the SDK says goes to standard error."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(name)s %(message)s")
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stdout),
    )


async def _run_until_stopped(settings: PaperBotSettings) -> None:
    running = asyncio.create_task(PaperBot(settings).run(), name=f"bot-{settings.name}")
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, running.cancel)
    await asyncio.wait([running])
    if not running.cancelled():
        running.result()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one paper bot until SIGTERM; 0 after an orderly stop, 2 for settings that cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m adapters.bots.paper", description=main.__doc__)
    parser.add_argument("--settings", type=Path, required=True, help="a JSON file, see PaperBotSettings")
    options = parser.parse_args(arguments)
    try:
        settings = read_settings(options.settings)
        _log_as_json()
        asyncio.run(_run_until_stopped(settings))
    except (SettingsError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
