"""Hyperliquid's feeds under storms of faults: never a book that was not, and always back.

A seed that fails replays: set STORM_SEEDS to it (``17``, or ``0-50``).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from contextlib import suppress
from random import Random

from adapters.exchanges import AccountCredentials
from adapters.simulation import Fault, FaultKind, LoopbackVenue, fault_schedule, generated_source
from adapters.simulation.errors import Refusal
from adapters.simulation.hyperliquid import address_of
from guard.events import AccountSnapshot, BookStatus, MarketFeatures
from guard.market.book import Book, Side
from guard.units import MarketId
from tests.support.eventually import eventually
from tests.support.exchange_feeds import ACCOUNT, Events, feeds_for, running, settings_for
from tests.support.storm import RememberingBook, unhandled

CODE, SYMBOL = "BTCUSDT", "BTC/USDC:USDC"
SEEDS = "0-2"
MIXED_S, SETTLED_S = 2.5, 4.0
LEVELS = 10
RECOVERY_S = 25.0
"""Silence of 2 s, a pause of 1 s at most, ccxt's own before it dials, and a block."""


def seeds() -> list[int]:
    first, _, last = os.environ.get("STORM_SEEDS", SEEDS).partition("-")
    return list(range(int(first), int(last or first) + 1))


class Storm:
    """One venue and its feeds; every book that they show must be one that the venue has had."""

    def __init__(self, seed: int) -> None:
        source = generated_source("calm", seed=seed, symbols=[CODE], duration_s=3_600.0)
        self.seed = seed
        self.venue = LoopbackVenue(source, accounts=[ACCOUNT], dialect="hyperliquid")
        self.book = self.venue.market(CODE).book = RememberingBook(self.venue.market(CODE).book)
        self.compared = 0
        self.wrong: list[str] = []

    def observe(self, market: MarketId, number: int, book: Book) -> None:
        sides = (book.side(side) for side in (Side.BID, Side.ASK))
        shown = tuple(
            tuple(zip(prices[:LEVELS].tolist(), sizes[:LEVELS].tolist(), strict=True))
            for prices, sizes in sides
        )
        self.compared += 1
        if shown not in self.book.was.values():
            self.wrong.append(f"seed {self.seed}: {market} at {number} shows what never was: {shown[0][:2]}")

    async def through(self, faults: Sequence[Fault]) -> list[str]:
        """Run the feeds, begin the faults, end them; return what was wrong. AssertionError if they stay so."""
        loop = asyncio.get_running_loop()
        async with self.venue as venue:
            settings = settings_for(
                venue.ccxt_urls(),
                SYMBOL,
                id="hyperliquid",
                accounts={"main": AccountCredentials(wallet_address=address_of(ACCOUNT))},
                silence_s_max=2.0,
                retry_s_max=1.0,
            )
            market_feed, accounts = feeds_for(settings, observer=self.observe)
            async with running([market_feed, *accounts]) as events:
                await self._until_right(events)
                trader = loop.create_task(self._trade(), name="storm-trader")
                venue.misbehave(*faults, seed=self.seed)
                until_s = loop.time() + SETTLED_S
                await eventually(lambda: loop.time() >= until_s, within_s=SETTLED_S + 5.0)
                venue.behave()
                trader.cancel()
                await asyncio.wait([trader])
                await self._until_right(events)
                await eventually(lambda: self.compared > 1, within_s=RECOVERY_S, what="2 books compared")
        return self.wrong[:3] + ([] if self.compared > 1 else [f"only {self.compared} books were compared"])

    async def _until_right(self, events: Events) -> None:
        what = f"seed {self.seed} to be right"
        await eventually(lambda: self._book_is_right(events), within_s=RECOVERY_S, what=f"book of {what}")
        await eventually(
            lambda: self._account_is_right(events), within_s=RECOVERY_S, what=f"account of {what}"
        )

    def _book_is_right(self, events: Events) -> bool:
        best = (self.book.bids.best_price(), self.book.asks.best_price())
        last = events.of(MarketFeatures)[-1:]
        return any(each.status is BookStatus.OK and (each.bid, each.ask) == best for each in last)

    def _account_is_right(self, events: Events) -> bool:
        truth = self.venue.account_state(ACCOUNT.name)
        sizes = [float(position.amount) for position in truth.positions]
        return any(
            [position.size for position in each.positions] == sizes
            and each.wallet_usd is not None
            and abs(each.wallet_usd - float(truth.wallet_usdt)) < 0.01
            for each in events.of(AccountSnapshot)[-1:]
        )

    async def _trade(self) -> None:
        """Trade for the account now and then, whatever the faults."""
        rng = Random(f"trader:{self.seed}")
        while True:
            with suppress(Refusal):
                self.venue.trade(ACCOUNT.name, CODE, rng.choice((-0.02, -0.01, 0.01, 0.02)))
            await asyncio.sleep(rng.uniform(0.1, 0.5))


async def test_storms_of_every_kind_never_show_a_wrong_book_and_pass() -> None:
    """Storms side by side, and one in which a silent venue takes subscriptions without a word."""
    with unhandled() as exceptions:
        mute = Storm(99).through([Fault(kind=FaultKind.SILENCE, pongs=False)])
        mixed = (Storm(seed).through(fault_schedule(seed, MIXED_S, 4.0, symbols=[CODE])) for seed in seeds())
        found = await asyncio.gather(mute, *mixed)
    assert [problem for each in found for problem in each] == []
    assert exceptions == []
