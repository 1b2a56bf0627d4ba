"""Makers at a real book: what they rest in calm, how they leave, and how they come back."""

from __future__ import annotations

import pytest

from adapters.simulation.laboratory.exchange import Exchange
from adapters.simulation.laboratory.grid import Grid
from adapters.simulation.laboratory.makers import Makers
from adapters.simulation.laboratory.outside import Outside
from adapters.simulation.laboratory.owners import MAKERS, NOISE
from adapters.simulation.laboratory.parameters import MakerParameters
from tests.adapters.simulation.laboratory.episodes import ALT

TICK = 10_000.0


class Desk:
    """Makers of the small alt at a world's price that stands still unless it is told."""

    def __init__(self, **changed: float) -> None:
        self.exchange = Exchange(Grid(ALT), 0, 500)
        kind = MakerParameters(name="one", share=1.0, **changed)  # type: ignore[arg-type]
        self.makers = Makers(self.exchange, ALT, 1.0, (kind,), 100)
        self.outside = Outside()
        self.world = TICK
        self.mid = TICK
        self.run(1)

    def run(self, steps: int, z: float = 0.0) -> None:
        for _ in range(steps):
            self.makers.step(self.mid, z, 1.0, self.world, 0.0, self.outside)
            book = self.exchange.book
            if book.best_bid > 0 and book.best_ask < book.ticks:
                self.mid = 0.5 * (book.best_bid + book.best_ask)
            self.makers.leave_mid(self.mid)

    def take(self, side: int, depths: float) -> None:
        self.exchange.take(NOISE, side, int(depths * self.makers.depth_lots))
        book = self.exchange.book
        if book.best_bid > 0 and book.best_ask < book.ticks:
            self.mid = 0.5 * (book.best_bid + book.best_ask)

    def depths(self, side: int, bps: float = 100.0) -> float:
        tick = int(self.mid * (1.0 - side * bps * 1e-4))
        return self.exchange.book.lots_within(side, tick) / self.makers.depth_lots

    @property
    def spread_bps(self) -> float:
        return (self.exchange.book.best_ask - self.exchange.book.best_bid) / self.mid * 1e4


def test_in_calm_spread_and_depth_are_what_was_asked() -> None:
    desk = Desk()
    assert desk.spread_bps == pytest.approx(2 * ALT.half_spread_bps, abs=1.1)
    assert desk.depths(1) == pytest.approx(1.0, abs=0.08)
    assert desk.depths(-1) == pytest.approx(1.0, abs=0.08)
    assert desk.depths(1, 25.0) == pytest.approx(0.25**1.16, rel=0.4)


def test_a_move_empties_the_book_in_a_second_and_half_the_log_is_back_after_a_half_life() -> None:
    desk = Desk(refill_half_life_s=60.0, withdraw_z=10.0)
    desk.run(10, z=60.0)
    assert desk.makers.willingness < 0.2
    desk.run(40, z=60.0)
    floor = desk.makers.willingness
    assert floor == pytest.approx(1 / (1 + 6.0**2.2), rel=0.02)
    assert desk.depths(1) < 0.03
    assert desk.spread_bps > 10 * 2 * ALT.half_spread_bps
    desk.run(600)
    assert desk.makers.willingness == pytest.approx(floor**0.5, rel=0.05)


def test_moves_elsewhere_count_by_the_signal_ratio() -> None:
    deaf, keen = Desk(signal_ratio=0.0), Desk(signal_ratio=2.0)
    for desk in (deaf, keen):
        desk.outside.other_z = 20.0
        desk.run(50)
    assert deaf.makers.willingness == 1.0
    assert keen.makers.willingness == pytest.approx(1 / (1 + (40.0 / 13.3) ** 2.2), rel=0.02)


def test_the_scenario_scales_willingness() -> None:
    desk = Desk()
    desk.outside.withdraw = 0.1
    desk.run(50)
    assert desk.makers.willingness == pytest.approx(0.1, rel=0.01)
    assert desk.depths(1) == pytest.approx(0.1, rel=0.15)


def test_a_full_inventory_is_skewed_against_and_quoted_on_one_side_only() -> None:
    desk = Desk(inventory_limit_depths=0.5, hedge_half_life_s=1e9, permanence=0.0, world_half_life_s=0.05)
    for _ in range(40):
        desk.take(-1, 0.05)
        desk.run(20)
    assert desk.makers.held_of(0) == pytest.approx(1.0, abs=0.1)
    desk.mid = TICK  # there is none where one side is empty
    assert desk.depths(1) < 0.1
    assert desk.depths(-1) == pytest.approx(1.0, abs=0.1)


def test_what_is_hedged_is_sold_in_the_world_and_makes_room_again() -> None:
    desk = Desk(inventory_limit_depths=0.5, hedge_half_life_s=10.0)
    desk.take(-1, 0.3)
    desk.run(1)
    held = desk.makers.held_of(0)
    desk.run(100)
    assert desk.makers.held_of(0) == pytest.approx(held / 2, rel=0.05)
    assert desk.makers.world_lots == pytest.approx(-0.15 * desk.makers.depth_lots, rel=0.1)


def test_losses_drive_makers_out_and_hedged_ones_lose_nothing() -> None:
    def fallen(hedge_half_life_s: float) -> Desk:
        desk = Desk(capital_depths=0.5, hedge_half_life_s=hedge_half_life_s, inventory_limit_depths=10.0)
        for _ in range(10):
            desk.take(-1, 0.1)
            desk.run(10)
        desk.run(50)
        for _ in range(50):
            desk.world *= 0.993
            desk.run(10)
        return desk

    exposed, hedged = fallen(1e9), fallen(0.5)
    assert exposed.makers.equity_ratio < 0.6
    assert exposed.makers.willingness < 0.5
    assert hedged.makers.equity_ratio > 0.9


def test_collateral_that_loses_its_peg_is_lost_capital() -> None:
    desk = Desk(collateral_share=0.8)
    desk.outside.collateral_ratio = 0.5
    desk.run(50)
    assert desk.makers.equity_ratio == pytest.approx(0.6, rel=0.01)
    assert desk.makers.willingness == pytest.approx((0.6 - 0.3) / 0.7, rel=0.02)


def test_trades_move_the_fair_price_in_part_and_the_world_draws_it_back() -> None:
    desk = Desk(permanence=0.5, world_half_life_s=1e9)
    before = desk.mid
    desk.take(1, 0.3)
    moved = desk.mid - before
    assert moved > 0
    desk.run(1)
    assert desk.makers.fair_of(0) - TICK == pytest.approx(0.5 * moved, rel=0.01)
    anchored = Desk(permanence=0.5, world_half_life_s=1.0)
    anchored.take(1, 0.3)
    anchored.run(60)
    assert anchored.makers.fair_of(0) == pytest.approx(TICK, rel=1e-4)


def test_what_was_taken_comes_back_slowly_where_makers_are_hardly_willing() -> None:
    def left_after(seconds: float, withdraw: float) -> float:
        desk = Desk(permanence=0.0, world_half_life_s=0.05, restore_half_life_s=0.3)
        desk.outside.withdraw = withdraw
        desk.run(100)
        full = desk.depths(1, 300.0)
        desk.take(-1, 0.5 * full)
        desk.run(round(seconds * 10))
        return desk.depths(1, 300.0) / full

    assert left_after(1.0, 1.0) > 0.9
    assert left_after(1.0, 0.05) < 0.75


def test_an_unmoved_book_is_left_alone() -> None:
    desk = Desk()
    desk.run(20)
    before = desk.exchange.book.changed
    desk.run(200)
    assert desk.exchange.book.changed == before


def test_orders_are_moved_when_the_fair_price_is() -> None:
    desk = Desk()
    before = desk.exchange.book.changed
    desk.world *= 1.002
    desk.run(100)
    assert desk.mid == pytest.approx(TICK * 1.002, rel=1e-4)
    assert desk.exchange.book.changed - before > 20
    assert desk.depths(1) == pytest.approx(1.0, abs=0.1)


def test_impossible_makers_are_refused() -> None:
    exchange = Exchange(Grid(ALT), 0, 500)
    with pytest.raises(ValueError, match="0 kinds of makers"):
        Makers(exchange, ALT, 1.0, (), 100)
    with pytest.raises(ValueError, match="levels"):
        Makers(exchange, ALT, 1.0, (MakerParameters(name="one", share=1.0, levels=99),), 100)


def test_every_kind_trades_for_itself() -> None:
    exchange = Exchange(Grid(ALT), 0, 500)
    kinds = (
        MakerParameters(name="near", share=0.5),
        MakerParameters(name="far", share=0.5, spread_ratio=20.0),
    )
    makers = Makers(exchange, ALT, 1.0, kinds, 100)
    makers.step(TICK, 0.0, 1.0, TICK, 0.0, Outside())
    exchange.take(NOISE, -1, 1_000)
    assert (exchange.lots_of(MAKERS), exchange.lots_of(MAKERS + 1)) == (1_000, 0)
