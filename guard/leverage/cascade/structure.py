"""How far a fall (rise) goes if a shock is under way, by structure alone: what stands, what is forced, what is sold.

No I/O, no clock, no chance: uncertainty is a fixed grid of map scales and strengths of withdrawal, and the size of
the shock is integrated in closed form.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, isfinite, log, log1p
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from guard.events import CURVE_BPS
from guard.forecasts import MOVES, QUANTILES, Direction
from guard.leverage.cascade.kernel import Kernel
from guard.leverage.cascade.result import CascadeFeatures, CascadeResult, Stretch
from guard.leverage.cascade.settings import DEFAULT, CascadeSettings
from guard.readings import BookReading, Reading
from guard.units import BPS_PER_UNIT

BIN_LOG = 0.001
"""Width of a map's bins, log distance."""

_FARTHEST = 0.7
_USD_MIN, _USD_MAX = 1.0, 1e15
_LAG_MAX = 0.05
_JUMP_MIN, _JUMPS_TO = 0.002, 0.30
_R_WINDOW, _R_TO = 0.005, 0.1
_CLIP = 5.0
_SHOCKS = ((0.5, 0.4), (1.0, 0.3), (2.0, 0.2), (4.0, 0.1))
# Gauss-Hermite for a normal deviate: of the map's scale, and of the strength of withdrawal.
_SCALES = (
    (-2.8569700138728, 0.0112574113277),
    (-1.3556261799743, 0.2220759220056),
    (0.0, 0.5333333333333),
    (1.3556261799743, 0.2220759220056),
    (2.8569700138728, 0.0112574113277),
)
_STRENGTHS = (1.0 / 6.0, 2.0 / 3.0, 1.0 / 6.0)
_STRENGTH_STEP = 1.7320508075689
_USUAL = 1  # the middle one of the strengths
# fmt: off
_SAMPLED = (
    0.0025, 0.005, 0.0075, 0.01, 0.0125, 0.015, 0.0175, 0.02, 0.025, 0.03, 0.035, 0.04, 0.045, 0.05, 0.06, 0.07, 0.08,
    0.09, 0.10, 0.11, 0.12, 0.13, 0.14, 0.15, 0.16, 0.18, 0.20, 0.225, 0.25, 0.275, 0.30, 0.35, 0.40, 0.45, 0.50,
)
# fmt: on


class SideMap(Protocol):
    """What is needed of a map of one direction (``guard.leverage.crowd``)."""

    @property
    def usd(self) -> NDArray[np.float64]:
        """Expected notional liquidated by bin of ``BIN_LOG`` beyond the mark, USD."""
        ...

    @property
    def log_sd(self) -> float:
        """How uncertain their common scale is; lognormal."""
        ...

    @property
    def mark_price(self) -> float:
        """The mark from which the bins are counted."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Elsewhere:
    """The same symbol at another venue, of which a share ``alive`` (0..1) is met here through arbitrage."""

    book: BookReading
    side: SideMap | None = None
    alive: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CascadeInputs:
    """What is known beside book and map; everything may be missing.

    Attributes:
        recent_net_usd: what others sold (bought, upwards) on balance in the last minutes; below 0 counts as 0.
        volatility_5m: usual deviation of this market's 5-minute log returns, not that of the storm itself.
        elsewhere: the same symbol at other venues.
    """

    recent_net_usd: float = 0.0
    volatility_5m: float | None = None
    elsewhere: Sequence[Elsewhere] = ()


NOTHING_MORE = CascadeInputs()


def oi_depth_ratio(reading: Reading) -> float | None:
    """Compute the one-line baseline: open interest over what rests within 1 % of mid on both sides, both in USD.

    ``None`` where book, open interest or price are unknown. High is fragile. It says nothing of where liquidations
    lie, and misleads where positions are hedged.

    >>> from guard.units import MarketId
    >>> curve = tuple(1e4 * bps for bps in CURVE_BPS)
    >>> book = BookReading(bid=99.9, ask=100.1, bid_curve_usd=curve, ask_curve_usd=curve,
    ...     bid_visible_bps=500.0, ask_visible_bps=500.0)
    >>> oi_depth_ratio(Reading(at=0, market=MarketId("a:B"), elapsed_s=5.0, book=book, open_interest=1e6))
    50.0
    """
    book, price = reading.book, reading.price
    if book is None or price is None or reading.open_interest is None:
        return None
    at = CURVE_BPS.index(100.0)
    depth = book.bid_curve_usd[at] + book.ask_curve_usd[at]
    interest = reading.open_interest * price
    if not (isfinite(depth) and isfinite(interest) and depth > 0.0 and interest >= 0.0):
        return None
    return interest / depth


def cascade(
    direction: Direction,
    book: BookReading,
    side: SideMap | None,
    inputs: CascadeInputs = NOTHING_MORE,
    settings: CascadeSettings = DEFAULT,
) -> CascadeResult:
    """Work out the structural reach in one direction; without a map (``side``) that of the book alone.

    With b what rests at distance v, w what withdrawal leaves of it, L what is liquidated up to x, Q what others sell::

        Be(x) = integral to x of b(v) w(v) (1 + refilled(v)) dv        f(x) = Be(x) - phi L(x)
        R(x)  = phi dL/dBe        Qc(x) = max of f up to x        reach(Q) = least x with f(x) >= Q
        P(reach >= x) = mean over map scales and withdrawals of P(Q > Qc(x)),  Q = recent flow + log-logistic

    Where L is linear like B, ``reach`` is that without liquidations times 1 / (1 - R) (Cont and Wagalath, fire sales).
    ``w = 1 / (1 + (z / 13.3)**2.2)``, z being the distance in usual 5-minute deviations; a book that is thin already
    stands as far along that curve as it is thin, and is not thinned twice. Distances of mid and of mark differ by how
    far the mark lags. Depth beyond what was seen is a power law.

    Assumes that forced orders meet the book here and now, and that the shock comes within half an hour. Fails first
    where makers leave for what happens elsewhere, where stops (that nothing tells) are the forced selling, where other
    venues' books take the shock and are not given as ``elsewhere``, and where collateral falls along.

    >>> curve = tuple(1e4 * bps for bps in CURVE_BPS)
    >>> book = BookReading(bid=99.99, ask=100.01, bid_curve_usd=curve, ask_curve_usd=curve,
    ...     bid_visible_bps=500.0, ask_visible_bps=500.0, bid_kappa=1.0, ask_kappa=1.0)
    >>> found = cascade(Direction.DOWN, book, None)
    >>> [round(usd / 1e6, 2) for usd in found.barrier_usd], round(found.probability[1], 2), found.reproduction
    ([2.23, 4.16, 5.02], 0.12, 0.0)
    """
    down = direction is Direction.DOWN
    kernel = _DOWN if down else _UP
    kernel.clear()
    depth = _stand(kernel, direction, book, 1.0, inputs, settings)
    has_map = _force(kernel, direction, book, side, 1.0)
    for other in inputs.elsewhere:
        alive = settings.venues_alive if other.alive is None else other.alive
        if isfinite(alive) and alive > 0.0:
            alive = min(alive, 1.0)
            depth += alive * _stand(kernel, direction, other.book, alive, inputs, settings)
            has_map = _force(kernel, direction, other.book, other.side, alive) or has_map
    log_sd = 0.0
    if has_map:
        told = side.log_sd if side is not None and isfinite(side.log_sd) else 0.0
        log_sd = min(max(told, settings.map_log_sd_min), 3.0)
    flow = inputs.recent_net_usd
    flow = min(flow, _USD_MAX) if isfinite(flow) and flow > 0.0 else 0.0
    return _result(kernel, direction, book, depth, flow, has_map, log_sd, inputs, settings)


def _result(
    kernel: Kernel,
    direction: Direction,
    book: BookReading,
    depth: float,
    flow: float,
    has_map: bool,
    log_sd: float,
    inputs: CascadeInputs,
    settings: CascadeSettings,
) -> CascadeResult:
    """Read everything from a kernel in which books and maps are laid."""
    down = direction is Direction.DOWN
    phi, median, power = settings.phi, settings.shock_depths * depth, settings.shock_power
    for strength, weight in enumerate(_STRENGTHS):
        kernel.chance(strength, 0.0, weight, flow, median, power)
    book_survival = kernel.chances()
    survival = book_survival
    if has_map:
        kernel.forget_chances()
        for strength, weight in enumerate(_STRENGTHS):
            for deviate, share in _SCALES:
                kernel.chance(strength, phi * exp(log_sd * deviate), weight * share, flow, median, power)
        survival = kernel.chances()
    places = [_log_of(direction, move) for move in MOVES]
    barrier = [kernel.barrier(_USUAL, phi, x) for x in places]
    forced = [phi * kernel.forced_at(x) for x in places]
    stands = [max(kernel.left_at(_USUAL, x), _USD_MIN) for x in places]
    reproduction = kernel.reproduction(_USUAL, phi, _R_WINDOW, _R_TO) if has_map else 0.0
    at = kernel.reproduction_at if reproduction > 0.0 else None
    stretches = kernel.jumps(_USUAL, phi, _JUMP_MIN, _JUMPS_TO) if has_map else []
    expected, expected_book = _mean(survival), _mean(book_survival)
    ereach = sum(w * kernel.reach(_USUAL, phi, q * median + flow) for q, w in _SHOCKS)
    whole = max(kernel.whole_at(places[1]), _USD_MIN)
    thinness = depth / max(kernel.whole_at(_log_of(direction, 0.01)), _USD_MIN)
    liquidity = max(thinness, 1.0) * max(whole / stands[1], 1.0)
    parts = _Parts(
        depth,
        flow,
        barrier,
        forced,
        stands,
        reproduction,
        survival,
        expected,
        expected_book,
        liquidity,
        thinness,
    )
    visible = book.bid_visible_bps if down else book.ask_visible_bps
    seen = visible / BPS_PER_UNIT if isfinite(visible) and visible > 0.0 else 0.0
    return CascadeResult(
        direction=direction,
        distances=_SAMPLED,
        survival=tuple(survival),
        quantiles=_quantiles(survival),
        probability=tuple(survival[place] for place in _MOVES_AT),
        expected=expected,
        expected_book=expected_book,
        ereach=_share_of(direction, ereach),
        barrier_usd=tuple(barrier),
        reproduction=reproduction,
        reproduction_at=None if at is None else _share_of(direction, at),
        stretches=tuple(
            Stretch(_share_of(direction, near), _share_of(direction, far)) for near, far in stretches
        ),
        liquidity_factor=liquidity,
        forced_factor=1.0 + forced[1] / stands[1],
        feedback_factor=max(expected / expected_book, 1.0),
        flow_usd=flow,
        depth_usd=depth,
        thinness=thinness,
        forced_usd=tuple(forced),
        stands_usd=tuple(stands),
        due_usd=phi * kernel.forced_at(0.0),
        extrapolated_from=None if seen >= MOVES[-1] else seen,
        has_map=has_map,
        map_log_sd=log_sd,
        features=_features(kernel, parts, inputs, settings),
    )


@dataclass(slots=True)
class _Parts:
    depth: float
    flow: float
    barrier: list[float]
    forced: list[float]
    stands: list[float]
    reproduction: float
    survival: list[float]
    expected: float
    expected_book: float
    liquidity: float
    thinness: float


def _features(
    kernel: Kernel, parts: _Parts, inputs: CascadeInputs, settings: CascadeSettings
) -> CascadeFeatures:
    depth = parts.depth
    chances = [parts.survival[place] for place in _MOVES_AT]
    return CascadeFeatures(
        barrier_2=_clipped(parts.barrier[0] / depth),
        barrier_5=_clipped(parts.barrier[1] / depth),
        barrier_10=_clipped(parts.barrier[2] / depth),
        stands_5=_clipped(parts.stands[1] / depth),
        forced_2=_clipped(parts.forced[0] / parts.stands[0]),
        forced_5=_clipped(parts.forced[1] / parts.stands[1]),
        forced_10=_clipped(parts.forced[2] / parts.stands[2]),
        reproduction=_clipped(parts.reproduction),
        reach_2=_clipped(chances[0] / max(1.0 - chances[0], 1e-9)),
        reach_5=_clipped(chances[1] / max(1.0 - chances[1], 1e-9)),
        reach_10=_clipped(chances[2] / max(1.0 - chances[2], 1e-9)),
        expected=_clipped(parts.expected / 0.01),
        expected_book=_clipped(parts.expected_book / 0.01),
        feedback=_clipped(max(parts.expected / parts.expected_book, 1.0)),
        liquidity=_clipped(parts.liquidity),
        thinness=_clipped(parts.thinness),
        flow=min(log1p(parts.flow / depth), _CLIP),
        withdrawn=min(log1p(0.05 * _per_scale(inputs, settings)), _CLIP),
        due=min(log1p(settings.phi * kernel.forced_at(0.0) / depth), _CLIP),
    )


def _stand(
    kernel: Kernel,
    direction: Direction,
    book: BookReading,
    weight: float,
    inputs: CascadeInputs,
    settings: CascadeSettings,
) -> float:
    """Lay a book into the kernel; return the depth that shocks at it are counted in, USD."""
    down = direction is Direction.DOWN
    curve = book.bid_curve_usd if down else book.ask_curve_usd
    kappa = book.bid_kappa if down else book.ask_kappa
    normal = book.bid_normal_usd if down else book.ask_normal_usd
    if len(curve) != len(CURVE_BPS) or not isfinite(sum(curve)):
        curve = _NO_CURVE
    curve = tuple([min(max(usd, _USD_MIN), _USD_MAX) for usd in curve])
    if kappa is None or not isfinite(kappa):
        kappa = settings.kappa
    kernel.lay_out(_KNOTS_DOWN if down else _KNOTS_UP, curve, min(max(kappa, 0.3), 3.0))
    now = curve[_AT_1_PERCENT]
    usual = now
    if normal is not None and isfinite(normal) and normal > 0.0 and book.normal_bps > 0.0:
        # what is usual within 1 %, by the shape that the book has now
        band = np.interp(book.normal_bps, CURVE_BPS, curve)
        usual = min(max(normal * now / max(float(band), _USD_MIN), _USD_MIN), _USD_MAX)
    gone = (max(usual / now, 1.0) - 1.0) ** (1.0 / settings.withdrawal_power)
    half_life = book.refill_half_life_s
    if half_life is None or not isfinite(half_life) or half_life <= 0.0:
        half_life = settings.refill_half_life_s
    kernel.stand(
        weight,
        min(gone, 1e3),
        _per_scale(inputs, settings),
        exp(_STRENGTH_STEP * settings.withdrawal_log_sd),
        settings.withdrawal_power,
        min(max(settings.withdrawal_floor * usual / now, settings.withdrawal_floor), 1.0),
        settings.fall_s_per_unit * log(2.0) / max(half_life, 1e-3),
        settings.refilled_max,
    )
    return usual


def _force(
    kernel: Kernel, direction: Direction, book: BookReading, side: SideMap | None, weight: float
) -> bool:
    """Lay a map into the kernel, counted from mid; ``False`` where there is none that may be believed."""
    if side is None:
        return False
    total = float(side.usd.sum())
    mark, mid = side.mark_price, book.mid
    if not (
        isfinite(total) and total >= 0.0 and isfinite(mark) and mark > 0.0 and isfinite(mid) and mid > 0.0
    ):
        return False
    lag = (log(mark) - log(mid)) * -direction.sign
    kernel.force(
        np.ascontiguousarray(side.usd, dtype=np.float64), BIN_LOG, min(max(lag, -_LAG_MAX), _LAG_MAX), weight
    )
    return True


def _per_scale(inputs: CascadeInputs, settings: CascadeSettings) -> float:
    """How many moves that makers withdraw at are in a distance of 1."""
    volatility = inputs.volatility_5m
    if volatility is None or not isfinite(volatility) or volatility <= 0.0:
        volatility = settings.volatility_5m
    return 1.0 / (settings.withdrawal_z * max(volatility, settings.volatility_5m_min))


def _mean(survival: Sequence[float]) -> float:
    """Integrate P(reach >= distance)."""
    total = last = 0.0
    before = 1.0
    for distance, chance in zip(_SAMPLED, survival, strict=True):
        total += 0.5 * (before + chance) * (distance - last)
        last, before = distance, chance
    return total


def _quantiles(survival: Sequence[float]) -> tuple[float, ...]:
    """Invert P(reach >= distance); the last distance where it is reached more often than a quantile asks."""
    found = []
    at, last, before = 0, 0.0, 1.0
    for quantile in QUANTILES:
        wanted = 1.0 - quantile
        while at < len(survival) and survival[at] > wanted:
            last, before = _SAMPLED[at], survival[at]
            at += 1
        if at == len(survival):
            found.append(_SAMPLED[-1])
            continue
        share = (before - wanted) / (before - survival[at])
        found.append(last + share * (_SAMPLED[at] - last))
    return tuple(found)


def _clipped(ratio: float) -> float:
    """Logarithm within -5..5."""
    return min(max(log(max(ratio, 1e-9)), -_CLIP), _CLIP)


def _log_of(direction: Direction, share: float) -> float:
    """Fraction of the price to log distance."""
    return -log(1.0 - share) if direction is Direction.DOWN else log1p(share)


def _share_of(direction: Direction, distance: float) -> float:
    """Log distance to fraction of the price."""
    return 1.0 - exp(-distance) if direction is Direction.DOWN else exp(distance) - 1.0


def _kernel(direction: Direction) -> Kernel:
    """Lay nodes every 10 bps to 10 %, 25 bps to 20 % and 1 % beyond, with the distances that are asked for on them."""
    grid = [0.001 * at for at in range(101)] + [0.1 + 0.0025 * at for at in range(1, 41)]
    grid += [0.2 + 0.01 * at for at in range(1, 51)]
    asked = [_log_of(direction, share) for share in _SAMPLED]
    grid = sorted({*(x for x in grid if min(abs(x - y) for y in asked) > 1e-6), *asked})
    return Kernel(grid, [grid.index(x) for x in asked])


_AT_1_PERCENT = CURVE_BPS.index(100.0)
_MOVES_AT = tuple(_SAMPLED.index(move) for move in MOVES)
_NO_CURVE = (_USD_MIN,) * len(CURVE_BPS)
_KNOTS_DOWN = tuple(_log_of(Direction.DOWN, bps / BPS_PER_UNIT) for bps in CURVE_BPS)
_KNOTS_UP = tuple(_log_of(Direction.UP, bps / BPS_PER_UNIT) for bps in CURVE_BPS)
_DOWN = _kernel(Direction.DOWN)
_UP = _kernel(Direction.UP)
