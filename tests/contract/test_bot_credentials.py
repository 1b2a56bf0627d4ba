"""The commands for bots against brokers that run: what they say holds at the broker at once."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from pathlib import Path

import aiomqtt
import pytest

from adapters.mqtt import dynsec
from adapters.mqtt.access import BotAccess, retained_topics
from adapters.mqtt.refusals import Refusal
from guard.configuration import load
from guard.credentials import Administrator, NewBot, add_bot, revoke_bot, rotate_bot
from guard.errors import BrokerError
from perpguard_sdk.client_file import read_client_settings
from perpguard_sdk.client_settings import BotClientSettings
from perpguard_sdk.messages import Mode
from perpguard_sdk.topics import Topics
from tests.support.eventually import eventually
from tests.support.guarded_brokers import ADMIN, GUARD, Guarded, admin, embedded, with_files, with_plugin
from tests.support.mqtt_ends import ALPHA, BETA, KEYS, Site, posture

TOPICS = Topics(site="home")
NEW = NewBot(name="gamma", account="main", symbols=("BTC/USDT:USDT",))
VENUES = '[[venues]]\nid = "binanceusdm"\nsymbols = ["BTC/USDT:USDT"]\n'


def lay_out(folder: Path, guarded: Guarded) -> Path:
    """Settings of a guard that uses this broker, in a folder of its own."""
    place = folder / "guard"
    (place / "secrets").mkdir(parents=True, mode=0o700)
    for name, secret in (("guard", guarded.passwords[GUARD]), ("admin", ADMIN)):
        (place / f"secrets/{name}.password").write_text(secret)
    lines = [f'kind = "external"\nport = {guarded.port}', f'username = "{GUARD}"']
    path = place / "settings.toml"
    path.write_text("\n".join(["[broker]", *lines, 'password_file = "secrets/guard.password"', VENUES]))
    return path


def reads(path: Path, name: str = "gamma") -> BotClientSettings:
    snippet = path.parent / f"secrets/{name}.bot.toml"
    return read_client_settings(snippet, verbs={}, state_path=path.parent / "state")


def client(settings: BotClientSettings, identifier: str) -> aiomqtt.Client:
    password, _ = settings.login()
    version = aiomqtt.ProtocolVersion.V5 if settings.protocol == "5" else aiomqtt.ProtocolVersion.V311
    return aiomqtt.Client(
        settings.host,
        settings.port,
        username=settings.username,
        password=password,
        identifier=identifier,
        protocol=version,
    )


async def thrown_out(bot: aiomqtt.Client) -> None:
    async def until_the_end() -> None:
        with contextlib.suppress(aiomqtt.MqttError):
            async for _ in bot.messages:
                pass

    await asyncio.wait_for(until_the_end(), 5.0)


async def retained_of(guarded: Guarded, bot: str) -> set[str]:
    found: set[str] = set()
    async with guarded.client(GUARD) as guard:
        await guard.subscribe([(topic, 1) for topic in retained_topics(TOPICS, bot)])
        await guard.publish(TOPICS.ack("mark"), b"mark", qos=1)
        await guard.subscribe(TOPICS.guard_state("mark"), qos=1)
        await guard.publish(TOPICS.guard_state("mark"), b"mark", qos=1)
        async for message in guard.messages:
            if message.payload == b"mark":
                return found
            found.add(str(message.topic))
    return found


async def test_the_plugin_is_told_of_a_bot_that_comes_changes_and_goes(tmp_path: Path) -> None:
    async with with_plugin(tmp_path) as guarded:
        path = lay_out(tmp_path, guarded)
        who = Administrator(ADMIN, path.parent / "secrets/admin.password")
        outcome = await add_bot(path, NEW, who)
        assert not any("--apply" in each for each in outcome.to_do)
        old = reads(path)
        async with client(old, "perpguard-home-bot-gamma") as bot:
            await bot.subscribe(TOPICS.posture("gamma", Mode.LIVE), qos=1)
            await bot.publish(TOPICS.birth("gamma"), b"born", qos=1, retain=True)
            assert await retained_of(guarded, "gamma") == {TOPICS.birth("gamma")}
            password, _ = old.login()
            await rotate_bot(path, "gamma", who)
            await thrown_out(bot)
        new = reads(path)
        assert (new.key == old.key, new.login()[0] == password) == (False, False)
        async with client(new, "perpguard-home-bot-gamma") as bot:
            outcome = await revoke_bot(path, "gamma", who)
            await thrown_out(bot)
        assert any("1 topics" in line for line in outcome.done)
        assert await retained_of(guarded, "gamma") == set()
        assert load(path).bots == ()


async def test_what_the_plugin_refuses_leaves_nothing_behind(tmp_path: Path) -> None:
    async with with_plugin(tmp_path) as guarded:
        path = lay_out(tmp_path, guarded)
        before = sorted(path.parent.rglob("*"))
        (path.parent / "secrets/admin.password").write_text("wrong")
        with pytest.raises(BrokerError, match="refuses user 'admin'"):
            await add_bot(path, NEW, Administrator(ADMIN, path.parent / "secrets/admin.password"))
        guards = Administrator(GUARD, path.parent / "secrets/guard.password")
        with pytest.raises(BrokerError, match=r"role admin|refused"):
            await add_bot(path, NEW, guards)
        left = [each for each in sorted(path.parent.rglob("*")) if "mosquitto" not in each.parts]
        assert left == before
        assert load(path).bots == ()


async def test_doing_it_again_is_no_failure(tmp_path: Path) -> None:
    async with with_plugin(tmp_path) as guarded:
        access = BotAccess("gamma", "gamma")
        broker = admin(guarded.broker)  # type: ignore[arg-type]
        for password in ("first", "second"):
            await dynsec.apply(broker, dynsec.admit(TOPICS, access, password))
        for _ in range(2):
            await dynsec.apply(broker, dynsec.expel(TOPICS, access))


async def test_mosquitto_takes_the_files_with_a_hangup(tmp_path: Path) -> None:
    """The bot that is there already stays connected while another comes and goes."""
    async with with_files(tmp_path) as guarded, guarded.client("alpha") as alpha:
        path = lay_out(tmp_path, guarded)
        # The operator has pointed mosquitto at the guard's files.
        (path.parent / "secrets/mosquitto").symlink_to(tmp_path / "access")
        bots = "".join(
            f'[[bots]]\nname = "{name}"\nkey_env = "K"\nvenue = "binanceusdm"\naccount = "main"\n'
            for name in ("alpha", "beta")
        )
        path.write_text(path.read_text() + bots)
        await add_bot(path, NEW)
        guarded.broker.hang_up()  # type: ignore[union-attr]
        settings = reads(path)

        async def let_in() -> bool:
            try:
                async with client(settings, "gamma"):
                    return True
            except aiomqtt.MqttError:
                return False

        await eventually(let_in, what="gamma let in")
        password, _ = settings.login()
        await revoke_bot(path, "gamma")
        guarded.broker.hang_up()  # type: ignore[union-attr]

        async def kept_out() -> bool:
            return not await let_in()

        settings = dataclasses.replace(settings, password=password, password_file=None)
        await eventually(kept_out, what="gamma kept out")
        await alpha.publish(TOPICS.ack("alpha"), b"still here", qos=1)


async def test_an_embedded_broker_that_runs_lets_a_new_bot_in_and_clears_what_an_old_one_left(
    tmp_path: Path,
) -> None:
    async with embedded(tmp_path, ()) as guarded:
        path = tmp_path / "settings.toml"
        path.write_text(f'[broker]\ndata_dir = "broker"\nusername = "{GUARD}"\n{VENUES}')
        await add_bot(path, NEW)
        await guarded.broker.refresh_users([bot.access for bot in load(path).bots])  # type: ignore[union-attr]
        settings = reads(path)
        assert settings.port == guarded.port
        async with client(settings, "gamma") as bot:
            await bot.publish(TOPICS.birth("gamma"), b"born", qos=1, retain=True)
        outcome = await revoke_bot(path, "gamma")
        assert any("1 topics" in line for line in outcome.done)
        assert await retained_of(guarded, "gamma") == set()


async def test_a_guard_takes_away_what_is_retained_of_a_bot_that_it_forgets(tmp_path: Path) -> None:
    """It goes on with the others, and finds nothing to complain of in what it took away itself."""
    async with with_files(tmp_path) as guarded:
        site = Site(guarded.broker, "5", settings={"username": GUARD})  # type: ignore[arg-type]
        async with site.guard(password=guarded.passwords[GUARD]) as guard:
            for bot in (ALPHA, BETA):
                await guard.link.publish_posture(posture(bot, session=guard.link.session))
            assert len(await retained_of(guarded, ALPHA)) == 1
            guard.link.know_bots({BETA: KEYS[BETA]})
            kept: set[str] = {"not asked yet"}

            async def cleared() -> bool:
                kept.clear()
                kept.update(await retained_of(guarded, ALPHA))
                return not kept

            await eventually(cleared, within_s=5.0, what="nothing retained of alpha")
            assert len(await retained_of(guarded, BETA)) == 1
            await guard.link.publish_posture(posture(BETA, session=guard.link.session, version=2))
            assert Refusal.CLEARED not in guard.link.refused
