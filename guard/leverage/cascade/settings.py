"""What a cascade is worked out with: published figures and priors, all of them numbers that may be replaced. Values."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class CascadeSettings:
    """Priors of the structure; none of them is fitted to a market.

    Attributes:
        phi: share of what is liquidated that reaches the book; the rest is taken over by insurance and deleveraging.
            On Hyperliquid, 10 October 2025, 5.51 B USD were liquidated, 2.10 B of it by deleveraging in 12 minutes
            (public repository ConejoCapital/HyperMultiAssetedADL): 0.62. In made-up crashes it is 0.17 to 0.51; this
            is between. No stream tells it.
        withdrawal_z: move, in usual deviations of 5 minutes, at which half of the depth is gone. A fit to a published
            table over 1.8 million bars of five minutes (min66633/liquidation-cascade-research): 13.3.
        withdrawal_power: its exponent: 2.2.
        withdrawal_floor: share of the usual depth that stays, or is back before a cascade is through: the same study
            saw 1/3.4 left in a liquidation event as a median and 1/17 in the worst tenth; this is between.
        withdrawal_log_sd: how uncertain ``withdrawal_z`` is, as a logarithm.
        volatility_5m: usual deviation of a 5-minute log return where a market's own is not known: 4 % a day.
        volatility_5m_min: never less: a market that stood still tells nothing of how far its makers stay.
        map_log_sd_min: a map is never surer than this of its scale.
        flow_again: median of what others sell in a shock from here on, in units of what they sold in the last
            minute (half an hour is 30 of them).
        shock_depths: and, if they sold nothing, in what rests now within 4.2 usual 5-minute deviations (1 % for a coin
            of 4 % a day).
        crash_depths: what the shocks of a crash are counted in (``ereach``), in the same depths as they usually are.
        shock_power: tail exponent of it (log-logistic): that of traded volume is 1.5 (Gabaix et al., Nature 423, 2003),
            flatter as nobody knows the median well.
        fall_s_per_unit: seconds that a cascade takes for a distance of 1: 85 s from -1.5 to -5 %.
        refill_half_life_s: of depth after a sweep where it was not measured.
        refilled_max: no more than this share of what stands comes back on the way.
        kappa: exponent of unseen depth where a book does not tell its own.
        venues_alive: share of other venues' depth and forced selling that arbitrage brings here while it lives.
        venues_apart: log distance between two venues' mids at which half of that is left.
    """

    phi: float = 0.45
    withdrawal_z: float = 13.3
    withdrawal_power: float = 2.2
    withdrawal_floor: float = 0.15
    withdrawal_log_sd: float = 0.5
    volatility_5m: float = 0.0024
    volatility_5m_min: float = 0.0004
    map_log_sd_min: float = 0.25
    flow_again: float = 16.0
    shock_depths: float = 2.0
    crash_depths: float = 8.0
    shock_power: float = 1.0
    fall_s_per_unit: float = 2400.0
    refill_half_life_s: float = 60.0
    refilled_max: float = 1.0
    kappa: float = 1.16
    venues_alive: float = 0.7
    venues_apart: float = 0.03


DEFAULT = CascadeSettings()
