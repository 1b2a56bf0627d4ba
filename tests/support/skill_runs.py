"""Made-up runs for the benchmark of skill: prices that fall now and then, and forecasters of known quality."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmarks._skill_chain import ROWS_THIN
from benchmarks._skill_observables import SCORES
from benchmarks._skill_tables import AS_FITTED, EXPERT, OFTEN, WHOLE, MarketRun, Table
from guard.forecasts import HORIZONS_S, MOVES, QUANTILES, Direction
from guard.hazard.artefact import Expert
from guard.skill.outcomes import REACH_WINDOW_S, farthest, hazard_truth, onsets
from guard.units import NS_PER_S, MarketId

Floats = NDArray[np.float64]
DIRECTIONS = tuple(Direction)
ROWS = 1_600


def falling_run(number: int, sureness: float, *, world: str = "news", rows: int = ROWS) -> MarketRun:
    """One market with one or two shocks, and a product that knows what comes to a degree.

    ``sureness`` 1 knows the truth, 0 nothing, -1 the opposite; the oracle always knows.
    """
    generator = np.random.default_rng(number)
    at = np.arange(rows, dtype=np.int64) * 5 * NS_PER_S + number
    price = 100.0 * np.exp(np.cumsum(_moves(generator, rows)))
    found = {direction: onsets(at, price, direction) for direction in DIRECTIONS}
    thin = np.unique(np.concatenate((np.arange(0, rows, ROWS_THIN), *found.values())))
    run = MarketRun(
        world=world,
        scenario="made up",
        number=number,
        market=MarketId("bybit:A/USDT:USDT"),
        maintenance=0.005,
        at=at,
        price=price,
        mark=price.copy(),
        mark_low=price.copy(),
        mark_high=price.copy(),
        volatility=np.full(rows, 0.01),
        radar=np.zeros((rows, 9)),
        seen={
            direction: {name: generator.normal(size=rows) ** 2 for name in SCORES} for direction in DIRECTIONS
        },
        thin=thin,
        onset_rows=found,
        often=Table(rows, OFTEN),
        whole=Table(len(thin), WHOLE),
        oracle=Table(len(thin), WHOLE),
        experts={name: Table(len(thin), EXPERT) for name in (*Expert, AS_FITTED)},
    )
    for place, direction in enumerate(DIRECTIONS):
        _tell(run, place, direction, sureness, generator)
    return run


def _moves(generator: np.random.Generator, rows: int) -> Floats:
    moves = generator.normal(0.0, 2e-4, rows)
    for _ in range(2):
        begin, size = int(generator.integers(200, rows - 600)), generator.uniform(-0.14, 0.10)
        moves[begin : begin + 60] += size / 60
    return moves


def _tell(
    run: MarketRun, place: int, direction: Direction, sureness: float, generator: np.random.Generator
) -> None:
    """Write forecasts: the truth with its share, and noise with the rest."""
    rows = len(run.at)
    hazard = np.zeros((rows, len(HORIZONS_S) * len(MOVES)))
    for at, horizon_s in enumerate(HORIZONS_S):
        for move_at, move in enumerate(MOVES):
            truth = hazard_truth(run.at, run.price, direction, move, horizon_s).value
            hazard[:, at * len(MOVES) + move_at] = truth
    reach = farthest(run.at, run.price, direction, REACH_WINDOW_S).value
    chance = np.stack([(reach >= move).astype(np.float64) for move in MOVES], axis=1)
    noise = generator.uniform(0.0, 1.0, rows)
    for table, share, where in (
        (run.often, sureness, np.arange(rows)),
        (run.whole, sureness, run.thin),
        (run.oracle, 1.0, run.thin),
    ):
        mixed = _mixed(hazard, noise, share)[where]
        table.values[:, place, table.slices["hazard"]] = mixed
        table.values[:, place, table.slices["reach"]] = _mixed(chance, noise, share)[where]
        if "quantiles" in table.slices:
            middle = (share * reach + (1.0 - share) * noise * 0.1)[where]
            spread = np.linspace(-0.03, 0.03, len(QUANTILES))
            table.values[:, place, table.slices["quantiles"]] = np.clip(middle[:, None] + spread, 0.0, 1.0)
            table.values[:, place, table.slices["expected"]] = middle[:, None]
            for name in ("ereach", "structure", "structure_book"):
                table.values[:, place, table.slices[name]] = 0.05
            table.values[:, place, table.slices["structure_quantiles"]] = np.linspace(
                0.0, 0.1, len(QUANTILES)
            )
            table.values[:, place, table.slices["structure_reach"]] = 0.2
            ten = HORIZONS_S.index(900) * len(MOVES) + MOVES.index(0.10)
            table.values[:, place, table.slices["sizing"]] = mixed[:, ten : ten + 1]
    for expert in run.experts.values():
        expert.values[:, place, expert.slices["hazard"]] = 0.05
        expert.values[:, place, expert.slices["reach"]] = 0.2
        expert.values[:, place, expert.slices["expected"]] = 0.03


def _mixed(truth: Floats, noise: Floats, share: float) -> Floats:
    if share < 0.0:
        return _mixed(1.0 - truth, noise, -share)
    found: Floats = np.clip(share * truth + (1.0 - share) * noise[:, None] * 0.3, 0.001, 0.999)
    return found
