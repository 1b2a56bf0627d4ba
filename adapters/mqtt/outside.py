"""Facts from outside of all markets: judged when they arrive, told and listed by whoever may. One key signs them all.

They only ever weigh as bounded priors, so what is checked is that they are of us, sound, fresh, and few.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Final

from adapters.mqtt.connection import Connection, Endpoint
from guard.errors import BrokerError
from guard.events import OutsideFactSeen
from guard.units import Nanoseconds, ms_of, ns_of
from perpguard_sdk.codec import decode_signed, encode_signed
from perpguard_sdk.errors import MalformedMessageError, SignatureMismatchError
from perpguard_sdk.messages import OutsideFact
from perpguard_sdk.topics import Topics

NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
UNIT: Final = re.compile(r"[A-Za-z0-9%/_.-]{1,16}")
SOURCE_MAX: Final = 200
VALUE_MAX: Final = 1e15
BYTES_MAX: Final = 4_096
NAMES_MAX: Final = 64
"""So many different facts; more of them are somebody's mistake."""
DAYS_MAX: Final = 7
"""A fact that nobody renews for a week is not known any more."""
AHEAD_MS_MAX: Final = 60_000
"""So far may the teller's clock be ahead of ours."""
RETAINED_S: Final = 0.5
"""What is retained comes within milliseconds of the subscription."""
LISTEN_S_MAX: Final = 10.0


class BadFactError(ValueError):
    """It is signed, and still not a fact that may be taken; the text says why."""


@dataclass(slots=True)
class OutsideDoor:
    """Lets facts in that are signed with ``key``, sound and fresh; of one name never an older one than before."""

    key: bytes = field(repr=False)
    _latest_ms: dict[str, int] = field(default_factory=dict)

    def judge(self, payload: bytes, topic: str, name: str, now: Nanoseconds) -> OutsideFactSeen | None:
        """Return the fact; ``None`` where it was taken before, or was retained and has expired since.

        Raises:
            MalformedMessageError: it cannot be read.
            SignatureMismatchError: it is not signed with the key.
            BadFactError: what it says cannot be.
        """
        fact = opened(payload, topic, self.key)
        now_ms = ms_of(now)
        if fact.expires_at <= now_ms:
            return None
        if problem := problem_of(fact, name, now_ms):
            raise BadFactError(problem)
        latest_ms = self._latest_ms.get(name)
        if latest_ms is None and len(self._latest_ms) >= NAMES_MAX:
            raise BadFactError(
                f"more than {NAMES_MAX} different facts are told: take back those that you need not"
            )
        if latest_ms is not None and fact.ts <= latest_ms:
            if fact.ts < latest_ms:
                raise BadFactError(f"it is older than what was told of {name} before")
            return None
        self._latest_ms[name] = fact.ts
        return OutsideFactSeen(
            received_at=now,
            exchange_at=ns_of(fact.ts),
            name=name,
            value=fact.value,
            unit=fact.unit,
            source=fact.source,
            expires_at=ns_of(fact.expires_at),
            observed_at=None if fact.observed_at is None else ns_of(fact.observed_at),
        )


def opened(payload: bytes, topic: str, key: bytes) -> OutsideFact:
    """Verify and decode. Raises MalformedMessageError or SignatureMismatchError."""
    if len(payload) > BYTES_MAX:
        raise MalformedMessageError(topic, f"{len(payload)} bytes; a fact has {BYTES_MAX} at most")
    body = decode_signed(payload, topic, key)
    if not isinstance(body, OutsideFact):
        raise MalformedMessageError(topic, f"a {type(body).__name__} does not belong on this topic")
    return body


def problem_of(fact: OutsideFact, name: str, now_ms: int) -> str:
    """Say what cannot be about a fact, empty for nothing; its sender asks this too.

    >>> fact = OutsideFact(name="etf_flow", value=-1e9, unit="usd", source="issuer", ts=5, expires_at=9)
    >>> problem_of(fact, "etf_flow", 5), problem_of(fact, "flows", 5)
    ('', "it says that it is 'etf_flow'")
    """
    if fact.name != name:
        return f"it says that it is {fact.name[:64]!r}"
    if NAME.fullmatch(name) is None:
        return f"name {name[:64]!r}: take small letters, digits and _, a letter first, 64 at most"
    if fact.value is not None and not (isfinite(fact.value) and abs(fact.value) <= VALUE_MAX):
        return f"value {fact.value} is not within {-VALUE_MAX:g}..{VALUE_MAX:g}"
    if UNIT.fullmatch(fact.unit) is None:
        return f"unit {fact.unit[:20]!r}: take letters, digits and % / _ . -, 16 at most"
    if not 0 < len(fact.source) <= SOURCE_MAX or not fact.source.isprintable():
        return f"source: say in 1 to {SOURCE_MAX} printable characters where it comes from"
    return _problem_of_times(fact, now_ms)


def _problem_of_times(fact: OutsideFact, now_ms: int) -> str:
    if not 0 < fact.ts <= now_ms + AHEAD_MS_MAX:
        return f"ts {fact.ts} lies in the future: set the teller's clock"
    if not fact.ts < fact.expires_at <= now_ms + DAYS_MAX * 86_400_000:
        return f"expires_at {fact.expires_at} is more than {DAYS_MAX} days ahead, or before it was told"
    if fact.observed_at is not None and not 0 < fact.observed_at <= now_ms + AHEAD_MS_MAX:
        return f"observed_at {fact.observed_at} lies in the future"
    return ""


async def tell(endpoint: Endpoint, topics: Topics, key: bytes, fact: OutsideFact) -> None:
    """Publish a fact, retained; returns once the broker has taken it.

    Raises:
        BrokerError: the broker is away, or refuses it.
    """
    topic = topics.outside(fact.name)
    connection = Connection(endpoint, None)
    await connection.open()
    try:
        await connection.send(topic, encode_signed(fact, topic, key), qos=1, retain=True)
    finally:
        await connection.close()


async def told(endpoint: Endpoint, topics: Topics, key: bytes) -> Mapping[str, OutsideFact | str]:
    """Read what is retained, by name: facts that are signed with the key, and of others why they are none.

    Raises:
        BrokerError: the broker is away, or refuses the subscription.
    """
    found: dict[str, OutsideFact | str] = {}
    connection = Connection(endpoint, None)
    await connection.open()
    try:
        await connection.subscribe_all([(topics.outside("+"), 1)])
        clock = asyncio.get_running_loop().time
        ends_at, quiet_since = clock() + LISTEN_S_MAX, clock()
        while clock() < min(ends_at, quiet_since + RETAINED_S):
            # It may return without a message before its time is over.
            message = await connection.receive(within_s=RETAINED_S)
            parsed = None if message is None else topics.parse(message.topic)
            if message is None or parsed is None or not message.payload:
                continue
            quiet_since = clock()
            if len(found) >= 10 * NAMES_MAX:
                raise BrokerError(endpoint.broker, "there are far too many facts: clear the topics outside/#")
            found[parsed.name] = _shown(message.payload, message.topic, key)
    finally:
        await connection.close()
    return dict(sorted(found.items()))


def _shown(payload: bytes, topic: str, key: bytes) -> OutsideFact | str:
    try:
        return opened(payload, topic, key)
    except SignatureMismatchError:
        return "signed with another key"
    except MalformedMessageError as error:
        return error.detail
