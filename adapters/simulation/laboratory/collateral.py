"""What the collateral asset is worth at each venue: a claim on a dollar, which a scenario may let fall from its peg."""

from __future__ import annotations

from math import exp

from adapters.simulation.laboratory.drive import Span, check_names
from adapters.simulation.laboratory.parameters import Episode, ImpulseKind

ASSET = "USDE"
"""As a venue's spot market names it."""

QUOTE = "USDT"

FALL_RATIO = 0.1
"""The part of a depeg's duration in which it falls; in the rest it comes back."""

HALF_SPREAD_CALM = 0.000_05
HALF_SPREAD_RATIO = 0.02
"""The half spread of its spot market: half a basis point, and a fiftieth of what is missing to the peg."""


class Collateral:
    """``ratio(venue, now_ms)`` is the asset's price in USD, 1 at its peg.

    The log of the price falls evenly to the impulse's size within a tenth of its duration and comes back evenly in the
    rest; of several impulses at once the sizes add up. Nothing is drawn and nothing remembered: times may be asked for
    in any order.
    """

    def __init__(self, episode: Episode) -> None:
        check_names(
            {(impulse.venue, impulse.symbol) for impulse in episode.impulses},
            {venue.venue for venue in episode.venues},
            {symbol.symbol for symbol in episode.symbols},
        )
        depegs = [impulse for impulse in episode.impulses if impulse.kind is ImpulseKind.DEPEG]
        self._spans = {
            venue.venue: tuple(Span.of(each) for each in depegs if each.venue in (None, venue.venue))
            for venue in episode.venues
        }

    def ratio(self, venue: str, now_ms: int) -> float:
        """USD of one unit at a venue."""
        spans = self._spans[venue]
        return exp(sum(span.size * _depth(span, now_ms) for span in spans)) if spans else 1.0

    def touch(self, venue: str, now_ms: int) -> tuple[float, float]:
        """Best bid and ask of its spot market."""
        price = self.ratio(venue, now_ms)
        half = price * (HALF_SPREAD_CALM + HALF_SPREAD_RATIO * max(1.0 - price, 0.0))
        return price - half, price + half


def _depth(span: Span, now_ms: int) -> float:
    """How much of the fall there is at a time, 0..1."""
    passed = span.passed(now_ms)
    return passed / FALL_RATIO if passed <= FALL_RATIO else (1.0 - passed) / (1.0 - FALL_RATIO)
