"""Rows by account, market and policy: decisions that ended, added up. Bounded, whatever there is. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeVar

from msgspec import structs

from guard.billed import BillKind, BillLine, BillRow, BillVerdict
from guard.units import NS_PER_S, AccountId, MarketId, Nanoseconds

ROWS_MAX = 128
"""Beyond so many, further accounts, markets and policies are added up as one row."""

OTHERS = "others"

T = TypeVar("T")

Key = tuple[AccountId, MarketId, str, bool]


@dataclass(slots=True)
class Totals:
    """Add lines that ended; ``rows`` at any time."""

    _rows: dict[Key, BillRow] = field(default_factory=dict)

    @classmethod
    def of(cls, rows: Iterable[BillRow]) -> Totals:
        """Go on from rows."""
        return cls({_key(row): row for row in rows})

    def add(self, line: BillLine) -> None:
        """Count a decision that ended."""
        key: Key = (line.account, line.market, line.policy, line.modelled)
        if key not in self._rows and len(self._rows) >= ROWS_MAX:
            key = (AccountId(OTHERS), MarketId(OTHERS), OTHERS, line.modelled)
        row = self._rows.get(key) or BillRow(account=key[0], market=key[1], policy=key[2], modelled=key[3])
        verdict = line.verdict
        self._rows[key] = structs.replace(
            row,
            commands=row.commands + (line.kind is not BillKind.RESTRICTION),
            restrictions=row.restrictions + (line.kind is BillKind.RESTRICTION),
            paid_off=row.paid_off + (verdict is BillVerdict.PAID_OFF),
            false_alarms=row.false_alarms + (verdict is BillVerdict.FALSE_ALARM),
            nothing=row.nothing + (verdict is BillVerdict.NOTHING),
            unknown=row.unknown + (verdict is BillVerdict.UNKNOWN),
            saved_usd=row.saved_usd + line.saved_usd,
            fees_usd=row.fees_usd + line.fees_usd,
            slippage_usd=row.slippage_usd + line.slippage_usd,
            missed_usd=row.missed_usd + line.missed_usd,
            equity_usd=line.equity_usd if row.equity_usd is None else row.equity_usd,
        )

    @property
    def rows(self) -> tuple[BillRow, ...]:
        """All of them, by account, market and policy."""
        return tuple(self._rows[key] for key in sorted(self._rows))


def summed(rows: Sequence[BillRow]) -> BillRow | None:
    """All rows as one, ``None`` of none; equities of several accounts are added, each once."""
    if not rows:
        return None
    equities = {row.account: row.equity_usd for row in rows}
    known = [equity for equity in equities.values() if equity is not None]
    return BillRow(
        account=_same([row.account for row in rows]) or AccountId("all"),
        market=_same([row.market for row in rows]) or MarketId("all"),
        policy=_same([row.policy for row in rows]) or "all",
        modelled=any(row.modelled for row in rows),
        commands=sum(row.commands for row in rows),
        restrictions=sum(row.restrictions for row in rows),
        paid_off=sum(row.paid_off for row in rows),
        false_alarms=sum(row.false_alarms for row in rows),
        nothing=sum(row.nothing for row in rows),
        unknown=sum(row.unknown for row in rows),
        saved_usd=sum(row.saved_usd for row in rows),
        fees_usd=sum(row.fees_usd for row in rows),
        slippage_usd=sum(row.slippage_usd for row in rows),
        missed_usd=sum(row.missed_usd for row in rows),
        equity_usd=sum(known) if len(known) == len(equities) else None,
    )


def day_words(at: Nanoseconds) -> str:
    """The UTC day of a time.

    >>> day_words(1_760_000_000_000_000_000)
    '2025-10-09'
    """
    return datetime.fromtimestamp(at // NS_PER_S, tz=UTC).strftime("%Y-%m-%d")


def day_number(day: str) -> int:
    """How many days after 1970 a UTC day was."""
    return int(datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC).timestamp()) // 86_400


def _same(values: list[T]) -> T | None:
    return values[0] if len(set(values)) == 1 else None


def _key(row: BillRow) -> Key:
    return row.account, row.market, row.policy, row.modelled
