"""What an exchange adapter feeds comes out as one honest sample."""

from __future__ import annotations

import pickle
from collections.abc import Callable

import pytest

from guard.errors import MalformedFrameError
from guard.events import BookStatus
from guard.market.book import Book
from guard.market.live import NEVER
from guard.market.sampler import CHURN_S, MarketSampler
from tests.support.implementations import BOOKS, BookOf
from tests.support.market import MARKET, S, even_levels


class Make:
    """Makes samplers over one implementation of books."""

    def __init__(self, book_of: BookOf) -> None:
        self._book_of = book_of

    def book(self) -> Book:
        return self._book_of(where=MARKET)

    def __call__(self, mid: float = 100.0, *, levels: int = 100) -> MarketSampler:
        made = MarketSampler(MARKET, self.book())
        made.on_snapshot(*even_levels(mid, size=100.0, levels=levels), received_at=0, exchange_at=5)
        return made


@pytest.fixture(params=BOOKS)
def make(request: pytest.FixtureRequest) -> Make:
    return Make(request.param)


def test_a_sample_carries_the_book_the_flow_and_when_it_was_heard(make: Make) -> None:
    sampling = make()
    sampling.on_deltas([(99.995, 7.0)], [], received_at=1 * S, exchange_at=S // 2)
    for notional in (300.0, -100.0, -50.0):
        sampling.on_trade(notional)
    sample = sampling.sample(2 * S)
    assert (sample.status, sample.bid) == (BookStatus.OK, 99.995)
    assert sample.ask == pytest.approx(100.01)
    assert (sample.buy_usd, sample.sell_usd, sample.updates, sample.gaps) == (300.0, 150.0, 2, 0)
    assert (sample.received_at, sample.book_at, sample.exchange_at) == (2 * S, S, S // 2)
    assert sample.imbalance is not None
    assert sample.bids is not None
    assert sample.bids.visible_bps == pytest.approx(100.0, rel=0.01)


def test_the_next_sample_starts_to_count_anew_and_keeps_the_book(make: Make) -> None:
    sampling = make()
    sampling.on_trade(300.0)
    first, second = sampling.sample(S), sampling.sample(2 * S)
    assert (second.buy_usd, second.updates, second.book_at) == (0.0, 0, 0)
    assert second.bids == first.bids


def test_a_gap_lasts_until_the_next_snapshot(make: Make) -> None:
    sampling = make()
    sampling.mark_gapped()
    sampling.mark_gapped()
    sampling.on_deltas([(99.0, 1.0)], [], received_at=S)
    sample = sampling.sample(S)
    assert (sample.status, sample.gaps, sample.bid, sample.bids, sample.imbalance) == (
        BookStatus.GAPPED, 1, None, None, None,
    )  # fmt: skip
    assert sampling.wants_snapshot
    sampling.on_snapshot(*even_levels(100.0), received_at=2 * S)
    assert sampling.sample(2 * S).status is BookStatus.OK
    assert not sampling.wants_snapshot


def test_an_unsynced_book_is_forgotten_but_what_was_traded_is_not(make: Make) -> None:
    sampling = make()
    sampling.on_trade(-10.0)
    sampling.mark_unsynced()
    sample = sampling.sample(S)
    assert (sample.status, sample.bids, sample.sell_usd) == (BookStatus.UNSYNCED, None, 10.0)
    sampling.mark_gapped()
    assert sampling.status is BookStatus.UNSYNCED


@pytest.mark.parametrize("is_snapshot", [True, False])
def test_a_malformed_frame_is_a_lost_frame(make: Make, is_snapshot: bool) -> None:
    sampling = make()
    with pytest.raises(MalformedFrameError, match="loopback:BTC"):
        (sampling.on_snapshot if is_snapshot else sampling.on_deltas)([(float("nan"), 1.0)], [], S)
    assert sampling.sample(S).status is BookStatus.GAPPED


def test_a_crossed_book_passes_and_is_flagged(make: Make) -> None:
    sampling = make()
    sampling.on_deltas([(101.0, 1.0)], [], received_at=S)
    sample = sampling.sample(S)
    assert (sample.status, sample.bid, sample.asks) == (BookStatus.CROSSED, None, None)


def test_levels_behind_the_snapshots_end_do_not_pass_for_visible(make: Make) -> None:
    """A diff that names one far level does not make all between known."""
    sampling = make(levels=20)
    sampling.on_deltas([(90.0, 1e6)], [], received_at=S)
    bids = sampling.sample(S).bids
    assert bids is not None
    assert bids.visible_bps == pytest.approx(20.0, rel=0.01)
    assert bids.visible_usd < 1e6


def test_when_price_leaves_the_snapshot_a_minute_of_churn_makes_the_near_levels_known(make: Make) -> None:
    sampling = make(levels=20)
    bids, asks = even_levels(99.5, size=100.0, levels=20)
    gone, _ = even_levels(100.0, size=0.0, levels=20)
    sampling.on_deltas(gone, [], received_at=S)
    sampling.on_deltas(bids, asks, received_at=S)
    assert sampling.wants_snapshot
    early = sampling.sample(S).bids
    for second in range(2, int(CHURN_S) + 1):
        sampling.sample(second * S)
    late = sampling.sample(int(CHURN_S + 1) * S).bids
    assert early is not None
    assert late is not None
    assert early.visible_bps == 0.0
    assert early.curve_usd[5] > 0.0
    assert late.visible_bps == pytest.approx(11.0, rel=0.02)


def test_a_book_has_turned_when_price_moved_or_half_of_the_touch_is_gone(make: Make) -> None:
    sampler = MarketSampler(MARKET, make.book())
    sampler.on_snapshot([[99.9, 5.0], [99.8, 5.0]], [[100.1, 5.0], [100.2, 5.0]], received_at=1)
    assert not sampler.has_turned  # nothing was said yet that it could differ from
    sampler.sample(2)
    assert not sampler.has_turned
    sampler.on_deltas([[99.8, 1.0]], [], received_at=3)
    assert not sampler.has_turned
    sampler.on_deltas([[99.9, 1.0]], [], received_at=4)
    assert sampler.has_turned
    sampler.sample(5)
    sampler.on_deltas([[100.0, 1.0]], [[100.1, 0.0]], received_at=6)
    assert sampler.has_turned


def test_a_window_that_the_venue_keeps_ends_with_its_last_level_however_price_moves(make: Make) -> None:
    kept = MarketSampler(MARKET, make.book(), windowed=True)
    kept.on_snapshot([[99.9, 1.0], [99.8, 1.0]], [[100.1, 1.0], [100.2, 1.0]], received_at=0)
    for second in range(120):  # a minute of churn makes nothing known here
        kept.sample(second * S)
    kept.on_deltas([[99.7, 1.0]], [[100.3, 1.0]], received_at=121 * S)
    sample = kept.sample(122 * S)

    assert sample.bids is not None
    assert sample.bids.visible_bps == pytest.approx(30.0)


def test_what_is_fed_here_disarms_what_frames_are_read_into(make: Make) -> None:
    """Whoever knows the number that the stream goes on with arms it again."""
    sampling = make()

    def disarms(act: Callable[[], object]) -> bool:
        sampling.live.arm(7)
        act()
        return not sampling.live.armed

    levels = even_levels(100.0)
    assert disarms(lambda: sampling.on_snapshot(*levels, received_at=1))
    assert disarms(lambda: sampling.on_deltas([(99.0, 1.0)], [], received_at=1))
    assert disarms(sampling.mark_gapped)
    assert disarms(sampling.mark_unsynced)
    with pytest.raises(MalformedFrameError):
        sampling.on_deltas([(-1.0, 1.0)], [], received_at=1)
    assert not sampling.live.armed
    assert not disarms(lambda: sampling.on_trade(1.0))
    assert not disarms(lambda: sampling.sample(2))


def test_what_frames_bring_by_themselves_is_sampled(make: Make) -> None:
    sampling = make()
    sampling.sample(1)
    live = sampling.live
    live.book.apply([(99.995, 7.0)], [])
    live.applied(2 * S, NEVER)
    live.traded(-40.0)
    assert live.changed
    sample = sampling.sample(3 * S)
    assert (sample.bid, sample.updates, sample.sell_usd, sample.book_at) == (99.995, 1, 40.0, 2 * S)
    assert sample.exchange_at is None
    assert not live.changed


def test_the_touches_of_a_minute_of_many_samples_are_few_and_none_is_lost(make: Make) -> None:
    """A falling price makes every touch a peak of what follows: ten samples a second must not pile up."""
    sampling = make(levels=20)
    for step in range(600):
        bids, asks = even_levels(100.0 - step * 0.001, size=100.0, levels=20)
        sampling.on_snapshot(bids, asks, received_at=step * S // 10)
        sampling.sample(step * S // 10)
    assert len(pickle.dumps(sampling._churned)) < 4_000
    high = sampling.book.best_bid()
    assert high is not None
    gone, _ = even_levels(100.0 - 0.599, size=0.0, levels=20)
    sampling.on_deltas(gone, [(101.0, 1.0)], received_at=60 * S)
    sampling.on_deltas([(99.4 - 0.01 * far, 1.0) for far in range(100)], [], received_at=60 * S)
    late = sampling.sample(61 * S).bids
    assert late is not None
    # Within 10 bps of the highest touch of the last minute, a second after 100.0, everything has churned.
    assert late.visible_bps > 0.0
