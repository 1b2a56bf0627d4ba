"""Several loopback venues that show one laboratory, each in its own language, by one clock."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from decimal import Decimal
from types import TracebackType
from typing import Self

from adapters.simulation.dialects import DialectName
from adapters.simulation.laboratory.laboratory import Laboratory
from adapters.simulation.laboratory.parameters import Episode
from adapters.simulation.laboratory.playing import LaboratoryPlay
from adapters.simulation.laboratory.source import LaboratorySource
from adapters.simulation.laboratory.stage import Stage
from adapters.simulation.settings import LoopbackSettings, MarginTier, VenueAccountSpec
from adapters.simulation.venue import LoopbackVenue

LEVERAGE_MAX = 125
"""The highest that the loopback venue knows."""

NOTIONAL_CAP = Decimal(10) ** 12
"""Where the last bracket ends."""


def laboratory_settings(episode: Episode, **more: object) -> LoopbackSettings:
    """What a loopback venue asks of accounts so that they fare as the laboratory's own traders do.

    It has one table of brackets for all its markets: those of the episode's first symbol.

    Args:
        episode: whose brackets and liquidation fee these are.
        more: other fields of ``LoopbackSettings``.

    Raises:
        ValidationError: a field that there is not.
    """
    brackets = episode.symbols[0].brackets
    caps = [Decimal(repr(bracket.floor_usd)) for bracket in brackets[1:]] + [NOTIONAL_CAP]
    tiers = tuple(
        MarginTier(
            notional_floor=Decimal(repr(bracket.floor_usd)),
            notional_cap=cap,
            leverage_max=max(1, min(int(bracket.leverage_max), LEVERAGE_MAX)),
            maintenance_rate=Decimal(repr(bracket.maintenance_ratio)),
        )
        for bracket, cap in zip(brackets, caps, strict=True)
    )
    fee_ratio = Decimal(repr(episode.liquidation.fee_ratio))
    fields = {"margin_tiers": tiers, "liquidation_fee_ratio": fee_ratio} | more
    return LoopbackSettings.model_validate(fields)


class LaboratoryVenues:
    """One laboratory, shown by a loopback venue for each of its venues; use it as an async context manager.

    All of them move together: none makes a step before the others have come to it.

    Attributes:
        venues: by ccxt's id, in the order of the episode.
        sources: what each of them plays.
        laboratory: with all that no client sees.
    """

    def __init__(
        self,
        episode: Episode,
        *,
        accounts: Mapping[str, Sequence[VenueAccountSpec]] | None = None,
        speed: float = 1.0,
        hold: bool = False,
        clock: Callable[[], int] = time.time_ns,
        settings: LoopbackSettings | None = None,
    ) -> None:
        """Set the venues up; nothing listens before ``start``.

        Args:
            episode: all that happens but what accounts do.
            accounts: to open, by venue.
            speed: market seconds per second; 0 is as fast as the slowest client.
            hold: wait for ``begin``.
            clock: Unix time in ns.
            settings: of every venue; ``laboratory_settings(episode)`` unless said.

        Raises:
            ValueError: a venue's language is not spoken here, or accounts are wrong (see ``LoopbackVenue``).
        """
        self.laboratory = Laboratory(episode)
        stage = Stage(lambda: LaboratoryPlay(self.laboratory))
        opened = dict(accounts or {})
        unknown = opened.keys() - {each.venue for each in episode.venues}
        if unknown:
            raise ValueError(f"accounts: the episode has no venue {', '.join(sorted(unknown))}")
        self.sources = {each.venue: LaboratorySource(stage, each.venue) for each in episode.venues}
        self.venues = {
            venue: LoopbackVenue(
                source,
                accounts=opened.get(venue, ()),
                speed=speed,
                clock=clock,
                hold=True,
                settings=settings or laboratory_settings(episode),
                dialect=dialect_of(venue),
            )
            for venue, source in self.sources.items()
        }
        self._hold = hold
        self._stack = AsyncExitStack()

    async def start(self) -> None:
        """Listen at every venue, and let the market begin unless it is held.

        Raises:
            OSError: no port was free.
        """
        async with AsyncExitStack() as stack:
            for venue in self.venues.values():
                await stack.enter_async_context(venue)
            self._stack = stack.pop_all()
        if not self._hold:
            self.begin()

    async def stop(self) -> None:
        """Stop the market and close every connection."""
        await self._stack.aclose()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def begin(self) -> None:
        """Start the market, if it was held."""
        for venue in self.venues.values():
            venue.begin()

    async def finished(self) -> None:
        """Wait until the episode is over and every client has everything."""
        for venue in self.venues.values():
            await venue.finished()


def dialect_of(venue: str) -> DialectName:
    """The language of a venue of ccxt's id.

    Raises:
        ValueError: no loopback venue speaks it.
    """
    for dialect in DialectName:
        if dialect.ccxt_id == venue:
            return dialect
    raise ValueError(
        f"no loopback venue speaks the language of {venue!r}; those of {', '.join(d.ccxt_id for d in DialectName)}"
    )
