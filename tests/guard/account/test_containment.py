"""What a step would do is what solving the changed pools says, and nothing is told that makes nothing better."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from math import inf, isfinite, isnan

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.account.containment import STEPS_MAX, containments, distance_bps, smallest
from guard.account.pools import Pool
from guard.account.risk import Containment
from guard.account.stress import directions_of, stress_distance
from guard.events import Position
from guard.leverage.margin_pool import Holding, Leg, MarginPool
from guard.leverage.tiers import margin_tiers
from guard.margin_terms import ContractKind
from guard.units import MarketId

BTC, ETH, SOL = (MarketId(f"v:{base}/USDT:USDT") for base in ("BTC", "ETH", "SOL"))
TIERS = margin_tiers([(0, 0.004, 125), (50_000, 0.005, 100), (250_000, 0.01, 50), (1_000_000, 0.025, 20)])
WANTED = 2_000.0


def leg(market: MarketId, size: float, entry: float = 100.0, mark: float = 100.0) -> Leg:
    return Leg(market=market, size=size, entry_price=entry, mark_price=mark, tiers=TIERS, closing_fee=0.0005)


def usdt(quantity: float) -> Holding:
    return Holding(asset="USDT", quantity=quantity, price_usd=1.0)


def pool(
    legs: Iterable[Leg], venue: Iterable[Holding], own: Iterable[Holding] | None = None, name: str = "cross"
) -> Pool:
    legs = tuple(legs)
    by_venue = MarginPool(legs=legs, holdings=tuple(venue))
    return Pool(
        name=name,
        positions=tuple(
            Position(market=each.market, size=each.size, settle="BTC" if each.kind == "inverse" else "USDT")
            for each in legs
        ),
        venue=by_venue,
        own=by_venue if own is None else replace(by_venue, holdings=tuple(own)),
        terms={},
    )


def solved(*pools: MarginPool) -> float:
    """The smallest distance of any of them along any direction, straight from the solver."""
    found = [
        stress_distance(each, direction).distance_bps
        for each in pools
        for direction in directions_of(each, {})
    ]
    return min((each for each in found if each is not None), default=inf)


def step(told: Iterable[Containment], begins: str) -> Containment:
    return next(each for each in told if each.step.startswith(begins))


def amount(told: Containment) -> float:
    """The first number of a step; a share in percent."""
    found = re.search(r"(?:add|with|by|sell) ([\d,.]+(?:e[+-]\d+)?)", told.step)
    assert found is not None
    return float(found[1].replace(",", ""))


def test_a_pool_that_stands_far_enough_has_no_steps() -> None:
    assert containments([pool([leg(BTC, 10.0)], [usdt(1_000.0)])], {}) == ()
    assert containments([], {}) == ()


def test_a_pool_of_which_something_is_missing_has_none_either() -> None:
    lacking = replace(pool([leg(BTC, 100.0)], [usdt(100.0)]), missing=("margin tiers of BTC",))
    assert containments([lacking], {}) == ()


def test_the_smallest_sum_that_reaches_is_told_and_does_what_solving_says() -> None:
    before = pool([leg(BTC, 1_000.0), leg(ETH, -500.0)], [usdt(10_000.0)])
    told = step(containments([before], {}), "add")
    added = amount(told)

    def with_sum(usd: float) -> float:
        return solved(replace(before.venue, holdings=(usdt(10_000.0 + usd),)))

    assert told.before_bps == pytest.approx(solved(before.venue))
    assert told.after_bps == pytest.approx(with_sum(added), rel=1e-4)
    assert with_sum(added) >= WANTED * (1 - 1e-4)
    assert with_sum(0.98 * added) < WANTED


def test_the_smallest_cut_that_reaches_is_told_with_what_it_costs() -> None:
    before = pool([leg(BTC, 1_000.0, entry=110.0)], [usdt(20_000.0)])
    told = step(containments([before], {}, closing=lambda _, __: 15.0), "reduce BTC")
    share = amount(told) / 100.0
    cost = share * 100_000.0 * (0.0015 + 0.0005)
    lost = share * 10_000.0

    after = MarginPool(
        legs=(leg(BTC, 1_000.0 * (1.0 - share), entry=110.0),), holdings=(usdt(20_000.0 - lost - cost),)
    )
    assert told.cost_usd == pytest.approx(cost, rel=1e-2)
    assert told.after_bps == pytest.approx(solved(after), rel=1e-2)
    assert told.after_bps is not None
    assert told.after_bps >= WANTED


def test_what_closing_costs_is_asked_for_the_side_that_is_closed() -> None:
    asked: dict[MarketId, float] = {}

    def closing(market: MarketId, usd: float) -> float:
        asked[market] = usd
        return 10.0

    containments([pool([leg(BTC, 500.0), leg(ETH, -800.0)], [usdt(8_000.0)])], {}, closing=closing)
    assert asked == {BTC: 50_000.0, ETH: -80_000.0}


def test_isolating_is_judged_by_the_worse_of_both_pools() -> None:
    before = pool([leg(BTC, 1_000.0), leg(ETH, 200.0, entry=150.0)], [usdt(25_000.0)])
    told = [each for each in containments([before], {}) if each.step.startswith("isolate")]
    assert len(told) == 2
    for each in told:
        margin = amount(each)
        alone, rest = (BTC, ETH) if "BTC" in each.step else (ETH, BTC)
        by_market = {found.market: found for found in before.venue.legs}
        parted = (
            MarginPool(legs=(by_market[alone],), holdings=(usdt(margin),)),
            MarginPool(legs=(by_market[rest],), holdings=(usdt(25_000.0 - margin),)),
        )
        assert each.after_bps == pytest.approx(solved(*parted), rel=1e-2)
        assert each.step.endswith("which does not help")


def test_isolating_helps_where_margin_alone_counts_for_more() -> None:
    cut = replace(usdt(25_000.0), haircut=0.5)
    before = pool([leg(BTC, 1_000.0), leg(ETH, 300.0)], [cut])
    told = step(containments([before], {}), "isolate BTC")
    margin = amount(told)
    parted = (
        MarginPool(legs=(leg(BTC, 1_000.0),), holdings=(usdt(margin),)),
        MarginPool(legs=(leg(ETH, 300.0),), holdings=(replace(cut, quantity=25_000.0 - margin),)),
    )

    assert told.after_bps == pytest.approx(solved(*parted), rel=1e-2)
    assert told.after_bps is not None
    assert told.after_bps > solved(before.venue) + 100.0


def test_isolating_is_not_told_where_the_venue_does_not_let_anybody() -> None:
    before = pool([leg(BTC, 100.0), leg(ETH, 10.0)], [usdt(1_000.0)])
    assert any(each.step.startswith("isolate") for each in containments([before], {}))
    steps = containments([replace(before, may_isolate=False)], {})
    assert steps
    assert not any(each.step.startswith("isolate") for each in steps)


def test_isolating_that_harms_is_told_as_what_it_does() -> None:
    """A pool whose margin stands in another asset has little money to give to a position alone."""
    before = pool(
        [leg(BTC, 1_000.0), leg(ETH, 1_000.0)],
        [usdt(500.0), Holding(asset="USDC", quantity=20_000.0, price_usd=1.0)],
    )
    told = step(containments([before], {}), "isolate")

    assert told.after_bps is not None
    assert told.before_bps is not None
    assert told.after_bps < told.before_bps
    assert told.step.endswith("which does not help")


def test_collateral_that_fell_with_the_positions_is_sold_at_what_selling_costs() -> None:
    coin = Holding(asset="BTC", quantity=100.0, price_usd=100.0, haircut=0.05, market=BTC)
    before = pool([leg(BTC, 450.0)], [usdt(1_000.0), coin], [usdt(1_000.0), replace(coin, haircut=0.1)])
    told = step(containments([before], {}, selling=lambda _, __: 50.0), "sell")
    sold = amount(told)

    got = sold * 100.0 * 0.995
    left = replace(coin, quantity=100.0 - sold)
    after = [
        MarginPool(legs=before.venue.legs, holdings=(usdt(1_000.0 + got), replace(left, haircut=share)))
        for share in (0.05, 0.1)
    ]
    assert told.cost_usd == pytest.approx(sold * 100.0 * 0.005, rel=1e-3)
    assert told.after_bps == pytest.approx(solved(*after), rel=1e-3)


def test_selling_gets_no_more_than_the_lower_of_two_prices() -> None:
    fallen = Holding(asset="USDE", quantity=10_000.0, price_usd=0.7, haircut=0.3)
    before = pool(
        [leg(BTC, 300.0)],
        [usdt(1_000.0), replace(fallen, price_usd=1.0, haircut=0.0)],
        [usdt(1_000.0), fallen],
    )
    told = containments([before], {}, selling=lambda _, __: 0.0, wanted_bps=9_000.0)
    sold = [each for each in told if each.step.startswith("sell")]

    for each in sold:
        got = amount(each) * 0.7
        own = (usdt(1_000.0 + got), replace(fallen, quantity=10_000.0 - amount(each)))
        assert each.after_bps == pytest.approx(
            min(solved(replace(before.own, holdings=own)), _venue_after(before, amount(each))), rel=1e-3
        )
    assert sold


def _venue_after(before: Pool, sold: float) -> float:
    first, second = before.venue.holdings
    return solved(
        replace(
            before.venue,
            holdings=(
                replace(first, quantity=first.quantity + 0.7 * sold),
                replace(second, quantity=second.quantity - sold),
            ),
        )
    )


def test_a_step_that_cannot_reach_says_so() -> None:
    before = pool([leg(BTC, 1_000.0), leg(ETH, 1_000.0)], [usdt(20_000.0)])
    told = step(containments([before], {}, wanted_bps=8_000.0), "reduce BTC")

    assert "not enough for 8,000 bps" in told.step
    assert told.after_bps is not None
    assert told.after_bps < 8_000.0


def test_those_that_reach_come_first_and_the_cheapest_before() -> None:
    before = pool([leg(BTC, 1_000.0), leg(ETH, 300.0), leg(SOL, -200.0)], [usdt(12_000.0)])
    told = containments([before], {}, closing=lambda _, __: 100.0)
    reaching = [each for each in told if each.after_bps is None or each.after_bps >= WANTED]

    assert list(told[: len(reaching)]) == reaching
    assert [each.cost_usd for each in reaching] == sorted(each.cost_usd for each in reaching)
    assert len(told) <= STEPS_MAX


def test_the_pool_that_is_nearest_is_the_one_that_is_helped() -> None:
    far = pool([leg(BTC, 100.0)], [usdt(1_500.0)], name="isolated BTC/USDT:USDT long")
    near = pool([leg(ETH, 100.0)], [usdt(500.0)], name="isolated ETH/USDT:USDT long")
    told = containments([far, near], {})

    assert distance_bps([far, near], {}) == told[0].before_bps == pytest.approx(solved(near.venue))
    assert all("ETH" in each.step for each in told)
    assert not any(each.step.startswith(("isolate", "sell")) for each in told)


def test_the_pool_of_an_inverse_position_is_helped_by_its_coin() -> None:
    market = MarketId("v:BTC/USD:BTC")
    inverse = Leg(
        market=market,
        size=100_000.0,
        entry_price=100.0,
        mark_price=100.0,
        tiers=margin_tiers([(0, 0.01, 50)]),
        kind=ContractKind.INVERSE,
    )
    coins = Holding(asset="BTC", quantity=100.0, price_usd=100.0, market=market)
    told = step(containments([pool([inverse], [coins])], {}), "add")

    assert " BTC to " in told.step
    after = MarginPool(legs=(inverse,), holdings=(replace(coins, quantity=100.0 + amount(told)),))
    assert told.after_bps == pytest.approx(solved(after), rel=1e-3)


def test_a_pool_that_fails_already_is_told_what_would_hold_it() -> None:
    before = pool([leg(BTC, 1_000.0, entry=120.0)], [usdt(15_000.0)])
    told = step(containments([before], {}), "add")

    assert told.before_bps == 0.0
    assert solved(replace(before.venue, holdings=(usdt(15_000.0 + amount(told)),))) >= WANTED * (1 - 1e-3)


@given(st.lists(st.floats(-10.0, 10.0), min_size=9, max_size=9), st.floats(0.0, 10.0))
def test_the_smallest_amount_reaches_whatever_lies_between(values: list[float], wanted: float) -> None:
    def reached(at: float) -> float:
        place = min(int(at), 7)
        return values[place] + (values[place + 1] - values[place]) * (at - place)

    found = smallest(reached, 8.0, wanted)
    if found is None:
        assert all(value < wanted for value in values[1:])
    else:
        assert 0.0 < found <= 8.0
        assert reached(found) >= wanted


SIZES = st.floats(-2_000.0, 2_000.0)


@settings(max_examples=25)
@given(
    st.tuples(SIZES, SIZES, SIZES),
    st.floats(60.0, 160.0),
    st.floats(0.0, 80_000.0),
    st.floats(-500.0, 500.0),
    st.floats(0.0, 1.0),
)
def test_whatever_the_account_no_step_makes_it_worse_and_none_is_nan(
    sizes: tuple[float, float, float], entry: float, cash: float, coins: float, share: float
) -> None:
    legs = [leg(market, size, entry) for market, size in zip((BTC, ETH, SOL), sizes, strict=True)]
    held = Holding(asset="ETH", quantity=coins, price_usd=100.0, market=ETH)
    odd = pool(legs, [usdt(cash), held], [usdt(cash), replace(held, haircut=share)])
    for each in containments([odd], {}):
        assert each.before_bps is not None
        assert isfinite(each.before_bps)
        assert each.before_bps >= 0.0
        if "does not help" not in each.step:
            assert each.after_bps is None or each.after_bps > each.before_bps
        assert not isnan(each.cost_usd)
        assert each.cost_usd >= 0.0
