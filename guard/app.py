"""The one place that wires adapters and policies to the engine, and the daemon's life from start to stop."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn

import structlog

from adapters.clock import SystemClock, TickFeed
from adapters.exchanges import venue_feeds
from adapters.log import configure_logging
from adapters.metrics import MetricsServer
from adapters.mqtt.embedded import EmbeddedBroker
from adapters.mqtt.link import MqttLink
from adapters.mqtt.settings import BrokerKind
from adapters.storage.keeper import AuditKeeper
from guard.account.hypothetical import Hypothetical, snapshots_of
from guard.arbiter import Arbiter
from guard.configuration import Settings, resolve_secrets
from guard.dispatch import Dispatch
from guard.engine import Engine
from guard.errors import FatalError, GuardError
from guard.inbox import Inbox
from guard.measuring import measure, what_is_wrong
from guard.policy import Policy
from guard.ports import Clock, CommandSink, Emit, Feed
from guard.runner import Identity, Runner, RunnerSettings, World
from guard.settings import resolve_secret
from guard.state import BotConfig, GuardState
from guard.stopping import asked_to_stop, leave
from guard.units import BotId, account_id, market_id
from perpguard_sdk.codec import check_key

SAY_S = 1.0
END_S = 2.0
"""Stopping takes 6 s at most, with every part hanging; container runtimes kill after 10."""

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
                    heartbeat_ms=settings.broker.heartbeat_ms,
                    signals=settings.guard.signals,
                    tick_ms=settings.guard.tick_ms,
                ),
                inbox=Inbox(settings.overload),
            )
            await self._serve_metrics()
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
        """End in order: say so, record it, close what was opened, last first. Nothing that hangs is waited for."""
        if self._running is not None:
            await _within(SAY_S, self.runner.say_stopping(), "saying that the guard stops")
            self._running.cancel()
            await _within(END_S, asyncio.wait([self._running]), "ending the loop")
            await _within(END_S, self.runner.close(why), "recording the end")
        await self._stack.aclose()

    async def _serve_metrics(self) -> None:
        if self.settings.metrics.enabled:
            server = MetricsServer(
                self.settings.metrics,
                measure=lambda: measure(self.runner),
                healthy=lambda: what_is_wrong(self.runner),
            )
            await self._stack.enter_async_context(server)

    async def _link(self, bot_keys: dict[BotId, bytes], session: str) -> MqttLink:
        settings = self.settings
        place: dict[str, object] = {}
        if settings.broker.kind is BrokerKind.EMBEDDED:
            self.broker = await self._stack.enter_async_context(
                EmbeddedBroker(settings.broker, [bot.access for bot in settings.bots])
            )
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
    """Run the daemon until SIGTERM or SIGINT (0) or until nothing sensible can go on (1).

    Raises:
        GuardError: it could not be started.
    """
    asked = asyncio.create_task(asked_to_stop().wait(), name="stop signal")
    app = App(settings)
    why, code = "asked to stop", 0
    try:
        await _first_of(asked, app.start())
        if not asked.done():
            _tell_running(app)
            await _first_of(asked, app.wait())
    except FatalError as error:
        why, code = str(error), 1
        log.error("perpguard cannot go on", error=why)
    except GuardError:
        raise
    except Exception as error:
        why, code = f"{type(error).__name__}: {error}", 1
        log.exception("perpguard cannot go on: this is a bug, please report it with these lines")
    finally:
        asked.cancel()
        await app.stop(why)
    log.info("perpguard has stopped", why=why)
    return code


def run(settings: Settings, warnings: Sequence[str] = ()) -> NoReturn:
    """Run the daemon from a command line, after logging ``warnings``; ends the process.

    Raises:
        GuardError: it could not be started; its text says what to do.
    """
    configure_logging(settings.log, secrets=resolve_secrets(settings, "settings").values())
    for warning in warnings:
        log.warning("a setting deserves a second look", detail=warning)
    with asyncio.Runner() as runner:
        leave(runner.run(serve(settings)))


def _tell_running(app: App) -> None:
    settings, broker = app.settings, app.broker
    host, port = (broker.host, broker.port) if broker else (settings.broker.host, settings.broker.port_used)
    log.info(
        "perpguard runs",
        mode=settings.guard.mode,
        broker=f"{host}:{port}",
        venues=[venue.id for venue in settings.venues],
    )


async def _first_of(asked: asyncio.Task[bool], work: Awaitable[None]) -> None:
    """Do ``work`` unless we are asked to stop before it is done; what it raises passes."""
    working = asyncio.ensure_future(work)
    try:
        await asyncio.wait([asked, working], return_when=asyncio.FIRST_COMPLETED)
    finally:
        if not working.done():
            working.cancel()
            await asyncio.wait([working], timeout=END_S)
    if working.done() and not working.cancelled():
        working.result()


async def _within(limit_s: float, work: Awaitable[object], what: str) -> None:
    """Wait for a step of stopping, but not longer than ``limit_s``: a supervisor kills what does not stop."""
    working = asyncio.ensure_future(work)
    done, _ = await asyncio.wait([working], timeout=limit_s)
    if not done:
        working.cancel()
        log.error("stopping goes on without a step that hangs", step=what, waited_s=limit_s)
    elif (error := working.exception()) is not None:
        log.error("stopping goes on without a step that failed", step=what, error=str(error))


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
