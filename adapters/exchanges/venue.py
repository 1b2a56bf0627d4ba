"""What the feeds need of a venue, and the venue-neutral values that its connections hand over.

A further venue is a class that fulfils ``MarketConnection`` and one that fulfils ``AccountConnection``; the
feeds, the judgement of gaps, the reconnecting and the merging of accounts stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from adapters.exchanges.frames import FrameReader
from adapters.exchanges.sync import DepthDiff, RawLevels
from guard.errors import UnknownSymbolError
from guard.events import CollateralHeld, LiquidationTold, MarginMode, Pooling, Stream
from guard.margin_terms import ContractKind
from guard.market.live import LiveBook
from guard.units import Nanoseconds


@dataclass(frozen=True, slots=True)
class DepthSnapshot:
    """A book as REST tells it, and the last update that it holds."""

    last_id: int
    bids: RawLevels
    asks: RawLevels
    exchange_at: Nanoseconds | None = None


@dataclass(frozen=True, slots=True)
class TradeFrame:
    """A trade; the notional is positive if the taker bought."""

    notional_usd: float
    exchange_at: Nanoseconds | None


@dataclass(frozen=True, slots=True)
class MarkFrame:
    """A mark price and what comes with it; the funding rate is a ratio per interval."""

    mark_price: float
    index_price: float | None
    funding_rate: float | None
    next_funding_at: Nanoseconds | None
    exchange_at: Nanoseconds | None


@dataclass(frozen=True, slots=True)
class LiquidationFrame:
    """A liquidation; the size is positive if a long was closed."""

    size: float
    price: float
    notional_usd: float
    exchange_at: Nanoseconds | None


class Way(StrEnum):
    """How a venue gives a stream."""

    STREAMED = "streamed"
    POLLED = "polled"
    """Asked over REST, within the venue's limits, by ``MarketConnection.watch``."""
    ABSENT = "absent"
    """This venue cannot give it: it is never expected, and never guessed."""


class DepthSource(StrEnum):
    """Where a whole book comes from."""

    REST = "rest"
    """``fetch_depth``, joined to numbered diffs by their ids (Binance)."""
    STREAM = "stream"
    """The stream begins with a whole book; numbered diffs follow. After a gap, ``renew_depth`` (Bybit, OKX)."""
    WHOLE = "whole"
    """Every frame is a whole book; there is nothing to miss (Hyperliquid, and what is polled)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a venue gives, and how. ``notes`` are for the operator: what is missing, throttled or coarse."""

    ways: Mapping[Stream, Way]
    """For each public stream; one that is not named is absent."""
    depth_source: DepthSource
    periods_ms: Mapping[Stream, int] = field(default_factory=dict)
    """How often a polled (or slow) stream speaks when all is well."""
    depth_levels: int | None = None
    """Levels a side that the book holds at most, ``None`` for all of them."""
    batches: Mapping[Stream, int] = field(default_factory=dict)
    """How many symbols one ``watch`` of a stream takes, where it is not a hundred."""
    depth_ids_may_fall: bool = False
    """Whether numbers of updates may fall: then they tell only which update follows which."""
    markets_max: int | None = None
    """How many markets can be watched at all, where the venue limits what one address may subscribe to."""
    liquidations_are_complete: bool = False
    """Whether the venue tells each liquidation; else they are a lower bound."""
    notes: tuple[str, ...] = ()

    def way(self, stream: Stream) -> Way:
        return self.ways.get(stream, Way.ABSENT)


@dataclass(frozen=True, slots=True)
class KeyPermissions:
    """What an API key may do; ``None`` where the venue does not tell."""

    can_trade: bool | None
    can_withdraw: bool | None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class ListedMarket:
    """A perpetual that the venue lists; ``volume_usd`` is its turnover of 24 h, ``None`` if not told."""

    symbol: str
    quote: str
    settle: str
    active: bool
    volume_usd: float | None = None


class MarketSink(Protocol):
    """Takes what a market connection delivers, synchronously, one frame a call.

    A method may raise MalformedFrameError: the connection reports it by ``on_malformed``. What a connection's
    reader of raw frames puts into the ``live`` book of a market is not delivered besides.
    """

    def on_reader(self, reader: FrameReader) -> None:
        """Raw frames of the connection are read by this one from now on; some of them are timed by it."""
        ...

    @property
    def is_observed(self) -> bool:
        """Whether ``on_attention`` is to be called for every diff that a reader applies; for tests."""
        ...

    def live(self, symbol: str) -> tuple[int, LiveBook] | None:
        """The hot state of a market and the number that ``on_attention`` takes; ``None`` if it is not watched."""
        ...

    def on_attention(self, index: int) -> None:
        """A reader has changed the book of a market so that it should be said at once."""
        ...

    def on_subscribed(self, stream: Stream, symbols: Sequence[str]) -> None:
        """The venue took the subscription: what is delivered from now on is complete."""
        ...

    def on_depth(self, symbol: str, diff: DepthDiff) -> None: ...

    def on_book(self, symbol: str, snapshot: DepthSnapshot) -> None:
        """Take a whole book from the stream (or a poll); for ``DepthSource.STREAM`` diffs follow it by id."""
        ...

    def on_open_interest(self, symbol: str, size: float, exchange_at: Nanoseconds | None) -> None:
        """Take open interest in base units, where the venue streams it."""
        ...

    def on_trade(self, symbol: str, trade: TradeFrame) -> None: ...

    def on_mark(self, symbol: str, mark: MarkFrame) -> None: ...

    def on_liquidation(self, symbol: str, liquidation: LiquidationFrame) -> None: ...

    def on_malformed(self, symbol: str | None, stream: Stream | None, detail: str) -> None: ...


class MarketConnection(Protocol):
    """Public data of one venue. Every method raises VenueError."""

    @property
    def capabilities(self) -> Capabilities:
        """Known before anything connects."""
        ...

    async def list_perpetuals(self) -> Sequence[ListedMarket]:
        """Read what is listed now, anew, with its turnover: for choosing the top N, and to see delistings."""
        ...

    async def load(self, symbols: Sequence[str]) -> tuple[list[str], list[UnknownSymbolError]]:
        """Read the venue's markets; return which of ``symbols`` it lists, and an error for each other."""
        ...

    async def watch(self, stream: Stream, symbols: Sequence[str]) -> None:
        """Subscribe and deliver to the sink until the connection fails; raises VenueError then.

        Called for every stream that is not absent, but for open interest only where it is streamed: where it is
        polled, the feed asks ``fetch_open_interest``. Of two calls with other symbols both hold.
        """
        ...

    async def fetch_depth(self, symbol: str) -> DepthSnapshot: ...

    async def renew_depth(self, symbol: str) -> None:
        """Make the stream send the whole book of this one symbol again (``DepthSource.STREAM`` only)."""
        ...

    async def fetch_open_interest(self, symbol: str) -> tuple[float, Nanoseconds | None]: ...

    async def fetch_mark(self, symbol: str) -> MarkFrame: ...

    def close_silent(self, silence_ns: Nanoseconds) -> list[str]:
        """Close the sockets that are dead, or owe something, for so long; return what they carried, for the log.

        A stream on which nothing happens is not silent as long as its socket shows that it lives.
        """
        ...

    def reopen(self, stream: Stream, reason: str) -> None:
        """Close the sockets that carry ``stream``, so that its ``watch`` fails with ``reason``."""
        ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class AlgoKey:
    """The id of a conditional order, where a venue numbers those apart from ordinary ones."""

    algo_id: str

    def __str__(self) -> str:
        return self.algo_id


OrderKey = str | AlgoKey


@dataclass(frozen=True, slots=True)
class BalanceSeen:
    """The wallet of one asset, without unrealised profit; negative is owed.

    ``held`` is the same with its price and haircut, where the stream tells these too.
    """

    asset: str
    wallet: float
    counts_as_usd: bool = True
    held: CollateralHeld | None = None


@dataclass(frozen=True, slots=True)
class PositionSeen:
    """A position; ``side`` is BOTH, or LONG or SHORT in hedge mode; a size of 0 closes it.

    ``margin_usd`` and ``margin`` are both the isolated margin, in USD and in the settle asset. Neither holds
    unrealised profit.
    """

    market_code: str
    side: str
    size: float
    entry_price: float | None = None
    mark_price: float | None = None
    leverage: float | None = None
    margin_mode: MarginMode | None = None
    margin_usd: float | None = None
    liquidation_price: float | None = None
    unrealised_usd: float = 0.0
    quantity: float | None = None
    """What the venue itself counts, where that is no base units: inverse contracts, whose size moves with price."""
    kind: ContractKind = ContractKind.LINEAR
    contracts_usd: float | None = None
    margin: float | None = None
    settle: str | None = None
    liquidation_told: LiquidationTold = LiquidationTold.NOT_TOLD
    adl_rank: float | None = None
    is_whole: bool = False
    """Whether everything that the venue knows of it is told: then nothing of an earlier word is kept."""


@dataclass(frozen=True, slots=True)
class OrderSeen:
    """A resting order; ``whole_position`` closes whatever is open then, and has no size of its own."""

    key: OrderKey
    market_code: str
    size: float
    buys: bool
    position_side: str = "BOTH"
    price: float | None = None
    stop_price: float | None = None
    reduce_only: bool = False
    whole_position: bool = False


@dataclass(frozen=True, slots=True)
class OrderGone:
    """An order rests no more."""

    key: OrderKey


@dataclass(frozen=True, slots=True)
class AccountUpdate:
    """One private frame; ``stale`` asks for the account to be read over REST at once.

    ``maintenance_usd`` and ``margin_ratio`` are those of the whole account after it, where the stream tells them.
    """

    exchange_at: Nanoseconds | None = None
    balances: tuple[BalanceSeen, ...] = ()
    positions: tuple[PositionSeen, ...] = ()
    order: OrderSeen | OrderGone | None = None
    stale: bool = False
    maintenance_usd: float | None = None
    margin_ratio: float | None = None


@dataclass(frozen=True, slots=True)
class AccountTotals:
    """An account as a whole, in USD; what is owed is negative."""

    wallets: Mapping[str, float]
    """Wallet balance of each asset that counts as USD."""
    other_usd: float
    """Wallet balance of all other collateral, as the venue values it, else 0."""
    maintenance_usd: float | None
    collateral: tuple[CollateralHeld, ...] | None = None
    """Every asset, what stands behind isolated positions included; ``None`` where it is not told one by one."""
    pooling: Pooling = Pooling.BY_SETTLE_ASSET
    margin_ratio: float | None = None
    """Maintenance over margin balance of the cross account as the venue tells them; of several pools the worst."""


@dataclass(frozen=True, slots=True)
class AccountReading:
    """An account as REST tells it; ``orders`` is ``None`` where they were not read this time."""

    totals: AccountTotals
    positions: Sequence[PositionSeen]
    orders: Sequence[OrderSeen] | None
    is_only_source: bool = False
    """Whether the stream tells nothing of it, but only when to ask: then a difference is news and not a loss."""


class AccountSink(Protocol):
    """Takes what an account connection delivers, synchronously."""

    def on_connected(self) -> None:
        """The private stream is open: what happens from now on will be delivered."""
        ...

    def on_update(self, update: AccountUpdate) -> None: ...

    def on_malformed(self, symbol: str | None, stream: Stream | None, detail: str) -> None: ...


class AccountConnection(Protocol):
    """Private data of one account. Every method raises VenueError, VenueAuthError for a refused key."""

    async def load(self) -> None:
        """Read the venue's markets and its clock."""
        ...

    async def permissions(self) -> KeyPermissions:
        """What the key may do."""
        ...

    async def watch(self) -> None:
        """Open the private stream and deliver to the sink until it fails; raises VenueError then."""
        ...

    async def renew(self) -> None:
        """Keep the private stream alive at the venue."""
        ...

    async def read(self, *, orders: bool) -> AccountReading: ...

    def symbol_of(self, market_code: str) -> str:
        """The unified symbol of a market, or the code itself where it is not known."""
        ...

    def reopen(self, reason: str) -> None:
        """Close the private stream, so that ``watch`` fails with ``reason``."""
        ...

    async def close(self) -> None: ...
