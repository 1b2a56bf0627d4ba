"""What models of reach and hazard are given of a market in one direction: no units, mirrored; NaN is unknown here.

A move is positive in the direction that is looked at; flows are counted in depths that usually rest within 1 %, moves
in what is usual for the market, so that numbers of one market mean the same in another.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from functools import lru_cache
from math import asinh, log, sqrt

import numpy as np
from numpy.typing import NDArray

from guard.calibration.kernel import lay_along, log_odds
from guard.forecasts import MOVES, Direction
from guard.hazard.peers import PeerView
from guard.hazard.tracks import FlowTrack, premium_of, within_1_percent
from guard.leverage.cascade.result import CASCADE_FEATURES, CascadeResult
from guard.readings import BookReading, Reading
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

UNKNOWN = float("nan")
CHANCE_MIN = 3.4e-4
"""Structural chances are held within this and 1 less it."""


@dataclass(frozen=True, slots=True)
class Quiet:
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


@dataclass(frozen=True, slots=True, eq=False)
class Features:
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
    depth = flow.depth_usual_usd(reading.book)
    values = [
        *_of_price(direction, price, flow),
        *_of_flow(direction, reading, flow, depth),
        *_of_peers(peers),
        *_of_interest(reading, flow, depth),
        *((UNKNOWN,) * len(CASCADE_FEATURES) if cascade is None else cascade.features.values()),
    ]
    has_map = cascade is not None and cascade.has_map
    reach, hazard = _graded(price, cascade)
    return Features(
        values=np.array(values, dtype=np.float64),
        reach=reach,
        hazard=hazard,
        has_map=has_map,
        quiet=quiet,
        is_young=price is None or price.volatility_1m is None,
    )


def _of_price(direction: Direction, price: PriceMeasures | None, flow: FlowTrack) -> list[float]:
    onset, other = flow.onset_age_s(direction), flow.onset_age_s(_OTHER[direction])
    onsets = [
        UNKNOWN if onset is None else log(1.0 + onset / 60.0),
        0.0 if onset is None else 1.0,
        0.0 if other is None else 1.0,
    ]
    if price is None:
        return [UNKNOWN] * (len(PRICE_FEATURES) - len(onsets)) + onsets
    is_down = direction is Direction.DOWN
    sign = direction.sign
    usual = flow.variance_slow.mean
    slow = sqrt(usual) if usual else None
    minute, quarter, hour = _volatilities(price)
    unit = max(hour or 0.0, slow or 0.0, 2e-5)
    return [
        _signed(sign, price.move_1m, 0.005),
        _signed(sign, price.move_5m, 0.01),
        _signed(sign, price.move_15m, 0.02),
        _signed(sign, price.move_1m, unit * 7.746),
        _signed(sign, price.move_5m, unit * 17.32),
        _plus(price.drawdown_5m if is_down else price.runup_5m, 0.01),
        _plus(price.drawdown_30m if is_down else price.runup_30m, 0.02),
        _plus(price.runup_30m if is_down else price.drawdown_30m, 0.02),
        _plain(price.regained_30m if is_down else price.given_back_30m),
        _ratio(minute, 1e-4),
        _ratio(quarter, 1e-4),
        _ratio(hour, 1e-4),
        _ratio(minute, unit),
        _ratio(quarter, unit),
        _ratio(hour, slow),
        _plain(price.jump_share_15m),
        *onsets,
    ]


def _of_flow(direction: Direction, reading: Reading, flow: FlowTrack, depth: float | None) -> list[float]:
    sign = direction.sign
    is_down = direction is Direction.DOWN
    book = reading.book
    unit = depth if depth and depth > 0.0 else None
    net = [sign * (bought - sold) for bought, sold in zip(flow.bought, flow.sold, strict=True)]
    volume = flow.bought[1] + flow.sold[1]
    usual_volume = flow.volume_slow.mean
    along, against = (flow.longs, flow.shorts) if is_down else (flow.shorts, flow.longs)
    premium, usual_premium = premium_of(reading), flow.premium_slow.mean
    lag = None if book is None or not reading.mark_price else log(reading.mark_price / book.mid)
    funding = reading.funding_rate
    share = reading.longs_share
    return [
        _flow(net[0], unit, 10.0),
        _flow(net[1], unit, 3.0),
        _flow(net[2], unit, 1.0),
        _ratio(volume, None if usual_volume is None else usual_volume * 300.0),
        _ratio(usual_volume, None if unit is None else unit / 3600.0),
        *_of_book(direction, book, flow, unit),
        _flow(along[0], unit, 30.0),
        _flow(along[1], unit, 10.0),
        _flow(along[2], unit, 3.0),
        _flow(against[1], unit, 10.0),
        UNKNOWN if premium is None else sign * premium * 100.0,
        UNKNOWN if premium is None or usual_premium is None else sign * (premium - usual_premium) * 100.0,
        UNKNOWN if lag is None else -sign * lag * 100.0,
        UNKNOWN if funding is None else -sign * asinh(funding * 1e4),
        UNKNOWN if share is None or not 0.0 < share < 1.0 else -sign * log(share / (1.0 - share)),
    ]


def _of_book(
    direction: Direction, book: BookReading | None, flow: FlowTrack, unit: float | None
) -> list[float]:
    if book is None:
        return [UNKNOWN] * 9
    is_down = direction is Direction.DOWN
    met, other = within_1_percent(book, direction), within_1_percent(book, _OTHER[direction])
    curve = book.bid_curve_usd if is_down else book.ask_curve_usd
    before = (flow.bid_log if is_down else flow.ask_log).mean
    spread = book.spread_bps
    usual_spread = flow.spread_slow.mean
    return [
        _ratio(met, unit),
        _ratio(other, unit),
        UNKNOWN if before is None else log(max(met, 1.0)) - before,
        _ratio(curve[8], met),
        _ratio(curve[16], met),
        UNKNOWN if usual_spread is None or spread <= 0.0 else log(spread) - usual_spread,
        _ratio(spread, 1.0),
        _ratio(book.round_trip_bps, 10.0),
        _ratio(book.refill_half_life_s, 60.0),
    ]


def _of_peers(peers: PeerView | None) -> list[float]:
    if peers is None:
        return [UNKNOWN] * len(PEER_FEATURES)
    return [
        asinh(peers.speed_1m),
        asinh(peers.speed_5m),
        asinh(peers.move_5m / 0.01),
        asinh(peers.move_5m_max / 0.01),
        peers.depth_log,
        peers.forced_log,
        peers.wild_log,
        UNKNOWN if peers.gap is None else asinh(peers.gap / 0.002),
    ]


def _of_interest(reading: Reading, flow: FlowTrack, depth: float | None) -> list[float]:
    interest, price = reading.open_interest, reading.price
    if interest is None or price is None or not interest > 0.0:
        return [UNKNOWN] * len(INTEREST_FEATURES)
    usd = interest * price
    book = reading.book
    both = (
        None
        if book is None
        else within_1_percent(book, Direction.DOWN) + within_1_percent(book, Direction.UP)
    )
    volume = flow.volume_slow.mean
    fast, slow = flow.interest_5m.mean, flow.interest_1h.mean
    return [
        _ratio(usd, both),
        _ratio(usd, None if depth is None else 2.0 * depth),
        _ratio(usd, None if volume is None else volume * 3600.0),
        UNKNOWN if fast is None else 100.0 * (log(interest) - fast),
        UNKNOWN if slow is None else 100.0 * (log(interest) - slow),
    ]


def _graded(price: PriceMeasures | None, cascade: CascadeResult | None) -> tuple[Floats, Floats]:
    """Give ``Features.reach`` and ``Features.hazard``.

    Log of what a random walk goes in the time, over the distance: how usual such a move would be. And structural
    chance, forced over standing and barrier at each distance; the latter two are told at three, and between.
    """
    reach, hazard = _UNKNOWN_REACH.copy(), _UNKNOWN_HAZARD.copy()
    if price is not None:
        spread = np.array([UNKNOWN if not each else log(max(each, 1e-6)) for each in _volatilities(price)])
        np.add(_REACH_WALK, spread, out=reach[:, : len(spread)])
        np.add(_HAZARD_WALK, spread, out=hazard[:, : len(spread)])
    if cascade is not None:
        named = cascade.features
        told = (
            (_logs_of(cascade.distances), log_odds(cascade.survival, CHANCE_MIN)),
            (_LOG_MOVES, array("d", (named.forced_2, named.forced_5, named.forced_10))),
            (_LOG_MOVES, array("d", (named.barrier_2, named.barrier_5, named.barrier_10))),
        )
        for column, (places, values) in enumerate(told, start=GRADED.index("chance")):
            lay_along(reach, column, _LOG_REACH, places, values)
            lay_along(hazard, column, _LOG_HAZARD, places, values)
    return reach, hazard


def _volatilities(price: PriceMeasures) -> tuple[float | None, float | None, float | None]:
    """Of a minute, a quarter and an hour; while a window is not long enough the next shorter one stands for it.

    Weights of the three balance each other: were one left out, a quiet market would be taken for a wild one.
    """
    minute = price.volatility_1m
    quarter = minute if price.volatility_15m is None else price.volatility_15m
    hour = quarter if price.volatility_60m is None else price.volatility_60m
    return minute, quarter, hour


@lru_cache(maxsize=8)
def _logs_of(distances: tuple[float, ...]) -> array[float]:
    return array("d", [log(max(distance, 1e-6)) for distance in distances])


def _signed(sign: int, move: float | None, unit: float) -> float:
    return UNKNOWN if move is None else asinh(sign * move / unit)


def _plus(distance: float | None, unit: float) -> float:
    return UNKNOWN if distance is None else asinh(distance / unit)


def _plain(value: float | None) -> float:
    return UNKNOWN if value is None else value


def _ratio(value: float | None, unit: float | None) -> float:
    """Log of a ratio of positive amounts, within e^-10..e^10."""
    if value is None or unit is None or not unit > 0.0 or not value >= 0.0:
        return UNKNOWN
    return log(min(max(value / unit, 4.5e-5), 2.2e4))


def _flow(usd: float, unit: float | None, times: float) -> float:
    return UNKNOWN if unit is None else asinh(times * usd / unit)


_OTHER = {Direction.DOWN: Direction.UP, Direction.UP: Direction.DOWN}
_LOG_REACH = array("d", [log(distance) for distance in REACH_DISTANCES])
_LOG_MOVES = array("d", [log(move) for move in MOVES])
_LOG_HAZARD = _LOG_MOVES * len(HAZARD_HORIZONS_S)
_REACH_WALK = (0.5 * np.log(1800.0) - np.log(np.array(REACH_DISTANCES)))[:, None]
_HAZARD_WALK = np.array([0.5 * log(horizon) - log(move) for horizon in HAZARD_HORIZONS_S for move in MOVES])[
    :, None
]
_UNKNOWN_REACH = np.full((len(REACH_DISTANCES), len(GRADED)), UNKNOWN)
_UNKNOWN_HAZARD = np.full((len(HAZARD_HORIZONS_S) * len(MOVES), len(GRADED)), UNKNOWN)
