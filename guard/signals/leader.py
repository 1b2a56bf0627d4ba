"""What the market does that the others of its venue follow. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from guard.forecasts import Direction, SignalValue
from guard.readings import Reading
from guard.signals.context import Context, Features
from guard.signals.cross_venue import coin_of
from guard.signals.usual import clip
from guard.units import MarketId, Nanoseconds, venue_of

LEADING_COINS = ("BTC", "ETH")
QUIET, FULL = 1.0, 5.0
SILENT_NS = 30 * 1_000_000_000


@dataclass(slots=True)
class Led:
    """Moves of a venue's leader, in its own usual deviations."""

    leader: MarketId
    move_1m: float | None
    move_5m: float | None


class Leaders:
    """The move of each venue's leading market, for its other markets.

    Formula: move over 5 (1) minutes / (usual volatility of the leader sqrt(300)); the leader is the BTC market with
    the greatest open interest, else ETH's, else the market with the greatest. Unit: standard deviations, negative
    down. Alarm: 0 up to 1, 1 from 5. Unknown for the leader itself.

    Source: own prices. Cost: 1 us a market. Assumption: small coins follow within minutes, by more than their leader.
    Failure mode: a coin that falls for a reason of its own is not led.

    >>> from guard.signals.price_measures import PriceMeasures
    >>> names = [MarketId(f"v:{coin}/USDT:USDT") for coin in ("BTC", "DOGE")]
    >>> readings = {name: Reading(at=0, market=name, elapsed_s=5.0) for name in names}
    >>> contexts = {name: Context(readings[name], PriceMeasures(0, 1.0, move_5m=-0.01), 1e-4) for name in names}
    >>> leaders = Leaders()
    >>> leaders.update(readings, contexts, 0)
    >>> round(leaders.of(names[1]).move_5m, 1), leaders.of(names[0])
    (-5.8, None)
    """

    def __init__(self) -> None:
        self._led: dict[str, Led] = {}

    def of(self, market: MarketId) -> Led | None:
        """What leads a market; ``None`` for the leader itself and where it is unknown."""
        led = self._led.get(venue_of(market))
        return None if led is None or led.leader == market else led

    def update(
        self, readings: Mapping[MarketId, Reading], contexts: Mapping[MarketId, Context], now: Nanoseconds
    ) -> None:
        """Find each venue's leader and what it did."""
        leading: dict[str, tuple[int, float, MarketId]] = {}
        for market, reading in readings.items():
            venue, rank = _rank(market)
            best = leading.get(venue)
            if best is None or rank >= best[0]:
                key = (rank, _open_interest_usd(reading), market)
                if best is None or key > best:
                    leading[venue] = key
        self._led = {}
        for venue, (_, _, market) in leading.items():
            context = contexts.get(market)
            if context is None or context.measures is None or abs(now - context.measures.at) > SILENT_NS:
                continue
            self._led[venue] = Led(
                market,
                context.sigmas(context.measures.move_1m, 60.0),
                context.sigmas(context.measures.move_5m, 300.0),
            )

    def values(self, market: MarketId) -> tuple[SignalValue, ...]:
        """The leader's five minutes."""
        led = self.of(market)
        move = None if led is None else led.move_5m
        return (
            SignalValue(
                name="leader_move",
                value=move,
                unit="sd",
                alarm=None if move is None else clip((abs(move) - QUIET) / (FULL - QUIET), 0.0),
                about="" if led is None else led.leader,
            ),
        )

    def features(self, market: MarketId, direction: Direction) -> Features:
        """Both moves, positive in the direction."""
        led = self.of(market)
        if led is None:
            return {}
        told = (("leader_1m", led.move_1m), ("leader_5m", led.move_5m))
        return {name: direction.sign * clip(value, -20.0, 20.0) for name, value in told if value is not None}


@lru_cache(maxsize=8_192)
def _rank(market: MarketId) -> tuple[str, int]:
    """A market's venue, and how leading its coin is: 0 for most, more for some."""
    coin = coin_of(market)
    return venue_of(market), len(LEADING_COINS) - LEADING_COINS.index(coin) if coin in LEADING_COINS else 0


def _open_interest_usd(reading: Reading) -> float:
    price, amount = reading.price, reading.open_interest
    usd = 0.0 if price is None or amount is None else price * amount
    return usd if 0.0 < usd < 1e18 else 0.0
