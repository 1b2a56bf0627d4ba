"""Policies of other distributions: found by entry point, loaded only where the settings name them, checked before use.

A distribution offers one by ``[project.entry-points."perpguard.policies"]``: its name to a frozen dataclass like those
in the folder ``policies``. That it is installed does nothing by itself: code that decides about an account runs only
because its owner has written its name into the settings.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from pydantic import TypeAdapter, ValidationError

from guard.errors import SettingsError
from guard.policy import Policy

GROUP = "perpguard.policies"

Place = tuple[str | int, ...]
Problem = tuple[Place, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Offered:
    """A policy that some distribution offers; ``distribution`` and ``version`` are empty where it does not say."""

    name: str
    distribution: str
    version: str
    entry: EntryPoint

    @property
    def source(self) -> str:
        """Where it comes from, for people."""
        return f"{self.distribution} {self.version}".strip() or self.entry.value


def offered() -> Mapping[str, tuple[Offered, ...]]:
    """What is installed, by name; more than one where distributions disagree about a name."""
    found: dict[str, list[Offered]] = {}
    for entry in entry_points(group=GROUP):
        distribution, version = ("", "") if entry.dist is None else (entry.dist.name, entry.dist.version)
        one = Offered(name=entry.name, distribution=distribution, version=version, entry=entry)
        found.setdefault(entry.name, []).append(one)
    return {name: tuple(each) for name, each in sorted(found.items())}


def kind_of(name: str) -> type[Policy]:
    """Load the class of an installed policy.

    Raises:
        SettingsError: it is not installed, or is there twice, or cannot be imported, or is no policy.
    """
    known = offered()
    candidates = known.get(name, ())
    if not candidates:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {near[0]}?" if near else f"; installed: {', '.join(known) or 'none'}"
        why = f"no distribution that is installed beside the guard offers this policy{hint}"
        raise SettingsError("settings", [(name, why)])
    if len(candidates) > 1:
        sources = " and ".join(each.source for each in candidates)
        raise SettingsError("settings", [(name, f"{sources} both offer a policy of this name: remove one")])
    try:
        kind = candidates[0].entry.load()
    except Exception as error:  # whatever its import does, it is told and the settings are refused
        why = f"{candidates[0].source} cannot be loaded: {type(error).__name__}: {error}"
        raise SettingsError("settings", [(name, why)]) from error
    problems = list(shape_problems(kind, name))
    if problems:
        raise SettingsError("settings", [(name, f"{candidates[0].source}: {each}") for each in problems])
    return kind  # type: ignore[no-any-return]


def shape_problems(kind: object, name: str) -> Iterator[str]:
    """Say why something cannot be a policy of this name."""
    if not isinstance(kind, type) or not dataclasses.is_dataclass(kind):
        yield "it is no dataclass: a policy is a frozen dataclass whose fields are its settings"
        return
    parameters = getattr(kind, "__dataclass_params__", None)
    if parameters is None or not parameters.frozen:
        yield "it is not frozen: @dataclass(frozen=True, slots=True, kw_only=True)"
    if getattr(kind, "name", None) != name:
        yield f"its name is {getattr(kind, 'name', None)!r}, not {name!r}: findings are filed under it"
    if not callable(getattr(kind, "decide", None)):
        yield "it has no decide(state, now)"
    fields = {field.name: field for field in dataclasses.fields(kind)}
    if "enabled" not in fields:
        yield "it has no setting enabled, by which it can be switched off"
    missing = [
        field.name
        for field in fields.values()
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]
    if missing:
        yield f"no default for {', '.join(missing)}: what is left out of the settings must be safe"


def others_of(tables: Mapping[str, Mapping[str, Any]]) -> tuple[tuple[Policy, ...], list[Problem]]:
    """Make the policies that the settings name, and say what is wrong with the others, by name and setting."""
    policies: list[Policy] = []
    problems: list[Problem] = []
    for name, table in tables.items():
        try:
            kind = kind_of(name)
        except SettingsError as error:
            problems += [((name,), message) for _, message in error.problems]
            continue
        known = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
        unknown = [key for key in table if key not in known]
        problems += [((name, key), f"unknown setting; here can stand: {', '.join(known)}") for key in unknown]
        try:
            made = TypeAdapter(kind).validate_python(
                {key: value for key, value in table.items() if key in known}
            )
        except ValidationError as error:
            problems += [((name, *each["loc"]), str(each["msg"])) for each in error.errors()]
            continue
        if not unknown:
            policies.append(made)
    return tuple(policies), problems


def sources_of(names: Mapping[str, object]) -> tuple[str, ...]:
    """Name the distributions behind policies: two versions of one decide differently."""
    known = offered()
    return tuple(f"{name} of {each.source}" for name in names for each in known.get(name, ()))
