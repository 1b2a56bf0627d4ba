"""Episodes of the calibration: which, run in processes, and what each gave."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from enum import StrEnum
from multiprocessing import get_context

from adapters.simulation.coarse import coarse_events
from adapters.simulation.laboratory.laboratory import Laboratory
from adapters.simulation.laboratory.parameters import Episode
from adapters.simulation.laboratory.truth import TruthSink
from adapters.simulation.worlds.drawing import draw_episode
from adapters.simulation.worlds.measures import Figures, Measures
from adapters.simulation.worlds.seeds import Split, seed_of
from adapters.simulation.worlds.stylised import Collected, collect
from adapters.simulation.worlds.variants import WORLDS
from guard.events import AnyEvent

PROCESSES = 2


class Mode(StrEnum):
    """How episodes are run."""

    ORDER = "order"
    COARSE = "coarse"


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One episode to run: plain values, so that any process can draw it."""

    world: str
    scenario: str
    seed: int
    mode: Mode
    symbols: tuple[str, ...] | None = None
    venues: tuple[str, ...] | None = None
    duration_s: float | None = None


@dataclass(slots=True)
class Done:
    """What one episode gave."""

    task: Task
    figures: Figures
    collected: Collected = field(default_factory=Collected)
    cpu_s: float = 0.0
    simulated_s: float = 0.0
    events: int = 0


def tasks_of(
    scenario: str,
    count: int,
    mode: Mode,
    split: Split,
    *,
    worlds: Sequence[str] = tuple(WORLDS),
    first: int = 0,
    venues: tuple[str, ...] | None = None,
    duration_s: float | None = None,
) -> list[Task]:
    """Give ``count`` episodes of a scenario, each with a seed of its own, the worlds in turn."""
    return [
        Task(
            world=worlds[number % len(worlds)],
            scenario=scenario,
            seed=seed_of(split, first + number),
            mode=mode,
            venues=venues,
            duration_s=duration_s,
        )
        for number in range(count)
    ]


def run_task(task: Task) -> Done:
    """Draw an episode, run and measure it."""
    episode = draw_episode(
        task.world,
        task.scenario,
        task.seed,
        symbols=task.symbols,
        venues=task.venues,
        duration_s=task.duration_s,
    )
    measures = Measures(episode)
    started = time.process_time()
    events = 0
    for event in run_of(task.mode)(episode, measures):
        measures.take(event)
        events += 1
    return Done(
        task=task,
        figures=measures.figures(),
        collected=collect(measures.markets.values(), episode.onset_s),
        cpu_s=time.process_time() - started,
        simulated_s=episode.duration_s,
        events=events,
    )


def run_of(mode: Mode) -> Callable[[Episode, TruthSink], Iterator[AnyEvent]]:
    """Give what runs an episode."""
    if mode is Mode.COARSE:
        return coarse_events
    return lambda episode, truth: Laboratory(episode, truth).events()


def run_all(tasks: Sequence[Task], label: str) -> list[Done]:
    """Run all, at most ``PROCESSES`` at once, tell how far it is on stderr, give them in the order asked."""
    done: dict[int, Done] = {}
    started = time.monotonic()
    with ProcessPoolExecutor(min(PROCESSES, max(1, len(tasks))), mp_context=get_context("spawn")) as pool:
        waiting = {pool.submit(run_task, task): at for at, task in enumerate(tasks)}
        for future in as_completed(waiting):
            done[waiting[future]] = future.result()
            took = time.monotonic() - started
            sys.stderr.write(f"\r{label}: {len(done)} of {len(tasks)} episodes, {took:.0f} s ")
            sys.stderr.flush()
    sys.stderr.write("\n")
    return [done[at] for at in range(len(tasks))]
