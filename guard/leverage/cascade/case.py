"""One direction of one market: books and maps are laid in, and what a cascade comes to is told. No I/O, no clock.

A case is a work space, as its kernel is: ``begin`` forgets the market before. Numbers may be odd, as books and maps of
others are; what is told is finite. Compiled where there is a compiler (case.pxd), and the same results as it is.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from guard.events import CURVE_BPS
from guard.forecasts import MOVES, QUANTILES, Direction
from guard.leverage.cascade.kernel import STRENGTH_STEP, USD_MAX, USD_MIN, Kernel, clipped
from guard.leverage.cascade.result import CascadeFeatures, CascadeResult, Stretch
from guard.leverage.cascade.settings import DEFAULT
from guard.units import BPS_PER_UNIT

if TYPE_CHECKING:
    from guard.leverage.cascade.settings import CascadeSettings
    from guard.leverage.cascade.structure import CascadeInputs, Elsewhere, SideMap
    from guard.readings import BookReading

_BIN_LOG = 0.001
"""Width of a map's bins, log distance."""

INF, NAN = float("inf"), float("nan")
_LAG_MAX = 0.05
_JUMP_MIN, _JUMPS_TO = 0.002, 0.30
_R_WINDOW, _R_TO = 0.005, 0.1
_CLIP = 5.0
_GAP_MAX, _GAP_SCALE = 0.2, 25.0
_USUAL = 1  # the middle one of the strengths
# fmt: off
SAMPLED = (
    0.0025, 0.005, 0.0075, 0.01, 0.0125, 0.015, 0.0175, 0.02, 0.025, 0.03, 0.035, 0.04, 0.045, 0.05, 0.06, 0.07, 0.08,
    0.09, 0.10, 0.11, 0.12, 0.13, 0.14, 0.15, 0.16, 0.18, 0.20, 0.225, 0.25, 0.275, 0.30, 0.35, 0.40, 0.45, 0.50,
)
# fmt: on
"""Distances, as fractions of the price, at which P(reach) is worked out."""


class Case:
    """``begin`` with the market's own book, ``force`` its map, ``meet`` each other venue, then ``tell``."""

    def __init__(self, direction: Direction) -> None:
        self.direction = direction
        self.sign = float(direction.sign)
        asked = [self.log_of(share) for share in SAMPLED]
        # Nodes every 10 bps to 10 %, 25 bps to 20 % and 1 % beyond, with the distances that are asked for on them.
        grid = [0.001 * at for at in range(101)] + [0.1 + 0.0025 * at for at in range(1, 41)]
        grid += [0.2 + 0.01 * at for at in range(1, 51)]
        grid = sorted({*(x for x in grid if min(abs(x - y) for y in asked) > 1e-6), *asked})
        self.kernel = Kernel(grid, [grid.index(x) for x in asked], list(SAMPLED))
        self.knots = tuple(self.log_of(bps / BPS_PER_UNIT) for bps in CURVE_BPS)
        self.shares = tuple((bps / 100.0) ** DEFAULT.kappa for bps in CURVE_BPS)
        self.places = tuple(self.log_of(move) for move in MOVES)
        self.book: BookReading
        self.settings: CascadeSettings

    def log_of(self, share: float) -> float:
        """Fraction of the price to log distance."""
        return -math.log(1.0 - share) if self.sign < 0.0 else math.log1p(share)

    def share_of(self, distance: float) -> float:
        """Log distance to fraction of the price."""
        return 1.0 - math.exp(-distance) if self.sign < 0.0 else math.exp(distance) - 1.0

    # ---------------------------------------------------------------- what it takes

    def begin(self, book: BookReading, inputs: CascadeInputs, settings: CascadeSettings) -> int:
        """Forget the market before, and lay in this one's book."""
        self.kernel.clear()
        self.book = book
        self.settings = settings
        self.has_map = False
        self.map_log_sd = 0.0
        volatility = _or(inputs.volatility_5m, NAN)
        if not (math.isfinite(volatility) and volatility > 0.0):
            volatility = settings.volatility_5m
        volatility = min(max(volatility, settings.volatility_5m_min), 0.1)
        self.per_scale = 1.0 / (settings.withdrawal_z * volatility)
        # What shocks are counted in, as a share of the depth within 1 %: what rests within 4.2 usual deviations. Flow
        # moves a market by its volatility, whatever 1 % is to it: a coin that moves a third as much is sold a third as
        # far by what is usual there. For a coin of 4 % a day it is the depth within 1 %.
        moves = volatility / DEFAULT.volatility_5m
        self.unit = min(max(math.exp(settings.kappa * math.log(moves)), 0.05), 20.0)
        self.index_price = _or(inputs.index_price, NAN)
        self.mid = _mid(book)
        self.depth = 0.0
        self.now = 0.0
        self.net = _net(inputs.recent_net_usd)
        self.stand(book, 1.0)
        return 0

    def meet(self, other: Elsewhere) -> int:
        """Lay in what is at another venue, as far as it is met here."""
        settings, book = self.settings, other.book
        mid = _mid(book)
        alive = _or(other.alive, NAN)
        if other.alive is None:  # less, the farther the two mids are apart
            alive = 0.0
            if 0.0 < self.mid < INF and 0.0 < mid < INF:
                apart = (math.log(self.mid) - math.log(mid)) / settings.venues_apart
                alive = settings.venues_alive / (1.0 + apart * apart)
        if not (math.isfinite(alive) and alive > 0.0):
            return 0
        alive = min(alive, 1.0)
        self.stand(book, alive)
        self.net += alive * _net(other.recent_net_usd)
        if other.side is not None:
            self.force(other.side, mid, alive)
        return 1

    def stand(self, book: BookReading, weight: float) -> int:
        """Lay a book into the kernel, and count its depth within 1 %, as it usually is and as it is now."""
        settings, down = self.settings, self.sign < 0.0
        curve = book.bid_curve_usd if down else book.ask_curve_usd
        kappa = _or(book.bid_kappa if down else book.ask_kappa, NAN)
        normal = _or(book.bid_normal_usd if down else book.ask_normal_usd, NAN)
        half_life = _or(book.refill_half_life_s, NAN)
        band = book.normal_bps
        if not _is_curve(curve):
            curve = _NO_CURVE
        if not math.isfinite(kappa):
            kappa = settings.kappa
        now = min(max(curve[_AT_1_PERCENT], USD_MIN), USD_MAX)
        usual = now
        if math.isfinite(normal) and normal > 0.0 and 1.0 <= band <= BPS_PER_UNIT:
            if band != 100.0:
                normal *= math.pow(100.0 / band, settings.kappa)
            usual = min(max(normal, USD_MIN), USD_MAX)
        # A hole in a book is filled before a cascade is through it: what stays whatever happens counts as standing.
        stays = settings.withdrawal_floor * usual
        self.kernel.lay_out(self.knots, curve, self.shares, stays, min(max(kappa, 0.3), 3.0))
        there = max(now, stays)
        gone = math.pow(max(usual / there, 1.0) - 1.0, 1.0 / settings.withdrawal_power)
        if not (math.isfinite(half_life) and half_life > 0.0):
            half_life = settings.refill_half_life_s
        self.kernel.stand(
            weight,
            gone,
            self.per_scale,
            math.exp(STRENGTH_STEP * settings.withdrawal_log_sd),
            settings.withdrawal_power,
            min(max(stays / there, settings.withdrawal_floor), 1.0),
            settings.fall_s_per_unit * math.log(2.0) / max(half_life, 1e-3),
            settings.refilled_max,
        )
        self.depth += weight * usual
        self.now += weight * now
        return 0

    def force(self, side: SideMap, mid: float, weight: float) -> bool:
        """Lay a map into the kernel, counted from ``mid``; ``False`` where it is none that may be believed."""
        usd = np.ascontiguousarray(side.usd, dtype=np.float64)
        total, mark = self.kernel.total(usd), side.mark_price
        if not (math.isfinite(total) and total >= 0.0 and 0.0 < mark < INF and 0.0 < mid < INF):
            return False
        lag = (math.log(mark) - math.log(mid)) * -self.sign
        if lag > 0.0:  # a mid that has left the mark behind proves nothing: it jumps where a book is empty
            confirmed = 0.0
            if 0.0 < self.index_price < INF:
                confirmed = (math.log(mark) - math.log(self.index_price)) * -self.sign
            lag = min(lag, max(confirmed, 0.0))
        self.kernel.force(usd, _BIN_LOG, min(max(lag, -_LAG_MAX), _LAG_MAX), weight)
        self.has_map = True
        return True

    # ---------------------------------------------------------------- what it tells

    def tell(self, map_log_sd: float) -> CascadeResult:
        """Everything, of what was laid in; ``map_log_sd`` is how uncertain the scale of the maps is."""
        self._survive(map_log_sd)
        self._count()
        settings, kernel = self.settings, self.kernel
        reproduction, reproduction_at = 0.0, None
        stretches: tuple[Stretch, ...] = ()
        if self.has_map:
            reproduction = kernel.reproduction(_USUAL, settings.phi, _R_WINDOW, _R_TO)
            stretches = self._stretches(settings.phi)
            if reproduction > 0.0:
                reproduction_at = self.share_of(kernel.reproduction_at)
        stands_5 = self.stands[1]
        thinness = self.depth / self.now
        liquidity = max(thinness, 1.0) * max(kernel.whole_at(self.places[1]) / stands_5, 1.0)
        feedback = max(self.expected / self.expected_book, 1.0)
        seen_bps = self.book.bid_visible_bps if self.sign < 0.0 else self.book.ask_visible_bps
        seen = seen_bps / BPS_PER_UNIT if 0.0 < seen_bps < INF else 0.0
        return CascadeResult(
            self.direction,
            SAMPLED,
            kernel.chances(),
            tuple([kernel.quantile(level) for level in QUANTILES]),
            self.probability,
            self.expected,
            self.expected_book,
            self.ereach,
            self.ereach_book,
            self.barrier,
            reproduction,
            reproduction_at,
            stretches,
            liquidity,
            1.0 + self.forced[1] / stands_5,
            feedback,
            max(self.median + self.pull, 0.0),
            self.depth,
            thinness,
            self.forced,
            self.stands,
            settings.phi * kernel.forced_at(0.0),
            None if seen >= MOVES[2] else seen,
            self.has_map,
            self.map_log_sd,
            self._features(reproduction, feedback, liquidity),
        )

    def _survive(self, map_log_sd: float) -> int:
        """Work out how the reach is distributed, and how far a crash goes, without and with what is forced."""
        kernel, settings = self.kernel, self.settings
        power = settings.shock_power
        self.gap = 0.0
        if 0.0 < self.index_price < INF and 0.0 < self.mid < INF:
            self.gap = (math.log(self.mid) - math.log(self.index_price)) * self.sign
        self.pull = settings.venues_alive * math.copysign(kernel.whole_at(abs(self.gap)), -self.gap)
        again = settings.flow_again * self.net
        self.median = again + settings.shock_depths * self.unit * self.now
        crash = settings.crash_depths * self.unit * self.depth
        flow = max(again + self.pull, 0.0)
        # Without what is forced first: the kernel tells of the distribution that was worked out last.
        kernel.survive(0.0, 0.0, self.pull, self.median, power)
        self.expected = self.expected_book = kernel.mean()
        self.ereach = self.ereach_book = self.share_of(kernel.crash(crash, flow))
        if self.has_map:
            told = map_log_sd if math.isfinite(map_log_sd) else 0.0
            self.map_log_sd = min(max(told, settings.map_log_sd_min), 3.0)
            kernel.survive(settings.phi, self.map_log_sd, self.pull, self.median, power)
            self.expected = kernel.mean()
            self.ereach = self.share_of(kernel.crash(crash, flow))
        return 0

    def _count(self) -> int:
        """Read what stands, what is forced and what has to be sold up to each of ``MOVES``, and the chances of them."""
        kernel, phi = self.kernel, self.settings.phi
        near, middle, far = self.places
        self.stands = (
            max(kernel.left_at(_USUAL, near), USD_MIN),
            max(kernel.left_at(_USUAL, middle), USD_MIN),
            max(kernel.left_at(_USUAL, far), USD_MIN),
        )
        self.forced = (
            phi * kernel.forced_at(near),
            phi * kernel.forced_at(middle),
            phi * kernel.forced_at(far),
        )
        self.barrier = (
            kernel.barrier(_USUAL, phi, near),
            kernel.barrier(_USUAL, phi, middle),
            kernel.barrier(_USUAL, phi, far),
        )
        self.probability = (
            kernel.chance(_MOVES_AT[0]),
            kernel.chance(_MOVES_AT[1]),
            kernel.chance(_MOVES_AT[2]),
        )
        return 0

    def _features(self, reproduction: float, feedback: float, liquidity: float) -> CascadeFeatures:
        depth, gap, kernel = self.depth, self.gap, self.kernel
        stands_2, stands_5, stands_10 = self.stands
        forced_2, forced_5, forced_10 = self.forced
        barrier_2, barrier_5, barrier_10 = self.barrier
        chance_2, chance_5, chance_10 = self.probability
        return CascadeFeatures._make(
            (
                clipped(barrier_2 / depth),
                clipped(barrier_5 / depth),
                clipped(barrier_10 / depth),
                clipped(stands_2 / depth),
                clipped(stands_5 / depth),
                clipped(stands_10 / depth),
                clipped(10.0 * kernel.whole_at(0.001) / depth),
                clipped(forced_2 / stands_2),
                clipped(forced_5 / stands_5),
                clipped(forced_10 / stands_10),
                clipped(reproduction),
                clipped(chance_2 / max(1.0 - chance_2, 1e-9)),
                clipped(chance_5 / max(1.0 - chance_5, 1e-9)),
                clipped(chance_10 / max(1.0 - chance_10, 1e-9)),
                clipped(self.expected / 0.01),
                clipped(self.expected_book / 0.01),
                clipped(self.ereach / 0.01),
                clipped(self.ereach_book / 0.01),
                clipped(feedback),
                clipped(liquidity),
                clipped(depth / self.now),
                clipped(max(self.median + self.pull, 0.0) / depth),
                min(math.log1p(0.05 * self.per_scale), _CLIP),
                min(math.log1p(self.settings.phi * kernel.forced_at(0.0) / depth), _CLIP),
                _GAP_SCALE * min(max(gap, -_GAP_MAX), _GAP_MAX),
                min(max(math.asinh(gap / self._spread()), -_CLIP), _CLIP),
            )
        )

    def _stretches(self, phi: float) -> tuple[Stretch, ...]:
        found = self.kernel.jumps(_USUAL, phi, _JUMP_MIN, _JUMPS_TO)
        return tuple([Stretch(self.share_of(near), self.share_of(far)) for near, far in found])

    def _spread(self) -> float:
        """Of the market's own book, log; 1 where it has none."""
        bid, ask = self.book.bid, self.book.ask
        if not (0.0 < bid < INF and 0.0 < ask < INF):
            return 1.0
        return min(max(math.log(ask) - math.log(bid), 1e-5), 1.0)


def _or(told: float | None, otherwise: float) -> float:
    return otherwise if told is None else told


def _mid(book: BookReading) -> float:
    return (book.bid + book.ask) / 2.0


def _net(usd: float) -> float:
    """Flow that goes on, USD."""
    return min(usd, USD_MAX) if math.isfinite(usd) and usd > 0.0 else 0.0


def _is_curve(curve: tuple[float, ...]) -> bool:
    """Whether it goes along ``CURVE_BPS``, in numbers."""
    total = 0.0
    for usd in curve:
        total += usd
    return len(curve) == len(CURVE_BPS) and math.isfinite(total)


_AT_1_PERCENT = CURVE_BPS.index(100.0)
_MOVES_AT = tuple(SAMPLED.index(move) for move in MOVES)
_NO_CURVE = (USD_MIN,) * len(CURVE_BPS)
