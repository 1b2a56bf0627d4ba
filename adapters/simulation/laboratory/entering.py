"""How the crowd comes and goes at one book: entries and exits in a balance that keeps open interest about constant.

Each position is closed with the same chance in a time (half are in ``holding_half_life_s``). On each side as much is
opened as leaves so from the usual open interest, and half of what is missing in each half-life; entries follow the
last hour's move, and fewer come while the market is moving as it never does. Then more leave (``flight``), longs and
shorts alike, and trade with each other: open interest falls without a side. The scenario's entries come on top.
Compiled where there is a compiler (entering.pxd), and the same trades as it is.
"""

from __future__ import annotations

import math
from array import array

from adapters.simulation.laboratory.behaviour import (
    decay_per_s,
    entries_per_s,
    entry_long_ratio,
    flight_ratio,
    withdrawal,
)
from adapters.simulation.laboratory.crowd import Crowd
from adapters.simulation.laboratory.draws import Draws
from adapters.simulation.laboratory.moves import Moves
from adapters.simulation.laboratory.outside import Outside
from adapters.simulation.laboratory.owners import NOISE
from adapters.simulation.laboratory.parameters import CrowdParameters

ENTRY_DEPTHS_MAX = 0.03
"""Nobody enters with more at once: large positions are built up in several."""

AT_ONCE_DEPTHS = 0.005
"""Nobody trades more of a position in one step than this, not even a stop order."""

PART_DEPTHS = 0.001
"""Who leaves of their own will sells no more than this in one step: a depth in a minute and a half."""

LEAVING_MAX = 64
"""So many can be on their way out at once; who comes on top leaves as far as one step lets."""

MEETINGS_MAX = 16
"""So many pairs at most leave together in one step."""

DETERRED_Z = 8.0
"""At so many usual deviations half of the entries stay away."""


class Entering:
    """Entries and exits of a crowd; ``open_lots`` is the usual open interest of a side."""

    def __init__(
        self,
        crowd: Crowd,
        parameters: CrowdParameters,
        open_lots: int,
        depth_lots: float,
        draws: Draws,
        step_ms: int,
    ) -> None:
        self.crowd = crowd
        self.draws = draws
        self.exchange = crowd.exchange
        self.book = crowd.exchange.book
        self._step_s = step_ms / 1_000.0
        self._open_lots = float(open_lots)
        self._half_life_s = parameters.holding_half_life_s
        self._leave_per_s = decay_per_s(parameters.holding_half_life_s)
        self._momentum = parameters.momentum
        self._flight = parameters.flight
        self._log_sd = parameters.size_log_sd
        self._mean_lots = open_lots / max(parameters.positions // 2, 1)
        self._lots_max = max(ENTRY_DEPTHS_MAX * depth_lots, 1.0)
        self._leaving = array("q", [-1] * LEAVING_MAX)
        self._leaving_number = array("q", [0] * LEAVING_MAX)
        self._leaving_count = 0
        self._fleeing_lots = 0.0
        self._part_lots = max(int(PART_DEPTHS * depth_lots), 1)
        crowd.at_once_lots = max(int(AT_ONCE_DEPTHS * depth_lots), 1)
        self._cut_mean_lots = max(_mean_below(self._mean_lots, self._log_sd, self._lots_max), 1.0)

    def step(self, now_ms: int, mid: float, season: float, moves: Moves, outside: Outside) -> None:
        """Let the crowd come and go for one step."""
        crowd = self.crowd
        for _ in range(self.draws.poisson(crowd.count * self._leave_per_s * self._step_s * season)):
            self._leave(now_ms, crowd.pick(self.draws.uniform()))
        if self._leaving_count > 0:
            self._go_on(now_ms)
        flight = flight_ratio(moves.z, self._flight)
        if flight > 0.0:
            self._flee(now_ms, mid, flight)
        longs = entry_long_ratio(self._momentum, moves.z_hour)
        calm = 2.0 * season * withdrawal(moves.z, DETERRED_Z, 2.0)
        self._enter(
            now_ms, 1, entries_per_s(self._open_lots, crowd.long_lots, self._half_life_s) * longs * calm
        )
        self._enter(
            now_ms,
            -1,
            entries_per_s(self._open_lots, crowd.short_lots, self._half_life_s) * (1.0 - longs) * calm,
        )
        if outside.entries_per_s != 0.0:
            side = 1 if outside.entries_per_s > 0.0 else -1
            self._enter(now_ms, side, math.fabs(outside.entries_per_s) * self._open_lots)

    def _leave(self, now_ms: int, position: int) -> None:
        """Close a position, or begin to."""
        self._part(now_ms, position)
        if position >= 0 and self.crowd.lots[position] != 0 and self._leaving_count < LEAVING_MAX:
            self._leaving[self._leaving_count] = position
            self._leaving_number[self._leaving_count] = self.crowd.number[position]
            self._leaving_count += 1

    def _go_on(self, now_ms: int) -> None:
        """Let those who are leaving trade their next part; who is out (or was liquidated) is forgotten.

        Slots are used again: who came into one of theirs since is not leaving.
        """
        left = 0
        for place in range(self._leaving_count):
            position = self._leaving[place]
            number = self._leaving_number[place]
            if self.crowd.number[position] != number:
                continue
            if self._part(now_ms, position) > 0 and self.crowd.lots[position] != 0:
                self._leaving[left] = position
                self._leaving_number[left] = number
                left += 1
        self._leaving_count = left

    def _flee(self, now_ms: int, mid: float, flight: float) -> None:
        """Let so many lots leave in pairs as are due; what finds nobody in a few tries is due later."""
        due = self._fleeing_lots + min(self.crowd.long_lots, self.crowd.short_lots) * (
            self._leave_per_s * self._step_s * flight
        )
        for _ in range(MEETINGS_MAX):
            if due < self._cut_mean_lots:
                break
            due -= self._meet(now_ms, mid)
        self._fleeing_lots = min(due, 100.0 * self._cut_mean_lots)

    def _meet(self, now_ms: int, mid: float) -> int:
        """Let a long and a short leave who trade with each other, through somebody who quotes both at mid for them."""
        tick = int(mid + 0.5)
        bull = self._pick(1)
        bear = self._pick(-1)
        if bull < 0 or bear < 0 or not self.book.best_bid < tick < self.book.best_ask:
            return 0
        lots = min(self.crowd.lots[bull], -self.crowd.lots[bear])
        order = self.exchange.place(NOISE, 1, tick, lots, True)
        if order < 0:
            return 0
        usual = self.crowd.at_once_lots
        self.crowd.at_once_lots = lots  # what they trade with each other takes nothing from the book
        got = self.crowd.leave(now_ms, bull, tick, lots)
        self.exchange.cancel(order)
        if got > 0 and self.book.best_bid < tick:
            order = self.exchange.place(NOISE, -1, tick, got, True)
            self.crowd.leave(now_ms, bear, tick, got)
            if order >= 0:
                self.exchange.cancel(order)
        self.crowd.at_once_lots = usual
        return got

    def _pick(self, side: int) -> int:
        """Pick a position of a side; -1 where a few tries found none."""
        for _ in range(8):
            position = self.crowd.pick(self.draws.uniform())
            if position >= 0 and self.crowd.lots[position] * side > 0:
                return position
        return -1

    def _part(self, now_ms: int, position: int) -> int:
        if position < 0:
            return 0
        side = -1 if self.crowd.lots[position] > 0 else 1
        return self.crowd.leave(now_ms, position, self.crowd.chosen_worst(side), self._part_lots)

    def _enter(self, now_ms: int, side: int, lots_per_s: float) -> None:
        for _ in range(self.draws.poisson(lots_per_s * self._step_s / self._cut_mean_lots)):
            size = self._mean_lots * math.exp(
                self._log_sd * self.draws.normal() - 0.5 * self._log_sd * self._log_sd
            )
            self.crowd.enter_drawn(now_ms, side, int(min(size, self._lots_max)) + 1)


def _mean_below(mean: float, log_sd: float, most: float) -> float:
    """Return the mean of a lognormal number of which no more than ``most`` counts."""
    if log_sd <= 0.0:
        return min(mean, most)
    upper = (math.log(most / mean) - 0.5 * log_sd * log_sd) / log_sd
    above = 0.5 * math.erfc((upper + log_sd) / math.sqrt(2.0))
    return mean * 0.5 * math.erfc(-upper / math.sqrt(2.0)) + most * above
