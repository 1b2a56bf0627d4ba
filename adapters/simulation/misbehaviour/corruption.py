"""Spoils frames and answers. Pure: what comes out depends on the text, the form and the generator alone."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import msgspec

from adapters.simulation.misbehaviour.faults import Corruption

HUGE_BYTES = 12 * 1024 * 1024
"""Above the 10 MB that ccxt allows a frame."""
DEPTH = 5_000
"""Arrays in arrays; decoders give up between 1,000 and 100,000."""

HTML_PAGE = (
    b"<html><head><title>502 Bad Gateway</title></head><body><center><h1>502 Bad Gateway</h1></center>"
    b"<hr><center>cloudflare</center></body></html>"
)

READABLE = tuple(form for form in Corruption if form not in (Corruption.UTF8, Corruption.HUGE))
"""Those after which the connection stands."""

_WRONG_VALUES: tuple[Any, ...] = (None, True, [], {}, [[]], "", "not a number", {"0": 1})
_WRONG_NUMBERS = ('"NaN"', '"Infinity"', '"-Infinity"', "1e999", '"1e999"', '"-1e300"', '"1e300"', "-1")


def corrupted(payload: bytes, form: Corruption, rng: Random) -> tuple[bytes, bool]:
    """Spoil a frame. Returns it, and whether it goes out as a binary frame."""
    return _SPOILERS[form](payload, rng), form is Corruption.BINARY


def _with_other_leaf(payload: bytes, rng: Random, *, numbers: bool) -> bytes:
    """Put a wrong value in the place of one that carries meaning; half a frame where it has no such place."""
    try:
        frame = msgspec.json.decode(payload)
    except msgspec.MsgspecError:
        return payload[: len(payload) // 2]
    places = [place for place in _leaves(frame) if not numbers or _is_quantity(place[0][place[1]])]
    if not places:
        return payload[: len(payload) // 2]
    holder, key = rng.choice(places)
    holder[key] = msgspec.Raw(rng.choice(_WRONG_NUMBERS).encode()) if numbers else rng.choice(_WRONG_VALUES)
    return msgspec.json.encode(frame)


def _leaves(value: Any) -> list[tuple[Any, Any]]:
    """Every place that holds no further places, as the container and the key in it."""
    found: list[tuple[Any, Any]] = []
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        found += _leaves(inner) if isinstance(inner, dict | list) and inner else [(value, key)]
    return found


def _is_quantity(value: Any) -> bool:
    """A number that venues write as text: a price or a size, not an id or a time."""
    return isinstance(value, str) and value.replace(".", "", 1).isdigit() and bool(float(value))


_STRANGE = msgspec.json.encode(
    {"e": "somethingNew", "topic": "something.new", "channel": "somethingNew", "data": {"x": [1]}}
)

_SPOILERS: dict[Corruption, Callable[[bytes, Random], bytes]] = {
    Corruption.HALF: lambda payload, _: payload[: len(payload) // 2],
    Corruption.GARBAGE: lambda _, rng: bytes(rng.choices(b'{}[]":,abc0123456789 ', k=200)) + b"}",
    Corruption.EMPTY: lambda _payload, _rng: b"",
    Corruption.HTML: lambda _payload, _rng: HTML_PAGE,
    Corruption.BINARY: lambda _, rng: rng.randbytes(256),
    Corruption.UTF8: lambda payload, _: payload[:10] + b"\xff\xfe\xc3\x28" + payload[10:],
    Corruption.TYPES: lambda payload, rng: _with_other_leaf(payload, rng, numbers=False),
    Corruption.NUMBERS: lambda payload, rng: _with_other_leaf(payload, rng, numbers=True),
    Corruption.UNKNOWN: lambda _payload, _rng: _STRANGE,
    Corruption.DEEP: lambda _payload, _rng: b"[" * DEPTH + b"]" * DEPTH,
    Corruption.HUGE: lambda _payload, _rng: b'{"e":"huge","data":"' + b"x" * HUGE_BYTES + b'"}',
}
