"""The wire types as JSON Schema and as an AsyncAPI 3 document, generated from ``messages`` and ``topics``.

``python -m perpguard_sdk.schema schema`` and ``... asyncapi`` print them.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import msgspec

from perpguard_sdk.messages import (
    SCHEMA_VERSION,
    Ack,
    Birth,
    BotState,
    CutLeverage,
    GuardState,
    Heartbeat,
    Instruction,
    Message,
    Notice,
    OutsideFact,
    Pause,
    Posture,
    Reported,
    Resume,
    Signal,
    WidenStops,
)

COMMANDS = (Pause, Resume, CutLeverage, WidenStops)
ALL = (
    GuardState,
    Heartbeat,
    Posture,
    *COMMANDS,
    Birth,
    BotState,
    Reported,
    Ack,
    Signal,
    Notice,
    OutsideFact,
    Instruction,
)


@dataclass(frozen=True, slots=True)
class Channel:
    """One topic pattern: what it carries, which way (seen from the guard), and how it is published."""

    name: str
    address: str
    messages: tuple[type[Message], ...]
    from_guard: bool
    qos: int
    retained: bool
    signed: bool
    note: str


CHANNELS = (
    Channel(
        "guardState",
        "guard/{guard}/state",
        (GuardState,),
        True,
        1,
        True,
        False,
        "Will: offline. A hint only.",
    ),
    Channel(
        "heartbeat",
        "heartbeat/{bot}",
        (Heartbeat,),
        True,
        0,
        False,
        True,
        "Every second while the engine lives.",
    ),
    Channel(
        "posture", "posture/{bot}", (Posture,), True, 1, True, True, "The truth; in paper mode under shadow/."
    ),
    Channel(
        "command",
        "command/{bot}/{verb}",
        COMMANDS,
        True,
        1,
        False,
        True,
        "The fast edge; in paper mode under shadow/.",
    ),
    Channel("birth", "bot/{bot}/birth", (Birth,), False, 1, True, True, "At every start of the bot."),
    Channel("botState", "bot/{bot}/state", (BotState,), False, 1, True, True, "Will: offline."),
    Channel(
        "reported", "bot/{bot}/reported", (Reported,), False, 1, True, True, "At every change, and regularly."
    ),
    Channel("ack", "bot/{bot}/ack", (Ack,), False, 1, False, True, "Of each command, several times."),
    Channel(
        "notice", "guard/{guard}/notice", (Notice,), True, 1, False, False, "For people: grouped, said once."
    ),
    Channel("signal", "signal/{venue}/{symbol}", (Signal,), True, 0, False, False, "For any subscriber."),
    Channel(
        "outside",
        "outside/{name}",
        (OutsideFact,),
        False,
        1,
        True,
        True,
        "A fact from outside of all markets, under the key of broker.outside_key_file.",
    ),
    Channel(
        "instruction",
        "instruction/{id}",
        (Instruction,),
        False,
        1,
        True,
        True,
        "What a human tells the guard, under the key of broker.instruction_key_file.",
    ),
)


def json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of every message; a signed payload is ``{"sig": hex, "body": message}``."""
    references, components = msgspec.json.schema_components(ALL, ref_template="#/$defs/{name}")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"perpguard messages, version {SCHEMA_VERSION}",
        "oneOf": list(references),
        "$defs": components,
    }


def asyncapi() -> dict[str, Any]:
    """AsyncAPI 3 document of every topic, seen from the guard."""
    _, components = msgspec.json.schema_components(ALL, ref_template="#/components/schemas/{name}")
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "perpguard",
            "version": f"{SCHEMA_VERSION}.0.0",
            "description": (
                "A risk guard beside the bots of perpetual-futures traders. A signed payload is"
                ' {"sig": hex, "body": message}: HMAC-SHA256 with the bot\'s key over the topic, a newline and'
                " the exact bytes of body."
            ),
            "license": {"name": "MIT"},
        },
        "defaultContentType": "application/json",
        "channels": {channel.name: _channel(channel) for channel in CHANNELS},
        "operations": {channel.name: _operation(channel) for channel in CHANNELS},
        "components": {
            "messages": {message.__name__: _message(message) for message in ALL},
            "schemas": components,
        },
    }


def _channel(channel: Channel) -> dict[str, Any]:
    address = f"{{root}}/v{SCHEMA_VERSION}/{{site}}/{channel.address}"
    names = [part[1:-1] for part in address.split("/") if part.startswith("{")]
    kept = "retained" if channel.retained else "not retained"
    keys = {"outside": "the site's key for outside facts", "instruction": "the site's key for instructions"}
    key = keys.get(channel.name, "the bot's key")
    signed = f"signed with {key}" if channel.signed else "not signed"
    return {
        "address": address,
        "description": f"{channel.note} QoS {channel.qos}, {kept}, {signed}.",
        "parameters": {name: {} for name in names},
        "messages": {
            message.__name__: {"$ref": f"#/components/messages/{message.__name__}"}
            for message in channel.messages
        },
        "bindings": {"mqtt": {"bindingVersion": "0.2.0"}},
    }


def _operation(channel: Channel) -> dict[str, Any]:
    return {
        "action": "send" if channel.from_guard else "receive",
        "channel": {"$ref": f"#/channels/{channel.name}"},
        "bindings": {"mqtt": {"qos": channel.qos, "retain": channel.retained, "bindingVersion": "0.2.0"}},
    }


def _message(message: type[Message]) -> dict[str, Any]:
    summary = (message.__doc__ or "").strip().splitlines()[0]
    return {
        "name": message.__name__,
        "summary": summary,
        "payload": {"$ref": f"#/components/schemas/{message.__name__}"},
    }


def main(arguments: list[str]) -> int:
    """Print the document that the argument names."""
    documents = {"schema": json_schema, "asyncapi": asyncapi}
    if len(arguments) != 1 or arguments[0] not in documents:
        sys.stderr.write("usage: python -m perpguard_sdk.schema schema|asyncapi\n")
        return 2
    document = msgspec.json.encode(documents[arguments[0]]())
    sys.stdout.write(msgspec.json.format(document, indent=2).decode() + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
