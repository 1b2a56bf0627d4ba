"""What the scenario does now: an episode's impulses as a state of each book over time.

``VALUE`` impulses are not here but in ``value``, ``DEPEG`` not here but in ``collateral``: they move prices.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from adapters.simulation.laboratory.parameters import Episode, Impulse, ImpulseKind

MS_PER_S = 1_000.0
NEVER_MS = 2**62


class DriveState:
    """What drives one book, of the step that ``Drive.step`` was last called for.

    Attributes:
        sell_depths: what somebody sells in this step whatever the price, in depths of the book; below 0 buys.
        entries_ratio: longs that the crowd opens in this step, as a ratio of the open interest; below 0 shorts.
        withdraw: makers' willingness is multiplied by it, 1 when nothing is the matter.
        arbitrage: so much of its usual does arbitrage, 0..1.
        is_out: whether the venue takes no orders and its streams are silent.
    """

    def __init__(self) -> None:
        self.sell_depths = 0.0
        self.entries_ratio = 0.0
        self.withdraw = 1.0
        self.arbitrage = 1.0
        self.is_out = False


@dataclass(frozen=True, slots=True)
class Span:
    """An impulse in milliseconds since the episode began; one without a duration happens in one step."""

    kind: ImpulseKind
    at_ms: int
    until_ms: int
    size: float

    @classmethod
    def of(cls, impulse: Impulse) -> Span:
        """Read one; ValueError where its time is no time."""
        if not (0.0 <= impulse.at_s < inf and 0.0 <= impulse.duration_s < inf and -inf < impulse.size < inf):
            raise ValueError(
                f"impulse {impulse.kind} at {impulse.at_s} s for {impulse.duration_s} s of {impulse.size}: "
                "times must be 0 or more, and all of it finite"
            )
        at_ms = round(impulse.at_s * MS_PER_S)
        until_ms = at_ms + max(round(impulse.duration_s * MS_PER_S), 1)
        return cls(impulse.kind, at_ms, until_ms, impulse.size)

    def passed(self, now_ms: int) -> float:
        """How much of it is over, 0..1."""
        return min(max((now_ms - self.at_ms) / (self.until_ms - self.at_ms), 0.0), 1.0)


class Drive:
    """Call ``step`` with rising times, then read ``of``; the steps may be as long as one likes.

    An amount that an impulse spreads over time is handed out by how much of its duration lies within each step, so
    that it comes to the same with any step. What holds for a time (withdrawal, outage, stopped arbitrage) holds in
    every step that it has a part in.
    """

    def __init__(self, episode: Episode) -> None:
        self._states: dict[tuple[str, str], DriveState] = {}
        self._spans: list[tuple[DriveState, tuple[Span, ...]]] = []
        kinds = (ImpulseKind.VALUE, ImpulseKind.DEPEG)
        for venue in episode.venues:
            for symbol in episode.symbols:
                state = self._states[venue.venue, symbol.symbol] = DriveState()
                spans = tuple(
                    Span.of(impulse)
                    for impulse in episode.impulses
                    if impulse.kind not in kinds and concerns(impulse, venue.venue, symbol.symbol)
                )
                if spans:
                    self._spans.append((state, spans))
        named = {(impulse.venue, impulse.symbol) for impulse in episode.impulses}
        check_names(named, {v.venue for v in episode.venues}, {s.symbol for s in episode.symbols})
        self._quiet_until_ms = -1
        self._before_ms = -1

    def of(self, venue: str, symbol: str) -> DriveState:
        """The state of a book; always the same object, which ``step`` changes."""
        return self._states[venue, symbol]

    def step(self, now_ms: int) -> None:
        """Go to ``now_ms``, milliseconds since the episode began, later than before."""
        if now_ms >= self._quiet_until_ms:
            busy = False
            for state, spans in self._spans:
                busy |= _apply(state, spans, self._before_ms, now_ms)
            if not busy:
                begins = [span.at_ms for _, spans in self._spans for span in spans if span.at_ms > now_ms]
                self._quiet_until_ms = min(begins, default=NEVER_MS)
        self._before_ms = now_ms


def concerns(impulse: Impulse, venue: str, symbol: str) -> bool:
    """Whether an impulse is one of this book's."""
    return impulse.venue in (None, venue) and impulse.symbol in (None, symbol)


def check_names(named: set[tuple[str | None, str | None]], venues: set[str], symbols: set[str]) -> None:
    """Refuse impulses for a venue or a symbol that the episode does not have: they would do nothing."""
    for venue, symbol in sorted(named, key=str):
        if venue is not None and venue not in venues:
            raise ValueError(f"an impulse names the venue {venue}; the episode has {sorted(venues)}")
        if symbol is not None and symbol not in symbols:
            raise ValueError(f"an impulse names the symbol {symbol}; the episode has {sorted(symbols)}")


def _apply(state: DriveState, spans: tuple[Span, ...], before_ms: int, now_ms: int) -> bool:
    """Set a state anew; return whether anything happened in the step."""
    sell = entries = 0.0
    withdraw = arbitrage = 1.0
    is_out = busy = False
    for span in spans:
        holds = span.at_ms <= now_ms and span.until_ms > before_ms
        busy |= holds
        if span.kind is ImpulseKind.SELL:
            sell += span.size * (span.passed(now_ms) - span.passed(before_ms))
        elif span.kind is ImpulseKind.ENTRIES:
            entries += span.size * (span.passed(now_ms) - span.passed(before_ms))
        elif holds and span.kind is ImpulseKind.WITHDRAW:
            withdraw *= max(span.size, 0.0)
        elif holds and span.kind is ImpulseKind.ARBITRAGE_STOP:
            arbitrage *= min(max(1.0 - span.size, 0.0), 1.0)
        elif holds and span.kind is ImpulseKind.OUTAGE:
            is_out = True
    state.sell_depths, state.entries_ratio = sell, entries
    state.withdraw, state.arbitrage, state.is_out = withdraw, arbitrage, is_out
    return busy
