"""What arrives, judged: verified messages become events, the rest is refused; only the fence raises."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from adapters.mqtt.connection import Inbound
from adapters.mqtt.fence import EpochFence
from adapters.mqtt.instructing import BadInstructionError, InstructionDoor
from adapters.mqtt.outside import BadFactError, OutsideDoor
from adapters.mqtt.plausible import implausible
from adapters.mqtt.refusals import Refusal, Refusals
from guard.events import BotAcked, BotBorn, BotReported, BotStatusSeen, EpochContested
from guard.ports import Emit
from guard.units import BotId, Nanoseconds
from perpguard_sdk.codec import PAYLOAD_BYTES_MAX, decode_plain, decode_signed
from perpguard_sdk.errors import MalformedMessageError, SignatureMismatchError
from perpguard_sdk.messages import (
    Ack,
    AnyMessage,
    Birth,
    BotState,
    GuardState,
    Heartbeat,
    Mode,
    Posture,
    Reported,
)
from perpguard_sdk.topics import ParsedTopic, TopicKind, Topics

_EXPECTED: Final[Mapping[TopicKind, type[AnyMessage]]] = {
    TopicKind.BIRTH: Birth,
    TopicKind.BOT_STATE: BotState,
    TopicKind.REPORTED: Reported,
    TopicKind.ACK: Ack,
    TopicKind.HEARTBEAT: Heartbeat,
    TopicKind.POSTURE: Posture,
}


PROBE: Final = "_probe"
"""Nobody's name (names of users begin with a letter or digit): what ``doctor`` says under it is not for us."""


class _RefusedError(Exception):
    """Private: carries the reason to the one place that counts."""

    def __init__(self, why: Refusal, detail: str) -> None:
        super().__init__(detail)
        self.why = why


@dataclass(frozen=True, slots=True)
class Router:
    """Turns inbound messages of one site into events; ``bot_keys`` are the bots of our settings.

    ``outside`` judges facts from outside, ``instructions`` what humans tell; without one none of its kind are heard.
    """

    topics: Topics
    mode: Mode
    bot_keys: Mapping[BotId, bytes]
    fence: EpochFence
    refusals: Refusals
    outside: OutsideDoor | None = None
    instructions: InstructionDoor | None = None

    @property
    def filters(self) -> tuple[tuple[str, int], ...]:
        """What to subscribe to, with the quality of service.

        Postures of both modes are heard for their epochs, which all guards of a site share.
        """
        topics = self.topics
        return (
            (topics.guard_state("+"), 1),
            (topics.heartbeat("+"), 0),
            (topics.posture("+", Mode.LIVE), 1),
            (topics.posture("+", Mode.PAPER), 1),
            (topics.birth("+"), 1),
            (topics.bot_state("+"), 1),
            (topics.reported("+"), 1),
            (topics.ack("+"), 1),
            *(((topics.outside("+"), 1),) if self.outside is not None else ()),
            *(((topics.instruction("+"), 1),) if self.instructions is not None else ()),
        )

    def route(self, message: Inbound, now: Nanoseconds, emit: Emit) -> None:
        """Judge one message.

        Raises:
            FencedError: it proves that another guard took over.
        """
        parsed = self.topics.parse(message.topic)
        if parsed is not None and parsed.name == PROBE:
            return
        bot = BotId(parsed.name) if parsed is not None and BotId(parsed.name) in self.bot_keys else None
        try:
            self._take(message, parsed, now, emit)
        except _RefusedError as refused:
            self.refusals.refuse(refused.why, message.topic, str(refused), bot=bot, now=now, emit=emit)

    def _take(self, message: Inbound, parsed: ParsedTopic | None, now: Nanoseconds, emit: Emit) -> None:
        if parsed is None:
            raise _RefusedError(Refusal.UNKNOWN_TOPIC, "the protocol has no such topic")
        if message.payload is None:
            raise _RefusedError(
                Refusal.OVERSIZE, f"{message.size_bytes} bytes, at most {PAYLOAD_BYTES_MAX} are taken"
            )
        if parsed.kind is TopicKind.OUTSIDE:
            self._take_fact(message.payload, message, parsed.name, now, emit)
            return
        if parsed.kind is TopicKind.INSTRUCTION:
            self._take_instruction(message.payload, message, parsed.name, now, emit)
            return
        if not message.payload:
            if parsed.kind is not TopicKind.GUARD_STATE and BotId(parsed.name) not in self.bot_keys:
                return  # a bot that was revoked
            raise _RefusedError(Refusal.CLEARED, "somebody cleared the retained message")
        if parsed.kind is TopicKind.GUARD_STATE:
            self._take_guard_state(message.payload, message.topic)
            return
        self._hand_on(self._verified(message.payload, message.topic, parsed), message, parsed, now, emit)

    def _take_fact(self, payload: bytes, message: Inbound, name: str, now: Nanoseconds, emit: Emit) -> None:
        if self.outside is None:
            raise _RefusedError(
                Refusal.BAD_FACT, "no key for facts from outside: set broker.outside_key_file"
            )
        if not payload:
            return  # what is retained is gone; the fact holds until it expires or is taken back
        try:
            fact = self.outside.judge(payload, message.topic, name, now)
        except MalformedMessageError as error:
            raise _RefusedError(Refusal.MALFORMED, error.detail) from error
        except SignatureMismatchError as error:
            raise _RefusedError(
                Refusal.WRONG_SIGNATURE, "who tells facts must sign with the key of broker.outside_key_file"
            ) from error
        except BadFactError as error:
            raise _RefusedError(Refusal.BAD_FACT, str(error)) from error
        if fact is not None:
            emit(fact)

    def _take_instruction(
        self, payload: bytes, message: Inbound, name: str, now: Nanoseconds, emit: Emit
    ) -> None:
        if self.instructions is None:
            raise _RefusedError(
                Refusal.BAD_INSTRUCTION, "no key for instructions: set broker.instruction_key_file"
            )
        if not payload:
            return  # what is retained is gone; what was told holds until it expires or is withdrawn
        try:
            told = self.instructions.judge(payload, message.topic, name, now)
        except MalformedMessageError as error:
            raise _RefusedError(Refusal.MALFORMED, error.detail) from error
        except SignatureMismatchError as error:
            raise _RefusedError(
                Refusal.WRONG_SIGNATURE, "who instructs must sign with the key of broker.instruction_key_file"
            ) from error
        except BadInstructionError as error:
            raise _RefusedError(Refusal.BAD_INSTRUCTION, str(error)) from error
        if told is not None:
            emit(told)

    def _hand_on(
        self, body: AnyMessage, message: Inbound, parsed: ParsedTopic, now: Nanoseconds, emit: Emit
    ) -> None:
        match body:
            case Birth():
                emit(BotBorn(received_at=now, birth=body))
            case BotState():
                emit(BotStatusSeen(received_at=now, state=body))
            case Reported():
                emit(BotReported(received_at=now, reported=body))
                self._weigh_report(body)
            case Ack():
                emit(BotAcked(received_at=now, ack=body))
            case Heartbeat():
                complaint = self.fence.note_heartbeat(body, now)
                self._tell_contested(now, emit)
                self._complain(complaint)
            case Posture():
                is_floor = parsed.shadow is (self.mode is Mode.PAPER)
                complaint = self.fence.note_posture(body, is_floor=is_floor)
                self._tell_contested(now, emit)
                # A former session's posture is retained until we publish ours: found, not misplaced.
                self._complain("" if message.retain else complaint)

    def _tell_contested(self, now: Nanoseconds, emit: Emit) -> None:
        """Ask for an epoch of our own where another guard claimed the same."""
        if self.fence.is_contested:
            self.fence.is_contested = False
            emit(EpochContested(received_at=now, epoch=self.fence.epoch))

    def _verified(self, payload: bytes, topic: str, parsed: ParsedTopic) -> AnyMessage:
        key = self.bot_keys.get(BotId(parsed.name))
        if key is None:
            raise _RefusedError(Refusal.UNKNOWN_BOT, f"bot {parsed.name!r} is not in our settings")
        try:
            body = decode_signed(payload, topic, key)
        except MalformedMessageError as error:
            raise _RefusedError(Refusal.MALFORMED, error.detail) from error
        except SignatureMismatchError as error:
            raise _RefusedError(Refusal.WRONG_SIGNATURE, "guard and bot must read the same key") from error
        expected = _EXPECTED.get(parsed.kind)
        if expected is None or not isinstance(body, expected):
            raise _RefusedError(Refusal.WRONG_TYPE, f"a {type(body).__name__} does not belong on this topic")
        if getattr(body, "bot", None) != parsed.name:
            raise _RefusedError(Refusal.WRONG_NAME, f"it says that it is of {getattr(body, 'bot', None)!r}")
        if impossible := implausible(body):
            raise _RefusedError(Refusal.IMPOSSIBLE_NUMBER, impossible)
        return body

    def _weigh_report(self, reported: Reported) -> None:
        """Say it if a bot has obeyed a higher epoch than ours, for then it will not obey us.

        It does not fence: one bot's key must not be able to stop a guard that other bots need.
        """
        self.fence.note_epoch(reported.epoch)
        if 0 < self.fence.epoch < reported.epoch:
            raise _RefusedError(
                Refusal.EPOCH_AHEAD,
                f"bot {reported.bot} has obeyed epoch {reported.epoch}, ours is {self.fence.epoch}: it "
                "will not obey us until we have claimed a higher one",
            )

    def _take_guard_state(self, payload: bytes, topic: str) -> None:
        try:
            state = decode_plain(payload, topic)
        except MalformedMessageError as error:
            raise _RefusedError(Refusal.MALFORMED, error.detail) from error
        if not isinstance(state, GuardState):
            raise _RefusedError(Refusal.WRONG_TYPE, f"a {type(state).__name__} does not belong on this topic")
        if state.session in self.fence.sessions:
            return
        self.fence.note_hint(state.epoch)
        if 0 < self.fence.epoch < state.epoch:
            raise _RefusedError(
                Refusal.OTHER_GUARD,
                f"guard {state.guard!r} claims epoch {state.epoch}, ours is {self.fence.epoch}; a state is "
                "unsigned, so this alone changes nothing",
            )

    @staticmethod
    def _complain(complaint: str) -> None:
        if complaint:
            raise _RefusedError(Refusal.OTHER_GUARD, complaint)
