"""A small play for tests: books with two makers about a price that a test moves, and takers that it sends."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from adapters.simulation.laboratory.exchange import Exchange
from adapters.simulation.laboratory.grid import Grid
from adapters.simulation.laboratory.owners import MAKERS, NOISE
from adapters.simulation.laboratory.parameters import LiquidationFeed, MarginBracket, SymbolParameters
from adapters.simulation.laboratory.stage import Forced, Quote, Stage, StagedBook

CODE = "BTCUSDT"
VENUE = "binanceusdm"
MAKER_LEVELS = 20
MAKER_LOTS = 500
"""Half a unit a level and maker: at each price, one whole unit of the two together."""

BITCOIN = SymbolParameters(
    symbol=CODE,
    tick=Decimal(5),
    lot=Decimal("0.001"),
    price_start=60_000.0,
    depth_usd=1e6,
    half_spread_bps=1.0,
    open_interest_usd=1e7,
    volume_day_usd=1e8,
    beta=1.0,
    volatility_day=0.01,
    brackets=(MarginBracket(floor_usd=0.0, maintenance_ratio=0.004, leverage_max=125.0),),
)


@dataclass
class TinyBook:
    """One book; ``tick`` is the makers' middle, at which nobody quotes."""

    tick: int = 12_000
    rate: float = 0.0001
    next_funding_ms: int = 3_600_000
    symbol: SymbolParameters = BITCOIN
    takers: list[tuple[int, int]] = field(default_factory=list)
    """Side and lots of those who take in the next step."""
    forced: list[Forced] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.exchange = Exchange(Grid(self.symbol))
        self.quote_again()

    def quote_again(self) -> None:
        """Let both makers take their orders out and put them around the middle."""
        for maker in (MAKERS, MAKERS + 1):
            self.exchange.cancel_all(maker)
        for distance in range(1, MAKER_LEVELS + 1):
            for side in (1, -1):
                for maker in (MAKERS, MAKERS + 1):
                    self.exchange.place(maker, side, self.tick - side * distance, MAKER_LOTS, post_only=True)

    def step(self, now_ms: int) -> None:
        self.exchange.now_ms = now_ms
        self.quote_again()
        for side, lots in self.takers:
            self.exchange.take(NOISE, side, lots)
        self.takers.clear()

    def quote(self) -> Quote:
        price = self.tick * float(self.symbol.tick)
        return Quote(price, price, self.rate, self.next_funding_ms, self.exchange.open_lots())

    def take_forced(self) -> Iterable[Forced]:
        forced, self.forced = self.forced, []
        return forced

    def staged(self) -> StagedBook:
        return StagedBook(self.symbol, self.exchange, self.quote, self.take_forced)


@dataclass
class TinyPlay:
    """A ``Play`` of such books, one at each venue."""

    venues: Mapping[str, LiquidationFeed] = field(default_factory=lambda: {VENUE: LiquidationFeed.THROTTLED})
    duration_ms: int = 10_000
    step_ms: int = 100
    now_ms: int = 0
    out: set[str] = field(default_factory=set)
    assets: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.book_of = {venue: TinyBook() for venue in self.venues}

    @property
    def book(self) -> TinyBook:
        return next(iter(self.book_of.values()))

    @property
    def exchange(self) -> Exchange:
        return self.book.exchange

    def step(self) -> None:
        self.now_ms += self.step_ms
        for book in self.book_of.values():
            book.step(self.now_ms)

    def books(self, venue: str) -> Sequence[StagedBook]:
        return (self.book_of[venue].staged(),)

    def feed(self, venue: str) -> LiquidationFeed:
        return self.venues[venue]

    def is_out(self, venue: str) -> bool:
        return venue in self.out

    def asset_prices(self, venue: str) -> Mapping[str, float]:
        del venue
        return self.assets

    def stage(self) -> Stage:
        return Stage(lambda: self)
