"""How far a fall (rise) goes if a shock is under way, by structure alone: what stands, what is forced, what is sold.

No I/O, no clock, no chance: uncertainty is a fixed grid of map scales and strengths of withdrawal, and the size of
the shock is integrated in closed form.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import asinh, copysign, exp, inf, isfinite, log, log1p
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from guard.events import CURVE_BPS
from guard.forecasts import MOVES, QUANTILES, Direction
from guard.leverage.cascade.kernel import STRENGTH_STEP, USD_MAX, USD_MIN, Kernel, clipped
from guard.leverage.cascade.result import CascadeFeatures, CascadeResult, Stretch
from guard.leverage.cascade.settings import DEFAULT, CascadeSettings
from guard.readings import BookReading, Reading
from guard.units import BPS_PER_UNIT

BIN_LOG = 0.001
"""Width of a map's bins, log distance."""

_FARTHEST = 0.7
_LAG_MAX = 0.05
_JUMP_MIN, _JUMPS_TO = 0.002, 0.30
_R_WINDOW, _R_TO = 0.005, 0.1
_CLIP = 5.0
_GAP_MAX, _GAP_SCALE = 0.2, 25.0
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
    recent_net_usd: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CascadeInputs:
    """What is known beside book and map; everything may be missing.

    Attributes:
        recent_net_usd: what others sold (bought, upwards) on balance in about the last minute; below 0 counts as 0.
        volatility_5m: usual deviation of this market's 5-minute log returns, not that of the storm itself.
        index_price: what the coin costs elsewhere; arbitrage takes price there.
        elsewhere: the same symbol at other venues.
    """

    recent_net_usd: float = 0.0
    volatility_5m: float | None = None
    index_price: float | None = None
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
        P(reach >= x) = mean over map scales and withdrawals of P(Q > Qc(x))
        Q = pull + (flow_again * recent net flow + shock_depths * depth now) * log-logistic number of median 1

    A shock goes on as it has begun: by what was sold in the last minute, and a little of what stands within the usual
    moves of this market even if that is nothing. Pull is what arbitrage sells (below 0: buys) to bring price to the
    index.

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
    ([2.23, 4.16, 5.19], 0.34, 0.0)
    """
    return _result(_case(direction, book, side, inputs, settings))


def _case(
    direction: Direction,
    book: BookReading,
    side: SideMap | None,
    inputs: CascadeInputs,
    settings: CascadeSettings,
) -> _Case:
    """Lay all books and maps into the kernel of a direction."""
    kernel = _DOWN if direction is Direction.DOWN else _UP
    kernel.clear()
    depth, now = _stand(kernel, direction, book, 1.0, inputs, settings)
    net = _net(inputs.recent_net_usd)
    has_map = _force(kernel, direction, book, side, 1.0, inputs.index_price)
    for other in inputs.elsewhere:
        alive = _alive(book, other, settings)
        if isfinite(alive) and alive > 0.0:
            alive = min(alive, 1.0)
            depth_there, now_there = _stand(kernel, direction, other.book, alive, inputs, settings)
            depth += alive * depth_there
            now += alive * now_there
            net += alive * _net(other.recent_net_usd)
            has_map = _force(kernel, direction, other.book, other.side, alive, inputs.index_price) or has_map
    log_sd = 0.0
    if has_map:
        told = side.log_sd if side is not None and isfinite(side.log_sd) else 0.0
        log_sd = min(max(told, settings.map_log_sd_min), 3.0)
    gap = _gap(direction, book, inputs.index_price)
    unit = _shock_unit(inputs, settings)
    return _Case(
        direction=direction,
        kernel=kernel,
        book=book,
        settings=settings,
        depth=depth,
        now=now,
        net=net,
        gap=gap,
        pull=settings.venues_alive * copysign(kernel.whole_at(abs(gap)), -gap),
        median=settings.flow_again * net + settings.shock_depths * unit * now,
        unit=unit,
        has_map=has_map,
        log_sd=log_sd,
        per_scale=_per_scale(inputs, settings),
    )


@dataclass(slots=True, kw_only=True)
class _Case:
    """One direction of one market, laid into a kernel; ``gap`` is how far mid is beyond the index, log."""

    direction: Direction
    kernel: Kernel
    book: BookReading
    settings: CascadeSettings
    depth: float
    now: float
    net: float
    gap: float
    pull: float
    median: float
    unit: float
    has_map: bool
    log_sd: float
    per_scale: float


@dataclass(slots=True)
class _Numbers:
    """What is read from a kernel; by move of ``MOVES`` where there are several."""

    barrier: list[float]
    forced: list[float]
    stands: list[float]
    chances: list[float]
    expected: float
    expected_book: float
    reproduction: float
    due: float
    liquidity: float
    feedback: float
    shock: float
    ereach: float
    ereach_book: float


def _result(case: _Case) -> CascadeResult:
    """Read everything from a kernel in which books and maps are laid."""
    direction, kernel, settings, phi = case.direction, case.kernel, case.settings, case.settings.phi
    down = direction is Direction.DOWN
    # Without what is forced first: mean and quantiles are of the distribution that was worked out last.
    survival = kernel.survive(0.0, 0.0, case.pull, case.median, settings.shock_power)
    expected = expected_book = kernel.mean()
    reproduction, stretches = 0.0, []
    if case.has_map:
        survival = kernel.survive(phi, case.log_sd, case.pull, case.median, settings.shock_power)
        expected = kernel.mean()
        reproduction = kernel.reproduction(_USUAL, phi, _R_WINDOW, _R_TO)
        stretches = kernel.jumps(_USUAL, phi, _JUMP_MIN, _JUMPS_TO)
    places = _PLACES_DOWN if down else _PLACES_UP
    stands = [max(kernel.left_at(_USUAL, x), USD_MIN) for x in places]
    thinned = max(kernel.whole_at(places[1]) / stands[1], 1.0)
    flow = max(settings.flow_again * case.net + case.pull, 0.0)
    crash = settings.crash_depths * case.unit * case.depth
    ereach = ereach_book = kernel.crash(0.0, 0.0, crash, flow)
    if case.has_map:
        ereach = kernel.crash(phi, case.log_sd, crash, flow)
    found = _Numbers(
        barrier=[kernel.barrier(_USUAL, phi, x) for x in places],
        forced=[phi * kernel.forced_at(x) for x in places],
        stands=stands,
        chances=[survival[place] for place in _MOVES_AT],
        expected=expected,
        expected_book=expected_book,
        reproduction=reproduction,
        due=phi * kernel.forced_at(0.0),
        liquidity=max(case.depth / case.now, 1.0) * thinned,
        feedback=max(expected / expected_book, 1.0),
        shock=max(case.median + case.pull, 0.0),
        ereach=_share_of(direction, ereach),
        ereach_book=_share_of(direction, ereach_book),
    )
    seen_bps = case.book.bid_visible_bps if down else case.book.ask_visible_bps
    seen = seen_bps / BPS_PER_UNIT if isfinite(seen_bps) and seen_bps > 0.0 else 0.0
    return CascadeResult(
        direction=direction,
        distances=_SAMPLED,
        survival=tuple(survival),
        quantiles=tuple([kernel.quantile(level) for level in QUANTILES]),
        probability=tuple(found.chances),
        expected=expected,
        expected_book=expected_book,
        ereach=found.ereach,
        ereach_book=found.ereach_book,
        barrier_usd=tuple(found.barrier),
        reproduction=reproduction,
        reproduction_at=_share_of(direction, kernel.reproduction_at) if reproduction > 0.0 else None,
        stretches=tuple(
            [Stretch(_share_of(direction, near), _share_of(direction, far)) for near, far in stretches]
        ),
        liquidity_factor=found.liquidity,
        forced_factor=1.0 + found.forced[1] / stands[1],
        feedback_factor=found.feedback,
        flow_usd=found.shock,
        depth_usd=case.depth,
        thinness=case.depth / case.now,
        forced_usd=tuple(found.forced),
        stands_usd=tuple(stands),
        due_usd=found.due,
        extrapolated_from=None if seen >= MOVES[-1] else seen,
        has_map=case.has_map,
        map_log_sd=case.log_sd,
        features=_features(case, found),
    )


def _features(case: _Case, found: _Numbers) -> CascadeFeatures:
    depth = case.depth
    barrier, forced, stands = found.barrier, found.forced, found.stands
    odds = [chance / max(1.0 - chance, 1e-9) for chance in found.chances]
    bid, ask = case.book.bid, case.book.ask
    spread = min(max(log(ask) - log(bid), 1e-5), 1.0) if 0.0 < bid < inf and 0.0 < ask < inf else 1.0
    return CascadeFeatures(
        barrier_2=clipped(barrier[0] / depth),
        barrier_5=clipped(barrier[1] / depth),
        barrier_10=clipped(barrier[2] / depth),
        stands_2=clipped(stands[0] / depth),
        stands_5=clipped(stands[1] / depth),
        stands_10=clipped(stands[2] / depth),
        touch=clipped(10.0 * case.kernel.whole_at(0.001) / depth),
        forced_2=clipped(forced[0] / stands[0]),
        forced_5=clipped(forced[1] / stands[1]),
        forced_10=clipped(forced[2] / stands[2]),
        reproduction=clipped(found.reproduction),
        reach_2=clipped(odds[0]),
        reach_5=clipped(odds[1]),
        reach_10=clipped(odds[2]),
        expected=clipped(found.expected / 0.01),
        expected_book=clipped(found.expected_book / 0.01),
        crash=clipped(found.ereach / 0.01),
        crash_book=clipped(found.ereach_book / 0.01),
        feedback=clipped(found.feedback),
        liquidity=clipped(found.liquidity),
        thinness=clipped(depth / case.now),
        shock=clipped(found.shock / depth),
        withdrawn=min(log1p(0.05 * case.per_scale), _CLIP),
        due=min(log1p(found.due / depth), _CLIP),
        gap=_GAP_SCALE * min(max(case.gap, -_GAP_MAX), _GAP_MAX),
        gap_spreads=min(max(asinh(case.gap / spread), -_CLIP), _CLIP),
    )


def _alive(book: BookReading, other: Elsewhere, settings: CascadeSettings) -> float:
    """Share of another venue that is met here: less, the farther the two mids are apart, unless it is told."""
    if other.alive is not None:
        return other.alive
    here, there = book.mid, other.book.mid
    if not (0.0 < here < inf and 0.0 < there < inf):
        return 0.0
    return settings.venues_alive / (1.0 + ((log(here) - log(there)) / settings.venues_apart) ** 2)


def _net(usd: float) -> float:
    """Flow that goes on, USD."""
    return min(usd, USD_MAX) if isfinite(usd) and usd > 0.0 else 0.0


def _gap(direction: Direction, book: BookReading, index_price: float | None) -> float:
    """How far mid is beyond the index in the direction, log distance; 0 where the index is not known."""
    mid = book.mid
    if index_price is None or not (0.0 < index_price < inf and 0.0 < mid < inf):
        return 0.0
    return (log(mid) - log(index_price)) * direction.sign


def _stand(
    kernel: Kernel,
    direction: Direction,
    book: BookReading,
    weight: float,
    inputs: CascadeInputs,
    settings: CascadeSettings,
) -> tuple[float, float]:
    """Lay a book into the kernel; return its usual depth within 1 % and that of now, USD."""
    down = direction is Direction.DOWN
    curve = book.bid_curve_usd if down else book.ask_curve_usd
    kappa = book.bid_kappa if down else book.ask_kappa
    normal = book.bid_normal_usd if down else book.ask_normal_usd
    if len(curve) != len(CURVE_BPS) or not isfinite(sum(curve)):
        curve = _NO_CURVE
    if kappa is None or not isfinite(kappa):
        kappa = settings.kappa
    now = usual = min(max(curve[_AT_1_PERCENT], USD_MIN), USD_MAX)
    band = book.normal_bps
    if normal is not None and isfinite(normal) and normal > 0.0 and 1.0 <= band <= BPS_PER_UNIT:
        usual = normal if band == 100.0 else normal * (100.0 / band) ** settings.kappa
        usual = min(max(usual, USD_MIN), USD_MAX)
    # A hole in a book is filled before a cascade is through it: what stays whatever happens counts as standing.
    stays = settings.withdrawal_floor * usual
    kernel.lay_out(_KNOTS_DOWN if down else _KNOTS_UP, curve, _SHARES, stays, min(max(kappa, 0.3), 3.0))
    there = max(now, stays)
    gone = (max(usual / there, 1.0) - 1.0) ** (1.0 / settings.withdrawal_power)
    half_life = book.refill_half_life_s
    if half_life is None or not isfinite(half_life) or half_life <= 0.0:
        half_life = settings.refill_half_life_s
    kernel.stand(
        weight,
        gone,
        _per_scale(inputs, settings),
        exp(STRENGTH_STEP * settings.withdrawal_log_sd),
        settings.withdrawal_power,
        min(max(stays / there, settings.withdrawal_floor), 1.0),
        settings.fall_s_per_unit * log(2.0) / max(half_life, 1e-3),
        settings.refilled_max,
    )
    return usual, now


def _force(
    kernel: Kernel,
    direction: Direction,
    book: BookReading,
    side: SideMap | None,
    weight: float,
    index_price: float | None,
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
    if lag > 0.0:  # a mid that has left the mark behind proves nothing: it jumps where a book is empty
        confirmed = 0.0
        if index_price is not None and 0.0 < index_price < inf:
            confirmed = (log(mark) - log(index_price)) * -direction.sign
        lag = min(lag, max(confirmed, 0.0))
    usd = np.ascontiguousarray(side.usd, dtype=np.float64)
    kernel.force(usd, BIN_LOG, min(max(lag, -_LAG_MAX), _LAG_MAX), weight)
    return True


def _shock_unit(inputs: CascadeInputs, settings: CascadeSettings) -> float:
    """What shocks are counted in, as a share of the depth within 1 %: what rests within 4.2 usual deviations.

    Flow moves a market by its volatility, whatever 1 % is to it: a coin that moves a third as much is sold a third as
    far by what is usual there. For a coin of 4 % a day it is the depth within 1 %.
    """
    moves = _volatility(inputs, settings) / DEFAULT.volatility_5m
    return min(max(exp(settings.kappa * log(moves)), 0.05), 20.0)


def _volatility(inputs: CascadeInputs, settings: CascadeSettings) -> float:
    volatility = inputs.volatility_5m
    if volatility is None or not isfinite(volatility) or volatility <= 0.0:
        volatility = settings.volatility_5m
    return min(max(volatility, settings.volatility_5m_min), 0.1)


def _per_scale(inputs: CascadeInputs, settings: CascadeSettings) -> float:
    """How many moves that makers withdraw at are in a distance of 1."""
    return 1.0 / (settings.withdrawal_z * _volatility(inputs, settings))


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
    return Kernel(grid, [grid.index(x) for x in asked], list(_SAMPLED))


_AT_1_PERCENT = CURVE_BPS.index(100.0)
_MOVES_AT = tuple(_SAMPLED.index(move) for move in MOVES)
_SHARES = tuple((bps / 100.0) ** DEFAULT.kappa for bps in CURVE_BPS)
_NO_CURVE = (USD_MIN,) * len(CURVE_BPS)
_KNOTS_DOWN = tuple(_log_of(Direction.DOWN, bps / BPS_PER_UNIT) for bps in CURVE_BPS)
_KNOTS_UP = tuple(_log_of(Direction.UP, bps / BPS_PER_UNIT) for bps in CURVE_BPS)
_PLACES_DOWN = tuple(_log_of(Direction.DOWN, move) for move in MOVES)
_PLACES_UP = tuple(_log_of(Direction.UP, move) for move in MOVES)
_DOWN = _kernel(Direction.DOWN)
_UP = _kernel(Direction.UP)
