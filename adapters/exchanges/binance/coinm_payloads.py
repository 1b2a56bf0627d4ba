"""Pure parsers of Binance COIN-M futures payloads: contracts worth a number of dollars, margined in the coin.

Shapes: developers.binance.com, COIN-margined futures, read with the comments of ccxt 4.5.90; most are those of
USD-M, and what differs is what a quantity counts: contracts of ``contract_usd`` dollars (100 for BTC, else 10).
N contracts are N x contract_usd dollars whatever the price, and N x contract_usd / price coins. Dollars are
exact here; base units are those dollars at the price that is named. Every function raises MalformedFrameError
on a payload that it cannot read, and on NaN or an infinity.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from adapters.exchanges.binance.account_payloads import cross_ratio
from adapters.exchanges.binance.payloads import (
    ADL_LAST,
    parse_depth,
    parse_liquidation,
    parse_positions,
    parse_premium_index,
    parse_snapshot,
    parse_trade,
)
from adapters.exchanges.margin_ratios import rank_of, worst
from adapters.exchanges.parsers import (
    Payload,
    as_mapping,
    known,
    mapping,
    number,
    optional_number,
    positive,
    rows,
    text,
)
from adapters.exchanges.sync import DepthDiff, RawLevels
from adapters.exchanges.venue import (
    AccountTotals,
    AccountUpdate,
    DepthSnapshot,
    LiquidationFrame,
    MarkFrame,
    OrderSeen,
    PositionSeen,
    TradeFrame,
)
from guard.errors import MalformedFrameError
from guard.events import CollateralHeld
from guard.margin_terms import ContractKind

Marks = Mapping[str, float]
"""Mark prices by the venue's code of the market."""

ContractsUsd = Mapping[str, float]
"""What one contract is worth in dollars, by the venue's code of the market."""


def parse_coin_depth(message: Payload, contract_usd: float) -> DepthDiff:
    """Read ``depthUpdate``, with each level in base units at its own price."""
    diff = parse_depth(message)
    return replace(
        diff,
        bids=_levels(diff.bids, contract_usd, "depthUpdate"),
        asks=_levels(diff.asks, contract_usd, "depthUpdate"),
    )


def parse_coin_snapshot(response: Any, contract_usd: float) -> DepthSnapshot:
    """Read GET /dapi/v1/depth, with each level in base units at its own price."""
    snapshot, where = parse_snapshot(response), "GET /dapi/v1/depth"
    return replace(
        snapshot,
        bids=_levels(snapshot.bids, contract_usd, where),
        asks=_levels(snapshot.asks, contract_usd, where),
    )


def _levels(levels: RawLevels, contract_usd: float, where: str) -> RawLevels:
    converted = []
    for level in levels:
        try:
            price, contracts = float(level[0]), float(level[1])
            size = contracts * contract_usd / price
        except (ValueError, TypeError, LookupError, ZeroDivisionError) as error:
            raise MalformedFrameError(
                where, f"a level is not a price and a quantity: {level!r:.40}"
            ) from error
        if not (math.isfinite(price) and math.isfinite(size)):
            raise MalformedFrameError(where, f"a level is not finite: {level!r:.40}")
        converted.append([level[0], repr(size)])
    return converted


def parse_coin_trade(message: Payload, contract_usd: float) -> TradeFrame | None:
    """Read ``aggTrade`` or ``trade``; the notional is the contracts' dollars, whatever the price."""
    trade = parse_trade(message)
    if trade is None:
        return None
    return replace(trade, notional_usd=trade.notional_usd / positive(message, "p", "trade") * contract_usd)


def parse_coin_liquidation(message: Payload, contract_usd: float) -> LiquidationFrame:
    """Read ``forceOrder``: as at USD-M the latest within a second only, and the side is the order's."""
    told = parse_liquidation(message)
    notional_usd = abs(told.size) * contract_usd
    size = notional_usd / told.price
    return replace(told, size=size if told.size > 0.0 else -size, notional_usd=notional_usd)


def parse_coin_mark(response: Any, code: str) -> MarkFrame:
    """Read GET /dapi/v1/premiumIndex, which is a list even for one symbol."""
    where = "GET /dapi/v1/premiumIndex"
    for row in rows(response, where):
        if row.get("symbol") == code:
            return parse_premium_index(row)
    raise MalformedFrameError(where, f"says nothing of {code}")


def parse_coin_marks(response: Any) -> dict[str, float]:
    """Read GET /dapi/v1/premiumIndex of all symbols: mark prices by the venue's code of the market."""
    where = "GET /dapi/v1/premiumIndex"
    marks = {
        text(row, "symbol", where): optional_number(row, "markPrice", where) for row in rows(response, where)
    }
    return {code: mark for code, mark in marks.items() if mark is not None and mark > 0.0}


def parse_contracts_open(response: Any) -> float:
    """Read GET /dapi/v1/openInterest: open contracts."""
    where = "GET /dapi/v1/openInterest"
    contracts = number(as_mapping(response, where), "openInterest", where)
    if contracts < 0.0:
        raise MalformedFrameError(where, f"open interest is negative: {contracts}")
    return contracts


def parse_coin_turnovers(response: Any, contracts_usd: ContractsUsd) -> dict[str, float]:
    """Read GET /dapi/v1/ticker/24hr: the venue's code of a market -> its turnover of 24 h in dollars."""
    where = "GET /dapi/v1/ticker/24hr"
    return {
        code: number(row, "volume", where) * contracts_usd[code]
        for row in rows(response, where)
        if (code := text(row, "symbol", where)) in contracts_usd
    }


# The account


def parse_coin_positions(
    response: Any, contracts_usd: ContractsUsd, ranks: Ranks | None = None
) -> list[PositionSeen]:
    """Read GET /dapi/v1/positionRisk: sizes in base units at mark, margin and profit in dollars at mark.

    The liquidation price is the venue's: it knows that the collateral falls with the coin. ``ranks`` are from
    ``parse_adl_ranks``: this answer does not hold them.
    """
    where = "GET /dapi/v1/positionRisk"
    found = []
    for seen in parse_positions(response):
        if seen.market_code not in contracts_usd:
            continue  # no market that was loaded
        if seen.mark_price is None:
            raise MalformedFrameError(where, f"position {seen.market_code} has no markPrice")
        position = in_base_units(seen, contracts_usd[seen.market_code], seen.mark_price)
        if position.adl_rank is None and ranks:
            position = replace(position, adl_rank=ranks.get((position.market_code, position.side)))
        found.append(position)
    return found


def in_base_units(seen: PositionSeen, contract_usd: float, mark_price: float) -> PositionSeen:
    """Turn a position of contracts, with margin and profit in the coin, to base units and dollars at a mark."""
    contracts_usd = seen.size * contract_usd
    return replace(
        seen,
        quantity=seen.size,
        size=contracts_usd / mark_price,
        margin_usd=None if seen.margin is None else seen.margin * mark_price,
        unrealised_usd=seen.unrealised_usd * mark_price,
        mark_price=mark_price,
        kind=ContractKind.INVERSE,
        contracts_usd=contracts_usd,
        settle=coin_of(seen.market_code),
    )


def coin_of(market_code: str) -> str:
    """The coin in which a contract is margined and paid.

    >>> coin_of("BTCUSD_PERP")
    'BTC'
    """
    return market_code.partition("_")[0].removesuffix("USD")


Ranks = Mapping[tuple[str, str], float]
"""Places in the queue to be deleveraged, 0..1, by the venue's code of the market and the side of the position."""


def parse_adl_ranks(response: Any) -> dict[tuple[str, str], float]:
    """Read GET /dapi/v1/adlQuantile (or /fapi/v1): of cross hedges HEDGE is a sign, and not a place."""
    where = "GET /dapi/v1/adlQuantile"
    found: dict[tuple[str, str], float] = {}
    for row in rows(response, where):
        places = mapping(row, "adlQuantile", where)
        for side in ("BOTH", "LONG", "SHORT"):
            rank = rank_of(places, side, ADL_LAST, where)
            if rank is not None:
                found[text(row, "symbol", where), side] = rank
    return found


def parse_coin_account(response: Any, marks: Marks) -> AccountTotals:
    """Read GET /dapi/v1/account: wallets and maintenance of all coins, in dollars at their perpetual's mark.

    A coin without a perpetual of its own counts as nothing. The wallets are no dollars: they fall with the coin.
    Each coin backs the positions that are paid in it; the margin ratio is that of the worst.
    """
    where = "GET /dapi/v1/account"
    account = as_mapping(response, where)
    cross = _cross_maintenance(account, where)
    wallet_usd = maintenance_usd = 0.0
    collateral = []
    listed = rows(account.get("assets"), where)
    for row in listed:
        coin, quantity = text(row, "asset", where), number(row, "walletBalance", where)
        price = marks.get(f"{coin}USD_PERP")
        wallet_usd += quantity * (price or 0.0)
        maintenance_usd += number(row, "maintMargin", where) * (price or 0.0)
        if quantity:
            collateral.append(CollateralHeld(asset=coin, quantity=quantity, venue_price_usd=price))
    return AccountTotals(
        wallets={},
        other_usd=wallet_usd,
        maintenance_usd=maintenance_usd,
        collateral=tuple(collateral),
        margin_ratio=worst(cross_ratio(row, cross, where) for row in listed),
    )


def _cross_maintenance(account: Payload, where: str) -> dict[str, float]:
    """Of the coins that also back isolated positions: the maintenance of their cross positions alone."""
    listed = rows(account.get("positions") or [], where)
    found = {coin_of(text(row, "symbol", where)): 0.0 for row in listed if row.get("isolated") is True}
    for row in listed if found else ():
        coin = coin_of(text(row, "symbol", where))
        if row.get("isolated") is not True and coin in found:
            found[coin] += optional_number(row, "maintMargin", where) or 0.0
    return found


def order_in_base_units(order: OrderSeen, contracts_usd: ContractsUsd, marks: Marks) -> OrderSeen | None:
    """Turn an order of contracts to base units at its own price; ``None`` if none is known."""
    contract_usd = contracts_usd.get(order.market_code)
    price = order.price or order.stop_price or marks.get(order.market_code)
    if contract_usd is None or price is None:
        return None
    return replace(order, size=order.size * contract_usd / price)


def update_in_base_units(update: AccountUpdate, contracts_usd: ContractsUsd, marks: Marks) -> AccountUpdate:
    """Turn a private frame to base units and dollars; what has no price yet is left to the next reading."""
    positions = tuple(
        in_base_units(seen, contracts_usd[seen.market_code], marks[seen.market_code])
        for seen in update.positions
        if seen.market_code in contracts_usd and seen.market_code in marks
    )
    order = update.order
    if isinstance(order, OrderSeen):
        order = order_in_base_units(order, contracts_usd, marks)
    balances = tuple(replace(balance, counts_as_usd=False) for balance in update.balances)
    return AccountUpdate(update.exchange_at, balances, positions, order, update.stale)


def contract_usd_of(market: Mapping[str, Any], *, dated: bool = False) -> float | None:
    """What one contract of a ccxt market is worth in dollars, ``None`` for what is no inverse perpetual.

    With ``dated`` also of one that ends on a day.

    >>> contract_usd_of({"swap": True, "inverse": True, "contractSize": 100.0})
    100.0
    """
    if not ((market.get("swap") or (dated and market.get("future"))) and market.get("inverse")):
        return None
    return known(optional_number(market, "contractSize", "ccxt's market"))
