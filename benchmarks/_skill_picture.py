"""The picture of what the map knows: an episode's true map over time, and beside it what was estimated of it.

``python -m benchmarks._skill_picture docs/explanation/what-the-map-knows.png`` draws the one of the documentation.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adapters.simulation.worlds.seeds import Split
from benchmarks._skill_chain import Chain, fitted_experts, merged
from benchmarks._skill_episodes import SkillEpisode, SkillTask, fetch
from benchmarks._skill_maps import TrueMap
from guard.forecasts import Direction
from guard.leverage.crowd.side_map import BIN_LOG
from guard.units import NS_PER_S, MarketId

Floats = NDArray[np.float64]

TASK = SkillTask(split=Split.VALIDATION, world="volatility", number=0)
MARKET_AT = 3
EVERY_S = 60.0
BELOW, ABOVE = 0.30, 0.12
"""Log distances from the first price that are drawn."""
STEP = 4
"""Bins of the map in one of the picture: 40 bps."""
DOTS, WIDTH, HEIGHT = 100, 9.6, 4.6


@dataclass(slots=True)
class Drawn:
    """Columns of the picture, one a minute: maps as USD by price, and where the price was."""

    minutes: list[float] = field(default_factory=list)
    price_log: list[float] = field(default_factory=list)
    truth: list[Floats] = field(default_factory=list)
    estimate: list[Floats] = field(default_factory=list)
    interval: list[tuple[float, float, float, float]] = field(default_factory=list)
    """Estimate within 5 % below, its interval, and the truth; USD."""


def draw(path: Path, task: SkillTask = TASK, market_at: int = MARKET_AT) -> None:
    """Draw one market of an episode."""
    import matplotlib as mpl  # noqa: PLC0415 - of an extra

    mpl.use("Agg")
    import matplotlib.pyplot as plt  # noqa: PLC0415

    episode = fetch(task)
    market = episode.markets[market_at]
    drawn = collect(episode, market)
    figure, axes = plt.subplots(
        1, 3, figsize=(WIDTH, HEIGHT), dpi=DOTS, width_ratios=(1.0, 1.0, 0.9), layout="constrained"
    )
    top = max(float(np.quantile(np.stack(drawn.truth), 0.999)), 1.0)
    for axis, maps, title in (
        (axes[0], drawn.truth, "what is true, and nobody is told"),
        (axes[1], drawn.estimate, "what the map says"),
    ):
        _map(axis, drawn, maps, top)
        axis.set_title(title, fontsize=9)
    axes[0].set_ylabel("price against the beginning, %", fontsize=8)
    axes[1].set_yticklabels([])
    _band(axes[2], drawn)
    figure.suptitle(f"{market}, made-up world '{task.world}', {task.scenario}", fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    plt.close(figure)


def collect(episode: SkillEpisode, market: MarketId) -> Drawn:
    """Run the product's map over an episode."""
    chain = Chain(fitted_experts())
    chain.watch(episode)
    truth = TrueMap(episode.truth(market))
    drawn = Drawn()
    start_at = episode.facts["start_at_ns"]
    due_at = start_at
    origin: float | None = None
    for reading in merged(episode):
        chain.update(reading)
        if reading.market != market:
            continue
        truth.update(reading)
        price = reading.mark_price
        if reading.at < due_at or price is None:
            continue
        due_at += round(EVERY_S * NS_PER_S)
        origin = math.log(price) if origin is None else origin
        held = chain.maps[market]
        forecast = held.forecast(Direction.DOWN)
        sides = {direction: held.side(direction) for direction in Direction}
        if forecast is None or None in sides.values():
            continue
        at = math.log(price) - origin
        drawn.minutes.append((reading.at - start_at) / 60.0 / NS_PER_S)
        drawn.price_log.append(at)
        drawn.truth.append(by_price(at, {each: truth.side(each).usd for each in Direction}))
        drawn.estimate.append(by_price(at, {each: side.usd for each, side in sides.items() if side}))
        five = forecast.within[1]
        drawn.interval.append(
            (five.usd, five.low_usd, five.high_usd, truth.side(Direction.DOWN).within(-math.log1p(-0.05)))
        )
    return drawn


def by_price(at: float, usd: dict[Direction, Floats]) -> Floats:
    """Lay both sides of a map, seen from a mark at ``at``, on the prices of the picture, lowest first."""
    rows = round((BELOW + ABOVE) / BIN_LOG)
    found = np.zeros(rows)
    here = round((at + BELOW) / BIN_LOG)
    down, up = usd[Direction.DOWN], usd[Direction.UP]
    below = min(max(here, 0), rows, len(down))
    if 0 <= here <= rows:
        found[here - below : here] = down[:below][::-1]
        above = min(rows - here, len(up))
        found[here : here + above] = up[:above]
    summed: Floats = found.reshape(-1, STEP).sum(axis=1)
    return summed


def _map(axis: Any, drawn: Drawn, maps: Sequence[Floats], top: float) -> None:
    edges = (np.exp(np.arange(len(maps[0]) + 1) * STEP * BIN_LOG - BELOW) - 1.0) * 100.0
    minutes = np.array([*drawn.minutes, drawn.minutes[-1] + EVERY_S / 60.0])
    image = np.sqrt(np.clip(np.stack(maps, axis=1) / top, 0.0, 1.0))
    axis.pcolormesh(minutes, edges, image, cmap="magma", vmin=0.0, vmax=1.0, rasterized=True)
    axis.plot(drawn.minutes, (np.exp(drawn.price_log) - 1.0) * 100.0, color="white", linewidth=1.0)
    axis.set_xlabel("minutes", fontsize=8)
    axis.tick_params(labelsize=7)


def _band(axis: Any, drawn: Drawn) -> None:
    told = np.maximum(np.array(drawn.interval), 1e4) / 1e6
    axis.fill_between(
        drawn.minutes, told[:, 1], told[:, 2], color="#d95f0e", alpha=0.25, label="its 80 % interval"
    )
    axis.plot(drawn.minutes, told[:, 0], color="#d95f0e", linewidth=1.2, label="estimated")
    axis.plot(drawn.minutes, told[:, 3], color="black", linewidth=1.2, label="true")
    axis.set_yscale("log")
    axis.set_title("liquidated by a fall of 5 %, million USD", fontsize=9)
    axis.set_xlabel("minutes", fontsize=8)
    axis.tick_params(labelsize=7)
    axis.legend(fontsize=7)


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw the picture of the documentation, or of another episode."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks._skill_picture")
    parser.add_argument("file", type=Path)
    parser.add_argument("--world", default=TASK.world)
    parser.add_argument("--number", type=int, default=TASK.number)
    parser.add_argument("--market", type=int, default=MARKET_AT, help="which of the episode's markets")
    given = parser.parse_args(arguments)
    task = SkillTask(split=TASK.split, world=given.world, number=given.number)
    draw(given.file, task, given.market)
    return 0


if __name__ == "__main__":
    sys.exit(main())
