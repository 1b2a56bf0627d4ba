"""Where a position stands in its venue's queue, and what a hedge is worth for that."""

from __future__ import annotations

from math import inf, isfinite, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.account.deleverage import (
    HEDGE_CREDIT_MAX,
    Deleveraging,
    Exposure,
    deleveraging_of,
    exposed_usd,
    hedge_credit,
)
from guard.events import Position
from guard.margin_terms import ContractKind
from guard.units import MarketId

MARKET = MarketId("binance:BTC/USDT:USDT")
ANY = st.floats(allow_nan=True, allow_infinity=True) | st.none()


def short(mark: float, **fields: float) -> Position:
    return Position(market=MARKET, size=-2.0, entry_price=100.0, mark_price=mark, **fields)  # type: ignore[arg-type]


def test_the_venue_s_word_is_taken_and_is_no_estimate() -> None:
    """Whatever profit says; held within 0..1."""
    assert deleveraging_of(short(120.0, adl_rank=0.8)) == Deleveraging(rank=0.8, is_estimate=False)
    assert deleveraging_of(short(120.0, adl_rank=7.0)).rank == 1.0


def test_rank_rises_with_profit_and_with_leverage() -> None:
    """As all venues rank; and the estimate says that it is one."""
    little, much = (
        deleveraging_of(short(95.0, margin_usd=50.0)),
        deleveraging_of(short(60.0, margin_usd=50.0)),
    )
    assert little.is_estimate
    assert little.rank is not None
    assert much.rank is not None
    assert 0.0 < little.rank < much.rank < 1.0
    thicker = deleveraging_of(short(60.0, margin_usd=500.0)).rank
    assert thicker is not None
    assert thicker < much.rank


def test_a_cross_position_is_ranked_by_the_account_s_equity_else_by_the_leverage_set() -> None:
    """The margin behind a cross position is the account."""
    thin, thick = deleveraging_of(short(80.0), 100.0).rank, deleveraging_of(short(80.0), 10_000.0).rank
    assert thin is not None
    assert thick is not None
    assert thin > thick
    assert deleveraging_of(short(80.0, leverage=5.0)).rank == pytest.approx(0.5)


def test_an_inverse_position_counts_dollars() -> None:
    """Its profit is worth USD x (mark over entry - 1), its margin coins at mark."""
    held = Position(
        market=MARKET,
        size=0.0,
        kind=ContractKind.INVERSE,
        contracts_usd=1_000.0,
        entry_price=100.0,
        mark_price=125.0,
        margin=2.0,
    )
    # 250 of profit over 250 of margin and 250 of profit, of 1,000: a quarter times two.
    assert deleveraging_of(held).rank == pytest.approx(0.333)


def test_without_profit_nobody_is_deleveraged_and_without_prices_nobody_knows() -> None:
    """Missing is not last in the queue."""
    assert deleveraging_of(short(101.0)).rank == 0.0
    assert deleveraging_of(short(90.0)).rank is None
    assert deleveraging_of(Position(market=MARKET, size=1.0)).rank is None


def test_a_hedge_is_credited_for_half_at_most_and_less_with_its_rank() -> None:
    """Nothing of one that goes first, or of which nothing is known."""
    assert [hedge_credit(rank) for rank in (0.0, 0.5, 1.0, None, nan)] == [0.5, 0.25, 0.0, 0.0, 0.0]


def test_exposure_counts_hedges_as_far_as_they_may_be_believed() -> None:
    """A pair that is flat on paper is exposed for half on either side."""
    flat = [Exposure(notional_usd=100.0, rank=0.0), Exposure(notional_usd=-100.0, rank=0.0)]
    assert exposed_usd(flat) == (50.0, 50.0)
    first = [Exposure(notional_usd=100.0, rank=0.0), Exposure(notional_usd=-100.0, rank=1.0)]
    assert exposed_usd(first) == (100.0, 50.0)
    assert exposed_usd([]) == (0.0, 0.0)


@given(
    size=st.floats(),
    entry=ANY,
    mark=ANY,
    margin=ANY,
    leverage=ANY,
    told=ANY,
    contracts=ANY,
    equity=ANY,
    kind=st.sampled_from(ContractKind),
)
def test_odd_numbers_make_no_odd_rank(
    size: float,
    entry: float | None,
    mark: float | None,
    margin: float | None,
    leverage: float | None,
    told: float | None,
    contracts: float | None,
    equity: float | None,
    kind: ContractKind,
) -> None:
    """Whatever a venue sends, a rank is within 0..1 or not known, and a credit within 0..0.5."""
    position = Position(
        market=MARKET,
        size=size,
        entry_price=entry,
        mark_price=mark,
        margin_usd=margin,
        margin=margin,
        leverage=leverage,
        adl_rank=told,
        contracts_usd=contracts,
        kind=kind,
    )
    rank = deleveraging_of(position, equity).rank
    assert rank is None or 0.0 <= rank <= 1.0
    assert 0.0 <= hedge_credit(rank) <= HEDGE_CREDIT_MAX


@given(st.lists(st.tuples(st.floats(-1e12, 1e12), st.floats(-1, 2) | st.none()), max_size=6))
def test_exposure_is_never_below_half_of_what_is_held_less_than_hedged(
    held: list[tuple[float, float | None]],
) -> None:
    """A hedge takes away at most half of its own size, and never makes an exposure negative."""
    down, up = exposed_usd([Exposure(notional_usd=usd, rank=rank) for usd, rank in held])
    longs = sum(usd for usd, _ in held if usd > 0.0)
    shorts = sum(-usd for usd, _ in held if usd < 0.0)
    assert isfinite(down)
    assert isfinite(up)
    assert max(0.0, longs - HEDGE_CREDIT_MAX * shorts) - 1e-3 <= down <= longs + 1e-3
    assert max(0.0, shorts - HEDGE_CREDIT_MAX * longs) - 1e-3 <= up <= shorts + 1e-3


def test_exposure_leaves_out_what_is_no_number() -> None:
    """A notional that is none is not summed."""
    assert exposed_usd([Exposure(notional_usd=inf, rank=0.0), Exposure(notional_usd=5.0, rank=0.0)]) == (
        5.0,
        0.0,
    )
