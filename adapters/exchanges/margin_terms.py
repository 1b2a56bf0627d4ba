"""What one venue demands as events: its tiers and haircuts, at the start, every hour, and whatever changes of them.

What was stored of the venue's last word is told before it answers, so that there are tables from the first second;
where neither is there, a market whose maximum leverage is known has our formula's table. Only what differs from what
was told before is told again, and only of markets and assets that somebody watches, trades or holds.
"""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

import structlog
from msgspec import structs

from adapters.exchanges.backoff import Backoff
from adapters.exchanges.settings import VenueSettings
from guard.errors import VenueError
from guard.events import MarginTermsSeen
from guard.leverage.terms_formula import formula_table
from guard.margin_terms import CollateralTerms, ContractKind, TermsSource, TierTable
from guard.ports import Clock, Emit
from guard.units import NS_PER_S, Nanoseconds, market_id, symbol_of

LOOK_NS = NS_PER_S
"""How often it is looked whether somebody watches or holds something new."""
RETRY_S_FIRST = 5.0
RETRY_S_MAX = 300.0
"""After a failure; the venue's word of a moment ago still holds, or what was stored of it does."""
AGAIN_NS_MIN = 10 * NS_PER_S
"""For what is new to be wanted the venue is asked at once, but not more often than this."""
MARKETS, TIERS, COLLATERAL = "its markets", "its margin tiers", "what it counts of collateral"
TABLES_AN_EVENT = 25
"""An event is a record in the audit: 25 tables of twelve tiers are 20 kB of it."""

log = structlog.get_logger()

T = TypeVar("T", TierTable, CollateralTerms)


class PartlyReadError(VenueError):
    """Of some markets a venue's words could not be read; ``found`` is what could, by unified symbol."""

    def __init__(self, error: VenueError, found: Mapping[str, TierTable]) -> None:
        super().__init__(error.venue, error.detail)
        self.found = found


class TermsConnection(Protocol):
    """Reads what one venue demands. Every ``async`` method raises VenueError."""

    async def load(self) -> None:
        """Read the venue's markets, and find a key that may be used where one is needed."""
        ...

    async def read_tiers(self, symbols: Collection[str]) -> Mapping[str, TierTable]:
        """Read the tiers of ``symbols`` at least, by the names that accounts give them; what is not told is left out.

        Raises:
            PartlyReadError: the rest is to be asked for again soon.
        """
        ...

    async def read_collateral(self) -> Mapping[str, CollateralTerms]:
        """Read how each asset is counted as collateral, by its name at the venue."""
        ...

    def leverage_max_of(self, symbol: str) -> float | None:
        """A market's maximum leverage, ``None`` where nobody tells it."""
        ...

    def kind_of(self, symbol: str) -> ContractKind | None:
        """How a market pays, ``None`` for what the venue does not list."""
        ...

    async def close(self) -> None: ...


class TermsMemory(Protocol):
    """Keeps the last words of venues over restarts. Its methods never raise; what fails is said in the log."""

    async def recall(self, venue: str) -> tuple[Sequence[TierTable], Sequence[CollateralTerms]]:
        """Return what was last kept, with its dates, as STORED; nothing where there is nothing to be used."""
        ...

    async def keep(
        self, venue: str, tables: Iterable[TierTable], collateral: Iterable[CollateralTerms]
    ) -> None:
        """Keep these words, in the place of what was kept before."""
        ...


class NoMemory:
    """Keeps nothing."""

    async def recall(self, venue: str) -> tuple[Sequence[TierTable], Sequence[CollateralTerms]]:
        del venue
        return (), ()

    async def keep(
        self, venue: str, tables: Iterable[TierTable], collateral: Iterable[CollateralTerms]
    ) -> None:
        """Nothing is kept."""


@dataclass(slots=True)
class Words(Generic[T]):
    """What is known of each market or asset, and what of that was told."""

    known: dict[str, T] = field(default_factory=dict)
    _told: dict[str, T] = field(default_factory=dict)

    def take(self, words: Mapping[str, T]) -> None:
        self.known.update(words)

    def news(self, wanted: Collection[str]) -> list[T]:
        """Return what is wanted and was not told so yet, and note it as told; a new date alone is no news."""
        found = []
        for name in sorted(self.known.keys() & set(wanted)):
            word, told = self.known[name], self._told.get(name)
            if word is told:
                continue  # as each second but those after a reading
            self._told[name] = word
            if told is None or not _same(told, word):
                found.append(word)
        return found


def nothing() -> Collection[str]:
    """Stands for a venue on which nobody watches or holds anything."""
    return ()


class MarginTermsFeed:
    """A Feed (see ``guard.ports``) of what one venue demands.

    Args:
        settings: the venue.
        clock: what time it is.
        connect: makes the connection.
        memory: keeps the venue's last words.
        markets: the symbols that are watched, traded or held.
        assets: the assets that accounts of this venue hold.
    """

    def __init__(
        self,
        settings: VenueSettings,
        *,
        clock: Clock,
        connect: Callable[[], Awaitable[TermsConnection]],
        memory: TermsMemory | None = None,
        markets: Callable[[], Collection[str]] = nothing,
        assets: Callable[[], Collection[str]] = nothing,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._connect = connect
        self._memory = memory if memory is not None else NoMemory()
        self._markets = markets
        self._assets = assets
        self._emit: Emit = _nowhere
        self._tables: Words[TierTable] = Words()
        self._collateral: Words[CollateralTerms] = Words()
        self._asked_for: frozenset[str] = frozenset()
        self._due_at: dict[str, Nanoseconds] = {}
        """When each part is to be read again: one that the venue does not tell does not have the other asked for."""
        self._backoffs: dict[str, Backoff] = {}

    @property
    def name(self) -> str:
        return f"{self._settings.id} margin terms"

    async def run(self, emit: Emit) -> None:
        """Emit until cancelled; what fails is tried again."""
        self._emit = emit
        self._tables, self._collateral = Words(), Words()
        self._due_at, self._backoffs = {}, {}
        await self._recall()
        connection = await self._connect()
        try:
            await self._load(connection)
            while True:
                due_at = await self._read(connection)
                await self._look_until(due_at, connection)
        finally:
            await connection.close()

    async def _recall(self) -> None:
        tables, collateral = await self._memory.recall(self._settings.id)
        self._tables.take({symbol_of(table.market): table for table in tables})
        self._collateral.take({terms.asset: terms for terms in collateral})
        self._tell()

    async def _load(self, connection: TermsConnection) -> None:
        while True:
            try:
                await connection.load()
            except VenueError as error:
                # What is newly wanted of what is known is told meanwhile.
                await self._look_until(self._failed(error, MARKETS), None)
            else:
                return

    async def _read(self, connection: TermsConnection) -> Nanoseconds:
        """Ask the venue for what is due; return when to ask again."""
        now, wanted = self._clock.now(), self._wanted()
        if now >= self._due_at.get(TIERS, 0) or wanted - self._asked_for:
            self._asked_for = wanted
            self._tables.take(await self._asked(TIERS, self._tiers(connection, wanted, now), now))
            self._tables.take(self._formulas(connection, wanted))
        if now >= self._due_at.get(COLLATERAL, 0):
            self._collateral.take(await self._asked(COLLATERAL, connection.read_collateral(), now))
        self._tell()
        await self._keep()
        return min(self._due_at.values())

    async def _tiers(
        self, connection: TermsConnection, wanted: Collection[str], now: Nanoseconds
    ) -> Mapping[str, TierTable]:
        """Read tiers; what could be read is taken though the rest could not."""
        try:
            return await connection.read_tiers(wanted)
        except PartlyReadError as error:
            self._tables.take(_dated(error.found, now))
            raise

    async def _asked(
        self, what: str, answer: Awaitable[Mapping[str, T]], now: Nanoseconds
    ) -> Mapping[str, T]:
        """Await a part, dated; nothing where it failed, and then it is due sooner."""
        self._due_at[what] = now + int(self._settings.margin_terms_poll_s * NS_PER_S)
        try:
            return _dated(await answer, now)
        except VenueError as error:
            self._due_at[what] = min(self._due_at[what], self._failed(error, what))
            return {}

    def _failed(self, error: VenueError, what: str) -> Nanoseconds:
        now = self._clock.now()
        backoff = self._backoffs.setdefault(what, Backoff(RETRY_S_MAX, first_s=RETRY_S_FIRST))
        again_at = now + backoff.pause_ns(now)
        log.warning(
            "margin terms not read, trying again; until then the last known ones hold",
            venue=self._settings.id,
            what=what,
            why=error.detail,
            again_in_s=round((again_at - now) / NS_PER_S, 1),
        )
        return again_at

    def _formulas(self, connection: TermsConnection, wanted: Collection[str]) -> dict[str, TierTable]:
        """Our own tables, where there are no others and a maximum leverage is told."""
        found = {}
        for symbol in wanted:
            known, kind = self._tables.known.get(symbol), connection.kind_of(symbol)
            leverage_max = connection.leverage_max_of(symbol)
            if kind is None or leverage_max is None:
                continue
            if known is None or known.source is TermsSource.FORMULA:
                found[symbol] = formula_table(market_id(self._settings.id, symbol), leverage_max, kind)
        return found

    async def _look_until(self, due_at: Nanoseconds, connection: TermsConnection | None) -> None:
        """Wait; return early where something is wanted of which the venue was not asked."""
        began_at = self._clock.now()
        while (now := self._clock.now()) < due_at:
            await self._clock.sleep_until(min(due_at, now + LOOK_NS))
            self._tell()
            unasked = self._wanted() - self._asked_for - self._tables.known.keys()
            if connection is not None and unasked and self._clock.now() - began_at >= AGAIN_NS_MIN:
                return

    def _wanted(self) -> frozenset[str]:
        return frozenset(self._settings.symbols).union(self._markets())

    def _tell(self) -> None:
        tables = self._tables.news(self._wanted())
        collateral = self._collateral.news(self._assets())
        for some in itertools.zip_longest(
            range(0, len(tables), TABLES_AN_EVENT), range(0, len(collateral), TABLES_AN_EVENT)
        ):
            first_table, first_asset = some
            self._emit(
                MarginTermsSeen(
                    received_at=self._clock.now(),
                    venue=self._settings.id,
                    tiers=() if first_table is None else _some(tables, first_table),
                    collateral=() if first_asset is None else _some(collateral, first_asset),
                )
            )

    async def _keep(self) -> None:
        """Keep what the venue has said, today or before: our own tables are made anew at any time."""
        tables = [table for table in self._tables.known.values() if table.source is not TermsSource.FORMULA]
        if tables or self._collateral.known:
            await self._memory.keep(self._settings.id, tables, self._collateral.known.values())


def _same(told: TierTable | CollateralTerms, word: TierTable | CollateralTerms) -> bool:
    """Whether a word adds nothing to what was told: a new date, or other prices of the same floors, are no news."""
    if isinstance(told, CollateralTerms) and isinstance(word, CollateralTerms):
        return told.source is word.source and _in_units(told) == _in_units(word)
    return structs.replace(told, as_of=word.as_of) == word


def _in_units(terms: CollateralTerms) -> list[tuple[float, float]]:
    unit_usd = terms.unit_usd or 1.0
    return [(float(f"{tier.floor_usd / unit_usd:.9g}"), tier.haircut) for tier in terms.tiers]


def _dated(words: Mapping[str, T], now: Nanoseconds) -> dict[str, T]:
    return {name: structs.replace(word, as_of=now) for name, word in words.items()}


def _some(words: Sequence[T], first: int) -> tuple[T, ...]:
    return tuple(words[first : first + TABLES_AN_EVENT])


def _nowhere(event: object) -> None:
    """Stands in until ``run`` is called."""
