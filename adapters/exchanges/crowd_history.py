"""Open interest's past from what venues tell in pages: interest and candles joined into points. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from guard.events import HistoryPoint
from guard.units import NS_PER_S, Nanoseconds

SPACING_NS = 300 * NS_PER_S
"""Between two points: the finest that venues keep for days."""


@dataclass(frozen=True, slots=True)
class InterestRow:
    """Open interest in base units at a past time; ``usd`` is its value, ``None`` where the venue tells none."""

    at: Nanoseconds
    open_interest: float
    usd: float | None = None


@dataclass(frozen=True, slots=True)
class Candle:
    """Five minutes of trading from ``open_at`` on: the last price, and what was traded, in USD."""

    open_at: Nanoseconds
    close: float
    volume_usd: float


def joined(interest: Iterable[InterestRow], candles: Iterable[Candle]) -> tuple[HistoryPoint, ...]:
    """Return points by time, each time once (what was told last holds), each with a price.

    Price is the value of open interest over its size, else the close of the candle that ends then; a point of which
    neither is known is left out. Volume is that of all candles since the point before, ``None`` where one is missing.

    >>> rows = [InterestRow(0, 10.0, 1_000.0), InterestRow(SPACING_NS, 12.0)]
    >>> [(point.price, point.volume_usd) for point in joined(rows, [Candle(0, 101.0, 5.0)])]
    [(100.0, None), (101.0, 5.0)]
    """
    ending = {candle.open_at + SPACING_NS: candle for candle in candles}
    by_time = {row.at: row for row in interest}
    points: list[HistoryPoint] = []
    for at in sorted(by_time):
        row, candle = by_time[at], ending.get(at)
        if row.usd is not None and row.usd > 0.0 and row.open_interest > 0.0:
            price = row.usd / row.open_interest
        elif candle is not None:
            price = candle.close
        else:
            continue
        volume_usd = _volume_between(points[-1].at, at, ending) if points else None
        points.append(
            HistoryPoint(at=at, price=price, open_interest=row.open_interest, volume_usd=volume_usd)
        )
    return tuple(points)


def _volume_between(before: Nanoseconds, at: Nanoseconds, ending: dict[Nanoseconds, Candle]) -> float | None:
    count, rest = divmod(at - before, SPACING_NS)
    candles = [ending.get(before + number * SPACING_NS) for number in range(1, count + 1)]
    if rest or not candles or None in candles:
        return None
    return sum(candle.volume_usd for candle in candles if candle is not None)
