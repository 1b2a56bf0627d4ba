"""Real books of Binance and Hyperliquid through sampler and view: sane figures, honest horizons, few alarms."""

from __future__ import annotations

from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pytest

from guard.events import CURVE_BPS, BookStatus, MarketFeatures
from guard.market.book import Side, new_book
from guard.market.view import BaselineSettings, BookTrust, MarketView
from tests.support.recordings import binance_frames, binance_samples, hyperliquid_samples


def check_sample(sample: MarketFeatures) -> None:
    assert sample.bid is not None
    assert sample.ask is not None
    assert sample.bid < sample.ask
    assert sample.imbalance is not None
    assert -1.0 <= sample.imbalance <= 1.0
    for side in (sample.bids, sample.asks):
        assert side is not None
        assert np.isfinite(side.curve_usd).all()
        assert all(near <= far for near, far in pairwise(side.curve_usd))
        known = [cost for cost in side.slippage_bps if cost is not None]
        assert known == sorted(known)
        assert 0.5 <= (side.slope_kappa or 1.0) <= 2.5


@pytest.mark.parametrize("name", ["usdm_btcusdt_20240808.gz", "usdm_ethusdt_20240718.gz"])
def test_minutes_of_binance(shared_data: Path, name: str) -> None:
    view: MarketView | None = None
    samples = trusted = 0
    for _, sample in binance_samples(shared_data / "binance_ws" / name):
        view = view or MarketView(sample.market)
        view.apply(sample)
        if sample.status is BookStatus.UNSYNCED:
            assert samples == 0
            assert view.trust(sample.received_at) is BookTrust.UNSYNCED
            continue
        samples += 1
        check_sample(sample)
        trusted += view.trust(sample.received_at) is BookTrust.TRUSTED
        trip = view.round_trip_bps(10_000.0)
        assert trip is not None
        assert 0.0 < trip.value < 5.0, "the most liquid books there are"
        for side in Side:
            deep = view.depth_usd(side, 200.0)
            assert deep is not None
            assert deep.extrapolated, "a snapshot of 1,000 levels does not show 200 bps of them"
            assert 5e6 < deep.value < 2e9
            ratio = view.depth_ratio(side)
            assert ratio is not None
            assert view.thin_for_ns(side, 0.2, sample.received_at) < 3 * 10**9, (
                "nothing collapsed in these minutes"
            )
            if view.is_warm(sample.received_at):
                assert 0.3 < ratio < 5.0
    assert view is not None
    assert samples > 500
    assert trusted / samples > 0.9
    response = view.price_response_bps_per_musd
    assert response is not None
    assert 0.1 < response < 20.0, "buying moves price up, by bps a million"


def test_the_book_equals_the_recorded_best_prices(shared_data: Path) -> None:
    book = new_book()
    recorded: dict[int, tuple[float, float]] = {}
    ours: dict[int, tuple[float, float]] = {}
    for _, frame in binance_frames(shared_data / "binance_ws" / "usdm_btcusdt_20240808.gz"):
        if "bids" in frame:
            book.load(frame["bids"], frame["asks"])
            continue
        data = frame["data"]
        if data["e"] == "bookTicker":
            recorded[data["u"]] = float(data["b"]), float(data["a"])
        elif data["e"] == "depthUpdate" and book.status() is BookStatus.OK:
            book.apply(data["b"], data["a"])
            bid, ask = book.best_bid(), book.best_ask()
            assert bid is not None
            assert ask is not None
            ours[data["u"]] = bid[0], ask[0]
    both = recorded.keys() & ours.keys()
    assert len(both) >= 600
    assert {u: ours[u] for u in both} == {u: recorded[u] for u in both}


def test_the_horizon_does_not_count_levels_that_only_diffs_named(shared_data: Path) -> None:
    """Price leaves the snapshot within four minutes: the horizon must say so, then recover by churn."""
    visible = [
        sample.bids.visible_bps
        for _, sample in binance_samples(shared_data / "binance_ws" / "usdm_btcusdt_20240808.gz")
        if sample.bids is not None
    ]
    assert visible[0] == pytest.approx(24.0, abs=2.0)
    assert min(visible) < 10.0
    assert max(visible) < 100.0


@pytest.mark.parametrize("coin", ["WIF", "AVAX"])
def test_hours_of_hyperliquid(shared_data: Path, coin: str) -> None:
    folder = shared_data / "hyperliquid_june2026"
    view: MarketView | None = None
    ratios: list[float] = []
    for _, sample in islice(hyperliquid_samples(folder, coin, "20260613"), 3_000):
        view = view or MarketView(sample.market, BaselineSettings(band_bps=25.0))
        view.apply(sample)
        check_sample(sample)
        assert sample.bids is not None
        assert sample.bids.visible_bps < CURVE_BPS[-1]
        if view.is_warm(sample.received_at):
            ratios += [ratio for side in Side if (ratio := view.depth_ratio(side)) is not None]
    assert view is not None
    assert len(ratios) > 4_000
    assert np.median(ratios) == pytest.approx(1.0, abs=0.15)
