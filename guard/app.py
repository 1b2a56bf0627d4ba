"""The one place that wires adapters and policies to the engine, and the daemon's life from start to stop."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import structlog

from adapters.clock import SystemClock, TickFeed
from adapters.exchanges import venue_feeds
from adapters.log import configure_logging
from adapters.mqtt.embedded import EmbeddedBroker
from adapters.mqtt.link import MqttLink
from adapters.mqtt.settings import BrokerKind
from adapters.storage.keeper import AuditKeeper
from guard.account.hypothetical import Hypothetical, snapshots_of
from guard.arbiter import Arbiter
from guard.configuration import Settings, resolve_secrets
from guard.dispatch import Dispatch
from guard.engine import Engine
from guard.errors import FatalError
from guard.policy import Policy
from guard.ports import Clock, CommandSink, Emit, Feed
from guard.runner import Identity, Runner, RunnerSettings, World
from guard.settings import resolve_secret
from guard.state import BotConfig, GuardState
from guard.units import BotId, account_id, market_id
from perpguard_sdk.codec import check_key

log = structlog.get_logger()


@dataclass(slots=True)
class App:
    """The daemon as a thing that starts and stops; ``run`` and the demo use it alike.

    ``wrap_sink`` puts something around what carries postures and commands: the demo's ``--suppress``.
    """

    settings: Settings
    wrap_sink: Callable[[CommandSink], CommandSink] = lambda sink: sink
    clock: Clock = field(default_factory=SystemClock)
    runner: Runner = field(init=False)
    broker: EmbeddedBroker | None = None
    _stack: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)
    _running: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Open everything in order and begin; returns once the loop runs (the epoch may still be claimed).

        Raises:
            SettingsError: a secret is missing.
            BrokerError: the embedded broker cannot be started.
        """
        settings = self.settings
        try:
            bot_keys = {
                BotId(bot.name): check_key(
                    resolve_secret(what=f"bots.{index}.key", file=bot.key_file, env=bot.key_env),
                    f"bots.{index}.key",
                )
                for index, bot in enumerate(settings.bots)
            }
            feeds = _venue_feeds(settings, self.clock)
            audit = await self._stack.enter_async_context(AuditKeeper(settings.audit.path, self.clock))
            session = secrets.token_hex(4)
            link = await self._link(bot_keys, session)
            self.runner = Runner(
                engine=build_engine(settings),
                identity=_identity(settings, session),
                world=World(
                    clock=self.clock,
                    feeds=[
                        link,
                        TickFeed(self.clock, settings.guard.tick_ms),
                        *feeds,
                        *_asked(settings, self.clock),
                    ],
                    commands=self.wrap_sink(link),
                    status=link,
                    fence=link,
                    audit=audit,
                    memory=audit,
                ),
                settings=RunnerSettings(
                    heartbeat_ms=settings.broker.heartbeat_ms, signals=settings.guard.signals
                ),
            )
        except BaseException:
            await self._stack.aclose()
            raise
        self._running = asyncio.create_task(self.runner.run(), name="runner")

    async def wait(self) -> None:
        """Return when the loop ends by itself, which it only does by raising.

        Raises:
            FatalError: another guard is in charge, or nothing sensible can go on.
        """
        assert self._running is not None, "start comes first"
        try:
            await asyncio.shield(self._running)
        except BaseExceptionGroup as group:
            fatal = group.subgroup(FatalError)
            if fatal is not None:
                raise _first(fatal) from group
            raise

    async def stop(self, why: str) -> None:
        """End in order: say so, record it, close what was opened, last first."""
        if self._running is not None:
            with contextlib.suppress(Exception):
                await self.runner.say_stopping()
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)
            await self.runner.close(why)
        await self._stack.aclose()

    async def _link(self, bot_keys: dict[BotId, bytes], session: str) -> MqttLink:
        settings = self.settings
        place: dict[str, object] = {}
        if settings.broker.kind is BrokerKind.EMBEDDED:
            self.broker = await self._stack.enter_async_context(EmbeddedBroker(settings.broker))
            broker = self.broker
            place = {
                "host": broker.host,
                "port": broker.port,
                "username": broker.username,
                "password": broker.password,
            }
        return MqttLink(
            settings.broker,
            guard=settings.guard.name,
            mode=settings.guard.mode,
            bot_keys=bot_keys,
            clock=self.clock,
            session=session,
            **place,  # type: ignore[arg-type]
        )


def build_engine(settings: Settings) -> Engine:
    """Make the engine that the settings describe; it knows nothing of the world yet."""
    markets = tuple(market_id(venue.id, symbol) for venue in settings.venues for symbol in venue.symbols)
    bots = tuple(
        BotConfig(
            bot=BotId(bot.name),
            account=account_id(bot.venue, bot.account),
            markets=tuple(market_id(bot.venue, symbol) for symbol in bot.symbols),
        )
        for bot in settings.bots
    )
    keyed = tuple(account_id(venue.id, name) for venue in settings.venues for name in venue.accounts)
    state = GuardState.of(baseline=settings.baseline, markets=markets, bots=bots, keyed_accounts=keyed)
    return Engine(
        state=state,
        policies=_policies(settings),
        arbiter=Arbiter(settings.arbiter),
        dispatch=Dispatch(settings.dispatch),
    )


async def serve(settings: Settings) -> int:
    """Run the daemon until SIGTERM or SIGINT (0) or until nothing sensible can go on (1)."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    app = App(settings)
    await app.start()
    broker = app.broker
    where = f"{broker.host}:{broker.port}" if broker is not None else settings.broker.host
    log.info(
        "perpguard runs",
        mode=settings.guard.mode,
        broker=where,
        venues=[venue.id for venue in settings.venues],
    )
    stopping = asyncio.create_task(stop.wait(), name="stop signal")
    ended = asyncio.create_task(app.wait(), name="end of the loop")
    why, code = "asked to stop", 0
    try:
        await asyncio.wait([stopping, ended], return_when=asyncio.FIRST_COMPLETED)
        if ended.done() and (error := ended.exception()) is not None:
            why, code = str(error), 1
            log.error("perpguard cannot go on", error=why)
    finally:
        for task in (stopping, ended):
            task.cancel()
        await asyncio.gather(stopping, ended, return_exceptions=True)
        await app.stop(why)
    log.info("perpguard has stopped", why=why)
    return code


def run(settings: Settings) -> int:
    """Run the daemon from a command line; returns the exit code.

    Raises:
        GuardError: it could not be started; its text says what to do.
    """
    configure_logging(settings.log, secrets=resolve_secrets(settings, "settings").values())
    return asyncio.run(serve(settings))


def _policies(settings: Settings) -> Sequence[Policy]:
    policies = settings.policies
    return (
        policies.distrust_stale_data,
        policies.distrust_bots,
        policies.distrust_links,
        policies.keep_restart_floor,
        policies.pause_entries,
        policies.cut_leverage,
        policies.widen_stops,
    )


def _identity(settings: Settings, session: str) -> Identity:
    return Identity(
        guard=settings.guard.name,
        session=session,
        mode=settings.guard.mode,
        software_version=version("perpguard"),
        settings_digest=settings.digest,
    )


def _venue_feeds(settings: Settings, clock: Clock) -> list[Feed]:
    feeds: list[Feed] = []
    for index, venue in enumerate(settings.venues):

        def resolve(*, what: str, file: Path | str | None, env: str | None, index: int = index) -> bytes:
            return resolve_secret(what=f"venues.{index}.{what}", file=file, env=env)

        feeds += venue_feeds(venue, clock=clock, resolve_secret=resolve)
    return feeds


@dataclass(frozen=True, slots=True)
class _AskedFeed:
    """Says once what the settings ask about; settings never age."""

    asked: tuple[Hypothetical, ...]
    clock: Clock
    name = "positions of the settings"

    async def run(self, emit: Emit) -> None:
        for snapshot in snapshots_of(self.asked, self.clock.now()):
            emit(snapshot)


def _asked(settings: Settings, clock: Clock) -> list[Feed]:
    asked = tuple(
        Hypothetical(
            account=account_id(position.venue, position.account),
            market=market_id(position.venue, position.symbol),
            size=position.size,
            entry_price=position.entry_price,
            leverage=position.leverage,
            margin_usd=position.margin_usd,
        )
        for position in settings.positions
    )
    return [_AskedFeed(asked, clock)] if asked else []


def _first(group: BaseExceptionGroup[FatalError]) -> FatalError:
    for error in group.exceptions:
        return _first(error) if isinstance(error, BaseExceptionGroup) else error
    raise AssertionError("a group is never empty")
