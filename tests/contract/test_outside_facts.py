"""Facts from outside over real brokers: told from the command line, heard by the guard, closed to bots."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from pathlib import Path

import aiomqtt
import pytest
from typer.testing import CliRunner, Result

from adapters.mqtt.access import Access, BotAccess, TellerAccess
from adapters.mqtt.embedded import EmbeddedBroker
from adapters.mqtt.mosquitto_files import MosquittoFiles
from adapters.mqtt.refusals import Refusal
from adapters.mqtt.settings import BrokerSettings
from guard.cli import cli
from guard.events import OutsideFactSeen
from perpguard_sdk.codec import encode_signed
from perpguard_sdk.messages import Mode, OutsideFact
from perpguard_sdk.topics import Topics
from tests.support.brokers import mosquitto
from tests.support.eventually import eventually
from tests.support.guarded_brokers import BOTS, GUARD, PASSWORDS, SITE, Guarded
from tests.support.mqtt_ends import Site

KEY = b"the key of facts from outside"
TELLER = TellerAccess("teller")
TOPICS = Topics(site=SITE)


def a_fact(name: str = "etf_net_flow_usd", value: float | None = 5.0) -> OutsideFact:
    now_ms = time.time_ns() // 1_000_000
    return OutsideFact(
        name=name, value=value, unit="usd", source="test", ts=now_ms, expires_at=now_ms + 60_000
    )


def signed(fact: OutsideFact, key: bytes = KEY) -> bytes:
    return encode_signed(fact, TOPICS.outside(fact.name), key)


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "outside.key"
    path.write_bytes(KEY + b"\n")
    return path


async def test_a_guard_hears_what_is_retained_and_what_comes(site: Site, key_file: Path) -> None:
    first, second = a_fact(), a_fact("stablecoins_on_exchanges_usd", -2.0)
    async with site.client() as client:
        await client.publish(TOPICS.outside(first.name), signed(first), qos=1, retain=True)
        async with site.guard(outside_key_file=key_file) as guard:
            heard = await guard.expect(OutsideFactSeen)
            assert (heard.name, heard.value) == (first.name, 5.0)
            await client.publish(TOPICS.outside(second.name), signed(second), qos=1, retain=True)
            assert (await guard.expect(OutsideFactSeen, 2)).value == -2.0
            await client.publish(TOPICS.outside("x"), signed(a_fact("x"), b"some other key, long"), qos=1)
            await guard.expect_refused("wrong_signature")
            assert guard.link.refused[Refusal.WRONG_SIGNATURE] == 1


async def test_a_guard_without_a_key_hears_none(site: Site) -> None:
    fact = a_fact()
    async with site.client() as client, site.guard() as guard:
        await client.publish(TOPICS.outside(fact.name), signed(fact), qos=1, retain=True)
        await client.publish(TOPICS.birth("nobody"), b"rubbish", qos=1)
        await guard.expect_refused("unknown_bot")
        assert guard.all(OutsideFactSeen) == []
        assert sum(guard.link.refused.values()) == 1


def perpguard(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["outside", *arguments, "--settings", str(folder / "settings.toml")])


async def test_facts_are_told_listed_and_taken_back_from_the_command_line(
    tmp_path: Path, key_file: Path
) -> None:
    async with mosquitto(tmp_path) as broker:
        (tmp_path / "settings.toml").write_text(
            f'[broker]\nkind = "external"\nhost = "{broker.host}"\nport = {broker.port}\n'
            f'outside_key_file = "{key_file}"\n[[venues]]\nid = "bybit"\nsymbols = ["BTC/USDT:USDT"]\n'
        )

        async def run(*arguments: str) -> Result:
            return await asyncio.to_thread(perpguard, tmp_path, *arguments)

        site = Site(broker, "5")
        async with site.guard(outside_key_file=key_file) as guard:
            told = await run(
                "set", "etf_flow", "-1.5e9", "--unit", "usd", "--source", "issuers", "--for", "2d", "--json"
            )
            assert told.exit_code == 0, told.output
            assert json.loads(told.stdout)["fact"]["value"] == -1.5e9
            heard = await guard.expect(OutsideFactSeen)
            assert (heard.name, heard.value, heard.unit, heard.source) == (
                "etf_flow",
                -1.5e9,
                "usd",
                "issuers",
            )
            assert heard.expires_at - (heard.exchange_at or 0) == 2 * 86_400 * 10**9

            words = await run("list")
            assert words.exit_code == 0
            assert words.stdout.startswith("etf_flow  -1.5e+09 usd  for 48.0 h more  (issuers)")

            cleared = await run("clear", "etf_flow")
            assert cleared.stdout == "etf_flow is taken back\n"
            assert (await guard.expect(OutsideFactSeen, 2)).value is None

        async with site.client() as stranger:
            await stranger.publish(TOPICS.outside("forged"), b"{}", qos=1, retain=True)
        listed = await run("list", "--json")
        assert listed.exit_code == 1, listed.output
        assert {line["name"]: line["state"] for line in json.loads(listed.stdout)} == {
            "etf_flow": "taken back",
            "forged": "refused",
        }


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("set", "Flow", "1", "--unit", "usd", "--source", "s"), "small letters"),
        (("set", "flow", "nan", "--unit", "usd", "--source", "s"), "not within"),
        (("set", "flow", "much", "--unit", "usd", "--source", "s"), "is no number"),
        (("set", "flow", "1", "--unit", "usd", "--source", "s", "--for", "8d"), "more than 7 days"),
        (("set", "flow", "1", "--unit", "usd", "--source", "s", "--for", "soon"), "write 90m"),
        (("set", "flow", "1", "--unit", "usd", "--source", "s"), "no key signs facts from outside"),
        (("list",), "no key signs facts from outside"),
    ],
)
def test_what_cannot_be_told_is_said_before_anything_connects(
    arguments: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    (tmp_path / "settings.toml").write_text(
        '[[venues]]\nid = "bybit"\nsymbols = ["BTC/USDT:USDT"]\n[broker]\nkind = "external"\nport = 1\n'
    )
    result = perpguard(tmp_path, *arguments)
    assert result.exit_code == 2
    assert said in result.output


async def arriving(guarded: Guarded, user: str, topics: list[str]) -> list[str]:
    """What arrives at the guard's user of what a user publishes, a connection each; the last one is allowed."""
    found: list[str] = []
    async with guarded.client(GUARD) as guard:
        await guard.subscribe([(topic, 1) for topic in topics])
        for number, topic in enumerate(topics):
            async with guarded.client(user, identifier=f"{user}-{number}") as client:
                # Some brokers close the connection of who may not, others say nothing.
                with contextlib.suppress(aiomqtt.MqttError):
                    await client.publish(topic, b"told", qos=1)
        async for message in guard.messages:
            found.append(message.topic.value)
            if found[-1] == topics[-1]:
                break
    return found


async def check_rights(guarded: Guarded) -> None:
    fact, ack = TOPICS.outside("etf_flow"), TOPICS.ack("alpha")
    assert await arriving(guarded, "alpha", [fact, ack]) == [ack], "a bot tells no facts"
    forbidden = [ack, TOPICS.posture("alpha", Mode.LIVE), TOPICS.birth("teller"), TOPICS.guard_state("g")]
    assert await arriving(guarded, "teller", [*forbidden, fact]) == [fact], (
        "who tells facts does nothing else"
    )


async def test_with_mosquittos_files_only_guard_and_teller_tell_facts(tmp_path: Path) -> None:
    passwords = {**PASSWORDS, "teller": "the teller's password"}
    files = MosquittoFiles(tmp_path / "access")
    files.write(TOPICS, GUARD, [*BOTS, TELLER], passwords)
    lines = f"allow_anonymous false\npassword_file {files.password_path}\nacl_file {files.acl_path}\n"
    async with mosquitto(tmp_path, extra=lines) as broker:
        await check_rights(Guarded(broker.host, broker.port, True, passwords, broker))


async def test_the_embedded_broker_lets_the_teller_tell_facts_only(tmp_path: Path) -> None:
    settings = BrokerSettings.model_validate(
        {"data_dir": tmp_path / "broker", "username": GUARD, "site": SITE}
    )
    everybody: list[Access] = [*BOTS, TELLER]
    async with EmbeddedBroker(settings, everybody) as broker:
        passwords = {GUARD: broker.password} | {
            each.user: broker.bot_password(each.user) for each in everybody
        }
        await check_rights(Guarded(broker.host, broker.port, False, passwords, broker))
        await broker.refresh_users([BotAccess("alpha", "alpha")])
        with pytest.raises(aiomqtt.MqttError):
            async with Guarded(broker.host, broker.port, False, passwords, broker).client("teller"):
                await eventually(lambda: False, within_s=0.5)
