"""The feed of margin terms: what it tells when, what it keeps, and that a silent venue ends nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from msgspec import structs

from adapters.exchanges import VenueSettings
from adapters.exchanges.margin_terms import TABLES_AN_EVENT, MarginTermsFeed, PartlyReadError
from guard.errors import VenueError
from guard.events import MarginTermsSeen
from guard.leverage.terms_formula import formula_table
from guard.margin_terms import (
    CollateralTerms,
    ContractKind,
    HaircutTier,
    MarginTier,
    TermsSource,
    TierTable,
    TierUnit,
)
from guard.units import market_id
from tests.support.hand_clock import HandClock

VENUE = "bybit"
BTC, ETH, SOL = "BTC/USDT:USDT", "ETH/USDT:USDT", "SOL/USDT:USDT"


def table(symbol: str, ratio: float = 0.004, source: TermsSource = TermsSource.VENUE) -> TierTable:
    return TierTable(
        market=market_id(VENUE, symbol),
        tiers=(MarginTier(floor=0.0, maintenance_ratio=ratio),),
        source=source,
    )


def haircut(asset: str, share: float, unit_usd: float | None = None) -> CollateralTerms:
    floor_usd = 20.0 * (unit_usd or 1.0)
    return CollateralTerms(
        asset=asset,
        tiers=(
            HaircutTier(floor_usd=0.0, haircut=share),
            HaircutTier(floor_usd=floor_usd, haircut=share + 0.1),
        ),
        unit_usd=unit_usd,
    )


@dataclass(slots=True)
class FakeVenue:
    """A TermsConnection that says what it is told to say."""

    tables: dict[str, TierTable] = field(default_factory=dict)
    collateral: dict[str, CollateralTerms] = field(default_factory=dict)
    leverages: dict[str, float] = field(default_factory=dict)
    kind: ContractKind = ContractKind.LINEAR
    failing: set[str] = field(default_factory=set)
    asked: list[frozenset[str]] = field(default_factory=list)
    is_closed: bool = False

    async def load(self) -> None:
        self._fail("load")

    async def read_tiers(self, symbols: Collection[str]) -> Mapping[str, TierTable]:
        self.asked.append(frozenset(symbols))
        self._fail("tiers")
        if "some tiers" in self.failing:
            raise PartlyReadError(VenueError(VENUE, "some tiers are away"), dict(self.tables))
        return dict(self.tables)

    async def read_collateral(self) -> Mapping[str, CollateralTerms]:
        self._fail("collateral")
        return dict(self.collateral)

    def leverage_max_of(self, symbol: str) -> float | None:
        return self.leverages.get(symbol)

    def kind_of(self, symbol: str) -> ContractKind | None:
        return self.kind if symbol in self.leverages or symbol in self.tables else None

    async def close(self) -> None:
        self.is_closed = True

    def _fail(self, what: str) -> None:
        if what in self.failing:
            raise VenueError(VENUE, f"{what} is away")


@dataclass(slots=True)
class FakeMemory:
    """A TermsMemory in memory."""

    tables: tuple[TierTable, ...] = ()
    collateral: tuple[CollateralTerms, ...] = ()

    async def recall(self, venue: str) -> tuple[Sequence[TierTable], Sequence[CollateralTerms]]:
        assert venue == VENUE
        return self.tables, self.collateral

    async def keep(
        self, venue: str, tables: Iterable[TierTable], collateral: Iterable[CollateralTerms]
    ) -> None:
        assert venue == VENUE
        self.tables, self.collateral = tuple(tables), tuple(collateral)


@dataclass(slots=True)
class Stage:
    """A feed with everything around it under a test's hand."""

    venue: FakeVenue = field(default_factory=FakeVenue)
    memory: FakeMemory = field(default_factory=FakeMemory)
    clock: HandClock = field(default_factory=HandClock)
    watched: set[str] = field(default_factory=set)
    assets: set[str] = field(default_factory=set)
    events: list[MarginTermsSeen] = field(default_factory=list)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Stage]:
        async def connect() -> FakeVenue:
            return self.venue

        feed = MarginTermsFeed(
            VenueSettings(id=VENUE, symbols=[BTC]),
            clock=self.clock,
            connect=connect,
            memory=self.memory,
            markets=lambda: self.watched,
            assets=lambda: self.assets,
        )
        task = asyncio.create_task(feed.run(self.events.append))  # type: ignore[arg-type]
        try:
            await self.clock.advance(0.1)
            yield self
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        assert self.venue.is_closed

    def take(self) -> dict[str, TierTable | CollateralTerms]:
        """What was told since the last call, without its date."""
        told: dict[str, TierTable | CollateralTerms] = {}
        for event in self.events:
            told |= {table.market: structs.replace(table, as_of=None) for table in event.tiers}
            told |= {terms.asset: structs.replace(terms, as_of=None) for terms in event.collateral}
        self.events.clear()
        return told


async def test_what_is_watched_or_held_is_told_and_nothing_else() -> None:
    stage = Stage(FakeVenue({symbol: table(symbol) for symbol in (BTC, ETH, SOL)}), watched={ETH})
    stage.venue.collateral = {"USDT": haircut("USDT", 0.0), "MOG": haircut("MOG", 0.5)}
    stage.assets = {"USDT"}
    async with stage.running():
        assert stage.take() == {
            market_id(VENUE, BTC): table(BTC),
            market_id(VENUE, ETH): table(ETH),
            "USDT": haircut("USDT", 0.0),
        }
        assert stage.venue.asked == [frozenset({BTC, ETH})]


async def test_only_what_differs_is_told_again() -> None:
    stage = Stage(FakeVenue({BTC: table(BTC), ETH: table(ETH)}), watched={ETH})
    async with stage.running():
        stage.take()
        await stage.clock.advance(3_601, step_s=30)
        assert len(stage.venue.asked) == 2
        assert stage.take() == {}

        stage.venue.tables[ETH] = table(ETH, 0.02)
        await stage.clock.advance(3_601, step_s=30)
        assert stage.take() == {market_id(VENUE, ETH): table(ETH, 0.02)}


async def test_floors_of_units_at_another_price_are_no_news() -> None:
    stage = Stage(assets={"BTC"})
    stage.venue.collateral = {"BTC": haircut("BTC", 0.02, unit_usd=100_000.0)}
    async with stage.running():
        assert set(stage.take()) == {"BTC"}
        stage.venue.collateral = {"BTC": haircut("BTC", 0.02, unit_usd=87_654.32)}
        await stage.clock.advance(3_601, step_s=30)
        assert stage.take() == {}
        stage.venue.collateral = {"BTC": haircut("BTC", 0.03, unit_usd=87_654.32)}
        await stage.clock.advance(3_601, step_s=30)
        assert set(stage.take()) == {"BTC"}


async def test_what_was_stored_is_told_before_the_venue_answers_and_its_word_after() -> None:
    stored = table(BTC, source=TermsSource.STORED)
    stage = Stage(memory=FakeMemory((stored, table(SOL, source=TermsSource.STORED))))
    stage.venue.failing = {"load"}
    async with stage.running():
        assert stage.take() == {market_id(VENUE, BTC): stored}
        stage.watched.add(SOL)  # somebody opens a position while the venue is away
        await stage.clock.advance(1.5)
        assert set(stage.take()) == {market_id(VENUE, SOL)}

        stage.venue.failing.clear()
        stage.venue.tables = {BTC: table(BTC, 0.01)}
        await stage.clock.advance(10)
        assert stage.take() == {market_id(VENUE, BTC): table(BTC, 0.01)}
        assert {word.market: word.source for word in stage.memory.tables} == {
            market_id(VENUE, BTC): TermsSource.VENUE,
            market_id(VENUE, SOL): TermsSource.STORED,
        }


async def test_a_failure_is_tried_again_soon_and_spoils_nothing_else() -> None:
    stage = Stage(FakeVenue({BTC: table(BTC)}), assets={"USDT"})
    stage.venue.collateral = {"USDT": haircut("USDT", 0.0)}
    stage.venue.failing = {"tiers"}
    async with stage.running():
        assert set(stage.take()) == {"USDT"}
        stage.venue.failing.clear()
        await stage.clock.advance(10)
        assert set(stage.take()) == {market_id(VENUE, BTC)}


async def test_what_could_be_read_is_told_though_the_rest_is_asked_for_again() -> None:
    stage = Stage(FakeVenue({BTC: table(BTC)}), watched={ETH})
    stage.venue.failing = {"some tiers"}
    async with stage.running():
        assert stage.take() == {market_id(VENUE, BTC): table(BTC)}
        assert stage.memory.tables[0].as_of is not None
        stage.venue.failing.clear()
        stage.venue.tables[ETH] = table(ETH)
        await stage.clock.advance(10)
        assert stage.take() == {market_id(VENUE, ETH): table(ETH)}
        assert len(stage.venue.asked) == 2


async def test_what_the_venue_does_not_tell_does_not_have_the_rest_asked_for() -> None:
    stage = Stage(FakeVenue({BTC: table(BTC)}))
    stage.venue.failing = {"collateral"}
    async with stage.running():
        await stage.clock.advance(3_000, step_s=30)
        assert len(stage.venue.asked) == 1


async def test_without_any_word_a_known_maximum_leverage_makes_the_formulas_table() -> None:
    stage = Stage(FakeVenue(leverages={BTC: 50.0}))
    stage.venue.failing = {"tiers"}
    async with stage.running():
        ours = formula_table(market_id(VENUE, BTC), 50.0)
        assert stage.take() == {market_id(VENUE, BTC): ours}
        assert stage.memory.tables == ()  # it is not the venue's
        stage.venue.failing.clear()
        stage.venue.tables = {BTC: table(BTC)}
        await stage.clock.advance(10)
        assert stage.take() == {market_id(VENUE, BTC): table(BTC)}


async def test_the_formulas_table_of_an_inverse_contract_is_counted_in_dollars() -> None:
    stage = Stage(FakeVenue(leverages={BTC: 50.0}, kind=ContractKind.INVERSE))
    async with stage.running():
        (ours,) = stage.take().values()
    assert isinstance(ours, TierTable)
    assert (ours.kind, ours.unit, ours.source) == (
        ContractKind.INVERSE,
        TierUnit.SIZE,
        TermsSource.FORMULA,
    )


async def test_a_new_position_asks_the_venue_before_the_hour_is_over() -> None:
    stage = Stage(FakeVenue({BTC: table(BTC)}))
    async with stage.running():
        stage.take()
        stage.watched.add(ETH)
        stage.venue.tables[ETH] = table(ETH)
        await stage.clock.advance(12)
        assert stage.take() == {market_id(VENUE, ETH): table(ETH)}
        # One that the venue does not tell is not asked for again and again.
        stage.watched.add("GONE/USDT:USDT")
        await stage.clock.advance(60)
        assert len(stage.venue.asked) == 3


async def test_what_an_account_begins_to_hold_is_told_at_once() -> None:
    stage = Stage()
    stage.venue.collateral = {"USDE": haircut("USDE", 0.1)}
    async with stage.running():
        assert stage.take() == {}
        stage.assets.add("USDE")
        await stage.clock.advance(1.5)
        assert set(stage.take()) == {"USDE"}


async def test_many_tables_come_in_events_of_bounded_size() -> None:
    symbols = [f"C{number}/USDT:USDT" for number in range(60)]
    stage = Stage(FakeVenue({symbol: table(symbol) for symbol in symbols}), watched=set(symbols))
    async with stage.running():
        assert [len(event.tiers) for event in stage.events] == [TABLES_AN_EVENT, TABLES_AN_EVENT, 10]
        assert len(stage.take()) == 60
