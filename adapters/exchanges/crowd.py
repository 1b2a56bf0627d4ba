"""Everyone else's positions as events, as far as a venue tells: past open interest, who is long, published accounts.

None of it is a stream: it is asked, politely, one request at a time, after the markets that matter most. An answer that
cannot be read, or is cut short, changes nothing; it is asked for again, ever more slowly.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import structlog

from adapters.exchanges.backoff import Backoff
from adapters.exchanges.crowd_session import Breathe
from adapters.exchanges.settings import VenueSettings
from adapters.exchanges.tracked_accounts import AddressesError, TrackedAccounts, read_addresses
from adapters.exchanges.venue import PositionSeen
from guard.errors import VenueError
from guard.events import (
    HistoryPoint,
    LongShortRatioSeen,
    OpenInterestHistorySeen,
    TrackedPosition,
    TrackedPositionsSeen,
)
from guard.ports import Clock, Emit
from guard.units import NS_PER_S, Nanoseconds, market_id

START_S = 5.0
"""At a start books and accounts go first."""
LOOK_S = 1.0
"""How often it is looked whether something new is watched."""
FILE_LOOK_S = 60.0
"""How often the file of addresses is read anew."""
RETRY_S_FIRST = 2.0
RETRY_S_MAX = 300.0
DAY_S = 86_400.0

log = structlog.get_logger()


class CrowdConnection(Protocol):
    """Reads what one venue tells of everyone's positions. Every ``async`` method raises VenueError."""

    async def load(self) -> None:
        """Read the venue's markets."""
        ...

    def lists(self, symbol: str) -> bool:
        """Whether there is such a market of which all this is told."""
        ...

    async def read_history(
        self, symbol: str, since: Nanoseconds, until: Nanoseconds, breathe: Breathe
    ) -> tuple[HistoryPoint, ...]:
        """Read open interest between two times, all of it; ``breathe`` is awaited between requests."""
        ...

    async def read_longs_share(self, symbol: str) -> tuple[float, Nanoseconds | None]:
        """Read the share of accounts that are long, 0..1, and of when it is."""
        ...

    async def read_positions(self, address: str) -> Sequence[PositionSeen]:
        """Read what an address holds, by unified symbol."""
        ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CrowdWays:
    """What a venue tells of everyone's positions, known before anything connects; see ``CrowdClient``."""

    history_days: float
    ratio: bool
    positions: bool
    pause_s: float

    def is_asked(self, settings: VenueSettings) -> bool:
        """Whether anything of it is to be asked for."""
        return bool(
            (self.history_days and settings.open_interest_history_days)
            or (self.ratio and settings.long_short_ratio_poll_s)
            or (self.positions and settings.tracks_accounts)
        )


class CrowdFeed:
    """A Feed (see ``guard.ports``) of what one venue tells of everyone's positions.

    Args:
        settings: the venue.
        ways: what it tells.
        clock: what time it is.
        connect: makes the connection that is asked.
        markets: the symbols of all markets that are watched, at the time.
        held: those of them that somebody holds or trades: they are asked about first.
    """

    def __init__(
        self,
        settings: VenueSettings,
        ways: CrowdWays,
        *,
        clock: Clock,
        connect: Callable[[], Awaitable[CrowdConnection]],
        markets: Callable[[], Collection[str]],
        held: Callable[[], Collection[str]],
    ) -> None:
        self._settings = settings
        self._ways = ways
        self._clock = clock
        self._connect = connect
        self._markets = markets
        self._held = held

    @property
    def name(self) -> str:
        return f"{self._settings.id} crowd"

    async def run(self, emit: Emit) -> None:
        """Emit until cancelled; what fails is tried again."""
        settings, ways = self._settings, self._ways
        if settings.rate_limit:
            await self._pause(START_S)
        connection = await self._connect()
        try:
            await self._load(connection)
            async with asyncio.TaskGroup() as tasks:
                if ways.history_days and settings.open_interest_history_days:
                    tasks.create_task(self._tell_histories(connection, emit), name=f"{self.name} histories")
                if ways.ratio and settings.long_short_ratio_poll_s:
                    tasks.create_task(self._tell_ratios(connection, emit), name=f"{self.name} ratios")
                if ways.positions and settings.tracks_accounts:
                    tasks.create_task(self._tell_positions(connection, emit), name=f"{self.name} positions")
        finally:
            await connection.close()

    async def _load(self, connection: CrowdConnection) -> None:
        backoff = _backoff()
        while True:
            try:
                return await connection.load()
            except VenueError as error:
                await self._failed("its markets", error.detail, backoff)

    def _wanted(self, connection: CrowdConnection) -> list[str]:
        held = frozenset(self._held())
        wanted = [symbol for symbol in {*self._markets(), *held} if connection.lists(symbol)]
        return sorted(wanted, key=lambda symbol: (symbol not in held, symbol))

    # ---------------------------------------------------------------- open interest's past

    async def _tell_histories(self, connection: CrowdConnection, emit: Emit) -> None:
        """Ask once for the past of each market, again where it is watched anew."""
        told: set[str] = set()
        backoff = _backoff()
        while True:
            wanted = self._wanted(connection)
            told.intersection_update(wanted)
            symbol = next((each for each in wanted if each not in told), None)
            if symbol is None:
                await self._pause(LOOK_S)
                continue
            until = self._clock.now()
            days = min(self._settings.open_interest_history_days, self._ways.history_days)
            try:
                points = await connection.read_history(
                    symbol, until - int(days * DAY_S * NS_PER_S), until, self._breathe
                )
            except VenueError as error:
                await self._failed(f"open interest's past of {symbol}", error.detail, backoff)
                continue
            told.add(symbol)
            if points:
                emit(
                    OpenInterestHistorySeen(
                        received_at=self._clock.now(),
                        market=market_id(self._settings.id, symbol),
                        points=points,
                    )
                )
            else:
                log.info("no past of open interest is told", venue=self._settings.id, symbol=symbol)
            await self._breathe()

    # ---------------------------------------------------------------- who is long

    async def _tell_ratios(self, connection: CrowdConnection, emit: Emit) -> None:
        """Ask for all markets in each period, and tell what is new."""
        latest: dict[str, Nanoseconds] = {}
        backoff = _backoff()
        while True:
            next_at = self._clock.now() + int(self._settings.long_short_ratio_poll_s * NS_PER_S)
            wanted = self._wanted(connection)
            for symbol in wanted:
                try:
                    share, at = await connection.read_longs_share(symbol)
                except VenueError as error:
                    await self._failed(f"the share of longs of {symbol}", error.detail, backoff)
                    continue
                if at is None or latest.get(symbol) != at:
                    emit(
                        LongShortRatioSeen(
                            received_at=self._clock.now(),
                            exchange_at=at,
                            market=market_id(self._settings.id, symbol),
                            longs_share=share,
                        )
                    )
                if at is not None:
                    latest[symbol] = at
                await self._breathe()
            # Before anything is watched, look again soon.
            await self._clock.sleep_until(next_at if wanted else self._clock.now() + int(LOOK_S * NS_PER_S))

    # ---------------------------------------------------------------- published accounts

    async def _tell_positions(self, connection: CrowdConnection, emit: Emit) -> None:
        """Ask for one address after the other, those near their liquidation more often."""
        settings = self._settings
        tracked = TrackedAccounts(settings.tracked_poll_s, settings.tracked_hot_poll_s)
        named = [address.lower() for address in settings.tracked_addresses]
        tracked.name(named)
        file, look_at = settings.tracked_addresses_file, 0
        backoff = _backoff()
        while True:
            now = self._clock.now()
            if file is not None and now >= look_at:
                look_at = now + int(FILE_LOOK_S * NS_PER_S)
                await self._read_file(file, named, tracked)
            address = tracked.next(now)
            if address is None:
                await self._pause(LOOK_S)
                continue
            try:
                positions = await connection.read_positions(address)
            except VenueError as error:
                tracked.failed(address, self._clock.now())
                await self._failed(f"positions of {address}", error.detail, backoff)
                continue
            self._say_positions(address, positions, tracked, frozenset(self._wanted(connection)), emit)
            await self._breathe()

    async def _read_file(self, file: Path, named: list[str], tracked: TrackedAccounts) -> None:
        try:
            further = await asyncio.to_thread(read_addresses, file)
        except AddressesError as error:
            log.error("tracked addresses stay as they were", venue=self._settings.id, why=str(error))
        else:
            tracked.name(list(dict.fromkeys((*named, *further))))

    def _say_positions(
        self,
        address: str,
        positions: Sequence[PositionSeen],
        tracked: TrackedAccounts,
        wanted: frozenset[str],
        emit: Emit,
    ) -> None:
        now = self._clock.now()
        for symbol in sorted(tracked.answered(address, positions, now) & wanted):
            emit(
                TrackedPositionsSeen(
                    received_at=now,
                    market=market_id(self._settings.id, symbol),
                    accounts=(address,),
                    positions=tuple(
                        TrackedPosition(
                            account=address,
                            size=each.size,
                            entry_price=each.entry_price,
                            liquidation_price=each.liquidation_price,
                            leverage=each.leverage,
                        )
                        for each in positions
                        if each.market_code == symbol
                    ),
                    asked_accounts=len(tracked),
                    is_complete=tracked.is_complete,
                )
            )

    # ---------------------------------------------------------------- politeness

    async def _breathe(self) -> None:
        await self._pause(self._ways.pause_s if self._settings.rate_limit else 0.0)

    async def _pause(self, pause_s: float) -> None:
        await self._clock.sleep_until(self._clock.now() + int(pause_s * NS_PER_S))

    async def _failed(self, what: str, why: str, backoff: Backoff) -> None:
        now = self._clock.now()
        pause_ns = backoff.pause_ns(now)
        log.warning(
            "everyone's positions are not told, trying again",
            venue=self._settings.id,
            what=what,
            why=why,
            again_in_s=round(pause_ns / NS_PER_S, 1),
        )
        await self._clock.sleep_until(now + pause_ns)


def _backoff() -> Backoff:
    return Backoff(RETRY_S_MAX, first_s=RETRY_S_FIRST, calm_s=RETRY_S_MAX)
