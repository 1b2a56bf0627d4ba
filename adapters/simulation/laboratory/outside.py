"""What one book is told of the rest of the world at each step: the laboratory fills it, its market reads it."""

from __future__ import annotations


class Outside:
    """The state of everything but the book itself; calm and at no price until it is filled.

    ``world_price`` and ``value_price`` are USD, ``mark_tick`` the venue's mark in ticks (0: not known yet, so nobody
    is liquidated), ``factor_z`` and ``other_z`` the moves (usual deviations, unsigned) of the common factor and of the
    symbol's other venues. Of what the scenario does: ``sell_depths_per_s`` (below 0 buys), ``withdraw`` (makers'
    willingness is multiplied by it), ``arbitrage_share`` (1: as usual), ``entries_per_s`` (of open interest, longs;
    below 0 shorts), ``outage`` (1: the venue takes no orders), ``collateral_ratio`` (of its peg).
    """

    def __init__(self) -> None:
        self.world_price = 0.0
        self.value_price = 0.0
        self.mark_tick = 0
        self.factor_z = 0.0
        self.other_z = 0.0
        self.sell_depths_per_s = 0.0
        self.withdraw = 1.0
        self.arbitrage_share = 1.0
        self.entries_per_s = 0.0
        self.outage = 0
        self.collateral_ratio = 1.0
