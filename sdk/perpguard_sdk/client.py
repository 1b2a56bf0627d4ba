"""The bot's connection to the guard: runs a ``BotSession`` over aiomqtt until cancelled."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import secrets
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import aiomqtt

from perpguard_sdk.actions import (
    Action,
    Execute,
    LimitsChanged,
    Persist,
    Publish,
    Reconcile,
    SafeModeEntered,
    SafeModeLeft,
)
from perpguard_sdk.client_settings import BotClientSettings
from perpguard_sdk.connection import Connection
from perpguard_sdk.errors import SdkError, StoreError
from perpguard_sdk.executor import BotView, CommandFailed, CommandRejected, Executor, Reconciler
from perpguard_sdk.limits import SAFE_MODE, Limits
from perpguard_sdk.messages import AckStatus, Command, Effect
from perpguard_sdk.outbox import Outbox
from perpguard_sdk.records import CommandResult, Store, StoredState
from perpguard_sdk.session import BotSession
from perpguard_sdk.store import FileStore
from perpguard_sdk.tls import explain_tls

__all__ = ["BotClient", "BotClientSettings", "ClientState", "SubscriptionRefusedError"]

TICK_S = 0.2
"""The dead-man waits 3 s; a fifth of a second is late by less than a heartbeat."""
VIEW_TIMEOUT_S = 10.0
LIMITS_RETRY_S = 1.0
"""A venue that has just failed needs a moment; an order that rests and must not is worth many attempts."""
BACKOFF_S_MIN, BACKOFF_S_MAX = 0.2, 5.0
BROKER_TIMEOUT_S = 5.0
KEEPALIVE_S = 5
INBOUND_MAX = 2_048
"""Messages wait here only while the event loop is busy: 10 heartbeats and commands a second fill it in
200 s, long after the dead-man. A flood is discarded beyond it, and the gap in seq asks for a resync."""
SUBSCRIBE_AGAIN_S = 1.0
"""A nats-server that has just been started may not have read all that it retains: measured once in 40
crashes. Subscribing again brings the posture that was missing; one that comes twice changes nothing."""
_REFUSED = 128

_log = logging.getLogger("perpguard_sdk")


class SubscriptionRefusedError(SdkError):
    """The broker does not let this bot subscribe to its own topics: correct the broker's access list."""

    def __init__(self, topic: str, code: object) -> None:
        super().__init__(f"the broker refuses the subscription to {topic}: {code}")
        self.topic = topic
        self.code = code


class _LoginError(SdkError):
    """Password or certificates cannot be read now; it is tried again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientState:
    """What a bot may show of its connection; ``problem`` is the last trouble with broker or store."""

    connected: bool
    safe_mode: bool
    safe_reason: str
    advisory: bool
    epoch: int
    seq: int
    posture_version: int
    clock_offset_ms: float | None
    problem: str
    dropped: dict[str, int]


class BotClient:
    """Connects, obeys and reports for one bot.

    Args:
        settings: who and where.
        executor: what the bot author wrote.
        store: where the state is kept, a ``FileStore`` at ``settings.state_path`` if not given.
        monotonic_ns: a clock that never steps; by default one that also counts a sleep of the machine.
        wall_ms: the machine's wall clock; only reported, never judged by.
    """

    def __init__(
        self,
        settings: BotClientSettings,
        executor: Executor,
        store: Store | None = None,
        *,
        monotonic_ns: Callable[[], int] | None = None,
        wall_ms: Callable[[], int] | None = None,
    ) -> None:
        self._settings = settings
        self._executor = executor
        self._store: Store = store or FileStore(settings.state_path)
        self._monotonic_ns = monotonic_ns or _boot_ns
        self._wall_ms = wall_ms or (lambda: time.time_ns() // 1_000_000)
        self._session: BotSession | None = None
        self._group: asyncio.TaskGroup | None = None
        self._outbox = Outbox()
        self._to_save: Persist | None = None
        self._save_wanted = asyncio.Event()
        self._limits_wanted = asyncio.Event()
        self._view_wanted = asyncio.Event()
        self._connected = False
        self._problem = ""
        self._blind = ""

    @property
    def limits(self) -> Limits:
        """What the bot may do at this moment; safe mode until ``run`` has been armed by the guard.

        Reading it lets the dead-man fire first, so it is right even if the event loop was held up.
        """
        if self._session is None:
            return Limits(restrictions=SAFE_MODE, safe_mode=True)
        if self._group is not None:
            self._do(self._session.on_tick(*self._now()))
        return self._session.limits

    @property
    def state(self) -> ClientState:
        """How the connection and the session stand."""
        session = self._session
        oversight = session.oversight if session else None
        return ClientState(
            connected=self._connected,
            safe_mode=oversight.safe_mode if oversight else True,
            safe_reason=oversight.safe_reason if oversight else "not running",
            advisory=oversight.advisory if oversight else False,
            epoch=oversight.epoch if oversight else 0,
            seq=session.seq if session else 0,
            posture_version=oversight.posture_version if oversight else 0,
            clock_offset_ms=session.clock_offset_ms(*self._now()) if session else None,
            problem=self._problem,
            dropped=dict(session.dropped) if session else {},
        )

    async def run(self) -> None:
        """Run until cancelled. A broker that is away, refuses or fails is tried again for ever.

        Raises:
            ValueError: the state file belongs to another bot.
        """
        stored, problem = await self._load()
        self._session = BotSession(self._settings.for_session(), secrets.token_hex(8), stored, problem)
        try:
            async with asyncio.TaskGroup() as self._group:
                self._do(self._session.on_start(*self._now()))
                for name, loop in (
                    ("tick", self._tick_loop),
                    ("save", self._save_loop),
                    ("limits", self._limits_loop),
                    ("view", self._view_loop),
                    ("connection", self._connection_loop),
                ):
                    self._group.create_task(loop(), name=f"perpguard-{self._settings.bot}-{name}")
        finally:
            self._group = None
            self._connected = False

    def publish(self, publish: Publish) -> None:
        """Queue what the session has to say. Override it to watch what a bot says, or to test a mute one."""
        self._outbox.put(publish)

    # Actions of the session

    def _do(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Publish():
                    self.publish(action)
                case Persist():
                    self._to_save = action
                    self._save_wanted.set()
                case Execute(command=command):
                    self._spawn(self._execute(command), command)
                case Reconcile(command=command):
                    self._spawn(self._reconcile(command), command)
                case LimitsChanged():
                    self._limits_wanted.set()
                case SafeModeEntered(reason=reason):
                    _log.warning("bot %s: safe mode: %s", self._settings.bot, reason)
                case SafeModeLeft():
                    _log.info("bot %s: armed by the guard", self._settings.bot)

    def _spawn(self, work: Coroutine[Any, Any, None], command: Command) -> None:
        assert self._group is not None
        self._group.create_task(work, name=f"perpguard-{self._settings.bot}-{command.id}")

    async def _execute(self, command: Command) -> None:
        deadline_s = self._settings.verbs[command.verb].deadline_ms / 1000
        result = await self._attempt(self._executor.execute(command), deadline_s)
        self._do(self._running.on_executed(command.id, result, *self._now()))
        self._view_wanted.set()

    async def _reconcile(self, command: Command) -> None:
        interrupted = CommandResult(status=AckStatus.FAILED, detail="interrupted")
        result = interrupted
        if isinstance(self._executor, Reconciler):
            result = await self._attempt(self._executor.reconcile(command), VIEW_TIMEOUT_S)
            if result.effect is None:
                result = interrupted
        self._do(self._running.on_executed(command.id, result, *self._now()))

    async def _attempt(self, work: Coroutine[Any, Any, Effect | None], deadline_s: float) -> CommandResult:
        try:
            async with asyncio.timeout(deadline_s) as scope:
                effect = await work
        except CommandRejected as rejection:
            return CommandResult(status=AckStatus.REJECTED, detail=rejection.reason)
        except CommandFailed as failure:
            _log.warning("bot %s: a command failed: %s", self._settings.bot, failure.reason)
            return CommandResult(status=AckStatus.FAILED, detail=failure.reason)
        except Exception as error:  # noqa: BLE001 (a bot's code may raise anything; it becomes an answer)
            if scope.expired():
                return CommandResult(status=AckStatus.FAILED, detail=f"not done within {deadline_s:g} s")
            _log.warning("bot %s: a command failed", self._settings.bot, exc_info=True)
            return CommandResult(status=AckStatus.FAILED, detail=f"{type(error).__name__}: {error}")
        return CommandResult(status=AckStatus.APPLIED, effect=effect)

    # Loops

    async def _tick_loop(self) -> None:
        while True:
            self._do(self._running.on_tick(*self._now()))
            await asyncio.sleep(TICK_S)

    async def _save_loop(self) -> None:
        while True:
            await self._save_wanted.wait()
            self._save_wanted.clear()
            persist = self._to_save
            assert persist is not None
            try:
                await asyncio.to_thread(self._store.save, persist.state)
            except Exception as error:  # noqa: BLE001 (whatever a store raises, nothing is kept)
                self._problem = str(error)
                self._do(self._running.on_persist_failed(persist.token, str(error), *self._now()))
            else:
                self._do(self._running.on_persisted(persist.token, *self._now()))

    async def _limits_loop(self) -> None:
        while True:
            await self._limits_wanted.wait()
            self._limits_wanted.clear()
            try:
                await self._executor.limits_changed(self._running.limits)
            except Exception as error:  # noqa: BLE001 (whatever a venue or a bot raises)
                # The limits hold all the same, for the bot asks them before each order; but what rests already
                # could still enter, so that it must be tried again.
                _log.debug("bot %s: limits_changed failed", self._settings.bot, exc_info=error)
                _log.warning(
                    "bot %s: the limits could not be applied to what rests, trying again: %s: %s",
                    self._settings.bot,
                    type(error).__name__,
                    error,
                )
                await asyncio.sleep(LIMITS_RETRY_S)
                self._limits_wanted.set()

    async def _view_loop(self) -> None:
        while True:
            try:
                async with asyncio.timeout(VIEW_TIMEOUT_S):
                    view = await self._executor.view()
            except Exception as error:  # noqa: BLE001 (unknown is reported as unknown, whatever the reason)
                self._tell_unknown(error)
                view = BotView(positions_known=False)
            else:
                self._blind = ""
            self._do(self._running.on_reported_view(view, *self._now()))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._settings.report_ms / 1000):
                    await self._view_wanted.wait()
            self._view_wanted.clear()

    def _tell_unknown(self, error: Exception) -> None:
        """Say why, once and not at every look; the traceback is for those who look for a bug of their bot."""
        _log.debug("bot %s: positions are unknown", self._settings.bot, exc_info=error)
        cause = type(error).__name__
        if cause != self._blind:
            self._blind = cause
            _log.warning("bot %s: positions are unknown: %s: %s", self._settings.bot, cause, error)

    # Connection

    async def _connection_loop(self) -> None:
        assert self._group is not None
        backoff_s = BACKOFF_S_MIN
        while True:
            # A task of its own: one that lost a TaskGroup stays marked as cancelled before Python 3.13.
            name = f"perpguard-{self._settings.bot}-connected"
            attempt = self._group.create_task(self._connect(), name=name)
            await asyncio.wait([attempt])
            backoff_s = BACKOFF_S_MIN if attempt.result() else min(backoff_s * 2, BACKOFF_S_MAX)
            await asyncio.sleep(backoff_s * random.uniform(0.5, 1.0))  # noqa: S311 (jitter)

    async def _connect(self) -> bool:
        """Connect and talk until the connection ends; return whether there was one."""
        connected = False
        tls: ssl.SSLContext | None = None
        try:
            password, tls = self._login()
            # A fresh client each time: a reused one delivers what it had reported as failed.
            async with self._connection(password, tls) as client:
                connected = True
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._receive(client), name="perpguard-receive")
                    group.create_task(self._send(client), name="perpguard-send")
                    group.create_task(self._subscribe_again(client), name="perpguard-subscribe-again")
        except* (aiomqtt.MqttError, SubscriptionRefusedError, OSError, _LoginError) as errors:
            problem = "; ".join(dict.fromkeys(str(error) for error in _leaves(errors)))
            if not connected and (remedy := explain_tls(problem, tls)):
                problem = f"{remedy} ({problem})"
            if problem != self._problem:
                _log.warning("bot %s: broker away, trying again: %s", self._settings.bot, problem)
            self._problem = problem
        return connected

    def _login(self) -> tuple[str | None, ssl.SSLContext | None]:
        try:
            return self._settings.login()
        except ValueError as error:
            raise _LoginError(str(error)) from error

    @contextlib.asynccontextmanager
    async def _connection(
        self, password: str | None, tls: ssl.SSLContext | None
    ) -> AsyncIterator[aiomqtt.Client]:
        settings, session = self._settings, self._running
        will = session.offline(*self._now())
        async with Connection(
            settings.host,
            settings.port,
            identifier=f"{settings.root}-{settings.site}-bot-{settings.bot}",
            username=settings.username,
            password=password,
            protocol=aiomqtt.ProtocolVersion.V5 if settings.protocol == "5" else aiomqtt.ProtocolVersion.V311,
            clean_session=True if settings.protocol == "3.1.1" else None,
            will=aiomqtt.Will(will.topic, will.payload, will.qos, will.retain),
            tls_context=tls,
            timeout=BROKER_TIMEOUT_S,
            keepalive=KEEPALIVE_S,
            max_queued_incoming_messages=INBOUND_MAX,
            # Else an answer right after another waits for the broker's delayed ACK: 40 ms.
            socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
        ) as client:
            await self._subscribe(client, self._wanted())
            self._connected, self._problem = True, ""
            _log.info("bot %s: connected to %s:%d", settings.bot, settings.host, settings.port)
            self._outbox.drop_levels()
            self._do(session.on_connected(*self._now()))
            try:
                yield client
            except asyncio.CancelledError:
                await self._say_goodbye(client)
                raise
            finally:
                self._connected = False
                self._do(session.on_disconnected(*self._now()))

    def _wanted(self) -> list[tuple[str, int]]:
        topics, bot = self._settings.topics, self._settings.bot
        channel = topics.channel(self._settings.mode)
        return [(topics.heartbeat(bot), 0), self._posture_wanted(), (f"{channel}/command/{bot}/+", 1)]

    def _posture_wanted(self) -> tuple[str, int]:
        return self._settings.topics.posture(self._settings.bot, self._settings.mode), 1

    async def _subscribe_again(self, client: aiomqtt.Client) -> None:
        await asyncio.sleep(SUBSCRIBE_AGAIN_S)
        await self._subscribe(client, [self._posture_wanted()])

    async def _subscribe(self, client: aiomqtt.Client, wanted: list[tuple[str, int]]) -> None:
        codes = await client.subscribe(wanted)
        _end_if_cancelled()
        for (topic, _), code in zip(wanted, codes, strict=True):
            value = code if isinstance(code, int) else code.value  # type: ignore[attr-defined]
            if value >= _REFUSED:
                raise SubscriptionRefusedError(topic, code)

    async def _receive(self, client: aiomqtt.Client) -> None:
        commands = f"{self._settings.topics.channel(self._settings.mode)}/command/"
        async for message in client.messages:
            topic = message.topic.value
            if message.retain and topic.startswith(commands):
                _log.warning("bot %s: dropped a retained command on %s", self._settings.bot, topic)
                continue
            payload = message.payload if isinstance(message.payload, bytes) else b""
            self._do(self._running.on_message(topic, payload, *self._now()))

    async def _send(self, client: aiomqtt.Client) -> None:
        while True:
            publish = await self._outbox.next()
            try:
                await client.publish(publish.topic, publish.payload, publish.qos, publish.retain)
            except BaseException:
                self._outbox.put_back(publish)
                raise
            _end_if_cancelled()

    async def _say_goodbye(self, client: aiomqtt.Client) -> None:
        """An orderly stop: the broker drops the Will then, so the same is said aloud."""
        last = self._running.offline(*self._now())
        with contextlib.suppress(aiomqtt.MqttError, TimeoutError):
            async with asyncio.timeout(1.0):
                await client.publish(last.topic, last.payload, last.qos, last.retain)

    # Helpers

    async def _load(self) -> tuple[StoredState | None, str]:
        try:
            return await asyncio.to_thread(self._store.load), ""
        except StoreError as error:
            self._problem = str(error)
            _log.error("bot %s: %s: starting in safe mode", self._settings.bot, error)
            return None, str(error)

    @property
    def _running(self) -> BotSession:
        assert self._session is not None, "run() has not been called"
        return self._session

    def _now(self) -> tuple[int, int]:
        return self._monotonic_ns(), self._wall_ms()


def _boot_ns() -> int:
    """A monotonic clock that also counts while the machine sleeps: what is stale then must be stale after."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic_ns() if clock is None else time.clock_gettime_ns(clock)


def _end_if_cancelled() -> None:
    """End the task if it was cancelled and nobody told it.

    ``asyncio.wait_for`` before Python 3.12, in which aiomqtt waits, returns as if nothing had happened
    when the cancellation and the awaited answer come together.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def _leaves(group: BaseExceptionGroup[Exception]) -> list[BaseException]:
    return [
        leaf
        for error in group.exceptions
        for leaf in (_leaves(error) if isinstance(error, BaseExceptionGroup) else [error])
    ]
