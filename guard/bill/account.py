"""The account of a day or of the whole run, worked out of the records of the bill. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from guard.audit import Billed
from guard.bill.totals import Totals, day_words, summed
from guard.bill_words import bill_line, row_words, total_words, usd_words
from guard.billed import BillDay, BillLine, BillRow
from guard.units import AccountId

NOTHING = (
    "Nothing is billed yet. A bill is kept from the first command on that the guard gives, or would give "
    "(see `perpguard audit show`)."
)
LINES_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Chosen:
    """What was asked for; ``None`` for all."""

    day: str | None = None
    account: str | None = None
    policy: str | None = None

    def takes(self, account: AccountId, policy: str) -> bool:
        """Whether something of this account and policy was asked for."""
        names = (None, account, account.partition(":")[2])
        return self.account in names and self.policy in (None, policy)


@dataclass(slots=True)
class BillAccount:
    """The account of a day or of the whole run; ``days`` are those that are over."""

    chosen: Chosen
    rows: Sequence[BillRow] = ()
    lines: list[BillLine] = field(default_factory=list)
    open: list[BillLine] = field(default_factory=list)
    days: list[BillDay] = field(default_factory=list)
    residual_usd: float = 0.0
    since: str = ""

    def as_builtins(self) -> dict[str, Any]:
        """For programs; sums stand beside what they are of."""
        total = summed(self.rows)
        return {
            "since": self.since,
            "day": self.chosen.day,
            "total": None if total is None else _row(total),
            "rows": [_row(row) for row in self.rows],
            "decisions": [_line(line) for line in self.lines],
            "open": [_line(line) for line in self.open],
            "days": [{"day": each.day, "rows": [_row(row) for row in each.rows]} for each in self.days],
            "residual_usd": self.residual_usd,
        }

    def text(self) -> Iterator[str]:
        """In plain words."""
        if not (self.rows or self.lines or self.open):
            yield NOTHING
            return
        when = f"on {self.chosen.day} (UTC)" if self.chosen.day else f"since {self.since} (UTC)"
        yield f"What guarding saved and cost {when}, against what each account would be unguarded:"
        yield from (f"  {words}" for words in total_words(summed(self.rows), self.open))
        if self.rows:
            yield ""
            yield "By account, market and policy:"
            yield from (f"  {words}" for words in row_words(self.rows))
        if not self.chosen.day and self.days:
            yield ""
            yield "By day:"
            for each in self.days:
                total = summed(each.rows)
                yield from (f"  {each.day}: {words}" for words in list(total_words(total))[1:2])
        told = [*self.open, *reversed(self.lines)]
        if told:
            yield ""
            yield f"The last decisions, newest first ({min(len(told), LINES_SHOWN)} of {len(told)}):"
            yield from (f"  {bill_line(line)}" for line in told[:LINES_SHOWN])
        if abs(self.residual_usd) >= 0.005:
            yield f"Twins and decisions differ by {usd_words(self.residual_usd)} USD, which should not be."


def account_of(records: Sequence[Billed], chosen: Chosen) -> BillAccount:
    """Work out the account that was asked for from the records of the bill, oldest first."""
    told = BillAccount(chosen)
    if not records:
        return told
    memory = records[-1].memory
    told.since, told.residual_usd = day_words(memory.since), memory.residual_usd
    lines = {line.decision + str(line.until_at): line for record in records for line in record.lines}
    told.lines = [
        line
        for line in lines.values()
        if chosen.takes(line.account, line.policy) and chosen.day in (None, day_words(line.until_at))
    ]
    days = [record.day for record in records if record.day is not None]
    told.days = [
        BillDay(
            day=each.day,
            rows=tuple(row for row in each.rows if chosen.takes(row.account, row.policy)),
            open=each.open,
            open_usd=each.open_usd,
        )
        for each in days
        if chosen.day in (None, each.day)
    ]
    if chosen.day in (None, memory.day):
        told.open = [each.told for each in memory.open if chosen.takes(each.line.account, each.line.policy)]
    told.rows = [row for row in _rows(records, chosen) if chosen.takes(row.account, row.policy)]
    return told


def _rows(records: Sequence[Billed], chosen: Chosen) -> Sequence[BillRow]:
    """Of the whole run, or of a day: as it was written down when it ended, or as far as it has come."""
    memory = records[-1].memory
    if chosen.day is None:
        return memory.run
    if chosen.day == memory.day:
        return memory.today
    told = [record.day for record in records if record.day is not None and record.day.day == chosen.day]
    if told:
        return told[-1].rows
    totals = Totals()  # its end was not recorded, as where the guard was away: what ended on it was
    for record in records:
        for line in record.lines:
            if day_words(line.until_at) == chosen.day:
                totals.add(line)
    return totals.rows


def _row(row: BillRow) -> dict[str, Any]:
    derived = {"cost_usd": row.cost_usd, "net_usd": row.net_usd, "net_bps": row.net_bps}
    return {**_plain(row), **derived}


def _line(line: BillLine) -> dict[str, Any]:
    sums = {
        "saved_usd": line.saved_usd,
        "missed_usd": line.missed_usd,
        "cost_usd": line.cost_usd,
        "net_usd": line.net_usd,
    }
    return {**_plain(line), **sums}


def _plain(value: msgspec.Struct) -> dict[str, Any]:
    """With the fields that are as by default."""
    return {name: msgspec.to_builtins(getattr(value, name)) for name in value.__struct_fields__}
