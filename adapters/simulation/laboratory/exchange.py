"""A venue's book of one symbol together with who holds what: every trade is cleared at once, in whole numbers.

Compiled where there is a compiler (exchange.pxd), and the same results as it is.
"""

from __future__ import annotations

from array import array
from typing import NamedTuple

from adapters.simulation.laboratory.book import OrderBook
from adapters.simulation.laboratory.grid import Grid
from adapters.simulation.laboratory.owners import ACCOUNTS, CROWD

_PPM = 1_000_000
_PPB = 1_000_000_000
_CROWD = CROWD
_ACCOUNTS = ACCOUNTS
_TRADES = 1024

TRADES_KEPT = _TRADES
"""So many of the latest trades are kept until they are asked for."""


class Trade(NamedTuple):
    """One print: ``side`` is the taker's."""

    now_ms: int
    side: int
    tick: int
    lots: int


class AccountFill(NamedTuple):
    """One fill of a bot's account; ``order`` is -1 for what matched as it came in. A fee below 0 is a rebate."""

    now_ms: int
    owner: int
    order: int
    side: int
    tick: int
    lots: int
    is_maker: bool
    fee_micros: int


class Exchange:
    """The book, and what every owner holds: ``lots_of`` (signed) and ``cash_of`` in micros, from nothing.

    Buying takes lots x tick x ``micros`` from the buyer's cash and gives it to the seller's; fees go to
    ``fees_micros`` and funding through ``funding_micros``. So always: the sum of all lots is 0, and the sum of all
    cash + ``fees_micros`` + ``funding_micros`` is 0. Sides are +1 buy, -1 sell. As declared in exchange.pxd::

        Exchange(grid, maker_fee_ppm=200, taker_fee_ppm=500)           ppm of the notional; below 0 a rebate
        book, micros, now_ms (set it each step; stamps trades)
        place(owner, side, tick, lots, post_only=False) -> order        as the book's; each fill is cleared
        take(owner, side, lots, limit_tick=0) -> filled lots
        cancel(order), shrink(order, lots), cancel_all(owner)           as the book's
        filled_lots, filled_micros, filled_fee_micros                   of the taker in the latest place or take
        hand_over(seller, buyer, lots, micros)                          outside of the book, for so much in all; no fee
        transfer(giver, taker, micros)                                  money only
        lots_of(owner), cash_of(owner), equity_of(owner, mark_tick) -> micros
        owners_count                                                    owners 0 .. owners_count - 1 have ever traded
        open_lots(crowd_long_lots=0) -> lots                            open interest: all longs
        longs_of_others(), shorts_of_others()                           all but the crowd; both >= 0
        fund(mark_tick, rate_ppb) -> micros                             longs pay shorts at rate > 0; all but the crowd;
                                                                        what they received in all
        pay_funding(owner, micros)                                      the crowd's part (below 0: it pays)
        bought_lots, sold_lots, bought_micros, sold_micros              of takers since take_volume()
        volume_lots                                                     of all trades, ever
        take_volume() -> (bought_lots, sold_lots, bought_micros, sold_micros)
        take_trades() -> list[Trade]                                    the latest 1,024 since asked, oldest first
        trades_lost                                                     how many were not kept, ever
        take_account_fills() -> list[AccountFill]                       of owners >= ACCOUNTS, since asked
    """

    def __init__(self, grid: Grid, maker_fee_ppm: int = 200, taker_fee_ppm: int = 500) -> None:
        self.grid = grid
        self.book = OrderBook(grid.ticks)
        self.micros = grid.micros
        self.maker_fee_ppm = maker_fee_ppm
        self.taker_fee_ppm = taker_fee_ppm
        self.now_ms = 0
        self.fees_micros = 0
        self.funding_micros = 0
        self.filled_lots = 0
        self.filled_micros = 0
        self.filled_fee_micros = 0
        self.bought_lots = 0
        self.sold_lots = 0
        self.bought_micros = 0
        self.sold_micros = 0
        self.volume_lots = 0
        self.trades_lost = 0
        self.owners_count = ACCOUNTS
        self._lots = array("q", bytes(8 * ACCOUNTS))
        self._cash = array("q", bytes(8 * ACCOUNTS))
        self._trade_ms = array("q", bytes(8 * TRADES_KEPT))
        self._trade_side = array("q", bytes(8 * TRADES_KEPT))
        self._trade_tick = array("q", bytes(8 * TRADES_KEPT))
        self._trade_lots = array("q", bytes(8 * TRADES_KEPT))
        self._trade_count = 0
        self._trade_asked = 0
        self._account_fills: list[AccountFill] = []

    # -- Orders ------------------------------------------------------------------------------------------------------

    def place(self, owner: int, side: int, tick: int, lots: int, post_only: bool = False) -> int:
        """Match what crosses and clear it, rest what is left; the order's number, -1 where nothing rests."""
        self._know(owner)
        order = self.book.place(owner, side, tick, lots, post_only)
        self._clear(owner, side)
        return order

    def take(self, owner: int, side: int, lots: int, limit_tick: int = 0) -> int:
        """Take lots, up to a limit price where there is one, and clear them; return how many were got."""
        self._know(owner)
        lots = self.book.take(owner, side, lots, limit_tick)
        self._clear(owner, side)
        return lots

    def cancel(self, order: int) -> int:
        """Take an order out; return the lots that were left of it."""
        return self.book.cancel(order)

    def shrink(self, order: int, lots: int) -> int:
        """Leave at most so many lots of an order, in its place in the queue; return how many were taken out."""
        return self.book.shrink(order, lots)

    def cancel_all(self, owner: int) -> int:
        """Take out all orders of an owner; return how many they were."""
        return self.book.cancel_all(owner)

    # -- Outside of the book -----------------------------------------------------------------------------------------

    def hand_over(self, seller: int, buyer: int, lots: int, micros: int) -> None:
        """Move lots (>= 0) from one owner to another for so much money in all, without fees and without the book."""
        self._know(seller)
        self._know(buyer)
        self._lots[seller] -= lots
        self._lots[buyer] += lots
        self._cash[seller] += micros
        self._cash[buyer] -= micros

    def transfer(self, giver: int, taker: int, micros: int) -> None:
        """Move money from one owner to another."""
        self._know(giver)
        self._know(taker)
        self._cash[giver] -= micros
        self._cash[taker] += micros

    def fund(self, mark_tick: int, rate_ppb: int) -> int:
        """Let all but the crowd pay funding: longs to shorts at a rate above 0, rounded towards nothing.

        Returns what they received in all (below 0: they paid). The crowd's part is ``pay_funding``.
        """
        received = 0
        for owner in range(self.owners_count):
            if owner == _CROWD or self._lots[owner] == 0:
                continue
            paid = funding_micros(self._lots[owner], mark_tick * self.micros, rate_ppb)
            self._cash[owner] -= paid
            received -= paid
        self.funding_micros -= received
        return received

    def pay_funding(self, owner: int, micros: int) -> None:
        """Pay funding to an owner (below 0: take it)."""
        self._know(owner)
        self._cash[owner] += micros
        self.funding_micros -= micros

    # -- What there is -----------------------------------------------------------------------------------------------

    def lots_of(self, owner: int) -> int:
        """Return what an owner holds, signed."""
        return self._lots[owner] if 0 <= owner < self.owners_count else 0

    def cash_of(self, owner: int) -> int:
        """Return an owner's money in micros, from nothing at the start."""
        return self._cash[owner] if 0 <= owner < self.owners_count else 0

    def equity_of(self, owner: int, mark_tick: int) -> int:
        """Return what an owner has won or lost so far, in micros, at a price."""
        return self.cash_of(owner) + self.lots_of(owner) * mark_tick * self.micros

    def longs_of_others(self) -> int:
        """Return the lots that owners other than the crowd hold long."""
        lots = 0
        for owner in range(self.owners_count):
            if owner != _CROWD and self._lots[owner] > 0:
                lots += self._lots[owner]
        return lots

    def shorts_of_others(self) -> int:
        """Return the lots that owners other than the crowd hold short, as a number >= 0."""
        lots = 0
        for owner in range(self.owners_count):
            if owner != _CROWD and self._lots[owner] < 0:
                lots -= self._lots[owner]
        return lots

    def open_lots(self, crowd_long_lots: int = 0) -> int:
        """Return the open interest: the crowd's longs, which ``Crowd`` knows, and those of all others."""
        return crowd_long_lots + self.longs_of_others()

    def take_volume(self) -> tuple[int, int, int, int]:
        """Return lots bought and sold by takers and the micros paid for them since this was last asked."""
        volume = (self.bought_lots, self.sold_lots, self.bought_micros, self.sold_micros)
        self.bought_lots = 0
        self.sold_lots = 0
        self.bought_micros = 0
        self.sold_micros = 0
        return volume

    def take_trades(self) -> list[Trade]:
        """Return the trades since this was last asked, oldest first; of more than 1,024 the latest."""
        first = self._trade_asked
        if self._trade_count - first > _TRADES:
            first = self._trade_count - _TRADES
            self.trades_lost += first - self._trade_asked
        trades = []
        for number in range(first, self._trade_count):
            at = number & (_TRADES - 1)
            trades.append(
                Trade(self._trade_ms[at], self._trade_side[at], self._trade_tick[at], self._trade_lots[at])
            )
        self._trade_asked = self._trade_count
        return trades

    def take_account_fills(self) -> list[AccountFill]:
        """Return the fills of bots' accounts since this was last asked."""
        fills = self._account_fills
        self._account_fills = []
        return fills

    # -- Inside ------------------------------------------------------------------------------------------------------

    def _know(self, owner: int) -> int:
        if owner < 0:
            raise ValueError(f"no owner has the number {owner}")
        if owner >= self.owners_count:
            more = array("q", bytes(8 * (owner + 1 - self.owners_count)))
            self._lots = array("q", self._lots) + more
            self._cash = array("q", self._cash) + more
            self.owners_count = owner + 1
        return 0

    def _clear(self, taker: int, side: int) -> int:
        """Give each fill of the latest call to both sides, with their fees."""
        book = self.book
        self.filled_lots = 0
        self.filled_micros = 0
        self.filled_fee_micros = 0
        for fill in range(book.fill_count):
            maker = book.fill_owner(fill)
            tick = book.fill_tick(fill)
            lots = book.fill_lots(fill)
            micros = lots * tick * self.micros
            maker_fee = fee_micros(micros, self.maker_fee_ppm)
            taker_fee = fee_micros(micros, self.taker_fee_ppm)
            self._lots[taker] += side * lots
            self._lots[maker] -= side * lots
            self._cash[taker] -= side * micros + taker_fee
            self._cash[maker] += side * micros - maker_fee
            self.fees_micros += maker_fee + taker_fee
            self.filled_lots += lots
            self.filled_micros += micros
            self.filled_fee_micros += taker_fee
            at = self._trade_count & (_TRADES - 1)
            self._trade_ms[at] = self.now_ms
            self._trade_side[at] = side
            self._trade_tick[at] = tick
            self._trade_lots[at] = lots
            self._trade_count += 1
            if maker >= _ACCOUNTS or taker >= _ACCOUNTS:
                self._tell_accounts(fill, taker, side, maker_fee, taker_fee)
        self.volume_lots += self.filled_lots
        if side > 0:
            self.bought_lots += self.filled_lots
            self.bought_micros += self.filled_micros
        else:
            self.sold_lots += self.filled_lots
            self.sold_micros += self.filled_micros
        return 0

    def _tell_accounts(self, fill: int, taker: int, side: int, maker_fee: int, taker_fee: int) -> int:
        tick = self.book.fill_tick(fill)
        lots = self.book.fill_lots(fill)
        maker = self.book.fill_owner(fill)
        if taker >= _ACCOUNTS:
            self._account_fills.append(
                AccountFill(self.now_ms, taker, -1, side, tick, lots, False, taker_fee)
            )
        if maker >= _ACCOUNTS:
            order = self.book.fill_order(fill)
            self._account_fills.append(
                AccountFill(self.now_ms, maker, order, -side, tick, lots, True, maker_fee)
            )
        return 0


def fee_micros(micros: int, ppm: int) -> int:
    """Return a fee on an amount (>= 0), rounded towards nothing; below 0 at a rate below 0."""
    size = ppm if ppm >= 0 else -ppm
    # Taken apart so that 64 bits hold every product.
    fee = (micros // _PPM) * size + (micros % _PPM) * size // _PPM
    return fee if ppm >= 0 else -fee


def funding_micros(lots: int, lot_micros: int, rate_ppb: int) -> int:
    """Return what a position of so many lots (signed), each worth so many micros, pays; below 0 where it receives."""
    size = lots if lots >= 0 else -lots
    rate = rate_ppb if rate_ppb >= 0 else -rate_ppb
    notional = size * lot_micros
    paid = (notional // _PPB) * rate + (notional % _PPB) * rate // _PPB
    return paid if (lots >= 0) == (rate_ppb >= 0) else -paid
