"""Where the rest of one market is liquidated, estimated from what its venue publishes: the map. No I/O, no clock."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from guard.forecasts import MOVES, Amount, Direction, MapForecast
from guard.leverage.crowd.bands import bands_of
from guard.leverage.crowd.map_state import MAP_VERSION, MapState, SideState
from guard.leverage.crowd.mix import LeverageMix, candidate_shares
from guard.leverage.crowd.settings import BINS_KEPT, MapSettings
from guard.leverage.crowd.side import CLASSES, Side
from guard.leverage.crowd.side_map import BIN_LOG, BINS, NORMAL_80, Floats, SideMap
from guard.leverage.tracked import TrackedPositions, TrackedSide
from guard.readings import HistoryPoint, LiquidationFeed, Reading
from guard.units import NS_PER_S, MarketId, Nanoseconds

DIRECTIONS = (Direction.DOWN, Direction.UP)

_KNOTS = tuple(round(-math.log1p(-move) / BIN_LOG) for move in (*MOVES, 0.2, 0.45))
"""Distances at which the candidates are compared, bins."""

_WINDOW_S = 60.0
"""Evidence is weighed so often: what was swept and what was told of it are seconds apart."""

_EVIDENCE_MAX = 20.0
"""Units of evidence that one window counts for at most: a crash is one event, not a hundred."""

_GONE_KEPT = 0.9
"""Of what was swept and has not been missed in open interest yet, from one open interest to the next."""

_BACKGROUND = 2e-6
"""Share of open interest that is liquidated in a window from where no map has any."""


@dataclass(slots=True)
class _Window:
    """What was swept, by class, and told since evidence was last weighed."""

    swept: Floats = field(default_factory=lambda: np.zeros(CLASSES))
    told: float = 0.0
    is_bound: bool = False


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
        self._windows = [_Window(), _Window()]
        self._window_s = 0.0
        self._shares = candidate_shares(self.settings.leverage_max)
        self._weights = np.zeros((2, len(self._shares)))
        self._mean = np.zeros((2, CLASSES))
        self._mix_version = -1
        self._open_interest = 0.0
        self._open_interest_at: Nanoseconds | None = None
        self._mark = 0.0
        self._at: Nanoseconds = 0
        self._lows = [math.inf, -math.inf]
        self._volume_usd_s: float | None = None
        self._gone = [0.0, 0.0]
        """Swept since open interest was heard, as it is estimated."""
        self._tracked: TrackedPositions | None = None

    @property
    def is_ready(self) -> bool:
        """Whether a mark and open interest were seen."""
        return self._mark > 0.0 and self._open_interest > 0.0

    def boot(self, points: Sequence[HistoryPoint]) -> None:
        """Begin from open interest and prices of the past, oldest first; what is out of order or odd is left out."""
        known = [point for point in points if _good(point.price) and _good(point.open_interest)]
        known.sort(key=lambda point: point.at)
        if len(known) < 2:
            return
        volatility = _volatility_day(known) or self.settings.volatility_day
        last = known[-1]
        for side in self._sides:
            side.start(known[0].price, known[0].open_interest, volatility)
        typical = _median([p.volume_usd for p in known if p.volume_usd is not None and _good(p.volume_usd)])
        for before, point in pairwise(known):
            self._go_through(before, point, typical)
        for side in self._sides:
            side.even_out(last.open_interest)
        self._refresh_mix()
        self._mark, self._open_interest, self._at = last.price, last.open_interest, last.at
        self._settle(last.open_interest)

    def update(self, reading: Reading) -> None:
        """Take what happened since the reading before."""
        mark = reading.mark_price
        if mark is None or not _good(mark):
            return
        low = (
            min(mark, reading.mark_low) if reading.mark_low is not None and _good(reading.mark_low) else mark
        )
        high = (
            max(mark, reading.mark_high)
            if reading.mark_high is not None and _good(reading.mark_high)
            else mark
        )
        opened = reading.open_interest
        if opened is not None and not _good(opened):
            opened = None
        if not self.is_ready:
            if opened is None:
                return
            for side in self._sides:
                side.start(mark, opened, self.settings.volatility_day)
            self._mark, self._open_interest = mark, opened
            self._open_interest_at = reading.open_interest_at
        elapsed_s = min(max(reading.elapsed_s, 0.0), 86_400.0)
        self._refresh_mix()
        self._sweep(reading, low, high, mark, elapsed_s)
        self._churn(reading, low, high, elapsed_s)
        self._lows = [min(self._lows[0], low), max(self._lows[1], high)]
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
        self._mark = mark
        self._at = reading.at

    def take_tracked(self, tracked: TrackedPositions) -> None:
        """Count these positions exactly from now on, and estimate the rest of open interest alone."""
        self._tracked = tracked

    def side(self, direction: Direction) -> SideMap | None:
        """The map of one direction as it is now; ``None`` before a mark and open interest were seen."""
        if not self.is_ready:
            return None
        usd, sds = self._estimate(DIRECTIONS.index(direction))
        return self._with_tracked(direction, usd, sds[1])

    def forecast(self, direction: Direction) -> MapForecast | None:
        """The map of one direction in words: amounts within ``MOVES`` and bands, with intervals."""
        if not self.is_ready:
            return None
        usd, sds = self._estimate(DIRECTIONS.index(direction))
        side = self._with_tracked(direction, usd, sds[1])
        amounts = []
        for move, sd in zip(MOVES, sds, strict=False):
            distance = -math.log1p(-move) if direction is Direction.DOWN else math.log1p(move)
            amounts.append(_amount(side, distance, sd))
        return MapForecast(
            direction=direction,
            mark_price=self._mark,
            within=tuple(amounts),
            bands=bands_of(side, direction),
            exact_share=_exact_share(side),
            learned_usd=self._mix.learned_usd(self.market, direction),
        )

    def state(self) -> MapState | None:
        """What is to be kept over a restart; ``None`` while there is nothing."""
        if not self.is_ready:
            return None
        sides = []
        for side in self._sides:
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
        )

    def restore(self, state: MapState) -> bool:
        """Go on from what was kept; False, and nothing changes, where it is of another market, version or shape."""
        shape = (CLASSES, BINS_KEPT)
        if (state.version, state.market, state.classes, state.bins) != (MAP_VERSION, self.market, *shape):
            return False
        if len(state.sides) != 2 or any(len(each.mass) != 4 * shape[0] * shape[1] for each in state.sides):
            return False
        for side, kept in zip(self._sides, state.sides, strict=True):
            side.mass = np.frombuffer(kept.mass, np.float32).reshape(shape).astype(np.float64)
            side.totals = np.asarray(kept.totals, dtype=np.float64)
            side.far = np.maximum(side.totals - side.mass.sum(axis=1), 0.0)
            side.rest, side.base, side.place, side.edge = kept.rest, kept.base, kept.place, kept.edge
            side.scale = 1.0
            side.pending.clear()
        self._open_interest, self._mark, self._at = state.open_interest, state.mark_price, state.at
        self._volume_usd_s = state.volume_usd_s
        return True

    # -- Steps of the filter -------------------------------------------------------------------------------------------

    def _sweep(self, reading: Reading, low: float, high: float, mark: float, elapsed_s: float) -> None:
        for at, (side, window) in enumerate(zip(self._sides, self._windows, strict=True)):
            swept = side.sweep(low, high, mark)
            if swept is not None:
                window.swept += swept * mark
                self._gone[at] += float(self._mean[at] @ swept)
            told = reading.liquidated_longs_usd if at == 0 else reading.liquidated_shorts_usd
            if _good(told):
                window.told += told
        if reading.feed is LiquidationFeed.THROTTLED and elapsed_s > 0.0:
            busy = reading.liquidations / elapsed_s
            if busy > 0.5:
                self._windows[0].is_bound = self._windows[1].is_bound = True
        self._window_s += elapsed_s
        if self._window_s >= _WINDOW_S:
            self._weigh(reading)

    def _weigh(self, reading: Reading) -> None:
        """Weigh the candidates by what they foretold of this window."""
        self._window_s = 0.0
        unit = self.settings.unit_share * self._open_interest * self._mark
        for at, direction in enumerate(DIRECTIONS):
            window, self._windows[at] = self._windows[at], _Window()
            if reading.feed is LiquidationFeed.ABSENT or unit <= 0.0:
                continue
            expected = self._shares @ window.swept / unit
            if window.told <= 0.0 and float(expected.max()) < 1e-4:
                continue
            expected = expected + _BACKGROUND / self.settings.unit_share
            told = window.told / unit
            weight = 1.0
            if reading.feed is LiquidationFeed.THROTTLED:
                told /= self._mix.capture(self.market)
                weight = 0.5
            if window.is_bound:
                expected = np.minimum(expected, max(told, 1e-9))
            logs = told * np.log(expected) - expected
            weight /= 1.0 + max(told, float(self._weights[at] @ expected)) / _EVIDENCE_MAX
            self._mix.learn(self.market, direction, reading.at, logs * weight, window.told)

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
        ratio = 1.0 - 0.5 ** (pace * elapsed_s / 3600.0 / self.settings.holding_half_life_h)
        for at, side in enumerate(self._sides):
            total = side.total(self._mean[at])
            side.leave(1.0 - ratio)
            side.enter(total * ratio, low, high)

    def _settle(self, opened: float) -> None:
        """Make both sides add up to open interest: what is missing was opened now, what is too much has left."""
        low, high = self._lows
        if low > high:
            low = high = self._mark
        self._lows = [math.inf, -math.inf]
        gone = self._gone
        self._gone = [gone[0] * _GONE_KEPT, gone[1] * _GONE_KEPT]
        for at, side in enumerate(self._sides):
            shares = self._mean[at]
            total = side.total(shares)
            if total <= 0.0:
                continue
            if opened > total:
                missing = opened - total
                caught = min(missing, gone[at])
                self._gone[at] = max(self._gone[at] - caught, 0.0)
                side.enter(missing - caught, low, high)
                side.enter(caught, low, high, 1.0 - self.settings.caught_hedged, float(shares.sum()))
                continue
            winners = min(total - opened, gone[1 - at])
            self._gone[1 - at] = max(self._gone[1 - at] - winners, 0.0)
            winners *= self.settings.winners_share
            if winners > 1e-4 * opened:
                side.close_winners(winners, shares)
                total = side.total(shares)
            side.leave(opened / total)

    def _refresh_mix(self) -> None:
        if self._mix.version == self._mix_version:
            return
        self._mix_version = self._mix.version
        for at, direction in enumerate(DIRECTIONS):
            side = self._sides[at]
            before = side.total(self._mean[at])
            self._weights[at] = self._mix.weights(self.market, direction)
            self._mean[at] = self._weights[at] @ self._shares
            after = side.total(self._mean[at])
            if before > 0.0 and after > 0.0:
                side.leave(before / after)

    def _with_tracked(self, direction: Direction, usd: Floats, log_sd: float) -> SideMap:
        """Put what is known exactly in the place of as much of the estimate."""
        known = self._exactly(direction)
        if known is None or known.coverage is None:
            return SideMap(usd, log_sd, self._mark)
        return SideMap(usd * (1.0 - known.coverage) + known.usd, log_sd, self._mark, known.usd)

    def _exactly(self, direction: Direction) -> TrackedSide | None:
        if self._tracked is None:
            return None
        return self._tracked.side(
            direction, self._mark, self._at, self._open_interest, bin_log=BIN_LOG, bins=BINS
        )

    def _estimate(self, at: int) -> tuple[Floats, list[float]]:
        """Median mass by bin, and log-sd within each of ``_KNOTS``."""
        self._refresh_mix()
        ahead = self._sides[at].ahead()
        weights = self._weights[at]
        mean = self._mean[at] @ ahead
        sums = np.stack([ahead[:, :knot].sum(axis=1) for knot in _KNOTS], axis=1)
        logs = np.log(np.maximum(self._shares @ sums, 1e-300))
        middle = weights @ logs
        target = np.exp(middle)
        lumps = np.log1p(self.settings.unit_share * self._open_interest / np.maximum(target, 1e-300))
        sds = np.sqrt(weights @ (logs - middle) ** 2 + lumps + self.settings.error_log_sd**2)
        target *= np.exp(-0.5 * lumps)
        begin, wanted = 0, 0.0
        for knot, upto in zip(_KNOTS, target, strict=True):
            held = float(mean[begin:knot].sum())
            if held > 0.0:
                mean[begin:knot] *= max(float(upto) - wanted, 0.0) / held
            begin, wanted = knot, float(upto)
        return mean * self._mark, [float(each) for each in sds]

    def _go_through(self, before: HistoryPoint, point: HistoryPoint, typical_usd: float | None) -> None:
        elapsed_h = min(max((point.at - before.at) / NS_PER_S / 3600.0, 0.0), 24.0)
        low, high = min(before.price, point.price), max(before.price, point.price)
        pace = 1.0
        if typical_usd is not None and point.volume_usd is not None and _good(point.volume_usd):
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


def _amount(side: SideMap, distance: float, log_sd: float) -> Amount:
    exact = side.exact_within(distance)
    usd = side.within(distance)
    ratio = math.exp(NORMAL_80 * log_sd)
    guessed = max(usd - exact, 0.0)
    return Amount(usd=usd, low_usd=exact + guessed / ratio, high_usd=exact + guessed * ratio)


def _exact_share(side: SideMap) -> float:
    distance = -math.log1p(-MOVES[-1])
    usd = side.within(distance)
    return min(side.exact_within(distance) / usd, 1.0) if usd > 0.0 else 0.0


def _median(values: list[float]) -> float | None:
    return sorted(values)[len(values) // 2] if values else None


def _volatility_day(points: Sequence[HistoryPoint]) -> float | None:
    """Realised standard deviation of log price over a day; ``None`` where too little was seen."""
    squared, days = 0.0, 0.0
    for before, point in pairwise(points):
        squared += math.log(point.price / before.price) ** 2
        days += (point.at - before.at) / NS_PER_S / 86_400.0
    return math.sqrt(squared / days) if days > 0.05 and squared > 0.0 else None
