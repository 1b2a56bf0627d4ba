"""Tries, beside a running guard and without disturbing it, whether the broker lets a guard do its work.

It speaks under names that no bot or guard can have (``PROBE``), so that nobody listens to what it says, and
retains nothing. Of the real bots' topics it only reads.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Final

from adapters.mqtt.admission import guard_endpoint
from adapters.mqtt.connection import Connection, Endpoint
from adapters.mqtt.routing import PROBE
from adapters.mqtt.settings import BrokerKind, BrokerSettings
from guard.errors import BrokerAuthError, BrokerError, SettingsError
from guard.ports import Clock
from guard.units import NS_PER_S
from perpguard_sdk.messages import Mode
from perpguard_sdk.topics import Topics

CONNECT_S: Final = 3.0
ECHO_S: Final = 1.5
"""What we publish comes back in milliseconds; a topic that stays silent for so long is forbidden."""
EXPIRES_DAYS_MIN: Final = 14.0
DAY_S: Final = 86_400.0


class ProbeStatus(StrEnum):
    """How one thing stands; the worst of all is the probe's."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeFinding:
    """One thing that was tried: ``remedy`` says what to do, empty if all is well."""

    name: str
    status: ProbeStatus
    detail: str
    remedy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsDetails:
    """What was agreed on for the encrypted connection; days count from now, ``None`` where not known."""

    version: str
    cipher: str
    broker_expires_days: float | None
    ours_expires_days: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerProbe:
    """What was found; ``findings`` in the order in which they were tried."""

    broker: str
    reachable: bool
    authenticated: bool
    protocol: str
    tls: TlsDetails | None
    findings: tuple[ProbeFinding, ...]

    @property
    def status(self) -> ProbeStatus:
        """The worst of the findings."""
        found = {finding.status for finding in self.findings}
        return next((each for each in (ProbeStatus.FAIL, ProbeStatus.WARN) if each in found), ProbeStatus.OK)


async def probe_broker(
    settings: BrokerSettings, *, guard: str, bots: Sequence[str], clock: Clock | None = None
) -> BrokerProbe:
    """Connect as the guard would, try each of its rights on names that nobody has, and say what is missing.

    It never raises for what a broker does, takes at most some ten seconds, and changes nothing that is kept.

    Args:
        settings: of the broker.
        guard: the guard's name.
        bots: the bots that it commands.
        clock: for how long certificates are still valid; without it only those that have expired are found.
    """
    try:
        endpoint = guard_endpoint(settings, f"perpguard-{guard}-probe-{secrets.token_hex(3)}")
    except SettingsError as error:
        return _nothing(
            settings, [_fail("settings", "; ".join(f"{at}: {why}" for at, why in error.problems))]
        )
    except BrokerError as error:
        return _nothing(settings, [_warn("reachable", error.detail, "it is tried once perpguard runs")])
    found: list[ProbeFinding] = []
    tls = None
    reachable = await _reaches(endpoint, found)
    if reachable and endpoint.tls is not None:
        tls = await _tls(endpoint, settings, clock, found)
    authenticated = reachable and await _logs_in(endpoint, settings, guard, bots, found)
    if reachable:
        await _refuses_strangers(endpoint, found)
    if endpoint.tls is None and endpoint.password is not None and not _is_loopback(endpoint.host):
        remedy = "set broker.tls_ca, and let the broker listen with TLS"
        found.append(_warn("encrypted", "the password crosses the network in plain text", remedy))
    return BrokerProbe(
        broker=endpoint.broker,
        reachable=reachable,
        authenticated=authenticated,
        protocol=f"MQTT {'5' if endpoint.mqtt5 else '3.1.1'}",
        tls=tls,
        findings=tuple(found),
    )


def rights_tried(topics: Topics) -> dict[str, str]:
    """A topic for each kind on which a guard speaks, under names that nobody has."""
    return {
        "guard state": topics.guard_state(PROBE),
        "heartbeat": topics.heartbeat(PROBE),
        "posture": topics.posture(PROBE, Mode.LIVE),
        "paper posture": topics.posture(PROBE, Mode.PAPER),
        "command": f"{topics.channel(Mode.LIVE)}/command/{PROBE}/pause",
        "paper command": f"{topics.channel(Mode.PAPER)}/command/{PROBE}/pause",
        "signal": topics.signal(PROBE, PROBE),
        "a bot's birth, taken away": topics.birth(PROBE),
    }


async def _reaches(endpoint: Endpoint, found: list[ProbeFinding]) -> bool:
    try:
        async with asyncio.timeout(CONNECT_S):
            _, writer = await asyncio.open_connection(endpoint.host, endpoint.port)
    except (OSError, TimeoutError) as error:
        why = str(error) or f"no answer within {CONNECT_S:g} s"
        remedy = "start the broker, or correct broker.host and broker.port"
        found.append(_fail("reachable", f"{endpoint.broker}: {why}", remedy))
        return False
    await _close(writer)
    found.append(_ok("reachable", f"{endpoint.broker} takes connections"))
    return True


async def _tls(
    endpoint: Endpoint, settings: BrokerSettings, clock: Clock | None, found: list[ProbeFinding]
) -> TlsDetails | None:
    try:
        async with asyncio.timeout(CONNECT_S):
            _, writer = await asyncio.open_connection(endpoint.host, endpoint.port, ssl=endpoint.tls)
    except (OSError, TimeoutError):
        return None  # logging in fails as well, and says why
    connected: ssl.SSLObject = writer.get_extra_info("ssl_object")
    certificate = connected.getpeercert() or {}
    cipher = connected.cipher()
    now_s = clock.now() / NS_PER_S if clock is not None else None
    ends = certificate.get("notAfter")
    theirs = ssl.cert_time_to_seconds(ends) if isinstance(ends, str) else None
    ours = _ends_at_s(settings.tls_cert)
    details = TlsDetails(
        version=connected.version() or "",
        cipher=cipher[0] if cipher else "",
        broker_expires_days=_days(theirs, now_s),
        ours_expires_days=_days(ours, now_s),
    )
    await _close(writer)
    found.append(_ok("tls", f"{details.version}, {details.cipher}"))
    for whose, days in (("the broker's", details.broker_expires_days), ("our", details.ours_expires_days)):
        if days is not None and days < EXPIRES_DAYS_MIN:
            detail = f"{whose} certificate is valid for {days:.1f} more days"
            found.append(_warn("certificate", detail, "renew it; a new one is taken at the next connection"))
    return details


async def _logs_in(
    endpoint: Endpoint,
    settings: BrokerSettings,
    guard: str,
    bots: Sequence[str],
    found: list[ProbeFinding],
) -> bool:
    connection = Connection(endpoint, None)
    try:
        await connection.open()
    except BrokerAuthError as error:
        found.append(_fail("authenticated", error.detail, "correct broker.username and its password file"))
        return False
    except BrokerError as error:
        found.append(_fail("authenticated", error.detail, "do what it says"))
        return False
    try:
        found.append(_ok("authenticated", f"as {endpoint.username or 'nobody in particular'}"))
        topics = Topics(site=settings.site, root=settings.root)
        await _may_read(connection, topics, guard, bots, found)
        await _may_write(connection, topics, endpoint, found)
    except BrokerError as error:
        found.append(_fail("permissions", error.detail, "look into the broker's log"))
    finally:
        with contextlib.suppress(BrokerError):
            await connection.close()
    return True


async def _may_read(
    connection: Connection, topics: Topics, guard: str, bots: Sequence[str], found: list[ProbeFinding]
) -> None:
    """Ask for everything that a guard listens to; some brokers grant it and stay silent all the same."""
    filters = [topics.guard_state("+"), topics.guard_state(guard), topics.heartbeat("+"), topics.ack("+")]
    filters += [topics.birth("+"), topics.bot_state("+"), topics.reported("+")]
    filters += [topics.posture(bot, mode) for bot in bots for mode in (Mode.LIVE, Mode.PAPER)]
    refused = []
    for topic_filter in filters:
        try:
            await connection.subscribe_all([(topic_filter, 1)])
        except BrokerError:
            refused.append(topic_filter)
    if refused:
        remedy = f"let the guard's user read {topics.base}/# in the broker's ACL"
        found.append(_fail("may read", f"refused: {', '.join(refused)}", remedy))
    else:
        found.append(_ok("may read", f"{len(filters)} subscriptions are granted"))


async def _may_write(
    connection: Connection, topics: Topics, endpoint: Endpoint, found: list[ProbeFinding]
) -> None:
    """Publish on a topic of each kind and wait until it comes back: the only proof that any broker gives."""
    tried, mark = rights_tried(topics), secrets.token_bytes(12)
    with contextlib.suppress(BrokerError):  # what cannot be read does not come back, and is said then
        await connection.subscribe_all([(topic, 1) for topic in tried.values()])
    for topic in tried.values():
        with contextlib.suppress(BrokerError):  # MQTT 5 says so at once; it is found missing below
            await connection.send(topic, mark, qos=1, retain=False)
    missing = {topic: kind for kind, topic in tried.items()}
    loop = asyncio.get_running_loop()
    until = loop.time() + ECHO_S
    while missing and (left_s := until - loop.time()) > 0:
        message = await connection.receive(within_s=left_s)
        if message is not None and message.payload == mark:
            missing.pop(message.topic, None)
    if missing:
        user = endpoint.username or "(none)"
        remedy = f"let user {user} write and read {topics.base}/# in the broker's ACL"
        found.append(_fail("may write", f"does not come back: {', '.join(missing.values())}", remedy))
    else:
        found.append(_ok("may write", f"{len(tried)} kinds of topic, each read back"))


async def _refuses_strangers(endpoint: Endpoint, found: list[ProbeFinding]) -> None:
    stranger = replace(
        endpoint, username=None, password=None, identifier=f"perpguard-stranger-{secrets.token_hex(3)}"
    )
    connection = Connection(stranger, None)
    try:
        await connection.open()
    except BrokerError:
        found.append(_ok("strangers refused", "a client without user and password is not let in"))
        return
    with contextlib.suppress(BrokerError):
        await connection.close()
    remedy = "give users to the broker (allow_anonymous false): docs/how-to/secure-the-broker.md"
    detail = "anybody who reaches the broker can read every position, and say whatever is not signed"
    found.append((_warn if _is_loopback(endpoint.host) else _fail)("strangers refused", detail, remedy))


def _ends_at_s(path: Path | None) -> float | None:
    """Until when a certificate is valid, in seconds since 1970."""
    if path is None:
        return None
    from cryptography import x509  # noqa: PLC0415 (it takes 60 ms to load)

    try:
        return x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc.timestamp()
    except (OSError, ValueError):
        return None


def _days(ends_at_s: float | None, now_s: float | None) -> float | None:
    return None if ends_at_s is None or now_s is None else (ends_at_s - now_s) / DAY_S


def _is_loopback(host: str) -> bool:
    return host in {"localhost", "::1"} or host.startswith("127.")


def _nothing(settings: BrokerSettings, found: list[ProbeFinding]) -> BrokerProbe:
    embedded = settings.kind is BrokerKind.EMBEDDED
    return BrokerProbe(
        broker="embedded" if embedded else f"{settings.host}:{settings.port_used}",
        reachable=False,
        authenticated=False,
        protocol=f"MQTT {settings.protocol_used}",
        tls=None,
        findings=tuple(found),
    )


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(1.0):
            await writer.wait_closed()


def _ok(name: str, detail: str) -> ProbeFinding:
    return ProbeFinding(name=name, status=ProbeStatus.OK, detail=detail)


def _warn(name: str, detail: str, remedy: str) -> ProbeFinding:
    return ProbeFinding(name=name, status=ProbeStatus.WARN, detail=detail, remedy=remedy)


def _fail(name: str, detail: str, remedy: str = "correct the settings") -> ProbeFinding:
    return ProbeFinding(name=name, status=ProbeStatus.FAIL, detail=detail, remedy=remedy)
