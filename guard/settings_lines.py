"""On which line of a TOML text each table and key stands, which the parser does not tell. No I/O."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping

Loc = tuple[str | int, ...]

_HEADER = re.compile(r"\s*(\[\[?)([^\[\]]+)\]")
_KEY = re.compile(r"""\s*((?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*=""")
_PART = re.compile(r"""[\w-]+|"[^"]*"|'[^']*'""")


def lines_of(text: str) -> dict[Loc, int]:
    r"""Lines, from 1, of every table header and key of a valid TOML text.

    >>> lines_of('[broker]\nhost = "x"\n[[venues]]\nid = "y"\n')
    {('broker',): 1, ('broker', 'host'): 2, ('venues', 0): 3, ('venues', 0, 'id'): 4}
    """
    found: dict[Loc, int] = {}
    counts: dict[Loc, int] = {}
    table: Loc = ()
    lines = text.splitlines()
    number = 0
    while number < len(lines):
        line = lines[number]
        number += 1
        header = _HEADER.match(line)
        if header:
            table = _with_indexes(tuple(_parts(header[2])), counts, append=header[1] == "[[")
            found.setdefault(table, number)
            continue
        key = _KEY.match(line)
        if key:
            found.setdefault((*table, *_parts(key[1])), number)
            number += _more_lines(lines, number - 1)
    return found


def line_of(lines: Mapping[Loc, int], loc: Loc) -> int | None:
    """The line of ``loc``, or of the nearest thing around it."""
    for end in range(len(loc), 0, -1):
        if loc[:end] in lines:
            return lines[loc[:end]]
    return None


def _parts(dotted: str) -> list[str]:
    return [part.strip("\"'") for part in _PART.findall(dotted)]


def _with_indexes(path: Loc, counts: dict[Loc, int], *, append: bool) -> Loc:
    """Put the index of the current member behind every name of a list of tables."""
    table: Loc = ()
    for position, part in enumerate(path):
        table = (*table, part)
        if append and position == len(path) - 1:
            counts[table] = counts.get(table, -1) + 1
        if table in counts:
            table = (*table, counts[table])
    return table


def _more_lines(lines: list[str], start: int) -> int:
    """How many further lines the statement that begins at ``start`` takes."""
    for more in range(len(lines) - start):
        try:
            tomllib.loads("\n".join(lines[start : start + more + 1]))
        except tomllib.TOMLDecodeError:
            continue
        return more
    return 0
