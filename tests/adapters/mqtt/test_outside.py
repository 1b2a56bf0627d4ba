"""Which facts from outside are taken, and why others are not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from adapters.mqtt.connection import Inbound
from adapters.mqtt.fence import EpochFence
from adapters.mqtt.outside import BYTES_MAX, DAYS_MAX, NAMES_MAX, OutsideDoor, problem_of
from adapters.mqtt.refusals import Refusal, Refusals
from adapters.mqtt.routing import Router
from adapters.mqtt.settings import BrokerSettings
from guard.errors import SettingsError
from guard.events import AnyEvent, MessageRefused, OutsideFactSeen
from guard.units import NS_PER_MS, NS_PER_S
from perpguard_sdk.codec import encode_plain, encode_signed
from perpguard_sdk.messages import BotState, BotStatus, Message, Mode, OutsideFact
from perpguard_sdk.topics import Topics

KEY = b"sixteen bytes or more"
TOPICS = Topics(site="home")
NOW_MS = 1_760_000_000_000
DAY_MS = 86_400_000
FACT = OutsideFact(
    name="etf_net_flow_usd",
    value=-1.2e9,
    unit="usd",
    source="issuers' pages",
    ts=NOW_MS - 1_000,
    expires_at=NOW_MS + DAY_MS,
    observed_at=NOW_MS - DAY_MS,
)


class Heard:
    """A router with a door for facts, and what it said."""

    def __init__(self, key: bytes | None = KEY) -> None:
        fence = EpochFence(sessions={"ours"}, quiet_ns=NS_PER_S, wait_ns=NS_PER_S)
        door = None if key is None else OutsideDoor(key)
        self.router = Router(TOPICS, Mode.PAPER, {}, fence, Refusals(), door)
        self.events: list[AnyEvent] = []

    def hear(
        self, payload: bytes, *, name: str = FACT.name, at_ms: int = NOW_MS, retain: bool = False
    ) -> None:
        topic = TOPICS.outside(name)
        message = Inbound(topic, payload, len(payload), retain=retain)
        self.router.route(message, at_ms * NS_PER_MS, self.events.append)

    def tell(self, fact: Message = FACT, *, name: str | None = None, key: bytes = KEY, **when: Any) -> None:
        told = name or str(getattr(fact, "name", FACT.name))
        self.hear(encode_signed(fact, TOPICS.outside(told), key), name=told, **when)

    @property
    def facts(self) -> list[OutsideFactSeen]:
        return [event for event in self.events if isinstance(event, OutsideFactSeen)]

    @property
    def refused(self) -> list[str]:
        return [event.detail for event in self.events if isinstance(event, MessageRefused)]


def changed(**fields: Any) -> OutsideFact:
    return structs.replace(FACT, **fields)


def test_a_fact_becomes_an_event() -> None:
    heard = Heard()
    heard.tell()
    assert heard.events == [
        OutsideFactSeen(
            received_at=NOW_MS * NS_PER_MS,
            exchange_at=FACT.ts * NS_PER_MS,
            name="etf_net_flow_usd",
            value=-1.2e9,
            unit="usd",
            source="issuers' pages",
            expires_at=FACT.expires_at * NS_PER_MS,
            observed_at=(NOW_MS - DAY_MS) * NS_PER_MS,
        )
    ]


def test_a_fact_is_renewed_and_taken_back_and_never_replaced_by_an_older_one() -> None:
    heard = Heard()
    heard.tell()
    heard.tell()
    heard.tell(changed(ts=NOW_MS, value=2.0))
    heard.tell()
    heard.tell(changed(ts=NOW_MS + 1, value=None))
    assert [fact.value for fact in heard.facts] == [-1.2e9, 2.0, None]
    assert heard.refused == ["bad_fact: it is older than what was told of etf_net_flow_usd before"], (
        "the same one again, after a reconnect, is no offence"
    )


def test_what_has_expired_or_was_cleared_says_nothing() -> None:
    heard = Heard()
    heard.tell(retain=True, at_ms=FACT.expires_at)
    heard.hear(b"")
    assert heard.events == []


@pytest.mark.parametrize(
    ("fact", "said"),
    [
        (changed(value=2e15), "bad_fact: value 2000000000000000.0 is not within"),
        (changed(unit="US dollars"), "bad_fact: unit"),
        (changed(unit=""), "bad_fact: unit"),
        (changed(source=""), "bad_fact: source"),
        (changed(source="a\nb"), "bad_fact: source"),
        (changed(source="x" * 201), "bad_fact: source"),
        (changed(expires_at=NOW_MS + DAYS_MAX * DAY_MS + 1), "bad_fact: expires_at"),
        (changed(ts=NOW_MS + 60_001), "bad_fact: ts"),
        (changed(ts=0), "bad_fact: ts"),
        (changed(observed_at=NOW_MS + 60_001), "bad_fact: observed_at"),
        (changed(name="other"), "bad_fact: it says that it is 'other'"),
        (changed(source="x" * BYTES_MAX), "malformed"),
        (BotState(bot="alpha", session="s", state=BotStatus.ONLINE, ts=1), "malformed: a BotState"),
    ],
)
def test_what_cannot_be_is_refused_and_said(fact: Message, said: str) -> None:
    heard = Heard()
    heard.tell(fact, name=FACT.name)
    (refused,) = heard.refused
    assert refused.startswith(said)
    assert heard.facts == []
    assert sum(heard.router.refusals.counts.values()) == 1


@pytest.mark.parametrize("name", ["Etf", "1x", "a-b", "ä", "x" * 65, "$SYS"])
def test_names_are_plain(name: str) -> None:
    heard = Heard()
    heard.tell(changed(name=name))
    assert heard.facts == []
    assert heard.router.refusals.counts[Refusal.BAD_FACT] == 1


def test_who_has_not_the_key_tells_nothing() -> None:
    heard = Heard()
    heard.tell(key=b"another key of 16 bytes")
    heard.hear(encode_plain(FACT))
    elsewhere = encode_signed(FACT, TOPICS.outside("other"), KEY)
    heard.hear(elsewhere)
    assert heard.facts == []
    counts = heard.router.refusals.counts
    assert (counts[Refusal.WRONG_SIGNATURE], counts[Refusal.MALFORMED]) == (2, 1)


def test_without_a_key_none_are_heard() -> None:
    heard = Heard(key=None)
    assert not any("outside" in topic for topic, _ in heard.router.filters)
    heard.tell()
    assert heard.refused[0].startswith("bad_fact: no key for facts from outside")


def test_there_are_only_so_many_names() -> None:
    heard = Heard()
    for number in range(NAMES_MAX + 3):
        heard.tell(changed(name=f"fact_{number}"))
    assert len(heard.facts) == NAMES_MAX
    assert heard.router.refusals.counts[Refusal.BAD_FACT] == 3
    heard.tell(changed(name="fact_0", ts=NOW_MS))
    assert len(heard.facts) == NAMES_MAX + 1, "what is known may be renewed"


@given(st.binary(max_size=300) | st.text(max_size=100).map(str.encode))
def test_rubbish_is_refused_and_nothing_else(payload: bytes) -> None:
    heard = Heard()
    heard.hear(payload)
    assert heard.facts == []
    assert len(heard.events) == (1 if payload else 0)


@given(st.builds(OutsideFact, name=st.text(max_size=70), value=st.none() | st.floats(), unit=st.text(max_size=20),
                 source=st.text(max_size=210), ts=st.integers(), expires_at=st.integers(),
                 observed_at=st.none() | st.integers()))  # fmt: skip
def test_judging_never_raises(fact: OutsideFact) -> None:
    assert isinstance(problem_of(fact, fact.name, NOW_MS), str)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"outside_key_env": "NO_SUCH_VARIABLE"}, "NO_SUCH_VARIABLE is not set"),
        ({"outside_key_file": "/nowhere/key"}, "cannot be read"),
    ],
)
def test_a_key_that_is_not_there_is_named(values: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        BrokerSettings.model_validate(values).outside_key()


def test_a_short_key_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHORT", "fifteen bytes..")
    with pytest.raises(SettingsError, match="at least 16"):
        BrokerSettings.model_validate({"outside_key_env": "SHORT"}).outside_key()
    with pytest.raises(ValueError, match="not both"):
        BrokerSettings.model_validate({"outside_key_env": "SHORT", "outside_key_file": "x"})
    assert BrokerSettings().outside_key() is None
