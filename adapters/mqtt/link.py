"""The guard's side of MQTT: bots' messages in, postures, commands and heartbeats out, one guard a site."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import uuid
from collections.abc import Mapping
from typing import Final

import aiomqtt
import msgspec
import structlog
from paho.mqtt.properties import Properties

from adapters.mqtt.access import retained_topics
from adapters.mqtt.connection import Connection, Endpoint, Inbound
from adapters.mqtt.echoes import Echoes
from adapters.mqtt.fence import EpochFence
from adapters.mqtt.instructing import InstructionDoor
from adapters.mqtt.mirror import mirror_of
from adapters.mqtt.outside import OutsideDoor
from adapters.mqtt.refusals import Refusal, Refusals
from adapters.mqtt.routing import Router
from adapters.mqtt.settings import BrokerSettings, ProtocolVersion
from adapters.mqtt.tls import tls_context
from guard.errors import BrokerAuthError, BrokerError, FencedError, SettingsError
from guard.events import LinkChanged, LinkKind
from guard.ports import Claim, Clock, Emit
from guard.units import NS_PER_S, BotId, ms_of
from perpguard_sdk.codec import encode_plain, encode_signed
from perpguard_sdk.messages import (
    Command,
    GuardState,
    GuardStatus,
    Heartbeat,
    Message,
    Mode,
    Notice,
    Posture,
    Signal,
)
from perpguard_sdk.topics import Topics, check_level

_log = structlog.get_logger(__name__)

BACKOFF_S: Final = (0.1, 0.2, 0.5, 1.0, 2.0)
"""Waits between attempts to connect; the last one repeats. The first is short because a bot is in safe
mode 3 s after our last heartbeat."""
STEADY_S: Final = 10.0
"""A connection that lasted so long starts the waits over; one that is thrown out at once does not."""
FLUSH_S: Final = 1.0
GOODBYE_S: Final = 1.0
BATCH: Final = 64
"""Messages judged before other tasks get a turn: 64 x 20 us."""


class MqttLink:
    """Feed, CommandSink, StatusSink and Fence over one broker.

    ``run`` must be running for anything else to work. After each (re)connect the broker sends birth,
    state and report of every bot again, which is the resync. Postures and commands are the engine's to
    repeat: publishing while the broker is away raises, and nothing is kept.
    """

    name = "mqtt"

    def __init__(
        self,
        settings: BrokerSettings,
        *,
        guard: str,
        mode: Mode,
        bot_keys: Mapping[BotId, bytes],
        clock: Clock,
        host: str | None = None,
        port: int | None = None,
        username: str | None = None,
        password: str | None = None,
        session: str | None = None,
    ) -> None:
        """Prepare; nothing connects before ``run``.

        Args:
            settings: which broker; host, port, username and password given here win (embedded broker).
            guard: our name, one level of the state topic.
            mode: in paper mode postures and commands go out under ``shadow``.
            bot_keys: each bot's signing key.
            clock: the guard's clock.
            host: instead of the settings'.
            port: instead of the settings'.
            username: instead of the settings'.
            password: instead of the settings'.
            session: names this run of the guard; made up if not given, see ``self.session``.

        Raises:
            SettingsError: the password, a key of facts or instructions, a TLS file cannot be read, or ``guard`` cannot
                be a topic level.
        """
        try:
            check_level(guard, "guard")
        except ValueError as error:
            raise SettingsError("settings", [("guard.name", str(error))]) from error
        self.session = session or uuid.uuid4().hex
        self._settings = settings
        self._guard = guard
        self._mode = mode
        self._bot_keys = dict(bot_keys)
        self._forgotten: set[BotId] = set()
        self._password = password
        self._clock = clock
        self._topics = Topics(site=settings.site, root=settings.root)
        self._endpoint = Endpoint(
            host=host or settings.host,
            port=port or settings.port_used,
            # The random part keeps two guards of one name from throwing each other out in turns.
            identifier=f"perpguard-{guard}-{self.session[:8]}",
            mqtt5=settings.protocol_used is ProtocolVersion.V5,
            username=username or settings.username,
            password=password if password is not None else settings.password(),
            tls=tls_context(settings),
            keepalive_s=settings.keepalive_s,
            timeout_s=settings.publish_timeout_s,
        )
        self._fence = EpochFence(
            sessions={self.session},
            quiet_ns=round(settings.claim_quiet_s * NS_PER_S),
            wait_ns=round(settings.claim_wait_s * NS_PER_S),
        )
        self._refusals = Refusals()
        key, signs = settings.outside_key(), settings.instruction_key()
        self._router = Router(
            self._topics,
            mode,
            self._bot_keys,
            self._fence,
            self._refusals,
            None if key is None else OutsideDoor(key),
            None if signs is None else InstructionDoor(signs, settings.instruction_hours_max),
        )
        self._echoes = Echoes()
        self._connection: Connection | None = None
        self._connected = asyncio.Event()
        self._renewing = False
        self._ask_again = False
        self._up: bool | None = None
        self._why_down = "not connected yet"
        self._why_ended = ""
        self._state = self._state_now(GuardStatus.STARTING)

    @property
    def broker(self) -> str:
        """``host:port`` of the broker."""
        return self._endpoint.broker

    @property
    def refused(self) -> Mapping[Refusal, int]:
        """How many messages were refused, by reason."""
        return self._refusals.counts

    def know_bots(self, bot_keys: Mapping[BotId, bytes]) -> None:
        """Speak with these bots, by these keys, from now on; what is retained of them is asked for again.

        What is retained of those that are no longer among them is taken away.
        """
        self._forgotten = (self._forgotten | self._bot_keys.keys()) - bot_keys.keys()
        self._bot_keys.clear()
        self._bot_keys.update(bot_keys)
        self._refusals.start_over()
        self._ask_again = True

    async def run(self, emit: Emit) -> None:
        """Stay connected and emit what bots say, until cancelled.

        Raises:
            FencedError: another guard took over; our state said so before the connection was closed.
        """
        loop = asyncio.get_running_loop()
        failures = 0
        while True:
            began_at = loop.time()
            try:
                await self._serve(emit)
            except BrokerError as error:
                self._went_down(error, emit)
            else:
                continue  # renewed on purpose
            if loop.time() - began_at > STEADY_S:
                failures = 0
            await asyncio.sleep(BACKOFF_S[min(failures, len(BACKOFF_S) - 1)])
            failures += 1

    async def claim(self, stored_epoch: int) -> Claim:
        """Wait until no other guard has beaten for ``claim_quiet_s``, then take the next epoch.

        Waits for as long as there is no broker. Once claimed, the connection is made anew, so that its
        Will carries the epoch.

        Raises:
            FencedError: another guard of this site keeps beating.
        """
        try:
            claim = await self._fence.claim(stored_epoch, self._clock)
        except FencedError as error:
            self._why_ended = str(error)  # the connection is closed from outside: its last word says why
            raise
        self._state = msgspec.structs.replace(self._state, epoch=claim.epoch)
        _log.info("epoch claimed", epoch=claim.epoch, floors=len(claim.floors))
        if self._connection is not None:
            self._renewing = True
            self._connected.clear()
            self._connection.wake()
            with contextlib.suppress(TimeoutError):  # the broker went away just now: run() says so
                async with asyncio.timeout(5.0):
                    await self._connected.wait()
        return claim

    async def publish_command(self, command: Command) -> None:
        """Publish a command, once the broker has taken it return.

        Raises:
            BrokerError: not handed over, or it has expired already; nothing is kept.
        """
        ms_left = command.expires_at - ms_of(self._clock.now())
        if ms_left <= 0:
            raise BrokerError(self.broker, f"command {command.id} expired {-ms_left} ms ago; it was not sent")
        topic = self._topics.command(command.bot, command.verb, self._mode)
        properties = mirror_of(command, ms_left) if self._endpoint.mqtt5 else None
        await self._send_signed(command, command.bot, topic, qos=1, properties=properties)

    async def publish_posture(self, posture: Posture) -> None:
        """Publish a posture, retained. It carries no MQTT expiry: a posture that is gone is not a safe one.

        Raises:
            BrokerError: not handed over; nothing is kept.
        """
        self._fence.sessions.add(posture.session)
        await self._send_signed(
            posture, posture.bot, self._topics.posture(posture.bot, self._mode), qos=1, retain=True
        )

    async def publish_heartbeat(self, heartbeat: Heartbeat) -> None:
        """Publish a heartbeat, QoS 0: a late one is worth nothing.

        Raises:
            BrokerError: not handed over; nothing is kept.
        """
        self._fence.sessions.add(heartbeat.session)
        await self._send_signed(heartbeat, heartbeat.bot, self._topics.heartbeat(heartbeat.bot), qos=0)

    async def publish_state(self, state: GuardState) -> None:
        """Publish our state, retained, and keep it: each reconnect publishes the newest one again.

        That is the one exception from "nothing is kept": otherwise the Will's ``offline`` would stay.

        Raises:
            BrokerError: not handed over now.
        """
        self._fence.sessions.add(state.session)
        self._state = state
        await self._live().send(
            self._topics.guard_state(self._guard), encode_plain(state), qos=1, retain=True
        )

    async def publish_signal(self, signal: Signal) -> None:
        """Publish a signal, QoS 0.

        Raises:
            BrokerError: not handed over; nothing is kept.
        """
        topic = self._topics.signal(signal.venue, signal.symbol)
        await self._live().send(topic, encode_plain(signal), qos=0, retain=False)

    async def publish_notice(self, notice: Notice) -> None:
        """Publish a notice, QoS 1, not retained: it is about a moment.

        Raises:
            BrokerError: not handed over; nothing is kept.
        """
        await self._live().send(self._topics.notice(self._guard), encode_plain(notice), qos=1, retain=False)

    async def _send_signed(
        self,
        message: Message,
        bot: str,
        topic: str,
        *,
        qos: int,
        retain: bool = False,
        properties: Properties | None = None,
    ) -> None:
        connection = self._live()
        key = self._bot_keys.get(BotId(bot))
        if key is None:
            raise BrokerError(self.broker, f"bot {bot!r} has no key: name its key file in the settings")
        payload = encode_signed(message, topic, key)
        if isinstance(message, Posture | Heartbeat):
            self._echoes.sent(topic, asyncio.get_running_loop().time())
        try:
            await connection.send(topic, payload, qos=qos, retain=retain, properties=properties)
        except BrokerError:
            self._echoes.came(topic)  # said already
            raise

    def _live(self) -> Connection:
        if self._connection is None or self._renewing:
            why = "the connection is being renewed" if self._renewing else self._why_down
            raise BrokerError(self.broker, f"{why}; nothing was sent")
        return self._connection

    async def _serve(self, emit: Emit) -> None:
        """Serve one connection until it ends; return only for a renewal."""
        connection = self._new_connection()
        await connection.open()
        try:
            await connection.subscribe_all(self._router.filters)
            self._renewing = False
            self._echoes = Echoes()
            self._connection = connection
            await self._republish_state(connection)
            self._came_up(emit)
            await self._receive(connection, emit)
        except FencedError as error:
            await self._say_goodbye(connection, str(error))
            raise
        except asyncio.CancelledError:
            await self._say_goodbye(connection, self._why_ended)
            raise
        finally:
            self._connection = None
            self._fence.listen(None)
            await connection.close()

    def _new_connection(self) -> Connection:
        """Make the next connection; a simulation puts one without a socket here.

        Raises:
            BrokerError: password or certificates, which are read anew each time, cannot be read now.
        """
        try:
            password = self._password if self._password is not None else self._settings.password()
            tls = tls_context(self._settings)
        except SettingsError as error:
            raise BrokerError(self.broker, f"no connection was tried: {_words(error)}") from error
        self._endpoint = dataclasses.replace(self._endpoint, password=password, tls=tls)
        return Connection(self._endpoint, self._will())

    async def _receive(self, connection: Connection, emit: Emit) -> None:
        loop = asyncio.get_running_loop()
        flush_at, taken, self._ask_again = loop.time() + FLUSH_S, 0, True
        while not self._renewing:
            message = await connection.receive(within_s=FLUSH_S)
            if message is not None:
                if not message.retain:
                    self._echoes.came(message.topic)
                    await self._defend_state(connection, message)
                self._router.route(message, self._clock.now(), emit)
                taken += 1
                if taken % BATCH == 0:
                    await asyncio.sleep(0)
            if loop.time() >= flush_at:
                flush_at = loop.time() + FLUSH_S
                await self._look_after(connection, emit)
                if self._ask_again:
                    # A nats-server that has just been started may not have read all that it retains:
                    # measured once in 40 crashes. Subscribing again brings what was missing.
                    self._ask_again = False
                    await connection.subscribe_all(self._router.filters)

    async def _look_after(self, connection: Connection, emit: Emit) -> None:
        """Do once a second what no message triggers."""
        self._refusals.flush(self._clock.now(), emit)
        dropped = connection.take_overflowed()
        if dropped:
            self._tell_overflow(dropped, emit)
            # Subscribing again brings back what is retained, in case some of it was dropped.
            await connection.subscribe_all(self._router.filters)
        await self._clear_forgotten(connection)
        suspicious, missing = self._echoes.look(asyncio.get_running_loop().time())
        if suspicious:
            # A broker that hangs does not take this either, and the connection ends. One that takes it
            # lives, and withholds the rest from us or from the bots.
            await self._republish_state(connection)
        for topic in missing:
            self._refuse_own(Refusal.NOT_ECHOED, topic, emit)

    async def _clear_forgotten(self, connection: Connection) -> None:
        """A bot that is let in again, or another of its name, must not find what was said to the former one."""
        for bot in sorted(self._forgotten):
            for topic in retained_topics(self._topics, bot):
                await connection.send(topic, b"", qos=1, retain=True)
            self._forgotten.discard(bot)

    def _refuse_own(self, why: Refusal, topic: str, emit: Emit) -> None:
        parsed = self._topics.parse(topic)
        detail = (
            "what we publish here does not come back, so the bot may not get it either: allow user "
            f"{self._endpoint.username or '(none)'} to write and read it in the broker's ACL"
        )
        bot = BotId(parsed.name) if parsed is not None else None
        self._refusals.refuse(why, topic, detail, bot=bot, now=self._clock.now(), emit=emit)

    def _tell_overflow(self, dropped: int, emit: Emit) -> None:
        self._refusals.refuse(
            Refusal.OVERFLOW,
            f"{self._topics.base}/#",
            f"{dropped} messages were dropped because the inbox was full: find who floods the broker",
            bot=None,
            now=self._clock.now(),
            emit=emit,
        )

    def _came_up(self, emit: Emit) -> None:
        now = self._clock.now()
        self._fence.listen(now)
        self._connected.set()
        if self._up is not True:
            version = "5" if self._endpoint.mqtt5 else "3.1.1"
            detail = f"connected to {self.broker} with MQTT {version}"
            _log.info("broker connected", broker=self.broker, mqtt=version)
            emit(LinkChanged(received_at=now, link=LinkKind.BROKER, up=True, detail=detail))
        self._up = True

    def _went_down(self, error: BrokerError, emit: Emit) -> None:
        self._connected.clear()
        self._renewing = False
        if self._up is not False or self._why_down != error.detail:
            _log.warning(
                "broker away",
                broker=self.broker,
                why=error.detail,
                meanwhile="bots go to safe mode; trying again",
                refused=isinstance(error, BrokerAuthError),
            )
            now = self._clock.now()
            emit(LinkChanged(received_at=now, link=LinkKind.BROKER, up=False, detail=str(error)))
        self._up = False
        self._why_down = error.detail

    def _will(self) -> aiomqtt.Will:
        """Build the Will: our state, offline, as the broker shall say it when we are silent."""
        state = msgspec.structs.replace(self._state_now(GuardStatus.OFFLINE), epoch=self._state.epoch)
        return aiomqtt.Will(self._topics.guard_state(self._guard), encode_plain(state), qos=1, retain=True)

    async def _republish_state(self, connection: Connection) -> None:
        self._state = msgspec.structs.replace(self._state, ts=ms_of(self._clock.now()))
        topic = self._topics.guard_state(self._guard)
        await connection.send(topic, encode_plain(self._state), qos=1, retain=True)

    async def _defend_state(self, connection: Connection, message: Inbound) -> None:
        """Put our state back if somebody wrote over it: a late Will of ours, or another guard of our name.

        At most once a second, because two guards of one name would else do nothing but this.
        """
        if message.topic != self._topics.guard_state(self._guard):
            return
        now = ms_of(self._clock.now())
        if message.payload != encode_plain(self._state) and now - self._state.ts >= 1000:
            await self._republish_state(connection)

    async def _say_goodbye(self, connection: Connection, problem: str) -> None:
        """Say offline ourselves: a broker sends the Will only for those who do not close in order."""
        if self._state.state is GuardStatus.OFFLINE:
            return
        problems = (*self._state.problems, problem) if problem else self._state.problems
        now = ms_of(self._clock.now())
        state = msgspec.structs.replace(self._state, state=GuardStatus.OFFLINE, ts=now, problems=problems)
        topic = self._topics.guard_state(self._guard)
        with contextlib.suppress(BrokerError):
            await connection.send(topic, encode_plain(state), qos=1, retain=True, within_s=GOODBYE_S)

    def _state_now(self, status: GuardStatus) -> GuardState:
        return GuardState(
            guard=self._guard,
            state=status,
            epoch=0,
            session=self.session,
            ts=ms_of(self._clock.now()),
            mode=self._mode,
        )


def _words(error: SettingsError) -> str:
    return "; ".join(f"{path}: {message}" for path, message in error.problems)
