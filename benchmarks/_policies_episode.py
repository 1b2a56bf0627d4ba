"""One episode through all arms: the guarded accounts in one engine, and beside them the same accounts without it."""

from __future__ import annotations

import time
from collections.abc import Mapping

from msgspec import Struct

from benchmarks._policies_accounts import Ran, slots_of
from benchmarks._policies_alone import Braked, braked_rows, prices_of, run_alone
from benchmarks._policies_guarded import Guarded, Spoken
from benchmarks._policies_outlooks import outlooks_of
from benchmarks._skill_episodes import SkillTask, fetch
from benchmarks._skill_recording import events_of
from guard.configuration import Settings
from guard.units import NS_PER_S

SCALES = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2)
"""Of leverage: between these an arm is held at the mean leverage of the guarded one."""

ALONE, BRAKE, GUARDED = "unguarded", "brake", "guarded"


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


def run_episode(task: SkillTask, settings: Settings) -> EpisodeRan:
    """Run one episode."""
    began = time.process_time()
    episode = fetch(task)
    events = list(events_of(task.episode(), task.level))
    start_at = episode.facts["start_at_ns"]
    end_at = start_at + round(episode.facts["duration_s"] * NS_PER_S)
    tiers = {table.market: table for table in episode.tables}
    slots = slots_of(episode.markets, task.number, start_at)
    outlooks = outlooks_of(task, events, tiers, settings)
    guarded = Guarded(settings, slots, tiers, start_at, end_at, outlooks)
    ran = guarded.run(events)
    prices = prices_of(events)
    others: Mapping[str, dict[float, list[Ran]]] = {
        ALONE: {
            scale: [
                run_alone(slot, tiers, prices[slot.market], start_at, end_at, scale=scale) for slot in slots
            ]
            for scale in SCALES
        },
        BRAKE: {
            scale: [
                run_alone(
                    slot,
                    tiers,
                    prices[slot.market],
                    start_at,
                    end_at,
                    scale=scale,
                    wrap=lambda inner, slot=slot: Braked(  # type: ignore[misc]
                        inner, braked_rows(prices[slot.market], slot.sign), prices[slot.market]
                    ),
                )
                for slot in slots
            ]
            for scale in SCALES
        },
    }
    return EpisodeRan(
        name=task.name,
        world=task.world,
        scenario=task.scenario,
        hours=episode.facts["duration_s"] / 3_600.0,
        guarded=ran,
        others=dict(others),
        spoken=guarded.spoken,
        reasons=dict(guarded.reasons),
        regimes=sum(guarded.regimes.values()),
        markets=len(tiers),
        cpu_s=time.process_time() - began,
    )
