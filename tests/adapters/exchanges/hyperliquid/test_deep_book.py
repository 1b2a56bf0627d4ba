"""Books of several precisions are one that reaches far, and counts nothing twice nor nearer than it rests."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.exchanges.hyperliquid.deep_book import COARSE_FIGURES, DeepBook
from adapters.exchanges.venue import DepthSnapshot
from guard.errors import MalformedFrameError

MS = 1_000_000
Side = dict[Decimal, Decimal]


def venue_book(bids: Side, asks: Side, figures: int | None, at_ms: int = 0) -> DepthSnapshot:
    """What the venue would show of these sides."""
    shown = [
        _shown(sorted(bids.items(), reverse=True), figures, ROUND_FLOOR),
        _shown(sorted(asks.items()), figures, ROUND_CEILING),
    ]
    return DepthSnapshot(at_ms, shown[0], shown[1], at_ms * MS)


def _shown(levels: list[tuple[Decimal, Decimal]], figures: int | None, rounding: str) -> list[list[str]]:
    sums: Side = {}
    for price, size in levels:
        at = price
        if figures is not None:
            step = Decimal(1).scaleb(price.adjusted() - figures + 1)
            at = (price / step).to_integral_value(rounding) * step
        if at not in sums and len(sums) == 20:
            break
        sums[at] = sums.get(at, Decimal(0)) + size
    return [[f"{price:f}", f"{size:f}"] for price, size in sums.items()]


sizes = st.decimals(min_value="0.001", max_value=1000, places=3)


def side_of(sign: int, price: int) -> st.SearchStrategy[Side]:
    ticks = st.integers(min_value=1, max_value=4000)
    return st.dictionaries(ticks, sizes, min_size=1, max_size=120).map(
        lambda side: {Decimal(price) + sign * tick * Decimal("0.5"): size for tick, size in side.items()}
    )


@given(data=st.data(), price=st.sampled_from([1_234, 2_500, 9_990, 60_000, 99_950]))
def test_every_depth_is_at_most_what_rests_there_and_all_of_it_at_the_end(
    data: st.DataObject, price: int
) -> None:
    bids, asks = data.draw(side_of(-1, price)), data.draw(side_of(1, price))
    deep = DeepBook()
    for figures in COARSE_FIGURES:
        deep.keep(figures, venue_book(bids, asks, figures))

    joined = deep.joined(venue_book(bids, asks, None))

    for side, shown, sign in ((bids, joined.bids, -1), (asks, joined.asks, 1)):
        far = [sign * Decimal(at) for at, _ in shown]
        assert far == sorted(set(far)), "best first, each price once"
        counted = 0.0
        for at, size in shown:
            counted += float(size)
            resting = sum(held for price, held in side.items() if sign * price <= sign * Decimal(at))
            assert counted <= float(resting) * (1.0 + 1e-9)
        within = sum(held for price, held in side.items() if sign * price <= far[-1])
        assert counted == pytest.approx(float(within))


def test_the_joined_book_reaches_as_far_as_its_coarsest() -> None:
    bids = {Decimal(60_000) - tick: Decimal(1) for tick in range(1, 5_000)}
    asks = {Decimal(60_000) + tick: Decimal(1) for tick in range(1, 5_000)}
    deep = DeepBook()
    fine = venue_book(bids, asks, None)
    assert float(deep.joined(fine).bids[-1][0]) == 59_980.0  # 3 bps
    for figures in COARSE_FIGURES:
        deep.keep(figures, venue_book(bids, asks, figures))

    joined = deep.joined(fine)

    assert float(joined.bids[-1][0]) == 58_000.0  # 333 bps
    assert sum(float(size) for _, size in joined.bids) == pytest.approx(2_000)


def test_a_coarse_book_that_is_too_old_or_lost_is_left_out() -> None:
    sides = {Decimal(999 - tick): Decimal(1) for tick in range(50)}, {Decimal(1001): Decimal(1)}
    deep = DeepBook()
    for figures in COARSE_FIGURES:
        deep.keep(figures, venue_book(*sides, 2, at_ms=1_000))

    assert len(deep.joined(venue_book(*sides, None, at_ms=4_000)).bids) > 20
    assert len(deep.joined(venue_book(*sides, None, at_ms=4_001)).bids) == 20
    for figures in COARSE_FIGURES:
        deep.keep(figures, venue_book(*sides, 2, at_ms=4_000))
        deep.forget(figures)
    assert len(deep.joined(venue_book(*sides, None, at_ms=4_001)).bids) == 20


def test_a_level_that_is_no_number_is_malformed() -> None:
    deep = DeepBook()
    deep.keep(4, DepthSnapshot(1, [["ninety", "1"]], []))

    with pytest.raises(MalformedFrameError, match="l2Book"):
        deep.joined(DepthSnapshot(1, [["100", "1"]], []), levels=1)
