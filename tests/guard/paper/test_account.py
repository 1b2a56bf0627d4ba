"""A margin account on paper does with money what a venue would."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.holdings import MarginMode
from guard.leverage.tiers import margin_tiers
from guard.paper.account import PaperAccount, PaperTerms
from guard.units import AccountId, MarketId

BTC, ETH = MarketId("bybit:BTC/USDT:USDT"), MarketId("bybit:ETH/USDT:USDT")
TIERS = {market: margin_tiers([(0.0, 0.005, 100.0), (1_000_000.0, 0.01, 50.0)]) for market in (BTC, ETH)}

FREE = PaperTerms(taker=0.0)


def account(wallet_usd: float = 1_000.0, terms: PaperTerms | None = None) -> PaperAccount:
    return PaperAccount(wallet_usd=wallet_usd, tiers=TIERS, terms=terms or PaperTerms())


def test_a_cut_of_an_isolated_position_frees_its_share_of_the_margin_and_leaves_where_it_is_liquidated() -> (
    None
):
    held = account(terms=FREE)
    held.trade(BTC, 0.05, 100_000.0, leverage=10.0)
    before = held.liquidation_price(BTC)
    held.trade(BTC, -0.025, 100_000.0)
    assert held.wallet_usd == pytest.approx(750.0)
    assert held.liquidation_price(BTC) == pytest.approx(before)
    assert held.add_margin(BTC, 250.0) == pytest.approx(250.0)
    assert (held.liquidation_price(BTC) or 0.0) < (before or 0.0)


def test_a_cut_of_a_crossed_position_moves_where_it_is_liquidated() -> None:
    held = account(terms=FREE)
    held.trade(BTC, -0.1, 100_000.0)
    before = held.liquidation_price(BTC)
    held.trade(BTC, 0.05, 100_000.0)
    assert before is not None
    assert (held.liquidation_price(BTC) or 0.0) > before > 100_000.0


def test_an_isolated_liquidation_takes_its_margin_and_nothing_else() -> None:
    held = account(2_000.0, terms=FREE)
    held.trade(BTC, 0.05, 100_000.0, leverage=10.0)
    held.mark(BTC, 60_000.0)
    (gone,) = held.liquidate()
    assert gone.market == BTC
    assert (held.equity_usd, held.realised_usd, held.legs) == (1_500.0, -500.0, {})


def test_crossed_positions_are_liquidated_together_and_never_cost_more_than_there_is() -> None:
    held = account(terms=FREE)
    held.trade(BTC, 0.05, 100_000.0)
    held.trade(ETH, 1.0, 4_000.0)
    held.mark(BTC, 70_000.0)
    assert {gone.market for gone in held.liquidate()} == {BTC, ETH}
    assert held.equity_usd == 0.0


def test_a_venue_may_give_back_what_is_left() -> None:
    held = account(terms=PaperTerms(taker=0.0, liquidation=0.001, takes_rest=False))
    held.trade(BTC, 0.05, 100_000.0)
    price = held.liquidation_price(BTC) or 0.0
    held.mark(BTC, price - 0.01)
    held.liquidate()
    assert held.equity_usd == pytest.approx(0.05 * price * 0.004, rel=1e-3)


@pytest.mark.parametrize("leverage", [None, 5.0])
@pytest.mark.parametrize("size", [0.04, -0.04])
def test_it_is_liquidated_where_it_said_it_would_be(size: float, leverage: float | None) -> None:
    held = account()
    held.trade(BTC, size, 100_000.0, leverage=leverage)
    price = held.liquidation_price(BTC) or 0.0
    away = 1.0 if size > 0.0 else -1.0
    held.mark(BTC, price + 0.01 * away)
    assert not held.fails(BTC)
    held.mark(BTC, price - 0.01 * away)
    assert held.fails(BTC)


def test_more_margin_than_there_is_is_refused() -> None:
    held = account()
    with pytest.raises(ValueError, match="are not there"):
        held.trade(BTC, 0.05, 100_000.0, leverage=4.0)
    with pytest.raises(ValueError, match="nothing is known"):
        held.trade(MarketId("bybit:X/USDT:USDT"), 1.0, 1.0)


def test_a_long_pays_funding_that_is_positive() -> None:
    held = account(terms=FREE)
    held.trade(BTC, 0.01, 100_000.0)
    assert held.fund(BTC, 0.0001) == pytest.approx(-0.1)
    assert held.equity_usd == pytest.approx(999.9)


def test_a_snapshot_tells_what_a_venue_tells() -> None:
    held = account()
    held.trade(BTC, 0.01, 100_000.0, leverage=5.0)
    told = held.snapshot(AccountId("bybit/x"), 7)
    (position,) = told.positions
    assert position.margin_mode is MarginMode.ISOLATED
    assert (position.size, position.margin_usd) == (0.01, 200.0)
    assert position.liquidation_price == held.liquidation_price(BTC)
    assert told.equity_usd == held.equity_usd == pytest.approx(999.5)


@given(
    st.lists(
        st.tuples(st.sampled_from([BTC, ETH]), st.floats(-0.05, 0.05), st.floats(50.0, 150.0)), max_size=12
    ),
    st.sampled_from([None, 8.0]),
)
def test_money_is_neither_made_nor_lost(
    trades: list[tuple[MarketId, float, float]], leverage: float | None
) -> None:
    """Equity is the deposit, plus what prices and sizes came to, less fees, whatever was traded."""
    held = account()
    flows = 0.0
    for market, size, price in trades:
        if abs(size) > 1e-4:
            flows += -size * price - abs(size) * price * held.terms.taker
            held.trade(market, size, price, leverage=leverage)
            held.mark(market, price)
    worth = sum(leg.size * leg.mark_price for leg in held.legs.values())
    assert held.equity_usd == pytest.approx(1_000.0 + flows + worth, abs=1e-6)
