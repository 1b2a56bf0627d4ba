"""The market makers of one book: how willing they are, where they quote, and how they come back.

Each kind has a willingness a (``behaviour``), a fair price of its own, a balance sheet and a ladder of orders on each
side that are really placed and really cancelled. Its fair price takes over a part of how trades moved mid
(``permanence``) and comes to the world's price in ``world_half_life_s / sqrt(a)``: a maker that hardly quotes
anchors little. What was taken from a side is put back with ``restore_half_life_s / a``,
so that a swept book stays thin, or as soon as the fair price has moved by its half spread: at another price it quotes
anew. What it holds it hedges in the world in ``hedge_half_life_s / sqrt(a)``, which moves the world's
price: in calm so soon that returns are hardly correlated, in stress so late that it can lose its capital.

Compiled where there is a compiler (makers.pxd), and the same orders as it is.
"""

from __future__ import annotations

import math
from array import array

from adapters.simulation.laboratory.behaviour import (
    balance_ratio,
    half_spread_bps,
    keep_ratio,
    willingness_next,
    willingness_target,
)
from adapters.simulation.laboratory.exchange import Exchange
from adapters.simulation.laboratory.outside import Outside
from adapters.simulation.laboratory.owners import MAKERS, MAKERS_MAX
from adapters.simulation.laboratory.parameters import MakerParameters, SymbolParameters

LEVELS_MAX = 32

RECAPITALISED_HALF_LIFE_S = 12 * 3_600.0
"""In which half of what a maker won or lost is taken out or put in: capital comes back to what it began with."""

_SKEW_FROM = 0.5
"""From this share of its inventory limit on a maker's quotes on that side get smaller, to nothing at the limit."""


class Makers:
    """All kinds of makers at one book.

    Attributes:
        willingness: mean of a by share of depth.
        equity_ratio: their equity by what they began with, together.
        depth_lots: what they rest within 100 bps of mid when calm, all together, in lots at the start price.
        world_lots: what they hedged in the world's market since this was last set to 0: bought, less sold.
    """

    def __init__(
        self,
        exchange: Exchange,
        symbol: SymbolParameters,
        venue_share: float,
        kinds: tuple[MakerParameters, ...],
        step_ms: int,
    ) -> None:
        if not 1 <= len(kinds) <= MAKERS_MAX:
            raise ValueError(
                f"{symbol.symbol}: {len(kinds)} kinds of makers; there is room for 1 to {MAKERS_MAX}"
            )
        if any(not 2 <= kind.levels <= LEVELS_MAX for kind in kinds):
            raise ValueError(f"{symbol.symbol}: a kind of makers has levels outside 2 to {LEVELS_MAX}")
        grid = exchange.grid
        count = len(kinds)
        self.exchange = exchange
        self.book = exchange.book
        self.willingness = 1.0
        self.equity_ratio = 1.0
        self.world_lots = 0.0
        self.depth_lots = symbol.depth_usd * venue_share * 1e6 / (grid.micros * grid.tick_start)
        self._micros = grid.micros
        self._count = count
        self._step_s = step_ms / 1_000.0
        self._half_spread_bps = symbol.half_spread_bps
        self._read(kinds)
        self._a = array("d", [1.0] * count)
        self._fair = array("d", [float(grid.tick_start)] * count)
        self._quoted_fair = array("d", [0.0] * count)
        self._quoted_a = array("d", [0.0] * count)
        self._quoted_used = array("d", [0.0] * count)
        self._quoted_spent = array("d", [0.0] * count)
        self._quoted_lots = array("q", [0] * count)
        self._quoted_season = 0.0
        self._spent = array("d", [0.0] * (2 * count))
        self._hedged = array("d", [0.0] * count)
        self._hedge_cash = array("d", [0.0] * count)
        self._paid_in = array("d", [0.0] * count)
        self._orders = array("q", [-1] * (2 * count * LEVELS_MAX))
        self._left = array("q", [0] * (2 * count * LEVELS_MAX))
        self._tick = array("q", [0] * (2 * count * LEVELS_MAX))
        self._wanted_tick = array("q", [0] * (2 * count * LEVELS_MAX))
        self._wanted_lots = array("q", [0] * (2 * count * LEVELS_MAX))
        self._is_due = array("q", [0] * count)
        self._mid_left = 0.0

    def _read(self, kinds: tuple[MakerParameters, ...]) -> None:
        """Take the parameters over into arrays, one element a kind, and lay out the ladders."""
        step_s = self._step_s
        self._share = array("d", [kind.share for kind in kinds])
        self._levels = array("q", [kind.levels for kind in kinds])
        self._spread_ratio = array("d", [kind.spread_ratio for kind in kinds])
        self._spread_exponent = array("d", [kind.spread_exponent for kind in kinds])
        self._reach = array("d", [kind.reach_bps for kind in kinds])
        self._withdraw_z = array("d", [kind.withdraw_z for kind in kinds])
        self._withdraw_power = array("d", [kind.withdraw_power for kind in kinds])
        self._signal_ratio = array("d", [kind.signal_ratio for kind in kinds])
        self._floor = array("d", [kind.floor for kind in kinds])
        self._fall_keep = array("d", [math.exp(-step_s / max(kind.reaction_s, 1e-3)) for kind in kinds])
        self._refill_keep = array("d", [keep_ratio(step_s, kind.refill_half_life_s) for kind in kinds])
        self._requote = array("d", [kind.requote_bps for kind in kinds])
        self._limit = array(
            "d", [kind.inventory_limit_depths * kind.share * self.depth_lots for kind in kinds]
        )
        self._skew = array("d", [kind.inventory_skew_bps for kind in kinds])
        start = self.exchange.grid.tick_start * self._micros
        self._capital = array(
            "d", [kind.capital_depths * kind.share * self.depth_lots * start for kind in kinds]
        )
        self._capital_floor = array("d", [kind.capital_floor_ratio for kind in kinds])
        self._collateral = array("d", [kind.collateral_share for kind in kinds])
        self._permanence = array("d", [kind.permanence for kind in kinds])
        self._world_half_life = array("d", [kind.world_half_life_s for kind in kinds])
        self._restore_half_life = array("d", [kind.restore_half_life_s for kind in kinds])
        self._hedge_half_life = array("d", [kind.hedge_half_life_s for kind in kinds])
        self._payout = 1.0 - keep_ratio(step_s, RECAPITALISED_HALF_LIFE_S)
        self._offset = array("d", [0.0] * (len(kinds) * LEVELS_MAX))
        self._weight = array("d", [0.0] * (len(kinds) * LEVELS_MAX))
        for place, kind in enumerate(kinds):
            self._lay_out(place, kind)

    def _lay_out(self, place: int, kind: MakerParameters) -> None:
        """Find the distances of a ladder beyond the half spread, and what rests up to each, in depths of the kind.

        Cells grow by the same ratio from one half spread to the reach; an order stands in the middle of its cell (by
        ratio), the first one at the half spread itself.
        """
        first = max(self._half_spread_bps * kind.spread_ratio, 0.5)
        ratio = (max(kind.reach_bps, 4.0 * first) / first) ** (1.0 / (kind.levels - 1))
        # An edge is at 100 bps, where depth is measured: what rests within it is then as it should be.
        edge = 100.0 / ratio ** round(math.log(100.0 / first) / math.log(ratio))
        at = place * LEVELS_MAX
        for level in range(kind.levels):
            self._offset[at + level] = 0.0 if level == 0 else edge / math.sqrt(ratio)
            self._weight[at + level] = kind.share * (edge / 100.0) ** kind.depth_kappa
            edge *= ratio

    def step(
        self, mid: float, z: float, season: float, world_tick: float, mark: float, outside: Outside
    ) -> None:
        """Let every maker think and move its orders.

        ``mid`` and ``mark`` are ticks (0: there is none), ``world_tick`` is the world's price in ticks.
        """
        jump = mid - self._mid_left if mid > 0.0 and self._mid_left > 0.0 else 0.0
        z_elsewhere = max(outside.factor_z, outside.other_z)
        mean = 0.0
        equity = 0.0
        capital = 0.0
        is_due = False
        for kind in range(self._count):
            equity += self._think(
                kind, z, z_elsewhere, jump, world_tick, mark if mark > 0.0 else world_tick, outside
            )
            capital += self._capital[kind]
            mean += self._share[kind] * self._a[kind]
            self._is_due[kind] = self._look(kind, season)
            if self._is_due[kind]:
                is_due = True
        self.willingness = mean
        self.equity_ratio = equity / capital if capital > 0.0 else 1.0
        if is_due:
            for kind in range(self._count):
                if self._is_due[kind]:
                    self._withdraw(kind)
            for kind in range(self._count):
                if self._is_due[kind]:
                    self._put(kind)
            self._quoted_season = season

    def leave_mid(self, mid: float) -> None:
        """Tell the makers mid as their own quotes left it: what moves it from here on is other people's trades."""
        self._mid_left = mid

    def fair_of(self, kind: int) -> float:
        """Return the fair price of one kind, in ticks."""
        return self._fair[kind]

    def held_of(self, kind: int) -> float:
        """Return what a kind holds that is not hedged, in shares of its limit (signed)."""
        return (self.exchange.lots_of(MAKERS + kind) - self._hedged[kind]) / max(self._limit[kind], 1.0)

    def _think(
        self,
        kind: int,
        z: float,
        z_elsewhere: float,
        jump: float,
        world_tick: float,
        mark: float,
        outside: Outside,
    ) -> float:
        """Move one kind's fair price, hedge and willingness; return its equity in micros."""
        owner = MAKERS + kind
        lots = self.exchange.lots_of(owner)
        a = self._a[kind]
        fair = self._fair[kind] + self._permanence[kind] * jump
        before = self._fair[kind]
        if world_tick > 0.0:
            half_life = self._world_half_life[kind] / max(math.sqrt(a) * outside.arbitrage_share, 1e-6)
            fair += (world_tick - fair) * (1.0 - keep_ratio(self._step_s, half_life))
        self._fair[kind] = max(fair, 2.0)
        half_life = self._hedge_half_life[kind] / math.sqrt(a)
        moved = (
            (lots - self._hedged[kind])
            * (1.0 - keep_ratio(self._step_s, half_life))
            * outside.arbitrage_share
        )
        if world_tick > 0.0:
            self._hedged[kind] += moved
            self._hedge_cash[kind] += moved * world_tick * self._micros
            self.world_lots -= moved
        capital = self._capital[kind] * (1.0 - self._collateral[kind] * (1.0 - outside.collateral_ratio))
        won = (
            self.exchange.cash_of(owner)
            + self._hedge_cash[kind]
            + (lots - self._hedged[kind]) * mark * self._micros
            - self._paid_in[kind]
        )
        self._paid_in[kind] += won * self._payout
        equity = capital + won
        balance = balance_ratio(equity, self._capital[kind], self._capital_floor[kind])
        target = willingness_target(
            z,
            z_elsewhere,
            self._withdraw_z[kind],
            self._withdraw_power[kind],
            self._signal_ratio[kind],
            balance,
            outside.withdraw,
            self._floor[kind],
        )
        a = willingness_next(a, target, self._fall_keep[kind], self._refill_keep[kind])
        self._a[kind] = a
        spread = half_spread_bps(
            a, self._half_spread_bps, self._spread_ratio[kind], self._spread_exponent[kind], self._reach[kind]
        )
        moved_bps = math.fabs(self._fair[kind] / before - 1.0) * 1e4
        keep = keep_ratio(self._step_s, self._restore_half_life[kind] / a) * math.exp(-moved_bps / spread)
        self._spent[2 * kind] *= keep
        self._spent[2 * kind + 1] *= keep
        return equity

    def _look(self, kind: int, season: float) -> int:
        """Tell whether a kind has to move its orders, and where to.

        It has if its fair price, willingness, inventory or the season changed, or what was taken is to be put back.
        """
        lots = self.exchange.lots_of(MAKERS + kind)
        used = (lots - self._hedged[kind]) / max(self._limit[kind], 1.0)
        fair = self._fair[kind]
        tolerance = self._requote[kind] * 1e-4 * fair
        spent = self._spent[2 * kind] + self._spent[2 * kind + 1]
        change = self._a[kind] / max(self._quoted_a[kind], 1e-9)
        is_due = (
            math.fabs(fair - self._quoted_fair[kind]) > tolerance
            or lots != self._quoted_lots[kind]
            or change > 1.1
            or change < 0.9
            or math.fabs(used - self._quoted_used[kind]) > 0.05
            or self._quoted_spent[kind] - spent > 0.02 * self._a[kind] * self._share[kind] * self.depth_lots
            or math.fabs(season - self._quoted_season) > 0.02
        )
        if not is_due:
            return 0
        self._quoted_fair[kind] = fair
        self._quoted_a[kind] = self._a[kind]
        self._quoted_used[kind] = used
        self._quoted_lots[kind] = lots
        self._note_fills(kind)
        self._quoted_spent[kind] = self._spent[2 * kind] + self._spent[2 * kind + 1]
        self._want(kind, 0, used, season)
        self._want(kind, 1, used, season)
        return 1

    def _note_fills(self, kind: int) -> None:
        """Add what was taken from a kind's orders since they were last looked at to what it has spent."""
        for book_side in range(2):
            at = (2 * kind + book_side) * LEVELS_MAX
            for level in range(self._levels[kind]):
                if self._orders[at + level] >= 0:
                    left = self.book.lots_left(self._orders[at + level])
                    self._spent[2 * kind + book_side] += self._left[at + level] - left
                    self._left[at + level] = left
                    if left == 0:
                        self._orders[at + level] = -1

    def _want(self, kind: int, book_side: int, used: float, season: float) -> None:
        """Work out the ladder of one side (0 bids, 1 asks): a tick and lots for each level."""
        a = self._a[kind]
        sign = 1.0 if book_side == 0 else -1.0
        clipped = max(min(used, 1.0), -1.0)
        centre = self._fair[kind] * (1.0 - self._skew[kind] * 1e-4 * clipped)
        spread = half_spread_bps(
            a, self._half_spread_bps, self._spread_ratio[kind], self._spread_exponent[kind], self._reach[kind]
        )
        full = sign * used
        room = 1.0 if full <= _SKEW_FROM else max((1.0 - full) / (1.0 - _SKEW_FROM), 0.0)
        scale = a * season * self.depth_lots * room
        spent = self._spent[2 * kind + book_side]
        rested = 0
        below = int(centre)
        if below >= centre:
            below -= 1
        at = (2 * kind + book_side) * LEVELS_MAX
        ladder = kind * LEVELS_MAX
        for level in range(self._levels[kind]):
            beyond = spread + self._offset[ladder + level]
            tick = int(centre * (1.0 - sign * beyond * 1e-4) + 0.5)
            tick = min(tick, below) if book_side == 0 else max(tick, below + 1)
            up_to = int(scale * self._weight[ladder + level] - spent + 0.5)
            self._wanted_tick[at + level] = min(max(tick, 1), self.book.ticks - 1)
            self._wanted_lots[at + level] = max(up_to - rested, 0) if beyond < 9_000.0 else 0
            rested = max(rested, up_to)

    def _withdraw(self, kind: int) -> None:
        """Cancel the orders that are not where or what they should be."""
        fair = self._fair[kind]
        for book_side in range(2):
            at = (2 * kind + book_side) * LEVELS_MAX
            for level in range(self._levels[kind]):
                order = self._orders[at + level]
                if order < 0:
                    continue
                near = max(self._requote[kind], 0.1 * self._offset[kind * LEVELS_MAX + level]) * 1e-4 * fair
                away = self._tick[at + level] - self._wanted_tick[at + level]
                wanted = self._wanted_lots[at + level]
                left = self._left[at + level]
                if (away if away >= 0 else -away) > near or left * 5 > wanted * 6 or left * 5 < wanted * 4:
                    self.exchange.cancel(order)
                    self._orders[at + level] = -1

    def _put(self, kind: int) -> None:
        """Place what is missing; what crosses other people's orders takes them, as a maker would."""
        owner = MAKERS + kind
        for book_side in range(2):
            at = (2 * kind + book_side) * LEVELS_MAX
            for level in range(self._levels[kind]):
                wanted = self._wanted_lots[at + level]
                if self._orders[at + level] >= 0 or wanted <= 0:
                    continue
                tick = self._wanted_tick[at + level]
                order = self.exchange.place(owner, 1 - 2 * book_side, tick, wanted)
                self._orders[at + level] = order
                self._tick[at + level] = tick
                self._left[at + level] = self.book.lots_left(order) if order >= 0 else 0
        self._quoted_lots[kind] = self.exchange.lots_of(owner)
