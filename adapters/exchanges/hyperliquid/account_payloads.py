"""Pure parsers of what a Hyperliquid account holds besides the perpetuals of the venue's own list.

Shapes: hyperliquid.gitbook.io/hyperliquid-docs, for developers, API, "Info endpoint"; trading, "Account abstraction
modes" and "Portfolio margin"; read with the comments of ccxt 4.5.90. Every function raises MalformedFrameError on a
payload that it cannot read, and on NaN or an infinity.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adapters.exchanges.hyperliquid.payloads import State
from adapters.exchanges.margin_ratios import ratio_of, worst
from adapters.exchanges.parsers import (
    Payload,
    as_mapping,
    integer,
    number,
    optional_number,
    rows,
    text,
)
from adapters.exchanges.venue import AccountTotals
from guard.errors import MalformedFrameError
from guard.events import CollateralHeld, Pooling

USDC = "USDC"

PORTFOLIO_FAILS_AT = 0.95
"""The portfolio margin ratio above which an account is liquidated."""


@dataclass(frozen=True, slots=True)
class Spot:
    """``spotClearinghouseState``: every token, with what it holds; and the ratio of a portfolio margin account."""

    balances: tuple[CollateralHeld, ...]
    portfolio_ratio: float | None = None


def parse_spot(response: Any) -> Spot:
    """Read ``spotClearinghouseState``; a ``total`` below 0 is borrowed.

    Where a token may secure borrowing, ``ltv`` says how far: an account fails at half of the way from there to the
    whole value ("Portfolio margin", liquidation_threshold = 0.5 + 0.5 LTV).
    """
    where = "spotClearinghouseState"
    told = as_mapping(response, where)
    return Spot(
        balances=tuple(_spot_held(row, where) for row in rows(told.get("balances"), where)),
        portfolio_ratio=optional_number(told, "portfolioMarginRatio", where),
    )


def _spot_held(row: Payload, where: str) -> CollateralHeld:
    coin, ltv = text(row, "coin", where), optional_number(row, "ltv", where)
    if ltv is not None and not 0.0 <= ltv <= 1.0:
        raise MalformedFrameError(where, f"field 'ltv' is not a ratio: {ltv:g}")
    return CollateralHeld(
        asset=coin,
        quantity=number(row, "total", where),
        venue_price_usd=1.0 if coin == USDC else None,
        venue_haircut=0.5 - 0.5 * ltv if ltv else None,
        is_collateral=coin == USDC or bool(ltv),
    )


def parse_dex_names(response: Any) -> list[str]:
    """Read ``perpDexs``: the builder-deployed exchanges (HIP-3); the first entry, null, is the venue's own."""
    where = "perpDexs"
    if not isinstance(response, list):
        raise MalformedFrameError(where, f"not a list: {response!r:.40}")
    return [text(as_mapping(dex, where), "name", where) for dex in response if dex is not None]


def parse_collateral_token(response: Any) -> int:
    """Read the number of the token that backs an exchange from its ``meta``; 0 is USDC."""
    where = "meta"
    told = as_mapping(response, where)
    return integer(told, "collateralToken", where) if "collateralToken" in told else 0


def parse_token_names(response: Any) -> dict[int, str]:
    """Read the names of tokens by their numbers from ``spotMeta``."""
    where = "spotMeta"
    listed = rows(as_mapping(response, where).get("tokens"), where)
    return {integer(row, "index", where): text(row, "name", where) for row in listed}


def totals_apart(state: State, others: Mapping[str, State]) -> AccountTotals:
    """An account whose exchanges each hold collateral of their own; that of another is named ``dex:USDC``.

    Args:
        state: of the venue's own perpetuals.
        others: of other exchanges, by the name of their collateral.
    """
    held = {USDC: state, **others}
    return AccountTotals(
        wallets={USDC: state.wallet_usd},
        other_usd=sum(other.wallet_usd for other in others.values()),
        maintenance_usd=sum(each.maintenance_usd for each in held.values()),
        collateral=tuple(
            CollateralHeld(asset=asset, quantity=each.wallet_usd, venue_price_usd=1.0)
            for asset, each in held.items()
            if each.wallet_usd or asset == USDC
        ),
        pooling=Pooling.BY_SETTLE_ASSET,
        margin_ratio=worst(
            ratio_of(each.cross_maintenance_usd, each.cross_value_usd) for each in held.values()
        ),
    )


def totals_unified(spot: Spot, states: Mapping[str, Sequence[State]], *, portfolio: bool) -> AccountTotals:
    """An account whose spot balances back its perpetuals, each those of the exchanges that are paid in it.

    A spot balance is what the account is worth in that token, profit of its positions included: the venue's own ratio
    is the worst token's cross maintenance over its balance less the margins of isolated positions ("Account
    abstraction modes", unified account ratio).

    Args:
        spot: its balances.
        states: of the exchanges, by the token that backs them.
        portfolio: whether all of it is margined together.
    """
    equity = {held.asset: held.quantity for held in spot.balances}
    equity |= {token: equity.get(token, 0.0) for token in states}
    profit = {token: sum(state.unrealised_usd for state in told) for token, told in states.items()}
    by_asset = {held.asset: held for held in spot.balances}
    collateral = tuple(
        CollateralHeld(
            asset=asset,
            quantity=quantity - profit.get(asset, 0.0),
            # What an exchange is paid in is its money, whatever it is worth elsewhere.
            venue_price_usd=1.0 if asset in states else by_asset[asset].venue_price_usd,
            venue_haircut=by_asset[asset].venue_haircut if asset in by_asset and portfolio else None,
            is_collateral=asset in states
            or (portfolio and asset in by_asset and by_asset[asset].is_collateral),
        )
        for asset, quantity in equity.items()
        if quantity or profit.get(asset)
    )
    ratios = (
        ratio_of(
            sum(state.cross_maintenance_usd for state in told),
            equity[token] - sum(state.isolated_usd for state in told),
        )
        for token, told in states.items()
    )
    ratio = worst(ratios)
    if portfolio:
        ratio = None if spot.portfolio_ratio is None else spot.portfolio_ratio / PORTFOLIO_FAILS_AT
    return AccountTotals(
        wallets={USDC: equity.get(USDC, 0.0) - profit.get(USDC, 0.0)},
        other_usd=0.0,
        maintenance_usd=sum(state.maintenance_usd for told in states.values() for state in told),
        collateral=collateral,
        pooling=Pooling.PORTFOLIO if portfolio else Pooling.BY_SETTLE_ASSET,
        margin_ratio=ratio,
    )
