"""Runs exchange feeds against a venue on loopback and keeps what they emit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from adapters.clock import SystemClock
from adapters.exchanges import AccountCredentials, AccountFeed, MarketFeed, VenueSettings, venue_feeds
from adapters.exchanges.market_books import Observer
from adapters.simulation import LoopbackVenue, VenueAccountSpec
from guard.events import AnyEvent, Event, StreamFault, StreamFaultKind, StreamsActive
from guard.ports import Feed
from tests.support.eventually import eventually

E = TypeVar("E", bound=Event)

ACCOUNT = VenueAccountSpec("main", api_key="key-of-main", api_secret="secret-of-main")


class Events:
    """What was emitted, in order; the activity of a whole venue besides as that of each stream."""

    def __init__(self) -> None:
        self.all: list[AnyEvent] = []

    def __call__(self, event: AnyEvent) -> None:
        self.all.append(event)
        if isinstance(event, StreamsActive):
            self.all.extend(event.activities)

    def of(self, kind: type[E], where: Callable[[E], bool] = lambda _: True) -> list[E]:
        return [event for event in self.all if isinstance(event, kind) and where(event)]

    def faults(self, *kinds: StreamFaultKind) -> list[StreamFault]:
        return self.of(StreamFault, lambda fault: fault.fault in kinds)

    async def until(
        self, kind: type[E], where: Callable[[E], bool] = lambda _: True, *, within_s: float = 15.0
    ) -> E:
        """Wait for an event, one that has come already included; return the first."""
        found = await eventually(
            lambda: self.of(kind, where), within_s=within_s, what=f"{kind.__name__}: {self.tail()}"
        )
        return found[0]

    def tail(self) -> str:
        return f"{len(self.all)} events, faults {self.of(StreamFault)[-3:]}"

    def forget(self) -> None:
        self.all.clear()


def settings_for(urls: dict[str, Any], *symbols: str, account: bool = False, **changes: Any) -> VenueSettings:
    """Settings for loopback: short times, no request limits."""
    credentials = AccountCredentials(api_key_env=ACCOUNT.api_key, api_secret_env=ACCOUNT.api_secret)
    values: dict[str, Any] = {
        "id": "binanceusdm",
        "symbols": list(symbols or ("BTC/USDT:USDT",)),
        "urls": urls,
        "rate_limit": False,
        "sample_ms": 50,
        "account_poll_s": 0.5,
        "orders_poll_s": 1.0,
        "open_interest_poll_s": 0.5,
        "retry_s_max": 0.5,
        "refused_retry_s": 0.3,
        "accounts": {"main": credentials} if account else {},
    }
    return VenueSettings(**{**values, **changes})


def secret_is_its_name(*, what: str, file: Path | str | None, env: str | None) -> bytes:
    """A resolver for tests: the variable's name is the secret."""
    del what, file
    return str(env).encode()


def feeds_for(
    settings: VenueSettings, observer: Observer | None = None
) -> tuple[MarketFeed, list[AccountFeed]]:
    market, *accounts = venue_feeds(
        settings, clock=SystemClock(), resolve_secret=secret_is_its_name, observer=observer
    )
    assert isinstance(market, MarketFeed)
    return market, [feed for feed in accounts if isinstance(feed, AccountFeed)]


@asynccontextmanager
async def running(feeds: Sequence[Feed]) -> AsyncIterator[Events]:
    """Run feeds until the block is left; a feed that raises fails the block."""
    events = Events()
    async with asyncio.TaskGroup() as tasks:
        started = [tasks.create_task(feed.run(events), name=feed.name) for feed in feeds]
        yield events
        for task in started:
            task.cancel()


def venue_best(venue: LoopbackVenue, code: str = "BTCUSDT") -> tuple[float | None, float | None]:
    """Best bid and ask as the venue knows them."""
    book = venue.market(code).book
    return book.bids.best_price(), book.asks.best_price()
