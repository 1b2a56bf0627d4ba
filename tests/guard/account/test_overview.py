"""All accounts side by side: sums over venues, who holds what, and what is liquidated first."""

from __future__ import annotations

from math import log1p

import pytest
from msgspec import structs

from guard.account.overview import coin_of, holders_of, overview_of
from guard.account.positions import AccountView
from guard.account.risk import Holder
from guard.events import AccountSnapshot, Position, PositionSource
from guard.leverage.margin_pool import LiquidationKind
from guard.units import NS_PER_S, BotId, MarketId
from tests.support.assessments import (
    BTC,
    BYBIT_BTC,
    BYBIT_ETH,
    DARK,
    MAIN,
    PEPE,
    SOL,
    START,
    UNIFIED,
    as_a_whole,
    near,
    unknown,
)

ALPHA, BETA = BotId("alpha"), BotId("beta")


def test_a_coin_is_summed_over_venues_and_its_sign_kept() -> None:
    overview = overview_of([near(), as_a_whole()])
    btc, eth, sol = overview.coins
    assert (btc.coin, btc.net_usd, btc.gross_usd) == ("BTC", 4_900_000.0, 5_100_000.0)
    assert btc.accounts == (MAIN, UNIFIED)
    assert (eth.coin, eth.net_usd, eth.gross_usd) == ("ETH", 0.0, 400_000.0)
    assert (sol.coin, sol.net_usd, sol.gross_usd) == ("SOL", -100_000.0, 100_000.0)
    assert (overview.net_usd, overview.gross_usd) == (4_800_000.0, 5_600_000.0)


def test_what_has_no_price_is_named_and_in_no_sum() -> None:
    [pepe] = overview_of([unknown()]).coins
    assert (pepe.coin, pepe.net_usd, pepe.gross_usd, pepe.unpriced) == ("PEPE", 0.0, 0.0, (PEPE,))


@pytest.mark.parametrize(
    ("symbol", "coin"),
    [
        ("1000PEPE/USDT:USDT", "PEPE"),
        ("1000000MOG/USDT:USDT", "MOG"),
        ("1MBABYDOGE/USDT:USDT", "BABYDOGE"),
        ("kBONK/USDC:USDC", "BONK"),
        ("1INCH/USDT:USDT", "1INCH"),
        ("KAVA/USDT:USDT", "KAVA"),
        ("BTC/USD:BTC-261225", "BTC"),
    ],
)
def test_a_multiplier_makes_no_other_coin(symbol: str, coin: str) -> None:
    assert coin_of(MarketId(f"x:{symbol}")) == coin


def test_the_nearest_of_each_account_by_price_or_by_common_move() -> None:
    overview = overview_of([as_a_whole(), unknown(), near()])
    first, second = overview.nearest
    assert (first.account, first.market, first.distance_bps, first.direction) == (MAIN, BTC, 256.41, None)
    assert first.seconds_stressed == 62.0
    assert (second.account, second.direction, second.distance_bps) == (UNIFIED, "common down", 900.0)
    assert overview.worst == first


def test_a_common_move_takes_the_time_of_the_market_that_loses_most() -> None:
    leg = structs.replace(
        as_a_whole().legs[0], distance_bps=1_800.0, seconds_now=None, seconds_stressed=400.0
    )
    worst = overview_of([structs.replace(as_a_whole(), legs=(leg,))]).worst
    assert worst is not None
    assert (worst.direction, worst.seconds_now) == ("common down", None)
    assert worst.seconds_stressed == pytest.approx(400.0 * log1p(0.09) / log1p(0.18))


def test_what_nobody_knows_is_told_apart_and_never_counts_as_far() -> None:
    assert overview_of([near(), as_a_whole(), unknown()]).unknown == ((DARK, PEPE),)
    without_moves = structs.replace(as_a_whole(), stress=())
    assert overview_of([without_moves]).unknown == ((UNIFIED, BYBIT_BTC), (UNIFIED, BYBIT_ETH))
    assert overview_of([without_moves]).worst is None


def test_what_fails_now_comes_before_everything() -> None:
    leg = structs.replace(near().legs[1], kind=LiquidationKind.FAILED, distance_bps=0.0)
    worst = overview_of([near(), structs.replace(as_a_whole(), legs=(leg,))]).worst
    assert worst is not None
    assert (worst.account, worst.distance_bps) == (UNIFIED, 0.0)


def test_markets_that_share_a_margin_are_told_with_their_nearest_move() -> None:
    [shared] = overview_of([near(), as_a_whole()]).shared
    assert (shared.account, shared.pool, shared.markets) == (UNIFIED, "cross", (BYBIT_BTC, BYBIT_ETH))
    assert (shared.net_usd, shared.gross_usd, shared.distance_bps) == (-100_000.0, 500_000.0, 900.0)


def test_who_holds_what_is_valued_at_mark() -> None:
    held = overview_of([near()]).held
    assert [(each.bot, each.market, each.usd) for each in held] == [
        (ALPHA, BTC, 4_000_000.0),
        (None, BTC, 1_000_000.0),
        (BETA, SOL, -100_000.0),
    ]


def test_nothing_at_all() -> None:
    overview = overview_of([])
    assert (overview.coins, overview.worst, overview.gross_usd) == ((), None, 0.0)


def test_what_bots_do_not_claim_belongs_to_nobody_once_it_stands() -> None:
    view = AccountView(MAIN)
    view.apply_bot(ALPHA, (Position(market=BTC, size=2.0),), START)
    for second in (1, 5):
        view.apply_snapshot(
            AccountSnapshot(
                received_at=START + second * NS_PER_S,
                account=MAIN,
                source=PositionSource.VENUE,
                positions=(Position(market=BTC, size=5.0), Position(market=SOL, size=-1.0)),
            )
        )
    assert holders_of(view) == (
        Holder(market=BTC, size=2.0, bot=ALPHA),
        Holder(market=BTC, size=3.0),
        Holder(market=SOL, size=-1.0),
    )


def test_without_any_bot_everything_belongs_to_nobody_of_ours() -> None:
    view = AccountView(MAIN)
    told = AccountSnapshot(
        received_at=START,
        account=MAIN,
        source=PositionSource.VENUE,
        positions=(Position(market=BTC, size=5.0),),
    )
    view.apply_snapshot(told)
    assert holders_of(view) == (Holder(market=BTC, size=5.0),)
