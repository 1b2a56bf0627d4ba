"""How fast the laboratory is: its book beside other books, one symbol whole, a simulated week, and its memory.

A book event is a change of a price level. All of one symbol means makers, takers, a crowd of thousands of positions,
liquidations, what guards see, measured by the guard's own code, and the truth.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

from adapters.simulation.laboratory import book as compiled
from benchmarks._frame import (
    Better,
    Options,
    Result,
    cpu_us_per,
    interleave,
    main,
    quantile,
    result_of,
)
from benchmarks._peers import PeerUnavailableError, PeerWorker, peer_python
from benchmarks._simulator_orders import Orders, ask_ours, draw_orders, left_of_ours
from benchmarks._simulator_runs import Ran, episode_of, memory_after, run
from tests.support.uncompiled import is_compiled, uncompiled

NAME = "simulator_speed"
BOOK_EVENTS_MIN = 50_000.0
WEEK_S_MAX = 600.0
WEEK_HOURS, DAY_HOURS = 168.0, 24.0
GROWTH_KB_MAX = 64.0
"""A simulated hour; Python's heap breathes by as much."""

MEMORY_HOURS, MEMORY_HOURS_QUICK = (1.0, 2.0, 4.0, 8.0, 32.0, 64.0), (1.0, 2.0, 4.0, 8.0)
ORDERS, ORDERS_QUICK = 50_000, 20_000
SCENARIOS = {"calm": 2.0, "october-2025": 2.0}
"""Simulated hours of each."""

OURS = "perpguard"
SOURCE = "perpguard, not compiled"
BOOKS = ("cython_orderbook", "lightmatchingengine", "fastlob")
PINNED = ("cython-orderbook==0.1.2", "fastlob==0.0.24", "lightmatchingengine==2019.1.4")


def measure(options: Options) -> list[Result]:
    """The bare book, the whole of one symbol, a week of it, and its memory."""
    if not is_compiled(compiled):
        sys.stderr.write(f"{NAME}: nothing is compiled here, so these are figures of plain Python\n")
    return [*bare_book(options), *one_symbol(options), week(options), *memory(options)]


def bare_book(options: Options) -> list[Result]:
    """Limit orders and cancellations asked from Python one by one, CPU time each; all must end with the same book."""
    orders = draw_orders(ORDERS_QUICK if options.quick else ORDERS, options.seed)
    _, source = uncompiled("adapters.simulation.laboratory.bits", "adapters.simulation.laboratory.book")
    cases: dict[str, Callable[[], float]] = {
        OURS: functools.partial(_asked_of_ours, compiled.OrderBook, orders),
        SOURCE: functools.partial(_asked_of_ours, source.OrderBook, orders),
    }
    try:
        with PeerWorker(peer_python("matching_books", PINNED), "matching_books") as worker:
            worker.ask({"asked": orders.asked, "kept": list(orders.left)})
            for book in BOOKS:
                cases[book] = functools.partial(_asked_of_peer, worker, book, orders)
            samples = interleave(cases, options)
    except PeerUnavailableError as error:
        sys.stderr.write(f"without peers, {error}\n")
        samples = interleave({name: case for name, case in cases.items() if name not in BOOKS}, options)
    medians = {name: quantile(each, 0.5) for name, each in samples.items() if name != OURS}
    peers = [us for name, us in medians.items() if name in BOOKS]
    return [
        result_of(
            NAME,
            f"bare book, an order or cancellation ({orders.trades} trades in {len(orders.asked):,})",
            samples[OURS],
            "us",
            target=min(peers) if peers else None,
            baselines=medians,
        )
    ]


def _asked_of_ours(book_class: Any, orders: Orders) -> float:
    ended: list[tuple[Any, list[int]]] = []
    us = cpu_us_per(len(orders.asked), lambda: ended.append(ask_ours(book_class, orders.asked)))
    assert left_of_ours(*ended[0]) == orders.left
    return us


def _asked_of_peer(worker: PeerWorker, book: str, orders: Orders) -> float:
    answer = worker.ask({"book": book})
    assert answer["left"] == list(orders.left.values()), f"{book} ends with another book"
    return float(answer["us"])


def one_symbol(options: Options) -> list[Result]:
    """Everything of one symbol, in a calm market and in a crash."""
    results = []
    for scenario, hours in SCENARIOS.items():
        ran = [
            run(episode_of(scenario, options.seed + repetition, hours))
            for repetition in range(options.repetitions)
        ]
        results.append(
            result_of(
                NAME,
                f"one symbol, {scenario}: book events a CPU second",
                [each.book_events_per_s for each in ran],
                "1/s",
                better=Better.HIGHER,
                target=BOOK_EVENTS_MIN,
            )
        )
        results.append(
            result_of(
                NAME,
                f"one symbol, {scenario}: a step of 100 ms, CPU ({_said(ran)})",
                [each.us_per_step for each in ran],
                "us",
            )
        )
    return results


def _said(ran: list[Ran]) -> str:
    changes = quantile([each.book_events / each.steps for each in ran], 0.5)
    events = quantile([each.events / each.steps for each in ran], 0.5)
    return f"{changes:.1f} book events, {events:.2f} events for guards"


def week(options: Options) -> Result:
    """CPU time of a simulated week, which is that on the clock where nobody else wants the core; that stands beside it.

    With ``--quick`` it is that of a day, times seven, which the case says.
    """
    hours = DAY_HOURS if options.quick else WEEK_HOURS
    sys.stderr.write(f"{NAME}: {hours:.0f} simulated hours\n")
    ran = run(episode_of("calm", options.seed, hours))
    weeks = hours / WEEK_HOURS
    case = "one symbol, a simulated week, CPU" + (", extrapolated from a day" if options.quick else "")
    clock = {"on the clock": ran.wall_s / weeks}
    return result_of(NAME, case, [ran.cpu_s / weeks], "s", target=WEEK_S_MAX, baselines=clock)


def memory(options: Options) -> list[Result]:
    """Resident memory as hours are simulated, and what an hour adds in the second half of them.

    Arrays double while they find the size that they need, so the first half grows in a few jumps.
    """
    looks = MEMORY_HOURS_QUICK if options.quick else MEMORY_HOURS
    mbs = memory_after(options.seed, list(looks))
    told = ", ".join(f"{hour:.0f} h {mb:.1f}" for hour, mb in zip(looks, mbs, strict=True))
    added_kb = (mbs[-1] - mbs[-2]) * 1e3 / (looks[-1] - looks[-2])
    return [
        result_of(NAME, f"resident memory, MB after {told}", [mbs[-1]], "MB"),
        result_of(
            NAME,
            f"memory added by a simulated hour, from {looks[-2]:.0f} h to {looks[-1]:.0f} h",
            [added_kb],
            "kB",
            target=GROWTH_KB_MAX,
        ),
    ]


if __name__ == "__main__":
    sys.exit(main(NAME, measure))
