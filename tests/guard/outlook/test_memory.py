"""What was learned goes on in the next run; what cannot be read does no harm."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace

import msgspec
import pytest

from guard.audit import Step, abridged
from guard.events import OutlookRestored
from guard.forecasts import Direction
from guard.models import load_experts
from guard.outlook.broken import Broken
from guard.outlook.estimators import Estimators
from guard.outlook.memory import VERSION, OutlookMemory, decode, encode
from guard.outlook.outlook import Outlook
from guard.units import NS_PER_S
from tests.support.skill_readings import MARKET, START_AT, reading, refreshes


def learned() -> Estimators:
    estimators, broken = Estimators(), Broken()
    for number, at in enumerate(refreshes(1200)):
        price = 100.0 + (number % 40) * 0.05
        estimators.update(reading(at, price, longs_usd=500.0 if number % 40 == 0 else 0.0), broken)
    assert not list(broken)
    return estimators


def test_bytes_and_back_is_exactly_the_same() -> None:
    memory = learned().remember("main", START_AT)
    assert len(memory.maps) == 1
    assert decode(encode(memory)) == memory


def test_a_run_goes_on_from_what_another_learned() -> None:
    former = learned()
    memory = former.remember("main", START_AT)
    outlook = Outlook()
    outlook.hear(
        OutlookRestored(received_at=START_AT, written_at=START_AT, digest="d", memory=encode(memory))
    )
    now = reading(START_AT + 1205 * NS_PER_S, 100.0)
    told = outlook.estimators.update(now, outlook.broken)
    expected = former.update(now, Broken())
    for direction in Direction:
        ours, theirs = told.map(direction), expected.map(direction)
        assert ours is not None
        assert theirs is not None
        assert [each.usd for each in ours.within] == pytest.approx(
            [each.usd for each in theirs.within], rel=0.02
        )


def test_what_danger_is_usual_outlives_the_guard() -> None:
    """What leverage is sized against is as it was when the guard comes back."""
    former = Estimators()
    for at in range(100):
        former.judging.usual_danger.learn(MARKET, START_AT + 60 * at * NS_PER_S, [0.09])
    memory = decode(encode(former.remember("main", START_AT)))
    other = Estimators()
    other.restore(memory)
    assert other.judging.usual_danger.value == pytest.approx(former.judging.usual_danger.value, rel=1e-12)
    assert other.judging.usual_danger.value > Estimators().judging.usual_danger.value


def test_what_was_not_heard_of_again_is_remembered_all_the_same() -> None:
    memory = learned().remember("main", START_AT)
    other = Estimators()
    other.restore(memory)
    assert [each.market for each in other.remember("main", START_AT).maps] == [MARKET]


def test_a_copy_says_the_same_whatever_the_original_goes_through() -> None:
    """Compiled or not: a state that cannot be copied cannot be judged again beside the one that goes on."""
    first = learned()
    first.experts = load_experts()
    copies = copy.deepcopy(first), pickle.loads(pickle.dumps(first))
    nexts = [
        replace(
            reading(START_AT + seconds * NS_PER_S, 100.0 - 0.01 * seconds % 7, longs_usd=300.0),
            sell_usd=2e4,
            funding_rate=1e-4,
            index_price=100.0,
        )
        for seconds in range(1200, 1400, 5)
    ]
    broken = Broken()
    said = [first.update(each, broken) for each in nexts]
    assert said[-1].hazards
    assert said[-1].reaches
    for copied in copies:
        assert [copied.update(each, broken) for each in nexts] == said
    assert not list(broken)


@pytest.mark.parametrize(
    "body",
    [b"", b"nothing", msgspec.msgpack.encode({"guard": 1}), encode(OutlookMemory(guard="a", at=1))[:-1]],
)
def test_what_is_no_memory_is_refused_and_does_no_harm(body: bytes) -> None:
    with pytest.raises(ValueError, match="memory"):
        decode(body)
    outlook = Outlook()
    outlook.hear(OutlookRestored(received_at=1, written_at=1, digest="d", memory=body))
    assert not list(outlook.broken)


def test_another_version_is_refused() -> None:
    with pytest.raises(ValueError, match=f"version {VERSION + 1}"):
        decode(encode(OutlookMemory(guard="a", at=1, version=VERSION + 1)))


def test_the_record_names_the_memory_and_does_not_hold_it() -> None:
    step = Step(at=1, event=OutlookRestored(received_at=1, written_at=1, digest="d", memory=b"much"))
    assert step.is_decision
    assert abridged(step).event == OutlookRestored(received_at=1, written_at=1, digest="d")


def test_asking_for_what_was_learned_changes_nothing() -> None:
    asked, silent = learned(), learned()
    asked.remember("main", START_AT)
    for number in range(10):
        now = reading(START_AT + (1200 + 5 * number) * NS_PER_S, 100.0 + 0.01 * number)
        assert asked.update(now, Broken()) == silent.update(now, Broken())
