"""A book kept as one list of orders, looked through from its beginning each time: what a fast one must equal."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class NaiveOrder:
    """One resting order; ``number`` says when it came."""

    number: int
    owner: int
    side: int
    tick: int
    lots: int


@dataclass(slots=True)
class NaiveFill:
    """One fill of a resting order."""

    order: NaiveOrder
    lots: int


@dataclass(slots=True)
class NaiveBook:
    """Price, then time; own orders that one meets are cancelled."""

    ticks: int
    resting: list[NaiveOrder] = field(default_factory=list)
    fills: list[NaiveFill] = field(default_factory=list)
    came: int = 0
    last_tick: int = 0

    def queue(self, side: int) -> list[NaiveOrder]:
        """All orders of a side, those first that trade first."""
        return sorted(
            (order for order in self.resting if order.side == side),
            key=lambda order: (-side * order.tick, order.number),
        )

    def levels(self, side: int) -> list[tuple[int, int]]:
        """Prices and lots of a side, best first."""
        lots: dict[int, int] = {}
        for order in self.queue(side):
            lots[order.tick] = lots.get(order.tick, 0) + order.lots
        return list(lots.items())

    @property
    def best_bid(self) -> int:
        return max((order.tick for order in self.resting if order.side > 0), default=0)

    @property
    def best_ask(self) -> int:
        return min((order.tick for order in self.resting if order.side < 0), default=self.ticks)

    def place(
        self, owner: int, side: int, tick: int, lots: int, *, post_only: bool = False
    ) -> NaiveOrder | None:
        """Match what crosses and rest what is left."""
        self.fills = []
        if lots <= 0 or (post_only and (tick >= self.best_ask if side > 0 else tick <= self.best_bid)):
            return None
        left = self._match(owner, side, lots, tick)
        if left == 0:
            return None
        self.came += 1
        order = NaiveOrder(self.came, owner, side, tick, left)
        self.resting.append(order)
        return order

    def take(self, owner: int, side: int, lots: int, limit_tick: int = 0) -> int:
        """Take up to a limit."""
        self.fills = []
        return lots - self._match(owner, side, lots, limit_tick or (self.ticks if side > 0 else 0))

    def cancel(self, order: NaiveOrder) -> int:
        """Take an order out."""
        if order not in self.resting:
            return 0
        self.resting.remove(order)
        return order.lots

    def shrink(self, order: NaiveOrder, lots: int) -> int:
        """Leave at most so many lots."""
        if order not in self.resting or lots >= order.lots:
            return 0
        if lots <= 0:
            return self.cancel(order)
        out = order.lots - lots
        order.lots = lots
        return out

    def _match(self, owner: int, side: int, lots: int, limit: int) -> int:
        for order in self.queue(-side):
            if lots == 0 or side * order.tick > side * limit:
                break
            if order.owner == owner:
                self.resting.remove(order)
                continue
            part = min(lots, order.lots)
            self.fills.append(NaiveFill(order, part))
            self.last_tick = order.tick
            lots -= part
            order.lots -= part
            if order.lots == 0:
                self.resting.remove(order)
        return lots
