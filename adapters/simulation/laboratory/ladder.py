"""Positions kept by the price at which something happens to them, so that a step costs what happens, not what is held.

Compiled where there is a compiler (ladder.pxd), and the same results as it is.
"""

from __future__ import annotations

from array import array


class Ladder:
    """One price (tick) for each position that has one, in linked lists by price.

    With ``is_falling`` a price is reached when the market is there or below, otherwise there or above. ``edge`` is a
    bound: no position has a price that is reached before it.
    """

    def __init__(self, ticks: int, is_falling: bool) -> None:
        self.ticks = ticks
        self.is_falling = is_falling
        self.edge = 0 if is_falling else ticks
        self.head = array("q", [-1]) * (ticks + 1)
        self.capacity = 64
        self.tick = array("q", bytes(8 * 64))
        self.next = array("q", bytes(8 * 64))
        self.previous = array("q", bytes(8 * 64))
        self.found = array("q", bytes(8 * 64))

    def tick_of(self, position: int) -> int:
        """Return the position's price, 0 for none."""
        return self.tick[position] if position < self.capacity else 0

    def put(self, position: int, tick: int) -> int:
        """Give a position a price (within 1 .. ticks - 1; others are none) instead of the one that it had."""
        if position >= self.capacity:
            self._grow(position)
        if self.tick[position] == tick:
            return 0
        self.drop(position)
        if tick <= 0 or tick >= self.ticks:
            return 0
        self.tick[position] = tick
        first = self.head[tick]
        self.head[tick] = position
        self.next[position] = first
        self.previous[position] = -1
        if first >= 0:
            self.previous[first] = position
        if self.is_falling:
            self.edge = max(self.edge, tick)
        else:
            self.edge = min(self.edge, tick)
        return 0

    def drop(self, position: int) -> int:
        """Take a position out; nothing happens if it is not there."""
        if position >= self.capacity or self.tick[position] == 0:
            return 0
        after = self.next[position]
        before = self.previous[position]
        if before >= 0:
            self.next[before] = after
        else:
            self.head[self.tick[position]] = after
        if after >= 0:
            self.previous[after] = before
        self.tick[position] = 0
        return 0

    def is_reached(self, price_tick: int) -> bool:
        """Tell whether a market at this price might have reached a position; cheap, for every step."""
        return self.edge >= price_tick if self.is_falling else self.edge <= price_tick

    def gather(self, price_tick: int) -> int:
        """Write the positions whose price is reached into ``found``, those reached first before; return how many."""
        count = 0
        by = -1 if self.is_falling else 1
        last = max(price_tick, 1) if self.is_falling else min(price_tick, self.ticks - 1)
        tick = self.edge
        while (tick >= last if self.is_falling else tick <= last) and 0 < tick < self.ticks:
            position = self.head[tick]
            if position < 0 and count == 0:
                self.edge = tick + by
            while position >= 0:
                self.found[count] = position
                count += 1
                position = self.next[position]
            tick += by
        return count

    def _grow(self, position: int) -> int:
        capacity = self.capacity
        while capacity <= position:
            capacity *= 2
        more = bytes(8 * (capacity - self.capacity))
        self.tick = array("q", bytes(self.tick) + more)
        self.next = array("q", bytes(self.next) + more)
        self.previous = array("q", bytes(self.previous) + more)
        self.found = array("q", bytes(8 * capacity))
        self.capacity = capacity
        return 0
