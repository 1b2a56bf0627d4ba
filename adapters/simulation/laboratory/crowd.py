"""Everyone else with a position at one book: leveraged longs and shorts, hedged holders, their stops and margins.

Compiled where there is a compiler (crowd.pxd), and the same results as it is.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adapters.simulation.laboratory import crowd_seed, crowd_truth
from adapters.simulation.laboratory.draws import Draws
from adapters.simulation.laboratory.exchange import Exchange, funding_micros
from adapters.simulation.laboratory.liquidation_engine import Liquidated, LiquidationEngine
from adapters.simulation.laboratory.margin_brackets import Brackets
from adapters.simulation.laboratory.owners import CROWD
from adapters.simulation.laboratory.parameters import CrowdParameters, LiquidationParameters, MarginBracket
from adapters.simulation.laboratory.positions import Positions

_CROWD = CROWD

PROTECTION_BPS = 500
"""Nobody of the crowd trades farther than this from the best price at once: venues limit market orders so."""

CHOSEN_BPS = 100
"""Who comes or goes of their own will trades no farther than this from the mark."""

STOP_LOG_SD = 0.5
"""Spread of the distance of stops about its median."""

TARGET_RATIO = 2.0
"""A take-profit order is so many times as far as a stop would be."""

REPRICED_BPS = 50
"""Collateral is valued anew when its price has moved so much."""

_REPRICED_RATIO = REPRICED_BPS * 1e-4
_CHOSEN_BPS = CHOSEN_BPS
_STOP_LOG_SD = STOP_LOG_SD
_TARGET_RATIO = TARGET_RATIO


class Crowd(Positions):
    """The positions of the owner ``CROWD`` and what happens to them; slots of positions are used again.

    As declared in crowd.pxd::

    Crowd(exchange, parameters, brackets, liquidation, draws)
    seed(path_ticks, spacing_ms, open_lots, weights=None)         opening positions; nothing is traded
    enter(now_ms, side, lots, leverage, is_cross, spare_ratio, stop_bps, target_bps) -> position, -1: nothing got
    enter_drawn(now_ms, side, lots=0) -> position                 leverage, margin, stops as the crowd's (0: size too)
    leave(now_ms, position) -> lots                               what the book gives; the rest stays
    pick(u) -> position                                           of all that there are, u in [0, 1); -1: none
    run_stops(now_ms, last_tick) -> lots                          stops and targets that the last price reached
    liquidate(now_ms, mark_tick, lots_max) -> lots                see LiquidationEngine (``engine``)
    fund(mark_tick, rate_ppb) -> micros received                  longs pay shorts at a rate above 0
    reprice_collateral(ratio) -> positions repriced               of its peg; 0 while it moved by less than 50 bps
    take_liquidations() -> list[Liquidated]
    long_lots, short_lots, count, fund_micros, margins, stopped_lots, snapshot(), map_bins(...), imbalance()
    """

    def __init__(
        self,
        exchange: Exchange,
        parameters: CrowdParameters,
        brackets: tuple[MarginBracket, ...],
        liquidation: LiquidationParameters,
        draws: Draws,
    ) -> None:
        super().__init__(exchange, Brackets(brackets, exchange.micros))
        self.parameters = parameters
        self.draws = draws
        self.engine = LiquidationEngine(self, liquidation)
        self.fund_ratio = liquidation.fund_ratio
        self.collateral_ratio = 1.0
        self.collateral_share = parameters.collateral_share
        self.mean_lots = 1.0
        self.protection_bps = PROTECTION_BPS
        self.at_once_lots = 4_611_686_018_427_387_904
        self.reference_tick = 0
        self.stopped_lots = 0
        self.size_log_sd = parameters.size_log_sd
        self.hedged_longs = parameters.hedged_longs_share
        self.hedged_shorts = parameters.hedged_shorts_share
        self.cross_share = parameters.cross_share
        self.spare_ratio = parameters.cross_spare_ratio
        self.stop_share = parameters.stop_share
        self.stop_bps = parameters.stop_bps
        self.target_share = parameters.target_share
        self.mix_longs = array("d", [each for each, _ in parameters.leverage_longs])
        self.mix_shorts = array("d", [each for each, _ in parameters.leverage_shorts])
        self.upto_longs = _shares(parameters.leverage_longs)
        self.upto_shorts = _shares(parameters.leverage_shorts)

    # -- Coming and going --------------------------------------------------------------------------------------------

    def seed(
        self,
        path_ticks: Sequence[float] | NDArray[np.float64],
        spacing_ms: int,
        open_lots: int,
        weights: Sequence[float] | None = None,
    ) -> None:
        """Open the positions that there are at the start: entered along a past path of prices, and alive since.

        Args:
            path_ticks: past prices in ticks, oldest first, the last one now.
            spacing_ms: between two of them.
            open_lots: the open interest; longs and shorts are so many each, what rounding leaves is a hedged holder's.
            weights: how much was traded at each price; entries are drawn by these and by age, half in each half-life
                of holding. Only positions that the path since their entry would neither have liquidated nor stopped.
        """
        for each in crowd_seed.opening(self, path_ticks, spacing_ms, open_lots, weights):
            slot = self.add(
                each.opened_ms, each.lots, each.cost, each.margin, each.pledged, each.leverage, each.is_cross
            )
            self.watch(slot, each.stop_tick, each.target_tick)
        self.opening_costs = self.costs
        self.fund_opening = int(
            self.fund_ratio * open_lots * float(path_ticks[len(path_ticks) - 1]) * self.micros
        )
        self.fund_micros = self.fund_opening
        self.mean_lots = open_lots / max(self.parameters.positions // 2, 1)

    def enter(
        self,
        now_ms: int,
        side: int,
        lots: int,
        leverage: float,
        is_cross: bool,
        spare_ratio: float,
        stop_bps: float,
        target_bps: float,
    ) -> int:
        """Take lots from the book and keep them as a position; return its slot, -1 where the book gave nothing.

        ``leverage`` is cut to what the bracket allows, 0 is a hedged holder; ``spare_ratio`` is what a cross position
        has behind it beyond its initial margin, of that; stop and target are bps from entry, 0 for none.
        """
        filled = self._trade(side, lots, self.chosen_worst(side))
        if filled == 0:
            return -1
        notional = self.exchange.filled_micros
        self.deposited += self.exchange.filled_fee_micros
        leverage = min(leverage, self.brackets.leverage_max(notional))
        margin = notional
        pledged = 0
        if leverage > 0.0:
            margin = int(notional / leverage)
            if is_cross:
                margin = int(margin * (1.0 + spare_ratio))
                if self.collateral_share > 0.0 and self.draws.uniform() < self.collateral_share:
                    pledged = int(margin / self.collateral_ratio)
        slot = self.add(now_ms, side * filled, side * notional, margin, pledged, leverage, is_cross)
        if stop_bps > 0.0 or target_bps > 0.0:
            entry = notional / (1.0 * filled * self.micros)
            stop = self.tick_at(entry, -side * stop_bps)
            self.watch(slot, stop, self.tick_at(entry, side * target_bps))
        return slot

    def enter_drawn(self, now_ms: int, side: int, lots: int = 0) -> int:
        """Enter as one of the crowd does: leverage, margin, stop and target drawn, and the size where it is 0."""
        if lots <= 0:
            spread = self.size_log_sd
            lots = int(self.mean_lots * math.exp(spread * self.draws.normal() - 0.5 * spread * spread)) + 1
        if self.draws.uniform() < (self.hedged_longs if side > 0 else self.hedged_shorts):
            return self.enter(now_ms, side, lots, 0.0, False, 0.0, 0.0, 0.0)
        leverage = self.draw_leverage(side)
        is_cross = self.draws.uniform() < self.cross_share
        spare = self.spare_ratio * self.draws.exponential() if is_cross else 0.0
        stop = self.draw_stop_bps(leverage)
        return self.enter(now_ms, side, lots, leverage, is_cross, spare, stop, self.draw_target_bps(leverage))

    def leave(
        self,
        now_ms: int,  # noqa: ARG002 - every action is told its time
        position: int,
        worst_tick: int = 0,
        lots_max: int = 4_611_686_018_427_387_904,
    ) -> int:
        """Close a position as far as the book gives it; return the lots. What is left stays, its stops too.

        No more than ``at_once_lots`` and ``lots_max`` are traded in one call: who holds much leaves in parts; and
        nothing beyond ``worst_tick``, where there is one.
        """
        lots = self.lots[position] if position >= 0 else 0
        if lots == 0:
            return 0
        side = 1 if lots > 0 else -1
        filled = self._trade(-side, min(side * lots, self.at_once_lots, lots_max), worst_tick)
        if filled > 0:
            cash = side * self.exchange.filled_micros - self.exchange.filled_fee_micros
            self.pay(self.settle(position, filled, cash, False))
        return filled

    def pick(self, u: float) -> int:
        """Return one of the positions, each as likely if ``u`` is drawn from [0, 1); -1 if there is none."""
        if self.count == 0:
            return -1
        at = int(u * self.count)
        return self.live[at if at < self.count else self.count - 1]

    def run_stops(self, now_ms: int, last_tick: int) -> int:
        """Close what has a stop or a target that the last price reached; return the lots. What is left tries again.

        A stop is a market order, a target is a limit order at its price.
        """
        closed = 0
        if last_tick <= 0:
            return 0
        if self.below.is_reached(last_tick):
            count = self.below.gather(last_tick)
            for i in range(count):
                slot = self.below.found[i]
                closed += self.leave(now_ms, slot, self.below.tick_of(slot) if self.lots[slot] < 0 else 0)
        if self.above.is_reached(last_tick):
            count = self.above.gather(last_tick)
            for i in range(count):
                slot = self.above.found[i]
                closed += self.leave(now_ms, slot, self.above.tick_of(slot) if self.lots[slot] > 0 else 0)
        self.stopped_lots += closed
        return closed

    # -- What the venue does -----------------------------------------------------------------------------------------

    def liquidate(self, now_ms: int, mark_tick: int, lots_max: int) -> int:
        """Close what has no maintenance margin left at a mark; return the lots, whoever took them."""
        return self.engine.liquidate(now_ms, mark_tick, lots_max)

    def take_liquidations(self) -> list[Liquidated]:
        """Return what was liquidated since this was last asked."""
        return self.engine.take_liquidations()

    def fund(self, mark_tick: int, rate_ppb: int) -> int:
        """Let every position pay funding from its margin (or get it); return what they received in all, micros."""
        received = 0
        for i in range(self.count):
            slot = self.live[i]
            paid = funding_micros(self.lots[slot], mark_tick * self.micros, rate_ppb)
            self.margin[slot] -= paid
            received -= paid
            self.relocate(slot)
        self.margins += received
        self.exchange.pay_funding(_CROWD, received)
        return received

    def reprice_collateral(self, ratio: float) -> int:
        """Value collateral at ``ratio`` of its peg, if that moved by 50 bps; return how many positions it backs."""
        moved = ratio - self.collateral_ratio
        if moved < _REPRICED_RATIO and -moved < _REPRICED_RATIO:
            return 0
        backed = 0
        for i in range(self.count):
            slot = self.live[i]
            if self.pledged[slot] == 0:
                continue
            change = int(self.pledged[slot] * ratio) - int(self.pledged[slot] * self.collateral_ratio)
            self.margin[slot] += change
            self.margins += change
            self.repriced += change
            self.relocate(slot)
            backed += 1
        self.collateral_ratio = ratio
        return backed

    # -- What is true ------------------------------------------------------------------------------------------------

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """Return every position, one element of each array; see ``crowd_truth.snapshot``."""
        return crowd_truth.snapshot(self)

    def map_bins(
        self, mark_tick: int, bin_log: float, bins: int
    ) -> tuple[
        NDArray[np.float64],
        NDArray[np.float64],
        NDArray[np.float64],
        NDArray[np.float64],
    ]:
        """Return what is liquidated and stopped by distance from the mark; see ``crowd_truth.map_bins``."""
        return crowd_truth.map_bins(self, mark_tick, bin_log, bins)

    # -- Draws -------------------------------------------------------------------------------------------------------

    def draw_leverage(self, side: int) -> float:
        """Draw a leverage from the mix of a side."""
        drawn = self.draws.uniform()
        upto = self.upto_longs if side > 0 else self.upto_shorts
        mix = self.mix_longs if side > 0 else self.mix_shorts
        at = 0
        while at + 1 < len(upto) and drawn >= upto[at]:
            at += 1
        return mix[at]

    def draw_stop_bps(self, leverage: float) -> float:
        """Draw how far from entry a stop order is, 0 for none: a median of ``stop_bps * math.sqrt(10 / leverage)``."""
        if self.draws.uniform() >= self.stop_share:
            return 0.0
        return self.stop_bps * math.sqrt(10.0 / leverage) * math.exp(_STOP_LOG_SD * self.draws.normal())

    def draw_target_bps(self, leverage: float) -> float:
        """Draw how far from entry a take-profit order is, 0 for none: as a stop's distance, twice as far."""
        if self.draws.uniform() >= self.target_share:
            return 0.0
        return (
            _TARGET_RATIO
            * self.stop_bps
            * math.sqrt(10.0 / leverage)
            * math.exp(_STOP_LOG_SD * self.draws.normal())
        )

    def tick_at(self, entry: float, bps: float) -> int:
        """Return the tick so far from an entry price, 0 where there is none."""
        if bps == 0.0:
            return 0
        price = entry * (1.0 + bps * 1e-4) + 0.5
        return int(price) if 1.0 <= price < self.ticks else 0

    def chosen_worst(self, side: int) -> int:
        """Return the worst tick at which somebody still trades of their own will; 0 while no mark is known."""
        if self.reference_tick <= 0:
            return 0
        return self.reference_tick + side * (self.reference_tick * _CHOSEN_BPS // 10_000)

    def _trade(self, side: int, lots: int, worst_tick: int) -> int:
        """Take lots from the book, not farther than the protection lets from the best price and from the mark."""
        if lots <= 0:
            return 0
        if side > 0:
            best = self.book.best_ask
            if best >= self.ticks:
                return 0
            if self.reference_tick > 0:
                best = min(best, self.reference_tick)
            limit = min(best + best * self.protection_bps // 10_000, self.ticks - 1)
            if worst_tick > 0:
                limit = min(limit, worst_tick)
        else:
            best = self.book.best_bid
            if best <= 0:
                return 0
            best = max(best, self.reference_tick)
            limit = max(best - best * self.protection_bps // 10_000, 1)
            limit = max(limit, worst_tick)
        return self.exchange.take(_CROWD, side, lots, limit)


def _shares(mix: tuple[tuple[float, float], ...]) -> array[float]:
    """Tell up to where in [0, 1] each leverage is drawn."""
    total = sum(share for _, share in mix)
    return array("d", [upto / total for upto in accumulate(share for _, share in mix)])
