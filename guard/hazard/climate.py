"""What kind of market this is: one whose shocks die away, as in life, or one as models were fitted on. Pure."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from math import exp, log

from msgspec import Struct

from guard.forecasts import Direction
from guard.hazard.features import REACH_DISTANCES
from guard.skill.outcomes import GAP_S_MAX, REACH_WINDOW_S
from guard.units import NS_PER_S, MarketId, Nanoseconds

LIFE_REACH = (
    0.60, 0.51, 0.44, 0.31, 0.19, 0.12, 0.08, 0.02, 0.006, 0.0033, 0.0013, 6e-4, 2.8e-4, 1.5e-4, 6e-5, 2e-5, 6e-6,
)  # fmt: skip
"""Share of shocks of real life that went on by each of ``REACH_DISTANCES`` within 30 minutes.

To 4 %: 145 shocks (1.5 % between two closes of five minutes) of seven Binance perpetuals, December 2025 and January
2026, 27 of which went on by 2 % and one by 5 %. Beyond, fewer than anyone counted: a tail that falls as the third
power.
"""
FITTED_REACH = (
    0.860, 0.840, 0.825, 0.789, 0.762, 0.747, 0.728, 0.690, 0.653, 0.622, 0.564, 0.505, 0.419, 0.360, 0.268, 0.170,
    0.105,
)  # fmt: skip
"""The same of 2,294 onsets of 240 training episodes: what models of the reach were fitted on."""

FITTED_AT_FIRST = 0.9
"""Chance of the fitted kind before anything was seen: a guard's first crash may come on its first day.

To say too little then costs a position, to say too much in a few ordinary shocks some fees (decision 0265).
"""
FITTED_LEAST, FITTED_MOST = 0.0075, 0.99
"""However long it has been otherwise: a market may turn into the other kind at any shock.

At the least a shock is told to go on by 5 % in 1.2 % of cases; one of 145 did.
"""
QUIET_LOG_PER_H = 0.2
"""By how much an hour without shocks speaks against the fitted kind.

There a cluster of shocks came 0.35 times an hour, in those two months 0.04 times; two thirds of the difference, as few
markets have fewer.
"""
CLUSTER_S, CLUSTER_S_MAX = 3600.0, 3 * 3600.0
"""Shocks are one happening as long as no hour lies between them, whatever market they are in; at most three hours."""
SEEN_GAP_S = 60.0
"""A longer silence is not counted as quiet."""


class ClimateState(Struct, frozen=True, kw_only=True):
    """What was learned, to be kept: the chance of the fitted kind, 0..1."""

    fitted: float = FITTED_AT_FIRST


@dataclass(slots=True)
class _Shock:
    """One that began, and how far price has gone from there."""

    price: float
    began_at: Nanoseconds
    seen_at: Nanoseconds
    gone: float = 0.0
    """At the former price."""
    farthest: float = 0.0
    evidence: float = 0.0
    is_over: bool = False


@dataclass(slots=True)
class Climate:
    """One for all markets: ``follow`` each price, ``begin`` each shock, ``weight`` is the chance of the fitted kind.

    Formula:
        A shock that after t of its 30 minutes went x so far has the likelihood ``S(x) - F S(next)``, S the shares of
        shocks that go on as far, of either kind, F the share of shocks that have gone all of their way by then. Shocks
        of one hour are one happening: the log-odds of the kind take the log ratio of the one that speaks loudest for
        it, and the mean of those that speak against it (none as 0), and keep them when it is over; quiet takes
        ``QUIET_LOG_PER_H``. They are held within ``FITTED_LEAST`` and ``FITTED_MOST``, which stands for turning from
        one kind into the other. A shock has gone as far as two prices in a row say: one alone may be a wick, or wrong,
        and would speak for all markets.

    Assumes:
        There are two kinds, and all markets are of the same one at a time. A shock that goes on by 5 % is a hundred
        times likelier in the fitted kind: one is enough, within the minutes that it takes.

    Fails:
        At the first shock of a crash after a calm, before it has gone on: nothing tells it from the sixty that do not.

    Source: counts as of ``LIFE_REACH``; decision 0265. Cost: 1 us a reading.

    >>> climate = Climate()
    >>> climate.begin("bybit:WIF/USDT:USDT", Direction.DOWN, 0, 100.0)
    >>> climate.follow("bybit:WIF/USDT:USDT", 60 * NS_PER_S, 99.9)
    >>> round(climate.weight(60 * NS_PER_S), 2)
    0.9
    >>> for minute in range(2, 32):
    ...     climate.follow("bybit:WIF/USDT:USDT", minute * 60 * NS_PER_S, 100.0)
    >>> round(climate.weight(31 * 60 * NS_PER_S), 2)
    0.76
    """

    log_odds: float = log(FITTED_AT_FIRST / (1.0 - FITTED_AT_FIRST))
    """Of the fitted kind, but for the cluster that is open."""
    _shocks: dict[MarketId, list[tuple[Direction, _Shock]]] = field(default_factory=dict)
    _began_at: Nanoseconds | None = None
    """Of the latest shock of the cluster that is open."""
    _first_at: Nanoseconds = 0
    _count: int = 0
    _loudest: float = 0.0
    _against: float = 0.0
    _seen_at: Nanoseconds | None = None

    def is_open(self, at: Nanoseconds) -> bool:
        """Whether a shock began within the last hour, in any market."""
        return self._began_at is not None and at - self._began_at <= CLUSTER_S * NS_PER_S

    def begin(self, market: MarketId, direction: Direction, at: Nanoseconds, price: float) -> None:
        """A shock was first seen."""
        self._close(at)
        if self._began_at is None:
            self._first_at, self._count, self._loudest, self._against = at, 0, 0.0, 0.0
        self._began_at = at if self._began_at is None else max(self._began_at, at)
        self._count += 1
        self._shocks.setdefault(market, []).append((direction, _Shock(price, at, at)))

    def follow(self, market: MarketId, at: Nanoseconds, price: float | None) -> None:
        """Take a market's price."""
        if price is None or not price > 0.0:
            return
        if self._began_at is not None:
            self._close(at)
        if self._began_at is None:
            self._count_quiet(at)
            return
        shocks = self._shocks.get(market)
        if not shocks:
            return
        for direction, shock in shocks:
            if not shock.is_over:
                self._follow(direction, shock, at, price)

    def weight(self, at: Nanoseconds) -> float:
        """Give the chance that what comes next is of the kind that models were fitted on, 0..1."""
        self._close(at)
        return _chance(self._now())

    def forget(self, market: MarketId) -> None:
        """The market is watched no more; what its shocks have shown so far stands."""
        for _, shock in self._shocks.get(market, ()):
            shock.is_over = True

    def state(self) -> ClimateState:
        """What was learned; an open cluster counts as what it is by now."""
        return ClimateState(fitted=_chance(self._now()))

    def restore(self, state: ClimateState) -> None:
        """Go on from what a former run had learned; a number that cannot be is not taken."""
        if 0.0 < state.fitted < 1.0:
            self.log_odds = _held(log(state.fitted / (1.0 - state.fitted)))

    def _now(self) -> float:
        if self._began_at is None:
            return self.log_odds
        return _held(self.log_odds + self._loudest + self._against / self._count)

    def _count_quiet(self, at: Nanoseconds) -> None:
        before, self._seen_at = self._seen_at, at if self._seen_at is None else max(self._seen_at, at)
        if before is not None and 0 < at - before <= SEEN_GAP_S * NS_PER_S:
            hours = (at - before) / (3600 * NS_PER_S)
            self.log_odds = _held(self.log_odds - QUIET_LOG_PER_H * hours)

    def _follow(self, direction: Direction, shock: _Shock, at: Nanoseconds, price: float) -> None:
        if at - shock.seen_at > GAP_S_MAX * NS_PER_S:
            shock.is_over = True  # nobody saw how it went on
            return
        shock.seen_at = at
        age_s = (at - shock.began_at) / NS_PER_S
        if age_s <= REACH_WINDOW_S:
            before_it, shock.gone = shock.gone, direction.sign * (price / shock.price - 1.0)
            shock.farthest = max(shock.farthest, min(shock.gone, before_it))
        shock.is_over = age_s >= REACH_WINDOW_S
        before, shock.evidence = shock.evidence, _evidence(shock.farthest, age_s)
        self._against += min(shock.evidence, 0.0) - min(before, 0.0)
        if shock.evidence >= self._loudest:
            self._loudest = shock.evidence
        elif before >= self._loudest > 0.0:
            every = (each.evidence for found in self._shocks.values() for _, each in found)
            self._loudest = max(0.0, *every)

    def _close(self, at: Nanoseconds) -> None:
        """Count the cluster once an hour has passed since its latest shock, or when it has gone on for long."""
        if self._began_at is None:
            return
        if self.is_open(at) and at - self._first_at <= CLUSTER_S_MAX * NS_PER_S:
            return
        self.log_odds = self._now()
        self._began_at = None
        self._shocks.clear()


def _chance(log_odds: float) -> float:
    return 1.0 / (1.0 + exp(-log_odds))


def _held(log_odds: float) -> float:
    return min(max(log_odds, _LEAST), _MOST)


def _evidence(farthest: float, age_s: float) -> float:
    """Log ratio of the likelihoods of a shock that went as far by then: fitted kind over life."""
    at = bisect_right(REACH_DISTANCES, farthest + 1e-12)
    # Shocks that went on needed most of the half hour: a tenth had at once, two thirds before its end (training).
    ended = 1.0 if age_s >= REACH_WINDOW_S else 0.1 + 0.55 * age_s / REACH_WINDOW_S
    here, there = _FITTED[at], _LIFE[at]
    return log(here[0] - ended * here[1]) - log(there[0] - ended * there[1])


def _steps(shares: tuple[float, ...]) -> tuple[tuple[float, float], ...]:
    """Share that goes as far as each distance, and as the next one, from none on."""
    return tuple(zip((1.0, *shares), (*shares, 0.0), strict=True))


_FITTED, _LIFE = _steps(FITTED_REACH), _steps(LIFE_REACH)
_LEAST, _MOST = (log(each / (1.0 - each)) for each in (FITTED_LEAST, FITTED_MOST))
