"""The arms of the policies benchmark do what they are named for, and its figures follow from their accounts."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks._policies_accounts import LEVERAGES, Ran, Slot, slots_of
from benchmarks._policies_alone import BRAKED_S, Braked, Prices, braked_rows, run_alone
from benchmarks._policies_episode import ARMS, SCALES, EpisodeRan
from benchmarks._policies_freqtrade import Protected
from benchmarks._policies_guarded import Guarded
from benchmarks._policies_rows import Drawn, at_scale, exposure, rows_of, scale_at
from benchmarks.policies import settings_of
from guard.events import BookStatus, MarketFeatures, MarkPriceSeen
from guard.holdings import MarginMode
from guard.leverage.tiers import margin_tiers
from guard.margin_terms import TierTable
from guard.market.liquidity import side_features
from guard.units import NS_PER_S, MarketId

BTC = MarketId("bybit:BTC/USDT:USDT")
MARKETS = (BTC, MarketId("bybit:SOL/USDT:USDT"), MarketId("bybit:WIF/USDT:USDT"))
TIERS = {market: TierTable(market=market, tiers=margin_tiers([(0.0, 0.005, 100.0)])) for market in MARKETS}
START = 1_700_000_000 * NS_PER_S
STEPS = 400


def book(market: MarketId, at: int, mid: float) -> MarketFeatures:
    sizes = np.full(5, 1e6)
    away = np.array([0.0001, 0.001, 0.01, 0.05, 0.1])
    return MarketFeatures(
        received_at=at,
        market=market,
        status=BookStatus.OK,
        book_at=at,
        bid=mid * 0.9999,
        ask=mid * 1.0001,
        bids=side_features(mid * (1.0 - away), sizes, mid),
        asks=side_features(mid * (1.0 + away), sizes, mid),
    )


def prices(marks: np.ndarray, market: MarketId = BTC) -> Prices:
    at = START + 5 * NS_PER_S * np.arange(1, len(marks) + 1, dtype=np.int64)
    return Prices(at, marks, [book(market, int(t), float(p)) for t, p in zip(at, marks, strict=True)], [])


def falling(to: float) -> np.ndarray:
    """Still, then a fall within five minutes, then still."""
    return np.concatenate((np.full(100, 100.0), np.linspace(100.0, to, 60), np.full(STEPS - 160, to)))


def long(leverage: float, *, buys_dips: bool = False) -> Slot:
    return Slot(
        number=0,
        market=BTC,
        sign=1.0,
        leverage=leverage,
        mode=MarginMode.ISOLATED,
        buys_dips=buys_dips,
        opens_at=START + 5 * NS_PER_S,
    )


def end_of(given: Prices) -> int:
    return int(given.at[-1])


def test_every_market_has_a_long_and_a_short_and_leverage_goes_round() -> None:
    slots = slots_of(MARKETS, 0, START)
    assert {(slot.market, slot.sign) for slot in slots} == {(m, s) for m in MARKETS for s in (1.0, -1.0)}
    assert sorted(slot.leverage for slot in slots) == sorted(LEVERAGES)
    of_first = {slots_of(MARKETS, number, START)[0].leverage for number in range(6)}
    assert of_first == set(LEVERAGES)
    assert {slot.mode for slot in slots} == set(MarginMode)


def test_alone_a_long_is_liquidated_by_a_fall_that_its_margin_does_not_bear() -> None:
    given = prices(falling(88.0))
    held = {slot.leverage: slot for slot in slots_of(MARKETS, 0, START) if slot.sign > 0.0}
    fates = {
        leverage: run_alone(
            slot,
            {slot.market: TIERS[slot.market]},
            prices(falling(88.0), slot.market),
            START,
            end_of(given),
        ).liquidated_s
        for leverage, slot in held.items()
    }
    assert fates[3.0] is None
    assert fates[12.0] is not None


def test_less_leverage_is_counted_as_less_and_liquidates_less() -> None:
    given = prices(falling(88.0))
    slot = long(12.0)
    whole = run_alone(slot, TIERS, given, START, end_of(given))
    half = run_alone(slot, TIERS, given, START, end_of(given), scale=0.5)
    assert whole.liquidated_s is not None
    assert half.liquidated_s is None
    assert exposure([half]) < 0.6 * exposure([whole])


def test_a_brake_is_on_for_an_hour_after_a_fast_fall_and_for_longs_alone() -> None:
    given = prices(falling(95.0))
    on = braked_rows(given, 1.0)
    assert not braked_rows(given, -1.0).any()
    assert not on[:100].any()
    first = int(np.flatnonzero(on)[0])
    assert given.mark[first] == pytest.approx(98.0, abs=0.2)
    assert on[first:].sum() * 5 <= BRAKED_S + 300.0 + 5.0
    slot = long(5.0)
    ran = run_alone(slot, TIERS, given, START, end_of(given), wrap=lambda inner: Braked(inner, on, given))
    alone = run_alone(slot, TIERS, given, START, end_of(given))
    assert exposure([ran]) < exposure([alone])
    assert ran.equity > alone.equity


def test_a_locked_pair_is_not_entered_but_what_is_held_is_held() -> None:
    marks = np.concatenate((falling(88.0), np.full(STEPS, 88.0)))
    given = prices(marks)
    slot = long(5.0, buys_dips=True)
    alone = run_alone(slot, TIERS, given, START, end_of(given), scale=0.3)
    locked = run_alone(slot, TIERS, given, START, end_of(given), scale=0.3, wrap=Protected)
    assert locked.orders < alone.orders
    assert locked.drawdown == pytest.approx(alone.drawdown, rel=0.3)


def test_the_loop_closes_around_the_real_engine() -> None:
    """With all policies off nothing is done to an account that would not happen to it alone; bots obey a pause."""
    marks = falling(90.0)
    given = {market: prices(marks, market) for market in MARKETS}
    slots = slots_of(MARKETS, 0, START)
    events = [
        event
        for row in range(len(marks))
        for market in MARKETS
        for event in (
            given[market].books[row],
            MarkPriceSeen(
                received_at=int(given[market].at[row]), market=market, mark_price=float(marks[row])
            ),
        )
        if event is not None
    ]
    end = end_of(given[BTC])
    every = (
        "cut_leverage",
        "pause_entries",
        "pause_widely",
        "widen_stops",
        "respect_latency",
        "contain_collateral",
        "deleverage_exposure",
        "drawdown_brake",
        "venue_failure",
        "margin_tightening",
    )
    known = type(settings_of(None, ()).policies).model_fields
    settings = settings_of(None, [name for name in every if name in known])
    guarded = Guarded(settings, slots, TIERS, START, end, ())
    ran = guarded.run(events)
    alone = [run_alone(slot, TIERS, given[slot.market], START, end) for slot in slots]
    for own, other in zip(ran, alone, strict=True):
        assert (own.liquidated_s is None) == (other.liquidated_s is None)
        if not own.buys_dips:
            assert own.equity == pytest.approx(other.equity, abs=2e-3)
            assert own.notional_s == pytest.approx(other.notional_s, rel=0.02)
    assert guarded.ticks > STEPS / 2


def episode(
    gone: int, others: int, *, scenario: str = "fall", equity: float = 1.0, changes: int = 0
) -> EpisodeRan:
    def accounts(count: int, held: float, equity: float) -> list[Ran]:
        return [
            Ran(
                slot=str(at),
                market=BTC,
                leverage=5.0,
                mode="cross",
                buys_dips=False,
                sign=1.0,
                liquidated_s=1.0 if at < count else None,
                lived_s=3_600.0,
                notional_s=3_600.0 * held,
                equity=equity,
                changes=changes,
            )
            for at in range(10)
        ]

    return EpisodeRan(
        name="made up",
        world="news",
        scenario=scenario,
        hours=1.0,
        guarded=accounts(gone, 4.0, equity),
        others={
            arm: {scale: accounts(round(others * min(scale, 1.0)), 5.0 * scale, 1.0) for scale in SCALES}
            for arm in ARMS
        },
        spoken=[],
        reasons={},
        regimes=0,
        markets=1,
        cpu_s=0.0,
    )


def test_arms_are_held_at_the_leverage_of_the_guarded() -> None:
    ran = [episode(1, 10)]
    assert scale_at(ran, ARMS[0], 4.0) == pytest.approx(0.8)
    assert (
        at_scale(ran[0], ARMS[0], 0.85, lambda runs: float(sum(r.liquidated_s is not None for r in runs)))
        == 8.5
    )


def test_figures_say_what_came_of_accounts() -> None:
    ran = [episode(1, 10), episode(1, 10), episode(0, 0, scenario="calm", equity=0.9999, changes=3)]
    found = {result.case: result for result in rows_of(ran, Drawn(1, 50))}
    fewer = found["news: fewer liquidated, at equal mean leverage"]
    assert fewer.value == pytest.approx(1.0 - 2.0 / 16.0)
    assert fewer.met is True
    assert found["news: liquidated accounts"].baselines["unguarded"] == 100.0
    cost = found["calm, simulated: cost, of equity"]
    assert cost.value == pytest.approx(1.0 * 720.0)  # a basis point an hour
    assert cost.met is False
    assert found["calm, simulated: state changes"].value == 3.0
