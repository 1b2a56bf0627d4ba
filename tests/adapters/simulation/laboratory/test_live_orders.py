"""Accounts' orders in a book with everybody else's: what they take, where they stand, who fills them."""

from __future__ import annotations

import contextlib
from decimal import Decimal
from random import Random

import pytest

from adapters.simulation.errors import Refusal
from adapters.simulation.laboratory.owners import ENGINE, MAKERS
from adapters.simulation.orders import OrderStatus, read_order
from adapters.simulation.source import FrameKind
from tests.adapters.simulation.harness import is_conserved
from tests.adapters.simulation.laboratory.floor import Floor
from tests.adapters.simulation.laboratory.tiny import MAKER_LOTS, TinyPlay


def sums_to_nothing(floor: Floor) -> bool:
    """Whether longs are shorts, and all money is somewhere."""
    exchange = floor.play.exchange
    owners = range(exchange.owners_count)
    money = sum(exchange.cash_of(owner) for owner in owners) + exchange.fees_micros + exchange.funding_micros
    return sum(exchange.lots_of(owner) for owner in owners) == 0 and money == 0


def test_a_market_order_takes_makers_orders_and_moves_the_book() -> None:
    floor = Floor()
    alice = floor.account()

    order = floor.order(alice, "BUY", 1.5)

    assert (order.status, order.average_price) == (
        OrderStatus.FILLED,
        (60_005 + Decimal(60_010) / 2) / Decimal("1.5"),
    )
    assert floor.held(alice) == 1_500
    # First come, first served: the first maker is sold out at the first two prices, the second at the first.
    assert [floor.play.exchange.lots_of(MAKERS + each) for each in (0, 1)] == [-2 * MAKER_LOTS, -MAKER_LOTS]
    assert floor.shown("SELL", 60_005.0) == 0
    assert floor.shown("SELL", 60_010.0) == Decimal("0.5")
    assert floor.prints() == [(60_005.0, 0.5), (60_005.0, 0.5), (60_010.0, 0.5)]
    assert floor.markets["BTCUSDT"].last == 60_010
    assert sums_to_nothing(floor)
    assert is_conserved(alice)


def test_a_limit_order_stands_in_the_queue_and_is_filled_by_others() -> None:
    floor = Floor()
    alice = floor.account()

    order = floor.order(alice, "BUY", 0.3, 60_000)

    assert floor.shown("BUY", 60_000.0) == Decimal("0.3")
    floor.play.book.takers.append((-1, 200))
    floor.step()
    assert (order.status, order.filled) == (OrderStatus.PARTIALLY_FILLED, Decimal("0.2"))
    assert floor.shown("BUY", 60_000.0) == Decimal("0.1")
    floor.play.book.takers.append((-1, 5_000))
    floor.step()
    assert (order.status, order.average_price) == (OrderStatus.FILLED, Decimal(60_000))
    assert alice.ledger.fees == Decimal("0.3") * 60_000 * Decimal("0.0002")
    assert [event["o"]["X"] for event in floor.events("alice", "ORDER_TRADE_UPDATE")] == [
        "NEW",
        "PARTIALLY_FILLED",
        "FILLED",
    ]
    assert floor.held(alice) == 300
    assert sums_to_nothing(floor)


def test_who_came_first_is_filled_first() -> None:
    """Makers quote anew each step and so are behind an order that stands at their price."""
    floor = Floor()
    alice = floor.account()
    order = floor.order(alice, "BUY", 0.3, 59_995)
    # The makers' order was there before.
    floor.play.exchange.take(3, -1, 100)
    floor.step(0)
    assert order.filled == 0

    floor.play.book.takers.append((-1, 300))
    floor.step()

    assert order.status is OrderStatus.FILLED
    assert floor.shown("BUY", 59_995.0) == 1


def test_a_cancelled_order_leaves_the_book() -> None:
    floor = Floor()
    alice = floor.account()
    order = floor.order(alice, "SELL", 0.3, 60_000)
    assert floor.shown("SELL", 60_000.0) == Decimal("0.3")

    floor.engine.cancel(alice, order)

    assert floor.shown("SELL", 60_000.0) == 0
    floor.play.book.takers.append((1, 5_000))
    floor.step()
    assert (order.status, order.filled) == (OrderStatus.CANCELED, Decimal(0))
    assert floor.held(alice) == 0


def test_a_crossing_limit_order_takes_down_to_its_price_and_the_rest_stands() -> None:
    floor = Floor()
    alice = floor.account()

    order = floor.order(alice, "BUY", 2.5, 60_010)

    assert (order.status, order.filled) == (OrderStatus.PARTIALLY_FILLED, Decimal(2))
    assert floor.shown("BUY", 60_010.0) == Decimal("0.5")
    assert floor.markets["BTCUSDT"].book.asks.best_price() == 60_015.0
    floor.step()
    # The makers, who post only, leave the price to who is there.
    assert (floor.shown("BUY", 60_010.0), floor.shown("SELL", 60_010.0)) == (Decimal("0.5"), Decimal(0))


@pytest.mark.parametrize(
    ("time_in_force", "quantity", "filled", "status"),
    [("IOC", 3.0, 1, OrderStatus.EXPIRED), ("FOK", 1.0, 1, OrderStatus.FILLED)],
)
def test_what_may_not_stand_takes_or_expires(
    time_in_force: str, quantity: float, filled: int, status: OrderStatus
) -> None:
    floor = Floor()
    order = floor.order(floor.account(), "BUY", quantity, 60_005, timeInForce=time_in_force)

    assert (order.filled, order.status) == (Decimal(filled), status)
    assert floor.shown("BUY", 60_005.0) == 0


def test_orders_that_cannot_be_are_refused_and_change_nothing() -> None:
    floor = Floor()
    alice = floor.account()

    with pytest.raises(Refusal, match="-5021"):
        floor.order(alice, "BUY", 1.5, 60_005, timeInForce="FOK")
    with pytest.raises(Refusal, match="-5022"):
        floor.order(alice, "BUY", 0.5, 60_005, timeInForce="GTX")
    with pytest.raises(Refusal, match="-4016"):
        floor.order(alice, "SELL", 0.1, 1_000_000)

    assert floor.held(alice) == 0
    assert floor.frames == []


def test_two_accounts_trade_with_one_another() -> None:
    floor = Floor()
    alice, bob = floor.account(), floor.account("bob")
    order = floor.order(alice, "SELL", 0.3, 60_000)

    floor.order(bob, "BUY", 0.5, 60_000)

    assert order.status is OrderStatus.FILLED
    assert (floor.held(alice), floor.held(bob)) == (-300, 300)
    assert floor.shown("BUY", 60_000.0) == Decimal("0.2")
    assert [event["o"]["x"] for event in floor.events("alice", "ORDER_TRADE_UPDATE")] == ["NEW", "TRADE"]
    assert floor.prints() == [(60_000.0, 0.3)]
    assert sums_to_nothing(floor)


def test_an_order_that_meets_its_own_account_takes_it_out_of_the_book() -> None:
    floor = Floor()
    alice = floor.account()
    resting = floor.order(alice, "SELL", 0.3, 60_000)

    order = floor.order(alice, "BUY", 0.5, 60_005)

    assert (resting.status, resting.filled) == (OrderStatus.EXPIRED, Decimal(0))
    assert (order.status, order.average_price) == (OrderStatus.FILLED, Decimal(60_005))


def test_orders_that_may_only_reduce_never_stand_for_more_than_there_is() -> None:
    floor = Floor()
    alice = floor.account()
    floor.order(alice, "BUY", 0.5)
    first = floor.order(alice, "SELL", 0.4, 60_000, reduceOnly="true")
    second = floor.order(alice, "SELL", 0.4, 60_000, reduceOnly="true")
    assert floor.shown("SELL", 60_000.0) == Decimal("0.5")

    floor.order(alice, "SELL", 0.2)

    assert floor.shown("SELL", 60_000.0) == Decimal("0.3")
    floor.engine.cancel(alice, first)
    floor.order(alice, "BUY", 0.001)  # what is left has room in the book again
    assert floor.shown("SELL", 60_000.0) == Decimal("0.301")
    floor.play.book.takers.append((1, 400))
    floor.step()
    assert floor.held(alice) == 0
    assert second.status is OrderStatus.EXPIRED
    assert floor.shown("SELL", 60_000.0) == 0


def test_a_stop_waits_for_the_order_that_it_protects() -> None:
    floor = Floor()
    alice = floor.account()
    floor.order(alice, "BUY", 0.3, 59_900)
    asked = {
        "symbol": "BTCUSDT",
        "side": "SELL",
        "type": "STOP_MARKET",
        "triggerPrice": "59000",
        "closePosition": "true",
    }
    stop = floor.engine.place_algo(alice, read_order(asked, floor.markets["BTCUSDT"].spec, algo=True))

    floor.order(alice, "BUY", 0.1, 59_800)
    assert stop.is_open
    floor.order(alice, "BUY", 0.1)
    floor.order(alice, "SELL", 0.1)

    assert stop.status is OrderStatus.EXPIRED


def test_stops_go_off_at_what_an_order_of_another_account_made_of_the_price() -> None:
    """A large order moves the price, and that sets off who waits there, in the same moment."""
    floor = Floor()
    alice, bob = floor.account(), floor.account("bob", wallet=10_000_000)
    floor.order(alice, "BUY", 0.5)
    asked = {
        "symbol": "BTCUSDT",
        "side": "SELL",
        "type": "STOP_MARKET",
        "triggerPrice": "59960",
        "closePosition": "true",
    }
    floor.engine.place_algo(alice, read_order(asked, floor.markets["BTCUSDT"].spec, algo=True))

    floor.order(bob, "SELL", 10)

    assert floor.held(alice) == 0
    assert floor.markets["BTCUSDT"].last == 59_945
    depth = [frame for frame in floor.frames if frame.kind is FrameKind.DEPTH]
    assert len(depth) == 3  # each told after the other, with numbers that follow
    assert sums_to_nothing(floor)


def test_a_liquidation_goes_into_the_book_down_to_the_bankruptcy_price_and_the_venue_takes_the_rest() -> None:
    floor = Floor()
    alice = floor.account(wallet=4_000, leverage=50)
    floor.order(alice, "BUY", 3)
    floor.play.book.tick = 11_700  # 58,500: beyond what 4,000 USDT stand
    floor.step(10)

    (liquidation,) = alice.liquidations
    assert liquidation.size == 3
    assert floor.held(alice) == 0
    exchange = floor.play.exchange
    assert exchange.lots_of(ENGINE) == 3_000
    assert alice.ledger.wallet == 0
    # The venue took the position over at the price at which nothing is left, to the nearest tick.
    assert liquidation.insurance < Decimal("2.5") * 3
    assert liquidation.average_price % 5 == 0
    assert [frame.kind for frame in floor.frames].count(FrameKind.FORCED_ORDER) == 1
    assert sums_to_nothing(floor)
    assert is_conserved(alice)


def test_a_liquidation_that_the_book_takes_moves_the_price() -> None:
    floor = Floor()
    alice = floor.account(wallet=10_000, leverage=50)
    floor.order(alice, "BUY", 7)
    floor.play.book.tick = 11_770
    floor.step(10)

    (liquidation,) = alice.liquidations
    assert 58_800 < liquidation.average_price < 58_850
    assert floor.markets["BTCUSDT"].last < 58_850
    assert floor.play.exchange.lots_of(ENGINE) == 0
    assert floor.held(alice) == 0
    assert sums_to_nothing(floor)


def test_a_delisted_market_leaves_positions_with_the_venue() -> None:
    floor = Floor()
    alice = floor.account()
    floor.order(alice, "BUY", 0.5)

    floor.engine.settle("BTCUSDT")

    assert floor.held(alice) == 0
    assert floor.play.exchange.lots_of(ENGINE) == 500
    assert sums_to_nothing(floor)


def test_funding_is_paid_at_the_markets_rate() -> None:
    play = TinyPlay()
    play.book.next_funding_ms = 1_500
    play.book.rate = 0.0004
    floor = Floor(play)
    alice = floor.account()
    floor.order(alice, "BUY", 0.5)
    floor.step(10)
    play.book.next_funding_ms += 8 * 3_600_000
    floor.step(10)

    assert alice.ledger.funding == -Decimal("0.5") * 60_000 * Decimal("0.0004")


def test_while_the_venue_is_out_it_says_nothing_and_takes_no_order() -> None:
    floor = Floor()
    alice = floor.account()
    order = floor.order(alice, "BUY", 0.5, 59_900)
    floor.play.out.add("binanceusdm")
    floor.frames.clear()
    floor.play.book.tick = 12_050
    floor.step(20)

    assert floor.frames == []
    with pytest.raises(Refusal, match="-1001"):
        floor.order(alice, "SELL", 0.1)
    with pytest.raises(Refusal, match="-1001"):
        floor.engine.cancel(alice, order)

    floor.play.out.clear()
    floor.step()
    book = floor.play.exchange.book
    assert floor.markets["BTCUSDT"].book.bids.best_price() == 5 * book.best_bid
    assert floor.markets["BTCUSDT"].book.asks.best_price() == 5 * book.best_ask


def test_collateral_is_counted_at_what_the_market_says() -> None:
    floor = Floor()
    floor.play.assets = {"USDE": 0.65, "UNHEARD": 0.5}
    floor.step()

    assert floor.engine.assets.price("USDE") == Decimal("0.65")


@pytest.mark.parametrize("seed", range(12))
def test_whatever_accounts_do_the_ledger_is_the_books_and_the_shown_book_too(seed: int) -> None:
    """Random orders of three accounts, takers, and a price that walks: nothing is lost, made, or shown wrongly."""
    rng = Random(seed)
    floor = Floor()
    accounts = [floor.account(name, wallet=rng.choice([3_000, 20_000, 500_000])) for name in ("a", "b", "c")]
    placed = []
    for _ in range(150):
        account = rng.choice(accounts)
        side, size = rng.choice(["BUY", "SELL"]), round(rng.uniform(0.01, 2.5), 3)
        price = 5.0 * (floor.play.book.tick + rng.randint(-8, 8))
        with contextlib.suppress(Refusal):
            match rng.randrange(6):
                case 0:
                    floor.order(account, side, size)
                case 1:
                    placed.append((account, floor.order(account, side, size, price)))
                case 2:
                    more = {"reduceOnly": "true"}
                    placed.append((account, floor.order(account, side, size, price, **more)))
                case 3:
                    kind = rng.choice(["IOC", "FOK", "GTX"])
                    floor.order(account, side, size, price, timeInForce=kind)
                case 4 if placed:
                    floor.engine.cancel(*rng.choice(placed))
                case _:
                    floor.play.book.tick += rng.randint(-6, 6)
                    floor.play.book.takers += [(rng.choice([1, -1]), rng.randint(1, 4_000))]
                    floor.step(rng.choice([1, 10]))
        book, shown = floor.play.exchange.book, floor.markets["BTCUSDT"].book
        for sign, levels in ((1, shown.bids), (-1, shown.asks)):
            ticks, lots = book.gather(sign, 1_000)
            assert {price: float(size) for price, (_, size) in levels.levels.items()} == {
                tick * 5.0: round(lot * 0.001, 3)
                for tick, lot in zip(ticks.tolist(), lots.tolist(), strict=True)
            }
        for each in accounts:
            floor.held(each)
            assert is_conserved(each)
            reducing = [order for order in each.book.open_orders() if order.reduce_only]
            standing = sum((floor.source.standing(order.order_id) for order in reducing), Decimal(0))
            assert standing <= abs(each.ledger.position("BTCUSDT").amount)
        assert sums_to_nothing(floor)
        resting = {order.order_id for each in accounts for order in each.book.open_orders()}
        standing_orders = {
            number for number in range(1_000_000, 1_000_600) if floor.source.standing(number) > 0
        }
        assert standing_orders <= resting
    assert sum(each.fill_count for each in accounts) > 5
