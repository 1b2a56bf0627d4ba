"""Puts a member into a list of tables of a TOML text, or takes it out; all else stays as it is. No I/O."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from typing import Any

from guard.settings_lines import lines_of

Value = str | tuple[str, ...]


class CannotEditError(ValueError):
    """The text is written in a way in which this cannot be done; its words say what to change by hand."""


def with_member(text: str, table: str, member: Mapping[str, Value]) -> str:
    r"""Return ``text`` with one more ``[[table]]``, behind the last one, else at the end.

    Raises:
        CannotEditError: the list is written in one line, or by dotted keys.

    >>> print(with_member('[[bots]] # mine\nname = "a"\n\n[log]\n', "bots", {"name": "b"}), end="")
    [[bots]] # mine
    name = "a"
    <BLANKLINE>
    [[bots]]
    name = "b"
    <BLANKLINE>
    [log]
    """
    before = _members(text, table)
    lines = text.splitlines()
    block = [f"[[{table}]]", *(f"{key} = {_toml(value)}" for key, value in member.items())]
    if before:
        _, end = _extent(text, table, len(before) - 1)
        lines[end:end] = ["", *block]
    else:
        while lines and not lines[-1].strip():
            lines.pop()
        lines += ["", *block] if lines else block
    result = _joined(lines, text)
    plain = {key: list(value) if isinstance(value, tuple) else value for key, value in member.items()}
    _check(text, result, table, [*before, plain])
    return result


def without_member(text: str, table: str, index: int) -> str:
    r"""Return ``text`` without the ``[[table]]`` number ``index``; comments before and behind it stay.

    Raises:
        CannotEditError: the list is written in one line, or by dotted keys.

    >>> without_member('# top\n[[bots]]\nname = "a"\n\n# about b\n[[bots]]\nname = "b"\n', "bots", 0)
    '# top\n\n# about b\n[[bots]]\nname = "b"\n'
    """
    before = _members(text, table)
    start, end = _extent(text, table, index)
    lines = text.splitlines()
    if start and end < len(lines) and not lines[start - 1].strip() and not lines[end].strip():
        end += 1
    while start and end == len(lines) and not lines[start - 1].strip():
        start -= 1
    result = _joined(lines[:start] + lines[end:], text)
    _check(text, result, table, before[:index] + before[index + 1 :])
    return result


def _members(text: str, table: str) -> list[Any]:
    members = tomllib.loads(text).get(table, [])
    found = lines_of(text)
    if not isinstance(members, list) or any((table, index) not in found for index in range(len(members))):
        raise CannotEditError(
            f"{table} is not written as blocks: write each as [[{table}]] with its settings below"
        )
    return members


def _extent(text: str, table: str, index: int) -> tuple[int, int]:
    """First line of a block, and the line behind its last setting, both from 0."""
    found = lines_of(text)
    start = found[table, index] - 1
    lines = text.splitlines()
    heads = [number - 1 for loc, number in found.items() if _is_head(lines[number - 1], loc)]
    end = min((number for number in heads if number > start), default=len(lines))
    while end > start + 1 and (not lines[end - 1].strip() or lines[end - 1].lstrip().startswith("#")):
        end -= 1
    return start, end


def _is_head(line: str, _loc: tuple[str | int, ...]) -> bool:
    return line.lstrip().startswith("[")


def _check(text: str, result: str, table: str, wanted: list[Any]) -> None:
    """Trust no editing of text: what a parser reads must be what was there, and the one change."""
    before = tomllib.loads(text)
    try:
        after = tomllib.loads(result)
    except tomllib.TOMLDecodeError:
        after = {}
    rest = {key: value for key, value in before.items() if key != table}
    if after.pop(table, []) != wanted or after != rest:
        raise CannotEditError(f"this file cannot be edited by a program: change [[{table}]] by hand")


def _joined(lines: list[str], original: str) -> str:
    end = "\r\n" if "\r\n" in original else "\n"
    return end.join(lines) + end if lines else ""


def _toml(value: Value) -> str:
    """Spell a text or a list of texts; JSON's spelling of them is TOML's too."""
    if isinstance(value, tuple):
        return "[" + ", ".join(json.dumps(each, ensure_ascii=False) for each in value) + "]"
    return json.dumps(value, ensure_ascii=False)
