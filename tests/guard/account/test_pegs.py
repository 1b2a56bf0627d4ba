"""What assets are worth over venues: nobody's own book alone, nobody's lie, nothing stale; pegs are learned."""

from __future__ import annotations

from math import exp, isfinite, log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.account.peg_settings import AssetKind, PegSettings
from guard.account.pegs import PegBook
from guard.events import AssetPrice, AssetPricesSeen, Tick
from guard.units import NS_PER_S

VENUES = ("binance", "bybit", "okx", "kraken", "coinbase")
HOUR = 3_600.0


def at(seconds: float) -> int:
    return int(seconds * NS_PER_S)


def price(pair: str, mid: float, spread_bps: float = 2.0) -> AssetPrice:
    asset, _, quote = pair.partition("/")
    half = spread_bps / 20_000.0
    return AssetPrice(asset=asset, quote=quote, bid=mid * (1.0 - half), ask=mid * (1.0 + half))


def tell(book: PegBook, venue: str, seconds: float = 0.0, **mids: float) -> None:
    """Prices of pairs written as ``USDE_USDT``."""
    prices = tuple(price(pair.replace("_", "/"), mid) for pair, mid in mids.items())
    book.apply(AssetPricesSeen(received_at=at(seconds), venue=venue, prices=prices))


def usd(book: PegBook, asset: str, seconds: float = 0.0, own: str | None = None) -> float | None:
    seen = book.usd_price(asset, at(seconds), leaving_out=own)
    return None if seen is None else round(seen.price_usd, 4)


def test_a_price_is_the_median_over_venues() -> None:
    book = PegBook()
    for venue, mid in zip(VENUES, (0.99, 1.0, 1.01, 0.2, 5.0), strict=True):
        tell(book, venue, USDE_USD=mid)

    assert usd(book, "USDe") == 1.0


def test_what_is_quoted_in_usdt_is_told_in_usd_by_the_price_of_usdt() -> None:
    book = PegBook()
    for venue in ("kraken", "coinbase", "bitstamp"):
        tell(book, venue, USDT_USD=0.95)
    for venue in ("binance", "bybit", "okx"):
        tell(book, venue, ETH_USDT=2_000.0)

    seen = book.usd_price("ETH", at(0))
    assert seen is not None
    assert round(seen.price_usd, 2) == 1_900.0
    assert (seen.venues, seen.assumed) == (("binance", "bybit", "okx"), ())


def test_without_any_price_in_usd_usdt_counts_as_one_and_that_is_said() -> None:
    book = PegBook()
    tell(book, "binance", USDC_USDT=0.9, ETH_USDC=1_000.0)

    seen = book.usd_price("ETH", at(0))
    assert seen is not None
    assert (round(seen.price_usd, 2), seen.assumed) == (900.0, ("USDT",))
    tether = book.usd_price("USDT", at(0))
    assert tether is not None
    assert (tether.price_usd, tether.venues, tether.assumed) == (1.0, (), ("USDT",))
    assert book.depeg("USDT", at(0)) is None


def test_cash_is_priced_through_whoever_is_quoted_in_usd() -> None:
    book = PegBook()
    tell(book, "kraken", USDC_USD=0.98)
    tell(book, "bybit", USDC_USDT=1.0, SOL_USDT=100.0)

    assert (usd(book, "USDT"), usd(book, "SOL")) == (0.98, 98.0)


def test_usd_is_worth_one() -> None:
    assert usd(PegBook(), "usd") == 1.0


def test_the_accounts_own_venue_alone_is_no_reference() -> None:
    book = PegBook()
    tell(book, "binance", USDE_USDT=0.99)

    assert usd(book, "USDe") == 0.99
    assert usd(book, "USDe", own="binance") is None
    assert book.depeg("USDe", at(0), leaving_out="binance") is None
    why = book.why_unknown("USDe", at(0), leaving_out="binance")
    assert why is not None
    assert "nobody but binance" in why


def test_why_a_price_is_unknown_is_said() -> None:
    book = PegBook()
    assert "no venue" in str(book.why_unknown("USDe", at(0)))
    tell(book, "okx", USDE_USDT=1.0)
    assert book.why_unknown("USDe", at(0)) is None
    assert "okx told its price too long ago" in str(book.why_unknown("USDe", at(60)))
    tell(book, "okx", 60, FOO_BAR=1.0)
    assert "in nothing whose own price is known" in str(book.why_unknown("FOO", at(60)))


def test_a_fall_at_the_own_venue_alone_leaves_the_reference() -> None:
    book = PegBook()
    for venue, mid in (("binance", 0.7), ("bybit", 1.0), ("okx", 0.999)):
        tell(book, venue, USDE_USDT=mid)

    seen = book.usd_price("USDE", at(0), leaving_out="binance")
    assert seen is not None
    assert round(seen.price_usd, 4) == 0.999
    assert not seen.is_disputed
    depeg = book.depeg("USDE", at(0), leaving_out="binance")
    assert depeg is not None
    assert depeg.value == pytest.approx(0.001, abs=1e-4)


def test_a_fall_everywhere_is_a_depeg() -> None:
    book = PegBook()
    for venue in VENUES:
        tell(book, venue, USDE_USDT=0.7)

    depeg = book.depeg("USDE", at(0), leaving_out="binance")
    assert depeg is not None
    assert 1.0 - exp(-depeg.value) == pytest.approx(0.3, abs=1e-6)


def test_of_two_that_disagree_the_worse_counts_and_it_is_said() -> None:
    book = PegBook()
    tell(book, "bybit", USDE_USDT=1.0)
    tell(book, "okx", USDE_USDT=0.7)

    seen = book.usd_price("USDE", at(0))
    assert seen is not None
    assert (round(seen.price_usd, 4), round(seen.dearest_usd, 4), seen.is_disputed) == (0.7, 1.0, True)
    depeg = book.depeg("USDE", at(0))
    assert depeg is not None
    assert depeg.is_disputed


def test_the_own_venue_may_make_a_single_other_doubtful() -> None:
    book = PegBook()
    tell(book, "binance", USDE_USDT=0.7)
    tell(book, "okx", USDE_USDT=1.0)

    seen = book.usd_price("USDE", at(0), leaving_out="binance")
    assert seen is not None
    assert (round(seen.price_usd, 4), seen.is_disputed) == (0.7, True)


def test_cash_in_dispute_makes_what_is_quoted_in_it_disputed() -> None:
    book = PegBook()
    tell(book, "kraken", USDT_USD=0.9)
    tell(book, "coinbase", USDT_USD=1.0)
    for venue in ("binance", "bybit", "okx"):
        tell(book, venue, ETH_USDT=1_000.0)

    seen = book.usd_price("ETH", at(0))
    assert seen is not None
    assert (round(seen.price_usd), round(seen.dearest_usd), seen.is_disputed) == (900, 1_000, True)


def test_stale_prices_are_left_out_and_named() -> None:
    book = PegBook(PegSettings(stale_s=30.0))
    tell(book, "okx", 0, USDE_USDT=0.5)
    for venue in ("binance", "bybit", "kraken"):
        tell(book, venue, 31, USDE_USDT=1.0)

    seen = book.usd_price("USDE", at(31))
    assert seen is not None
    assert (round(seen.price_usd, 4), seen.stale) == (1.0, ("okx",))
    assert usd(book, "USDE", 62) is None


def test_a_pair_that_a_venue_tells_no_more_is_forgotten() -> None:
    book = PegBook()
    tell(book, "okx", 0, USDE_USDT=1.0, ETH_USDT=1_000.0)
    tell(book, "okx", 3_601, ETH_USDT=1_000.0)

    assert "no venue tells its price" in str(book.why_unknown("USDE", at(3_601)))


def test_a_book_too_wide_says_nothing() -> None:
    book = PegBook()
    book.apply(AssetPricesSeen(received_at=0, venue="okx", prices=(price("USDE/USDT", 0.5, 9_000.0),)))

    assert usd(book, "USDE") is None


def test_a_venue_speaks_by_its_narrowest_pair() -> None:
    book = PegBook()
    prices = (price("ETH/USD", 1_000.0, 2.0), price("ETH/USDC", 1_100.0, 100.0), price("USDC/USD", 1.0))
    book.apply(AssetPricesSeen(received_at=0, venue="kraken", prices=prices))

    assert usd(book, "ETH") == 1_000.0


def test_prices_that_are_none_change_nothing() -> None:
    book = PegBook()
    tell(book, "okx", USDE_USDT=1.0)
    bad = tuple(
        AssetPrice(asset="USDE", quote="USDT", bid=bid, ask=ask)
        for bid, ask in ((0.0, 1.0), (-1.0, 1.0), (float("nan"), 1.0), (1.0, float("inf")))
    )
    book.apply(AssetPricesSeen(received_at=1, venue="okx", prices=bad))
    book.apply(Tick(received_at=2))

    assert usd(book, "USDE") == 1.0


# ---------------------------------------------------------------- what wraps another asset


def warm(book: PegBook, ratio: float, minutes: int = 11, start: float = 0.0) -> float:
    for minute in range(minutes):
        eth = 2_000.0 + 37.0 * (minute % 5)  # the coin itself moves, the ratio does not
        for venue in ("binance", "bybit", "okx"):
            tell(book, venue, start + 60.0 * minute, WBETH_USDT=eth * ratio, ETH_USDT=eth)
    return start + 60.0 * (minutes - 1)


def test_a_wrapped_asset_is_held_against_its_normal_ratio() -> None:
    book = PegBook()
    now = warm(book, 1.08)
    calm = book.depeg("wBETH", at(now))
    assert calm is not None
    assert calm.value == pytest.approx(0.0, abs=1e-9)
    assert not calm.is_cold

    for venue in ("binance", "bybit", "okx"):
        tell(book, venue, now + 5, WBETH_USDT=0.7 * 1.08 * 1_000.0, ETH_USDT=1_000.0)
    fallen = book.depeg("wBETH", at(now + 5))
    assert fallen is not None
    assert 1.0 - exp(-fallen.value) == pytest.approx(0.3, abs=1e-9)


def test_a_fall_of_the_coin_itself_is_no_depeg() -> None:
    book = PegBook()
    now = warm(book, 1.08)
    for venue in ("binance", "bybit", "okx"):
        tell(book, venue, now + 5, WBETH_USDT=1.08 * 500.0, ETH_USDT=500.0)

    depeg = book.depeg("wBETH", at(now + 5))
    assert depeg is not None
    assert depeg.value == pytest.approx(0.0, abs=1e-9)


def test_yield_lifts_the_normal_slowly() -> None:
    book, now = PegBook(PegSettings(window_h=0.5)), 0.0
    for step in range(90):  # a yield of hundreds of years in 90 minutes
        now = warm(book, 1.08 * exp(0.0005 * step), minutes=1, start=60.0 * step)

    depeg = book.depeg("wBETH", at(now))
    assert depeg is not None
    assert depeg.value == 0.0
    assert depeg.normal is not None
    assert depeg.normal > 1.08 * exp(0.0005 * 70)


def test_a_cold_normal_is_said_and_one_is_the_least_that_is_normal() -> None:
    book = PegBook()
    for venue in ("binance", "bybit", "okx"):
        tell(book, venue, BNSOL_SOL=0.8, SOL_USDT=100.0)

    depeg = book.depeg("BNSOL", at(0))
    assert depeg is not None
    assert (depeg.is_cold, round(1.0 - exp(-depeg.value), 6)) == (True, 0.2)


def test_a_depeg_does_not_become_normal_for_hours_and_then_is_learned_anew() -> None:
    book = PegBook(PegSettings(freeze_h_max=2.0, window_h=4.0))
    now = warm(book, 1.5)
    lasting = warm(book, 1.2, minutes=110, start=now + 60)
    still = book.depeg("WBETH", at(lasting))
    assert still is not None
    assert still.value == pytest.approx(log(1.5 / 1.2), abs=1e-9)

    at_last = warm(book, 1.2, minutes=30, start=lasting + 60)
    learned = book.depeg("WBETH", at(at_last))
    assert learned is not None
    assert learned.value == pytest.approx(0.0, abs=1e-9)


def test_what_is_wrapped_falls_with_what_it_wraps() -> None:
    book = PegBook()
    for venue in ("bybit", "okx", "kraken"):
        tell(book, venue, SUSDE_USDE=1.0, USDE_USDT=0.7)

    depeg = book.depeg("sUSDe", at(0))
    assert depeg is not None
    assert 1.0 - exp(-depeg.value) == pytest.approx(0.3, abs=1e-6)
    assert usd(book, "sUSDe") == 0.7


def test_the_ratio_does_not_depend_on_cash() -> None:
    book = PegBook()
    now = warm(book, 1.08)
    tell(book, "kraken", now, USDT_USD=0.5)
    tell(book, "coinbase", now, USDT_USD=1.0)

    depeg = book.depeg("WBETH", at(now))
    assert depeg is not None
    assert depeg.value == pytest.approx(0.0, abs=1e-9)
    assert not depeg.is_disputed


def test_a_coin_stands_for_itself() -> None:
    depeg = PegBook().depeg("BTC", at(0))
    assert depeg is not None
    assert depeg.value == 0.0


def test_kinds_and_what_must_be_watched() -> None:
    book = PegBook()
    kinds = [book.kind(asset) for asset in ("usdt", "USDe", "wstETH", "BTC")]
    assert kinds == [AssetKind.CASH, AssetKind.STABLE, AssetKind.WRAPPED, AssetKind.COIN]
    assert book.watch_list(["sUSDe", "BTC"]) == {"SUSDE", "USDE", "BTC", "USDT", "USDC"}
    assert book.watch_list([]) == frozenset()


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"stale_s": 0.0}, "stale_s must be positive"),
        ({"cash": ("USDT",)}, "must hold USD"),
        ({"wrapped": ("A/B", "b/a")}, "claim on itself"),
        ({"wrapped": ("WBETH",)}, "as in WBETH/ETH"),
        ({"warm_up_s": 7_300.0, "window_h": 2.0}, "longer than the window"),
        ({"window_h": 1_000.0}, "at most a week"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        PegSettings(**settings)  # type: ignore[arg-type]


# ---------------------------------------------------------------- properties

NEAR = st.floats(0.995, 1.005)
LIE = st.floats(1e-6, 1e6)


@given(st.lists(NEAR, min_size=2, max_size=4), LIE, st.integers(0, 4))
def test_one_venue_that_lies_among_three_or_more_cannot_move_the_reference(
    honest: list[float], lie: float, place: int
) -> None:
    told = [*honest[:place], lie, *honest[place:]]
    book = PegBook()
    for venue, mid in zip(VENUES, told, strict=False):
        tell(book, venue, USDE_USD=mid)

    seen = book.usd_price("USDE", at(0))
    assert seen is not None
    low, high = min(honest), max(honest)
    assert low * (1 - 1e-6) <= seen.price_usd <= seen.dearest_usd <= high * (1 + 1e-6)


@given(st.lists(NEAR, min_size=3, max_size=3), LIE, LIE)
def test_a_venue_that_lies_about_everything_it_quotes_cannot_either(
    honest: list[float], lie: float, other: float
) -> None:
    book = PegBook()
    for venue, mid in zip(VENUES, honest, strict=False):
        tell(book, venue, USDT_USD=mid, ETH_USDT=1_000.0, WBETH_ETH=1.0)
    tell(book, "liar", USDT_USD=lie, ETH_USDT=1_000.0 * other, WBETH_USDT=other, ETH_USD=lie * other)

    seen = book.usd_price("ETH", at(0))
    assert seen is not None
    assert 995.0 * (1 - 1e-6) <= seen.price_usd <= 1_005.0 * (1 + 1e-6)
    depeg = book.depeg("WBETH", at(0))
    assert depeg is not None
    assert depeg.value <= 1e-6


@given(
    st.lists(
        st.tuples(
            st.sampled_from(VENUES),
            st.sampled_from(
                ("USDE/USDT", "USDT/USD", "USDC/USDT", "USDT/USDC", "ETH/USDC", "WBETH/ETH", "A/B")
            ),
            st.floats(),
            st.floats(),
            st.integers(0, 100),
        ),
        max_size=20,
    ),
    st.sampled_from((*VENUES, None)),
)
def test_odd_prices_raise_nothing_and_make_no_nan(
    told: list[tuple[str, str, float, float, int]], own: str | None
) -> None:
    book = PegBook()
    for venue, pair, bid, ask, seconds in told:
        asset, _, quote = pair.partition("/")
        prices = (AssetPrice(asset=asset, quote=quote, bid=bid, ask=ask),)
        book.apply(AssetPricesSeen(received_at=at(seconds), venue=venue, prices=prices))
    others = {venue for venue, *_ in told if venue != own}
    for asset in ("USDE", "USDT", "USDC", "ETH", "WBETH", "A"):
        seen = book.usd_price(asset, at(100), leaving_out=own)
        depeg = book.depeg(asset, at(100), leaving_out=own)
        assert (seen is None) == (book.why_unknown(asset, at(100), leaving_out=own) is not None)
        if seen is not None:
            assert isfinite(seen.price_usd)
            assert 0.0 <= seen.price_usd <= seen.dearest_usd
            assert others & set(seen.venues) or asset in seen.assumed
        if depeg is not None:
            assert depeg.value >= 0.0
            assert isfinite(depeg.value)
