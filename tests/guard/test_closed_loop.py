"""The whole fold against bots that obey, a moment late: what is asked for once is asked for once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from msgspec import structs

from guard.commands import OutcomeKind
from guard.events import MarginMode, Position
from guard.leverage.liquidation_price import liquidation_price
from guard.policy import Policy
from guard.units import BotId
from perpguard_sdk.messages import CutLeverage as Cut
from perpguard_sdk.messages import Entries, Mode, WidenStops
from policies.cut_leverage import CutLeverage
from policies.pause_entries import PauseEntries
from policies.widen_stops import WidenStops as WidenStopsPolicy
from tests.support.builders import (
    ALPHA,
    BETA,
    SYMBOL,
    Guard,
    born,
    features,
    mark,
    order,
    position,
    reported,
    snapshot,
    started,
    tick,
)

MMR = 0.01
STEP_S = 0.25


@dataclass
class Trader:
    """An account with bots that do what they are told after ``late_s``; the stop moves after the cut."""

    sizes: dict[BotId, float]
    equity_usd: float
    margin_mode: MarginMode = MarginMode.CROSS
    stop: float | None = None
    late_s: float = 0.5
    guard: Guard = field(init=False)
    policies: Sequence[Policy] = ()
    due: list[tuple[float, BotId, object]] = field(default_factory=list)
    seen: int = 0

    def __post_init__(self) -> None:
        self.guard = Guard.of(*self.sizes, policies=self.policies)
        for bot in self.sizes:
            self.guard.feed(born(0.0, bot, mode=Mode.PAPER))
        self.guard.feed(started(0.0))

    @property
    def size(self) -> float:
        return sum(self.sizes.values())

    def shown(self, mid: float) -> Position:
        equity = self.equity_usd
        price = liquidation_price(
            side_size_signed=self.size, entry_price=mid, margin_usd=equity, maintenance_ratio=MMR
        )
        return position(self.size, liquidation_price=price, margin_mode=self.margin_mode)

    def cut(self, bot: BotId, to: float) -> None:
        before, after = self.sizes[bot], min(self.sizes[bot], to)
        if self.margin_mode is MarginMode.ISOLATED and self.size > 0.0:
            self.equity_usd *= (self.size - before + after) / self.size  # its share of the margin is freed
        self.sizes[bot] = after

    def obey(self, seconds: float) -> None:
        for publish in self.guard.commands[self.seen :]:
            self.due.append((seconds + self.late_s, BotId(publish.command.bot), publish.command))
        self.seen = len(self.guard.commands)
        for item in [item for item in self.due if item[0] <= seconds]:
            self.due.remove(item)
            _, bot, command = item
            if isinstance(command, Cut):
                self.cut(bot, command.max_size)
            elif isinstance(command, WidenStops):
                if self.sizes[bot] > command.max_size * 1.001:
                    self.cut(bot, command.max_size)
                    self.due.append((seconds + self.late_s, bot, command))  # the stop follows, later
                else:
                    self.stop = command.stop.stop_price

    def live(self, first: float, last: float, *, depth: float, mid: float = 100.0) -> None:
        for number in range(round((last - first) / STEP_S)):
            seconds = first + number * STEP_S
            self.guard.feed(features(seconds, mid, bid_size=depth), mark(seconds, mid))
            self.obey(seconds)
            stops = [] if self.stop is None else [
                order("s", -self.size, stop_price=self.stop, reduce_only=True)
            ]  # fmt: skip
            if self.size > 0.0:
                self.guard.feed(snapshot(seconds, self.shown(mid), orders=stops))
            else:
                self.guard.feed(snapshot(seconds))
            for bot, size in self.sizes.items():
                said = self.guard.posture(bot)
                entries = said.entries.get(SYMBOL, Entries.ALLOWED)
                self.guard.feed(
                    reported(seconds + 0.01, bot, size=size, entries=entries, version=said.version, epoch=1)
                )
            self.guard.feed(tick(seconds + 0.02))


@pytest.mark.parametrize("margin_mode", list(MarginMode))
@pytest.mark.parametrize("sizes", [{ALPHA: 60.0}, {ALPHA: 36.0, BETA: 24.0}], ids=["one bot", "two bots"])
def test_a_cut_that_was_obeyed_is_not_asked_for_again(
    sizes: dict[BotId, float], margin_mode: MarginMode
) -> None:
    trader = Trader(dict(sizes), equity_usd=450.0, margin_mode=margin_mode, policies=[CutLeverage()])
    trader.live(0.0, 60.0, depth=100.0)
    before = trader.size
    trader.live(60.0, 160.0, depth=30.0)

    commands = [one.command for one in trader.guard.commands if isinstance(one.command, Cut)]
    asked = {bot: [one.max_size for one in commands if one.bot == bot] for bot in sizes}
    assert trader.size < before * 0.95, "a scene in which nothing is cut proves nothing"
    assert trader.size > before * 0.1
    for bot, wanted in asked.items():
        assert 1 <= len(set(wanted)) <= 3, wanted
        share = sizes[bot] / sum(sizes.values())
        assert trader.sizes[bot] == pytest.approx(trader.size * share, rel=0.1)
    kinds = [outcome.outcome for outcome in trader.guard.outcomes]
    assert OutcomeKind.FAILED not in kinds
    assert kinds.count(OutcomeKind.CONFIRMED) >= len(sizes)


def test_a_stop_is_widened_once_and_the_position_is_cut_once() -> None:
    trader = Trader({ALPHA: 10.0}, equity_usd=400.0, stop=99.3, policies=[WidenStopsPolicy(), PauseEntries()])
    trader.live(0.0, 60.0, depth=100.0)
    assert trader.guard.commands == []
    trader.live(60.0, 180.0, depth=20.0)

    widened = [one.command for one in trader.guard.commands if isinstance(one.command, WidenStops)]
    assert trader.stop is not None
    assert trader.stop < 99.3
    assert len({one.max_size for one in widened}) == 1
    assert trader.size == pytest.approx(widened[0].max_size)
    assert trader.size > 1.0
    assert OutcomeKind.FAILED not in {one.outcome for one in trader.guard.outcomes}


def test_all_is_given_back_when_the_book_is_back() -> None:
    trader = Trader({ALPHA: 60.0}, equity_usd=600.0, policies=[CutLeverage(), PauseEntries()])
    trader.live(0.0, 60.0, depth=100.0)
    trader.live(60.0, 120.0, depth=22.0)
    assert trader.guard.posture().entries == {SYMBOL: Entries.REDUCE_ONLY}
    assert SYMBOL in trader.guard.posture().max_size
    trader.equity_usd = 60_000.0
    trader.live(120.0, 330.0, depth=100.0)

    said = trader.guard.posture()
    assert (said.entries, said.max_size, said.max_leverage, said.stops) == ({}, {}, {}, {})


def test_a_world_that_stays_thin_settles() -> None:
    trader = Trader(
        {ALPHA: 36.0, BETA: 24.0},
        equity_usd=600.0,
        stop=99.0,
        policies=[CutLeverage(), WidenStopsPolicy(), PauseEntries()],
    )
    trader.live(0.0, 60.0, depth=100.0)
    trader.live(60.0, 260.0, depth=20.0)
    before = len(trader.guard.steps)
    trader.live(260.0, 320.0, depth=20.0)

    # What is estimated of the market is written down each minute, and decides nothing.
    late = [step for step in trader.guard.steps[before:] if structs.replace(step, outlooks=()).is_decision]
    assert late == []
