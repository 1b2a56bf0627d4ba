"""The positions at the start: as much long as short, the mix as said, and nothing where price has been."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from adapters.simulation.laboratory.owners import CROWD
from adapters.simulation.laboratory.parameters import CrowdParameters
from tests.support.crowds import START, crowd_at

OPEN_LOTS = 1_000_000


def path(seed: int = 5) -> NDArray[np.float64]:
    moves = np.random.default_rng(seed).normal(0.0, 0.03 / np.sqrt(288.0), 5 * 288)
    prices: NDArray[np.float64] = START * np.exp(np.cumsum(moves))
    prices *= START / prices[-1]
    return prices


def seeded(parameters: CrowdParameters | None = None, **more: Any) -> Any:
    crowd = crowd_at(parameters=parameters or CrowdParameters(positions=4_000))
    crowd.seed(path(), 300_000, OPEN_LOTS, **more)
    return crowd


def test_longs_are_shorts_and_nothing_was_traded() -> None:
    crowd = seeded()
    assert crowd.long_lots == crowd.short_lots == OPEN_LOTS
    assert crowd.count == pytest.approx(4_000, abs=10)
    assert crowd.exchange.cash_of(CROWD) == crowd.exchange.lots_of(CROWD) == 0
    assert crowd.imbalance() == 0
    assert crowd.fund_micros == int(0.002 * OPEN_LOTS * 10.0) * 10**6  # of 10 million USD


def test_each_leverage_has_its_share_of_its_side() -> None:
    told = seeded().snapshot()
    parameters = CrowdParameters()
    for side, mix, hedged in (
        (1, parameters.leverage_longs, 0.1),
        (-1, parameters.leverage_shorts, 0.4),
    ):
        held = np.abs(told["size"]) * (np.sign(told["size"]) == side)
        shares = {lever: held[told["leverage"] == lever].sum() / held.sum() for lever in (0.0, 2.0, 3.0, 5.0)}
        assert shares[0.0] == pytest.approx(hedged, abs=0.001)
        for leverage, share in mix[:2]:  # higher ones may be cut by brackets
            assert shares[leverage] == pytest.approx(share * (1.0 - hedged), abs=0.001)
        assert np.unique(told["leverage"]).size >= 6


def test_nobody_is_there_whom_the_path_since_would_have_closed() -> None:
    prices = path()
    told = seeded().snapshot()
    lowest = np.minimum.accumulate(prices[::-1])[::-1] / 100.0
    highest = np.maximum.accumulate(prices[::-1])[::-1] / 100.0
    at = prices.size - 1 + told["opened_ms"] // 300_000
    is_long = told["size"] > 0
    assert told["opened_ms"].max() <= 0
    for name in ("liquidation_price", "stop_price"):
        price = told[name]
        assert (price[is_long] < lowest[at[is_long]]).all()
        short = ~is_long & (price > 0.0)
        assert short.sum() > 100
        assert (price[short] > highest[at[short]]).all()


def test_prices_that_were_swept_lately_are_empty() -> None:
    # Price fell by 10 % half a day ago and came back: longs of 20x from before are gone, only new ones are there.
    prices = np.full(5 * 288, float(START))
    prices[-150:-140] = START * 0.9
    crowd = crowd_at(parameters=CrowdParameters(positions=4_000, leverage_longs=((20.0, 1.0),)))
    crowd.seed(prices, 300_000, OPEN_LOTS)
    told = crowd.snapshot()
    leveraged = (
        (told["size"] > 0) & (told["leverage"] == 20.0) & ~told["is_cross"] & (told["entry_price"] > 99.0)
    )
    assert leveraged.sum() > 400
    assert (told["opened_ms"][leveraged] >= -142 * 300_000).all()


def test_entries_are_young_by_the_half_life_and_where_was_traded() -> None:
    calm = CrowdParameters(positions=4_000, leverage_longs=((2.0, 1.0),), stop_share=0.0, target_share=0.0)
    age_s = -seeded(calm).snapshot()["opened_ms"] / 1_000.0
    assert np.median(age_s) == pytest.approx(12 * 3_600.0, rel=0.15)
    only_first_hour = np.zeros(5 * 288)
    only_first_hour[:12] = 1.0
    opened = seeded(calm, weights=list(only_first_hour)).snapshot()["opened_ms"]
    assert np.mean(opened <= -(5 * 288 - 14) * 300_000) > 0.95


def test_a_path_that_makes_no_sense_is_refused() -> None:
    crowd = crowd_at()
    for bad in ([], [1.0, -1.0], [float("nan")]):
        with pytest.raises(ValueError, match="past path"):
            crowd.seed(bad, 1_000, 100)
    with pytest.raises(ValueError, match="weights"):
        crowd.seed([1.0, 2.0], 1_000, 100, weights=[0.0, 0.0])
    with pytest.raises(ValueError, match="one each"):
        crowd.seed([1.0, 2.0], 1_000, 100, weights=[1.0])
    assert crowd.count == 0


def test_few_lots_are_few_positions() -> None:
    crowd = crowd_at(parameters=CrowdParameters(positions=400))
    crowd.seed([float(START)], 1_000, 30)
    assert crowd.long_lots == crowd.short_lots == 30
    assert (np.abs(crowd.snapshot()["size"]) > 0.0).all()
