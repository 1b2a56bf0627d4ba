"""What is estimated of one market, as messages: liquidation map, cascade, signals, hazard, regime, skill. Values only.

They are recorded, published, written into series and read by policies. Distances are fractions of the price (0.05 is
5 %), always positive, in the ``Direction`` that is named; probabilities 0..1; money USD. Missing is ``None``.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from guard.units import MarketId, Nanoseconds

MOVES = (0.02, 0.05, 0.10)
"""Falls (or rises) whose probability is told, and distances within which the map's mass is told."""

HORIZONS_S = (300, 900, 3600)
"""Within which: 5, 15 and 60 minutes."""

QUANTILES = (0.05, 0.10, 0.25, 0.50, 0.75, 0.90, 0.95)
"""Of the reach."""

INTERVAL = 0.80
"""What every interval that is told should cover."""


class Direction(StrEnum):
    """Of a cascade: DOWN liquidates longs into the bids, UP liquidates shorts into the asks."""

    DOWN = "down"
    UP = "up"

    @property
    def sign(self) -> int:
        """-1 down, +1 up."""
        return -1 if self is Direction.DOWN else 1


class Regime(StrEnum):
    """What state a market is in, mildest first (RECOVERY is worse than NORMAL, better than STRESSED)."""

    NORMAL = "normal"
    WATCH = "watch"
    STRESSED = "stressed"
    CASCADE = "cascade"
    RECOVERY = "recovery"


class Amount(Struct, frozen=True):
    """USD with the interval that should hold it in 80 of 100 cases."""

    usd: float
    low_usd: float
    high_usd: float


class Band(Struct, frozen=True, kw_only=True):
    """Prices between which others are liquidated: never a line, for none is known so well.

    ``near`` and ``far`` are distances from the mark; ``ratio`` is the density of mass in it over the mean up to 10 %.
    """

    near: float
    far: float
    near_price: float
    far_price: float
    mass: Amount
    ratio: float


class MapForecast(Struct, frozen=True, kw_only=True):
    """What would be liquidated of others if the mark moved, by how far; ``within`` goes along ``MOVES``.

    ``exact_share`` is the share of ``within[-1]`` that rests on positions which a venue publishes. ``learned`` is how
    much was seen liquidated to learn from, in USD, weighted by age.
    """

    direction: Direction
    mark_price: float
    within: tuple[Amount, ...]
    bands: tuple[Band, ...]
    exact_share: float = 0.0
    learned_usd: float = 0.0


class ReachForecast(Struct, frozen=True, kw_only=True):
    """How far price goes from here within 30 minutes if a shock is under way: a distribution, never a number.

    A crash is liquidity falling x forced selling rising x feedback; the three factors are told by themselves, each 1
    in a calm market or where there is none of it. What needs a map of others' positions is ``None`` without one: that
    nothing is known to be forced is not that nothing is. What is only counted, not modelled, has a distribution alone.

    Attributes:
        quantiles: distances, along ``QUANTILES``.
        probability: that it reaches each of ``MOVES``.
        expected: mean distance.
        barrier_usd: what has to be sold by others than the liquidated until price is at each of ``MOVES``: ``Qc``;
            ``None`` without a map.
        reproduction: greatest local reproduction number up to 10 %: USD forced for each USD that the book takes; 0
            where nothing is forced, ``None`` without a map.
        reproduction_at: the distance where that is; ``None`` where nothing is forced, and without a map.
        liquidity_factor: normal depth over what is expected to be left on the way, 1 or more.
        forced_factor: 1 + forced selling up to 5 % over the depth that stands there; ``None`` without a map.
        feedback_factor: how much farther a normal shock goes with forced selling than without it, 1 or more; ``None``
            without a map.
        flow_usd: the shock that was counted with, selling (buying) by others than the liquidated.
        extrapolated_from: distance from which on depth was extrapolated; ``None``: all of it up to 10 % was seen.
    """

    direction: Direction
    quantiles: tuple[float, ...]
    probability: tuple[float, ...]
    expected: float
    barrier_usd: tuple[float, ...] | None = None
    reproduction: float | None = None
    reproduction_at: float | None = None
    liquidity_factor: float | None = None
    forced_factor: float | None = None
    feedback_factor: float | None = None
    flow_usd: float | None = None
    extrapolated_from: float | None = None


class HazardForecast(Struct, frozen=True, kw_only=True):
    """Probability of a fall (rise) of at least each of ``MOVES`` within each of ``HORIZONS_S``.

    ``probability[h][m]`` rises with the horizon and falls with the move. ``vulnerability`` is the probability that a
    shock, were it to come now, would go on to 5 %; ``shock`` that one (1.5 % in 5 minutes) comes within 15 minutes.
    """

    direction: Direction
    probability: tuple[tuple[float, ...], ...]
    vulnerability: float
    shock: float


class SizingForecast(Struct, frozen=True, kw_only=True):
    """How much leverage a market bears against a move in ``direction`` (DOWN: a long's).

    ``danger`` is the chance of 10 % within 15 minutes as in markets in which shocks go on, its odds moved by a root of
    open interest over depth: it compares markets and moments, and is no probability of life (that is
    ``HazardForecast``); ``usual`` is what it is on the mean in the markets that are watched.
    ``leverage_share`` is how much of one's usual leverage it bears, 0.2 .. 2.
    """

    direction: Direction
    danger: float
    usual: float
    leverage_share: float


class FittedForecast(Struct, frozen=True, kw_only=True):
    """The same in a market whose shocks go on, as most of those do that models were fitted on: before life is weighed.

    Of the estimator that sees most.

    Attributes:
        weight: how far it counts in what is told, 0..1; the rest is real life (``guard.hazard.climate``).
        reach: that a shock that is under way reaches each of ``MOVES`` within 30 minutes.
        hazard, vulnerability, shock: as in ``HazardForecast``.
    """

    direction: Direction
    weight: float
    reach: tuple[float, ...]
    hazard: tuple[tuple[float, ...], ...]
    vulnerability: float
    shock: float


class SignalValue(Struct, frozen=True, kw_only=True):
    """One observable in its unit; ``alarm`` is where it stands, -1 (calming) .. 0 (usual) .. 1; ``None``: unknown."""

    name: str
    value: float | None
    unit: str
    alarm: float | None
    about: str = ""


class SkillScore(Struct, frozen=True, kw_only=True):
    """How one estimator has done, by what came true; ``skill`` is 1 - its loss over the baseline's, 0: no better.

    ``weight`` is what it counts now, 0..1; ``count`` how many forecasts came due, weighted by age.
    """

    target: str
    estimator: str
    weight: float
    skill: float | None
    baseline: str
    reliability_error: float | None
    count: float


class MarketOutlook(Struct, frozen=True, kw_only=True):
    """All that is estimated of a market at one refresh. ``unknown`` names what is missing, and why nothing is said."""

    at: Nanoseconds
    market: MarketId
    regime: Regime | None = None
    regime_since: Nanoseconds | None = None
    regime_reasons: tuple[str, ...] = ()
    """What holds the regime, worst first, by the names of ``guard.hazard.regime``; empty while it only dwells."""
    resume_share: float | None = None
    """How much of what was cut may be resumed, 0..1."""
    price: float | None = None
    oi_depth_ratio: float | None = None
    """The one-line baseline: open interest in USD over bids and asks within 1 % of mid."""
    maps: tuple[MapForecast, ...] = ()
    reaches: tuple[ReachForecast, ...] = ()
    hazards: tuple[HazardForecast, ...] = ()
    sizings: tuple[SizingForecast, ...] = ()
    fitted: tuple[FittedForecast, ...] = ()
    """Reach and hazard before life is weighed, so that anybody can judge either."""
    signals: tuple[SignalValue, ...] = ()
    skill: tuple[SkillScore, ...] = ()
    unknown: tuple[str, ...] = ()

    def map(self, direction: Direction) -> MapForecast | None:
        """The map of one direction."""
        return next((each for each in self.maps if each.direction is direction), None)

    def reach(self, direction: Direction) -> ReachForecast | None:
        """The reach in one direction."""
        return next((each for each in self.reaches if each.direction is direction), None)

    def hazard(self, direction: Direction) -> HazardForecast | None:
        """The hazard in one direction."""
        return next((each for each in self.hazards if each.direction is direction), None)

    def sizing(self, direction: Direction) -> SizingForecast | None:
        """What leverage it bears against a move in one direction."""
        return next((each for each in self.sizings if each.direction is direction), None)

    def as_fitted(self, direction: Direction) -> FittedForecast | None:
        """Reach and hazard of one direction before life is weighed."""
        return next((each for each in self.fitted if each.direction is direction), None)
