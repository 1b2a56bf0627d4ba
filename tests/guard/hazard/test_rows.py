"""Rows of features: compiled says what plain Python says to the last digit, and what was kept is copied to it."""

from __future__ import annotations

import pickle
from array import array
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from guard.calibration.kernel import look
from guard.forecasts import Direction
from guard.hazard import rows, tracks
from guard.hazard.features import NAMES
from guard.hazard.peers import PeerView
from guard.leverage.cascade.structure import cascade
from guard.readings import Reading
from guard.signals.price_track import PriceTrack
from tests.guard.hazard.forecasting import reading_at
from tests.support.uncompiled import uncompiled

_, plain_tracks, plain = uncompiled("guard.calibration.kernel", "guard.hazard.tracks", "guard.hazard.rows")
STEPS = 240


def readings(seed: int) -> list[Reading]:
    """Draw a market in which everything moves, and now and then something is not known."""
    drawn = np.random.default_rng(seed)
    mids = 100.0 * np.exp(np.cumsum(drawn.normal(0.0, 0.001, STEPS)))
    found = []
    for at, mid in enumerate(mids.tolist()):
        bids, asks, sold, bought = drawn.exponential(1e6, 4).tolist()
        one = reading_at(at * 5.0, mid, sell_usd=sold, buy_usd=bought, bids_usd=bids, asks_usd=asks)
        assert one.book is not None
        book = replace(
            one.book,
            refill_half_life_s=float(drawn.exponential(30.0)) if at % 3 else None,
            bid_normal_usd=9e5 if at > STEPS / 2 else None,
            ask_normal_usd=1.1e6 if at > STEPS / 2 else None,
        )
        found.append(
            replace(
                one,
                book=None if at % 17 == 5 else book,
                mark_price=None if at % 13 == 7 else mid * 1.0003,
                open_interest=None if at % 11 == 3 else one.open_interest,
                funding_rate=1e-4 if at % 2 else None,
                longs_share=0.6 if at % 5 else None,
                elapsed_s=200.0 if at == STEPS // 3 else 5.0,
            )
        )
    return found


def row_of(made: Any, direction: Direction, reading: Reading, price: Any, flow: Any) -> list[float]:
    """All numbers of one direction: values, and the graded ones."""
    out = np.empty(len(NAMES))
    found = None if reading.book is None else cascade(direction, reading.book, None)
    peers = PeerView(count=2, speed_1m=0.4, speed_5m=-2.0, move_5m=0.01, move_5m_max=0.03, depth_log=-0.2,
                     forced_log=1.0, wild_log=0.1, gap=0.001)  # fmt: skip
    at = made.of_price(out, 0, direction, price, flow)
    at = made.of_flow(out, at, direction, reading, flow)
    at = made.of_peers(out, at, peers if reading.book is None else None)
    at = made.of_interest(out, at, reading, flow)
    made.of_structure(out, at, found, len(NAMES) - at)
    graded = np.empty((4, 6))
    made.Graded([0.1, 0.2, 0.3, 0.4], [-4.0, -3.0, -2.0, -1.0], [-3.9, -3.0, -2.3]).lay(
        graded, price, found, made.odds_of(found)
    )
    return [*out.tolist(), *graded.ravel().tolist()]


@pytest.mark.parametrize("seed", range(2))
def test_rows_are_the_same_compiled_or_not(seed: int) -> None:
    """Over a market that moves, both directions, whatever is not known."""
    prices, fast, slow = PriceTrack(), tracks.FlowTrack(), plain_tracks.FlowTrack()
    known = 0
    for at, reading in enumerate(readings(seed)):
        prices.update(reading.at, reading.price)
        price = prices.measures()
        fast.update(reading, price)
        slow.update(reading, price)
        if at % 5 == 2:
            for direction in Direction:
                told = row_of(rows, direction, reading, price, fast)
                assert np.array_equal(told, row_of(plain, direction, reading, price, slow), equal_nan=True)
                known += int(np.isfinite(told).sum())
    assert known > 50 * STEPS / 5 * 2
    assert fast.onset_down_at == slow.onset_down_at
    assert fast.onset_up_at == slow.onset_up_at
    copied = pickle.loads(pickle.dumps(fast))
    one = readings(seed)[-1]
    assert row_of(rows, Direction.UP, one, None, copied) == pytest.approx(
        row_of(rows, Direction.UP, one, None, fast), rel=0.0, abs=0.0, nan_ok=True
    )


def test_others_are_looked_at_as_by_numpy() -> None:
    """All but the own one and those that are stale; greatest and least of the third column beside the means."""
    of = np.random.default_rng(3).normal(size=(40, 10))
    of[:, 0] = np.arange(40)
    out = array("d", bytes(8 * 12))
    assert look(of, 39, 25, 19.5, out) == 18
    others = of[[*range(20, 25), *range(26, 39)]]
    assert out.tolist()[:10] == pytest.approx(others.mean(axis=0))
    assert out.tolist()[10:] == [others[:, 2].max(), others[:, 2].min()]
