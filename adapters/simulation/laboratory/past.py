"""What a venue tells of a market before the episode: open interest, price and volume, every five minutes of its past.

It is the past that the crowd's opening positions were entered in: the same prices, as much open interest all along
(who leaves is followed by another, as ``entering`` has it), and as much traded at each price as entries were drawn
there, which is equally much. Nobody's positions or leverage show in it.
"""

from __future__ import annotations

import math

from adapters.simulation.laboratory.grid import Grid
from adapters.simulation.laboratory.parameters import Episode, SymbolParameters, VenueParameters
from adapters.simulation.laboratory.value import past_prices
from guard.events import HistoryPoint
from guard.units import NS_PER_S

POINT_S = 300
MINUTES = POINT_S // 60
DAY_S = 86_400.0


def history_of(
    episode: Episode, venue: VenueParameters, symbol: SymbolParameters, open_lots: int
) -> tuple[HistoryPoint, ...]:
    """Return the points of a market's past, oldest first; the last is of the episode's begin.

    ``open_lots`` is the open interest of a side that the crowd was opened with.
    """
    grid = Grid(symbol)
    most = float(grid.ticks - 1)
    open_interest = grid.size_of(open_lots)
    volume_usd = volume_day_usd(episode, venue, symbol) * POINT_S / DAY_S
    prices = past_prices(episode, symbol.symbol)[::-1][::MINUTES][::-1] / grid.tick
    last = len(prices) - 1
    return tuple(
        HistoryPoint(
            at=episode.start_at_ns - (last - number) * POINT_S * NS_PER_S,
            price=min(max(tick, 1.0), most) * grid.tick,
            open_interest=open_interest,
            volume_usd=volume_usd if number else None,
        )
        for number, tick in enumerate(prices.tolist())
    )


def volume_day_usd(episode: Episode, venue: VenueParameters, symbol: SymbolParameters) -> float:
    """What is traded at a market a day, as far as parameters tell: takers, and both sides of the crowd's turnover.

    Each of the crowd's positions takes from the book twice, when it is opened and when it is closed; of open interest
    so much goes a day as ``holding_half_life_s`` says. Arbitrage, and who follows price or value, come on top.
    """
    open_usd = symbol.open_interest_usd * venue.share
    turnover = math.log(2.0) * DAY_S / episode.crowd.holding_half_life_s
    return symbol.volume_day_usd * venue.share + 4.0 * open_usd * turnover
