"""Money is neither made nor lost by bookkeeping, and liquidation prices mean what they say."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import assume, given
from hypothesis import strategies as st

from adapters.simulation.ledger import Ledger, MarginType
from adapters.simulation.margin import ZERO, BracketTable
from adapters.simulation.settings import DEFAULT_TIERS

TABLE = BracketTable(DEFAULT_TIERS)
FEE = Decimal("0.0005")

sizes = st.decimals("0.001", "50", places=3).flatmap(lambda size: st.sampled_from([size, -size]))
prices = st.decimals("1000", "99999.9", places=1)
fills = st.lists(st.tuples(sizes, prices), min_size=1, max_size=30)


def ledger_after(trades: list[tuple[Decimal, Decimal]], margin_type: MarginType) -> Ledger:
    ledger = Ledger(Decimal(1_000_000), 20)
    ledger.position("BTCUSDT").margin_type = margin_type
    for size, price in trades:
        ledger.fill("BTCUSDT", size, price, FEE)
    return ledger


@given(fills, st.sampled_from(MarginType))
def test_the_wallet_changes_by_profit_less_fees_and_by_nothing_else(
    trades: list[tuple[Decimal, Decimal]], margin_type: MarginType
) -> None:
    ledger = ledger_after(trades, margin_type)

    assert ledger.wallet == ledger.deposit + ledger.realised - ledger.fees


@given(fills, prices, st.sampled_from(MarginType))
def test_equity_is_what_was_paid_and_received_and_what_is_held(
    trades: list[tuple[Decimal, Decimal]], mark: Decimal, margin_type: MarginType
) -> None:
    ledger = ledger_after(trades, margin_type)

    cash = sum((-size * price for size, price in trades), ZERO)
    held = sum((size for size, _ in trades), ZERO)
    assert ledger.position("BTCUSDT").amount == held
    assert ledger.equity({"BTCUSDT": mark}) == ledger.deposit + cash + held * mark - ledger.fees


@given(fills)
def test_a_flat_position_holds_no_cost_and_no_margin(trades: list[tuple[Decimal, Decimal]]) -> None:
    held = sum((size for size, _ in trades), ZERO)
    ledger = ledger_after(trades, MarginType.ISOLATED)
    position = ledger.position("BTCUSDT")

    if held:
        ledger.fill("BTCUSDT", -held, trades[-1][1], FEE)

    assert (position.amount, position.cost, position.isolated_wallet) == (ZERO, ZERO, ZERO)
    assert ledger.cross_wallet == ledger.wallet


@given(fills, prices, st.sampled_from(MarginType))
def test_at_the_liquidation_price_the_margin_just_fails(
    trades: list[tuple[Decimal, Decimal]], mark: Decimal, margin_type: MarginType
) -> None:
    ledger = ledger_after(trades, margin_type)
    position = ledger.position("BTCUSDT")
    assume(position.amount)
    # The bracket is chosen at the mark, as on Binance; the price is exact while the bracket stays.
    price = ledger.liquidation_price("BTCUSDT", {"BTCUSDT": mark}, TABLE)
    assume(price > ZERO)
    assume(TABLE.of(abs(position.amount) * price) == TABLE.of(abs(position.amount) * mark))

    if margin_type is MarginType.ISOLATED:
        health = ledger.isolated_health(position, price, TABLE)
    else:
        health = ledger.cross_health({"BTCUSDT": price}, TABLE)

    assert abs(health.balance - health.maintenance) < Decimal("1e-6")


@given(st.decimals("1", "299999999", places=2))
def test_maintenance_margin_has_no_steps(notional: Decimal) -> None:
    step = Decimal("0.01")

    assert ZERO <= TABLE.maintenance(notional + step) - TABLE.maintenance(notional) <= step


def test_the_brackets_cum_is_binances() -> None:
    assert [bracket.cum for bracket in TABLE.brackets][:3] == [ZERO, Decimal(250), Decimal(5_250)]


def test_leverage_bounds_the_notional() -> None:
    assert TABLE.notional_max(125) == 250_000
    assert TABLE.notional_max(20) == 20_000_000
    assert TABLE.notional_max(1) == 300_000_000
