"""What any venue demands, by ccxt's unified API, where that can tell it without a key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from adapters.exchanges.generic.market import DEFAULTS
from adapters.exchanges.generic.terms import read_tiers
from adapters.exchanges.terms_session import TermsClient
from guard.margin_terms import MarginTier, TierTable


class GenericTerms(TermsClient):
    """A TermsConnection (see ``margin_terms``)."""

    DEFAULTS = DEFAULTS

    async def _tiers(self, symbols: Sequence[str]) -> Mapping[str, TierTable]:
        has = self._client.has
        currencies = {symbol: self._floors_in(symbol) for symbol in symbols}
        told: dict[str, tuple[MarginTier, ...]] = {}
        if has.get("fetchMarketLeverageTiers") is True:
            listed = {symbol: await self._client.fetch_market_leverage_tiers(symbol) for symbol in symbols}
            told = self._each(listed.items(), lambda each: read_tiers({each[0]: each[1]}, currencies))
        elif has.get("fetchLeverageTiers") is True and symbols:
            listed = await self._client.fetch_leverage_tiers(list(symbols))
            told = self._each(listed.items(), lambda each: read_tiers({each[0]: each[1]}, currencies))
        return self._tables(told, {symbol: symbol for symbol in symbols})

    def _floors_in(self, symbol: str) -> str:
        """The currency in which floors must be told for them to be value at mark."""
        market = self._client.markets[symbol]
        return str(market.get("base" if market.get("inverse") else "quote"))
