"""Reads the corpus: text files of bad inputs, each under a line that says what must be said about it.

A case begins with ``=== what is wrong | where the error must point | words that it must hold``; what follows, up to
the next such line, is the input. A file is for people to read and to add to: a bug found is a case added.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CASES = Path(__file__).parent / "cases"


@dataclass(frozen=True, slots=True)
class Case:
    """One bad input; ``where`` and ``words`` must stand in the error."""

    name: str
    where: str
    words: str
    text: str

    def __str__(self) -> str:
        return self.name


def cases(name: str) -> list[Case]:
    """All cases of a file of ``cases/``."""
    found = list(_cases((CASES / name).read_text()))
    twice = {case.name for case in found if [other.name for other in found].count(case.name) > 1}
    assert not twice, f"{name}: two cases are called {', '.join(sorted(twice))}"
    return found


def _cases(text: str) -> Iterator[Case]:
    head, *parts = text.split("\n=== ")
    assert head.startswith("#"), "a file of cases begins with a comment"
    for part in parts:
        title, _, body = part.partition("\n")
        name, where, words = (field.strip() for field in title.split("|"))
        yield Case(name, where, words, body.rstrip("\n") + "\n" if body.strip() else "")
