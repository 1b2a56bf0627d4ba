"""What venues and bots mean by what they tell, held against what an assessment makes of it."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from guard.account.pools import Pool
from guard.account.risk import AccountRisk, StressRisk
from guard.bots import BotConfig
from guard.events import AccountSnapshot, CollateralHeld, MarginMode, Pooling, Position, PositionSource
from guard.leverage.margin_pool import LiquidationKind
from guard.margin_terms import ContractKind
from guard.market.view import BaselineSettings
from guard.state import GuardState
from guard.units import AccountId, MarketId
from perpguard_sdk.messages import ReportedPosition
from tests.support.builders import ALPHA, at, flat_terms, reported, tick

MMR = 0.01


def guard(venue: str, *markets: str) -> tuple[GuardState, AccountId]:
    account = AccountId(f"{venue}:main")
    bot = BotConfig(bot=ALPHA, account=account, markets=())
    state = GuardState.of(baseline=BaselineSettings(), markets=(), bots=(bot,))
    state.apply(flat_terms(*(MarketId(f"{venue}:{market}") for market in markets), ratio=MMR))
    return state, account


def held(market: str, size: float, **fields: Any) -> Position:
    told: dict[str, Any] = {"entry_price": 100.0, "mark_price": 100.0, "margin_mode": MarginMode.CROSS}
    return Position(market=MarketId(market), size=size, **(told | fields))


def tell(state: GuardState, account: AccountId, *positions: Position, **fields: Any) -> AccountRisk:
    state.apply(
        AccountSnapshot(
            received_at=at(1.0),
            account=account,
            source=PositionSource.VENUE,
            positions=positions,
            **({"collateral": (CollateralHeld(asset="USDT", quantity=100.0),)} | fields),
        )
    )
    risk = state.own.risk(account)
    assert risk is not None
    return risk


def pool(state: GuardState, account: AccountId, position: Position) -> Pool:
    found = state.own.pool(account, position)
    assert found is not None
    return found


def test_an_inverse_position_that_a_bot_tells_is_liquidated_as_inverse_ones_are() -> None:
    """Its margin falls with its price: at ten times leverage a long fails 83 bps nearer than a linear one."""
    state, account = guard("loopback", "BTC/USD:BTC")
    told = reported(1.0, size=1.0)
    position = ReportedPosition(
        symbol="BTC/USD:BTC", size=2.0, entry_price=100.0, mark_price=100.0, leverage=10.0
    )
    state.apply(structs.replace(told, reported=structs.replace(told.reported, positions=(position,))))

    risk = state.own.risk(account)
    assert risk is not None
    (leg,) = risk.legs
    # 0.1 / 100 coins a dollar behind it: 1/e - 1/p + 0.1/e = MMR/p.
    assert leg.price == pytest.approx(100.0 * (1.0 + MMR) / 1.1)
    assert (leg.price or 0.0) > 100.0 * (1.0 - 0.1) / (1.0 - MMR)
    assert risk.net_usd == pytest.approx(200.0)


@pytest.mark.parametrize(
    ("venue", "has_fee_within"), [("okx", False), ("bybit", True), ("binanceusdm", False)]
)
def test_what_a_venue_demands_besides_is_found_whether_or_not_its_sum_has_the_fee_of_closing(
    venue: str, *, has_fee_within: bool
) -> None:
    state, account = guard(venue, "BTC/USDT:USDT")
    position = held(f"{venue}:BTC/USDT:USDT", 10.0)
    rich = (CollateralHeld(asset="USDT", quantity=1_000.0, venue_price_usd=1.0),)
    plain = tell(state, account, position, collateral=rich)
    fee_usd = (plain.margin_ratio or 0.0) * 1_000.0 - 10.0
    assert (fee_usd > 0.1) is (venue != "binanceusdm")
    expected = 10.0 + (fee_usd if has_fee_within else 0.0)

    tell(state, account, position, collateral=rich, maintenance_usd=expected)
    assert pool(state, account, position).venue.other_maintenance_usd == 0.0

    tell(state, account, position, collateral=rich, maintenance_usd=expected + 0.4)
    other_usd = pool(state, account, position).venue.other_maintenance_usd
    assert other_usd == pytest.approx(0.4), "four per cent of what is demanded is no rounding"


def test_a_margin_ratio_of_one_is_liquidation_with_the_fee_of_closing_in_it() -> None:
    state, account = guard("okx", "BTC/USDT:USDT")
    position = held("okx:BTC/USDT:USDT", 10.0)
    needed_usd = 10.0 * 100.0 * (MMR + 0.0005)
    for share, kind in ((1.001, LiquidationKind.PRICE), (0.999, LiquidationKind.FAILED)):
        cash = CollateralHeld(asset="USDT", quantity=needed_usd * share)
        risk = tell(state, account, position, collateral=(cash,))
        assert risk.legs[0].kind is kind
        assert risk.margin_ratio == pytest.approx(1.0 / share)


def test_an_account_with_nothing_left_has_a_margin_ratio_all_the_same() -> None:
    state, account = guard("okx", "BTC/USDT:USDT")
    cash = CollateralHeld(asset="USDT", quantity=-5.0)
    risk = tell(state, account, held("okx:BTC/USDT:USDT", 10.0), collateral=(cash,))
    assert risk.margin_ratio == 1e6


def test_money_that_an_exchange_keeps_by_itself_does_not_fall_with_the_market() -> None:
    state, account = guard("hyperliquid", "XYZ-GOLD/USDC:USDC")
    position = held("hyperliquid:XYZ-GOLD/USDC:USDC", 1.0, settle="xyz:USDC")
    cash = CollateralHeld(asset="xyz:USDC", quantity=20.0, venue_price_usd=1.0)
    risk = tell(state, account, position, collateral=(cash,))

    alone = risk.legs[0].distance_bps
    assert alone == pytest.approx((100.0 - 80.0 / (1.0 - MMR)) * 100.0)
    down: StressRisk = next(each for each in risk.stress if each.direction == "common down")
    assert down.distance_bps == pytest.approx(alone)
    assert risk.holdings[0].correlated_with is None


@pytest.mark.parametrize("told", ["collateral", "wallet", "equity"])
def test_an_isolated_margin_is_counted_once_however_the_account_is_told(told: str) -> None:
    state, account = guard("binanceusdm", "BTC/USDT:USDT", "ETH/USDT:USDT", "SOL/USDT:USDT")
    positions = (
        held("binanceusdm:BTC/USDT:USDT", 1.0),
        held("binanceusdm:ETH/USDT:USDT", 1.0, margin_mode=MarginMode.ISOLATED, margin_usd=30.0, entry_price=90.0),
        # Without a price nothing can be said of it, but that its margin is not the others'.
        held("binanceusdm:SOL/USDT:USDT", 1.0, margin_mode=MarginMode.ISOLATED, margin_usd=25.0, mark_price=None),
    )  # fmt: skip
    fields: dict[str, Any] = {
        "collateral": {},
        "wallet": {"collateral": None, "wallet_usd": 100.0},
        "equity": {"collateral": None, "equity_usd": 110.0},
    }[told]
    risk = tell(state, account, *positions, **fields)

    cross = next(leg for leg in risk.legs if leg.pool == "cross USDT")
    assert cross.price == pytest.approx((100.0 - 45.0) / (1.0 - MMR)), "100 less 30 less 25"
    isolated = next(leg for leg in risk.legs if leg.pool == "isolated ETH/USDT:USDT long")
    assert isolated.price == pytest.approx((90.0 - 30.0) / (1.0 - MMR))


def test_profit_of_isolated_positions_backs_no_others() -> None:
    state, account = guard("binanceusdm", "BTC/USDT:USDT", "ETH/USDT:USDT")
    cross = held("binanceusdm:BTC/USDT:USDT", 1.0)
    winner = held(
        "binanceusdm:ETH/USDT:USDT", 1.0, margin_mode=MarginMode.ISOLATED, margin_usd=30.0, entry_price=20.0
    )
    risk = tell(state, account, cross, winner)
    price = next(leg.price for leg in risk.legs if leg.pool == "cross USDT")
    assert price == pytest.approx((100.0 - 70.0) / (1.0 - MMR))


def test_collateral_without_a_price_makes_ours_unknown_and_the_venues_word_stands() -> None:
    state, account = guard("loopback", "BTC/USDT:USDT")
    collateral = (CollateralHeld(asset="USDT", quantity=0.5), CollateralHeld(asset="NEW", quantity=1e6))
    position = held("loopback:BTC/USDT:USDT", 1.0)
    risk = tell(state, account, position, collateral=collateral, pooling=Pooling.ONE_POOL)
    assert risk.legs[0].kind is LiquidationKind.MISSING
    assert "no price of NEW, which is collateral" in risk.legs[0].missing

    named = structs.replace(position, liquidation_price=70.0)
    risk = tell(state, account, named, collateral=collateral, pooling=Pooling.ONE_POOL)
    assert (risk.legs[0].kind, risk.legs[0].nearest) == (LiquidationKind.PRICE, 70.0)


def test_what_is_forgotten_of_an_account_is_assessed_no_more() -> None:
    """A key is taken from the settings: what its venue said last must not be acted on any more."""
    state, account = guard("loopback", "BTC/USDT:USDT")
    position = held("loopback:BTC/USDT:USDT", 1.0)
    state.reconfigure(**settings(state, account, keyed=(account,)))
    tell(state, account, position)
    state.reconfigure(**settings(state, account, keyed=()))

    assert state.own.risk(account) is None
    state.apply(tick(2.0))
    assert state.own.risks == {}


def settings(state: GuardState, account: AccountId, *, keyed: tuple[AccountId, ...]) -> dict[str, Any]:
    return {
        "baseline": state.baseline,
        "markets": (),
        "without": frozenset(),
        "bots": (BotConfig(bot=ALPHA, account=account, markets=()),),
        "keyed_accounts": keyed,
        "floors": {},
    }


def test_inverse_money_is_worth_what_its_coin_is() -> None:
    """COIN-M, told in one sum of dollars: the coins of an isolated position are not the others'."""
    state, account = guard("binancecoinm", "BTC/USD:BTC", "BTC/USD:BTC-260327")
    cross = held(
        "binancecoinm:BTC/USD:BTC", 10.0, kind=ContractKind.INVERSE, contracts_usd=1_000.0, settle="BTC"
    )
    isolated = held(
        "binancecoinm:BTC/USD:BTC-260327",
        1.0,
        kind=ContractKind.INVERSE,
        contracts_usd=100.0,
        settle="BTC",
        margin_mode=MarginMode.ISOLATED,
        margin_usd=50.0,
        margin=0.5,
    )
    tell(state, account, cross, isolated, collateral=None, wallet_usd=250.0)
    assert [each.quantity for each in pool(state, account, cross).venue.holdings] == [pytest.approx(2.0)]
