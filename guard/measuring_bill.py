"""What guarding saved and cost, for the metrics page. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from guard.billed import BillRow
from guard.meters import Meter, MeterKind, Sample


def measure_bill(rows: Sequence[BillRow], open_decisions: int, open_usd: float) -> Iterator[Meter]:
    """Yield what decisions that ended came to, by account, market and policy, and what is still counted."""
    yield Meter(
        "bill_usd",
        "Of decisions that ended since the bill was begun: saved, and each part of the cost, against unguarded twins",
        MeterKind.GAUGE,
        tuple(
            Sample(value, {**_labels(row), "part": part})
            for row in rows
            for part, value in (
                ("saved", row.saved_usd),
                ("fees", row.fees_usd),
                ("slippage", row.slippage_usd),
                ("missed", row.missed_usd),
            )
        ),
    )
    yield Meter(
        "bill_decisions",
        "Decisions that ended, by what they came to; unknown is never to be read as free",
        MeterKind.GAUGE,
        tuple(
            Sample(float(value), {**_labels(row), "verdict": verdict})
            for row in rows
            for verdict, value in (
                ("paid_off", row.paid_off),
                ("false_alarm", row.false_alarms),
                ("nothing", row.nothing),
                ("unknown", row.unknown),
            )
        ),
    )
    yield Meter(
        "bill_open",
        "Decisions that are still counted",
        MeterKind.GAUGE,
        (Sample(float(open_decisions)),),
    )
    yield Meter(
        "bill_open_usd",
        "What those have come to by now, above 0 saved",
        MeterKind.GAUGE,
        (Sample(open_usd),),
    )


def _labels(row: BillRow) -> dict[str, str]:
    return {
        "account": row.account,
        "market": row.market.partition(":")[2] or row.market,
        "policy": row.policy,
        "modelled": str(row.modelled).lower(),
    }
