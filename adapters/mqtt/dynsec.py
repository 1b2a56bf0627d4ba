"""Mosquitto's dynamic security: the commands that let a bot in or out, and sending them to a running broker."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any, Final

from adapters.mqtt.access import BotAccess, bot_rights, client_identifier, guard_rights
from adapters.mqtt.connection import Connection, Endpoint
from guard.errors import BrokerError
from perpguard_sdk.topics import Topics

TOPIC: Final = "$CONTROL/dynamic-security/v1"
RESPONSE_TOPIC: Final = f"{TOPIC}/response"
ANSWER_S: Final = 5.0
"""A broker answers in milliseconds; one without the plugin, or that refuses us, never does."""

Command = dict[str, Any]


def role_name(topics: Topics, bot: str) -> str:
    """The role of one bot: it is named as the bot's client id."""
    return client_identifier(topics, bot)


def admit(topics: Topics, access: BotAccess, password: str) -> list[Command]:
    """Commands that let a bot in, whether or not the broker knows it already; the last word is ours.

    The client is bound to the bot's client id: no other bot that is bound to its own can take its place.
    """
    role = role_name(topics, access.bot)
    rights = bot_rights(topics, access.bot)
    acls = _acls(rights.read, rights.write)
    return [
        {"command": "createRole", "rolename": role},
        {"command": "modifyRole", "rolename": role, "acls": acls},
        {"command": "createClient", "username": access.user, "password": password},
        {
            "command": "setClientId",
            "username": access.user,
            "clientid": client_identifier(topics, access.bot),
        },
        {"command": "modifyClient", "username": access.user, "roles": [{"rolename": role}]},
        {"command": "setClientPassword", "username": access.user, "password": password},
        {"command": "enableClient", "username": access.user},
    ]


def admit_guard(topics: Topics, user: str, password: str) -> list[Command]:
    """Commands that let the guard in; it may connect with several client ids at once (``doctor``)."""
    role = f"{topics.root}-{topics.site}-guard"
    rights = guard_rights(topics)
    return [
        {"command": "createRole", "rolename": role},
        {"command": "modifyRole", "rolename": role, "acls": _acls(rights.read, rights.write)},
        {"command": "createClient", "username": user, "password": password},
        {"command": "modifyClient", "username": user, "roles": [{"rolename": role}]},
        {"command": "setClientPassword", "username": user, "password": password},
        {"command": "enableClient", "username": user},
    ]


def expel(topics: Topics, access: BotAccess) -> list[Command]:
    """Commands that throw a bot out and forget it, whether or not the broker knows it."""
    return [
        {"command": "deleteClient", "username": access.user},
        {"command": "deleteRole", "rolename": role_name(topics, access.bot)},
    ]


def deny_by_default() -> list[Command]:
    """Commands after which nobody may do what no role allows, receiving included."""
    kinds = ("publishClientSend", "publishClientReceive", "subscribe")
    acls = [{"acltype": kind, "allow": False} for kind in kinds]
    return [{"command": "setDefaultACLAccess", "acls": [*acls, {"acltype": "unsubscribe", "allow": True}]}]


async def apply(endpoint: Endpoint, commands: Sequence[Command]) -> None:
    """Send commands to the broker as the user of ``endpoint`` and wait for what it says to each.

    That something to be created is there, or something to be deleted is not, is no failure.

    Raises:
        BrokerAuthError: the broker refuses user or password.
        BrokerError: it is away, has no dynamic security, gives this user no right to it, or refuses a command.
    """
    connection = Connection(endpoint, None)
    await connection.open()
    try:
        await connection.subscribe_all([(RESPONSE_TOPIC, 1)])
        payload = json.dumps({"commands": list(commands)}).encode()
        await connection.send(TOPIC, payload, qos=1, retain=False)
        answers = await _answers(connection, endpoint, len(commands))
    finally:
        await connection.close()
    refused = [
        f"{command['command']} {command.get('username', command.get('rolename', ''))}: {error}".replace(
            "  ", " "
        )
        for command, error in zip(commands, answers, strict=False)
        if error and not _is_harmless(command["command"], error)
    ]
    if refused:
        raise BrokerError(
            endpoint.broker, f"its dynamic security refuses {'; '.join(refused)}: correct it there"
        )


async def _answers(connection: Connection, endpoint: Endpoint, count: int) -> list[str]:
    """The error of each command in order, empty where there was none."""
    found: list[str] = []
    loop = asyncio.get_running_loop()
    deadline = loop.time() + ANSWER_S
    while len(found) < count:
        left_s = deadline - loop.time()
        message = await connection.receive(within_s=left_s) if left_s > 0 else None
        if message is None:
            raise BrokerError(
                endpoint.broker,
                f"no answer on {RESPONSE_TOPIC}: load the plugin mosquitto_dynamic_security.so, and give user "
                f"{endpoint.username or '(none)'} the role admin",
            )
        try:
            responses = json.loads(message.payload or b"")["responses"]
            found += [str(each.get("error", "")) for each in responses]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BrokerError(
                endpoint.broker, f"an answer on {message.topic} is no answer: {error}"
            ) from error
    return found


def _is_harmless(command: str, error: str) -> bool:
    return (command.startswith("create") and error.endswith("already exists")) or (
        command.startswith("delete") and error.endswith("not found")
    )


def _acls(read: Sequence[str], write: Sequence[str]) -> list[dict[str, object]]:
    kinds = [("publishClientSend", write), ("publishClientReceive", read), ("subscribePattern", read)]
    return [
        {"acltype": kind, "topic": topic, "priority": 0, "allow": True}
        for kind, topics in kinds
        for topic in topics
    ]
