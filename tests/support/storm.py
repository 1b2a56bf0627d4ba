"""Runs a venue's feeds through faults and holds what they say against the venue's own books and accounts."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter, OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from random import Random

from adapters.exchanges.transport import Transport
from adapters.simulation import Fault, LoopbackVenue
from adapters.simulation.book import VenueBook
from adapters.simulation.errors import Refusal
from adapters.simulation.source import OpeningBook
from adapters.simulation.wire import DepthUpdate
from guard.events import AccountSnapshot, BookStatus, MarketFeatures
from guard.market.book import Book, Side
from guard.units import MarketId
from tests.support.eventually import eventually
from tests.support.exchange_feeds import ACCOUNT, Events, feeds_for, running, settings_for
from tests.support.walk_market import WalkMarket

CODES = ("BTCUSDT", "ETHUSDT")
SYMBOLS = ("BTC/USDT:USDT", "ETH/USDT:USDT")
LEVELS = 10
"""Best levels a side that are compared."""

COMPARED_MIN = 4
"""Books that are compared at least, in the storm or in the calm after it."""
KEPT = 3_000
"""States of a book that are remembered: five minutes at ten a second."""
SPEED = 2.0
SILENCE_S = 1.5
"""After so long a silence a socket is closed: a machine that is busy with other things may stand still for a second."""
START_S = 40.0
RECOVERY_S = 30.0
"""How long feeds may take once the venue is sound: silence of 1 s, a pause of 1 s at most, a snapshot: some 4 s
where a machine has nothing else to do."""

CCXT_MODULES = ("ccxt.", "adapters.exchanges.ccxt_client", "adapters.exchanges.tapped_socket")

Best = tuple[tuple[tuple[float, float], ...], tuple[tuple[float, float], ...]]


class RememberingBook(VenueBook):
    """A venue's book that knows what it was at each of its update ids."""

    def __init__(self, book: VenueBook) -> None:
        levels = (tuple(side.levels.values()) for side in (book.bids, book.asks))
        super().__init__(OpeningBook(book.update_id, book.at_ms, *levels))
        self.was: OrderedDict[int, Best] = OrderedDict({self.update_id: self._best()})

    def apply(self, update: DepthUpdate) -> bool:
        if not super().apply(update):
            return False
        self.was[self.update_id] = self._best()
        if len(self.was) > KEPT:
            self.was.popitem(last=False)
        return True

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

    def observe(self, market: MarketId, update_id: int, book: Book) -> None:
        """Compare a feed's book with the venue's of the same update."""
        code = CODES[SYMBOLS.index(market.partition(":")[2])]
        kept = self.venue.market(code).book
        assert isinstance(kept, RememberingBook)
        truth = kept.was.get(update_id)
        shown = _best_of(book)
        self.compared += 1
        if truth is None:
            self.wrong.append(f"{market}: applied update {update_id}, which never was")
        elif shown != truth:
            self.wrong.append(f"{market} at {update_id}: {_difference(shown, truth)}")

    def book_is_right(self, code: str, symbol: str) -> bool:
        """Whether the last sample of a market shows what the venue shows now, and is believed."""
        samples = [each for each in self.events.of(MarketFeatures) if each.market.endswith(symbol)][-1:]
        best = _prices(self.venue.market(code).book)
        return any(each.status is BookStatus.OK and (each.bid, each.ask) == best for each in samples)

    def account_is_right(self) -> bool:
        """Whether the last snapshot of the account is what the venue has."""
        truth = self.venue.account_state(ACCOUNT.name)
        last = self.events.of(AccountSnapshot)[-1:]
        positions = {
            f"binanceusdm:{SYMBOLS[CODES.index(each.symbol)]}": float(each.amount) for each in truth.positions
        }
        return any(
            {position.market: position.size for position in each.positions} == positions
            and each.wallet_usd is not None
            and abs(each.wallet_usd - float(truth.wallet_usdt)) < 0.01
            for each in last
        )


def _best_of(book: Book) -> Best:
    sides = (book.side(side) for side in (Side.BID, Side.ASK))
    bids, asks = (
        tuple(zip(prices[:LEVELS].tolist(), sizes[:LEVELS].tolist(), strict=True)) for prices, sizes in sides
    )
    return bids, asks


def _prices(book: VenueBook) -> tuple[float | None, float | None]:
    return book.bids.best_price(), book.asks.best_price()


def _difference(shown: Best, truth: Best) -> str:
    for name, ours, theirs in zip(("bids", "asks"), shown, truth, strict=True):
        for number, (mine, its) in enumerate(zip(ours, theirs, strict=False)):
            if mine != its:
                return f"{name}[{number}] is {mine}, the venue has {its}"
        if len(ours) != len(theirs):
            return f"{len(ours)} {name}, the venue has {len(theirs)}"
    return "nothing"


def ccxt_objects() -> Counter[str]:
    """How many of ccxt's clients of a venue, and of their WebSockets, are alive in this process."""
    gc.collect()
    names = (
        type(each).__name__
        for each in gc.get_objects()
        if str(type(each).__module__).startswith(CCXT_MODULES)
    )
    return Counter(name for name in names if name in ("Client", "TappedSocket") or name.startswith("Tapped_"))


@contextmanager
def unhandled() -> Iterator[list[str]]:
    """Collect what the event loop is told of exceptions that nobody handled, those found by the collector too."""
    loop = asyncio.get_running_loop()
    found: list[str] = []
    before = loop.get_exception_handler()
    loop.set_exception_handler(lambda _, context: found.append(f"{context}"))
    try:
        yield found
        gc.collect()
    finally:
        loop.set_exception_handler(before)


async def through(
    faults: Sequence[Fault],
    *,
    seed: int,
    lasting_s: float,
    recovery_s: float = RECOVERY_S,
    wrong: list[str] | None = None,
    transport: Transport = Transport.AUTO,
) -> Storm:
    """Run the feeds of a sound venue, begin ``faults``, wait ``lasting_s``, end them, and wait for recovery.

    What was wrong is in ``wrong`` also where it raises.

    Raises:
        AssertionError: the feeds did not come to show the venue's books and account in time.
    """
    loop = asyncio.get_running_loop()
    async with LoopbackVenue(WalkMarket(CODES, seed), accounts=[ACCOUNT], speed=SPEED) as venue:
        for code in CODES:
            market = venue.market(code)
            market.book = RememberingBook(market.book)
        storm = Storm(venue)
        if wrong is not None:
            storm.wrong = wrong
        settings = settings_for(
            venue.ccxt_urls(),
            *SYMBOLS,
            account=True,
            silence_s_max=SILENCE_S,
            retry_s_max=1.0,
            transport=transport,
        )
        market_feed, accounts = feeds_for(settings, observer=storm.observe)
        async with running([market_feed, *accounts]) as events:
            storm.events = events
            await _until_right(storm, START_S)
            trader = loop.create_task(_trade(venue, Random(f"trader:{seed}")), name="storm-trader")
            venue.misbehave(*faults, seed=seed)
            await _passing(lasting_s)
            venue.behave()
            trader.cancel()
            await asyncio.wait([trader])
            await _until_right(storm, recovery_s)
            # A storm may leave no book standing for long enough; the calm after it must show some.
            await eventually(
                lambda: storm.compared >= COMPARED_MIN or bool(storm.wrong),
                within_s=recovery_s,
                what=f"{COMPARED_MIN} books to be compared",
            )
        return storm


async def _until_right(storm: Storm, within_s: float) -> None:
    for code, symbol in zip(CODES, SYMBOLS, strict=True):
        await eventually(
            partial(storm.book_is_right, code, symbol),
            within_s=within_s,
            what=f"{symbol} to be right: {storm.events.tail()}",
        )
    await eventually(
        storm.account_is_right, within_s=within_s, what=f"the account to be right: {storm.events.tail()}"
    )


async def _passing(lasting_s: float) -> None:
    loop = asyncio.get_running_loop()
    until_s = loop.time() + lasting_s
    await eventually(lambda: loop.time() >= until_s, within_s=lasting_s + 5.0)


async def _trade(venue: LoopbackVenue, rng: Random) -> None:
    """Trade for the account now and then, whatever the faults."""
    while True:
        with suppress(Refusal):
            venue.trade(ACCOUNT.name, rng.choice(CODES), rng.choice((-0.02, -0.01, 0.01, 0.02)))
        await asyncio.sleep(rng.uniform(0.1, 0.5))
