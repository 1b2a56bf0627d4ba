"""Profiles are other defaults: whole, within bounds, beneath what settings say, and of the temper that they name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from guard.configuration import PolicySettings, Settings, load
from guard.conformance.states import MOMENTS_S, STATES, at
from guard.errors import SettingsError
from guard.profiles import Profile, defaults_of
from guard.settings_shape import plain
from perpguard_sdk.messages import Entries

OTHERS = [profile for profile in Profile if profile is not Profile.BALANCED]


def settings(tmp_path: Path, text: str) -> Settings:
    path = tmp_path / "settings.toml"
    path.write_text(text)
    return load(path)


def of(tmp_path: Path, profile: Profile, more: str = "") -> Settings:
    return settings(tmp_path, f'[guard]\nprofile = "{profile}"\n{more}')


def leaves(table: dict[str, Any], *path: str) -> dict[tuple[str, ...], Any]:
    found: dict[tuple[str, ...], Any] = {}
    for name, value in table.items():
        found |= leaves(value, *path, name) if isinstance(value, dict) else {(*path, name): value}
    return found


def value_at(settings: Any, path: tuple[str, ...]) -> Any:
    for part in path:
        settings = getattr(settings, part)
    return plain(settings)


@pytest.mark.parametrize("profile", OTHERS)
def test_each_line_of_a_profile_takes_effect_and_is_not_the_default_anyway(
    tmp_path: Path, profile: Profile
) -> None:
    changed, usual = of(tmp_path, profile), Settings()
    lines = leaves(defaults_of(profile))
    assert lines
    for path, value in lines.items():
        assert value_at(changed, path) == value
        assert value_at(usual, path) != value, path


def test_balanced_is_the_defaults(tmp_path: Path) -> None:
    assert of(tmp_path, Profile.BALANCED).policies == PolicySettings()


def test_what_settings_and_environment_say_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERPGUARD_ARBITER__STEP_S", "7")
    found = of(tmp_path, Profile.CONSERVATIVE, "[arbiter]\nhold_down_s = 61.0\n")
    assert (found.arbiter.hold_down_s, found.arbiter.step_s) == (61.0, 7.0)


def test_the_environment_can_name_the_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERPGUARD_GUARD__PROFILE", "conservative")
    assert settings(tmp_path, "").arbiter == of(tmp_path, Profile.CONSERVATIVE).arbiter


def test_a_profile_that_is_none_is_said(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="conservative"):
        settings(tmp_path, '[guard]\nprofile = "reckless"\n')


def test_the_shipped_settings_leave_room_for_a_profile(tmp_path: Path) -> None:
    shipped = (Path(__file__).parents[2] / "settings.toml").read_text()
    found = settings(tmp_path, shipped.replace('profile = "balanced"', 'profile = "conservative"'))
    for path, value in leaves(defaults_of(Profile.CONSERVATIVE)).items():
        assert value_at(found, path) == value, path


def asked(settings: Settings, world: str) -> dict[object, int]:
    """How tight entries are asked to be, by subject, over all moments."""
    state = STATES[world]()
    found: dict[object, int] = {}
    for seconds in MOMENTS_S:
        for policy in settings.policies.each:
            for one in policy.decide(state, at(seconds)):
                key = (seconds, one.policy, one.subject)
                level = (one.limit.entries or Entries.ALLOWED).tightness
                found[key] = max(found.get(key, 0), level)
    return found


@pytest.mark.parametrize("world", ["calm", "recovering", "in_danger", "short_in_danger"])
def test_the_conservative_ask_for_as_much_and_market_makers_for_no_more(tmp_path: Path, world: str) -> None:
    usual = asked(of(tmp_path, Profile.BALANCED), world)
    tight = asked(of(tmp_path, Profile.CONSERVATIVE), world)
    loose = asked(of(tmp_path, Profile.MARKET_MAKER), world)
    assert all(tight.get(key, 0) >= level for key, level in usual.items())
    assert all(level <= usual.get(key, 0) for key, level in loose.items())
