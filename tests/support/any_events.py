"""Random events of every kind, made from the types of their fields, so that a new kind or field is tried at once."""

from __future__ import annotations

import types
from enum import Enum
from typing import Any, Union, get_args, get_origin

import msgspec
from hypothesis import strategies as st

from guard.events import CURVE_BPS, NOTIONALS_USD, AnyEvent, BookSide

ALL_EVENTS: tuple[type, ...] = get_args(AnyEvent)

_numbers = st.floats(allow_nan=False, allow_infinity=False)
_integers = st.integers(min_value=-(2**63), max_value=2**63 - 1)
_names = st.sampled_from(["binanceusdm:BTC/USDT:USDT", "bybit:ETH/USDT:USDT", "", "é\n\x00,"]) | st.text(
    max_size=5
)


def events(*kinds: type) -> st.SearchStrategy[Any]:
    """Any event of these kinds, of all if none is named."""
    return st.one_of([_structs(kind) for kind in kinds or ALL_EVENTS])


def usual_sides() -> st.SearchStrategy[BookSide]:
    """Sides sampled at the distances and notionals of this version."""
    return st.builds(
        BookSide,
        curve_usd=st.tuples(*[_numbers] * len(CURVE_BPS)),
        visible_bps=_numbers,
        visible_usd=_numbers,
        slippage_bps=st.tuples(*[st.none() | _numbers] * len(NOTIONALS_USD)),
        slope_usd=st.none() | _numbers,
        slope_kappa=st.none() | _numbers,
    )


def _structs(kind: type) -> st.SearchStrategy[Any]:
    fields = {field.name: _of(field.type) for field in msgspec.structs.fields(kind)}
    any_of_it = st.builds(kind, **fields)
    return any_of_it if kind is not BookSide else usual_sides() | any_of_it


def _of(kind: Any) -> st.SearchStrategy[Any]:  # noqa: PLR0911 (one line a type)
    if kind is type(None):
        return st.none()
    if kind in (float, int, str, bool, bytes):
        return {
            float: _numbers,
            int: _integers,
            str: _names,
            bool: st.booleans(),
            bytes: st.binary(max_size=8),
        }[kind]
    if hasattr(kind, "__supertype__"):
        return _of(kind.__supertype__)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return st.sampled_from(kind)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return st.deferred(lambda: _structs(kind))
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return st.one_of([_of(each) for each in arguments])
    if origin is tuple and arguments[-1] is Ellipsis:
        return st.lists(_of(arguments[0]), max_size=3).map(tuple)
    if origin is tuple:
        return st.tuples(*[_of(each) for each in arguments])
    if origin is dict:
        return st.dictionaries(_of(arguments[0]), _of(arguments[1]), max_size=3)
    raise NotImplementedError(f"no strategy for {kind}: give it one")
