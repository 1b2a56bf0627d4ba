"""What Bybit demands, read through ccxt without any key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from adapters.exchanges.bybit.client import DEFAULTS
from adapters.exchanges.bybit.terms import (
    inverse_code_of,
    parse_collateral_ratios,
    parse_index_prices,
    parse_risk_limits,
    parse_tiers,
)
from adapters.exchanges.haircut_rows import collateral_of
from adapters.exchanges.parsers import Payload
from adapters.exchanges.terms_session import TermsClient
from guard.errors import MalformedFrameError
from guard.margin_terms import CollateralTerms, ContractKind, TierTable

SINGLY_MAX = 20
"""So many markets are asked for one by one; more of them by pages of the venue's whole list."""
PAGES_MAX = 200
"""More pages than any list has: a cursor that never ends must not be followed for ever."""


class BybitTerms(TermsClient):
    """A TermsConnection (see ``margin_terms``); limits of inverse contracts are of their coin.

    Only linear markets are loaded; of inverse ones, of which accounts tell positions all the same, the venue's whole
    list is read once somebody holds or names one: it is short.
    """

    DEFAULTS = DEFAULTS

    def kind_of(self, symbol: str) -> ContractKind | None:
        kind = super().kind_of(symbol)
        return ContractKind.INVERSE if kind is None and inverse_code_of(symbol) else kind

    async def _tiers(self, symbols: Sequence[str]) -> Mapping[str, TierTable]:
        linear = self._codes([symbol for symbol in symbols if self.kind_of(symbol) is ContractKind.LINEAR])
        inverse = [symbol for symbol in symbols if self.kind_of(symbol) is ContractKind.INVERSE]
        requests = [{"category": "linear", "symbol": code} for code in linear]
        if len(linear) > SINGLY_MAX:
            requests = [{"category": "linear"}]
        if inverse:
            requests.append({"category": "inverse"})
        codes = self._contracts() | {self._inverse_code(symbol): symbol for symbol in inverse}
        return await self._parts([partial(self._limits, request, codes) for request in requests])

    def _inverse_code(self, symbol: str) -> str:
        """The venue's code; of a market that was loaded after all, ccxt's."""
        market = (self._client.markets or {}).get(symbol)
        return str(market["id"]) if market else inverse_code_of(symbol) or symbol

    async def _limits(self, request: Mapping[str, str], symbol_of: Mapping[str, str]) -> dict[str, TierTable]:
        limits = await self._pages(request)
        tiers = self._each(limits.items(), lambda each: {each[0]: parse_tiers(each[1])})
        return self._tables(tiers, symbol_of)

    async def _pages(self, asked_for: Mapping[str, str]) -> dict[str, list[Payload]]:
        found: dict[str, list[Payload]] = {}
        request = dict(asked_for)
        for _ in range(PAGES_MAX):
            page, cursor = parse_risk_limits(await self._client.publicGetV5MarketRiskLimit(request))
            for code, rows in page.items():
                found.setdefault(code, []).extend(rows)
            if not cursor or "symbol" in request:
                return found
            request["cursor"] = cursor
        where = "GET /v5/market/risk-limit"
        raise MalformedFrameError(where, f"the list does not end after {PAGES_MAX} pages")

    async def _collateral(self) -> Mapping[str, CollateralTerms]:
        told = parse_collateral_ratios(await self._client.publicGetV5SpotMarginTradeCollateral())
        prices = parse_index_prices(await self._client.publicGetV5MarketTickers({"category": "linear"}))
        found = {
            coin: collateral_of(coin, rows, prices.get(f"{coin}USDT"), "GET /v5/spot-margin-trade/collateral")
            for coin, rows in told.items()
        }
        return {coin: terms for coin, terms in found.items() if terms is not None}
