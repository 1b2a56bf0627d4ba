"""Who keeps one book and the world's price together: takes from the book what is too cheap and sells it in the world.

Its willingness falls as a maker's with the common move, its inventory is limited, and what it trades moves the world's
price. Compiled where there is a compiler (arbitrage.pxd), and the same trades as it is.
"""

from __future__ import annotations

import math

from adapters.simulation.laboratory.behaviour import (
    arbitrage_depths_per_s,
    decay_per_s,
    room_ratio,
    withdrawal,
)
from adapters.simulation.laboratory.exchange import Exchange
from adapters.simulation.laboratory.outside import Outside
from adapters.simulation.laboratory.owners import ARBITRAGE
from adapters.simulation.laboratory.parameters import ArbitrageParameters

WITHDRAW_POWER = 2.2

BACK_HALF_LIFE_S = 4 * 3_600.0
"""In which half of what it holds is traded back, on both legs."""

TRADE_DEPTHS_MIN = 0.0005
"""It trades when so much has come together."""


class Arbitrage:
    """Arbitrage at one book.

    Attributes:
        ratio: how much it does of its usual.
        world_lots: what it bought (less sold) in the world's market since this was last set to 0.
    """

    def __init__(
        self, exchange: Exchange, depth_lots: float, parameters: ArbitrageParameters, step_ms: int
    ) -> None:
        self.exchange = exchange
        self.ratio = 1.0
        self.world_lots = 0.0
        self._depth_lots = depth_lots
        self._step_s = step_ms / 1_000.0
        self._threshold_bps = parameters.threshold_bps
        self._depths_per_s = parameters.depths_per_s
        self._lots_max = parameters.capital_depths * depth_lots
        self._withdraw_z = parameters.withdraw_z
        self._back_per_s = decay_per_s(BACK_HALF_LIFE_S)
        self._carry = 0.0
        self._lots_min = max(TRADE_DEPTHS_MIN * depth_lots, 1.0)

    def step(self, mid: float, z: float, world_tick: float, outside: Outside) -> None:
        """Trade for one step; prices in ticks, ``z`` the book's own move."""
        common = max(outside.factor_z, min(z, outside.other_z))
        self.ratio = withdrawal(common, self._withdraw_z, WITHDRAW_POWER) * outside.arbitrage_share
        if mid <= 0.0 or world_tick <= 0.0:
            return
        held = self.exchange.lots_of(ARBITRAGE)
        gap = (mid / world_tick - 1.0) * 1e4
        rate = arbitrage_depths_per_s(gap, self._threshold_bps, self._depths_per_s)
        side = 1 if rate > 0.0 else -1
        rate = rate * self.ratio * room_ratio(held, side, self._lots_max)
        lots_per_s = rate * self._depth_lots - held * self._back_per_s * self.ratio
        if lots_per_s * self._carry < 0.0:
            self._carry = 0.0
        self._carry += lots_per_s * self._step_s
        if math.fabs(self._carry) < self._lots_min:
            return
        side = 1 if self._carry > 0.0 else -1
        margin = self._threshold_bps * 1e-4
        is_back = held * side < 0
        limit = world_tick * (1.0 + side * margin) if is_back else world_tick * (1.0 - side * margin)
        lots = min(math.fabs(self._carry), max(self._lots_max - held * side, 0.0))
        got = self.exchange.take(ARBITRAGE, side, int(lots), max(int(limit), 1))
        self.world_lots -= got * side
        self._carry = 0.0
