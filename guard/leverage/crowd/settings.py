"""What the liquidation map takes for granted until it has seen better, and how it is divided. Values only."""

from __future__ import annotations

from dataclasses import dataclass

from guard.leverage.crowd.side_map import BINS

LEVERAGES = (1.5, 2.0, 3.0, 5.0, 7.0, 10.0, 15.0, 20.0, 30.0, 50.0, 75.0, 100.0)
"""Classes of leverage; people choose round ones."""

SHARES = (0.11, 0.20, 0.25, 0.20, 0.06, 0.10, 0.02, 0.035, 0.006, 0.01, 0.002, 0.001)
"""Of leveraged open interest in each class, before a tilt: centred on Hyperliquid's published positions, median
effective leverage 2.6 and within 30 % of spot 2.9/3.7/5.4/8.6/28 at 5/25/50/75/95 % (repository
min66633/liquidation-cascade-research, 52 longs)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MapSettings:
    """Assumptions of a map; all are priors or resolutions, none is a market's.

    Attributes:
        leverage_max: highest leverage that the venue gives in this market; cuts the classes above it off.
        cross_share: of positions that are margined across the account.
        cross_spare: how much more stands behind those, as a ratio of initial margin, on the mean (exponential).
        maintenance: of notional.
        holding_half_life_h: in which half of all positions are closed by their owners.
        volatility_day: standard deviation of log price over a day, where no history tells better.
        unit_share: of open interest that is liquidated at once: how coarse evidence is.
        error_log_sd: of the map's mass beyond what the mix leaves open: entries, sizes, the form of the model.
        flush_s: entries are put into bins so often.
        winners_share: of what leaves opposite those who were swept, the part that goes by how much was gained.
        caught_hedged: of what enters where others were swept, the part that has no leverage.
        pace_max: churn goes with the pace of trading to ``pace_power``, up to so many times the usual.
        pace_power: see above.
        stress_share: when so much of open interest was swept of late, half as many enter with leverage.
    """

    leverage_max: float = 125.0
    cross_share: float = 0.5
    cross_spare: float = 0.8
    maintenance: float = 0.01
    holding_half_life_h: float = 36.0
    volatility_day: float = 0.035
    unit_share: float = 1e-3
    error_log_sd: float = 0.2
    flush_s: float = 120.0
    winners_share: float = 1.0
    caught_hedged: float = 1.0
    stress_share: float = 0.01
    pace_max: float = 2.0
    pace_power: float = 0.5


BINS_KEPT = BINS + 324
"""Of liquidation prices on one side: as far as a map tells, and room for the mark to move."""
