"""The checks that every policy has to pass: shape, settings, purity, determinism, answers. ``problems_of`` runs all.

Purity is looked for in two ways: by what the policy's own file imports, and by Python's audit events (files, sockets,
processes) while it decides. Neither can prove it; both together find every slip that was ever made here.
"""

from __future__ import annotations

import ast
import copy
import dataclasses
import inspect
import math
import re
import sys
import typing
from array import array
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from typing import Any, get_type_hints

import numpy as np
from annotated_types import Ge, Gt, Le, Lt
from pydantic import TypeAdapter, ValidationError

from guard.conformance.states import MARKET, MOMENTS_S, OTHER, STATES, Make, at, in_danger
from guard.extensions import shape_problems
from guard.findings import Finding
from guard.units import MarketId
from perpguard_sdk.messages import Evidence

IMPURE = frozenset(
    {
        *(
            "asyncio",
            "concurrent",
            "datetime",
            "http",
            "io",
            "logging",
            "multiprocessing",
            "os",
            "pathlib",
            "queue",
        ),
        *(
            "random",
            "requests",
            "secrets",
            "select",
            "selectors",
            "shutil",
            "signal",
            "socket",
            "sqlite3",
            "ssl",
        ),
        *("structlog", "subprocess", "sys", "tempfile", "threading", "time", "urllib", "uuid"),
    }
)
"""Modules with which a policy would know a clock, chance or the world."""
EVENTS = ("open", "socket.", "subprocess.", "os.", "sqlite3.", "urllib.", "http.", "shutil.", "tempfile.")
"""Audit events that no decision may raise, by how they begin."""
WRONG_VALUES = (math.nan, math.inf, -math.inf, -1e12, 1e12, "many")

_watch: list[list[str]] = []


def problems_of(kind: type[Any], states: Mapping[str, Make] = STATES) -> list[str]:
    """Say everything that a policy does not keep, as sentences; nothing where it keeps all.

    Args:
        kind: the policy's class.
        states: worlds that it is asked about, by name.
    """
    name = str(getattr(kind, "name", kind.__name__))
    found = [*shape_problems(kind, name)]
    if found:
        return found  # it could not even be asked
    found += [*_manual_problems(kind), *_settings_problems(kind), *_import_problems(kind)]
    for title, make in states.items():
        found += [f"in the state {title}: {each}" for each in _state_problems(kind, make)]
    found += _switched_off_problems(kind)
    return list(dict.fromkeys(found))


def _manual_problems(kind: type[Any]) -> Iterator[str]:
    text = inspect.getdoc(kind) or ""
    described = re.findall(r"^    (\w+): ", text.partition("Attributes:")[2], flags=re.MULTILINE)
    names = [field.name for field in dataclasses.fields(kind)]
    if described != names:
        yield f"its docstring describes {described} under Attributes, its settings are {names}: it is the manual"
    if not text.partition("Attributes:")[0].strip():
        yield "its docstring does not say what it does"


def _settings_problems(kind: type[Any]) -> Iterator[str]:
    adapter = TypeAdapter(kind)
    if kind() != kind():
        yield "two of them with the same settings are not equal"
    try:
        adapter.validate_python({"no_such_setting": 1.0})
    except ValidationError:
        pass
    else:
        yield 'it takes settings that it does not have: __pydantic_config__ = {"extra": "forbid"}'
    for field in dataclasses.fields(kind):
        if field.name == "enabled":
            continue
        for value in WRONG_VALUES:
            if not _refuses(adapter, field.name, value):
                yield f"its setting {field.name} takes {value!r}: give it bounds (annotated_types.Ge, Le, ...)"
        yield from _bound_problems(kind, adapter, field.name)


def _bound_problems(kind: type[Any], adapter: TypeAdapter[Any], name: str) -> Iterator[str]:
    annotation = get_type_hints(kind, include_extras=True)[name]
    if typing.get_origin(annotation) is not typing.Annotated:
        return
    for bound in annotation.__metadata__:
        if isinstance(bound, Ge | Le) and _refuses(
            adapter, name, bound.ge if isinstance(bound, Ge) else bound.le
        ):
            yield f"its setting {name} refuses its own bound {bound}"
        if isinstance(bound, Gt | Lt) and not _refuses(
            adapter, name, bound.gt if isinstance(bound, Gt) else bound.lt
        ):
            yield f"its setting {name} takes what lies beyond its bound {bound}"


def _refuses(adapter: TypeAdapter[Any], name: str, value: object) -> bool:
    try:
        adapter.validate_python({name: value})
    except ValidationError:
        return True
    return False


def _import_problems(kind: type[Any]) -> Iterator[str]:
    module = sys.modules.get(kind.__module__)
    try:
        source = inspect.getsource(module) if module is not None else ""
    except (OSError, TypeError):
        return  # compiled: what it does is watched below
    for node in ast.walk(ast.parse(source)):
        names: Iterable[str] = ()
        if isinstance(node, ast.Import):
            names = (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = (node.module or "",)
        for name in names:
            if name.partition(".")[0] in IMPURE:
                yield f"its file imports {name}: a policy knows no clock, chance or world but the state it is given"


def _state_problems(kind: type[Any], make: Make) -> Iterator[str]:
    one, other = make(), make()
    before = as_data(copy.deepcopy(one))
    policy = kind()
    for seconds in MOMENTS_S:
        now = at(seconds)
        did: list[str] = []
        try:
            with _watched(did):
                every = list(policy.decide(one, now))
            again, elsewhere = list(policy.decide(one, now)), list(kind().decide(other, now))
            apart = [*_apart_problems(policy, one, seconds, every)]
        except Exception as error:  # noqa: BLE001 (that it raises is what is asked)
            yield f"it raises {type(error).__name__}: {error}"
            return
        yield from (f"while deciding it did {each}: a policy does no I/O" for each in dict.fromkeys(did))
        if not every == again == elsewhere:
            yield "it finds other things when it is asked again about the same: it must be deterministic"
        yield from apart
        for found in every:
            yield from _finding_problems(policy, found)
    if as_data(one) != before:
        yield "it changes the state: a policy only looks"


def _apart_problems(policy: Any, state: Any, seconds: float, every: list[Finding]) -> Iterator[str]:
    decide_for = getattr(policy, "decide_for", None)
    if decide_for is None:
        return
    for markets in (frozenset[MarketId](), {MARKET}, {OTHER}, {MARKET, OTHER}):
        wanted = [found for found in every if found.subject.market in (None, *markets)]
        # In which order does not matter: the arbiter ranks them.
        if sorted(map(repr, decide_for(state, at(seconds), markets))) != sorted(map(repr, wanted)):
            yield "asked about some markets it finds other things there than when it is asked about all"


def _finding_problems(policy: Any, found: Finding) -> Iterator[str]:
    if not isinstance(found, Finding):
        yield f"it yields a {type(found).__name__}, not a Finding"
        return
    if found.policy != policy.name:
        yield f"a finding is filed under {found.policy!r}"
    if not found.counterfactual:
        yield f"a finding of {found.reason} does not say what would have had to be different (counterfactual)"
    if any(not isinstance(each, Evidence) or not each.name or not each.unit for each in found.evidence):
        yield f"evidence of {found.reason} without a name or unit"
    limit = found.limit
    if limit.max_size is not None and not 0.0 <= limit.max_size < math.inf:
        yield f"it asks for a size of {limit.max_size}"
    if limit.max_leverage is not None and not 1.0 <= limit.max_leverage < math.inf:
        yield f"it asks for a leverage of {limit.max_leverage}"
    if limit.entry_share is not None and not 0.0 <= limit.entry_share <= 1.0:
        yield f"it asks for a share of entries of {limit.entry_share}"
    pace = limit.pace
    if pace is not None and not (0.0 < pace.slice_size < math.inf and pace.interval_ms >= 0):
        yield f"it asks for a pace of {pace}"


def _switched_off_problems(kind: type[Any]) -> Iterator[str]:
    state, off = in_danger(), kind(enabled=False)
    try:
        found = [each for seconds in MOMENTS_S for each in off.decide(state, at(seconds))]
        if hasattr(off, "decide_for"):
            found += [each for seconds in MOMENTS_S for each in off.decide_for(state, at(seconds), {MARKET})]
    except Exception as error:  # noqa: BLE001 (that it raises is what is asked)
        yield f"switched off it raises {type(error).__name__}: {error}"
        return
    if found:
        yield "it finds something though it is switched off"


@contextmanager
def _watched(did: list[str]) -> Iterator[None]:
    """Note what Python's audit events say of the world while a policy decides; the hook stays, and sleeps."""
    if not hasattr(_watched, "hooked"):
        sys.addaudithook(_hear)
        _watched.hooked = True  # type: ignore[attr-defined]
    _watch.append(did)
    try:
        yield
    finally:
        _watch.pop()


def _hear(event: str, _arguments: tuple[object, ...]) -> None:
    if _watch and event.startswith(EVENTS):
        _watch[-1].append(event)


def as_data(value: Any, seen: frozenset[int] = frozenset()) -> Any:
    """Everything in ``value``, recursively, as something that can be compared."""
    if value is None or isinstance(value, int | str | bytes):
        return value
    if isinstance(value, float | Decimal):
        return repr(value)
    return _inside(value, seen)


def _inside(value: Any, seen: frozenset[int]) -> Any:  # noqa: PLR0911 (one for each kind of value)
    if id(value) in seen:
        return "..."
    seen |= {id(value)}
    if isinstance(value, np.ndarray):
        return value.shape, value.tobytes()  # a number that is none equals itself here
    if isinstance(value, array):
        return value.tobytes()
    if isinstance(value, dict):
        return [(as_data(key, seen), as_data(item, seen)) for key, item in value.items()]
    if isinstance(value, set | frozenset):
        return sorted((as_data(item, seen) for item in value), key=repr)  # a copy may have another order
    if isinstance(value, list | tuple):
        return [as_data(item, seen) for item in value]
    how_copied: Any = type(value).__reduce__
    if how_copied is not object.__reduce__:  # compiled ones show nothing but this
        return as_data(value.__reduce__()[1:], seen)
    slots = [
        name
        for base in type(value).__mro__
        for name in getattr(base, "__slots__", ())
        if hasattr(value, name)
    ]
    names = [*slots, *getattr(value, "__dict__", ())]
    return [(name, as_data(getattr(value, name), seen)) for name in names] if names else repr(value)
