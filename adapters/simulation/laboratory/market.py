"""One symbol at one venue: its order book with all who trade in it, stepped together.

A step goes: what the scenario does, how far price moved, makers' willingness and quotes, patient orders, takers, the
crowd's coming and going, arbitrage, stops, and a slice of liquidations at the mark that the venue knows. Mark, funding
and the rest of the world are the laboratory's (``Outside``).

Compiled where there is a compiler (market.pxd), and the same events as it is.
"""

from __future__ import annotations

import math

from adapters.simulation.laboratory.arbitrage import Arbitrage
from adapters.simulation.laboratory.behaviour import keep_ratio, season, volatility_of, world_log_move
from adapters.simulation.laboratory.crowd import Crowd
from adapters.simulation.laboratory.draws import Draws
from adapters.simulation.laboratory.entering import Entering
from adapters.simulation.laboratory.exchange import Exchange
from adapters.simulation.laboratory.flow import Flow
from adapters.simulation.laboratory.grid import Grid
from adapters.simulation.laboratory.makers import Makers
from adapters.simulation.laboratory.moves import Moves
from adapters.simulation.laboratory.outside import Outside
from adapters.simulation.laboratory.parameters import Episode, SymbolParameters, VenueParameters
from adapters.simulation.laboratory.patient import Patient
from adapters.simulation.laboratory.value import past_prices

HISTORY_SPACING_MS = 60_000
"""Between two prices of the past that opening positions were entered at."""

MAKER_FEE_PPM = 0
"""Makers here pay for no fill and get nothing for it: what they earn is the spread."""

TAKER_FEE_PPM = 500


class Market:
    """One book and everybody at it, in an episode.

    Attributes:
        mid: of the book in ticks as the latest step left it; where a side is empty, the last one as far as the other
            side allows.
        z: how far it moved of late, in usual deviations (``Moves``).
        willingness: of the makers, mean by share of depth.
        equity_ratio: the makers' of what they began with.
        arbitrage_ratio: of arbitrage's usual strength.
        depth_lots: what makers rest within 100 bps on each side when calm, in lots.
    """

    def __init__(self, episode: Episode, venue: VenueParameters, symbol: SymbolParameters) -> None:
        name = f"{episode.seed}:{venue.venue}:{symbol.symbol}"
        self.episode = episode
        self.venue = venue
        self.symbol = symbol
        self.grid = Grid(symbol)
        self.exchange = Exchange(self.grid, MAKER_FEE_PPM, TAKER_FEE_PPM)
        self.book = self.exchange.book
        self.makers = Makers(self.exchange, symbol, venue.share, episode.makers, episode.step_ms)
        self.depth_lots = self.makers.depth_lots
        self.patient = Patient(self.exchange, self.depth_lots, episode.flow)
        self.flow = Flow(
            self.exchange,
            symbol,
            venue.share,
            self.depth_lots,
            episode.flow,
            Draws(f"{name}:flow"),
            episode.step_ms,
        )
        self.arbitrage = Arbitrage(self.exchange, self.depth_lots, episode.arbitrage, episode.step_ms)
        self.crowd = Crowd(
            self.exchange, episode.crowd, symbol.brackets, episode.liquidation, Draws(f"{name}:crowd")
        )
        self.open_lots_usual = max(
            self.grid.lots_worth(symbol.open_interest_usd * venue.share, self.grid.tick_start), 1
        )
        volatility = volatility_of(symbol.beta, episode.value.volatility_day, symbol.volatility_day)
        self._seed_crowd()
        self.entering = Entering(
            self.crowd,
            episode.crowd,
            self.open_lots_usual,
            self.depth_lots,
            Draws(f"{name}:entering"),
            episode.step_ms,
        )
        self.moves = Moves(volatility, math.log(float(self.grid.tick_start)))
        self.mid = float(self.grid.tick_start)
        self.z = 0.0
        self.willingness = 1.0
        self.equity_ratio = 1.0
        self.arbitrage_ratio = 1.0
        self.season = 1.0
        self._tick_usd = self.grid.tick
        self._season_ratio = episode.value.season_ratio
        self._start_ms = episode.start_at_ns // 1_000_000 % 86_400_000
        self._season_due_ms = 0
        self._venue_ratio = venue.share / sum(each.share for each in episode.venues)
        self._spot_depth_ratio = episode.value.spot_depth_ratio
        self._spot_thinning = episode.value.spot_thinning
        self._lead_half_life_s = episode.value.lead_half_life_s
        self._lead = 0.0
        self._led = 0.0
        self.lead_within(episode.step_ms / 1_000.0)
        self._slice_depths = episode.liquidation.slice_depths
        self._is_begun = 0

    def _seed_crowd(self) -> None:
        """Open the positions that there are at the start, along the same past at every venue."""
        most = float(self.grid.ticks - 1)
        past = past_prices(self.episode, self.symbol.symbol) / self.grid.tick
        path = [min(max(float(tick), 1.0), most) for tick in past]
        self.crowd.seed(path, HISTORY_SPACING_MS, self.open_lots_usual)

    def step(self, now_ms: int, outside: Outside) -> None:
        """Go on by one step, which ends at ``now_ms`` (since the episode's begin)."""
        self.exchange.now_ms = now_ms
        if now_ms >= self._season_due_ms:
            self.season = season((self._start_ms + now_ms) % 86_400_000 / 1_000.0, self._season_ratio)
            self._season_due_ms = now_ms + 1_000
        world_tick = outside.world_price / self._tick_usd
        if self._is_begun == 0 and world_tick > 0.0:
            self.patient.begin(world_tick)
            self._is_begun = 1
        self.mid = self._find_mid()
        self.z = self.moves.update(now_ms, math.log(self.mid))
        if outside.outage:
            return
        self.crowd.reference_tick = outside.mark_tick
        self.crowd.reprice_collateral(outside.collateral_ratio)
        self.makers.step(self.mid, self.z, self.season, world_tick, float(outside.mark_tick), outside)
        self.mid = self._find_mid()
        self.makers.leave_mid(self.mid)
        self.patient.step(now_ms, self.mid)
        value_tick = outside.value_price / self._tick_usd
        willing = self.makers.willingness
        self.flow.step(self.mid, self.season, value_tick, willing, self.moves, outside)
        self.entering.step(now_ms, self._find_mid(), self.season, self.moves, outside)
        self.arbitrage.step(self._find_mid(), self.z, world_tick, outside)
        self.crowd.run_stops(now_ms, self.book.last_tick)
        self.willingness = self.makers.willingness
        self.equity_ratio = self.makers.equity_ratio
        self.arbitrage_ratio = self.arbitrage.ratio
        if outside.mark_tick > 0:
            lots = int(self._slice_depths * self.depth_lots * self.willingness) + 1
            self.crowd.liquidate(now_ms, outside.mark_tick, lots)
        self.mid = self._find_mid()
        if world_tick > 0.0:
            self._led += self._lead * outside.arbitrage_share * math.log(self.mid / world_tick)

    def lead_within(self, seconds: float) -> int:
        """Say how long a step is: so far does this book lead the world's price in one."""
        part = 1.0 - keep_ratio(seconds, self._lead_half_life_s) if self._lead_half_life_s > 0.0 else 0.0
        self._lead = part * self._venue_ratio
        return 0

    def fund(self, mark_tick: int, rate_ppb: int) -> None:
        """Let longs pay shorts (at a rate above 0) once, everybody at this book."""
        self.exchange.fund(mark_tick, rate_ppb)
        self.crowd.fund(mark_tick, rate_ppb)

    def take_world_move(self) -> float:
        """Return how far (log) the world's price is moved by what was traded there since this was last asked.

        That is what arbitrage and makers bought less what they sold, see ``behaviour.world_log_move``, and how far the
        world follows this book.
        """
        led = self._led
        self._led = 0.0
        lots = self.makers.world_lots + self.arbitrage.world_lots
        self.makers.world_lots = 0.0
        self.arbitrage.world_lots = 0.0
        depths = lots / self.depth_lots * self._venue_ratio
        return led + world_log_move(depths, self._spot_depth_ratio, self.willingness, self._spot_thinning)

    def _find_mid(self) -> float:
        bid = self.book.best_bid
        ask = self.book.best_ask
        if bid > 0 and ask < self.book.ticks:
            return 0.5 * (bid + ask)
        if bid > 0:
            return max(self.mid, float(bid))
        return min(self.mid, float(ask))
