"""What all readers of margin terms share: a ccxt client that opens no stream, and what its markets tell."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import structlog

from adapters.exchanges.ccxt_session import Credentials, Markets, asked, close_client, make_client
from adapters.exchanges.credentials import refusal_of
from adapters.exchanges.margin_terms import PartlyReadError
from adapters.exchanges.parsers import known, optional_number
from adapters.exchanges.settings import VenueSettings
from adapters.exchanges.venue import KeyPermissions
from guard.errors import MalformedFrameError, VenueAuthError, VenueError
from guard.margin_terms import CollateralTerms, ContractKind, MarginTier, TierTable, TierUnit
from guard.units import market_id

T = TypeVar("T")
P = TypeVar("P")

log = structlog.get_logger()


class TermsClient:
    """The common part of a TermsConnection (see ``margin_terms``) over one ccxt client."""

    DEFAULTS: Mapping[str, Any] = {}
    """What ccxt is told besides what every venue's client is told."""
    QUIRKS: type | None = None
    REFUSALS: tuple[str, ...] = ()
    """Codes of a refused key that ccxt does not know for one."""
    UNIT = TierUnit.NOTIONAL
    """In what this venue counts the floors of its tiers."""

    def __init__(
        self, settings: VenueSettings, credentials: Mapping[str, Credentials], markets: Markets
    ) -> None:
        self._settings = settings
        self._venue = settings.id
        self._credentials = credentials
        self._markets = markets
        self._client = make_client(settings, Deaf(), defaults=self.DEFAULTS, quirks=self.QUIRKS)

    async def _asked(self, answer: Awaitable[T]) -> T:
        return await asked(self._venue, answer, self.REFUSALS)

    async def load(self) -> None:
        """Read the venue's markets, unless another connection has."""
        await self._asked(self._markets.load(self._client))

    async def read_tiers(self, symbols: Collection[str]) -> Mapping[str, TierTable]:
        """Read the tiers of ``symbols`` at least, by unified symbol. Raises VenueError, or PartlyReadError."""
        return await self._asked(self._tiers(self._listed(symbols)))

    async def read_collateral(self) -> Mapping[str, CollateralTerms]:
        """Read how each asset is counted. Raises VenueError."""
        return await self._asked(self._collateral())

    async def _tiers(self, symbols: Sequence[str]) -> Mapping[str, TierTable]:
        raise NotImplementedError

    async def _collateral(self) -> Mapping[str, CollateralTerms]:
        """No asset but the one that positions are paid in, unless a venue tells."""
        return {}

    def leverage_max_of(self, symbol: str) -> float | None:
        """The maximum leverage that ccxt's description of a market tells, ``None`` where it tells none."""
        limits = (self._client.markets or {}).get(symbol, {}).get("limits", {}).get("leverage") or {}
        try:
            told = known(optional_number(limits, "max", "ccxt's market"))
        except MalformedFrameError:
            return None
        return told if told is not None and told >= 1.0 else None

    def kind_of(self, symbol: str) -> ContractKind | None:
        """How a contract pays, perpetual or dated; ``None`` for what the loaded markets do not list as one."""
        market = (self._client.markets or {}).get(symbol) or {}
        if not (market.get("swap") or market.get("future")):
            return None
        return ContractKind.INVERSE if market.get("inverse") else ContractKind.LINEAR

    def _listed(self, symbols: Collection[str]) -> list[str]:
        return sorted(symbol for symbol in symbols if self.kind_of(symbol) is not None)

    def _codes(self, symbols: Collection[str]) -> dict[str, str]:
        """The venue's code of each market."""
        return {str(self._client.markets[symbol]["id"]): symbol for symbol in symbols}

    def _contracts(self) -> dict[str, str]:
        """The unified symbol of every contract, by the venue's code."""
        return self._codes([symbol for symbol in self._client.markets if self.kind_of(symbol) is not None])

    def _tables(
        self, told: Mapping[str, tuple[MarginTier, ...]], symbol_of: Mapping[str, str]
    ) -> dict[str, TierTable]:
        """Make tables of tiers by the venue's code; codes that no market has are left out."""
        return {
            symbol_of[code]: TierTable(
                market=market_id(self._venue, symbol_of[code]),
                tiers=tiers,
                kind=self.kind_of(symbol_of[code]) or ContractKind.LINEAR,
                unit=self.UNIT,
            )
            for code, tiers in told.items()
            if code in symbol_of
        }

    def _each(
        self, parts: Iterable[P], parse: Callable[[P], Mapping[str, tuple[MarginTier, ...]]]
    ) -> dict[str, tuple[MarginTier, ...]]:
        """Parse part by part: of one market that cannot be read, the others are none the worse.

        Raises:
            MalformedFrameError: none of them can be read.
        """
        found: dict[str, tuple[MarginTier, ...]] = {}
        last: MalformedFrameError | None = None
        for part in parts:
            try:
                found |= parse(part)
            except MalformedFrameError as error:
                last = error
        if last is not None:
            if not found:
                raise last
            log.warning("margin tiers of some markets cannot be read", venue=self._venue, why=str(last))
        return found

    async def _parts(
        self, parts: Iterable[Callable[[], Awaitable[Mapping[str, TierTable]]]]
    ) -> dict[str, TierTable]:
        """Ask for tables part by part: what the venue refuses of one leaves the others as they are.

        A venue that does not answer at all is not asked for the rest.

        Raises:
            VenueError: nothing could be read; PartlyReadError where something could.
        """
        found: dict[str, TierTable] = {}
        failed: VenueError | None = None
        for ask in parts:
            try:
                found |= await self._asked(ask())
            except VenueError as error:
                failed = error
                if isinstance(error, PartlyReadError):
                    found |= error.found
                if is_away(error):
                    break
        if failed is None:
            return found
        if not found:
            raise failed
        raise PartlyReadError(failed, found) from failed

    async def close(self) -> None:
        await close_client(self._client)


def is_away(error: VenueError) -> bool:
    """Whether a venue did not answer, so that another question would have to wait in vain too."""
    from ccxt.base.errors import OperationFailed  # noqa: PLC0415 - loaded with the first client

    return isinstance(error.__cause__, OperationFailed)


class Deaf:
    """Takes what no stream brings: these clients open none."""

    def on_alive(self, url: str) -> None:
        """Nothing is open."""

    def on_frame(self, url: str) -> None:
        """Nothing is open."""

    def on_connected(self, url: str) -> None:
        """Nothing is open."""

    def take(self, url: str, message: Any) -> bool:
        del url, message
        return False

    def on_malformed(self, url: str, frame: str | bytes, error: Exception) -> None:
        """Nothing is open."""


async def first_usable(
    settings: VenueSettings,
    credentials: Mapping[str, Credentials],
    permissions: Callable[[Credentials], Awaitable[KeyPermissions]],
) -> Credentials | None:
    """Return the first key that may be used: one that the venue takes, and that can only read or is allowed more.

    Args:
        settings: of the venue.
        credentials: by account.
        permissions: asks what a key may do; raises VenueError.
    """
    for account, found in credentials.items():
        try:
            refusal = refusal_of(settings, account, await permissions(found))
        except VenueAuthError as error:
            refusal = error.detail
        if refusal is None:
            return found
        log.info("no margin terms by this key", venue=settings.id, account=account, why=refusal)
    return None
