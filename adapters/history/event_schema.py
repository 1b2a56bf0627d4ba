"""The event file, column by column, and what a file says of itself. Values only; nothing is read or written here."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from guard.columns import Column, Kind
from guard.events import CURVE_BPS, NOTIONALS_USD
from guard.units import Nanoseconds

VERSION = 1
"""Rises when a reader of the former one would misread; columns may be added within it."""

HEADER_KEY = b"perpguard.events"
SPAN_KEY = b"perpguard.span"


class EventOrder(StrEnum):
    """In which order the events stand in a file."""

    BY_TIME = "by_time"
    """By ``received_at``; who replays them adds the Ticks and the start of the guard."""
    AS_PROCESSED = "as_processed"
    """As one engine was fed them, its Ticks and its GuardStarted among them; time may go back a little."""


class Origin(StrEnum):
    """Where events come from."""

    SIMULATION = "simulation"
    RECORDING = "recording"


class EventFileHeader(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a file says of itself; the last two of a made-up market only.

    ``episode_sha256`` tells which episode it is of and nothing about it, so that whoever is given the file knows no
    more than a guard; ``tag`` is the hash of the worlds it was drawn from.
    """

    version: int = VERSION
    order: EventOrder = EventOrder.BY_TIME
    origin: Origin
    software: str
    tag: str | None = None
    episode_sha256: str | None = None


class EventFileSpan(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How much a file holds; times are the first and last ``received_at``, ``None`` of no events."""

    events: int = 0
    first_at: Nanoseconds | None = None
    last_at: Nanoseconds | None = None


def depth_columns(side: str) -> tuple[str, ...]:
    """Names of the columns that hold a side's ``curve_usd``."""
    return tuple(f"{side}_depth_usd_{bps:g}bps" for bps in CURVE_BPS)


def slippage_columns(side: str) -> tuple[str, ...]:
    """Names of the columns that hold a side's ``slippage_bps``."""
    return tuple(f"{side}_slippage_bps_{usd:.0f}usd" for usd in NOTIONALS_USD)


def _side(side: str, taker: str) -> tuple[Column, ...]:
    depths = zip(depth_columns(side), CURVE_BPS, strict=True)
    slippages = zip(slippage_columns(side), NOTIONALS_USD, strict=True)
    return (
        Column(f"{side}_visible_bps", Kind.NUMBER, "how far from mid levels are visible; null: no such side"),
        Column(f"{side}_visible_usd", Kind.NUMBER, "notional of the visible levels"),
        *(
            Column(
                name,
                Kind.NUMBER,
                f"notional within {bps:g} bps of mid, USD; extrapolated beyond `{side}_visible_bps`",
            )
            for name, bps in depths
        ),
        *(
            Column(
                name,
                Kind.NUMBER,
                f"cost against mid of {taker} {usd:,.0f} USD; null where the visible levels do not hold so much",
            )
            for name, usd in slippages
        ),
        Column(f"{side}_slope_usd", Kind.NUMBER, "c of the fitted depth c * bps^k"),
        Column(f"{side}_slope_kappa", Kind.NUMBER, "k of it"),
    )


COLUMNS = (
    Column("received_at", Kind.INTEGER, "when the guard had it, Unix ns", required=True),
    Column("exchange_at", Kind.INTEGER, "the venue's own time, Unix ns; null where it gives none"),
    Column("type", Kind.NAME, "kind of event: the tag of its class in `guard/events.py`", required=True),
    Column(
        "parts",
        Kind.INTEGER,
        "of several samples judged as one (`markets_sampled`): so many of the following rows are its parts",
    ),
    Column("market", Kind.NAME, "`venue:symbol`, ccxt's names; of a stream, whose it is (`venue:account`)"),
    # market_features
    Column("status", Kind.NAME, "whether the book can be believed: ok, crossed, gapped, empty, unsynced"),
    Column("book_at", Kind.INTEGER, "when the last update of the book arrived, Unix ns"),
    Column("bid", Kind.NUMBER, "best bid, quote per base"),
    Column("ask", Kind.NUMBER, "best ask"),
    *_side("bid", "selling"),
    *_side("ask", "buying"),
    Column("imbalance", Kind.NUMBER, "(bid - ask) / (bid + ask) of the notional within 25 bps, -1..1"),
    Column("buy_usd", Kind.NUMBER, "what takers bought since the former sample of the market, USD"),
    Column("sell_usd", Kind.NUMBER, "what they sold"),
    Column("updates", Kind.INTEGER, "book updates (of a stream: messages) since the former such row"),
    Column("gaps", Kind.INTEGER, "breaks in the book's sequence since then"),
    # mark_price
    Column("mark_price", Kind.NUMBER, "on which liquidations trigger, quote per base"),
    Column("index_price", Kind.NUMBER, "of the spot markets"),
    Column("funding_rate", Kind.NUMBER, "longs pay shorts so much of the notional per interval, ratio"),
    Column("next_funding_at", Kind.INTEGER, "Unix ns"),
    # open_interest
    Column("open_interest", Kind.NUMBER, "base units, both sides counted once"),
    Column("open_interest_usd", Kind.NUMBER, "USD"),
    # liquidation
    Column("liquidation_size", Kind.NUMBER, "base units, positive where a long was closed"),
    Column("liquidation_price", Kind.NUMBER, "quote per base"),
    Column("liquidation_usd", Kind.NUMBER, "notional"),
    # stream_activity
    Column("stream", Kind.NAME, "what the stream carries"),
    Column("last_at", Kind.INTEGER, "when its last message arrived, Unix ns"),
    Column("gap_ns_max", Kind.INTEGER, "longest pause between two of the messages counted, ns"),
    # markets_sampled
    Column("left_out", Kind.INTEGER, "samples of it that are not in the file"),
    # everything else
    Column(
        "body", Kind.TEXT, "every other kind of event, whole, as JSON; the columns after `type` are null then"
    ),
)
