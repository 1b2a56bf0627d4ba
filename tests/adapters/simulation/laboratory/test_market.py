"""One market with everybody in it: calm is calm, causes have their effects, books balance, and runs repeat."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from adapters.simulation.laboratory import market as compiled_market
from adapters.simulation.laboratory import outside as compiled_outside
from adapters.simulation.laboratory.owners import ACCOUNTS, ENGINE, MAKERS
from adapters.simulation.laboratory.parameters import CrowdParameters, Episode, MakerParameters
from tests.adapters.simulation.laboratory.episodes import ALT, BINANCE, small_episode
from tests.support.uncompiled import pairs, uncompiled

PACKAGE = "adapters.simulation.laboratory"


class Run:
    """A market at a world's price that a test moves; the mark is the world's price."""

    def __init__(self, modules: tuple[ModuleType, ModuleType] | None = None, **changed: Any) -> None:
        market, outside = modules or (compiled_market, compiled_outside)
        episode: Episode = small_episode(symbols=(ALT,), venues=(BINANCE,), **changed)
        self.market = market.Market(episode, BINANCE, ALT)
        self.outside = outside.Outside()
        self.world = ALT.price_start
        self.now_ms = 0
        self.moved = 0.0

    def steps(self, count: int, drift: float = 0.0) -> None:
        for _ in range(count):
            self.now_ms += 100
            self.world *= 1.0 + drift
            self.outside.world_price = self.outside.value_price = self.world
            self.outside.mark_tick = int(self.world / self.market.grid.tick + 0.5)
            self.market.step(self.now_ms, self.outside)
            self.moved += self.market.take_world_move()

    @property
    def open_lots(self) -> int:
        return int(self.market.exchange.open_lots(self.market.crowd.long_lots))

    @property
    def spread_bps(self) -> float:
        book = self.market.book
        return float((book.best_ask - book.best_bid) / self.market.mid * 1e4)

    def depth(self, side: int) -> float:
        tick = int(self.market.mid * (1.0 - side * 0.01))
        return float(self.market.book.lots_within(side, tick) / self.market.depth_lots)

    def balance(self) -> None:
        """Longs are shorts, the crowd's positions are the crowd's lots, and no book is crossed."""
        market = self.market
        owners = range(ACCOUNTS)
        assert sum(market.exchange.lots_of(owner) for owner in owners) == 0
        assert market.crowd.long_lots - market.crowd.short_lots == market.exchange.lots_of(0)
        money = sum(market.exchange.cash_of(owner) for owner in owners)
        assert money + market.exchange.fees_micros + market.exchange.funding_micros == 0
        assert market.book.best_bid < market.book.best_ask

    def digest(self) -> str:
        market = self.market
        told = [
            market.mid,
            market.z,
            market.willingness,
            market.equity_ratio,
            market.book.changed,
            self.moved,
        ]
        told += [market.exchange.lots_of(owner) for owner in range(ACCOUNTS)]
        told += [market.exchange.cash_of(owner) for owner in range(ACCOUNTS)]
        for side in (1, -1):
            told += [array.tolist() for array in market.book.gather(side, 100)]
        told += [market.crowd.count, market.crowd.long_lots, market.crowd.fund_micros]
        return hashlib.sha256(repr(told).encode()).hexdigest()


def test_calm_stays_calm() -> None:
    run = Run(crowd=CrowdParameters(positions=400, history_days=1.0, momentum=0.0))
    run.steps(100)
    before = run.open_lots
    spreads, bids, gaps = [], [], []
    for _ in range(360):
        run.steps(50)
        spreads.append(run.spread_bps)
        bids.append(run.depth(1) / run.market.season)
        gaps.append(run.market.mid * run.market.grid.tick / run.world - 1.0)
    run.balance()
    assert np.median(spreads) == pytest.approx(2 * ALT.half_spread_bps, rel=0.5)
    assert np.median(bids) == pytest.approx(0.9, abs=0.15)
    assert np.std(gaps) < 5e-4
    assert run.open_lots / before == pytest.approx(1.0, abs=0.08)
    assert run.market.book.changed / (run.now_ms / 1_000.0) > 10


def test_a_crash_of_the_world_thins_the_book_liquidates_longs_and_is_over_in_the_end() -> None:
    run = Run()
    run.steps(600)
    before = run.open_lots
    run.steps(300, drift=-0.0005)
    assert run.market.z > 10
    assert run.market.willingness < 0.3
    assert run.depth(1) < 0.4
    assert run.spread_bps > 3 * 2 * ALT.half_spread_bps
    liquidated = run.market.crowd.take_liquidations()
    assert sum(each.lots for each in liquidated) > 0.003 * before
    run.steps(3_000)
    soon = run.market.willingness
    assert soon < 0.3
    run.steps(12_000)
    assert run.market.willingness > max(0.5, 2 * soon)
    assert run.open_lots < before
    run.balance()


def test_positions_close_in_pairs_while_price_runs() -> None:
    def left(flight: float) -> tuple[float, float]:
        run = Run(
            crowd=CrowdParameters(positions=400, history_days=1.0, flight=flight, holding_half_life_s=7_200.0)
        )
        run.steps(50)
        before, net = run.open_lots, run.market.exchange.lots_of(0)
        run.outside.withdraw = 0.05
        run.steps(600, drift=-0.0001)
        return run.open_lots / before, abs(run.market.exchange.lots_of(0) - net) / before

    stayed, _ = left(0.0)
    fled, one_sided = left(20.0)
    assert fled < stayed - 0.05
    assert one_sided < 0.1


def test_an_outage_stops_everything_but_time() -> None:
    run = Run()
    run.steps(100)
    before = run.digest()
    changed = run.market.book.changed
    run.outside.outage = 1
    run.steps(100)
    assert run.market.book.changed == changed
    run.outside.outage = 0
    run.steps(1)
    assert run.digest() != before


def test_the_same_episode_runs_the_same_and_another_seed_does_not() -> None:
    digests = []
    for seed in (7, 7, 8):
        run = Run(seed=seed)
        run.steps(300, drift=-0.0002)
        digests.append(run.digest())
    assert digests[0] == digests[1]
    assert digests[0] != digests[2]


def test_compiled_and_source_trade_alike() -> None:
    names = (*pairs(PACKAGE), f"{PACKAGE}.grid", f"{PACKAGE}.crowd_seed", f"{PACKAGE}.crowd_truth")
    modules = dict(zip(names, uncompiled(*names), strict=True))
    small = CrowdParameters(positions=100, history_days=0.2)
    source = Run((modules[f"{PACKAGE}.market"], modules[f"{PACKAGE}.outside"]), crowd=small)
    compiled = Run(crowd=small)
    for run in (source, compiled):
        run.outside.sell_depths_per_s = 0.05
        run.steps(120)
        run.outside.withdraw = 0.2
        run.steps(120, drift=-0.0008)
        run.balance()
    assert source.digest() == compiled.digest()


def test_little_leverage_does_not_cascade_where_much_does() -> None:
    def sold(leverage: float) -> float:
        crowd = CrowdParameters(
            positions=400,
            history_days=0.1,
            leverage_longs=((leverage, 1.0),),
            stop_share=0.0,
            cross_share=0.0,
            flight=0.0,
        )
        kinds = (replace(MakerParameters(name="one", share=1.0), refill_half_life_s=600.0),)
        run = Run(crowd=crowd, makers=kinds)
        run.steps(100)
        run.steps(500, drift=-0.00012)
        run.steps(300)
        lots = sum(each.lots for each in run.market.crowd.take_liquidations())
        run.balance()
        assert run.market.exchange.lots_of(ENGINE) >= 0
        return float(lots / run.market.depth_lots)

    assert sold(2.0) == 0.0
    assert sold(25.0) > 1.0


def test_what_makers_hedge_and_arbitrage_sells_moves_the_world() -> None:
    run = Run()
    run.steps(100)
    run.moved = 0.0
    run.outside.sell_depths_per_s = 0.02
    run.steps(600)
    assert run.moved < -0.0005
    assert run.market.exchange.lots_of(MAKERS) + run.market.exchange.lots_of(MAKERS + 1) > 0
