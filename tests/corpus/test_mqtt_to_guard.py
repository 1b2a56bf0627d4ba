"""Bad messages to the guard: each is refused for its reason and counted, and none becomes anything else."""

from __future__ import annotations

import pytest

from adapters.mqtt.connection import Inbound
from adapters.mqtt.fence import EpochFence
from adapters.mqtt.refusals import Refusals
from adapters.mqtt.routing import Router
from guard.events import AnyEvent, MessageRefused
from guard.units import NS_PER_S, BotId
from perpguard_sdk.codec import PAYLOAD_BYTES_MAX, encode_signed
from perpguard_sdk.messages import BotState, BotStatus, Mode
from perpguard_sdk.topics import Topics
from tests.corpus.reading import Case, cases
from tests.corpus.signing import payload_of

KEY = b"sixteen bytes or more"
TOPICS = Topics(site="home")


def routed(topic: str, payload: bytes) -> tuple[list[AnyEvent], Router]:
    fence = EpochFence(sessions={"ours"}, quiet_ns=NS_PER_S, wait_ns=NS_PER_S)
    fence.epoch = 3
    router = Router(TOPICS, Mode.PAPER, {BotId("alpha"): KEY, BotId("beta"): KEY[::-1]}, fence, Refusals())
    said: list[AnyEvent] = []
    kept = payload if len(payload) <= PAYLOAD_BYTES_MAX else None
    router.route(Inbound(topic, kept, len(payload), retain=False), 1, said.append)
    return said, router


@pytest.mark.parametrize("case", cases("mqtt_to_guard.txt"), ids=str)
def test_bad_messages_are_refused_for_their_reason(case: Case) -> None:
    topic = f"{TOPICS.base}/{case.where}"
    said, router = routed(topic, payload_of(case.text, topic, TOPICS.base, KEY))

    (refused,) = said
    assert isinstance(refused, MessageRefused)
    assert refused.detail.startswith(case.words), refused.detail
    assert len(refused.detail) < 500
    assert sum(router.refusals.counts.values()) == 1


def test_what_is_right_is_not_refused() -> None:
    topic = TOPICS.bot_state("alpha")
    state = BotState(bot="alpha", session="s", state=BotStatus.ONLINE, ts=1)

    said, _ = routed(topic, encode_signed(state, topic, KEY))

    assert [type(event).__name__ for event in said] == ["BotStatusSeen"]
