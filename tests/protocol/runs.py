"""Runs of the machine in chunks, each of its own seed: what a run has done, and where it can be gone on with."""

from __future__ import annotations

import contextlib
import multiprocessing
import time
from collections import Counter
from collections.abc import Iterator, MutableMapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from typing import Any, NoReturn

import structlog
from hypothesis import seed as seeded
from hypothesis.stateful import run_state_machine_as_test

from tests.protocol.machine import STEPS, ProtocolMachine, machine_with, run_settings
from tests.protocol.plants import Plant

CHUNK = 250
"""Examples of one seed: a run goes on at the next."""


@dataclass(slots=True)
class Ran:
    """What came of a run; ``violation`` is empty if nothing was wrong, else ``story`` is its shortest example."""

    seen: Counter[str] = field(default_factory=Counter)
    took_s: float = 0.0
    violation: str = ""
    story: tuple[str, ...] = ()
    happened: tuple[str, ...] = ()
    seed: int = 0

    @property
    def examples(self) -> int:
        return self.seen["examples"]

    @property
    def invariant(self) -> str:
        """The name of what was violated."""
        return self.violation.partition(":")[0]


def run(
    examples: int, *, seed: int = 1, plant: Plant | None = None, steps: int = STEPS, shrinks: bool = True
) -> Ran:
    """Play ``examples``, in chunks of seeds from ``seed`` on, until one fails."""
    ran = Ran()
    began_s = time.process_time()
    for first in range(0, examples, CHUNK):
        ran.seed = seed + first // CHUNK
        machine = machine_with(plant or Plant())
        with quiet():
            _run_chunk(machine, ran, min(CHUNK, examples - first), steps=steps, shrinks=shrinks)
        ran.seen.update(machine.seen)
        if ran.violation:
            break
    ran.took_s = time.process_time() - began_s
    return ran


def play(examples: int, *, seed: int, processes: int = 1) -> Iterator[Ran]:
    """Yield what came of each chunk of ``examples``, in the order of their seeds from ``seed`` on."""
    many = [min(CHUNK, examples - first) for first in range(0, examples, CHUNK)]
    seeds = range(seed, seed + len(many))
    if processes <= 1:
        yield from map(_chunk, many, seeds)
        return
    pool = ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn"))
    try:
        yield from pool.map(_chunk, many, seeds)
    finally:
        pool.shutdown(cancel_futures=True)


def _chunk(examples: int, seed: int) -> Ran:
    return run(examples, seed=seed)


def _run_chunk(machine: type[ProtocolMachine], ran: Ran, examples: int, *, steps: int, shrinks: bool) -> None:
    try:
        run_state_machine_as_test(
            seeded(ran.seed)(machine), settings=run_settings(examples, steps=steps, shrinks=shrinks)
        )
    except AssertionError as error:
        ran.violation = str(error)
        ran.story = tuple("\n".join(getattr(error, "__notes__", ())).splitlines())
        if machine.last is not None:
            ran.happened = tuple(
                f"{at_ns / 1e9:9.3f} s  {' '.join(str(word) for word in words)}"
                for at_ns, words in machine.last.lines
            )


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Clocks that are set, and guards that give way, are logged: thousands of lines that nobody reads."""

    def drop(_logger: object, _method: str, _event: MutableMapping[str, Any]) -> NoReturn:
        raise structlog.DropEvent

    before = structlog.get_config()
    structlog.configure(processors=[drop], cache_logger_on_first_use=False)
    try:
        yield
    finally:
        structlog.configure(**before)
