"""What leverage others use, learned from what was liquidated, by all markets for each other. A shared object.

Unknown of each market and side are two numbers: how far its mix of leverage is tilted up or down beside the published
one, and which share of its open interest price liquidates at all. A grid of candidates is weighed by what they would
have foretold. A market's own evidence counts in full, that of its other side, of the same symbol elsewhere and of all
others in part and up to so much.
"""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from msgspec import Struct

from guard.forecasts import Direction
from guard.leverage.crowd.drawing import believe
from guard.leverage.crowd.settings import LEVERAGES, SHARES
from guard.leverage.crowd.side_map import Floats
from guard.units import NS_PER_S, MarketId, Nanoseconds, symbol_of, venue_of

TILTS: Final = (-1.6, -1.2, -0.8, -0.4, 0.0, 0.4, 0.8, 1.2)
"""Exponents of leverage."""

LEVERAGED: Final = (0.12, 0.25, 0.4, 0.55, 0.7, 0.85, 0.95)
"""Shares of open interest that price liquidates."""

CANDIDATES: Final = len(TILTS) * len(LEVERAGED)

TILT_MEAN, TILT_SD = 0.0, 0.7
LEVERAGED_MEAN: Final = {Direction.DOWN: 0.8, Direction.UP: 0.5}
"""Longs are leveraged more often than shorts: who holds spot and sells the perpetual is short."""
LEVERAGED_SD = 0.25

LEAN_WEIGHT = 0.3
FUNDING_USUAL = 5e-4
"""How much accounts and funding say of which side is leveraged: little, a third of a standard deviation at most."""

OTHER_SIDE = 0.4
SAME_SYMBOL = 0.6
OTHERS = 0.4
OTHERS_MAX = 4.0
"""What other markets' evidence counts; all of them together no more than so many markets'."""

CAPTURE_FIRST = 0.7
CAPTURE_COUNT = 4.0
CAPTURE_MAX = 200.0
"""What of the liquidations a throttled feed is taken to tell at first, by so many units; and how many count at most."""

COMPARED_FROM = 3.0
"""A throttled feed is compared with what a complete one taught, once that told so many units."""

MIX_VERSION = 1

_NOTHING: Final = np.zeros((2, CANDIDATES))

_LEANING: Final = np.tile((np.asarray(LEVERAGED) - np.mean(LEVERAGED)) / LEVERAGED_SD, len(TILTS))


class MixState(Struct, frozen=True, kw_only=True):
    """What was learned, to be kept: log-likelihoods of the candidates by market and side."""

    version: int
    at: Nanoseconds
    candidates: int
    evidence: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {}
    learned_usd: dict[str, tuple[float, float]] = {}
    capture: dict[str, tuple[float, float]] = {}


def candidate_shares(leverage_max: float = math.inf) -> Floats:
    """Shares of open interest by class of leverage, of each candidate: ``(CANDIDATES, K)``; the rest is hedged.

    Classes above the venue's highest leverage go to the highest that is possible.
    """
    leverages = np.asarray(LEVERAGES)
    out = np.empty((CANDIDATES, len(LEVERAGES)))
    possible = max(int(np.sum(leverages <= leverage_max)), 1)
    for at, tilt in enumerate(TILTS):
        mix = np.asarray(SHARES) * leverages**tilt
        mix /= mix.sum()
        mix[possible - 1] += mix[possible:].sum()
        mix[possible:] = 0.0
        for by, leveraged in enumerate(LEVERAGED):
            out[at * len(LEVERAGED) + by] = mix * leveraged
    return out


@dataclass(slots=True)
class _Learned:
    """Of one market: log-likelihood by side and candidate, and how much was seen."""

    logs: Floats = field(default_factory=lambda: np.zeros((2, CANDIDATES)))
    usd: Floats = field(default_factory=lambda: np.zeros(2))


class LeverageMix:
    """Weights of candidates for every market.

    >>> mix = LeverageMix()
    >>> market = MarketId("bybit:BTC/USDT:USDT")
    >>> round(float(mix.weights(market, Direction.DOWN).sum()), 9)
    1.0
    """

    def __init__(self, evidence_half_life_h: float = 168.0) -> None:
        self.version = 0
        """Changes when any weight may have."""
        self._half_life_s = evidence_half_life_h * 3600.0
        self._at: Nanoseconds = 0
        self._markets: dict[MarketId, _Learned] = {}
        self._by_symbol: dict[str, Floats] = {}
        self._all = np.zeros((2, CANDIDATES))
        self._capture: dict[str, Floats] = {}
        self._complete: dict[str, Floats] = {}
        self._priors = np.array([_prior(direction) for direction in (Direction.DOWN, Direction.UP)])

    def weights(self, market: MarketId, direction: Direction, lean: float = 0.0) -> Floats:
        """How likely each candidate is for a side of a market, ``(CANDIDATES,)``; adds up to 1.

        ``lean`` (-1..1, see ``lean_of``) is above 0 where longs seem to be the many with leverage.
        """
        side = _side(direction)
        logs = self._priors[side] - (LEAN_WEIGHT * lean * direction.sign) * _LEANING
        own = self._markets.get(market)
        here = _NOTHING if own is None else own.logs
        symbol = self._by_symbol.get(symbol_of(market))
        others = OTHERS / max(1.0, len(self._markets) / OTHERS_MAX)
        counts = array("d", [OTHER_SIDE, SAME_SYMBOL, others, others * OTHER_SIDE])
        believe(logs, here, here if symbol is None else symbol, self._all, side, counts)
        return np.asarray(logs)

    def learn(
        self,
        market: MarketId,
        direction: Direction,
        at: Nanoseconds,
        logs: Floats,
        observed_usd: float,
        complete_units: float = 0.0,
    ) -> None:
        """Add log-likelihoods of the candidates; ``complete_units`` were told by a feed that tells all of it."""
        self._forget(at)
        side = _side(direction)
        own = self._markets.setdefault(market, _Learned())
        gained = logs - logs.max()
        own.logs[side] += gained
        own.usd[side] += observed_usd
        self._by_symbol.setdefault(symbol_of(market), np.zeros((2, CANDIDATES)))[side] += gained
        self._all[side] += gained
        if complete_units > 0.0:
            self._complete.setdefault(symbol_of(market), np.zeros(2))[side] += complete_units
        self.version += 1

    def learned_usd(self, market: MarketId, direction: Direction) -> float:
        """How much was seen liquidated there, by age."""
        own = self._markets.get(market)
        return 0.0 if own is None else float(own.usd[_side(direction)])

    def capture(self, market: MarketId) -> float:
        """What share of liquidations a throttled feed of this venue is taken to tell, 0..1."""
        seen = self._capture.get(venue_of(market))
        count = CAPTURE_COUNT if seen is None else CAPTURE_COUNT + seen[1]
        told = CAPTURE_FIRST * CAPTURE_COUNT + (0.0 if seen is None else float(seen[0]))
        return min(max(told / count, 0.05), 1.0)

    def compare(self, market: MarketId, direction: Direction, told: float, expected: float) -> None:
        """Take what a throttled feed told and what there should have been, in units of evidence.

        Only where the same symbol was learned from a feed that tells all of it: else the two are one unknown.
        """
        complete = self._complete.get(symbol_of(market))
        if complete is None or complete[_side(direction)] < COMPARED_FROM:
            return
        seen = self._capture.setdefault(venue_of(market), np.zeros(2))
        seen += (told, expected)
        if seen[1] > CAPTURE_MAX:
            seen *= CAPTURE_MAX / seen[1]

    def state(self) -> MixState:
        """What is to be kept."""
        return MixState(
            version=MIX_VERSION,
            at=self._at,
            candidates=CANDIDATES,
            evidence={
                name: (tuple(map(float, each.logs[0])), tuple(map(float, each.logs[1])))
                for name, each in self._markets.items()
            },
            learned_usd={
                name: (float(each.usd[0]), float(each.usd[1])) for name, each in self._markets.items()
            },
            capture={venue: (float(seen[0]), float(seen[1])) for venue, seen in self._capture.items()},
        )

    def restore(self, state: MixState) -> bool:
        """Go on from what was kept; False (and nothing changes) where it is of another version or grid."""
        if state.version != MIX_VERSION or state.candidates != CANDIDATES:
            return False
        self._at = state.at
        self._markets.clear()
        self._by_symbol.clear()
        self._all[:] = 0.0
        for name, kept in state.evidence.items():
            values = np.asarray(kept, dtype=np.float64)
            if values.shape != (2, CANDIDATES) or not np.isfinite(values).all():
                continue
            market = MarketId(name)
            usd = np.asarray(state.learned_usd.get(name, (0.0, 0.0)))
            self._markets[market] = _Learned(values, usd)
            self._by_symbol.setdefault(symbol_of(market), np.zeros((2, CANDIDATES)))[:] += values
            self._all += values
        self._capture = {venue: np.asarray(seen) for venue, seen in state.capture.items()}
        self.version += 1
        return True

    def _forget(self, at: Nanoseconds) -> None:
        """Let all evidence fade with time, once a minute."""
        passed_s = (at - self._at) / NS_PER_S
        if passed_s < 60.0:
            return
        if self._at > 0:
            keep = 0.5 ** (passed_s / self._half_life_s)
            for each in self._markets.values():
                each.logs *= keep
                each.usd *= keep
            for symbol in self._by_symbol:
                self._by_symbol[symbol] *= keep
            self._all *= keep
        self._at = at


def lean_of(longs_share: float | None, funding_rate: float | None) -> float:
    """Tell from what is weakly known on which side the many with leverage are: 1 longs, -1 shorts, 0 nobody knows.

    Most accounts long means many small ones against few large, hedged ones; funding is paid by whom leverage presses.

    >>> lean_of(None, None), lean_of(0.5, 0.0), 0.0 < lean_of(0.7, 0.0002) < 1.0
    (0.0, 0.0, True)
    """
    lean = 0.0
    if longs_share is not None and 0.0 <= longs_share <= 1.0:
        lean += 0.5 * (2.0 * longs_share - 1.0)
    if funding_rate is not None and math.isfinite(funding_rate):
        lean += 0.5 * math.tanh(funding_rate / FUNDING_USUAL)
    return lean


def _side(direction: Direction) -> int:
    return 0 if direction is Direction.DOWN else 1


def _prior(direction: Direction) -> Floats:
    tilts = -0.5 * ((np.asarray(TILTS) - TILT_MEAN) / TILT_SD) ** 2
    shares = -0.5 * ((np.asarray(LEVERAGED) - LEVERAGED_MEAN[direction]) / LEVERAGED_SD) ** 2
    return np.asarray((tilts[:, None] + shares[None, :]).ravel())
