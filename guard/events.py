"""Everything the engine can learn, one frozen message each.

``received_at`` is our clock and ``exchange_at`` the venue's, both integer Unix nanoseconds;
``exchange_at`` is ``None`` where the venue gives none. Prices are quote per base, sizes base units
(signed: long or buy positive), notionals USD (USDT and USDC counted as USD in this version). Missing
is ``None``, never NaN. An adapter makes these; nothing here does I/O or reads a clock.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from guard.holdings import CollateralHeld as CollateralHeld  # noqa: PLC0414 (what events hold is found here too)
from guard.holdings import LiquidationTold as LiquidationTold  # noqa: PLC0414
from guard.holdings import MarginMode as MarginMode  # noqa: PLC0414
from guard.holdings import Order as Order  # noqa: PLC0414
from guard.holdings import Pooling as Pooling  # noqa: PLC0414
from guard.holdings import Position as Position  # noqa: PLC0414
from guard.holdings import PositionSource as PositionSource  # noqa: PLC0414
from guard.margin_terms import CollateralTerms, TierTable
from guard.units import AccountId, BotId, MarketId, Nanoseconds
from perpguard_sdk.messages import Ack, Birth, BotState, Instruction, Mode, Posture, Reported

CURVE_BPS = (
    1.0,
    2.0,
    3.0,
    5.0,
    7.0,
    10.0,
    15.0,
    20.0,
    25.0,
    35.0,
    50.0,
    75.0,
    100.0,
    150.0,
    200.0,
    300.0,
    500.0,
)
"""Distances from mid at which cumulative depth is sampled."""

DEPTH_BANDS_BPS = (5.0, 10.0, 25.0, 50.0, 100.0, 200.0)
"""The bands that people look at; a subset of ``CURVE_BPS``."""

NOTIONALS_USD = (500.0, 10_000.0, 100_000.0, 1_000_000.0)
"""The trade sizes whose cost is measured on every sample."""


class Event(Struct, frozen=True, kw_only=True, tag_field="type", omit_defaults=True):
    """Base of all events."""

    received_at: Nanoseconds
    exchange_at: Nanoseconds | None = None


class Tick(Event, frozen=True, kw_only=True, tag="tick"):
    """Time passed. Drives timeouts, cooldowns and staleness; four a second by default."""


class GuardStarted(Event, frozen=True, kw_only=True, tag="guard_started"):
    """The guard holds its epoch and may command from now on.

    ``floors`` are the last postures that a former guard of this site published, verified, from its own
    store or from the retained topics: they hold as a floor until the baselines are warm. ``instructions`` are what
    humans had told it, from its own store.
    """

    guard: str
    epoch: int
    session: str
    mode: Mode
    floors: tuple[Posture, ...] = ()
    instructions: tuple[Instruction, ...] = ()


class BookStatus(StrEnum):
    """Whether a book can be believed."""

    OK = "ok"
    CROSSED = "crossed"
    GAPPED = "gapped"
    EMPTY = "empty"
    UNSYNCED = "unsynced"


class BookSide(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One side of a book, sampled.

    ``curve_usd[i]`` is the resting notional within ``CURVE_BPS[i]`` of mid; entries beyond the visible
    levels (``visible_bps``) are extrapolated as ``slope_usd * bps ** slope_kappa`` and the sample says
    so by ``visible_bps < CURVE_BPS[i]``. ``slippage_bps[i]`` is the cost against mid of taking
    ``NOTIONALS_USD[i]`` from this side, positive, ``None`` where the visible levels do not hold so much.
    ``slope_usd`` and ``slope_kappa`` are ``None`` where fewer than three levels are visible.
    """

    curve_usd: tuple[float, ...]
    visible_bps: float
    visible_usd: float
    slippage_bps: tuple[float | None, ...]
    slope_usd: float | None = None
    slope_kappa: float | None = None


class MarketFeatures(Event, frozen=True, kw_only=True, tag="market_features"):
    """One market's book and flow, sampled when judgement is due.

    ``imbalance`` is (bid - ask) / (bid + ask) of the notional within 25 bps, -1..1. ``buy_usd`` and
    ``sell_usd`` are what takers bought and sold since the previous sample of this market, and
    ``updates`` how many book updates were coalesced into it. ``book_at`` is when the last applied
    update arrived. With a status other than OK, prices and sides are ``None``.
    """

    market: MarketId
    status: BookStatus
    book_at: Nanoseconds | None = None
    bid: float | None = None
    ask: float | None = None
    bids: BookSide | None = None
    asks: BookSide | None = None
    imbalance: float | None = None
    buy_usd: float = 0.0
    sell_usd: float = 0.0
    updates: int = 0
    gaps: int = 0


class MarketsSampled(Event, frozen=True, kw_only=True, tag="markets_sampled"):
    """Several markets' samples, judged as one: each market at most once; ``received_at`` is the latest of theirs.

    The inbox makes it of the samples that wait when the engine is ready for more, so that judging costs once.
    ``left_out`` is how many more there were, where not all are recorded.
    """

    samples: tuple[MarketFeatures, ...]
    left_out: int = 0


class MarkPriceSeen(Event, frozen=True, kw_only=True, tag="mark_price"):
    """The venue's mark price, on which liquidations trigger; funding rate per interval, as a ratio."""

    market: MarketId
    mark_price: float
    index_price: float | None = None
    funding_rate: float | None = None
    next_funding_at: Nanoseconds | None = None


class OpenInterestSeen(Event, frozen=True, kw_only=True, tag="open_interest"):
    """Open interest in base units and USD, both sides counted once."""

    market: MarketId
    open_interest: float
    open_interest_usd: float | None = None


class HistoryPoint(Struct, frozen=True, kw_only=True, array_like=True):
    """Open interest (base units) and price at a past time ``at``; ``volume_usd`` since the point before."""

    at: Nanoseconds
    price: float
    open_interest: float
    volume_usd: float | None = None


class OpenInterestHistorySeen(Event, frozen=True, kw_only=True, tag="open_interest_history"):
    """What a venue tells of a market's open interest before now, oldest first; told at the start, days of it.

    Replaces what was told of the market's past before.
    """

    market: MarketId
    points: tuple[HistoryPoint, ...]


class LongShortRatioSeen(Event, frozen=True, kw_only=True, tag="long_short_ratio"):
    """Accounts that are long over all that hold a position, 0..1, every account counted once whatever its size."""

    market: MarketId
    longs_share: float


class TrackedPosition(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Somebody's position as a venue publishes it; ``size`` signed base units, ``liquidation_price`` ``None``: none."""

    account: str
    size: float
    entry_price: float | None
    liquidation_price: float | None
    leverage: float | None = None


class TrackedPositionsSeen(Event, frozen=True, kw_only=True, tag="tracked_positions"):
    """Positions in one market of accounts that a venue publishes and that were asked for just now.

    Replaces what was known of ``accounts`` in this market: one of them without a position here holds none. Of every
    other account what was known stays. ``asked_accounts`` is how many are tracked in all; ``is_complete`` says that
    each of them has answered at least once since the start.
    """

    market: MarketId
    accounts: tuple[str, ...]
    positions: tuple[TrackedPosition, ...] = ()
    asked_accounts: int
    is_complete: bool = False


class OutsideFactSeen(Event, frozen=True, kw_only=True, tag="outside_fact"):
    """Somebody told a fact of the outside (flows of ETFs, balances of exchanges); latest of a name wins.

    It holds until ``expires_at``; ``value`` ``None`` takes it back. ``exchange_at`` is when it was told.
    """

    name: str
    value: float | None
    unit: str
    source: str
    expires_at: Nanoseconds
    observed_at: Nanoseconds | None = None


class InstructionSeen(Event, frozen=True, kw_only=True, tag="instruction_seen"):
    """A human told the guard what to do, in a way that was found to be sound; latest of an id wins."""

    instruction: Instruction


class LiquidationSeen(Event, frozen=True, kw_only=True, tag="liquidation"):
    """Somebody was liquidated. ``size`` is signed by the *position*: positive when a long was closed.

    Venues throttle this stream (Binance: one a symbol a second), so it is a lower bound.
    """

    market: MarketId
    size: float
    price: float
    notional_usd: float


class Stream(StrEnum):
    """What a stream carries."""

    BOOK = "book"
    TRADES = "trades"
    MARK_PRICE = "mark_price"
    OPEN_INTEREST = "open_interest"
    LIQUIDATIONS = "liquidations"
    ACCOUNT = "account"


class StreamActivity(Event, frozen=True, kw_only=True, tag="stream_activity"):
    """A stream delivered ``updates`` messages since the last such event, the last one at ``last_at``.

    Emitted about once a second for each stream that delivered anything; silence is the absence of it.
    ``gap_ns_max`` is the longest pause between two of the messages counted here.
    """

    subject: MarketId | AccountId
    stream: Stream
    updates: int
    last_at: Nanoseconds
    gap_ns_max: Nanoseconds


class StreamsActive(Event, frozen=True, kw_only=True, tag="streams_active"):
    """What all streams of one venue delivered in the last second or so, as ``StreamActivity`` tells of one."""

    activities: tuple[StreamActivity, ...]


class MarketsWatched(Event, frozen=True, kw_only=True, tag="markets_watched"):
    """Which markets of a venue are watched from now on; replaces what was said of this venue before.

    ``periods_ms`` says how often a polled or slow stream speaks when all is well: silence is judged by
    that as well. ``absent`` are streams that this venue cannot give: they are never expected.
    """

    venue: str
    markets: tuple[MarketId, ...]
    periods_ms: dict[Stream, int] = {}
    absent: tuple[Stream, ...] = ()


class StreamFaultKind(StrEnum):
    """What went wrong with a stream."""

    DISCONNECTED = "disconnected"
    SEQUENCE_GAP = "sequence_gap"
    MALFORMED = "malformed"
    REFUSED = "refused"
    RECONNECTED = "reconnected"
    RECONCILED = "reconciled"


class StreamFault(Event, frozen=True, kw_only=True, tag="stream_fault"):
    """A stream broke, recovered, or was found to differ from REST; ``detail`` says what to do."""

    subject: MarketId | AccountId
    stream: Stream
    fault: StreamFaultKind
    detail: str = ""


class AccountSnapshot(Event, frozen=True, kw_only=True, tag="account_snapshot"):
    """The whole of one account as last known: replaces what was known before from the same source.

    ``equity_usd`` is wallet balance plus unrealised profit. ``orders`` is ``None`` where they cannot
    be seen. ``collateral`` is ``None`` where it is not told asset by asset. ``margin_ratio`` is the venue's own
    word on the cross account, maintenance over margin balance, 1 is liquidation; ``None`` where not told.
    ``other_maintenance_usd`` is demanded for what is not among ``positions``.
    """

    account: AccountId
    source: PositionSource
    equity_usd: float | None = None
    wallet_usd: float | None = None
    maintenance_usd: float | None = None
    positions: tuple[Position, ...] = ()
    orders: tuple[Order, ...] | None = None
    pooling: Pooling = Pooling.BY_SETTLE_ASSET
    collateral: tuple[CollateralHeld, ...] | None = None
    margin_ratio: float | None = None
    other_maintenance_usd: float = 0.0


class MarginTermsSeen(Event, frozen=True, kw_only=True, tag="margin_terms"):
    """What a venue demands of the named markets and counts of the named assets; all others stay as they were known."""

    venue: str
    tiers: tuple[TierTable, ...] = ()
    collateral: tuple[CollateralTerms, ...] = ()


class AssetPrice(Struct, frozen=True, kw_only=True):
    """What one spot market says of an asset: best bid and ask, in ``quote`` (USD, USDT, USDC, or what it wraps)."""

    asset: str
    quote: str
    bid: float
    ask: float


class AssetPricesSeen(Event, frozen=True, kw_only=True, tag="asset_prices"):
    """Spot prices of collateral at one venue; replaces what was said of these pairs there before."""

    venue: str
    prices: tuple[AssetPrice, ...]


class BotBorn(Event, frozen=True, kw_only=True, tag="bot_born"):
    """A bot's birth arrived, signed by its key."""

    birth: Birth


class BotStatusSeen(Event, frozen=True, kw_only=True, tag="bot_status"):
    """A bot's state, or its Will, arrived."""

    state: BotState


class BotReported(Event, frozen=True, kw_only=True, tag="bot_reported"):
    """A bot's report arrived, signed by its key."""

    reported: Reported


class BotAcked(Event, frozen=True, kw_only=True, tag="bot_acked"):
    """A bot's ack arrived, signed by its key."""

    ack: Ack


class MessageRefused(Event, frozen=True, kw_only=True, tag="message_refused"):
    """A message on our topics was malformed, wrongly signed, of an unknown bot, or of another guard.

    ``count`` is how many such messages it speaks for.
    """

    topic: str
    bot: BotId | None = None
    detail: str
    count: int = 1


class CommandSent(Event, frozen=True, kw_only=True, tag="command_sent"):
    """The broker took a command from us (``ok``) or it could not be handed over."""

    command_id: str
    bot: BotId
    ok: bool
    detail: str = ""


class EpochContested(Event, frozen=True, kw_only=True, tag="epoch_contested"):
    """Another guard claimed our epoch in the same moment and gave way: its bots do not know us."""

    epoch: int


class OutlookRestored(Event, frozen=True, kw_only=True, tag="outlook_restored"):
    """What estimators had learned in a former run, from which this one goes on.

    ``memory`` is for ``guard.outlook.memory`` to read; it is empty in the record, where ``digest`` (SHA-256) says which
    file beside it held it.
    """

    written_at: Nanoseconds
    digest: str
    memory: bytes = b""


class LinkKind(StrEnum):
    """A thing the daemon depends on besides venues."""

    BROKER = "broker"
    AUDIT = "audit"
    ENGINE = "engine"
    """Down: it does not keep up, and judges markets in which nobody holds anything less often."""
    SETTINGS = "settings"
    """Down: the settings file was changed to what cannot be used, or needs a restart; the former ones go on."""
    CLOCK = "clock"
    """Down: our clock and a venue's are further apart than they may be."""
    DISK = "disk"
    """Down: the disk is nearly full, or the record takes more than it may; samples stop, decisions are recorded."""


class SettingsChanged(Event, frozen=True, kw_only=True, tag="settings_changed"):
    """Other settings hold from here on; the record before it names every difference."""

    settings_digest: str


class LinkChanged(Event, frozen=True, kw_only=True, tag="link_changed"):
    """The broker or the audit went away or came back; ``detail`` says why and what to do."""

    link: LinkKind
    up: bool
    detail: str = ""


AnyEvent = (
    Tick
    | GuardStarted
    | MarketFeatures
    | MarketsSampled
    | MarkPriceSeen
    | OpenInterestSeen
    | OpenInterestHistorySeen
    | LongShortRatioSeen
    | TrackedPositionsSeen
    | OutsideFactSeen
    | InstructionSeen
    | LiquidationSeen
    | StreamActivity
    | StreamsActive
    | StreamFault
    | MarketsWatched
    | AccountSnapshot
    | MarginTermsSeen
    | AssetPricesSeen
    | BotBorn
    | BotStatusSeen
    | BotReported
    | BotAcked
    | MessageRefused
    | CommandSent
    | EpochContested
    | SettingsChanged
    | OutlookRestored
    | LinkChanged
)
