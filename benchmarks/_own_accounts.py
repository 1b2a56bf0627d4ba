"""Accounts whose liquidation prices are compared: plain numbers, with what each venue demands of them.

Sizes, prices and tiers are ours; with rates and floors of the first table 50 BTC at 100,000 must keep 108,700 USDT.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

Payload = dict[str, Any]

TAKER_FEE_OKX = Decimal("0.0005")
TAKER_FEE_BYBIT = Decimal("0.00055")


@dataclass(frozen=True, slots=True)
class Tiers:
    """Floors and rates, ascending from 0.

    ``is_marginal``: a rate counts above its floor only (Binance, Bybit, Hyperliquid), otherwise for all of the position
    (OKX). ``by_size``: floors count base units whatever the price.
    """

    rows: tuple[tuple[Decimal, Decimal], ...]
    is_marginal: bool = True
    by_size: bool = False


def tiers(*rows: tuple[str, str], is_marginal: bool = True, by_size: bool = False) -> Tiers:
    return Tiers(tuple((Decimal(floor), Decimal(rate)) for floor, rate in rows), is_marginal, by_size)


BTC_TIERS = tiers(
    ("0", "0.004"), ("50000", "0.005"), ("250000", "0.01"), ("1000000", "0.025"), ("10000000", "0.05")
)
ETH_TIERS = tiers(
    ("0", "0.005"), ("50000", "0.0065"), ("250000", "0.01"), ("1000000", "0.02"), ("5000000", "0.05")
)
SOL_TIERS = tiers(("0", "0.01"), ("25000", "0.02"), ("100000", "0.05"), ("1000000", "0.1"))
COIN_TIERS = tiers(("0", "0.004"), ("5", "0.005"), ("10", "0.01"), ("20", "0.025"), ("50", "0.05"))
OKX_TIERS = tiers(("0", "0.004"), ("40", "0.005"), ("200", "0.01"), is_marginal=False, by_size=True)
PERP_TIERS = tiers(("0", "0.01"), ("3000000", "0.025"))


@dataclass(frozen=True, slots=True)
class Held:
    """One position: ``size`` signed base units, or USD of an inverse contract; ``margin`` if it is isolated."""

    symbol: str
    size: Decimal
    entry: Decimal
    mark: Decimal
    tiers: Tiers
    margin: Decimal | None = None
    is_inverse: bool = False


@dataclass(frozen=True, slots=True)
class Account:
    """Positions and the wallet behind the crossed ones, in the settle asset; ``fee`` is demanded for closing."""

    venue: str
    held: tuple[Held, ...]
    wallet: Decimal = Decimal(0)
    fee: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class Case:
    """Which position of an account is asked about, and by which of ccxt's ways of reading it."""

    name: str
    account: Account
    asked: int = 0
    reads: str = ""


def linear(symbol: str, size: str, entry: str, mark: str, by: Tiers, margin: str | None = None) -> Held:
    return Held(
        f"{symbol}/USDT:USDT",
        Decimal(size),
        Decimal(entry),
        Decimal(mark),
        by,
        None if margin is None else Decimal(margin),
    )


ISOLATED_LONG = Account("binanceusdm", (linear("BTC", "50", "100000", "100000", BTC_TIERS, "250000"),))
ISOLATED_SHORT = Account("binanceusdm", (linear("BTC", "-50", "100000", "100000", BTC_TIERS, "250000"),))
THREE_LEGS = (
    linear("BTC", "20", "100000", "99000", BTC_TIERS),
    linear("ETH", "300", "4000", "3900", ETH_TIERS),
    linear("SOL", "-4000", "200", "205", SOL_TIERS),
)
CROSS = Account("binanceusdm", THREE_LEGS, wallet=Decimal(400_000))
HEDGED = Account(
    "binanceusdm",
    (linear("BTC", "30", "100000", "100000", BTC_TIERS), linear("BTC", "-10", "98000", "100000", BTC_TIERS)),
    wallet=Decimal(150_000),
)
COIN_LONG = Account(
    "binancecoinm",
    (
        Held(
            "BTC/USD:BTC",
            Decimal(3_000_000),
            Decimal(100_000),
            Decimal(100_000),
            COIN_TIERS,
            Decimal("1.5"),
            is_inverse=True,
        ),
    ),
)
COIN_SHORT = Account(
    "binancecoinm",
    (
        Held(
            "BTC/USD:BTC", Decimal(-3_000_000), Decimal(100_000), Decimal(98_000), COIN_TIERS, is_inverse=True
        ),
    ),
    wallet=Decimal(3),
)
BYBIT_CROSS = Account("bybit", THREE_LEGS, wallet=Decimal(400_000), fee=TAKER_FEE_BYBIT)
OKX_CROSS = Account(
    "okx",
    (linear("BTC", "20", "100000", "99000", OKX_TIERS), linear("ETH", "300", "4000", "3900", OKX_TIERS)),
    wallet=Decimal(400_000),
    fee=TAKER_FEE_OKX,
)
HYPERLIQUID_CROSS = Account(
    "hyperliquid",
    (
        Held("BTC/USDC:USDC", Decimal(20), Decimal(100_000), Decimal(99_000), PERP_TIERS),
        Held("ETH/USDC:USDC", Decimal(300), Decimal(4_000), Decimal(3_900), PERP_TIERS),
    ),
    wallet=Decimal(400_000),
)

CASES = (
    Case("Binance USD-M isolated long, `account` V2", ISOLATED_LONG, reads="account_v2"),
    Case("Binance USD-M isolated short, `account` V2", ISOLATED_SHORT, reads="account_v2"),
    Case("Binance USD-M isolated long, `account` V3, its default", ISOLATED_LONG, reads="account_v3"),
    Case("Binance USD-M isolated long, `positionRisk`", ISOLATED_LONG, reads="risk"),
    Case("Binance USD-M cross, 3 legs, BTC, `account` V2", CROSS, reads="account_v2"),
    Case("Binance USD-M cross, 3 legs, SOL short, `account` V2", CROSS, asked=2, reads="account_v2"),
    Case("Binance USD-M hedge mode, long side, `account` V2", HEDGED, reads="account_v2"),
    Case("Binance USD-M hedge mode, short side, `account` V2", HEDGED, asked=1, reads="account_v2"),
    Case("Binance COIN-M isolated long, `account`", COIN_LONG, reads="account_coin"),
    Case("Binance COIN-M cross short, `account`", COIN_SHORT, reads="account_coin"),
    Case("Bybit unified cross, 3 legs, BTC, `liqPrice` left empty", BYBIT_CROSS, reads="bybit"),
    Case("OKX multi-currency cross, 2 legs, BTC, `liqPx` left empty", OKX_CROSS, reads="okx"),
    Case("Hyperliquid cross, 2 legs, BTC, `liquidationPx` null", HYPERLIQUID_CROSS, reads="hyperliquid"),
)
