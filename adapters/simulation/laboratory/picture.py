"""A picture of an episode on one page: price, depth, spread, round trip, open interest and liquidations over time.

What it keeps is bounded by ``BINS_MAX`` for each market, however long the episode is. Equal episodes give equal bytes,
with the same version of matplotlib. Symbols are told apart by colours that the colour-blind tell apart (Okabe and Ito,
2002), venues by the kind of line.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

from adapters.simulation.laboratory.parameters import Episode
from adapters.simulation.laboratory.truth import Floats, LiquidationTruth
from guard.events import (
    CURVE_BPS,
    NOTIONALS_USD,
    AnyEvent,
    MarketFeatures,
    MarketsSampled,
    OpenInterestSeen,
)
from guard.extras import need
from guard.units import BPS_PER_UNIT, NS_PER_S, MarketId, Nanoseconds, symbol_of, venue_of

BINS_MAX = 1_500
"""Of time: more than the page has dots across."""
DEPTH_AT = CURVE_BPS.index(100.0)
COST_AT = NOTIONALS_USD.index(500.0)
COLOURS = ("#000000", "#E69F00", "#56B4E9", "#009E73", "#CC79A7", "#0072B2", "#D55E00", "#F0E442")
STYLES = ("solid", (0, (4, 1.5)), (0, (1, 1)), "dashdot")
LONGS, SHORTS = "#D55E00", "#0072B2"
WIDTH_IN, HEIGHT_IN, DPI = 8.3, 11.0, 120
SILENCE_S = 20.0
"""A line goes on over a pause up to so long."""
DEPTH_LEAST_USD = 1.0
"""Less is drawn as so much: nothing has no logarithm."""
LEAST_USD = 1e4
"""Liquidations a minute below this are drawn on a linear scale, down to nothing."""


@dataclass(slots=True)
class _Bins:
    """What was seen of one market, by bins of time: sums and counts, and the last of what has no mean."""

    price: Floats
    samples: Floats
    depth: Floats
    spread: Floats
    cost: Floats
    costed: Floats
    interest: Floats

    @classmethod
    def of(cls, count: int) -> _Bins:
        return cls(*(np.zeros(count) for _ in fields(cls)))

    def sample(self, at: int, features: MarketFeatures) -> None:
        bids, asks, bid, ask = features.bids, features.asks, features.bid, features.ask
        if bids is None or asks is None or bid is None or ask is None:
            return
        mid = (bid + ask) / 2.0
        self.price[at] = mid
        self.samples[at] += 1.0
        self.depth[at] += min(bids.curve_usd[DEPTH_AT], asks.curve_usd[DEPTH_AT])
        self.spread[at] += (ask - bid) / mid * BPS_PER_UNIT
        buying, selling = asks.slippage_bps[COST_AT], bids.slippage_bps[COST_AT]
        if buying is not None and selling is not None:
            self.cost[at] += buying + selling
            self.costed[at] += 1.0

    def mean(self, sums: Floats, counts: Floats) -> Floats:
        """Means of bins, NaN where nothing was seen."""
        return np.where(counts > 0.0, sums / np.maximum(counts, 1.0), np.nan)

    @property
    def prices(self) -> Floats:
        return np.where(self.price > 0.0, self.price, np.nan)

    @property
    def interests(self) -> Floats:
        return np.where(self.interest > 0.0, self.interest, np.nan)

    @property
    def unfilled(self) -> Floats:
        """Share of samples whose visible levels do not hold 500 USD on both sides."""
        return np.where(self.samples > 0.0, 1.0 - self.costed / np.maximum(self.samples, 1.0), 0.0)


@dataclass(slots=True)
class Picture:
    """Takes an episode's events (``take``) and liquidations; ``draw`` it at the end."""

    episode: Episode
    _markets: dict[MarketId, _Bins] = field(default_factory=dict)
    _bin_ns: Nanoseconds = 0
    _count: int = 0
    _longs: Floats = field(init=False)
    _shorts: Floats = field(init=False)

    def __post_init__(self) -> None:
        whole_ns = max(round(self.episode.duration_s * NS_PER_S), 1)
        self._bin_ns = max(ceil(whole_ns / BINS_MAX), self.episode.sample_ms * 1_000_000)
        self._count = ceil(whole_ns / self._bin_ns)
        self._longs, self._shorts = np.zeros(self._count), np.zeros(self._count)

    def take(self, event: AnyEvent) -> None:
        """Take an event; those that say nothing of a book or of open interest are left out."""
        match event:
            case MarketFeatures(market=market):
                self._bins(market).sample(self._bin(event.received_at), event)
            case MarketsSampled(samples=samples):
                for sample in samples:
                    self.take(sample)
            case OpenInterestSeen(market=market):
                self._bins(market).interest[self._bin(event.received_at)] = event.open_interest
            case _:
                pass

    def liquidation(self, truth: LiquidationTruth) -> None:
        """Take what was liquidated, whether or not its venue told."""
        sums = self._longs if truth.size > 0.0 else self._shorts
        sums[self._bin(truth.at_ns)] += abs(truth.size) * truth.price

    def draw(self, path: Path) -> None:
        """Write it as a PNG. Raises ExtraMissingError, OSError."""
        matplotlib = need("matplotlib", extra="lab")
        canvas = need("matplotlib.backends.backend_agg", extra="lab").FigureCanvasAgg
        with matplotlib.rc_context():
            matplotlib.rcdefaults()
            matplotlib.rcParams.update(
                {"font.size": 8.0, "axes.spines.top": False, "axes.spines.right": False}
            )
            figure = need("matplotlib.figure", extra="lab").Figure(
                figsize=(WIDTH_IN, HEIGHT_IN), dpi=DPI, layout="constrained"
            )
            canvas(figure)
            self._fill(figure)
            figure.savefig(path, format="png", metadata={"Software": None})

    def _bins(self, market: MarketId) -> _Bins:
        found = self._markets.get(market)
        if found is None:
            found = self._markets[market] = _Bins.of(self._count)
        return found

    def _bin(self, at: Nanoseconds) -> int:
        return min(max((at - self.episode.start_at_ns) // self._bin_ns, 0), self._count - 1)

    # ---------------------------------------------------------------- drawing

    def _fill(self, figure: Any) -> None:
        axes = figure.subplots(6, 1, sharex=True, height_ratios=(2.2, 1.6, 1.3, 1.6, 1.3, 1.5))
        price, depth, spread, cost, interest, liquidated = axes
        times, unit, since = self._times()
        self._lines(price, times, lambda bins: _share(bins.prices))
        self._lines(
            depth, times, lambda bins: np.maximum(bins.mean(bins.depth, bins.samples), DEPTH_LEAST_USD)
        )
        self._lines(spread, times, lambda bins: bins.mean(bins.spread, bins.samples))
        self._lines(cost, times, lambda bins: bins.mean(bins.cost, bins.costed))
        self._lines(interest, times, lambda bins: _share(_held(bins.interests)))
        self._unfilled(cost, times)
        self._liquidations(liquidated, times)
        for ax, title in (
            (price, "price, % of its start"),
            (depth, "depth within 1 % on the thinner side, USD (1 or less as 1)"),
            (spread, "spread, bps"),
            (cost, "buying and selling for 500 USD, bps"),
            (interest, "open interest, % of its start"),
            (liquidated, "liquidated, USD a minute: shorts upwards, longs downwards"),
        ):
            ax.set_title(title, loc="left", fontsize=8.5, fontweight="bold")
            ax.grid(visible=True, color="#dddddd", linewidth=0.6)
            ax.set_axisbelow(True)
            ax.margins(x=0.01)
        formatter = need("matplotlib.ticker", extra="lab").FuncFormatter
        for ax in (depth, spread, cost):
            ax.set_yscale("log")
            ax.yaxis.set_major_formatter(formatter(lambda value, _: _usd(value)))
            ax.minorticks_off()
        self._mark_onset(axes)
        liquidated.set_xlabel(f"{unit} since {since}")
        self._name(figure)

    def _times(self) -> tuple[Floats, str, str]:
        """The middle of each bin, its unit, and since when."""
        episode = self.episode
        seconds = (np.arange(self._count) + 0.5) * self._bin_ns / NS_PER_S
        if episode.onset_s is not None:
            seconds, since = seconds - episode.onset_s, "the onset of the stress"
        else:
            since = "the begin"
        for unit, length in (("days", 86_400.0), ("hours", 3_600.0), ("minutes", 60.0)):
            if episode.duration_s > 4.0 * length:
                return seconds / length, unit, since
        return seconds, "seconds", since

    def _lines(self, ax: Any, times: Floats, values: Callable[[_Bins], Floats]) -> None:
        bins = ceil(SILENCE_S * NS_PER_S / self._bin_ns)
        for market, colour, style in self._styled():
            told = _bridged(values(self._markets[market]), bins)
            ax.plot(times, told, color=colour, linestyle=style, linewidth=0.9)

    def _styled(self) -> list[tuple[MarketId, str, Any]]:
        """Each market with its colour and kind of line."""
        symbols = list(dict.fromkeys(symbol_of(market) for market in self._markets))
        venues = list(dict.fromkeys(venue_of(market) for market in self._markets))
        return [
            (
                market,
                COLOURS[symbols.index(symbol_of(market)) % len(COLOURS)],
                STYLES[venues.index(venue_of(market)) % len(STYLES)],
            )
            for market in self._markets
        ]

    def _unfilled(self, ax: Any, times: Floats) -> None:
        """Mark at the top where the visible levels mostly did not hold 500 USD."""
        empty = [
            (colour, self._markets[market].unfilled > 0.5)
            for market, colour, _ in self._styled()
            if (self._markets[market].unfilled > 0.5).any()
        ]
        if not empty:
            return
        ax.set_yscale("log")
        ax.set_ylim(top=ax.get_ylim()[1] * 10.0 ** (0.4 + 0.15 * len(empty)))
        for at, (colour, where) in enumerate(empty):
            ax.plot(
                times[where],
                np.full(int(where.sum()), 0.96 - 0.06 * at),
                linestyle="none",
                marker="|",
                markersize=4.0,
                color=colour,
                transform=ax.get_xaxis_transform(),
            )
        last = float(max(times[where].max() for _, where in empty))
        ax.annotate(
            "500 USD not visible",
            (last, 0.96),
            xycoords=ax.get_xaxis_transform(),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            color="#444444",
        )

    def _liquidations(self, ax: Any, times: Floats) -> None:
        a_minute = 60.0 * NS_PER_S / self._bin_ns
        bins = max(1, round(a_minute))
        longs, shorts = (_smooth(sums, bins) * a_minute for sums in (self._longs, self._shorts))
        ax.fill_between(times, shorts, step="mid", color=SHORTS, linewidth=0.0)
        ax.fill_between(times, -longs, step="mid", color=LONGS, linewidth=0.0)
        ax.axhline(0.0, color="#444444", linewidth=0.6)
        ax.set_yscale("symlog", linthresh=LEAST_USD)
        farthest = max(float(longs.max(initial=0.0)), float(shorts.max(initial=0.0)), 10.0 * LEAST_USD)
        decades = [10.0**power for power in range(5, 13, 2) if 10.0**power <= farthest * 1.5]
        ax.set_ylim(-2.0 * farthest, 2.0 * farthest)
        ax.set_yticks([*(-decade for decade in reversed(decades)), 0.0, *decades])
        ax.set_yticklabels(
            [*(_usd(decade) for decade in reversed(decades)), "0", *(_usd(decade) for decade in decades)]
        )
        ax.minorticks_off()

    def _mark_onset(self, axes: Sequence[Any]) -> None:
        if self.episode.onset_s is None:
            return
        for ax in axes:
            ax.axvline(0.0, color="#444444", linewidth=0.8, linestyle=(0, (2, 2)))
        axes[0].annotate(
            "onset",
            (0.0, 1.0),
            xycoords=axes[0].get_xaxis_transform(),
            xytext=(3, -8),
            textcoords="offset points",
            color="#444444",
        )

    def _name(self, figure: Any) -> None:
        lines = need("matplotlib.lines", extra="lab")
        styled = self._styled()
        colours = {symbol_of(market).partition("/")[0]: colour for market, colour, _ in styled}
        styles = {venue_of(market): style for market, _, style in styled}
        handles = [
            *(lines.Line2D([], [], color=colour, label=name) for name, colour in colours.items()),
            *(
                lines.Line2D([], [], color="#666666", linestyle=style, label=name)
                for name, style in (styles.items() if len(styles) > 1 else ())
            ),
        ]
        episode = self.episode
        figure.suptitle(
            f"{episode.scenario} in the world {episode.world}, seed {episode.seed}: a made-up market",
            fontsize=10.5,
            fontweight="bold",
            x=0.01,
            ha="left",
        )
        if handles:
            figure.legend(
                handles=handles,
                loc="outside lower left",
                ncols=min(len(handles), 8),
                fontsize=8.0,
                frameon=False,
            )


def _share(values: Floats) -> Floats:
    """In per cent of the first that is known."""
    known = values[np.isfinite(values)]
    return values / known[0] * 100.0 if known.size else values


def _bridged(values: Floats, bins: int) -> Floats:
    """Where nothing was said for so many bins at most, what was said last: a market is not sampled in every bin."""
    known = np.flatnonzero(np.isfinite(values))
    if not known.size:
        return values
    places = np.arange(values.size)
    after = np.searchsorted(known, places, side="left")
    before = np.searchsorted(known, places, side="right") - 1
    last = known[np.maximum(before, 0)]
    gap = known[np.minimum(after, known.size - 1)] - last
    is_within = (before >= 0) & (after < known.size) & (gap <= bins)
    return np.where(is_within, values[last], values)


def _held(values: Floats) -> Floats:
    """Where nothing was said, what was said last; NaN before the first word."""
    known = np.flatnonzero(np.isfinite(values))
    if not known.size:
        return values
    last = np.searchsorted(known, np.arange(values.size), side="right") - 1
    return np.where(last >= 0, values[known[np.maximum(last, 0)]], np.nan)


def _smooth(values: Floats, bins: int) -> Floats:
    """Mean over so many bins, each with those before it."""
    sums = np.cumsum(np.concatenate([np.zeros(bins), values]))
    found: Floats = (sums[bins:] - sums[:-bins]) / bins
    return found


def _usd(value: float) -> str:
    """A round number in words: 0.1, 100, 10 k, 10 M, 1 bn."""
    for size, name in ((1e9, " bn"), (1e6, " M"), (1e3, " k")):
        if value >= size:
            return f"{value / size:g}{name}"
    return f"{value:g}"
