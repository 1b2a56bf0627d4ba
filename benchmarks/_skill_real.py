"""What real data can show of the map: the files of ``../shared/data``, by days, out of sample; nothing is tuned there.

Hourly liquidations of 2024: whether the mass that an hour's prices swept through says how much was liquidated, better
than how far price went times open interest, and than static tiers. Open interest of Dec 2025 and Jan 2026: whether it
says how much open interest went, and whether the mass near price says how far price is about to go. No positions, no
depth and no cascade are in them: they show nothing of the map's scale beyond what a throttled feed tells, nothing of
reach, hazard or decisions.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks._frame import ROOT, Better, Result
from benchmarks._skill_maps import StaticMap
from benchmarks._skill_metrics import Measured, bootstrap, spearman
from benchmarks._skill_rows import row
from guard.forecasts import Direction
from guard.leverage.crowd.liquidation_map import LiquidationMap
from guard.leverage.crowd.mix import LeverageMix
from guard.leverage.crowd.side_map import BIN_LOG
from guard.readings import LiquidationFeed, Reading
from guard.units import NS_PER_S, MarketId

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

SHARED = ROOT.parent / "shared" / "data"
HOUR_S, DAY_S = 3_600, 86_400
SMALL_USD = 1_000.0
"""Added before logarithms: an hour without liquidations is not infinitely far from one with few."""
LEARN_DAYS = 3
"""Before that the map has seen nothing, and is not judged."""
NEAR = 0.02
NAMES = ("map", "static tiers at spot", "|move| x OI")


@dataclass(frozen=True, slots=True)
class Hour:
    """One hour of one market: what was predicted at its begin given how far price went, and what came.

    ``swept`` is along ``NAMES``, both directions; ``near`` the map's mass within 2 % on both sides over open interest.
    """

    day: int
    swept: tuple[float, ...]
    near: float
    liquidated_usd: float
    interest_usd: float
    interest_change: float
    """Share of open interest, positive where it grew."""
    reach: float
    """Log of highest over lowest price."""
    reach_before: float


def score_real(seed: int, draws: int, shared: Path = SHARED) -> list[Result]:
    """All figures; none, said by the caller, where the data are not there."""
    results: list[Result] = []
    hourly = shared / "perp_hourly_2024"
    if hourly.is_dir():
        mix = LeverageMix()
        coins = [list(hours_of_2024(path, mix)) for path in sorted(hourly.glob("*_ohlcv.csv"))]
        results += _of_liquidations(coins, seed, draws)
    interest = shared / "binance_oi_5m"
    if interest.is_dir():
        coins = [list(hours_of_interest(path)) for path in sorted(interest.glob("*_oi_5m.csv"))]
        results += _of_interest(coins, seed, draws)
    return results


def hours_of_2024(prices: Path, mix: LeverageMix) -> Iterator[Hour]:
    """Go through one coin's hours; the map learns of each after it was judged by it."""
    symbol = prices.name.partition("_")[0]
    rows = {
        name: _by_time(prices.with_name(f"{symbol}_{name}.csv"))
        for name in ("ohlcv", "open-interest", "liquidation")
    }
    shares = _by_time(prices.with_name(f"{symbol}_long-short-ratio.csv"))
    times = sorted(set.intersection(*(set(each) for each in rows.values())))
    judge = _Judge(MarketId(f"binanceusdm:{symbol}"), mix, LiquidationFeed.THROTTLED)
    for former, time in pairwise(times):
        price, interest, closed = (rows[name][time] for name in rows)
        hour = _Bar(
            at=time,
            elapsed_s=float(time - former),
            low=price["low"],
            high=price["high"],
            close=price["close"],
            interest=interest["close"],
            longs_usd=closed["long"] * price["close"],
            shorts_usd=closed["short"] * price["close"],
            buy_usd=price["buy_volume"] * price["close"],
            sell_usd=(price["volume"] - price["buy_volume"]) * price["close"],
            longs_share=shares[time]["long_pct"] / 100.0 if time in shares else None,
        )
        yield from judge.judged(hour)
        judge.learn(hour)


def hours_of_interest(path: Path) -> Iterator[Hour]:
    """Go through one coin's five minutes, judged by the hour; no liquidations are told."""
    with path.open(encoding="utf-8") as lines:
        points = [
            (int(each["t"]) // 1_000, float(each["oi_usd"]) / float(each["oi"]), float(each["oi"]))
            for each in csv.DictReader(lines)
            if float(each["oi"]) > 0.0
        ]
    judge = _Judge(MarketId(f"binanceusdm:{path.stem}"), LeverageMix(), LiquidationFeed.ABSENT)
    part: list[tuple[int, float, float]] = []
    for former, point in pairwise(points):
        part.append(point)
        if point[0] // HOUR_S == former[0] // HOUR_S:
            continue
        prices = [price for _, price, _ in part]
        whole = _Bar(
            at=point[0],
            elapsed_s=HOUR_S,
            low=min(prices),
            high=max(prices),
            close=point[1],
            interest=point[2],
        )
        yield from judge.judged(whole)
        judge.remember(whole)
        for before, each in pairwise([(part[0][0] - 300, *part[0][1:]), *part]):
            judge.update(
                _Bar(
                    at=each[0],
                    elapsed_s=float(min(each[0] - before[0], HOUR_S)),
                    low=min(before[1], each[1]),
                    high=max(before[1], each[1]),
                    close=each[1],
                    interest=each[2],
                )
            )
        part = []


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bar:
    """Prices and open interest (base units) at the end of a time, and what happened in it."""

    at: int
    elapsed_s: float
    low: float
    high: float
    close: float
    interest: float
    longs_usd: float = 0.0
    shorts_usd: float = 0.0
    buy_usd: float = 0.0
    sell_usd: float = 0.0
    longs_share: float | None = None


class _Judge:
    """Predicts an hour, and learns of it afterwards."""

    def __init__(self, market: MarketId, mix: LeverageMix, feed: LiquidationFeed) -> None:
        self.market = market
        self.feed = feed
        self.map = LiquidationMap(market, mix)
        self.static = StaticMap()
        self.began_at: int | None = None
        self.before: _Bar | None = None

    def judged(self, hour: _Bar) -> Iterator[Hour]:
        """Nothing while the map has seen less than ``LEARN_DAYS``."""
        before = self.before
        if self.began_at is None:
            self.began_at = hour.at
        if before is None or hour.at - self.began_at < LEARN_DAYS * DAY_S:
            return
        interest_usd = before.interest * before.close
        swept = [0.0, 0.0, 0.0]
        near = 0.0
        for direction in Direction:
            edge = hour.low if direction is Direction.DOWN else hour.high
            distance = max(direction.sign * math.log(edge / before.close), 0.0)
            side = self.map.side(direction)
            if side is None:
                return
            swept[0] += side.within(distance)
            near += side.within(NEAR) / interest_usd
            swept[1] += float(self.static.usd(direction)[: max(round(distance / BIN_LOG), 0)].sum())
            swept[2] += distance * interest_usd
        yield Hour(
            day=hour.at // DAY_S,
            swept=tuple(swept),
            near=near,
            liquidated_usd=hour.longs_usd + hour.shorts_usd,
            interest_usd=interest_usd,
            interest_change=hour.interest / before.interest - 1.0,
            reach=math.log(hour.high / hour.low),
            reach_before=math.log(before.high / before.low),
        )

    def learn(self, hour: _Bar) -> None:
        """Take what happened, and remember it as the hour before."""
        self.update(hour)
        self.remember(hour)

    def remember(self, hour: _Bar) -> None:
        self.before = hour

    def update(self, bar: _Bar) -> None:
        at = bar.at * NS_PER_S
        reading = Reading(
            at=at,
            market=self.market,
            elapsed_s=bar.elapsed_s,
            mark_price=bar.close,
            mark_low=bar.low,
            mark_high=bar.high,
            open_interest=bar.interest,
            open_interest_at=at,
            buy_usd=bar.buy_usd,
            sell_usd=bar.sell_usd,
            liquidated_longs_usd=bar.longs_usd,
            liquidated_shorts_usd=bar.shorts_usd,
            liquidations=int(bar.longs_usd + bar.shorts_usd > 0.0),
            feed=self.feed,
            longs_share=bar.longs_share,
        )
        self.map.update(reading)
        self.static.update(reading)


def _of_liquidations(coins: Sequence[Sequence[Hour]], seed: int, draws: int) -> list[Result]:
    told = _Table(coins)
    if not told.count:
        return []
    came = np.log(told.liquidated + SMALL_USD)
    halves = [_log_score(told, at, came) for at in range(len(NAMES))]
    later = told.is_later
    days = told.days[later]
    best = max(float(halves[at].mean()) for at in (1, 2))
    return [
        row(
            "real, 2024: rank correlation of swept mass with what was liquidated in the hour",
            told.bootstrapped(lambda at: spearman(told.swept[at, 0], came[at]), seed, draws),
            "",
            better=Better.HIGHER,
            baselines={name: spearman(told.swept[:, at], came) for at, name in enumerate(NAMES) if at},
            more={"hours": float(told.count)},
        ),
        row(
            "real, 2024: log score of what was liquidated, later half, over static tiers",
            bootstrap(days, lambda at: float((halves[0][at] - halves[1][at]).mean()), seed, draws=draws),
            "nats an hour",
            better=Better.HIGHER,
            more={f"score, {name}": float(each.mean()) for name, each in zip(NAMES, halves, strict=True)},
        ),
        row(
            "real, 2024: log score of what was liquidated, later half, over |move| x OI",
            bootstrap(days, lambda at: float((halves[0][at] - halves[2][at]).mean()), seed, draws=draws),
            "nats an hour",
            better=Better.HIGHER,
            more={"best baseline": best},
        ),
    ]


def _of_interest(coins: Sequence[Sequence[Hour]], seed: int, draws: int) -> list[Result]:
    told = _Table(coins)
    if not told.count:
        return []
    gone = np.maximum(-told.change, 0.0)
    shares = told.swept / told.interest[:, None]
    gained = _explained(told)
    return [
        row(
            "real, Dec-Jan: rank correlation of swept mass with open interest gone in the hour",
            told.bootstrapped(lambda at: spearman(shares[at, 0], gone[at]), seed, draws),
            "",
            better=Better.HIGHER,
            baselines={name: spearman(shares[:, at], gone) for at, name in enumerate(NAMES) if at},
            more={"hours": float(told.count)},
        ),
        row(
            "real, Dec-Jan: that over the one of |move| x OI",
            told.bootstrapped(
                lambda at: spearman(shares[at, 0], gone[at]) - spearman(shares[at, 2], gone[at]), seed, draws
            ),
            "",
            better=Better.HIGHER,
        ),
        row(
            "real, Dec-Jan: R2 of the next hour's range that mass within 2 % adds to the last hour's, later half",
            bootstrap(
                told.days[told.is_later],
                lambda at: float(1.0 - gained[1][at].sum() / gained[0][at].sum()),
                seed,
                draws=draws,
            ),
            "",
            better=Better.HIGHER,
            prototype=0.005,
        ),
    ]


def _explained(told: _Table) -> tuple[Floats, Floats]:
    """Squared errors of the later half's log range: by the hour before alone, and with mass near price."""
    came, before = np.log(told.reach + 1e-5), np.log(told.reach_before + 1e-5)
    near = np.log(told.near + 1e-6)
    errors = []
    for columns in ((before,), (before, near)):
        design = np.column_stack((told.coins_in, *columns))
        found = np.linalg.lstsq(design[~told.is_later], came[~told.is_later], rcond=None)[0]
        errors.append((came[told.is_later] - design[told.is_later] @ found) ** 2)
    return errors[0], errors[1]


def _log_score(told: _Table, at: int, came: Floats) -> Floats:
    """Log density of the later half's hours by a regression on logarithms, fitted on the earlier half."""
    design = np.column_stack((told.coins_in, np.log(told.swept[:, at] + SMALL_USD)))
    former = ~told.is_later
    found = np.linalg.lstsq(design[former], came[former], rcond=None)[0]
    left = came - design @ found
    spread = max(float(left[former].std()), 1e-6)
    score: Floats = -0.5 * (left[told.is_later] / spread) ** 2 - math.log(spread * math.sqrt(2.0 * math.pi))
    return score


class _Table:
    """Hours of several coins as columns; ``is_later`` are those of the later half of the days."""

    def __init__(self, coins: Sequence[Sequence[Hour]]) -> None:
        hours = [hour for coin in coins for hour in coin]
        self.count = len(hours)
        self.swept = np.array([hour.swept for hour in hours], np.float64).reshape(-1, len(NAMES))
        self.liquidated = np.array([hour.liquidated_usd for hour in hours])
        self.interest = np.array([hour.interest_usd for hour in hours])
        self.change = np.array([hour.interest_change for hour in hours])
        self.near = np.array([hour.near for hour in hours])
        self.reach = np.array([hour.reach for hour in hours])
        self.reach_before = np.array([hour.reach_before for hour in hours])
        day = np.array([hour.day for hour in hours], np.int64)
        self.days: Indices = day - (day.min() if len(day) else 0)
        self.is_later = self.days >= np.median(self.days) if len(day) else np.zeros(0, np.bool_)
        coin = np.concatenate([np.full(len(each), at) for at, each in enumerate(coins)] or [np.zeros(0)])
        self.coins_in = (coin[:, None] == np.arange(len(coins))).astype(np.float64)

    def bootstrapped(self, figure: Callable[[Indices], float], seed: int, draws: int) -> Measured:
        """Over days, all coins of a day together."""
        return bootstrap(self.days, figure, seed, draws=draws)


def _by_time(path: Path) -> dict[int, dict[str, float]]:
    """Rows by Unix seconds; those that are no numbers are left out, of doubled ones the last counts."""
    found = {}
    with path.open(encoding="utf-8") as lines:
        for each in csv.DictReader(lines):
            at = datetime.fromisoformat(each.pop("time_utc")).replace(tzinfo=UTC)
            try:
                found[int(at.timestamp())] = {name: float(value) for name, value in each.items()}
            except (TypeError, ValueError):
                continue
    return found
