"""A sink that keeps the truth of a made-up market, for tests to look at."""

from __future__ import annotations

from dataclasses import dataclass, field

from adapters.simulation.laboratory.truth import BookTruth, LiquidationTruth, MapTruth, PositionsTruth


@dataclass
class Kept:
    """All that it is told, in order."""

    liquidations: list[LiquidationTruth] = field(default_factory=list)
    maps: list[MapTruth] = field(default_factory=list)
    all_positions: list[PositionsTruth] = field(default_factory=list)
    books: list[BookTruth] = field(default_factory=list)

    def liquidation(self, truth: LiquidationTruth) -> None:
        self.liquidations.append(truth)

    def map(self, truth: MapTruth) -> None:
        self.maps.append(truth)

    def positions(self, truth: PositionsTruth) -> None:
        self.all_positions.append(truth)

    def book(self, truth: BookTruth) -> None:
        self.books.append(truth)
