"""Accounts in multi-assets mode: collateral counts as the venue values it, and is sold before others pay."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from adapters.simulation import DialectName, LoopbackSettings, LoopbackVenue, VenueAccountSpec
from adapters.simulation.assets import AssetIndex
from adapters.simulation.errors import Refusal
from adapters.simulation.ledger import Ledger, MarginType
from adapters.simulation.margin import ZERO, BracketTable
from adapters.simulation.settings import DEFAULT_TIERS, MarginAsset
from tests.adapters.simulation.bybit import clients as bybit
from tests.adapters.simulation.clients import ALICE, client
from tests.adapters.simulation.harness import CODE, Exchange, is_conserved
from tests.adapters.simulation.steady import SteadySource
from tests.support.eventually import eventually

TABLE = BracketTable(DEFAULT_TIERS)
CAROL = VenueAccountSpec("carol", "key-carol", "secret-carol", 10_000, collateral={"USDE": 20_000})
CODES = (CODE, "ETHUSDT", "SOLUSDT")


def venue(*accounts: VenueAccountSpec, **settings: Any) -> LoopbackVenue:
    return LoopbackVenue(SteadySource(symbols=CODES), accounts=accounts or (CAROL,), hold=True, **settings)


# The arithmetic


def test_collateral_counts_for_its_price_less_the_haircut_and_a_debt_for_more() -> None:
    assets = AssetIndex(
        [MarginAsset(asset="USDT", price_usd=Decimal(1)), MarginAsset(asset="A", haircut=Decimal("0.1"))]
    )

    with pytest.raises(KeyError, match="no margin asset with a price"):
        assets.value_usd("A", Decimal(1))
    assets.set_price("A", Decimal(2))

    assert assets.value_usd("A", Decimal(10)) == Decimal(18)
    assert assets.value_usd("A", Decimal(-10)) == Decimal(-22)


def test_a_coin_is_worth_what_its_market_says() -> None:
    exchange = Exchange(price=50_000.0)
    alice = exchange.account(0, BTC=2)

    assert alice.ledger.collateral_usdt == 2 * 50_000 * Decimal("0.95")


@pytest.mark.parametrize(
    ("asset", "price"), [("USDE", 0.0), ("USDE", -1.0), ("USDE", float("nan")), ("USDE", float("inf"))]
)
async def test_what_is_no_price_is_refused(asset: str, price: float) -> None:
    with pytest.raises(ValueError, match="USD is none"):
        venue().set_asset_price(asset, price)


def test_what_the_venue_does_not_know_is_refused() -> None:
    here = venue()
    with pytest.raises(KeyError, match="NOPE"):
        here.set_asset_price("NOPE", 1.0)
    with pytest.raises(KeyError, match="NOPE"):
        here.set_haircut("NOPE", 0.1)
    with pytest.raises(ValueError, match="USDT"):
        here.set_haircut("USDT", 0.1)
    with pytest.raises(ValueError, match=r"margin_tiers\.1"):
        here.set_brackets((DEFAULT_TIERS[0], DEFAULT_TIERS[2]))
    with pytest.raises(ValueError, match="'dave': NOPE is no collateral"):
        venue(VenueAccountSpec("dave", "k", "s", collateral={"NOPE": 1}))
    with pytest.raises(ValueError, match="'carol': hyperliquid"):
        venue(CAROL, dialect=DialectName.HYPERLIQUID)
    with pytest.raises(ValueError, match="USDT must be among them"):
        LoopbackSettings(margin_assets=(MarginAsset(asset="USDC", price_usd=Decimal(1)),))


sizes = st.decimals("0.01", "3", places=2).flatmap(lambda size: st.sampled_from([size, -size]))


@given(
    sizes=st.lists(sizes, min_size=1, max_size=3),
    held=st.decimals("0", "1000000", places=2),
    price=st.decimals("0.2", "2", places=4),
    wallet=st.decimals("0", "200000", places=2),
)
def test_at_the_liquidation_price_collateral_and_margin_just_fail(
    sizes: list[Decimal], held: Decimal, price: Decimal, wallet: Decimal
) -> None:
    assets = AssetIndex()
    assets.set_price("USDE", price)
    ledger = Ledger(wallet, 20, assets, {"USDE": held}, multi_assets=True)
    for symbol, size in zip(CODES, sizes, strict=False):
        ledger.fill(symbol, size, Decimal(60_000), ZERO)
    marks = dict.fromkeys(CODES, Decimal(61_000))

    at = ledger.liquidation_price(CODES[0], marks, TABLE)
    assume(at > ZERO)
    assume(TABLE.of(abs(sizes[0]) * at) == TABLE.of(abs(sizes[0]) * 61_000))
    health = ledger.cross_health({**marks, CODES[0]: at}, TABLE)

    assert abs(health.balance - health.maintenance) < Decimal("1e-6")


# What happens to accounts


def test_a_depeg_alone_liquidates_and_the_collateral_pays_before_the_insurance_fund() -> None:
    exchange = Exchange(settings=LoopbackSettings(liquidation_fee_ratio=Decimal("0.0005")))
    carol = exchange.account(100, name="carol", leverage=50, USDE=2_000)
    exchange.order(carol, "BUY", quantity="1")
    exchange.move(59_500.0)
    assert carol.ledger.position(CODE).amount == 1

    exchange.engine.assets.set_price("USDE", Decimal("0.3"))
    exchange.engine.on_terms()

    (liquidation,) = carol.liquidations
    assert liquidation.insurance == 0
    assert carol.ledger.position(CODE).amount == 0
    assert carol.ledger.wallet >= 0
    assert 0 < carol.ledger.collateral["USDE"] < 2_000
    assert is_conserved(carol)
    (told,) = (event["a"] for event in exchange.events("carol", "ACCOUNT_UPDATE") if is_exchange(event))
    usdt, usde = told["B"]
    assert (usdt["a"], usde["a"]) == ("USDT", "USDE")
    assert Decimal(usdt["bc"]) == carol.ledger.exchanged
    assert Decimal(usde["wb"]) == carol.ledger.collateral["USDE"] == 2_000 + Decimal(usde["bc"])


def is_exchange(event: dict[str, Any]) -> bool:
    return bool(event["a"]["m"] == "AUTO_EXCHANGE")


def test_what_collateral_cannot_pay_the_insurance_fund_does() -> None:
    exchange = Exchange()
    carol = exchange.account(100, name="carol", leverage=50, USDE=2_000)
    exchange.order(carol, "BUY", quantity="1")
    exchange.move(55_000.0)

    (liquidation,) = carol.liquidations
    assert liquidation.insurance > 0
    assert carol.ledger.wallet == carol.ledger.collateral["USDE"] == 0
    assert is_conserved(carol)


def test_dearer_brackets_liquidate_who_can_no_longer_carry_them() -> None:
    exchange = Exchange()
    alice = exchange.account(1_500, leverage=50)
    exchange.order(alice, "BUY", quantity="1")
    dearer = tuple(
        tier.model_copy(update={"maintenance_rate": tier.maintenance_rate * 8}) for tier in DEFAULT_TIERS
    )

    exchange.engine.on_terms()
    assert alice.liquidations == []
    exchange.engine.table.set(dearer)
    exchange.engine.on_terms()

    assert [liquidation.symbol for liquidation in alice.liquidations] == [CODE]


def test_the_mode_changes_only_where_nothing_stands_in_its_way() -> None:
    exchange = Exchange()
    alice, carol = exchange.account(1_000), exchange.account(100, name="carol", USDE=2_000)
    engine = exchange.engine

    def refused(code: int, account: Any, *, wanted: bool) -> None:
        with pytest.raises(Refusal) as caught:
            engine.set_multi_assets(account, wanted=wanted)
        assert caught.value.code == code

    refused(-4171, alice, wanted=False)
    with pytest.raises(Refusal) as caught:
        engine.set_margin_type(carol, CODE, MarginType.ISOLATED)
    assert caught.value.code == -4168
    engine.set_margin_type(alice, CODE, MarginType.ISOLATED)
    refused(-4167, alice, wanted=True)

    exchange.order(carol, "BUY", quantity="0.5")
    refused(-4169, carol, wanted=False)
    assert carol.ledger.multi_assets
    resting = exchange.order(carol, "BUY", "LIMIT", quantity="0.01", price="50000")
    refused(-4170, carol, wanted=False)
    engine.cancel(carol, resting)
    exchange.order(carol, "SELL", quantity="0.5")
    engine.set_multi_assets(carol, wanted=False)
    assert carol.ledger.collateral_usdt == 0


async def test_collateral_moves_in_and_out_as_far_as_nothing_stands_on_it() -> None:
    async with venue() as here:
        here.trade("carol", CODE, 5.0)
        with pytest.raises(ValueError, match=r"USDE: 18000\.0 are not free"):
            here.transfer("carol", "USDE", -18_000.0)
        here.transfer("carol", "USDE", -5_000.0)
        here.transfer("carol", "USDC", 1_000.0)
        state = here.account_state("carol")

    assert state.collateral == {"USDE": 15_000, "USDC": 1_000}
    assert state.collateral_usdt == 15_000 * Decimal("0.99") + 1_000 * Decimal("0.9999")


async def test_a_depeg_and_dearer_brackets_can_be_ordered_for_a_while() -> None:
    async with venue() as here:
        here.trade("carol", CODE, 1.0)
        before = here.account_state("carol")
        plan = """{"faults": [
            {"kind": "depeg", "asset": "USDE", "price_ratio": 0.8},
            {"kind": "depeg", "asset": "USDE", "price_ratio": 0.5, "for_s": 0.05},
            {"kind": "tighten", "maintenance_ratio": 3}]}"""
        here.misbehave_as(plan)
        deepest = here.asset_price("USDE")
        tight = here.account_state("carol").maintenance_usdt
        here.set_asset_price("USDE", 0.9)
        await eventually(lambda: here.asset_price("USDE") == pytest.approx(0.72))
        here.behave()
        after = here.account_state("carol")

    assert deepest == pytest.approx(0.4)
    assert tight == 3 * before.maintenance_usdt
    assert after.maintenance_usdt == before.maintenance_usdt
    assert after.collateral_usdt == 20_000 * Decimal("0.9") * Decimal("0.99")


# What clients are told


async def test_ccxt_reads_mode_assets_and_totals() -> None:
    async with venue() as here, client(here, CAROL) as carol:
        for code, size in zip(CODES, (1.0, -0.8, 0.6), strict=True):
            here.trade("carol", code, size)
        here.set_asset_price("USDE", 0.7)
        here.set_adl_rank("carol", CODE, 3)
        account = await carol.fapiPrivateV3GetAccount()
        mode = await carol.fapiPrivateGetMultiAssetsMargin()
        index = {row["symbol"]: row for row in await carol.fapiPublicGetAssetIndex()}
        balance = await carol.fetch_balance()
        balances = await carol.fapiPrivateV3GetBalance()
        positions = await carol.fapiPrivateV3GetPositionRisk()
        ranks = await carol.fetch_positions_adl_rank()
        state = here.account_state("carol")

    assert mode == {"multiAssetsMargin": True}
    assert float(index["USDEUSD"]["bidRate"]) == pytest.approx(0.7 * 0.99)
    assert float(index["USDEUSD"]["askRate"]) == pytest.approx(0.7 * 1.01)
    assert float(index["BTCUSD"]["bidRate"]) == pytest.approx(60_000 * 0.95)
    assert balance["USDE"]["total"] == 20_000
    assert {row["asset"]: float(row["balance"]) for row in balances}["USDE"] == 20_000
    assert {row["asset"]: row["walletBalance"] for row in account["assets"]}["USDE"] == "20000.00000000"
    assert float(account["totalWalletBalance"]) == pytest.approx(
        float(state.wallet_usdt) + 20_000 * 0.7 * 0.99
    )
    assert float(account["totalMarginBalance"]) == pytest.approx(float(state.equity_usdt))
    assert float(account["totalMaintMargin"]) == pytest.approx(float(state.maintenance_usdt))
    assert [float(row["liquidationPrice"]) for row in positions] == pytest.approx(
        [float(position.liquidation_price) for position in state.positions]
    )
    assert all(position.liquidation_price > 0 for position in state.positions)
    assert {row["symbol"]: row["adl"] for row in positions} == {CODE: 3, "ETHUSDT": 1, "SOLUSDT": 1}
    assert {rank["symbol"]: rank["rank"] for rank in ranks}["BTC/USDT:USDT"] == 3


async def test_bybits_unified_account_counts_every_coin() -> None:
    async with venue(dialect=DialectName.BYBIT) as here, bybit.client(here, CAROL) as carol:
        here.trade("carol", CODE, 1.0)
        here.set_asset_price("USDE", 0.7)
        balance = await carol.fetch_balance()
        told = await carol.privateGetV5AccountWalletBalance({"accountType": "UNIFIED"})
        ratios = await carol.publicGetV5SpotMarginTradeCollateral({"currency": "USDE"})
        (position,) = await carol.fetch_positions()
        state = here.account_state("carol")

    wallet = told["result"]["list"][0]
    assert balance["USDE"]["total"] == 20_000
    assert float(wallet["totalMarginBalance"]) == pytest.approx(float(state.equity_usdt))
    assert float(wallet["totalEquity"]) - float(wallet["totalMarginBalance"]) == pytest.approx(140.0)
    assert {row["coin"]: float(row["usdValue"]) for row in wallet["coin"]}["USDE"] == pytest.approx(14_000)
    mark = float(state.positions[0].mark_price)
    assert float(wallet["totalMaintenanceMargin"]) == pytest.approx(mark * (0.004 + 0.00055)), "and the fee"
    assert float(wallet["accountMMRate"]) == pytest.approx(float(state.maintenance_usdt / state.equity_usdt))
    (row,) = ratios["result"]["list"]
    assert (row["currency"], row["collateralRatioList"][0]["collateralRatio"]) == ("USDE", "0.99")
    assert position["liquidationPrice"] == pytest.approx(float(state.positions[0].liquidation_price))


async def test_ccxt_changes_the_mode() -> None:
    async with venue(ALICE) as here, client(here, ALICE) as alice:
        before = await alice.fapiPrivateV2GetAccount()
        await alice.fapiPrivatePostMultiAssetsMargin({"multiAssetsMargin": "true"})
        after = await alice.fapiPrivateV2GetAccount()

    assert (before["multiAssetsMargin"], after["multiAssetsMargin"]) == (False, True)


async def test_brackets_are_fetched_as_they_are_now() -> None:
    dearer = tuple(
        tier.model_copy(update={"maintenance_rate": tier.maintenance_rate * 2}) for tier in DEFAULT_TIERS
    )
    async with venue(ALICE) as here, client(here, ALICE) as alice:
        await alice.fetch_leverage_tiers([])
        here.set_brackets(dearer)
        told = await alice.fapiPrivateGetLeverageBracket()

    assert [row["maintMarginRatio"] for row in told[0]["brackets"]][:2] == [0.008, 0.01]
    assert told[0]["brackets"][1]["cum"] == 500.0
