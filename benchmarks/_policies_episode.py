"""One course of events through all arms: the guarded accounts in one engine, beside them the same ones without it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from msgspec import Struct

from benchmarks._policies_accounts import Ran, Slot, slots_of
from benchmarks._policies_alone import Braked, Prices, braked_rows, prices_of, run_alone
from benchmarks._policies_freqtrade import Protected
from benchmarks._policies_guarded import Guarded, Spoken
from benchmarks._policies_outlooks import outlooks_of
from benchmarks._policies_real import DAY_S, SCENARIO, WORLD, RealDay, events_of_day, real_tiers
from benchmarks._skill_episodes import SkillTask, fetch, path_of
from benchmarks._skill_recording import events_of
from guard.configuration import Settings
from guard.events import AnyEvent
from guard.margin_terms import TierTable
from guard.paper.bot import Strategy
from guard.units import NS_PER_S, MarketId, Nanoseconds

SCALES = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2)
"""Of leverage: between these an arm is held at the mean leverage of the guarded one."""

ALONE, BRAKE, FREQTRADE = "unguarded", "brake", "freqtrade"
ARMS = (ALONE, BRAKE, FREQTRADE)


class EpisodeRan(Struct, kw_only=True):
    """What became of all accounts of an episode, by arm and scale."""

    name: str
    world: str
    scenario: str
    hours: float
    guarded: list[Ran]
    others: dict[str, dict[float, list[Ran]]]
    spoken: list[Spoken]
    reasons: dict[str, int]
    regimes: int
    """Changes of regime, of all markets."""
    markets: int
    cpu_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """What accounts live through; ``kept_as`` is by what name its outlooks are kept, ``None``: they are not."""

    name: str
    world: str
    scenario: str
    number: int
    start_at: Nanoseconds
    end_at: Nanoseconds
    tiers: dict[MarketId, TierTable]
    events: Sequence[AnyEvent]
    kept_as: str | None = None

    @property
    def hours(self) -> float:
        """How long it lasts."""
        return (self.end_at - self.start_at) / NS_PER_S / 3_600.0


def course_of(task: SkillTask | RealDay) -> Course:
    """Make it, or read it."""
    if isinstance(task, RealDay):
        return Course(
            name=task.name,
            world=WORLD,
            scenario=SCENARIO,
            number=int(task.day),
            start_at=task.start_at,
            end_at=task.start_at + DAY_S * NS_PER_S,
            tiers={market: real_tiers()[market] for market in task.markets},
            events=list(events_of_day(task)),
            kept_as=f"{WORLD}-{task.day}",
        )
    episode = fetch(task)
    start_at = episode.facts["start_at_ns"]
    path = path_of(task)
    return Course(
        name=task.name,
        world=task.world,
        scenario=task.scenario,
        number=task.number,
        start_at=start_at,
        end_at=start_at + round(episode.facts["duration_s"] * NS_PER_S),
        tiers={table.market: table for table in episode.tables},
        events=list(events_of(task.episode(), task.level)),
        kept_as=f"{task.split}-{task.level}-{task.world}-{path.stem}",
    )


def run_course(task: SkillTask | RealDay, settings: Settings, *, any_outlooks: bool = False) -> EpisodeRan:
    """Run all arms."""
    began = time.process_time()
    course = course_of(task)
    slots = slots_of(tuple(course.tiers), course.number, course.start_at)
    outlooks = outlooks_of(course.kept_as, course.events, course.tiers, settings, is_any=any_outlooks)
    guarded = Guarded(settings, slots, course.tiers, course.start_at, course.end_at, outlooks)
    ran = guarded.run(course.events)
    alone = Alone(course.tiers, prices_of(course.events), course.start_at, course.end_at)
    others = {arm: {scale: alone.run(slots, arm, scale) for scale in SCALES} for arm in ARMS}
    return EpisodeRan(
        name=course.name,
        world=course.world,
        scenario=course.scenario,
        hours=course.hours,
        guarded=ran,
        others=others,
        spoken=guarded.spoken,
        reasons=dict(guarded.reasons),
        regimes=sum(guarded.regimes.values()),
        markets=len(course.tiers),
        cpu_s=time.process_time() - began,
    )


@dataclass(frozen=True, slots=True)
class Alone:
    """Accounts of an episode that no guard watches."""

    tiers: dict[MarketId, TierTable]
    prices: dict[MarketId, Prices]
    start_at: Nanoseconds
    end_at: Nanoseconds

    def run(self, slots: Sequence[Slot], arm: str, scale: float) -> list[Ran]:
        """What becomes of them in one of ``ARMS``."""
        return [
            run_alone(
                slot,
                self.tiers,
                self.prices[slot.market],
                self.start_at,
                self.end_at,
                scale=scale,
                wrap=self._wrapped(slot, arm),
            )
            for slot in slots
        ]

    def _wrapped(self, slot: Slot, arm: str) -> Callable[[Strategy], Strategy] | None:
        prices = self.prices[slot.market]
        match arm:
            case "brake":
                return lambda inner: Braked(inner, braked_rows(prices, slot.sign), prices)
            case "freqtrade":
                return Protected
            case _:
                return None
