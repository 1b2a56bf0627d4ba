"""Makers and patient orders of a coarse book: they think as the order level's do, and put curves, not orders.

Compiled where there is a compiler (quoting.pxd), and the same curves as it is.
"""

from __future__ import annotations

import math
from array import array

from adapters.simulation.coarse.curve_book import CurveBook
from adapters.simulation.laboratory.behaviour import half_spread_bps, keep_ratio
from adapters.simulation.laboratory.exchange import Exchange
from adapters.simulation.laboratory.makers import RECAPITALISED_HALF_LIFE_S, Makers
from adapters.simulation.laboratory.outside import Outside
from adapters.simulation.laboratory.parameters import FlowParameters, MakerParameters, SymbolParameters
from adapters.simulation.laboratory.patient import Patient

LOG2 = 0.6931471805599453

JUMP_RATIO_MAX = 3.0
"""A round's move of mid counts at most so much more than it is, for what was put back while it went on."""


_STEP_S = 0.1
"""The order level's step."""

_SHOWN_RATIO = 0.02
"""Patient orders of a price come back when so much of them would, as at the order level: not lot by lot."""


class CoarsePatient(Patient):
    """Patient orders, all of whose prices follow their slow average at every round."""

    def __init__(self, exchange: Exchange, depth_lots: float, parameters: FlowParameters) -> None:
        super().__init__(exchange, depth_lots, parameters)
        self._half_life_s = parameters.patient_half_life_s
        self._prices = len(self._distance)
        self._lacking = array("d", bytes(8 * 2 * self._prices))
        self._round_keep = 1.0

    def set_round(self, round_s: float) -> int:
        """Say how long rounds are from now on."""
        self._round_keep = keep_ratio(round_s, self._half_life_s)
        return 0

    def begin(self, tick: float) -> None:
        """Wait around a price."""
        self.reference = tick

    def step(self, now_ms: int, mid: float) -> None:  # noqa: ARG002 - every action is told its time
        """Follow the price; everything else is done when curves are put."""
        if mid > 0.0:
            self.reference = mid + (self.reference - mid) * self._round_keep

    def note_taken(self, curves: CurveBook, part: int) -> int:
        """Note what was taken since the curves were put, and what came back in a round."""
        if self.reference <= 0.0:
            return 0
        for side in range(2):
            self._take_off(side, curves.taken(side, part))
        return 0

    def put_side(self, curves: CurveBook, part: int, side: int) -> int:
        """Put one side's steps, best first."""
        for price in range(self._prices):
            place = 2 * price + side
            lots = self._lots[price] - self._lacking[place]
            if lots >= _SHOWN_RATIO * self._lots[price]:
                curves.put(side, part, self._wanted_tick(place), int(lots))
        return 0

    def _take_off(self, side: int, lots: float) -> int:
        """Note what was taken, the nearest first, after what came back."""
        for price in range(self._prices):
            place = 2 * price + side
            self._lacking[place] *= self._round_keep
            got = min(lots, max(self._lots[price] - self._lacking[place], 0.0))
            self._lacking[place] += got
            lots -= got
        return 0


class CoarseMakers(Makers):
    """Makers whose thinking is ``Makers``'; each round they put their ladders as steps of the book's curves.

    A kind puts back what is taken of it with a rate rho (``restore_half_life_s / a``). Over a round of dt it can so be
    taken ``1 / phi`` times what it shows, ``phi = (1 - exp(-rho dt)) / (rho dt)``, and what is lacking of it at the
    end is phi times what was taken. In rounds as short as the order level's steps phi is 1.
    """

    def __init__(
        self,
        exchange: Exchange,
        symbol: SymbolParameters,
        venue_share: float,
        kinds: tuple[MakerParameters, ...],
        curves: CurveBook,
        patient: CoarsePatient,
    ) -> None:
        super().__init__(exchange, symbol, venue_share, kinds, 1_000)
        self.curves = curves
        self.patient = patient
        self._patient_part = len(kinds)
        self._stride = len(self._orders) // (2 * len(kinds))
        count = len(kinds)
        self._coarse_reaction_s = array("d", [max(kind.reaction_s, 1e-3) for kind in kinds])
        self._coarse_refill_s = array("d", [kind.refill_half_life_s for kind in kinds])
        self._coarse_phi = array("d", [1.0]) * count
        self.set_round(1.0)

    def set_round(self, round_s: float) -> int:
        """Say how long rounds are from now on."""
        self._step_s = round_s
        self._payout = 1.0 - keep_ratio(round_s, RECAPITALISED_HALF_LIFE_S)
        for kind in range(self._count):
            self._fall_keep[kind] = math.exp(-round_s / self._coarse_reaction_s[kind])
            self._refill_keep[kind] = keep_ratio(round_s, self._coarse_refill_s[kind])
        return 0

    def step(
        self, mid: float, z: float, season: float, world_tick: float, mark: float, outside: Outside
    ) -> None:
        """Let every maker think, and put all curves anew; the arguments are those of ``Makers.step``."""
        jump = mid - self._mid_left if mid > 0.0 and self._mid_left > 0.0 else 0.0
        z_elsewhere = max(outside.factor_z, outside.other_z)
        mean = 0.0
        equity = 0.0
        capital = 0.0
        curves = self.curves
        for kind in range(self._count):
            for side in range(2):
                self._spent[2 * kind + side] += curves.taken(side, kind)
        self.patient.note_taken(curves, self._patient_part)
        curves.begin()
        for kind in range(self._count):
            before = self._fair[kind]
            equity += self._think(
                kind,
                z,
                z_elsewhere,
                jump * self._jump_ratio(kind, outside.arbitrage_share),
                world_tick,
                mark if mark > 0.0 else world_tick,
                outside,
            )
            self._put_back(kind, before)
            capital += self._capital[kind]
            mean += self._share[kind] * self._a[kind]
            self._put_curves(kind, season)
        self.willingness = mean
        self.equity_ratio = equity / capital if capital > 0.0 else 1.0
        for side in range(2):
            self.patient.put_side(curves, self._patient_part, side)
        curves.build()
        self._uncross()

    def _jump_ratio(self, kind: int, arbitrage_share: float) -> float:
        """How much a kind's fair price takes over of a round's move, for each part of it that it would of a step's.

        Mid shows what is lacking at the end, phi of the moves that there were; of these the pull to the world's price,
        which is applied to the whole after them, had on the mean half of the round.
        """
        pull = LOG2 * self._step_s * self._a[kind] * arbitrage_share / self._world_half_life[kind]
        ratio = 1.0 / self._coarse_phi[kind]
        if pull > 1e-6:
            ratio *= (math.exp(pull) - 1.0) / pull
        return min(ratio, JUMP_RATIO_MAX)

    def _put_back(self, kind: int, before: float) -> int:
        """Put back what a fair price that moves on its way has put back at the order level.

        There it is as much as the sum of the steps' moves says, which of a walk of n steps is about sqrt(n) times
        the round's move; the latter is in ``_think`` already.
        """
        moved_bps = math.fabs(self._fair[kind] / before - 1.0) * 1e4
        more = math.sqrt(max(self._step_s / _STEP_S, 1.0)) - 1.0
        spread = half_spread_bps(
            self._a[kind],
            self._half_spread_bps,
            self._spread_ratio[kind],
            self._spread_exponent[kind],
            self._reach[kind],
        )
        keep = math.exp(-more * moved_bps / spread)
        self._spent[2 * kind] *= keep
        self._spent[2 * kind + 1] *= keep
        return 0

    def _put_curves(self, kind: int, season: float) -> int:
        curves = self.curves
        restored = LOG2 * self._step_s * self._a[kind] / max(self._restore_half_life[kind], 1e-3)
        phi = (1.0 - math.exp(-restored)) / restored if restored > 1e-6 else 1.0
        self._coarse_phi[kind] = phi
        curves.set_scale(kind, 1.0 / phi)
        held = self.held_of(kind)
        for side in range(2):
            self._want(kind, side, held, season)
            at = (2 * kind + side) * self._stride
            for level in range(self._levels[kind]):
                curves.put(side, kind, self._wanted_tick[at + level], self._wanted_lots[at + level])
        return 0

    def _uncross(self) -> int:
        """Let whose curves cross trade with each other until they do not; who bids takes."""
        curves = self.curves
        while curves.is_crossed():
            lots = min(curves.best_lots(0), curves.best_lots(1))
            owner = curves.best_owner(0)
            traded = owner != curves.best_owner(1)
            if traded:
                self.exchange.take(owner, 1, lots, 0)
            else:
                curves.drop(1, lots, False)
            curves.drop(0, lots, traded)
        return 0
