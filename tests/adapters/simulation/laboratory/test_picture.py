"""The picture of an episode: what it keeps, and that it shows what it was told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from msgspec import structs

from adapters.simulation.laboratory.parameters import Episode
from adapters.simulation.laboratory.picture import BINS_MAX, Picture, _bridged
from adapters.simulation.laboratory.truth import ClosedBy, LiquidationTruth
from adapters.simulation.worlds.drawing import draw_episode
from guard.errors import ExtraMissingError
from guard.events import MarketsSampled, OpenInterestSeen
from guard.units import NS_PER_S, MarketId
from tests.support.market import even_features

BTC, WIF = MarketId("binanceusdm:BTC/USDT:USDT"), MarketId("bybit:WIF/USDT:USDT")
EPISODE = draw_episode("volatility", "october-2025", 1, symbols=["BTCUSDT"], duration_s=600.0)


def told(episode: Episode, seconds: int = 600, every_s: int = 1) -> Picture:
    picture = Picture(episode)
    for second in range(0, seconds, every_s):
        at = episode.start_at_ns + second * NS_PER_S
        samples = tuple(even_features(at, 100.0 + second / 100.0, market=market) for market in (BTC, WIF))
        picture.take(MarketsSampled(received_at=at, samples=samples))
        if second % 10 == 0:
            picture.take(OpenInterestSeen(received_at=at, market=BTC, open_interest=1e4))
            picture.liquidation(liquidation(at, 1.0 if second % 20 else -1.0))
    return picture


def liquidation(at: int, size: float) -> LiquidationTruth:
    return LiquidationTruth(
        at_ns=at,
        market=BTC,
        position=1,
        size=size,
        price=1e6,
        bankruptcy_price=1e6,
        leverage=1.0,
        closed_by=ClosedBy.BOOK,
    )


def test_what_it_keeps_does_not_grow_with_the_episode() -> None:
    sizes = []
    for days in (1, 30):
        picture = told(replace(EPISODE, duration_s=days * 86_400.0), days * 86_400, days * 600)
        sizes.append((len(picture._longs), {len(bins.price) for bins in picture._markets.values()}))
    assert sizes == [(BINS_MAX, {BINS_MAX})] * 2


def test_bins_hold_means_of_what_was_told() -> None:
    picture = Picture(EPISODE)
    begin = EPISODE.start_at_ns
    usual = even_features(begin, 100.0, market=BTC)
    assert usual.bids is not None
    empty = structs.replace(usual, bids=structs.replace(usual.bids, slippage_bps=(None,) * 4))
    picture.take(usual)
    picture.take(structs.replace(empty, received_at=begin + NS_PER_S // 2))
    picture.take(
        structs.replace(usual, received_at=begin + NS_PER_S, bids=None, asks=None, bid=None, ask=None)
    )
    bins = picture._markets[BTC]
    assert bins.mean(bins.spread, bins.samples)[0] == pytest.approx(2.0)
    assert bins.mean(bins.cost, bins.costed)[0] == pytest.approx(2.0, rel=1e-3)
    assert bins.unfilled[0] == 0.5, "of two samples one does not hold 500 USD"
    assert np.isnan(bins.prices[1]), "a book without sides says nothing"


def test_a_line_goes_on_over_short_pauses_alone() -> None:
    nan = float("nan")
    told = np.array([nan, 1.0, nan, 2.0, nan, nan, nan, 3.0, nan])
    assert np.array_equal(_bridged(told, 2), [nan, 1.0, 1.0, 2.0, nan, nan, nan, 3.0, nan], equal_nan=True)
    assert np.array_equal(_bridged(np.full(3, nan), 2), np.full(3, nan), equal_nan=True)


def test_it_is_a_picture_of_what_was_told(tmp_path: Path) -> None:
    Picture(EPISODE).draw(tmp_path / "nothing.png")
    told(EPISODE).draw(tmp_path / "picture.png")
    nothing, picture = (tmp_path / "nothing.png").read_bytes(), (tmp_path / "picture.png").read_bytes()
    assert picture[:8] == nothing[:8] == b"\x89PNG\r\n\x1a\n"
    assert len(picture) > len(nothing)


def test_without_its_library_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    with pytest.raises(
        ExtraMissingError, match=r"matplotlib is not installed: pip install 'perpguard\[lab\]'"
    ):
        told(EPISODE, 10).draw(tmp_path / "picture.png")
