"""Who may do what: passwords and ACLs, and what the guard says where it may not."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapters.mqtt import echoes
from adapters.mqtt.refusals import Refusal
from guard.errors import BrokerAuthError, BrokerError
from guard.events import BotBorn, BotReported
from tests.support.brokers import mosquitto, nats
from tests.support.mqtt_ends import (
    ALPHA,
    BETA,
    PlayedBot,
    Site,
    heartbeat,
    posture,
)


@pytest.mark.parametrize("program", ["mosquitto 5", "mosquitto 3.1.1", "nats-server 3.1.1"])
async def test_a_wrong_password_is_said_so_and_a_right_one_works(program: str, tmp_path: Path) -> None:
    name, protocol = program.split()
    running = (
        mosquitto(tmp_path, users={"guard": "right"})
        if name == "mosquitto"
        else nats(tmp_path, username="guard", password="right")
    )
    async with running as broker:
        site = Site(broker, protocol, settings={"username": "guard"})
        async with site.guard(password="wrong", wait=False) as guard:
            down = await guard.expect_link(up=False)
            assert "password file" in down.detail
            assert "wrong" not in down.detail
            with pytest.raises(BrokerError, match="refuses user"):
                await guard.link.publish_posture(posture())
        async with site.guard(password="right") as guard:
            await guard.link.publish_posture(posture())


async def test_an_acl_that_forbids_publishing_is_noticed_with_mqtt_5(tmp_path: Path) -> None:
    acl = "user guard\ntopic readwrite perpguard/v1/home/#\ntopic deny perpguard/v1/home/posture/alpha\n"
    async with mosquitto(tmp_path, users={"guard": "right"}, acl=acl) as broker:
        site = Site(broker, "5", settings={"username": "guard"})
        async with site.guard(password="right") as guard:
            with pytest.raises(BrokerError, match="ACL"):
                await guard.link.publish_posture(posture(ALPHA))
            await guard.link.publish_posture(posture(BETA))


async def test_a_publish_that_a_broker_drops_in_silence_is_noticed_because_it_does_not_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MQTT 3.1.1 has no refusal for a publish, and QoS 0 has none in any version."""
    monkeypatch.setattr(echoes, "OVERDUE_S", 0.5)
    acl = "user guard\ntopic readwrite perpguard/v1/home/#\ntopic deny perpguard/v1/home/heartbeat/alpha\n"
    async with mosquitto(tmp_path, users={"guard": "right"}, acl=acl) as broker:
        site = Site(broker, "3.1.1", settings={"username": "guard"})
        async with site.guard(password="right") as guard:
            for bot in (ALPHA, BETA):
                await guard.link.publish_heartbeat(heartbeat(bot, session=guard.link.session))
            refused = await guard.expect_refused("not_echoed")
            assert (refused.bot, "ACL" in refused.detail) == (ALPHA, True)
            assert guard.link.refused == {Refusal.NOT_ECHOED: 1}
            assert not guard.task.done()


async def test_an_acl_that_filters_silently_hides_the_bots_and_nothing_more(tmp_path: Path) -> None:
    """mosquitto's file ACLs grant a forbidden subscription: the guard hears nothing and cannot know."""
    acl = (
        "user guard\ntopic readwrite perpguard/v1/home/#\ntopic deny perpguard/v1/home/bot/alpha/birth\n"
        "user bot\ntopic readwrite perpguard/#\n"
    )
    async with mosquitto(tmp_path, users={"guard": "right", "bot": "too"}, acl=acl) as broker:
        site = Site(broker, "5", settings={"username": "guard"})
        async with (
            site.guard(password="right") as guard,
            site.client(username="bot", password="too") as client,
        ):
            bot = PlayedBot(ALPHA, site.topics, client)
            await bot.be_born()
            await bot.report()
            await guard.expect(BotReported)
            assert guard.all(BotBorn) == []


async def test_a_refused_subscription_is_said_with_what_to_do(tmp_path: Path) -> None:
    """nats-server refuses what its permissions do not allow, as mosquitto's dynamic security does."""
    folder = tmp_path / "nats"
    folder.mkdir()
    permissions = 'subscribe: { allow: ["perpguard.>", "$MQTT.>"], deny: ["perpguard.v1.home.bot.*.ack"] }'
    async with nats(folder, username="guard", password="right", permissions=permissions) as broker:
        site = Site(broker, "3.1.1", settings={"username": "guard"})
        async with site.guard(password="right", wait=False) as guard:
            down = await guard.expect_link(up=False)
            assert "bot/+/ack refused" in down.detail
            assert "ACL" in down.detail


def test_a_refused_password_is_an_error_of_its_own() -> None:
    assert issubclass(BrokerAuthError, BrokerError)
