"""A lost update of an OKX book shows, whatever the venue's numbers do."""

from __future__ import annotations

from adapters.exchanges.sync import DepthDiff, DepthSync, Verdict


def follow(*steps: tuple[int, int], begin: int = 100) -> list[Verdict]:
    """What becomes of updates ``(prevSeqId, seqId)`` after a whole book of ``begin``."""
    sync = DepthSync(may_fall=True)
    sync.take(begin)
    return [sync.accept(DepthDiff(previous, last, last, [], [])) for previous, last in steps]


APPLY, GAP, STALE = Verdict.APPLY, Verdict.GAP, Verdict.STALE


def test_updates_that_name_each_other_are_applied_whatever_the_steps() -> None:
    assert follow((100, 107), (107, 119), (119, 212)) == [APPLY, APPLY, APPLY]


def test_an_update_that_names_another_predecessor_is_a_gap() -> None:
    assert follow((100, 107), (113, 119)) == [APPLY, GAP]


def test_numbers_that_fall_after_maintenance_go_on() -> None:
    assert follow((100, 107), (107, 3), (3, 5)) == [APPLY, APPLY, APPLY]


def test_an_update_lost_while_numbers_fall_is_a_gap_and_not_an_old_frame() -> None:
    assert follow((100, 107), (2, 5)) == [APPLY, GAP]


def test_a_minute_without_change_is_no_gap_however_often() -> None:
    assert follow((100, 107), (107, 107), (107, 107), (107, 109)) == [APPLY, APPLY, APPLY, APPLY]


def test_a_frame_that_comes_twice_is_taken_once() -> None:
    assert follow((100, 107), (100, 107), (107, 109)) == [APPLY, STALE, APPLY]


def test_a_new_whole_book_begins_anew() -> None:
    sync = DepthSync(may_fall=True)
    for begin in (500, 20):
        sync.take(begin)
        assert sync.accept(DepthDiff(begin, begin + 4, begin + 4, [], [])) is APPLY
