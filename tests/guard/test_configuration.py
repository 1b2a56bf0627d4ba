"""The settings of the whole program: safe as they come, documented, impossible ones refused by path."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from guard.configuration import Settings, load
from guard.errors import SettingsError
from guard.settings_document import settings_document
from guard.settings_shape import REQUIRED, items_of, plain, walk
from perpguard_sdk.messages import Mode

ROOT = Path(__file__).parents[2]
VENUE = '[[venues]]\nid = "binanceusdm"\nsymbols = ["BTC/USDT:USDT"]\n'


def problems(tmp_path: Path, text: str) -> dict[str, str]:
    path = tmp_path / "settings.toml"
    path.write_text(text)
    with pytest.raises(SettingsError) as caught:
        load(path)
    return dict(caught.value.problems)


def test_the_settings_that_come_with_perpguard_are_safe() -> None:
    settings = load(ROOT / "settings.toml")
    assert settings.guard.mode is Mode.PAPER
    assert settings.broker.host == "127.0.0.1"
    assert settings.bots == ()
    assert all(not venue.accounts for venue in settings.venues)


def test_the_settings_that_come_with_perpguard_name_everything_with_its_default() -> None:
    text = (ROOT / "settings.toml").read_text()
    # A # without a space behind it is a setting left out; with one it is prose.
    whole = tomllib.loads(re.sub(r"^#(?=[\w\[])", "", text, flags=re.MULTILINE))
    for path, kind in walk(Settings):
        table: Any = whole
        for part in path:
            table = table[int(part)] if part == "0" else table["main" if part == "NAME" else part]
        items = items_of(kind)
        assert set(table) == set(items), path
        for name, item in items.items():
            if (*path, name) == ("venues", "0", "symbols"):
                continue  # none by default, where the busiest are watched: here some are named
            if item.table is None and item.inner is None and item.default not in (None, REQUIRED):
                assert table[name] == plain(item.default), (*path, name)


def test_the_document_of_the_settings_is_up_to_date() -> None:
    assert (ROOT / "docs" / "settings.md").read_text() == settings_document(Settings), (
        "run: python -m guard.settings_document > docs/settings.md"
    )


def test_every_setting_says_what_it_means() -> None:
    for path, kind in walk(Settings):
        for name, item in items_of(kind).items():
            if item.table is None and item.inner is None:
                assert item.description, (*path, name)


@pytest.mark.parametrize(
    ("text", "path", "words"),
    [
        ('[guard]\nmode = "lve"\n', "guard.mode", "must be 'paper' or 'live'"),
        ('[guard]\nname = "a/b"\n', "guard.name", "cannot be a topic level"),
        (VENUE * 2, "venues.1.id", "binanceusdm is there twice"),
        ('[[venues]]\nid = "binanceus"\nsymbols = ["A"]\n', "venues.0.id", "did you mean binanceusdm"),
        (
            VENUE + '[[positions]]\nvenue = "bybit"\nsymbol = "A"\nsize = 1\nentry_price = 1\nleverage = 1\n',
            "positions.0.venue",
            "'bybit' is not one of the venues (binanceusdm)",
        ),
        (
            VENUE
            + '[[positions]]\nvenue = "binanceusdm"\nsymbol = "BTC"\nsize = 1\nentry_price = 1\nleverage = 1\n',
            "positions.0.symbol",
            "'BTC' is not watched on binanceusdm (BTC/USDT:USDT)",
        ),
        (
            VENUE
            + '[[positions]]\nvenue = "binanceusdm"\nsymbol = "BTC"\nsize = 0\nentry_price = 1\nleverage = 1\n',
            "positions.0.size",
            "a position of size 0 is none",
        ),
        (
            VENUE + '[[bots]]\nname = "a"\nvenue = "binanceusdm"\naccount = "m"\n',
            "bots.0",
            "exactly one of key_file and key_env (line 4)",
        ),
        (
            VENUE + '[[bots]]\nname = "a"\nkey_env = "K"\nvenue = "binanceusdm"\naccount = "m"\n' * 2,
            "bots.1.name",
            "a is there twice",
        ),
        (
            VENUE
            + '[[bots]]\nname = "a"\nkey_env = "K"\nvenue = "binanceusdm"\naccount = "m"\nsymbols = ["ETH"]\n',
            "bots.0.symbols",
            "'ETH' is not watched on binanceusdm (BTC/USDT:USDT): add it there, or correct it (line 9)",
        ),
        (
            "[policies.pause_entries]\ndepth_zz = -3\n",
            "policies.pause_entries.depth_zz",
            "did you mean depth_z",
        ),
        ("[arbiter]\nhold_down_s = -1\n", "arbiter.hold_down_s", "must be greater than or equal to 0"),
        ("[baseline]\nhalf_life_s = 0\n", "baseline", "half_life_s must be positive"),
    ],
)
def test_what_is_impossible_names_its_path(tmp_path: Path, text: str, path: str, words: str) -> None:
    assert words in problems(tmp_path, text)[path]


def test_the_digest_tells_settings_apart_and_only_those() -> None:
    settings = load(ROOT / "settings.toml")
    assert settings.digest == load(ROOT / "settings.toml").digest
    assert settings.digest != Settings().digest
