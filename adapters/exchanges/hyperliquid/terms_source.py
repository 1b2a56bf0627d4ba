"""What Hyperliquid demands, read through ccxt without any key; nothing but USDC is collateral there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from adapters.exchanges.hyperliquid.capabilities import DEFAULTS
from adapters.exchanges.hyperliquid.terms import parse_tiers
from adapters.exchanges.terms_session import TermsClient
from guard.margin_terms import TierTable


class HyperliquidTerms(TermsClient):
    """A TermsConnection (see ``margin_terms``); one answer tells all margin tables."""

    DEFAULTS = DEFAULTS

    async def _tiers(self, symbols: Sequence[str]) -> Mapping[str, TierTable]:
        del symbols
        coins = {
            str(market["baseName"]): symbol
            for symbol, market in self._client.markets.items()
            if market.get("swap") and market.get("baseName")
        }
        return self._tables(
            parse_tiers(await self._client.publicPostInfo({"type": "metaAndAssetCtxs"})), coins
        )
