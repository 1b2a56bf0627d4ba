"""The venue's liquidation engine at one book: into the book, then to the insurance fund, then against who has won.

Compiled where there is a compiler (liquidation_engine.pxd), and the same results as it is.
"""

from __future__ import annotations

from array import array
from typing import NamedTuple

import numpy as np

from adapters.simulation.laboratory.deleverage import ranked, scored
from adapters.simulation.laboratory.owners import CROWD, ENGINE
from adapters.simulation.laboratory.parameters import LiquidationParameters
from adapters.simulation.laboratory.positions import Positions
from adapters.simulation.laboratory.truth import ClosedBy

_CROWD = CROWD
_ENGINE = ENGINE

FUND_RESERVE_RATIO = 0.1
"""What the fund holds must be backed by so much of it: it expects to lose that much on it."""

UNWIND_DIVISOR = 20
"""The fund sells what it holds at so small a part of the pace at which positions are liquidated."""

UNWIND_BPS = 100
"""And not farther from the mark than this."""

_RESERVE = FUND_RESERVE_RATIO
_UNWIND_DIVISOR = UNWIND_DIVISOR
_UNWIND_BPS = UNWIND_BPS

_RANKED_FIRST = 64

LOG_MAX = 65_536
"""Liquidations kept until they are asked for."""

TOLD_MS = 1_000
"""What the book takes of a position in slices is told as one, when the position is gone or so long after the first."""

SELLING_MAX = 4_096
"""Of so many positions at once; the one that was begun first is told then."""


_TOLD_MS = TOLD_MS
_SELLING_MAX = SELLING_MAX


class Liquidated(NamedTuple):
    """One closing by the venue. Prices are ticks, fractions of one too."""

    now_ms: int
    """When it was done, or for a second under way."""
    position: int
    """Its number, which it keeps."""
    lots: int
    """Signed as the position was: a long is positive."""
    tick: float
    """Average of what was got; the bankruptcy price where no book took it."""
    bankruptcy_tick: float
    leverage: float
    closed_by: ClosedBy


class LiquidationEngine:
    """Closes what has no maintenance margin left; ``book_lots``, ``fund_lots`` and ``deleveraged_lots`` by whom, ever.

    A position is sold into the book down to its bankruptcy price, with ``partial`` only so much of it that what is
    left is in the bracket below. While it has equity at the mark and the book gives nothing, it waits. Without, the
    fund takes it at the bankruptcy price while the fund lasts; then those on the other side who gained most must close
    against it.
    """

    def __init__(self, positions: Positions, parameters: LiquidationParameters) -> None:
        self.positions = positions
        self.exchange = positions.exchange
        self.book = positions.book
        self.micros = positions.micros
        self.fee_ratio = parameters.fee_ratio
        self.fund_use_ratio = parameters.fund_use_ratio
        self.takeover_ratio = parameters.takeover_bps * 1e-4
        self.taker_ratio = positions.exchange.taker_fee_ppm * 1e-6
        self.is_partial = parameters.partial
        self.now_ms = 0
        self.mark_tick = 0
        self.budget = 0
        self.book_lots = 0
        self.fund_lots = 0
        self.deleveraged_lots = 0
        self.liquidations = 0
        self.logged: list[Liquidated] = []
        self.log_lost = 0
        self.selling: dict[int, tuple[int, int, int, float, float]] = {}
        self.rank = array("q", bytes(8))
        self.rank_among = np.empty(0, dtype=np.int64)
        self.rank_scores = np.empty(0)
        self.rank_count = 0
        self.rank_at = 0
        self.rank_side = 0

    def liquidate(self, now_ms: int, mark_tick: int, lots_max: int) -> int:
        """Close what is due at a mark; the book is given ``lots_max`` at most, the rest of that waits. Returns lots."""
        positions = self.positions
        self.now_ms = now_ms
        self.mark_tick = mark_tick
        self.budget = lots_max
        self.rank_side = 0
        closed = 0
        if positions.falls.is_reached(mark_tick):
            count = positions.falls.gather(mark_tick)
            for i in range(count):
                closed += self._close(positions.falls.found[i])
        if positions.rises.is_reached(mark_tick):
            count = positions.rises.gather(mark_tick)
            for i in range(count):
                closed += self._close(positions.rises.found[i])
        if self.exchange.lots_of(_ENGINE) != 0:
            self._unwind(lots_max // _UNWIND_DIVISOR)
        self.tell(now_ms, False)
        return closed

    def tell(self, now_ms: int, everything: bool) -> int:
        """Log what the book has been taking of positions for a second by now, or ``everything`` that it took."""
        self.now_ms = now_ms
        while self.selling:
            number = next(iter(self.selling))
            if not everything and now_ms < self.selling[number][0] + _TOLD_MS:
                break
            self._tell(number)
        return 0

    def fund_equity(self, mark_tick: int) -> int:
        """Return what the insurance fund has with what it took over, micros, at a mark."""
        return self.positions.fund_micros + self.exchange.equity_of(_ENGINE, mark_tick)

    def fund_room(self) -> float:
        """Return how much of the fund may still be used up, micros; what it holds is reserved for."""
        opening = self.positions.fund_opening
        engine = self.exchange.lots_of(_ENGINE)
        held = engine if engine > 0 else -engine
        reserved = _RESERVE * held * self.mark_tick * self.micros
        return self.fund_use_ratio * opening - (opening - self.fund_equity(self.mark_tick)) - reserved

    def take_liquidations(self) -> list[Liquidated]:
        """Return what was closed since this was last asked, but for what the book is still taking (``tell``)."""
        logged = self.logged
        self.logged = []
        return logged

    def _close(self, slot: int) -> int:
        positions = self.positions
        lots = positions.lots[slot]
        if lots == 0:
            return 0
        side = 1 if lots > 0 else -1
        size = lots if lots > 0 else -lots
        equity = positions.equity(slot, self.mark_tick)
        bankruptcy = 1.0 * (positions.cost[slot] - positions.margin[slot]) / (lots * self.micros)
        due = size if equity <= 0 else self._due(size)
        limit = self._limit_tick(side, bankruptcy)
        closed = self._into_book(slot, side, due, limit, due < size, bankruptcy)
        if equity > 0 or closed == due:
            return closed
        most = self._lots_beyond(bankruptcy)
        if most > 0:
            limit = self._limit_tick(side, bankruptcy * (1.0 - side * self.takeover_ratio))
            closed += self._into_book(slot, side, min(due - closed, most), limit, False, bankruptcy)
        if closed < due and not (self.budget <= 0 and self._is_offered(side, limit)):
            closed += self._take_over(slot, side, bankruptcy)
        return closed

    def _is_offered(self, side: int, limit: int) -> bool:
        """Tell whether the book has anything for it within a price."""
        return self.book.best_bid >= limit if side > 0 else self.book.best_ask <= limit

    def _limit_tick(self, side: int, price: float) -> int:
        """Tell the worst tick at which the book may have it for not less than a price, after the fees of that."""
        if side > 0:
            price /= 1.0 - self.taker_ratio
            if price <= 1.0:
                return 1
            if price >= self.book.ticks:
                return self.book.ticks
            tick = int(price)
            return tick + 1 if tick < price else tick
        price /= 1.0 + self.taker_ratio
        if price <= 0.0:
            return 0
        return int(price) if price < self.book.ticks - 1 else self.book.ticks - 1

    def _lots_beyond(self, bankruptcy: float) -> int:
        """Tell how many lots the fund can afford to be sold beyond their bankruptcy price."""
        if self.takeover_ratio <= 0.0:
            return 0
        return self._lots_for(self.takeover_ratio * max(bankruptcy, 1.0))

    def _lots_for(self, loss_ticks: float) -> int:
        """Tell on how many lots the fund can afford to lose so many ticks each."""
        room = self.fund_room()
        if room <= 0.0:
            return 0
        lots = room / (loss_ticks * self.micros)
        return int(lots) if lots < 1e15 else 1_000_000_000_000_000

    def _due(self, size: int) -> int:
        """Tell how many lots must go: down to the bracket below, or all of it."""
        brackets = self.positions.brackets
        lot_micros = 1.0 * self.mark_tick * self.micros
        bracket = brackets.bracket_at(size * lot_micros)
        if not self.is_partial or bracket == 0:
            return size
        floor = brackets.floor_of(bracket)
        kept = int(floor / lot_micros)
        if kept * lot_micros >= floor:
            kept -= 1
        return size - kept

    def _into_book(
        self, slot: int, side: int, lots: int, limit: int, keeps_margin: bool, bankruptcy: float
    ) -> int:
        positions = self.positions
        lots = min(lots, self.budget)
        if lots <= 0 or not self._is_offered(side, limit):
            return 0
        filled = self.exchange.take(_CROWD, -side, lots, limit)
        if filled == 0:
            return 0
        micros = self.exchange.filled_micros
        number = positions.number[slot]
        leverage = positions.leverage[slot]
        fee = int(self.fee_ratio * micros)
        due = positions.settle(slot, filled, side * micros - self.exchange.filled_fee_micros, keeps_margin)
        if keeps_margin:
            positions.charge(slot, fee)
            positions.relocate(slot)
        else:
            fee = min(fee, due) if due > 0 else 0
            positions.fund_micros += fee
            positions.pay(due - fee)
        self.budget -= filled
        self.book_lots += filled
        self._sold(number, side * filled, micros, bankruptcy, leverage)
        if positions.lots[slot] == 0:
            self._tell(number)
        return filled

    def _take_over(self, slot: int, side: int, bankruptcy: float) -> int:
        positions = self.positions
        number = positions.number[slot]
        leverage = positions.leverage[slot]
        size = side * positions.lots[slot]
        loss = max((bankruptcy - self.mark_tick) * side, 0.0) + _RESERVE * self.mark_tick
        to_fund = min(size, self._lots_for(loss))
        rest = size - to_fund
        deleveraged = 0
        if to_fund > 0:
            self._to_fund(slot, side, to_fund)
        if rest > 0:
            deleveraged = self._deleverage(slot, side, rest)
            rest -= deleveraged
        if rest > 0:
            # Nobody is left on the other side to close against: the venue has to keep it, whatever it costs.
            self._to_fund(slot, side, rest)
            to_fund += rest
        self.fund_lots += to_fund
        self.deleveraged_lots += deleveraged
        self._tell(number)
        if to_fund > 0:
            self._log(number, side * to_fund, bankruptcy, bankruptcy, leverage, ClosedBy.INSURANCE)
        if deleveraged > 0:
            self._log(number, side * deleveraged, bankruptcy, bankruptcy, leverage, ClosedBy.DELEVERAGE)
        return to_fund + deleveraged

    def _price_of(self, slot: int, size: int, lots: int) -> int:
        """Tell for what money so many of its lots change hands at its bankruptcy price: the owner gets nothing."""
        whole = self.positions.cost[slot] - self.positions.margin[slot]
        return whole if lots == size else int(whole * (1.0 * lots / size))

    def _to_fund(self, slot: int, side: int, lots: int) -> int:
        positions = self.positions
        cash = self._price_of(slot, side * positions.lots[slot], lots)
        if side > 0:
            self.exchange.hand_over(_CROWD, _ENGINE, lots, cash)
        else:
            self.exchange.hand_over(_ENGINE, _CROWD, lots, -cash)
        positions.fund_micros += positions.settle(slot, lots, cash, False)
        return 0

    def _deleverage(self, slot: int, side: int, lots: int) -> int:
        """Close against the other side's best-ranked positions; both are the crowd's: the exchange sees nothing."""
        positions = self.positions
        if self.rank_side != -side:
            self._rank(-side)
        left = lots
        while left > 0 and self._is_anyone_left():
            other = self.rank[self.rank_at]
            other_size = -side * positions.lots[other]
            if other_size <= 0:
                self.rank_at += 1
                continue
            part = min(left, other_size)
            cash = self._price_of(slot, side * positions.lots[slot], part)
            # What it would get for all of itself at this price must not be less than nothing.
            all_cash = -1.0 * cash * (1.0 * other_size / part)
            if positions.margin[other] + all_cash - positions.cost[other] < 0.0:
                self.rank_at += 1
                continue
            positions.fund_micros += positions.settle(slot, part, cash, False)
            positions.pay(positions.settle(other, part, -cash, False))
            left -= part
        return lots - left

    def _rank(self, side: int) -> int:
        positions = self.positions
        slots = positions.slots
        worth = np.asarray(positions.lots)[:slots] * float(self.mark_tick * self.micros)
        cost = np.asarray(positions.cost)[:slots].astype(np.float64)
        margin = np.asarray(positions.margin)[:slots].astype(np.float64)
        self.rank_among, self.rank_scores = scored(side, worth, cost, margin)
        self.rank_at = 0
        self.rank_side = side
        return self._sort(_RANKED_FIRST)

    def _is_anyone_left(self) -> bool:
        """Tell whether the ranking goes on; beyond its first part it is sorted as a whole, by the same scores."""
        if self.rank_at >= self.rank_count and self.rank_count < len(self.rank_among):
            self._sort(len(self.rank_among))
        return self.rank_at < self.rank_count

    def _sort(self, count: int) -> int:
        order = ranked(self.rank_among, self.rank_scores, count)
        self.rank = array("q", order.tobytes())
        self.rank_count = len(order)
        return 0

    def _unwind(self, lots_max: int) -> int:
        engine = self.exchange.lots_of(_ENGINE)
        side = 1 if engine > 0 else -1
        lots = min(side * engine, lots_max)
        limit = self.mark_tick * (10_000 - side * _UNWIND_BPS) // 10_000
        if lots > 0 and 0 < limit < self.book.ticks:
            self.exchange.take(_ENGINE, -side, lots, limit)
        return 0

    def _sold(self, number: int, lots: int, micros: int, bankruptcy: float, leverage: float) -> int:
        """Add to what the book took of a position: since when, lots, micros, bankruptcy tick by lots, leverage."""
        known = self.selling.get(number)
        if known is not None:
            since_ms, before, paid, weighed, leverage = known
            self.selling[number] = (
                since_ms,
                before + lots,
                paid + micros,
                weighed + bankruptcy * lots,
                leverage,
            )
            return 0
        if len(self.selling) >= _SELLING_MAX:
            self._tell(next(iter(self.selling)))
        self.selling[number] = (self.now_ms, lots, micros, bankruptcy * lots, leverage)
        return 0

    def _tell(self, number: int) -> int:
        """Log what the book took of a position, if it took anything that was not told."""
        known = self.selling.pop(number, None)
        if known is not None:
            _, lots, micros, weighed, leverage = known
            size = lots if lots > 0 else -lots
            price = micros / (1.0 * size * self.micros)
            self._log(number, lots, price, weighed / lots, leverage, ClosedBy.BOOK)
        return 0

    def _log(
        self, number: int, lots: int, tick: float, bankruptcy: float, leverage: float, closed_by: ClosedBy
    ) -> int:
        self.liquidations += 1
        if len(self.logged) < LOG_MAX:
            self.logged.append(Liquidated(self.now_ms, number, lots, tick, bankruptcy, leverage, closed_by))
        else:
            self.log_lost += 1
        return 0
