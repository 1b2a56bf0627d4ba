"""How far several prices may move together until a pool fails, where no single price tells it. Pure: no I/O, no clock.

Along a direction each price goes as ``p_i(t) = p_i exp(u_i t)``, t > 0. Between the times at which a leg comes to
an edge of its tiers, F is a constant and one exponential for each different u::

    F(t) = A + sum_j B_j exp(u_j t)

F may fall, rise and fall again where legs offset each other, so that its first root is not found by bracketing. It is
marched to: from t on, F is nowhere below the parabola with its value, its slope, and the least curvature that it may
have within the next stretch; where that parabola is first 0 is where F cannot have been 0 before. Near a root each
step squares what is left (Newton on a bound).

Source of the form: no single-symbol price exists for portfolio margin; the distance along a stress direction is
published instead. Winners are taken by auto-deleveraging, so that what they gain on the way counts in part only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import exp, expm1, isfinite, log, sqrt

from msgspec import Struct

from guard.leverage.lines import LegLines
from guard.leverage.margin_pool import LiquidationKind, MarginPool
from guard.leverage.solver import MarkedPool, marked
from guard.units import BPS_PER_UNIT, MarketId

MOVE_MAX = 0.9999
"""A fall of so much is the farthest that is looked at; of rises the same in logarithms, ten thousand fold."""

HEDGE_CREDIT = 0.5
"""What counts of the gains of winning legs on the way."""

SPEED_MAX = 50.0
"""The largest log move for each unit of t that is a number of sense: exp of it stays far from the end of floats."""

_FARTHEST = -log(1.0 - MOVE_MAX)
_RESOLUTION = 1e-14  # of all that is summed, or of t: what is nearer to 0 than this is 0
_SHORT_STEPS_MAX = 200
"""In one stretch, where some ten are usual; after them the pool counts as failed there, though it may graze 0 only."""


class Direction(Struct, frozen=True, kw_only=True):
    """Log moves for each unit of t, negative falls: of markets, and of assets that move with no market.

    Collateral that is tied to a market moves with it unless ``assets`` names it. What is named nowhere stays.
    """

    name: str
    markets: Mapping[MarketId, float] = {}
    assets: Mapping[str, float] = {}

    @property
    def rises(self) -> bool:
        """Whether everything that moves rises, so that its distance is told as one of a rise."""
        moves = [*self.markets.values(), *self.assets.values()]
        return any(move > 0.0 for move in moves) and not any(move < 0.0 for move in moves)


class Stress(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a pool fails along a direction.

    ``kind`` is ``PRICE`` where it fails, ``CANNOT`` where it holds up to ``MOVE_MAX``, ``FAILED`` where it fails at
    prices as they are (t = 0), ``MISSING`` where the pool or the direction is not known. ``distance_bps`` is
    10,000 (1 - exp(-t)), or 10,000 (exp(t) - 1) where all rises. ``worst`` is the market of the leg that loses most
    USD on the way; of a pool that has failed, of the one that has lost most.
    """

    kind: LiquidationKind
    t: float | None = None
    distance_bps: float | None = None
    worst: MarketId | None = None


def directions_of(
    pool: MarginPool,
    betas: Mapping[MarketId, float],
    *,
    asset_betas: Mapping[str, float] | None = None,
    hedge_credit: float = HEDGE_CREDIT,
) -> tuple[Direction, ...]:
    """Name the directions along which a pool is tried; none for a pool in which nothing moves with any market.

    ``common down`` and ``common up`` move all by the same; ``betas down`` and ``betas up`` each by its beta;
    ``correlation one`` moves every market to the side on which the pool loses more, by its beta but never by less
    than 1, and collateral against its holder.

    Args:
        pool: its legs and tied collateral name the markets.
        betas: log move of a market when its leader moves by 1; 1 where there is none that makes sense.
        asset_betas: the same of collateral that is tied to no market; 0 where none is named (money).
        hedge_credit: see ``stress_distance``.
    """
    markets = dict.fromkeys(leg.market for leg in pool.legs if leg.size != 0.0)
    markets |= dict.fromkeys(held.market for held in pool.holdings if held.market is not None)
    if not markets:
        return ()
    named = asset_betas or {}
    free = dict.fromkeys(held.asset for held in pool.holdings if held.market is None)
    beta = {market: _sensible(betas.get(market), 1.0) for market in markets}
    asset_beta = {asset: _sensible(named.get(asset), 0.0) for asset in free}
    asset_beta = {asset: move for asset, move in asset_beta.items() if move != 0.0}
    owed = {held.asset for held in pool.holdings if held.quantity < 0.0}
    found = [
        Direction(
            name=f"common {side}",
            markets=dict.fromkeys(markets, sign),
            assets=dict.fromkeys(asset_beta, sign),
        )
        for side, sign in (("down", -1.0), ("up", 1.0))
    ]
    found += [
        Direction(
            name=f"betas {side}",
            markets={market: sign * move for market, move in beta.items()},
            assets={asset: sign * move for asset, move in asset_beta.items()},
        )
        for side, sign in (("down", -1.0), ("up", 1.0))
    ]
    against = _sides_against(pool, hedge_credit)
    found.append(
        Direction(
            name="correlation one",
            markets={
                market: against.get(market, -1.0) * max(abs(move), 1.0) for market, move in beta.items()
            },
            assets={
                asset: (1.0 if asset in owed else -1.0) * abs(move) for asset, move in asset_beta.items()
            },
        )
    )
    return tuple(found)


def stress_distance(pool: MarginPool, direction: Direction, *, hedge_credit: float = HEDGE_CREDIT) -> Stress:
    """Find the smallest t > 0 at which the pool fails along ``direction``.

    Args:
        pool: at its marks.
        direction: log moves within +-``SPEED_MAX``.
        hedge_credit: what counts of the gains of winning legs on the way, within 0..1; losses count in full.

    Failure modes: markets that the direction does not name stay, which is the best of cases for them. The books of
    a market are not asked: what closing costs on the way is what the venue demands for it.

    >>> from guard.leverage.margin_pool import Holding, Leg
    >>> from guard.leverage.tiers import margin_tiers
    >>> tiers = margin_tiers([(0, 0.01, 100)])
    >>> leg = Leg(market=MarketId("x:BTC"), size=1.0, entry_price=100.0, mark_price=100.0, tiers=tiers)
    >>> pool = MarginPool(legs=(leg,), holdings=(Holding(asset="USDT", quantity=10.0, price_usd=1.0),))
    >>> round(stress_distance(pool, Direction(name="down", markets={leg.market: -1.0})).distance_bps, 2)
    909.09
    """
    known = marked(pool)
    moves = [*direction.markets.values(), *direction.assets.values()]
    if known is None or not all(-SPEED_MAX <= move <= SPEED_MAX for move in moves):
        return Stress(kind=LiquidationKind.MISSING)
    credit = min(1.0, max(0.0, hedge_credit))  # in this order, so that what is no number credits nothing
    path = _path(pool, known, direction, credit)
    if path.free_at(0.0) <= 0.0:
        return Stress(
            kind=LiquidationKind.FAILED, t=0.0, distance_bps=0.0, worst=_worst(known, direction, None)
        )
    t = path.first_root()
    if t is None:
        return Stress(kind=LiquidationKind.CANNOT)
    distance = expm1(t) if direction.rises else -expm1(-t)
    return Stress(
        kind=LiquidationKind.PRICE,
        t=t,
        distance_bps=distance * BPS_PER_UNIT,
        worst=_worst(known, direction, t),
    )


@dataclass(slots=True)
class _Path:
    """F along t: ``constant + sum(weight * exp(speed * t))``, and how it changes at edges.

    An edge is a time, the speed of its market, and what is added to the weight of that speed and to the constant.
    """

    constant: float = 0.0
    weights: dict[float, float] = field(default_factory=dict)
    edges: list[tuple[float, float, float, float]] = field(default_factory=list)

    def add(self, speed: float, weight: float) -> None:
        if speed == 0.0:
            self.constant += weight
        else:
            self.weights[speed] = self.weights.get(speed, 0.0) + weight

    def free_at(self, t: float) -> float:
        return self.constant + sum(weight * exp(speed * t) for speed, weight in self.weights.items())

    def first_root(self) -> float | None:
        """The smallest t at which F is 0 or less, ``None`` if there is none up to the farthest; F(0) is above 0."""
        start = 0.0
        for end, speed, by_weight, by_constant in sorted(self.edges):
            found = self._march(start, end)
            if found is not None:
                return found
            self.weights[speed] += by_weight
            self.constant += by_constant
            if self.free_at(end) <= 0.0:
                return end
            start = end
        return self._march(start, _FARTHEST)

    def _march(self, start: float, end: float) -> float | None:
        """The first root within one stretch between edges."""
        if not self.weights or start >= end:
            return None
        reach = 1.0 / max(map(abs, self.weights))
        t, short_steps = start, 0
        while short_steps < _SHORT_STEPS_MAX:
            until = min(t + reach, end)
            free, step = self._safe_step(t, until)
            if free <= _RESOLUTION:
                return t
            if step is None:
                if until >= end:
                    return None
                t = until
            elif step <= _RESOLUTION * t:
                return t
            else:
                t += step
                short_steps += 1
        return t

    def _safe_step(self, t: float, until: float) -> tuple[float, float | None]:
        """F at ``t`` over all that it sums, and how far from there F is surely above 0; ``None`` up to ``until``."""
        free, slope, bend, total = self.constant, 0.0, 0.0, abs(self.constant)
        for speed, weight in self.weights.items():
            here = weight * exp(speed * t)
            free += here
            slope += speed * here
            total += abs(here)
            # The least curvature up to ``until``: of what is convex where it is smallest, of what is not where it
            # is largest. A falling exponential is smallest at the end, a rising one at the start.
            at_end = (speed < 0.0) == (weight > 0.0)
            bend += speed * speed * (weight * exp(speed * until) if at_end else here)
        if total == 0.0:
            return 0.0, None
        free, slope, bend = free / total, slope / total, bend / total
        under = slope * slope - 2.0 * bend * free
        if under < 0.0:
            return free, None
        down = sqrt(under) - slope
        step = 2.0 * free / down if down > 0.0 else until - t
        return free, step if step < until - t else None


def _path(pool: MarginPool, known: MarkedPool, direction: Direction, credit: float) -> _Path:
    path = _Path(constant=-known.other_maintenance_usd)
    for held in pool.holdings:
        speed = 0.0 if held.market is None else direction.markets.get(held.market, 0.0)
        path.add(direction.assets.get(held.asset, speed), held.value_usd)
    for market, each in known.markets.items():
        speed, mark = direction.markets.get(market, 0.0), each.mark
        for line in each.lines:
            gain = line.profit_slope
            uncredited = (1.0 - credit) * gain if gain * speed > 0.0 else 0.0
            path.add(speed, (line.slope - uncredited) * mark)
            path.constant += line.intercept + uncredited * mark
            if speed != 0.0:
                path.edges += _edges(line, speed, mark)
    return path


def _edges(line: LegLines, speed: float, mark: float) -> list[tuple[float, float, float, float]]:
    nearest_to_farthest = line.above() if speed > 0.0 else line.below()
    found = []
    for price, by_slope, by_intercept in nearest_to_farthest:
        ratio = price / mark
        t = max(log(ratio) / speed, 0.0) if isfinite(ratio) and ratio > 0.0 else _FARTHEST
        if t >= _FARTHEST:
            break
        found.append((t, speed, by_slope * mark, by_intercept))
    return found


def _sides_against(pool: MarginPool, credit: float) -> dict[MarketId, float]:
    """For each market the side, -1 or +1, to which a small move takes more; down where both take the same."""
    down: dict[MarketId, float] = {}
    up: dict[MarketId, float] = {}
    known = marked(pool)
    for market, each in ({} if known is None else known.markets).items():
        gains = [line.profit_slope for line in each.lines]
        rising = sum(gain for gain in gains if gain > 0.0)
        falling = -sum(gain for gain in gains if gain < 0.0)
        down[market] = rising + each.holdings_slope - credit * falling
        up[market] = falling - each.holdings_slope - credit * rising
    return {market: -1.0 if down[market] >= up[market] else 1.0 for market in down}


def _worst(known: MarkedPool, direction: Direction, t: float | None) -> MarketId | None:
    """The market of the leg that loses most up to ``t``, or that has lost most until now; ``None`` if none loses."""
    worst, least = None, 0.0
    for market, each in known.markets.items():
        rise = each.mark * expm1(direction.markets.get(market, 0.0) * (t or 0.0))
        for line in each.lines:
            won = line.profit_slope * (each.mark if t is None else rise)
            won += line.profit_intercept if t is None else 0.0
            if won < least:
                worst, least = market, won
    return worst


def _sensible(beta: float | None, otherwise: float) -> float:
    return otherwise if beta is None or not -SPEED_MAX <= beta <= SPEED_MAX else beta
