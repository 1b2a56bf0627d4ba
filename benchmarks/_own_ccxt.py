"""What ccxt's own, unmodified parsers make of an account, offline: each is fed the payload in the venue's shape."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Any

from benchmarks._own_accounts import Account, Case, Held, Payload
from benchmarks._own_exact import exact_price, maintenance


@dataclass(frozen=True, slots=True)
class Parsed:
    """Liquidation price and maintenance margin as ccxt tells them; ``None`` is what it says."""

    price: float | None
    maintenance: float | None
    margin_ratio: float | None


def parsed(case: Case) -> Parsed:
    """Parse the account of a case by the way that it names, and return the asked position."""
    account, held = case.account, case.account.held[case.asked]
    match case.reads:
        case "account_v2" | "account_v3" | "account_coin":
            venue = exchange("binance")
            told = venue.parse_account_positions(binance_account(account, has_v2=case.reads != "account_v3"))
            found = told[case.asked]
        case "risk":
            found = exchange("binance").parse_position_risk(binance_risk(account, case.asked))
        case "bybit":
            found = exchange("bybit").parse_position(bybit_position(account, held))
        case "okx":
            found = exchange("okx").parse_position(okx_position(held))
        case "hyperliquid":
            found = exchange("hyperliquid").parse_position(hyperliquid_position(held))
        case other:
            raise ValueError(f"no way of ccxt is called {other!r}")
    return Parsed(found["liquidationPrice"], found["maintenanceMargin"], found["marginRatio"])


@cache
def exchange(name: str) -> Any:
    """A client that knows the markets of the cases and nothing else; it never connects."""
    import ccxt  # noqa: PLC0415 (takes a second)

    client = getattr(ccxt, name)()
    client.set_markets([_market(name, symbol) for symbol in _SYMBOLS[name]])
    if name == "binance":
        from benchmarks._own_accounts import BTC_TIERS, COIN_TIERS, ETH_TIERS, SOL_TIERS  # noqa: PLC0415

        tables = {"BTC/USDT:USDT": BTC_TIERS, "ETH/USDT:USDT": ETH_TIERS, "SOL/USDT:USDT": SOL_TIERS}
        tables["BTC/USD:BTC"] = COIN_TIERS
        # As its own load_leverage_brackets stores what the venue answers: floor and rate, no cumulative amount.
        client.options["leverageBrackets"] = {
            symbol: [[str(floor), str(rate)] for floor, rate in table.rows]
            for symbol, table in tables.items()
        }
    return client


_SYMBOLS = {
    "binance": ("BTC/USDT:USDT", "ETH/USDT:USDT", "SOL/USDT:USDT", "BTC/USD:BTC"),
    "bybit": ("BTC/USDT:USDT",),
    "okx": ("BTC/USDT:USDT",),
    "hyperliquid": ("BTC/USDC:USDC",),
}


def _market(venue: str, symbol: str) -> Payload:
    pair, _, settle = symbol.partition(":")
    base, _, quote = pair.partition("/")
    ids = {"okx": f"{base}-{quote}-SWAP", "hyperliquid": base}
    is_inverse = settle == base
    return {
        "id": f"{base}{quote}_PERP" if is_inverse else ids.get(venue, f"{base}{quote}"),
        "symbol": symbol,
        "base": base,
        "quote": quote,
        "settle": settle,
        "baseId": base,
        "quoteId": quote,
        "settleId": settle,
        "type": "swap",
        "spot": False,
        "margin": False,
        "swap": True,
        "future": False,
        "option": False,
        "contract": True,
        "linear": not is_inverse,
        "inverse": is_inverse,
        "active": True,
        "contractSize": 100.0 if is_inverse else 1.0,
        "precision": {"amount": 0.001, "price": 0.1, "base": 1e-8, "quote": 1e-8},
        "limits": {},
        "info": {},
    }


def binance_account(account: Account, *, has_v2: bool) -> Payload:
    """``/fapi/v2/account``, ``/fapi/v3/account`` or ``/dapi/v1/account``, as far as positions are read from it."""
    crossed = [held for held in account.held if held.margin is None]
    asset = account.held[0].symbol.rpartition(":")[2]
    assets = [
        {
            "asset": asset,
            "crossWalletBalance": str(account.wallet),
            "crossUnPnl": str(sum((profit(held) for held in crossed), Decimal(0))),
        }
    ]
    return {
        "assets": assets,
        "positions": [_binance_position(account, at, has_v2) for at in range(len(account.held))],
    }


def _binance_position(account: Account, at: int, has_v2: bool) -> Payload:
    held = account.held[at]
    notional = value(held).copy_sign(held.size)
    hedged = sum(each.symbol == held.symbol for each in account.held) > 1
    told = {
        "symbol": _market("binance", held.symbol)["id"],
        "positionSide": ("LONG" if held.size > 0 else "SHORT") if hedged else "BOTH",
        "positionAmt": str(held.size / 100 if held.is_inverse else held.size),
        "unrealizedProfit": str(profit(held)),
        "isolatedMargin": str(0 if held.margin is None else held.margin + profit(held)),
        "isolatedWallet": str(held.margin or 0),
        "notionalValue" if held.is_inverse else "notional": str(notional),
        "initialMargin": str(value(held) / 20),
        "maintMargin": str(maintenance(account, at)),
        "updateTime": "1763769600000",
    }
    if has_v2:
        told |= {"leverage": "20", "entryPrice": str(held.entry), "isolated": held.margin is not None}
    return told


def binance_risk(account: Account, at: int) -> Payload:
    """``/fapi/v3/positionRisk``, with the price that the venue would tell, to its tick."""
    held = account.held[at]
    told = _binance_position(account, at, has_v2=False)
    price = exact_price(account, at)
    told |= {
        "entryPrice": str(held.entry),
        "markPrice": str(held.mark),
        "unRealizedProfit": told.pop("unrealizedProfit"),
        "liquidationPrice": "0" if price is None else f"{price:.1f}",
    }
    return told


def bybit_position(account: Account, held: Held) -> Payload:
    """``/v5/position/list`` of a unified account in cross margin."""
    at = account.held.index(held)
    return {
        "symbol": "BTCUSDT",
        "side": "Buy",
        "positionIdx": 0,
        "size": str(held.size),
        "tradeMode": 0,
        "avgPrice": str(held.entry),
        "markPrice": str(held.mark),
        "positionValue": str(value(held)),
        "leverage": "20",
        "positionIM": str(value(held) / 20),
        "positionMM": str(maintenance(account, at)),
        "liqPrice": "",
        "bustPrice": "",
        "positionBalance": "",
        "unrealisedPnl": str(profit(held)),
    }


def okx_position(held: Held) -> Payload:
    """``/api/v5/account/positions`` of a multi-currency account in cross margin."""
    demanded = value(held) * held.tiers.rows[0][1]
    return {
        "instId": "BTC-USDT-SWAP",
        "instType": "SWAP",
        "mgnMode": "cross",
        "posSide": "net",
        "ccy": "USDT",
        "pos": str(held.size),
        "avgPx": str(held.entry),
        "markPx": str(held.mark),
        "lever": "20",
        "notionalUsd": str(value(held)),
        "imr": str(value(held) / 20),
        "mmr": str(demanded),
        "upl": str(profit(held)),
        "liqPx": "",
        "margin": "",
        "mgnRatio": "",
    }


def hyperliquid_position(held: Held) -> Payload:
    """One of ``assetPositions`` in ``clearinghouseState``."""
    return {
        "type": "oneWay",
        "position": {
            "coin": "BTC",
            "szi": str(held.size),
            "entryPx": str(held.entry),
            "leverage": {"type": "cross", "value": 20},
            "liquidationPx": None,
            "marginUsed": str(value(held) / 20),
            "maxLeverage": 50,
            "positionValue": str(value(held)),
            "unrealizedPnl": str(profit(held)),
        },
    }


def value(held: Held) -> Decimal:
    """At mark, in the settle asset."""
    return abs(held.size) / held.mark if held.is_inverse else abs(held.size) * held.mark


def profit(held: Held) -> Decimal:
    """At mark, in the settle asset."""
    if held.is_inverse:
        return held.size * (1 / held.entry - 1 / held.mark)
    return held.size * (held.mark - held.entry)
