"""Episodes follow from their seed, and none gives itself away before its onset."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.simulation.laboratory.parameters import Episode, ImpulseKind
from adapters.simulation.worlds.drawing import draw_episode
from adapters.simulation.worlds.ranges import SYMBOLS, VENUES
from adapters.simulation.worlds.scenarios import SCENARIOS, STRESSED
from adapters.simulation.worlds.variants import WORLDS

SEEDS = st.integers(0, 2**31 - 1)


def opening(episode: Episode) -> Episode:
    """What is known of an episode until its onset, all that comes later and the name left out."""
    assert episode.onset_s is not None
    before = tuple(one for one in episode.impulses if one.at_s < episode.onset_s)
    return replace(episode, scenario="", duration_s=0.0, impulses=before)


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("world", WORLDS)
def test_every_world_has_every_scenario(world: str, scenario: str) -> None:
    episode = draw_episode(world, scenario, 7)
    assert episode == draw_episode(world, scenario, 7)
    assert episode != draw_episode(world, scenario, 8)
    assert (episode.world, episode.scenario, episode.seed) == (world, scenario, 7)
    assert [one.symbol for one in episode.symbols] == list(SYMBOLS)
    assert [one.venue for one in episode.venues] == list(VENUES)
    assert (episode.onset_s is None) == (scenario == "calm")


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(WORLDS)), st.sampled_from(sorted(SCENARIOS)), SEEDS)
def test_what_is_drawn_makes_sense(world: str, scenario: str, seed: int) -> None:
    episode = draw_episode(world, scenario, seed)
    assert sum(maker.share for maker in episode.makers) == pytest.approx(1.0)
    assert sum(share for _, share in episode.crowd.leverage_longs) == pytest.approx(1.0, abs=1e-5)
    assert 0 <= episode.crowd.hedged_longs_share < 1
    assert 0 <= episode.crowd.hedged_shorts_share < 1
    assert all(0 <= impulse.at_s < episode.duration_s for impulse in episode.impulses)
    assert all(impulse.duration_s > 0 for impulse in episode.impulses)
    for symbol in episode.symbols:
        micros = symbol.tick * symbol.lot * 1_000_000
        assert micros == int(micros) >= 1
        assert 0.4 < float(symbol.tick) / symbol.price_start * 1e4 < 1.3
    for impulse in episode.impulses:
        if impulse.kind in (ImpulseKind.WITHDRAW, ImpulseKind.ARBITRAGE_STOP):
            assert 0 <= impulse.size <= 1


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(sorted(WORLDS)), SEEDS)
def test_equal_seeds_open_alike_whatever_comes(world: str, seed: int) -> None:
    openings = {opening(draw_episode(world, scenario, seed)) for scenario in STRESSED}
    assert len(openings) == 1
    assert {"fall", "october-2025"} <= set(STRESSED)


def test_fewer_symbols_change_nothing_of_those_that_stay() -> None:
    whole = draw_episode("volatility", "october-2025", 11)
    part = draw_episode("volatility", "october-2025", 11, symbols=["WIFUSDT"], venues=["bybit"])
    assert part.symbols == whole.symbols[3:]
    assert part.venues == whole.venues[1:]
    assert part.impulses == tuple(one for one in whole.impulses if one.symbol in (None, "WIFUSDT"))
    assert replace(part, symbols=(), venues=(), impulses=()) == replace(
        whole, symbols=(), venues=(), impulses=()
    )


def test_a_duration_moves_the_onset_and_keeps_the_pace() -> None:
    whole = draw_episode("signals", "fall", 3)
    half = draw_episode("signals", "fall", 3, duration_s=whole.duration_s / 2)
    assert whole.onset_s is not None
    assert half.onset_s == pytest.approx(whole.onset_s / 2, rel=1e-5)
    assert half.impulses[-1].duration_s == whole.impulses[-1].duration_s


@pytest.mark.parametrize(
    ("world", "scenario", "given", "said"),
    [
        ("nowhere", "calm", {}, "no world 'nowhere': choose one of volatility"),
        ("news", "storm", {}, "no scenario 'storm': choose one of calm"),
        ("news", "calm", {"symbols": ["XUSDT"]}, "no symbol 'XUSDT': choose one of BTCUSDT"),
        ("news", "calm", {"venues": ["ftx"]}, "no venue 'ftx': choose one of binanceusdm"),
        ("news", "calm", {"symbols": []}, "one or more symbols"),
        ("news", "calm", {"venues": ["bybit", "bybit"]}, "each once"),
        ("news", "calm", {"duration_s": float("nan")}, "lasts longer than 0 s"),
    ],
)
def test_what_does_not_exist_is_named(world: str, scenario: str, given: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        draw_episode(world, scenario, 1, **given)  # type: ignore[arg-type]
