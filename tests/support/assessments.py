"""Builds assessments of accounts for tests: one that is near, one that fails as a whole, one that is not known."""

from __future__ import annotations

from guard.account.risk import AccountRisk, Containment, Holder, HoldingRisk, LegRisk, StressRisk
from guard.leverage.margin_pool import LiquidationKind
from guard.margin_terms import TermsSource
from guard.units import AccountId, BotId, MarketId

START = 1_760_000_000_000_000_000
MAIN, UNIFIED, DARK = AccountId("binanceusdm:main"), AccountId("bybit:unified"), AccountId("okx:dark")
BTC, SOL = MarketId("binanceusdm:BTC/USDT:USDT"), MarketId("binanceusdm:SOL/USDT:USDT")
BYBIT_BTC, BYBIT_ETH = MarketId("bybit:BTC/USDT:USDT"), MarketId("bybit:ETH/USDT:USDT")
PEPE = MarketId("okx:PEPE/USDT:USDT")


def near(at: int = START) -> AccountRisk:
    """50 BTC at 100,000, 20 times isolated, and a short; another hand than the bots' holds 10 of it."""
    return AccountRisk(
        account=MAIN,
        at=at,
        equity_usd=260_000.0,
        venue_equity_usd=270_000.0,
        maintenance_usd=21_900.0,
        margin_ratio=0.084,
        gross_usd=5_100_000.0,
        net_usd=4_900_000.0,
        exposed_fall_usd=4_950_000.0,
        exposed_rise_usd=100_000.0,
        legs=(
            LegRisk(
                market=SOL,
                pool="cross USDT",
                size=-500.0,
                kind=LiquidationKind.CANNOT,
                mark_price=200.0,
                terms=TermsSource.FORMULA,
            ),
            LegRisk(
                market=BTC,
                pool=f"isolated {BTC} long",
                size=50.0,
                kind=LiquidationKind.PRICE,
                mark_price=100_000.0,
                price=97_101.5,
                venue_price=97_435.9,
                nearest=97_435.9,
                difference_bps=-33.44,
                distance_bps=256.41,
                terms=TermsSource.VENUE,
                seconds_now=4_000.0,
                seconds_stressed=62.0,
                adl_rank=0.8,
                adl_is_estimate=True,
                first_share=0.2,
            ),
        ),
        holdings=(
            HoldingRisk(
                asset="USDe",
                quantity=100_000.0,
                reference_usd=0.66,
                venue_usd=0.98,
                haircut=0.34,
                parts={"venue": 0.05, "depeg": 0.34, "slippage": 0.01, "stress": 0.04},
                share=0.4,
                correlated_with="ENA",
            ),
        ),
        stress=(StressRisk(pool="cross USDT", direction="common up", distance_bps=400.0, worst=SOL),),
        containment=(
            Containment(step="isolate SOL/USDT:USDT", before_bps=410.0, after_bps=None, cost_usd=120.0),
        ),
        worst=BTC,
        action_s=30.0,
        holders=(
            Holder(market=BTC, size=40.0, bot=BotId("alpha")),
            Holder(market=BTC, size=10.0),
            Holder(market=SOL, size=-500.0, bot=BotId("beta")),
        ),
    )


def as_a_whole(at: int = START) -> AccountRisk:
    """Two legs under portfolio margin: only common moves tell; one of them is a hedged pair."""
    return AccountRisk(
        account=UNIFIED,
        at=at,
        equity_usd=100_000.0,
        venue_equity_usd=100_000.0,
        maintenance_usd=10_000.0,
        margin_ratio=0.1,
        venue_margin_ratio=0.12,
        gross_usd=500_000.0,
        net_usd=-100_000.0,
        legs=(
            LegRisk(
                market=BYBIT_BTC,
                pool="cross",
                size=-1.0,
                kind=LiquidationKind.ACCOUNT_LEVEL,
                mark_price=100_000.0,
                terms=TermsSource.STORED,
            ),
            LegRisk(
                market=BYBIT_ETH,
                pool="cross",
                size=0.0,
                gross_size=100.0,
                kind=LiquidationKind.ACCOUNT_LEVEL,
                mark_price=4_000.0,
                terms=TermsSource.STORED,
            ),
        ),
        stress=(
            StressRisk(
                pool="cross",
                direction="common down",
                distance_bps=900.0,
                venue_distance_bps=1_200.0,
                own_distance_bps=900.0,
                worst=BYBIT_BTC,
            ),
            StressRisk(pool="cross", direction="common up", distance_bps=None),
        ),
        action_s=4.0,
        action_is_assumed=False,
    )


def unknown(at: int = START) -> AccountRisk:
    """Nothing is known but that something is held."""
    return AccountRisk(
        account=DARK,
        at=at,
        legs=(
            LegRisk(
                market=PEPE,
                pool="cross USDT",
                size=1e9,
                kind=LiquidationKind.MISSING,
                missing=("no mark price",),
            ),
        ),
        missing=("no tiers of okx:PEPE/USDT:USDT",),
    )
