"""Prices and sizes are read to the very double that ``float`` makes of the same text, or the frame is declined."""

from __future__ import annotations

import struct
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.adapters.exchanges.frames.readers import make_reader

HALFWAY = (
    *("9007199254740992", "9007199254740993", "9007199254740995", "900719925474099.3", "9007199254740992e22"),
    *("9007199254740993e-22", "1e22", "1e23", "8.5e17", "999999999999999999", "1000000000000000000"),
    *(
        "0.1",
        "0.10000000000000000555",
        "0.3",
        "2.2250738585072011e-308",
        "4.9e-324",
        "1e-323",
        "1.7976931348623157e-290",
    ),
    *(
        "100000000000000016777215",
        "0.000000000000000000000000000000000001",
        "123456789012345678",
        "1234567890123456789",
    ),
    *(
        "7.0385307e-26",
        "61800.20",
        "0.00000001",
        "18014398509481985",
        "45035996273704985e-1",
        "0",
        "0.000",
        "0e5",
    ),
)
"""Numbers that a reader with one rounding too many or too few gets wrong."""


def sizes_read(texts: list[str]) -> list[float | None]:
    """What the compiled reader makes of each text as a size; ``None`` where it declines."""
    reader: Any = make_reader("compiled", "binanceusdm")
    found = []
    for text in texts:
        frame = f'{{"e":"depthUpdate","s":"X","U":1,"u":2,"pu":1,"b":[["1","{text}"]],"a":[]}}'
        scanned = reader.scanned(frame)
        found.append(None if scanned is None else scanned["bids"][0][1])
    return found


def assert_exact(texts: list[str]) -> None:
    for text, read in zip(texts, sizes_read(texts), strict=True):
        expected = float(text)
        if expected > 1e18:
            assert read is None, text
        else:
            assert read is not None, text
            assert struct.pack("<d", read) == struct.pack("<d", expected), text


def test_numbers_between_two_doubles() -> None:
    assert_exact(list(HALFWAY))


def test_random_decimals_bit_for_bit() -> None:
    rng = Random(4)
    texts = []
    for _ in range(60_000):
        digits = "".join(rng.choices("0123456789", k=rng.randrange(1, 25)))
        point = rng.randrange(len(digits)) if rng.random() < 0.8 else 0
        text = f"{digits[:point]}.{digits[point:]}" if point else digits
        if rng.random() < 0.3:
            text += f"{rng.choice('eE')}{rng.choice(('', '+', '-'))}{rng.randrange(40)}"
        texts.append(text)
    assert_exact(texts)


@given(st.floats(min_value=0.0, max_value=1e18, allow_subnormal=True))
def test_what_python_writes_comes_back(value: float) -> None:
    assert_exact([repr(value + 0.0), f"{value:.17e}"])


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            " 1",
            "1 ",
            "+1",
            "-1",
            "-0",
            "1_0",
            "1.",
            ".5",
            ".",
            "e5",
            "1e",
            "1e+",
            "1e99999",
            "0x1",
            "1,0",
            "٣",
        ),
        *("nan", "inf", "infinity", "1e19", "1e400", "1000000000000000129e0", "1" * 64, "1\\u0030", "1\x00"),
    ],
)
def test_what_is_no_plain_number_is_declined(text: str) -> None:
    assert sizes_read([text]) == [None]
