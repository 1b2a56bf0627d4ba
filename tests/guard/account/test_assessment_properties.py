"""Ten thousand random accounts through the whole fold: nothing raises, nothing is NaN, nothing healthy has failed."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Iterator
from random import Random

import msgspec
import pytest
from msgspec import structs

from guard.account.risk import AccountRisk, LegRisk
from guard.account.sensible import sensible_price
from guard.events import MarkPriceSeen, Tick
from guard.findings import Finding
from guard.leverage.margin_pool import LiquidationKind
from guard.margin_terms import TermsSource
from guard.state import GuardState
from guard.units import AccountId, MarketId
from policies.cut_leverage import CutLeverage
from policies.distrust_collateral import DistrustCollateral
from policies.distrust_liquidation_prices import DistrustLiquidationPrices
from tests.support.builders import MARKET, at
from tests.support.market import even_features
from tests.support.random_accounts import Scene, random_scene

ACCOUNTS = int(os.environ.get("RANDOM_ACCOUNTS", "5000"))
"""So many are drawn, a second for some six hundred; RANDOM_ACCOUNTS=10000 draws them all."""
REPLAYED_EVERY = 20

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(AccountRisk).decode


def test_random_accounts_are_assessed_without_a_number_that_is_none() -> None:
    seen: Counter[str] = Counter()
    for seed in range(ACCOUNTS):
        scene = random_scene(Random(seed))
        risk = scene.played().own.risk(scene.account)
        if risk is None:
            seen["nothing held"] += 1
            continue
        try:
            check(scene, risk, seen)
            if seed % REPLAYED_EVERY == 0:
                assert random_scene(Random(seed)).played().own.risk(scene.account) == risk, "another answer"
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}: {risk}") from error
    # None of what is claimed was claimed of nothing.
    share = ACCOUNTS / 10_000
    assert seen["nothing held"] < 500 * share, seen
    for what in (
        "healthy legs",
        "failed",
        "missing",
        "price",
        "cannot",
        "account_level",
        "stress",
        "holding",
    ):
        assert seen[what] > 100 * share, seen


def check(scene: Scene, risk: AccountRisk, seen: Counter[str]) -> None:
    assert is_as_written(risk), f"not finite: {odd_numbers(risk)}"
    distances = [leg.distance_bps for leg in risk.legs]
    distances += [
        each
        for stress in risk.stress
        for each in (stress.distance_bps, stress.venue_distance_bps, stress.own_distance_bps)
    ]
    assert all(each is None or each >= 0.0 for each in distances), "a distance below 0"
    seen["stress"] += len(risk.stress)
    seen["holding"] += len(risk.holdings)
    for leg in risk.legs:
        seen[leg.kind] += 1
        if leg.kind is LiquidationKind.MISSING:
            assert leg.missing, f"{leg.market} is missing without a word"
        if leg.kind is LiquidationKind.PRICE:
            assert leg.nearest is not None or leg.mark_price is None, f"no price of {leg.market}"
        assert leg.kind is not LiquidationKind.FAILED or leg.terms is not TermsSource.FORMULA, "by a formula"
        seconds = (leg.seconds_now, leg.seconds_stressed)
        assert all(each is None or each >= 0.0 for each in seconds), "a time below 0"
        assert leg.first_share is None or 0.0 <= leg.first_share <= 1.0
        assert leg.adl_rank is None or 0.0 <= leg.adl_rank <= 1.0
    for held in risk.holdings:
        assert 0.0 <= held.haircut <= 1.0
        assert 0.0 <= held.share <= 1.0
    check_health(scene, risk, seen)


def check_health(scene: Scene, risk: AccountRisk, seen: Counter[str]) -> None:
    if scene.free_usd is not None:
        assert all(leg.kind is not LiquidationKind.MISSING for leg in risk.legs), "all of it was told"
    for leg in risk.legs:
        if scene.free_usd is None or scene.free_usd[leg.pool] <= 0.0:
            continue
        seen["healthy legs"] += 1
        assert leg.kind is not LiquidationKind.FAILED, f"{leg.market} has {scene.free_usd[leg.pool]:.2f} free"
        assert leg.distance_bps is None or leg.distance_bps > 0.0, f"{leg.market} is at no distance"
        assert all(each.distance_bps != 0.0 for each in risk.stress if each.pool == leg.pool), "fails at once"


def is_as_written(risk: AccountRisk) -> bool:
    """Whether it comes back from JSON as it was, which nothing does that holds a NaN or an infinity."""
    try:
        return _decode(_encode(risk)) == risk
    except msgspec.ValidationError:  # null where a number must be
        return False


def odd_numbers(risk: AccountRisk) -> list[str]:
    found = numbers(msgspec.to_builtins(risk))
    return [path for path, number in found if not math.isfinite(number)]


def numbers(value: object, path: str = "") -> Iterator[tuple[str, float]]:
    """Every float in it, and where."""
    if isinstance(value, float):
        yield path, value
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from numbers(each, f"{path}.{key}")
    elif isinstance(value, list | tuple):
        for index, each in enumerate(value):
            yield from numbers(each, f"{path}[{index}]")


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_the_check_sees_numbers_that_are_none(number: float) -> None:
    account = AccountId("loopback:main")
    leg = LegRisk(market=MARKET, pool="cross", size=1.0, kind=LiquidationKind.PRICE)
    plain = AccountRisk(account=account, at=1, legs=(leg,))
    assert is_as_written(plain)
    for odd in (
        structs.replace(plain, net_usd=number),
        structs.replace(plain, equity_usd=number),
        structs.replace(plain, legs=(structs.replace(leg, distance_bps=number),)),
        structs.replace(plain, legs=(structs.replace(leg, size=number),)),
    ):
        assert not is_as_written(odd)
        assert len(odd_numbers(odd)) == 1


JUDGED = max(300, ACCOUNTS // 25)


def test_policies_ask_for_nothing_odd_of_random_accounts() -> None:
    seen: Counter[str] = Counter()
    policies = (CutLeverage(), DistrustLiquidationPrices(), DistrustCollateral())
    for seed in range(JUDGED):
        scene = random_scene(Random(seed))
        state = scene.played()
        marks = {
            position.market: mark
            for position in state.accounts[scene.account].positions
            if (mark := sensible_price(position.mark_price)) is not None and 1e-6 < mark < 1e9
        }
        for number in range(9):
            for market, mark in marks.items():
                # What a sale costs here is some bps of it.
                state.apply(even_features(at(6.0 + number * 0.25), mark, bid_size=1e4 / mark, market=market))
                state.apply(
                    MarkPriceSeen(received_at=at(6.0 + number * 0.25), market=market, mark_price=mark)
                )
        state.apply(Tick(received_at=at(8.1)))
        for policy in policies:
            for found in policy.decide(state, at(8.1)):
                seen[policy.name] += 1
                limits = (found.limit.max_size, found.limit.max_leverage)
                assert all(each is None or 0.0 <= each < math.inf for each in limits), f"seed {seed}: {found}"
                told = [one.value for one in found.evidence if isinstance(one.value, float)]
                assert all(map(math.isfinite, told)), f"seed {seed}: {found}"
                if policy.name == "cut_leverage" and found.limit.entries is not None:
                    check_cut(scene, state, found, seen)
    assert seen["cut_leverage"] > JUDGED // 10, seen
    assert seen["distrust_liquidation_prices"] > JUDGED // 10, seen
    assert seen["cuts"] > JUDGED // 30, seen


def check_cut(scene: Scene, state: GuardState, found: Finding, seen: Counter[str]) -> None:
    """What is cut is held, is cut to less, and is known to be near by somebody's word."""
    held = state.accounts[scene.account].legs(MarketId(str(found.subject.market)))
    assert held
    legs = [leg for leg in state.own.risks[scene.account].legs if leg.market == found.subject.market]
    assert any(leg.kind is not LiquidationKind.MISSING for leg in legs), "cut because of nothing known"
    seen["cuts"] += (found.limit.max_size or 0.0) < max(abs(position.size) for position in held)
