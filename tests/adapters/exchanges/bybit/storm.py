"""Runs Bybit's feeds through faults and holds what they say against the venue's own books and accounts."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from random import Random

from adapters.exchanges import AccountCredentials
from adapters.simulation import Fault, LoopbackVenue, generated_source
from adapters.simulation.book import VenueBook
from adapters.simulation.errors import Refusal
from adapters.simulation.source import OpeningBook
from adapters.simulation.wire import DepthUpdate
from guard.events import AccountSnapshot, BookStatus, MarketFeatures
from guard.market.book import Book, Side
from guard.units import MarketId
from tests.adapters.simulation.bybit.clients import CODE, OTHER, OTHER_CODE, SYMBOL
from tests.support.eventually import eventually
from tests.support.exchange_feeds import ACCOUNT, Events, feeds_for, running, settings_for

CODES, SYMBOLS = (CODE, OTHER_CODE), (SYMBOL, OTHER)
LEVELS = 10
"""Best levels a side that are compared."""
SPEED = 1.0
RECOVERY_S = 25.0
"""How long feeds may take once the venue is sound: silence of 1 s, a pause of 1 s at most, a whole book."""

Best = tuple[tuple[tuple[float, float], ...], tuple[tuple[float, float], ...]]


class RememberingBook(VenueBook):
    """A venue's book that knows what it has been, and in which order."""

    def __init__(self, book: VenueBook) -> None:
        levels = (tuple(side.levels.values()) for side in (book.bids, book.asks))
        super().__init__(OpeningBook(book.update_id, book.at_ms, *levels))
        self.was: dict[Best, int] = {self._best(): 0}

    def apply(self, update: DepthUpdate) -> bool:
        applied = super().apply(update)
        self.was[self._best()] = self.diffs
        return applied

    def _best(self) -> Best:
        bids, asks = (
            tuple((float(price), float(size)) for price, size in side.top(LEVELS))
            for side in (self.bids, self.asks)
        )
        return bids, asks


@dataclass
class Storm:
    """One venue, its feeds, and what was wrong with what they said."""

    venue: LoopbackVenue
    events: Events = field(default_factory=Events)
    compared: int = 0
    wrong: list[str] = field(default_factory=list)
    reached: dict[str, int] = field(default_factory=dict)

    def observe(self, market: MarketId, update_id: int, book: Book) -> None:
        """Hold that each book which a feed shows is one that the venue had, and none older than the last."""
        code = CODES[SYMBOLS.index(market.partition(":")[2])]
        kept = self.venue.market(code).book
        assert isinstance(kept, RememberingBook)
        sides = (book.side(side) for side in (Side.BID, Side.ASK))
        bids, asks = (
            tuple(zip(prices[:LEVELS].tolist(), sizes[:LEVELS].tolist(), strict=True))
            for prices, sizes in sides
        )
        number = kept.was.get((bids, asks))
        self.compared += 1
        if number is None:
            self.wrong.append(f"{market}: after update {update_id} it shows what never was")
        elif number < self.reached.get(code, 0):
            self.wrong.append(f"{market}: after update {update_id} it shows what was before")
        else:
            self.reached[code] = number

    def book_is_right(self, code: str, symbol: str) -> bool:
        """Whether the last sample of a market shows what the venue shows now, and is believed."""
        samples = [each for each in self.events.of(MarketFeatures) if each.market.endswith(symbol)][-1:]
        book = self.venue.market(code).book
        best = (book.bids.best_price(), book.asks.best_price())
        return any(each.status is BookStatus.OK and (each.bid, each.ask) == best for each in samples)

    def account_is_right(self) -> bool:
        """Whether the last snapshot of the account is what the venue has."""
        truth = self.venue.account_state(ACCOUNT.name)
        positions = {
            f"bybit:{SYMBOLS[CODES.index(each.symbol)]}": float(each.amount) for each in truth.positions
        }
        return any(
            {position.market: position.size for position in each.positions} == positions
            and each.wallet_usd is not None
            and abs(each.wallet_usd - float(truth.wallet_usdt)) < 0.01
            for each in self.events.of(AccountSnapshot)[-1:]
        )


async def through(faults: Sequence[Fault], *, seed: int, lasting_s: float) -> Storm:
    """Run the feeds of a sound venue, begin ``faults``, wait ``lasting_s``, end them, and wait for recovery.

    Raises:
        AssertionError: the feeds did not come to show the venue's books and account in time.
    """
    source = generated_source("calm", seed=seed, symbols=CODES, duration_s=3_600.0)
    loop = asyncio.get_running_loop()
    async with LoopbackVenue(source, accounts=[ACCOUNT], speed=SPEED, dialect="bybit") as venue:
        for code in CODES:
            market = venue.market(code)
            market.book = RememberingBook(market.book)
        storm = Storm(venue)
        credentials = AccountCredentials(
            api_key_env=ACCOUNT.api_key, api_secret_env=ACCOUNT.api_secret, trade_keys_allowed=True
        )
        settings = settings_for(
            venue.ccxt_urls(),
            *SYMBOLS,
            id="bybit",
            accounts={"main": credentials},
            silence_s_max=2.0,
            retry_s_max=1.0,
        )
        market_feed, accounts = feeds_for(settings, observer=storm.observe)
        async with running([market_feed, *accounts]) as events:
            storm.events = events
            await _until_right(storm)
            trader = loop.create_task(_trade(venue, Random(f"trader:{seed}")), name="storm-trader")
            venue.misbehave(*faults, seed=seed)
            until_s = loop.time() + lasting_s
            await eventually(lambda: loop.time() >= until_s, within_s=lasting_s + 5.0)
            venue.behave()
            trader.cancel()
            await asyncio.wait([trader])
            await _until_right(storm)
            await eventually(lambda: storm.compared > 3, within_s=RECOVERY_S, what="4 books to be compared")
        return storm


async def _until_right(storm: Storm) -> None:
    for code, symbol in zip(CODES, SYMBOLS, strict=True):
        await eventually(
            partial(storm.book_is_right, code, symbol),
            within_s=RECOVERY_S,
            what=f"{symbol} to be right: {storm.events.tail()}",
        )
    await eventually(
        storm.account_is_right, within_s=RECOVERY_S, what=f"the account to be right: {storm.events.tail()}"
    )


async def _trade(venue: LoopbackVenue, rng: Random) -> None:
    """Trade for the account now and then, whatever the faults."""
    while True:
        with suppress(Refusal):
            venue.trade(ACCOUNT.name, rng.choice(CODES), rng.choice((-0.02, -0.01, 0.01, 0.02)))
        await asyncio.sleep(rng.uniform(0.1, 0.5))
