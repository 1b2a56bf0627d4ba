"""Settings that cannot be used: the program says where and what, ends with 2, and has touched nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import Answer, ask, write_toml

pytestmark = pytest.mark.acceptance


async def test_an_unknown_setting_is_named_with_its_nearest_name(tmp_path: Path) -> None:
    answer = await _run(tmp_path, {"baseline": {"warmup_s": 5}})
    assert answer.code == 2
    assert "baseline.warmup_s" in answer.err
    assert "warm_up_s" in answer.err


async def test_an_impossible_value_is_named_with_what_is_possible(tmp_path: Path) -> None:
    answer = await _run(tmp_path, {"guard": {"tick_ms": -5}, "broker": {"port": 70_000}})
    assert answer.code == 2
    assert "guard.tick_ms" in answer.err
    assert "50" in answer.err
    assert "broker.port" in answer.err
    assert "65535" in answer.err


async def test_a_missing_secret_is_named_with_its_file(tmp_path: Path) -> None:
    bot = {"name": "alpha", "key_file": "nowhere.key", "venue": "binanceusdm", "account": "main"}
    venue = {
        "id": "binanceusdm",
        "symbols": ["BTC/USDT:USDT"],
        "accounts": {"main": {"api_key_file": "no.key", "api_secret_env": "PERPGUARD_TEST_UNSET"}},
    }
    answer = await _run(tmp_path, {"bots": [bot], "venues": [venue]})
    assert answer.code == 2
    assert "bots.0.key_file" in answer.err
    assert str(tmp_path / "nowhere.key") in answer.err
    assert "venues.0.accounts.main.api_key_file" in answer.err
    assert "PERPGUARD_TEST_UNSET" in answer.err


async def _run(folder: Path, settings: dict[str, Any]) -> Answer:
    path = write_toml(folder / "settings.toml", settings)
    answer = await ask("run", "--settings", str(path), folder=folder)
    assert str(path) in answer.err
    assert "Traceback" not in answer.err
    assert _names_in(folder) == ["settings.toml"]
    return answer


def _names_in(folder: Path) -> list[str]:
    return [each.name for each in folder.iterdir()]
