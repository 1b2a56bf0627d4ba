"""One round of one book of the coarse mode: what ``Listing.step`` does, for rounds of any length, and the book's row.

Compiled where there is a compiler (rounds.pxd), and the same results as it is.
"""

from __future__ import annotations

from array import array

from adapters.simulation.coarse.market import CoarseMarket
from adapters.simulation.coarse.series import OFFSETS
from adapters.simulation.laboratory.drive import DriveState
from adapters.simulation.laboratory.mark import Mark, index_of
from adapters.simulation.laboratory.outside import Outside
from adapters.simulation.laboratory.value import Values

_SECOND_MS = 1_000
_MID = OFFSETS["mid"]
_MARK = OFFSETS["mark"]
_INDEX = OFFSETS["index"]
_WORLD = OFFSETS["world"]
_VALUE = OFFSETS["value"]
_SPREAD = OFFSETS["spread_bps"]
_RATE = OFFSETS["funding_rate"]
_INTEREST = OFFSETS["open_interest"]
_BOUGHT = OFFSETS["taker_bought_usd"]
_SOLD = OFFSETS["taker_sold_usd"]
_FUND = OFFSETS["fund_usd"]
_WILLINGNESS = OFFSETS["willingness"]
_EQUITY = OFFSETS["equity_ratio"]
_ARBITRAGE = OFFSETS["arbitrage_ratio"]
_Z = OFFSETS["z"]
_BIDS = OFFSETS["bid_curve_usd"]
_ASKS = OFFSETS["ask_curve_usd"]
_SELLING = OFFSETS["sell_slippage_bps"]
_BUYING = OFFSETS["buy_slippage_bps"]


class Round:
    """Steps one book: ``symbol_at`` is its symbol's place in the episode, ``tick`` and ``lot`` USD and base units."""

    def __init__(
        self, market: CoarseMarket, mark: Mark, outside: Outside, symbol_at: int, tick: float, lot: float
    ) -> None:
        self.market = market
        self.mark = mark
        self.outside = outside
        self._at = symbol_at
        self._tick = tick
        self._lot = lot
        self._round_ms = 100
        self._bought_micros = 0
        self._sold_micros = 0

    def set_round(self, round_ms: int) -> int:
        """Say how long rounds are from the next one on."""
        self._round_ms = round_ms
        self.market.set_round(round_ms / 1_000.0)
        return 0

    def step(self, now_ms: int, values: Values, drive: DriveState, collateral_ratio: float) -> int:
        """Let a round happen here, and what it brings to the rest of the world; return the mark to the nearest tick."""
        outside = self.outside
        market = self.market
        round_s = self._round_ms / 1_000.0
        outside.world_price = values.world_price(self._at)
        outside.value_price = values.value_price(self._at)
        outside.factor_z = values.factor_z
        outside.sell_depths_per_s = drive.sell_depths / round_s
        outside.withdraw = drive.withdraw
        outside.arbitrage_share = drive.arbitrage
        outside.entries_per_s = drive.entries_ratio / round_s
        outside.outage = 1 if drive.is_out else 0
        outside.collateral_ratio = collateral_ratio
        market.step(now_ms, outside)
        values.shift(self._at, market.take_world_move())
        outside.mark_tick = self._measure_mark(now_ms, values.world_price(self._at), drive.arbitrage)
        rate_ppb = self.mark.take_due_ppb()
        if rate_ppb != 0:
            market.fund(outside.mark_tick, rate_ppb)
        return outside.mark_tick

    def write(self, out: array[float], values: Values) -> int:
        """Write what is now, and what takers bought and sold since the last row; what was closed is not its matter."""
        market = self.market
        exchange = market.exchange
        curves = market.curves
        out[_MID] = market.mid * self._tick
        out[_MARK] = self.outside.mark_tick * self._tick
        out[_INDEX] = self.mark.index * self._tick
        out[_WORLD] = values.world_price(self._at)
        out[_VALUE] = values.value_price(self._at)
        out[_RATE] = self.mark.rate
        out[_INTEREST] = exchange.open_lots(market.crowd.long_lots) * self._lot
        out[_BOUGHT] = (exchange.bought_micros - self._bought_micros) / 1e6
        out[_SOLD] = (exchange.sold_micros - self._sold_micros) / 1e6
        self._bought_micros = exchange.bought_micros
        self._sold_micros = exchange.sold_micros
        out[_FUND] = market.crowd.engine.fund_equity(self.outside.mark_tick) / 1e6
        out[_WILLINGNESS] = market.willingness
        out[_EQUITY] = market.equity_ratio
        out[_ARBITRAGE] = market.arbitrage_ratio
        out[_Z] = market.z
        if curves.best_bid <= 0 or curves.best_ask >= curves.ticks:
            out[_SPREAD] = -1.0
            for cost in range(_SELLING, _BUYING + _BUYING - _SELLING):
                out[cost] = -1.0
            return 0
        out[_SPREAD] = 2e4 * (curves.best_ask - curves.best_bid) / (curves.best_ask + curves.best_bid)
        curves.measure(0, out, _BIDS, _SELLING)
        curves.measure(1, out, _ASKS, _BUYING)
        return 1

    def _measure_mark(self, now_ms: int, world: float, arbitrage: float) -> int:
        """What is measured each second is measured so often, with the prices that there are at the round's end."""
        curves = self.market.curves
        bid = 1.0 * curves.best_bid
        ask = 1.0 * curves.best_ask
        if curves.best_bid <= 0 or curves.best_ask >= curves.ticks:
            bid = 0.0
            ask = 0.0
        index = index_of(world / self._tick, 0.5 * (bid + ask), arbitrage)
        last = 1.0 * curves.last_tick
        second_ms = now_ms - self._round_ms + _SECOND_MS
        while second_ms < now_ms:
            self.mark.step(second_ms, index, bid, ask, last)
            second_ms += _SECOND_MS
        price = self.mark.step(now_ms, index, bid, ask, last)
        return min(max(int(price + 0.5), 1), curves.ticks - 1)
