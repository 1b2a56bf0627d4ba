"""widen_stops: cut, read back, move; a failed cut leaves the stop alone."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from perpguard_sdk.messages import Effect, StopRule, WidenStops
from perpguard_sdk.stops import CutNotConfirmedError, widen_stops_safely
from tests.sdk.bench import Guard

COMMAND = WidenStops(**Guard().fields(WidenStops, 1))


@dataclass
class Position:
    size: float
    cut_works: bool = True
    cut_raises: bool = False
    log: list[str] = field(default_factory=list)

    async def cut(self, max_size: float) -> None:
        self.log.append("cut")
        if self.cut_raises:
            raise ConnectionError("venue away")
        if self.cut_works:
            self.size = max_size if self.size > 0 else -max_size

    async def read(self) -> float:
        self.log.append("read")
        return self.size

    async def move(self, rule: StopRule) -> float | None:
        self.log.append("move")
        return rule.stop_price

    async def widen(self) -> Effect:
        return await widen_stops_safely(COMMAND, cut=self.cut, read_size=self.read, move_stop=self.move)


@pytest.mark.parametrize("size", [3.0, -3.0])
async def test_it_cuts_reads_back_and_only_then_moves(size: float) -> None:
    position = Position(size)
    effect = await position.widen()
    assert position.log == ["read", "cut", "read", "move"]
    assert (effect.size_before, abs(effect.size_after or 0), effect.stop_price_after) == (size, 1.0, 90.0)


async def test_a_small_position_is_not_cut() -> None:
    position = Position(0.5)
    await position.widen()
    assert position.log == ["read", "move"]


async def test_a_cut_without_effect_leaves_the_stop() -> None:
    position = Position(3.0, cut_works=False)
    with pytest.raises(CutNotConfirmedError):
        await position.widen()
    assert "move" not in position.log


async def test_a_cut_that_fails_leaves_the_stop() -> None:
    position = Position(3.0, cut_raises=True)
    with pytest.raises(ConnectionError):
        await position.widen()
    assert "move" not in position.log


async def test_a_flat_position_has_no_stop_to_move() -> None:
    position = Position(0.0)
    assert (await position.widen()).stop_price_after is None
    assert position.log == ["read"]
