"""Profiles: other defaults, all at once, for traders of another temper; what the settings say themselves comes first.

``balanced`` is the defaults as they are. The others are files of settings, held against the same bounds as anybody's.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from enum import StrEnum
from importlib.resources import files
from typing import Any


class Profile(StrEnum):
    """Which defaults hold where the settings say nothing."""

    CONSERVATIVE = "conservative"
    BALANCED = "balanced"
    MARKET_MAKER = "market-maker"


def defaults_of(profile: Profile) -> dict[str, Any]:
    """Return what a profile says instead of the defaults, as tables.

    >>> defaults_of(Profile.BALANCED)
    {}
    """
    if profile is Profile.BALANCED:
        return {}
    text = (files("guard.profiles") / f"{profile}.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def beneath(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the defaults of the profile that settings name, as read and not yet checked."""
    guard = data.get("guard")
    named = guard.get("profile") if isinstance(guard, Mapping) else None
    try:
        return defaults_of(Profile(named)) if isinstance(named, str) else {}
    except ValueError:
        return {}  # checking the settings says so
