"""The coarse mode: nothing is lost, equal bytes, what it shows, and that it is the order level with another book."""

from __future__ import annotations

import importlib
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from adapters.simulation.coarse import coarse_events, coarse_series
from adapters.simulation.coarse.run import STEP_MS, CoarseLaboratory
from adapters.simulation.coarse.series import COSTS, Series
from adapters.simulation.laboratory.laboratory import Laboratory
from adapters.simulation.laboratory.owners import CROWD
from adapters.simulation.laboratory.parameters import CrowdParameters, Episode, Impulse, ImpulseKind
from guard.building import build_engine
from guard.configuration import Settings
from guard.events import LiquidationSeen, MarketFeatures, MarketsWatched, Tick
from guard.market.view import BookTrust
from guard.units import NS_PER_MS
from tests.adapters.simulation.coarse.episodes import ALT, BTC, episode_of
from tests.support.truths import Kept
from tests.support.uncompiled import pairs, uncompiled

CRASH = (
    Impulse(kind=ImpulseKind.VALUE, at_s=300.0, duration_s=240.0, size=-0.06),
    Impulse(kind=ImpulseKind.WITHDRAW, at_s=330.0, duration_s=400.0, size=0.1),
    Impulse(kind=ImpulseKind.SELL, at_s=330.0, duration_s=240.0, size=3.0),
    Impulse(kind=ImpulseKind.ARBITRAGE_STOP, at_s=330.0, duration_s=400.0, size=0.9),
)
MANY = CrowdParameters(positions=600, leverage_longs=((10, 0.5), (25, 0.5)))


def crash(seed: int = 7, *, duration_s: float = 720.0, crowd: CrowdParameters = MANY) -> Episode:
    return episode_of(seed=seed, duration_s=duration_s, impulses=CRASH, crowd=crowd)


def liquidated_usd(series: Series) -> float:
    return float(series["liquidated_longs_usd"].sum() + series["liquidated_shorts_usd"].sum())


def check_books(laboratory: CoarseLaboratory) -> None:
    for listing in laboratory.books:
        exchange, crowd, curves = listing.exchange, listing.crowd, listing.trading.curves
        held = [exchange.lots_of(owner) for owner in range(exchange.owners_count)]
        cash = [exchange.cash_of(owner) for owner in range(exchange.owners_count)]
        assert sum(held) == 0
        assert sum(cash) + exchange.fees_micros + exchange.funding_micros == 0
        assert held[CROWD] == crowd.long_lots - crowd.short_lots
        assert crowd.long_lots + exchange.longs_of_others() == crowd.short_lots + exchange.shorts_of_others()
        assert crowd.imbalance() == 0
        assert curves.best_bid < curves.best_ask


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_nothing_is_made_or_lost_in_a_crash(seed: int) -> None:
    truth = Kept()
    laboratory = CoarseLaboratory(crash(seed), truth)
    while laboratory.now_ms < laboratory.duration_ms:
        laboratory.step()
        if laboratory.now_ms % 20_000 == 0:
            check_books(laboratory)
    check_books(laboratory)
    for listing in laboratory.books:
        engine, lot = listing.crowd.engine, listing.grid.lot
        told = [abs(each.size) / lot for each in truth.liquidations if each.market == listing.market]
        assert sum(map(round, told)) == engine.book_lots + engine.fund_lots + engine.deleveraged_lots
    assert truth.liquidations, "a crash without liquidations shows nothing"


def test_everybody_trades_in_the_curves() -> None:
    """The order level's parts hold their book; one that is left with the order book would trade with nobody."""
    for listing in CoarseLaboratory(episode_of()).books:
        market = listing.trading
        curves = market.curves
        parts = (market, market.exchange, market.crowd, market.crowd.engine, market.entering)
        assert [part.book is curves for part in parts] == [True] * len(parts)
        assert market.makers is market.coarse_makers
        assert market.patient is market.coarse_patient


def test_equal_episodes_give_equal_bytes() -> None:
    first, again, other = (
        [msgspec.json.encode(event) for event in coarse_events(crash(seed, duration_s=420.0))]
        for seed in (3, 3, 4)
    )
    assert first == again
    assert first != other
    assert coarse_series(crash(3)).to_bytes() == coarse_series(crash(3)).to_bytes()


def test_numbers_are_numbers_and_curves_rise() -> None:
    series = coarse_series(crash(2))
    for name, column in series.columns.items():
        assert np.isfinite(column).all(), name
    whole = series["spread_bps"] > 0.0
    assert whole.mean() > 0.9
    for name in ("bid_curve_usd", "ask_curve_usd"):
        assert (np.diff(series[name], axis=2) >= 0.0).all()
        assert (series[name][whole][:, -1] > 0.0).any()
    for name in ("sell_slippage_bps", "buy_slippage_bps"):
        costs = series[name]
        assert costs.shape[2] == COSTS
        known = costs >= 0.0
        assert (known[:, :, :-1] >= known[:, :, 1:]).all(), "what is there for more is there for less"
        rising = np.diff(costs, axis=2) >= -1e-3
        assert rising[known[:, :, 1:]].all()
    assert (series["mid"] > 0.0).all()
    assert (series["open_interest"] > 0.0).all()
    assert ((series["willingness"] > 0.0) & (series["willingness"] <= 1.0)).all()


def test_a_crash_thins_the_book_and_depth_comes_back() -> None:
    series = coarse_series(crash(1, duration_s=3_600.0))
    depth = series["bid_curve_usd"][:, :, 12]
    calm, worst = np.median(depth[:60], axis=0), depth[60:150].min(axis=0)
    assert (worst < 0.2 * calm).all()
    assert (np.median(depth[-20:], axis=0) > 2.0 * worst).all()
    assert (
        series["spread_bps"][60:150].max(axis=0) > 5.0 * np.median(series["spread_bps"][:60], axis=0)
    ).all()


def test_nobody_is_liquidated_without_leverage_and_more_with_more() -> None:
    none = CrowdParameters(positions=400, hedged_longs_share=1.0, hedged_shorts_share=1.0)
    little = CrowdParameters(positions=400, leverage_longs=((3, 1.0),), leverage_shorts=((3, 1.0),))
    much = CrowdParameters(positions=400, leverage_longs=((20, 1.0),), leverage_shorts=((3, 1.0),))
    usd = [liquidated_usd(coarse_series(crash(5, crowd=crowd))) for crowd in (none, little, much)]
    assert usd[0] == 0.0
    assert usd[2] > 10.0 * usd[1]


def test_the_truth_is_that_of_the_positions() -> None:
    truth = Kept()
    laboratory = CoarseLaboratory(crash(1), truth)
    list(laboratory.events())
    assert {row.market for row in truth.books} == {listing.market for listing in laboratory.books}
    assert len(truth.maps) == len(truth.books) == 4 * (720 // 60 + 1)
    for row in truth.all_positions:
        assert row.size.sum() == pytest.approx(0.0, abs=1e-6 * np.abs(row.size).sum()) or row.at_ns > 0
        assert len(row.size) == len(row.liquidation_price) > 0
    closed = sum(abs(row.size) * row.price for row in truth.liquidations)
    assert closed == pytest.approx(liquidated_usd(coarse_series(crash(1))), rel=1e-5)


def test_the_fund_of_a_row_is_that_of_the_truth() -> None:
    """With what it took over, at the mark."""
    laboratory = CoarseLaboratory(crash(1))
    series = laboratory.series(1)
    for at, listing in enumerate(laboratory.books):
        expected = listing.crowd.engine.fund_equity(listing.mark_tick) / 1e6
        assert series["fund_usd"][-1, at] == pytest.approx(expected, rel=1e-6)
    held = [listing.crowd.engine.fund_lots for listing in laboratory.books]
    assert max(held) > 0, "a fund that took nothing over shows nothing"


def test_events_are_those_of_the_laboratory() -> None:
    episode = crash(1, duration_s=420.0)
    events = list(coarse_events(episode))
    few = replace(episode, duration_s=60.0, impulses=(replace(CRASH[0], at_s=5.0, duration_s=20.0),))
    kinds = {type(event) for event in Laboratory(few).events()}
    assert kinds | {LiquidationSeen} == {type(event) for event in events}
    times = [event.received_at for event in events]
    assert times == sorted(times)
    calm = [event for event in events if isinstance(event, MarketFeatures)][:40]
    assert all(event.bids is not None and event.bids.curve_usd[-1] > 0.0 for event in calm)


def test_the_engine_trusts_what_it_sees() -> None:
    episode = episode_of(duration_s=180.0)
    venues = [{"id": venue.venue, "symbols": ["BTC/USDT:USDT", "ALT/USDT:USDT"]} for venue in episode.venues]
    engine = build_engine(Settings.model_validate({"venues": venues}))
    tick_at = episode.start_at_ns
    for event in coarse_events(episode):
        while tick_at < event.received_at:
            engine.process(Tick(received_at=tick_at))
            tick_at += 250 * NS_PER_MS
        engine.process(event)
    assert engine.state.markets
    for market, view in engine.state.markets.items():
        assert view.trust(engine.state.now) is BookTrust.TRUSTED, market


def test_rows_further_apart_add_up_to_the_same() -> None:
    fine, wide = coarse_series(crash(2)), coarse_series(crash(2), 20.0)
    assert np.array_equal(wide["mid"], fine["mid"][::4])
    for name in ("taker_sold_usd", "liquidations", "liquidated_longs_usd"):
        summed = fine[name][1:].reshape(-1, 4, fine[name].shape[1]).sum(axis=1)
        assert wide[name][1:] == pytest.approx(summed, rel=1e-5, abs=1e-3)
    with pytest.raises(ValueError, match="5 s apart"):
        coarse_series(crash(2), 7.0)


def test_a_silent_venue_is_silent() -> None:
    outage = Impulse(kind=ImpulseKind.OUTAGE, at_s=60.0, duration_s=60.0, size=1.0, venue="bybit")
    episode = episode_of(duration_s=180.0, impulses=(outage,))
    said = {"binanceusdm": 0, "bybit": 0}
    for event in coarse_events(episode):
        at_s = (event.received_at - episode.start_at_ns) / 1e9
        if isinstance(event, MarketFeatures) and 61.0 < at_s < 119.0:
            said[event.market.partition(":")[0]] += 1
    assert said["bybit"] == 0
    assert said["binanceusdm"] > 10
    series = coarse_series(episode)
    out = series["is_out"][:, [market.startswith("bybit") for market in series.markets]]
    assert out[15].all()
    assert not out[30].any()


def test_a_step_is_gone_through_in_rounds_where_something_happens() -> None:
    laboratory = CoarseLaboratory(crash(1))
    lengths = []
    while laboratory.now_ms < laboratory.duration_ms:
        before = laboratory.now_ms
        laboratory.step()
        lengths.append((before, laboratory.now_ms - before))
    assert {length for before, length in lengths if before < 60_000} == {STEP_MS}
    assert STEP_MS // 10 in {length for before, length in lengths if before > 330_000}
    assert laboratory.now_ms == laboratory.duration_ms


def test_what_is_watched_says_how_seldom_it_speaks() -> None:
    watched = [
        event for event in coarse_events(episode_of(duration_s=5.0)) if isinstance(event, MarketsWatched)
    ]
    assert [event.venue for event in watched] == ["binanceusdm", "bybit"]
    assert all(min(event.periods_ms.values()) >= STEP_MS for event in watched)


def test_compiled_and_plain_give_the_same_bytes() -> None:
    """Of one book, for some steps in which everything happens: plain is a hundred times slower."""
    early = tuple(replace(impulse, at_s=10.0, duration_s=60.0) for impulse in CRASH)
    crowd = replace(MANY, positions=150, history_days=0.5)
    episode = episode_of(
        duration_s=60.0, symbols=(ALT,), venues=("binanceusdm",), impulses=early, crowd=crowd
    )
    package = "adapters.simulation.laboratory"
    others = (f"{package}.{name}" for name in ("listing", "observed", "truth_rows", "laboratory"))
    coarse = "adapters.simulation.coarse"
    names = tuple(dict.fromkeys((*pairs(package), *others, *pairs(coarse), f"{coarse}.run")))
    plain = dict(zip(names, uncompiled(*names), strict=True))[f"{coarse}.run"]
    compiled = importlib.import_module(f"{coarse}.run")
    told = [
        [msgspec.json.encode(event) for event in module.coarse_events(episode)]
        for module in (compiled, plain)
    ]
    assert told[0] == told[1]
    rows = [module.coarse_series(episode).to_bytes() for module in (compiled, plain)]
    assert rows[0] == rows[1]
    assert BTC.symbol not in str(told[0])
