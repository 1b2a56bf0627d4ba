"""The suite for authors of policies: the product's own pass it, and each way of being wrong is found."""

from __future__ import annotations

import importlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest

from guard.configuration import PolicySettings
from guard.conformance.states import STATES, WARM_S, at, in_danger
from guard.conformance.suite import problems_of
from guard.findings import Finding, Limit
from guard.state import GuardState
from guard.units import Nanoseconds
from perpguard_sdk.messages import Evidence
from tests.guard.conformance.sample_policy import Mine, found


@pytest.mark.parametrize(
    "kind", [type(policy) for policy in PolicySettings().each], ids=lambda kind: kind.name
)
def test_every_policy_that_ships_keeps_everything(kind: type[Any]) -> None:
    assert problems_of(kind) == []


FEW = {"in_danger": in_danger}


def test_a_policy_of_ones_own_keeps_everything() -> None:
    assert problems_of(Mine) == []


class Raises(Mine):
    def decide(self, state: GuardState, now: Nanoseconds) -> Iterator[Finding]:
        yield from super().decide(state, now)
        raise KeyError(next(iter(state.markets)))


class Writes(Mine):
    def decide(self, state: GuardState, now: Nanoseconds) -> Iterator[Finding]:
        state.markets.clear()
        yield from super().decide(state, now)


class ReadsFiles(Mine):
    def decide(self, state: GuardState, now: Nanoseconds) -> Iterator[Finding]:
        Path(__file__).read_bytes()
        yield from super().decide(state, now)


class Changes(Mine):
    def decide(self, state: GuardState, now: Nanoseconds) -> Iterator[Finding]:
        yield found(evidence=(Evidence(name="clock", value=float(time.perf_counter_ns()), unit="ns"),))


class OffAndOn(Mine):
    def decide(self, state: GuardState, now: Nanoseconds) -> Iterator[Finding]:
        yield found()


class SaysNoUnit(Mine):
    def decide(self, state: GuardState, now: Nanoseconds) -> Iterator[Finding]:
        if self.enabled:
            yield found(evidence=(Evidence(name="spread", value=9.0, unit=""),), counterfactual="")


class AsksForNonsense(Mine):
    def decide(self, state: GuardState, now: Nanoseconds) -> Iterator[Finding]:
        if self.enabled:
            yield found(limit=Limit(max_size=-1.0, max_leverage=0.5, entry_share=2.0))


class FilesItElsewhere(Mine):
    def decide(self, state: GuardState, now: Nanoseconds) -> Iterator[Finding]:
        if self.enabled:
            yield found(policy="another")


class ForgetsSomeMarkets(Mine):
    def decide_for(self, state: GuardState, now: Nanoseconds, markets: object) -> Iterator[Finding]:
        return iter(())


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (Raises, "it raises"),
        (Writes, "changes the state"),
        (ReadsFiles, "does no I/O"),
        (Changes, "must be deterministic"),
        (OffAndOn, "switched off"),
        (SaysNoUnit, "without a name or unit"),
        (SaysNoUnit, "would have had to be different"),
        (AsksForNonsense, "a size of -1.0"),
        (AsksForNonsense, "a leverage of 0.5"),
        (AsksForNonsense, "a share of entries of 2.0"),
        (FilesItElsewhere, "filed under 'another'"),
        (ForgetsSomeMarkets, "asked about some markets"),
    ],
)
def test_what_a_policy_does_not_keep_is_said(kind: type[Any], words: str) -> None:
    # A subclass has no manual of its own, which is said too.
    kind.__doc__ = Mine.__doc__
    assert any(words in problem for problem in problems_of(kind, FEW))


def test_a_file_that_imports_a_clock_is_said() -> None:
    # This very file imports one.
    assert any("imports time" in problem for problem in problems_of(Changes, {}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Undocumented:
    """It has a setting that nobody explains and nothing bounds."""

    name: ClassVar[str] = "undocumented"
    enabled: bool = True
    depth: float = 1.0

    def decide(self, state: GuardState, now: Nanoseconds) -> Iterator[Finding]:
        return iter(())


def test_settings_without_manual_and_bounds_are_said() -> None:
    problems = " / ".join(problems_of(Undocumented, {}))
    assert "it is the manual" in problems
    assert "takes settings that it does not have" in problems
    assert "its setting depth takes nan" in problems


@dataclass
class Thawed:
    """Not frozen, and without a name."""

    depth: float

    def decide(self, state: GuardState, now: Nanoseconds) -> Iterator[Finding]:
        return iter(())


def test_what_has_not_the_shape_of_a_policy_is_said_before_it_is_asked() -> None:
    problems = " / ".join(problems_of(Thawed, {}))
    for words in ("is not frozen", "its name is None", "no setting enabled", "no default for depth"):
        assert words in problems


def test_the_worlds_are_made_anew_each_time_and_the_bad_one_is_bad() -> None:
    assert STATES["in_danger"] is in_danger
    assert in_danger() is not in_danger()
    told = {
        each.policy
        for policy in PolicySettings().each
        for each in policy.decide(in_danger(), at(WARM_S + 6.0))
    }
    assert {"cut_leverage", "pause_entries", "widen_stops", "distrust_bots", "distrust_links"} <= told


def test_the_example_of_the_manual_keeps_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manual = Path(__file__).parents[3] / "docs" / "how-to" / "write-a-policy.md"
    example = manual.read_text().partition("```python\n")[2].partition("```")[0]
    (tmp_path / "example_of_the_manual.py").write_text(example)
    monkeypatch.syspath_prepend(tmp_path)
    kind = importlib.import_module("example_of_the_manual").WideSpread
    assert problems_of(kind) == []
