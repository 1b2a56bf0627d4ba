"""Which collateral falls while the positions that it stands behind lose. Pure: no I/O, no clock."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import isfinite

from guard.account.peg_settings import AssetKind, fold
from guard.account.pegs import PegBook
from guard.account.risk import HoldingRisk
from guard.events import MarginMode, Position
from guard.units import MarketId, symbol_of

VENUE_TOKENS = {
    "binance": ("BNB",),
    "bitfinex": ("LEO",),
    "bitget": ("BGB",),
    "bitmex": ("BMEX",),
    "bybit": ("MNT",),
    "cryptocom": ("CRO",),
    "gate": ("GT",),
    "htx": ("HTX", "HT"),
    "hyperliquid": ("HYPE",),
    "kucoin": ("KCS",),
    "mexc": ("MX",),
    "okx": ("OKB",),
    "woo": ("WOO",),
}
"""What falls with the venue itself."""

MARKET = "market"
"""What any coin falls with while the account is net long: in a crash they fall together."""


@dataclass(frozen=True, slots=True)
class Exposures:
    """Net positions by base coin, USD, and the market of the largest position in each."""

    net_usd: Mapping[str, float]
    markets: Mapping[str, MarketId]

    @property
    def total_usd(self) -> float:
        return sum(self.net_usd.values())


def exposures_of(positions: Iterable[Position]) -> Exposures:
    """Sum positions by base coin, at mark, else entry price, else by size alone."""
    net: dict[str, float] = {}
    largest: dict[str, tuple[float, MarketId]] = {}
    for position in positions:
        usd = _notional_usd(position)
        base = base_of(position.market)
        net[base] = net.get(base, 0.0) + usd
        is_cross = position.margin_mode is not MarginMode.ISOLATED
        if is_cross and usd != 0.0 and abs(usd) > largest.get(base, (0.0, ""))[0]:
            largest[base] = abs(usd), position.market
    return Exposures(net, {base: market for base, (_, market) in largest.items()})


_MULTIPLE = re.compile(r"^(?:10{3,}|1M)(?=[A-Z])")


def base_of(market: MarketId) -> str:
    """The coin that a market moves with; venues list some by the thousand.

    >>> base_of(MarketId("binanceusdm:ETH/USDT:USDT")), base_of(MarketId("bybit:1000PEPE/USDT:USDT"))
    ('ETH', 'PEPE')
    """
    return _MULTIPLE.sub("", fold(symbol_of(market).partition("/")[0]))


def _notional_usd(position: Position) -> float:
    if position.contracts_usd is not None:
        usd = position.contracts_usd
    else:
        usd = position.size * (position.mark_price or position.entry_price or 1.0)
    return usd if isfinite(usd) else 0.0


def correlated_with(asset: str, exposures: Exposures, pegs: PegBook, own_venue: str) -> str | None:
    """What an asset falls with: the coin of a long position, the venue, or ``MARKET``; ``None`` for nothing."""
    coin = pegs.underlying(asset.rpartition(":")[2])  # of one exchange's own collateral: dex:USDC
    if exposures.net_usd.get(coin, 0.0) > 0.0:
        return coin
    if fold(asset) in VENUE_TOKENS.get(own_venue, ()) and exposures.net_usd:
        return own_venue
    is_coin = pegs.kind(coin) is AssetKind.COIN
    return MARKET if is_coin and exposures.total_usd > 0.0 else None


def correlated_share(risks: Iterable[HoldingRisk]) -> float:
    """The share of all collateral that falls with the positions it stands behind, 0..1."""
    return min(1.0, sum(risk.share for risk in risks if risk.correlated_with is not None))
