"""The mosquitto.conf of docs/how-to/secure-the-broker.md, word for word but for its places."""

from __future__ import annotations

import re
from pathlib import Path

import aiomqtt
import pytest

from adapters.mqtt.mosquitto_files import MosquittoFiles
from perpguard_sdk.messages import Mode
from perpguard_sdk.tls import tls_context
from perpguard_sdk.topics import Topics
from tests.support.brokers import HOST, free_port, mosquitto
from tests.support.certificates import authority
from tests.support.guarded_brokers import BOTS, GUARD, PASSWORDS, SITE

GUIDE = Path(__file__).parents[2] / "docs/how-to/secure-the-broker.md"
TOPICS = Topics(site=SITE)


async def test_the_guard_keeps_its_place_and_no_bot_takes_anothers(tmp_path: Path) -> None:
    found = re.search(r"```\n(# mosquitto.conf\n.*?acl_file.*?)```", GUIDE.read_text(), re.DOTALL)
    assert found is not None
    place = tmp_path / "perpguard"
    MosquittoFiles(place).write(TOPICS, GUARD, BOTS, PASSWORDS)
    authority(place).issue("broker")
    port = free_port()
    text = (
        found[1].replace("/etc/mosquitto/perpguard", str(place)).replace("listener 8883", f"listener {port}")
    )
    assert "listener 1883 127.0.0.1\n" in text
    async with mosquitto(tmp_path, extra=text.replace("listener 1883 127.0.0.1\n", "")) as broker:
        tls = tls_context(place / "ca.pem")

        def guard(identifier: str) -> aiomqtt.Client:
            return aiomqtt.Client(
                HOST, broker.port, username=GUARD, password=PASSWORDS[GUARD], identifier=identifier
            )

        def bot(name: str, identifier: str) -> aiomqtt.Client:
            return aiomqtt.Client(
                HOST, port, username=name, password=PASSWORDS[name], identifier=identifier, tls_context=tls
            )

        async with (
            guard("one") as one,
            guard("two") as two,
            bot("alpha", "id-of-alpha") as alpha,
            bot("beta", "id-of-alpha") as beta,
        ):
            for client, topic in (
                (beta, TOPICS.ack("beta")),
                (one, TOPICS.posture("alpha", Mode.LIVE)),
                (two, TOPICS.posture("beta", Mode.LIVE)),
                (alpha, TOPICS.ack("alpha")),
            ):
                await client.publish(topic, b"still here", qos=1)
        with pytest.raises(aiomqtt.MqttError):
            async with aiomqtt.Client(HOST, broker.port):
                pass


def test_the_guide_names_the_files_that_are_made_here() -> None:
    """So that none of them is looked for in vain."""
    names = {"broker.pem", "broker.key", "ca.pem", "acl", "passwords"}
    assert all(f"/etc/mosquitto/perpguard/{name}\n" in GUIDE.read_text() for name in names)
