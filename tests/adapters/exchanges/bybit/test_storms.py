"""Bybit's feeds under storms of faults: never a book that was not, and always back.

A seed that fails replays: set STORM_SEEDS to it (``17``, or ``0-50``).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence

from adapters.simulation import Fault, FaultKind, fault_schedule
from tests.adapters.exchanges.bybit.storm import CODES, Storm, through
from tests.support.storm import unhandled

SEEDS = "0-2"
MIXED_S, SETTLED_S = 2.5, 4.0


def seeds() -> list[int]:
    first, _, last = os.environ.get("STORM_SEEDS", SEEDS).partition("-")
    return list(range(int(first), int(last or first) + 1))


def problems(storm: Storm) -> list[str]:
    few = [] if storm.compared > 3 else [f"only {storm.compared} books were compared"]
    return storm.wrong[:3] + few


async def test_storms_of_every_kind_never_show_a_wrong_book_and_pass() -> None:
    """Storms side by side, and one in which a silent venue takes subscriptions without a word."""

    async def one(name: str, faults: Sequence[Fault], seed: int) -> list[str]:
        storm = await through(faults, seed=seed, lasting_s=SETTLED_S)
        return [f"{name}: {problem}" for problem in problems(storm)]

    with unhandled() as exceptions:
        mixed = (
            one(f"seed {seed}", fault_schedule(seed, MIXED_S, 4.0, symbols=CODES), seed) for seed in seeds()
        )
        mute = one("mute", [Fault(kind=FaultKind.SILENCE, pongs=False)], 1)
        found = await asyncio.gather(mute, *mixed)
    assert [problem for each in found for problem in each] == []
    assert exceptions == []
