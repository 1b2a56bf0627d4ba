"""One symbol at one venue as depth curves: the order level's market, with another book and rounds of any length.

Compiled where there is a compiler (market.pxd), and the same events as it is.
"""

from __future__ import annotations

from adapters.simulation.coarse.curve_book import CurveBook
from adapters.simulation.coarse.quoting import CoarseMakers, CoarsePatient
from adapters.simulation.laboratory.market import Market
from adapters.simulation.laboratory.owners import MAKERS, PATIENT
from adapters.simulation.laboratory.parameters import Episode, SymbolParameters, VenueParameters

STEP_S = 0.1
"""The order level's step, for which it is told how much is traded or liquidated at most in one."""


class CoarseMarket(Market):
    """``Market`` whose makers and patient orders are curves, and who all take what comes together in a round.

    Attributes:
        curves: the book.
        round_s: how long a round is.
    """

    def __init__(self, episode: Episode, venue: VenueParameters, symbol: SymbolParameters) -> None:
        super().__init__(episode, venue, symbol)
        owners = [MAKERS + kind for kind in range(len(episode.makers))] + [PATIENT]
        self.curves = CurveBook(self.grid.ticks, owners, self.grid.micros / 1e6)
        self.coarse_patient = CoarsePatient(self.exchange, self.depth_lots, episode.flow)
        self.coarse_makers = CoarseMakers(
            self.exchange, symbol, venue.share, episode.makers, self.curves, self.coarse_patient
        )
        self.round_s = 0.0
        self._slice_depths_of_step = self._slice_depths
        self._at_once_lots = self.crowd.at_once_lots
        self._stand_in()

    def set_round(self, round_s: float) -> int:
        """Say how long rounds are from the next one on; everybody does so much more in one."""
        if round_s == self.round_s:
            return 0
        self.round_s = round_s
        self.coarse_makers.set_round(round_s)
        self.coarse_patient.set_round(round_s)
        self.flow._step_s = round_s  # noqa: SLF001 - who takes is the order level's own, in longer steps
        self.arbitrage._step_s = round_s  # noqa: SLF001
        self.entering._step_s = round_s  # noqa: SLF001
        self.lead_within(round_s)
        steps = round_s / STEP_S
        self._slice_depths = self._slice_depths_of_step * steps
        self.crowd.at_once_lots = max(int(self._at_once_lots * steps), 1)
        return 0

    def _stand_in(self) -> None:
        """Put the curves where orders were: in the exchange, before the crowd, and before the venue's engine."""
        book = self.curves
        self.book = book
        self.exchange.book = book
        self.crowd.book = book
        self.crowd.engine.book = book
        self.entering.book = book
        self.makers = self.coarse_makers
        self.patient = self.coarse_patient
