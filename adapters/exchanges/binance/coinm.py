"""Binance COIN-M futures: inverse perpetuals, through the same tapped client as USD-M.

Where the guard's linear arithmetic does not hold for them is said in docs/decisions/0129-inverse-contracts.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from adapters.exchanges.binance import capabilities
from adapters.exchanges.binance.account import BinanceAccount
from adapters.exchanges.binance.client import BinanceQuirks, Message
from adapters.exchanges.binance.coinm_payloads import (
    Ranks,
    contract_usd_of,
    order_in_base_units,
    parse_adl_ranks,
    parse_coin_account,
    parse_coin_depth,
    parse_coin_liquidation,
    parse_coin_mark,
    parse_coin_marks,
    parse_coin_positions,
    parse_coin_snapshot,
    parse_coin_trade,
    parse_coin_turnovers,
    parse_contracts_open,
    update_in_base_units,
)
from adapters.exchanges.binance.market import BinanceMarket
from adapters.exchanges.binance.payloads import parse_mark, parse_open_algo_orders, parse_open_orders
from adapters.exchanges.ccxt_session import Credentials, Markets, import_ccxt, perpetuals_of
from adapters.exchanges.settings import VenueSettings
from adapters.exchanges.venue import (
    AccountConnection,
    AccountReading,
    AccountSink,
    AccountUpdate,
    Capabilities,
    DepthSnapshot,
    ListedMarket,
    MarketConnection,
    MarketSink,
    MarkFrame,
)
from guard.errors import UnknownSymbolError
from guard.ports import Clock
from guard.units import Nanoseconds

__all__ = ["CAPABILITIES", "connect_account", "connect_market"]

CAPABILITIES = replace(
    capabilities.CAPABILITIES,
    notes=(
        *capabilities.CAPABILITIES.notes,
        "contracts of 10 or 100 dollars: dollars are exact, base units are those dollars at the current price",
        "collateral is the coin and falls with it: the venue's liquidation prices know that; a cut of a long does not",
    ),
)


async def connect_market(
    settings: VenueSettings, sink: MarketSink, clock: Clock, markets: Markets
) -> MarketConnection:
    """Make the connection for public data; nothing is connected before its ``load``."""
    await import_ccxt(settings.id, BinanceQuirks)
    return CoinMarket(settings, sink, clock, markets)


async def connect_account(
    settings: VenueSettings,
    account: str,
    credentials: Credentials,
    sink: AccountSink,
    clock: Clock,
    markets: Markets,
) -> AccountConnection:
    """Make the connection for one account; nothing is connected before its ``load``."""
    del account
    await import_ccxt(settings.id, BinanceQuirks)
    return CoinAccount(settings, sink, clock, markets, credentials)


class CoinMarket(BinanceMarket):
    """The public side; quantities of every payload are contracts."""

    def __init__(self, settings: VenueSettings, sink: MarketSink, clock: Clock, markets: Markets) -> None:
        super().__init__(settings, sink, clock, markets)
        self._contracts_usd: dict[str, float] = {}
        self._marks: dict[str, float] = {}

    @property
    def capabilities(self) -> Capabilities:
        return CAPABILITIES

    async def load(self, symbols: Sequence[str]) -> tuple[list[str], list[UnknownSymbolError]]:
        answer = await super().load(symbols)
        self._contracts_usd = contracts_usd_of(self._client)
        return answer

    def _size_of(self, symbol: str) -> float:
        """What a size of 1 counts in dollars."""
        return self._contracts_usd[self._codes[symbol]]

    async def _list(self) -> Sequence[ListedMarket]:
        await self._markets.reload(self._client)
        ticker = await self._client.dapiPublicGetTicker24hr()
        return perpetuals_of(self._client, parse_coin_turnovers(ticker, contracts_usd_of(self._client)))

    async def _depth(self, symbol: str) -> DepthSnapshot:
        code = self._codes[symbol]
        request = {"symbol": code, "limit": self._budget.levels(symbol, self._clock.now())}
        response = await self._client.dapiPublicGetDepth(request)
        return parse_coin_snapshot(response, self._contracts_usd[code])

    async def _open_interest(self, symbol: str) -> tuple[float, Nanoseconds | None]:
        """Base units at the last mark, at which the feed turns them back to the contracts' dollars."""
        code = self._codes[symbol]
        mark_price = self._marks.get(code)
        if mark_price is None:
            mark_price = (await self._mark(symbol)).mark_price
        contracts = parse_contracts_open(await self._client.dapiPublicGetOpenInterest({"symbol": code}))
        return contracts * self._contracts_usd[code] / mark_price, None

    async def _mark(self, symbol: str) -> MarkFrame:
        code = self._codes[symbol]
        mark = parse_coin_mark(await self._client.dapiPublicGetPremiumIndex({"symbol": code}), code)
        self._marks[code] = mark.mark_price
        return mark

    def _tell(self, event: str, symbol: str, message: Message) -> None:
        code = self._codes[symbol]
        contract_usd = self._contracts_usd[code]
        match event:
            case "depthUpdate":
                self._sink.on_depth(symbol, parse_coin_depth(message, contract_usd))
            case "trade" | "aggTrade":
                number = message.get("a" if event == "aggTrade" else "t")
                trade = parse_coin_trade(message, contract_usd)
                if trade is not None and not self._is_counted(event, symbol, number):
                    self._sink.on_trade(symbol, trade)
            case "markPriceUpdate":
                mark = parse_mark(message)
                self._marks[code] = mark.mark_price
                self._sink.on_mark(symbol, mark)
            case "forceOrder":
                liquidation = parse_coin_liquidation(message, contract_usd)
                if not self._is_repeat(event, symbol, liquidation):
                    self._sink.on_liquidation(symbol, liquidation)


class CoinAccount(BinanceAccount):
    """The private side; wallets are coins."""

    def __init__(
        self,
        settings: VenueSettings,
        sink: AccountSink,
        clock: Clock,
        markets: Markets,
        credentials: Credentials,
    ) -> None:
        super().__init__(settings, sink, clock, markets, credentials)
        self._ranks: Ranks = {}
        self._contracts_usd: dict[str, float] = {}
        self._marks: dict[str, float] = {}

    async def load(self) -> None:
        await super().load()
        # Positions in dated contracts share the coins of those in perpetuals.
        self._contracts_usd = contracts_usd_of(self._client, dated=True)

    async def watch(self) -> None:
        # A key from before the connection was lost may have expired, and then the stream stays silent.
        self._client.options["inverse"] = {}
        await super().watch()

    async def renew(self) -> None:
        await self._asked(self._client.dapiPrivatePutListenKey())

    async def _read(self, *, orders: bool) -> AccountReading:
        await self._read_marks()
        found = None
        if orders:
            told = parse_open_orders(await self._client.dapiPrivateGetOpenOrders())
            told += parse_open_algo_orders(await self._client.dapiPrivateGetOpenAlgoOrders())
            converted = (order_in_base_units(order, self._contracts_usd, self._marks) for order in told)
            found = [order for order in converted if order is not None]
            self._ranks = parse_adl_ranks(await self._client.dapiPrivateGetAdlQuantile())
        response = await self._client.dapiPrivateGetPositionRisk()
        positions = parse_coin_positions(response, self._contracts_usd, self._ranks)
        totals = parse_coin_account(await self._client.dapiPrivateGetAccount(), self._marks)
        return AccountReading(totals=totals, positions=positions, orders=found)

    async def _read_marks(self) -> None:
        self._marks = parse_coin_marks(await self._client.dapiPublicGetPremiumIndex())

    def _converted(self, update: AccountUpdate) -> AccountUpdate:
        return update_in_base_units(update, self._contracts_usd, self._marks)


def contracts_usd_of(client: Any, *, dated: bool = False) -> dict[str, float]:
    """What a contract is worth in dollars, by the venue's code of each perpetual of the loaded markets.

    With ``dated`` also of each contract that ends on a day.
    """
    listed = client.markets.values()
    found = {str(market["id"]): contract_usd_of(market, dated=dated) for market in listed}
    return {code: contract_usd for code, contract_usd in found.items() if contract_usd is not None}
