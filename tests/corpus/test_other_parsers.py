"""Whatever else reads bytes from outside: messages, topics, settings, records, a bot's state, plans of faults."""

from __future__ import annotations

import contextlib
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.simulation.misbehaviour.faults import read_plan
from guard.audit import decode_record, encode_record
from guard.check import check_settings
from perpguard_sdk.codec import decode_plain, decode_signed, encode_signed
from perpguard_sdk.errors import MalformedMessageError, SignatureMismatchError, StoreError
from perpguard_sdk.messages import BotState, BotStatus
from perpguard_sdk.store import FileStore
from perpguard_sdk.topics import Topics
from tests.corpus.signing import signed
from tests.corpus.test_parsers import EXAMPLES
from tests.support.audit_records import whole_story

ROOT = Path(__file__).parents[2]
KEY = b"sixteen bytes or more"
TOPIC = "perpguard/v1/home/bot/alpha/state"
STATE = encode_signed(BotState(bot="alpha", session="s", state=BotStatus.ONLINE, ts=1), TOPIC, KEY)

often = settings(
    max_examples=10 * EXAMPLES,
    derandomize=EXAMPLES <= 100,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


def spoilt(data: st.DataObject, whole: bytes) -> bytes:
    """The bytes with a few of them changed, left out, doubled or cut off."""
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, max(len(whole) - 1, 0)))
        match data.draw(st.integers(0, 3)):
            case 0:
                whole = whole[:at] + data.draw(st.binary(max_size=4)) + whole[at + 1 :]
            case 1:
                whole = whole[:at] + whole[at + data.draw(st.integers(1, 8)) :]
            case 2:
                whole = whole[:at] + whole[at : at + 20] + whole[at:]
            case _:
                whole = whole[:at]
    return whole


@often
@given(st.data())
def test_messages(data: st.DataObject) -> None:
    payload = data.draw(st.binary(max_size=60)) if data.draw(st.booleans()) else spoilt(data, STATE)
    with contextlib.suppress(MalformedMessageError, SignatureMismatchError):
        assert decode_signed(payload, TOPIC, KEY) == decode_signed(STATE, TOPIC, KEY)
    with contextlib.suppress(MalformedMessageError):
        decode_plain(payload, TOPIC)


@often
@given(st.data())
def test_bodies_that_are_well_signed(data: st.DataObject) -> None:
    body = spoilt(data, b'{"type":"bot_state","v":1,"bot":"alpha","session":"s","state":"online","ts":1}')
    with contextlib.suppress(MalformedMessageError, SignatureMismatchError):
        decode_signed(signed(body, TOPIC, KEY), TOPIC, KEY)


@often
@given(st.text(max_size=40))
def test_topics(text: str) -> None:
    topics = Topics(site="home")
    for topic in (text, f"{topics.base}/{text}", f"{topics.base}/bot/{text}/ack"):
        parsed = topics.parse(topic)
        assert parsed is None or "/" not in parsed.name


@often
@given(st.data())
def test_records(data: st.DataObject) -> None:
    body = spoilt(data, encode_record(data.draw(st.sampled_from(whole_story()))))
    with contextlib.suppress(msgspec.DecodeError, UnicodeError):
        decode_record(body)


@often
@given(st.data())
def test_plans_of_faults(data: st.DataObject) -> None:
    plan = b'{"seed":1,"duration_s":3.0,"faults":[{"kind":"drop","rate":0.5,"streams":["depth"]}]}'
    with contextlib.suppress(ValueError):
        read_plan(spoilt(data, plan))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("spoilt")


@often
@given(data=st.data())
def test_a_bots_state(data: st.DataObject, folder: Path) -> None:
    path = folder / "state.json"
    path.write_bytes(spoilt(data, b'{"sha256":"00","state":{"epoch":1}}'))
    with contextlib.suppress(StoreError):
        FileStore(path).load()
    for left in folder.glob("*"):
        left.unlink()


@settings(parent=often, max_examples=EXAMPLES)
@given(data=st.data())
def test_settings(data: st.DataObject, folder: Path) -> None:
    path = folder / "settings.toml"
    path.write_bytes(spoilt(data, (ROOT / "settings.toml").read_bytes()))

    checked = check_settings(path)

    assert all(where and message for where, message in checked.problems)
