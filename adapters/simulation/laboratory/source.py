"""The laboratory as a market of the loopback venue: played as time is, with bots' orders in its books."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal

from adapters.simulation.laboratory.accounts import AccountOrders, TradedBook
from adapters.simulation.laboratory.frames import BookFrames, ForcedOrders
from adapters.simulation.laboratory.laboratory import Laboratory
from adapters.simulation.laboratory.parameters import Episode
from adapters.simulation.laboratory.playing import LaboratoryPlay, Twins
from adapters.simulation.laboratory.stage import Stage, StagedBook
from adapters.simulation.orders import Side
from adapters.simulation.payloads import plain
from adapters.simulation.reactive import Offer, RestingFill
from adapters.simulation.source import Frame, OpeningBook, SymbolSpec

NS_PER_MS = 1_000_000
MARK_MS = 1_000
"""Marks and open interest are told every so often, when the laboratory measures them."""

FIRST_ID = 5_000_000_000_000


def laboratory_source(episode: Episode, venue: str = "binanceusdm") -> LaboratorySource:
    """Play one venue of an episode on a loopback venue, whichever language that speaks.

    The other venues of the episode are there as well, unseen; ``LaboratoryVenues`` shows several.

    Args:
        episode: all that happens but what accounts do: an equal one with equal orders plays out equally.
        venue: one of the episode's, by ccxt's id.

    Raises:
        ValueError: the episode has no such venue.
    """
    return LaboratorySource(Stage(lambda: LaboratoryPlay(Laboratory(episode))), venue)


def twin_sources(
    laboratories: Mapping[str, Laboratory], venue: str = "binanceusdm"
) -> dict[str, LaboratorySource]:
    """Play laboratories of one episode by one clock: worlds that differ by what accounts do in them, and only so.

    Args:
        laboratories: by the names that the sources go by; played once.
        venue: of the episode's, the one that is shown of each.

    Raises:
        ValueError: the episode has no such venue.
    """
    plays = {name: LaboratoryPlay(laboratory) for name, laboratory in laboratories.items()}
    stage = Stage(lambda: Twins(plays, venue))
    return {name: LaboratorySource(stage, name) for name in plays}


class LaboratorySource:
    """A ``ReactiveSource``: one venue of a play. See ``laboratory_source``."""

    def __init__(self, stage: Stage, venue: str) -> None:
        self._stage = stage
        self.venue = venue
        self.turns = -1
        """Steps that were asked for; -1 before the venue begins."""
        self._moving: Callable[[int], None] = _nobody_before
        self._moved: Callable[[], None] = _nobody_after
        self._start_at_ns = 0
        self._set_up()
        stage.join(self)

    def _set_up(self) -> None:
        play = self._stage.play
        self._books = {book.symbol.symbol: book for book in play.books(self.venue)}
        traded = {code: TradedBook.of(book.symbol, book.exchange) for code, book in self._books.items()}
        self._frames = {code: BookFrames(code, each, FIRST_ID) for code, each in traded.items()}
        self._forced = {code: ForcedOrders(code, play.feed(self.venue)) for code in self._books}
        self._orders = AccountOrders(traded)
        self._openings = {code: frames.opening() for code, frames in self._frames.items()}
        self._marks_due_ms = 0

    # -- the market ----------------------------------------------------------------------------------

    @property
    def specs(self) -> Sequence[SymbolSpec]:
        return tuple(
            SymbolSpec(
                symbol=code,
                base=code.removesuffix("USDT"),
                tick=book.symbol.tick,
                step=book.symbol.lot,
                funding_rate=Decimal(f"{book.quote().rate:.8f}"),
                open_interest=book.quote().open_lots * book.symbol.lot,
                past=book.past,
            )
            for code, book in self._books.items()
        )

    def opening(self, symbol: str) -> OpeningBook:
        return self._openings[symbol]

    def taken(self, symbol: str, side: str, size: Decimal, price: Decimal) -> None:
        """Ignore: what accounts take is taken here in the first place."""

    def frames(self, start_at_ns: int) -> Iterator[Frame]:
        """Play alone, without accounts: for recordings.

        Raises:
            RuntimeError: another venue plays the same market.
        """
        if self._stage.is_shared:
            raise RuntimeError("this market is played on several venues: no one of them can play it alone")
        self.begin(start_at_ns)
        while (at_ns := self.next_at_ns) is not None:
            self.advance()
            yield from self.react(at_ns)

    def begin(
        self,
        start_at_ns: int,
        moving: Callable[[int], None] = lambda _: None,
        moved: Callable[[], None] = lambda: None,
    ) -> None:
        if self.turns >= 0:
            self._stage.again()
            self._set_up()
        self._start_at_ns = self._stage.begin(start_at_ns)
        self._moving, self._moved = moving, moved
        self.turns = 0

    @property
    def next_at_ns(self) -> int | None:
        play = self._stage.play
        next_ms = (max(self.turns, 0) + 1) * play.step_ms
        return self._start_at_ns + next_ms * NS_PER_MS if next_ms <= play.duration_ms else None

    async def turn(self) -> None:
        await self._stage.turn(self)

    def advance(self) -> None:
        self.turns += 1
        self._stage.advance(self)

    def moving(self, at_ns: int) -> None:
        """A step is about to be made, by this venue or by another one."""
        self._moving(at_ns)

    def moved(self) -> None:
        """It was made: clients hear of it at once."""
        self._moved()

    def leave(self) -> None:
        self._stage.leave(self)

    def react(self, at_ns: int) -> Sequence[Frame]:
        if self._stage.play.is_out(self.venue):
            self._lose()
            return ()
        frames: list[Frame] = []
        for code, book in self._books.items():
            frames += self._frames[code].changes(at_ns)
            frames += self._liquidations(code, book, at_ns)
        now_ms = self._stage.play.now_ms
        if self.turns >= 0 and now_ms >= self._marks_due_ms:
            self._marks_due_ms = now_ms - now_ms % MARK_MS + MARK_MS
            for code, book in self._books.items():
                frames += self._terms(code, book, at_ns)
        return frames

    # -- trading -------------------------------------------------------------------------------------

    @property
    def takes_orders(self) -> bool:
        return not self._stage.play.is_out(self.venue)

    def best(self, symbol: str, side: Side) -> Decimal | None:
        return self._orders.best(symbol, side)

    def price_max(self, symbol: str) -> Decimal:
        return self._orders.price_max(symbol)

    def offered(self, symbol: str, side: Side, limit: Decimal, enough: Decimal) -> Decimal:
        return self._orders.offered(symbol, side, limit, enough)

    def take(self, account: str, symbol: str, side: Side, size: Decimal, limit: Decimal) -> list[Offer]:
        return self._orders.take(account, symbol, side, size, limit)

    def place(
        self, account: str, symbol: str, order_id: int, side: Side, size: Decimal, price: Decimal
    ) -> list[Offer]:
        return self._orders.place(account, symbol, order_id, side, size, price)

    def standing(self, order_id: int) -> Decimal:
        return self._orders.standing(order_id)

    def shrink(self, order_id: int, size: Decimal) -> None:
        self._orders.shrink(order_id, size)

    def take_fills(self) -> list[RestingFill]:
        return self._orders.take_fills()

    def take_expired(self) -> list[int]:
        return self._orders.take_expired()

    def hand_over(self, account: str, symbol: str, side: Side, size: Decimal, price: Decimal) -> None:
        self._orders.hand_over(account, symbol, side, size, price)

    def liquidated(self, symbol: str, side: Side, size: Decimal, price: Decimal, average: Decimal) -> None:
        self._forced[symbol].add(side.value, plain(size), plain(price), plain(average))

    @property
    def asset_prices(self) -> Mapping[str, Decimal]:
        prices = self._stage.play.asset_prices(self.venue)
        return {asset: Decimal(f"{price:.8f}") for asset, price in prices.items()}

    def owner(self, account: str) -> int:
        """The number of an account in the laboratory, for tests and benchmarks."""
        return self._orders.owner(account)

    # -- inside --------------------------------------------------------------------------------------

    def _liquidations(self, code: str, book: StagedBook, at_ns: int) -> Sequence[Frame]:
        texts, forced = self._frames[code], self._forced[code]
        for each in book.forced():
            forced.add(
                (Side.BUY if each.side > 0 else Side.SELL).value,
                texts.size_text(each.lots),
                texts.price_text(round(each.bankruptcy_tick)),
                texts.price_text(round(each.average_tick)),
            )
        return forced.due(at_ns)

    def _terms(self, code: str, book: StagedBook, at_ns: int) -> Sequence[Frame]:
        quote, texts = book.quote(), self._frames[code]
        next_funding_ms = self._start_at_ns // NS_PER_MS + quote.next_funding_ms
        return (
            texts.mark(at_ns, quote.mark_price, quote.index_price, quote.rate, next_funding_ms),
            texts.open_interest(at_ns, quote.open_lots),
        )

    def _lose(self) -> None:
        """Say nothing of what happens now: books are told as they are when the venue is back, trades never."""
        for code, book in self._books.items():
            book.exchange.take_trades()
            for _ in book.forced():
                pass
            self._forced[code].forget()


def _nobody_before(at_ns: int) -> None:
    """Nobody plays this yet."""


def _nobody_after() -> None:
    """Nobody plays this yet."""
