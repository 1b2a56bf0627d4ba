"""What models of reach and hazard are given of a market in one direction: no units, mirrored; NaN is unknown here.

A move is positive in the direction that is looked at; flows are counted in depths that usually rest within 1 %, moves
in what is usual for the market, so that numbers of one market mean the same in another.
"""

from __future__ import annotations

from math import log

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from guard.forecasts import MOVES, Direction
from guard.hazard.peers import PeerView
from guard.hazard.rows import Graded, odds_of, of_flow, of_interest, of_peers, of_price, of_structure
from guard.hazard.tracks import FlowTrack
from guard.leverage.cascade.result import CASCADE_FEATURES, CascadeResult
from guard.readings import Reading
from guard.signals.price_measures import PriceMeasures

Floats = NDArray[np.float64]

REACH_DISTANCES = (
    0.005, 0.0075, 0.01, 0.015, 0.02, 0.025, 0.03, 0.04, 0.05, 0.06, 0.08, 0.10, 0.13, 0.16, 0.22, 0.30, 0.45,
)  # fmt: skip
"""At which the probability of reaching them is modelled; between them it is interpolated."""

HAZARD_HORIZONS_S = (300, 900, 2700, 3600)
"""Those that are told, and the 45 minutes that alarms are judged by."""

PRICE_FEATURES = (
    "speed_1m", "speed_5m", "speed_15m", "z_1m", "z_5m", "beyond_5m", "beyond_30m", "back_30m", "regained",
    "volatility_1m", "volatility_15m", "volatility_60m", "wild_1m", "wild_15m", "wild_60m", "jumps",
    "onset_age", "is_onset", "is_other_onset",
)  # fmt: skip
FLOW_FEATURES = (
    "net_1m", "net_5m", "net_30m", "volume_5m", "turnover", "depth_met", "depth_other", "depth_change", "shape_near",
    "shape_far", "spread", "spread_bps", "round_trip", "refill", "forced_1m", "forced_5m", "forced_30m", "forced_other",
    "premium", "premium_usual", "lag", "funding", "longs_share",
)  # fmt: skip
PEER_FEATURES = (
    "peer_speed_1m", "peer_speed_5m", "peer_move_5m", "peer_move_max", "peer_depth", "peer_forced", "peer_wild",
    "twin_gap",
)  # fmt: skip
INTEREST_FEATURES = ("oi_depth", "oi_usual_depth", "oi_turnover", "oi_change_5m", "oi_change_1h")
STRUCTURE_FEATURES = tuple(f"cascade_{name}" for name in CASCADE_FEATURES)
NAMES = PRICE_FEATURES + FLOW_FEATURES + PEER_FEATURES + INTEREST_FEATURES + STRUCTURE_FEATURES
"""Of ``Features.values``, in order."""

GRADED = ("random_walk_1m", "random_walk_15m", "random_walk_60m", "chance", "forced_at", "barrier_at")
"""Those that have a value for each distance (and horizon)."""


class Quiet(Struct, frozen=True):
    """How often shocks have come while nothing was under way, in all markets, and how quiet this one is now.

    Attributes:
        shocks: of all markets, both directions, weighed by age.
        hours: market-hours in which none was under way, weighed alike.
        share: 1 while nothing moves, 0 from a shock (1.5 % in 5 minutes) until an hour after.
        fitted: chance that this is a market of the kind that models were fitted on (``Climate``), 0..1.
        is_shaken: whether a shock began in any market within the last hour.
    """

    shocks: float = 0.0
    hours: float = 0.0
    share: float = 0.0
    fitted: float = 1.0
    is_shaken: bool = False


NOT_QUIET = Quiet()


class Features(Struct, frozen=True, eq=False):
    """Of one market, moment and direction: ``values`` along ``NAMES``, ``reach`` ``(REACH_DISTANCES, GRADED)``.

    ``hazard`` is ``(HAZARD_HORIZONS_S x MOVES, GRADED)``. NaN is unknown, and stays within these arrays.
    """

    values: Floats
    reach: Floats
    hazard: Floats
    has_map: bool
    quiet: Quiet = NOT_QUIET
    is_young: bool = False
    """Whether not even a minute of the price is known."""


def features(
    direction: Direction,
    reading: Reading,
    price: PriceMeasures | None,
    flow: FlowTrack,
    peers: PeerView | None,
    cascade: CascadeResult | None,
    quiet: Quiet = NOT_QUIET,
) -> Features:
    """Put together what is known of a market at a reading; ``flow`` and ``peers`` have taken it already.

    ``price`` is what the market's ``PriceTrack`` tells at it, ``cascade`` the structure in this direction.
    """
    values = np.empty(len(NAMES))
    at = of_price(values, 0, direction, price, flow)
    at = of_flow(values, at, direction, reading, flow)
    at = of_peers(values, at, peers)
    at = of_interest(values, at, reading, flow)
    of_structure(values, at, cascade, len(CASCADE_FEATURES))
    reach, hazard = np.empty(_REACH_SHAPE), np.empty(_HAZARD_SHAPE)
    odds = odds_of(cascade)
    _GRADED_REACH.lay(reach, price, cascade, odds)
    _GRADED_HAZARD.lay(hazard, price, cascade, odds)
    has_map, is_young = cascade is not None and cascade.has_map, price is None or price.volatility_1m is None
    return Features(values, reach, hazard, has_map, quiet, is_young)


_LOG_MOVES = [log(move) for move in MOVES]
_GRADED_REACH = Graded(
    (0.5 * np.log(1800.0) - np.log(np.array(REACH_DISTANCES))).tolist(),
    [log(distance) for distance in REACH_DISTANCES],
    _LOG_MOVES,
)
_GRADED_HAZARD = Graded(
    [0.5 * log(horizon) - log(move) for horizon in HAZARD_HORIZONS_S for move in MOVES],
    _LOG_MOVES * len(HAZARD_HORIZONS_S),
    _LOG_MOVES,
)
_REACH_SHAPE = len(REACH_DISTANCES), len(GRADED)
_HAZARD_SHAPE = len(HAZARD_HORIZONS_S) * len(MOVES), len(GRADED)
