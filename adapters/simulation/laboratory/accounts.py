"""Bots' accounts among those who trade in the laboratory: their orders in its books, in the venue's own words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from adapters.simulation.laboratory.exchange import Exchange
from adapters.simulation.laboratory.owners import ACCOUNTS, ENGINE
from adapters.simulation.laboratory.parameters import SymbolParameters
from adapters.simulation.orders import Side
from adapters.simulation.reactive import Offer, RestingFill

ZERO = Decimal(0)


@dataclass(slots=True)
class _Resting:
    order_id: int
    symbol: str
    owner: int
    number: int
    """In the book."""


@dataclass(frozen=True, slots=True)
class TradedBook:
    """One book, and the units that its whole numbers stand for."""

    exchange: Exchange
    tick: Decimal
    lot: Decimal

    @classmethod
    def of(cls, symbol: SymbolParameters, exchange: Exchange) -> TradedBook:
        return cls(exchange, symbol.tick, symbol.lot)

    def ticks(self, price: Decimal) -> int:
        """A price that is a multiple of the tick, in ticks."""
        return int(price / self.tick)

    def lots(self, size: Decimal) -> int:
        return int(size / self.lot)


class AccountOrders:
    """Takes accounts' orders into the books of one venue, and says what became of them.

    Every account is an owner of its own, from ``owners.ACCOUNTS`` on, the same at every book of the venue.
    """

    def __init__(self, books: Mapping[str, TradedBook]) -> None:
        self._books = books
        self._owners: dict[str, int] = {}
        self._resting: dict[int, _Resting] = {}
        self._by_number: dict[tuple[str, int], _Resting] = {}
        self._expired: list[int] = []

    def owner(self, account: str) -> int:
        """The number of an account in the laboratory; a new one for a name that was not heard yet."""
        return self._owners.setdefault(account, ACCOUNTS + len(self._owners))

    def best(self, symbol: str, side: Side) -> Decimal | None:
        """See ``ReactiveSource``, as of everything below."""
        book = self._books[symbol].exchange.book
        tick = book.best_ask if side is Side.BUY else book.best_bid
        return self._books[symbol].tick * tick if 0 < tick < book.ticks else None

    def price_max(self, symbol: str) -> Decimal:
        traded = self._books[symbol]
        return traded.tick * (traded.exchange.book.ticks - 1)

    def offered(self, symbol: str, side: Side, limit: Decimal, enough: Decimal) -> Decimal:
        traded = self._books[symbol]
        book = traded.exchange.book
        everything = book.ticks - 1 if side is Side.BUY else 1
        farthest = traded.ticks(limit) if limit else everything
        return min(book.lots_within(-side.sign, farthest) * traded.lot, enough)

    def take(self, account: str, symbol: str, side: Side, size: Decimal, limit: Decimal) -> list[Offer]:
        traded = self._books[symbol]
        owner = self.owner(account)
        traded.exchange.take(owner, side.sign, traded.lots(size), traded.ticks(limit))
        self._look_for_expired(owner, symbol)
        return _got(traded)

    def place(
        self, account: str, symbol: str, order_id: int, side: Side, size: Decimal, price: Decimal
    ) -> list[Offer]:
        traded = self._books[symbol]
        owner = self.owner(account)
        number = traded.exchange.place(owner, side.sign, traded.ticks(price), traded.lots(size))
        got = _got(traded)
        self._look_for_expired(owner, symbol)
        if number >= 0:
            resting = _Resting(order_id, symbol, owner, number)
            self._resting[order_id] = self._by_number[symbol, number] = resting
        return got

    def standing(self, order_id: int) -> Decimal:
        resting = self._resting.get(order_id)
        if resting is None:
            return ZERO
        traded = self._books[resting.symbol]
        return traded.exchange.book.lots_left(resting.number) * traded.lot

    def shrink(self, order_id: int, size: Decimal) -> None:
        resting = self._resting.get(order_id)
        if resting is None:
            return
        traded = self._books[resting.symbol]
        if size > ZERO:
            traded.exchange.shrink(resting.number, traded.lots(size))
            return
        traded.exchange.cancel(resting.number)
        self._forget(resting)

    def take_fills(self) -> list[RestingFill]:
        fills, gone = [], []
        for symbol, traded in self._books.items():
            for fill in traded.exchange.take_account_fills():
                if not fill.is_maker:
                    continue  # the account that took was answered at once
                resting = self._by_number[symbol, fill.order]
                fills.append(RestingFill(resting.order_id, traded.tick * fill.tick, traded.lot * fill.lots))
                if not traded.exchange.book.lots_left(fill.order):
                    gone.append(resting)
        for resting in gone:
            self._forget(resting)
        return fills

    def take_expired(self) -> list[int]:
        expired, self._expired = self._expired, []
        return expired

    def hand_over(self, account: str, symbol: str, side: Side, size: Decimal, price: Decimal) -> None:
        """Let the venue's engine take the other side, which holds it from then on as what no book took of others."""
        traded = self._books[symbol]
        exchange, lots = traded.exchange, traded.lots(size)
        seller, buyer = self.owner(account), ENGINE
        if side is Side.BUY:
            seller, buyer = buyer, seller
        exchange.hand_over(seller, buyer, lots, lots * traded.ticks(price) * exchange.micros)

    def _look_for_expired(self, owner: int, symbol: str) -> None:
        """Find resting orders that the owner's own order met: the book has cancelled them."""
        book = self._books[symbol].exchange.book
        for resting in list(self._resting.values()):
            is_own = resting.owner == owner and resting.symbol == symbol
            if is_own and not book.lots_left(resting.number):
                self._expired.append(resting.order_id)
                self._forget(resting)

    def _forget(self, resting: _Resting) -> None:
        self._by_number.pop((resting.symbol, resting.number), None)
        self._resting.pop(resting.order_id, None)


def _got(traded: TradedBook) -> list[Offer]:
    """What the latest order got at once, one entry a price."""
    book = traded.exchange.book
    got: dict[int, int] = {}
    for fill in range(book.fill_count):
        tick = book.fill_tick(fill)
        got[tick] = got.get(tick, 0) + book.fill_lots(fill)
    return [(traded.tick * tick, traded.lot * lots) for tick, lots in got.items()]
