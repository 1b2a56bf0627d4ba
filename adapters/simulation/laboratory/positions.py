"""Positions one by one: what each holds, paid and stands on, and where price does something to it; all money exact.

Compiled where there is a compiler (positions.pxd), and the same results as it is.
"""

from __future__ import annotations

from array import array

from adapters.simulation.laboratory.exchange import Exchange
from adapters.simulation.laboratory.ladder import Ladder
from adapters.simulation.laboratory.margin_brackets import Brackets
from adapters.simulation.laboratory.owners import CROWD

_CROWD = CROWD
FIRST_SLOTS = 1_024


class Positions:
    """The crowd's positions in numbered slots, which are used again; together they are what ``CROWD`` holds.

    Of a position: ``lots`` (signed), ``cost`` (what was paid for them in micros, negative for a short), ``margin``
    (micros behind it, its profit apart) and ``pledged`` (how much of that is collateral, at its peg), ``leverage`` (0:
    hedged). Money is never made or lost: ``imbalance()`` is always 0. Closing in parts takes cost and margin in
    proportion.
    """

    def __init__(self, exchange: Exchange, brackets: Brackets) -> None:
        self.exchange = exchange
        self.book = exchange.book
        self.brackets = brackets
        self.micros = exchange.micros
        self.ticks = exchange.book.ticks
        self.falls = Ladder(self.ticks, True)
        self.rises = Ladder(self.ticks, False)
        self.below = Ladder(self.ticks, True)
        self.above = Ladder(self.ticks, False)
        self.capacity = FIRST_SLOTS
        more = bytes(8 * self.capacity)
        self.lots = array("q", more)
        self.cost = array("q", more)
        self.margin = array("q", more)
        self.pledged = array("q", more)
        self.leverage = array("d", more)
        self.is_cross = array("q", more)
        self.opened_ms = array("q", more)
        self.number = array("q", more)
        self.live = array("q", more)
        self.where = array("q", more)
        self.free = array("q", more)
        self.free_count = 0
        self.slots = 0
        self.count = 0
        self.numbered = 0
        self.long_lots = 0
        self.short_lots = 0
        self.costs = 0
        self.margins = 0
        self.opening_costs = 0
        self.deposited = 0
        self.paid_out = 0
        self.repriced = 0
        self.fund_micros = 0
        self.fund_opening = 0

    def add(
        self,
        now_ms: int,
        lots: int,
        cost: int,
        margin: int,
        pledged: int,
        leverage: float,
        is_cross: bool,
    ) -> int:
        """Keep a position that was just got, or that has been there from the start; return its slot."""
        if self.free_count > 0:
            self.free_count -= 1
            slot = self.free[self.free_count]
        else:
            if self.slots >= self.capacity:
                self._grow()
            slot = self.slots
            self.slots += 1
        self.numbered += 1
        self.lots[slot] = lots
        self.cost[slot] = cost
        self.margin[slot] = margin
        self.pledged[slot] = pledged
        self.leverage[slot] = leverage
        self.is_cross[slot] = is_cross
        self.opened_ms[slot] = now_ms
        self.number[slot] = self.numbered
        self.live[self.count] = slot
        self.where[slot] = self.count
        self.count += 1
        self.costs += cost
        self.margins += margin
        self.deposited += margin
        if lots > 0:
            self.long_lots += lots
        else:
            self.short_lots -= lots
        self.relocate(slot)
        return slot

    def watch(self, slot: int, stop_tick: int, target_tick: int) -> int:
        """Set the prices at which a position leaves by itself; 0 for none."""
        if self.lots[slot] > 0:
            self.below.put(slot, stop_tick)
            self.above.put(slot, target_tick)
        else:
            self.above.put(slot, stop_tick)
            self.below.put(slot, target_tick)
        return 0

    def settle(self, slot: int, closed: int, cash: int, keeps_margin: bool) -> int:
        """Close ``closed`` lots (> 0) that brought the crowd ``cash`` (signed micros, fees taken off).

        Returns what is due to the position's owner for it: its part of the margin and of the profit; below 0 is what
        is missing. The caller must pay it out (``pay``). With ``keeps_margin`` it stays behind the rest instead (0), of
        which there must be any.
        """
        lots = self.lots[slot]
        size = lots if lots > 0 else -lots
        closed = min(closed, size)
        cost = self.cost[slot]
        margin = self.margin[slot]
        pledged = self.pledged[slot]
        if closed < size:
            ratio = 1.0 * closed / size  # two whole numbers would be divided as such where this is compiled
            cost = int(cost * ratio)
            margin = int(margin * ratio)
            pledged = int(pledged * ratio)
        due = cash - cost
        if lots > 0:
            self.long_lots -= closed
            self.lots[slot] -= closed
        else:
            self.short_lots -= closed
            self.lots[slot] += closed
        self.cost[slot] -= cost
        self.costs -= cost
        if keeps_margin:
            self.margin[slot] += due
            self.margins += due
            due = 0
        else:
            self.margin[slot] -= margin
            self.pledged[slot] -= pledged
            self.margins -= margin
            due += margin
        if closed == size:
            self._remove(slot)
        else:
            self.relocate(slot)
        return due

    def pay(self, due: int) -> int:
        """Pay somebody out; what somebody leaves unpaid is the insurance fund's."""
        if due >= 0:
            self.paid_out += due
        else:
            self.fund_micros += due
        return 0

    def charge(self, slot: int, micros: int) -> int:
        """Take a fee for the insurance fund from a position's margin, as far as there is any."""
        micros = min(micros, self.margin[slot])
        if micros > 0:
            self.margin[slot] -= micros
            self.margins -= micros
            self.fund_micros += micros
        return 0

    def relocate(self, slot: int) -> int:
        """Work out anew at which mark a position is liquidated."""
        if self.leverage[slot] <= 0.0:
            return 0
        tick = self.brackets.liquidation_tick(self.lots[slot], self.cost[slot], self.margin[slot])
        if self.lots[slot] > 0:
            self.falls.put(slot, min(tick, self.ticks - 1))
        else:
            self.rises.put(slot, tick)
        return 0

    def equity(self, slot: int, mark_tick: int) -> int:
        """Return a position's margin and profit at a mark, micros."""
        return self.margin[slot] + self.lots[slot] * mark_tick * self.micros - self.cost[slot]

    def liquidation_tick(self, slot: int) -> int:
        """Return at which mark it is liquidated; 0: at none in this book."""
        return self.falls.tick_of(slot) if self.lots[slot] > 0 else self.rises.tick_of(slot)

    def stop_tick(self, slot: int) -> int:
        """Return where its stop order is; 0: none."""
        return self.below.tick_of(slot) if self.lots[slot] > 0 else self.above.tick_of(slot)

    def target_tick(self, slot: int) -> int:
        """Return where its take-profit order is; 0: none."""
        return self.above.tick_of(slot) if self.lots[slot] > 0 else self.below.tick_of(slot)

    def imbalance(self) -> int:
        """Return money that came from nowhere, micros: 0.

        What trading brought the crowd, what its positions cost and what owners put in less what they got out stand
        against the margins and the fund's gain; what collateral is worth more or less comes from outside.
        """
        inside = self.margins + self.fund_micros - self.fund_opening
        put_in = self.deposited - self.paid_out + self.repriced
        return self.exchange.cash_of(_CROWD) + self.costs - self.opening_costs + put_in - inside

    def _remove(self, slot: int) -> int:
        self.falls.drop(slot)
        self.rises.drop(slot)
        self.below.drop(slot)
        self.above.drop(slot)
        self.count -= 1
        last = self.live[self.count]
        self.live[self.where[slot]] = last
        self.where[last] = self.where[slot]
        self.free[self.free_count] = slot
        self.free_count += 1
        return 0

    def _grow(self) -> int:
        more = bytes(8 * self.capacity)
        self.lots = array("q", bytes(self.lots) + more)
        self.cost = array("q", bytes(self.cost) + more)
        self.margin = array("q", bytes(self.margin) + more)
        self.pledged = array("q", bytes(self.pledged) + more)
        self.leverage = array("d", bytes(self.leverage) + more)
        self.is_cross = array("q", bytes(self.is_cross) + more)
        self.opened_ms = array("q", bytes(self.opened_ms) + more)
        self.number = array("q", bytes(self.number) + more)
        self.live = array("q", bytes(self.live) + more)
        self.where = array("q", bytes(self.where) + more)
        self.free = array("q", bytes(self.free) + more)
        self.capacity *= 2
        return 0
