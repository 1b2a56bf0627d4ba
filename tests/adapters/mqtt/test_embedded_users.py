"""The embedded broker's users: one for each bot, added, changed and removed while it runs."""

from __future__ import annotations

import asyncio
import contextlib
import json
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import aiomqtt
import pytest

from adapters.mqtt.access import BotAccess
from adapters.mqtt.embedded import EmbeddedBroker
from adapters.mqtt.settings import BrokerSettings
from adapters.mqtt.users import UserStore
from guard.errors import SettingsError
from tests.adapters.mqtt.test_embedded import listening_addresses
from tests.support.brokers import find_program
from tests.support.eventually import eventually

ALPHA, BETA = BotAccess("alpha", "alpha"), BotAccess("beta", "user-of-beta")


@pytest.fixture(autouse=True)
def _program() -> None:
    find_program("nats-server")


def settings(folder: Path, **more: object) -> BrokerSettings:
    return BrokerSettings.model_validate({"data_dir": folder / "broker", **more})


@contextlib.asynccontextmanager
async def connected(broker: EmbeddedBroker, user: str, password: str) -> AsyncIterator[aiomqtt.Client]:
    async with aiomqtt.Client(broker.host, broker.port, username=user, password=password) as client:
        yield client


async def ended(client: aiomqtt.Client) -> None:
    """Return when the broker has thrown the client out."""
    with contextlib.suppress(aiomqtt.MqttError):
        async for _ in client.messages:
            pass


async def test_a_bot_is_let_in_and_thrown_out_while_the_others_stay(tmp_path: Path) -> None:
    chosen = settings(tmp_path)
    store = UserStore.of(chosen)
    async with contextlib.AsyncExitStack() as stack:
        broker = await stack.enter_async_context(EmbeddedBroker(chosen, [ALPHA]))
        stay = [
            await stack.enter_async_context(connected(broker, broker.username, broker.password)),
            await stack.enter_async_context(connected(broker, "alpha", broker.bot_password("alpha"))),
        ]
        with pytest.raises(aiomqtt.MqttError):
            async with connected(broker, BETA.user, store.password(BETA.user)):
                pass

        await broker.refresh_users([ALPHA, BETA])
        old = broker.bot_password(BETA.user)
        beta = await stack.enter_async_context(connected(broker, BETA.user, old))
        new = store.rotate(BETA.user)
        await broker.refresh_users([ALPHA, BETA])
        await asyncio.wait_for(ended(beta), 5.0)
        with pytest.raises(aiomqtt.MqttError):
            async with connected(broker, BETA.user, old):
                pass
        async with connected(broker, BETA.user, new) as again:
            await broker.refresh_users([ALPHA])
            await asyncio.wait_for(ended(again), 5.0)
        with pytest.raises(aiomqtt.MqttError):
            async with connected(broker, BETA.user, new):
                pass
        for client in stay:
            await client.publish("perpguard/v1/home/bot/alpha/state", b"still here", qos=1)
        await stay[0].subscribe("perpguard/v1/home/bot/alpha/ack", qos=1)
        await stay[1].publish("perpguard/v1/home/bot/alpha/ack", b"and heard", qos=1)
        message = await asyncio.wait_for(anext(aiter(stay[0].messages)), 5.0)
        assert message.payload == b"and heard"


async def test_what_has_not_changed_is_not_told_to_the_broker(tmp_path: Path) -> None:
    async with EmbeddedBroker(settings(tmp_path), [ALPHA]) as broker:
        written = (tmp_path / "broker/nats-server.conf").stat().st_mtime_ns
        await broker.refresh_users([ALPHA])
        assert (tmp_path / "broker/nats-server.conf").stat().st_mtime_ns == written


async def test_users_that_were_changed_while_the_broker_was_down_are_there_when_it_is_back(
    tmp_path: Path,
) -> None:
    async with EmbeddedBroker(settings(tmp_path), [ALPHA]) as broker:
        assert broker._process is not None
        broker._process.kill()
        await eventually(lambda: broker.pid is None, what="the end of the child")
        await broker.refresh_users([BETA])
        await eventually(lambda: broker.restarts == 1, what="a new child")
        async with connected(broker, BETA.user, broker.bot_password(BETA.user)):
            pass


def test_a_password_is_made_once_for_us_only_and_differs_for_each(tmp_path: Path) -> None:
    store = UserStore.of(settings(tmp_path))
    first = store.password("alpha")
    assert len(first) >= 40
    assert store.password("alpha") == first
    assert store.password("beta") != first
    assert stat.S_IMODE(store.path("alpha").stat().st_mode) == 0o600
    assert stat.S_IMODE(store.folder.stat().st_mode) == 0o700
    assert store.rotate("alpha") != first
    assert (store.remove("alpha"), store.remove("alpha")) == (True, False)
    assert [path.name for path in store.folder.iterdir()] == ["beta"]


@pytest.mark.parametrize("name", ["*", ">", "a b", "a.b", "a/b", "", "a\nuser root", "$SYS", "x" * 65, "é"])
def test_a_name_that_means_more_than_itself_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match="letters, digits"):
        BotAccess(name, "user")
    with pytest.raises(SettingsError, match="letters, digits"):
        BotAccess("bot", name)


@pytest.mark.parametrize("user", ["perpguard", "alpha"])
async def test_nobody_speaks_natss_own_protocol(user: str, tmp_path: Path) -> None:
    """Its port is open on loopback; there, rights to topics would be rights to subjects of any form."""
    async with EmbeddedBroker(settings(tmp_path), [ALPHA]) as broker:
        assert broker.pid is not None
        password = broker.password if user == "perpguard" else broker.bot_password(user)
        (port,) = {port for _, port in listening_addresses(broker.pid)} - {broker.port}
        reader, writer = await asyncio.open_connection(broker.host, port)
        login = json.dumps({"user": user, "pass": password, "verbose": True})
        writer.write(f"CONNECT {login}\r\nPING\r\n".encode())
        answer = await asyncio.wait_for(reader.read(), 5.0)
        writer.close()
        assert answer.startswith(b"INFO ")
        assert b"-ERR 'Authorization Violation'" in answer
        assert b"PONG" not in answer
