"""What ``doctor`` finds out about a broker, beside a guard that runs and is not disturbed."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapters.mqtt.access import mosquitto_acl
from adapters.mqtt.probe import BrokerProbe, ProbeStatus, probe_broker, rights_tried
from adapters.mqtt.settings import BrokerSettings
from perpguard_sdk.messages import Mode
from perpguard_sdk.topics import Topics
from tests.support.brokers import free_port, mosquitto
from tests.support.certificates import authority
from tests.support.guarded_brokers import BOTS, GUARD, SITE, Guarded, embedded, with_files, with_plugin
from tests.support.mqtt_ends import Site as MqttSite
from tests.support.mqtt_ends import WallClock

TOPICS = Topics(site=SITE)


def settings_of(guarded: Guarded, folder: Path, **more: object) -> BrokerSettings:
    path = folder / "the.password"
    path.write_text(guarded.passwords[GUARD])
    return BrokerSettings.model_validate(
        {
            "kind": "external",
            "port": guarded.port,
            "username": GUARD,
            "password_file": path,
            "site": SITE,
            "protocol": "5" if guarded.mqtt5 else "3.1.1",
            **more,
        }
    )


async def probed(settings: BrokerSettings) -> BrokerProbe:
    return await probe_broker(settings, guard="g1", bots=["alpha", "beta"], clock=WallClock())


def status_of(probe: BrokerProbe) -> dict[str, ProbeStatus]:
    return {finding.name: finding.status for finding in probe.findings}


@pytest.mark.parametrize("opened", [with_files, with_plugin], ids=["files", "plugin"])
async def test_a_broker_as_perpguard_sets_it_up_passes(opened: object, tmp_path: Path) -> None:
    async with opened(tmp_path) as guarded:  # type: ignore[operator]
        probe = await probed(settings_of(guarded, tmp_path))
    assert probe.status is ProbeStatus.OK, probe.findings
    assert (probe.reachable, probe.authenticated, probe.protocol) == (True, True, "MQTT 5")
    assert status_of(probe).keys() == {
        "reachable",
        "authenticated",
        "may read",
        "may write",
        "strangers refused",
    }


async def test_the_embedded_broker_passes_while_a_guard_runs_and_is_not_disturbed(tmp_path: Path) -> None:
    async with embedded(tmp_path) as guarded:
        site = MqttSite(guarded.broker, "3.1.1", settings={"username": GUARD})  # type: ignore[arg-type]
        async with site.guard("g1", password=guarded.passwords[GUARD]) as guard:
            before = len(guard.events)
            running = BrokerSettings.model_validate(
                {"data_dir": tmp_path / "broker", "username": GUARD, "site": SITE}
            )
            probe = await probed(running)
            assert probe.status is ProbeStatus.OK, probe.findings
            assert guard.events[before:] == []
            assert guard.link.refused == {}
            assert not guard.task.done()


async def test_an_embedded_broker_that_never_ran_is_no_fault(tmp_path: Path) -> None:
    probe = await probed(BrokerSettings.model_validate({"data_dir": tmp_path / "none"}))
    assert (probe.status, probe.reachable) == (ProbeStatus.WARN, False)


async def test_rights_that_are_missing_are_named_with_what_to_do(tmp_path: Path) -> None:
    """mosquitto's files grant every subscription and take every publish: only what comes back counts."""
    acl = mosquitto_acl(TOPICS, GUARD, BOTS)
    for kind in ("heartbeat", "shadow/command"):
        acl = acl.replace(f"user {GUARD}\n", f"user {GUARD}\ntopic deny perpguard/v1/home/{kind}/#\n")
    async with with_files(tmp_path, mqtt5=False, acl=acl) as guarded:
        probe = await probed(settings_of(guarded, tmp_path))
    (missing,) = [finding for finding in probe.findings if finding.status is ProbeStatus.FAIL]
    assert (missing.name, missing.detail) == ("may write", "does not come back: heartbeat, paper command")
    assert "perpguard/v1/home/#" in missing.remedy


async def test_a_refused_subscription_is_named(tmp_path: Path) -> None:
    more = [
        {
            "command": "removeRoleACL",
            "rolename": "perpguard-home-guard",
            "acltype": "subscribePattern",
            "topic": "perpguard/v1/home/#",
        }
    ]
    async with with_plugin(tmp_path, more=more) as guarded:
        probe = await probed(settings_of(guarded, tmp_path))
    assert status_of(probe)["may read"] is ProbeStatus.FAIL


async def test_a_wrong_password_and_an_open_broker_are_told(tmp_path: Path) -> None:
    async with with_files(tmp_path) as guarded:
        settings = settings_of(guarded, tmp_path)
        (tmp_path / "the.password").write_text("wrong")
        probe = await probed(settings)
    assert (probe.reachable, probe.authenticated) == (True, False)
    assert status_of(probe)["authenticated"] is ProbeStatus.FAIL
    assert "wrong" not in str(probe)
    (tmp_path / "open").mkdir()
    async with mosquitto(tmp_path / "open") as broker:
        probe = await probed(BrokerSettings.model_validate({"kind": "external", "port": broker.port}))
    assert status_of(probe)["strangers refused"] is ProbeStatus.WARN


async def test_nobody_there_is_told(tmp_path: Path) -> None:
    probe = await probed(BrokerSettings.model_validate({"kind": "external", "port": free_port()}))
    assert (probe.reachable, probe.status) == (False, ProbeStatus.FAIL)
    settings = {"kind": "external", "username": "u", "password_file": tmp_path / "none"}
    probe = await probed(BrokerSettings.model_validate(settings))
    assert "broker.password_file" in probe.findings[0].detail


async def test_certificates_that_end_soon_are_told(tmp_path: Path) -> None:
    ours = authority(tmp_path / "ca")
    pair, client = ours.issue("broker", valid_to_days=400), ours.issue("guard", valid_to_days=3)
    extra = f"cafile {ours.ca}\ncertfile {pair.cert}\nkeyfile {pair.key}\nrequire_certificate true"
    async with mosquitto(tmp_path, extra=extra, tls=True) as broker:
        files = {"tls_ca": ours.ca, "tls_cert": client.cert, "tls_key": client.key}
        probe = await probed(
            BrokerSettings.model_validate({"kind": "external", "port": broker.port, **files})
        )
    assert probe.tls is not None
    assert probe.tls.version == "TLSv1.3"
    assert probe.tls.broker_expires_days is not None
    assert 399 < probe.tls.broker_expires_days < 401
    (soon,) = [finding for finding in probe.findings if finding.name == "certificate"]
    assert soon.detail.startswith("our certificate")


def test_every_kind_of_topic_that_a_guard_writes_is_tried() -> None:
    kinds = {
        (parsed.kind, parsed.shadow)
        for topic in rights_tried(TOPICS).values()
        if (parsed := TOPICS.parse(topic))
    }
    assert len(kinds) == len(rights_tried(TOPICS))
    assert TOPICS.posture("_probe", Mode.PAPER) in rights_tried(TOPICS).values()
