"""Pure parsers of Hyperliquid payloads, as ccxt hands them over undigested.

Shapes: hyperliquid.gitbook.io/hyperliquid-docs, for developers, API: "Info endpoint", "Websocket", and trading,
"Margin tiers"; read with the comments of ccxt 4.5.90. Every function raises MalformedFrameError on a payload
that it cannot read, and on NaN or an infinity. Prices are USDC per base unit and sizes base units, as text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from adapters.exchanges.parsers import (
    Payload,
    as_mapping,
    at_of,
    flag,
    integer,
    known,
    mapping,
    number,
    optional_number,
    positive,
    rows,
    text,
)
from adapters.exchanges.sync import RawLevels
from adapters.exchanges.venue import (
    DepthSnapshot,
    LiquidationFrame,
    MarkFrame,
    OrderGone,
    OrderSeen,
    PositionSeen,
    TradeFrame,
)
from guard.errors import MalformedFrameError
from guard.events import MarginMode
from guard.units import NS_PER_S, Nanoseconds

FUNDING_INTERVAL_NS = 3_600 * NS_PER_S
"""Funding is paid every hour; ``funding`` is the rate of that hour."""


@dataclass(frozen=True, slots=True)
class Context:
    """What the venue says of one perpetual besides its book; ``volume_usd`` is the turnover of 24 h."""

    coin: str
    mark: MarkFrame
    open_interest: float | None
    volume_usd: float | None
    is_delisted: bool = False


def parse_book(book: Any) -> tuple[str, DepthSnapshot]:
    """Read ``l2Book``, streamed or asked: the coin, and at most 20 levels a side, always the whole of them.

    The venue numbers no updates; the time of the block stands in for the id.
    """
    where = "l2Book"
    book = as_mapping(book, where)
    sides = book.get("levels")
    if not isinstance(sides, list) or len(sides) != 2:
        raise MalformedFrameError(where, f"field 'levels' is not two sides: {sides!r:.40}")
    bids, asks = (_levels(side, where) for side in sides)
    return text(book, "coin", where), DepthSnapshot(
        last_id=integer(book, "time", where), bids=bids, asks=asks, exchange_at=at_of(book, "time")
    )


@dataclass(frozen=True, slots=True)
class Trade:
    """A trade of one coin; no two of a coin have the same number."""

    coin: str
    number: int | None
    frame: TradeFrame


def parse_trades(data: Any) -> list[Trade]:
    """Read ``trades``: ``side`` is the taker's, B bought and A sold."""
    where = "trades"
    return [
        Trade(
            text(row, "coin", where),
            integer(row, "tid", where) if "tid" in row else None,
            TradeFrame(
                notional_usd=_signed(
                    positive(row, "px", where) * positive(row, "sz", where), text(row, "side", where), where
                ),
                exchange_at=at_of(row, "time"),
            ),
        )
        for row in rows(data, where)
    ]


def parse_context(data: Any, now: Nanoseconds) -> Context:
    """Read ``activeAssetCtx``. It is not dated; ``now`` tells which hour's funding is next."""
    where = "activeAssetCtx"
    data = as_mapping(data, where)
    return _context(text(data, "coin", where), mapping(data, "ctx", where), where, now)


def parse_contexts(response: Any, now: Nanoseconds) -> list[Context]:
    """Read ``metaAndAssetCtxs``: every perpetual that has a mark; one that was delisted says so."""
    where = "metaAndAssetCtxs"
    universe, contexts = meta_and_contexts(response, where)
    return [
        _context(text(listed, "name", where), context, where, now, is_delisted=flag(listed, "isDelisted"))
        for listed, context in zip(universe, contexts, strict=True)
        if known(optional_number(context, "markPx", where)) is not None
    ]


def _context(
    coin: str, context: Payload, where: str, now: Nanoseconds, *, is_delisted: bool = False
) -> Context:
    mark = MarkFrame(
        mark_price=positive(context, "markPx", where),
        index_price=known(optional_number(context, "oraclePx", where)),
        funding_rate=optional_number(context, "funding", where),
        next_funding_at=(now // FUNDING_INTERVAL_NS + 1) * FUNDING_INTERVAL_NS,
        exchange_at=None,
    )
    interest = optional_number(context, "openInterest", where)
    if interest is not None and interest < 0.0:
        raise MalformedFrameError(where, f"open interest is negative: {interest}")
    volume = optional_number(context, "dayNtlVlm", where)
    return Context(coin, mark, interest, volume, is_delisted)


@dataclass(frozen=True, slots=True)
class State:
    """``clearinghouseState``: one account's perpetuals."""

    wallet_usd: float
    """Account value less unrealised profit: deposits, what was realised, funding and fees."""
    maintenance_usd: float
    """Of the cross part, as the venue says, and of isolated positions, from their tiers."""
    positions: tuple[PositionSeen, ...]
    exchange_at: Nanoseconds | None
    cross_value_usd: float | None = None
    """Value of the cross part, profit included; what isolated positions have set aside is not in it."""
    cross_maintenance_usd: float = 0.0

    @property
    def unrealised_usd(self) -> float:
        return sum(position.unrealised_usd for position in self.positions)

    @property
    def isolated_usd(self) -> float:
        """What isolated positions have set aside, with their profit."""
        return sum(
            position.margin_usd + position.unrealised_usd
            for position in self.positions
            if position.margin_usd is not None
        )

    @property
    def is_empty(self) -> bool:
        return not self.positions and not self.wallet_usd


def parse_state(state: Any, settle: str = "USDC") -> State:
    """Read ``clearinghouseState``, asked or streamed, of an exchange whose collateral is ``settle``.

    The venue tells the maintenance of the cross part only; for isolated positions it is half of the initial margin
    at the position's maximum leverage: the guard, which knows the tiers, judges them by these.
    """
    where = "clearinghouseState"
    state = as_mapping(state, where)
    told = [mapping(row, "position", where) for row in rows(state.get("assetPositions"), where)]
    positions = tuple(_position(row, settle, where) for row in told if number(row, "szi", where) != 0.0)
    unrealised_usd = sum(position.unrealised_usd for position in positions)
    isolated_usd = sum(
        _maintenance_usd(row, where)
        for row in told
        if _mode(row, where) is MarginMode.ISOLATED and number(row, "szi", where) != 0.0
    )
    cross_usd = number(state, "crossMaintenanceMarginUsed", where)
    cross = state.get("crossMarginSummary")
    return State(
        wallet_usd=number(mapping(state, "marginSummary", where), "accountValue", where) - unrealised_usd,
        maintenance_usd=cross_usd + isolated_usd,
        positions=positions,
        exchange_at=at_of(state, "time"),
        cross_value_usd=optional_number(cross, "accountValue", where) if isinstance(cross, Mapping) else None,
        cross_maintenance_usd=cross_usd,
    )


def _position(row: Payload, settle: str, where: str) -> PositionSeen:
    # ``liquidationPx`` null is *not known*; ``marginUsed`` of an isolated position holds its unrealised profit.
    size = number(row, "szi", where)
    unrealised_usd = optional_number(row, "unrealizedPnl", where) or 0.0
    value_usd = known(optional_number(row, "positionValue", where))
    mode = _mode(row, where)
    margin_usd = optional_number(row, "marginUsed", where) if mode is MarginMode.ISOLATED else None
    if margin_usd is not None:
        margin_usd -= unrealised_usd
    return PositionSeen(
        market_code=text(row, "coin", where),
        side="BOTH",
        size=size,
        entry_price=known(optional_number(row, "entryPx", where)),
        mark_price=None if value_usd is None else abs(value_usd / size),
        leverage=known(optional_number(mapping(row, "leverage", where), "value", where)),
        margin_mode=mode,
        margin_usd=margin_usd,
        liquidation_price=known(optional_number(row, "liquidationPx", where)),
        unrealised_usd=unrealised_usd,
        margin=margin_usd,
        settle=settle,
        is_whole=True,
    )


def _maintenance_usd(row: Payload, where: str) -> float:
    return abs(number(row, "positionValue", where)) / (2.0 * positive(row, "maxLeverage", where))


def _mode(row: Payload, where: str) -> MarginMode:
    kind = mapping(row, "leverage", where).get("type")
    if kind not in {"cross", "isolated"}:
        raise MalformedFrameError(where, f"leverage type is neither cross nor isolated: {kind!r:.40}")
    return MarginMode.ISOLATED if kind == "isolated" else MarginMode.CROSS


def parse_role(response: Any) -> tuple[str, str | None]:
    """Read ``userRole``: user, agent, vault, subAccount or missing; of an agent also whom it trades for."""
    where = "userRole"
    response = as_mapping(response, where)
    data = response.get("data")
    owner = data.get("user") if isinstance(data, Mapping) else None
    return text(response, "role", where), owner if isinstance(owner, str) else None


def parse_open_orders(response: Any) -> list[OrderSeen]:
    """Read ``frontendOpenOrders``; spot orders, whose coin is a pair or an index, are left out.

    A trigger's limit price is told even for one that becomes a market order, where it only bounds the slippage:
    there it is left out. A size of 0 on a take-profit or stop of the position closes all of it.
    """
    where = "frontendOpenOrders"
    return [_order(row, where) for row in rows(response, where) if is_perpetual(text(row, "coin", where))]


def _order(row: Payload, where: str) -> OrderSeen:
    size = number(row, "sz", where)
    triggers = flag(row, "isTrigger")
    becomes_market = triggers and str(row.get("orderType", "")).endswith("Market")
    buys = _signed(1.0, text(row, "side", where), where) > 0.0
    whole = flag(row, "isPositionTpsl") and size == 0.0
    return OrderSeen(
        key=str(integer(row, "oid", where)),
        market_code=text(row, "coin", where),
        size=size if buys else -size,
        buys=buys,
        price=None if becomes_market else known(optional_number(row, "limitPx", where)),
        stop_price=known(optional_number(row, "triggerPx", where)) if triggers else None,
        reduce_only=flag(row, "reduceOnly") or flag(row, "isPositionTpsl"),
        whole_position=whole,
    )


def parse_order_updates(data: Any) -> list[OrderGone]:
    """Read ``orderUpdates``: the orders that rest no more.

    Of one that rests it tells neither trigger nor reduce-only: whoever needs those must ask for all open orders.
    """
    where = "orderUpdates"
    gone = []
    for row in rows(data, where):
        order = mapping(row, "order", where)
        if text(row, "status", where) != "open":
            gone.append(OrderGone(key=str(integer(order, "oid", where))))
    return gone


def parse_own_liquidations(data: Any, address: str) -> list[tuple[str, LiquidationFrame]]:
    """Read ``userFills``: which of our own positions were liquidated, by coin.

    A liquidation is told to both sides; ours is the one whose ``liquidatedUser`` we are. The first message
    repeats old fills (``isSnapshot``) and is left out.
    """
    where = "userFills"
    data = as_mapping(data, where)
    if flag(data, "isSnapshot"):
        return []
    found = []
    for fill in rows(data.get("fills"), where):
        told = fill.get("liquidation")
        if not isinstance(told, Mapping) or str(told.get("liquidatedUser", "")).lower() != address.lower():
            continue
        price, size = positive(fill, "px", where), positive(fill, "sz", where)
        # The order that closed a long sold.
        signed = -_signed(size, text(fill, "side", where), where)
        frame = LiquidationFrame(signed, price, size * price, at_of(fill, "time"))
        found.append((text(fill, "coin", where), frame))
    return found


def is_perpetual(coin: str) -> bool:
    """Whether a coin is a perpetual of the venue's own list.

    >>> [is_perpetual(coin) for coin in ("BTC", "kPEPE", "PURR/USDC", "@107", "xyz:TSLA")]
    [True, True, False, False, False]
    """
    return not any(mark in coin for mark in "/@:#")


def meta_and_contexts(response: Any, where: str) -> tuple[list[Payload], list[Payload]]:
    if not isinstance(response, list) or len(response) != 2 or not isinstance(response[0], dict):
        raise MalformedFrameError(where, f"not a pair of universe and contexts: {response!r:.40}")
    universe, contexts = rows(response[0].get("universe"), where), rows(response[1], where)
    if len(universe) != len(contexts):
        raise MalformedFrameError(where, f"{len(universe)} perpetuals but {len(contexts)} contexts")
    return universe, contexts


def _levels(side: Any, where: str) -> RawLevels:
    return [[text(level, "px", where), text(level, "sz", where)] for level in rows(side, where)]


def _signed(amount: float, side: str, where: str) -> float:
    if side not in {"A", "B"}:
        raise MalformedFrameError(where, f"side is neither A nor B: {side!r:.40}")
    return amount if side == "B" else -amount
