"""What happens to an account that cannot carry its positions any more."""

from __future__ import annotations

import json
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from adapters.simulation import LoopbackSettings
from adapters.simulation.errors import Refusal
from adapters.simulation.ledger import MarginType
from adapters.simulation.orders import OrderStatus
from adapters.simulation.settings import LiquidationSteps
from adapters.simulation.source import FrameKind
from tests.adapters.simulation.harness import CODE, Exchange, is_conserved


def test_a_failing_cross_account_is_called_then_closed_into_the_book() -> None:
    exchange = Exchange()
    bob = exchange.account(1_000, name="bob", leverage=50)
    exchange.order(bob, "BUY", quantity="0.6")

    exchange.move(58_640.0)
    assert [event["p"][0]["s"] for event in exchange.events("bob", "MARGIN_CALL")] == [CODE]
    assert bob.ledger.position(CODE).amount > 0
    exchange.move(58_500.0)

    assert bob.ledger.position(CODE).amount == 0
    (liquidation,) = bob.liquidations
    assert (liquidation.side, liquidation.size) == ("SELL", Decimal("0.6"))
    assert liquidation.average_price == Decimal("58499.5")
    assert bob.ledger.wallet >= 0
    assert is_conserved(bob)


def test_a_liquidation_is_told_to_the_account_and_to_everyone() -> None:
    exchange = Exchange()
    bob = exchange.account(1_000, name="bob", leverage=50)
    exchange.order(bob, "BUY", quantity="0.6")
    exchange.move(58_500.0)

    orders = [event["o"] for event in exchange.events("bob", "ORDER_TRADE_UPDATE")]
    assert orders[-1]["o"] == "LIQUIDATION"
    assert orders[-1]["X"] == "FILLED"
    assert orders[-1]["c"].startswith("autoclose-")
    forced = [
        json.loads(payload) for _, kind, payload in exchange.published if kind is FrameKind.FORCED_ORDER
    ]
    assert [(event["o"]["S"], event["o"]["q"]) for event in forced] == [("SELL", "0.6")]


def test_the_fee_of_a_liquidation_takes_what_is_left_and_no_more() -> None:
    exchange = Exchange()
    bob = exchange.account(1_000, name="bob", leverage=50)
    exchange.order(bob, "BUY", quantity="0.6")
    exchange.move(58_590.0)

    (liquidation,) = bob.liquidations
    assert 0 < liquidation.fee < Decimal("0.0125") * Decimal("0.6") * 58_590
    assert liquidation.insurance == 0
    assert bob.ledger.wallet == 0


def test_a_loss_beyond_the_margin_is_paid_by_the_insurance_fund() -> None:
    exchange = Exchange()
    bob = exchange.account(1_000, name="bob", leverage=50)
    exchange.order(bob, "BUY", quantity="0.6")
    exchange.move(50_000.0)

    (liquidation,) = bob.liquidations
    assert liquidation.insurance > Decimal(4_000)
    assert liquidation.fee == 0
    assert bob.ledger.wallet == 0
    assert is_conserved(bob)


def test_an_isolated_position_fails_alone() -> None:
    exchange = Exchange(CODE, "ETHUSDT")
    bob = exchange.account(100_000, name="bob", leverage=50)
    exchange.engine.set_margin_type(bob, CODE, MarginType.ISOLATED)
    exchange.order(bob, "BUY", quantity="1")
    exchange.order(bob, "BUY", symbol="ETHUSDT", quantity="1")
    resting = exchange.order(bob, "BUY", "LIMIT", symbol="ETHUSDT", quantity="1", price="50000")
    margin = bob.ledger.position(CODE).isolated_wallet
    cross = bob.ledger.cross_wallet

    exchange.move(50_000.0)

    assert bob.ledger.position(CODE).amount == 0
    assert bob.ledger.position("ETHUSDT").amount == 1
    assert resting.is_open
    assert bob.ledger.cross_wallet == cross
    assert margin == (Decimal("60000.5") / 50).quantize(Decimal("1e-8"))
    assert is_conserved(bob)


def test_the_largest_cross_position_goes_first_and_may_be_enough() -> None:
    cheap = LoopbackSettings(liquidation_fee_ratio=Decimal("0.0005"))
    exchange = Exchange(CODE, "ETHUSDT", settings=cheap)
    bob = exchange.account(3_000, name="bob", leverage=50)
    exchange.order(bob, "BUY", quantity="1")
    exchange.order(bob, "BUY", symbol="ETHUSDT", quantity="0.1")
    resting = exchange.order(bob, "BUY", "LIMIT", symbol="ETHUSDT", quantity="0.01", price="50000")

    exchange.move(57_250.0)

    assert [liquidation.symbol for liquidation in bob.liquidations] == [CODE]
    assert bob.ledger.position("ETHUSDT").amount > 0
    assert resting.status is OrderStatus.CANCELED
    assert is_conserved(bob)


def test_a_short_is_bought_back() -> None:
    exchange = Exchange()
    bob = exchange.account(1_000, name="bob", leverage=50)
    exchange.order(bob, "SELL", quantity="0.6")
    exchange.move(61_500.0)

    (liquidation,) = bob.liquidations
    assert liquidation.side == "BUY"
    assert bob.ledger.position(CODE).amount == 0


def test_what_the_book_cannot_take_goes_at_the_bankruptcy_price() -> None:
    exchange = Exchange()
    bob = exchange.account(1_000, name="bob", leverage=50)
    exchange.order(bob, "BUY", quantity="0.6")
    exchange.move(58_500.0, size=0.001)

    (liquidation,) = bob.liquidations
    assert liquidation.size == Decimal("0.6")
    assert bob.ledger.position(CODE).amount == 0
    assert is_conserved(bob)


def steps_of(steps: LiquidationSteps) -> Exchange:
    cheap = LoopbackSettings(liquidation_fee_ratio=Decimal("0.0005"), liquidation_steps=steps)
    exchange = Exchange(settings=cheap)
    exchange.account(15_000, name="bob", leverage=50)
    exchange.order(exchange.engine.accounts["bob"], "BUY", quantity="10")
    return exchange


def test_a_position_of_a_higher_bracket_is_closed_bracket_by_bracket() -> None:
    exchange = steps_of(LiquidationSteps.TIERS)
    bob = exchange.engine.accounts["bob"]
    # 10 at 58,790 are in the second bracket, which ends at 250,000.
    exchange.move(58_790.0)

    (liquidation,) = bob.liquidations
    assert liquidation.size == 10 - Decimal("4.252")
    assert bob.ledger.position(CODE).amount == Decimal("4.252")
    assert not bob.ledger.cross_health(exchange.engine.marks, exchange.engine.table).fails
    assert is_conserved(bob)

    exchange.move(58_000.0)
    assert [each.size for each in bob.liquidations[1:]] == [Decimal("4.252")], "the lowest one goes whole"


def test_a_fifth_goes_first_and_everything_that_fails_soon_after() -> None:
    exchange = steps_of(LiquidationSteps.FIFTH)
    bob = exchange.engine.accounts["bob"]

    exchange.move(58_790.0)
    assert [each.size for each in bob.liquidations] == [Decimal(2)]
    assert bob.ledger.position(CODE).amount == 8
    exchange.move(58_700.0, later_ms=29_000)

    assert [each.size for each in bob.liquidations] == [Decimal(2), Decimal(8)]
    assert is_conserved(bob)


def test_after_the_cooldown_a_fifth_goes_again_and_small_ones_whole() -> None:
    exchange = steps_of(LiquidationSteps.FIFTH)
    bob = exchange.engine.accounts["bob"]

    exchange.move(58_790.0)
    exchange.move(58_700.0, later_ms=31_000)
    assert [each.size for each in bob.liquidations] == [Decimal(2), Decimal("1.6")]

    small = exchange.account(1_000, name="small", leverage=50)
    exchange.order(small, "BUY", quantity="0.6")
    exchange.move(57_000.0)
    assert [each.size for each in small.liquidations] == [Decimal("0.6")]


@given(
    st.sampled_from(LiquidationSteps),
    st.lists(
        st.tuples(
            st.sampled_from(["alice", "bob"]),
            st.sampled_from(["BUY", "SELL"]),
            st.integers(1, 2_000),
            st.integers(40_000, 80_000),
            st.booleans(),
        ),
        min_size=1,
        max_size=12,
    ),
)
def test_money_is_conserved_whatever_happens(
    style: LiquidationSteps, steps: list[tuple[str, str, int, int, bool]]
) -> None:
    exchange = Exchange(settings=LoopbackSettings(liquidation_steps=style))
    accounts = {
        "alice": exchange.account(20_000, name="alice", leverage=20),
        "bob": exchange.account(2_000, name="bob", leverage=100),
    }
    exchange.engine.set_margin_type(accounts["bob"], CODE, MarginType.ISOLATED)
    for name, side, thousandths, price, limit in steps:
        more = {"quantity": f"{thousandths / 1000:.3f}"}
        if limit:
            more["price"] = str(price)
        try_order(exchange, name, side, "LIMIT" if limit else "MARKET", more)
        exchange.move(float(price))
        for account in accounts.values():
            assert is_conserved(account)
            # While part of a failing position is still held, nobody has paid for it yet.
            assert account.ledger.wallet >= 0 or account.ledger.position(CODE).amount
            assert account.ledger.position(CODE).isolated_wallet >= 0


def try_order(exchange: Exchange, name: str, side: str, kind: str, more: dict[str, str]) -> None:
    try:
        exchange.order(exchange.engine.accounts[name], side, kind, **more)
    except Refusal:
        return
