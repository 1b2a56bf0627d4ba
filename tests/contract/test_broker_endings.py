"""A connection ends when it is told to, also if the broker's answer comes in the very same moment."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiomqtt
import pytest

from adapters.mqtt.connection import Connection, Endpoint
from guard.errors import BrokerError
from tests.support.mqtt_ends import Site

QUICK_S = 2.0
TOPIC = "perpguard/v1/home/test"


class Interrupted(Connection):
    """Cancels a task in the same turn of the loop in which the broker's answer comes."""

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(endpoint, aiomqtt.Will(TOPIC, b"gone"))
        self.victim: asyncio.Task[None] | None = None

    def _strike(self) -> None:
        if self.victim is not None:
            self.victim.cancel()

    def _on_subscribe(self, *arguments: Any, **named: Any) -> None:
        super()._on_subscribe(*arguments, **named)
        self._strike()

    def _on_publish(self, *arguments: Any, **named: Any) -> None:
        super()._on_publish(*arguments, **named)
        self._strike()

    def _on_disconnect(self, *arguments: Any, **named: Any) -> None:
        super()._on_disconnect(*arguments, **named)
        self._strike()


@pytest.fixture
async def connection(site: Site) -> AsyncIterator[Interrupted]:
    broker = site.broker
    opened = Interrupted(Endpoint(broker.host, broker.port, "interrupted", mqtt5=site.protocol == "5"))
    await opened.open()
    yield opened
    opened.victim = None
    await opened.close()


async def subscribe(connection: Connection) -> None:
    await connection.subscribe_all([(TOPIC, 1)])


async def publish(connection: Connection) -> None:
    await connection.send(TOPIC, b"", qos=1, retain=False)


async def close(connection: Connection) -> None:
    await connection.close()


@pytest.mark.parametrize("work", [subscribe, publish, close])
async def test_a_cancellation_that_comes_with_the_answer_is_not_lost(
    connection: Interrupted, work: Callable[[Connection], Awaitable[None]]
) -> None:
    went_on = False

    async def work_and_go_on() -> None:
        nonlocal went_on
        await work(connection)
        went_on = True

    connection.victim = asyncio.create_task(work_and_go_on())
    await asyncio.wait([connection.victim], timeout=QUICK_S)
    assert connection.victim.cancelled()
    assert not went_on


async def test_the_answer_to_a_subscription_that_was_cancelled_is_no_error(
    connection: Interrupted, caplog: pytest.LogCaptureFixture
) -> None:
    subscribing = asyncio.create_task(subscribe(connection))
    await asyncio.sleep(0)  # it waits for the answer now
    subscribing.cancel()
    await asyncio.wait([subscribing], timeout=QUICK_S)
    await publish(connection)  # answered after the subscription
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


async def test_a_connection_that_is_dropped_while_it_sends_leaves_nothing_to_the_loop(
    connection: Interrupted,
) -> None:
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    sending = asyncio.create_task(publish(connection))
    await asyncio.sleep(0)  # paho has it, the socket has not
    connection.break_off("as if the broker hung")
    await connection.close()
    with pytest.raises(BrokerError, match="lost while sending"):
        await sending
    assert complaints == []


async def test_a_hung_broker_does_not_hold_up_a_link_that_is_told_to_end(site: Site) -> None:
    async with site.guard() as guard:
        site.broker.suspend()
        began_at = time.monotonic()
        guard.task.cancel()
        await asyncio.wait([guard.task], timeout=10.0)
        took_s = time.monotonic() - began_at
        site.broker.resume()
    assert guard.task.cancelled()
    assert took_s < QUICK_S
