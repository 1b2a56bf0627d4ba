"""A connection that has said what it had to say leaves the loop alone."""

from __future__ import annotations

import asyncio

from adapters.mqtt.connection import Connection, Endpoint
from tests.support.brokers import Broker

TURNS = 50


class Counting(Connection):
    """Counts how often the socket is found writable."""

    writes = 0

    def _write(self, client: object) -> None:
        self.writes += 1
        super()._write(client)  # type: ignore[arg-type]  # paho's client


async def test_nothing_is_written_when_nothing_is_said(mosquitto_broker: Broker) -> None:
    connection = Counting(
        Endpoint(
            host=mosquitto_broker.host,
            port=mosquitto_broker.port,
            identifier="idle",
            mqtt5=True,
            keepalive_s=60,
        ),
        None,
    )
    await connection.open()
    try:
        for qos in (0, 1):
            await connection.send("perpguard/v1/home/idle", b"said", qos=qos, retain=False)
        for _ in range(TURNS):
            await asyncio.sleep(0)
        said = connection.writes
        for _ in range(TURNS):
            await asyncio.sleep(0)
        assert connection.writes == said
    finally:
        await connection.close()
