"""What a crash is made of: news is drawn, the rest of the fall is what leverage and thin books make of it."""

from __future__ import annotations

import math
from dataclasses import replace

from adapters.simulation.laboratory.laboratory import Laboratory
from adapters.simulation.laboratory.parameters import Episode, Impulse, ImpulseKind
from adapters.simulation.worlds.drawing import draw_episode
from tests.adapters.simulation.laboratory.episodes import small_episode

VENUE, SYMBOL = "binanceusdm", "WIFUSDT"


def october(seed: int) -> Episode:
    return draw_episode("signals", "october-2025", seed, symbols=(SYMBOL,), venues=(VENUE,))


def unleveraged(episode: Episode) -> Episode:
    crowd = replace(
        episode.crowd, hedged_longs_share=1.0, hedged_shorts_share=1.0, stop_share=0.0, target_share=0.0
    )
    return replace(episode, crowd=crowd)


def go_on(laboratory: Laboratory, until_s: float) -> None:
    while laboratory.now_ms < until_s * 1_000:
        laboratory.step()


def falls(episode: Episode) -> tuple[float, float]:
    """How far mid and value fall (log) from the onset on."""
    laboratory = Laboratory(episode)
    assert episode.onset_s is not None
    go_on(laboratory, episode.onset_s)
    market = laboratory.markets[VENUE, SYMBOL]
    mids = [market.mid]
    values = [laboratory.values.value_price(0)]
    end_ms = int((episode.onset_s + 1_800.0) * 1_000)
    while laboratory.now_ms < end_ms:
        laboratory.step()
        mids.append(market.mid)
        values.append(laboratory.values.value_price(0))
    return math.log(mids[0] / min(mids)), math.log(values[0] / min(values))


def test_leverage_makes_a_crash_of_news() -> None:
    episode = october(1)
    with_leverage, of_value = falls(episode)
    without, _ = falls(unleveraged(episode))
    assert with_leverage > without + 0.1
    # Makers who leave and a seller make a little more of it by themselves.
    assert of_value < without < of_value + 0.15


def world_below_value(lead_half_life_s: float) -> float:
    """How far (log) the world's price is below value after somebody sold at all books for half a minute."""
    selling = Impulse(kind=ImpulseKind.SELL, at_s=2.0, duration_s=30.0, size=3.0)
    calm = small_episode(impulses=(selling,))
    value = replace(calm.value, lead_half_life_s=lead_half_life_s)
    laboratory = Laboratory(replace(calm, value=value))
    go_on(laboratory, 30.0)
    return math.log(laboratory.values.value_price(0) / laboratory.values.world_price(0))


def test_the_worlds_price_follows_books_where_they_lead_it() -> None:
    assert world_below_value(20.0) > 1.2 * world_below_value(0.0) > 0.0
    assert world_below_value(20.0) > world_below_value(200.0)
