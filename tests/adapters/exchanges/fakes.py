"""Connections that say what a test puts into them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from adapters.exchanges.binance.capabilities import CAPABILITIES
from adapters.exchanges.parsers import unknown_symbol
from adapters.exchanges.sync import DepthDiff, RawLevels
from adapters.exchanges.venue import (
    AccountReading,
    AccountSink,
    AccountTotals,
    Capabilities,
    DepthSnapshot,
    KeyPermissions,
    ListedMarket,
    MarketSink,
    MarkFrame,
    PositionSeen,
)
from guard.errors import UnknownSymbolError, VenueError
from guard.events import Stream
from guard.units import Nanoseconds

VENUE = "binanceusdm"


def snapshot(last_id: int, *, mid: float = 100.0, levels: int = 200, step: float = 0.01) -> DepthSnapshot:
    """A book of even levels, ``step`` apart."""
    bids: RawLevels = [[f"{mid - step * (number + 1):.2f}", "1.0"] for number in range(levels)]
    asks: RawLevels = [[f"{mid + step * (number + 1):.2f}", "1.0"] for number in range(levels)]
    return DepthSnapshot(last_id=last_id, bids=bids, asks=asks)


def diff(previous: int, last: int, bids: RawLevels | None = None, asks: RawLevels | None = None) -> DepthDiff:
    return DepthDiff(
        previous_id=previous, first_id=previous + 1, last_id=last, bids=bids or [], asks=asks or []
    )


class FakeMarket:
    """Fulfils MarketConnection. ``snapshots`` are given out in turn, the last one again and again."""

    def __init__(self, *listed: str) -> None:
        self.listed = listed or ("BTC/USDT:USDT",)
        self.sink: MarketSink | None = None
        self.snapshots: list[DepthSnapshot | VenueError] = [snapshot(10)]
        self.snapshots_taken = 0
        self.interest: float | VenueError = 5.0
        self.mark = MarkFrame(100.0, None, 0.0001, None, None)
        self.marks_asked = 0
        self.reopened: list[str] = []
        self.renewed: list[str] = []
        self.gives = CAPABILITIES
        self.perpetuals: Sequence[ListedMarket] | VenueError = [
            ListedMarket(symbol, "USDT", "USDT", active=True, volume_usd=1.0) for symbol in self.listed
        ]
        self.closed = False
        self.listings = 0
        self.watched: dict[Stream, list[str]] = {}
        """Every symbol that was ever asked for."""
        self._lost: dict[Stream, dict[asyncio.Future[None], Sequence[str]]] = {}

    async def connect(self, sink: MarketSink) -> FakeMarket:
        self.sink = sink
        return self

    @property
    def capabilities(self) -> Capabilities:
        return self.gives

    async def list_perpetuals(self) -> Sequence[ListedMarket]:
        self.listings += 1
        if isinstance(self.perpetuals, VenueError):
            raise self.perpetuals
        return self.perpetuals

    async def renew_depth(self, symbol: str) -> None:
        self.renewed.append(symbol)

    async def load(self, symbols: Sequence[str]) -> tuple[list[str], list[UnknownSymbolError]]:
        unknown = [
            unknown_symbol(VENUE, symbol, self.listed) for symbol in symbols if symbol not in self.listed
        ]
        return [symbol for symbol in symbols if symbol in self.listed], unknown

    async def watch(self, stream: Stream, symbols: Sequence[str]) -> None:
        assert self.sink is not None
        lost = asyncio.get_running_loop().create_future()
        self._lost.setdefault(stream, {})[lost] = symbols
        self.watched.setdefault(stream, []).extend(symbols)
        self.sink.on_subscribed(stream, symbols)
        try:
            await lost
        finally:
            del self._lost[stream][lost]

    def lose(self, stream: Stream) -> None:
        for lost in self._lost[stream]:
            lost.set_exception(VenueError(VENUE, "gone"))

    def watching(self, stream: Stream) -> list[Sequence[str]]:
        """The subscriptions of a stream that stand, as they were asked for."""
        return list(self._lost[stream].values())

    async def fetch_depth(self, symbol: str) -> DepthSnapshot:
        del symbol
        self.snapshots_taken += 1
        answer = self.snapshots.pop(0) if len(self.snapshots) > 1 else self.snapshots[0]
        if isinstance(answer, VenueError):
            raise answer
        return answer

    async def fetch_open_interest(self, symbol: str) -> tuple[float, Nanoseconds | None]:
        del symbol
        if isinstance(self.interest, VenueError):
            raise self.interest
        return self.interest, None

    async def fetch_mark(self, symbol: str) -> MarkFrame:
        del symbol
        self.marks_asked += 1
        return self.mark

    def close_silent(self, silence_ns: Nanoseconds) -> list[str]:
        del silence_ns
        return []

    def reopen(self, stream: Stream, reason: str) -> None:
        del stream
        self.reopened.append(reason)

    async def close(self) -> None:
        self.closed = True


def reading(
    *positions: PositionSeen, wallet: float = 1_000.0, maintenance_usd: float | None = None
) -> AccountReading:
    totals = AccountTotals(wallets={"USDT": wallet}, other_usd=0.0, maintenance_usd=maintenance_usd)
    return AccountReading(totals=totals, positions=positions, orders=())


class FakeAccount:
    """Fulfils AccountConnection."""

    def __init__(self) -> None:
        self.sink: AccountSink | None = None
        self.reading: AccountReading | VenueError = reading()
        self.readings = 0
        self.reopened: list[str] = []
        self.renewals = 0
        self.renewable = True
        self.may: KeyPermissions | VenueError = KeyPermissions(can_trade=False, can_withdraw=False)
        self.closed = False
        self._lost: asyncio.Future[None] | None = None

    async def connect(self, sink: AccountSink) -> FakeAccount:
        self.sink = sink
        return self

    async def load(self) -> None:
        """Nothing to load."""

    async def permissions(self) -> KeyPermissions:
        if isinstance(self.may, VenueError):
            raise self.may
        return self.may

    async def watch(self) -> None:
        assert self.sink is not None
        self._lost = asyncio.get_running_loop().create_future()
        self.sink.on_connected()
        await self._lost

    async def renew(self) -> None:
        self.renewals += 1
        if not self.renewable:
            raise VenueError(VENUE, "no such listen key")

    async def read(self, *, orders: bool) -> AccountReading:
        del orders
        self.readings += 1
        if isinstance(self.reading, VenueError):
            raise self.reading
        return self.reading

    def symbol_of(self, market_code: str) -> str:
        return {"BTCUSDT": "BTC/USDT:USDT"}.get(market_code, market_code)

    def reopen(self, reason: str) -> None:
        self.reopened.append(reason)
        if self._lost is not None and not self._lost.done():
            self._lost.set_exception(VenueError(VENUE, reason))

    async def close(self) -> None:
        self.closed = True
