"""Facts are found again in numbers that were made with them."""

from __future__ import annotations

import numpy as np
import pytest

from adapters.simulation.worlds.anchors import DEPTH_BY_Z
from adapters.simulation.worlds.measured_market import BIN_S, MarketBins
from adapters.simulation.worlds.stylised import (
    Collected,
    collect,
    depth_by_z,
    facts_of,
    fit_withdrawal,
    kurtosis,
    memory,
    slope,
    tail_index,
)


def test_a_normal_distribution_has_three_and_no_memory() -> None:
    drawn = np.random.default_rng(3).normal(size=200_000)
    assert kurtosis(drawn) == pytest.approx(3.0, abs=0.05)
    assert memory(drawn, 1) == pytest.approx(0.0, abs=0.01)
    assert tail_index(drawn) > 6.0


def test_volatility_that_lasts_is_remembered() -> None:
    drawn = np.random.default_rng(4)
    level = np.repeat(np.exp(drawn.normal(size=400)), 500)
    returns = drawn.normal(size=level.size) * level
    assert memory(returns, 60) > 0.2
    assert kurtosis(returns) > 6.0


@pytest.mark.parametrize(("z0", "power"), [(13.3, 2.2), (8.0, 1.5), (30.0, 3.0)])
def test_the_withdrawal_is_fitted(z0: float, power: float) -> None:
    points = [(z, 0.8 / (1 + (z / z0) ** power)) for z in (0.1, 1.0, 5.0, 7.0, 10.0, 15.0, 40.0)]
    fitted = fit_withdrawal(points)
    assert fitted is not None
    assert fitted[0] == pytest.approx(z0, rel=0.05)
    assert fitted[1] == pytest.approx(power, abs=0.06)
    assert fitted[2] < 0.01


def test_what_is_published_by_z_gives_the_published_fit() -> None:
    """13.3 and 2.2, rmse 6 % in the log; z of a span is its middle, of the last one taken as 30."""
    points = [((low + high) / 2 if high < 1e6 else 30.0, 1.0 / ratio) for low, high, ratio in DEPTH_BY_Z]
    fitted = fit_withdrawal(points)
    assert fitted is not None
    assert fitted[0] == pytest.approx(13.3, abs=2.0)
    assert fitted[1] == pytest.approx(2.2, abs=0.4)
    assert fitted[2] < 0.08


def test_depth_that_never_falls_has_no_fit() -> None:
    assert fit_withdrawal([(float(z), 1.0) for z in range(8)]) is None
    assert fit_withdrawal([(1.0, 0.5)] * 3) is None


def test_a_slope_is_that_of_least_squares() -> None:
    x = np.linspace(0.0, 5.0, 50)
    assert slope(x, 0.7 * x + 3.0) == pytest.approx(0.7)


def market(moves: dict[int, tuple[float, float, float]], bars: int = 60) -> MarketBins:
    """A market of bars of 5 min in which price wanders by 10 bps a bar.

    ``moves`` names bars with their move, what is left of depth in their second half minute, and what was sold.
    """
    bins = MarketBins(bars * 300.0)
    per_bar = int(300 / BIN_S)
    price = 100.0
    for bar in range(bars):
        move, left, sold = moves.get(bar, (0.001 if bar % 2 else -0.001, 1.0, 1_000.0))
        price *= np.exp(move)
        span = slice(bar * per_bar, (bar + 1) * per_bar)
        bins.mid[span] = price
        for name in ("bid_100", "ask_100"):
            bins.sums[name][span] = 1e6
            bins.sums[name][bar * per_bar + 6 : bar * per_bar + 12] = 1e6 * left
        bins.sums["samples"][span] = bins.sums["quoted"][span] = 1.0
        bins.sums["sold_usd"][span] = bins.sums["bought_usd"][span] = sold / per_bar
    return bins


def test_bars_are_read_by_their_move() -> None:
    collected = collect([market({30: (-0.01, 0.25, 500_000.0)})])
    at = int(np.argmax(collected.z))
    assert collected.z[at] == pytest.approx(10.0, rel=0.01)
    assert collected.depth_left[at] == pytest.approx(0.25)
    assert collected.volume == pytest.approx([0.5])
    assert collected.move == pytest.approx([0.01])
    rows = depth_by_z(collected)
    assert rows[(8.0, 12.0)].count == 1
    assert rows[(8.0, 12.0)].z == pytest.approx(10.0, rel=0.01)
    assert rows[(8.0, 12.0)].depth_left == pytest.approx(0.25)
    assert rows[(0.0, 2.0)].depth_left == pytest.approx(1.0)
    assert (4.0, 6.0) not in rows


def test_bars_long_after_an_onset_are_left_out() -> None:
    bins = market({30: (-0.01, 0.25, 500_000.0)})
    assert max(collect([bins], onset_s=29 * 300.0).z) > 9.0
    assert max(collect([bins], onset_s=27 * 300.0).z) < 2.0


def test_impact_is_read_from_many_bars() -> None:
    sizes = np.geomspace(0.1, 2.0, 40)
    markets = [market({30: (-0.01 * size**0.7, 0.5, 1e6 * size)}) for size in sizes]
    whole = Collected()
    for one in markets:
        whole.add(collect([one]))
    assert facts_of(whole)["impact_exponent"] == pytest.approx(0.7, abs=0.03)


def test_short_episodes_tell_nothing_of_tails() -> None:
    facts = facts_of(collect([market({})]))
    assert "kurtosis_1min" not in facts
    assert collect([market({}, bars=10)]).returns == []
