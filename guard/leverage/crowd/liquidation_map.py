"""Where the rest of one market is liquidated, estimated from what its venue publishes: the map. No I/O, no clock."""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from itertools import pairwise
from typing import TypeGuard

import numpy as np

from guard.forecasts import Direction, MapForecast
from guard.leverage.crowd.bands import bands_of
from guard.leverage.crowd.estimate import Estimate, Factors, distance_log, estimate, weigh_candidates
from guard.leverage.crowd.evidence import BUSY_PER_S, WINDOW_S, Window, log_likelihood
from guard.leverage.crowd.map_state import MAP_VERSION, MapState, SideState
from guard.leverage.crowd.margins import margins_of
from guard.leverage.crowd.mix import LeverageMix, candidate_shares, lean_of
from guard.leverage.crowd.past import middle_of, volatility_day
from guard.leverage.crowd.settings import BINS_KEPT, LEVERAGES, MapSettings
from guard.leverage.crowd.side import CLASSES, Side
from guard.leverage.crowd.side_map import BIN_LOG, BINS, SideMap
from guard.leverage.tracked import TrackedPositions, TrackedSide
from guard.margin_terms import TierTable
from guard.readings import HistoryPoint, LiquidationFeed, Reading
from guard.units import NS_PER_S, MarketId, Nanoseconds

DIRECTIONS = (Direction.DOWN, Direction.UP)

_GONE_KEPT = 0.9
"""Of what was swept and has not been missed in open interest yet, from one open interest to the next."""

_MIX_S = 15.0
"""What others learned is asked for so often."""

_GAP_S = 120.0
"""A map that heard nothing for so long between two readings does not know what happened then."""

_DOUBT_DAY = 0.6
"""Log-sd that a day without readings adds, and with its square root others."""

_SWEPT_DOUBT = 0.3
"""Log-variance that a sweep of all open interest adds: who came and went in a cascade is known less well."""

_GUESS_DOUBT = 0.45
"""Log-variance of a map whose past nobody told."""

_TERMS_LATE_NS = 900 * NS_PER_S
"""So long after a boot terms that come make it anew: who is alive depends on what margin was required."""

_EXACT_MOVE = 0.10

_FLOW_HALF_LIFE_S = 60.0
_STRESS_HALF_LIFE_S = 1_800.0


class LiquidationMap:
    """The map of one market: an online filter of open interest, flow, mark and liquidations, both sides.

    See ``docs/decisions/0215``. Entries come from rises of open interest and from churn, at the marks of their time;
    the mark sweeps; everybody else leaves alike, so that all parts add up to open interest.

    Assumptions: those who enter use the mix of those who hold; exits do not depend on where somebody would be
    liquidated; one mark a market. It fails where those who hold are hedged elsewhere and nothing was swept yet: then
    the scale is the prior's, and the interval says so.
    """

    def __init__(self, market: MarketId, mix: LeverageMix, settings: MapSettings | None = None) -> None:
        self.market = market
        self.settings = MapSettings() if settings is None else settings
        self._mix = mix
        self._sides = tuple(Side(direction, self.settings) for direction in DIRECTIONS)
        self._windows = [Window(), Window()]
        self._window_s = 0.0
        self._shares = candidate_shares(self.settings.leverage_max)
        self._weights = np.zeros((2, len(self._shares)))
        self._mix_version = -1
        self._mix_s = math.inf
        self._open_interest = 0.0
        self._open_interest_at: Nanoseconds | None = None
        self._mark = 0.0
        self._at: Nanoseconds = 0
        self._range = (math.inf, -math.inf)
        """Of the mark since open interest was heard."""
        self._volume_usd_s: float | None = None
        self._gone = [0.0, 0.0]
        """Swept since open interest was heard and not missed there yet, as it is estimated."""
        self._doubt = 0.0
        """Log-variance of what was not seen, or went on in cascades."""
        self._flow = (0.0, 0.0)
        """Of late: takers' buying and selling."""
        self._stress = 0.0
        """Share of open interest that was swept of late."""
        self._lean = 0.0
        self._is_restored = False
        self._tracked: TrackedPositions | None = None
        self._table: TierTable | None = None
        self._past: Sequence[HistoryPoint] = ()
        """What it was booted from, until the venue's terms should be known."""
        self._made: list[Estimate | None] = [None, None]
        self._factors: list[Factors | None] = [None, None]

    @property
    def is_ready(self) -> bool:
        """Whether a mark and open interest were seen."""
        return self._mark > 0.0 and self._open_interest > 0.0

    def boot(self, points: Sequence[HistoryPoint]) -> None:
        """Begin from open interest and prices of the past, oldest first; what is odd is left out.

        A map that was restored goes on from where it was kept, if the points reach back so far; one that has begun
        already begins anew, and takes it that the mark went straight from the last point to where it is.
        """
        known = [point for point in points if _good(point.price) and _good(point.open_interest)]
        known.sort(key=lambda point: point.at)
        if len(known) < 2:
            return
        mark, opened, at = self._mark, self._open_interest, self._at
        self._require(known[-1].price, known[-1].open_interest)
        typical = middle_of([p.volume_usd for p in known if p.volume_usd is not None and _good(p.volume_usd)])
        if self._is_restored and self.is_ready and known[0].at <= at:
            known = [HistoryPoint(at=at, price=mark, open_interest=opened), *(p for p in known if p.at > at)]
            self._go_through(known, typical)
        else:
            self._past = known
            volatility = volatility_day(known) or self.settings.volatility_day
            for side in self._sides:
                side.start(known[0].price, known[0].open_interest, volatility)
            self._go_through(known, typical)
            for side in self._sides:
                side.even_out(known[-1].open_interest)
        self._doubt = 0.0
        self._is_restored = False
        self._refresh_mix(math.inf)
        last = known[-1]
        self._mark, self._open_interest, self._at = last.price, last.open_interest, last.at
        self._settle(last.open_interest)
        self._factors = [None, None]
        if mark > 0.0 and at > last.at:
            for side in self._sides:
                side.sweep(min(mark, last.price), max(mark, last.price), mark)
            self._mark, self._open_interest, self._at = mark, opened, at
            self._settle(opened)
        self._made = [None, None]

    def update(self, reading: Reading) -> None:
        """Take what happened since the reading before."""
        mark = reading.mark_price
        if mark is None or not _good(mark):
            return
        low = min(mark, reading.mark_low) if _is_good(reading.mark_low) else mark
        high = max(mark, reading.mark_high) if _is_good(reading.mark_high) else mark
        opened = reading.open_interest if _is_good(reading.open_interest) else None
        if not self.is_ready:
            if opened is None:
                return
            self._begin(mark, opened, reading.open_interest_at)
        elapsed_s = min(max(reading.elapsed_s, 0.0), 86_400.0)
        gap_s = (reading.at - self._at) / NS_PER_S - elapsed_s if self._at > 0 else 0.0
        if gap_s > _GAP_S:
            low, high = min(low, self._mark), max(high, self._mark)
            self._miss(gap_s, low, high)
        self._doubt *= 0.5 ** (elapsed_s / 3600.0 / self.settings.holding_half_life_h)
        self._lean = lean_of(reading.longs_share, reading.funding_rate)
        self._refresh_mix(elapsed_s)
        self._sweep(reading, low, high, mark, elapsed_s, gap_s > _GAP_S)
        self._churn(reading, low, high, elapsed_s)
        self._range = (min(self._range[0], low), max(self._range[1], high))
        if opened is not None and reading.open_interest_at != self._open_interest_at:
            self._open_interest_at = reading.open_interest_at
            self._open_interest = opened
            self._settle(opened)
        for side in self._sides:
            side.pending_s += elapsed_s
            if side.pending_s >= self.settings.flush_s:
                side.flush()
        if self._tracked is not None:
            self._tracked.sweep(low, high)
        if self._past and reading.at - self._past[-1].at > _TERMS_LATE_NS:
            self._past = ()
        self._mark = mark
        self._at = reading.at
        self._made = [None, None]

    def take_tracked(self, tracked: TrackedPositions) -> None:
        """Count these positions exactly from now on, and estimate the rest of open interest alone."""
        self._tracked = tracked
        self._made = [None, None]

    def take_terms(self, table: TierTable) -> None:
        """Count with what margin the venue requires here: of those who enter from now on, and after a boot of all."""
        self._table = table
        if self.is_ready and self._require(self._mark, self._open_interest) and self._past:
            self.boot(self._past)

    def side(self, direction: Direction) -> SideMap | None:
        """The map of one direction as it is now; ``None`` before a mark and open interest were seen."""
        if not self.is_ready:
            return None
        return self._with_tracked(self._estimate(direction))[0]

    def forecast(self, direction: Direction) -> MapForecast | None:
        """The map of one direction in words: amounts within ``MOVES`` and bands, with intervals."""
        if not self.is_ready:
            return None
        made = self._estimate(direction)
        side, share = self._with_tracked(made)
        return MapForecast(
            direction=direction,
            mark_price=self._mark,
            within=made.amounts(side, share),
            bands=bands_of(side, direction, made.unit_usd),
            exact_share=_exact_share(side, direction),
            learned_usd=self._mix.learned_usd(self.market, direction),
        )

    def state(self) -> MapState | None:
        """What is to be kept over a restart; ``None`` while there is nothing."""
        if not self.is_ready:
            return None
        sides = []
        for side in self._sides:
            # On a copy: asking must not change what is told, or a run could not be judged again from its record.
            side = deepcopy(side)  # noqa: PLW2901
            side.flush()
            sides.append(
                SideState(
                    mass=(side.mass * side.scale).astype(np.float32).tobytes(),
                    totals=tuple(float(each) for each in side.totals * side.scale),
                    rest=side.rest * side.scale,
                    base=side.base,
                    place=side.place,
                    edge=side.edge,
                )
            )
        return MapState(
            version=MAP_VERSION,
            market=self.market,
            at=self._at,
            open_interest=self._open_interest,
            mark_price=self._mark,
            classes=CLASSES,
            bins=BINS_KEPT,
            sides=tuple(sides),
            volume_usd_s=self._volume_usd_s,
            doubt=self._doubt,
            maintenance=self.settings.maintenance,
        )

    def restore(self, state: MapState) -> bool:
        """Go on from what was kept; False, and nothing changes, where it is of another market, version or shape."""
        shape = (CLASSES, BINS_KEPT)
        if (state.version, state.market, state.classes, state.bins) != (MAP_VERSION, self.market, *shape):
            return False
        if len(state.sides) != 2 or any(len(each.mass) != 4 * shape[0] * shape[1] for each in state.sides):
            return False
        if state.maintenance is not None:
            self.settings = replace(self.settings, maintenance=state.maintenance)
        for side, kept in zip(self._sides, state.sides, strict=True):
            side.settings = self.settings
            side.mass = np.frombuffer(kept.mass, np.float32).reshape(shape).astype(np.float64)
            side.totals = np.asarray(kept.totals, dtype=np.float64)
            side.rest, side.base, side.place, side.edge = kept.rest, kept.base, kept.place, kept.edge
            side.scale, side.added = 1.0, 0.0
            side.held = float(side.shares @ side.totals)
            side.pending.clear()
        self._open_interest, self._mark, self._at = state.open_interest, state.mark_price, state.at
        self._volume_usd_s, self._doubt = state.volume_usd_s, state.doubt
        for at, (direction, side) in enumerate(zip(DIRECTIONS, self._sides, strict=True)):
            self._weights[at] = self._mix.weights(self.market, direction)
            side.weigh(self._weights[at] @ self._shares)
            total = side.total()
            if total > 0.0:
                side.leave(state.open_interest / total)
        self._mix_version, self._mix_s, self._is_restored = -1, math.inf, True
        self._factors, self._made = [None, None], [None, None]
        self._require(self._mark, self._open_interest)
        return True

    # -- Steps of the filter -------------------------------------------------------------------------------------------

    def _require(self, mark: float, opened: float) -> bool:
        """Count with the margin that is required, where that is told; whether it is another one than before."""
        found = None if self._table is None else margins_of(self._table, opened, mark)
        if found is None:
            return False
        leverage_max = min(found.leverage_max, LEVERAGES[-1])
        if (found.maintenance, leverage_max) == (self.settings.maintenance, self.settings.leverage_max):
            return False
        self.settings = replace(self.settings, maintenance=found.maintenance, leverage_max=leverage_max)
        self._shares = candidate_shares(leverage_max)
        for side in self._sides:
            side.require(self.settings)
        self._mix_version = -1
        self._factors, self._made = [None, None], [None, None]
        return True

    def _begin(self, mark: float, opened: float, opened_at: Nanoseconds | None) -> None:
        self._require(mark, opened)
        for side in self._sides:
            side.start(mark, opened, self.settings.volatility_day)
        self._mark, self._open_interest, self._open_interest_at = mark, opened, opened_at
        self._doubt = _GUESS_DOUBT

    def _miss(self, gap_s: float, low: float, high: float) -> None:
        """Take it that people came and went in a time without readings, and know less."""
        self._doubt += _DOUBT_DAY**2 * gap_s / 86_400.0
        ratio = 1.0 - 0.5 ** (gap_s / 3600.0 / self.settings.holding_half_life_h)
        for side in self._sides:
            total = side.total()
            side.leave(1.0 - ratio)
            side.enter(total * ratio, low, high)

    def _sweep(
        self, reading: Reading, low: float, high: float, mark: float, elapsed_s: float, is_blind: bool
    ) -> None:
        told = (reading.liquidated_longs_usd, reading.liquidated_shorts_usd)
        for at, (side, window) in enumerate(zip(self._sides, self._windows, strict=True)):
            swept = side.sweep(low, high, mark)
            if swept is not None:
                gone = float(side.shares @ swept)
                self._gone[at] += gone
                self._stress += gone / self._open_interest
                self._doubt += _SWEPT_DOUBT * gone / self._open_interest
            if is_blind:
                continue
            if swept is not None:
                window.swept += swept * mark
            if _good(told[at]):
                window.told_usd += told[at]
            if (
                reading.feed is LiquidationFeed.THROTTLED
                and reading.liquidations > BUSY_PER_S * elapsed_s > 0.0
            ):
                window.is_bound = True
        self._window_s += elapsed_s
        if self._window_s >= WINDOW_S:
            self._window_s = 0.0
            for at, direction in enumerate(DIRECTIONS):
                self._learn(direction, self._windows[at], reading)
                self._windows[at] = Window()

    def _learn(self, direction: Direction, window: Window, reading: Reading) -> None:
        worth = self._open_interest * self._mark
        unit = self.settings.unit_share * worth
        if reading.feed is LiquidationFeed.ABSENT or unit <= 0.0:
            return
        is_throttled = reading.feed is LiquidationFeed.THROTTLED
        capture = self._mix.capture(self.market) if is_throttled else None
        found = log_likelihood(window, self._shares, unit, worth, capture)
        if found is None:
            return
        logs, expected = found
        if is_throttled:
            told = float(self._weights[DIRECTIONS.index(direction)] @ expected)
            self._mix.compare(self.market, direction, window.told_usd / unit, told)
        complete = 0.0 if is_throttled else window.told_usd / unit
        self._mix.learn(self.market, direction, reading.at, logs, window.told_usd, complete)
        self._mix_version = -1

    def _churn(self, reading: Reading, low: float, high: float, elapsed_s: float) -> None:
        """Replace as many positions as time and trading let expect, at the prices of now."""
        if elapsed_s <= 0.0:
            return
        volume = reading.buy_usd + reading.sell_usd
        pace = 1.0
        if math.isfinite(volume) and volume > 0.0:
            rate = volume / elapsed_s
            if self._volume_usd_s is None:
                self._volume_usd_s = rate
            power, most = self.settings.pace_power, self.settings.pace_max
            pace = min(max((rate / self._volume_usd_s) ** power, 0.2), most)
            self._volume_usd_s += (rate - self._volume_usd_s) * min(elapsed_s / 21_600.0, 1.0)
            flow_keep = 0.5 ** (elapsed_s / _FLOW_HALF_LIFE_S)
            self._flow = (
                self._flow[0] * flow_keep + reading.buy_usd,
                self._flow[1] * flow_keep + reading.sell_usd,
            )
        self._stress *= 0.5 ** (elapsed_s / _STRESS_HALF_LIFE_S)
        leaving = 1.0 - 0.5 ** (pace * elapsed_s / 3600.0 / self.settings.holding_half_life_h)
        entering = leaving / (1.0 + self._stress / self.settings.stress_share)
        for side in self._sides:
            total = side.total()
            side.leave(1.0 - leaving)
            side.enter(total * entering, low, high)
            side.enter(total * (leaving - entering), low, high, 0.0)

    def _settle(self, opened: float) -> None:
        """Make both sides add up to open interest: what is missing was opened now, what is too much has left."""
        low, high = self._range
        if low > high:
            low = high = self._mark
        self._range = (math.inf, -math.inf)
        gone = self._gone
        self._gone = [gone[0] * _GONE_KEPT, gone[1] * _GONE_KEPT]
        for at, side in enumerate(self._sides):
            total = side.total()
            if total <= 0.0:
                continue
            if opened > total:
                missing = opened - total
                caught = min(missing, gone[at])
                self._gone[at] = max(self._gone[at] - caught, 0.0)
                flow = self._flow[at] / max(self._flow[0] + self._flow[1], 1e-300)
                taken = min(2.0 * flow, 1.0) if flow > 0.0 else 1.0
                side.enter(missing - caught, low, high, taken)
                side.enter(caught, low, high, 1.0 - self.settings.caught_hedged)
                continue
            winners = min(total - opened, gone[1 - at])
            self._gone[1 - at] = max(self._gone[1 - at] - winners, 0.0)
            winners *= self.settings.winners_share
            if winners > 1e-4 * opened:
                side.close_winners(winners)
                total = side.total()
            side.leave(opened / total)

    def _refresh_mix(self, elapsed_s: float) -> None:
        """Ask how likely candidates are now: at once after own evidence, at times for others'."""
        self._mix_s += elapsed_s
        if self._mix_version >= 0 and (self._mix_s < _MIX_S or self._mix.version == self._mix_version):
            return
        self._mix_version, self._mix_s = self._mix.version, 0.0
        for at, direction in enumerate(DIRECTIONS):
            self._weights[at] = self._mix.weights(self.market, direction, self._lean)
            self._sides[at].weigh(self._weights[at] @ self._shares)
        self._factors = [None, None]
        self._made = [None, None]

    def _with_tracked(self, made: Estimate) -> tuple[SideMap, float]:
        """Put what is known exactly in the place of as much of the estimate; and tell which share that leaves."""
        known = self._exactly(made.direction)
        if known is None or known.coverage is None:
            return SideMap(made.usd, made.log_sd, self._mark), 1.0
        left = 1.0 - known.coverage
        return SideMap(made.usd * left + known.usd, made.log_sd, self._mark, known.usd), left

    def _exactly(self, direction: Direction) -> TrackedSide | None:
        if self._tracked is None:
            return None
        return self._tracked.side(
            direction, self._mark, self._at, self._open_interest, bin_log=BIN_LOG, bins=BINS
        )

    def _estimate(self, direction: Direction) -> Estimate:
        at = DIRECTIONS.index(direction)
        made = self._made[at]
        if made is None:
            self._refresh_mix(0.0)
            side, factors = self._sides[at], self._factors[at]
            if factors is None or factors.is_old(side.place, self._at):
                factors = weigh_candidates(
                    side,
                    self._weights[at],
                    self._shares,
                    self._open_interest,
                    math.sqrt(self._doubt),
                    self._at,
                )
                self._factors[at] = factors
            made = estimate(side, self._mark, factors)
            self._made[at] = made
        return made

    def _go_through(self, known: Sequence[HistoryPoint], typical_usd: float | None) -> None:
        """Enter, sweep and close along the past."""
        for before, point in pairwise(known):
            elapsed_h = min(max((point.at - before.at) / NS_PER_S / 3600.0, 0.0), 24.0)
            low, high = min(before.price, point.price), max(before.price, point.price)
            pace = 1.0
            if typical_usd is not None and _is_good(point.volume_usd):
                pace = min(max(point.volume_usd / typical_usd, 0.2), 5.0)
            ratio = 1.0 - 0.5 ** (pace * elapsed_h / self.settings.holding_half_life_h)
            for side in self._sides:
                side.sweep(low, high, point.price)
                opened = max(point.open_interest - before.open_interest, 0.0) + ratio * point.open_interest
                side.leave(1.0 - ratio)
                side.enter(opened, low, high)
                side.flush()


def _good(value: float) -> bool:
    return math.isfinite(value) and value > 0.0


def _is_good(value: float | None) -> TypeGuard[float]:
    return value is not None and _good(value)


def _exact_share(side: SideMap, direction: Direction) -> float:
    if side.exact_usd is None:
        return 0.0
    distance = distance_log(_EXACT_MOVE, direction)
    usd = side.within(distance)
    return min(side.exact_within(distance) / usd, 1.0) if usd > 0.0 else 0.0
