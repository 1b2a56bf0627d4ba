"""A position's profit and what the venue demands for it as straight lines of its market's price. Pure.

Between two edges of its tiers everything that a leg adds to ``guard.leverage.margin_pool``'s F is a line in the price
p, for linear and for inverse contracts. With v the position's value, |q| p quote or |N| / p coins, a tier demands
``max(r v - c, 0)`` of that: the bend where r v = c is an edge like any other.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf

from guard.leverage.margin_pool import Holding, Leg
from guard.margin_terms import ContractKind, MarginTier, TierUnit

LARGEST = 1e30
"""Numbers of this size or more are odd: no product of those below it comes near the end of floats."""
SMALLEST_PRICE = 1e-30

Edge = tuple[float, float, float]
"""A price, and by how much slope and intercept of F change when it is crossed."""

_TABLES_MAX = 4096  # thousands of markets have one each; a table is some kilobytes


@dataclass(slots=True)
class Pieces:
    """Maintenance as a function of value v >= 0: ``ratios[i] * v - deductions[i]`` from ``floors[i]`` on, never < 0."""

    floors: list[float]
    ratios: list[float]
    deductions: list[float]


@dataclass(slots=True)
class Table:
    """One tier table made ready: ``by_value`` where v tells the tier, ``tiers`` from ``floors`` where size does."""

    tiers: tuple[MarginTier, ...]
    floors: list[float]
    by_value: Pieces


@dataclass(slots=True)
class LegLines:
    """What one leg adds, each as slope and intercept in the price, at and around ``price``.

    ``pieces`` is ``None`` where no price changes what the venue demands for it; ``piece`` is the one at ``price``.
    """

    leg: Leg
    profit_slope: float
    profit_intercept: float
    maintenance_slope: float
    maintenance_intercept: float
    fee_slope: float
    fee_intercept: float
    pieces: Pieces | None
    piece: int

    @property
    def slope(self) -> float:
        return self.profit_slope - self.maintenance_slope - self.fee_slope

    @property
    def intercept(self) -> float:
        return self.profit_intercept - self.maintenance_intercept - self.fee_intercept

    def above(self) -> Sequence[Edge]:
        """Edges at higher prices, the nearest first."""
        if self.pieces is None:
            return ()
        return self._falling_value() if self.leg.kind is ContractKind.INVERSE else self._rising_value()

    def below(self) -> Sequence[Edge]:
        """Edges at lower prices, the nearest first."""
        if self.pieces is None:
            return ()
        return self._rising_value() if self.leg.kind is ContractKind.INVERSE else self._falling_value()

    def _rising_value(self) -> list[Edge]:
        assert self.pieces is not None
        return [self._edge(i, i - 1, i) for i in range(self.piece + 1, len(self.pieces.floors))]

    def _falling_value(self) -> list[Edge]:
        return [self._edge(i, i, i - 1) for i in range(self.piece, 0, -1)]

    def _edge(self, at: int, left: int, entered: int) -> Edge:
        """The edge at the floor of piece ``at``, from the piece ``left`` to the one ``entered``."""
        pieces = self.pieces
        assert pieces is not None
        size = abs(self.leg.size)
        by_ratio = (pieces.ratios[left] - pieces.ratios[entered]) * size
        by_deduction = pieces.deductions[entered] - pieces.deductions[left]
        if self.leg.kind is ContractKind.INVERSE:
            return size / pieces.floors[at], by_deduction, by_ratio
        return pieces.floors[at] / size, by_ratio, by_deduction


def lines_at(leg: Leg, price: float) -> LegLines | None:
    """Return the lines of ``leg`` that hold at ``price`` (quote per base); ``None`` if one of its numbers is odd."""
    table = table_of(leg.tiers)
    if table is None or not _is_plausible(leg, price):
        return None
    size, entry, fee = leg.size, leg.entry_price, leg.closing_fee
    quantity = abs(size)
    is_inverse = leg.kind is ContractKind.INVERSE
    pieces = table.by_value if leg.unit is TierUnit.NOTIONAL else _pieces_of_size(table, quantity)
    if leg.maintenance_at_entry:
        value = quantity / entry if is_inverse else quantity * entry
        i = bisect_right(pieces.floors, value) - 1
        kept = pieces.ratios[i] * value - pieces.deductions[i]
        if is_inverse:  # so many coins, whatever they are worth
            return LegLines(leg, size / entry, -size, kept, 0.0, 0.0, fee * quantity, None, 0)
        return LegLines(leg, size, -size * entry, 0.0, kept, fee * quantity, 0.0, None, 0)
    if is_inverse:
        i = bisect_right(pieces.floors, quantity / price) - 1
        maintenance = -pieces.deductions[i], pieces.ratios[i] * quantity
        return LegLines(leg, size / entry, -size, *maintenance, 0.0, fee * quantity, pieces, i)
    i = bisect_right(pieces.floors, quantity * price) - 1
    maintenance = pieces.ratios[i] * quantity, -pieces.deductions[i]
    return LegLines(leg, size, -size * entry, *maintenance, fee * quantity, 0.0, pieces, i)


def is_known(holding: Holding) -> bool:
    """Whether the numbers of a collateral make sense."""
    return (
        -LARGEST < holding.quantity < LARGEST
        and 0.0 <= holding.price_usd < LARGEST
        and 0.0 <= holding.haircut <= 1.0
    )


def table_of(tiers: tuple[MarginTier, ...]) -> Table | None:
    """Make a tier table ready; ``None`` if it is none: empty, not ascending from 0, or with odd numbers.

    Remembered by identity, for a table is told once and solved with a thousand times: hashing its tiers each time
    would take longer than the solving.
    """
    found = _tables.get(id(tiers))
    if found is not None:
        return found
    if not tiers or tiers[0].floor != 0.0 or not all(map(_is_tier, tiers)):
        return None
    if any(low.floor >= high.floor for low, high in pairwise(tiers)):
        return None
    pieces = Pieces([], [], [])
    for tier, end in zip(tiers, [*(tier.floor for tier in tiers[1:]), inf], strict=True):
        for floor, ratio, deduction in _bent(tier, end):
            pieces.floors.append(floor)
            pieces.ratios.append(ratio)
            pieces.deductions.append(deduction)
    if len(_tables) >= _TABLES_MAX:
        _tables.clear()
    table = _tables[id(tiers)] = Table(tiers, [tier.floor for tier in tiers], pieces)
    return table  # it holds ``tiers``, so that no other tuple gets their id as long as it is remembered


_tables: dict[int, Table] = {}


def _pieces_of_size(table: Table, size: float) -> Pieces:
    tier = table.tiers[bisect_right(table.floors, size) - 1]
    if tier.deduction <= 0.0:
        return Pieces([0.0], [tier.maintenance_ratio], [tier.deduction])
    floors, ratios, deductions = zip(
        *_bent(
            MarginTier(floor=0.0, maintenance_ratio=tier.maintenance_ratio, deduction=tier.deduction), inf
        ),
        strict=True,
    )
    return Pieces(list(floors), list(ratios), list(deductions))


def _bent(tier: MarginTier, end: float) -> Iterator[tuple[float, float, float]]:
    """The tier's pieces from its floor to ``end``: nothing as long as its deduction is more than its share of value."""
    ratio, deduction = tier.maintenance_ratio, tier.deduction
    bend = deduction / ratio if ratio > 0.0 else (inf if deduction > 0.0 else 0.0)
    # Cumulative amounts are rounded: one that comes out a hair over its floor's share bends nowhere.
    if bend <= tier.floor * (1.0 + 1e-12):
        yield tier.floor, ratio, deduction
        return
    yield tier.floor, 0.0, 0.0
    if bend < end:
        yield bend, ratio, deduction


def _is_tier(tier: MarginTier) -> bool:
    return (
        0.0 <= tier.floor < LARGEST
        and 0.0 <= tier.maintenance_ratio <= 1.0
        and -LARGEST < tier.deduction < LARGEST
    )


def _is_plausible(leg: Leg, price: float) -> bool:
    return (
        -LARGEST < leg.size < LARGEST
        and leg.size != 0.0
        and SMALLEST_PRICE < leg.entry_price < LARGEST
        and SMALLEST_PRICE < leg.mark_price < LARGEST
        and SMALLEST_PRICE < price < LARGEST
        and 0.0 <= leg.closing_fee < 1.0
    )
