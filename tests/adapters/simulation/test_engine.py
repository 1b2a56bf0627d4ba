"""Orders against the book: fills, resting, triggers, refusals, and the money they move."""

from __future__ import annotations

from decimal import Decimal

import pytest

from adapters.simulation.account import VenueAccount
from adapters.simulation.errors import Refusal
from adapters.simulation.ledger import MarginType
from adapters.simulation.orders import OrderStatus, OrderType
from adapters.simulation.source import FrameKind
from adapters.simulation.wire import decode_trade
from tests.adapters.simulation.harness import CODE, Exchange, is_conserved


@pytest.fixture
def exchange() -> Exchange:
    return Exchange()


@pytest.fixture
def alice(exchange: Exchange) -> VenueAccount:
    return exchange.account(1_000_000)


def amount(account: VenueAccount) -> Decimal:
    return account.ledger.position(CODE).amount


def refused(error: pytest.ExceptionInfo[Refusal]) -> int:
    return error.value.code


def test_a_market_order_eats_level_after_level(exchange: Exchange, alice: VenueAccount) -> None:
    order = exchange.order(alice, "BUY", quantity="2.5")

    # One unit each at 60000.5 and 60001.5, half a unit at 60002.5.
    assert order.status is OrderStatus.FILLED
    assert order.filled_quote == Decimal("60000.5") + Decimal("60001.5") + Decimal("60002.5") / 2
    assert alice.ledger.fees == (order.filled_quote * Decimal("0.0005")).quantize(Decimal("1e-8"))
    assert is_conserved(alice)


def test_what_was_taken_is_gone_until_the_level_changes_or_time_passes(
    exchange: Exchange, alice: VenueAccount
) -> None:
    exchange.order(alice, "BUY", quantity="1")
    second = exchange.order(alice, "BUY", quantity="1")
    exchange.markets[CODE].now_ns += exchange.settings.refill_ms * 10**6
    third = exchange.order(alice, "BUY", quantity="1")

    assert second.average_price == Decimal("60001.5")
    assert third.average_price == Decimal("60000.5")
    assert exchange.source.taken_log[0] == (CODE, "BUY", Decimal(1), Decimal("60000.5"))


def test_what_the_book_does_not_hold_of_a_market_order_expires(
    exchange: Exchange, alice: VenueAccount
) -> None:
    alice.ledger.wallet = alice.ledger.deposit = Decimal(10_000_000)

    order = exchange.order(alice, "SELL", quantity="60")

    assert order.filled == Decimal(50)
    assert order.status is OrderStatus.EXPIRED


def test_a_fill_is_printed_for_everyone(exchange: Exchange, alice: VenueAccount) -> None:
    exchange.order(alice, "SELL", quantity="0.4")

    ((symbol, kind, payload),) = exchange.published
    assert (symbol, kind) == (CODE, FrameKind.TRADE)
    event = decode_trade(payload)
    assert (event.p, event.q, event.m) == ("59999.5", "0.4", True)


def test_a_limit_order_rests_and_fills_at_its_price_as_maker_when_the_market_crosses_it(
    exchange: Exchange, alice: VenueAccount
) -> None:
    order = exchange.order(alice, "BUY", "LIMIT", quantity="0.5", price="59900")
    assert order.is_open

    exchange.move(59_890.0)

    assert order.status is OrderStatus.FILLED
    assert order.average_price == Decimal(59_900)
    assert alice.fills[0].is_maker
    assert alice.ledger.fees == Decimal("0.5") * 59_900 * Decimal("0.0002")


def test_a_limit_order_fills_when_trades_go_through_it(exchange: Exchange, alice: VenueAccount) -> None:
    order = exchange.order(alice, "BUY", "LIMIT", quantity="0.5", price="59900")

    exchange.print(59_900.0)
    assert order.filled == 0
    exchange.print(59_899.9, "0.200")

    assert order.filled == Decimal("0.2")
    assert order.status is OrderStatus.PARTIALLY_FILLED


@pytest.mark.parametrize(
    ("time_in_force", "price", "outcome"),
    [
        ("IOC", "60001.5", OrderStatus.EXPIRED),
        ("FOK", "60001.5", -5021),
        ("GTX", "60001.5", -5022),
        ("GTX", "59000", OrderStatus.NEW),
    ],
)
def test_times_in_force(
    exchange: Exchange, alice: VenueAccount, time_in_force: str, price: str, outcome: OrderStatus | int
) -> None:
    def place() -> OrderStatus:
        return exchange.order(
            alice, "BUY", "LIMIT", quantity="3", price=price, timeInForce=time_in_force
        ).status

    if isinstance(outcome, OrderStatus):
        assert place() is outcome
    else:
        with pytest.raises(Refusal) as error:
            place()
        assert refused(error) == outcome
        assert not alice.book.orders


def test_a_reduce_only_order_is_cut_to_the_position_and_refused_without_one(
    exchange: Exchange, alice: VenueAccount
) -> None:
    with pytest.raises(Refusal) as error:
        exchange.order(alice, "SELL", quantity="1", reduceOnly="true")
    assert refused(error) == -2022

    exchange.order(alice, "BUY", quantity="0.5")
    order = exchange.order(alice, "SELL", quantity="2", reduceOnly="true")

    assert order.filled == Decimal("0.5")
    assert amount(alice) == 0


def test_a_stop_sells_the_position_when_the_last_price_falls_to_it(
    exchange: Exchange, alice: VenueAccount
) -> None:
    exchange.order(alice, "BUY", quantity="0.5")
    algo = exchange.algo(alice, "SELL", "STOP_MARKET", 59_500.0, closePosition="true")

    exchange.move(59_400.0)  # the mark alone does not trigger it
    assert algo.is_open
    exchange.print(59_500.0)

    assert algo.status is OrderStatus.FINISHED
    assert amount(alice) == 0
    order = alice.book.orders[algo.order_id or 0]
    assert (order.type, order.origin) == (OrderType.MARKET, OrderType.STOP_MARKET)
    assert order.stop_price == Decimal(59_500)
    statuses = [event["o"]["X"] for event in exchange.events("alice", "ALGO_UPDATE")]
    assert statuses == ["NEW", "TRIGGERED", "FINISHED"]


def test_a_stop_on_the_mark_follows_the_mark(exchange: Exchange, alice: VenueAccount) -> None:
    exchange.order(alice, "BUY", quantity="0.5")
    exchange.algo(
        alice, "SELL", "STOP_MARKET", 59_500.0, quantity="0.5", reduceOnly="true", workingType="MARK_PRICE"
    )

    exchange.print(59_000.0)
    assert amount(alice) > 0
    exchange.mark(59_499.0)

    assert amount(alice) == 0


def test_a_take_profit_sells_when_price_rises_to_it(exchange: Exchange, alice: VenueAccount) -> None:
    exchange.order(alice, "BUY", quantity="0.5")
    exchange.algo(alice, "SELL", "TAKE_PROFIT_MARKET", 61_000.0, closePosition="true")

    exchange.move(61_010.0)
    exchange.print(61_000.0)

    assert amount(alice) == 0
    assert alice.ledger.realised > 0


def test_a_stop_that_would_trigger_at_once_is_refused(exchange: Exchange, alice: VenueAccount) -> None:
    exchange.order(alice, "BUY", quantity="0.5")

    with pytest.raises(Refusal) as error:
        exchange.algo(alice, "SELL", "STOP_MARKET", 60_500.0, closePosition="true")

    assert refused(error) == -2021


def test_orders_that_only_reduce_end_with_the_position(exchange: Exchange, alice: VenueAccount) -> None:
    exchange.order(alice, "BUY", quantity="0.5")
    limit = exchange.order(alice, "SELL", "LIMIT", quantity="0.5", price="61000", reduceOnly="true")
    stop = exchange.algo(alice, "SELL", "STOP_MARKET", 59_000.0, closePosition="true")

    exchange.order(alice, "SELL", quantity="0.5")

    assert limit.status is OrderStatus.EXPIRED
    assert stop.status is OrderStatus.EXPIRED


def test_only_one_closing_stop_a_side_and_none_without_a_position(
    exchange: Exchange, alice: VenueAccount
) -> None:
    with pytest.raises(Refusal) as error:
        exchange.algo(alice, "SELL", "STOP_MARKET", 59_000.0, closePosition="true")
    assert refused(error) == -4509

    exchange.order(alice, "BUY", quantity="0.5")
    exchange.algo(alice, "SELL", "STOP_MARKET", 59_000.0, closePosition="true")
    exchange.algo(alice, "SELL", "TAKE_PROFIT_MARKET", 62_000.0, closePosition="true")
    with pytest.raises(Refusal) as error:
        exchange.algo(alice, "SELL", "STOP_MARKET", 58_000.0, closePosition="true")
    assert refused(error) == -4130


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({"type": "MARKET", "quantity": "0.0005"}, -1111),
        ({"type": "MARKET", "quantity": "0"}, -4003),
        ({"type": "MARKET", "quantity": "NaN"}, -4003),
        ({"type": "MARKET", "quantity": "much"}, -1100),
        ({"type": "MARKET"}, -1102),
        ({"type": "LIMIT", "quantity": "1"}, -1102),
        ({"type": "LIMIT", "quantity": "1", "price": "60000.05"}, -1111),
        ({"type": "LIMIT", "quantity": "0.001", "price": "1000"}, -4164),
        ({"type": "ICEBERG", "quantity": "1"}, -1116),
        ({"type": "LIQUIDATION", "quantity": "1"}, -1116),
        ({"type": "STOP_MARKET", "stopPrice": "59000", "closePosition": "true"}, -4120),
        ({"type": "MARKET", "quantity": "1", "positionSide": "LONG"}, -4061),
        ({"type": "MARKET", "quantity": "1", "side": "UP"}, -1117),
        ({"type": "LIMIT", "quantity": "1", "price": "60000", "timeInForce": "NOW"}, -1115),
        ({"type": "MARKET", "quantity": "333"}, -2019),
    ],
)
def test_orders_that_make_no_sense_are_refused_with_the_venues_code(
    exchange: Exchange, alice: VenueAccount, parameters: dict[str, str], code: int
) -> None:
    given = dict(parameters)
    kind, side = given.pop("type"), given.pop("side", "BUY")

    with pytest.raises(Refusal) as error:
        exchange.order(alice, side, kind, **given)

    assert refused(error) == code
    assert not alice.book.orders
    assert exchange.told["alice"] == []


def test_a_client_id_is_not_taken_twice_while_its_order_is_open(
    exchange: Exchange, alice: VenueAccount
) -> None:
    order = exchange.order(alice, "BUY", "LIMIT", quantity="1", price="59000", newClientOrderId="mine")

    with pytest.raises(Refusal) as error:
        exchange.order(alice, "BUY", "LIMIT", quantity="1", price="59000", newClientOrderId="mine")
    assert refused(error) == -4116

    exchange.engine.cancel(alice, order)
    assert exchange.order(alice, "BUY", "LIMIT", quantity="1", price="59000", newClientOrderId="mine").is_open


def test_open_orders_reserve_margin_once_for_the_dearer_side(exchange: Exchange) -> None:
    bob = exchange.account(6_100, name="bob", leverage=10)

    exchange.order(bob, "BUY", "LIMIT", quantity="0.5", price="59000")
    exchange.order(bob, "SELL", "LIMIT", quantity="0.5", price="61000")
    assert bob.reserved() == Decimal("0.5") * 61_000 / 10
    with pytest.raises(Refusal) as error:
        exchange.order(bob, "BUY", "LIMIT", quantity="1", price="59000")

    assert refused(error) == -2019


def test_leverage_bounds_the_position_and_the_margin(exchange: Exchange, alice: VenueAccount) -> None:
    with pytest.raises(Refusal) as error:
        exchange.engine.set_leverage(alice, CODE, 126)
    assert refused(error) == -4028

    exchange.engine.set_leverage(alice, CODE, 125)
    with pytest.raises(Refusal) as error:
        exchange.order(alice, "BUY", quantity="5")  # 300,000 USDT: above the cap of 250,000 at 125x
    assert refused(error) == -2027

    exchange.order(alice, "BUY", quantity="1")
    exchange.engine.set_leverage(alice, CODE, 10)
    assert alice.ledger.position(CODE).leverage == 10


def test_leverage_is_not_lowered_below_what_the_wallet_carries(exchange: Exchange) -> None:
    bob = exchange.account(2_000, name="bob", leverage=50)
    exchange.order(bob, "BUY", quantity="1")

    with pytest.raises(Refusal) as error:
        exchange.engine.set_leverage(bob, CODE, 10)

    assert refused(error) == -2019
    assert bob.ledger.position(CODE).leverage == 50


def test_the_margin_type_changes_only_while_nothing_is_open(exchange: Exchange, alice: VenueAccount) -> None:
    with pytest.raises(Refusal) as error:
        exchange.engine.set_margin_type(alice, CODE, MarginType.CROSSED)
    assert refused(error) == -4046

    order = exchange.order(alice, "BUY", "LIMIT", quantity="1", price="59000")
    with pytest.raises(Refusal) as error:
        exchange.engine.set_margin_type(alice, CODE, MarginType.ISOLATED)
    assert refused(error) == -4047

    exchange.engine.cancel(alice, order)
    exchange.engine.set_margin_type(alice, CODE, MarginType.ISOLATED)
    exchange.order(alice, "BUY", quantity="1")
    with pytest.raises(Refusal) as error:
        exchange.engine.set_margin_type(alice, CODE, MarginType.CROSSED)
    assert refused(error) == -4048


def test_funding_is_paid_by_longs_to_shorts_when_it_falls_due(
    exchange: Exchange, alice: VenueAccount
) -> None:
    bob = exchange.account(100_000, name="bob")
    exchange.order(alice, "BUY", quantity="1")
    exchange.order(bob, "SELL", quantity="1")
    exchange.mark(60_000.0, rate="0.0001", next_funding_ms=exchange.now_ms + 500)

    exchange.now_ms += 1_000
    exchange.mark(60_100.0, rate="0.0003", next_funding_ms=exchange.now_ms + 28_800_000)

    assert alice.ledger.funding == Decimal("-6.00000000")
    assert bob.ledger.funding == Decimal("6.00000000")
    assert exchange.events("alice", "ACCOUNT_UPDATE")[-1]["a"]["m"] == "FUNDING_FEE"
    assert is_conserved(alice)


def test_a_fill_is_told_as_account_update_then_order_update(exchange: Exchange, alice: VenueAccount) -> None:
    exchange.order(alice, "BUY", quantity="1.5", newClientOrderId="mine")

    told = [(event["e"], event.get("o", {}).get("X")) for event in exchange.told["alice"]]
    assert told == [
        ("ORDER_TRADE_UPDATE", "NEW"),
        ("ACCOUNT_UPDATE", None),
        ("ORDER_TRADE_UPDATE", "PARTIALLY_FILLED"),
        ("ORDER_TRADE_UPDATE", "FILLED"),
    ]
    last = exchange.told["alice"][-1]["o"]
    assert (last["c"], last["z"], last["l"], last["L"]) == ("mine", "1.5", "0.5", "60001.5")
    (position,) = exchange.told["alice"][1]["a"]["P"]
    assert (position["s"], position["pa"], position["mt"]) == (CODE, "1.5", "cross")
