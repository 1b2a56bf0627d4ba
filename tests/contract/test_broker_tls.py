"""TLS and mutual TLS for guard and bot over a real mosquitto: who is let in, and what is said to who is not."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiomqtt
import pytest

from adapters.mqtt.mosquitto_files import MosquittoFiles
from adapters.mqtt.settings import BrokerSettings
from adapters.mqtt.tls import tls_context
from guard.errors import SettingsError
from perpguard_sdk.client import BotClient, BotClientSettings
from perpguard_sdk.messages import Mode
from perpguard_sdk.topics import Topics
from tests.sdk.test_client import Trader
from tests.support.brokers import Broker, mosquitto
from tests.support.certificates import Authority, Pair, authority
from tests.support.eventually import eventually
from tests.support.guarded_brokers import BOTS, GUARD
from tests.support.mqtt_ends import KEYS, Site, posture

TOPICS = Topics(site="home")
ALPHA = BOTS[0].bot


@dataclass(frozen=True, slots=True)
class Files:
    """What one end is given: an authority to trust, and its own certificate if it has one."""

    ca: Path
    pair: Pair | None = None

    def named(self) -> dict[str, Path]:
        own = {} if self.pair is None else {"tls_cert": self.pair.cert, "tls_key": self.pair.key}
        return {"tls_ca": self.ca, **own}


@dataclass(frozen=True, slots=True)
class World:
    """Two authorities; the broker's is ``ours``."""

    folder: Path
    ours: Authority
    theirs: Authority

    @contextlib.asynccontextmanager
    async def broker(self, pair: Pair, extra: str = "") -> AsyncIterator[Broker]:
        lines = f"cafile {self.ours.ca}\ncertfile {pair.cert}\nkeyfile {pair.key}\nrequire_certificate true\n"
        async with mosquitto(self.folder, extra=lines + extra, tls=True) as broker:
            yield broker


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, authority(tmp_path / "ours"), authority(tmp_path / "theirs", "another authority"))


def bot(broker: Broker, folder: Path, *, host: str = "127.0.0.1", **more: object) -> BotClient:
    settings = BotClientSettings(
        bot=ALPHA,
        key=KEYS[ALPHA],  # type: ignore[index]
        site="home",
        host=host,
        port=broker.port,
        mode=Mode.LIVE,
        venue="binanceusdm",
        account="main",
        symbols=("BTC/USDT:USDT",),
        verbs={},
        state_path=folder / "state.json",
        **more,  # type: ignore[arg-type]
    )
    return BotClient(settings, Trader())


@contextlib.asynccontextmanager
async def running(client: BotClient) -> AsyncIterator[BotClient]:
    task = asyncio.create_task(client.run())
    try:
        yield client
    finally:
        task.cancel()
        await asyncio.wait([task])


async def refusals(broker: Broker, folder: Path, files: Files, host: str = "127.0.0.1") -> tuple[str, str]:
    """What guard and bot say of a broker that they do not come into."""
    site = Site(broker, "5", settings={**files.named(), "host": host})
    client = bot(broker, folder, host=host, **files.named())
    async with site.guard(wait=False) as guard, running(client):
        down = await guard.expect_link(up=False)
        await eventually(lambda: client.state.problem, what="what the bot says")
        return down.detail, client.state.problem


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("wrong authority", "another authority signed the broker's certificate"),
        ("expired", "the broker's certificate has expired"),
        ("too early", "the broker's certificate is not valid yet"),
        ("wrong name", "the broker's certificate is not for this name"),
        ("no certificate of ours", "the broker wants a certificate of ours: set tls_cert and tls_key"),
        ("ours by another authority", "the broker does not know who signed our certificate"),
        ("ours expired", "our certificate has expired: renew tls_cert"),
    ],
)
async def test_who_is_refused_is_told_what_to_do(case: str, words: str, world: World) -> None:
    right, own = world.ours.issue("broker"), world.ours.issue("client")
    pair, files = right, Files(world.ours.ca, own)
    match case:
        case "wrong authority":
            files = Files(world.theirs.ca, own)
        case "expired":
            pair = world.ours.issue("old", valid_from_days=-5, valid_to_days=-1)
        case "too early":
            pair = world.ours.issue("new", valid_from_days=1)
        case "wrong name":
            pair = world.ours.issue("other", hosts=("broker.example",))
        case "no certificate of ours":
            files = Files(world.ours.ca)
        case "ours by another authority":
            files = Files(world.ours.ca, world.theirs.issue("client"))
        case "ours expired":
            files = Files(world.ours.ca, world.ours.issue("late", valid_from_days=-5, valid_to_days=-1))
    async with world.broker(pair) as broker:
        for said in await refusals(broker, world.folder, files):
            assert words in said


async def test_a_name_is_checked_against_the_certificate(world: World) -> None:
    pair, own = world.ours.issue("broker", hosts=("localhost",)), world.ours.issue("client")
    async with world.broker(pair) as broker:
        site = Site(broker, "5", settings={**Files(world.ours.ca, own).named(), "host": "localhost"})
        async with site.guard() as guard:
            await guard.link.publish_posture(posture())


async def test_a_listener_without_tls_is_told(world: World) -> None:
    async with mosquitto(world.folder) as broker:
        for said in await refusals(broker, world.folder, Files(world.ours.ca)):
            assert "is TLS spoken there at all?" in said


async def test_a_certificates_name_is_the_user_whose_rights_hold(world: World) -> None:
    """With ``use_identity_as_username`` nobody needs a password, and the ACL is the same."""
    files = MosquittoFiles(world.folder / "access")
    files.write(TOPICS, GUARD, BOTS, {})
    extra = f"use_identity_as_username true\nallow_anonymous false\nacl_file {files.acl_path}\n"
    mine, guards = world.ours.issue(ALPHA), world.ours.issue(GUARD)
    async with world.broker(world.ours.issue("broker"), extra) as broker:
        site = Site(broker, "5", settings=Files(world.ours.ca, guards).named())  # type: ignore[arg-type]
        client = bot(broker, world.folder, **Files(world.ours.ca, mine).named())  # type: ignore[arg-type]
        async with site.guard() as guard, running(client):
            await eventually(lambda: client.state.connected, what="the bot")
            await eventually(lambda: guard.link.refused == {} and guard.events[1:], what="the bot's birth")
            named = Files(world.ours.ca, mine).named()
            tls = tls_context(BrokerSettings.model_validate({"kind": "external", **named}))
            async with aiomqtt.Client("127.0.0.1", broker.port, tls_context=tls, identifier="spy") as spy:
                await spy.subscribe([(TOPICS.posture(each, Mode.LIVE), 1) for each in (ALPHA, "beta")])
                for name in ("beta", ALPHA):
                    await guard.link.publish_posture(posture(name))  # type: ignore[arg-type]
                message = await asyncio.wait_for(anext(aiter(spy.messages)), 5.0)
                assert str(message.topic) == TOPICS.posture(ALPHA, Mode.LIVE)


async def test_new_certificates_are_taken_up_at_the_next_connection(world: World) -> None:
    """Everything is issued anew by another authority: broker, guard and bot go on without a restart."""
    used = world.folder / "used"
    used.mkdir()

    def install(by: Authority) -> None:
        shutil.copy(by.ca, used / "ca.pem")
        for name in ("broker", GUARD, ALPHA):
            pair = by.issue(name)
            shutil.copy(pair.cert, used / f"{name}.pem")
            shutil.copy(pair.key, used / f"{name}.key")

    def files(name: str) -> Files:
        return Files(used / "ca.pem", Pair(used / f"{name}.pem", used / f"{name}.key"))

    install(world.ours)
    lines = f"cafile {used}/ca.pem\ncertfile {used}/broker.pem\nkeyfile {used}/broker.key\n"
    async with mosquitto(world.folder, extra=lines + "require_certificate true", tls=True) as broker:
        site = Site(broker, "5", settings=files(GUARD).named())  # type: ignore[arg-type]
        client = bot(broker, world.folder, **files(ALPHA).named())  # type: ignore[arg-type]
        async with site.guard() as guard, running(client):
            await eventually(lambda: client.state.connected, what="the bot")
            install(world.theirs)
            await broker.restart()
            await guard.expect_link(up=True)
            await eventually(lambda: client.state.connected, what="the bot with its new certificate")
            await guard.link.publish_posture(posture())


async def test_a_new_password_is_taken_up_at_the_next_connection(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("old")
    async with mosquitto(tmp_path, users={"guard": "old"}) as broker:
        site = Site(broker, "5", settings={"username": "guard", "password_file": path})
        client = bot(broker, tmp_path, username="guard", password_file=path)
        async with site.guard() as guard, running(client):
            await eventually(lambda: client.state.connected, what="the bot")
            await broker.kill()
            MosquittoFiles(tmp_path).write(TOPICS, "guard", (), {"guard": "new"})
            path.unlink()
            await broker.start()
            gone = await guard.expect_link(up=False)
            path.write_text("new\n")
            await guard.expect_link(up=True)
            await eventually(lambda: client.state.connected, what="the bot with its new password")
            assert "broker.password_file" in gone.detail or "lost" in gone.detail


def test_a_key_with_a_passphrase_needs_it(tmp_path: Path) -> None:
    ours = authority(tmp_path / "ours")
    pair = ours.issue("guard", passphrase="open sesame")
    (tmp_path / "passphrase").write_text("open sesame\n")
    base = {"kind": "external", **Files(ours.ca, pair).named()}
    assert tls_context(
        BrokerSettings.model_validate({**base, "tls_key_passphrase_file": tmp_path / "passphrase"})
    )
    (tmp_path / "passphrase").write_text("open barley\n")
    wrong = BrokerSettings.model_validate({**base, "tls_key_passphrase_file": tmp_path / "passphrase"})
    for settings in (BrokerSettings.model_validate(base), wrong):
        with pytest.raises(SettingsError, match="passphrase of the key is missing or wrong") as caught:
            tls_context(settings)
        assert "barley" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("tls_ca", "no certificate", "PEM file"),
        ("tls_ca", None, "let this program's user read it"),
        ("tls_cert", "no certificate", "PEM file"),
        ("tls_key", "no key", "PEM file"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(name: str, text: str | None, words: str, tmp_path: Path) -> None:
    ours = authority(tmp_path / "ours")
    named = Files(ours.ca, ours.issue("guard")).named()
    if text is None:
        named[name].unlink()
    else:
        named[name].write_text(text)
    with pytest.raises(SettingsError, match=words) as caught:
        tls_context(BrokerSettings.model_validate({"kind": "external", **named}))
    assert str(named[name]) in str(caught.value)


def test_a_key_of_another_certificate_is_told(tmp_path: Path) -> None:
    ours = authority(tmp_path / "ours")
    one, two = ours.issue("one"), ours.issue("two")
    files = Files(ours.ca, Pair(one.cert, two.key))
    with pytest.raises(SettingsError, match="not this certificate's"):
        tls_context(BrokerSettings.model_validate({"kind": "external", **files.named()}))
