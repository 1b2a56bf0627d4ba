"""Pure readers of ccxt's unified structures. Every function raises MalformedFrameError on what it cannot read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from adapters.exchanges.generic.native_book import NativeSide
from adapters.exchanges.parsers import (
    Payload,
    at_of,
    flag,
    known,
    number,
    optional_number,
    positive,
    rows,
    text,
)
from adapters.exchanges.venue import (
    AccountTotals,
    DepthSnapshot,
    LiquidationFrame,
    MarkFrame,
    OrderSeen,
    PositionSeen,
    TradeFrame,
)
from guard.errors import MalformedFrameError
from guard.events import CollateralHeld, MarginMode
from guard.margin_terms import ContractKind
from guard.units import Nanoseconds

USD_LIKE = frozenset({"USD", "USDT", "USDC", "BUSD", "FDUSD", "USDE", "USD1", "DAI", "TUSD"})
"""Assets that this version counts as USD."""

LEVELS_MAX = 500
"""Levels a side that are taken over from ccxt's book."""

IN_COINS = frozenset({"deribit"})
"""Venues whose amounts are in coins (or USD, of inverse contracts) although their contracts have another size."""

AGREES = 0.05
"""Two ways to say the same open interest may differ by so much: price moves between them."""


@dataclass(frozen=True, slots=True)
class Contract:
    """What one contract of a market is: ``size`` base units, or USD where it is inverse; paid in ``settle``."""

    symbol: str
    size: float
    is_inverse: bool
    settle: str | None = None

    def base(self, contracts: float, price: float) -> float:
        """Contracts as base units."""
        return contracts * self.size / price if self.is_inverse else contracts * self.size

    def notional_usd(self, contracts: float, price: float) -> float:
        """Contracts as USD."""
        return contracts * self.size * (1.0 if self.is_inverse else price)


def contract_of(market: Payload, venue: str) -> Contract:
    """Read what a contract is.

    Raises:
        MalformedFrameError: the venue does not tell, or it is worth neither coins nor USD (quanto).
    """
    symbol, where = str(market.get("symbol")), "the market's description"
    if market.get("inverse") is not True and market.get("linear") is not True:
        raise MalformedFrameError(where, f"{symbol} is neither linear nor inverse")
    size = 1.0 if venue in IN_COINS else positive(market, "contractSize", where)
    settle = market.get("settle")
    return Contract(
        symbol,
        size,
        is_inverse=market.get("inverse") is True,
        settle=settle if isinstance(settle, str) else None,
    )


def read_book(book: Any, contract: Contract) -> DepthSnapshot:
    """Read an order book; its levels are counted in contracts."""
    where = f"order book of {contract.symbol}"
    if not isinstance(book, Mapping):
        raise MalformedFrameError(where, f"not an object: {book!r:.40}")
    return DepthSnapshot(
        last_id=book["nonce"] if isinstance(book.get("nonce"), int) else 0,
        bids=_levels(book.get("bids"), contract, where),
        asks=_levels(book.get("asks"), contract, where),
        exchange_at=at_of(book, "timestamp"),
    )


def _levels(side: Any, contract: Contract, where: str) -> Any:
    if isinstance(side, NativeSide):
        prices, sizes = (each[:LEVELS_MAX] for each in side.arrays())
        return np.column_stack(
            (prices, sizes * contract.size / prices if contract.is_inverse else sizes * contract.size)
        )
    if not isinstance(side, Sequence) or isinstance(side, str):
        raise MalformedFrameError(where, f"not a list of levels: {side!r:.40}")
    try:
        if contract.is_inverse:
            return [[level[0], level[1] * contract.size / level[0]] for level in side[:LEVELS_MAX]]
        return [[level[0], level[1] * contract.size] for level in side[:LEVELS_MAX]]
    except (TypeError, IndexError, KeyError, ZeroDivisionError) as error:
        raise MalformedFrameError(where, f"a level cannot be read: {error}") from error


def read_trade(trade: Any, contract: Contract) -> TradeFrame | None:
    """Read a trade; ``None`` where it is not told who took."""
    where = f"trade of {contract.symbol}"
    if not isinstance(trade, Mapping):
        raise MalformedFrameError(where, f"not an object: {trade!r:.40}")
    if trade.get("side") not in {"buy", "sell"}:
        return None
    notional = contract.notional_usd(positive(trade, "amount", where), positive(trade, "price", where))
    return TradeFrame(
        notional_usd=notional if trade["side"] == "buy" else -notional,
        exchange_at=at_of(trade, "timestamp"),
    )


def read_mark(told: Any, symbol: str) -> MarkFrame | None:
    """Read a ticker or a funding rate; ``None`` where no mark price is in it."""
    where = f"mark price of {symbol}"
    if not isinstance(told, Mapping):
        raise MalformedFrameError(where, f"not an object: {told!r:.40}")
    price = known(optional_number(told, "markPrice", where))
    if price is None:
        return None
    if price < 0.0:
        raise MalformedFrameError(where, f"it is negative: {price}")
    return MarkFrame(
        mark_price=price,
        index_price=known(optional_number(told, "indexPrice", where)),
        funding_rate=optional_number(told, "fundingRate", where),
        next_funding_at=at_of(told, "fundingTimestamp") or at_of(told, "nextFundingTimestamp"),
        exchange_at=at_of(told, "timestamp"),
    )


def read_open_interest(
    told: Any, contract: Contract, mark_price: float | None
) -> tuple[float, Nanoseconds | None] | None:
    """Read open interest in base units; ``None`` where it is not certain in what it is counted.

    ccxt passes on coins for some venues and contracts for others. Where a contract is one coin, both are the
    same. Else the value in USD decides, where it is told too and a mark price is known.
    """
    where = f"open interest of {contract.symbol}"
    if not isinstance(told, Mapping):
        raise MalformedFrameError(where, f"not an object: {told!r:.40}")
    amount = optional_number(told, "openInterestAmount", where)
    value = optional_number(told, "openInterestValue", where)
    at = at_of(told, "timestamp")
    if amount is not None and amount < 0.0:
        raise MalformedFrameError(where, f"it is negative: {amount}")
    if amount is not None and contract.size == 1.0 and not contract.is_inverse:
        return amount, at
    if amount is None or not value or mark_price is None:
        return None
    for base in (amount, contract.base(amount, mark_price)):
        if abs(base * mark_price - value) <= AGREES * value:
            return base, at
    return None


def read_liquidation(told: Any, contract: Contract, *, side_is_orders: bool) -> LiquidationFrame:
    """Read a liquidation.

    Args:
        told: ccxt's structure.
        contract: of its market.
        side_is_orders: whether the venue tells the side of the order that closed the position.
    """
    where = f"liquidation of {contract.symbol}"
    if not isinstance(told, Mapping) or told.get("side") not in {"buy", "sell"}:
        raise MalformedFrameError(where, "it has no side")
    price = positive(told, "price", where)
    contracts = positive(told, "contracts", where)
    was_long = (told["side"] == "sell") is side_is_orders
    size = contract.base(contracts, price)
    return LiquidationFrame(
        size=size if was_long else -size,
        price=price,
        notional_usd=contract.notional_usd(contracts, price),
        exchange_at=at_of(told, "timestamp"),
    )


def read_turnovers(tickers: Any) -> dict[str, float]:
    """Read tickers: unified symbol -> turnover of 24 h in quote currency, where it is told."""
    if not isinstance(tickers, Mapping):
        raise MalformedFrameError("tickers", f"not an object: {tickers!r:.40}")
    turnovers: dict[str, float] = {}
    for symbol, ticker in tickers.items():
        try:
            volume = optional_number(
                ticker if isinstance(ticker, Mapping) else {}, "quoteVolume", f"ticker of {symbol}"
            )
        except MalformedFrameError:
            continue  # one that cannot be read is one that is not told: the others are chosen among
        if volume is not None and volume >= 0.0:
            turnovers[str(symbol)] = volume
    return turnovers


def read_positions(told: Any, contracts: Mapping[str, Contract]) -> list[PositionSeen]:
    """Read positions; sizes as base units, the market's code is its unified symbol.

    What is not told (liquidation price, margin mode, leverage) stays unknown: ccxt writes nothing where a venue says
    that there is none, where it names one of the account alone, and where it was not asked. Of unrealised profit only
    a loss is taken over: some venues' balances hold it already, so that equity is a lower bound.

    Raises:
        MalformedFrameError: also for a position in a market whose contracts are not understood.
    """
    seen = []
    for row in rows(told, "positions"):
        symbol = text(row, "symbol", "position")
        where = f"position in {symbol}"
        amount = abs(optional_number(row, "contracts", where) or 0.0)
        if not amount:
            continue
        side = row.get("side")
        if side not in {"long", "short"}:
            raise MalformedFrameError(where, f"its side is neither long nor short: {side!r:.40}")
        if symbol not in contracts:
            raise MalformedFrameError(where, "it is not known what a contract of it is")
        entry = known(optional_number(row, "entryPrice", where))
        mark = known(optional_number(row, "markPrice", where))
        contract = contracts[symbol]
        size = _size(contract, amount, mark or entry, where)
        sign = 1.0 if side == "long" else -1.0
        # What an inverse contract pays is coins.
        coin_usd = (mark or entry or 0.0) if contract.is_inverse else 1.0
        mode = {"isolated": MarginMode.ISOLATED, "cross": MarginMode.CROSS}.get(str(row.get("marginMode")))
        liquidation = known(optional_number(row, "liquidationPrice", where))
        margin = known(optional_number(row, "positionMargin", where))
        seen.append(
            PositionSeen(
                market_code=symbol,
                side=str(side).upper() if row.get("hedged") is True else "BOTH",
                size=sign * size,
                entry_price=entry,
                mark_price=mark,
                leverage=known(optional_number(row, "leverage", where)),
                margin_mode=mode,
                margin_usd=margin * coin_usd if mode is MarginMode.ISOLATED and margin is not None else None,
                liquidation_price=liquidation if liquidation is not None and liquidation > 0.0 else None,
                unrealised_usd=min(optional_number(row, "unrealizedPnl", where) or 0.0, 0.0) * coin_usd,
                quantity=sign * amount if contract.is_inverse else None,
                kind=ContractKind.INVERSE if contract.is_inverse else ContractKind.LINEAR,
                contracts_usd=sign * amount * contract.size if contract.is_inverse else None,
                margin=margin if mode is MarginMode.ISOLATED else None,
                settle=contract.settle,
                is_whole=True,
            )
        )
    return _apart(seen)


def _size(contract: Contract, amount: float, price: float | None, where: str) -> float:
    if contract.is_inverse and price is None:
        raise MalformedFrameError(where, "it has no price, so that its size in coins is not known")
    return contract.base(amount, price or 1.0)


def _apart(seen: list[PositionSeen]) -> list[PositionSeen]:
    """Two legs of one market are a hedge, whether or not the venue says so."""
    legs = Counter(position.market_code for position in seen)
    return [
        replace(position, side="LONG" if position.size > 0.0 else "SHORT")
        if position.side == "BOTH" and legs[position.market_code] > 1
        else position
        for position in seen
    ]


NO_CONTRACTS: Mapping[str, Contract] = {}


def read_totals(
    balance: Any, positions: Any, contracts: Mapping[str, Contract] = NO_CONTRACTS
) -> AccountTotals:
    """Read a balance; maintenance margin only where every position tells its own.

    Of each asset what is owed (``debt``) is taken off, and so is the profit of positions that are paid in it: it may
    be in the balance already, and must not count twice.
    """
    if not isinstance(balance, Mapping) or not isinstance(balance.get("total"), Mapping):
        raise MalformedFrameError("balance", f"it has no total: {balance!r:.40}")
    total = balance["total"]
    wallets = {
        str(asset): value
        for asset in total
        if asset in USD_LIKE and (value := optional_number(total, asset, "balance")) is not None
    }
    held = [row for row in rows(positions, "positions") if optional_number(row, "contracts", "position")]
    margins = [_maintenance_usd(row, contracts) for row in held]
    whole = [margin for margin in margins if margin is not None]
    return AccountTotals(
        wallets=wallets,
        other_usd=0.0,
        maintenance_usd=sum(whole) if held and len(whole) == len(held) else None,
        collateral=tuple(
            CollateralHeld(asset=asset, quantity=quantity)
            for asset, quantity in _quantities(balance, held, contracts).items()
            if quantity
        ),
    )


def _maintenance_usd(row: Payload, contracts: Mapping[str, Contract]) -> float | None:
    margin = optional_number(row, "maintenanceMargin", "position")
    contract = contracts.get(str(row.get("symbol")))
    if margin is None or contract is None or not contract.is_inverse:
        return margin
    price = optional_number(row, "markPrice", "position") or optional_number(row, "entryPrice", "position")
    return margin * price if price else None


def _quantities(
    balance: Mapping[str, Any], held: Iterable[Payload], contracts: Mapping[str, Contract]
) -> dict[str, float]:
    total, debts = balance["total"], balance.get("debt")
    quantities: dict[str, float] = {}
    for asset in total:
        owed = optional_number(debts, asset, "balance") if isinstance(debts, Mapping) else None
        quantities[str(asset)] = (optional_number(total, asset, "balance") or 0.0) - (owed or 0.0)
    for row in held:
        contract = contracts.get(str(row.get("symbol")))
        if contract is not None and contract.settle in quantities:
            profit = optional_number(row, "unrealizedPnl", "position") or 0.0
            quantities[contract.settle] -= max(0.0, profit)
    return quantities


def read_orders(told: Any, contracts: Mapping[str, Contract]) -> list[OrderSeen]:
    """Read open orders; those of markets whose contracts are not understood are left out."""
    seen = []
    for row in rows(told, "open orders"):
        contract = contracts.get(str(row.get("symbol")))
        if contract is None:
            continue
        where = f"order in {contract.symbol}"
        left = optional_number(row, "remaining", where)
        amount = number(row, "amount", where) if left is None else left
        price = known(optional_number(row, "price", where))
        stop = known(optional_number(row, "triggerPrice", where)) or known(
            optional_number(row, "stopPrice", where)
        )
        at_price = price or stop
        if contract.is_inverse and at_price is None:
            continue
        buys = row.get("side") == "buy"
        size = contract.base(amount, at_price or 1.0)
        seen.append(
            OrderSeen(
                key=text(row, "id", where),
                market_code=contract.symbol,
                size=size if buys else -size,
                buys=buys,
                price=price,
                stop_price=stop,
                reduce_only=flag(row, "reduceOnly"),
            )
        )
    return seen
