"""One symbol at one venue: its market, what that is told of everything else, and the venue's mark and funding.

Compiled where there is a compiler (listing.pxd), and the same as it is.
"""

from __future__ import annotations

from collections.abc import Sequence

from adapters.simulation.laboratory.collateral import Collateral
from adapters.simulation.laboratory.crowd import Crowd
from adapters.simulation.laboratory.drive import DriveState
from adapters.simulation.laboratory.exchange import Exchange
from adapters.simulation.laboratory.grid import Grid
from adapters.simulation.laboratory.liquidation_engine import Liquidated
from adapters.simulation.laboratory.mark import Mark, index_of
from adapters.simulation.laboratory.market import Market
from adapters.simulation.laboratory.observed import Told, market_of
from adapters.simulation.laboratory.outside import Outside
from adapters.simulation.laboratory.parameters import Episode, SymbolParameters, VenueParameters
from adapters.simulation.laboratory.value import Values
from guard.units import NS_PER_MS


class Listing:
    """A book of the laboratory with all that belongs to it.

    Attributes:
        venue, symbol: its parameters.
        market: its name for guards.
        trading: who trades in it (``market.Market``).
        exchange, crowd, grid: the market's own, for short.
        mark: mark price and funding, in ticks.
        mark_tick: the mark to the nearest tick: what positions are liquidated and funded by.
        outside: what the market is told.
        closed: what was liquidated in the last step.
        is_out: whether the venue is silent about it.
    """

    market_class: type[Market] = Market
    """Of what trades in it: the coarse mode has its own."""

    def __init__(self, episode: Episode, venue: VenueParameters, symbol: SymbolParameters, at: int) -> None:
        self.venue = venue
        self.symbol = symbol
        self.market = market_of(venue.venue, symbol.symbol)
        self.at = at
        """The symbol's place in the episode."""
        self.trading = self.market_class(episode, venue, symbol)
        self.exchange: Exchange = self.trading.exchange
        self.crowd: Crowd = self.trading.crowd
        self.grid: Grid = self.trading.grid
        self.mark_tick = self.grid.tick_start
        self.mark = Mark(episode.funding, episode.start_at_ns, float(self.mark_tick))
        self.outside = Outside()
        self.outside.mark_tick = self.mark_tick
        self.closed: Sequence[Liquidated] = ()
        self.is_out = False
        self.z = 0.0
        """How far price moved here of late, for others to see; never below 0."""
        self._start_at = episode.start_at_ns
        self._step_s = episode.step_ms / 1_000.0
        self._end_ms = round(episode.duration_s * 1_000.0)

    def step(self, now_ms: int, values: Values, drive: DriveState, collateral: Collateral) -> None:
        """Let a step happen here, and what it brings to the rest of the world."""
        outside = self.outside
        world = values.world_price(self.at)
        outside.world_price = world
        outside.value_price = values.value_price(self.at)
        outside.factor_z = values.factor_z
        outside.sell_depths_per_s = drive.sell_depths / self._step_s
        outside.withdraw = drive.withdraw
        outside.arbitrage_share = drive.arbitrage
        outside.entries_per_s = drive.entries_ratio / self._step_s
        outside.outage = 1 if drive.is_out else 0
        outside.collateral_ratio = collateral.ratio(self.venue.venue, now_ms)
        outside.mark_tick = self.mark_tick
        self.is_out = drive.is_out
        trading: Market = self.trading
        trading.step(now_ms, outside)
        values.shift(self.at, trading.take_world_move())
        self.take_closed(now_ms)
        self._mark(now_ms, values.world_price(self.at), drive.arbitrage)

    def take_closed(self, now_ms: int) -> None:
        """Take what was liquidated in a step; at the end of the episode what is still being sold too."""
        if self.is_out or now_ms >= self._end_ms:
            self.crowd.engine.tell(now_ms, now_ms >= self._end_ms)
        self.closed = self.crowd.take_liquidations()

    def told(self) -> Told:
        """What the venue says of it besides its book."""
        mark = self.mark
        return Told(
            mark_price=self.grid.price_of(self.mark_tick),
            index_price=mark.index * self.grid.tick,
            funding_rate=mark.rate,
            next_funding_at=self._start_at + mark.next_funding_ms * NS_PER_MS,
            open_interest=self.grid.size_of(self.open_lots),
        )

    @property
    def open_lots(self) -> int:
        """Open interest."""
        return self.exchange.open_lots(self.crowd.long_lots)

    def _mark(self, now_ms: int, world: float, arbitrage: float) -> None:
        book = self.exchange.book
        bid = book.best_bid
        ask = book.best_ask
        is_whole = bid > 0 and ask < book.ticks
        index = index_of(world / self.grid.tick, 0.5 * (bid + ask) if is_whole else 0.0, arbitrage)
        mark = self.mark.step(now_ms, index, bid if is_whole else 0, ask if is_whole else 0, book.last_tick)
        self.mark_tick = min(max(int(mark + 0.5), 1), book.ticks - 1)
        rate_ppb = self.mark.take_due_ppb()
        if rate_ppb:
            self.trading.fund(self.mark_tick, rate_ppb)
