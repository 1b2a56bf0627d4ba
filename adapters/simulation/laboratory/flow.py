"""Those who take from one book without a position that is looked at: noise, momentum, value, and the scenario's seller.

Noise trades come as a Poisson stream with the season and with how price moves, in lognormal sizes; their signs persist
(herding) and lean against what noise traders hold, so that they hold nothing for long. Momentum and value are flows
(``behaviour``) that trade when a usual trade's worth has come together, and no more than a part of what rests: who
chooses when to buy does not buy an empty book. All but the seller give up beyond a limit.

Compiled where there is a compiler (flow.pxd), and the same trades as it is.
"""

from __future__ import annotations

import math

from adapters.simulation.laboratory.behaviour import (
    activity,
    decay_per_s,
    momentum_depths_per_s,
    noise_trades_per_s,
    noise_usd_median,
    room_ratio,
    value_depths_per_s,
)
from adapters.simulation.laboratory.draws import Draws
from adapters.simulation.laboratory.exchange import Exchange
from adapters.simulation.laboratory.moves import Moves
from adapters.simulation.laboratory.outside import Outside
from adapters.simulation.laboratory.owners import MOMENTUM, NOISE, SELLER, VALUE
from adapters.simulation.laboratory.parameters import FlowParameters, SymbolParameters

TRADE_DEPTHS_MAX = 0.1
"""No noise trade is larger."""

SELLER_DEPTHS_MAX = 5.0
"""What the seller could not sell waits, up to so much."""


class Flow:
    """Takers at one book; ``depth_lots`` as the makers'."""

    def __init__(
        self,
        exchange: Exchange,
        symbol: SymbolParameters,
        venue_share: float,
        depth_lots: float,
        parameters: FlowParameters,
        draws: Draws,
        step_ms: int,
    ) -> None:
        grid = exchange.grid
        self.exchange = exchange
        self.draws = draws
        self.depth_lots = depth_lots
        self._step_s = step_ms / 1_000.0
        usd_per_lot = grid.micros * grid.tick_start / 1e6
        median_usd = noise_usd_median(parameters.trade_usd, symbol.depth_usd * venue_share)
        self._noise_per_s = noise_trades_per_s(
            symbol.volume_day_usd * venue_share, median_usd, parameters.trade_log_sd
        )
        self._noise_lots = max(median_usd / usd_per_lot, 1.0)
        self._noise_log_sd = parameters.trade_log_sd
        self._noise_lots_max = max(TRADE_DEPTHS_MAX * depth_lots, 1.0)
        mean_lots = self._noise_lots * math.exp(0.5 * parameters.trade_log_sd * parameters.trade_log_sd)
        # What the lean has to be so that half of an inventory is traded back in each half-life.
        self._noise_lean = decay_per_s(parameters.holding_half_life_s) / (self._noise_per_s * mean_lots)
        self._herding = parameters.herding
        self._limit_bps = parameters.limit_bps
        self._momentum_depths = parameters.momentum_depths
        self._value_depths = parameters.value_depths
        self._value_bps = parameters.value_bps
        self._participation = parameters.participation
        self._value_lots_max = parameters.value_depths_max * depth_lots
        self._back_per_s = decay_per_s(parameters.holding_half_life_s)
        self._sign = 1
        self._momentum_carry = 0.0
        self._value_carry = 0.0
        self._seller_carry = 0.0

    def step(
        self,
        mid: float,
        season: float,
        value_tick: float,
        willingness: float,
        moves: Moves,
        outside: Outside,
    ) -> None:
        """Let everybody take for one step; prices in ticks, ``willingness`` the makers'."""
        if outside.sell_depths_per_s != 0.0 or self._seller_carry != 0.0:
            self._sell(outside.sell_depths_per_s)
        if mid <= 0.0:
            return
        self._noise(mid, season * activity(moves.z_short))
        most = self._participation * willingness * self.depth_lots
        self._follow(mid, moves.z_long, most)
        self._know(mid, value_tick, most)

    def _noise(self, mid: float, busy: float) -> None:
        held = self.exchange.lots_of(NOISE)
        for _ in range(self.draws.poisson(self._noise_per_s * self._step_s * busy)):
            lean = max(min(0.5 * held * self._noise_lean, 0.4), -0.4)
            if self.draws.uniform() >= self._herding:
                self._sign = 1 if self.draws.uniform() < 0.5 - lean else -1
            size = self._noise_lots * math.exp(self._noise_log_sd * self.draws.normal())
            lots = int(min(size, self._noise_lots_max)) + 1
            self._take(NOISE, self._sign, lots, mid)

    def _follow(self, mid: float, z: float, most: float) -> None:
        held = self.exchange.lots_of(MOMENTUM)
        rate = momentum_depths_per_s(z, self._momentum_depths) * self.depth_lots - held * self._back_per_s
        self._momentum_carry += self._step_s * max(min(rate, most), -most)
        if math.fabs(self._momentum_carry) >= self._noise_lots:
            side = 1 if self._momentum_carry > 0.0 else -1
            self._take(MOMENTUM, side, int(math.fabs(self._momentum_carry)), mid)
            self._momentum_carry = 0.0

    def _know(self, mid: float, value_tick: float, most: float) -> None:
        if value_tick <= 0.0:
            return
        held = self.exchange.lots_of(VALUE)
        gap = (mid / value_tick - 1.0) * 1e4
        rate = value_depths_per_s(gap, self._value_bps, self._value_depths) * self.depth_lots
        side = 1 if rate > 0.0 else -1
        rate = rate * room_ratio(held, side, self._value_lots_max)
        if rate == 0.0:
            rate = -held * self._back_per_s
        self._value_carry += self._step_s * max(min(rate, most), -most)
        if math.fabs(self._value_carry) >= self._noise_lots:
            side = 1 if self._value_carry > 0.0 else -1
            # They pay no more than value less their margin; on the way back no more than value.
            margin = self._value_bps * 1e-4 if held * side >= 0 else 0.0
            limit = int(value_tick * (1.0 - side * margin))
            self.exchange.take(VALUE, side, int(math.fabs(self._value_carry)), max(limit, 1))
            self._value_carry = 0.0

    def _sell(self, depths_per_s: float) -> None:
        """Sell (or buy) for the scenario, whatever the price; what nobody takes waits."""
        self._seller_carry += depths_per_s * self._step_s * self.depth_lots
        most = SELLER_DEPTHS_MAX * self.depth_lots
        self._seller_carry = max(min(self._seller_carry, most), -most)
        lots = int(math.fabs(self._seller_carry))
        if lots < 1:
            return
        side = -1 if self._seller_carry > 0.0 else 1
        got = self.exchange.take(SELLER, side, lots)
        self._seller_carry += got * side
        if depths_per_s == 0.0 and got == 0:
            self._seller_carry = 0.0

    def _take(self, owner: int, side: int, lots: int, mid: float) -> None:
        limit = mid * (1.0 + side * 1e-4 * self._limit_bps * self.draws.exponential())
        self.exchange.take(owner, side, lots, max(int(limit), 1))
