"""Bots let in, listed, given new keys and thrown out from the command line, whole or not at all."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import tomllib
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from guard.cli import cli
from guard.configuration import load
from guard.credentials import NewBot, add_bot
from perpguard_sdk.client_file import read_client_settings
from perpguard_sdk.messages import Mode, Verb, VerbCapability

REPOSITORY = Path(__file__).parents[2]
SYMBOL = "BTC/USDT:USDT"
VERBS = {Verb.PAUSE: VerbCapability(deadline_ms=1000)}

EXTERNAL = """\
[broker]
kind = "external"
host = "broker.example"
username = "guard"
password_file = "secrets/guard.password"

[[venues]]
id = "binanceusdm"
symbols = ["BTC/USDT:USDT"]
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with the settings that perpguard comes with."""
    (tmp_path / "settings.toml").write_text((REPOSITORY / "settings.toml").read_text())
    return tmp_path


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder with settings for a mosquitto elsewhere."""
    (tmp_path / "settings.toml").write_text(EXTERNAL)
    (tmp_path / "secrets").mkdir(mode=0o700)
    (tmp_path / "secrets/guard.password").write_text("the guard's")
    (tmp_path / "secrets/guard.password").chmod(0o600)
    return tmp_path


def bots(place: Path, *arguments: str) -> Result:
    """Run ``perpguard bots``; options of the group stand behind a subcommand's name."""
    return CliRunner().invoke(cli, ["bots", *arguments, "--settings", str(place / "settings.toml")])


def asked(place: Path, *arguments: str) -> Any:
    """What it prints for programs."""
    result = bots(place, *arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def secrets_of(place: Path) -> dict[str, str]:
    """Every key and password by its path, to see that none is printed."""
    folders = (place / "secrets", place / "var")
    found = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    named = [
        path for path in found if path.suffix in {".key", ".password"} or path.parent.name == "users-home"
    ]
    return {str(path.relative_to(place)): path.read_text().strip() for path in named}


def snapshot(place: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in place.rglob("*") if path.is_file()}


def test_a_bot_that_is_added_has_all_that_it_needs(place: Path) -> None:
    said = asked(place, "add", "alpha", "--account", "main", "--symbol", SYMBOL)
    (bot,) = load(place / "settings.toml").bots
    assert (bot.name, bot.venue, bot.account, bot.symbols) == ("alpha", "binanceusdm", "main", (SYMBOL,))
    assert bot.key_file == place / "secrets/alpha.key"
    made = [Path(path) for path in said["files"] if Path(path).name != "settings.toml"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in made} == {0o600}
    settings = read_client_settings(said["snippet"], verbs=VERBS, state_path=place / "state")
    assert settings.key.decode() == bot.key_file.read_text().strip()
    assert (settings.bot, settings.username, settings.site) == ("alpha", "alpha", "home")
    assert (settings.mode, settings.protocol, settings.account) == (Mode.PAPER, "3.1.1", "main")
    password, _ = settings.login()
    assert password == (place / "var/broker/users-home/alpha").read_text().strip()
    assert settings.port == int((place / "var/broker/port").read_text())


def test_nothing_secret_is_printed(place: Path) -> None:
    said = bots(place, "add", "alpha", "--account", "main").output
    said += bots(place, "rotate", "alpha").output + bots(place, "rotate", "alpha", "--json").output
    said += bots(place).output + bots(place, "--json").output
    secrets = secrets_of(place)
    assert sorted(secrets) == ["secrets/alpha.key", "var/broker/users-home/alpha"]
    assert not [path for path, secret in secrets.items() if secret in said]
    snippet = (place / "secrets/alpha.bot.toml").read_text()
    assert not [path for path, secret in secrets.items() if secret in snippet]


def test_the_list_says_who_and_with_which_key(place: Path) -> None:
    assert bots(place).output == "no bot: perpguard bots add NAME\n"
    asked(place, "add", "alpha", "--account", "main")
    asked(place, "add", "beta", "--account", "other", "--user", "bots-beta")
    first = asked(place)
    assert [(each["name"], each["user"], each["account"]) for each in first] == [
        ("alpha", "alpha", "main"),
        ("beta", "bots-beta", "other"),
    ]
    asked(place, "rotate", "alpha")
    second = asked(place)
    assert second[0]["fingerprint"] != first[0]["fingerprint"]
    assert second[1] == first[1]
    (place / "secrets/alpha.key").unlink()
    assert "UNUSABLE" in bots(place).output


def test_a_rotation_replaces_key_and_password_and_nothing_else(place: Path) -> None:
    asked(place, "add", "alpha", "--account", "main")
    before, settings = secrets_of(place), (place / "settings.toml").read_text()
    said = asked(place, "rotate", "alpha")
    after = secrets_of(place)
    assert before.keys() == after.keys()
    assert not set(before.values()) & set(after.values())
    assert (place / "settings.toml").read_text() == settings
    assert any("safe mode" in line for line in said["to_do"])


def test_a_bot_that_is_revoked_leaves_nothing(place: Path) -> None:
    asked(place, "add", "keep", "--account", "main")
    kept = (place / "settings.toml").read_text()
    asked(place, "add", "alpha", "--account", "main")
    said = asked(place, "revoke", "alpha")
    assert any("out of the settings" in line for line in said["done"])
    assert (place / "settings.toml").read_text() == kept
    assert not [path for path in secrets_of(place) if "alpha" in path]
    again = bots(place, "revoke", "alpha", "--json")
    assert (again.exit_code, json.loads(again.stdout)["ok"]) == (2, False)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["add", "alpha", "--account", "main"], "already"),
        (["add", "new", "--account", "main", "--user", "alpha"], "another bot logs in"),
        (["add", "perpguard", "--account", "main"], "the guard's own user"),
        (["add", "a*", "--account", "main"], "letters, digits"),
        (["add", "a b", "--account", "main"], "letters, digits"),
        (["add", "../a", "--account", "main"], "letters, digits"),
        (["add", "new", "--account", "main", "--venue", "nowhere"], "binanceusdm"),
        (["add", "new"], "--account"),
        (["add", "new", "--account", "main", "--symbol", "NO/SUCH:ONE"], "not watched"),
        (["add", "new", "--account", "main", "--apply"], "--admin-password-file"),
        (["rotate", "new"], "no bot new"),
        (["revoke", "new"], "no bot new"),
        (["revoke", "../settings"], "letters, digits"),
    ],
)
def test_what_does_not_fit_changes_nothing(arguments: list[str], words: str, place: Path) -> None:
    asked(place, "add", "alpha", "--account", "main")
    before = snapshot(place)
    result = bots(place, *arguments)
    assert (result.exit_code, words in result.output) == (2, True), result.output
    assert snapshot(place) == before


def test_settings_that_are_wrong_already_are_not_touched(place: Path) -> None:
    path = place / "settings.toml"
    path.write_text(path.read_text().replace("[guard]", "[guard]\nnmae = 1"))
    before = snapshot(place)
    result = bots(place, "add", "alpha", "--account", "main")
    assert (result.exit_code, "did you mean name" in result.output) == (2, True)
    assert snapshot(place) == before


def test_a_list_in_one_line_is_left_to_people(place: Path) -> None:
    path = place / "settings.toml"
    text = path.read_text()
    path.write_text(
        'bots = [{name = "a", key_env = "A_KEY", venue = "binanceusdm", account = "main"}]\n' + text
    )
    before = snapshot(place)
    result = bots(place, "add", "alpha", "--account", "main")
    assert (result.exit_code, "[[bots]]" in result.output) == (2, True)
    assert snapshot(place) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_that_cannot_be_written_is_said_so(place: Path) -> None:
    place.chmod(0o500)
    try:
        result = bots(place, "add", "alpha", "--account", "main")
    finally:
        place.chmod(0o700)
    assert (result.exit_code, "cannot be written" in result.output) == (2, True)


def test_what_fails_on_the_way_is_taken_back(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full at the last step."""
    before = snapshot(place)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("guard.credentials._replace", full)
    with pytest.raises(OSError, match="No space"):
        asyncio.run(add_bot(place / "settings.toml", NewBot(name="alpha", account="main")))
    monkeypatch.undo()
    left = {path: text for path, text in snapshot(place).items() if not path.endswith("var/broker/port")}
    assert left == before
    asked(place, "add", "alpha", "--account", "main")


def test_what_an_attempt_that_was_killed_left_is_taken_up(place: Path) -> None:
    asked(place, "add", "alpha", "--account", "main")
    before = secrets_of(place)
    (place / "settings.toml").write_text((REPOSITORY / "settings.toml").read_text())
    asked(place, "add", "alpha", "--account", "main")
    assert secrets_of(place) == before


def test_a_broker_elsewhere_gets_its_files_and_its_commands(outside: Path) -> None:
    said = asked(outside, "add", "alpha", "--account", "main")
    asked(outside, "add", "beta", "--account", "main")
    folder = outside / "secrets/mosquitto"
    acl = (folder / "acl").read_text()
    assert "user alpha\ntopic read perpguard/v1/home/heartbeat/alpha\n" in acl
    assert [line for line in acl.splitlines() if line.startswith("user")] == [
        "user guard",
        "user alpha",
        "user beta",
    ]
    lines = (folder / "passwords").read_text().splitlines()
    assert {line.partition(":$7$")[0] for line in lines} == {"guard", "alpha", "beta"}
    commands = json.loads((folder / "alpha.dynsec.json").read_text())["commands"]
    assert {command["command"] for command in commands} >= {"createRole", "createClient", "setClientId"}
    assert any("SIGHUP" in line for line in said["to_do"])
    assert any("--apply" in line for line in said["to_do"])
    snippet = tomllib.loads((outside / "secrets/alpha.bot.toml").read_text())
    assert (snippet["host"], snippet["port"], snippet["password_file"]) == (
        "broker.example",
        1883,
        "alpha.password",
    )

    alphas = next(line for line in lines if line.startswith("alpha:"))
    betas = next(line for line in lines if line.startswith("beta:"))
    asked(outside, "rotate", "alpha")
    rotated = (folder / "passwords").read_text().splitlines()
    assert betas in rotated
    assert alphas not in rotated


def test_a_bot_revoked_from_a_broker_elsewhere_has_no_rights_and_no_password(outside: Path) -> None:
    asked(outside, "add", "alpha", "--account", "main")
    asked(outside, "add", "beta", "--account", "main")
    text = (outside / "settings.toml").read_text().replace("broker.example", "127.0.0.1")
    (outside / "settings.toml").write_text(text.replace('kind = "external"', 'kind = "external"\nport = 1'))
    said = asked(outside, "revoke", "alpha")
    folder = outside / "secrets/mosquitto"
    assert "alpha" not in (folder / "acl").read_text()
    assert "alpha:" not in (folder / "passwords").read_text()
    assert "beta:" in (folder / "passwords").read_text()
    assert not (outside / "secrets/alpha.password").exists()
    assert any("retained" in line for line in said["to_do"])
