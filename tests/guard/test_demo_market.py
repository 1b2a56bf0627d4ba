"""Where the demo's bots trade: one scripted market for both, or a laboratory for each, alike to the frame."""

from __future__ import annotations

import pytest

from adapters.simulation.settings import VenueAccountSpec
from guard.demo_market import CODE, DemoMarket, demo_venues, market_for

ACCOUNTS = [VenueAccountSpec(name, f"key-{name}", f"secret-{name}") for name in ("guarded", "unguarded")]


def test_both_bots_trade_in_one_scripted_market() -> None:
    venues = demo_venues(DemoMarket.SCRIPTED, "fall", 3, ACCOUNTS)

    assert venues.by_bot["guarded"] is venues.by_bot["unguarded"]
    assert venues.others() == ""
    assert "seed 3" in venues.about


def test_each_bot_has_a_laboratory_of_its_own_and_what_it_does_there_stays_there() -> None:
    venues = demo_venues(DemoMarket.LABORATORY, "fall", 3, ACCOUNTS)
    guarded, unguarded = venues.by_bot.values()
    books = [venue.market(CODE).book for venue in (guarded, unguarded)]
    assert books[0].asks.top(1_000) == books[1].asks.top(1_000)

    guarded.trade("guarded", CODE, 0.5)

    assert books[0].asks.top(1_000) != books[1].asks.top(1_000)
    assert (venues.account_state("guarded").fills > 0, venues.account_state("unguarded").fills) == (True, 0)
    assert venues.others() == "0 liquidations of others' positions, of 0 million USD"


@pytest.mark.parametrize(
    ("scenario", "asked", "market"),
    [
        ("fall", None, DemoMarket.LABORATORY),
        ("fall", "scripted", DemoMarket.SCRIPTED),
        ("recover", None, DemoMarket.SCRIPTED),
    ],
)
def test_the_laboratory_shows_the_fall_and_the_script_the_rest(
    scenario: str, asked: str | None, market: DemoMarket
) -> None:
    assert market_for(scenario, asked) is market


def test_a_market_that_has_no_such_scenario_is_refused() -> None:
    with pytest.raises(ValueError, match="'recover' is a course of the scripted market"):
        market_for("recover", "laboratory")
    with pytest.raises(ValueError, match="choose one of scripted, laboratory"):
        market_for("fall", "real")


def test_a_scenario_that_there_is_not_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing"):
        demo_venues(DemoMarket.SCRIPTED, "nothing", 1, ACCOUNTS)
