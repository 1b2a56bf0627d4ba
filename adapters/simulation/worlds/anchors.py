"""What is published of 10 October 2025, and of markets at large, that made-up ones are held against."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Figure(StrEnum):
    """What is measured of one episode; ``measures`` has the exact definitions."""

    DEPTH_LOSS_1PCT = "depth_loss_1pct"
    DEPTH_LOSS_5PCT = "depth_loss_5pct"
    SPREAD_BPS_SMALL = "spread_bps_small"
    ROUND_TRIP_BPS_SMALL = "round_trip_bps_small"
    OPEN_INTEREST_LOSS_SMALL = "open_interest_loss_small"
    OPEN_INTEREST_LOSS_USD = "open_interest_loss_usd"
    FALL_SMALL = "fall_small"
    FALL_BTC = "fall_btc"
    FALL_SOL_12MIN = "fall_sol_12min"
    LIQUIDATED_SHARE_40MIN = "liquidated_share_40min"
    LIQUIDATIONS_MINUTE = "liquidations_minute"
    LONGS_SHARE = "longs_share"
    BOOK_SHARE = "book_share"
    FIRST_DELEVERAGE_S = "first_deleverage_s"
    DEPTH_RATIO_BTC = "depth_ratio_btc"
    DEPTH_RATIO_ETH = "depth_ratio_eth"
    DEPTH_RATIO_SOL = "depth_ratio_sol"
    REFILL_MIN = "refill_min"
    TROUGH_MIN = "trough_min"
    RISE_SMALL = "rise_small"
    OVERSHOOT_MAX = "overshoot_max"
    LIQUIDATED_OI_SHARE_MAX = "liquidated_oi_share_max"


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """One published figure; ``low`` to ``high`` is what sources span, ``typical`` what they name most."""

    figure: Figure
    about: str
    symbols: str
    unit: str
    low: float
    typical: float
    high: float
    source: str
    drawn: str = ""
    """What of it a scenario draws, so that it is not all made by the market; empty: nothing."""


_LTRD = "ltrd, translated by Odaily: odaily.news/en/post/5206861"
_AMBERDATA = (
    "Amberdata: blog.amberdata.io/how-3.21b-vanished-in-60-seconds-october-2025-crypto-crash-explained-"
    "through-7-charts"
)
_DEPTH = "github.com/min66633/liquidation-cascade-research, analysis/DEPTH_FINDINGS.md"
_DELEVERAGE = "github.com/ConejoCapital/HyperMultiAssetedADL, README.md (Hyperliquid)"
_COINDESK = "CoinDesk Data, Market Spotlight of October 2025: -43 %, of all perpetuals and in a day"
_KAIKO = (
    "Kaiko: research.kaiko.com/insights/when-october-surprise-meets-crypto-liquidity-drought, 13 October 2025"
)

_NEWS = "in part: news (impulses on value)"
_LEAVING = "in part: makers told to leave (withdrawal)"

ANCHORS: tuple[Anchor, ...] = (
    Anchor(
        figure=Figure.DEPTH_LOSS_1PCT,
        about="depth within 1 % that is gone, worst ten minutes",
        symbols="all",
        unit="ratio",
        low=0.90,
        typical=0.95,
        high=0.99,
        source=f"FTI Consulting (above 90 %), press (98 %); {_KAIKO}",
        drawn=_LEAVING,
    ),
    Anchor(
        figure=Figure.SPREAD_BPS_SMALL,
        about="spread, worst ten minutes",
        symbols="small alts",
        unit="bps",
        low=150.0,
        typical=200.0,
        high=250.0,
        source=f"analysis of 21:10 to 21:20; {_LTRD}",
        drawn=_LEAVING,
    ),
    Anchor(
        figure=Figure.ROUND_TRIP_BPS_SMALL,
        about="buying and selling for 500 USD, worst ten minutes",
        symbols="small alts",
        unit="bps",
        low=400.0,
        typical=500.0,
        high=600.0,
        source=f"analysis of 21:10 to 21:20; {_LTRD}",
        drawn=_LEAVING,
    ),
    Anchor(
        figure=Figure.OPEN_INTEREST_LOSS_SMALL,
        about="open interest that is gone after 40 min, in coins",
        symbols="small alts",
        unit="ratio",
        low=0.40,
        typical=0.50,
        high=0.60,
        source=f"analysis of 10 October (50 % on average, some 80 %); {_COINDESK}",
    ),
    Anchor(
        figure=Figure.FALL_SMALL,
        about="lowest price beside that at the onset",
        symbols="small alts",
        unit="ratio",
        low=0.47,
        typical=0.56,
        high=0.65,
        source=f"Bybit 47 %, Binance 65 % on average; day's open to low 63 %: {_LTRD}; CoinDesk Data 47 %",
        drawn=_NEWS,
    ),
    Anchor(
        figure=Figure.FALL_BTC,
        about="lowest price beside that at the onset",
        symbols="BTC",
        unit="ratio",
        low=0.13,
        typical=0.14,
        high=0.15,
        source=f"13.1 % at Hyperliquid, 12 min: {_DELEVERAGE}; press: 122 to below 105 thousand",
        drawn=_NEWS,
    ),
    Anchor(
        figure=Figure.FALL_SOL_12MIN,
        about="fall within its worst 12 minutes",
        symbols="SOL",
        unit="ratio",
        low=0.20,
        typical=0.26,
        high=0.32,
        source=f"26 %: {_DELEVERAGE}; low and high are ours",
        drawn=_NEWS,
    ),
    Anchor(
        figure=Figure.LIQUIDATED_SHARE_40MIN,
        about="of all value liquidated, in the worst 40 min",
        symbols="all",
        unit="ratio",
        low=0.60,
        typical=0.70,
        high=0.80,
        source=f"70 % of 14 hours: {_AMBERDATA}; low and high are ours",
    ),
    Anchor(
        figure=Figure.LIQUIDATIONS_MINUTE,
        about="liquidations in the worst minute",
        symbols="all",
        unit="a minute",
        low=710.0,
        typical=3_500.0,
        high=17_500.0,
        source=f"710, 17.5, 12.7, 10.0, 16.5, 5.0 thousand in the first six minutes, of 162 markets: {_DELEVERAGE}; "
        "the middle (geometric) is ours: there are eight markets here",
    ),
    Anchor(
        figure=Figure.LONGS_SHARE,
        about="of all value liquidated, longs",
        symbols="all",
        unit="ratio",
        low=0.75,
        typical=0.839,
        high=0.90,
        source=f"83.9 %: {_AMBERDATA}; low and high are ours",
    ),
    Anchor(
        figure=Figure.BOOK_SHARE,
        about="of value closed by venues, what books took",
        symbols="all",
        unit="ratio",
        low=0.50,
        typical=0.62,
        high=0.75,
        source=f"5.51 and 2.10 billion USD in 12 min: {_DELEVERAGE}; the subtraction, low and high are ours",
    ),
    Anchor(
        figure=Figure.FIRST_DELEVERAGE_S,
        about="first deleveraging after the first liquidation of the wave",
        symbols="all",
        unit="s",
        low=30.0,
        typical=61.7,
        high=120.0,
        source=f"61.7 s: {_DELEVERAGE}; low and high are ours",
    ),
    Anchor(
        figure=Figure.DEPTH_RATIO_BTC,
        about="usual bid within 1 % over the least",
        symbols="BTC",
        unit="times",
        low=57.0,
        typical=114.0,
        high=228.0,
        source=f"{_DEPTH} (a minimum that stood still for 440 snapshots: doubtful); low and high: half and double",
        drawn=_LEAVING,
    ),
    Anchor(
        figure=Figure.DEPTH_RATIO_ETH,
        about="usual bid within 1 % over the least",
        symbols="ETH",
        unit="times",
        low=103.0,
        typical=206.0,
        high=412.0,
        source=f"{_DEPTH}; low and high: half and double",
        drawn=_LEAVING,
    ),
    Anchor(
        figure=Figure.DEPTH_RATIO_SOL,
        about="usual bid within 1 % over the least",
        symbols="SOL",
        unit="times",
        low=280.0,
        typical=561.0,
        high=1_122.0,
        source=f"{_DEPTH}; low and high: half and double",
        drawn=_LEAVING,
    ),
    Anchor(
        figure=Figure.REFILL_MIN,
        about="from the least depth to half of the usual",
        symbols="small alts",
        unit="min",
        low=10.0,
        typical=30.0,
        high=120.0,
        source=f"books empty for minutes, the day's median normal: {_KAIKO}; {_DEPTH}. No figure is published: ours",
        drawn=_LEAVING,
    ),
)
"""Of 10 October 2025. Where a source gives one number, the span about it is ours, and the text says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One stylised fact with what is published or recorded of it."""

    name: str
    about: str
    low: float
    high: float
    source: str
    drawn: str = ""
    """What of it is put in and therefore no finding; empty: nothing."""


_RECORDED = "recorded trades of 4 alts at Hyperliquid, 12 to 16 June 2026"

_WITHDRAWAL = "makers' own, in `volatility` drawn around the published {}: w(z) is an input"

FACTS: tuple[Fact, ...] = (
    Fact(name="kurtosis_1min", about="kurtosis of 1-min returns", low=9.6, high=41.2, source=_RECORDED),
    Fact(
        name="tail_index_1min",
        about="Hill's tail index of |r|, largest 1 %",
        low=2.8,
        high=3.9,
        source=f"{_RECORDED}; about 3 of bitcoin: arXiv 2009.06874",
    ),
    Fact(name="memory_1", about="autocorrelation of |r| after 1 min", low=0.15, high=0.25, source=_RECORDED),
    Fact(
        name="memory_10", about="autocorrelation of |r| after 10 min", low=0.10, high=0.22, source=_RECORDED
    ),
    Fact(
        name="memory_60", about="autocorrelation of |r| after 60 min", low=0.05, high=0.14, source=_RECORDED
    ),
    Fact(
        name="withdraw_z",
        about="z at which half of depth is left",
        low=11.0,
        high=16.0,
        source=f"fit of 13.3 to medians of 1.8 million bars of 5 min: {_DEPTH}; low and high are ours",
        drawn=_WITHDRAWAL.format("13.3"),
    ),
    Fact(
        name="withdraw_power",
        about="power of z with which depth leaves",
        low=1.8,
        high=2.6,
        source=f"fit of 2.2: {_DEPTH}; low and high are ours",
        drawn=_WITHDRAWAL.format("2.2"),
    ),
    Fact(
        name="impact_exponent",
        about="log(move) on log(volume / depth), bars of 5 min",
        low=0.53,
        high=0.88,
        source="0.69 +- 0.08 in 5 min, 0.88 in an hour: same repository, analysis/VD_FINDINGS.md",
    ),
)

DEPTH_BY_Z: tuple[tuple[float, float, float], ...] = (
    (0.0, 2.0, 1.082),
    (2.0, 4.0, 1.125),
    (4.0, 6.0, 1.233),
    (6.0, 8.0, 1.398),
    (8.0, 12.0, 1.754),
    (12.0, 20.0, 2.396),
    (20.0, 1e9, 6.101),
)
"""From |z|, to |z|, median of usual over least depth in bars of 5 min: facts of the repository above, table 1."""
