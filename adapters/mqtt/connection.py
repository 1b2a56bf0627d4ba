"""One connection to an MQTT broker, from CONNECT to its end; it is never used twice.

aiomqtt's client keeps what it could not deliver and sends it after a reconnect: a stale command. So
each connection is a client of its own and dies with everything that it held.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections import deque
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import aiomqtt
from aiomqtt.exceptions import MqttConnectError
from paho.mqtt import client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from guard.errors import BrokerAuthError, BrokerError
from perpguard_sdk.codec import PAYLOAD_BYTES_MAX
from perpguard_sdk.tls import explain_tls

T = TypeVar("T")

INBOX_MESSAGES_MAX: Final = 4096
"""100 bots x (birth, state, reported, own posture, own heartbeat) = 500 at a resync, and about as many a
second at the busiest; routing takes some 20 us each. So this is 8 s of a loop that stands still."""
INBOX_BYTES_MAX: Final = 32 * 1024 * 1024
"""What the inbox may hold in payloads: 4096 messages of 8 KiB, the size of a report with 50 orders."""
_REFUSED: Final = 0x80
_PACKET_BYTES_MAX: Final = 4 * PAYLOAD_BYTES_MAX
"""What an MQTT 5 broker may send us at all; between this and the codec's limit we can still say who did."""
_AUTH_CODES: Final = frozenset({134, 135})
"""Bad user name or password; not authorized. paho gives MQTT 5's codes for 3.1.1 as well."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a broker is and how to talk to it.

    ``identifier`` is the client's, the same at each reconnect, so that a broker that still holds our
    last connection drops it (and publishes its Will) before it takes the new one.
    """

    host: str
    port: int
    identifier: str
    mqtt5: bool
    username: str | None = None
    password: str | None = None
    tls: ssl.SSLContext | None = None
    keepalive_s: int = 5
    timeout_s: float = 2.0

    @property
    def broker(self) -> str:
        """``host:port``, for people."""
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Inbound:
    """A message that arrived. A payload above the limit is not kept: ``payload`` is ``None``."""

    topic: str
    payload: bytes | None
    size_bytes: int
    retain: bool


class Connection(aiomqtt.Client):
    """An aiomqtt client with a bounded inbox, publish results, and ends that leave no socket behind."""

    def __init__(self, endpoint: Endpoint, will: aiomqtt.Will | None) -> None:
        super().__init__(
            endpoint.host,
            endpoint.port,
            identifier=endpoint.identifier,
            username=endpoint.username,
            password=endpoint.password,
            protocol=aiomqtt.ProtocolVersion.V5 if endpoint.mqtt5 else aiomqtt.ProtocolVersion.V311,
            clean_session=None if endpoint.mqtt5 else True,
            will=will,
            properties=_connect_properties() if endpoint.mqtt5 else None,
            tls_context=endpoint.tls,
            keepalive=endpoint.keepalive_s,
            timeout=max(endpoint.timeout_s, 5.0),
            # Without it a small packet after another waits for the peer's delayed ACK: 40 ms.
            socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
        )
        self._endpoint = endpoint
        self._inbox: deque[Inbound] = deque()
        self._inbox_bytes = 0
        self._stirred = asyncio.Event()
        self._results: dict[int, asyncio.Future[ReasonCode | None]] = {}
        self._broken = ""
        self._overflowed = 0
        self._opened = False

    async def open(self) -> None:
        """Connect.

        Raises:
            BrokerAuthError: user or password are refused.
            BrokerError: nobody answers, or the broker refuses for another reason.
        """
        entering = asyncio.create_task(self.__aenter__(), name="mqtt-connect")
        try:
            await asyncio.shield(entering)
        except asyncio.CancelledError:
            # paho connects in a thread, which cannot be stopped: let it end (5 s at most), then close.
            with contextlib.suppress(aiomqtt.MqttError):
                await entering
            self._drop()
            raise
        except MqttConnectError as error:
            self._drop()
            raise self._refused(error) from error
        except aiomqtt.MqttError as error:
            self._drop()
            raise BrokerError(self._endpoint.broker, self._why_not(error)) from error
        self._opened = True
        self._disconnected.add_done_callback(lambda _: self._stirred.set())

    async def close(self) -> None:
        """Say goodbye, so that the Will is not sent, and close the socket whatever the broker does."""
        try:
            if not self._broken:
                with contextlib.suppress(aiomqtt.MqttError):
                    await self.__aexit__(None, None, None)
        finally:
            self._drop()

    async def subscribe_all(self, filters: Sequence[tuple[str, int]]) -> None:
        """Subscribe to each ``(filter, qos)``.

        Raises:
            BrokerError: the broker is away or refuses one of them.
        """
        try:
            codes = await self.subscribe(list(filters), timeout=self._endpoint.timeout_s)
        except (aiomqtt.MqttError, ValueError) as error:
            raise BrokerError(
                self._endpoint.broker, f"could not subscribe ({error}): is the broker hung?"
            ) from error
        for (topic_filter, _), code in zip(filters, codes, strict=True):
            value = code.value if isinstance(code, ReasonCode) else code
            if isinstance(value, int) and value >= _REFUSED:
                raise BrokerError(
                    self._endpoint.broker,
                    f"subscription to {topic_filter} refused ({code}): allow user "
                    f"{self._endpoint.username or '(none)'} to read it in the broker's ACL",
                )

    async def send(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int,
        retain: bool,
        properties: Properties | None = None,
        within_s: float | None = None,
    ) -> None:
        """Publish and wait until the broker has taken it, ``within_s`` if that is less than our timeout.

        Raises:
            BrokerError: it could not be handed over in time, or (MQTT 5 only) the broker refused it.
        """
        broker = self._endpoint.broker
        if self._broken or self._disconnected.done():
            raise BrokerError(broker, self._broken or "the connection is lost; nothing was sent")
        try:
            info = self._client.publish(topic, payload, qos, retain, properties)
        except ValueError as error:
            raise BrokerError(broker, f"cannot publish on {topic}: {error}") from error
        if info.rc != paho.MQTT_ERR_SUCCESS:
            raise BrokerError(
                broker, f"the connection is lost ({paho.error_string(info.rc)}); nothing was sent"
            )
        # At once, not in the loop's turn after next, before which others take theirs.
        self._write(self._client)
        if info.is_published():
            return
        result: asyncio.Future[ReasonCode | None] = asyncio.get_running_loop().create_future()
        self._results[info.mid] = result
        timeout_s = min(self._endpoint.timeout_s, within_s or self._endpoint.timeout_s)
        try:
            # Not asyncio.timeout: before Python 3.11.3 it does not work in a task that has been cancelled, and
            # such a one says goodbye.
            await asyncio.wait([result], timeout=timeout_s)
        finally:
            self._results.pop(info.mid, None)
            if result.done():
                result.exception()  # asked for, in case we are cancelled and nobody else does
        if not result.done():
            # Ending the connection throws away what we still hold. What a hung broker has in its own socket
            # buffer nobody can take back: it may still arrive, once, and the bot judges it by its expiry.
            self.break_off(
                f"{topic} was not taken within {timeout_s} s, is the broker hung? What it has "
                "received may still reach the bot, which drops it once it has expired"
            )
            raise BrokerError(broker, self._broken)
        code = result.result()
        if code is not None and code.value >= _REFUSED:
            user = self._endpoint.username or "(none)"
            raise BrokerError(
                broker, f"publishing on {topic} refused ({code}): allow user {user} to write it in the ACL"
            )

    def break_off(self, why: str) -> None:
        """End this connection: nothing more goes out, and ``receive`` raises ``why``."""
        self._broken = self._broken or why
        self._stirred.set()

    def take_overflowed(self) -> int:
        """Return how many messages were dropped since the last call because the inbox was full."""
        dropped, self._overflowed = self._overflowed, 0
        return dropped

    def wake(self) -> None:
        """Let a waiting ``receive`` return."""
        self._stirred.set()

    async def receive(self, *, within_s: float) -> Inbound | None:
        """Return the next message, or ``None`` if none came in time.

        Raises:
            BrokerError: the connection has ended.
        """
        if not self._inbox and not self._ended:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(within_s):
                    await self._stirred.wait()
            self._stirred.clear()
        if self._inbox and not self._broken:
            message = self._inbox.popleft()
            self._inbox_bytes -= len(message.payload or b"")
            return message
        if self._ended:
            raise BrokerError(self._endpoint.broker, self._why_ended())
        return None

    async def _wait_for(self, fut: Awaitable[T], timeout: float | None) -> T:  # noqa: ASYNC109 (aiomqtt's)
        """Wait as aiomqtt does, but never lose a cancellation that comes together with the answer.

        aiomqtt waits in ``asyncio.wait_for``, which before Python 3.12 returns then as if nobody had asked the
        task to end: it would go on for ever, and so would whoever waits for its end.
        """
        answer = asyncio.ensure_future(fut)
        try:
            done, _ = await asyncio.wait([answer], timeout=self.timeout if timeout is None else timeout)
        finally:
            answer.cancel()
        if not done:
            raise aiomqtt.MqttError("Operation timed out")
        return answer.result()

    @property
    def _ended(self) -> bool:
        return bool(self._broken) or self._disconnected.done()

    def _why_ended(self) -> str:
        if self._broken:
            return self._broken
        error = None if self._disconnected.cancelled() else self._disconnected.exception()
        return f"the connection was lost ({error or 'closed by the broker'})"

    def _why_not(self, error: aiomqtt.MqttError) -> str:
        remedy = explain_tls(error, self._endpoint.tls)
        if remedy:
            return f"no connection with TLS: {remedy} ({error})"
        return f"no connection ({error}): start the broker or correct broker.host and port"

    def _refused(self, error: MqttConnectError) -> BrokerError:
        code = error.rc.value if isinstance(error.rc, ReasonCode) else error.rc
        if code in _AUTH_CODES:
            user = f"user {self._endpoint.username!r}" if self._endpoint.username else "a client without user"
            return BrokerAuthError(
                self._endpoint.broker,
                f"refuses {user} ({error}): correct broker.username and its password file",
            )
        return BrokerError(self._endpoint.broker, f"refuses the connection ({error})")

    def _drop(self) -> None:
        """Close the socket now. A socket left open could still be accepted later, with our name."""
        if not self._disconnected.done():
            self._disconnected.set_result(None)
        elif not self._disconnected.cancelled():
            self._disconnected.exception()  # asked for, so that asyncio does not complain that nobody did
        sock = self._client.socket()
        if self._broken and isinstance(sock, socket.socket):
            # Reset instead of an orderly end: the kernel then throws away what it has not yet sent.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif not self._broken:
            self._client.on_socket_register_write = (
                None  # so that paho writes at once, not in the loop's next turn
            )
            self._client.disconnect()
        self._client._sock_close()  # noqa: SLF001 (paho has no public way to close without the peer)
        if self._misc_task is not None:
            self._misc_task.cancel()
        for result in self._results.values():
            if not result.done():
                result.set_exception(
                    BrokerError(self._endpoint.broker, "the connection was lost while sending")
                )

    def _on_socket_register_write(self, client: paho.Client, userdata: Any, sock: Any) -> None:  # noqa: ARG002
        """Write when the socket takes it; aiomqtt's own fails if it has been closed by the loop's next turn.

        Worse: its number may be another socket's by then, which would be watched in its place.
        """
        self._loop.call_soon_threadsafe(self._watch_writable, client, sock)

    def _watch_writable(self, client: paho.Client, sock: Any) -> None:
        # What was to be written may have been by now (see ``send``): a socket that is watched for nothing is
        # always writable, and the loop would turn without end.
        if sock.fileno() >= 0 and client.want_write():
            self._loop.add_writer(sock.fileno(), self._write, client)

    def _write(self, client: paho.Client) -> None:
        try:
            client.loop_write()
        except Exception as error:  # noqa: BLE001 (whatever it is, the connection is of no use any more)
            if not self._disconnected.done():
                self._disconnected.set_exception(error)

    def _on_disconnect(self, client: paho.Client, *args: Any) -> None:
        """Let ``open`` fail at once if the broker hangs up before it has let us in; aiomqtt waits on."""
        self._loop.call_soon_threadsafe(self._fail_opening)
        super()._on_disconnect(client, *args)

    def _fail_opening(self) -> None:
        if not self._connected.done() and not self._opened:
            self._connected.set_exception(aiomqtt.MqttError("the broker hung up before it let us in"))

    def _on_message(self, client: paho.Client, userdata: Any, message: paho.MQTTMessage) -> None:  # noqa: ARG002
        """Keep it in our inbox instead of aiomqtt's, which has no bound or drops in silence."""
        size = len(message.payload)
        payload = bytes(message.payload) if size <= PAYLOAD_BYTES_MAX else None
        self._stirred.set()
        if len(self._inbox) >= INBOX_MESSAGES_MAX or self._inbox_bytes + size > INBOX_BYTES_MAX:
            self._overflowed += 1
            return
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = repr(message._topic)  # noqa: SLF001 (there is no other way to name it)
        self._inbox_bytes += len(payload or b"")
        self._inbox.append(Inbound(topic, payload, size, message.retain))

    def _on_subscribe(self, client: paho.Client, userdata: Any, mid: int, *args: Any) -> None:
        """Leave aside the answer to a subscription that was cancelled; aiomqtt logs it as an error."""
        if mid in self._pending_subscribes:
            super()._on_subscribe(client, userdata, mid, *args)

    def _on_publish(
        self,
        client: paho.Client,  # noqa: ARG002 (paho's signature)
        userdata: Any,  # noqa: ARG002
        mid: int,
        reason_code: ReasonCode,
        properties: Properties,  # noqa: ARG002
    ) -> None:
        """Hand on the broker's reason code, which aiomqtt drops."""
        result = self._results.get(mid)
        if result is not None and not result.done():
            result.set_result(reason_code)


def _connect_properties() -> Properties:
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.MaximumPacketSize = _PACKET_BYTES_MAX
    return properties
