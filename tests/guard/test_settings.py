"""Settings are read from file, environment and secrets; every problem is told with path and line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest
from annotated_types import Gt
from pydantic import BaseModel, ConfigDict, Field

from guard.errors import SettingsError
from guard.settings import load_settings, resolve_secret, resolve_secrets, secret_places


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Broker(Strict):
    host: str = Field(default="localhost", description="where it listens")
    port: int = Field(default=1883, ge=1)
    password_file: Path | None = None
    password_env: str | None = None
    data_dir: Path = Path("var")


class Account(Strict):
    api_key_file: str | None = None
    api_key_env: str | None = None


class Venue(Strict):
    id: str = Field(description="which venue")
    symbols: list[str]
    accounts: dict[str, Account] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A policy.

    Attributes:
        ratio: how much.
    """

    ratio: Annotated[float, Gt(0)] = 0.5


class Policies(Strict):
    thin: Policy = Policy()


class Model(Strict):
    broker: Broker = Field(default_factory=Broker)
    venues: list[Venue] = []
    policies: Policies = Field(default_factory=Policies)


def load(tmp_path: Path, text: str) -> Model:
    path = tmp_path / "settings.toml"
    path.write_text(text)
    return load_settings(Model, path)


def problems(tmp_path: Path, text: str) -> dict[str, str]:
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, text)
    return dict(caught.value.problems)


def test_reads_tables_lists_and_dataclasses(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        '[broker]\nhost = "b"\n[[venues]]\nid = "x"\nsymbols = ["A"]\n[policies.thin]\nratio = 0.25\n',
    )
    assert settings.broker.host == "b"
    assert settings.venues[0].symbols == ["A"]
    assert settings.policies.thin == Policy(ratio=0.25)


def test_relative_paths_defaults_too_belong_to_the_files_folder(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        '[broker]\npassword_file = "secrets/p"\n'
        '[[venues]]\nid = "x"\nsymbols = []\n[venues.accounts.main]\napi_key_file = "k"\n',
    )
    assert settings.broker.password_file == tmp_path / "secrets/p"
    assert settings.broker.data_dir == tmp_path / "var"
    assert settings.venues[0].accounts["main"].api_key_file == str(tmp_path / "k")
    assert load(tmp_path, "").broker.data_dir == tmp_path / "var"
    assert load(tmp_path, '[broker]\ndata_dir = "/abs"\n').broker.data_dir == Path("/abs")


@pytest.mark.parametrize(
    ("text", "path", "words"),
    [
        (
            '[[venues]]\nid = "x"\nsymbols = []\nsymbol = "A"\n',
            "venues.0.symbol",
            "did you mean symbols? (line 4)",
        ),
        ("[brokr]\nport = 1\n", "brokr", "unknown setting; did you mean broker? (line 1)"),
        ("[broker]\nzzz = 1\n", "broker.zzz", "here can stand: host, port"),
        ("[policies.thin]\nratoi = 1\n", "policies.thin.ratoi", "did you mean ratio? (line 2)"),
        (
            "[policies.thin]\n\nratio = 0\n",
            "policies.thin.ratio",
            "must be greater than 0 (it is 0) (line 3)",
        ),
        ('[broker]\nport = "many"\n', "broker.port", "must be a valid integer"),
        ("[broker]\nport = 0\n", "broker.port", "must be greater than or equal to 1 (it is 0)"),
        ('[[venues]]\nid = "x"\n', "venues.0.symbols", "is missing (line 1)"),
        ("[[venues]]\nsymbols = []\n", "venues.0.id", "is missing: which venue (line 1)"),
        ("[broker]\nratio = 1\n", "broker.ratio", "did you mean policies.thin.ratio?"),
        ('[broker]\npassword = "x"\n', "broker.password", "give password_file or password_env"),
        ('[[venues]]\nid = "x"\nsymbols = [\n 1,\n]\nidd = 1\n', "venues.0.idd", "did you mean id? (line 6)"),
        ("venues = 3\n", "venues", "must be a valid list"),
    ],
)
def test_a_problem_is_told_with_path_line_and_the_nearest_name(
    tmp_path: Path, text: str, path: str, words: str
) -> None:
    found = problems(tmp_path, text)
    assert words in found[path]


def test_all_problems_are_told_at_once_and_no_secret_is_repeated(tmp_path: Path) -> None:
    found = problems(tmp_path, '[broker]\nport = 0\npassword = "hunter2"\nhots = "b"\n[vanues]\n')
    assert set(found) == {"broker.port", "broker.password", "broker.hots", "vanues"}
    assert "hunter2" not in str(found)


def test_a_file_that_is_missing_or_is_not_toml_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"nothing\.toml.*\n.*is not there"):
        load_settings(Model, tmp_path / "nothing.toml")
    assert "line 2" in problems(tmp_path, "[broker]\nhost = \n")["syntax"]
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match="cannot be read"):
        load_settings(Model, tmp_path / "binary.toml")


def test_the_environment_lies_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERPGUARD_BROKER__HOST", "from-env")
    monkeypatch.setenv("PERPGUARD_VENUES__0__SYMBOLS", '["B", "C"]')
    monkeypatch.setenv("PERPGUARD_VENUES__1__ID", "second")
    monkeypatch.setenv("PERPGUARD_VENUES__1__SYMBOLS", "[]")
    monkeypatch.setenv("PERPGUARD_POLICIES__THIN__RATIO", "0.125")
    settings = load(tmp_path, '[broker]\nhost = "b"\nport = 7\n[[venues]]\nid = "x"\nsymbols = ["A"]\n')
    assert (settings.broker.host, settings.broker.port) == ("from-env", 7)
    assert [(each.id, each.symbols) for each in settings.venues] == [("x", ["B", "C"]), ("second", [])]
    assert settings.policies.thin.ratio == 0.125


def test_a_bad_variable_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERPGUARD_BROKER__PORT", "-1")
    monkeypatch.setenv("PERPGUARD_BROKR__HOST", "x")
    monkeypatch.setenv("PERPGUARD_BROKER__HOTS", "x")
    monkeypatch.setenv("PERPGUARD_SOMEBODY_ELSES", "x")
    found = problems(tmp_path, "")
    assert "from the environment variable PERPGUARD_BROKER__PORT" in found["broker.port"]
    assert "did you mean host?" in found["broker.hots"]
    assert "did you mean PERPGUARD_BROKER__" in found["PERPGUARD_BROKR__HOST"]
    assert len(found) == 3


def test_a_secret_comes_from_a_file_or_a_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "secret"
    file.write_bytes(b" pass word \r\n")
    file.chmod(0o600)
    monkeypatch.setenv("THE_SECRET", "other\n")
    warnings: list[str] = []
    assert resolve_secret(what="broker.password", file=file, warn=warnings.append) == b" pass word "
    assert resolve_secret(what="broker.password", env="THE_SECRET", warn=warnings.append) == b"other"
    assert warnings == []
    file.chmod(0o644)
    resolve_secret(what="broker.password", file=file, warn=warnings.append)
    assert warnings == [f"broker.password_file: others can read {file}: chmod 600 {file}"]


def test_a_secret_that_cannot_be_had_names_its_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").write_text("\n")
    monkeypatch.setenv("EMPTY_SECRET", " ")
    monkeypatch.delenv("NO_SECRET", raising=False)
    for arguments, problem in [
        ({"file": tmp_path / "no"}, ("p.x_file", "is not there")),
        ({"file": tmp_path / "empty"}, ("p.x_file", "is empty")),
        ({"file": tmp_path}, ("p.x_file", "cannot be read")),
        ({"env": "NO_SECRET"}, ("p.x_env", "NO_SECRET is not set")),
        ({"env": "EMPTY_SECRET"}, ("p.x_env", "is empty")),
        ({}, ("p.x", "name one place")),
        ({"file": tmp_path, "env": "NO_SECRET"}, ("p.x", "not two")),
    ]:
        with pytest.raises(SettingsError) as caught:
            resolve_secret(what="p.x", **arguments)  # type: ignore[arg-type]
        [(path, message)] = caught.value.problems
        assert path == problem[0]
        assert problem[1] in message


def test_all_secrets_of_the_settings_are_found_wherever_they_stand(tmp_path: Path) -> None:
    (tmp_path / "k").write_text("key-of-main")
    settings = load(
        tmp_path,
        '[broker]\npassword_env = "NO_SUCH_SECRET"\n'
        '[[venues]]\nid = "x"\nsymbols = []\n[venues.accounts.main]\napi_key_file = "k"\n'
        '[venues.accounts.other]\napi_key_file = "none"\n',
    )
    assert [each.path for each in secret_places(settings)] == [
        "broker.password",
        "venues.0.accounts.main.api_key",
        "venues.0.accounts.other.api_key",
    ]
    with pytest.raises(SettingsError) as caught:
        resolve_secrets(settings, "settings.toml")
    assert [path for path, _ in caught.value.problems] == [
        "broker.password_env",
        "venues.0.accounts.other.api_key_file",
    ]
    (tmp_path / "none").write_text("key-of-other")
    whole = settings.model_copy(update={"broker": Broker()})
    assert resolve_secrets(whole, "settings.toml") == {
        "venues.0.accounts.main.api_key": b"key-of-main",
        "venues.0.accounts.other.api_key": b"key-of-other",
    }
