"""Many seeds, in as many processes as wanted, in order."""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

from tests.simulation.campaign import Result, run_seed
from tests.simulation.lesser_plants import LESSER_PLANTS
from tests.simulation.plants import PLANTS

ALL_PLANTS = PLANTS | LESSER_PLANTS

CHUNK = 8
COLLECT_EVERY = 8
"""A seed leaves some 5 MB of cycles; looking for them all the time costs a tenth of all time."""


def play(seeds: range, *, plant: str = "", processes: int = 1) -> Iterator[Result]:
    """Yield the result of each seed in their order; of a clean one the trace is left out."""
    if processes <= 1:
        with _rare_collection():
            for seed in seeds:
                yield _play((seed, plant))
        return
    with ProcessPoolExecutor(
        processes, mp_context=multiprocessing.get_context("spawn"), initializer=_prepare
    ) as pool:
        yield from pool.map(_play, ((seed, plant) for seed in seeds), chunksize=CHUNK)


def _play(what: tuple[int, str]) -> Result:
    seed, plant = what
    if not gc.isenabled() and seed % COLLECT_EVERY == 0:
        gc.collect()
    result = run_seed(seed, ALL_PLANTS.get(plant))
    if not result.violations:
        result.lines.clear()  # nobody looks at them, and they would have to be carried over
    return result


def _prepare() -> None:
    gc.collect()
    gc.freeze()
    gc.disable()


@contextlib.contextmanager
def _rare_collection() -> Iterator[None]:
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
