"""Takers at a book with makers whose price stands still: noise, momentum, value, the seller, arbitrage, patience."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest

from adapters.simulation.laboratory.arbitrage import Arbitrage
from adapters.simulation.laboratory.draws import Draws
from adapters.simulation.laboratory.exchange import Exchange
from adapters.simulation.laboratory.flow import Flow
from adapters.simulation.laboratory.grid import Grid
from adapters.simulation.laboratory.makers import Makers
from adapters.simulation.laboratory.moves import Moves
from adapters.simulation.laboratory.outside import Outside
from adapters.simulation.laboratory.owners import ARBITRAGE, MOMENTUM, NOISE, PATIENT, SELLER, VALUE
from adapters.simulation.laboratory.parameters import ArbitrageParameters, FlowParameters, MakerParameters
from adapters.simulation.laboratory.patient import Patient
from tests.adapters.simulation.laboratory.episodes import ALT

TICK = 10_000.0


class Floor:
    """A book whose makers quote about the world's price again after each step, without a limit to what they hold."""

    def __init__(self, **flow: float) -> None:
        self.exchange = Exchange(Grid(ALT), 0, 0)
        kind = MakerParameters(
            name="one",
            share=1.0,
            permanence=0.0,
            world_half_life_s=0.01,
            inventory_limit_depths=1e9,
            hedge_half_life_s=1.0,
        )
        self.makers = Makers(self.exchange, ALT, 1.0, (kind,), 100)
        self.depth = self.makers.depth_lots
        self.parameters = FlowParameters(**flow)
        self.flow = Flow(self.exchange, ALT, 1.0, self.depth, self.parameters, Draws("floor"), 100)
        self.moves = Moves(0.05, 0.0)
        self.outside = Outside()
        self.value = TICK
        self.world = TICK
        self.now_ms = 0

    @property
    def mid(self) -> float:
        book = self.exchange.book
        return (
            0.5 * (book.best_bid + book.best_ask) if book.best_bid > 0 and book.best_ask < book.ticks else 0.0
        )

    def quote(self) -> None:
        self.now_ms += 100
        self.makers.step(self.mid, 0.0, 1.0, self.world, 0.0, self.outside)
        self.makers.leave_mid(self.mid)

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds * 10)):
            self.quote()
            self.flow.step(self.mid, 1.0, self.value, self.makers.willingness, self.moves, self.outside)

    def held(self, owner: int) -> float:
        return self.exchange.lots_of(owner) / self.depth


def test_noise_trades_about_the_volume_that_was_asked_for_and_holds_little_of_it() -> None:
    floor = Floor(limit_bps=500.0)
    floor.run(2 * 3_600.0)
    traded = floor.exchange.volume_lots / floor.depth
    asked = ALT.volume_day_usd / ALT.depth_usd / 12.0
    assert 0.7 < traded / asked < 1.3
    assert abs(floor.held(NOISE)) < 0.12 * traded


def test_noise_lets_a_wide_spread_alone() -> None:
    floor = Floor()
    floor.outside.withdraw = 0.001
    floor.run(600.0)
    thin = floor.exchange.volume_lots
    usual = Floor()
    usual.run(600.0)
    assert thin < 0.1 * usual.exchange.volume_lots


def test_herding_makes_signs_persist() -> None:
    def repeats(herding: float) -> float:
        floor = Floor(herding=herding, limit_bps=500.0)
        signs: list[int] = []
        for _ in range(600):
            floor.run(1.0)
            signs += [trade.side for trade in floor.exchange.take_trades()]
        return sum(a == b for a, b in pairwise(signs)) / (len(signs) - 1)

    # One trade may be several fills, so that signs repeat even without herding.
    assert repeats(0.9) > repeats(0.0) + 0.1


def test_momentum_buys_what_rose_and_gives_it_back() -> None:
    floor = Floor(momentum_depths=0.05)
    rise = 4.0 * 0.05 * math.sqrt(300 / 86_400)
    floor.moves.update(600_000, 0.0)
    floor.moves.update(600_100, rise)
    floor.run(120.0)
    assert floor.held(MOMENTUM) == pytest.approx(0.05 * 4 * 2, rel=0.15)
    floor.moves.update(4_000_000, rise)
    most = floor.held(MOMENTUM)
    floor.run(3_600.0)
    assert 0 < floor.held(MOMENTUM) < 0.95 * most


def test_value_buys_below_value_up_to_its_limit_and_never_above_it() -> None:
    floor = Floor(value_depths=2.0, value_depths_max=3.0)
    floor.value = TICK * 1.02
    floor.run(900.0)
    assert 2.4 < floor.held(VALUE) <= 3.01
    none = Floor(value_depths=2.0)
    none.value = TICK * 1.004
    none.run(300.0)
    assert none.held(VALUE) == 0.0


def test_nobody_who_chooses_when_to_buy_buys_an_empty_book() -> None:
    floor = Floor(value_depths=2.0, participation=0.3)
    floor.outside.withdraw = 0.01
    floor.run(60.0)
    floor.value = TICK * 1.2
    floor.run(60.0)
    assert 0.0 < floor.held(VALUE) < 1.05 * 60 * 0.3 * 0.01


def test_the_seller_sells_what_it_was_told_whatever_the_price() -> None:
    floor = Floor()
    floor.outside.sell_depths_per_s = 0.02
    floor.run(50.0)
    floor.outside.sell_depths_per_s = 0.0
    floor.run(5.0)
    assert floor.held(SELLER) == pytest.approx(-1.0, abs=0.01)
    floor.outside.sell_depths_per_s = -0.02
    floor.run(50.0)
    assert floor.held(SELLER) == pytest.approx(0.0, abs=0.02)


def arbitrage_at(floor: Floor, **changed: float) -> Arbitrage:
    return Arbitrage(floor.exchange, floor.depth, ArbitrageParameters(**changed), 100)


def test_arbitrage_buys_what_is_cheaper_here_and_sells_it_in_the_world() -> None:
    floor = Floor()
    floor.quote()
    arbitrage = arbitrage_at(floor, depths_per_s=0.05)
    for _ in range(20):
        arbitrage.step(floor.mid, 0.0, TICK * 1.0024, floor.outside)
    got = floor.held(ARBITRAGE)
    assert 0.05 < got < 0.3
    assert arbitrage.world_lots == -floor.exchange.lots_of(ARBITRAGE)
    for _ in range(20):
        arbitrage.step(floor.mid, 0.0, floor.mid * 1.0003, floor.outside)
    assert floor.held(ARBITRAGE) == got


def test_arbitrage_ends_at_its_capital_with_a_stop_and_with_the_common_move() -> None:
    floor = Floor()
    limited = arbitrage_at(floor, depths_per_s=1.0, capital_depths=0.5)
    for _ in range(300):
        floor.quote()
        limited.step(floor.mid, 0.0, TICK * 1.01, floor.outside)
    assert 0.3 < floor.held(ARBITRAGE) <= 0.5
    other = Floor()
    other.quote()
    other.outside.arbitrage_share = 0.0
    stopped = arbitrage_at(other, depths_per_s=1.0)
    stopped.step(other.mid, 0.0, TICK * 1.01, other.outside)
    assert (stopped.ratio, other.held(ARBITRAGE)) == (0.0, 0.0)
    other.outside.arbitrage_share, other.outside.factor_z = 1.0, 20.0
    stopped.step(other.mid, 0.0, TICK, other.outside)
    assert stopped.ratio == pytest.approx(0.5)


def test_patient_orders_wait_far_away_and_come_back_slowly() -> None:
    exchange = Exchange(Grid(ALT), 0, 0)
    parameters = FlowParameters(patient_half_life_s=600.0)
    patient = Patient(exchange, 1_000.0, parameters)
    patient.begin(TICK)
    book = exchange.book
    assert book.lots_within(1, int(TICK * 0.951)) == 0
    assert book.lots_within(1, 1) == pytest.approx(3_000, rel=0.01)
    assert book.lots_within(-1, book.ticks - 1) == pytest.approx(3_000, rel=0.01)
    exchange.take(NOISE, -1, 1_500)
    assert exchange.lots_of(PATIENT) == 1_500

    clock = iter(range(0, 10_000_000, 100))

    def back_after(seconds: int) -> int:
        for _ in range(seconds * 10):
            patient.step(next(clock), TICK)
        return book.lots_within(1, 1)

    assert back_after(60) < 2_100
    assert back_after(600) == pytest.approx(2_250, rel=0.08)
    assert back_after(3_600) > 2_850


def test_patient_orders_follow_the_price_slowly() -> None:
    exchange = Exchange(Grid(ALT), 0, 0)
    patient = Patient(exchange, 1_000.0, FlowParameters(patient_half_life_s=600.0))
    patient.begin(TICK)
    for step in range(6_000):
        patient.step(step * 100, TICK * 0.9)
    assert patient.reference == pytest.approx(TICK * 0.95, rel=0.01)
    assert exchange.book.best_bid < patient.reference * 0.96
