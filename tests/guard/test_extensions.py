"""Policies of other distributions: taken where the settings name them, refused in words where they cannot be."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from guard.building import build_engine
from guard.cli import cli
from guard.configuration import Settings, load
from guard.errors import SettingsError

POLICY = """
    from dataclasses import dataclass
    from typing import Annotated, ClassVar

    from annotated_types import Ge, Le

    from guard.findings import Finding, Limit, Reason, Severity, Subject
    from perpguard_sdk.messages import Entries, Evidence


    @dataclass(frozen=True, slots=True, kw_only=True)
    class WeekendPause:
        \"\"\"Says that nobody may enter.

        Attributes:
            enabled: whether it decides at all.
            share: of what.
        \"\"\"

        __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
        name: ClassVar[str] = "weekend_pause"
        enabled: bool = True
        share: Annotated[float, Ge(0.0), Le(1.0)] = 0.5

        def decide(self, state, now):
            if self.enabled:
                yield Finding(
                    policy=self.name,
                    reason=Reason.INSTRUCTED,
                    severity=Severity.ACT,
                    subject=Subject(),
                    limit=Limit(entries=Entries.REDUCE_ONLY),
                    evidence=(Evidence(name="share", value=self.share, unit="ratio"),),
                    counterfactual="would not stand on a weekday",
                )
"""


def install(folder: Path, module: str, text: str, entries: str, *, distribution: str) -> None:
    """What an installer leaves behind: a module, and its distribution's description."""
    (folder / f"{module}.py").write_text(textwrap.dedent(text))
    described = folder / f"{distribution}-1.2.dist-info"
    described.mkdir()
    (described / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2\n")
    (described / "entry_points.txt").write_text(f"[perpguard.policies]\n{entries}\n")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    before = set(sys.modules)
    yield folder
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) and str(folder) in str(sys.modules[name].__file__):
            del sys.modules[name]


def settings_of(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "settings.toml"
    path.write_text(text)
    return path


def problems(path: Path) -> dict[str, str]:
    with pytest.raises(SettingsError) as caught:
        load(path)
    return dict(caught.value.problems)


def weekend(site: Path) -> None:
    install(
        site,
        "weekend",
        POLICY,
        "weekend_pause = weekend:WeekendPause",
        distribution="weekend-policies",
    )


def test_a_policy_that_the_settings_name_decides_beside_perpguards_own(site: Path, tmp_path: Path) -> None:
    weekend(site)
    settings = load(settings_of(tmp_path, "[policies.others.weekend_pause]\nshare = 0.25\n"))
    last = build_engine(settings).policies[-1]
    assert last.name == "weekend_pause"
    (found,) = last.decide(build_engine(settings).state, 0)
    assert found.evidence[0].value == 0.25


def test_that_it_is_installed_does_nothing_by_itself(site: Path) -> None:
    weekend(site)
    assert "weekend_pause" not in [policy.name for policy in build_engine(Settings()).policies]


def test_its_version_is_part_of_what_tells_settings_apart(site: Path, tmp_path: Path) -> None:
    weekend(site)
    path = settings_of(tmp_path, "[policies.others.weekend_pause]\n")
    before = load(path).digest
    described = site / "weekend-policies-1.2.dist-info"
    described.joinpath("METADATA").write_text("Metadata-Version: 2.1\nName: weekend-policies\nVersion: 1.3\n")
    assert load(path).digest != before


@pytest.mark.parametrize(
    ("text", "path", "words"),
    [
        ("[policies.others.weekend_paus]\n", "policies.others.weekend_paus", "did you mean weekend_pause?"),
        (
            "[policies.others.weekend_pause]\nshare = 2.0\n",
            "policies.others.weekend_pause.share",
            "less than or equal to 1",
        ),
        (
            "[policies.others.weekend_pause]\nshar = 0.5\n",
            "policies.others.weekend_pause.shar",
            "unknown setting; here can stand: enabled, share",
        ),
        (
            "[policies.others.cut_leverage]\n",
            "policies.others.cut_leverage",
            "perpguard's own: its table is [policies.cut_leverage]",
        ),
    ],
)
def test_what_cannot_be_used_is_said_with_its_path(
    site: Path, tmp_path: Path, text: str, path: str, words: str
) -> None:
    weekend(site)
    assert words in problems(settings_of(tmp_path, text))[path]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import no_such_module\n", "cannot be loaded: ModuleNotFoundError"),
        ("raise SystemError('boom')\n", "cannot be loaded: SystemError: boom"),
        ("class WeekendPause:\n    pass\n", "it is no dataclass"),
        (
            "from dataclasses import dataclass\n@dataclass\nclass WeekendPause:\n    depth: float\n",
            "it is not frozen",
        ),
    ],
)
def test_a_distribution_that_is_broken_is_said(site: Path, tmp_path: Path, text: str, words: str) -> None:
    install(site, "weekend", text, "weekend_pause = weekend:WeekendPause", distribution="weekend-policies")
    path = settings_of(tmp_path, "[policies.others.weekend_pause]\n")
    assert any(words in problem for problem in _all(path))


def test_two_distributions_with_one_name_are_refused(site: Path, tmp_path: Path) -> None:
    weekend(site)
    install(site, "other", "", "weekend_pause = other:WeekendPause", distribution="other-policies")
    told = problems(settings_of(tmp_path, "[policies.others.weekend_pause]\n"))
    assert "both offer a policy of this name" in told["policies.others.weekend_pause"]


def test_the_commands_list_it_and_check_it(site: Path, tmp_path: Path) -> None:
    weekend(site)
    path = settings_of(tmp_path, "[policies.widen_stops]\nenabled = false\n")
    listed = CliRunner().invoke(cli, ["policies", "list", "--settings", str(path), "--json"])
    rows = {row["name"]: row for row in json.loads(listed.stdout)["policies"]}
    assert not rows["weekend_pause"]["decides"]
    assert rows["weekend_pause"]["source"] == "weekend-policies 1.2"
    assert not rows["widen_stops"]["decides"]
    assert rows["cut_leverage"]["decides"]
    checked = CliRunner().invoke(cli, ["policies", "check", "weekend_pause", "--json"])
    assert checked.exit_code == 0, checked.stdout
    assert json.loads(checked.stdout)["problems"] == []


def test_the_command_says_what_is_not_kept(site: Path) -> None:
    slip = POLICY.replace("from dataclasses", "import random\n    from dataclasses", 1)
    install(site, "weekend", slip, "weekend_pause = weekend:WeekendPause", distribution="weekend-policies")
    checked = CliRunner().invoke(cli, ["policies", "check", "weekend_pause"])
    assert checked.exit_code == 1
    assert "imports random" in checked.stdout


def _all(path: Path) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load(path)
    return [message for _, message in caught.value.problems]
