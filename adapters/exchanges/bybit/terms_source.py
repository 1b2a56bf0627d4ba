"""What Bybit demands, read through ccxt without any key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from adapters.exchanges.bybit.client import DEFAULTS
from adapters.exchanges.bybit.terms import (
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
    """A TermsConnection (see ``margin_terms``)."""

    DEFAULTS = DEFAULTS

    async def _tiers(self, symbols: Sequence[str]) -> Mapping[str, TierTable]:
        limits: dict[str, list[Payload]] = {}
        for category, kind in (("linear", ContractKind.LINEAR), ("inverse", ContractKind.INVERSE)):
            codes = self._codes([symbol for symbol in symbols if self.kind_of(symbol) is kind])
            if len(codes) > SINGLY_MAX:
                limits |= await self._pages({"category": category})
                continue
            for code in codes:
                limits |= await self._pages({"category": category, "symbol": code})
        tiers = self._each(limits.items(), lambda each: {each[0]: parse_tiers(each[1])})
        return self._tables(tiers, self._perpetuals())

    async def _pages(self, request: dict[str, str]) -> dict[str, list[Payload]]:
        found: dict[str, list[Payload]] = {}
        request = dict(request)
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
