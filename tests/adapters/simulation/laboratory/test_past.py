"""What guards are told of a made-up market's past: the one that its positions were entered in, and nothing of them."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from adapters.simulation.coarse.run import coarse_events
from adapters.simulation.laboratory.laboratory import Laboratory
from adapters.simulation.laboratory.parameters import Episode
from adapters.simulation.laboratory.value import past_prices
from guard.events import MarketFeatures, OpenInterestHistorySeen
from guard.units import NS_PER_S
from tests.adapters.simulation.laboratory.episodes import BYBIT, small_episode


def histories(episode: Episode) -> dict[str, OpenInterestHistorySeen]:
    found: dict[str, OpenInterestHistorySeen] = {}
    for event in Laboratory(episode).events():
        if isinstance(event, OpenInterestHistorySeen):
            found[event.market] = event
        elif isinstance(event, MarketFeatures):
            break
    return found


def test_each_market_tells_its_past_once_before_anything_else() -> None:
    episode = small_episode(duration_s=2.0)
    kinds = [type(event) for event in Laboratory(episode).events()]
    assert kinds[2:6] == [OpenInterestHistorySeen] * 4
    assert OpenInterestHistorySeen not in kinds[6:]
    assert len(histories(episode)) == 4


def test_it_is_the_past_that_positions_were_entered_in() -> None:
    episode = small_episode(duration_s=2.0)
    laboratory = Laboratory(episode)
    for listing in laboratory.listings.values():
        points = histories(episode)[listing.market].points
        spacing = np.diff([point.at for point in points])
        assert (spacing == 300 * NS_PER_S).all()
        assert points[-1].at == episode.start_at_ns
        days = (points[-1].at - points[0].at) / (86_400 * NS_PER_S)
        assert days == pytest.approx(episode.crowd.history_days, abs=300 / 86_400)
        prices = past_prices(episode, listing.symbol.symbol)
        assert points[-1].price == pytest.approx(listing.symbol.price_start)
        assert [point.price for point in points[-3:]] == pytest.approx([prices[-11], prices[-6], prices[-1]])
        open_interest = {point.open_interest for point in points}
        assert list(open_interest) == [pytest.approx(listing.crowd.long_lots * listing.grid.lot)]


def test_volume_goes_by_the_venue_and_by_how_long_positions_are_held() -> None:
    episode = small_episode(duration_s=2.0)
    told = histories(episode)
    here = told["binanceusdm:BTC/USDT:USDT"].points
    there = told["bybit:BTC/USDT:USDT"].points
    assert here[0].volume_usd is None
    assert here[1].volume_usd is not None
    assert there[1].volume_usd == pytest.approx(BYBIT.share * here[1].volume_usd)
    hasty = replace(
        episode,
        crowd=replace(episode.crowd, holding_half_life_s=episode.crowd.holding_half_life_s / 2.0),
    )
    faster = histories(hasty)["binanceusdm:BTC/USDT:USDT"].points[1].volume_usd
    assert faster is not None
    assert faster > here[1].volume_usd


def test_it_changes_with_nothing_that_only_the_truth_knows() -> None:
    """Leverage, stops and hedges differ: the past that is told does not."""
    episode = small_episode(duration_s=2.0)
    crowd = replace(
        episode.crowd,
        leverage_longs=((50, 1.0),),
        leverage_shorts=((3, 1.0),),
        stop_share=0.9,
        hedged_longs_share=0.5,
    )
    assert histories(replace(episode, crowd=crowd)) == histories(episode)


def test_the_coarse_mode_tells_the_same_past() -> None:
    episode = small_episode(duration_s=5.0)
    told = [event for event in coarse_events(episode) if isinstance(event, OpenInterestHistorySeen)]
    assert msgspec.json.encode(told) == msgspec.json.encode(list(histories(episode).values()))
