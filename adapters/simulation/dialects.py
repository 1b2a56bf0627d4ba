"""The languages that the venue speaks: one market, one engine, and a dialect between them and the clients.

A dialect is a class that fulfils ``Dialect`` and a line in ``make_dialect``. It answers REST requests, hears
what clients say on their WebSockets, and says in its own words what the market and the accounts did. It
sends through ``Hub.send`` alone and answers through the server alone, where faults are injected.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from adapters.simulation.errors import Refusal
from adapters.simulation.source import FrameKind

if TYPE_CHECKING:
    from aiohttp import web

    from adapters.simulation.account import VenueAccount
    from adapters.simulation.engine import Engine
    from adapters.simulation.markets import Market
    from adapters.simulation.rounds import MatchingRounds
    from adapters.simulation.settings import LoopbackSettings
    from adapters.simulation.signing import Gate
    from adapters.simulation.streams import Connection, Hub


class DialectName(StrEnum):
    """Which API the venue speaks."""

    BINANCE = "binance"
    BYBIT = "bybit"
    HYPERLIQUID = "hyperliquid"

    @property
    def ccxt_id(self) -> str:
        """The class of ccxt that speaks it."""
        return {DialectName.BINANCE: "binanceusdm"}.get(self, self.value)


@dataclass(frozen=True, slots=True)
class RestRequest:
    """A request as it came: query and body still encoded, for signatures cover what was sent."""

    method: str
    path: str
    query: str
    body: str
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class VenueParts:
    """What a dialect talks about; ``engine.accounts`` holds the accounts, by name."""

    markets: dict[str, Market]
    engine: Engine
    settings: LoopbackSettings
    clock_ms: Callable[[], int]
    gate: Gate
    hub: Hub
    rounds: MatchingRounds


class Dialect(Protocol):
    """One venue's API."""

    def ccxt_urls(self, host: str, port: int) -> dict[str, Any]:
        """The value for ccxt's ``urls``, whole: no request of a client may leave this machine."""
        ...

    async def answer(self, request: RestRequest) -> Any:
        """Answer a REST request with what becomes JSON.

        Raises:
            Refusal: as the venue would.
        """
        ...

    def refused(self, refusal: Refusal) -> tuple[Any, int]:
        """What a refusal looks like: the answer and its HTTP status."""
        ...

    def admit(self, connection: Connection, request: web.Request) -> bool:
        """Take a WebSocket in; False where there is none at this address."""
        ...

    def hear(self, connection: Connection, text: str) -> None:
        """Take what a client said on its WebSocket; answer with ``connection.push``."""
        ...

    def publish(self, symbol: str, kind: FrameKind, payload: bytes) -> None:
        """Say what the market did to everyone who subscribed to it.

        Args:
            symbol: of the market, which holds the change already.
            kind: of what happened.
            payload: as ``wire`` writes it; a recording may hold one that cannot be read, which is left out
                or handed on.
        """
        ...

    def has_subscribers(self, symbol: str, kind: FrameKind) -> bool:
        """Whether a frame would be heard: the player derives some only then."""
        ...

    def tell(self, account: VenueAccount, event: dict[str, Any]) -> None:
        """Tell an account's owner what happened; ``event`` is one of ``payloads``' user-data events."""
        ...


def make_dialect(name: DialectName | str, parts: VenueParts) -> Dialect:
    """Make the dialect of this name.

    Raises:
        ValueError: there is none.
    """
    # Each is imported when it is spoken: they import the modules that this one is imported by.
    match DialectName(name):
        case DialectName.BINANCE:
            from adapters.simulation.binance import BinanceDialect  # noqa: PLC0415 - see above

            return BinanceDialect(parts)
        case DialectName.BYBIT:
            from adapters.simulation.bilingual import Bilingual  # noqa: PLC0415
            from adapters.simulation.bybit import BybitDialect  # noqa: PLC0415

            return Bilingual(BybitDialect(parts), parts)
        case DialectName.HYPERLIQUID:
            from adapters.simulation.bilingual import Bilingual  # noqa: PLC0415
            from adapters.simulation.hyperliquid import HyperliquidDialect  # noqa: PLC0415

            return Bilingual(HyperliquidDialect(parts), parts)
