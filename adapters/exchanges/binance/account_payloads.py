"""Pure parsers of what a Binance USD-M account holds, and of what its collateral is worth there.

Shapes: developers.binance.com, USDS-margined futures, "Account Information V3", "Get Current Multi-Assets Mode" and
"Multi-Assets Mode Asset Index", read with the comments of ccxt 4.5.90. Every function raises MalformedFrameError on
a payload that it cannot read, and on NaN or an infinity.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adapters.exchanges.binance.payloads import USD_LIKE
from adapters.exchanges.margin_ratios import ratio_of, worst
from adapters.exchanges.parsers import (
    Payload,
    as_mapping,
    flag,
    known,
    number,
    optional_number,
    positive,
    rows,
    text,
)
from adapters.exchanges.venue import AccountTotals
from guard.errors import MalformedFrameError
from guard.events import CollateralHeld, Pooling


@dataclass(frozen=True, slots=True)
class AssetIndex:
    """What a unit of an asset is worth in multi-assets mode, USD, and what is counted less for owning it."""

    price_usd: float
    haircut: float
    debt_price_usd: float
    """What a unit that is owed costs: the price and a buffer above it."""


def parse_multi_assets(response: Any) -> bool:
    """Read GET /fapi/v1/multiAssetsMargin: whether all collateral stands behind all cross positions."""
    where = "GET /fapi/v1/multiAssetsMargin"
    told = as_mapping(response, where)
    if "multiAssetsMargin" not in told:
        raise MalformedFrameError(where, "field 'multiAssetsMargin' is missing")
    return flag(told, "multiAssetsMargin")


def parse_asset_indexes(response: Any) -> dict[str, AssetIndex]:
    """Read GET /fapi/v1/assetIndex: asset -> its index; ``symbol`` is the asset and ``USD``."""
    where = "GET /fapi/v1/assetIndex"
    return {
        text(row, "symbol", where).removesuffix("USD"): AssetIndex(
            price_usd=positive(row, "index", where),
            haircut=min(1.0, max(0.0, optional_number(row, "bidBuffer", where) or 0.0)),
            debt_price_usd=known(optional_number(row, "askRate", where)) or positive(row, "index", where),
        )
        for row in rows([response] if isinstance(response, dict) else response, where)
    }


NO_INDEXES: Mapping[str, AssetIndex] = {}


def parse_account(
    response: Any, *, multi_assets: bool = False, indexes: Mapping[str, AssetIndex] = NO_INDEXES
) -> AccountTotals:
    """Read GET /fapi/v3/account (or v2).

    In single-asset mode the totals are of USDT alone, each asset has its own, and the margin ratio is that of the
    worst; in multi-assets mode they are USD over all assets: a unit counts for its index less the bid buffer, one
    that is owed for the index and the ask buffer (binance.com, "How to Calculate Margin in Multi-Assets Mode",
    2022-07-06). Wallets hold what stands behind isolated positions.

    Args:
        response: the venue's answer.
        multi_assets: whether the account is in that mode, which only v2 tells itself.
        indexes: what units of assets are worth, where that is known.
    """
    where = "GET /fapi/v3/account"
    account = as_mapping(response, where)
    multi_assets = multi_assets or flag(account, "multiAssetsMargin")
    listed = rows(account.get("assets"), where)
    held = {text(row, "asset", where): number(row, "walletBalance", where) for row in listed}
    wallets = {asset: balance for asset, balance in held.items() if asset in USD_LIKE}
    maintenance = optional_number(account, "totalMaintMargin", where)
    other_usd = 0.0
    if multi_assets:
        total = optional_number(account, "totalWalletBalance", where)
        other_usd = 0.0 if total is None else total - sum(wallets.values())
        ratio = ratio_of(maintenance, optional_number(account, "totalMarginBalance", where))
    else:
        cross = _cross_maintenance(account, [*held], where)
        ratio = worst(cross_ratio(row, cross, where) for row in listed)
        told = [optional_number(row, "maintMargin", where) for row in listed if row["asset"] in USD_LIKE]
        if told and None not in told:
            maintenance = sum(each for each in told if each is not None)
    return AccountTotals(
        wallets=wallets,
        other_usd=other_usd,
        maintenance_usd=maintenance,
        collateral=tuple(
            _held(row, held[row["asset"]], indexes, multi_assets=multi_assets)
            for row in listed
            if held[row["asset"]]
        ),
        pooling=Pooling.ONE_POOL if multi_assets else Pooling.BY_SETTLE_ASSET,
        margin_ratio=ratio,
    )


def _held(
    row: Payload, quantity: float, indexes: Mapping[str, AssetIndex], *, multi_assets: bool
) -> CollateralHeld:
    asset = str(row["asset"])
    index = indexes.get(asset)
    if index is None or not multi_assets:
        # In single-asset mode each backs what is paid in it, and is not valued.
        is_collateral = not (multi_assets and indexes) and row.get("marginAvailable") is not False
        return CollateralHeld(asset=asset, quantity=quantity, is_collateral=is_collateral or not multi_assets)
    return CollateralHeld(
        asset=asset,
        quantity=quantity,
        venue_price_usd=index.price_usd if quantity > 0.0 else index.debt_price_usd,
        venue_haircut=index.haircut,
        is_collateral=row.get("marginAvailable") is not False,
    )


def _cross_maintenance(account: Payload, assets: Sequence[str], where: str) -> dict[str, float]:
    """Of the assets that also back isolated positions: the maintenance of their cross positions alone.

    Whose word an asset's ``maintMargin`` is then need not be guessed. A symbol ends with the asset it is paid in.
    """
    listed = rows(account.get("positions") or [], where)
    # Without making numbers of them: there may be hundreds, and seldom one is isolated.
    told = [row for row in listed if row.get("isolatedWallet", "0") not in ("0", "0.00000000")]
    isolated = [row for row in told if known(optional_number(row, "isolatedWallet", where))]
    found = {_settle_of(row, assets, where): 0.0 for row in isolated}
    if not found:
        return found
    apart = {id(row) for row in isolated}
    for row in listed:
        asset = _settle_of(row, assets, where)
        if id(row) not in apart and asset in found:
            found[asset] += optional_number(row, "maintMargin", where) or 0.0
    return found


def _settle_of(row: Payload, assets: Sequence[str], where: str) -> str:
    symbol = text(row, "symbol", where).partition("_")[0]
    return max((asset for asset in assets if symbol.endswith(asset)), key=len, default="")


def cross_ratio(row: Payload, cross: Mapping[str, float], where: str) -> float | None:
    """What one asset of an account says of its cross positions: their maintenance over their margin balance.

    Args:
        row: the asset.
        cross: the maintenance of cross positions, of assets that back isolated ones besides.
        where: for the error.
    """
    maintenance = cross.get(str(row["asset"]), optional_number(row, "maintMargin", where))
    wallet, profit = (optional_number(row, key, where) for key in ("crossWalletBalance", "crossUnPnl"))
    if maintenance is None or wallet is None:
        return None
    return ratio_of(maintenance, wallet + (profit or 0.0))
