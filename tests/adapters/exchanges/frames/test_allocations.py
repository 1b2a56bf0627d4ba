"""The short way makes no Python object a frame or a level: what a frame costs cannot creep up unseen."""

from __future__ import annotations

import tracemalloc

import pytest

from adapters.exchanges.frames import DECLINED, FrameReader
from tests.adapters.exchanges.frames.corpus import CODES, VENUES, Snapshot, run
from tests.adapters.exchanges.frames.readers import make_live, make_reader

GROWTHS_MAX = 8
"""How often both books of a run may take more room for their levels."""


def peak_bytes(reader: FrameReader, frame: str) -> tuple[int, int]:
    """What a reader answers, and how much more memory than before was held at most."""
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    answer = reader.take(frame, 1)
    _, peak = tracemalloc.get_traced_memory()
    return answer, peak - before


def peaks_of_taken(name: str, venue: str) -> tuple[list[int], int]:
    """For each frame of a run that was taken its peak, and the peak of what is no frame."""
    reader, lives = make_reader(name, venue), {}
    for index, (code, size) in enumerate(CODES[venue].items()):
        live = lives[code] = make_live(name)()
        reader.add_book(code, index, live, contract_size=size)
        reader.add_trades(code, index, live, contract_size=size)
    peaks = []
    tracemalloc.start()
    try:
        _, nothing = peak_bytes(make_reader("compiled", venue), "pong")
        for item in run(venue, 2, 400):
            if isinstance(item, Snapshot):
                lives[item.code].book.load(item.bids, item.asks)
                lives[item.code].arm(item.last_id)
            elif item.isascii():  # of other texts Python keeps the bytes
                answer, peak = peak_bytes(reader, item)
                if answer != DECLINED:
                    peaks.append(peak)
    finally:
        tracemalloc.stop()
    assert len(peaks) > 100
    return peaks, nothing


@pytest.mark.parametrize("venue", VENUES)
def test_a_frame_that_is_taken_allocates_nothing(venue: str) -> None:
    peaks, nothing = peaks_of_taken("compiled", venue)
    assert sum(peak > nothing for peak in peaks) <= GROWTHS_MAX


def test_the_slow_reader_shows_that_allocations_are_seen() -> None:
    peaks, nothing = peaks_of_taken("python", "binanceusdm")
    assert min(peaks) > nothing + 500
