"""Settings of the broker: each mistake is named, and nothing secret stands in the file."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from adapters.mqtt.link import MqttLink
from adapters.mqtt.settings import BrokerSettings, ProtocolVersion
from guard.errors import SettingsError
from perpguard_sdk.messages import Mode
from tests.support.mqtt_ends import KEYS, WallClock


def test_without_a_word_the_broker_is_embedded_and_speaks_3_1_1() -> None:
    settings = BrokerSettings()
    assert (settings.kind, settings.port, settings.protocol_used) == ("embedded", 0, ProtocolVersion.V311)
    assert (settings.claim_quiet_s, settings.heartbeat_ms) == (5.0, 1000)


@pytest.mark.parametrize(
    ("more", "port"), [({}, 1883), ({"tls_ca": "ca.pem"}, 8883), ({"port": 2883, "tls_ca": "ca.pem"}, 2883)]
)
def test_the_port_of_an_external_broker_follows_tls(more: dict[str, object], port: int) -> None:
    assert BrokerSettings.model_validate({"kind": "external", **more}).port_used == port


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"pasword_file": "x"}, "pasword_file"),
        ({"kind": "external", "port": 70_000}, "port"),
        ({"protocol": "4"}, "protocol"),
        ({"site": "a/b"}, "topic level"),
        ({"root": ""}, "topic level"),
        ({"heartbeat_ms": 10}, "heartbeat_ms"),
        ({"password_file": "x", "password_env": "Y"}, "not both"),
        ({"kind": "external", "password_env": "Y"}, "needs a username"),
        ({"kind": "external", "tls_cert": "x"}, "go together"),
        ({"kind": "external", "tls_cert": "x", "tls_key": "y"}, "needs tls_ca"),
        ({"host": "0.0.0.0"}, "127.0.0.1 only"),
        ({"tls_ca": "ca.pem"}, "no TLS"),
        ({"claim_quiet_s": 9, "claim_wait_s": 5}, "at least claim_quiet_s"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(values: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        BrokerSettings.model_validate(values)


def test_the_password_is_the_files_text_without_its_line_end(tmp_path: Path) -> None:
    (tmp_path / "password").write_bytes(b" with spaces \r\n")
    assert BrokerSettings(password_file=tmp_path / "password").password() == " with spaces "


def test_the_password_may_stand_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROKER_PASSWORD", "secret")
    assert BrokerSettings(password_env="BROKER_PASSWORD").password() == "secret"


@pytest.mark.parametrize("content", [None, b"", b"\n", b"\xff\xfe"])
def test_a_password_file_that_cannot_be_used_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "password"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError, match=str(path)) as caught:
        BrokerSettings(password_file=path).password()
    assert caught.value.problems[0][0] == "broker.password_file"


def test_a_missing_environment_variable_is_named() -> None:
    with pytest.raises(SettingsError, match="NO_SUCH_VARIABLE"):
        BrokerSettings(password_env="NO_SUCH_VARIABLE").password()


@pytest.mark.parametrize(
    ("values", "guard", "path"),
    [
        ({"tls_ca": "/nowhere/ca.pem"}, "g1", "broker.tls_ca"),
        ({"password_env": "NO_SUCH_VARIABLE", "username": "u"}, "g1", "broker.password_env"),
        ({}, "a/b", "guard.name"),
    ],
)
async def test_a_link_names_the_setting_before_anything_connects(
    values: dict[str, object], guard: str, path: str
) -> None:
    settings = BrokerSettings.model_validate({"kind": "external", **values})
    with pytest.raises(SettingsError) as caught:
        MqttLink(settings, guard=guard, mode=Mode.PAPER, bot_keys=KEYS, clock=WallClock())
    assert caught.value.problems[0][0] == path
