"""Hedge mode on the loopback venue: a long and a short position of one symbol, each its own, failing together."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from adapters.simulation import DialectName, LoopbackSettings, LoopbackVenue, VenueAccountSpec
from adapters.simulation.account import VenueAccount
from adapters.simulation.errors import Refusal
from adapters.simulation.ledger import Ledger, MarginType, PositionSide
from adapters.simulation.margin import ZERO, BracketTable
from adapters.simulation.settings import DEFAULT_TIERS
from tests.adapters.simulation.clients import ALICE, SYMBOL, client
from tests.adapters.simulation.harness import CODE, Exchange, is_conserved
from tests.adapters.simulation.steady import SteadySource

LONG, SHORT = PositionSide.LONG, PositionSide.SHORT
DORA = VenueAccountSpec("dora", "key-dora", "secret-dora", 10_000, hedged=True)


def hedged(exchange: Exchange, wallet: int = 10_000, **more: Any) -> VenueAccount:
    account = exchange.account(wallet, name="dora", **more)
    account.ledger.hedged = True
    return account


def sizes(account: VenueAccount) -> tuple[Decimal, Decimal]:
    return account.ledger.position(CODE, LONG).amount, account.ledger.position(CODE, SHORT).amount


def refusal(exchange: Exchange, account: VenueAccount, side: str, **more: Any) -> int:
    with pytest.raises(Refusal) as caught:
        exchange.order(account, side, **more)
    return caught.value.code


def test_each_side_is_opened_and_closed_alone() -> None:
    exchange = Exchange()
    dora = hedged(exchange)
    exchange.order(dora, "BUY", quantity="0.5", positionSide="LONG")
    exchange.order(dora, "SELL", quantity="0.3", positionSide="SHORT")
    assert sizes(dora) == (Decimal("0.5"), Decimal("-0.3"))

    exchange.order(dora, "SELL", quantity="0.2", positionSide="LONG")
    exchange.order(dora, "BUY", quantity="0.3", positionSide="SHORT")

    assert sizes(dora) == (Decimal("0.3"), ZERO)
    assert is_conserved(dora)
    told = exchange.events("dora", "ACCOUNT_UPDATE")[-1]["a"]["P"]
    assert {(row["ps"], row["pa"]) for row in told} == {("LONG", "0.3"), ("SHORT", "0")}
    assert exchange.events("dora", "ORDER_TRADE_UPDATE")[-1]["o"]["ps"] == "SHORT"


def test_orders_have_to_name_a_side_and_close_no_more_than_there_is() -> None:
    exchange = Exchange()
    dora, alice = hedged(exchange), exchange.account()
    exchange.order(dora, "BUY", quantity="0.1", positionSide="LONG")

    assert refusal(exchange, dora, "BUY", quantity="0.1") == -4061
    assert refusal(exchange, alice, "BUY", quantity="0.1", positionSide="LONG") == -4061
    assert refusal(exchange, dora, "SELL", quantity="0.2", positionSide="LONG") == -2022
    assert refusal(exchange, dora, "BUY", quantity="0.1", positionSide="SHORT") == -2022
    assert refusal(exchange, dora, "SELL", quantity="0.1", positionSide="LONG", reduceOnly="true") == -1106
    assert refusal(exchange, dora, "SELL", quantity="0.1", positionSide="OTHER") == -1116


def test_a_stop_of_one_side_leaves_the_other_alone() -> None:
    exchange = Exchange()
    dora = hedged(exchange)
    exchange.order(dora, "BUY", quantity="0.5", positionSide="LONG")
    exchange.order(dora, "SELL", quantity="0.5", positionSide="SHORT")
    stop = exchange.algo(dora, "SELL", "STOP_MARKET", 59_000.0, closePosition="true", positionSide="LONG")
    other = exchange.algo(dora, "BUY", "STOP_MARKET", 61_000.0, closePosition="true", positionSide="SHORT")

    exchange.move(58_900.0)
    exchange.print(58_900.0)

    assert sizes(dora) == (ZERO, Decimal("-0.5"))
    assert not stop.is_open
    assert other.is_open


def test_the_mode_changes_only_without_positions_and_orders() -> None:
    exchange = Exchange()
    alice, engine = exchange.account(), exchange.engine
    engine.set_margin_type(alice, CODE, MarginType.ISOLATED)

    def refused(*, wanted: bool) -> int:
        with pytest.raises(Refusal) as caught:
            engine.set_hedged(alice, wanted=wanted)
        return caught.value.code

    assert refused(wanted=False) == -4059
    resting = exchange.order(alice, "BUY", "LIMIT", quantity="0.01", price="50000")
    assert refused(wanted=True) == -4067
    engine.cancel(alice, resting)
    exchange.order(alice, "BUY", quantity="0.01")
    assert refused(wanted=True) == -4068
    exchange.order(alice, "SELL", quantity="0.01")
    engine.set_hedged(alice, wanted=True)
    assert all(leg.is_isolated for leg in alice.ledger.legs(CODE)), "settings of the symbol are both sides'"
    engine.is_one_way = True
    assert refused(wanted=False) == -4060


def test_both_of_a_pair_pay_funding_and_keep_their_leverage() -> None:
    exchange = Exchange()
    dora = hedged(exchange, leverage=20)
    exchange.order(dora, "BUY", quantity="0.5", positionSide="LONG")
    exchange.order(dora, "SELL", quantity="0.2", positionSide="SHORT")
    exchange.engine.set_leverage(dora, CODE, 50)

    exchange.engine.on_mark(CODE, (Decimal(60_000), Decimal("0.001")))

    assert [leg.leverage for leg in dora.ledger.legs(CODE)] == [50, 50]
    assert dora.ledger.funding == Decimal("-0.3") * 60_000 * Decimal("0.001")


def test_the_larger_of_a_failing_pair_goes_first() -> None:
    exchange = Exchange(settings=LoopbackSettings(liquidation_fee_ratio=Decimal("0.0005")))
    dora = hedged(exchange, 1_500, leverage=50)
    exchange.order(dora, "BUY", quantity="1", positionSide="LONG")
    exchange.order(dora, "SELL", quantity="0.1", positionSide="SHORT")

    exchange.move(58_650.0)

    assert [(each.side, each.size) for each in dora.liquidations] == [("SELL", Decimal(1))]
    assert sizes(dora) == (ZERO, Decimal("-0.1"))
    assert is_conserved(dora)


amounts = st.decimals("0.01", "4", places=2)


@given(long=amounts, short=amounts, wallet=st.decimals("100", "200000", places=2))
def test_a_pair_has_one_liquidation_price_at_which_its_margin_just_fails(
    long: Decimal, short: Decimal, wallet: Decimal
) -> None:
    table = BracketTable(DEFAULT_TIERS)
    ledger = Ledger(wallet, 20, hedged=True)
    ledger.fill(CODE, long, Decimal(60_500), ZERO, LONG)
    ledger.fill(CODE, -short, Decimal(59_800), ZERO, SHORT)
    marks = {CODE: Decimal(60_000)}

    at = ledger.liquidation_price(CODE, marks, table, LONG)
    assert ledger.liquidation_price(CODE, marks, table, SHORT) == at
    assume(at > ZERO)
    assume(all(table.of(size * at) == table.of(size * 60_000) for size in (long, short)))
    health = ledger.cross_health({CODE: at}, table)

    assert abs(health.balance - health.maintenance) < Decimal("1e-6")


async def test_ccxt_trades_and_reads_a_pair() -> None:
    venue = LoopbackVenue(SteadySource(), accounts=[DORA], hold=True)
    async with venue, client(venue, DORA) as dora:
        await dora.load_markets()
        mode = await dora.fetch_position_mode(SYMBOL)
        await dora.create_order(SYMBOL, "market", "buy", 1.0, None, {"positionSide": "LONG"})
        await dora.create_order(SYMBOL, "market", "sell", 0.4, None, {"positionSide": "SHORT"})
        positions = {each["side"]: each for each in await dora.fetch_positions([SYMBOL])}
        ranks = await dora.fapiPrivateGetAdlQuantile()
        state = venue.account_state("dora")

    assert mode["hedged"] is True
    assert {side: each["contracts"] for side, each in positions.items()} == {"long": 1.0, "short": 0.4}
    (price,) = {each["liquidationPrice"] for each in positions.values()}
    assert price == pytest.approx(float(state.positions[0].liquidation_price))
    assert {each.side: float(each.amount) for each in state.positions} == {LONG: 1.0, SHORT: -0.4}
    assert ranks[0]["adlQuantile"] == {"LONG": 1, "SHORT": 1, "HEDGE": 0}


async def test_ccxt_changes_the_mode_where_there_is_one() -> None:
    venue = LoopbackVenue(SteadySource(), accounts=[ALICE], hold=True)
    async with venue, client(venue, ALICE) as alice:
        await alice.load_markets()
        await alice.set_position_mode(True)
        assert (await alice.fetch_position_mode(SYMBOL))["hedged"] is True
    with pytest.raises(ValueError, match="'dora': bybit has no hedge mode"):
        LoopbackVenue(SteadySource(), accounts=[DORA], dialect=DialectName.BYBIT)
