"""The embedded broker: on loopback, behind a password, back after a crash, and never two of it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import socket
import stat
from pathlib import Path

import aiomqtt
import pytest

from adapters.mqtt import embedded
from adapters.mqtt.embedded import EmbeddedBroker
from adapters.mqtt.link import MqttLink
from adapters.mqtt.settings import BrokerSettings
from guard.errors import BrokerError
from guard.events import AnyEvent, LinkChanged
from perpguard_sdk.codec import decode_signed
from perpguard_sdk.messages import Mode
from perpguard_sdk.topics import Topics
from tests.support.brokers import answers_connect, find_program, free_port
from tests.support.eventually import eventually
from tests.support.mqtt_ends import ALPHA, KEYS, WallClock, first_retained, pause, posture


@pytest.fixture(autouse=True)
def _program() -> None:
    find_program("nats-server")


def settings(folder: Path, **more: object) -> BrokerSettings:
    return BrokerSettings.model_validate({"data_dir": folder / "broker", **more})


def client(broker: EmbeddedBroker, password: str | None = None) -> aiomqtt.Client:
    return aiomqtt.Client(
        broker.host,
        broker.port,
        username=broker.username,
        password=broker.password if password is None else password,
    )


async def retained(broker: EmbeddedBroker, topic: str) -> bytes:
    async with client(broker) as reader:
        return bytes((await first_retained(reader, topic)).payload)


async def test_what_is_retained_port_and_password_survive_a_restart_of_the_daemon(tmp_path: Path) -> None:
    async with EmbeddedBroker(settings(tmp_path)) as first, client(first) as writer:
        await writer.publish("perpguard/kept", b"here", qos=1, retain=True)
    async with EmbeddedBroker(settings(tmp_path)) as second:
        assert await retained(second, "perpguard/kept") == b"here"
        assert (second.port, second.password) == (first.port, first.password)


async def test_a_child_that_dies_is_started_again_on_its_port_with_what_was_retained(tmp_path: Path) -> None:
    async with EmbeddedBroker(settings(tmp_path)) as broker:
        async with client(broker) as writer:
            await writer.publish("perpguard/kept", b"here", qos=1, retain=True)
        assert broker.pid is not None
        os.kill(broker.pid, signal.SIGKILL)
        await eventually(lambda: broker.restarts == 1, within_s=10)
        assert await retained(broker, "perpguard/kept") == b"here"


async def test_a_guard_lives_through_a_crash_of_its_embedded_broker(tmp_path: Path) -> None:
    chosen = settings(tmp_path, claim_quiet_s=0.2)
    async with EmbeddedBroker(chosen) as broker:
        link = MqttLink(
            chosen,
            guard="g1",
            mode=Mode.PAPER,
            bot_keys=KEYS,
            clock=WallClock(),
            host=broker.host,
            port=broker.port,
            username=broker.username,
            password=broker.password,
        )
        events: list[AnyEvent] = []
        running = asyncio.create_task(link.run(events.append))
        try:
            claim = await link.claim(0)
            kept = posture(epoch=claim.epoch, session=link.session, mode=Mode.PAPER)
            await link.publish_posture(kept)
            assert broker.pid is not None
            os.kill(broker.pid, signal.SIGKILL)
            await eventually(lambda: changes(events) == [True, False, True], within_s=15)
            topic = Topics(site="home").posture(ALPHA, Mode.PAPER)
            assert decode_signed(await retained(broker, topic), topic, KEYS[ALPHA]) == kept
            await link.publish_command(pause(dry_run=True))
        finally:
            running.cancel()
            await asyncio.wait([running])


def changes(events: list[AnyEvent]) -> list[bool]:
    """Up and down in turns; that a down is told again with a new reason does not count."""
    ups = [event.up for event in events if isinstance(event, LinkChanged)]
    return [up for up, _ in itertools.groupby(ups)]


async def test_it_stops_with_the_daemon(tmp_path: Path) -> None:
    async with EmbeddedBroker(settings(tmp_path)) as broker:
        pass
    assert broker.pid is None
    assert await answers_connect(broker.host, broker.port) is False


async def test_nobody_gets_in_without_the_password(tmp_path: Path) -> None:
    async with EmbeddedBroker(settings(tmp_path)) as broker:
        for attempt in (client(broker, "wrong"), aiomqtt.Client(broker.host, broker.port)):
            with pytest.raises(aiomqtt.MqttError):
                async with attempt:
                    pass


async def test_it_listens_on_loopback_only(tmp_path: Path) -> None:
    async with EmbeddedBroker(settings(tmp_path)) as broker:
        assert broker.pid is not None
        listening = listening_addresses(broker.pid)
        assert len(listening) == 2, "MQTT and NATS' own"
        assert {address for address, _ in listening} == {"127.0.0.1"}
        assert broker.port in {port for _, port in listening}


async def test_its_secrets_are_for_us_only(tmp_path: Path) -> None:
    async with EmbeddedBroker(settings(tmp_path)) as broker:
        folder = tmp_path / "broker"
        secret = [path for path in folder.iterdir() if path.is_file() and broker.password in path.read_text()]
        assert sorted(path.name for path in secret) == ["nats-server.conf", "password-home"]
        assert {stat.S_IMODE(path.stat().st_mode) for path in secret} == {0o600}
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize("password", ['se"cret\\', "$2a$not-a-hash", "пароль"])
async def test_a_given_password_is_taken_as_it_stands(tmp_path: Path, password: str) -> None:
    (tmp_path / "password").write_text(password + "\n")
    with_file = settings(tmp_path, password_file=tmp_path / "password")
    async with EmbeddedBroker(with_file) as broker, client(broker, password) as writer:
        await writer.publish("perpguard/x", b"", qos=1)


async def test_a_taken_port_is_said_so(tmp_path: Path) -> None:
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", free_port()))
        squatter.listen()
        port = squatter.getsockname()[1]
        with pytest.raises(BrokerError, match=f"{port}.*taken.*broker.port"):
            async with EmbeddedBroker(settings(tmp_path, port=port)):
                pass


async def test_a_folder_that_cannot_be_used_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "broker").write_text("a file where the folder should be")
    with pytest.raises(BrokerError, match="data_dir"):
        async with EmbeddedBroker(settings(tmp_path)):
            pass


async def test_two_daemons_do_not_share_a_folder(tmp_path: Path) -> None:
    async with EmbeddedBroker(settings(tmp_path)) as first:
        with pytest.raises(BrokerError, match="another perpguard"):
            async with EmbeddedBroker(settings(tmp_path)):
                pass
        assert await answers_connect(first.host, first.port)


async def test_a_missing_program_names_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "_PACKAGE", "no-such-distribution")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BrokerError, match=r"pip install 'perpguard\[embedded\]'"):
        async with EmbeddedBroker(settings(tmp_path)):
            pass


async def test_the_broker_of_a_killed_daemon_is_replaced(tmp_path: Path) -> None:
    broker = EmbeddedBroker(settings(tmp_path))
    await broker.__aenter__()
    async with client(broker) as writer:
        await writer.publish("perpguard/kept", b"here", qos=1, retain=True)
    orphan = broker.pid
    assert orphan is not None
    # What kill -9 of the daemon leaves: the child runs on, the lock is free, nobody watches.
    assert broker._keeper is not None
    broker._keeper.cancel()
    broker._unlock()
    async with EmbeddedBroker(settings(tmp_path)) as next_one:
        assert next_one.pid != orphan
        assert next_one.port == broker.port
        assert await retained(next_one, "perpguard/kept") == b"here"
    assert broker._process is not None
    assert await broker._process.wait() is not None


def listening_addresses(pid: int) -> list[tuple[str, int]]:
    """Addresses on which a process listens, from /proc."""
    inodes = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # files of its store come and go
            inodes.add(str(entry.readlink()).removeprefix("socket:[").removesuffix("]"))
    found = []
    for table, width in (("tcp", 4), ("tcp6", 16)):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            columns = line.split()
            if columns[3] == "0A" and columns[9] in inodes:
                address, _, port = columns[1].partition(":")
                text = socket.inet_ntoa(bytes.fromhex(address)[::-1]) if width == 4 else address
                found.append((text, int(port, 16)))
    return found
