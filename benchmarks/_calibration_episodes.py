"""Episodes of the calibration: which, run in processes, and what each gave."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from enum import StrEnum
from multiprocessing import get_context

from adapters.simulation.coarse import coarse_events
from adapters.simulation.coarse.run import STEP_MS
from adapters.simulation.laboratory.laboratory import Laboratory
from adapters.simulation.laboratory.parameters import Episode
from adapters.simulation.laboratory.truth import TruthSink
from adapters.simulation.laboratory.value import Values
from adapters.simulation.worlds.drawing import draw_episode
from adapters.simulation.worlds.measures import Figures, Measures, market_of
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
    is_leveraged: bool = True
    """Else nobody has leverage, a stop or a target, and the falls of value are told too."""


@dataclass(slots=True)
class Done:
    """What one episode gave."""

    task: Task
    figures: Figures
    collected: Collected = field(default_factory=Collected)
    cpu_s: float = 0.0
    simulated_s: float = 0.0
    events: int = 0
    departures: int = 0
    of_value: Figures = field(default_factory=dict)
    """Falls of value by itself; only of an episode without leverage."""


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
    if not task.is_leveraged:
        episode = unleveraged(episode)
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
        departures=measures.departures,
        of_value={} if task.is_leveraged else falls_of_value(episode, task.mode),
    )


def unleveraged(episode: Episode) -> Episode:
    """Give the same episode with nobody who could be liquidated or stopped."""
    crowd = replace(
        episode.crowd, hedged_longs_share=1.0, hedged_shorts_share=1.0, stop_share=0.0, target_share=0.0
    )
    return replace(episode, crowd=crowd)


def falls_of_value(episode: Episode, mode: Mode) -> Figures:
    """Tell how far value falls where nobody trades.

    Order by order it is the path that the episode has; the coarse mode's own steps depend on trading, so that there it
    has the same impulses and other noise.
    """
    measures, values = Measures(episode), Values(episode)
    step_ms = STEP_MS if mode is Mode.COARSE else episode.step_ms
    markets = [
        (measures.markets[market_of(venue.venue, symbol.symbol)], at)
        for venue in episode.venues
        for at, symbol in enumerate(episode.symbols)
    ]
    for now_ms in range(0, round(episode.duration_s * 1_000.0) + 1, step_ms):
        values.step(now_ms)
        for market, at in markets:
            market.mid[market.bin_of(now_ms / 1_000.0)] = values.value_price(at)
    return measures.falls()


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
