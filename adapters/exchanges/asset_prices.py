"""What collateral costs at several venues: best spot bid and ask, asked over unmodified ccxt without any key.

Nothing is imported, connected or asked while no account holds anything whose price matters. Each venue is asked by
itself: one that fails or is slow hurts no other, and its prices grow old, which whoever uses them sees.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import structlog

from adapters.exchanges.asset_price_settings import AssetPriceSettings
from adapters.exchanges.backoff import Backoff
from adapters.exchanges.ccxt_client import tapped_class
from adapters.exchanges.ccxt_session import asked, close_client
from adapters.exchanges.embargo import Embargo
from guard.errors import VenueError
from guard.events import AssetPrice, AssetPricesSeen
from guard.ports import Clock, Emit
from guard.units import NS_PER_S, Nanoseconds

USD = "USD"

PAIRS_MAX = 60
"""Of one venue at once: 20 assets with three pairs each. Of more the first by name are asked, and it is said."""

CASH_PAIRS_MAX = 2
"""Pairs of one asset in cash that are asked at one venue: the first it has, in the order of the cash."""

LISTED_S = 24 * 3_600
"""A venue's markets are read again so often, and whenever another asset is wanted."""

DOUBTED_S = 600
"""After a failure they are read again if they are so old: one may have been delisted."""

FAILING_S_MAX = 60.0
"""The longest pause after failures; a venue that refuses is not asked more often than this."""

LOST = "a venue's spot prices cannot be asked, the other venues go on"

# Whose ccxt asks for the named pairs in one request. The others answer with all their thousand pairs, which ccxt
# parses for 30 ms and more in which nothing else runs: of these each pair is asked by itself.
_TOGETHER = {"binance": "fetch_bids_asks", "bitfinex": "fetch_tickers", "kraken": "fetch_tickers"}
_SPOT_ONLY = {"types": ["spot"]}
_OPTIONS: Mapping[str, Mapping[str, Any]] = {
    **{
        venue: {"fetchMarkets": _SPOT_ONLY, "defaultType": "spot"}
        for venue in ("binance", "bitget", "bybit", "gate", "okx")
    },
    "kucoin": {"fetchMarkets": {**_SPOT_ONLY, "fetchTickersFees": False}},
    "mexc": {"fetchMarkets": {"types": {"spot": True, "swap": False}}},
}
# Left in, each of Binance's markets comes with its permission sets, which nothing here reads.
_MARKETS_PARAMS: Mapping[str, Mapping[str, str]] = {"binance": {"showPermissionSets": "false"}}

Wanted = Callable[[], Collection[str]]
"""Upper-case names of all assets whose prices matter now, what they are quoted in among them; empty for none."""

log = structlog.get_logger()


class AssetPriceFeed:
    """Emits ``AssetPricesSeen``, one event for each answer of each venue."""

    def __init__(
        self,
        settings: AssetPriceSettings,
        *,
        clock: Clock,
        wanted: Wanted,
        cash: Collection[str] = (USD, "USDT", "USDC"),
        claims: Mapping[str, str] | None = None,
    ) -> None:
        """Set it up; nothing connects before ``run``.

        Args:
            settings: which venues, how often.
            clock: what time it is.
            wanted: asked before every round.
            cash: what assets are quoted in, the preferred first.
            claims: assets that are claims on another, which they may be quoted in; upper case.
        """
        self._settings = settings
        self._clock = clock
        self._wanted = wanted
        self._cash = tuple(cash)
        self._claims = dict(claims or {})

    @property
    def name(self) -> str:
        return "asset prices"

    async def run(self, emit: Emit) -> None:
        """Ask every venue until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for venue in self._settings.venues:
                tasks.create_task(self._follow(venue, emit), name=f"asset prices {venue}")

    async def _follow(self, venue: str, emit: Emit) -> None:
        poll_ns = int(self._settings.poll_s * NS_PER_S)
        backoff = Backoff(longest_s=FAILING_S_MAX, first_s=self._settings.poll_s)
        is_lost = False
        async with _Spot(venue, self._settings, self._clock, self._cash, self._claims) as spot:
            while True:
                began_at = self._clock.now()
                try:
                    prices = await asked(venue, spot.prices(frozenset(self._wanted()) - {USD}))
                except VenueError as error:
                    if not is_lost:
                        log.warning(LOST, venue=venue, detail=error.detail)
                    is_lost = True
                    spot.doubt()
                    await self._clock.sleep_until(self._clock.now() + backoff.pause_ns(self._clock.now()))
                    continue
                if is_lost:
                    is_lost = False
                    log.info("a venue's spot prices are there again", venue=venue)
                if prices:
                    emit(AssetPricesSeen(received_at=self._clock.now(), venue=venue, prices=prices))
                await self._clock.sleep_until(max(began_at + poll_ns, self._clock.now()))


@dataclass(slots=True)
class _Spot:
    """One venue. Its client is made when something is asked for the first time."""

    venue: str
    settings: AssetPriceSettings
    clock: Clock
    cash: tuple[str, ...]
    claims: Mapping[str, str]
    _client: Any = None
    _pairs: dict[str, tuple[str, str]] = field(default_factory=dict)
    """By the venue's unified symbol: asset and quote, upper case."""
    _listed_for: frozenset[str] = frozenset()
    _listed_at: Nanoseconds = 0
    _said_too_many: bool = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        if self._client is not None:
            await close_client(self._client)

    async def prices(self, wanted: frozenset[str]) -> tuple[AssetPrice, ...]:
        """Ask for all pairs of ``wanted`` assets that the venue has; whatever ccxt raises passes."""
        if not wanted:
            return ()
        if self._client is None:
            self._client = await self._made()
        is_old = self.clock.now() - self._listed_at > LISTED_S * NS_PER_S
        if not wanted <= self._listed_for or is_old:
            await self._list(wanted)
        symbols = self._chosen(wanted)
        if not symbols:
            return ()
        tickers = await self._tickers(symbols)
        found = (self._price(*self._pairs[symbol], tickers.get(symbol)) for symbol in symbols)
        return tuple(price for price in found if price is not None)

    def doubt(self) -> None:
        """Something failed: have the markets read again, unless they were a short while ago."""
        if self.clock.now() - self._listed_at > DOUBTED_S * NS_PER_S:
            self._listed_for = frozenset()

    async def _made(self) -> Any:
        """Import the venue's part of ccxt in a thread, which takes some tenths of a second, and make its client."""
        kind = await asyncio.to_thread(tapped_class, self.venue)
        client = kind(
            {
                "enableRateLimit": self.settings.rate_limit,
                "timeout": int(self.settings.timeout_s * 1_000),
                "urls": self.settings.urls.get(self.venue, {}),
                "options": {"fetchCurrencies": False, **_OPTIONS.get(self.venue, {})},
            }
        )
        client.embargo = Embargo(self.venue)  # asked to wait, it waits: who asks on is banned, orders and all
        return client

    async def _list(self, wanted: frozenset[str]) -> None:
        """Read the venue's markets and keep those of ``wanted`` alone: all of six venues would be 50 MB."""
        needed = wanted | self._listed_for
        params = dict(_MARKETS_PARAMS.get(self.venue, {}))
        markets = await self._client.fetch_markets(params)
        pairs: dict[str, tuple[str, str]] = {}
        kept = []
        for market in markets:
            asset, quote = str(market.get("base")).upper(), str(market.get("quote")).upper()
            is_pair = asset in needed and (quote in self.cash or self.claims.get(asset) == quote)
            if is_pair and market.get("spot") and market.get("active") is not False:
                pairs[str(market["symbol"])] = asset, quote
                kept.append(market)
        if kept:
            self._client.set_markets(kept)
        self._pairs, self._listed_for, self._listed_at = pairs, needed, self.clock.now()

    def _chosen(self, wanted: frozenset[str]) -> list[str]:
        """What it wraps, and the first of the cash that each asset is quoted in; cash itself in all."""
        chosen: list[str] = []
        for asset in sorted(wanted):
            pairs = {quote: symbol for symbol, (base, quote) in self._pairs.items() if base == asset}
            in_cash = [pairs[quote] for quote in self.cash if quote in pairs]
            chosen += [symbol for quote, symbol in pairs.items() if quote not in self.cash]
            chosen += in_cash if asset in self.cash else in_cash[:CASH_PAIRS_MAX]
        if len(chosen) > PAIRS_MAX and not self._said_too_many:
            self._said_too_many = True
            log.warning(
                "more collateral than can be priced: the rest is unknown",
                venue=self.venue,
                pairs=len(chosen),
                asked=PAIRS_MAX,
            )
        return chosen[:PAIRS_MAX]

    async def _tickers(self, symbols: list[str]) -> Mapping[str, Any]:
        together = _TOGETHER.get(self.venue)
        if together is not None:
            answered: Mapping[str, Any] = await getattr(self._client, together)(symbols)
            return answered
        return {symbol: await self._client.fetch_ticker(symbol) for symbol in symbols}

    def _price(self, asset: str, quote: str, ticker: Any) -> AssetPrice | None:
        """Read one ticker; ``None`` where either side of the book is empty."""
        if not isinstance(ticker, Mapping):
            return None
        bid, ask = _number(ticker.get("bid")), _number(ticker.get("ask"))
        if bid is None or ask is None:
            return None
        return AssetPrice(asset=asset, quote=quote, bid=bid, ask=ask)


def _number(value: object) -> float | None:
    """A price above 0, ``None`` for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0.0 < value < float("inf") else None


def asset_price_feeds(
    settings: AssetPriceSettings,
    *,
    clock: Clock,
    wanted: Wanted,
    cash: Iterable[str],
    claims: Mapping[str, str],
) -> list[AssetPriceFeed]:
    """Make the feed, unless it is turned off; nothing connects before it runs."""
    if not settings.enabled:
        return []
    return [AssetPriceFeed(settings, clock=clock, wanted=wanted, cash=tuple(cash), claims=claims)]
