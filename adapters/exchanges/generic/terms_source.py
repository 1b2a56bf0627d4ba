"""What any venue demands, by ccxt's unified API, where it tells that without a key and it is known what it counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from adapters.exchanges.ccxt_session import Credentials, Markets
from adapters.exchanges.generic.market import DEFAULTS
from adapters.exchanges.generic.terms import COUNTING, read_tiers
from adapters.exchanges.settings import VenueSettings
from adapters.exchanges.terms_session import TermsClient
from guard.margin_terms import ContractKind, TierTable, TierUnit

SINGLY_MAX = 10
"""So many markets are asked for one by one; more of them at once, where a venue can."""


class GenericTerms(TermsClient):
    """A TermsConnection (see ``margin_terms``) of linear perpetuals: no account tells anything else here."""

    DEFAULTS = DEFAULTS

    def __init__(
        self, settings: VenueSettings, credentials: Mapping[str, Credentials], markets: Markets
    ) -> None:
        super().__init__(settings, credentials, markets)
        self._counting = COUNTING.get(settings.id)
        if self._counting is not None and self._counting.in_contracts:
            self.UNIT = TierUnit.SIZE

    async def _tiers(self, symbols: Sequence[str]) -> Mapping[str, TierTable]:
        counting = self._counting
        markets = self._client.markets
        linear = [
            symbol
            for symbol in symbols
            if self.kind_of(symbol) is ContractKind.LINEAR and markets[symbol].get("swap")
        ]
        if counting is None or not linear:
            return {}
        can_singly = self._client.has.get("fetchMarketLeverageTiers") is True
        if can_singly and (
            len(linear) <= SINGLY_MAX or self._client.has.get("fetchLeverageTiers") is not True
        ):
            listed = {symbol: await self._client.fetch_market_leverage_tiers(symbol) for symbol in linear}
        else:
            listed = await self._client.fetch_leverage_tiers(linear)
        sizes = {symbol: float(markets[symbol].get("contractSize") or 0.0) for symbol in linear}
        sizes = {symbol: size for symbol, size in sizes.items() if size > 0.0}
        told = self._each(listed.items(), lambda each: read_tiers({each[0]: each[1]}, counting, sizes))
        return self._tables(told, {symbol: symbol for symbol in linear})
