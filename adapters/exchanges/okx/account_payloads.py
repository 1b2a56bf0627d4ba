"""Pure parsers of OKX v5 payloads of accounts, as ccxt hands them over: positions of linear and inverse swaps.

Shapes: www.okx.com/docs-v5, "Trading Account" and "Order Book Trading", read with the comments of ccxt 4.5.90. OKX
counts in contracts: every function that reads a size takes ``contract_of`` and returns base units. Every function
raises MalformedFrameError on a payload that it cannot read, and on NaN or an infinity.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from adapters.exchanges.inverse import inverse_in_base_units
from adapters.exchanges.margin_ratios import rank_of, ratio_of, value_usd, worst
from adapters.exchanges.okx.payloads import USD_LIKE, data_of, sign_of
from adapters.exchanges.parsers import (
    LARGEST,
    Payload,
    at_of,
    flag,
    known,
    mapping,
    number,
    optional_number,
    rows_of,
    text,
)
from adapters.exchanges.venue import (
    AccountTotals,
    AccountUpdate,
    AlgoKey,
    BalanceSeen,
    KeyPermissions,
    OrderGone,
    OrderKey,
    OrderSeen,
    PositionSeen,
)
from guard.errors import MalformedFrameError
from guard.events import CollateralHeld, LiquidationTold, MarginMode, Pooling

ADL_LAST = 5.0
"""The place in the queue to be deleveraged that goes first; 0 is last."""


@dataclass(frozen=True, slots=True)
class Contract:
    """What one contract of a swap is: ``size`` base units, or USD where it is inverse; paid in ``settle``."""

    size: float
    is_inverse: bool = False
    settle: str | None = None


ContractOf = Callable[[str], Contract | None]
"""The contract of an instrument; ``None`` for one that is no swap."""


def parse_permissions(response: Any) -> KeyPermissions:
    """Read GET /api/v5/account/config: ``perm`` is of read_only, trade and withdraw, joined by commas."""
    where = "GET /api/v5/account/config"
    rows = data_of(response, where)
    if len(rows) != 1:
        raise MalformedFrameError(where, f"{len(rows)} accounts where one was asked for")
    told = text(rows[0], "perm", where)
    granted = {right.strip() for right in told.split(",")}
    return KeyPermissions("trade" in granted, "withdraw" in granted, told)


def parse_pooling(response: Any) -> Pooling:
    """Read what stands behind cross positions from GET /api/v5/account/config: ``acctLv``, the account's mode."""
    where = "GET /api/v5/account/config"
    rows = data_of(response, where)
    if len(rows) != 1:
        raise MalformedFrameError(where, f"{len(rows)} accounts where one was asked for")
    level = text(rows[0], "acctLv", where)
    if level not in _POOLINGS:
        raise MalformedFrameError(where, f"field 'acctLv' is none of 1 to 4: {level!r:.40}")
    return _POOLINGS[level]


_POOLINGS = {
    "1": Pooling.BY_SETTLE_ASSET,  # spot mode: no swaps
    "2": Pooling.BY_SETTLE_ASSET,  # futures mode
    "3": Pooling.ONE_POOL,  # multi-currency margin
    "4": Pooling.PORTFOLIO,  # portfolio margin
}


def parse_positions(
    rows: Iterable[Payload], contract_of: ContractOf, pooling: Pooling = Pooling.ONE_POOL
) -> list[PositionSeen]:
    """Read positions, of GET /api/v5/account/positions or of the ``positions`` channel; a size of 0 is closed.

    In one-way mode (``net``) ``pos`` is signed; in hedge mode it is not, and ``posSide`` tells the side.
    ``liqPx`` is empty where the venue sees none, for whatever reason: *not known*; in portfolio margin an empty one
    is the account's. ``margin`` is that of an isolated position alone, in ``ccy``. Markets without a contract are
    left out.
    """
    where = "positions"
    found = []
    for row in rows:
        contract = contract_of(text(row, "instId", where))
        if contract is not None:
            found.append(_position(row, contract, pooling, where))
    return found


def _position(row: Payload, contract: Contract, pooling: Pooling, where: str) -> PositionSeen:
    side, mode = text(row, "posSide", where), text(row, "mgnMode", where)
    if side not in {"net", "long", "short"}:
        raise MalformedFrameError(where, f"field 'posSide' is none of net, long, short: {side!r:.40}")
    if mode not in {"cross", "isolated"}:
        raise MalformedFrameError(where, f"field 'mgnMode' is neither cross nor isolated: {mode!r:.40}")
    size = (optional_number(row, "pos", where) or 0.0) * contract.size
    margin = known(optional_number(row, "margin", where)) if mode == "isolated" else None
    liquidation = optional_number(row, "liqPx", where)
    if liquidation is not None and liquidation <= 0.0:
        liquidation = None
    at_account_level = liquidation is None and pooling is Pooling.PORTFOLIO and mode == "cross"
    currency = row.get("ccy")
    seen = PositionSeen(
        market_code=text(row, "instId", where),
        side="BOTH" if side == "net" else side.upper(),
        size=-abs(size) if side == "short" else size,
        entry_price=known(optional_number(row, "avgPx", where)),
        mark_price=known(optional_number(row, "markPx", where)),
        leverage=known(optional_number(row, "lever", where)),
        margin_mode=MarginMode(mode),
        margin_usd=margin,
        liquidation_price=liquidation,
        unrealised_usd=optional_number(row, "upl", where) or 0.0,
        margin=margin,
        settle=currency if isinstance(currency, str) and currency else contract.settle,
        liquidation_told=LiquidationTold.ACCOUNT_LEVEL if at_account_level else LiquidationTold.NOT_TOLD,
        adl_rank=rank_of(row, "adl", ADL_LAST, where),
        is_whole=True,
    )
    return inverse_in_base_units(seen, where) if contract.is_inverse and size else seen


def isolated_maintenance_usd(rows: Iterable[Payload], contract_of: ContractOf) -> float:
    """Sum what isolated positions must keep, which the account's own ``mmr`` leaves out."""
    total_usd, where = 0.0, "positions"
    for row in rows:
        contract = contract_of(text(row, "instId", where))
        if contract is not None and row.get("mgnMode") == "isolated":
            mark = optional_number(row, "markPx", where) if contract.is_inverse else 1.0
            total_usd += (optional_number(row, "mmr", where) or 0.0) * (mark or 0.0)
    return total_usd


def parse_account(response: Any, pooling: Pooling = Pooling.ONE_POOL) -> AccountTotals:
    """Read GET /api/v5/account/balance, or the ``account`` channel.

    The wallet of a currency is its equity less all unrealised profit, which positions tell themselves; it is below 0
    where something is owed. Equity is the cross balance, what isolated positions have set aside, options and profit,
    less interest (www.okx.com/help, "Multi-currency margin mode: cross margin trading", 2023-03-21); and what the
    venue's trading bots were given (``stgyEq``), which backs their positions and not these.

    ``mmr`` and ``mgnRatio`` are told for the whole account in multi-currency and portfolio margin; in futures mode each
    currency has its own, in that currency, and the worst is taken. The venue's ratio is equity over maintenance *and
    the fees of liquidating*, liquidation at 1: what is told here is its inverse, with these fees in it.
    """
    where = "GET /api/v5/account/balance"
    rows = data_of(response, where)
    if len(rows) != 1:
        raise MalformedFrameError(where, f"{len(rows)} accounts where one was asked for")
    account, details = rows[0], rows_of(rows[0], "details", where)
    held = [_held(row, pooling, where) for row in details]
    maintenance = optional_number(account, "mmr", where)
    ratio = _inverse_of(optional_number(account, "mgnRatio", where))
    if maintenance is None:
        maintenance = _maintenance_usd(details, held, where)
    if pooling is Pooling.BY_SETTLE_ASSET:
        ratio = worst(_inverse_of(optional_number(row, "mgnRatio", where)) for row in details)
    return AccountTotals(
        wallets={
            each.asset: each.quantity + _with_bots(row, where)
            for row, each in zip(details, held, strict=True)
            if each.asset in USD_LIKE
        },
        other_usd=sum(value_usd(each) for each in held if each.asset not in USD_LIKE),
        maintenance_usd=maintenance,
        collateral=tuple(each for each in held if each.quantity),
        pooling=pooling,
        margin_ratio=ratio,
    )


def _held(row: Payload, pooling: Pooling, where: str) -> CollateralHeld:
    """One currency, at the venue's own valuation; ``disEq`` is what it counts of ``eqUsd`` towards margin."""
    currency = text(row, "ccy", where)
    equity = number(row, "eq", where)
    value = known(optional_number(row, "eqUsd", where))
    counted = optional_number(row, "disEq", where)
    price = value / equity if equity and value else None
    haircut = None
    if value is not None and value > 0.0 and counted is not None and pooling is not Pooling.BY_SETTLE_ASSET:
        haircut = min(1.0, max(0.0, 1.0 - counted / value))
    # Told for multi-currency margin alone: elsewhere it says nothing.
    switched_off = pooling is Pooling.ONE_POOL and row.get("collateralEnabled") is False
    return CollateralHeld(
        asset=currency,
        quantity=equity - (optional_number(row, "upl", where) or 0.0) - _with_bots(row, where),
        venue_price_usd=price if price is not None and 0.0 < price < LARGEST else None,
        venue_haircut=haircut,
        is_collateral=currency in USD_LIKE or not switched_off,
    )


def _with_bots(row: Payload, where: str) -> float:
    return optional_number(row, "stgyEq", where) or 0.0


def _maintenance_usd(details: Iterable[Payload], held: Iterable[CollateralHeld], where: str) -> float | None:
    """Of all currencies together, each at the venue's price; ``None`` where none of them tells any."""
    told_usd = [
        maintenance * (1.0 if each.asset in USD_LIKE else each.venue_price_usd or 0.0)
        for row, each in zip(details, held, strict=True)
        if (maintenance := optional_number(row, "mmr", where))
    ]
    return sum(told_usd) if told_usd else None


def _inverse_of(ratio: float | None) -> float | None:
    return None if ratio is None else ratio_of(1.0, ratio)


GONE = frozenset(
    {
        "filled",
        "canceled",
        "mmp_canceled",
        "effective",
        "order_failed",
        "partially_failed",
        "partially_effective",
    }
)
"""Order states after which nothing rests any more; an algo order in effect goes on as an ordinary one."""


def parse_orders(rows: Iterable[Payload], contract_of: ContractOf) -> list[OrderSeen | OrderGone]:
    """Read ordinary and conditional orders, of REST (pending) or of the ``orders`` and ``orders-algo`` channels."""
    found: list[OrderSeen | OrderGone] = []
    for row in rows:
        contract = contract_of(text(row, "instId", "orders"))
        if contract is not None:
            found.append(_order(row, contract))
    return found


def _order(row: Payload, contract: Contract) -> OrderSeen | OrderGone:
    """One order; an inverse one is of dollars, and becomes base units at its own price."""
    where = "orders-algo" if row.get("algoId") and not row.get("ordId") else "orders"
    algo = where == "orders-algo"
    key: OrderKey = AlgoKey(text(row, "algoId", where)) if algo else text(row, "ordId", where)
    if text(row, "state", where) in GONE:
        return OrderGone(key)
    sign = sign_of(row, where)
    size = optional_number(row, "sz", where) or 0.0
    left = max(0.0, size - (optional_number(row, "accFillSz", where) or 0.0)) * contract.size
    price, trigger = _price(row, algo=algo), _trigger(row) if algo else None
    if contract.is_inverse:
        at_price = price or trigger
        left = left / at_price if at_price is not None and at_price > 0.0 else 0.0
    # A conditional order sized as a part of the position: 1 closes all of it.
    whole = algo and (optional_number(row, "closeFraction", where) or 0.0) > 0.0
    side = str(row.get("posSide") or "net")
    closes = (side == "long" and sign < 0.0) or (side == "short" and sign > 0.0)
    return OrderSeen(
        key=key,
        market_code=text(row, "instId", where),
        size=sign * left,
        buys=sign > 0.0,
        position_side="BOTH" if side == "net" else side.upper(),
        price=price,
        stop_price=trigger,
        reduce_only=flag(row, "reduceOnly") or whole or closes,
        whole_position=whole,
    )


def _price(row: Payload, *, algo: bool) -> float | None:
    """The limit; -1 says that a conditional order becomes a market order."""
    keys = ("ordPx", "slOrdPx", "tpOrdPx") if algo else ("px",)
    for key in keys:
        price = known(optional_number(row, key, "orders"))
        if price is not None:
            return price if price > 0.0 else None
    return None


def _trigger(row: Payload) -> float | None:
    """Where a conditional order triggers: of a pair of stop and take profit the stop; a trailing one moves."""
    if row.get("ordType") == "move_order_stop":
        return None
    for key in ("triggerPx", "slTriggerPx", "tpTriggerPx"):
        price = known(optional_number(row, key, "orders-algo"))
        if price is not None:
            return price
    return None


def parse_private(
    message: Payload, contract_of: ContractOf, pooling: Pooling = Pooling.ONE_POOL
) -> list[AccountUpdate]:
    """Read one frame of the private streams: ``positions``, ``account``, ``orders`` or ``orders-algo``."""
    channel = str(mapping(message, "arg", "frame").get("channel", ""))
    rows = data_of(message, channel)
    match channel:
        case "positions":
            swaps = (row for row in rows if _is_swap(row))
            positions = tuple(parse_positions(swaps, contract_of, pooling))
            if not positions:
                return []
            at = max((at_of(row, "pTime") or at_of(row, "uTime") or 0 for row in rows), default=0)
            # Pushed every few seconds, whole, and at once where the size changes.
            return [AccountUpdate(exchange_at=at or None, positions=positions)]
        case "account":
            return [_balances(message, rows[0], pooling)] if rows else []
        case "orders" | "orders-algo":
            return [
                AccountUpdate(exchange_at=at_of(row, "uTime"), order=order)
                for row in rows
                if _is_swap(row)
                for order in parse_orders([row], contract_of)
            ]
        case _:
            return []


def _balances(message: Payload, account: Payload, pooling: Pooling) -> AccountUpdate:
    """Only currencies that changed need be told: what those of futures mode say together is not of the account."""
    totals = parse_account(message, pooling)
    is_whole = pooling is not Pooling.BY_SETTLE_ASSET
    told = [
        (_held(row, pooling, "account"), _with_bots(row, "account"))
        for row in rows_of(account, "details", "account")
    ]
    return AccountUpdate(
        exchange_at=at_of(account, "uTime"),
        balances=tuple(
            BalanceSeen(held.asset, held.quantity + with_bots, held.asset in USD_LIKE, held)
            for held, with_bots in told
        ),
        # What isolated positions must keep is not in it: only a reading adds that.
        margin_ratio=totals.margin_ratio if is_whole else None,
    )


def _is_swap(row: Payload) -> bool:
    return row.get("instType") == "SWAP"
