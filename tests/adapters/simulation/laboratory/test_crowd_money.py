"""Whatever happens to a crowd: longs are shorts, no money is made or lost, and nobody ruined stays; compiled or not."""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np
import pytest

from adapters.simulation.laboratory.owners import CROWD, ENGINE, MAKERS
from adapters.simulation.laboratory.parameters import CrowdParameters, LiquidationParameters
from tests.support.crowds import START, crowd_at
from tests.support.uncompiled import is_compiled, pairs, uncompiled

LABORATORY = "adapters.simulation.laboratory"
PARTS = ("book", "draws", "exchange", "ladder", "margin_brackets", "positions", "liquidation_engine", "crowd")
NAMES = tuple(f"{LABORATORY}.{part}" for part in PARTS)
SOURCE = dict(zip(PARTS, uncompiled(*NAMES), strict=True))


class Life:
    """A crowd at a book to which random things happen; ``told`` is what every one of them answered."""

    def __init__(self, seed: int, *, is_source: bool = False, steps: int = 400) -> None:
        self.random = Random(seed)
        modules = (SOURCE["crowd"], SOURCE["exchange"], SOURCE["draws"]) if is_source else None
        self.crowd = crowd_at(
            parameters=CrowdParameters(positions=300, collateral_share=0.3, cross_share=0.6),
            liquidation=LiquidationParameters(
                fund_ratio=self.random.choice([0.0, 0.0005, 0.01]),
                takeover_bps=self.random.choice([0.0, 50.0]),
                partial=self.random.random() < 0.8,
            ),
            taker_fee_ppm=self.random.choice([0, 500]),
            seed=seed,
            modules=modules,
        )
        self.exchange = self.crowd.exchange
        path = [START * (1.0 + 0.03 * np.sin(i / 40.0)) for i in range(630)]
        self.crowd.seed(path, 60_000, 40_000)
        self.mark = float(path[-1])
        self.deposited = self.crowd.margins
        self.told: list[Any] = [self.crowd.long_lots, self.crowd.fund_micros]
        self.steps = steps

    def live(self) -> None:
        for step in range(self.steps):
            self.exchange.now_ms = step
            self.quote()
            self.told.append(self.act(step))
            self.check()

    def quote(self) -> None:
        """Makers rest a thin book round the mark, and now and then none at all."""
        self.exchange.cancel_all(MAKERS)
        if self.random.random() < 0.15:
            return
        lots = self.random.choice([20, 300, 3_000])
        middle = int(self.mark * self.random.uniform(0.985, 1.015))
        for level in range(1, 12):
            self.exchange.place(MAKERS, 1, max(middle - level * 9, 1), lots + level)
            self.exchange.place(MAKERS, -1, middle + level * 9, lots + level)

    def act(self, step: int) -> Any:
        kind = self.random.choice("eeelrrssffcmmmlllll")
        self.mark *= self.random.choice([0.999, 1.0, 1.001, 0.97, 1.03] if kind == "m" else [1.0])
        self.mark = min(max(self.mark, 4_000.0), 25_000.0)
        mark = int(self.mark)
        match kind:
            case "e":
                return self.enter(step)
            case "r":
                return self.crowd.leave(step, self.crowd.pick(self.random.random()))
            case "s":
                return self.crowd.run_stops(step, self.exchange.book.last_tick)
            case "f":
                rate = self.random.randrange(-3_000_000, 3_000_000)
                return self.crowd.fund(mark, rate), self.exchange.fund(mark, rate)
            case "c":
                return self.crowd.reprice_collateral(self.random.uniform(0.6, 1.02))
            case _:
                closed = self.crowd.liquidate(step, mark, self.random.choice([0, 50, 2_000, 100_000]))
                self.nobody_ruined_stays(mark)
                return closed, [tuple(each) for each in self.crowd.take_liquidations()]

    def enter(self, step: int) -> int:
        side = self.random.choice([1, -1])
        before = self.crowd.margins
        if self.random.random() < 0.5:
            slot = self.crowd.enter_drawn(step, side)
        else:
            leverage = self.random.choice([0.0, 2.0, 10.0, 50.0, 200.0])
            lots = self.random.choice([1, 30, 500, 8_000])
            slot = self.crowd.enter(step, side, lots, leverage, self.random.random() < 0.5, 0.7, 150.0, 300.0)
        if slot >= 0:
            self.deposited += self.crowd.margins - before + self.exchange.filled_fee_micros
        assert slot >= -1
        return int(slot)

    def nobody_ruined_stays(self, mark: int) -> None:
        crowd, book = self.crowd, self.exchange.book
        for slot in list(crowd.live[: crowd.count]):
            if (
                crowd.leverage[slot] > 0.0
                and crowd.equity(slot, mark) <= 0
                and crowd.liquidation_tick(slot) > 0
            ):
                bankruptcy = (crowd.cost[slot] - crowd.margin[slot]) / (crowd.lots[slot] * crowd.micros)
                assert crowd.engine.budget <= 0
                is_long = (
                    crowd.lots[slot] > 0
                )  # the book would take it, at most what the fund may lose beyond
                assert book.best_bid >= 0.99 * bankruptcy if is_long else book.best_ask <= 1.01 * bankruptcy

    def check(self) -> None:
        crowd, exchange = self.crowd, self.exchange
        slots = np.asarray(crowd.live)[: crowd.count]
        lots = np.asarray(crowd.lots)[slots]
        assert (lots != 0).all()
        assert lots.sum() == exchange.lots_of(CROWD) == crowd.long_lots - crowd.short_lots
        assert lots[lots > 0].sum() == crowd.long_lots
        assert exchange.open_lots(crowd.long_lots) == crowd.short_lots + exchange.shorts_of_others()
        assert np.asarray(crowd.margin)[slots].sum() == crowd.margins
        assert np.asarray(crowd.cost)[slots].sum() == crowd.costs
        assert crowd.deposited == self.deposited
        gone = np.setdiff1d(np.arange(crowd.slots), slots)
        for ladder in (crowd.falls, crowd.rises, crowd.below, crowd.above):
            assert not any(ladder.tick_of(slot) for slot in gone[:20])
        assert crowd.imbalance() == 0
        cash = sum(exchange.cash_of(owner) for owner in range(exchange.owners_count))
        assert cash + exchange.fees_micros + exchange.funding_micros == 0

    def end(self) -> None:
        """Everybody leaves, whatever the price; then all that was put in is somewhere."""
        self.exchange.cancel_all(MAKERS)
        middle = int(self.mark)
        self.exchange.place(MAKERS, 1, middle - 1, 10**7)
        self.exchange.place(MAKERS, -1, middle + 1, 10**7)
        for slot in list(self.crowd.live[: self.crowd.count]):
            self.crowd.leave(0, slot)
        self.exchange.take(
            ENGINE, -1 if self.exchange.lots_of(ENGINE) > 0 else 1, abs(self.exchange.lots_of(ENGINE))
        )
        crowd, exchange = self.crowd, self.exchange
        assert crowd.count == crowd.margins == crowd.costs == crowd.long_lots == crowd.short_lots == 0
        assert exchange.lots_of(ENGINE) == exchange.lots_of(MAKERS) == 0
        others = exchange.cash_of(MAKERS) + exchange.cash_of(ENGINE)
        put_in = self.deposited + crowd.repriced - crowd.opening_costs
        fund = crowd.fund_micros - crowd.fund_opening
        assert put_in == crowd.paid_out + fund + others + exchange.fees_micros + exchange.funding_micros


def lives(count: int) -> list[int]:
    return list(range(1, count + 1))


@pytest.mark.parametrize("seed", lives(12))
def test_no_money_and_no_position_is_made_or_lost(seed: int) -> None:
    life = Life(seed)
    life.live()
    life.end()


def test_those_lives_see_all_that_may_happen() -> None:
    book = fund = deleveraged = stopped = 0
    for seed in lives(6):
        life = Life(seed)
        life.live()
        engine = life.crowd.engine
        book += engine.book_lots
        fund += engine.fund_lots
        deleveraged += engine.deleveraged_lots
        stopped += life.crowd.stopped_lots
    assert min(book, fund, deleveraged, stopped) > 1_000


@pytest.mark.parametrize("seed", lives(3))
def test_compiled_and_source_tell_the_same(seed: int) -> None:
    first = Life(seed, steps=250)
    second = Life(seed, is_source=True, steps=250)
    assert not is_compiled(SOURCE["crowd"])
    first.live()
    second.live()
    assert first.told == second.told
    for name, values in first.crowd.snapshot().items():
        assert values.tobytes() == second.crowd.snapshot()[name].tobytes(), name


def test_every_part_that_is_compiled_is_compared() -> None:
    assert set(NAMES) <= set(pairs(LABORATORY))
    assert not any(is_compiled(module) for module in SOURCE.values())


def test_a_lost_micro_is_noticed() -> None:
    life = Life(1, steps=5)
    life.live()
    life.crowd.fund_micros += 1
    assert life.crowd.imbalance() != 0
