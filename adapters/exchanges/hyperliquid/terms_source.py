"""What Hyperliquid demands, read through ccxt without any key; nothing but what it is paid in is collateral there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from adapters.exchanges.hyperliquid.account_payloads import parse_dex_names
from adapters.exchanges.hyperliquid.capabilities import DEFAULTS
from adapters.exchanges.hyperliquid.terms import dex_name_of, parse_dex_tiers, parse_tiers
from adapters.exchanges.terms_session import TermsClient
from guard.margin_terms import ContractKind, TierTable


class HyperliquidTerms(TermsClient):
    """A TermsConnection (see ``margin_terms``); one answer tells all margin tables of an exchange.

    Markets of builder-deployed exchanges are not loaded: their exchange is asked once somebody holds or names one.
    """

    DEFAULTS = DEFAULTS

    def kind_of(self, symbol: str) -> ContractKind | None:
        kind = super().kind_of(symbol)
        return ContractKind.LINEAR if kind is None and dex_name_of(symbol) else kind

    async def _tiers(self, symbols: Sequence[str]) -> Mapping[str, TierTable]:
        built = {symbol: name for symbol in symbols if (name := self._dex_name(symbol))}
        parts = [self._own_tables]
        if built:
            parts.append(partial(self._built_tables, built))
        return await self._parts(parts)

    def _dex_name(self, symbol: str) -> str | None:
        """See ``dex_name_of``; ``None`` for a market of the venue's own list."""
        market = (self._client.markets or {}).get(symbol)
        if market and ":" not in str(market.get("baseName")):
            return None
        return dex_name_of(symbol)

    async def _own_tables(self) -> dict[str, TierTable]:
        coins = {
            str(market["baseName"]): symbol
            for symbol, market in self._client.markets.items()
            if market.get("swap") and market.get("baseName")
        }
        told = await self._client.publicPostInfo({"type": "metaAndAssetCtxs"})
        return self._tables(parse_tiers(told), coins)

    async def _built_tables(self, names: Mapping[str, str]) -> dict[str, TierTable]:
        dexes = parse_dex_names(await self._client.publicPostInfo({"type": "perpDexs"}))
        held = [dex for dex in dexes if any(name.startswith(f"{dex.upper()}-") for name in names.values())]
        return await self._parts([partial(self._tables_of, dex, names) for dex in held])

    async def _tables_of(self, dex: str, names: Mapping[str, str]) -> dict[str, TierTable]:
        told = parse_dex_tiers(await self._client.publicPostInfo({"type": "meta", "dex": dex}))
        tiers = {dex_name_of(coin): each for coin, each in told.items()}
        found = {symbol: tiers[name] for symbol, name in names.items() if name in tiers}
        return self._tables(found, {symbol: symbol for symbol in found})
