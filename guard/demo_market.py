"""Where the demo's two bots trade: one scripted market for both, or the laboratory twice, once for each of them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from enum import StrEnum

from adapters.simulation.account import VenueAccountState
from adapters.simulation.generated import generated_source
from adapters.simulation.laboratory.laboratory import Laboratory
from adapters.simulation.laboratory.source import twin_sources
from adapters.simulation.laboratory.venues import laboratory_settings
from adapters.simulation.settings import LoopbackSettings, VenueAccountSpec
from adapters.simulation.venue import LoopbackVenue
from adapters.simulation.worlds.drawing import draw_episode

SECONDS = 70.0
CALM_SHARE = 0.36
FALL_RATIO = 0.10
MATCH_EVERY_MS = 500
"""The bots decide on the mark price of each second; their orders of that second meet in one matching."""

CODE = "BTCUSDT"
FALL = "fall"
LABORATORY_VENUE = "binanceusdm"
LABORATORY_SCENARIO = "minute"
LABORATORY_WORLD = "volatility"


class DemoMarket(StrEnum):
    """What the bots trade in."""

    SCRIPTED = "scripted"
    """Depth and price follow a course; nobody but the two bots has a position."""
    LABORATORY = "laboratory"
    """Makers, takers and thousands of leveraged positions make them; bots' orders are in the same book."""


def market_for(scenario: str, asked: str | None) -> DemoMarket:
    """What the bots trade in: what was asked for, else the laboratory, or the script where only that has the scenario.

    Raises:
        ValueError: there is no such market, or it has no such scenario.
    """
    if asked is None:
        return DemoMarket.LABORATORY if scenario == FALL else DemoMarket.SCRIPTED
    if asked not in list(DemoMarket):
        raise ValueError(f"{asked!r}: choose one of {', '.join(DemoMarket)}")
    if asked == DemoMarket.LABORATORY and scenario != FALL:
        raise ValueError(f"the laboratory shows a fall; {scenario!r} is a course of the scripted market")
    return DemoMarket(asked)


class DemoVenues:
    """The venues of the demo: each bot's, which may be one and the same. They begin and end together."""

    def __init__(
        self, by_bot: dict[str, LoopbackVenue], about: str, laboratory: Laboratory | None = None
    ) -> None:
        self.by_bot = by_bot
        self.about = about
        """What happens there."""
        self._laboratory = laboratory
        self._stack = AsyncExitStack()

    async def start(self) -> None:
        """Listen; the market waits for ``begin``."""
        async with AsyncExitStack() as stack:
            for venue in dict.fromkeys(self.by_bot.values()):
                await stack.enter_async_context(venue)
            self._stack = stack.pop_all()

    async def stop(self) -> None:
        """Close every connection."""
        await self._stack.aclose()

    def begin(self) -> None:
        """Start the market, for all at once."""
        for venue in self.by_bot.values():
            venue.begin()

    async def finished(self) -> None:
        """Wait until the market is over."""
        for venue in self.by_bot.values():
            await venue.finished()

    def others(self) -> str:
        """What became of everybody else so far; nothing where there is nobody else."""
        if self._laboratory is None:
            return ""
        (listing,) = self._laboratory.listings.values()
        engine = listing.crowd.engine
        lots = engine.book_lots + engine.fund_lots + engine.deleveraged_lots
        million = lots * listing.exchange.micros * listing.mark_tick / 1e12
        return f"{engine.liquidations:,} liquidations of others' positions, of {million:,.0f} million USD"

    def account_state(self, name: str) -> VenueAccountState:
        """A bot's account as its venue keeps it."""
        return self.by_bot[name].account_state(name)


def demo_venues(
    market: DemoMarket, scenario: str, seed: int, accounts: Sequence[VenueAccountSpec]
) -> DemoVenues:
    """Make the market and the venues for one account a bot; each bot's result depends on nothing that others do.

    Raises:
        ValueError: there is no such scenario.
    """
    if market is DemoMarket.LABORATORY:
        return _laboratory(seed, accounts)
    source = generated_source(
        scenario, seed=seed, duration_s=SECONDS, calm_share=CALM_SHARE, fall_ratio=FALL_RATIO
    )
    # Each account meets the same book, whatever the other one does: what they end with is comparable.
    settings = LoopbackSettings(refill_ms=0, match_every_ms=MATCH_EVERY_MS)
    venue = LoopbackVenue(source, accounts=accounts, hold=True, settings=settings)
    about = {
        "fall": "depth thins while price still stands, then it falls",
        "recover": "depth thins, price falls and comes all the way back: here guarding costs money",
        "calm": "nothing happens",
    }[scenario]
    heading = f"A made-up market on loopback, {SECONDS:.0f} s, seed {seed}: {about}."
    return DemoVenues(
        dict.fromkeys((account.name for account in accounts), venue),
        f"{heading}\nTwo paper bots of one strategy trade in it, one of them guarded.",
    )


def _laboratory(seed: int, accounts: Sequence[VenueAccountSpec]) -> DemoVenues:
    episode = draw_episode(
        LABORATORY_WORLD, LABORATORY_SCENARIO, seed, symbols=[CODE], venues=[LABORATORY_VENUE]
    )
    laboratories = {account.name: Laboratory(episode) for account in accounts}
    sources = twin_sources(laboratories, LABORATORY_VENUE)
    settings = laboratory_settings(episode, match_every_ms=MATCH_EVERY_MS)
    venues = {
        account.name: LoopbackVenue(sources[account.name], accounts=[account], hold=True, settings=settings)
        for account in accounts
    }
    heading = (
        f"The laboratory, {episode.duration_s:.0f} s, seed {seed}: makers step back, news and a seller push price"
        " down,\nand thousands of leveraged positions hang below."
    )
    return DemoVenues(
        venues,
        f"{heading}\nTwo paper bots of one strategy trade in it, each in a copy of its own, one of them guarded.",
        laboratories[accounts[0].name],
    )
