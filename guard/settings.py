"""Loads settings from TOML and the environment, and secrets from files and the environment only.

Every problem is told with its path, its line or variable, and the nearest right name, and all of them at
once. Nothing is used unless everything is right.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import stat
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict
from pydantic_settings.exceptions import SettingsError as PydanticSettingsError

from guard.errors import SettingsError
from guard.settings_lines import line_of, lines_of
from guard.settings_shape import is_table, items_of, type_at, walk

PYDANTICS_WORDS = (
    ("^Input should", "must"),
    ("^Input is not a valid path.*", "must be a path"),
    ("tuple", "list"),
    ("dictionary", "table"),
    (r" or (an )?instance of \w+", ""),
)
"""Its words for what TOML and people call otherwise."""

M = TypeVar("M", bound=BaseModel)
Data = dict[str, Any]
Loc = tuple[str | int, ...]

ENV_PREFIX = "PERPGUARD_"
SECRET_WORDS = ("password", "secret", "key", "token", "passphrase")
OTHERS_CAN_READ = stat.S_IRWXG | stat.S_IRWXO


def load_settings(
    model: type[M],
    path: Path | None,
    env_prefix: str = ENV_PREFIX,
    beneath: Callable[[Mapping[str, Any]], Data] = lambda _: {},
) -> M:
    """Read ``path``, lay the environment over it, and check everything against ``model``.

    ``PERPGUARD_BROKER__HOST`` sets ``broker.host`` and ``PERPGUARD_VENUES__0__SYMBOLS`` (as JSON) the first
    venue's symbols. Relative paths, defaults too, are relative to the folder of the file.

    Args:
        model: a pydantic model of tables; tables may be standard dataclasses.
        path: the TOML file; ``None`` takes only the environment and defaults.
        env_prefix: with what the variables begin.
        beneath: told what file and environment say, it returns what holds where they say nothing.

    Raises:
        SettingsError: the file is missing or is not TOML, or any setting is unknown, impossible or missing.
    """
    where = str(path) if path is not None else "environment"
    text, data = _read_toml(path) if path is not None else ("", {})
    problems = _unknown_variables(model, data, env_prefix)
    merged = _merge(data, _read_environment(model, env_prefix, where))
    merged = _merge(beneath(merged), merged)
    _anchor_paths(model, merged, path.absolute().parent if path is not None else Path.cwd())
    teller = _Teller(model, merged, lines_of(text), env_prefix)
    try:
        settings = model.model_validate(merged)
    except ValidationError as error:
        problems += [teller.tell(details) for details in error.errors(include_url=False)]
        raise SettingsError(where, _in_order(problems)) from error
    if problems:
        raise SettingsError(where, _in_order(problems))
    return settings


@dataclass(frozen=True, slots=True)
class SecretPlace:
    """Where one secret is to be found; ``path`` is as in ``broker.password`` (without ``_file``)."""

    path: str
    file: Path | None
    env: str | None


def secret_places(settings: BaseModel) -> list[SecretPlace]:
    """Every secret that the settings name: each pair ``X_file`` and ``X_env`` of which one is set."""
    found: list[SecretPlace] = []
    _collect_places(settings, (), found)
    return found


def resolve_secrets(
    settings: BaseModel, where: str, warn: Callable[[str], None] = lambda _: None
) -> dict[str, bytes]:
    """Read every secret that the settings name, by path as in ``bots.0.key``.

    Raises:
        SettingsError: with every one that is missing, empty or unreadable.
    """
    values: dict[str, bytes] = {}
    problems: list[tuple[str, str]] = []
    for place in secret_places(settings):
        try:
            values[place.path] = resolve_secret(what=place.path, file=place.file, env=place.env, warn=warn)
        except SettingsError as error:
            problems += error.problems
    if problems:
        raise SettingsError(where, problems)
    return values


def resolve_secret(
    *,
    what: str,
    file: Path | str | None = None,
    env: str | None = None,
    warn: Callable[[str], None] = lambda _: None,
) -> bytes:
    """Read one secret from a file or an environment variable, without the line end.

    Args:
        what: its path in the settings, as in ``broker.password``.
        file: a file that holds it and nothing else.
        env: the variable that holds it.
        warn: told when others than the file's owner can read it.

    Raises:
        SettingsError: it is missing, empty or unreadable; the problem's path names ``X_file`` or ``X_env``.
    """
    if (file is None) == (env is None):
        problem = "name one place" if file is None else "name one place, not two"
        raise SettingsError("settings", [(what, f"{problem}: {what}_file or {what}_env")])
    if env is not None:
        value = os.environb.get(env.encode(), b"")
        if not value.strip():
            state = "is empty" if env in os.environ else "is not set"
            raise _secret_error(what, "env", f"the environment variable {env} {state}: put the secret there")
        return value.rstrip(b"\r\n")
    return _read_secret_file(what, Path(str(file)).expanduser(), warn)


def _read_secret_file(what: str, path: Path, warn: Callable[[str], None]) -> bytes:
    try:
        mode = path.stat().st_mode
        value = path.read_bytes()
    except FileNotFoundError as error:
        raise _secret_error(what, "file", f"{path} is not there: create it, with the secret in it") from error
    except OSError as error:
        detail = f"{path} cannot be read ({error.strerror}): let the guard's user read it"
        raise _secret_error(what, "file", detail) from error
    if not value.strip():
        raise _secret_error(what, "file", f"{path} is empty: write the secret into it")
    if mode & OTHERS_CAN_READ and not is_handed_over(path):
        warn(f"{what}_file: others can read {path}: chmod 600 {path}")
    return value.rstrip(b"\r\n")


def is_handed_over(path: Path) -> bool:
    """Whether a supervisor has given us the file as a credential: its mode shows the mask of an access list then."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY", "")
    return bool(folder) and path.is_relative_to(folder)


def _secret_error(what: str, suffix: str, message: str) -> SettingsError:
    return SettingsError("settings", [(f"{what}_{suffix}", message)])


def _collect_places(table: object, path: tuple[str, ...], found: list[SecretPlace]) -> None:
    items = items_of(type(table))
    for name in items:
        value = getattr(table, name)
        stem = name.removesuffix("_file")
        if stem != name and f"{stem}_env" in items:
            env = getattr(table, f"{stem}_env")
            if value is not None or env is not None:
                file = Path(value) if value is not None else None
                found.append(SecretPlace(".".join((*path, stem)), file, env))
        for member, member_path in _tables_in(value, (*path, name)):
            _collect_places(member, member_path, found)


def _tables_in(value: object, path: tuple[str, ...]) -> list[tuple[object, tuple[str, ...]]]:
    members: list[tuple[object, tuple[str, ...]]]
    match value:
        case Mapping():
            members = [(member, (*path, str(key))) for key, member in value.items()]
        case list() | tuple():
            members = [(member, (*path, str(index))) for index, member in enumerate(value)]
        case _:
            members = [(value, path)]
    return [(member, place) for member, place in members if is_table(type(member))]


def _read_toml(path: Path) -> tuple[str, Data]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        message = "is not there: name the settings file with --settings, or start from the settings.toml "
        raise SettingsError(str(path), [("file", message + "that perpguard comes with")]) from error
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(str(path), [("file", f"cannot be read: {error}")]) from error
    try:
        return text, tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(str(path), [("syntax", f"not TOML: {error}")]) from error


def _read_environment(model: type[BaseModel], prefix: str, where: str) -> Data:
    # The source reads names and types from a BaseSettings class; nothing is validated by this one.
    loader = type(
        "Environment",
        (model, BaseSettings),
        {"model_config": SettingsConfigDict(extra="ignore"), "__module__": __name__},
    )
    try:
        source = EnvSettingsSource(
            loader, env_prefix=prefix, env_nested_delimiter="__", env_ignore_empty=False
        )
        return {name: _parse_json(value) for name, value in source().items()}
    except PydanticSettingsError as error:
        cause = f" ({error.__cause__})" if error.__cause__ else ""
        raise SettingsError(where, [("environment", f"{error}{cause}: lists and tables are JSON")]) from error


def _parse_json(value: Any) -> Any:
    """Lists and tables below a list's member, which the source leaves as text."""
    if isinstance(value, dict):
        return {name: _parse_json(each) for name, each in value.items()}
    if isinstance(value, str) and value.startswith(("[", "{")):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def _unknown_variables(model: type[BaseModel], data: Data, prefix: str) -> list[tuple[str, str]]:
    """Nested variables whose first part is no table. Others may belong to anybody, as a bot's key does."""
    named = set(_texts(data))
    known = list(items_of(model))
    problems = []
    for name in os.environ:
        table, nested, _ = name.removeprefix(prefix).lower().partition("__")
        if name.upper().startswith(prefix) and nested and table not in known and name not in named:
            near = difflib.get_close_matches(table, known, n=1)
            hint = (
                f"; did you mean {prefix}{near[0].upper()}__...?" if near else f"; tables: {', '.join(known)}"
            )
            problems.append((name, f"unknown setting in the environment{hint}"))
    return problems


def _texts(data: object) -> list[str]:
    match data:
        case str():
            return [data]
        case dict():
            return [text for value in data.values() for text in _texts(value)]
        case list():
            return [text for value in data for text in _texts(value)]
        case _:
            return []


def _merge(base: Any, over: Any) -> Any:
    """``over`` laid over ``base``; a table with numbers for names changes members of a list."""
    if isinstance(base, dict) and isinstance(over, dict):
        return base | {key: _merge(base.get(key), value) for key, value in over.items()}
    if isinstance(over, dict) and over and all(key.isdigit() for key in over):
        members = list(base) if isinstance(base, list) else []
        for key, value in sorted(over.items(), key=lambda each: int(each[0])):
            if int(key) < len(members):
                members[int(key)] = _merge(members[int(key)], value)
            else:
                members.append(_merge(None, value))
        return members
    return {key: _merge(None, value) for key, value in over.items()} if isinstance(over, dict) else over


def _anchor_paths(kind: type, data: Data, base: Path) -> None:
    """Make relative paths absolute from ``base``, defaults included."""
    for name, item in items_of(kind).items():
        if item.table is not None:
            inner = data.get(name, {})
            if isinstance(inner, dict) and item.default is not None:
                _anchor_paths(item.table, inner, base)
                if inner:
                    data[name] = inner
        elif item.inner is not None:
            members = data.get(name)
            each = list(members.values()) if isinstance(members, dict) else members
            for member in each if isinstance(each, list) else ():
                if isinstance(member, dict):
                    _anchor_paths(item.inner, member, base)
        elif item.is_path:
            value = data.get(name, item.default)
            if isinstance(value, str | Path) and str(value):
                data[name] = str(base / Path(value).expanduser())


def _in_order(problems: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return list(dict.fromkeys(problems))


@dataclass(frozen=True, slots=True)
class _Teller:
    """Turns one of pydantic's errors into a path and a sentence."""

    model: type[BaseModel]
    data: Data
    lines: Mapping[Loc, int]
    prefix: str

    def tell(self, details: Mapping[str, Any]) -> tuple[str, str]:
        loc = self._settings_loc(tuple(details["loc"]), str(details["type"]))
        return ".".join(str(part) for part in loc) or "settings", self._message(loc, details) + self._origin(
            loc
        )

    def _settings_loc(self, loc: Loc, kind: str) -> Loc:
        """Without the names that pydantic adds for unions and validators."""
        found: list[str | int] = []
        here: Any = self.data
        for index, part in enumerate(loc):
            if _leads_on(here, part):
                here = here[part]
                found.append(part)
            elif index == len(loc) - 1 and ("missing" in kind or self._is_name(tuple(found), part)):
                found.append(part)
        return tuple(found)

    def _is_name(self, parent: Loc, part: str | int) -> bool:
        kind = type_at(self.model, parent)
        return kind is not None and part in items_of(kind)

    def _message(self, loc: Loc, details: Mapping[str, Any]) -> str:
        kind, message = str(details["type"]), str(details["msg"])
        if kind in {"extra_forbidden", "unexpected_keyword_argument"}:
            return self._unknown(loc)
        if "missing" in kind:
            table = type_at(self.model, loc[:-1])
            item = items_of(table).get(str(loc[-1])) if table is not None else None
            return "is missing" + (f": {item.description}" if item is not None and item.description else "")
        if kind in {"value_error", "assertion_error"}:
            message = message.partition(", ")[2] or message
        for pydantics, ours in PYDANTICS_WORDS:
            message = re.sub(pydantics, ours, message)
        value = details.get("input")
        shown = isinstance(value, str | int | float) and not _sounds_secret(str(loc[-1:]))
        return f"{message} (it is {value!r})" if shown and kind != "value_error" else message

    def _unknown(self, loc: Loc) -> str:
        name = str(loc[-1])
        table = type_at(self.model, loc[:-1])
        known = list(items_of(table)) if table is not None else []
        if _sounds_secret(name) and {f"{name}_file", f"{name}_env"} <= set(known):
            return f"unknown setting; secrets never stand here: give {name}_file or {name}_env"
        near = difflib.get_close_matches(name.lower(), known, n=2)
        if near:
            return f"unknown setting; did you mean {' or '.join(near)}?"
        elsewhere = [path for path, kind in walk(self.model) if path != loc[:-1] and name in items_of(kind)]
        if elsewhere:
            return f"unknown setting here; did you mean {'.'.join((*elsewhere[0], name))}?"
        return f"unknown setting; here can stand: {', '.join(known) or 'nothing'}"

    def _origin(self, loc: Loc) -> str:
        for end in range(len(loc), 0, -1):
            name = self.prefix + "__".join(str(part) for part in loc[:end]).upper()
            if any(name == each.upper() for each in os.environ):
                return f" (from the environment variable {name})"
        line = line_of(self.lines, loc)
        return f" (line {line})" if line else ""


def _leads_on(here: object, part: str | int) -> bool:
    if isinstance(here, list):
        return isinstance(part, int) and part < len(here)
    return isinstance(here, dict) and part in here


def _sounds_secret(name: str) -> bool:
    return any(word in name.lower() for word in SECRET_WORDS)
