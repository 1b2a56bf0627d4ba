"""What assets stand for, as the settings say, and when a price of them is believed. Pure: no I/O, no clock."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from math import inf

USD = "USD"

_FUTURES = {
    "binancecoinm": "binance",
    "binanceusdm": "binance",
    "coinbaseexchange": "coinbase",
    "coinbaseinternational": "coinbase",
    "gateio": "gate",
    "huobi": "htx",
    "krakenfutures": "kraken",
    "kucoinfutures": "kucoin",
    "myokx": "okx",
    "okxus": "okx",
    "bybiteu": "bybit",
}
CASH = ("USD", "USDT", "USDC")
STABLECOINS = (
    *("BFUSD", "BUSD", "DAI", "FDUSD", "FRAX", "GHO", "GUSD", "LUSD", "PYUSD", "RLUSD", "RWUSD", "TUSD"),
    *("USD0", "USD1", "USDB", "USDD", "USDE", "USDG", "USDH", "USDL", "USDP", "USDS", "USDTB", "USD+"),
)
WRAPPED = (
    *(
        f"{asset}/ETH"
        for asset in ("BETH", "CBETH", "CMETH", "EETH", "EZETH", "METH", "OETH", "RETH", "RSETH")
    ),
    *(f"{asset}/ETH" for asset in ("SFRXETH", "STETH", "WBETH", "WEETH", "WETH", "WSTETH")),
    *(f"{asset}/SOL" for asset in ("BBSOL", "BNSOL", "JITOSOL", "JUPSOL", "MSOL", "OKSOL")),
    *(f"{asset}/BTC" for asset in ("BTCB", "CBBTC", "FBTC", "LBTC", "SOLVBTC", "TBTC", "WBTC")),
    *("LDUSDC/USDC", "LDUSDT/USDT", "SDAI/DAI", "SUSDE/USDE", "SUSDS/USDS"),
)


class AssetKind(StrEnum):
    """What an asset stands for."""

    CASH = "cash"
    """What prices are quoted in: USD and the two stablecoins that count as USD."""
    STABLE = "stable"
    """Any other that is meant to be worth 1 USD."""
    WRAPPED = "wrapped"
    """A claim on another asset, at a ratio of at least 1 that only grows with its yield."""
    COIN = "coin"
    """What stands for nothing but itself."""


def house_of(venue: str) -> str:
    """Whose books a venue's are: one company's futures and spot go by several ids.

    >>> house_of("binanceusdm"), house_of("bybit")
    ('binance', 'bybit')
    """
    return _FUTURES.get(venue, venue)


@dataclass(frozen=True, slots=True)
class PegSettings:
    """What collateral stands for, and when its price over venues is believed.

    Attributes:
        cash: assets in which others are quoted; they are priced in USD first.
        stablecoins: others that are meant to be worth 1 USD.
        wrapped: claims on another asset, yield-bearing ones too, each as ASSET/WHAT IT IS A CLAIM ON.
        stale_s: seconds after which what a venue said of a price is left out.
        disagree_bps: two venues further apart than this leave a price in dispute; the worse one counts then.
        window_h: hours of which the median ratio of a wrapped asset to what it wraps is its normal.
        warm_up_s: seconds of prices needed before that normal is believed.
        learn_bps_max: nothing is learned while the ratio is further than this below its normal ...
        freeze_h_max: ... for at most so many hours; then the normal is learned anew.
    """

    cash: tuple[str, ...] = CASH
    stablecoins: tuple[str, ...] = STABLECOINS
    wrapped: tuple[str, ...] = WRAPPED
    stale_s: float = 30.0
    disagree_bps: float = 100.0
    window_h: float = 24.0
    warm_up_s: float = 600.0
    learn_bps_max: float = 100.0
    freeze_h_max: float = 6.0

    def __post_init__(self) -> None:
        for name in ("stale_s", "disagree_bps", "window_h", "warm_up_s", "learn_bps_max", "freeze_h_max"):
            if not 0.0 < getattr(self, name) < inf:
                raise ValueError(f"{name} must be positive, not {getattr(self, name)}")
        if self.window_h > 24.0 * 7:
            raise ValueError(f"window_h must be at most a week, 168, not {self.window_h}")
        if self.warm_up_s > self.window_h * 3_600.0:
            raise ValueError(f"warm_up_s {self.warm_up_s:g} is longer than the window of {self.window_h:g} h")
        if USD not in self.cash:
            raise ValueError("cash must hold USD: everything is priced in it")
        for each in self.wrapped:
            parts = each.split("/")
            if len(parts) != 2 or not all(part.strip() for part in parts):
                raise ValueError(f"wrapped: {each!r} must name an asset and what it wraps, as in WBETH/ETH")
        claims = self.claims
        for asset in claims:
            _check_chain(asset, claims)

    @property
    def claims(self) -> dict[str, str]:
        """What each wrapped asset is a claim on, by names that can be compared."""
        pairs = (each.partition("/") for each in self.wrapped)
        return {fold(asset): fold(underlying) for asset, _, underlying in pairs}


def _check_chain(asset: str, wrapped: dict[str, str]) -> None:
    chain = [asset]
    while chain[-1] in wrapped:
        chain.append(wrapped[chain[-1]])
        if chain[-1] in chain[:-1]:
            raise ValueError(f"wrapped: {' -> '.join(chain)}: an asset cannot be a claim on itself")


def fold(asset: str) -> str:
    """An asset's name as compared here: venues differ in case (USDe, USDE).

    >>> fold(" wBETH")
    'WBETH'
    """
    return asset.strip().upper()
