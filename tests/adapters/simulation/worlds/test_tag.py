"""The tag changes with whatever changes an episode, part by part."""

from __future__ import annotations

from dataclasses import replace

import pytest

from adapters.simulation.worlds import drawing, released, tag
from adapters.simulation.worlds.ranges import Range
from adapters.simulation.worlds.scenarios import SCENARIOS
from adapters.simulation.worlds.variants import WORLDS


@pytest.fixture
def unfrozen(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Parts are worked out anew."""
    monkeypatch.setattr(tag, "parts", tag.parts.__wrapped__)
    return monkeypatch


def differing(before: dict[str, str]) -> set[str]:
    now = tag.parts()
    return {name for name in before | dict(now) if before.get(name) != now.get(name)}


def test_there_is_a_part_for_each_world_and_scenario() -> None:
    names = set(tag.parts())
    assert {f"world {name}" for name in WORLDS} <= names
    assert {f"drawn {world} {scenario}" for world in WORLDS for scenario in SCENARIOS} <= names
    assert tag.tag() in tag.stamp()


def test_another_range_changes_its_world_alone(unfrozen: pytest.MonkeyPatch) -> None:
    before = dict(tag.parts())
    other = {**WORLDS, "news": replace(WORLDS["news"], tilt=Range(-1.3, -0.6))}
    unfrozen.setattr(tag, "WORLDS", other)
    unfrozen.setattr(drawing, "WORLDS", other)
    assert differing(before) == {"world news"} | {f"drawn news {scenario}" for scenario in SCENARIOS}


def test_another_scenario_changes_itself_alone(unfrozen: pytest.MonkeyPatch) -> None:
    before = dict(tag.parts())
    other = {**SCENARIOS, "fall": replace(SCENARIOS["fall"], after_s=1_000.0)}
    unfrozen.setattr(tag, "SCENARIOS", other)
    unfrozen.setattr(drawing, "SCENARIOS", other)
    assert differing(before) == {"scenario fall"} | {f"drawn {world} fall" for world in WORLDS}


def test_a_world_more_changes_no_part_and_is_told(unfrozen: pytest.MonkeyPatch) -> None:
    before = dict(tag.parts())
    unfrozen.setattr(tag, "RELEASED", before)
    assert tag.stamp().endswith("as released")
    more = {**WORLDS, "other": replace(WORLDS["news"], name="other")}
    unfrozen.setattr(tag, "WORLDS", more)
    unfrozen.setattr(drawing, "WORLDS", more)
    assert tag.changed() == ()
    assert "as released and 8 parts more" in tag.stamp()
    assert differing(before) == {"world other"} | {f"drawn other {scenario}" for scenario in SCENARIOS}


def test_what_was_released_and_is_no_more_is_named(unfrozen: pytest.MonkeyPatch) -> None:
    unfrozen.setattr(tag, "RELEASED", {**tag.parts(), "symbols": "other", "world gone": "any"})
    assert tag.changed() == ("symbols", "world gone")
    assert "NOT as released: symbols, world gone" in tag.stamp()


def test_another_meaning_changes_the_tag(unfrozen: pytest.MonkeyPatch) -> None:
    before = dict(tag.parts())
    unfrozen.setattr(tag, "MEANING", tag.MEANING + 1)
    assert differing(before) == {"meaning"}


def test_hashes_say_what_values_say() -> None:
    assert tag.hashed({"a": 1.0, "b": (1, 2)}) == tag.hashed({"b": [1, 2], "a": 1.0})
    assert tag.hashed(1.0) != tag.hashed(1.0000001)
    assert isinstance(released.RELEASED, dict)
