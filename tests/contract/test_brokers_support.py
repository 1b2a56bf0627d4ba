"""The brokers that other tests lean on: they start, keep what is retained through SIGKILL, and stop."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import aiomqtt
import pytest

from tests.support.brokers import Broker, answers_connect, mosquitto, nats
from tests.support.mqtt_ends import first_retained


@pytest.fixture(params=["mosquitto", "nats"])
async def broker(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Broker]:
    async with mosquitto(tmp_path) if request.param == "mosquitto" else nats(tmp_path) as running:
        yield running


async def test_what_is_retained_survives_a_kill(broker: Broker) -> None:
    async with aiomqtt.Client(broker.host, broker.port) as client:
        await client.publish("perpguard/kept", b"still here", qos=1, retain=True)
    await broker.kill()
    assert await answers_connect(broker.host, broker.port) is False
    await broker.restart()
    async with aiomqtt.Client(broker.host, broker.port) as client:
        message = await first_retained(client, "perpguard/#")
    assert (message.payload, message.retain) == (b"still here", True)


async def test_a_suspended_broker_answers_nobody(broker: Broker) -> None:
    broker.suspend()
    assert await answers_connect(broker.host, broker.port, within_s=0.2) is False
    broker.resume()
    assert await answers_connect(broker.host, broker.port) is True


async def test_a_stopped_test_leaves_no_broker(tmp_path: Path) -> None:
    async with contextlib.AsyncExitStack() as stack:
        running = await stack.enter_async_context(mosquitto(tmp_path))
    assert await answers_connect(running.host, running.port) is False


async def test_mosquitto_asks_for_the_password(tmp_path: Path) -> None:
    async with mosquitto(tmp_path, users={"guard": "right"}) as running:
        with pytest.raises(aiomqtt.MqttError):
            async with aiomqtt.Client(running.host, running.port, username="guard", password="wrong"):
                pass
        async with aiomqtt.Client(running.host, running.port, username="guard", password=running.password):
            pass
