"""A whole cascade as it is and compiled: the same results, whatever lay in the work space before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import inf, nan
from types import ModuleType
from typing import Any

import msgspec
import numpy as np
import pytest

from guard.forecasts import Direction
from guard.leverage.cascade import CascadeInputs, CascadeResult, Elsewhere
from guard.leverage.cascade import case as installed
from guard.leverage.cascade.settings import DEFAULT
from guard.readings import BookReading
from tests.guard.leverage.cascade.books import BOTH, PlainMap, book
from tests.support.uncompiled import uncompiled

AS_IT_IS = uncompiled("guard.leverage.cascade.kernel", "guard.leverage.cascade.case")[1]


def side(seed: int, scale_usd: float) -> PlainMap:
    drawn = np.random.default_rng(seed)
    return PlainMap(usd=scale_usd * drawn.exponential(size=700) ** 3, log_sd=0.4, mark_price=99.6)


THIN = replace(book(3e5, 1.4, normal_usd=2e6, refill_half_life_s=20.0), normal_bps=50.0)
AWAY = Elsewhere(book=book(2e6, 0.9, mid=100.4), side=side(1, 2e4), recent_net_usd=4e4)
BROKEN = Elsewhere(book=replace(book(), bid=nan, bid_curve_usd=(inf,) * 17), side=side(2, 2e4), alive=0.4)
CASES: dict[str, tuple[BookReading, PlainMap | None, CascadeInputs]] = {
    "alone": (book(1e6), None, CascadeInputs()),
    "with a map": (book(1e6), side(3, 1e4), CascadeInputs(recent_net_usd=1e5, volatility_5m=0.004)),
    "thin, and met elsewhere": (
        THIN,
        side(4, 3e4),
        CascadeInputs(index_price=101.0, volatility_5m=0.02, elsewhere=[AWAY, BROKEN]),
    ),
    "odd": (replace(THIN, ask_kappa=inf, bid=-1.0), PlainMap(log_sd=nan), CascadeInputs(index_price=nan)),
}


def told(module: ModuleType, name: str, direction: Direction) -> CascadeResult:
    own, own_side, inputs = CASES[name]
    case = module.Case(direction)
    for _ in range(2):  # the second time over what the first has left
        case.begin(own, inputs, DEFAULT)
        if own_side is not None:
            case.force(own_side, own.mid, 1.0)
        for other in inputs.elsewhere:
            case.meet(other)
        found: CascadeResult = case.tell(0.0 if own_side is None else own_side.log_sd)
    return found


def numbers(value: Any) -> Iterator[float]:
    if isinstance(value, list | tuple):
        for each in value:
            yield from numbers(each)
    elif isinstance(value, int | float):
        yield float(value)


@pytest.mark.parametrize("direction", BOTH)
@pytest.mark.parametrize("name", CASES)
def test_compiled_and_as_it_is_are_the_same(name: str, direction: Direction) -> None:
    compiled, slow = (told(module, name, direction) for module in (installed, AS_IT_IS))
    ours, theirs = (list(numbers(msgspec.structs.astuple(each))) for each in (compiled, slow))
    assert len(ours) > 100
    assert ours == pytest.approx(theirs, rel=1e-12, abs=1e-15)
    assert (compiled.direction, compiled.has_map) == (direction, slow.has_map)
    assert compiled.has_map == (CASES[name][1] is not None)
