"""Measures an episode by what any venue's streams told and, for liquidations, by what is true: ``anchors.Figure``.

Order level and coarse mode are measured alike. The definitions, each over bins of five seconds:

* the **worst ten minutes** are those after the onset in which the mean round trip of 500 USD over the small alts'
  markets is greatest; depth, spread and round trip are means within them, depth over all markets;
* **usual** depth is the median of the half hour before the onset; a loss is 1 - mean / usual, of bids; a **depth
  ratio** is usual / least mean of half a minute, at the first venue;
* a **round trip** is what buying and selling for 500 USD costs against mid, in bps; where the visible side does not
  hold so much it counts as the farthest visible price, at least 1,000 bps;
* a **fall** is 1 - least mid from the onset on / mid at the onset, a mean over the group's markets; the fall within 12
  minutes is the worst such; a rise is the same upwards, greatest mid / mid at the onset - 1;
* open interest **loss** is 1 - what is open 40 min after the onset / at the onset, in coins (or USD at the mid);
* **value liquidated** is size times price of ``LiquidationTruth``; the share of longs and of books is taken from the
  onset on, that of the worst 40 min from all of the episode, the worst minute and 40 min slide by bins; in a minute
  each position counts once, however often it was closed in part;
* the **wave** begins at the first liquidation of the first minute after the onset with a tenth of the worst minute's;
  the first deleveraging counts from there;
* **refill** is from the least mean minute of depth within 1 % (small alts, both sides, in coins: the price has fallen)
  until a mean minute reaches half of the usual, of each market, the median; the rest of the episode where none does;
* **trough** is from -5 % of the onset's mid to the least mid, the median over the small alts' markets;
* **overshoot** is how far (log) mid went beyond value in the direction of the stress, the most of any market; a
  market **cascades** where that is 5 % or more (``CASCADE``);
* a **departure** is a time in which the mid is 5 % or more from value (log, either way), before the onset or, where
  there is none, at any time; it ends when less than half of that is left. Both are seen where the truth tells value.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from adapters.simulation.laboratory.parameters import Episode, ImpulseKind
from adapters.simulation.laboratory.truth import (
    BookTruth,
    ClosedBy,
    LiquidationTruth,
    MapTruth,
    PositionsTruth,
)
from adapters.simulation.worlds.anchors import Figure
from adapters.simulation.worlds.measured_market import BIN_S, Floats, MarketBins, filled, in_groups
from guard.events import AnyEvent, MarketFeatures, MarketsSampled, OpenInterestSeen
from guard.units import MarketId, market_id

MINUTE = int(60 / BIN_S)
WORST = 10 * MINUTE
BEFORE = 30 * MINUTE
DAMAGE = 40 * MINUTE
CASCADE = 0.05
SMALL_DEPTH_USD = 1e6
"""A small alt's usual depth at a venue whose share is 1 is below."""

Figures = dict[Figure, float]


@dataclass(slots=True)
class Liquidated:
    """What was liquidated, in bins: USD by side and by who took it."""

    longs_usd: Floats
    shorts_usd: Floats
    book_usd: Floats
    first_s: Floats
    """When each bin's first one was; NaN where there is none."""
    deleveraged_s: float | None = None
    """When the first deleveraging from the onset on was."""

    @classmethod
    def none(cls, count: int) -> Liquidated:
        """Nothing yet, in so many bins."""
        empty = [np.zeros(count) for _ in range(3)]
        return cls(empty[0], empty[1], empty[2], np.full(count, np.nan))


class Distinct:
    """How many different ones came in the minute from each bin on; names are kept for two minutes."""

    def __init__(self, count: int) -> None:
        self._changes = np.zeros(count + 1)
        self._latest: dict[Hashable, int] = {}
        self._before: dict[Hashable, int] = {}
        self._minute = 0

    def see(self, at: int, name: Hashable) -> None:
        """Count one in a bin, which is none before the last one: in the minutes with it in which it was not yet."""
        if at // MINUTE != self._minute:
            self._before, self._latest, self._minute = self._latest, {}, at // MINUTE
        latest = self._latest.get(name, self._before.get(name, -1))
        first = max(at - MINUTE, latest, -1) + 1
        if first <= at:
            self._changes[first] += 1
            self._changes[at + 1] -= 1
        self._latest[name] = at

    @property
    def minutes(self) -> Floats:
        """By the bin with which the minute begins."""
        return np.cumsum(self._changes[:-1])


class Measures:
    """Takes an episode's events (``take``) and its truth (as a ``TruthSink``); ``figures`` tells what came of it."""

    def __init__(self, episode: Episode) -> None:
        self._episode = episode
        self._start_ns = episode.start_at_ns
        self.markets: dict[MarketId, MarketBins] = {}
        self._symbol_of: dict[MarketId, str] = {}
        for venue in episode.venues:
            for symbol in episode.symbols:
                name = market_of(venue.venue, symbol.symbol)
                self.markets[name] = MarketBins(episode.duration_s)
                self._symbol_of[name] = symbol.symbol
        self._small = {one.symbol for one in episode.symbols if one.depth_usd < SMALL_DEPTH_USD}
        count = MarketBins(episode.duration_s).count
        self._count = count
        self._closed = Liquidated.none(count)
        self._positions = Distinct(count)
        self._onset_s = episode.onset_s if episode.onset_s is not None else 0.0

    def take(self, event: AnyEvent) -> None:
        """Take an event; those that say nothing of a market's state are left out."""
        match event:
            case MarketFeatures():
                self.markets[event.market].sample(self._seconds(event.received_at), event)
            case MarketsSampled():
                for sample in event.samples:
                    self.take(sample)
            case OpenInterestSeen():
                market = self.markets[event.market]
                market.open_interest[market.bin_of(self._seconds(event.received_at))] = event.open_interest
            case _:
                pass

    def take_all(self, events: Iterable[AnyEvent]) -> Measures:
        """Take all events and give itself."""
        for event in events:
            self.take(event)
        return self

    def liquidation(self, truth: LiquidationTruth) -> None:
        """Count it."""
        seconds, closed = self._seconds(truth.at_ns), self._closed
        at = min(int(seconds / BIN_S), self._count - 1)
        usd = abs(truth.size) * truth.price
        if (
            truth.closed_by is ClosedBy.DELEVERAGE
            and seconds >= self._onset_s
            and closed.deleveraged_s is None
        ):
            closed.deleveraged_s = seconds
        if np.isnan(closed.first_s[at]):
            closed.first_s[at] = seconds
        self._positions.see(at, (truth.market, truth.position))
        (closed.longs_usd if truth.size > 0 else closed.shorts_usd)[at] += usd
        if truth.closed_by is ClosedBy.BOOK:
            closed.book_usd[at] += usd

    def map(self, truth: MapTruth) -> None:
        """Nothing is measured of it."""

    def positions(self, truth: PositionsTruth) -> None:
        """Nothing is measured of it."""

    def book(self, truth: BookTruth) -> None:
        """Keep the value."""
        market = self.markets[truth.market]
        market.value_price[market.bin_of(self._seconds(truth.at_ns))] = truth.value_price

    def figures(self) -> Figures:
        """Tell every figure that can be told; none of an episode without an onset."""
        if self._episode.onset_s is None:
            return {}
        onset = int(self._onset_s / BIN_S)
        found: Figures = {}
        found.update(self._of_liquidity(onset))
        found.update(self._of_price(onset))
        found.update(self._of_open_interest(onset))
        found.update(self._of_liquidations(onset))
        return found

    @property
    def cascades(self) -> bool:
        """Whether trading itself moved some market's price by ``CASCADE`` or more beyond value."""
        return self.figures().get(Figure.OVERSHOOT_MAX, 0.0) >= CASCADE

    def falls(self) -> Figures:
        """Tell the falls of mids alone, of an episode with an onset."""
        found: Figures = {}
        onset = int(self._onset_s / BIN_S)
        small = self._group(lambda symbol: symbol in self._small)
        put(found, Figure.FALL_SMALL, (fall(one, onset) for one in small))
        put(
            found,
            Figure.FALL_BTC,
            (fall(one, onset) for one in self._group(lambda symbol: symbol == "BTCUSDT")),
        )
        put(
            found,
            Figure.FALL_SOL_12MIN,
            (fall_within(one, onset, 12 * MINUTE) for one in self._group(lambda symbol: symbol == "SOLUSDT")),
        )
        return found

    @property
    def departures(self) -> int:
        """How often mids left value by ``CASCADE`` or more before the onset, over all markets."""
        last = self._count if self._episode.onset_s is None else int(self._onset_s / BIN_S)
        return sum(departures(one, last) for one in self.markets.values())

    def _seconds(self, at_ns: int) -> float:
        return (at_ns - self._start_ns) / 1e9

    def _group(self, chosen: Callable[[str], bool]) -> list[MarketBins]:
        return [market for name, market in self.markets.items() if chosen(self._symbol_of[name])]

    def _first_venue(self, symbol: str) -> MarketBins | None:
        return self.markets.get(market_of(self._episode.venues[0].venue, symbol))

    def _of_liquidity(self, onset: int) -> Figures:
        found: Figures = {}
        small = self._group(lambda symbol: symbol in self._small)
        first = worst_window(small or list(self.markets.values()), onset, WORST)
        last = first + WORST
        put(found, Figure.SPREAD_BPS_SMALL, (one.mean("spread_bps", first, last) for one in small))
        put(found, Figure.ROUND_TRIP_BPS_SMALL, (one.mean("round_trip_bps", first, last) for one in small))
        for figure, name in (
            (Figure.DEPTH_LOSS_1PCT, "bid_100"),
            (Figure.DEPTH_LOSS_5PCT, "bid_500"),
        ):
            put(found, figure, (loss(one, name, onset, first, last) for one in self.markets.values()))
        for figure, symbol in (
            (Figure.DEPTH_RATIO_BTC, "BTCUSDT"),
            (Figure.DEPTH_RATIO_ETH, "ETHUSDT"),
            (Figure.DEPTH_RATIO_SOL, "SOLUSDT"),
        ):
            market = self._first_venue(symbol)
            if market is not None:
                put(found, figure, [depth_ratio(market, onset)])
        refills = [one for one in (refill_min(market, onset) for market in small) if one is not None]
        if refills:
            found[Figure.REFILL_MIN] = statistics.median(refills)
        return found

    def _of_price(self, onset: int) -> Figures:
        found = self.falls()
        small = self._group(lambda symbol: symbol in self._small)
        put(found, Figure.RISE_SMALL, (rise(one, onset) for one in small))
        troughs = [one for one in (trough_min(market, onset) for market in small) if one is not None]
        if troughs:
            found[Figure.TROUGH_MIN] = statistics.median(troughs)
        beyond = [overshoot(one, onset, self._direction()) for one in self.markets.values()]
        found[Figure.OVERSHOOT_MAX] = max((one for one in beyond if one is not None), default=0.0)
        return found

    def _direction(self) -> int:
        """+1 where the scenario pushes up, -1 else: by its impulses within ten minutes of the onset."""
        pushes = sum(
            (-one.size / 100.0 if one.kind is ImpulseKind.SELL else one.size)
            for one in self._episode.impulses
            if one.kind in (ImpulseKind.SELL, ImpulseKind.VALUE) and 0 <= one.at_s - self._onset_s < 600.0
        )
        return 1 if pushes > 0 else -1

    def _of_open_interest(self, onset: int) -> Figures:
        found: Figures = {}
        small = self._group(lambda symbol: symbol in self._small)
        put(found, Figure.OPEN_INTEREST_LOSS_SMALL, (open_loss(one, onset, in_usd=False) for one in small))
        put(found, Figure.OPEN_INTEREST_LOSS_USD, (open_loss(one, onset, in_usd=True) for one in small))
        return found

    def _of_liquidations(self, onset: int) -> Figures:
        found: Figures = {}
        closed = self._closed
        usd = closed.longs_usd + closed.shorts_usd
        after = usd[onset:].sum()
        found[Figure.LIQUIDATIONS_MINUTE] = float(self._positions.minutes[onset:].max(initial=0.0))
        if after > 0:
            found[Figure.LIQUIDATED_SHARE_40MIN] = worst_sum(usd, DAMAGE) / float(usd.sum())
            found[Figure.LONGS_SHARE] = float(closed.longs_usd[onset:].sum() / after)
            found[Figure.BOOK_SHARE] = float(closed.book_usd[onset:].sum() / after)
        wave = self._wave_s(onset)
        if wave is not None and closed.deleveraged_s is not None:
            found[Figure.FIRST_DELEVERAGE_S] = max(0.0, closed.deleveraged_s - wave)
        opened = sum(open_usd(one, onset) for one in self.markets.values())
        if opened > 0:
            found[Figure.LIQUIDATED_OI_SHARE_MAX] = worst_sum(usd[onset:], DAMAGE) / opened
        return found

    def _wave_s(self, onset: int) -> float | None:
        counts = self._positions.minutes[onset::MINUTE]
        if not counts.size or counts.max() <= 0:
            return None
        begin = onset + int(np.argmax(counts >= 0.1 * counts.max())) * MINUTE
        return float(np.nanmin(self._closed.first_s[begin : begin + MINUTE]))


def market_of(venue: str, symbol: str) -> MarketId:
    """Name a market as events do, by ccxt's symbol of a linear perpetual in USDT."""
    return market_id(venue, f"{symbol.removesuffix('USDT')}/USDT:USDT")


def put(found: Figures, figure: Figure, values: Iterable[float | None]) -> None:
    """Note the mean of what is known, nothing where nothing is."""
    known = [value for value in values if value is not None]
    if known:
        found[figure] = statistics.fmean(known)


def worst_window(markets: Sequence[MarketBins], onset: int, size: int) -> int:
    """Give the first bin of the window with the greatest mean round trip over the markets."""
    costs = np.array([filled(one.means("round_trip_bps"))[onset:] for one in markets])
    mean = np.nan_to_num(costs).mean(axis=0)
    if mean.size <= size:
        return onset
    sums = np.convolve(mean, np.ones(size), mode="valid")
    return onset + int(np.argmax(sums))


def worst_sum(values: Floats, size: int) -> float:
    """Give the greatest sum of so many bins in a row."""
    if values.size <= size:
        return float(values.sum())
    return float(np.convolve(values, np.ones(size), mode="valid").max())


def usual(market: MarketBins, name: str, onset: int) -> float | None:
    """Give the median of the half hour before the onset, or of what there is."""
    return market.median_depth(name, max(0, onset - BEFORE), onset)


def loss(market: MarketBins, name: str, onset: int, first: int, last: int) -> float | None:
    before, mean = usual(market, name, onset), market.mean(name, first, last)
    return None if before is None or mean is None or before <= 0 else 1.0 - mean / before


def depth_ratio(market: MarketBins, onset: int) -> float | None:
    """Usual over least half minute; nothing at all counts as a dollar."""
    before = usual(market, "bid_100", onset)
    halves = in_groups(market.means("bid_100")[onset:], MINUTE // 2, np.nanmean)
    if before is None or not np.isfinite(halves).any():
        return None
    return before / max(1.0, float(np.nanmin(halves)))


def refill_min(market: MarketBins, onset: int) -> float | None:
    coins = (market.means("bid_100") + market.means("ask_100")) / filled(market.mid)
    before = coins[max(0, onset - BEFORE) : onset]
    minutes = in_groups(coins[onset:], MINUTE, np.nanmean)
    if not np.isfinite(before).any() or not np.isfinite(minutes).any():
        return None
    least = int(np.nanargmin(minutes))
    back = np.flatnonzero(minutes[least:] >= 0.5 * np.nanmedian(before))
    return float(back[0] if back.size else minutes.size - least)


def fall(market: MarketBins, onset: int) -> float | None:
    mid = filled(market.mid)[onset:]
    return float(1.0 - mid.min() / mid[0]) if mid.size and np.isfinite(mid).all() else None


def rise(market: MarketBins, onset: int) -> float | None:
    mid = filled(market.mid)[onset:]
    return float(mid.max() / mid[0] - 1.0) if mid.size and np.isfinite(mid).all() else None


def fall_within(market: MarketBins, onset: int, size: int) -> float | None:
    mid = filled(market.mid)[onset:]
    if not mid.size or not np.isfinite(mid).all():
        return None
    windows = np.lib.stride_tricks.sliding_window_view(mid, min(size, mid.size))
    peaks = np.maximum.accumulate(windows, axis=1)
    return float((1.0 - windows / peaks).max())


def trough_min(market: MarketBins, onset: int) -> float | None:
    mid = filled(market.mid)[onset:]
    if not mid.size or not np.isfinite(mid).all():
        return None
    below = np.flatnonzero(mid <= 0.95 * mid[0])
    return float((np.argmin(mid) - below[0]) / MINUTE) if below.size else None


def overshoot(market: MarketBins, onset: int, direction: int) -> float | None:
    """How far the mid was beyond value; value is known where the truth tells it."""
    known = np.isfinite(market.value_price)
    known[:onset] = False
    mid = filled(market.mid)
    if not known.any() or not np.isfinite(mid).all():
        return None
    return float((direction * np.log(mid[known] / market.value_price[known])).max())


def departures(market: MarketBins, last: int) -> int:
    """Count the times before a bin in which the mid is ``CASCADE`` or more from value."""
    mid, value = filled(market.mid)[:last], market.value_price[:last]
    known = np.isfinite(value) & np.isfinite(mid)
    count, is_away = 0, False
    for away in np.abs(np.log(mid[known] / value[known])):
        if not is_away and away >= CASCADE:
            count, is_away = count + 1, True
        elif away < 0.5 * CASCADE:
            is_away = False
    return count


def open_loss(market: MarketBins, onset: int, *, in_usd: bool) -> float | None:
    open_now = filled(market.open_interest)
    if in_usd:
        open_now = open_now * filled(market.mid)
    if not np.isfinite(open_now).all() or open_now[onset] <= 0:
        return None
    return float(1.0 - open_now[min(onset + DAMAGE, open_now.size - 1)] / open_now[onset])


def open_usd(market: MarketBins, onset: int) -> float:
    usd = filled(market.open_interest) * filled(market.mid)
    return float(usd[onset]) if np.isfinite(usd[onset]) else 0.0
