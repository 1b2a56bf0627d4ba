"""A bot's settings from the file that it was given: paths beside it, and what is wrong told without a secret."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from perpguard_sdk.client_file import read_client_settings
from perpguard_sdk.client_settings import BotClientSettings
from perpguard_sdk.messages import Mode

LINES = {
    "bot": '"alpha"',
    "key_file": '"alpha.key"',
    "guard": '"guard-1"',
    "mode": '"paper"',
    "site": '"home"',
    "venue": '"binanceusdm"',
    "account": '"main"',
    "symbols": '["BTC/USDT:USDT"]',
    "host": '"127.0.0.1"',
    "port": "18830",
    "username": '"alpha"',
    "password_file": '"alpha.password"',
}


def read(folder: Path, changed: dict[str, str | None] | None = None, **over: Any) -> BotClientSettings:
    (folder / "alpha.key").write_text("a key that is long enough\n")
    (folder / "alpha.password").write_text("the password\n")
    lines = {name: value for name, value in {**LINES, **(changed or {})}.items() if value is not None}
    path = folder / "alpha.bot.toml"
    path.write_text("\n".join(f"{name} = {value}" for name, value in lines.items()))
    return read_client_settings(path, verbs={}, state_path=folder / "state", **over)


def test_what_stands_in_it_is_taken_and_what_its_author_says_wins(tmp_path: Path) -> None:
    settings = read(tmp_path, report_ms=500, mode=Mode.LIVE)
    assert (settings.bot, settings.key, settings.port) == ("alpha", b"a key that is long enough", 18830)
    assert (settings.mode, settings.report_ms) == (Mode.LIVE, 500)
    assert settings.login() == ("the password", None)


def test_a_password_that_is_replaced_is_read_at_the_next_login(tmp_path: Path) -> None:
    settings = read(tmp_path)
    (tmp_path / "alpha.password").write_text("another\n")
    assert settings.login()[0] == "another"
    (tmp_path / "alpha.password").write_bytes(b"\xff secret")
    with pytest.raises(ValueError, match="is not text") as caught:
        settings.login()
    assert "secret" not in str(caught.value).replace("alpha.password", "")


def test_nothing_secret_is_shown(tmp_path: Path) -> None:
    shown = repr(read(tmp_path, password="hunter2hunter2", password_file=None))
    assert "hunter2" not in shown
    assert "long enough" not in shown


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"hots": '"x"'}, "unknown: hots"),
        ({"site": None}, "site"),
        ({"mode": None}, "mode is missing"),
        ({"mode": '"bold"'}, "bold"),
        ({"key_file": '"none.key"'}, "none.key cannot be read"),
        ({"bot": "'''a"}, "cannot be read"),
        ({"port": "0"}, "port 0"),
        ({"username": None}, "a password needs a username"),
        ({"tls_cert": '"x.pem"'}, "tls_cert and tls_key go together"),
        ({"tls_cert": '"x.pem"', "tls_key": '"x.key"'}, "with tls_ca"),
    ],
)
def test_what_is_wrong_is_told(changed: dict[str, str | None], words: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=words):
        read(tmp_path, changed)


def test_two_places_for_one_thing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="password or password_file"):
        read(tmp_path, password="x")
