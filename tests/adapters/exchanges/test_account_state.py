"""The private stream and REST merge to one account, and what one of them lost comes to light."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import pytest

from adapters.exchanges.account_state import AccountState
from adapters.exchanges.venue import (
    AccountReading,
    AccountTotals,
    AccountUpdate,
    AlgoKey,
    BalanceSeen,
    OrderGone,
    OrderSeen,
    PositionSeen,
)
from guard.events import CollateralHeld, LiquidationTold, MarginMode, Pooling
from guard.margin_terms import ContractKind
from guard.units import AccountId

LONG = PositionSeen("BTCUSDT", "BOTH", 0.5, entry_price=60_000.0, mark_price=59_000.0, leverage=10.0,
                    liquidation_price=50_000.0, unrealised_usd=-500.0)  # fmt: skip
STOP = OrderSeen(AlgoKey("7"), "BTCUSDT", -0.5, buys=False, stop_price=55_000.0, reduce_only=True)


def a_state() -> AccountState:
    return AccountState(AccountId("binanceusdm:main"), symbol_of={"BTCUSDT": "BTC/USDT:USDT"}.__getitem__)


def reading(
    *positions: PositionSeen, wallet: float = 1_000.0, orders: tuple[OrderSeen, ...] | None = ()
) -> AccountReading:
    return AccountReading(AccountTotals({"USDT": wallet}, 25.0, 118.0), positions, orders)


def read(state: AccountState, told: AccountReading) -> bool:
    state.begin_reading()
    return state.apply_reading(told)


def test_equity_is_wallet_and_unrealised_profit() -> None:
    state = a_state()

    read(state, reading(LONG, orders=(STOP,)))

    snapshot = state.snapshot(1)
    assert (snapshot.wallet_usd, snapshot.equity_usd, snapshot.maintenance_usd) == (1_025.0, 525.0, 118.0)
    assert snapshot.orders is not None
    assert snapshot.orders[0].order_id == "7"
    assert state.suspects == {}


def test_orders_that_were_never_read_are_unknown_not_absent() -> None:
    state = a_state()

    read(state, reading(LONG, orders=None))

    assert state.snapshot(1).orders is None


def test_both_sides_of_a_hedge_are_positions_of_their_own() -> None:
    state = a_state()

    read(state, reading(
        PositionSeen("BTCUSDT", "LONG", 2.0, entry_price=1.0), PositionSeen("BTCUSDT", "SHORT", -0.5, entry_price=1.0)
    ))  # fmt: skip

    assert sorted(position.size for position in state.snapshot(1).positions) == [-0.5, 2.0]


def test_a_new_size_keeps_leverage_and_loses_the_liquidation_price() -> None:
    state = a_state()
    read(state, reading(LONG))

    state.apply_update(AccountUpdate(positions=(PositionSeen("BTCUSDT", "BOTH", 0.9, entry_price=60_000.0),)))

    (position,) = state.snapshot(1).positions
    assert (position.size, position.leverage, position.liquidation_price) == (0.9, 10.0, None)


def test_a_position_that_only_changed_its_profit_keeps_its_liquidation_price() -> None:
    state = a_state()
    read(state, reading(LONG))

    state.apply_update(
        AccountUpdate(
            positions=(PositionSeen("BTCUSDT", "BOTH", 0.5, entry_price=60_000.0, unrealised_usd=9.0),)
        )
    )

    (position,) = state.snapshot(1).positions
    assert position.liquidation_price == 50_000.0
    assert state.snapshot(1).equity_usd == 1_034.0


def test_a_closed_position_is_gone() -> None:
    state = a_state()
    read(state, reading(LONG))

    state.apply_update(AccountUpdate(positions=(PositionSeen("BTCUSDT", "BOTH", 0.0),)))

    assert state.snapshot(1).positions == ()


def test_what_the_stream_says_during_a_reading_is_newer_than_the_reading() -> None:
    state = a_state()
    read(state, reading(LONG, orders=(STOP,)))

    state.begin_reading()
    state.apply_update(
        AccountUpdate(
            balances=(BalanceSeen("USDT", 990.0),),
            positions=(PositionSeen("BTCUSDT", "BOTH", 0.2, entry_price=60_000.0),),
            order=OrderGone(STOP.key),
        )
    )
    overtaken = state.apply_reading(reading(LONG, orders=(STOP,)))

    assert overtaken
    snapshot = state.snapshot(1)
    assert snapshot.wallet_usd == 1_015.0
    assert [position.size for position in snapshot.positions] == [0.2]
    assert snapshot.orders == ()
    assert state.suspects == {}


def test_what_rest_knows_and_the_stream_did_not_say_is_taken_and_suspect() -> None:
    state = a_state()
    read(state, reading())

    read(state, reading(LONG, wallet=900.0, orders=(STOP,)))

    assert sorted(state.suspects.values()) == [
        "order 7 is known to REST alone",
        "position BTC/USDT:USDT: stream 0, REST 0.5",
        "wallet USDT: stream 1000.00, REST 900.00",
    ]
    assert state.snapshot(1).wallet_usd == 925.0
    assert len(state.snapshot(1).positions) == 1


def test_a_suspect_that_the_stream_explains_after_all_was_only_late() -> None:
    state = a_state()
    read(state, reading())
    read(state, reading(LONG, orders=(STOP,)))

    state.apply_update(AccountUpdate(positions=(LONG,), order=STOP))

    assert state.suspects == {}


def test_an_order_that_rests_no_more_at_the_venue_is_suspect() -> None:
    state = a_state()
    read(state, reading(orders=(STOP,)))

    read(state, reading(orders=()))

    assert list(state.suspects.values()) == ["order 7 is known to the stream alone"]
    assert state.snapshot(1).orders == ()


def test_a_rounding_of_the_wallet_is_no_difference() -> None:
    state = a_state()
    read(state, reading(wallet=1_000.0))

    read(state, reading(wallet=1_000.004))

    assert state.suspects == {}


@pytest.mark.parametrize(("position_side", "buys", "size"), [("BOTH", False, -0.5), ("LONG", False, 0.0)])
def test_a_stop_for_the_whole_position_is_as_large_as_it(position_side: str, buys: bool, size: float) -> None:
    state = a_state()
    stop = OrderSeen(
        "8", "BTCUSDT", 0.0, buys=buys, position_side=position_side, stop_price=1.0, whole_position=True
    )

    read(state, reading(LONG, orders=(stop,)))

    orders = state.snapshot(1).orders
    assert orders is not None
    assert orders[0].size == size


# -- what backs it, and what is true only as long as nothing moved ----------------------------------

BTC_HELD = CollateralHeld(asset="BTC", quantity=0.1, venue_price_usd=60_000.0, venue_haircut=0.05)
USDT_HELD = CollateralHeld(asset="USDT", quantity=1_000.0)


def leg(code: str, size: float = 1.0, **more: Any) -> PositionSeen:
    told: dict[str, Any] = {"mark_price": 100.0, "margin_mode": MarginMode.CROSS, "liquidation_price": 50.0}
    return PositionSeen(code, "BOTH", size, 100.0, **(told | {"settle": "USDT"} | more))


def backed(*positions: PositionSeen, pooling: Pooling = Pooling.BY_SETTLE_ASSET) -> AccountReading:
    totals = AccountTotals(
        wallets={"USDT": 1_000.0},
        other_usd=5_700.0,
        maintenance_usd=118.0,
        collateral=(USDT_HELD, BTC_HELD),
        pooling=pooling,
        margin_ratio=0.05,
    )
    return AccountReading(totals, positions, ())


def codes() -> AccountState:
    return AccountState(AccountId("binanceusdm:main"), symbol_of=str)


def prices(state: AccountState) -> dict[str, float | None]:
    return {
        position.market.partition(":")[2]: position.liquidation_price
        for position in state.snapshot(1).positions
    }


def test_an_account_tells_what_backs_it() -> None:
    state = codes()

    read(state, backed(leg("A"), pooling=Pooling.ONE_POOL))

    snapshot = state.snapshot(1)
    assert (snapshot.pooling, snapshot.margin_ratio) == (Pooling.ONE_POOL, 0.05)
    assert snapshot.collateral == (USDT_HELD, BTC_HELD)
    assert snapshot.wallet_usd == 6_700.0


def test_collateral_that_is_not_told_asset_by_asset_is_not_made_up() -> None:
    state = codes()
    read(state, reading(LONG))

    assert state.apply_update(AccountUpdate(balances=(BalanceSeen("BTC", 1.0, counts_as_usd=False),)))
    assert state.snapshot(1).collateral is None
    assert state.snapshot(1).wallet_usd == 1_025.0


def test_a_wallet_that_moved_keeps_its_price_and_moves_the_sum() -> None:
    state = codes()
    read(state, backed())

    assert state.apply_update(AccountUpdate(balances=(BalanceSeen("BTC", 0.3, counts_as_usd=False),)))

    held = {each.asset: each for each in state.snapshot(1).collateral or ()}
    assert (held["BTC"].quantity, held["BTC"].venue_price_usd, held["BTC"].venue_haircut) == (
        0.3,
        60_000.0,
        0.05,
    )
    assert state.snapshot(1).wallet_usd == pytest.approx(1_000.0 + 0.3 * 60_000.0 * 0.95)


def test_a_debt_that_the_stream_tells_is_no_smaller_for_a_haircut() -> None:
    state = codes()
    read(state, backed())

    state.apply_update(AccountUpdate(balances=(BalanceSeen("BTC", -0.1, counts_as_usd=False),)))

    assert state.snapshot(1).wallet_usd == pytest.approx(1_000.0 - 6_000.0)


@pytest.mark.parametrize(
    "update",
    [
        AccountUpdate(balances=(BalanceSeen("USDT", 900.0),)),
        AccountUpdate(positions=(leg("A", 2.0, liquidation_price=None),)),
        AccountUpdate(positions=(leg("A", 0.0),)),
        AccountUpdate(positions=(leg("A", margin_mode=MarginMode.ISOLATED, liquidation_price=None),)),
    ],
    ids=["wallet", "size", "closed", "mode"],
)
def test_what_moved_in_a_pool_takes_the_venues_prices_of_the_pool_with_it(update: AccountUpdate) -> None:
    state = codes()
    read(
        state, backed(leg("A"), leg("B"), leg("C", settle="USDC"), leg("D", margin_mode=MarginMode.ISOLATED))
    )

    assert state.apply_update(update)

    told = prices(state)
    snapshot = state.snapshot(1)
    assert (snapshot.maintenance_usd, snapshot.margin_ratio) == (None, None)
    assert told.get("A") is None
    # Its own margin alone stands behind D, and another asset behind C.
    assert (told["B"], told["C"], told["D"]) == (None, 50.0, 50.0)


def test_in_one_pool_all_cross_positions_feel_what_moved() -> None:
    state = codes()
    positions = (leg("A"), leg("C", settle="USDC"), leg("D", margin_mode=MarginMode.ISOLATED))
    read(state, backed(*positions, pooling=Pooling.ONE_POOL))

    state.apply_update(AccountUpdate(balances=(BalanceSeen("BTC", 0.05, counts_as_usd=False),)))

    assert prices(state) == {"A": None, "C": None, "D": 50.0}


def test_a_position_of_which_nobody_says_what_it_is_paid_in_may_have_moved_any_pool() -> None:
    state = codes()
    read(state, backed(leg("A"), leg("C", settle="USDC")))

    state.apply_update(AccountUpdate(positions=(PositionSeen("Z", "BOTH", 1.0, 100.0),)))

    assert prices(state) == {"A": None, "C": None, "Z": None}


def test_that_no_price_exists_is_true_only_until_something_moved() -> None:
    state = codes()
    none_exists = leg("A", liquidation_price=None, liquidation_told=LiquidationTold.NONE_EXISTS)
    account_level = leg("B", liquidation_price=None, liquidation_told=LiquidationTold.ACCOUNT_LEVEL)
    read(state, backed(none_exists, account_level))

    state.apply_update(AccountUpdate(balances=(BalanceSeen("USDT", 500.0),)))

    told = [position.liquidation_told for position in state.snapshot(1).positions]
    assert told == [LiquidationTold.NOT_TOLD, LiquidationTold.ACCOUNT_LEVEL]


def test_a_frame_that_repeats_what_is_known_moves_nothing() -> None:
    state = codes()
    read(state, backed(leg("A", adl_rank=0.5), leg("B")))

    repeated = AccountUpdate(
        balances=(BalanceSeen("USDT", 1_000.000_001), BalanceSeen("BTC", 0.1, counts_as_usd=False)),
        positions=(PositionSeen("A", "BOTH", 1.0, 100.0, margin_mode=MarginMode.CROSS, unrealised_usd=3.0),),
    )
    assert not state.apply_update(repeated)

    snapshot = state.snapshot(1)
    assert prices(state) == {"A": 50.0, "B": 50.0}
    assert (snapshot.maintenance_usd, snapshot.margin_ratio) == (118.0, 0.05)
    assert (snapshot.positions[0].adl_rank, snapshot.positions[0].settle) == (0.5, "USDT")


def test_a_position_that_turned_around_has_another_place_in_the_queue() -> None:
    state = codes()
    read(state, backed(leg("A", adl_rank=0.5)))

    state.apply_update(AccountUpdate(positions=(PositionSeen("A", "BOTH", -1.0, 100.0),)))

    assert state.snapshot(1).positions[0].adl_rank is None


def test_a_frame_that_tells_all_of_a_position_replaces_all_of_it() -> None:
    state = codes()
    read(state, backed(leg("A", leverage=10.0), leg("B")))
    whole = leg("A", 2.0, liquidation_price=60.0, is_whole=True)

    state.apply_update(AccountUpdate(positions=(whole,), maintenance_usd=7.0, margin_ratio=0.01))

    snapshot = state.snapshot(1)
    assert prices(state) == {"A": 60.0, "B": None}
    assert snapshot.positions[0].leverage is None
    assert (snapshot.maintenance_usd, snapshot.margin_ratio) == (7.0, 0.01)


def test_a_reading_that_the_stream_overtook_brings_no_price_of_the_account_before() -> None:
    state = codes()
    read(state, backed(leg("A"), leg("B")))
    state.begin_reading()
    state.apply_update(
        AccountUpdate(balances=(BalanceSeen("USDT", 900.0), BalanceSeen("BTC", 0.2, counts_as_usd=False)))
    )

    assert state.apply_reading(backed(leg("A"), leg("B")))

    snapshot = state.snapshot(1)
    assert prices(state) == {"A": None, "B": None}
    assert (snapshot.maintenance_usd, snapshot.margin_ratio) == (None, None)
    held = {each.asset: each.quantity for each in snapshot.collateral or ()}
    assert held == {"USDT": 900.0, "BTC": 0.2}
    assert snapshot.wallet_usd == pytest.approx(900.0 + 0.2 * 60_000.0 * 0.95)
    read(state, backed(leg("A"), leg("B")))
    assert prices(state) == {"A": 50.0, "B": 50.0}
    assert state.snapshot(1).margin_ratio == 0.05


def test_what_an_isolated_position_sets_aside_is_missing_to_the_others() -> None:
    state = codes()
    alone = leg("D", margin_mode=MarginMode.ISOLATED, margin_usd=10.0, margin=10.0)
    read(state, backed(leg("A"), leg("C", settle="USDC"), alone))

    state.apply_update(AccountUpdate(positions=(replace(alone, margin_usd=20.0, margin=20.0),)))

    # D is as it was told now.
    assert prices(state) == {"A": None, "C": 50.0, "D": 50.0}
    assert state.snapshot(1).maintenance_usd is None


def test_the_coins_of_an_isolated_inverse_position_do_not_move_with_its_price() -> None:
    state = codes()
    alone = leg(
        "E",
        quantity=5.0,
        margin_mode=MarginMode.ISOLATED,
        margin_usd=10.0,
        margin=0.1,
        kind=ContractKind.INVERSE,
    )
    read(state, backed(alone))

    moved = state.apply_update(AccountUpdate(positions=(replace(alone, size=1.1, margin_usd=11.0),)))

    assert not moved


def test_only_what_changed_is_made_anew() -> None:
    state = codes()
    read(state, backed(leg("A"), leg("B", margin_mode=MarginMode.ISOLATED)))
    first = state.snapshot(1).positions

    state.apply_update(AccountUpdate(positions=(leg("A", 3.0),)))

    second = state.snapshot(1).positions
    assert second[0].size == 3.0
    assert second[1] is first[1]


ASSETS = ("USDT", "USDC")
CODES = {"A": "USDT", "B": "USDT", "C": "USDC", "D": "USDC"}


@pytest.mark.parametrize("seed", range(150))
def test_whatever_comes_in_whatever_order_a_price_is_told_only_of_the_account_as_it_is(seed: int) -> None:
    """A model beside it: an account is what it holds; a price belongs to the holdings of its pool at that moment."""
    random = Random(seed)
    pooling = random.choice([Pooling.BY_SETTLE_ASSET, Pooling.ONE_POOL])
    sizes = dict.fromkeys(CODES, 1.0)
    wallets = dict.fromkeys(ASSETS, 100.0)

    def pool(code: str) -> str:
        """All that the price of a position depends on, in words."""
        told = {
            name: size
            for name, size in sizes.items()
            if pooling is Pooling.ONE_POOL or CODES[name] == CODES[code]
        }
        held = wallets if pooling is Pooling.ONE_POOL else wallets[CODES[code]]
        return f"{told} {held}"

    def whole() -> AccountReading:
        positions = [leg(code, size, settle=CODES[code]) for code, size in sizes.items() if size]
        collateral = tuple(CollateralHeld(asset=asset, quantity=held) for asset, held in wallets.items())
        totals = AccountTotals(dict(wallets), 0.0, 7.0, collateral, pooling, 0.1)
        return AccountReading(totals, positions, ())

    state = codes()
    read(state, whole())
    told_of = {code: pool(code) for code in CODES}
    everything = str((sizes, wallets))
    asked: tuple[AccountReading, dict[str, str], str] | None = None
    for _ in range(40):
        match random.choice(["ask", "answer", "fill", "wallet", "repeat"]):
            case "ask":
                state.begin_reading()
                asked = whole(), {code: pool(code) for code in CODES}, str((sizes, wallets))
            case "answer" if asked is not None:
                state.apply_reading(asked[0])
                # Of a pool that the stream moved since, the answer tells nothing.
                told_of = asked[1]
                everything, asked = asked[2], None
            case "fill":
                code = random.choice(list(CODES))
                sizes[code] = random.choice([0.0, 1.0, 2.0, 3.0])
                state.apply_update(AccountUpdate(positions=(PositionSeen(code, "BOTH", sizes[code], 100.0,
                    margin_mode=MarginMode.CROSS, settle=CODES[code]),)))  # fmt: skip
            case "wallet":
                asset = random.choice(ASSETS)
                wallets[asset] = random.choice([50.0, 100.0, -20.0])
                state.apply_update(AccountUpdate(balances=(BalanceSeen(asset, wallets[asset]),)))
            case "repeat":
                asset = random.choice(ASSETS)
                assert not state.apply_update(AccountUpdate(balances=(BalanceSeen(asset, wallets[asset]),)))
        snapshot = state.snapshot(1)
        assert {held.asset: held.quantity for held in snapshot.collateral or ()} == wallets
        for code, price in prices(state).items():
            assert price is None or told_of[code] == pool(code), (
                f"{code} after {told_of[code]}, now {pool(code)}"
            )
        assert snapshot.maintenance_usd is None or everything == str((sizes, wallets))
