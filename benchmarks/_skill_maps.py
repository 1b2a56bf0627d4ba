"""Liquidation maps beside the truth: how well mass, shape and peaks are known, and the maps that others draw.

A map here is an array of USD by bin of 10 bps of log distance from the mark, in one direction. ``StaticMap`` puts open
interest at fixed leverages at the price of now, ``EntryMap`` at the prices at which open interest came, both with the
shares that public maps use and nothing learned; ``TrueMap`` is the truth itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from benchmarks._skill_episodes import MapsTruth
from guard.forecasts import MOVES, Direction
from guard.leverage.crowd.side_map import BIN_LOG, BINS, SideMap
from guard.readings import HistoryPoint, Reading

Floats = NDArray[np.float64]
AnyFloats = NDArray[np.floating]

LEVERAGES = (5.0, 10.0, 25.0, 50.0, 100.0)
SHARES = (0.3, 0.3, 0.2, 0.15, 0.05)
"""Of open interest, as public maps have it: what they show is mostly 10x to 100x, all of it leveraged."""

MAINTENANCE = 0.005
CHURN = 0.2
"""Of what is traded beyond the change of open interest: positions that change hands at the price of now."""

SHAPE_LOG = 0.10
SHAPE_BINS = round(SHAPE_LOG / BIN_LOG)
"""Within which shape and peaks are judged."""

PEAKS = 3
PEAK_BINS = 7.5
"""A peak is found if one of the estimate's is within 75 bps."""
APART_BINS = 15
"""Two peaks of a map are farther apart than that."""
SMOOTH_BINS = 5
RANDOM_DRAWS = 40
FLOOR_SHARE = 1e-4
"""Of open interest, added to masses before their ratio is taken: a map of nothing is not infinitely wrong."""

TRUE_LOG_SD = 0.05
"""Of a map that is the truth: what is entered and left within the minute."""


def _bin_of(leverage: float) -> int:
    """Bin of the distance at which a position that was just entered is liquidated."""
    return int(-math.log(1.0 - 1.0 / leverage + MAINTENANCE) / BIN_LOG)


ENTRY_BINS = tuple((_bin_of(leverage) + 1, share) for leverage, share in zip(LEVERAGES, SHARES, strict=True))


class StaticMap:
    """Open interest times fixed leverages, at the price of now."""

    def __init__(self) -> None:
        self._usd = np.zeros(BINS)

    def boot(self, points: Sequence[HistoryPoint]) -> None:
        """The past does not matter."""

    def update(self, reading: Reading) -> None:
        """Only the last open interest matters."""
        price = reading.mark_price
        if price is None or reading.open_interest is None:
            return
        self._usd = np.zeros(BINS)
        for leverage, share in zip(LEVERAGES, SHARES, strict=True):
            self._usd[_bin_of(leverage)] += reading.open_interest * price * share

    def usd(self, direction: Direction) -> Floats:  # noqa: ARG002 - both sides alike
        """By bin."""
        return self._usd


class EntryMap:
    """Open interest at the prices at which it came, times fixed leverages; swept by the mark, closed in proportion.

    Positions are kept in bins of absolute log price of their liquidation; what is beyond it is gone. Longs and shorts
    enter alike.
    """

    def __init__(self) -> None:
        self._origin: float | None = None
        self._half = BINS + 400
        self._sides = {direction: _EntrySide(direction, 2 * self._half) for direction in Direction}
        self._interest: float | None = None
        self._mark = 0.0

    def boot(self, points: Sequence[HistoryPoint]) -> None:
        """Enter the past, point by point."""
        for point in points:
            self._step(point.price, point.open_interest, point.volume_usd or 0.0, point.price, point.price)

    def update(self, reading: Reading) -> None:
        """Enter, sweep and close what a reading tells."""
        price = reading.mark_price
        if price is None or reading.open_interest is None:
            return
        low = price if reading.mark_low is None else reading.mark_low
        high = price if reading.mark_high is None else reading.mark_high
        self._step(price, reading.open_interest, reading.buy_usd + reading.sell_usd, low, high)

    def usd(self, direction: Direction) -> Floats:
        """By bin, from the last mark."""
        found = np.zeros(BINS)
        if self._origin is None:
            return found
        side = self._sides[direction]
        at = self._place(self._mark)
        beyond = side.held[:at][::-1] if direction is Direction.DOWN else side.held[at + 1 :]
        count = min(len(beyond), BINS)
        found[:count] = beyond[:count] * (side.scale * self._mark)
        return found

    def _step(self, price: float, interest: float, volume_usd: float, low: float, high: float) -> None:
        if self._origin is None:
            self._origin = math.log(price)
        self._mark = price
        before = self._interest
        self._interest = interest
        if before is None:
            entered = interest
        else:
            changed = interest - before
            entered = max(changed, 0.0) + CHURN * max(volume_usd / price - abs(changed), 0.0) / 2.0
        here = self._place(price)
        for direction, side in self._sides.items():
            side.sweep(self._place(low if direction is Direction.DOWN else high))
            side.enter(here, entered)
            side.close(interest)

    def _place(self, price: float) -> int:
        origin = self._origin or 0.0
        place = self._half + math.floor((math.log(price) - origin) / BIN_LOG)
        return min(max(place, 0), 2 * self._half - 1)


class _EntrySide:
    """Longs (``DOWN``) or shorts of an ``EntryMap``, by bin; what is kept times ``scale`` is what is held."""

    def __init__(self, direction: Direction, bins: int) -> None:
        self.held = np.zeros(bins)
        self.scale = 1.0
        self._sign = direction.sign
        self._swept = bins if direction is Direction.DOWN else -1
        """Bins from here on (up to here) hold nothing."""
        self._total = 0.0

    def sweep(self, place: int) -> None:
        """Take out what price has reached."""
        first, end = (place, self._swept) if self._sign < 0 else (self._swept + 1, place + 1)
        if first < end:
            part = self.held[first:end]
            self._total -= float(part.sum()) * self.scale
            part[:] = 0.0
        self._swept = place

    def enter(self, place: int, entered: float) -> None:
        """Put in what came at a price."""
        for away, share in ENTRY_BINS:
            at = place + self._sign * away
            if 0 <= at < len(self.held):
                self.held[at] += entered * share / self.scale
                self._total += entered * share
                if self._sign * (at - self._swept) <= 0:  # price came so far within the step
                    self._swept = at - self._sign

    def close(self, interest: float) -> None:
        """Close in proportion what is more than open interest."""
        if self._total > interest > 0.0:
            self.scale *= interest / self._total
            self._total = interest


class TrueMap:
    """The truth in the place of an estimate: what an estimator that knows all positions would say."""

    def __init__(self, truth: MapsTruth) -> None:
        self._truth = truth
        self._row = 0
        self._mark = float(truth.mark_price[0])

    def update(self, reading: Reading) -> None:
        """Go on to the truth of now, which is told each minute."""
        self._row = max(int(np.searchsorted(self._truth.at, reading.at, side="right")) - 1, 0)
        self._mark = float(
            self._truth.mark_price[self._row] if reading.mark_price is None else reading.mark_price
        )

    def side(self, direction: Direction) -> SideMap:
        """As the product's map gives it; what the mark has passed since the truth was told is gone."""
        usd = self._truth.side(direction)[self._row].astype(np.float64)
        moved = direction.sign * math.log(self._mark / float(self._truth.mark_price[self._row])) / BIN_LOG
        return SideMap(shifted(usd, round(moved)), TRUE_LOG_SD, self._mark)


def shifted(usd: Floats, bins: int) -> Floats:
    """A map seen from a mark that has come so many bins nearer (below 0: gone farther away)."""
    if bins == 0:
        return usd
    found = np.zeros_like(usd)
    if abs(bins) >= len(usd):
        return found  # price has left the map within a minute
    if bins > 0:
        found[: len(usd) - bins] = usd[bins:]
    else:
        found[-bins:] = usd[:bins]
    return found


class TrueShape:
    """What estimates are held against at one time in one direction: worked out once for all of them."""

    def __init__(self, usd: AnyFloats, direction: Direction, interest_usd: float) -> None:
        self.usd = usd
        self.direction = direction
        self.floor_usd = FLOOR_SHARE * interest_usd
        self.masses = masses(usd, direction)
        self.peaks = peaks(usd)
        self.random: float | None = None

    def random_recall(self, generator: np.random.Generator) -> float:
        """Recall of peaks anywhere; drawn once."""
        if self.random is None:
            self.random = random_recall(self.peaks, generator) if len(self.peaks) else float("nan")
        return self.random


@dataclass(slots=True)
class MapRows:
    """How one estimator's maps compare with the truth, a row each time and direction.

    ``ratio_log`` is the logarithm of estimated over true mass within each of ``MOVES``; ``emd_bps`` how far mass would
    have to be carried for the shapes within 10 % to be equal; ``recall`` the share of the true three greatest peaks
    that are found, ``recall_random`` that of peaks anywhere; ``inside`` whether the interval held the true mass (NaN
    where there is none).
    """

    ratio_log: list[Floats] = field(default_factory=list)
    emd_bps: list[float] = field(default_factory=list)
    recall: list[float] = field(default_factory=list)
    recall_random: list[float] = field(default_factory=list)
    inside: list[Floats] = field(default_factory=list)

    def add(
        self,
        estimate: AnyFloats,
        true: TrueShape,
        intervals: Sequence[tuple[float, float]] | None,
        generator: np.random.Generator,
    ) -> None:
        """Hold a map against the truth of the same time."""
        told = masses(estimate, true.direction)
        self.ratio_log.append(np.log((told + true.floor_usd) / (true.masses + true.floor_usd)))
        self.emd_bps.append(carried_bps(estimate, true.usd))
        self.recall.append(recall(peaks(estimate), true.peaks))
        self.recall_random.append(true.random_recall(generator))
        if intervals is None:
            self.inside.append(np.full(len(MOVES), np.nan))
        else:
            self.inside.append(
                np.array(
                    [low <= mass <= high for (low, high), mass in zip(intervals, true.masses, strict=True)],
                    np.float64,
                )
            )

    def arrays(self) -> Mapping[str, Floats]:
        """All rows."""
        return {
            "ratio_log": np.array(self.ratio_log, np.float64).reshape(-1, len(MOVES)),
            "emd_bps": np.array(self.emd_bps, np.float64),
            "recall": np.array(self.recall, np.float64),
            "recall_random": np.array(self.recall_random, np.float64),
            "inside": np.array(self.inside, np.float64).reshape(-1, len(MOVES)),
        }


def distance_log(move: float, direction: Direction) -> float:
    """Log distance of a move: 5 % down is farther than 5 % up."""
    return abs(math.log1p(direction.sign * move))


def masses(usd: AnyFloats, direction: Direction) -> Floats:
    """Mass that each of ``MOVES`` liquidates; within a bin in proportion."""
    upto = np.concatenate(([0.0], np.cumsum(usd, dtype=np.float64)))
    at = [distance_log(move, direction) / BIN_LOG for move in MOVES]
    found: Floats = np.interp(at, np.arange(len(upto)), upto)
    return found


def carried_bps(estimate: AnyFloats, truth: AnyFloats) -> float:
    """Mean distance between the shapes within 10 %: Wasserstein's, in bps; NaN where one of them is empty."""
    one, other = (np.asarray(each[:SHAPE_BINS], np.float64) for each in (estimate, truth))
    if one.sum() <= 0.0 or other.sum() <= 0.0:
        return float("nan")
    apart = np.abs(np.cumsum(one) / one.sum() - np.cumsum(other) / other.sum())
    return float(apart.sum() * BIN_LOG * 1e4)


def peaks(usd: AnyFloats, count: int = PEAKS) -> Floats:
    """Bins of the greatest peaks within 10 %, greatest first, none within ``APART_BINS`` of a greater one."""
    kernel = np.ones(SMOOTH_BINS) / SMOOTH_BINS
    left = np.convolve(np.asarray(usd[: SHAPE_BINS + SMOOTH_BINS], np.float64), kernel, "same")[:SHAPE_BINS]
    found: list[int] = []
    while len(found) < count and left.max() > 0.0:
        at = int(left.argmax())
        found.append(at)
        left[max(at - APART_BINS, 0) : at + APART_BINS + 1] = 0.0
    return np.array(found, np.float64)


def recall(estimate: Floats, truth: Floats) -> float:
    """Share of true peaks with an estimated one within 75 bps; NaN where there is none to find."""
    if len(truth) == 0:
        return float("nan")
    if len(estimate) == 0:
        return 0.0
    return float((np.abs(truth[:, None] - estimate[None, :]).min(axis=1) <= PEAK_BINS).mean())


def random_recall(truth: Floats, generator: np.random.Generator) -> float:
    """Recall of as many peaks drawn anywhere within 10 %, on the mean."""
    drawn = generator.uniform(0.0, SHAPE_BINS, (RANDOM_DRAWS, PEAKS))
    apart = np.abs(truth[None, :, None] - drawn[:, None, :]).min(axis=2)
    return float((apart <= PEAK_BINS).mean())
