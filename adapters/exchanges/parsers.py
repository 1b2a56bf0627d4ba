"""Reads single values out of venue payloads; whatever is not a finite number stops here. Pure."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping
from typing import Any

from guard.errors import MalformedFrameError, UnknownSymbolError
from guard.units import Nanoseconds, ns_of

Payload = Mapping[str, Any]
"""A decoded JSON object."""

LARGEST = 1e18
"""No price, size or sum of money is larger: a number beyond it is a mistake."""

LATEST_MS = 4_102_444_800_000
"""The year 2100."""


def number(payload: Payload, key: str, where: str) -> float:
    """Return ``payload[key]`` as a finite float; MalformedFrameError if it is missing or is not one."""
    value = optional_number(payload, key, where)
    if value is None:
        raise MalformedFrameError(where, f"field {key!r} is missing")
    return value


def positive(payload: Payload, key: str, where: str) -> float:
    """Return ``payload[key]`` as a finite float above zero; MalformedFrameError otherwise."""
    value = number(payload, key, where)
    if value <= 0.0:
        raise MalformedFrameError(where, f"field {key!r} must be positive, not {value}")
    return value


def not_negative(payload: Payload, key: str, where: str) -> float:
    """Return ``payload[key]`` as a finite float of 0 or more; MalformedFrameError otherwise."""
    value = number(payload, key, where)
    if value < 0.0:
        raise MalformedFrameError(where, f"field {key!r} must not be negative, and is {value}")
    return value


def share(payload: Payload, key: str, where: str) -> float:
    """Return ``payload[key]`` as a float of 0 to 1; MalformedFrameError otherwise."""
    value = number(payload, key, where)
    if not 0.0 <= value <= 1.0:
        raise MalformedFrameError(where, f"field {key!r} is no share of 1: {value:g}")
    return value


def past_at(payload: Payload, key: str, where: str) -> Nanoseconds:
    """Return the venue's time ``payload[key]`` in milliseconds; MalformedFrameError if there is none in this age."""
    at_ms = integer(payload, key, where)
    if not 0 < at_ms < LATEST_MS:
        raise MalformedFrameError(where, f"field {key!r} is no time: {at_ms}")
    return ns_of(at_ms)


def optional_number(payload: Payload, key: str, where: str) -> float | None:
    """Return ``payload[key]`` as a finite float, ``None`` if it is missing, null or empty."""
    raw = payload.get(key)
    if raw is None or raw == "":
        return None
    # Most are text, and a reading of an account makes thousands: it is looked at no more often than it must.
    if type(raw) is not str and (isinstance(raw, bool) or not isinstance(raw, int | float | str)):
        raise MalformedFrameError(where, f"field {key!r} is not a number: {raw!r:.40}")
    try:
        value = float(raw)
    except (ValueError, OverflowError) as error:
        raise MalformedFrameError(where, f"field {key!r} is not a number: {raw!r:.40}") from error
    if -LARGEST <= value <= LARGEST:
        return value
    what = "is larger than anything is" if math.isfinite(value) else "is not finite"
    raise MalformedFrameError(where, f"field {key!r} {what}: {raw!r:.40}")


def known(value: float | None) -> float | None:
    """Return ``None`` for the zero that venues write where they do not know or do not say."""
    return None if value is None or value == 0.0 else value


def integer(payload: Payload, key: str, where: str) -> int:
    """Return ``payload[key]`` as an integer; MalformedFrameError if it is missing or is not one."""
    raw = payload.get(key)
    if isinstance(raw, str) and raw.lstrip("-").isdecimal():
        return int(raw)
    if isinstance(raw, bool) or not isinstance(raw, int):
        raise MalformedFrameError(where, f"field {key!r} is not an integer: {raw!r:.40}")
    return raw


def text(payload: Payload, key: str, where: str) -> str:
    """Return ``payload[key]`` as a string that is not empty; MalformedFrameError otherwise."""
    raw = payload.get(key)
    if not isinstance(raw, str) or not raw:
        raise MalformedFrameError(where, f"field {key!r} is not a text: {raw!r:.40}")
    return raw


def flag(payload: Payload, key: str) -> bool:
    """Return whether ``payload[key]`` is true; REST payloads write some flags as text."""
    raw = payload.get(key)
    return raw is True or (isinstance(raw, str) and raw.lower() == "true")


def mapping(payload: Payload, key: str, where: str) -> Payload:
    """Return the object ``payload[key]``; MalformedFrameError if it is not one."""
    raw = payload.get(key)
    if not isinstance(raw, Mapping):
        raise MalformedFrameError(where, f"field {key!r} is not an object: {raw!r:.40}")
    return raw


def rows(raw: Any, where: str) -> list[Payload]:
    """Return a list of objects; MalformedFrameError if it is not one."""
    if not isinstance(raw, list) or not all(isinstance(row, Mapping) for row in raw):
        raise MalformedFrameError(where, f"not a list of objects: {raw!r:.40}")
    return raw


def at_of(payload: Payload, key: str) -> Nanoseconds | None:
    """Return the venue's time ``payload[key]``, which is in milliseconds (some write text), or ``None``."""
    raw = payload.get(key)
    if isinstance(raw, str) and raw.isdecimal():
        raw = int(raw)
    return ns_of(raw) if isinstance(raw, int) and not isinstance(raw, bool) and raw > 0 else None


def rows_of(payload: Payload, key: str, where: str) -> list[Payload]:
    """Return the list of objects ``payload[key]``; MalformedFrameError if it is not one."""
    if key not in payload:
        raise MalformedFrameError(where, f"field {key!r} is missing")
    return rows(payload[key], where)


def as_mapping(raw: Any, where: str) -> Payload:
    """Return a whole answer that must be an object; MalformedFrameError otherwise."""
    if not isinstance(raw, Mapping):
        raise MalformedFrameError(where, f"not an object: {raw!r:.40}")
    return raw


def levels(payload: Payload, key: str, where: str) -> list[Any]:
    """Return the list ``payload[key]`` of book levels, which the book itself reads and refuses as a whole."""
    raw = payload.get(key)
    if not isinstance(raw, list):
        raise MalformedFrameError(where, f"field {key!r} is not a list of levels: {raw!r:.40}")
    return raw


def unknown_symbol(venue: str, symbol: str, listed: Iterable[str]) -> UnknownSymbolError:
    """Make the error for a symbol that a venue does not list; it names those that look like it."""
    by_folded = {_folded(name): name for name in listed}
    exact = by_folded.get(_folded(symbol))
    near = [exact] if exact else []
    near += [by_folded[key] for key in difflib.get_close_matches(_folded(symbol), by_folded, n=4, cutoff=0.6)]
    near = list(dict.fromkeys(near))[:3]
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    return UnknownSymbolError(
        venue,
        f"does not list {symbol!r}{hint}; correct it in the settings of the venue "
        "(of a position in it only the account tells)",
    )


def _folded(symbol: str) -> str:
    """``BTCUSDT``, ``btc/usdt`` and ``BTC/USDT:USDT`` are what people write for the same market."""
    pair, _, _settle = symbol.partition(":")
    return "".join(letter for letter in pair.upper() if letter.isalnum())
