"""The whole laboratory gives the same events and the same truth from its Python source as compiled, bit for bit.

Bounds are checked only in Python, and C's integers end at 64 bits: what one of them does and the other does not shows.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import pytest

from adapters.simulation.laboratory import book
from adapters.simulation.laboratory.laboratory import Laboratory
from adapters.simulation.laboratory.parameters import Episode, Impulse, ImpulseKind
from adapters.simulation.worlds.drawing import draw_episode
from tests.support.uncompiled import ROOT, is_compiled, uncompiled

PACKAGE = "adapters.simulation.laboratory"
VALUES = {"__init__", "owners", "parameters", "truth"}
"""What both must share: the values that go in and come out."""

OUTSIDE = {"accounts", "frames", "picture", "playing", "source", "stage", "truth_file", "venues"}
"""Who uses a laboratory."""


class Kept:
    """Truth as plain values."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, dict[str, Any]]] = []

    def _keep(self, truth: Any) -> None:
        plain = {
            name: value.tolist() if hasattr(value, "tolist") else value
            for name, value in asdict(truth).items()
        }
        self.rows.append((type(truth).__name__, plain))

    liquidation = map = positions = book = _keep


@pytest.fixture(scope="module")
def source_class() -> Any:
    """``Laboratory`` of the source."""
    names = {file.stem for file in ROOT.joinpath(*PACKAGE.split(".")).glob("*.py")} - VALUES - OUTSIDE
    modules = uncompiled(*(f"{PACKAGE}.{name}" for name in sorted(names)))
    (laboratory,) = (module for module in modules if module.__name__ == f"{PACKAGE}.laboratory")
    return laboratory.Laboratory


def shortened(episode: Episode) -> Episode:
    """With a fall, fewer positions, all of them near their end, funding and the truth every few seconds."""
    crowd = replace(
        episode.crowd,
        positions=400,
        leverage_longs=((100, 1.0),),
        leverage_shorts=((100, 1.0),),
        cross_share=0.2,
    )
    fall = Impulse(kind=ImpulseKind.SELL, at_s=3.0, duration_s=6.0, size=20.0)
    return replace(
        episode,
        crowd=crowd,
        funding=replace(episode.funding, interval_s=5.0),
        impulses=(*episode.impulses, fall),
        truth_s=5.0,
        positions_s=5.0,
    )


def episodes() -> list[Episode]:
    drawn = (("volatility", "october-2025"), ("signals", "squeeze"), ("stops", "minute"))
    return [
        shortened(draw_episode(world, scenario, 11, symbols=["SOLUSDT"], duration_s=16.0))
        for world, scenario in drawn
    ]


@pytest.mark.skipif(not is_compiled(book), reason="nothing is compiled here, so there is nothing to compare")
@pytest.mark.parametrize("episode", episodes(), ids=lambda episode: f"{episode.world} {episode.scenario}")
def test_the_source_gives_the_same_as_what_is_compiled(episode: Episode, source_class: Any) -> None:
    ours_truth, source_truth = Kept(), Kept()
    ours, source = Laboratory(episode, ours_truth), source_class(episode, source_truth)
    for event, of_source in zip(ours.events(), source.events(), strict=True):
        assert event == of_source
    assert ours_truth.rows == source_truth.rows
    assert {kind for kind, _ in ours_truth.rows} == {
        "BookTruth",
        "LiquidationTruth",
        "MapTruth",
        "PositionsTruth",
    }
    for name, market in ours.markets.items():
        other = source.markets[name].exchange
        assert market.exchange.book.changed == other.book.changed > 0
        assert market.exchange.fees_micros == other.fees_micros
