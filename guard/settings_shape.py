"""What a settings type allows: its names, types, defaults and meanings, for error messages and documents.

Knows pydantic models and standard dataclasses alike, because the policies are the latter. No I/O.
"""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel

REQUIRED = object()
"""Default of a setting that has none."""


@dataclass(frozen=True, slots=True)
class Item:
    """One setting of a table; ``default`` is ``REQUIRED`` where there is none."""

    name: str
    annotation: Any
    default: object
    description: str
    limits: str

    @property
    def table(self) -> type | None:
        """The type of the table it is, ``None`` for a plain value or a list."""
        return table_in(self.annotation)

    @property
    def is_list_of_tables(self) -> bool:
        """Whether it is written as ``[[name]]``."""
        return typing.get_origin(_bare(self.annotation)) in {list, tuple} and _inner_table(self) is not None

    @property
    def is_map_of_tables(self) -> bool:
        """Whether it is written as ``[name.KEY]``."""
        return typing.get_origin(_bare(self.annotation)) is dict and _inner_table(self) is not None

    @property
    def is_path(self) -> bool:
        """Whether it names a file or a folder."""
        return _bare(self.annotation) is Path or self.name.endswith("_file")

    @property
    def inner(self) -> type | None:
        """The table type of the list's or map's members."""
        return _inner_table(self)


def is_table(kind: object) -> bool:
    """Whether ``kind`` is a type that a TOML table fills."""
    return isinstance(kind, type) and (issubclass(kind, BaseModel) or dataclasses.is_dataclass(kind))


def items_of(kind: type) -> dict[str, Item]:
    """The settings of a table type, in order."""
    if issubclass(kind, BaseModel):
        return {
            name: Item(
                name,
                field.annotation,
                REQUIRED if field.is_required() else field.get_default(call_default_factory=True),
                field.description or "",
                _limits(field.metadata, field.annotation),
            )
            for name, field in kind.model_fields.items()
        }
    hints = typing.get_type_hints(kind, include_extras=True)
    meanings = attributes_in(kind.__doc__ or "")
    return {
        field.name: Item(
            field.name,
            hints[field.name],
            _dataclass_default(field),
            meanings.get(field.name, ""),
            _limits(getattr(hints[field.name], "__metadata__", ()), hints[field.name]),
        )
        for field in dataclasses.fields(kind)  # type: ignore[arg-type]
        if field.init
    }


def type_at(kind: type, path: Sequence[str | int]) -> type | None:
    """The table type that ``path`` leads to from ``kind``; ``None`` where it leads to no table."""
    annotation: Any = kind
    for part in path:
        bare = _bare(annotation)
        if is_table(bare):
            item = items_of(bare).get(str(part))
            if item is None:
                return None
            annotation = item.annotation
        elif typing.get_args(bare):
            annotation = typing.get_args(bare)[-1 if typing.get_origin(bare) is dict else 0]
        else:
            return None
    return table_in(annotation)


def table_in(annotation: object) -> type | None:
    """The table type that an annotation stands for, through Annotated and ``| None``."""
    bare = _bare(annotation)
    return bare if is_table(bare) else None


def attributes_in(docstring: str) -> dict[str, str]:
    """The meanings that a docstring's ``Attributes:`` section gives.

    >>> attributes_in('''A thing.
    ...
    ...     Attributes:
    ...         size: how big,
    ...             in metres.
    ...         name: what it is called.
    ... ''')
    {'size': 'how big, in metres', 'name': 'what it is called'}
    """
    _, found, section = docstring.partition("Attributes:")
    if not found:
        return {}
    meanings: dict[str, str] = {}
    name = ""
    for line in section.splitlines():
        start = re.match(r"\s+(\w+): (.*)", line)
        if start:
            name = start[1]
            meanings[name] = start[2].strip()
        elif line.strip() and name:
            meanings[name] += " " + line.strip()
        elif name:
            break
    return {name: meaning.rstrip(".") for name, meaning in meanings.items()}


def plain(value: object) -> object:
    """A default as TOML would hold it."""
    match value:
        case Enum():
            return value.value
        case Path():
            return str(value)
        case Mapping():
            return {str(key): plain(each) for key, each in value.items()}
        case list() | tuple() | frozenset() | set():
            return [plain(each) for each in value]
        case _:
            return value


def walk(kind: type, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], type]]:
    """Every table type below ``kind`` with its place: ``0`` is a list's member, ``NAME`` a map's."""
    yield path, kind
    for item in items_of(kind).values():
        if item.table is not None:
            yield from walk(item.table, (*path, item.name))
        elif item.inner is not None:
            member = "0" if item.is_list_of_tables else "NAME"
            yield from walk(item.inner, (*path, item.name, member))


def type_name(annotation: object) -> str:
    """A type in words."""
    bare = _bare(annotation)
    origin = typing.get_origin(bare)
    if origin is typing.Literal:
        return " or ".join(repr(each) for each in typing.get_args(bare))
    if isinstance(bare, type) and issubclass(bare, Enum):
        return " or ".join(f'"{each.value}"' for each in bare)
    if origin in {list, tuple}:
        return f"list of {type_name(typing.get_args(bare)[0])}"
    if origin is dict:
        return "table"
    names = {str: "text", bool: "true or false", int: "whole number", float: "number", Path: "path"}
    return names.get(bare, getattr(bare, "__name__", str(bare)))


def _bare(annotation: Any) -> Any:
    """Without Annotated and without ``| None``."""
    while True:
        origin = typing.get_origin(annotation)
        if origin is Annotated:
            annotation = typing.get_args(annotation)[0]
        elif origin in {typing.Union, types.UnionType}:
            members = [each for each in typing.get_args(annotation) if each is not type(None)]
            annotation = next((each for each in members if is_table(each)), members[0])
        else:
            return annotation


def _inner_table(item: Item) -> type | None:
    bare = _bare(item.annotation)
    if typing.get_origin(bare) not in {list, tuple, dict}:
        return None
    return table_in(typing.get_args(bare)[-1 if typing.get_origin(bare) is dict else 0])


def _dataclass_default(field: dataclasses.Field[Any]) -> object:
    if field.default is not dataclasses.MISSING:
        return field.default
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return REQUIRED


def _limits(metadata: Sequence[object], annotation: object) -> str:
    """Least and greatest in words, from annotated-types markers wherever they hang."""
    found: list[object] = []
    for each in (*metadata, *getattr(annotation, "__metadata__", ())):
        inner = getattr(each, "metadata", None)  # pydantic's FieldInfo inside Annotated
        found.extend(inner if isinstance(inner, list) else [each])
    words = []
    for name, text in (("ge", "at least"), ("gt", "above"), ("le", "at most"), ("lt", "below")):
        values = [getattr(each, name, None) for each in found]
        words += [f"{text} {value:.12g}" for value in values if isinstance(value, int | float)][:1]
    return ", ".join(words)
