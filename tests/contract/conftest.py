"""The brokers and MQTT versions over which the contract is tried."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.brokers import mosquitto, nats
from tests.support.mqtt_ends import (
    Site,
)


@pytest.fixture(params=["mosquitto 5", "mosquitto 3.1.1", "nats-server 3.1.1"])
async def site(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Site]:
    program, protocol = request.param.split()
    async with mosquitto(tmp_path) if program == "mosquitto" else nats(tmp_path) as broker:
        yield Site(broker, protocol)
