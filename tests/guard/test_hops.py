"""What lies between which two readings of a clock, and what is missing where one was not read."""

from __future__ import annotations

from msgspec import structs

from guard.events import MarketsSampled
from guard.hops import BUDGETS_NS, WITHIN, Hop, Stations, sample_in, slowest_of, whole_ns
from guard.units import NS_PER_MS
from tests.support.builders import ETH, MARKET, features, tick

WHOLE = Stations(
    venue_at=1_000,
    received_at=1_500,
    sampled_at=1_700,
    caused_at=1_700,
    begun_at=1_730,
    decided_at=1_800,
    durable_at=2_800,
    taken_at=3_000,
    answered_at=3_900,
    by_sample=True,
)


def test_a_whole_way_is_its_hops_one_after_another() -> None:
    hops = WHOLE.hops()
    assert hops == {
        Hop.VENUE: 500,
        Hop.SAMPLE: 200,
        Hop.FEATURES: 30,
        Hop.DECIDE: 70,
        Hop.DURABLE: 1_000,
        Hop.PUBLISH: 200,
        Hop.BOT: 900,
    }
    assert whole_ns(hops) == 3_900 - 1_000
    assert slowest_of(hops) is Hop.DURABLE


def test_what_was_not_read_is_missing_and_nothing_else() -> None:
    without_venue = Stations(
        received_at=1_500, sampled_at=1_700, caused_at=1_700, begun_at=1_730, decided_at=1_800, by_sample=True
    )
    assert without_venue.hops() == {Hop.SAMPLE: 200, Hop.FEATURES: 30, Hop.DECIDE: 70}
    bare = Stations(caused_at=1_700, begun_at=1_730, decided_at=1_800)
    assert bare.hops() == {Hop.CAUSE: 30, Hop.DECIDE: 70}
    assert slowest_of({}) is None


def test_another_cause_than_a_sample_counts_from_the_latest_sample() -> None:
    by_tick = Stations(sampled_at=1_000, caused_at=1_700, begun_at=1_730, decided_at=1_800)
    assert by_tick.hops() == {Hop.CAUSE: 730, Hop.DECIDE: 70}


def test_clocks_that_are_apart_show_and_an_answer_that_overtakes_the_brokers_counts_as_none() -> None:
    ahead = structs_replaced(venue_at=1_900, answered_at=2_900)
    assert ahead[Hop.VENUE] == -400
    assert ahead[Hop.BOT] == 0


def structs_replaced(*, venue_at: int, answered_at: int) -> dict[Hop, int]:
    return Stations(
        venue_at=venue_at,
        received_at=1_500,
        sampled_at=1_700,
        caused_at=1_700,
        begun_at=1_730,
        decided_at=1_800,
        durable_at=2_800,
        taken_at=3_000,
        answered_at=answered_at,
    ).hops()


def test_the_sample_of_the_commands_market_is_found_in_a_batch() -> None:
    mine, other = features(1.0), structs.replace(features(1.0), market=ETH)
    batch = MarketsSampled(received_at=2, samples=(other, mine))

    assert sample_in(batch, MARKET) is mine
    assert sample_in(mine, MARKET) is mine
    assert sample_in(other, MARKET) is None
    assert sample_in(MarketsSampled(received_at=2, samples=(other,)), MARKET) is None
    assert sample_in(tick(1.0), MARKET) is None


def test_every_hop_of_ours_has_a_budget_and_together_they_keep_the_targets() -> None:
    assert set(Hop) - set(BUDGETS_NS) == {Hop.CAUSE}
    unloaded = BUDGETS_NS[Hop.DURABLE] + BUDGETS_NS[Hop.PUBLISH]
    assert unloaded <= 1.5 * (16 + 2.5) * NS_PER_MS
    assert BUDGETS_NS[Hop.FEATURES] + BUDGETS_NS[Hop.DECIDE] <= 50 * NS_PER_MS
    assert all(hop in Hop for hop in WITHIN)
