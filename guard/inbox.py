"""The queue in front of the engine: bounded by coalescing, and it never drops what must not be lost."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from dataclasses import dataclass, field

from msgspec import structs

from guard.events import (
    AccountSnapshot,
    AnyEvent,
    BotReported,
    BotStatusSeen,
    LiquidationSeen,
    MarketFeatures,
    MarkPriceSeen,
    MessageRefused,
    OpenInterestSeen,
    StreamActivity,
    Tick,
)

LIQUIDATIONS_MAX = 10_000
"""Forced-order prints waiting at once: 200 markets at one a second for 50 s, 2 MB. Then the oldest goes."""


@dataclass(slots=True)
class Inbox:
    """Takes events from every feed, gives them to the one loop in order of arrival.

    States of the world coalesce, latest wins, in the place of the one that waits (flow is summed): at
    most one Tick, one sample and price a market, one snapshot an account and source, one report a bot
    wait at once. So 200 markets and 50 bots bound it by about 1,200 entries, whatever the rate. Acks,
    births, faults and sendings are as many as there were commands and are never dropped.
    """

    coalesced: int = 0
    dropped: int = 0
    _waiting: dict[Hashable, AnyEvent] = field(default_factory=dict)
    _serial: int = 0
    _liquidations: int = 0
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)

    def put(self, event: AnyEvent) -> None:
        """Queue an event; never blocks, never raises."""
        key = _coalescing_key(event)
        if key is None:
            self._serial += 1
            self._waiting[self._serial] = event
            self._bound_liquidations(event)
        else:
            waiting = self._waiting.get(key)
            self.coalesced += waiting is not None
            self._waiting[key] = event if waiting is None else _merged(waiting, event)
        self._arrived.set()

    async def take(self) -> AnyEvent:
        """Return the event that has waited longest."""
        while not self._waiting:
            self._arrived.clear()
            await self._arrived.wait()
        key = next(iter(self._waiting))
        event = self._waiting.pop(key)
        self._liquidations -= isinstance(event, LiquidationSeen)
        return event

    def __len__(self) -> int:
        return len(self._waiting)

    def _bound_liquidations(self, event: AnyEvent) -> None:
        if not isinstance(event, LiquidationSeen):
            return
        self._liquidations += 1
        if self._liquidations > LIQUIDATIONS_MAX:
            oldest = next(
                key for key, waiting in self._waiting.items() if isinstance(waiting, LiquidationSeen)
            )
            del self._waiting[oldest]
            self._liquidations -= 1
            self.dropped += 1


def _coalescing_key(event: AnyEvent) -> Hashable | None:  # noqa: PLR0911 (one case a line is the table)
    match event:
        case Tick():
            return Tick
        case MarketFeatures(market=market) | MarkPriceSeen(market=market) | OpenInterestSeen(market=market):
            return (type(event), market)
        case StreamActivity(subject=subject, stream=stream):
            return (StreamActivity, subject, stream)
        case AccountSnapshot(account=account, source=source):
            return (AccountSnapshot, account, source)
        case BotReported(reported=reported):
            return (BotReported, reported.bot, reported.resync)
        case BotStatusSeen(state=state):
            return (BotStatusSeen, state.bot)
        case MessageRefused(bot=bot):
            return (MessageRefused, bot)
        case _:
            return None


def _merged(waiting: AnyEvent, event: AnyEvent) -> AnyEvent:
    match waiting, event:
        case MarketFeatures(), MarketFeatures():
            return structs.replace(
                event,
                buy_usd=waiting.buy_usd + event.buy_usd,
                sell_usd=waiting.sell_usd + event.sell_usd,
                updates=waiting.updates + event.updates,
                gaps=waiting.gaps + event.gaps,
            )
        case MessageRefused(), MessageRefused():
            return structs.replace(event, count=waiting.count + event.count)
        case StreamActivity(), StreamActivity():
            return structs.replace(
                event,
                updates=waiting.updates + event.updates,
                gap_ns_max=max(waiting.gap_ns_max, event.gap_ns_max),
            )
        case _:
            return event
