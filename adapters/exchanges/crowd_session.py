"""What all readers of everyone else's positions share: a ccxt client that opens no stream, and how it reads pages."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from adapters.exchanges.ccxt_session import Markets, asked, close_client, make_client
from adapters.exchanges.crowd_history import SPACING_NS, Candle, InterestRow, joined
from adapters.exchanges.settings import VenueSettings
from adapters.exchanges.terms_session import Deaf
from adapters.exchanges.venue import PositionSeen
from guard.events import HistoryPoint
from guard.units import NS_PER_MS, Nanoseconds

T = TypeVar("T")

Breathe = Callable[[], Awaitable[None]]
"""Awaited between two requests of one reading."""


class CrowdClient:
    """A CrowdConnection (see ``crowd``) over one ccxt client; a venue says what it tells, and how that is asked for.

    It has those of ``_interest``, ``_candles``, ``_latest_share`` and ``_positions`` that the figures below say. All
    but the last are given the venue's own name of a market; the first two a span of time whose ends count, which holds
    no more rows than one answer does.
    """

    DEFAULTS: Mapping[str, Any] = {}
    """What ccxt is told besides what every venue's client is told."""
    QUIRKS: type | None = None
    HISTORY_DAYS = 0.0
    """How far back open interest is told every five minutes; 0: not at all."""
    INTEREST_ROWS = 0
    """The most that one answer holds."""
    CANDLE_ROWS = 0
    """Likewise of candles, which tell price and volume; 0: they are not asked for."""
    TELLS_RATIO = False
    """Whether the share of accounts that are long is told."""
    PUBLISHES_POSITIONS = False
    """Whether anybody's positions can be read by address."""
    PAUSE_S = 0.5
    """Between two requests."""

    def __init__(self, settings: VenueSettings, markets: Markets) -> None:
        self._venue = settings.id
        self._markets = markets
        self._client = make_client(settings, Deaf(), defaults=self.DEFAULTS, quirks=self.QUIRKS)

    async def load(self) -> None:
        """Read the venue's markets, unless another connection has."""
        await asked(self._venue, self._markets.load(self._client))

    def lists(self, symbol: str) -> bool:
        """Whether this is a linear perpetual of the venue's."""
        market = (self._client.markets or {}).get(symbol) or {}
        return bool(market.get("swap") and market.get("linear"))

    async def read_history(
        self, symbol: str, since: Nanoseconds, until: Nanoseconds, breathe: Breathe
    ) -> tuple[HistoryPoint, ...]:
        """Read open interest between two times, whole or not at all."""
        return await asked(self._venue, self._history(symbol, since, until, breathe))

    async def read_longs_share(self, symbol: str) -> tuple[float, Nanoseconds | None]:
        """Read the share of accounts that are long, and of when it is."""
        return await asked(self._venue, self._longs_share(symbol))

    async def read_positions(self, address: str) -> Sequence[PositionSeen]:
        """Read what an address holds; ``market_code`` is the unified symbol, others' markets are left out."""
        return await asked(self._venue, self._positions(address))

    async def close(self) -> None:
        await close_client(self._client)

    async def _history(
        self, symbol: str, since: Nanoseconds, until: Nanoseconds, breathe: Breathe
    ) -> tuple[HistoryPoint, ...]:
        code, candles = self._code(symbol), []
        interest = await pages(partial(self._interest, code), since, until, self.INTEREST_ROWS, breathe)
        if self.CANDLE_ROWS:
            await breathe()
            candles = await pages(partial(self._candles, code), since, until, self.CANDLE_ROWS, breathe)
        return joined(interest, candles)

    async def _interest(self, code: str, begin_ms: int, end_ms: int) -> list[InterestRow]:
        raise NotImplementedError

    async def _candles(self, code: str, begin_ms: int, end_ms: int) -> list[Candle]:
        raise NotImplementedError

    async def _longs_share(self, symbol: str) -> tuple[float, Nanoseconds | None]:
        return await self._latest_share(self._code(symbol))

    async def _latest_share(self, code: str) -> tuple[float, Nanoseconds | None]:
        raise NotImplementedError

    async def _positions(self, address: str) -> Sequence[PositionSeen]:
        raise NotImplementedError

    def _code(self, symbol: str) -> str:
        return str(self._client.markets[symbol]["id"])


async def pages(
    read: Callable[[int, int], Awaitable[Sequence[T]]],
    since: Nanoseconds,
    until: Nanoseconds,
    rows_max: int,
    breathe: Breathe,
) -> list[T]:
    """Read all pages of ``rows_max`` rows between two times; ``read`` is given the first and last ms of each."""
    found: list[T] = []
    for begin_ms, end_ms in _windows(since // NS_PER_MS, until // NS_PER_MS, rows_max):
        if found:
            await breathe()
        found += await read(begin_ms, end_ms)
    return found


def _windows(since_ms: int, until_ms: int, rows_max: int) -> Iterator[tuple[int, int]]:
    """Spans that hold no more than so many rows each, though their ends count."""
    span_ms = (rows_max - 1) * SPACING_NS // NS_PER_MS
    begin_ms = since_ms
    while begin_ms <= until_ms:
        yield begin_ms, min(begin_ms + span_ms, until_ms)
        begin_ms += span_ms + 1
