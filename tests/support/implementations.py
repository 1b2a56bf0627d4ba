"""Both implementations of books: tests that name neither run over each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from guard.market.book import BOOK_CAPACITY, ArrayBook, Book
from guard.market.implementation import compiled, why_slow
from guard.market.live import ArrayLiveBook, LiveBook

MISSING = "MISSING PROGRAM: the compiled part is not built: .venv/bin/python setup.py build_ext --inplace"

needs_compiled = pytest.mark.skipif(compiled() is None, reason=f"{MISSING} ({why_slow()})")

BookOf = Callable[..., Book]


def compiled_book(capacity: int = BOOK_CAPACITY, *, where: str = "book") -> Book:
    made: Book = compiled().CompiledBook(capacity, where=where)
    return made


def compiled_live(book: Book) -> LiveBook:
    made: LiveBook = compiled().CompiledLive(book)
    return made


BOOKS: list[Any] = [
    pytest.param(ArrayBook, id="numpy"),
    pytest.param(compiled_book, id="compiled", marks=needs_compiled),
]

every_book = pytest.mark.parametrize("book_of", BOOKS)


def live_of(book: Book) -> LiveBook:
    """The hot state of the book's own implementation."""
    return ArrayLiveBook(book) if isinstance(book, ArrayBook) else compiled_live(book)
