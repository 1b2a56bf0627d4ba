"""What humans tell: which words are let in, and why others are not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from adapters.mqtt.access import bot_rights, teller_rights
from adapters.mqtt.connection import Inbound
from adapters.mqtt.fence import EpochFence
from adapters.mqtt.instructing import BYTES_MAX, InstructionDoor
from adapters.mqtt.refusals import Refusals
from adapters.mqtt.routing import Router
from adapters.mqtt.settings import BrokerSettings
from guard.errors import SettingsError
from guard.events import AnyEvent, InstructionSeen, MessageRefused
from guard.instructions import TOLD_MAX, problem_of
from guard.units import NS_PER_MS, NS_PER_S
from perpguard_sdk.codec import encode_signed
from perpguard_sdk.messages import BotState, BotStatus, Instruction, InstructionKind, Message, Mode
from perpguard_sdk.topics import Topics

KEY = b"the key of instructions"
TOPICS = Topics(site="home")
NOW_MS = 1_760_000_000_000
HOUR_MS = 3_600_000
HALT = Instruction(
    id="halt-1",
    kind=InstructionKind.HALT,
    author="ada",
    reason="odd fills",
    ts=NOW_MS,
    expires_at=NOW_MS + HOUR_MS,
)


class Heard:
    """A router with a door for instructions, and what it said."""

    def __init__(self, key: bytes | None = KEY) -> None:
        fence = EpochFence(sessions={"ours"}, quiet_ns=NS_PER_S, wait_ns=NS_PER_S)
        door = None if key is None else InstructionDoor(key, 72)
        self.router = Router(TOPICS, Mode.PAPER, {}, fence, Refusals(), None, door)
        self.events: list[AnyEvent] = []

    def hear(self, payload: bytes, *, name: str = HALT.id, at_ms: int = NOW_MS, retain: bool = False) -> None:
        message = Inbound(TOPICS.instruction(name), payload, len(payload), retain=retain)
        self.router.route(message, at_ms * NS_PER_MS, self.events.append)

    def tell(self, told: Message = HALT, *, name: str | None = None, key: bytes = KEY, **when: Any) -> None:
        place = name or str(getattr(told, "id", HALT.id))
        self.hear(encode_signed(told, TOPICS.instruction(place), key), name=place, **when)

    @property
    def told(self) -> list[Instruction]:
        return [event.instruction for event in self.events if isinstance(event, InstructionSeen)]

    @property
    def refused(self) -> list[str]:
        return [event.detail for event in self.events if isinstance(event, MessageRefused)]


def changed(**fields: Any) -> Instruction:
    return structs.replace(HALT, **fields)


def test_what_is_told_becomes_an_event_once() -> None:
    heard = Heard()
    heard.tell()
    heard.tell(retain=True, at_ms=NOW_MS + 5)

    assert heard.told == [HALT]
    assert heard.refused == []


def test_what_was_withdrawn_cannot_be_played_back() -> None:
    heard = Heard()
    heard.tell()
    heard.tell(changed(ts=NOW_MS + 1, withdrawn=True, expires_at=NOW_MS + 10))
    heard.tell(at_ms=NOW_MS + 1_000)

    assert [each.withdrawn for each in heard.told] == [False, True]
    assert len(heard.refused) == 1
    assert "older" in heard.refused[0]


def test_what_has_expired_says_nothing() -> None:
    heard = Heard()
    heard.tell(at_ms=NOW_MS + HOUR_MS, retain=True)
    heard.hear(b"")

    assert heard.events == []


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (changed(author=""), "bad_instruction: author"),
        (changed(expires_at=NOW_MS + 73 * HOUR_MS), "bad_instruction: expires_at"),
        (changed(ts=NOW_MS + 120_000), "bad_instruction: ts"),
        (BotState(bot="a", session="s", state=BotStatus.ONLINE, ts=0), "malformed"),
        (changed(reason="x" * BYTES_MAX), "malformed"),
    ],
)
def test_what_cannot_be_is_refused(told: Message, said: str) -> None:
    heard = Heard()
    heard.tell(told)

    assert heard.told == []
    assert [each.startswith(said) for each in heard.refused] == [True], heard.refused


def test_only_the_key_and_the_right_topic_are_believed() -> None:
    forged, elsewhere, keyless = Heard(), Heard(), Heard(None)
    forged.tell(key=b"another key of sixteen")
    elsewhere.hear(encode_signed(HALT, TOPICS.instruction("other"), KEY))
    keyless.tell()

    assert forged.refused[0].startswith("wrong_signature")
    assert elsewhere.refused[0].startswith("wrong_signature")
    assert keyless.refused[0].startswith("bad_instruction: no key")
    assert not any("instruction" in topic for topic, _ in keyless.router.filters)
    assert forged.told == elsewhere.told == keyless.told == []


def test_so_many_are_held_and_no_more_until_some_have_expired() -> None:
    heard = Heard()
    for number in range(TOLD_MAX + 1):
        heard.tell(changed(id=f"halt-{number}"))
    later = changed(id="late", ts=NOW_MS + HOUR_MS, expires_at=NOW_MS + 2 * HOUR_MS)
    heard.tell(later, at_ms=NOW_MS + HOUR_MS)

    assert len(heard.told) == TOLD_MAX + 1
    assert heard.told[-1].id == "late"
    assert len(heard.refused) == 1


def test_neither_a_bot_nor_a_teller_of_facts_may_instruct() -> None:
    for rights in (bot_rights(TOPICS, "alpha"), teller_rights(TOPICS)):
        assert not any("instruction" in topic for topic in (*rights.read, *rights.write))


_told = st.builds(
    Instruction,
    id=st.text(max_size=50),
    kind=st.sampled_from(InstructionKind),
    author=st.text(max_size=9),
    reason=st.text(max_size=9),
    ts=st.integers(),
    expires_at=st.integers(),
    starts_at=st.integers(),
    market=st.none() | st.text(max_size=9),
    venue=st.none() | st.text(max_size=9),
    max_size=st.none() | st.floats(),
    reasons=st.lists(st.text(max_size=5), max_size=3).map(tuple),
)


@given(told=_told)
def test_judging_never_raises(told: Instruction) -> None:
    assert isinstance(problem_of(told, told.id, NOW_MS, 72), str)


def test_keys_are_read_like_those_of_facts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHORT", "short")
    (tmp_path / "key").write_bytes(KEY + b"\n")

    assert BrokerSettings().instruction_key() is None
    assert BrokerSettings(instruction_key_file=tmp_path / "key").instruction_key() == KEY
    with pytest.raises(SettingsError, match="instruction_key_env"):
        BrokerSettings(instruction_key_env="SHORT").instruction_key()
    with pytest.raises(ValueError, match="not both"):
        BrokerSettings(instruction_key_env="SHORT", instruction_key_file=tmp_path / "key")
