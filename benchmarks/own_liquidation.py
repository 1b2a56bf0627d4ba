"""Liquidation prices of a trader's own positions: ours and ccxt's against exact arithmetic, and how many a second.

The exact price comes from bisection in decimals that imports nothing of the guard; ccxt's from its own parsers, fed
offline with the payload of the same account.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from benchmarks._frame import Better, Options, Result, cpu_us_per, interleave, main, quantile, result_of
from benchmarks._own_accounts import CASES, HEDGED, Case
from benchmarks._own_ccxt import Parsed, parsed
from benchmarks._own_exact import exact_price, maintenance
from benchmarks._own_guard import our_maintenance, our_price, table_of
from benchmarks._own_speed import (
    Way,
    bisected,
    check_equal,
    pool_of,
    read_by_ccxt,
    solver,
    vectorised,
    whole_assessment,
)
from benchmarks._peers import PeerUnavailableError, PeerWorker, peer_python

NAME = "own_liquidation"
ERROR_BPS_MAX = 2.0
EVALUATIONS_MIN = 20_000.0
LEGS = (1, 3, 10, 100)
POSITIONS, POSITIONS_QUICK = 20_000, 2_000
OURS = "perpguard"
WHOLE = "whole assessments"
FREQTRADE = "freqtrade==2026.9"
"""Some 770 MB with all that it needs; on dry runs and in backtests it works liquidation prices out by itself."""


@dataclass(frozen=True, slots=True)
class Row:
    """One case: prices in the quote currency, errors in bps of the mark; ccxt's are ``None`` where it says nothing."""

    case: Case
    ours: float
    exact: float
    ccxt: Parsed
    freqtrade: float | None
    maintenance_ours: float
    maintenance_exact: float

    @property
    def error_bps(self) -> float:
        return self._bps(self.ours)

    @property
    def freqtrade_error_bps(self) -> float | None:
        return None if self.freqtrade is None else self._bps(self.freqtrade)

    @property
    def ccxt_error_bps(self) -> float | None:
        return None if self.ccxt.price is None else self._bps(self.ccxt.price)

    def _bps(self, price: float) -> float:
        return (price - self.exact) / float(self.case.account.held[self.case.asked].mark) * 1e4

    @property
    def tells_maintenance(self) -> bool:
        """Whether ccxt tells what the venue demands."""
        told = self.ccxt.maintenance
        return told is not None and abs(told - self.maintenance_exact) <= 1e-6 * self.maintenance_exact

    @property
    def is_unsafe(self) -> bool:
        """Whether ccxt's price lies beyond the one at which the position is gone, or is none at all."""
        held = self.case.account.held[self.case.asked]
        if self.ccxt.price is None:
            return True
        beyond = self.ccxt.price < self.exact - 1.0 if held.size > 0 else self.ccxt.price > self.exact + 1.0
        return bool(beyond)


def measure(options: Options) -> list[Result]:
    """Compare every case, print the table of prices, then count evaluations."""
    rows = [row_of(case, freqtrade) for case, freqtrade in zip(CASES, asked_of_freqtrade(), strict=True)]
    print_table(rows)
    return [*compared(rows), *evaluations(options)]


def asked_of_freqtrade() -> list[float | None]:
    """The prices that freqtrade gives for cases that it can have, ``None`` elsewhere, or if it cannot be installed."""
    prices: list[float | None] = [None] * len(CASES)
    try:
        with PeerWorker(peer_python("freqtrade", (FREQTRADE,)), "freqtrade_liquidation") as worker:
            for at, case in enumerate(CASES):
                if case.account.venue == "binanceusdm" and case.account is not HEDGED:
                    prices[at] = worker.ask(freqtrade_question(case))["price"]
    except PeerUnavailableError as error:
        sys.stderr.write(f"without a peer, {error}\n")
    return prices


def freqtrade_question(case: Case) -> dict[str, object]:
    """See ``benchmarks.peers.freqtrade_liquidation``; it gets the cumulative amounts, which ccxt keeps in ``info``."""
    positions = [
        {
            "pair": held.symbol,
            "size": float(held.size),
            "entry": float(held.entry),
            "mark": float(held.mark),
            "margin": None if held.margin is None else float(held.margin),
        }
        for held in case.account.held
    ]
    tables = {
        held.symbol: [
            (tier.floor, tier.maintenance_ratio, tier.deduction)
            for tier in table_of(case.account.venue, held).tiers
        ]
        for held in case.account.held
    }
    return {
        "tiers": tables,
        "positions": positions,
        "asked": case.asked,
        "wallet": float(case.account.wallet),
    }


def row_of(case: Case, freqtrade: float | None = None) -> Row:
    """Work one case out in all three ways. AssertionError where there is nothing to compare."""
    exact, ours = exact_price(case.account, case.asked), our_price(case.account, case.asked)
    demanded = our_maintenance(case.account, case.asked)
    assert exact is not None, case.name
    assert ours is not None, case.name
    assert demanded is not None, case.name
    held = case.account.held[case.asked]
    told = float(maintenance(case.account, case.asked))
    return Row(
        case=case,
        ours=ours,
        exact=float(exact),
        ccxt=parsed(case),
        freqtrade=freqtrade,
        maintenance_ours=demanded / float(held.mark) if held.is_inverse else demanded,
        maintenance_exact=told,
    )


def compared(rows: Sequence[Row]) -> list[Result]:
    """Errors of prices, and maintenance margins that ccxt tells wrong; where it says nothing it is not among others."""
    results = []
    for row in rows:
        error, said = row.ccxt_error_bps, row.ccxt.price
        prices = (
            f"exact {row.exact:,.2f}, ours {row.ours:,.2f}, ccxt {said if said is None else f'{said:,.1f}'}"
        )
        results.append(
            result_of(
                NAME,
                f"{row.case.name}: {prices}",
                [abs(row.error_bps)],
                "bps",
                target=ERROR_BPS_MAX,
                baselines=_known({"ccxt": error, "freqtrade": row.freqtrade_error_bps}),
            )
        )
        if row.tells_maintenance:
            continue
        told = row.ccxt.maintenance
        results.append(
            result_of(
                NAME,
                f"{row.case.name}: maintenance margin" + (", ccxt: None" if told is None else ""),
                [row.maintenance_ours],
                "settle asset",
                baselines={"exact": row.maintenance_exact} | ({} if told is None else {"ccxt": told}),
            )
        )
    return results


def _known(errors: Mapping[str, float | None]) -> dict[str, float]:
    return {name: abs(error) for name, error in errors.items() if error is not None}


def print_table(rows: Sequence[Row]) -> None:
    """For people: what each says, and by how much ccxt is wrong."""
    console = Console(width=None if sys.stdout.isatty() else 170)
    table = Table(
        title="prices at which positions are liquidated, errors in bps of the mark; maintenance margins",
        title_justify="left",
    )
    table.add_column("case")
    for heading in (
        "exact",
        "ours",
        "error",
        "ccxt",
        "error",
        "freqtrade's",
        "margin",
        "ccxt's",
        "ccxt's ratio",
    ):
        table.add_column(heading, justify="right")
    for row in rows:
        error = row.ccxt_error_bps
        told = row.ccxt.maintenance
        table.add_row(
            row.case.name,
            f"{row.exact:,.2f}",
            f"{row.ours:,.2f}",
            f"{abs(row.error_bps):.1e}",
            _marked("None", is_wrong=True) if row.ccxt.price is None else f"{row.ccxt.price:,.1f}",
            "" if error is None else _marked(f"{error:+,.1f}", is_wrong=abs(error) > 0.1),
            ""
            if row.freqtrade_error_bps is None
            else _marked(f"{row.freqtrade_error_bps:+,.1f}", is_wrong=True),
            f"{row.maintenance_exact:,.7g}",
            _marked("None" if told is None else f"{told:,.7g}", is_wrong=not row.tells_maintenance),
            "None" if row.ccxt.margin_ratio is None else f"{row.ccxt.margin_ratio:.4f}",
        )
    console.print(table)
    unsafe = sum(row.is_unsafe for row in rows)
    console.print(
        f"In {unsafe} of {len(rows)} cases what ccxt says is none, or further away than where the position is gone."
    )


def _marked(words: str, *, is_wrong: bool) -> str:
    return f"[red]{words}[/red]" if is_wrong else words


def evaluations(options: Options) -> list[Result]:
    """How many positions are evaluated in a second of CPU time, with 1 to 100 legs in the pool."""
    positions = POSITIONS_QUICK if options.quick else POSITIONS
    results = []
    for legs in LEGS:
        pool = pool_of(legs, options.seed)
        ways = {
            OURS: solver(pool),
            "bisection, all valued 60 times": bisected(pool),
            "closed form in numpy, legs x tiers": vectorised(pool),
            "ccxt, parse of each position": read_by_ccxt(legs),
            WHOLE: whole_assessment(pool),
        }
        check_equal(ways)
        samples = interleave(
            {name: functools.partial(_per_second, way, legs, positions) for name, way in ways.items()},
            options,
        )
        results.append(
            result_of(
                NAME,
                f"evaluations a second, {legs} {'leg' if legs == 1 else 'legs'} in the pool",
                samples[OURS],
                "positions/s",
                better=Better.HIGHER,
                target=EVALUATIONS_MIN,
                baselines={
                    name: quantile(each, 0.5) for name, each in samples.items() if name not in {OURS, WHOLE}
                },
            )
        )
        results.append(
            result_of(
                NAME,
                f"the same within {WHOLE}, with every common move and its time",
                samples[WHOLE],
                "positions/s",
                better=Better.HIGHER,
            )
        )
    return results


def _per_second(way: Way, legs: int, positions: int) -> float:
    # The slow ones get less to do: what counts is the time of one.
    times = max(positions // (10 * legs), 1)
    evaluate: Callable[[], object] = way.evaluate

    def work() -> None:
        for _ in range(times):
            evaluate()

    return 1e6 / cpu_us_per(times * legs, work)


if __name__ == "__main__":
    sys.exit(main(NAME, measure))
