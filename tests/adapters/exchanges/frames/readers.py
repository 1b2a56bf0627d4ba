"""Both readers of frames, with the books that go with them, to hold to each other."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec

import pytest

from adapters.exchanges.frames import FrameReader
from adapters.exchanges.frames_reference import PythonFrameReader
from guard.market.book import new_book
from guard.market.implementation import REFERENCE, implementation
from guard.market.live import LiveBook, new_live_book
from tests.adapters.exchanges.frames.corpus import CODES
from tests.adapters.exchanges.frames.long_way import LongWay, array_live

IMPLEMENTATIONS = ("compiled", "python")
IS_COMPILED = implementation() != REFERENCE and find_spec("adapters.exchanges._frames") is not None


def make_reader(name: str, venue: str) -> FrameReader:
    """One of the ``IMPLEMENTATIONS``; the test is skipped, loudly, where it was not built."""
    if name == "python":
        return PythonFrameReader(venue)
    if not IS_COMPILED:
        # Switched off on purpose, nobody misses them.
        missed = "" if os.environ.get("PERPGUARD_NO_COMPILED", "0") not in ("", "0") else "MISSING PROGRAM: "
        pytest.skip(f"{missed}the compiled readers; build them with: python setup.py build_ext --inplace")
    reader: FrameReader = import_module("adapters.exchanges._frames").CompiledFrameReader(venue)
    return reader


def make_live(name: str) -> Callable[[], LiveBook]:
    """What makes the books that a reader writes to."""
    return array_live if name == "python" else lambda: new_live_book(new_book())


def make_way(name: str, venue: str, codes: dict[str, float] | None = None) -> LongWay:
    """The long way behind a reader."""
    return LongWay(venue, codes or CODES[venue], make_reader(name, venue), make_live(name))
