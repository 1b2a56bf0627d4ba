"""What OKX demands, read through ccxt without any key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from adapters.exchanges.haircut_rows import collateral_of
from adapters.exchanges.okx.client import DEFAULTS
from adapters.exchanges.okx.terms import parse_discount_rates, parse_index_tickers, parse_position_tiers
from adapters.exchanges.terms_session import TermsClient
from guard.margin_terms import CollateralTerms, MarginTier, TierTable, TierUnit

FAMILIES_A_REQUEST = 5


class OkxTerms(TermsClient):
    """A TermsConnection (see ``margin_terms``); tiers are counted in size, so that no price moves them."""

    DEFAULTS = DEFAULTS
    UNIT = TierUnit.SIZE

    async def _tiers(self, symbols: Sequence[str]) -> Mapping[str, TierTable]:
        codes = self._codes([symbol for symbol in symbols if self._client.markets[symbol].get("swap")])
        families = sorted(code.removesuffix("-SWAP") for code in codes)
        tiers: dict[str, tuple[MarginTier, ...]] = {}
        for first in range(0, len(families), FAMILIES_A_REQUEST):
            some = ",".join(families[first : first + FAMILIES_A_REQUEST])
            request = {"instType": "SWAP", "tdMode": "cross", "instFamily": some}
            response = await self._client.publicGetPublicPositionTiers(request)
            tiers |= parse_position_tiers(response, self._contract_size)
        return self._tables(tiers, codes)

    def _contract_size(self, code: str) -> float | None:
        """Base units a contract, or USD where it is inverse."""
        for market in (self._client.markets_by_id or {}).get(code, ()):
            size = market.get("contractSize")
            if market.get("swap") and size is not None and float(size) > 0.0:
                return float(size)
        return None

    async def _collateral(self) -> Mapping[str, CollateralTerms]:
        told = parse_discount_rates(await self._client.publicGetPublicDiscountRateInterestFreeQuota())
        prices = parse_index_tickers(await self._client.publicGetMarketIndexTickers({"quoteCcy": "USD"}))
        where = "GET /api/v5/public/discount-rate-interest-free-quota"
        found = {
            currency: collateral_of(currency, rows, prices.get(currency), where)
            for currency, rows in told.items()
        }
        return {currency: terms for currency, terms in found.items() if terms is not None}
