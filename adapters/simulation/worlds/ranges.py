"""Ranges that an episode's parameters are drawn from, and what is known of the symbols and venues in them.

A draw depends on the seed and its own name alone: a parameter that is added later changes no other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from hashlib import sha256

from adapters.simulation.laboratory.parameters import LiquidationFeed, MarginBracket

DIGITS = 6
"""Of a drawn value: the last bits of a logarithm are not the same everywhere, these are."""


@dataclass(frozen=True, slots=True)
class Range:
    """Where a parameter lies: uniform between the two, or uniform in its logarithm."""

    low: float
    high: float
    is_log: bool = False

    def at(self, share: float) -> float:
        """Give the value so far up the range, 0..1.

        >>> Range(1.0, 100.0, is_log=True).at(0.5), Range(1.0, 3.0).at(0.25)
        (10.0, 1.5)
        """
        if self.is_log:
            return rounded(self.low * (self.high / self.low) ** share)
        return rounded(self.low + (self.high - self.low) * share)


def log(low: float, high: float) -> Range:
    """Give a range that is uniform in the logarithm."""
    return Range(low, high, is_log=True)


Drawn = Range | float
"""A range, or the same in every episode."""


@dataclass(frozen=True, slots=True)
class Lot:
    """The draws of one seed in one world, each by its name."""

    world: str
    seed: int

    def share(self, name: str) -> float:
        """Give 0..1, the same for the same seed and name."""
        digest = sha256(f"perpguard laboratory draw/{self.world}/{self.seed}/{name}".encode()).digest()
        return (int.from_bytes(digest[:8], "big") >> 11) / 2**53

    def value(self, name: str, drawn: Drawn) -> float:
        """Draw a parameter."""
        return drawn.at(self.share(name)) if isinstance(drawn, Range) else float(drawn)

    def values(self, prefix: str, drawn: Mapping[str, Drawn]) -> dict[str, float]:
        """Draw several."""
        return {name: self.value(f"{prefix}.{name}", one) for name, one in drawn.items()}


def rounded(value: float) -> float:
    """Keep ``DIGITS`` significant digits."""
    return float(f"{value:.{DIGITS}g}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SymbolFacts:
    """One symbol at a venue whose share is 1, when calm; the episode's values are these times what is drawn."""

    tick: str
    lot: str
    price: float
    depth_usd: float
    half_spread_bps: float
    open_interest_usd: float
    volume_day_usd: float
    beta: float
    volatility_day: float
    brackets: tuple[MarginBracket, ...]
    is_alt: bool = False
    is_small: bool = False
    """One of the many that hardly anybody makes a market in."""

    def step(self) -> Decimal:
        """Give one tick of one lot in USD; a whole number of millionths."""
        return Decimal(self.tick) * Decimal(self.lot)


def _brackets(*rows: tuple[float, float, float]) -> tuple[MarginBracket, ...]:
    return tuple(
        MarginBracket(floor_usd=floor, maintenance_ratio=ratio, leverage_max=leverage)
        for floor, ratio, leverage in rows
    )


SYMBOLS: Mapping[str, SymbolFacts] = {
    "BTCUSDT": SymbolFacts(
        tick="10",
        lot="0.001",
        price=121_500.0,
        depth_usd=200e6,
        half_spread_bps=0.5,
        open_interest_usd=7e9,
        volume_day_usd=8e9,
        beta=1.0,
        volatility_day=0.006,
        brackets=_brackets(
            (0, 0.004, 150),
            (300e3, 0.005, 100),
            (800e3, 0.0065, 75),
            (3e6, 0.01, 50),
            (12e6, 0.02, 25),
            (70e6, 0.025, 20),
            (100e6, 0.05, 10),
            (230e6, 0.1, 5),
        ),
    ),
    "ETHUSDT": SymbolFacts(
        tick="0.25",
        lot="0.001",
        price=4_350.0,
        depth_usd=100e6,
        half_spread_bps=0.5,
        open_interest_usd=5e9,
        volume_day_usd=6e9,
        beta=1.25,
        volatility_day=0.015,
        brackets=_brackets(
            (0, 0.004, 150),
            (300e3, 0.005, 100),
            (800e3, 0.0065, 75),
            (3e6, 0.01, 50),
            (12e6, 0.02, 25),
            (50e6, 0.025, 20),
            (65e6, 0.05, 10),
            (150e6, 0.1, 5),
        ),
    ),
    "SOLUSDT": SymbolFacts(
        tick="0.02",
        lot="0.01",
        price=220.0,
        depth_usd=35e6,
        half_spread_bps=0.7,
        open_interest_usd=1.5e9,
        volume_day_usd=2e9,
        beta=1.7,
        volatility_day=0.022,
        is_alt=True,
        brackets=_brackets(
            (0, 0.005, 100),
            (50e3, 0.0065, 75),
            (400e3, 0.01, 50),
            (1e6, 0.02, 25),
            (4e6, 0.025, 20),
            (8e6, 0.05, 10),
            (40e6, 0.1, 5),
        ),
    ),
    "WIFUSDT": SymbolFacts(
        tick="0.00005",
        lot="1",
        price=0.75,
        depth_usd=65e3,
        half_spread_bps=0.8,
        open_interest_usd=6.0e6,
        volume_day_usd=8e6,
        beta=1.9,
        volatility_day=0.04,
        is_alt=True,
        is_small=True,
        brackets=_brackets(
            (0, 0.01, 75),
            (5e3, 0.015, 50),
            (10e3, 0.02, 25),
            (50e3, 0.025, 20),
            (100e3, 0.0333, 15),
            (175e3, 0.05, 10),
            (250e3, 0.1, 5),
        ),
    ),
}
"""Brackets: Binance USD-M, September 2026, down to a leverage of 5. Depth of the first three: the usual bid within 1 %
at Binance in October 2025 (public repository min66633/liquidation-cascade-research, analysis/DEPTH_FINDINGS.md: 244,
117 and 40 million USD); the fourth stands for the many small ones, of which nobody publishes it."""

ALTS = tuple(name for name, facts in SYMBOLS.items() if facts.is_alt)
SMALL = tuple(name for name, facts in SYMBOLS.items() if facts.is_small)

PRICE = log(0.85, 1.15)
"""Times each symbol's price."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueFacts:
    """One venue: how large it is beside the first, and what it publishes of liquidations."""

    share: Drawn
    feed: LiquidationFeed


VENUES: Mapping[str, VenueFacts] = {
    "binanceusdm": VenueFacts(share=1.0, feed=LiquidationFeed.THROTTLED),
    "bybit": VenueFacts(share=log(0.35, 0.7), feed=LiquidationFeed.COMPLETE),
}

START_MS_FIRST, START_MS_LAST = 1_735_689_600_000, 1_798_761_600_000
"""Episodes begin within 2025 and 2026, UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Common:
    """What is drawn alike in every world; a world's own range of the same name goes before it."""

    value: Mapping[str, Drawn] = field(
        default_factory=lambda: {
            "volatility_day": log(0.015, 0.04),
            "volatility_log_sd": Range(0.55, 0.85),
            "volatility_half_life_s": log(1.0 * 3600.0, 5 * 3600.0),
            "tail_degrees": Range(3.2, 5.0),
            "jumps_per_day": Range(0.2, 1.0),
            "jump_sd": log(0.005, 0.015),
            "season_ratio": Range(0.15, 0.35),
            "pull_half_life_s": log(1_200.0, 4_800.0),
            "lead_half_life_s": log(20.0, 60.0),
            "spot_depth_ratio": log(1.2, 3.6),
        }
    )
    crowd: Mapping[str, Drawn] = field(
        default_factory=lambda: {
            "positions": 16_000.0,
            "hedged_longs_share": Range(0.05, 0.15),
            "hedged_shorts_share": Range(0.3, 0.5),
            "size_log_sd": Range(1.4, 1.8),
            "cross_share": Range(0.35, 0.65),
            "cross_spare_ratio": log(0.5, 1.2),
            "holding_half_life_s": log(18 * 3600.0, 60 * 3600.0),
            "history_days": Range(3.0, 8.0),
            "stop_share": Range(0.06, 0.16),
            "stop_bps": log(350.0, 800.0),
            "target_share": Range(0.05, 0.2),
            "momentum": Range(0.15, 0.45),
            "flight": log(0.8, 2.0),
        }
    )
    flow: Mapping[str, Drawn] = field(
        default_factory=lambda: {
            "trade_usd": log(1_200.0, 3_000.0),
            "trade_log_sd": Range(1.1, 1.5),
            "herding": Range(0.45, 0.75),
            "momentum_gain": log(0.05, 0.25),
            "value_depths": log(0.02, 0.06),
            "value_bps": log(40.0, 100.0),
            "value_depths_max": log(6.0, 18.0),
            "patient_depths": log(0.3, 1.2),
            "patient_from_bps": log(100.0, 180.0),
            "patient_half_life_s": log(900.0, 3_600.0),
        }
    )
    arbitrage: Mapping[str, Drawn] = field(
        default_factory=lambda: {
            "threshold_bps": log(2.5, 6.0),
            "depths_per_s": log(0.025, 0.1),
            "capital_depths": log(4.0, 14.0),
            "withdraw_z": log(12.0, 30.0),
        }
    )
    liquidation: Mapping[str, Drawn] = field(
        default_factory=lambda: {
            "fund_ratio": log(0.001, 0.005),
            "takeover_bps": Range(20.0, 120.0),
            "slice_depths": log(0.3, 1.0),
        }
    )


COMMON = Common()

LEVERAGE_LONGS = ((1.5, 0.12), (2, 0.22), (3, 0.27), (5, 0.22), (10, 0.12), (20, 0.04), (50, 0.01))
LEVERAGE_SHORTS = ((1.5, 0.1), (2, 0.25), (3, 0.27), (5, 0.22), (10, 0.12), (20, 0.03), (50, 0.01))
"""Leverage and share of leveraged open interest before the world's tilt."""


def tilted(mix: tuple[tuple[float, float], ...], tilt: float) -> tuple[tuple[float, float], ...]:
    """Weigh a mix of leverage by leverage to the power of ``tilt``: below 0 towards the low ones; shares add up to 1.

    >>> tilted(((2, 0.5), (10, 0.5)), -1.0)
    ((2, 0.833333), (10, 0.166667))
    """
    weights = [share * leverage**tilt for leverage, share in mix]
    whole = sum(weights)
    return tuple(
        (leverage, rounded(weight / whole)) for (leverage, _), weight in zip(mix, weights, strict=True)
    )
