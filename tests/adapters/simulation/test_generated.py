"""The made-up market: repeatable, and shaped like the scenario that was asked for."""

from __future__ import annotations

import pytest

from adapters.simulation import FrameKind, generated_source
from adapters.simulation.book import VenueBook
from adapters.simulation.source import Frame
from adapters.simulation.wire import decode_depth

START_NS = 1_700_000_000_000_000_000


def played(scenario: str, seed: int = 1, **settings: float) -> list[Frame]:
    return list(generated_source(scenario, seed=seed, **settings).frames(START_NS))  # type: ignore[arg-type]


def test_equal_seeds_make_equal_frames_and_others_do_not() -> None:
    assert played("fall", duration_s=10) == played("fall", duration_s=10)
    assert played("fall", duration_s=10) != played("fall", seed=2, duration_s=10)


def test_diffs_follow_one_another_without_a_gap_and_never_cross_the_book() -> None:
    source = generated_source("fall", seed=3, duration_s=20)
    book = VenueBook(source.opening("BTCUSDT"))

    for frame in source.frames(START_NS):
        if frame.kind is FrameKind.DEPTH:
            update = decode_depth(frame.payload)
            assert update.pu == book.update_id
            assert update.pu < update.U <= update.u
            book.apply(update)
            bid, ask = book.bids.best_price(), book.asks.best_price()
            assert bid is not None
            assert ask is not None
            assert bid < ask


@pytest.mark.parametrize("scenario", ["calm", "fall", "recover"])
def test_the_book_reaches_two_percent_on_both_sides(scenario: str) -> None:
    opening = generated_source(scenario, seed=1).opening("BTCUSDT")

    assert len(opening.bids) > 200
    assert float(opening.bids[-1][0]) < 60_000 * 0.98
    assert float(opening.asks[-1][0]) > 60_000 * 1.02
