"""What an exchange adapter feeds comes out as one honest sample."""

from __future__ import annotations

import pytest

from guard.errors import MalformedFrameError
from guard.events import BookStatus
from guard.market.book import new_book
from guard.market.sampler import CHURN_S, MarketSampler
from tests.support.market import MARKET, S, even_levels


def sampler(mid: float = 100.0, *, levels: int = 100) -> MarketSampler:
    made = MarketSampler(MARKET, new_book(where=MARKET))
    made.on_snapshot(*even_levels(mid, size=100.0, levels=levels), received_at=0, exchange_at=5)
    return made


def test_a_sample_carries_the_book_the_flow_and_when_it_was_heard() -> None:
    sampling = sampler()
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


def test_the_next_sample_starts_to_count_anew_and_keeps_the_book() -> None:
    sampling = sampler()
    sampling.on_trade(300.0)
    first, second = sampling.sample(S), sampling.sample(2 * S)
    assert (second.buy_usd, second.updates, second.book_at) == (0.0, 0, 0)
    assert second.bids == first.bids


def test_a_gap_lasts_until_the_next_snapshot() -> None:
    sampling = sampler()
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


def test_an_unsynced_book_is_forgotten_but_what_was_traded_is_not() -> None:
    sampling = sampler()
    sampling.on_trade(-10.0)
    sampling.mark_unsynced()
    sample = sampling.sample(S)
    assert (sample.status, sample.bids, sample.sell_usd) == (BookStatus.UNSYNCED, None, 10.0)
    sampling.mark_gapped()
    assert sampling.status is BookStatus.UNSYNCED


@pytest.mark.parametrize("is_snapshot", [True, False])
def test_a_malformed_frame_is_a_lost_frame(is_snapshot: bool) -> None:
    sampling = sampler()
    with pytest.raises(MalformedFrameError, match="loopback:BTC"):
        (sampling.on_snapshot if is_snapshot else sampling.on_deltas)([(float("nan"), 1.0)], [], S)
    assert sampling.sample(S).status is BookStatus.GAPPED


def test_a_crossed_book_passes_and_is_flagged() -> None:
    sampling = sampler()
    sampling.on_deltas([(101.0, 1.0)], [], received_at=S)
    sample = sampling.sample(S)
    assert (sample.status, sample.bid, sample.asks) == (BookStatus.CROSSED, None, None)


def test_levels_behind_the_snapshots_end_do_not_pass_for_visible() -> None:
    """A diff that names one far level does not make all between known."""
    sampling = sampler(levels=20)
    sampling.on_deltas([(90.0, 1e6)], [], received_at=S)
    bids = sampling.sample(S).bids
    assert bids is not None
    assert bids.visible_bps == pytest.approx(20.0, rel=0.01)
    assert bids.visible_usd < 1e6


def test_when_price_leaves_the_snapshot_a_minute_of_churn_makes_the_near_levels_known() -> None:
    sampling = sampler(levels=20)
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


def test_a_book_has_turned_when_price_moved_or_half_of_the_touch_is_gone() -> None:
    sampler = MarketSampler(MARKET, new_book())
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


def test_a_window_that_the_venue_keeps_ends_with_its_last_level_however_price_moves() -> None:
    kept = MarketSampler(MARKET, new_book(), windowed=True)
    kept.on_snapshot([[99.9, 1.0], [99.8, 1.0]], [[100.1, 1.0], [100.2, 1.0]], received_at=0)
    for second in range(120):  # a minute of churn makes nothing known here
        kept.sample(second * S)
    kept.on_deltas([[99.7, 1.0]], [[100.3, 1.0]], received_at=121 * S)
    sample = kept.sample(122 * S)

    assert sample.bids is not None
    assert sample.bids.visible_bps == pytest.approx(30.0)
