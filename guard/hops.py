"""From a venue's clock to a bot's answer, hop by hop: what each one is, and how long it may take. No I/O, no clock.

Every hop lies between two readings of a clock, and where one was not read its hop is missing and not guessed.
The hops of a command add up to its whole way, but for ``decode`` and ``book``, which lie within ``sample``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from guard.events import AnyEvent, MarketFeatures, MarketsSampled
from guard.units import NS_PER_MS, NS_PER_S, MarketId, Nanoseconds


class Hop(StrEnum):
    """The hops in their order; a command's way has either ``features`` or ``cause``."""

    VENUE = "venue"
    """From the venue's time of the last applied update to its frame's receipt. The one hop between two clocks:
    it holds their difference too. Missing where the venue gives no time. May be negative."""
    DECODE = "decode"
    """Reading a frame, as last measured on frames of this venue (every 64th). Within ``sample``. Missing where
    frames go the long way through ccxt."""
    BOOK = "book"
    """Applying a frame to its book, measured as ``decode`` is. Within ``sample``."""
    SAMPLE = "sample"
    """From the frame's receipt to the moment that the book was sampled: read, applied, and waited for its turn.
    Missing where the feed does not say when the frame came."""
    FEATURES = "features"
    """From that moment to the engine's taking the sample up: measured, and waited in the queue."""
    CAUSE = "cause"
    """Where something else than a sample was the cause (a Tick, a bot's word, an account's state): from the latest
    sample of the market, or without one from the cause's arrival, to the engine's taking the cause up."""
    DECIDE = "decide"
    """What the engine took for the event."""
    DURABLE = "durable"
    """From the decision until its record was on the disk, or until that was no longer waited for."""
    PUBLISH = "publish"
    """From there until the broker had taken the command; waiting behind earlier messages included."""
    BOT = "bot"
    """From there to the receipt of the bot's first answer to it: the broker's way to the bot, verifying,
    persisting and the way back. 0 where the answer overtook the broker's."""


WITHIN = frozenset({Hop.DECODE, Hop.BOOK})
"""Parts of ``sample``: not added to the whole."""

BUDGETS_NS: Mapping[Hop, Nanoseconds] = {
    # Our clock ahead by more, or ways as long, are said by guard.clock_offset as well.
    Hop.VENUE: 1 * NS_PER_S,
    # 9,500 frames/s on one core leave 105 us a frame on average; one that takes ten times that holds up ten others.
    Hop.DECODE: 1 * NS_PER_MS,
    Hop.BOOK: 1 * NS_PER_MS,
    # At full load nothing may be more than a second behind.
    Hop.SAMPLE: 1 * NS_PER_S,
    # The 50 ms that load may add, shared among queue and engine.
    Hop.FEATURES: 40 * NS_PER_MS,
    Hop.DECIDE: 10 * NS_PER_MS,
    # 1.5 x what a bare commit took in its 99th percentile on two shared cores, 16 ms.
    Hop.DURABLE: 24 * NS_PER_MS,
    # 1.5 x what a bare publish (QoS 1) took there, 2.5 ms.
    Hop.PUBLISH: 3_750_000,
    # A disk (16 ms) and a way around the world and back.
    Hop.BOT: 350 * NS_PER_MS,
}
"""How long each hop may take before it counts as over its budget: event to command delivered is held to 1.5 times
(commit + publish), 50 ms more under load. ``cause`` has none: how long ago a market was sampled is nobody's delay."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stations:
    """When one command passed each station: our clock, but ``venue_at``. ``None`` where nobody knows.

    Attributes:
        venue_at: the venue's time of the last update that the sample saw.
        received_at: when that update's frame arrived.
        sampled_at: when the book was sampled.
        caused_at: when the event arrived that the engine decided upon.
        begun_at: when the engine took it up; ``decided_at`` when it was done.
        durable_at: when the record was on the disk, or was no longer waited for.
        taken_at: when the broker had taken the command.
        answered_at: when the bot's first answer arrived.
    """

    venue_at: Nanoseconds | None = None
    received_at: Nanoseconds | None = None
    sampled_at: Nanoseconds | None = None
    caused_at: Nanoseconds
    begun_at: Nanoseconds
    decided_at: Nanoseconds
    durable_at: Nanoseconds | None = None
    taken_at: Nanoseconds | None = None
    answered_at: Nanoseconds | None = None
    by_sample: bool = False

    def hops(self) -> dict[Hop, Nanoseconds]:
        """What is known of the way, in the order of the hops.

        >>> Stations(caused_at=100, begun_at=103, decided_at=110, durable_at=120, taken_at=150).hops()
        {<Hop.CAUSE: 'cause'>: 3, <Hop.DECIDE: 'decide'>: 7, <Hop.DURABLE: 'durable'>: 10, <Hop.PUBLISH: 'publish'>: 30}
        """
        found: dict[Hop, Nanoseconds] = {}
        if self.venue_at is not None and self.received_at is not None:
            found[Hop.VENUE] = self.received_at - self.venue_at
        if self.received_at is not None and self.sampled_at is not None:
            found[Hop.SAMPLE] = self.sampled_at - self.received_at
        known_at = self.caused_at if self.sampled_at is None else self.sampled_at
        found[Hop.FEATURES if self.by_sample else Hop.CAUSE] = max(self.begun_at - known_at, 0)
        found[Hop.DECIDE] = self.decided_at - self.begun_at
        if self.durable_at is not None:
            found[Hop.DURABLE] = max(self.durable_at - self.decided_at, 0)
        if self.taken_at is not None:
            found[Hop.PUBLISH] = self.taken_at - max(self.durable_at or 0, self.decided_at)
        if self.taken_at is not None and self.answered_at is not None:
            found[Hop.BOT] = max(self.answered_at - self.taken_at, 0)
        return found

    def after(self, sample: MarketFeatures | None) -> Stations:
        """The same with what is known of the market by its latest sample."""
        if sample is None:
            return self
        return replace(
            self,
            venue_at=sample.exchange_at,
            received_at=sample.book_at,
            sampled_at=sample.received_at,
        )


def sample_in(event: AnyEvent, market: MarketId | None) -> MarketFeatures | None:
    """The sample of ``market`` that an event brings, ``None`` if it brings none."""
    match event:
        case MarketFeatures(market=sampled) if sampled == market:
            return event
        case MarketsSampled(samples=samples):
            return next((each for each in samples if each.market == market), None)
        case _:
            return None


def whole_ns(hops: Mapping[Hop, Nanoseconds]) -> Nanoseconds:
    """How long the whole way took, as far as it is known.

    >>> whole_ns({Hop.SAMPLE: 50, Hop.DECODE: 10, Hop.DECIDE: 5})
    55
    """
    return sum(took for hop, took in hops.items() if hop not in WITHIN)


def slowest_of(hops: Mapping[Hop, Nanoseconds]) -> Hop | None:
    """The hop that took longest, ``None`` if nothing is known."""
    parts = {hop: took for hop, took in hops.items() if hop not in WITHIN}
    return max(parts, key=lambda hop: parts[hop]) if parts else None
