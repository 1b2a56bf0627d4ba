"""Which broker user a bot of the settings has: one of its own, not the guard's, and no wildcard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from adapters.mqtt.access import BotAccess
from guard.configuration import load
from guard.errors import SettingsError
from tests.support.processes import write_toml

BOT = {"name": "alpha", "key_env": "K", "venue": "binanceusdm", "account": "main"}


def settings(folder: Path, *bots: dict[str, Any], **broker: Any) -> Any:
    venues = [{"id": "binanceusdm", "symbols": ["BTC/USDT:USDT"]}]
    path = write_toml(folder / "s.toml", {"broker": broker, "venues": venues, "bots": list(bots)})
    return load(path)


def test_it_is_the_bots_name_unless_another_is_given(tmp_path: Path) -> None:
    found = settings(tmp_path, BOT, {**BOT, "name": "beta", "user": "bots-beta"})
    assert [bot.access for bot in found.bots] == [BotAccess("alpha", "alpha"), BotAccess("beta", "bots-beta")]


@pytest.mark.parametrize(
    ("bots", "broker", "path", "words"),
    [
        ([BOT, {**BOT, "name": "beta", "user": "alpha"}], {}, "bots.1.user", "another bot logs in"),
        ([{**BOT, "name": "perpguard"}], {}, "bots.0.name", "the guard's own user"),
        (
            [{**BOT, "user": "g"}],
            {"kind": "external", "username": "g"},
            "bots.0.user",
            "the guard's own user",
        ),
        ([{**BOT, "name": "*"}], {}, "bots.0.name", "letters, digits"),
        ([{**BOT, "user": "a b"}], {}, "bots.0.user", "letters, digits"),
    ],
)
def test_what_would_give_two_the_same_rights_is_refused(
    bots: list[dict[str, Any]], broker: dict[str, Any], path: str, words: str, tmp_path: Path
) -> None:
    with pytest.raises(SettingsError) as caught:
        settings(tmp_path, *bots, **broker)
    assert [(each, words in message) for each, message in caught.value.problems] == [(path, True)]


def test_a_broker_of_ones_own_may_know_bots_by_other_names(tmp_path: Path) -> None:
    """What mosquitto's operator calls them is not ours to judge, as long as we need not write it down."""
    assert settings(tmp_path, {**BOT, "name": "my.bot"}, kind="external").bots[0].name == "my.bot"
