"""Orders that wait far from the price for a bargain, and come back slowly where they were taken.

On each side a ladder from ``patient_from_bps`` to ten times that, as much in each equal ratio of distance, around a
slow average of the price (it follows with the same half-life as orders come back). One price is looked at in a step,
in turn. Compiled where there is a compiler (patient.pxd), and the same orders as it is.
"""

from __future__ import annotations

from array import array

from adapters.simulation.laboratory.behaviour import keep_ratio, patient_depths
from adapters.simulation.laboratory.exchange import Exchange
from adapters.simulation.laboratory.owners import PATIENT
from adapters.simulation.laboratory.parameters import FlowParameters

PRICES = 12
"""On each side."""

EVERY_MS = 2_000
"""How often one of the prices is looked at."""

_TOLERANCE = 0.1
"""An order is moved when it is this ratio of its distance from where it should be."""


class Patient:
    """The patient orders at one book."""

    def __init__(self, exchange: Exchange, depth_lots: float, parameters: FlowParameters) -> None:
        self.exchange = exchange
        self.book = exchange.book
        self.reference = 0.0
        self._depth_lots = depth_lots
        ratio = 10.0 ** (1.0 / PRICES)
        edges = [parameters.patient_from_bps * ratio**place for place in range(PRICES + 1)]
        depths = [
            patient_depths(edge, parameters.patient_depths, parameters.patient_from_bps) for edge in edges
        ]
        self._distance = array(
            "d", [edge * ratio**0.5 * 1e-4 for edge in edges if edge < 9.9 * parameters.patient_from_bps]
        )
        self._lots = array("d", [(depths[place + 1] - depths[place]) * depth_lots for place in range(PRICES)])
        self._keep = keep_ratio(2 * PRICES * EVERY_MS / 1_000.0, parameters.patient_half_life_s)
        self._reference_keep = keep_ratio(EVERY_MS / 1_000.0, parameters.patient_half_life_s)
        self._order = array("q", [-1] * (2 * PRICES))
        self._tick = array("q", [0] * (2 * PRICES))
        self._turn = 0
        self._due_ms = 0

    def begin(self, tick: float) -> None:
        """Place everything around a price."""
        self.reference = tick
        for place in range(2 * PRICES):
            self._place(place, self._lots[place // 2])

    def step(self, now_ms: int, mid: float) -> None:
        """Look at the price whose turn it is."""
        if now_ms < self._due_ms:
            return
        self._due_ms = now_ms + EVERY_MS
        if mid > 0.0:
            self.reference = mid + (self.reference - mid) * self._reference_keep
        place = self._turn
        self._turn = (place + 1) % (2 * PRICES)
        order = self._order[place]
        left = self.book.lots_left(order) if order >= 0 else 0
        full = self._lots[place // 2]
        wanted = full + (left - full) * self._keep
        tick = self._wanted_tick(place)
        away = tick - self._tick[place]
        is_far = (away if away >= 0 else -away) > _TOLERANCE * self._distance[place // 2] * self.reference
        if is_far or wanted - left >= 1.0:
            if left > 0:
                self.exchange.cancel(order)
            self._place(place, wanted)

    def _place(self, place: int, lots: float) -> None:
        tick = self._wanted_tick(place)
        self._tick[place] = tick
        self._order[place] = -1
        whole = int(lots)
        if whole > 0:
            self._order[place] = self.exchange.place(PATIENT, 1 - 2 * (place % 2), tick, whole, True)

    def _wanted_tick(self, place: int) -> int:
        sign = 1.0 - 2.0 * (place % 2)
        tick = int(self.reference * (1.0 - sign * self._distance[place // 2]))
        return min(max(tick, 1), self.book.ticks - 1)
