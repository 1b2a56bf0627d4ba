"""A snapshot and a stream of diffs join to a book without a hole, or the hole is told."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from adapters.exchanges.sync import DepthDiff, DepthSync, Verdict


def diff(previous: int, last: int) -> DepthDiff:
    return DepthDiff(previous_id=previous, first_id=previous + 1, last_id=last, bids=[], asks=[])


def test_diffs_wait_for_the_snapshot_and_follow_it() -> None:
    sync = DepthSync()
    waiting = [diff(10, 20), diff(20, 30), diff(30, 40)]

    assert [sync.accept(one) for one in waiting] == [Verdict.BUFFERED] * 3
    assert sync.join(25) == waiting[1:]
    assert sync.accept(diff(40, 50)) is Verdict.APPLY
    assert sync.last_id == 50


def test_a_snapshot_that_is_older_than_the_stream_does_not_join() -> None:
    sync = DepthSync()
    sync.accept(diff(20, 30))

    assert sync.join(15) is None
    assert not sync.live
    assert sync.join(22) == [diff(20, 30)]


def test_a_hole_among_the_waiting_diffs_needs_a_newer_snapshot() -> None:
    sync = DepthSync()
    for one in (diff(10, 20), diff(20, 30), diff(35, 40)):
        sync.accept(one)

    assert sync.join(15) is None
    assert sync.join(37) == [diff(35, 40)]


def test_a_lost_diff_is_a_gap_and_what_follows_waits() -> None:
    sync = DepthSync()
    sync.join(10)

    assert sync.accept(diff(5, 12)) is Verdict.APPLY
    assert sync.accept(diff(14, 16)) is Verdict.GAP
    assert sync.accept(diff(16, 18)) is Verdict.BUFFERED
    assert sync.join(15) == [diff(14, 16), diff(16, 18)]


def test_what_the_snapshot_holds_is_stale() -> None:
    sync = DepthSync()
    sync.join(30)

    assert sync.accept(diff(10, 20)) is Verdict.STALE
    assert sync.accept(diff(20, 29)) is Verdict.STALE
    assert sync.accept(diff(29, 33)) is Verdict.APPLY
    assert sync.accept(diff(29, 33)) is Verdict.STALE


def test_a_live_book_is_refreshed_without_a_break() -> None:
    sync = DepthSync()
    sync.join(10)
    sync.refresh()

    assert sync.accept(diff(10, 20)) is Verdict.APPLY
    assert sync.accept(diff(20, 30)) is Verdict.APPLY
    assert sync.live
    assert sync.join(15) == [diff(10, 20), diff(20, 30)]
    assert sync.last_id == 30
    assert sync.accept(diff(30, 40)) is Verdict.APPLY


def test_a_refresh_never_takes_a_live_book_back() -> None:
    sync = DepthSync()
    sync.join(10)
    sync.refresh()

    assert sync.join(5) is None
    assert sync.last_id == 10


@given(
    ids=st.lists(st.integers(1, 1_000), min_size=3, max_size=40, unique=True).map(sorted),
    lost=st.sets(st.integers(0, 39)),
    snapshot_at=st.integers(0, 39),
    data=st.data(),
)
def test_every_update_is_in_the_book_or_the_break_is_told(
    ids: list[int], lost: set[int], snapshot_at: int, data: st.DataObject
) -> None:
    """Whatever is lost: between a join and the next GAP, the diffs applied form one chain."""
    sync, chain = DepthSync(), list[DepthDiff]()
    snapshot_id: int | None = None
    for number, (previous, last) in enumerate(pairwise(ids)):
        if number == snapshot_at:
            snapshot_id = data.draw(st.integers(ids[0], last))
            following = sync.join(snapshot_id)
            chain = following or []
        if number in lost:
            continue
        verdict = sync.accept(diff(previous, last))
        if verdict is Verdict.APPLY:
            chain.append(diff(previous, last))
        elif verdict is Verdict.GAP:
            chain, snapshot_id = [], None
    assert all(after.previous_id == before.last_id for before, after in pairwise(chain))
    if chain and snapshot_id is not None:
        assert chain[0].previous_id <= snapshot_id <= chain[0].last_id
    if sync.live and chain:
        assert sync.last_id == chain[-1].last_id
