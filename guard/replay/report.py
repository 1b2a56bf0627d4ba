"""What came of a replay, for programs as a message, for people as lines."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from guard.bill.totals import summed
from guard.bill_words import bill_line, total_words
from guard.billed import BillLine, BillRow, BillVerdict
from guard.explain_reasons import reason_name
from guard.explain_words import duration_words
from guard.findings import Severity
from guard.units import NS_PER_S, Nanoseconds

LINES_TOLD = 10
"""Of decisions that changed a position; all are in the summary for programs."""


class ReasonCount(Struct, frozen=True, kw_only=True):
    """How often findings of one reason opened, and the worst of them."""

    opened: int
    worst: Severity


class ReplayReport(Struct, frozen=True, kw_only=True):
    """What was replayed and what came of it; only the times on a clock differ from run to run.

    ``restricted_s`` is for how long bots might not enter each market. ``decisions_hash`` is the last of the chain of
    hashes that an audit of the same decisions has (``guard.audit``). ``remarks`` say what is odd about the file, or was
    not known for much of it. ``bill`` is what decisions that ended saved and cost, by account, market and policy;
    ``billed`` are the first ones of them by themselves, and those that are still counted where the file ends.
    """

    file: str
    settings_digest: str
    events: int
    ticks: int
    from_at: Nanoseconds | None
    to_at: Nanoseconds | None
    markets: tuple[str, ...]
    left_out: tuple[str, ...]
    findings: dict[str, ReasonCount]
    postures: int
    commands: dict[str, int]
    outcomes: dict[str, int]
    restricted_s: dict[str, float]
    rows: int
    decisions: int
    decisions_hash: str
    wall_s: float
    remarks: tuple[str, ...] = ()
    bill: tuple[BillRow, ...] = ()
    billed: tuple[BillLine, ...] = ()

    @property
    def span_s(self) -> float:
        """For how long the events go on."""
        if self.from_at is None or self.to_at is None:
            return 0.0
        return (self.to_at - self.from_at) / NS_PER_S

    @property
    def events_per_s(self) -> float:
        """How fast it went, on a clock."""
        return self.events / self.wall_s if self.wall_s > 0.0 else 0.0


def lines_of(report: ReplayReport) -> Iterator[str]:
    """Yield the report in plain words."""
    speed = report.span_s / report.wall_s if report.wall_s > 0.0 else 0.0
    span = duration_words(round(report.span_s * NS_PER_S))
    yield (
        f"{report.events:,} events of {len(report.markets)} market(s) over {span}"
        f" in {report.wall_s:,.1f} s: {report.events_per_s:,.0f} events/s, {speed:,.0f} times as fast as they came"
    )
    for what in report.left_out:
        yield f"left out: {what}"
    for remark in report.remarks:
        yield f"note: {remark}"
    if not report.findings:
        yield "nothing was found wrong"
    for reason, count in sorted(report.findings.items(), key=lambda item: (-item[1].opened, item[0])):
        yield f"  {count.opened:>6,} x {reason_name(reason)} (at worst {count.worst})"
    for market, seconds in sorted(report.restricted_s.items()):
        if seconds > 0.0:
            share = seconds / report.span_s if report.span_s > 0.0 else 0.0
            yield f"  no new entries in {market} for {duration_words(round(seconds * NS_PER_S))} ({share:.0%})"
    commands = ", ".join(f"{count:,} {verb}" for verb, count in sorted(report.commands.items())) or "none"
    yield f"{report.postures:,} changes of posture; commands: {commands}"
    yield f"{report.decisions:,} decisions, hash {report.decisions_hash[:16]}"
    counted = [line for line in report.billed if line.verdict is BillVerdict.OPEN]
    if report.bill or counted:
        yield "what guarding would have saved and cost:"
        yield from (f"  {words}" for words in total_words(summed(report.bill), counted))
        moved = [line for line in report.billed if line.size]
        yield from (f"  {bill_line(line)}" for line in moved[:LINES_TOLD])
