"""Real calm days through the same loop: what a guard costs where nothing comes.

Four coins of Hyperliquid from 13 to 16 June 2026, 20 levels of each book every 2 s, in ``../shared/data``; of 12 June
three coins' files are damaged from 02:20 on, so that day is left out. A step is 5 s, as in the simulator's calm. The
mark is told once a minute there; in between it follows the middle of the book. Margin is Binance's for the same coins:
at Hyperliquid's own these leverages cannot be had. Nobody's liquidations and no past are told.
"""

from __future__ import annotations

import functools
import gzip
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from adapters.simulation.worlds.seeds import Split
from benchmarks._frame import ROOT
from guard.events import (
    AnyEvent,
    BookStatus,
    MarketFeatures,
    MarketsWatched,
    MarkPriceSeen,
    OpenInterestSeen,
    Stream,
    StreamActivity,
    StreamsActive,
)
from guard.leverage.tiers import margin_tiers
from guard.margin_terms import TierTable
from guard.market.liquidity import imbalance, side_features
from guard.units import NS_PER_MS, NS_PER_S, MarketId, Nanoseconds, market_id

SHARED = ROOT.parent / "shared" / "data"
VENUE = "hyperliquid"
COINS = ("ARB", "AVAX", "DOGE", "WIF")
DAYS = {
    Split.TRAIN: ("20260613",),
    Split.VALIDATION: ("20260614",),
    Split.TEST: ("20260615", "20260616"),
}
STEP_S = 5
DAY_S = 86_400
IMBALANCE_BPS = 25.0
WORLD, SCENARIO = "real", "calm"


@dataclass(frozen=True, slots=True)
class RealDay:
    """One day of all coins."""

    day: str

    @property
    def name(self) -> str:
        """For people."""
        return f"{WORLD}/{VENUE}/{self.day}"

    @property
    def start_at(self) -> Nanoseconds:
        """Its midnight, UTC."""
        return round(datetime.strptime(self.day, "%Y%m%d").replace(tzinfo=UTC).timestamp()) * NS_PER_S

    @property
    def markets(self) -> tuple[MarketId, ...]:
        """Of all coins."""
        return tuple(market_of(coin) for coin in COINS)


def days_of(split: Split, shared: Path = SHARED) -> tuple[RealDay, ...]:
    """The days of a split that are there."""
    folder = shared / "hyperliquid_june2026"
    return tuple(RealDay(day) for day in DAYS[split] if (folder / f"l2_{COINS[0]}_{day}.jsonl.gz").exists())


def market_of(coin: str) -> MarketId:
    """The market of a coin, by ccxt's name."""
    return market_id(VENUE, f"{coin}/USDC:USDC")


@functools.cache
def real_tiers(shared: Path = SHARED) -> dict[MarketId, TierTable]:
    """Binance's margin tiers of the same coins."""
    (path,) = (shared / "leverage_tiers").glob("binance_usdm_*.json")
    told = json.loads(path.read_text(encoding="utf-8"))
    return {
        market_of(coin): TierTable(
            market=market_of(coin),
            tiers=margin_tiers(
                [
                    (tier["minNotional"], tier["maintenanceMarginRate"], tier["maxLeverage"])
                    for tier in told[f"{coin}/USDT:USDT"]
                ]
            ),
        )
        for coin in COINS
    }


def events_of_day(day: RealDay, shared: Path = SHARED) -> Iterator[AnyEvent]:
    """What a guard would have heard, in steps."""
    folder = shared / "hyperliquid_june2026"
    coins = {coin: _Coin(folder, coin, day.day) for coin in COINS}
    periods = dict.fromkeys((Stream.BOOK, Stream.TRADES, Stream.MARK_PRICE), STEP_S * 1000)
    yield MarketsWatched(
        received_at=day.start_at,
        venue=VENUE,
        markets=day.markets,
        periods_ms={**periods, Stream.OPEN_INTEREST: 60_000},
        absent=(Stream.LIQUIDATIONS,),
    )
    for step in range(1, DAY_S // STEP_S):
        at = day.start_at + step * STEP_S * NS_PER_S
        heard: list[StreamActivity] = []
        for coin in coins.values():
            yield from coin.step(at, heard)
        if heard:
            yield StreamsActive(received_at=at, activities=tuple(heard))


class _Coin:
    """One coin's files, read along."""

    def __init__(self, folder: Path, coin: str, day: str) -> None:
        self.market = market_of(coin)
        self._books = _Ahead(_lines(folder / f"l2_{coin}_{day}.jsonl.gz"))
        self._trades = _Ahead(_lines(folder / f"trades_{coin}_{day}.jsonl.gz"))
        self._contexts = _Ahead(_lines(folder / f"ctx_{coin}_{day}.jsonl.gz"))
        self._basis = 1.0
        self._context: dict[str, Any] | None = None

    def step(self, at: Nanoseconds, heard: list[StreamActivity]) -> Iterator[AnyEvent]:
        """All of one step."""
        until_ms = at // NS_PER_MS
        books, trades, contexts = (
            each.until(until_ms) for each in (self._books, self._trades, self._contexts)
        )
        buy = sum(each["px"] * each["sz"] for each in trades if each["side"] == "B")
        sell = sum(each["px"] * each["sz"] for each in trades if each["side"] == "A")
        mid = None
        if books and books[-1]["bids"] and books[-1]["asks"]:
            sample = self._sample(at, books, buy, sell)
            mid = (sample.bid + sample.ask) / 2.0 if sample.bid and sample.ask else None
            yield sample
            heard.append(self._active(Stream.BOOK, at, len(books)))
        heard.append(self._active(Stream.TRADES, at, max(len(trades), 1)))
        for context in contexts:
            self._context = context
            yield OpenInterestSeen(
                received_at=at,
                market=self.market,
                open_interest=context["oi"],
                open_interest_usd=context["oi"] * context["mark"],
            )
            heard.append(self._active(Stream.OPEN_INTEREST, at, 1))
            if mid is not None:
                self._basis = context["mark"] / mid
        if mid is not None and self._context is not None:
            hour_ns = 3_600 * NS_PER_S
            yield MarkPriceSeen(
                received_at=at,
                market=self.market,
                mark_price=mid * self._basis,
                index_price=self._context["oracle"],
                funding_rate=self._context["funding"],
                next_funding_at=(at // hour_ns + 1) * hour_ns,
            )
            heard.append(self._active(Stream.MARK_PRICE, at, 1))

    def _sample(
        self, at: Nanoseconds, books: list[dict[str, Any]], buy: float, sell: float
    ) -> MarketFeatures:
        bids, asks = (np.array(books[-1][side], np.float64) for side in ("bids", "asks"))
        bid, ask = float(bids[0, 0]), float(asks[0, 0])
        mid = (bid + ask) / 2.0
        if bid >= ask:
            return MarketFeatures(received_at=at, market=self.market, status=BookStatus.CROSSED)
        below, above = side_features(bids[:, 0], bids[:, 1], mid), side_features(asks[:, 0], asks[:, 1], mid)
        return MarketFeatures(
            received_at=at,
            exchange_at=books[-1]["ts"] * NS_PER_MS,
            market=self.market,
            status=BookStatus.OK,
            book_at=at,
            bid=bid,
            ask=ask,
            bids=below,
            asks=above,
            imbalance=imbalance(below, above, IMBALANCE_BPS),
            buy_usd=buy,
            sell_usd=sell,
            updates=len(books),
        )

    def _active(self, stream: Stream, at: Nanoseconds, updates: int) -> StreamActivity:
        return StreamActivity(
            received_at=at,
            subject=self.market,
            stream=stream,
            updates=updates,
            last_at=at,
            gap_ns_max=STEP_S * NS_PER_S // max(updates, 1),
        )


class _Ahead:
    """Lines in order of time, taken up to a time."""

    def __init__(self, lines: Iterator[dict[str, Any]]) -> None:
        self._lines = lines
        self._next = next(lines, None)

    def until(self, at_ms: int) -> list[dict[str, Any]]:
        """Those not later than ``at_ms`` that were not taken yet."""
        found = []
        while self._next is not None and self._next["ts"] <= at_ms:
            found.append(self._next)
            self._next = next(self._lines, None)
        return found


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """Each line of a file, up to where it breaks off."""
    try:
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            for line in lines:
                yield json.loads(line)
    except (EOFError, zlib.error, json.JSONDecodeError, FileNotFoundError):
        return
