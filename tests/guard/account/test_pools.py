"""What an account says becomes the pools that are liquidated together, and what it does not say is named."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec import structs

from guard.account.pools import Pool, Valued, pools_of, settle_of
from guard.account.venue_rules import VenueRules, rules_of
from guard.events import AccountSnapshot, MarginMode, Pooling, Position, PositionSource
from guard.leverage.margin_pool import Holding, PoolState
from guard.leverage.solver import liquidation_of, state_at
from guard.margin_terms import ContractKind, MarginTier, TermsSource, TierTable
from guard.units import AccountId, MarketId

ACCOUNT = AccountId("v:main")
BTC, ETH = MarketId("v:BTC/USDT:USDT"), MarketId("v:ETH/USDT:USDT")
COIN = MarketId("v:BTC/USD:BTC")
QUARTER = MarketId("v:BTC/USD:BTC-261225")
MARKS = {BTC: 100.0, ETH: 10.0, COIN: 100.0, QUARTER: 101.0}


def table(market: MarketId, source: TermsSource = TermsSource.VENUE) -> TierTable:
    kind = ContractKind.INVERSE if market in (COIN, QUARTER) else ContractKind.LINEAR
    return TierTable(
        market=market, tiers=(MarginTier(floor=0.0, maintenance_ratio=0.01),), kind=kind, source=source
    )


def position(market: MarketId, size: float, **fields: object) -> Position:
    told: dict[str, object] = {
        "entry_price": MARKS[market],
        "mark_price": MARKS[market],
        "margin_mode": MarginMode.CROSS,
        **fields,
    }
    return Position(market=market, size=size, **told)  # type: ignore[arg-type]


def pools(
    *positions: Position,
    valued: Valued | None = None,
    marks: dict[MarketId, float] = MARKS,
    tables: Callable[[MarketId], TierTable | None] = table,
    **fields: object,
) -> dict[str, Pool]:
    told = AccountSnapshot(
        received_at=0,
        account=ACCOUNT,
        source=PositionSource.VENUE,
        positions=positions,
        **fields,  # type: ignore[arg-type]
    )
    found = pools_of(
        told,
        positions,
        rules=VenueRules(venue="v"),
        table=lambda each: tables(each.market),
        mark=lambda each: marks.get(each.market),
        valued=valued,
    )
    return {pool.name: pool for pool in found}


def usdt(quantity: float, haircut: float = 0.0) -> Holding:
    return Holding(asset="USDT", quantity=quantity, price_usd=1.0, haircut=haircut)


def both(*holdings: Holding) -> Valued:
    return Valued(venue=holdings, own=holdings)


def state(pool: Pool) -> PoolState:
    found = state_at(pool.venue)
    assert found is not None
    return found


def test_cross_positions_share_what_they_settle_in() -> None:
    coin = position(COIN, 1.0, kind=ContractKind.INVERSE, contracts_usd=100.0)
    btc_held = Holding(asset="BTC", quantity=2.0, price_usd=99.0)
    found = pools(position(BTC, 1.0), position(ETH, -2.0), coin, valued=both(usdt(50.0), btc_held))

    assert {name: len(pool.venue.legs) for name, pool in found.items()} == {"cross USDT": 2, "cross BTC": 1}
    (coins,) = found["cross BTC"].venue.holdings
    # The coin is what its own market says, and moves with it.
    assert (coins.quantity, coins.price_usd, coins.market) == (2.0, 100.0, COIN)
    assert found["cross USDT"].venue.holdings == (usdt(50.0),)


def test_in_one_pool_everything_backs_everything() -> None:
    held = both(usdt(50.0), Holding(asset="BTC", quantity=1.0, price_usd=100.0, haircut=0.05))
    found = pools(position(BTC, 1.0), position(ETH, -2.0), valued=held, pooling=Pooling.ONE_POOL)

    assert list(found) == ["cross"]
    assert state(found["cross"]).equity_usd == pytest.approx(50.0 + 95.0)


def test_an_isolated_position_stands_on_its_margin_which_the_wallet_holds_too() -> None:
    alone = position(BTC, -1.0, margin_mode=MarginMode.ISOLATED, margin_usd=20.0)
    found = pools(alone, position(ETH, 1.0), valued=both(usdt(50.0)))

    assert found["isolated BTC/USDT:USDT short"].venue.holdings == (usdt(20.0),)
    assert found["cross USDT"].venue.holdings == (usdt(30.0),)


def test_the_margin_of_an_isolated_inverse_position_is_coins() -> None:
    alone = position(
        COIN, 1.0, kind=ContractKind.INVERSE, contracts_usd=100.0, margin_mode=MarginMode.ISOLATED, margin=0.2
    )
    (pool,) = pools(alone, valued=both()).values()
    (held,) = pool.venue.holdings
    assert (held.asset, held.quantity, held.market) == ("BTC", 0.2, COIN)


def test_contracts_on_one_coin_that_it_alone_backs_are_kept_in_coins() -> None:
    """What a quarterly contract has won is so many coins where the perpetual's price falls; elsewhere it is dollars."""
    coin: dict[str, object] = {"kind": ContractKind.INVERSE, "settle": "BTC"}
    held = (
        position(COIN, 9.0, contracts_usd=900.0, **coin),
        position(QUARTER, -8.0, contracts_usd=-800.0, **{**coin, "entry_price": 120.0}),
    )
    coins = both(Holding(asset="BTC", quantity=4.0, price_usd=100.0))
    pool = pools(*held, valued=coins)["cross BTC"].venue
    assert pool.in_coin
    # 900 x 1.01 USD over 4 coins, 9 coins of value, what the short has won less 1 % of its 800 / 101 coins.
    others = -800.0 * (1 / 120.0 - 1 / 101.0) - 8.0 / 101.0
    assert liquidation_of(pool, COIN).price == pytest.approx(909.0 / (4.0 + 9.0 + others))
    together = pools(*held, valued=coins, pooling=Pooling.ONE_POOL)["cross"].venue
    assert not together.in_coin
    assert not pools(position(BTC, 1.0), valued=both(usdt(50.0)))["cross USDT"].venue.in_coin


def test_both_valuations_are_kept_apart_only_where_they_differ() -> None:
    same = pools(position(BTC, 1.0), valued=both(usdt(50.0)))["cross USDT"]
    assert same.own is same.venue
    differ = pools(position(BTC, 1.0), valued=Valued(venue=(usdt(50.0),), own=(usdt(50.0, 0.3),)))[
        "cross USDT"
    ]
    assert differ.own.holdings == (usdt(50.0, 0.3),)
    assert differ.venue.holdings == (usdt(50.0),)


def test_without_collateral_by_asset_the_wallet_is_one_sum() -> None:
    found = pools(position(BTC, 1.0, entry_price=90.0), equity_usd=60.0)
    # 10 of the equity is profit, which the position brings itself.
    assert state(found["cross USDT"]).equity_usd == pytest.approx(60.0)


@pytest.mark.parametrize(
    ("fields", "changes", "named"),
    [
        ({"entry_price": None}, {}, "no entry price"),
        ({}, {"marks": {}}, "no price of"),
        ({}, {"tables": lambda _: None}, "no margin tiers"),
        ({}, {"equity_usd": None}, "neither margin nor leverage"),
    ],
)
def test_what_is_missing_is_named(fields: dict[str, object], changes: dict[str, object], named: str) -> None:
    (pool,) = pools(position(BTC, 1.0, **fields), **{"equity_usd": 60.0, **changes}).values()  # type: ignore[arg-type]
    assert any(named in words for words in pool.missing)


def test_what_we_put_in_ourselves_is_named_too() -> None:
    (pool,) = pools(
        position(BTC, 1.0, margin_mode=MarginMode.ISOLATED, leverage=10.0),
        tables=lambda market: table(market, TermsSource.FORMULA),
    ).values()
    assert pool.missing == ()
    assert [words.split(" ")[0] for words in pool.guessed] == ["margin", "margin:"]
    assert pool.venue.holdings == (usdt(10.0),)


def test_maintenance_that_no_position_explains_is_charged_to_the_cross_pool() -> None:
    explained = pools(position(BTC, 1.0), valued=both(usdt(50.0)), maintenance_usd=1.0)["cross USDT"]
    assert (explained.venue.other_maintenance_usd, explained.guessed) == (0.0, ())
    hidden = pools(position(BTC, 1.0), valued=both(usdt(50.0)), maintenance_usd=5.0)["cross USDT"]
    assert hidden.venue.other_maintenance_usd == pytest.approx(4.0)
    assert hidden.own.other_maintenance_usd == pytest.approx(4.0)
    assert state(hidden).free_usd == pytest.approx(45.0)


def test_the_venue_may_name_the_settle_asset_itself() -> None:
    assert settle_of(position(BTC, 1.0, settle="USDe")) == "USDe"
    assert settle_of(position(COIN, 1.0)) == "BTC"


def test_in_one_pool_some_venues_let_nobody_isolate_a_position() -> None:
    told = AccountSnapshot(
        received_at=0, account=ACCOUNT, source=PositionSource.VENUE, pooling=Pooling.ONE_POOL, equity_usd=60.0
    )
    for venue, pooling, may in (
        ("binanceusdm", Pooling.ONE_POOL, False),
        ("binanceusdm", Pooling.BY_SETTLE_ASSET, True),
        ("bybit", Pooling.ONE_POOL, False),
        ("okx", Pooling.ONE_POOL, True),
    ):
        (pool,) = pools_of(
            structs.replace(told, pooling=pooling),
            (position(BTC, 1.0),),
            rules=rules_of(venue),
            table=lambda each: table(each.market),
            mark=lambda each: MARKS[each.market],
            valued=both(usdt(50.0)),
        )
        assert pool.may_isolate is may
