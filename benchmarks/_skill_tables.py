"""What is written down of an episode that estimators went through, as the metrics take it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from guard.forecasts import Direction
from guard.units import MarketId

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
DIRECTIONS = tuple(Direction)

OFTEN: Mapping[str, int] = {"hazard": 9, "reach": 3, "shock": 1, "vulnerability": 1}
"""Written at every reading, with so many numbers; see ``WHOLE``."""

WHOLE: Mapping[str, int] = {
    "quantiles": 7,
    "reach": 3,
    "expected": 1,
    "hazard": 9,
    "vulnerability": 1,
    "shock": 1,
    "ereach": 1,
    "structure": 1,
    "structure_book": 1,
    "structure_reach": 3,
    "structure_quantiles": 7,
    "sizing": 1,
}
"""Written at thin rows: quantiles of the reach, P(reach) of ``MOVES``, its mean; hazard by ``HORIZONS_S`` and
``MOVES``; of the structure alone Ereach, mean reach with and without forced selling, P and quantiles; and the
danger that leverage is sized by."""

AS_FITTED = "full, at the rates it was fitted on"
"""The full expert's hazards without what rarity takes from them in quiet markets (decision 0231)."""

EXPERT: Mapping[str, int] = {"reach": 3, "hazard": 9, "expected": 1}


class Table:
    """Rows of named numbers for both directions, ``(rows, 2, width)``; NaN where nothing was said."""

    def __init__(self, rows: int, widths: Mapping[str, int]) -> None:
        ends = list(accumulate(widths.values()))
        self.slices = {
            name: slice(end - width, end) for (name, width), end in zip(widths.items(), ends, strict=True)
        }
        self.values: Singles = np.full((rows, 2, ends[-1]), np.nan, np.float32)

    @classmethod
    def holding(cls, values: Singles, widths: Mapping[str, int]) -> Table:
        """A table of these numbers."""
        table = cls(0, widths)
        if values.shape[2] != table.values.shape[2]:
            raise ValueError(f"{values.shape[2]} numbers a row, not {table.values.shape[2]}")
        table.values = values
        return table

    def write(self, row: int, direction: int, told: Mapping[str, Any]) -> None:
        """Write some of the names."""
        for name, value in told.items():
            self.values[row, direction, self.slices[name]] = value

    def of(self, name: str, direction: Direction) -> Floats:
        """One name's numbers, ``(rows,)`` or ``(rows, width)``."""
        found = self.values[:, DIRECTIONS.index(direction), self.slices[name]].astype(np.float64)
        return found[:, 0] if found.shape[1] == 1 else found


@dataclass(slots=True)
class MarketRun:
    """One market of one episode, as the metrics take it.

    Attributes:
        at, price, mark, mark_low, mark_high: of each reading.
        seen: scores that need no model, by direction (``_skill_observables``).
        volatility: of the last hour.
        radar: what ``wickra-radar`` is given.
        often: the product's, at each reading; what was estimated last, where nothing moved.
        thin: readings at which ``whole``, ``oracle`` and ``experts`` are told.
        onset_rows: readings that are onsets, by direction; all of them are among ``thin``.
        maps: rows of each map beside the truth, by name.
        map_calm: whether the half hour before each row was calm.
    """

    world: str
    scenario: str
    number: int
    market: MarketId
    maintenance: float
    at: NDArray[np.int64]
    price: Floats
    mark: Floats
    mark_low: Floats
    mark_high: Floats
    volatility: Floats
    radar: Floats
    seen: dict[Direction, dict[str, Floats]]
    thin: NDArray[np.int64]
    onset_rows: dict[Direction, NDArray[np.int64]]
    often: Table
    whole: Table
    oracle: Table
    experts: dict[str, Table]
    maps: dict[str, Mapping[str, Floats]] = field(default_factory=dict)
    map_calm: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))


@dataclass(slots=True)
class EpisodeRun:
    """An episode's markets; ``mechanism`` is the digest of the simulator that made it."""

    name: str
    markets: list[MarketRun]
    mechanism: str = ""
