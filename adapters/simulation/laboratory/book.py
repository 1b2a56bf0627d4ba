"""An order book order by order: at each price those who came first trade first.

Compiled where there is a compiler (book.pxd), and the same results as it is.
"""

from __future__ import annotations

from array import array

import numpy as np
from numpy.typing import NDArray

from adapters.simulation.laboratory.bits import highest_bit, lowest_bit

BUY = 1
SELL = -1

_SLOTS_MAX = 16_777_216
"""An order's number is its slot and, above these bits, how often the slot was used: an old number finds no one else."""

FIRST_SLOTS = 1024
FIRST_FILLS = 64

Whole = NDArray[np.int64]
Floats = NDArray[np.float64]


class OrderBook:
    """Resting orders at the prices 1 .. ``ticks`` - 1, matched by price and then time; never crossed.

    Sides are +1 buy, -1 sell. What a call matched is told until the next call that matches: ``fill_count`` fills,
    ``fill_owner(i)`` and so on of the resting order. Own resting orders that one's own order meets are cancelled, not
    matched. Nothing grows but with the number of orders that rest at once. As declared in book.pxd::

        OrderBook(ticks)
        place(owner, side, tick, lots, post_only=False) -> order    -1: nothing rests
        take(owner, side, lots, limit_tick=0) -> filled lots         0: at any price
        cancel(order) -> lots taken out                              0: not there any more
        shrink(order, lots) -> lots taken out                        leaves `lots`, in its place in the queue
        cancel_all(owner) -> orders taken out;  orders_of(owner) -> list of orders, in order of slots
        lots_left(order), tick_of(order), side_of(order), owner_of(order)   0 where it is gone (owner -1)
        lots_at(side, tick), lots_within(side, tick)                 the latter from the best price to `tick`, with it
        next_ask(tick), next_bid(tick)                               the next price with orders beyond one; ticks / 0
        fill_owner(i), fill_order(i), fill_tick(i), fill_lots(i)
        take_changes(side) -> int64 array of ticks, ascending        whose lots changed since it was last asked
        gather(side, levels_max, farthest_tick=0) -> (ticks, lots)   int64 arrays, best first; 0: however far
        table(side, levels_max, tick_factor, tick_parts, lot_factor, lot_parts) -> prices and sizes, shape (levels, 2)
        ticks, best_bid (0: none), best_ask (ticks: none), last_tick (0: no trade yet), changed, fill_count, order_count
    """

    def __init__(self, ticks: int) -> None:
        if ticks < 2:
            raise ValueError(f"a book of {ticks} ticks has no price; its prices are 1 .. ticks - 1")
        self.ticks = ticks
        self.best_bid = 0
        self.best_ask = ticks
        self.last_tick = 0
        self.changed = 0
        self.fill_count = 0
        self.order_count = 0
        # No price is on both sides at once, so one array holds both. A bit of a word says whether a price has orders,
        # a bit of a summary whether a word has any: 1024 empty prices are passed in one look.
        self._level = array("q", bytes(8 * ticks))
        self._head = array("i", [-1]) * ticks
        self._tail = array("i", [-1]) * ticks
        # C shifts a literal 1 as 32 bits, so a bit is made from a variable throughout.
        words = (ticks >> 5) + 1
        self._words = array("q", bytes(8 * words))
        self._summary = array("q", bytes(8 * ((ticks >> 10) + 1)))
        self._changed_bids = array("q", bytes(8 * words))
        self._changed_asks = array("q", bytes(8 * words))
        self._walkable = FIRST_FILLS
        self._walked = array("q", bytes(8 * FIRST_FILLS))
        self._slots = FIRST_SLOTS
        self._order = array("q", range(FIRST_SLOTS))
        self._owner = array("q", bytes(8 * FIRST_SLOTS))
        self._tick = array("q", bytes(8 * FIRST_SLOTS))
        self._left = array("q", bytes(8 * FIRST_SLOTS))
        self._next = array("i", range(1, FIRST_SLOTS + 1))
        self._previous = array("i", [-1]) * FIRST_SLOTS
        self._free = 0
        self._fills = FIRST_FILLS
        self._fill_owner = array("q", bytes(8 * FIRST_FILLS))
        self._fill_order = array("q", bytes(8 * FIRST_FILLS))
        self._fill_tick = array("q", bytes(8 * FIRST_FILLS))
        self._fill_lots = array("q", bytes(8 * FIRST_FILLS))

    # -- Orders ------------------------------------------------------------------------------------------------------

    def place(self, owner: int, side: int, tick: int, lots: int, post_only: bool = False) -> int:
        """Match what crosses, rest what is left; the order's number, or -1 where nothing rests.

        With ``post_only`` an order that would match at once does nothing. ``ValueError`` for a price outside the book.
        """
        if tick < 1 or tick >= self.ticks:
            raise ValueError(f"tick {tick} is outside of the book, whose prices are 1 .. {self.ticks - 1}")
        self.fill_count = 0
        if lots <= 0:
            return -1
        if (side > 0 and tick >= self.best_ask) or (side < 0 and tick <= self.best_bid):
            if post_only:
                return -1
            lots = self._match(owner, side, lots, tick)
            if lots <= 0:
                return -1
        return self._rest(owner, side, tick, lots)

    def take(self, owner: int, side: int, lots: int, limit_tick: int = 0) -> int:
        """Take lots from the other side, up to a limit price where there is one; return how many were got."""
        self.fill_count = 0
        if lots <= 0:
            return 0
        if limit_tick <= 0:
            limit_tick = self.ticks if side > 0 else 0
        return lots - self._match(owner, side, lots, limit_tick)

    def cancel(self, order: int) -> int:
        """Take an order out; return the lots that were left of it, 0 where it is gone."""
        slot = self._slot_of(order)
        if slot < 0:
            return 0
        lots = self._left[slot]
        self._take_out(slot)
        return lots

    def shrink(self, order: int, lots: int) -> int:
        """Leave at most so many lots of an order, in its place in the queue; return how many were taken out."""
        slot = self._slot_of(order)
        if slot < 0 or lots >= self._left[slot]:
            return 0
        if lots <= 0:
            return self.cancel(order)
        out = self._left[slot] - lots
        tick = self._tick[slot]
        self._left[slot] = lots
        self._level[tick] -= out
        self._note(1 if tick <= self.best_bid else -1, tick)
        return out

    def cancel_all(self, owner: int) -> int:
        """Take out all orders of an owner; return how many they were. It looks at every order of the book."""
        count = 0
        for slot in range(self._slots):
            if self._left[slot] > 0 and self._owner[slot] == owner:
                self._take_out(slot)
                count += 1
        return count

    def orders_of(self, owner: int) -> list[int]:
        """Return the numbers of an owner's resting orders. It looks at every order of the book."""
        found = []
        for slot in range(self._slots):
            if self._left[slot] > 0 and self._owner[slot] == owner:
                found.append(self._order[slot])  # noqa: PERF401 - a comprehension is a scope without C's types
        return found

    # -- What there is -----------------------------------------------------------------------------------------------

    def lots_left(self, order: int) -> int:
        """Return the lots left of an order, 0 where it is gone."""
        slot = self._slot_of(order)
        return self._left[slot] if slot >= 0 else 0

    def tick_of(self, order: int) -> int:
        """Return the price of an order, 0 where it is gone."""
        slot = self._slot_of(order)
        return self._tick[slot] if slot >= 0 else 0

    def side_of(self, order: int) -> int:
        """Return the side of an order, 0 where it is gone."""
        slot = self._slot_of(order)
        if slot < 0:
            return 0
        return 1 if self._tick[slot] <= self.best_bid else -1

    def owner_of(self, order: int) -> int:
        """Return whose an order is, -1 where it is gone."""
        slot = self._slot_of(order)
        return self._owner[slot] if slot >= 0 else -1

    def lots_at(self, side: int, tick: int) -> int:
        """Return what rests at a price on one side."""
        if tick < 1 or tick >= self.ticks:
            return 0
        if (side > 0) != (tick <= self.best_bid):
            return 0
        return self._level[tick]

    def lots_within(self, side: int, tick: int) -> int:
        """Return what rests from the best price of a side to a price, with it."""
        lots = 0
        if side > 0:
            for at in range(max(tick, 1), self.best_bid + 1):
                lots += self._level[at]
        else:
            for at in range(self.best_ask, min(tick, self.ticks - 1) + 1):
                lots += self._level[at]
        return lots

    def fill_owner(self, fill: int) -> int:
        """Return whose resting order a fill of the latest call was of."""
        return self._fill_owner[fill]

    def fill_order(self, fill: int) -> int:
        """Return the number of the resting order."""
        return self._fill_order[fill]

    def fill_tick(self, fill: int) -> int:
        """Return the price of a fill."""
        return self._fill_tick[fill]

    def fill_lots(self, fill: int) -> int:
        """Return the lots of a fill."""
        return self._fill_lots[fill]

    def take_changes(self, side: int) -> Whole:
        """Return the prices of a side whose lots changed since this was last asked, ascending; 0 lots may be there."""
        words = self._changed_bids if side > 0 else self._changed_asks
        count = 0
        for at in range((self.ticks >> 5) + 1):
            word = words[at]
            while word:
                word &= word - 1
                count += 1
        found = np.empty(count, dtype=np.int64)
        ticks = found
        count = 0
        for at in range((self.ticks >> 5) + 1):
            word = words[at]
            if word:
                words[at] = 0
                for bit in range(32):
                    if word >> bit & 1:
                        ticks[count] = at * 32 + bit
                        count += 1
        return found

    def gather(self, side: int, levels_max: int, farthest_tick: int = 0) -> tuple[Whole, Whole]:
        """Return the prices and lots of a side, best first, to a price with it (0: however far); int64 arrays."""
        count = self._walk(side, levels_max, farthest_tick)
        found_ticks = np.empty(count, dtype=np.int64)
        found_lots = np.empty(count, dtype=np.int64)
        ticks = found_ticks
        lots = found_lots
        for i in range(count):
            ticks[i] = self._walked[i]
            lots[i] = self.lots_at(side, self._walked[i])
        return found_ticks, found_lots

    def table(
        self, side: int, levels_max: int, tick_factor: int, tick_parts: int, lot_factor: int, lot_parts: int
    ) -> Floats:
        """Return the best levels of a side as price and size beside each other; shape (levels, 2).

        A price is ``tick * tick_factor / tick_parts``, a size likewise: the floats nearest to the decimals.
        """
        count = self._walk(side, levels_max, 0)
        found = np.empty((count, 2))
        table = found
        price_parts = 1.0 * tick_parts
        size_parts = 1.0 * lot_parts
        for i in range(count):
            tick = self._walked[i]
            table[i, 0] = tick * tick_factor / price_parts
            table[i, 1] = self.lots_at(side, tick) * lot_factor / size_parts
        return found

    def next_ask(self, tick: int) -> int:
        """Return the first price above one that has orders, ``ticks`` where there is none."""
        tick += 1
        if tick >= self.ticks:
            return self.ticks
        at = tick >> 5
        word = self._words[at] >> (tick & 31)
        if not word:
            at += 1
            tick = at << 5
            group = at >> 5
            groups = (self.ticks >> 10) + 1
            if group >= groups:
                return self.ticks
            word = self._summary[group] >> (at & 31)
            if not word:
                group += 1
                while group < groups and not self._summary[group]:
                    group += 1
                if group >= groups:
                    return self.ticks
                word = self._summary[group]
                at = group << 5
            at += lowest_bit(word)
            tick = at << 5
            word = self._words[at]
        return tick + lowest_bit(word)

    def next_bid(self, tick: int) -> int:
        """Return the first price below one that has orders, 0 where there is none."""
        if tick <= 1:
            return 0
        tick = min(tick, self.ticks) - 1
        at = tick >> 5
        bit = 2
        word = self._words[at] & ((bit << (tick & 31)) - 1)
        if not word:
            if at == 0:
                return 0
            at -= 1
            group = at >> 5
            word = self._summary[group] & ((bit << (at & 31)) - 1)
            while not word:
                if group == 0:
                    return 0
                group -= 1
                word = self._summary[group]
            at = (group << 5) + highest_bit(word)
            word = self._words[at]
        return (at << 5) + highest_bit(word)

    # -- Inside ------------------------------------------------------------------------------------------------------

    def _walk(self, side: int, levels_max: int, farthest_tick: int) -> int:
        """Write the prices of a side, best first, into ``_walked``; return how many."""
        if levels_max > self._walkable:
            self._walked = array("q", bytes(8 * levels_max))
            self._walkable = levels_max
        count = 0
        if side > 0:
            tick = self.best_bid
            last = max(farthest_tick, 1)
            while tick >= last and count < levels_max:
                self._walked[count] = tick
                count += 1
                tick = self.next_bid(tick)
        else:
            tick = self.best_ask
            last = farthest_tick if 0 < farthest_tick < self.ticks else self.ticks - 1
            while tick <= last and count < levels_max:
                self._walked[count] = tick
                count += 1
                tick = self.next_ask(tick)
        return count

    def _slot_of(self, order: int) -> int:
        if order < 0:
            return -1
        slot = order & (_SLOTS_MAX - 1)
        if slot >= self._slots or self._order[slot] != order or self._left[slot] == 0:
            return -1
        return slot

    def _match(self, owner: int, side: int, lots: int, limit: int) -> int:
        """Match up to a limit; return the lots that are left."""
        while lots > 0:
            if side > 0:
                tick = self.best_ask
                if tick > limit or tick >= self.ticks:
                    break
            else:
                tick = self.best_bid
                if tick < limit or tick < 1:
                    break
            slot = self._head[tick]
            while slot >= 0 and lots > 0:
                following = self._next[slot]
                if self._owner[slot] == owner:
                    self._level[tick] -= self._left[slot]
                    self._unlink(slot)
                else:
                    part = min(lots, self._left[slot])
                    self._record(slot, tick, part)
                    lots -= part
                    self._level[tick] -= part
                    self._left[slot] -= part
                    self.last_tick = tick
                    if self._left[slot] == 0:
                        self._unlink(slot)
                slot = following
            self._note(-side, tick)
            if self._head[tick] < 0:
                self._vacate(tick)
        return lots

    def _rest(self, owner: int, side: int, tick: int, lots: int) -> int:
        if self._free >= self._slots:
            self._grow()
        slot = self._free
        self._free = self._next[slot]
        self._owner[slot] = owner
        self._tick[slot] = tick
        self._left[slot] = lots
        self._next[slot] = -1
        last = self._tail[tick]
        self._previous[slot] = last
        self._tail[tick] = slot
        if last >= 0:
            self._next[last] = slot
        else:
            self._head[tick] = slot
            at = tick >> 5
            bit = 1
            self._words[at] |= bit << (tick & 31)
            self._summary[at >> 5] |= bit << (at & 31)
            if side > 0:
                self.best_bid = max(self.best_bid, tick)
            else:
                self.best_ask = min(self.best_ask, tick)
        self._level[tick] += lots
        self.order_count += 1
        self._note(side, tick)
        return self._order[slot]

    def _take_out(self, slot: int) -> int:
        tick = self._tick[slot]
        self._level[tick] -= self._left[slot]
        self._note(1 if tick <= self.best_bid else -1, tick)
        self._unlink(slot)
        if self._head[tick] < 0:
            self._vacate(tick)
        return 0

    def _unlink(self, slot: int) -> int:
        """Take an order out of its queue and free its slot, under a new number."""
        tick = self._tick[slot]
        previous = self._previous[slot]
        following = self._next[slot]
        if previous >= 0:
            self._next[previous] = following
        else:
            self._head[tick] = following
        if following >= 0:
            self._previous[following] = previous
        else:
            self._tail[tick] = previous
        self._left[slot] = 0
        self._order[slot] += _SLOTS_MAX
        self._next[slot] = self._free
        self._free = slot
        self.order_count -= 1
        return 0

    def _vacate(self, tick: int) -> int:
        """A price has no orders left: find the next best one."""
        at = tick >> 5
        bit = 1
        self._words[at] &= ~(bit << (tick & 31))
        if not self._words[at]:
            self._summary[at >> 5] &= ~(bit << (at & 31))
        if tick == self.best_bid:
            self.best_bid = self.next_bid(tick)
        elif tick == self.best_ask:
            self.best_ask = self.next_ask(tick)
        return 0

    def _note(self, side: int, tick: int) -> int:
        self.changed += 1
        bit = 1
        if side > 0:
            self._changed_bids[tick >> 5] |= bit << (tick & 31)
        else:
            self._changed_asks[tick >> 5] |= bit << (tick & 31)
        return 0

    def _record(self, slot: int, tick: int, lots: int) -> int:
        fill = self.fill_count
        if fill >= self._fills:
            more = array("q", bytes(8 * self._fills))
            self._fill_owner = array("q", self._fill_owner) + more
            self._fill_order = array("q", self._fill_order) + more
            self._fill_tick = array("q", self._fill_tick) + more
            self._fill_lots = array("q", self._fill_lots) + more
            self._fills *= 2
        self._fill_owner[fill] = self._owner[slot]
        self._fill_order[fill] = self._order[slot]
        self._fill_tick[fill] = tick
        self._fill_lots[fill] = lots
        self.fill_count = fill + 1
        return 0

    def _grow(self) -> int:
        slots = self._slots
        if slots >= _SLOTS_MAX:
            raise OverflowError(f"{slots} orders rest in one book; no more have room")
        more = array("q", bytes(8 * slots))
        self._order = array("q", self._order) + array("q", range(slots, 2 * slots))
        self._owner = array("q", self._owner) + more
        self._tick = array("q", self._tick) + more
        self._left = array("q", self._left) + more
        self._next = array("i", self._next) + array("i", range(slots + 1, 2 * slots + 1))
        self._previous = array("i", self._previous) + array("i", [-1]) * slots
        self._slots = 2 * slots
        return 0
