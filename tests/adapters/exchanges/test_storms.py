"""The feeds under every fault that a venue can have, one by one and mixed: never a wrong book, and always back.

While the faults last, each book that a feed applies an update to is compared with the venue's of that update.
Afterwards books and account must be the venue's within a bounded time. A seed that fails replays:
``python -m pytest tests/adapters/exchanges/test_storms.py -k mixed`` with ``STORM_SEEDS=17`` or ``0-200``. Odd
seeds, and each single fault, come by picows, even seeds by aiohttp; ``STORM_TRANSPORT`` names one for all.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from contextlib import suppress

import pytest

from adapters.exchanges.sync import DepthSync
from adapters.exchanges.transport import Transport
from adapters.simulation import Corruption, Fault, FaultKind, fault_schedule
from adapters.simulation.misbehaviour.faults import TERMS_KINDS
from tests.support.storm import CODES, COMPARED_MIN, Storm, ccxt_objects, through, unhandled

AT_ONCE = 12
"""Storms side by side: they mostly wait."""
SINGLE_S = 1.5
MIXED_S = 3.5
SEEDS = "0-11"

AGAIN_BY_AIOHTTP = 2
"""A GET whose connection is cut before the answer is sent once more by aiohttp itself, whatever was heard meanwhile."""

BTC = ("BTCUSDT",)
CUT = Fault(kind=FaultKind.RESET, at_s=0.3)
"""Besides faults of requests: without a loss nobody asks much."""


def every_fault() -> list[tuple[Fault, ...]]:
    """Each kind in each of its forms."""
    kind = FaultKind
    frames = [
        Fault(kind=kind.DROP, rate=0.2),
        Fault(kind=kind.DELAY, rate=0.3, delay_s=0.4, jitter_s=0.35),
        Fault(kind=kind.DUPLICATE, rate=0.3),
        Fault(kind=kind.REORDER, rate=0.3),
        *(
            Fault(kind=kind.CORRUPT, rate=0.2, form=form)
            for form in Corruption
            if form is not Corruption.HUGE
        ),
        Fault(kind=kind.CORRUPT, count=1, form=Corruption.HUGE),
        *(Fault(kind=kind.SILENCE, pongs=pongs) for pongs in (True, False)),
        *(Fault(kind=kind.SILENCE, pongs=pongs, account="main") for pongs in (True, False)),
    ]
    requests = [
        *(Fault(kind=kind.DROP, streams=(each,)) for each in ("answer", "request")),
        Fault(kind=kind.REFUSE),
        Fault(kind=kind.STATUS, status=418, retry_after_s=2),
        Fault(kind=kind.STATUS, status=429, retry_after_s=2),
        *(Fault(kind=kind.STATUS, status=status) for status in (500, 502, 503)),
        Fault(kind=kind.HTML, status=502),
        Fault(kind=kind.HANG),
        Fault(kind=kind.HANG, delay_s=0.8),
        Fault(kind=kind.TRUNCATE),
        Fault(kind=kind.STALE),
        *(Fault(kind=kind.CLOCK_SKEW, offset_s=offset_s) for offset_s in (-30.0, 30.0)),
        Fault(kind=kind.REFUSE_KEYS),
        Fault(kind=kind.EXPIRE_KEYS),
    ]
    markets = [
        Fault(kind=kind.TICK_SIZE, symbols=BTC),
        Fault(kind=kind.HALT, symbols=BTC),
        Fault(kind=kind.HALT, symbols=BTC, emptied=True),
        Fault(kind=kind.DELIST, symbols=BTC),
        Fault(kind=kind.CROSS, symbols=BTC),
    ]
    cuts = [
        (Fault(kind=each, at_s=0.3), Fault(kind=each, at_s=0.5), Fault(kind=each, at_s=1.5))
        for each in (kind.DISCONNECT, kind.RESET)
    ]
    return [*((fault,) for fault in frames + markets), *((fault, CUT) for fault in requests), *cuts]


def seeds() -> list[int]:
    """The seeds of mixed storms: a dozen, or those in STORM_SEEDS, e.g. ``17`` or ``0-200``."""
    first, _, last = os.environ.get("STORM_SEEDS", SEEDS).partition("-")
    return list(range(int(first), int(last or first) + 1))


def transport_of(seed: int) -> Transport:
    """Both in turn, or the one that is in STORM_TRANSPORT."""
    named = os.environ.get("STORM_TRANSPORT")
    return Transport(named) if named else (Transport.AIOHTTP, Transport.PICOWS)[seed % 2]


async def _problems(name: str, faults: Sequence[Fault], seed: int, lasting_s: float) -> list[str]:
    try:
        storm = await through(faults, seed=seed, lasting_s=lasting_s, transport=transport_of(seed))
    except BaseExceptionGroup as errors:
        late, others = errors.split(AssertionError)
        if late is None or others is not None:
            raise
        return [f"{name}: {error}" for error in late.exceptions]
    return [f"{name}: {problem}" for problem in _of(storm)]


def _of(storm: Storm) -> list[str]:
    impatient = storm.venue.misbehaviour.impatient
    problems = storm.wrong[:3]
    if impatient > AGAIN_BY_AIOHTTP:
        problems.append(f"{impatient} requests came although the venue had asked for none")
    if storm.compared < COMPARED_MIN:
        problems.append(f"only {storm.compared} books were compared")
    return problems


async def _all(storms: Sequence[tuple[str, Sequence[Fault], int, float]]) -> list[str]:
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(name: str, faults: Sequence[Fault], seed: int, lasting_s: float) -> list[str]:
        async with turns:
            return await _problems(name, faults, seed, lasting_s)

    with unhandled() as exceptions:
        found = await asyncio.gather(*(one(*storm) for storm in storms))
    return [problem for problems in found for problem in problems] + exceptions


async def test_every_single_fault_shows_no_wrong_book_and_is_recovered_from() -> None:
    kinds = every_fault()
    # What a venue asks for is no fault of its connections.
    assert {faults[0].kind for faults in kinds} == set(FaultKind) - TERMS_KINDS
    assert await _all([(str(faults[0]), faults, 1, SINGLE_S) for faults in kinds]) == []


async def test_mixed_faults_show_no_wrong_book_and_are_recovered_from() -> None:
    storms = [
        (f"seed {seed}", fault_schedule(seed, MIXED_S, 3.0, symbols=CODES), seed, MIXED_S + 1.0)
        for seed in seeds()
    ]
    assert await _all(storms) == []


async def test_a_feed_that_heeds_no_gaps_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DepthSync, "_follows", lambda _self, _diff, _at: True)
    wrong: list[str] = []
    faults = [Fault(kind=FaultKind.DROP, rate=0.3, streams=("depth",))]
    with suppress(BaseExceptionGroup):  # nor is it right in the end
        await through(faults, seed=1, lasting_s=1.5, recovery_s=1.0, wrong=wrong)
    assert wrong


async def test_a_hundred_reconnects_leave_no_socket_and_no_client_of_ccxt_behind() -> None:
    cuts = [Fault(kind=FaultKind.RESET, at_s=0.05 * number) for number in range(100)]
    before = ccxt_objects()
    with unhandled() as exceptions:
        storm = await through(cuts, seed=1, lasting_s=5.5)
    assert exceptions == []
    assert storm.venue.misbehaviour.hits[FaultKind.RESET] == 100
    assert _of(storm) == []
    del storm
    assert not ccxt_objects() - before
