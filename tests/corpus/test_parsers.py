"""Every parser under payloads that are nearly right: it reads them, or says what it cannot read, and nothing else."""

from __future__ import annotations

import contextlib
import copy
import gc
import json
import math
import os
import tracemalloc
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.exchanges.sync import DepthDiff
from adapters.exchanges.venue import DepthSnapshot
from guard.errors import MalformedFrameError
from guard.market.book import Side, new_book
from tests.corpus.parsers import Parser, every_parser, parsers_of_modules
from tests.corpus.reading import Case, cases

EXAMPLES = int(os.environ.get("PERPGUARD_FUZZ_EXAMPLES", "15"))
"""For each parser; thousands for a long look."""

PARSERS = every_parser()
ODD_LEAVES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 1.5, -0.0, 1e308, -1e308, 2**63, 2**70, "", " ", "0", "-1", "1e400", "nan", "NaN",
    "inf", "-inf", "Infinity", "0x10", "1_000", "١٢", "1,5", "null", "true", "A" * 300, "\x00", "💥", [], {}, [[]],
    [None], {"a": None}, float("nan"), float("inf"), "1e-400", "12345678901234567890123456789",
)  # fmt: skip

Path = tuple[Any, ...]


def leaves(value: Any, at: Path = ()) -> Iterator[Path]:
    """Paths of everything inside ``value``, itself left out."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inside:
        yield (*at, key)
        yield from leaves(each, (*at, key))


def changed(payload: Any, path: Path, value: Any, *, remove: bool = False) -> Any:
    """A copy with one thing replaced or removed."""
    made = copy.deepcopy(payload)
    holder = made
    for key in path[:-1]:
        holder = holder[key]
    if remove:
        del holder[path[-1]]
    else:
        holder[path[-1]] = value
    return made


def numbers(value: Any) -> Iterator[float]:
    """Every float in what a parser returned."""
    if isinstance(value, float):
        yield value
    elif isinstance(value, DepthDiff | DepthSnapshot):
        yield from levels(value)
    elif is_dataclass(value):
        for field in fields(value):
            yield from numbers(getattr(value, field.name))
    elif isinstance(value, dict):
        for each in value.values():
            yield from numbers(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from numbers(each)


def levels(told: DepthDiff | DepthSnapshot) -> Iterator[float]:
    """Prices and sizes, read as a book reads them: as a whole or, where one cannot be read, not at all."""
    book = new_book(where="corpus")
    with contextlib.suppress(MalformedFrameError):
        book.load(told.bids, told.asks)
        yield from (float(each) for side in Side for column in book.side(side) for each in column)


def stands(parser: Parser, payload: Any) -> None:
    """It reads the payload to finite numbers, or names what it cannot read in a line that people can read."""
    try:
        result = parser(payload)
    except MalformedFrameError as error:
        assert 10 < len(str(error)) < 400, str(error)  # noqa: PT017 (reading it is right as well)
    else:
        assert all(math.isfinite(each) for each in numbers(result)), result


def test_every_parser_that_there_is_stands_in_the_corpus() -> None:
    assert parsers_of_modules() == {parser.name for parser in PARSERS}


@pytest.mark.parametrize("parser", PARSERS, ids=lambda parser: parser.name)
def test_the_payload_itself_is_read(parser: Parser) -> None:
    assert all(math.isfinite(each) for each in numbers(parser(parser.payload)))


@pytest.mark.parametrize("parser", PARSERS, ids=lambda parser: parser.name)
def test_nearly_right_payloads_are_read_or_named(parser: Parser) -> None:
    places = list(_places(parser))

    @settings(
        max_examples=EXAMPLES,
        derandomize=EXAMPLES <= 100,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def stand(data: st.DataObject) -> None:
        payload = parser.payload
        for _ in range(data.draw(st.integers(1, 3))):
            path = data.draw(st.sampled_from(places))
            odd = data.draw(st.sampled_from(ODD_LEAVES) | _json())
            try:
                payload = changed(payload, path, odd, remove=data.draw(st.integers(0, 4)) == 0)
            except (KeyError, IndexError, TypeError):
                continue  # a former change took the place away
        stands(parser, payload)

    stand()


@pytest.mark.parametrize(
    "parser", [each for each in PARSERS if each.takes_any], ids=lambda parser: parser.name
)
@pytest.mark.parametrize(
    "answer", [None, [], {}, "", "<html>", 7, [[]], [None], {"code": -1, "msg": "no"}], ids=repr
)
def test_answers_that_are_something_else_are_named(parser: Parser, answer: Any) -> None:
    stands(parser, answer)


@pytest.mark.parametrize("case", cases("frames.txt"), ids=str)
def test_bad_frames_are_named_with_their_field(case: Case) -> None:
    parser = next(each for each in PARSERS if each.name == case.where)
    payload = parser.payload
    for line in filter(None, case.text.splitlines()):
        place, _, value = (part.strip() for part in line.partition("="))
        path = tuple(
            int(key) if key.isdecimal() else key for key in place.removeprefix("without ").split("/")
        )
        if place == "all":
            payload = json.loads(value)
        elif place.startswith("without "):
            payload = changed(payload, path, None, remove=True)
        else:
            payload = changed(payload, path, json.loads(value))

    with pytest.raises(MalformedFrameError) as caught:
        parser(payload)

    assert case.words in str(caught.value)
    assert len(str(caught.value)) < 400


def test_bad_frames_leave_nothing_behind() -> None:
    """A flood of them: memory is the same after 13 rounds as after 3."""

    def round_of_all() -> None:
        for parser in PARSERS:
            for path in list(_places(parser))[:6]:
                try:
                    parser(changed(parser.payload, path, "boom"))
                except MalformedFrameError:
                    continue

    tracemalloc.start()
    try:
        for _ in range(3):
            round_of_all()
        gc.collect()
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(10):
            round_of_all()
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert after - before < 50_000


def _places(parser: Parser) -> Iterator[Path]:
    return (path for path in leaves(parser.payload) if len(path) > 1 or not parser.takes_rows)


def _json() -> st.SearchStrategy[Any]:
    return st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
        max_leaves=6,
    )
