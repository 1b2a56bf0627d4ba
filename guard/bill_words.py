"""What guarding saved and cost, in plain words: one decision, a row, the account of a day or a run. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

from guard.audit import Billed
from guard.billed import BillEnd, BillKind, BillLine, BillRow, BillVerdict
from guard.explain_reasons import reason_name
from guard.explain_words import duration_words, list_words, size_words
from guard.units import symbol_of

LINES_TOLD = 3
"""Decisions in one line."""

VERDICTS: Mapping[BillVerdict, str] = MappingProxyType(
    {
        BillVerdict.OPEN: "still counted",
        BillVerdict.PAID_OFF: "paid off",
        BillVerdict.FALSE_ALARM: "false alarm",
        BillVerdict.NOTHING: "changed nothing",
        BillVerdict.UNKNOWN: "unknown",
    }
)

ENDS: Mapping[BillEnd, str] = MappingProxyType(
    {
        BillEnd.OPEN: "it is still counted",
        BillEnd.RETURNED: "the position was taken back",
        BillEnd.CLOSED: "the trader closed the rest",
        BillEnd.LIQUIDATED: "the unguarded twin was liquidated",
        BillEnd.SETTLED: "the restriction had been over for the settle time",
        BillEnd.LONGEST: "it was counted for as long as any is",
        BillEnd.NO_EFFECT: "nothing was seen to come of it",
        BillEnd.DROPPED: "too many were open",
    }
)

KINDS: Mapping[BillKind, str] = MappingProxyType(
    {BillKind.CUT: "cut", BillKind.RESTRICTION: "no new entries", BillKind.ADVICE: "cut, had anyone obeyed"}
)


def usd_words(usd: float, *, signed: bool = False) -> str:
    """An amount of money, to the cent where that matters.

    >>> usd_words(1234.567), usd_words(-0.004), usd_words(12.3, signed=True)
    ('1,234.57', '0.00', '+12.30')
    """
    rounded = round(usd, 2) + 0.0
    return f"{rounded:+,.2f}" if signed else f"{rounded:,.2f}"


def bill_words(line: BillLine) -> Iterator[str]:
    """Say of one decision what it came to, in sentences."""
    horizon = duration_words(line.until_at - line.began_at)
    if line.modelled:
        yield "Nobody obeyed: what follows is what obeying would have done at the book's prices."
    if line.verdict is BillVerdict.UNKNOWN and not line.size:
        yield f"What it saved or cost is unknown: {list_words(line.missing)}."
        return
    if not line.size:
        yield (
            "It has taken nothing off so far."
            if line.verdict is BillVerdict.OPEN
            else f"It saved nothing and cost nothing: {ENDS[line.ended_by]}."
        )
        return
    what = "kept back" if line.kind is BillKind.RESTRICTION else "took off"
    price = "" if line.price is None else f" at a mark price of {line.price:,.8g}"
    yield (
        f"It {what} {size_words(abs(line.size), symbol_of(line.market))}{price}, which its unguarded twin held. "
        + (
            f"It is still counted; after {horizon}:"
            if line.verdict is BillVerdict.OPEN
            else f"Judged after {horizon}, because {ENDS[line.ended_by]}: {VERDICTS[line.verdict]}."
        )
    )
    yield (
        f"Saved {usd_words(line.saved_usd)} USD; cost {usd_words(line.cost_usd)} USD "
        f"({_parts(line)}); net {usd_words(line.net_usd, signed=True)} USD."
    )
    if line.liquidation_usd:
        yield f"Of what was saved {usd_words(line.liquidation_usd)} USD are what the twin's liquidation took."
    if line.funding_usd:
        yield f"Funding that the twin paid for it is in that: {usd_words(line.funding_usd, signed=True)} USD."
    if line.missing:
        yield f"Not known, and counted as nothing: {list_words(line.missing)}."


def bill_line(line: BillLine) -> str:
    """One decision in one line."""
    whose = f"{line.account} {symbol_of(line.market)}"
    why = f"{line.policy or 'no policy'}, {reason_name(line.reason) if line.reason else 'no reason told'}"
    shadow = ", modelled" if line.modelled else ""
    return (
        f"{VERDICTS[line.verdict]}: {KINDS[line.kind]} {whose} ({why}{shadow}): saved {usd_words(line.saved_usd)}, "
        f"cost {usd_words(line.cost_usd)} ({_parts(line)}), net {usd_words(line.net_usd, signed=True)} USD "
        f"[{line.decision}]"
    )


def total_words(row: BillRow | None, open_lines: Sequence[BillLine] = ()) -> Iterator[str]:
    """Say what all decisions together came to; ``row`` is their sum."""
    if row is None:
        yield "No decision has ended yet: nothing was saved and nothing was paid."
    else:
        bps = "" if row.net_bps is None else f", {row.net_bps:+.1f} bps of the equity"
        yield (
            f"{row.commands} command(s) and {row.restrictions} restriction(s) ended: {row.paid_off} paid off, "
            f"{row.false_alarms} false alarm(s), {row.nothing} changed nothing, {row.unknown} unknown."
        )
        yield (
            f"Saved {usd_words(row.saved_usd)} USD, cost {usd_words(row.cost_usd)} USD "
            f"({_parts(row)}): net {usd_words(row.net_usd, signed=True)} USD{bps}."
        )
        if row.unknown:
            yield (
                "What is unknown is not in these sums: entries that a pause prevented cost what they would have won, "
                "and no bot told which they were."
            )
        if row.modelled:
            yield "Some of it is modelled: nobody obeyed, and the guarded side is what obeying would have done."
    if open_lines:
        net = sum(line.net_usd for line in open_lines)
        yield f"Still counted: {len(open_lines)}, as of now net {usd_words(net, signed=True)} USD."


def row_words(rows: Iterable[BillRow]) -> Iterator[str]:
    """One line for each account, market and policy."""
    for row in rows:
        bps = "" if row.net_bps is None else f" ({row.net_bps:+.1f} bps)"
        shadow = ", modelled" if row.modelled else ""
        yield (
            f"{row.account} {symbol_of(row.market) or row.market}, {row.policy or 'no policy'}{shadow}: "
            f"{row.commands} command(s), {row.restrictions} restriction(s), {row.paid_off} paid off, "
            f"{row.false_alarms} false, {row.unknown} unknown; saved {usd_words(row.saved_usd)}, "
            f"cost {usd_words(row.cost_usd)}, net {usd_words(row.net_usd, signed=True)} USD{bps}"
        )


def billed_words(record: Billed) -> str:
    """One record of the bill in one line."""
    memory = record.memory
    parts = [bill_line(line) for line in record.lines[:LINES_TOLD]]
    if len(record.lines) > LINES_TOLD:
        parts.append(f"{len(record.lines) - LINES_TOLD} more")
    if record.day is not None:
        net = sum(row.net_usd for row in record.day.rows)
        parts.append(f"{record.day.day} is over: net {usd_words(net, signed=True)} USD")
    run = sum(row.net_usd for row in memory.run)
    parts.append(f"{len(memory.open)} still counted, net {usd_words(run, signed=True)} USD in all")
    return f"bill: {'; '.join(parts)}"


def _parts(of: BillLine | BillRow) -> str:
    """What the cost consists of."""
    return (
        f"fees {usd_words(of.fees_usd)}, slippage {usd_words(of.slippage_usd)}, "
        f"missed return {usd_words(of.missed_usd)}"
    )
