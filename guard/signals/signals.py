# cython: auto_pickle=True
"""All observables of all markets in one place. No I/O, no clock."""

from __future__ import annotations

import math
from collections.abc import Mapping

from guard.forecasts import Direction, SignalValue
from guard.readings import Reading
from guard.signals.basis import Basis
from guard.signals.comovement import Comovement
from guard.signals.context import Context, Features, Observable, UsualVolatility
from guard.signals.cross_venue import FRESH_NS, CrossVenue
from guard.signals.failed_rebounds import FailedRebounds
from guard.signals.flow_divergence import FlowDivergence
from guard.signals.funding_regime import FundingRegime
from guard.signals.funding_venues import FundingOverVenues
from guard.signals.leader import Leaders
from guard.signals.memory import VERSION, MarketMemory, SignalsState
from guard.signals.open_interest_collapse import OpenInterestCollapse
from guard.signals.outside import OutsideFact, OutsideFacts
from guard.signals.pegs import PegDeviation
from guard.signals.price_measures import PriceMeasures
from guard.signals.price_track import PriceTrack
from guard.signals.trading_cost import TradingCost
from guard.signals.usual import Usual
from guard.signals.volatility_jump import VolatilityJump
from guard.units import NS_PER_S, MarketId, Nanoseconds

STALE_NS = 60 * NS_PER_S
"""After so long without a reading nothing is said of a market."""
TOGETHER_NS = 4_500_000_000
BASIS_LOG_MAX = 0.5


class MarketSignals:
    """The observables of one market that need no other market, over one price track."""

    def __init__(self, market: MarketId) -> None:
        self.market = market
        self.track = PriceTrack()
        self.volatility = UsualVolatility()
        self.funding = FundingRegime()
        self.cost = TradingCost()
        self.context: Context | None = None
        self._basis_log = 0.0
        self._flow = FlowDivergence()
        self._basis = Basis()
        self.observables: tuple[Observable, ...] = (
            FailedRebounds(),
            VolatilityJump(),
            self._flow,
            OpenInterestCollapse(),
            self.cost,
            self._basis,
            self.funding,
        )

    def update(self, reading: Reading) -> Context:
        """Take a reading."""
        at, elapsed = reading.at, reading.elapsed_s
        is_new = self.track.update(at, self._price(reading))
        seen = self.track.measures()
        if is_new:
            self.volatility.update(seen, min(elapsed, 60.0))
        if seen is not None:
            priced_at = seen.at
            if not -FRESH_NS <= at - priced_at <= FRESH_NS:
                seen = None  # the price is unknown, so what it did is
        self.context = Context(reading, seen, self.volatility.value)
        for observable in self.observables:
            observable.update(self.context)
        return self.context

    def _price(self, reading: Reading) -> float | None:
        """The mid; the mark as far from it as it last was while the book is unknown, so that this makes no return."""
        mark = 0.0 if reading.mark_price is None else reading.mark_price
        has_mark = 1e-300 < mark < 1e300
        if reading.book is not None:
            mid = reading.book.mid
            if has_mark and 1e-300 < mid < 1e300:
                apart = math.log(mid) - math.log(mark)
                self._basis_log = apart if abs(apart) < BASIS_LOG_MAX else 0.0
            return mid
        return mark * math.exp(self._basis_log) if has_mark else None

    def usuals(self) -> dict[str, Usual]:
        """What is learned of the market, by name."""
        return {
            "volatility": self.volatility.usual,
            **{
                f"{name}.{key}": usual
                for name, observable in (
                    ("funding", self.funding),
                    ("cost", self.cost),
                    ("flow", self._flow),
                    ("basis", self._basis),
                )
                for key, usual in observable.usuals().items()
            },
        }


class Signals:
    """What observables say of every market, each from the readings of it and, once for all, of all of them.

    ``update`` for each reading, then ``update_together`` with the latest of all markets every few seconds. Directional
    values are negative down; ``alarm`` is 0 where things are as usual (its scale is in each observable's file).
    Readings out of order are taken as they come; what is asked of a market not heard of for a minute is unknown.

    >>> signals = Signals()
    >>> market = MarketId("v:A/USDT:USDT")
    >>> for second in range(0, 900, 5):
    ...     signals.update(Reading(at=second * NS_PER_S, market=market, elapsed_s=5.0, mark_price=100.0))
    >>> told = {value.name: value.value for value in signals.values(market, 895 * NS_PER_S)}
    >>> told["failed_rebounds_down"], told["jump_share"], told["funding_z"]
    (0.0, 0.0, None)
    >>> {value.value for value in signals.values(market, 1_000 * NS_PER_S)}
    {None}
    """

    def __init__(self, facts: OutsideFacts | None = None) -> None:
        self._markets: dict[MarketId, MarketSignals] = {}
        self._cross = CrossVenue()
        self._funding = FundingOverVenues()
        self._leaders = Leaders()
        self._comovement = Comovement()
        self._pegs = PegDeviation()
        self._facts = OutsideFacts() if facts is None else facts
        self._now: Nanoseconds = 0
        self._together_at: Nanoseconds = -TOGETHER_NS

    # ---------------------------------------------------------------- what it takes

    def update(self, reading: Reading) -> None:
        """Take one market's reading."""
        self._of(reading.market).update(reading)
        self._now = max(self._now, reading.at)

    def update_together(self, readings: Mapping[MarketId, Reading], now: Nanoseconds) -> None:
        """Take the latest reading of every market: what is between markets, once for all of them.

        It may be called at any market's refresh: sooner than ``TOGETHER_NS`` after the last time it changes nothing.
        """
        self._now = max(self._now, now)
        if 0 <= now - self._together_at < TOGETHER_NS:
            return
        self._together_at = now
        sigmas = {name: market.volatility.value for name, market in self._markets.items()}
        contexts = {name: each.context for name, each in self._markets.items() if each.context is not None}
        self._cross.update(readings, sigmas, now)
        self._leaders.update(readings, contexts, now)
        fundings = {name: self._markets[name].funding.z for name in readings if name in self._markets}
        self._funding.update(fundings)
        self._comovement.update(
            {
                name: price
                for name, reading in readings.items()
                if abs(now - reading.at) <= FRESH_NS
                and (price := reading.price) is not None
                and math.isfinite(price)
            },
            now,
        )

    def take_pegs(self, deviations: Mapping[str, float], at: Nanoseconds) -> None:
        """Take how far assets are below what they stand for, as log deviations (``guard.account.pegs.Depeg.value``)."""
        self._pegs.take(deviations, at)

    def take_fact(self, fact: OutsideFact) -> None:
        """Take a fact of the outside."""
        self._facts.take(fact)

    def drop_fact(self, name: str) -> None:
        """Take a fact back."""
        self._facts.drop(name)

    def hold(self, market: MarketId, usd: float | None) -> None:
        """Say what one holds in a market, USD, for what getting out and in of it costs; ``None`` for nothing."""
        self._of(market).cost.own_usd = usd

    def forget(self, market: MarketId) -> None:
        """Drop a market that is watched no longer."""
        self._markets.pop(market, None)

    # ---------------------------------------------------------------- what it tells

    def track(self, market: MarketId) -> PriceTrack:
        """The last hour of a market's price; an empty one where nothing was heard."""
        return self._of(market).track

    def measures(self, market: MarketId) -> PriceMeasures | None:
        """What the price did, as of the latest reading; ``None`` where it is unknown."""
        found = self._markets.get(market)
        return None if found is None or found.context is None else found.context.measures

    def sigma(self, market: MarketId) -> float | None:
        """Usual volatility of a market per square root of a second."""
        found = self._markets.get(market)
        return None if found is None else found.volatility.value

    def log_odds(self, direction: Direction, now: Nanoseconds) -> float:
        """What outside facts add to the log-odds of a move."""
        return self._facts.log_odds(direction, now)

    def values(self, market: MarketId, now: Nanoseconds) -> tuple[SignalValue, ...]:
        """Every observable of a market, always the same names in the same order."""
        own = self._markets.get(market)
        is_fresh = own is not None and own.context is not None and now - own.context.reading.at <= STALE_NS
        found = own if own is not None and is_fresh else MarketSignals(market)
        told: list[SignalValue] = []
        for observable in found.observables:
            told += observable.values()
        told += self._funding.values(market)
        told += self._cross.values(market)
        told += self._leaders.values(market)
        told += self._comovement.values()
        told += self._pegs.values(now)
        told += self._facts.values(now)
        if is_fresh:
            return tuple(told)
        return tuple(SignalValue(name=each.name, value=None, unit=each.unit, alarm=None) for each in told)

    def features(self, market: MarketId, direction: Direction) -> Features:
        """Numbers for a model as of the latest reading, positive in the direction; names that miss are unknown."""
        found = self._markets.get(market)
        if found is None or found.context is None:
            return {}
        made: Features = {}
        for observable in found.observables:
            made.update(observable.features(direction))
        made.update(self._funding.features(market, direction))
        made.update(self._cross.features(market, direction))
        made.update(self._leaders.features(market, direction))
        made.update(self._comovement.features())
        made.update(self._pegs.features(self._now))
        return made

    # ---------------------------------------------------------------- for another run

    def state(self) -> SignalsState:
        """What is remembered: prices of the last hour, and what is usual."""
        return SignalsState(
            markets=tuple(
                MarketMemory(
                    name, market.track.state(), {key: usual.state() for key, usual in market.usuals().items()}
                )
                for name, market in self._markets.items()
            ),
            comovement=self._comovement.usual.state(),
        )

    def restore(self, state: SignalsState) -> None:
        """Go on from a state; another version's is not taken."""
        if state.version != VERSION:
            return
        for memory in state.markets:
            market = self._of(memory.market)
            market.track.restore(memory.prices)
            for key, usual in market.usuals().items():
                if key in memory.usual:
                    usual.restore(memory.usual[key])
        if state.comovement is not None:
            self._comovement.usual.restore(state.comovement)

    def _of(self, market: MarketId) -> MarketSignals:
        found = self._markets.get(market)
        if found is None:
            found = self._markets[market] = MarketSignals(market)
        return found
