"""What is estimated of the markets, for the metrics page. No I/O, no clock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from guard.forecasts import HORIZONS_S, MOVES, QUANTILES, MarketOutlook
from guard.meters import Meter, MeterKind, Sample
from guard.outlook.outlook import Outlook
from guard.units import MarketId, venue_of

MARKETS_MAX = 50
"""So many markets have numbers of their own: those that bots trade or accounts hold, by name."""

_WITHIN, _MOVE, _FAR = HORIZONS_S.index(900), MOVES.index(0.05), QUANTILES.index(0.90)


def measure_outlook(outlook: Outlook, concerned: Iterable[MarketId]) -> Iterator[Meter]:
    """Yield a gauge for each kind of number; what is not known has no sample.

    Args:
        outlook: of all markets.
        concerned: markets that somebody trades or holds.
    """
    regimes = Counter((venue_of(each.market), str(each.regime or "unknown")) for each in outlook)
    yield _gauge(
        "outlook_markets",
        "Markets by the state that they are in",
        [
            Sample(count, {"venue": venue, "regime": regime})
            for (venue, regime), count in sorted(regimes.items())
        ],
    )
    named = sorted(set(concerned))[:MARKETS_MAX]
    yield from _of_markets([found for market in named if (found := outlook.of(market)) is not None])
    skill = next(iter(outlook), None)
    scores = () if skill is None else skill.skill
    yield _gauge(
        "outlook_weight",
        "What an estimator counts for a target now, 0 to 1",
        [Sample(each.weight, {"target": each.target, "estimator": each.estimator}) for each in scores],
    )
    yield _gauge(
        "outlook_skill",
        "1 less its loss over the baseline's: 0 is no better",
        [
            Sample(each.skill, {"target": each.target, "estimator": each.estimator})
            for each in scores
            if each.skill is not None
        ],
    )
    broken = Counter(name for name, _, _ in outlook.broken)
    yield _gauge(
        "outlook_broken",
        "In how many markets an estimator raises",
        [Sample(count, {"estimator": name}) for name, count in sorted(broken.items())],
    )


def _of_markets(outlooks: list[MarketOutlook]) -> Iterator[Meter]:
    yield _gauge(
        "outlook_hazard",
        "Probability of a move of 5 % within 15 minutes",
        [
            Sample(each.probability[_WITHIN][_MOVE], {"market": outlook.market, "direction": each.direction})
            for outlook in outlooks
            for each in outlook.hazards
        ],
    )
    yield _gauge(
        "outlook_reach_ratio",
        "Where 9 of 10 shocks stop within 30 minutes, as a share of the price",
        [
            Sample(each.quantiles[_FAR], {"market": outlook.market, "direction": each.direction})
            for outlook in outlooks
            for each in outlook.reaches
        ],
    )
    yield _gauge(
        "outlook_map_usd",
        "What is thought to be liquidated of others within 5 %, USD",
        [
            Sample(each.within[_MOVE].usd, {"market": outlook.market, "direction": each.direction})
            for outlook in outlooks
            for each in outlook.maps
        ],
    )
    yield _gauge(
        "outlook_oi_depth_ratio",
        "Open interest over what stands within 1 % of mid",
        [
            Sample(outlook.oi_depth_ratio, {"market": outlook.market})
            for outlook in outlooks
            if outlook.oi_depth_ratio is not None
        ],
    )


def _gauge(name: str, help_: str, samples: list[Sample]) -> Meter:
    return Meter(name, help_, MeterKind.GAUGE, tuple(samples))
