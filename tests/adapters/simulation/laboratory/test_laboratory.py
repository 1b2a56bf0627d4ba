"""The whole laboratory: the same for the same episode, nothing made or lost, and what guards make of it."""

from __future__ import annotations

import importlib
import math
import os
import subprocess
import sys
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from adapters.simulation.laboratory.laboratory import Laboratory
from adapters.simulation.laboratory.owners import CROWD
from adapters.simulation.laboratory.parameters import (
    CrowdParameters,
    FlowParameters,
    FundingParameters,
    Impulse,
    ImpulseKind,
    SymbolParameters,
    ValueParameters,
)
from adapters.simulation.laboratory.truth import (
    ClosedBy,
)
from guard.building import build_engine
from guard.configuration import Settings
from guard.events import LiquidationSeen, MarketFeatures, MarketsWatched, MarkPriceSeen, Tick
from guard.findings import Finding, Reason
from guard.market.book import Side
from guard.market.view import BookTrust
from guard.units import NS_PER_MS, NS_PER_S
from tests.adapters.simulation.laboratory.crashes import CRASH, crash, digest_of
from tests.adapters.simulation.laboratory.episodes import (
    ALT,
    BINANCE,
    BTC,
    BYBIT,
    START_AT_NS,
    small_episode,
)
from tests.support.truths import Kept
from tests.support.uncompiled import pairs, uncompiled

PACKAGE = "adapters.simulation.laboratory"


def check_books(laboratory: Laboratory) -> None:
    """What must hold after every step, at every book."""
    for listing in laboratory.listings.values():
        exchange, crowd, book = listing.exchange, listing.crowd, listing.exchange.book
        assert book.best_bid < book.best_ask
        for side in (1, -1):
            _, lots = book.gather(side, 10**6)
            assert (lots > 0).all()
        held = [exchange.lots_of(owner) for owner in range(exchange.owners_count)]
        cash = [exchange.cash_of(owner) for owner in range(exchange.owners_count)]
        assert sum(held) == 0
        assert sum(cash) + exchange.fees_micros + exchange.funding_micros == 0
        assert held[CROWD] == crowd.long_lots - crowd.short_lots
        assert crowd.long_lots + exchange.longs_of_others() == crowd.short_lots + exchange.shorts_of_others()
        assert crowd.imbalance() == 0


def check_told(laboratory: Laboratory, truth: Kept) -> None:
    """All that venues closed was told by the end, in order, and each position's once a second at most, and at last."""
    for listing in laboratory.listings.values():
        engine, told = (
            listing.crowd.engine,
            [each for each in truth.liquidations if each.market == listing.market],
        )
        lots = sum(round(abs(each.size) / listing.grid.lot) for each in told)
        assert lots == engine.book_lots + engine.fund_lots + engine.deleveraged_lots
        assert [each.at_ns for each in told] == sorted(each.at_ns for each in told)
        times: dict[int, list[int]] = {}
        for each in told:
            if each.closed_by is ClosedBy.BOOK:
                times.setdefault(each.position, []).append(each.at_ns)
        assert all(len(at) <= (at[-1] - at[0]) / NS_PER_S + 2 for at in times.values())


@pytest.mark.parametrize("seed", range(8))
def test_nothing_is_made_or_lost_whatever_happens(seed: int) -> None:
    truth = Kept()
    laboratory = Laboratory(crash(seed), truth)
    while laboratory.now_ms < laboratory.duration_ms:
        laboratory.step()
        if laboratory.now_ms % 500 == 0:
            check_books(laboratory)
    check_books(laboratory)
    check_told(laboratory, truth)
    assert truth.liquidations, "a crash without liquidations shows nothing"


def test_equal_episodes_give_equal_bytes_in_another_process_too() -> None:
    program = (
        "from tests.adapters.simulation.laboratory.crashes import crash, digest_of\n"
        "print(digest_of(crash(3, 6.0)))"
    )
    expected = digest_of(crash(3, 6.0))
    other = {**os.environ, "PYTHONHASHSEED": "77" if os.environ.get("PYTHONHASHSEED") != "77" else "78"}
    told = subprocess.run(
        [sys.executable, "-c", program], env=other, capture_output=True, text=True, timeout=60, check=True
    )
    assert told.stdout.strip() == expected
    assert digest_of(crash(4, 6.0)) != expected


def test_compiled_and_plain_give_the_same_bytes() -> None:
    """Of one book, for some seconds in which everything happens: plain is a hundred times slower."""
    episode = replace(crash(5, 6.0), symbols=(ALT,), venues=(BINANCE,), impulses=CRASH[:4])
    others = (f"{PACKAGE}.{name}" for name in ("listing", "observed", "truth_rows", "laboratory"))
    names = tuple(dict.fromkeys((*pairs(PACKAGE), *others)))
    plain = dict(zip(names, uncompiled(*names), strict=True))[f"{PACKAGE}.laboratory"]
    compiled = importlib.import_module(f"{PACKAGE}.laboratory")
    told = [
        [msgspec.json.encode(event) for event in module.Laboratory(episode).events()]
        for module in (compiled, plain)
    ]
    assert told[0] == told[1]


def test_what_is_seen_of_a_calm_minute() -> None:
    laboratory = Laboratory(small_episode())
    events = list(laboratory.events())
    watched = [event for event in events if isinstance(event, MarketsWatched)]
    assert [event.venue for event in watched] == ["binanceusdm", "bybit"]
    assert events[:2] == watched
    markets = {market for event in watched for market in event.markets}
    assert markets == {
        f"{venue}:{base}/USDT:USDT" for venue in ("binanceusdm", "bybit") for base in ("BTC", "ALT")
    }
    times = [event.received_at for event in events]
    assert times == sorted(times)
    assert times[0] >= START_AT_NS
    assert times[-1] < START_AT_NS + 60 * NS_PER_S + 100 * NS_PER_MS
    for market in markets:
        samples = [event for event in events if isinstance(event, MarketFeatures) and event.market == market]
        marks = [event for event in events if isinstance(event, MarkPriceSeen) and event.market == market]
        assert len(marks) == 60
        assert 30 <= len(samples) <= 90
        last, mark = samples[-1], marks[-1]
        assert last.bid is not None
        assert last.ask is not None
        assert mark.mark_price == pytest.approx((last.bid + last.ask) / 2.0, rel=0.005)
        assert mark.index_price == pytest.approx(mark.mark_price, rel=0.005)
        assert sum(sample.buy_usd + sample.sell_usd for sample in samples) > 0.0


def test_the_engine_trusts_what_it_sees_and_finds_no_fault_with_it() -> None:
    """With the policies of the settings, as replay does: books are trusted, baselines warm, nothing is wrong."""
    episode = small_episode(duration_s=150.0)
    venues = [{"id": venue.venue, "symbols": ["BTC/USDT:USDT", "ALT/USDT:USDT"]} for venue in episode.venues]
    engine = build_engine(Settings.model_validate({"venues": venues}))
    found: list[Finding] = []
    tick_at = START_AT_NS
    for event in Laboratory(episode).events():
        while tick_at < event.received_at:
            found += engine.process(Tick(received_at=tick_at)).opened
            tick_at += 250 * NS_PER_MS
        found += engine.process(event).opened
    now = engine.state.now
    for market, view in engine.state.markets.items():
        assert view.trust(now) is BookTrust.TRUSTED, market
        assert view.is_warm(now), market
        symbol = BTC if "BTC" in market else ALT
        share = 1.0 if market.startswith("binance") else BYBIT.share
        for side in Side:
            normal = view.normal_depth_usd(side)
            assert normal is not None
            # A calm book holds what its parameters say, with the hour of the day (35 % up or down) and withdrawals.
            assert 0.4 < normal / (symbol.depth_usd * share) < 1.6, (market, side)
    assert Reason.POLICY_RAISED not in {finding.reason for finding in found}
    # What is likely to come of a market that has been seen for two minutes is not asked here.
    expected = {Reason.REGIME_STRESSED, Reason.HAZARD_HIGH}
    assert {finding.reason for finding in engine.findings} <= expected


def test_an_outage_silences_a_venue_and_it_comes_back() -> None:
    events = list(Laboratory(crash(1)).events())
    out = range(START_AT_NS + 11_000 * NS_PER_MS, START_AT_NS + 14_000 * NS_PER_MS)
    seen = [event for event in events if isinstance(event, MarketFeatures | MarkPriceSeen | LiquidationSeen)]
    during = [event for event in seen if event.exchange_at in out]
    assert {event.market.partition(":")[0] for event in during} == {"binanceusdm"}
    after = [event for event in seen if (event.exchange_at or 0) >= out.stop]
    assert {event.market.partition(":")[0] for event in after} == {"binanceusdm", "bybit"}


def test_nothing_trades_at_a_venue_that_is_out() -> None:
    laboratory = Laboratory(crash(1))
    volumes = {}
    while laboratory.now_ms < laboratory.duration_ms:
        laboratory.step()
        volumes[laboratory.now_ms] = {
            name: listing.exchange.volume_lots for name, listing in laboratory.listings.items()
        }
    for venue, is_out in (("binanceusdm", False), ("bybit", True)):
        traded = {
            at: sum(lots for name, lots in each.items() if name[0] == venue) for at, each in volumes.items()
        }
        assert (traded[13_900] == traded[11_000]) is is_out
        assert traded[20_000] > traded[14_000]


def test_a_market_is_told_what_the_scenario_does_there() -> None:
    laboratory = Laboratory(crash(1))
    while laboratory.now_ms < 6_000:
        laboratory.step()
    here, there = (laboratory.listings[venue, "BTCUSDT"].outside for venue in ("binanceusdm", "bybit"))
    assert here.sell_depths_per_s == there.sell_depths_per_s == pytest.approx(3.0 / 5.0)
    assert here.withdraw == there.withdraw == 0.2
    assert (here.arbitrage_share, there.arbitrage_share) == (1.0, 0.0)
    assert here.collateral_ratio == pytest.approx(math.exp(-0.3))
    assert there.collateral_ratio == 1.0
    assert (here.outage, there.outage) == (0, 0)
    assert here.factor_z == there.factor_z > 10.0
    # What is traded at one book in a step has moved the world when the next one is told of it.
    assert here.world_price == pytest.approx(there.world_price, rel=1e-3)
    assert here.value_price == pytest.approx(laboratory.values.value_price(0))
    crowd = laboratory.listings["binanceusdm", "BTCUSDT"].crowd
    assert crowd.collateral_ratio == pytest.approx(math.exp(-0.3), abs=0.01)


def test_the_truth_is_what_the_market_is() -> None:
    truth = Kept()
    laboratory = Laboratory(crash(2), truth)
    told = [event for event in laboratory.events() if isinstance(event, LiquidationSeen)]
    # At the begin and each 5 s (10 s for positions), for each of four books.
    assert len(truth.maps) == len(truth.books) == 4 * 5
    assert len(truth.all_positions) == 4 * 3
    assert [each.at_ns for each in truth.maps[:8]] == [START_AT_NS] * 4 + [START_AT_NS + 5 * NS_PER_S] * 4
    for listing in laboratory.listings.values():
        last = [each for each in truth.all_positions if each.market == listing.market][-1]
        lot = listing.grid.lot
        assert last.size[last.size > 0].sum() == pytest.approx(listing.crowd.long_lots * lot)
        assert last.size[last.size < 0].sum() == pytest.approx(-listing.crowd.short_lots * lot)
        assert (np.diff(last.position) > 0).all()
        assert (last.opened_at <= START_AT_NS + 20 * NS_PER_S).all()
        assert (last.opened_at < START_AT_NS).any()
        assert (last.opened_at >= START_AT_NS - 12 * 3_600 * NS_PER_S).all()
        book = [each for each in truth.books if each.market == listing.market][-1]
        assert 0.0 < book.willingness <= 1.0
        first = next(each for each in truth.books if each.market == listing.market)
        assert first.fund_usd == pytest.approx(listing.crowd.fund_opening / 1e6)
        assert book.fund_usd != first.fund_usd
        map_now = [each for each in truth.maps if each.market == listing.market][-1]
        leveraged = (last.liquidation_price > 0.0) & (last.size > 0.0)
        assert map_now.longs_usd.sum() == pytest.approx(
            last.size[leveraged].sum() * map_now.mark_price, rel=1e-6
        )
    assert {each.market for each in truth.liquidations} >= {event.market for event in told}
    assert all(each.size != 0.0 and each.price > 0.0 for each in truth.liquidations)


def test_a_fall_at_one_venue_is_heard_at_the_other() -> None:
    impulse = Impulse(
        kind=ImpulseKind.SELL, at_s=1.0, duration_s=2.0, size=8.0, venue="binanceusdm", symbol="ALTUSDT"
    )
    laboratory = Laboratory(small_episode(impulses=(impulse,), duration_s=10.0))
    there = laboratory.listings["bybit", "ALTUSDT"]
    heard = [there.outside.other_z for _ in laboratory.events()]
    assert max(heard) > 3.0
    here = laboratory.listings["binanceusdm", "ALTUSDT"]
    assert laboratory.values.displaced(here.at) < 0.0


def test_funding_is_paid_when_it_is_due() -> None:
    laboratory = Laboratory(small_episode(funding=FundingParameters(interval_s=8.0), duration_s=20.0))
    listing = laboratory.listings["binanceusdm", "BTCUSDT"]
    assert listing.mark.next_funding_ms == 8_000
    due = []
    while laboratory.now_ms < 20_000:
        # One position's margin: what all have together does not change where longs and shorts are as many.
        slot = listing.crowd.pick(0.0)
        before = listing.crowd.margin[slot]
        laboratory.step()
        if listing.mark.next_funding_ms - laboratory.now_ms == 8_000:
            due.append((laboratory.now_ms, listing.crowd.margin[slot] != before))
    assert due == [(8_000, True), (16_000, True)]


def test_a_venue_that_is_cut_off_draws_its_own_index_along() -> None:
    impulses = (
        Impulse(kind=ImpulseKind.ARBITRAGE_STOP, at_s=1.0, duration_s=60.0, size=1.0, venue="bybit"),
        Impulse(kind=ImpulseKind.WITHDRAW, at_s=1.0, duration_s=60.0, size=0.05, venue="bybit"),
        Impulse(kind=ImpulseKind.SELL, at_s=2.0, duration_s=10.0, size=6.0, venue="bybit", symbol="ALTUSDT"),
    )
    laboratory = Laboratory(small_episode(impulses=impulses))
    cut, whole = (laboratory.listings[venue, "ALTUSDT"] for venue in ("bybit", "binanceusdm"))
    lowest = {listing.market: 0.0 for listing in (cut, whole)}
    while laboratory.now_ms < 15_000:
        laboratory.step()
        world = laboratory.values.world_price(cut.at)
        for listing in (cut, whole):
            away = listing.told().index_price / world - 1.0
            lowest[listing.market] = min(lowest[listing.market], away)
    assert -0.0151 <= lowest[cut.market] < -0.003
    assert abs(lowest[whole.market]) < 0.001


@pytest.mark.parametrize("symbol", [BTC, ALT])
def test_on_a_calm_day_prices_move_as_their_value_does(symbol: SymbolParameters) -> None:
    """Trading does not feed on itself where few follow moves and few have stops or leverage: mid stays near value."""
    laboratory = Laboratory(
        small_episode(
            symbols=(symbol,),
            venues=(BINANCE,),
            value=ValueParameters(volatility_log_sd=0.2, jumps_per_day=0.0),
            crowd=CrowdParameters(
                positions=400,
                history_days=1.0,
                momentum=0.0,
                stop_share=0.02,
                target_share=0.02,
                leverage_longs=((2.0, 0.6), (5.0, 0.4)),
                leverage_shorts=((2.0, 0.6), (5.0, 0.4)),
            ),
            flow=FlowParameters(momentum_depths=0.005),
            duration_s=5_400.0,
        )
    )
    (listing,) = laboratory.listings.values()
    mids, values = [], []
    while laboratory.now_ms < laboratory.duration_ms:
        laboratory.step()
        if laboratory.now_ms % 1_000 == 0:
            mids.append(math.log(listing.trading.mid * listing.grid.tick))
            values.append(math.log(laboratory.values.value_price(0)))
    # Within seconds a trade moves mid, most of which comes back.
    for every, most in ((10, 1.6), (60, 1.4)):
        moved, meant = np.diff(mids[::every]).std(), np.diff(values[::every]).std()
        assert 0.7 < moved / meant < most, every
    assert np.abs(np.subtract(mids, values)).max() < 0.025
