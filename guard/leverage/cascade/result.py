"""What a cascade comes to in one direction: the structural reach, its factors, and the same as features. Values."""

from __future__ import annotations

from typing import NamedTuple

from msgspec import Struct

from guard.forecasts import Direction, ReachForecast


class Stretch(NamedTuple):
    """A stretch of distances (fractions) that price crosses by itself once it has entered it: there R is above 1."""

    near: float
    far: float


class CascadeFeatures(NamedTuple):
    """What a statistical model should be given of a cascade: always finite, clipped, 0 in the middle where it can be.

    Every depth is the usual one within 1 % on this side (now's, where the usual one is not known). Logarithms are
    natural and clipped to -5..5; without a map the forced ones are at -5 and the others are those of the book alone.

    Attributes:
        barrier_2: log of what others must sell until price is 2 % away, in depths.
        barrier_5: likewise 5 %.
        barrier_10: likewise 10 %.
        stands_2: log of what stands up to 2 % when price comes there, in depths; nothing is forced.
        stands_5: likewise 5 %.
        stands_10: likewise 10 %.
        touch: log of what rests within 10 bps now, in tenths of a depth.
        forced_2: log of what is liquidated into the book up to 2 %, over what stands there.
        forced_5: likewise 5 %.
        forced_10: likewise 10 %.
        reproduction: log of the greatest local reproduction number up to 10 %.
        reach_2: logit of the structural P(reach >= 2 %).
        reach_5: likewise 5 %.
        reach_10: likewise 10 %.
        expected: log of the mean reach over 1 %.
        expected_book: log of the mean reach over 1 % if nothing were forced.
        crash: log of ``ereach`` over 1 %: how far a crash would go, whatever goes on now.
        crash_book: the same if nothing were forced.
        feedback: log of how much farther a shock goes with forced selling than without.
        liquidity: log of normal depth over what is left on the way.
        thinness: log of normal depth over depth now; above 0 is thin.
        shock: log of the median shock in depths.
        withdrawn: log of 1 + 5 % in moves that makers withdraw at.
        due: log of 1 + what is due now, because the mark lags, in depths.
        gap: how far mid is beyond the index, in units of 4 % (log), clipped at 20 %; below 0 the index is farther, and
            arbitrage takes price there. 0 where the index is not known.
        gap_spreads: that in spreads, as an inverse hyperbolic sine.
    """

    barrier_2: float
    barrier_5: float
    barrier_10: float
    stands_2: float
    stands_5: float
    stands_10: float
    touch: float
    forced_2: float
    forced_5: float
    forced_10: float
    reproduction: float
    reach_2: float
    reach_5: float
    reach_10: float
    expected: float
    expected_book: float
    crash: float
    crash_book: float
    feedback: float
    liquidity: float
    thinness: float
    shock: float
    withdrawn: float
    due: float
    gap: float
    gap_spreads: float

    def values(self) -> tuple[float, ...]:
        """All of them, along ``CASCADE_FEATURES``."""
        return self


CASCADE_FEATURES = CascadeFeatures._fields
"""Their names, in order."""


class CascadeResult(Struct, frozen=True, gc=False):
    """A cascade in one direction, as far as structure tells it; distances are fractions of mid, positive.

    Attributes:
        distances: at which ``survival`` is told, ascending.
        survival: P(reach >= distance), given that a shock is under way.
        quantiles: of the reach, along ``guard.forecasts.QUANTILES``.
        probability: that it is at least each of ``guard.forecasts.MOVES``.
        expected: mean reach, the tail cut at the last of ``distances``.
        expected_book: the same if nothing were forced.
        ereach: mean reach, over the same uncertainties, of a crash's shocks: 0.5, 1, 2 and 4 times ``crash_depths``
            normal depths (within 4.2 usual 5-minute deviations), weighed 0.4, 0.3, 0.2 and 0.1, beside recent flow and
            the index's pull. It says how far a market would go, whatever goes on now.
        ereach_book: the same if nothing were forced.
        barrier_usd: ``Qc`` at each of ``MOVES``.
        reproduction: greatest local reproduction number up to 10 %.
        reproduction_at: where it is; ``None`` where nothing is forced.
        stretches: where price goes on by itself once it is there, nearest first, from at most 30 % away.
        liquidity_factor: normal depth over what is left on the way to 5 %, 1 or more.
        forced_factor: 1 + forced selling up to 5 % over what stands there.
        feedback_factor: expected reach over that without forced selling, 1 or more.
        flow_usd: the median shock that was counted with, the pull of the index included.
        depth_usd: the depth that shocks are counted in.
        thinness: that over depth within 1 % now; above 1 is thin.
        forced_usd: liquidated into the book up to each of ``MOVES``.
        stands_usd: what stands up to each of ``MOVES`` when price comes there.
        due_usd: liquidated into the book without any further move, because the mark lags.
        extrapolated_from: distance from which on depth was extrapolated; ``None``: all up to 10 % was seen.
        has_map: whether forced selling was known; without it the result is that of the book alone.
        map_log_sd: how uncertain it is.
        features: for statistical models.
    """

    direction: Direction
    distances: tuple[float, ...]
    survival: tuple[float, ...]
    quantiles: tuple[float, ...]
    probability: tuple[float, ...]
    expected: float
    expected_book: float
    ereach: float
    ereach_book: float
    barrier_usd: tuple[float, ...]
    reproduction: float
    reproduction_at: float | None
    stretches: tuple[Stretch, ...]
    liquidity_factor: float
    forced_factor: float
    feedback_factor: float
    flow_usd: float
    depth_usd: float
    thinness: float
    forced_usd: tuple[float, ...]
    stands_usd: tuple[float, ...]
    due_usd: float
    extrapolated_from: float | None
    has_map: bool
    map_log_sd: float
    features: CascadeFeatures

    def forecast(self) -> ReachForecast:
        """Tell it as a message, not calibrated on anything."""
        return self.told(self.quantiles, self.probability, self.expected)

    def told(
        self, quantiles: tuple[float, ...], probability: tuple[float, ...], expected: float
    ) -> ReachForecast:
        """Tell a distribution of the reach with the factors of this cascade; what needs a map is unknown without."""
        has_map = self.has_map
        return ReachForecast(
            direction=self.direction,
            quantiles=quantiles,
            probability=probability,
            expected=expected,
            barrier_usd=self.barrier_usd if has_map else None,
            reproduction=self.reproduction if has_map else None,
            reproduction_at=self.reproduction_at if has_map else None,
            liquidity_factor=self.liquidity_factor,
            forced_factor=self.forced_factor if has_map else None,
            feedback_factor=self.feedback_factor if has_map else None,
            flow_usd=self.flow_usd,
            extrapolated_from=self.extrapolated_from,
        )
