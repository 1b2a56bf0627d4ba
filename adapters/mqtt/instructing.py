"""What humans tell the guard: judged when it arrives, told and listed by whoever has the key. One key signs all of it.

Told again is told once, an older word never undoes a newer one, and nothing outlives its time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from adapters.mqtt.connection import Connection, Endpoint
from guard.errors import BrokerError
from guard.events import InstructionSeen
from guard.instructions import TOLD_MAX, problem_of
from guard.units import Nanoseconds, ms_of, ns_of
from perpguard_sdk.codec import decode_signed, encode_signed
from perpguard_sdk.errors import MalformedMessageError, SignatureMismatchError
from perpguard_sdk.messages import Instruction
from perpguard_sdk.topics import Topics

BYTES_MAX: Final = 8_192
RETAINED_S: Final = 0.5
"""What is retained comes within milliseconds of the subscription."""
LISTEN_S_MAX: Final = 10.0


class BadInstructionError(ValueError):
    """It is signed, and still nothing that the guard may be told; the text says why."""


@dataclass(slots=True)
class InstructionDoor:
    """Lets in what is signed with ``key``, sound and fresh; of one id never an older word than before.

    What was heard before a restart of the guard is known to its state, which judges by id and time as well.
    """

    key: bytes = field(repr=False)
    hours_max: int
    _latest: dict[str, tuple[int, int]] = field(default_factory=dict)

    def judge(self, payload: bytes, topic: str, name: str, now: Nanoseconds) -> InstructionSeen | None:
        """Return what is told; ``None`` where it was taken before, or was retained and has expired since.

        Raises:
            MalformedMessageError: it cannot be read.
            SignatureMismatchError: it is not signed with the key.
            BadInstructionError: what it says cannot be.
        """
        instruction = opened(payload, topic, self.key)
        now_ms = ms_of(now)
        if instruction.expires_at <= now_ms:
            return None
        if problem := problem_of(instruction, name, now_ms, self.hours_max):
            raise BadInstructionError(problem)
        for known in [known for known, (_, until) in self._latest.items() if until <= now_ms]:
            del self._latest[known]
        said_ms, until_ms = self._latest.get(name, (0, 0))
        if not said_ms and len(self._latest) >= TOLD_MAX:
            raise BadInstructionError(f"more than {TOLD_MAX} are told: withdraw those that you need not")
        if instruction.ts <= said_ms:
            if instruction.ts < said_ms:
                raise BadInstructionError(f"it is older than what was told as {name} before")
            return None
        self._latest[name] = (instruction.ts, max(until_ms, instruction.expires_at))
        return InstructionSeen(received_at=now, exchange_at=ns_of(instruction.ts), instruction=instruction)


def opened(payload: bytes, topic: str, key: bytes) -> Instruction:
    """Verify and decode. Raises MalformedMessageError or SignatureMismatchError."""
    if len(payload) > BYTES_MAX:
        raise MalformedMessageError(topic, f"{len(payload)} bytes; an instruction has {BYTES_MAX} at most")
    body = decode_signed(payload, topic, key)
    if not isinstance(body, Instruction):
        raise MalformedMessageError(topic, f"a {type(body).__name__} does not belong on this topic")
    return body


async def instruct(endpoint: Endpoint, topics: Topics, key: bytes, instruction: Instruction) -> None:
    """Publish an instruction, retained; returns once the broker has taken it.

    Raises:
        BrokerError: the broker is away, or refuses it.
    """
    topic = topics.instruction(instruction.id)
    connection = Connection(endpoint, None)
    await connection.open()
    try:
        await connection.send(topic, encode_signed(instruction, topic, key), qos=1, retain=True)
    finally:
        await connection.close()


async def instructed(endpoint: Endpoint, topics: Topics, key: bytes) -> Mapping[str, Instruction | str]:
    """Read what is retained, by id: what is signed with the key, and of others why they are nothing.

    Raises:
        BrokerError: the broker is away, or refuses the subscription.
    """
    found: dict[str, Instruction | str] = {}
    connection = Connection(endpoint, None)
    await connection.open()
    try:
        await connection.subscribe_all([(topics.instruction("+"), 1)])
        clock = asyncio.get_running_loop().time
        ends_at, quiet_since = clock() + LISTEN_S_MAX, clock()
        while clock() < min(ends_at, quiet_since + RETAINED_S):
            # It may return without a message before its time is over.
            message = await connection.receive(within_s=RETAINED_S)
            parsed = None if message is None else topics.parse(message.topic)
            if message is None or parsed is None or not message.payload:
                continue
            quiet_since = clock()
            if len(found) >= 10 * TOLD_MAX:
                raise BrokerError(endpoint.broker, "far too much is told: clear the topics instruction/#")
            found[parsed.name] = _shown(message.payload, message.topic, key)
    finally:
        await connection.close()
    return dict(sorted(found.items()))


def _shown(payload: bytes, topic: str, key: bytes) -> Instruction | str:
    try:
        return opened(payload, topic, key)
    except SignatureMismatchError:
        return "signed with another key"
    except MalformedMessageError as error:
        return error.detail
