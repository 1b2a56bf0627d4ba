"""What collateral is worth to the venue and to us, what speaks against it, and where it counts."""

from __future__ import annotations

from math import isfinite

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.account.collateral import (
    HaircutSettings,
    assets_to_price,
    haircut,
    holdings_of,
    venue_haircut,
)
from guard.account.correlation import base_of, correlated_share
from guard.account.peg_settings import AssetKind
from guard.account.pegs import Depeg, PegBook
from guard.account.positions import AccountView
from guard.account.risk import HoldingRisk
from guard.events import (
    AccountSnapshot,
    AssetPrice,
    AssetPricesSeen,
    CollateralHeld,
    MarginMode,
    Pooling,
    Position,
    PositionSource,
)
from guard.leverage.margin_pool import Holding, Leg, MarginPool
from guard.leverage.solver import state_at
from guard.leverage.tiers import margin_tiers
from guard.margin_terms import CollateralTerms, HaircutTier
from guard.units import AccountId, MarketId

ACCOUNT = AccountId("binanceusdm:main")
BTC, ETH = MarketId("binanceusdm:BTC/USDT:USDT"), MarketId("binanceusdm:ETH/USDT:USDT")
OTHERS = ("bybit", "okx", "kraken")


def book(**mids: float) -> PegBook:
    """Prices at three venues that are not the account's, pairs written as ``USDE_USD``."""
    pegs = PegBook()
    for venue in OTHERS:
        tell(pegs, venue, **mids)
    return pegs


def tell(pegs: PegBook, venue: str, **mids: float) -> None:
    prices = tuple(
        AssetPrice(asset=asset, quote=quote, bid=mid, ask=mid)
        for (asset, quote), mid in ((pair.split("_"), mid) for pair, mid in mids.items())
    )
    pegs.apply(AssetPricesSeen(received_at=0, venue=venue, prices=prices))


def held(
    asset: str,
    quantity: float,
    venue_price: float | None = None,
    venue_haircut: float | None = 0.0,
    *,
    is_collateral: bool = True,
) -> CollateralHeld:
    return CollateralHeld(
        asset=asset,
        quantity=quantity,
        venue_price_usd=venue_price,
        venue_haircut=venue_haircut,
        is_collateral=is_collateral,
    )


def account(
    *collateral: CollateralHeld,
    positions: tuple[Position, ...] = (),
    pooling: Pooling = Pooling.ONE_POOL,
) -> AccountSnapshot:
    return AccountSnapshot(
        received_at=0,
        account=ACCOUNT,
        source=PositionSource.VENUE,
        positions=positions,
        pooling=pooling,
        collateral=collateral,
    )


def long_btc(size: float = 1.0, market: MarketId = BTC) -> Position:
    return Position(
        market=market, size=size, entry_price=50_000.0, mark_price=50_000.0, margin_mode=MarginMode.CROSS
    )


def valued(
    snapshot: AccountSnapshot, pegs: PegBook, *, stress: float = 0.0, terms: CollateralTerms | None = None
) -> tuple[Holding, Holding, HoldingRisk]:
    """The first asset as we value it, as the venue does, and why."""
    own, venue, risks = holdings_of(snapshot, lambda _: terms, pegs, stress=stress, now=0)
    return own[0], venue[0], risks[0]


# ---------------------------------------------------------------- the haircut

SHARE = st.one_of(st.none(), st.floats(-1.0, 2.0))


@given(
    SHARE, st.one_of(st.none(), st.floats(0.0, 50.0)), st.one_of(st.none(), st.floats()), st.floats(0.0, 1.0)
)
def test_a_haircut_is_a_share_and_the_largest_of_its_parts(
    venue: float | None, deviation: float | None, slippage_bps: float | None, least: float
) -> None:
    depeg = None if deviation is None else Depeg(value=deviation)
    share, parts = haircut(venue=venue, depeg=depeg, slippage_bps=slippage_bps, least=least)

    assert 0.0 <= share <= 1.0
    assert share == max(parts.values())
    assert all(0.0 <= part <= 1.0 for part in parts.values())


@given(st.lists(st.tuples(st.floats(0.0, 1.0), st.floats(0.0, 1.0)), min_size=4, max_size=4))
def test_a_haircut_never_falls_as_one_of_its_parts_rises(pairs: list[tuple[float, float]]) -> None:
    low, high = [min(pair) for pair in pairs], [max(pair) for pair in pairs]
    for each in range(4):
        worse = [*low[:each], high[each], *low[each + 1 :]]
        assert share_of(*worse) >= share_of(*low)


def share_of(venue: float, deviation: float, slippage: float, least: float) -> float:
    return haircut(venue=venue, depeg=Depeg(value=deviation), slippage_bps=slippage * 10_000.0, least=least)[
        0
    ]


def test_each_part_can_decide() -> None:
    base = {"venue": 0.1, "depeg": Depeg(value=0.1), "slippage_bps": 100.0, "least": 0.05}
    for worse, expected in (
        ({"venue": 0.5}, 0.5),
        ({"depeg": Depeg(value=0.6931471805599453)}, 0.5),
        ({"slippage_bps": 5_000.0}, 0.5),
        ({"least": 0.5}, 0.5),
    ):
        assert haircut(**{**base, **worse})[0] == pytest.approx(expected)  # type: ignore[arg-type]


def test_what_is_unknown_has_no_part() -> None:
    assert haircut(venue=None, depeg=None, slippage_bps=None, least=0.02) == (0.02, {"stress": 0.02})


@given(st.sampled_from(AssetKind), st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_stress_never_makes_the_least_haircut_smaller(kind: AssetKind, one: float, other: float) -> None:
    settings = HaircutSettings()
    assert 0.0 <= settings.of(kind, min(one, other)) <= settings.of(kind, max(one, other)) <= 1.0


def test_parts_of_a_holding_have_haircuts_of_their_own() -> None:
    tiers = (HaircutTier(floor_usd=0.0, haircut=0.0), HaircutTier(floor_usd=1_000.0, haircut=0.5))
    terms = CollateralTerms(asset="BTC", tiers=tiers)

    assert venue_haircut(terms, 1_000.0) == 0.0
    assert venue_haircut(terms, 2_000.0) == pytest.approx(0.25)
    assert venue_haircut(CollateralTerms(asset="X"), 5.0) == 1.0
    assert venue_haircut(None, 5.0) is None


# ---------------------------------------------------------------- two valuations


def test_a_depeg_at_the_own_venue_alone_leaves_our_haircut_and_moves_the_venues_valuation() -> None:
    pegs = book(USDE_USD=1.0)
    tell(pegs, "binance", USDE_USD=0.7)
    own, venue, risk = valued(account(held("USDE", 1_000.0, 0.7)), pegs)

    assert risk.haircut == HaircutSettings().stable_base
    assert risk.parts["depeg"] == pytest.approx(0.0, abs=1e-9)
    assert own.value_usd == pytest.approx(990.0)
    assert venue.value_usd == pytest.approx(700.0)


def test_a_depeg_over_venues_raises_our_haircut_while_the_venue_counts_it_at_par() -> None:
    own, venue, risk = valued(account(held("USDE", 1_000.0, 1.0)), book(USDE_USD=0.7))

    assert risk.haircut == risk.parts["depeg"] == pytest.approx(0.3)
    assert risk.reference_usd == pytest.approx(0.7)
    assert own.value_usd == pytest.approx(490.0)
    assert venue.value_usd == pytest.approx(1_000.0)


def test_the_venues_word_on_the_account_counts_before_its_terms() -> None:
    terms = CollateralTerms(asset="USDE", tiers=(HaircutTier(floor_usd=0.0, haircut=0.5),))
    pegs = book(USDE_USD=1.0)

    assert valued(account(held("USDE", 1.0, 1.0, 0.05)), pegs, terms=terms)[1].haircut == 0.05
    assert valued(account(held("USDE", 1.0, 1.0, None)), pegs, terms=terms)[1].haircut == 0.5


def test_where_nobody_tells_the_venues_haircut_ours_stands_in_and_it_is_said() -> None:
    own, venue, risk = valued(account(held("USDE", 1.0, 1.0, None)), book(USDE_USD=1.0))

    assert venue.haircut == own.haircut
    assert any("leaves away" in words for words in risk.missing)


def test_without_a_reference_it_is_valued_as_the_venue_does_and_that_is_said() -> None:
    pegs = PegBook()
    tell(pegs, "binance", WBETH_USDT=2_000.0)
    own, _, risk = valued(account(held("WBETH", 1.0, 1_900.0)), pegs)

    assert (own.price_usd, risk.reference_usd) == (1_900.0, None)
    assert any("nobody but binance" in words for words in risk.missing)


def test_an_asset_without_any_price_counts_nothing() -> None:
    own, venue, risk = valued(account(held("FOO", 5.0)), PegBook())

    assert (own.value_usd, venue.value_usd) == (0.0, 0.0)
    assert any("counts nothing" in words for words in risk.missing)


def test_a_debt_without_any_price_makes_the_pool_unknown() -> None:
    own, _, risk = valued(account(held("FOO", -5.0)), PegBook())

    assert state_at(MarginPool(legs=(), holdings=(own,))) is None
    assert any("owed" in words for words in risk.missing)


def test_a_debt_counts_at_the_dearer_of_two_prices_and_without_a_haircut() -> None:
    pegs = PegBook()
    tell(pegs, "bybit", BTC_USD=50_000.0)
    tell(pegs, "okx", BTC_USD=60_000.0)
    own, _, _ = valued(account(held("BTC", -1.0)), pegs)

    assert own.value_usd == pytest.approx(-60_000.0)


def test_what_the_venue_takes_for_no_collateral_is_left_out() -> None:
    pegs = book(USDE_USD=1.0)
    own, venue, risks = holdings_of(
        account(held("USDE", 1.0, 1.0, is_collateral=False)), lambda _: None, pegs, stress=0.0, now=0
    )
    assert (own, venue, len(risks), risks[0].share) == ((), (), 1, 0.0)

    nothing = CollateralTerms(asset="USDE")
    assert holdings_of(account(held("USDE", 1.0, 1.0)), lambda _: nothing, pegs, stress=0.0, now=0)[0] == ()


def test_thinned_books_raise_the_least_haircut() -> None:
    snapshot, pegs = account(held("BTC", 1.0, 50_000.0)), book(BTC_USD=50_000.0)
    calm, stressed = valued(snapshot, pegs)[2], valued(snapshot, pegs, stress=1.0)[2]

    assert calm.parts["stress"] == pytest.approx(0.02)
    assert stressed.haircut == pytest.approx(0.17)


def test_what_selling_it_would_cost_counts_where_a_book_is_watched() -> None:
    asked: list[tuple[str, float]] = []

    def slippage(asset: str, usd: float) -> float | None:
        asked.append((asset, usd))
        return 800.0

    snapshot, pegs = account(held("BTC", 2.0, 50_000.0)), book(BTC_USD=50_000.0)
    _, _, risks = holdings_of(snapshot, lambda _: None, pegs, stress=0.0, now=0, slippage=slippage)

    ((asset, usd),) = asked
    assert (asset, round(usd)) == ("BTC", 100_000)
    assert risks[0].parts["slippage"] == pytest.approx(0.08)
    assert not any("book" in words for words in risks[0].missing)
    assert any("book" in words for words in valued(snapshot, pegs)[2].missing)


# ---------------------------------------------------------------- where it stands


def test_what_backs_only_its_own_positions_is_counted_in_itself() -> None:
    """Neither a price of USDT nor a haircut liquidates positions that are paid and margined in USDT."""
    snapshot = account(held("USDT", 1_000.0, 0.95), positions=(long_btc(),), pooling=Pooling.BY_SETTLE_ASSET)
    own, venue, risk = valued(snapshot, book(USDT_USD=0.95))

    assert (own.value_usd, venue.value_usd) == (1_000.0, 1_000.0)
    assert (risk.haircut, risk.parts) == (0.0, {})


def test_one_pool_is_counted_in_the_cash_that_its_positions_are_paid_in() -> None:
    snapshot = account(held("USDT", 1_000.0, 0.95), held("USDC", 1_000.0, 1.0), positions=(long_btc(),))
    own, venue, _ = holdings_of(
        snapshot, lambda _: None, book(USDT_USD=0.95, USDC_USD=1.0), stress=0.0, now=0
    )

    assert (own[0].value_usd, venue[0].value_usd) == (1_000.0, 1_000.0)
    assert own[1].value_usd == pytest.approx(1_000.0 / 0.95)
    assert venue[1].value_usd == pytest.approx(1_000.0 / 0.95)


def test_a_coin_falls_with_the_market_of_a_position_in_it() -> None:
    snapshot = account(
        held("WBETH", 1.0, 2_160.0), held("BTC", 1.0, 50_000.0), positions=(long_btc(1.0, ETH),)
    )
    own, _, _ = holdings_of(snapshot, lambda _: None, book(WBETH_USD=2_160.0), stress=0.0, now=0)

    assert [each.market for each in own] == [ETH, None]
    leg = Leg(
        market=ETH, size=1.0, entry_price=2_000.0, mark_price=2_000.0, tiers=margin_tiers([(0, 0.01, 50)])
    )
    pool = MarginPool(legs=(leg,), holdings=own[:1])
    calm, fallen = state_at(pool), state_at(pool, {ETH: 1_000.0})
    assert calm is not None
    assert fallen is not None
    assert calm.equity_usd - fallen.equity_usd == pytest.approx(1_000.0 + own[0].value_usd / 2.0)


def test_an_isolated_position_moves_no_collateral_of_the_pool() -> None:
    isolated = Position(market=ETH, size=1.0, mark_price=2_000.0, margin_mode=MarginMode.ISOLATED)
    own, _, _ = valued(account(held("ETH", 1.0, 2_000.0), positions=(isolated,)), book(ETH_USD=2_000.0))

    assert own.market is None


@pytest.mark.parametrize(
    ("collateral", "pooling", "positions", "expected"),
    [
        (("USDT",), Pooling.ONE_POOL, (long_btc(),), set()),
        (("USDT",), Pooling.ONE_POOL, (), set()),
        (("USDT", "USDC"), Pooling.ONE_POOL, (long_btc(),), {"USDT", "USDC"}),
        (("USDT", "sUSDe"), Pooling.PORTFOLIO, (), {"USDT", "USDC", "SUSDE", "USDE"}),
        (("USDT", "BTC"), Pooling.BY_SETTLE_ASSET, (long_btc(),), set()),
    ],
)
def test_only_prices_that_could_liquidate_are_asked(
    collateral: tuple[str, ...], pooling: Pooling, positions: tuple[Position, ...], expected: set[str]
) -> None:
    view = AccountView(ACCOUNT)
    view.apply_snapshot(
        account(*(held(asset, 1.0) for asset in collateral), positions=positions, pooling=pooling)
    )

    assert assets_to_price([view], PegBook()) == expected
    assert assets_to_price([view], PegBook(), always=("ETH",)) == expected | {"ETH", "USDT", "USDC"}


def test_of_the_money_itself_nothing_but_its_haircut_can_be_missing() -> None:
    snapshot = account(held("USDT", 1_000.0, None), held("USDE", 1.0), positions=(long_btc(),))
    _, _, risks = holdings_of(snapshot, lambda _: None, PegBook(), stress=0.0, now=0)

    (told, other) = (risk.missing for risk in risks)
    assert told == ()
    assert other
    unknown = account(held("USDT", 1_000.0, None, None), positions=(long_btc(),))
    assert "leaves away" in str(valued(unknown, PegBook())[2].missing)


# ---------------------------------------------------------------- concentration


def test_collateral_that_falls_with_the_positions_is_named_and_limited() -> None:
    pegs = book(BTC_USD=50_000.0, WBETH_USD=2_000.0, BNB_USD=500.0, USDC_USD=1.0)
    snapshot = account(
        held("USDC", 100_000.0, 1.0),
        held("BTC", 0.2, 50_000.0),
        held("WBETH", 2.5, 2_000.0),
        held("BNB", 10.0, 500.0),
        positions=(long_btc(),),
    )
    _, _, risks = holdings_of(snapshot, lambda _: None, pegs, stress=0.0, now=0)

    assert [risk.correlated_with for risk in risks] == [None, "BTC", "market", "binance"]
    assert sum(risk.share for risk in risks) == pytest.approx(1.0)
    assert correlated_share(risks) == pytest.approx(0.164, abs=0.01)


def test_collateral_in_the_coin_of_a_short_hedges() -> None:
    pegs = book(BTC_USD=50_000.0)
    snapshot = account(held("BTC", 1.0, 50_000.0), positions=(long_btc(-1.0),))

    assert valued(snapshot, pegs)[2].correlated_with is None


def test_coins_that_venues_list_by_the_thousand_are_the_same_coins() -> None:
    names = ("1000PEPE/USDT:USDT", "1000000MOG/USDT:USDT", "1MBABYDOGE/USDT:USDT", "1INCH/USDT:USDT")
    assert [base_of(MarketId(f"bybit:{name}")) for name in names] == ["PEPE", "MOG", "BABYDOGE", "1INCH"]


@pytest.mark.parametrize("name", ["stable_base", "coin_stress", "correlated_share_max"])
def test_shares_that_are_none_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        HaircutSettings(**{name: 1.5})


@given(
    st.lists(
        st.tuples(
            st.sampled_from(("USDT", "USDE", "WBETH", "BTC", "FOO")),
            st.floats(),
            st.one_of(st.none(), st.floats()),
            st.one_of(st.none(), st.floats()),
        ),
        max_size=5,
    ),
    st.floats(),
    st.sampled_from(Pooling),
)
def test_odd_numbers_raise_nothing(
    told: list[tuple[str, float, float | None, float | None]], stress: float, pooling: Pooling
) -> None:
    collateral = tuple(held(asset, quantity, price, share) for asset, quantity, price, share in told)
    snapshot = account(*collateral, positions=(long_btc(),), pooling=pooling)
    own, venue, risks = holdings_of(snapshot, lambda _: None, book(USDE_USD=0.9), stress=stress, now=0)

    assert len(own) == len(venue) <= len(risks)
    for risk in risks:
        assert 0.0 <= risk.haircut <= 1.0
        assert 0.0 <= risk.share <= 1.0
        assert risk.venue_usd is None or isfinite(risk.venue_usd)
