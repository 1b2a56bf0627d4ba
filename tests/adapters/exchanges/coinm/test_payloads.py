"""What each COIN-M payload becomes: dollars exactly, base units at the price that is named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from adapters.exchanges.account_state import AccountState
from adapters.exchanges.binance import coinm_payloads as payloads
from adapters.exchanges.binance import terms
from adapters.exchanges.binance.payloads import parse_open_orders, parse_user_event
from adapters.exchanges.venue import AccountReading, AccountTotals, BalanceSeen, OrderSeen
from guard.errors import MalformedFrameError
from guard.events import CollateralHeld, LiquidationTold, MarginMode, Pooling
from guard.margin_terms import ContractKind
from guard.units import AccountId
from tests.adapters.exchanges.coinm.payloads import fixture

BTC, ETH = "BTCUSD_PERP", "ETHUSD_PERP"
CONTRACTS_USD = {BTC: 100.0, ETH: 10.0}
MARKS = {BTC: 10_000.0, ETH: 400.0}


def test_a_level_is_its_contracts_dollars_at_its_own_price() -> None:
    diff = payloads.parse_coin_depth(fixture("depth_update"), 100.0)

    assert (diff.previous_id, diff.last_id) == (17285675, 17285702)
    assert [price for price, _ in diff.bids] == ["9517.6", "9500.0"]
    dollars = [float(price) * float(size) for price, size in (*diff.bids, *diff.asks)]
    assert dollars == [pytest.approx(1_000.0), 0.0, pytest.approx(4_500.0)]


def test_a_snapshot_is_read_alike() -> None:
    book = payloads.parse_coin_snapshot(fixture("depth"), 100.0)

    assert book.last_id == 17285680
    assert float(book.bids[0][1]) == 0.2


def test_a_trade_is_worth_its_contracts_whatever_the_price() -> None:
    bought = payloads.parse_coin_trade(fixture("agg_trade"), 100.0)
    sold = payloads.parse_coin_trade({**fixture("agg_trade"), "m": True}, 10.0)

    assert bought is not None
    assert bought.notional_usd == pytest.approx(200.0, rel=1e-12)
    assert sold is not None
    assert sold.notional_usd == pytest.approx(-20.0, rel=1e-12)


def test_a_liquidation_is_exact_in_dollars_and_positive_where_a_long_was_closed() -> None:
    told = payloads.parse_coin_liquidation(fixture("force_order"), 100.0)

    assert (told.notional_usd, told.price) == (100.0, 9496.5)
    assert told.size == pytest.approx(100.0 / 9496.5)
    bought = fixture("force_order")
    bought["o"]["S"] = "BUY"
    assert payloads.parse_coin_liquidation(bought, 100.0).size == pytest.approx(-100.0 / 9496.5)


def test_mark_index_and_funding_are_read_from_a_list() -> None:
    mark = payloads.parse_coin_mark(fixture("premium_index"), BTC)

    assert (mark.mark_price, mark.index_price, mark.funding_rate) == (
        11029.69574559,
        10979.144375,
        0.00071003,
    )
    assert payloads.parse_coin_marks(fixture("premium_index"))[BTC] == 11029.69574559
    with pytest.raises(MalformedFrameError, match="says nothing of NOTHING"):
        payloads.parse_coin_mark(fixture("premium_index"), "NOTHING")


def test_open_interest_is_contracts_and_turnover_dollars() -> None:
    assert payloads.parse_contracts_open(fixture("open_interest")) == 15004
    assert payloads.parse_coin_turnovers(fixture("ticker_24hr"), CONTRACTS_USD) == {BTC: 49_410_900.0}


def test_a_position_is_dollars_over_mark_and_its_profit_coins_at_mark() -> None:
    long, short = payloads.parse_coin_positions(fixture("position_risk"), CONTRACTS_USD)

    assert long.mark_price is not None
    assert long.size * long.mark_price == pytest.approx(100.0, rel=1e-12)
    assert (long.quantity, long.side, long.leverage, long.margin_usd) == (1.0, "LONG", 125.0, None)
    assert long.liquidation_price == 6170.20509059
    assert long.unrealised_usd == pytest.approx(0.00005866 * 11788.66626667)
    assert (short.market_code, short.quantity) == (ETH, -50.0)
    assert short.size * 410.0 == pytest.approx(-500.0)
    assert short.margin_mode is MarginMode.ISOLATED
    assert short.margin_usd == pytest.approx(0.125 * 410.0)


def test_an_inverse_position_tells_its_contracts_in_dollars_and_its_margin_in_the_coin() -> None:
    long, short = payloads.parse_coin_positions(fixture("position_risk"), CONTRACTS_USD)

    assert (long.kind, short.kind) == (ContractKind.INVERSE, ContractKind.INVERSE)
    assert (long.contracts_usd, short.contracts_usd) == (100.0, -500.0)
    assert (long.settle, short.settle) == ("BTC", "ETH")
    assert (long.margin, short.margin) == (None, 0.125)


def test_places_in_the_queue_to_be_deleveraged_are_told_apart_from_positions() -> None:
    ranks = payloads.parse_adl_ranks(fixture("adl_quantile"))
    long, short = payloads.parse_coin_positions(fixture("position_risk"), CONTRACTS_USD, ranks)

    assert (long.adl_rank, short.adl_rank) == (0.75, 1.0)
    without = payloads.parse_coin_positions(fixture("position_risk"), CONTRACTS_USD)
    assert [position.adl_rank for position in without] == [None, None]


def test_a_short_that_its_coins_cover_has_no_liquidation_price() -> None:
    row = {**fixture("position_risk")[2], "liquidationPrice": "0"}

    (short,) = payloads.parse_coin_positions([row], CONTRACTS_USD)

    assert (short.liquidation_price, short.liquidation_told) == (None, LiquidationTold.NONE_EXISTS)


def test_wallets_and_maintenance_are_coins_at_mark() -> None:
    totals = payloads.parse_coin_account(fixture("account"), MARKS)

    assert totals.wallets == {}
    # XYZ has no perpetual: it counts as nothing.
    assert totals.other_usd == pytest.approx(0.00241969 * 10_000.0 + 2.0 * 400.0)
    assert totals.maintenance_usd == pytest.approx(0.1)


def test_each_coin_is_collateral_of_its_own_and_the_worst_tells_the_ratio() -> None:
    account = fixture("account")
    account["assets"][1] |= {"maintMargin": "0.5", "crossWalletBalance": "1.8", "crossUnPnl": "-0.3"}
    account["positions"] = [
        {"symbol": "ETHUSD_PERP", "isolated": True, "maintMargin": "0.2"},
        {"symbol": "ETHUSD_261225", "isolated": False, "maintMargin": "0.3"},
    ]

    totals = payloads.parse_coin_account(account, MARKS)

    assert totals.pooling is Pooling.BY_SETTLE_ASSET
    assert totals.collateral == (
        CollateralHeld(asset="BTC", quantity=0.00241969, venue_price_usd=10_000.0),
        CollateralHeld(asset="ETH", quantity=2.0, venue_price_usd=400.0),
        CollateralHeld(asset="XYZ", quantity=0.00241969),
    )
    assert totals.margin_ratio == pytest.approx(0.3 / (1.8 - 0.3))


def test_an_order_is_converted_at_its_own_price() -> None:
    (told,) = parse_open_orders(fixture("open_orders"))

    order = payloads.order_in_base_units(told, CONTRACTS_USD, {})
    assert order is not None
    assert order.size * 9_300.0 == pytest.approx(3_800.0)
    market = OrderSeen("1", BTC, -1.0, False)
    assert payloads.order_in_base_units(market, CONTRACTS_USD, {}) is None
    converted = payloads.order_in_base_units(market, CONTRACTS_USD, MARKS)
    assert converted is not None
    assert converted.size == -0.01


def test_a_private_frame_is_converted_or_asks_for_a_reading() -> None:
    told = parse_user_event(fixture("account_update"))
    assert told is not None

    known = payloads.update_in_base_units(told, CONTRACTS_USD, MARKS)
    assert [(seen.quantity, seen.size) for seen in known.positions] == [(20.0, 0.2)]
    assert known.positions[0].unrealised_usd == pytest.approx(2850.212 * 10_000.0)
    assert known.balances == (BalanceSeen("BTC", 122624.12345678, counts_as_usd=False),)
    assert known.stale
    assert (known.positions[0].contracts_usd, known.positions[0].margin) == (2_000.0, 13200.70726908)
    unknown = payloads.update_in_base_units(told, CONTRACTS_USD, {})
    assert (unknown.positions, unknown.stale) == ((), True)


def test_a_price_that_moves_makes_no_position_differ_from_its_stream() -> None:
    """The size in base units follows the price; what the venue counts does not."""
    state = AccountState(AccountId("binancecoinm:main"), symbol_of=str)
    for mark_price in ("10000", "11000", "9000"):
        row = {**fixture("position_risk")[0], "markPrice": mark_price}
        state.begin_reading()
        positions = payloads.parse_coin_positions([row], CONTRACTS_USD)
        state.apply_reading(AccountReading(AccountTotals({}, 0.0, 0.0), positions, None))
        assert state.suspects == {}
    changed = {**fixture("position_risk")[0], "positionAmt": "2"}
    state.begin_reading()
    positions = payloads.parse_coin_positions([changed], CONTRACTS_USD)
    state.apply_reading(AccountReading(AccountTotals({}, 0.0, 0.0), positions, None))

    assert len(state.suspects) == 1


def test_the_dollar_profit_of_an_inverse_position_is_that_of_a_linear_one_of_its_size_at_entry() -> None:
    """What the decision on inverse contracts rests on: contracts / entry coins, held linearly, earn as much."""
    contracts_usd, entry, mark = 5_000.0, 10_000.0, 8_000.0
    coins = contracts_usd * (1 / entry - 1 / mark)

    assert coins * mark == pytest.approx(contracts_usd / entry * (mark - entry))


PARSERS: dict[str, Callable[[Any], Any]] = {
    "depth_update": lambda payload: payloads.parse_coin_depth(payload, 100.0),
    "depth": lambda payload: payloads.parse_coin_snapshot(payload, 100.0),
    "agg_trade": lambda payload: payloads.parse_coin_trade(payload, 100.0),
    "force_order": lambda payload: payloads.parse_coin_liquidation(payload, 100.0),
    "premium_index": payloads.parse_coin_marks,
    "open_interest": payloads.parse_contracts_open,
    "ticker_24hr": lambda payload: payloads.parse_coin_turnovers(payload, CONTRACTS_USD),
    "position_risk": lambda payload: payloads.parse_coin_positions(payload, CONTRACTS_USD),
    "account": lambda payload: payloads.parse_coin_account(payload, MARKS),
    "leverage_bracket": terms.parse_coin_brackets,
}
NUMBERS = (
    ("depth_update", ("b", 0, 1)),
    ("depth_update", ("b", 0, 0)),
    ("depth", ("asks", 0, 1)),
    *(("agg_trade", (key,)) for key in ("p", "q")),
    *(("force_order", ("o", key)) for key in ("ap", "z")),
    ("premium_index", (0, "markPrice")),
    ("open_interest", ("openInterest",)),
    ("ticker_24hr", (0, "volume")),
    *(
        ("position_risk", (2, key))
        for key in ("positionAmt", "markPrice", "unRealizedProfit", "isolatedWallet")
    ),
    *(("account", ("assets", 0, key)) for key in ("walletBalance", "maintMargin")),
    *(("leverage_bracket", (0, "brackets", 1, key)) for key in ("qtyFloor", "maintMarginRatio", "cum")),
)


@pytest.mark.parametrize(("name", "path"), NUMBERS, ids=str)
@pytest.mark.parametrize("wrong", ["NaN", "Infinity", "12,5"])
def test_no_number_that_is_not_one_gets_through(name: str, path: tuple[Any, ...], wrong: str) -> None:
    payload = fixture(name)
    PARSERS[name](payload)
    holder = payload
    for key in path[:-1]:
        holder = holder[key]
    assert path[-1] in holder or isinstance(path[-1], int)
    holder[path[-1]] = wrong

    with pytest.raises(MalformedFrameError):
        PARSERS[name](payload)
