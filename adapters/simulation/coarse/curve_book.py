"""A book without orders: each side a curve of a few dozen steps, each a price, lots and whose they are.

It stands where the order level has its ``OrderBook``, so that all else (clearing, the crowd, what the venue liquidates,
what guards see) is the order level's own code. Compiled where there is a compiler (curve_book.pxd), with the same
results.
"""

from __future__ import annotations

from array import array

import numpy as np
from numpy.typing import NDArray

from adapters.simulation.laboratory.book import OrderBook
from guard.events import CURVE_BPS, NOTIONALS_USD

STEPS_MAX = 32
"""So many steps an owner may have on a side."""

_STEPS = STEPS_MAX
_CURVE = len(CURVE_BPS)
_COSTS = len(NOTIONALS_USD)
_NOTHING = 1e-9


class CurveBook(OrderBook):
    """Both sides' curves. Side 0 is bids and 1 asks; a part is what one owner rests.

    Use it in rounds: ``begin``, ``put`` the steps of each part best first, ``build``, then ``take`` as from an order
    book. A part may rest ``scale`` times what it shows: as much as it would put back while the round lasts.
    ``lots_at``, ``gather`` and the like tell what is shown, ``taken`` too.

    Args:
        ticks: prices are 1 .. ticks - 1.
        owners: of the parts.
        usd: what a lot costs a tick.
    """

    def __init__(self, ticks: int, owners: list[int], usd: float) -> None:
        super().__init__(2)  # room for no orders: there are none
        self.ticks = ticks
        self.best_ask = ticks
        self.usd = usd
        self.parts = len(owners)
        # One step more than is put: a guest's order at the head, see ``place``.
        room = self.parts * _STEPS + 1
        self._room = room
        self._part_owner = array("q", [*owners, -1])
        self._scale = array("d", [1.0]) * (self.parts + 1)
        # As put, by side and part.
        self._put_tick = array("q", bytes(8 * 2 * self.parts * _STEPS))
        self._put_lots = array("q", bytes(8 * 2 * self.parts * _STEPS))
        self._put_count = array("q", bytes(8 * 2 * self.parts))
        # Both sides' curves, best first.
        self._step_tick = array("q", bytes(8 * 2 * room))
        self._step_left = array("q", bytes(8 * 2 * room))
        self._step_part = array("q", bytes(8 * 2 * room))
        self._count = array("q", bytes(8 * 2))
        self._at = array("q", bytes(8 * 2))
        self._taken = array("q", bytes(8 * 2 * (self.parts + 1)))
        self._turn = array("q", bytes(8 * self.parts))
        self._curve_bps = array("d", CURVE_BPS)
        self._notionals = array("d", NOTIONALS_USD)
        # One fill a step at most.
        self._fills = room
        self._fill_owner = array("q", bytes(8 * room))
        self._fill_order = array("q", [-1]) * room
        self._fill_tick = array("q", bytes(8 * room))
        self._fill_lots = array("q", bytes(8 * room))

    # -- Quoting -----------------------------------------------------------------------------------------------------

    def begin(self) -> int:
        """Take all steps away and forget what was taken."""
        for at in range(2 * self.parts):
            self._put_count[at] = 0
        for at in range(2 * (self.parts + 1)):
            self._taken[at] = 0
        return 0

    def set_scale(self, part: int, scale: float) -> int:
        """Say how many times what it shows a part will rest (1 or more), from the next ``put`` on."""
        self._scale[part] = scale
        return 0

    def put(self, side: int, part: int, tick: int, lots: int) -> int:
        """Rest lots of a part at a price, not better than the one before; 1 if there is such a price and room."""
        at = side * self.parts + part
        count = self._put_count[at]
        if lots <= 0 or tick <= 0 or tick >= self.ticks or count >= _STEPS:
            return 0
        self._put_tick[at * _STEPS + count] = tick
        self._put_lots[at * _STEPS + count] = int(lots * self._scale[part])
        self._put_count[at] = count + 1
        return 1

    def build(self) -> int:
        """Make the curves of what was put. They may cross: see ``is_crossed``."""
        self._merge(0)
        self._merge(1)
        self._look(0)
        self._look(1)
        self.changed += 1
        return 0

    def is_crossed(self) -> bool:
        """Tell whether somebody bids as much as somebody else asks."""
        return self.best_bid >= self.best_ask

    def best_owner(self, side: int) -> int:
        """Return whose the best step of a side is; there must be one."""
        return self._part_owner[self._step_part[side * self._room + self._at[side]]]

    def best_lots(self, side: int) -> int:
        """Return what rests on the best step of a side (as it rests, not as it shows); there must be one."""
        return self._step_left[side * self._room + self._at[side]]

    def drop(self, side: int, lots: int, is_taken: bool) -> int:
        """Take lots out of the best step of a side: its owner traded them elsewhere (``is_taken``) or gave up."""
        step = side * self._room + self._at[side]
        if is_taken:
            self._taken[side * (self.parts + 1) + self._step_part[step]] += lots
        self._step_left[step] -= lots
        if self._step_left[step] <= 0:
            self._at[side] += 1
            self._look(side)
        return 0

    def taken(self, side: int, part: int) -> float:
        """Return the lots that are lacking of what a part shows, by what was taken of it since ``begin``."""
        return self._taken[side * (self.parts + 1) + part] / self._scale[part]

    # -- As an order book --------------------------------------------------------------------------------------------

    def take(self, owner: int, side: int, lots: int, limit_tick: int = 0) -> int:
        """Take lots from the other side, up to a limit price where there is one; return how many were got."""
        self.fill_count = 0
        curve = 1 if side > 0 else 0
        wanted = lots
        while wanted > 0 and self._at[curve] < self._count[curve]:
            step = curve * self._room + self._at[curve]
            tick = self._step_tick[step]
            if limit_tick > 0 and (tick > limit_tick if side > 0 else tick < limit_tick):
                break
            part = self._step_part[step]
            if self._part_owner[part] == owner:
                self._at[curve] += 1
                continue
            got = min(wanted, self._step_left[step])
            self._fill_owner[self.fill_count] = self._part_owner[part]
            self._fill_tick[self.fill_count] = tick
            self._fill_lots[self.fill_count] = got
            self.fill_count += 1
            self._taken[curve * (self.parts + 1) + part] += got
            self._step_left[step] -= got
            wanted -= got
            self.last_tick = tick
            if self._step_left[step] == 0:
                self._at[curve] += 1
        if wanted < lots:
            self._look(curve)
            self.changed += 1
        return lots - wanted

    def place(self, owner: int, side: int, tick: int, lots: int, post_only: bool = False) -> int:  # noqa: ARG002 - as the order level's
        """Rest somebody's order between the best prices until it is cancelled or the curves are made anew.

        Its number, -1 where it would match at once. NotImplementedError for a price that is not better than its side's
        best, and for a second one on a side: elsewhere nobody's orders rest here.
        """
        self.fill_count = 0
        curve = 0 if side > 0 else 1
        if lots <= 0 or (tick >= self.best_ask if side > 0 else tick <= self.best_bid):
            return -1
        at = self._at[curve]
        is_behind = tick <= self.best_bid if side > 0 else tick >= self.best_ask
        if is_behind or at == 0 or self._is_guest(0) or self._is_guest(1):
            raise NotImplementedError(
                "a coarse book has curves; an order rests only alone between the best prices"
            )
        step = curve * self._room + at - 1
        self._step_tick[step] = tick
        self._step_left[step] = lots
        self._step_part[step] = self.parts
        self._part_owner[self.parts] = owner
        self._at[curve] = at - 1
        self._look(curve)
        self.changed += 1
        return curve + 1

    def cancel(self, order: int) -> int:
        """Take such an order out; return the lots that were left of it, 0 where it is gone."""
        curve = order - 1
        if not 0 <= curve <= 1 or not self._is_guest(curve):
            return 0
        lots = self._step_left[curve * self._room + self._at[curve]]
        self._at[curve] += 1
        self._look(curve)
        self.changed += 1
        return lots

    def lots_left(self, order: int) -> int:
        """Return what is left of such an order."""
        curve = order - 1
        if not 0 <= curve <= 1 or not self._is_guest(curve):
            return 0
        return self._step_left[curve * self._room + self._at[curve]]

    def lots_at(self, side: int, tick: int) -> int:
        """Return the lots that a price shows."""
        return self._shown(0 if side > 0 else 1, tick, 1)

    def lots_within(self, side: int, tick: int) -> int:
        """Return the lots that a side shows from its best price to another, with it."""
        return self._shown(0 if side > 0 else 1, tick, 0)

    def next_bid(self, tick: int) -> int:
        """Return the next price below with something to sell to; 0: none."""
        return self._after(0, tick)

    def next_ask(self, tick: int) -> int:
        """Return the next price above with something to buy; ``ticks``: none."""
        return self._after(1, tick)

    def gather(
        self, side: int, levels_max: int, farthest_tick: int = 0
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return prices and what they show, best first, as arrays; 0: however far."""
        curve = 0 if side > 0 else 1
        first = curve * self._room + self._at[curve]
        last = curve * self._room + self._count[curve]
        ticks: list[int] = []
        lots: list[int] = []
        for step in range(first, last):
            tick = self._step_tick[step]
            if farthest_tick > 0 and (tick < farthest_tick if curve == 0 else tick > farthest_tick):
                break
            shown = int(self._step_left[step] / self._scale[self._step_part[step]])
            if shown <= 0:
                continue
            if len(ticks) > 0 and ticks[len(ticks) - 1] == tick:
                lots[len(lots) - 1] += shown
                continue
            if len(ticks) == levels_max:
                break
            ticks.append(tick)
            lots.append(shown)
        return np.array(ticks, dtype=np.int64), np.array(lots, dtype=np.int64)

    # -- Measuring ---------------------------------------------------------------------------------------------------

    def measure(self, side: int, out: array[float], curve_at: int, costs_at: int) -> int:
        """Write what a side shows into a row: USD within each of ``CURVE_BPS``, costs of ``NOTIONALS_USD`` in bps.

        A cost is -1 where there is not so much. Both sides must have a price.
        """
        mid = 0.5 * (self.best_bid + self.best_ask)
        step = side * self._room + self._at[side]
        last = side * self._room + self._count[side]
        point = 0
        cost = 0
        worth = 0.0
        base = 0.0
        while step < last:
            tick = 1.0 * self._step_tick[step]
            away = (tick / mid - 1.0) * 1e4 if side == 1 else (1.0 - tick / mid) * 1e4
            while point < _CURVE and self._curve_bps[point] + _NOTHING < away:
                out[curve_at + point] = worth
                point += 1
            lots = self._step_left[step] / self._scale[self._step_part[step]]
            price = tick * self.usd
            while cost < _COSTS and worth + lots * price >= self._notionals[cost]:
                got = base + (self._notionals[cost] - worth) / price
                vwap = self._notionals[cost] / got / self.usd
                out[costs_at + cost] = (vwap / mid - 1.0) * 1e4 if side == 1 else (1.0 - vwap / mid) * 1e4
                cost += 1
            worth += lots * price
            base += lots
            step += 1
        while point < _CURVE:
            out[curve_at + point] = worth
            point += 1
        while cost < _COSTS:
            out[costs_at + cost] = -1.0
            cost += 1
        return 0

    # -- Inside ------------------------------------------------------------------------------------------------------

    def _merge(self, side: int) -> int:
        for part in range(self.parts):
            self._turn[part] = 0
        base = side * self._room
        count = 1
        while True:
            best = -1
            best_tick = 0
            for part in range(self.parts):
                at = side * self.parts + part
                if self._turn[part] < self._put_count[at]:
                    tick = self._put_tick[at * _STEPS + self._turn[part]]
                    if best < 0 or (tick > best_tick if side == 0 else tick < best_tick):
                        best = part
                        best_tick = tick
            if best < 0:
                break
            self._step_tick[base + count] = best_tick
            self._step_left[base + count] = self._put_lots[
                (side * self.parts + best) * _STEPS + self._turn[best]
            ]
            self._step_part[base + count] = best
            self._turn[best] += 1
            count += 1
        self._count[side] = count
        self._at[side] = 1
        return 0

    def _is_guest(self, curve: int) -> bool:
        """Tell whether the best step of a side is a guest's order."""
        at = self._at[curve]
        return at < self._count[curve] and self._step_part[curve * self._room + at] == self.parts

    def _look(self, side: int) -> int:
        """Set the best price of a side anew."""
        step = side * self._room + self._at[side]
        if side == 0:
            self.best_bid = self._step_tick[step] if self._at[0] < self._count[0] else 0
        else:
            self.best_ask = self._step_tick[step] if self._at[1] < self._count[1] else self.ticks
        return 0

    def _shown(self, curve: int, tick: int, only: int) -> int:
        """What a price shows (``only``), or all as good or better."""
        lots = 0
        step = curve * self._room + self._at[curve]
        last = curve * self._room + self._count[curve]
        while step < last and (
            self._step_tick[step] >= tick if curve == 0 else self._step_tick[step] <= tick
        ):
            if only == 0 or self._step_tick[step] == tick:
                lots += int(self._step_left[step] / self._scale[self._step_part[step]])
            step += 1
        return lots

    def _after(self, curve: int, tick: int) -> int:
        step = curve * self._room + self._at[curve]
        last = curve * self._room + self._count[curve]
        while step < last and (
            self._step_tick[step] >= tick if curve == 0 else self._step_tick[step] <= tick
        ):
            step += 1
        if step < last:
            return self._step_tick[step]
        return 0 if curve == 0 else self.ticks
