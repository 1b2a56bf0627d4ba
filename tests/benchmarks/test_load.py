"""The load server's markets and the flame graph: what the figures of ``speed`` and ``scale`` rest on."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET

from benchmarks._flame import draw
from benchmarks._load_market import EPOCH_US, FORWARD, lag_us, make_flickering, make_markets

HEADER = 4


def applied(market_number: int, steps: int) -> tuple[dict[str, str], dict[str, str], int]:
    """The book and its last number after so many frames, read from the frames themselves."""
    market = make_markets(market_number + 1, seed=3)[market_number]
    bids, asks = (dict(side) for side in market.template.book_at(market.step))
    last = market.last_id
    for number in range(steps):
        frame = json.loads(market.depth(EPOCH_US + number * 1_000)[HEADER:])
        assert frame["pu"] == last
        assert frame["U"] == last + 1
        last = frame["u"]
        for side, changes in ((bids, frame["b"]), (asks, frame["a"])):
            for price, size in changes:
                if float(size):
                    side[price] = size
                else:
                    side.pop(price, None)
        assert max(map(float, bids)) < min(map(float, asks))
    return bids, asks, last


def test_a_cycle_ends_where_it_began() -> None:
    market = make_markets(3, seed=3)[2]
    bids, asks, _ = applied(2, 2 * FORWARD)
    assert (bids, asks) == tuple(dict(side) for side in market.template.book_at(market.step))


def test_the_book_of_a_moment_is_what_the_frames_make() -> None:
    market = make_markets(6, seed=3)[5]
    bids, asks, _ = applied(5, 47)
    assert (bids, asks) == tuple(dict(side) for side in market.template.book_at(market.step + 47))


def test_a_number_tells_when_its_update_was_due() -> None:
    market = make_markets(1, seed=1)[0]
    due_us = EPOCH_US + 5_000_000
    market.depth(due_us)
    assert lag_us(market.last_id, due_us + 1_234) == 1_234


def test_a_flickering_market_loses_nine_tenths_and_gets_them_back() -> None:
    template = make_flickering()
    full, thin = template.book_at(0)[0], template.book_at(1)[0]
    assert [price for price, _ in full] == [price for price, _ in thin]
    assert {size for _, size in full} == {"2.000"}
    assert {size for _, size in thin} == {"0.200"}


def test_a_flame_graph_is_an_svg_that_names_what_took_long() -> None:
    drawn = draw({("loop", "read <frame>"): 90, ("loop", "judge"): 10, ("rare",): 0}, title="a & b")
    titles = [title.text for title in ET.fromstring(drawn).iter() if title.tag.endswith("title")]
    assert titles == ["loop: 100.0%", "judge: 10.0%", "read <frame>: 90.0%"]
