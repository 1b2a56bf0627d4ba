"""The one place that wires adapters and policies to the engine, and the daemon's life from start to stop."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn

import structlog

from adapters.clock import SystemClock, TickFeed, process_age_ns
from adapters.log import Redactor, configure_logging, set_level
from adapters.metrics import MetricsServer
from adapters.mqtt.embedded import EmbeddedBroker
from adapters.mqtt.link import MqttLink
from adapters.mqtt.settings import BrokerKind
from adapters.storage.housekeeping import Housekeeping
from adapters.storage.keeper import AuditKeeper
from adapters.storage.outlook_memory import OutlookMemoryFile
from adapters.storage.samples import SampleRecorder
from adapters.systemd import Notifier, monotonic_usec
from guard.bill.ledger import Ledger
from guard.building import build_engine, engine_parts
from guard.cadence import Cadence
from guard.clock_offset import ClockOffset, TimedFeed
from guard.configuration import Settings, resolve_secrets
from guard.errors import AuditError, FatalError, GuardError
from guard.inbox import Inbox
from guard.market.implementation import COMPILED, TO_COMPILE, implementation, why_slow
from guard.measuring import measure, what_is_wrong
from guard.ports import Clock, CommandSink, Feed
from guard.reload.swap import Parts, Reloader, bot_keys
from guard.reload.watch import Watch
from guard.remembering import Remembering
from guard.runner import Identity, Runner, RunnerSettings, World
from guard.stopping import asked_to_stop, leave, on_hangup
from guard.supervised import Supervised
from guard.traces import FrameTimings
from guard.units import BotId, Nanoseconds
from guard.wiring import asked_feeds_of, asset_price_feeds_of, feeds_of_venue

SAY_S = 1.0
END_S = 2.0
"""Stopping takes 6 s at most, with every part hanging; container runtimes kill after 10."""

log = structlog.get_logger()


@dataclass(slots=True)
class App:
    """The daemon as a thing that starts and stops; ``run`` and the demo use it alike.

    ``wrap_sink`` puts something around what carries postures and commands: the demo's ``--suppress``. With the
    ``path`` of its settings they are read again when ``reload_asked`` is set or the file changes. A ``notifier``
    tells a supervisor how it is; ``redactor`` is told of secrets that come while it runs; by ``older_ns`` the process
    is older than the app, for telling how long the start took.
    """

    settings: Settings
    wrap_sink: Callable[[CommandSink], CommandSink] = lambda sink: sink
    clock: Clock = field(default_factory=SystemClock)
    path: Path | None = None
    reload_asked: asyncio.Event = field(default_factory=asyncio.Event)
    notifier: Notifier | None = None
    redactor: Redactor | None = None
    older_ns: Nanoseconds = 0
    runner: Runner = field(init=False)
    broker: EmbeddedBroker | None = None
    reloader: Reloader | None = None
    _link: MqttLink = field(init=False)
    _cadence: Cadence = field(init=False)
    _clock_offset: ClockOffset = field(init=False)
    _remembering: Remembering = field(init=False)
    _timed: dict[str, FrameTimings] = field(default_factory=dict)
    _supervised: Supervised | None = None
    _stack: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)
    _running: asyncio.Task[None] | None = None
    _watching: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Open everything in order and begin; returns once the loop runs (the epoch may still be claimed).

        Raises:
            SettingsError: a secret is missing.
            BrokerError: the embedded broker cannot be started.
        """
        settings = self.settings
        inbox = Inbox(settings.overload)
        self._cadence = Cadence(inbox, judge_us=lambda: self.runner.load.judge_us)
        self._clock_offset = ClockOffset(lambda event: self.runner.inbox.put(event))  # noqa: PLW0108 (there is no runner yet)
        try:
            secret_values = resolve_secrets(settings, "settings")
            feeds = {venue.id: self.venue_feeds(settings, venue.id) for venue in settings.venues}
            asked = self.asked_feeds(settings)
            audit = await self._stack.enter_async_context(AuditKeeper(settings.audit.path, self.clock))
            samples = SampleRecorder(settings.samples, settings.audit.path, self.clock)
            self._remembering = self._make_remembering()
            session = secrets.token_hex(4)
            link = self._link = await self._make_link(bot_keys(settings, secret_values), session)
            self.runner = Runner(
                engine=build_engine(settings),
                identity=_identity(settings, session),
                world=World(
                    clock=self.clock,
                    feeds=[
                        link,
                        TickFeed(self.clock, settings.guard.tick_ms),
                        self._remembering,
                        Housekeeping(audit, samples, settings.audit, settings.samples, self.clock),
                        *(feed for each in feeds.values() for feed in each),
                        *asked,
                        *asset_price_feeds_of(settings, self.clock, state=lambda: self.runner.engine.state),
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
                inbox=inbox,
                recorder=samples.record,
            )
            traces = self.runner.outbox.traces
            traces.venue_lag_ms, traces.frames = self._clock_offset.lag_ms, self._timed.items
            self.runner.readiness.began_at -= self.older_ns
            self.runner.telling.notices.settings = settings.notices
            self.runner.bill = await self._bill(audit)
            remembered = await self._remembering.recall()
            if remembered is not None:
                inbox.put(remembered)
            await self._serve_metrics(samples)
            self._supervise()
            if self.path is not None:
                self.reloader = Reloader(self.path, settings, secret_values, self.runner, self, feeds, asked)
        except BaseException:
            await self._stack.aclose()
            raise
        self._running = asyncio.create_task(self.runner.run(), name="runner")
        if self.reloader is not None:
            self._watching = asyncio.create_task(self._reload_when_due(self.reloader), name="settings")

    async def wait(self) -> None:
        """Return when the loop ends by itself, which it only does by raising.

        Raises:
            FatalError: another guard is in charge, or nothing sensible can go on.
        """
        assert self._running is not None, "start comes first"
        tasks = [task for task in (self._running, self._watching) if task is not None]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        try:
            for task in tasks:
                if task.done():
                    task.result()
        except BaseExceptionGroup as group:
            fatal = group.subgroup(FatalError)
            if fatal is not None:
                raise _first(fatal) from group
            raise

    async def stop(self, why: str) -> None:
        """End in order: say so, record it, close what was opened, last first. Nothing that hangs is waited for."""
        if self._supervised is not None:
            self._supervised.stopping(why)
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait([self._watching], timeout=SAY_S)
        if self._running is not None:
            await _within(SAY_S, self.runner.say_stopping(), "saying that the guard stops")
            self._running.cancel()
            await _within(END_S, asyncio.wait([self._running]), "ending the loop")
            # Side by side: each may hang on its disk, and there is time for one.
            await asyncio.gather(
                _within(END_S, self.runner.close(why), "recording the end"),
                _within(END_S, self._remembering.write(), "keeping what was learned"),
            )
        await self._stack.aclose()

    # What a reload changes besides the engine: guard.reload.swap.Hands

    def parts(self, settings: Settings) -> Parts:
        """What the settings come to for the engine."""
        return engine_parts(settings)

    def venue_feeds(self, settings: Settings, venue: str) -> list[Feed]:
        """Make the feeds of one venue; nothing connects. Raises SettingsError."""
        feeds = feeds_of_venue(
            settings, venue, self.clock, state=lambda: self.runner.engine.state, pace=self._cadence
        )
        self._timed.update((venue, feed) for feed in feeds if isinstance(feed, FrameTimings))
        return [TimedFeed(feed, self._clock_offset) for feed in feeds]

    def asked_feeds(self, settings: Settings) -> list[Feed]:
        """Make the feed that tells the positions of the settings, if there are any."""
        return asked_feeds_of(settings, self.clock)

    def know_bots(self, keys: Mapping[BotId, bytes]) -> None:
        """Speak with these bots, by these keys, from now on."""
        self._link.know_bots(keys)

    def follow_log(self, settings: Settings, secrets: Iterable[bytes]) -> None:
        """Log as they say, and these secrets never."""
        if self.redactor is not None:
            self.redactor.register(secrets)
            set_level(settings.log.level)

    async def let_bots_in(self, settings: Settings) -> None:
        """Let exactly these bots in at the embedded broker. Raises BrokerError."""
        if self.broker is not None:
            await self.broker.refresh_users(settings.access)
            self._blank(self.broker)

    def _blank(self, broker: EmbeddedBroker) -> None:
        """Never log a password that the embedded broker made."""
        if self.redactor is not None:
            self.redactor.register(broker.secrets)

    async def _reload_when_due(self, reloader: Reloader) -> None:
        watch = Watch(reloader.files, self.reload_asked)
        await asyncio.to_thread(watch.follow)
        await self._carefully(reloader.catch_up())
        while True:
            await asyncio.to_thread(watch.follow)
            cause = await watch.reason(look_at_files=reloader.settings.guard.watch_settings)
            if self._supervised is not None:
                self._supervised.reloading()
            try:
                await self._carefully(reloader.reload(cause))
            finally:
                if self._supervised is not None:
                    self._supervised.reloaded()

    async def _carefully(self, reading: Awaitable[object]) -> None:
        """Read the settings; what fails before anything was taken leaves the former ones as they are."""
        try:
            await reading
        except FatalError:
            raise
        except Exception:
            log.exception("reading the settings again failed: this is a bug, the former settings go on")

    def _supervise(self) -> None:
        if self.notifier is not None:
            self._stack.callback(self.notifier.close)
            self._supervised = Supervised(
                self.notifier,
                self.runner.engine,
                self.settings.guard.mode,
                readiness=self.runner.readiness,
                watchdog_s=self.notifier.watchdog_s,
                monotonic_usec=monotonic_usec,
            )
            self.runner.on_tick = self._supervised.on_tick

    async def _serve_metrics(self, samples: SampleRecorder) -> None:
        if self.settings.metrics.enabled:
            server = MetricsServer(
                self.settings.metrics,
                measure=lambda: (*measure(self.runner), *samples.meters()),
                healthy=lambda: what_is_wrong(self.runner),
            )
            await self._stack.enter_async_context(server)

    def _make_remembering(self) -> Remembering:
        """What estimators learned lies beside the record, whose runs go on from it."""
        settings = self.settings
        path = settings.audit.path.with_name(settings.audit.path.name + ".outlook")
        return Remembering(
            OutlookMemoryFile(path, settings.guard.name),
            outlook=lambda: self.runner.engine.state.outlook,
            guard=settings.guard.name,
            clock=self.clock,
        )

    async def _bill(self, audit: AuditKeeper) -> Ledger:
        """What decisions save and cost, on from where a former guard was; it may be turned on later."""
        try:
            memory = await audit.last_bill()
        except AuditError as error:
            memory = None
            log.error("the bill of former runs cannot be read, a new one begins", error=str(error))
        return Ledger.of(self.settings.bill, memory)

    async def _make_link(self, keys: dict[BotId, bytes], session: str) -> MqttLink:
        settings = self.settings
        place: dict[str, object] = {}
        if settings.broker.kind is BrokerKind.EMBEDDED:
            self.broker = await self._stack.enter_async_context(
                EmbeddedBroker(settings.broker, settings.access)
            )
            broker = self.broker
            self._blank(broker)
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
            bot_keys=keys,
            clock=self.clock,
            session=session,
            **place,  # type: ignore[arg-type]
        )


async def serve(settings: Settings, path: Path | None = None, redactor: Redactor | None = None) -> int:
    """Run the daemon until SIGTERM or SIGINT (0) or until nothing sensible can go on (1).

    SIGHUP, or a change of the file at ``path``, has the settings read again.

    Raises:
        GuardError: it could not be started.
    """
    stop, reload = asked_to_stop(), asyncio.Event()
    on_hangup(reload.set, stop.set)
    asked = asyncio.create_task(stop.wait(), name="stop signal")
    app = App(
        settings,
        path=path,
        reload_asked=reload,
        notifier=Notifier.from_environment(),
        redactor=redactor,
        older_ns=process_age_ns(),
    )
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
        # It is recorded and published: nobody knows what such an error has in its hands.
        why = redactor.clean(why) if redactor is not None else type(error).__name__
        log.exception("perpguard cannot go on: this is a bug, please report it with these lines")
    finally:
        asked.cancel()
        await app.stop(why)
    log.info("perpguard has stopped", why=why)
    return code


def run(settings: Settings, warnings: Sequence[str] = (), path: Path | None = None) -> NoReturn:
    """Run the daemon from a command line, after logging ``warnings``; ends the process.

    Raises:
        GuardError: it could not be started; its text says what to do.
    """
    redactor = configure_logging(settings.log, secrets=resolve_secrets(settings, "settings").values())
    for warning in warnings:
        log.warning("a setting deserves a second look", detail=warning)
    with asyncio.Runner() as runner:
        leave(runner.run(serve(settings, path, redactor)))


def _tell_running(app: App) -> None:
    settings, broker = app.settings, app.broker
    host, port = (broker.host, broker.port) if broker else (settings.broker.host, settings.broker.port_used)
    log.info(
        "perpguard runs",
        mode=settings.guard.mode,
        broker=f"{host}:{port}",
        venues=[venue.id for venue in settings.venues],
        books=implementation(),
    )
    if implementation() != COMPILED:
        log.warning("books are kept by the slow reference", why=why_slow(), remedy=TO_COMPILE)


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


def _identity(settings: Settings, session: str) -> Identity:
    return Identity(
        guard=settings.guard.name,
        session=session,
        mode=settings.guard.mode,
        software_version=version("perpguard"),
        settings_digest=settings.digest,
    )


def _first(group: BaseExceptionGroup[FatalError]) -> FatalError:
    for error in group.exceptions:
        return _first(error) if isinstance(error, BaseExceptionGroup) else error
    raise AssertionError("a group is never empty")
