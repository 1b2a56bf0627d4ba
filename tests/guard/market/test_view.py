"""What policies ask of a market: answers, their absence, trust, and that a fold is a fold."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from guard.events import (
    BookStatus,
    Event,
    LiquidationSeen,
    MarketFeatures,
    MarkPriceSeen,
    OpenInterestSeen,
    Stream,
    StreamActivity,
    StreamFault,
    StreamFaultKind,
    Tick,
)
from guard.market.book import Side
from guard.market.freshness import StreamState
from guard.market.view import BaselineSettings, BookTrust, MarketView
from guard.units import MarketId
from tests.support.market import MARKET, S, even_features

FAST = BaselineSettings(half_life_s=300.0, warm_up_s=60.0, freeze_s_max=600.0)


def calm(view: MarketView, seconds: int, start: int = 0, **changed: Any) -> int:
    """Feed an even book once a second; return the time of the last sample."""
    for second in range(start, start + seconds):
        view.apply(even_features(second * S, **changed))
    return (start + seconds - 1) * S


def unusable(at: int, status: BookStatus) -> MarketFeatures:
    return MarketFeatures(received_at=at, market=MARKET, status=status, book_at=at, updates=1)


def test_prices_that_cross_are_no_book_whatever_is_said_of_them() -> None:
    view = MarketView(MARKET)
    now = calm(view, 30)
    assert view.trust(now) is BookTrust.TRUSTED
    crossed = even_features(now + S)
    view.apply(replace(crossed, bid=crossed.ask, ask=crossed.bid))
    assert view.trust(now + S) is BookTrust.CROSSED


def test_a_view_of_nothing_knows_nothing() -> None:
    view = MarketView(MARKET)
    assert view.trust(0) is BookTrust.NEVER
    assert view.stream_state(Stream.MARK_PRICE, 0) is StreamState.NEVER
    assert not view.is_warm(0)
    assert not view.baseline_frozen
    assert {answer for name, answer in answers(view, 0).items() if not name.startswith(KNOWN_OF_NOTHING)} == {
        None
    }


KNOWN_OF_NOTHING = ("trust", "stream_state", "is_warm", "frozen", "cvd", "liquidations", "thin")


def answers(view: MarketView, now: int) -> dict[str, object]:
    """Everything that can be asked."""
    result: dict[str, object] = {
        "mid": view.mid_price,
        "mark": view.mark_price,
        "spread": view.spread_bps,
        "spread_z": view.spread_z,
        "spread_ratio": view.spread_ratio,
        "round_trip": view.round_trip_bps(10_000.0),
        "refill": view.refill_half_life_ms,
        "cvd": view.cvd_usd(60.0),
        "response": view.price_response_bps_per_musd,
        "liquidations": view.liquidations_usd(60.0, now),
        "is_warm": view.is_warm(now),
        "frozen": view.baseline_frozen,
        "relearned": view.baseline_relearned_at,
        "trust": view.trust(now),
        "exit_long": view.exit_cost_bps(100.0),
        "exit_short": view.exit_cost_bps(-100.0),
    }
    for stream in Stream:
        result[f"stream_state {stream}"] = view.stream_state(stream, now)
        result[f"silence {stream}"] = view.silence_ms(stream, now)
    for side in Side:
        result[f"depth {side}"] = view.depth_usd(side, 25.0)
        result[f"normal {side}"] = view.normal_depth_usd(side)
        result[f"ratio {side}"] = view.depth_ratio(side)
        result[f"z {side}"] = view.depth_z(side)
        result[f"reach {side}"] = view.reach_bps(side, 50_000.0)
        result[f"thin zones {side}"] = view.thin_zones(side)
        result[f"thin for {side}"] = view.thin_for_ns(side, 0.5, now)
    return result


def test_prices_costs_and_depth_are_those_of_the_last_sample() -> None:
    view = MarketView(MARKET)
    view.apply(even_features(S, bid_size=100.0, ask_size=50.0))
    view.apply(MarkPriceSeen(received_at=S, market=MARKET, mark_price=100.5))
    view.apply(OpenInterestSeen(received_at=S, market=MARKET, open_interest=5.0))
    assert view.mid_price == pytest.approx(100.0)
    assert view.mark_price == 100.5
    assert view.open_interest is not None
    assert view.spread_bps == pytest.approx(2.0)
    depth = view.depth_usd(Side.BID, 50.0)
    assert depth is not None
    assert depth.value == pytest.approx(500_000.0, rel=0.01)
    long_exit, short_exit = view.exit_cost_bps(1_000.0), view.exit_cost_bps(-1_000.0)
    assert long_exit is not None
    assert short_exit is not None
    assert long_exit.value == pytest.approx(5.5, rel=0.02), "a long of 100,000 USD sells into the bids"
    assert short_exit.value == pytest.approx(10.5, rel=0.02), "a short buys the thinner asks"
    reach, trip = view.reach_bps(Side.BID, 500_000.0), view.round_trip_bps(100_000.0)
    assert reach is not None
    assert trip is not None
    assert reach.value == pytest.approx(50.0, rel=0.02)
    assert trip.value == pytest.approx(long_exit.value + short_exit.value, rel=0.01)


def test_half_the_depth_is_a_ratio_of_a_half_and_a_negative_z() -> None:
    view = MarketView(MARKET, FAST)
    now = calm(view, 120)
    assert view.is_warm(now)
    assert view.depth_ratio(Side.BID) == pytest.approx(1.0, abs=0.02)
    view.apply(even_features(120 * S, bid_size=25.0))
    ratio, z, ask_z = view.depth_ratio(Side.BID), view.depth_z(Side.BID), view.depth_z(Side.ASK)
    assert ratio == pytest.approx(0.25, abs=0.01)
    assert z is not None
    assert ask_z is not None
    assert z < -4.0
    assert abs(ask_z) < 0.5


def test_a_crash_freezes_the_baseline_until_it_is_over() -> None:
    view = MarketView(MARKET, FAST)
    calm(view, 120)
    calm(view, 400, 120, bid_size=10.0)
    assert view.baseline_frozen
    assert view.normal_depth_usd(Side.BID) == pytest.approx(1e6, rel=0.02)
    calm(view, 5, 520)
    assert not view.baseline_frozen


def test_after_the_longest_freeze_it_relearns_and_says_so() -> None:
    view = MarketView(MARKET, FAST)
    calm(view, 120)
    now = calm(view, 605, 120, bid_size=10.0)
    assert view.baseline_relearned_at is not None
    assert not view.is_warm(now)
    now = calm(view, 120, 725, bid_size=10.0)
    assert view.is_warm(now)
    assert view.depth_ratio(Side.BID) == pytest.approx(1.0, abs=0.05)


def test_a_dip_that_is_not_deep_does_not_freeze() -> None:
    view = MarketView(MARKET, FAST)
    calm(view, 600)
    calm(view, 10, 600, bid_size=65.0)
    assert not view.baseline_frozen


def test_thinness_is_timed_from_its_first_sample() -> None:
    view = MarketView(MARKET, FAST)
    now = calm(view, 120)
    assert view.thin_for_ns(Side.BID, 0.2, now) == 0
    now = calm(view, 5, 120, bid_size=10.0)
    assert view.thin_for_ns(Side.BID, 0.2, now) == 4 * S
    assert view.thin_for_ns(Side.BID, 0.05, now) == 0
    assert view.thin_for_ns(Side.ASK, 0.2, now) == 0


def test_silence_is_not_thinness() -> None:
    view = MarketView(MARKET, FAST)
    calm(view, 120)
    view.apply(even_features(120 * S, bid_size=10.0))
    assert view.thin_for_ns(Side.BID, 0.2, 180 * S) == 0
    view.apply(
        StreamActivity(
            received_at=122 * S, subject=MARKET, stream=Stream.BOOK, updates=9, last_at=122 * S, gap_ns_max=S
        )
    )
    assert view.thin_for_ns(Side.BID, 0.2, 180 * S) == 2 * S, (
        "the book lived on and nobody said it was fuller"
    )


def test_an_unknown_book_breaks_the_time_of_thinness() -> None:
    view = MarketView(MARKET, FAST)
    calm(view, 120)
    calm(view, 5, 120, bid_size=10.0)
    view.apply(unusable(125 * S, BookStatus.GAPPED))
    assert view.thin_for_ns(Side.BID, 0.2, 125 * S) == 0
    assert view.depth_ratio(Side.BID) is None
    assert view.exit_cost_bps(1.0) is None


@pytest.mark.parametrize(
    ("status", "trust"),
    [
        (BookStatus.CROSSED, BookTrust.CROSSED),
        (BookStatus.GAPPED, BookTrust.GAPPED),
        (BookStatus.EMPTY, BookTrust.EMPTY),
        (BookStatus.UNSYNCED, BookTrust.UNSYNCED),
    ],
)
def test_trust_is_lost_at_once_and_regained_after_ten_seconds(status: BookStatus, trust: BookTrust) -> None:
    view = MarketView(MARKET)
    assert view.trust(calm(view, 5)) is BookTrust.RECOVERING
    now = calm(view, 10, 5)
    assert view.trust(now) is BookTrust.TRUSTED
    view.apply(unusable(15 * S, status))
    assert view.trust(15 * S) is trust
    now = calm(view, 10, 16)
    assert view.trust(now) is BookTrust.RECOVERING
    assert view.trust(calm(view, 1, 26)) is BookTrust.TRUSTED


def test_silence_and_disconnection_make_a_book_stale_whatever_it_said_last() -> None:
    view = MarketView(MARKET)
    now = calm(view, 30)
    assert view.trust(now + 5 * S) is BookTrust.TRUSTED
    assert view.trust(now + 6 * S) is BookTrust.STALE
    view.apply(
        StreamFault(received_at=now, subject=MARKET, stream=Stream.BOOK, fault=StreamFaultKind.DISCONNECTED)
    )
    assert view.trust(now) is BookTrust.STALE


def test_an_unchanged_book_sampled_again_is_no_sign_of_life() -> None:
    view = MarketView(MARKET)
    calm(view, 30)
    last = view.features
    assert last is not None
    for second in range(30, 40):
        view.apply(
            MarketFeatures(
                received_at=second * S, market=MARKET, status=BookStatus.OK, book_at=last.book_at,
                bid=last.bid, ask=last.ask, bids=last.bids, asks=last.asks, updates=0,
            )
        )  # fmt: skip
    assert view.trust(39 * S) is BookTrust.STALE


def test_events_of_other_markets_are_ignored() -> None:
    view, other = MarketView(MARKET), MarketId("loopback:ETH/USDT:USDT")
    view.apply(even_features(S, market=other))
    view.apply(MarkPriceSeen(received_at=S, market=other, mark_price=1.0))
    view.apply(LiquidationSeen(received_at=S, market=other, size=1.0, price=1.0, notional_usd=1.0))
    view.apply(Tick(received_at=S))
    assert answers(view, S) == answers(MarketView(MARKET), S)


def test_flow_and_liquidations_are_summed_over_windows() -> None:
    view = MarketView(MARKET)
    for second in range(10):
        view.apply(even_features(second * S, buy_usd=10.0, sell_usd=4.0))
        view.apply(
            LiquidationSeen(received_at=second * S, market=MARKET, size=1.0, price=7.0, notional_usd=7.0)
        )
    assert view.cvd_usd(5.0) == pytest.approx(30.0)
    assert view.liquidations_usd(3.0, 9 * S) == pytest.approx(21.0)
    assert view.liquidations_usd(3.0, 60 * S) == 0.0


def test_a_zone_thin_against_normal_is_found_once_warm() -> None:
    view = MarketView(MARKET, FAST)
    now = calm(view, 120)
    assert view.thin_zones(Side.BID) == ()
    view.apply(even_features(now + S, bid_size=10.0))
    zones = view.thin_zones(Side.BID)
    assert len(zones) == 1
    low, high = zones[0]
    assert low < 98.0
    assert high > 99.9
    assert view.thin_zones(Side.ASK) == ()


@st.composite
def streams(draw: st.DrawFn) -> list[Event]:
    """A random life of a market."""
    return list(_events(np.random.default_rng(draw(st.integers(0, 2**32 - 1))), draw(st.integers(1, 150))))


def _events(rng: np.random.Generator, count: int) -> Iterator[Event]:
    at, mid = 10**18, 100.0
    for _ in range(count):
        at += int(rng.choice([S // 4, S, 3 * S, 20 * S]))
        mid *= float(np.exp(rng.normal(0.0, 0.002)))
        bid, ask, buy, sell = np.exp(rng.normal(4.0, 1.0, 4))
        match rng.integers(0, 10):
            case 0:
                yield unusable(at, BookStatus(rng.choice([status.value for status in BookStatus])))
            case 1:
                yield MarkPriceSeen(received_at=at, market=MARKET, mark_price=mid)
            case 2:
                yield StreamActivity(
                    received_at=at, subject=MARKET, stream=Stream.BOOK, updates=int(rng.integers(0, 20)),
                    last_at=at, gap_ns_max=int(rng.integers(0, S)),
                )  # fmt: skip
            case 3:
                kind = StreamFaultKind(rng.choice([fault.value for fault in StreamFaultKind]))
                yield StreamFault(received_at=at, subject=MARKET, stream=Stream.BOOK, fault=kind)
            case 4:
                yield LiquidationSeen(received_at=at, market=MARKET, size=1.0, price=mid, notional_usd=mid)
            case _:
                yield even_features(
                    at,
                    mid,
                    bid_size=bid,
                    ask_size=ask,
                    buy_usd=buy,
                    sell_usd=sell,
                    levels=int(rng.integers(1, 80)),
                )


@given(streams())
@settings(max_examples=30)
def test_the_same_events_make_the_same_view_and_asking_changes_nothing(events: list[Event]) -> None:
    asked, quiet = MarketView(MARKET, FAST), MarketView(MARKET, FAST)
    for event in events:
        asked.apply(event)
        answers(asked, event.received_at + 7 * S)
        quiet.apply(event)
    now = events[-1].received_at
    assert answers(asked, now) == answers(quiet, now)


@given(streams())
@settings(max_examples=30)
def test_what_is_answered_is_finite_and_within_its_meaning(events: list[Event]) -> None:
    view = MarketView(MARKET, FAST)
    for event in events:
        view.apply(event)
        now = event.received_at
        for name, answer in answers(view, now).items():
            value = getattr(answer, "value", answer)
            if isinstance(value, float):
                assert np.isfinite(value), name
        for side in Side:
            assert 0 <= view.thin_for_ns(side, 0.5, now) <= now - events[0].received_at
            assert (view.depth_ratio(side) or 0.0) >= 0.0
            assert all(low < high for low, high in view.thin_zones(side))
