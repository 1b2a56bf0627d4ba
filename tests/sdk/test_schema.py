"""The published documents of the protocol are those that the wire types give."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from perpguard_sdk import messages
from perpguard_sdk.schema import ALL, CHANNELS, asyncapi, json_schema

DOCS = Path(__file__).resolve().parents[2] / "docs" / "protocol"


@pytest.mark.parametrize(("name", "made"), [("schema.json", json_schema), ("asyncapi.json", asyncapi)])
def test_the_published_document_is_up_to_date(name: str, made: object) -> None:
    assert callable(made)
    published = msgspec.json.decode((DOCS / name).read_bytes())
    fresh = msgspec.json.decode(msgspec.json.encode(made()))
    assert published == fresh, (
        f"run: python -m perpguard_sdk.schema {name.partition('.')[0]} > docs/protocol/{name}"
    )


def test_every_message_is_documented_and_has_a_channel() -> None:
    on_the_wire = {
        kind
        for kind in vars(messages).values()
        if isinstance(kind, type)
        and issubclass(kind, messages.Message)
        and kind.__struct_config__.tag is not None
        if kind not in (messages.Message, messages.CommandBase)
    }
    assert set(ALL) == on_the_wire
    assert {message for channel in CHANNELS for message in channel.messages} == on_the_wire
