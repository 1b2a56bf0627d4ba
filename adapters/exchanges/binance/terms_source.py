"""What Binance demands, read through ccxt: brackets need a key, haircuts none."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import structlog

from adapters.exchanges.binance.client import DEFAULTS, REFUSALS, BinanceQuirks
from adapters.exchanges.binance.payloads import parse_permissions
from adapters.exchanges.binance.terms import parse_asset_indices, parse_brackets, parse_coin_brackets
from adapters.exchanges.ccxt_session import Credentials, Markets
from adapters.exchanges.parsers import rows
from adapters.exchanges.settings import VenueSettings
from adapters.exchanges.terms_session import TermsClient, first_usable
from adapters.exchanges.venue import KeyPermissions
from guard.margin_terms import CollateralTerms, TierTable

log = structlog.get_logger()


class BinanceTerms(TermsClient):
    """A TermsConnection (see ``margin_terms``) of USD-M; brackets are read by the first key that may be used."""

    DEFAULTS = DEFAULTS
    QUIRKS = BinanceQuirks
    REFUSALS = REFUSALS

    def __init__(
        self, settings: VenueSettings, credentials: Mapping[str, Credentials], markets: Markets
    ) -> None:
        super().__init__(settings, credentials, markets)
        self._has_key = False
        self._said_keyless = False
        # The key's own permissions are asked at another address, which must be replaced along with the others.
        self._can_ask_permissions = not settings.urls or "sapi" in settings.urls.get("api", {})

    async def _find_key(self) -> None:
        """Take up a key that may be used, if there is one: permissions may have changed since the last look."""
        found = await first_usable(self._settings, self._credentials, self._permissions)
        self._has_key = found is not None
        if found is None:
            self._client.apiKey, self._client.secret = "", ""
            if not self._said_keyless:
                self._said_keyless = True
                log.warning(
                    "this venue tells its margin tiers only to an account: without a key that may be used, what was "
                    "stored of them holds, else a formula that asks for more than venues do",
                    venue=self._venue,
                )

    async def _permissions(self, credentials: Credentials) -> KeyPermissions:
        self._client.apiKey, self._client.secret = credentials.key, credentials.secret
        await self._asked(self._client.load_time_difference())
        if not self._can_ask_permissions:
            return KeyPermissions(None, None)
        return parse_permissions(await self._asked(self._client.sapiGetAccountApiRestrictions()))

    async def read_tiers(self, symbols: Collection[str]) -> Mapping[str, TierTable]:
        await self._find_key()
        return await super().read_tiers(symbols) if self._has_key else {}

    async def _tiers(self, symbols: Sequence[str]) -> Mapping[str, TierTable]:
        del symbols  # one answer tells all
        told = rows(await self._client.fapiPrivateGetLeverageBracket(), "GET /fapi/v1/leverageBracket")
        return self._tables(self._each(told, parse_brackets), self._contracts())

    async def _collateral(self) -> Mapping[str, CollateralTerms]:
        return parse_asset_indices(await self._client.fapiPublicGetAssetIndex())


class CoinTerms(BinanceTerms):
    """The same of COIN-M: floors are coins, and each coin backs its own contracts whole."""

    async def _tiers(self, symbols: Sequence[str]) -> Mapping[str, TierTable]:
        del symbols
        told = rows(await self._client.dapiPrivateV2GetLeverageBracket(), "GET /dapi/v2/leverageBracket")
        return self._tables(self._each(told, parse_coin_brackets), self._contracts())

    async def _collateral(self) -> Mapping[str, CollateralTerms]:
        return {}
