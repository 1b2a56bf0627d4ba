"""What the venue remembers from before it was started: open interest and candles, every five minutes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise

from adapters.simulation.markets import POINT_MS, Candle, Market
from guard.events import HistoryPoint
from guard.units import NS_PER_MS


def between(market: Market, since_ms: int, until_ms: int, limit: int) -> list[HistoryPoint]:
    """The latest so many points of a market between two times, both included, oldest first."""
    points = [point for point in market.past if since_ms <= point.at // NS_PER_MS <= until_ms]
    return points[-limit:]


def candles(market: Market, since_ms: int, until_ms: int, span_ms: int) -> list[Candle]:
    """Candles that opened between two times, both included, of the past and since the start, oldest first."""
    merged: dict[int, Candle] = {}
    for candle in (*(_past_candles(market) if span_ms % POINT_MS == 0 else ()), *market.candles.values()):
        open_ms = candle.open_ms - candle.open_ms % span_ms
        if since_ms <= open_ms <= until_ms:
            merged[open_ms] = merge(merged.get(open_ms), candle, open_ms)
    return [merged[open_ms] for open_ms in sorted(merged)]


def _past_candles(market: Market) -> Iterator[Candle]:
    for before, point in pairwise(market.past):
        opened, closed = _decimal(before.price), _decimal(point.price)
        volume = _decimal(point.volume_usd or 0.0)
        candle = Candle(before.at // NS_PER_MS, opened, max(opened, closed), min(opened, closed), closed)
        candle.volume, candle.size = volume, (volume / closed).quantize(Decimal("0.001"))
        yield candle


def _decimal(value: float) -> Decimal:
    return Decimal(repr(value))


def merge(merged: Candle | None, candle: Candle, open_ms: int) -> Candle:
    """Add a candle to those before it in the same span; ``None``: it is the first."""
    if merged is None:
        return replace(candle, open_ms=open_ms)
    merged.high, merged.low = max(merged.high, candle.high), min(merged.low, candle.low)
    merged.close = candle.close
    merged.size += candle.size
    merged.volume += candle.volume
    merged.count += candle.count
    merged.bought += candle.bought
    merged.bought_volume += candle.bought_volume
    return merged
