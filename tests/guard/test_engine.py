"""The fold: deterministic, one finding for whatever raises, and an audit that does not grow without a reason."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

import pytest
from msgspec import structs

from guard.arbiter import Arbiter
from guard.audit import Step, encode_record
from guard.bots import BotRecord
from guard.dispatch import Dispatch
from guard.events import AnyEvent, BookStatus, MarketFeatures
from guard.findings import Finding, Reason, Severity, Subject
from guard.market.view import MarketView
from guard.policy import Policy
from guard.standing import MILDER_FOR_NS
from guard.units import NS_PER_S, Nanoseconds
from perpguard_sdk.messages import Entries
from policies.cut_leverage import CutLeverage
from policies.distrust_bots import DistrustBots
from policies.distrust_links import DistrustLinks
from policies.distrust_liquidation_prices import DistrustLiquidationPrices
from policies.distrust_stale_data import DistrustStaleData
from policies.keep_restart_floor import KeepRestartFloor
from policies.pause_entries import PauseEntries
from policies.widen_stops import WidenStops
from tests.support.builders import (
    ACCOUNT,
    ALPHA,
    BETA,
    ETH,
    MARKET,
    SYMBOL,
    Guard,
    SaysWhatItIsTold,
    at,
    born,
    features,
    finding,
    mark,
    order,
    position,
    reported,
    snapshot,
    started,
    tick,
)

EVERY_POLICY: tuple[Policy, ...] = (
    DistrustStaleData(),
    DistrustBots(),
    DistrustLinks(),
    KeepRestartFloor(),
    DistrustLiquidationPrices(),
    PauseEntries(),
    CutLeverage(),
    WidenStops(),
)


def a_minute_and_a_half(seed: int) -> Iterable[AnyEvent]:
    """A calm half minute, a book that empties under two bots, and its return."""
    chance = random.Random(seed)
    yield born(0.0, ALPHA)
    yield born(0.0, BETA)
    yield started(0.1)
    mid, held = 100.0, 30.0
    for step in range(900):
        seconds = 0.2 + step * 0.1
        depth = 1.0 if seconds < 45.0 or seconds > 70.0 else 0.08
        mid *= 1.0 + chance.gauss(0.0, 1e-4) - (4e-5 if 45.0 < seconds < 70.0 else 0.0)
        for market in (MARKET, ETH):
            yield features(
                seconds, mid, bid_size=100.0 * depth * chance.uniform(0.9, 1.1), ask_size=100.0, market=market
            )
        yield mark(seconds + 0.01, mid)
        yield mark(seconds + 0.01, mid, ETH)
        if step % 5 == 0:
            stop = order("s1", -held, stop_price=mid * 0.99, reduce_only=True)
            yield snapshot(
                seconds + 0.02, position(held, liquidation_price=92.0, mark_price=mid), orders=[stop]
            )
            yield reported(seconds + 0.03, ALPHA, size=held)
            yield reported(seconds + 0.03, BETA)
        if step % 3 == 0:
            yield tick(seconds + 0.04)


def test_the_same_events_give_byte_identical_steps() -> None:
    events = list(a_minute_and_a_half(seed=7))
    one = Guard.of(ALPHA, BETA, policies=EVERY_POLICY, markets=(MARKET, ETH))
    other = Guard.of(ALPHA, BETA, policies=EVERY_POLICY, markets=(MARKET, ETH))

    first = [encode_record(step) for step in one.feed(*events)]
    second = [encode_record(step) for step in other.feed(*events)]

    assert first == second
    assert one.commands, "a run in which nothing is decided proves little"


def test_what_is_left_out_because_nothing_has_changed_would_change_nothing() -> None:
    one = Guard.of(ALPHA, BETA, policies=EVERY_POLICY, markets=(MARKET, ETH))
    other = Guard.of(ALPHA, BETA, policies=EVERY_POLICY, markets=(MARKET, ETH))
    for event in a_minute_and_a_half(seed=11):
        other.engine.forget_shortcuts()
        assert encode_record(one.engine.process(event)) == encode_record(other.engine.process(event))


def test_an_arbiter_that_raises_in_one_market_blocks_entries_there_and_goes_on_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    guard = Guard.of(
        policies=[SaysWhatItIsTold([finding(entries=None, max_size=2.0)])], markets=(MARKET, ETH)
    )
    folds = Arbiter._fold_market

    def breaks(self: Arbiter, *arguments: Any) -> None:
        if MARKET in arguments:
            raise KeyError("planted")
        folds(self, *arguments)

    monkeypatch.setattr(Arbiter, "_fold_market", breaks)
    guard.feed(born(0.0, symbols=("*",)), started(0.1), tick(0.2), tick(0.3))

    opened = [one for step in guard.steps for one in step.opened if one.reason is Reason.POLICY_RAISED]
    (raised,) = opened
    assert (raised.policy, raised.subject) == ("arbiter", Subject(market=MARKET, bot=ALPHA))
    assert guard.posture().entries == {SYMBOL: Entries.REDUCE_ONLY}
    monkeypatch.undo()
    guard.feed(tick(0.4), tick(0.5))
    assert guard.posture().max_size == {SYMBOL: 2.0}
    assert guard.posture().entries == {SYMBOL: Entries.REDUCE_ONLY}, "until the hold-down is over"


def test_a_judgement_that_raises_blocks_entries_and_leaves_all_else_as_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    guard = Guard.of(policies=[SaysWhatItIsTold([finding(entries=None, max_size=2.0)])])
    guard.feed(born(0.0), started(0.1), tick(0.2))

    def breaks(*_arguments: Any) -> None:
        raise RecursionError("planted")

    monkeypatch.setattr(Arbiter, "fold_changed", breaks)
    (step,) = guard.feed(tick(0.4))
    assert [one.policy for one in step.opened] == ["judgement"]
    assert (guard.posture().entries, guard.posture().max_size) == (
        {SYMBOL: Entries.REDUCE_ONLY},
        {SYMBOL: 2.0},
    )
    assert guard.feed(tick(0.6))[0].opened == (), "once is enough"


def test_a_dispatch_that_raises_for_one_bot_still_serves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    guard = Guard.of(ALPHA, BETA, policies=[SaysWhatItIsTold([finding(entries=Entries.HALTED)])])
    steps = Dispatch._step_market

    def breaks(self: Dispatch, record: BotRecord, *arguments: Any) -> None:
        if record.config.bot == ALPHA:
            raise ValueError("planted")
        steps(self, record, *arguments)

    monkeypatch.setattr(Dispatch, "_step_market", breaks)
    first, second = guard.feed(born(0.0, ALPHA), born(0.0, BETA), started(0.1), tick(0.5))[-2:]

    assert {one.posture.bot for one in first.postures} == {ALPHA, BETA}
    assert {one.command.bot for one in guard.commands} == {BETA}
    assert [one.subject.bot for one in second.opened if one.policy == "dispatch"] == [ALPHA]


def test_a_policy_that_raises_is_a_finding_that_blocks_and_freezes_and_the_others_run() -> None:
    broken = SaysWhatItIsTold(name="broken", error=ZeroDivisionError("by zero"))
    guard = Guard.of(policies=[broken, SaysWhatItIsTold([finding(max_size=2.0)])])
    (step,) = guard.feed(tick(0.0))

    raised = next(one for one in step.opened if one.reason is Reason.POLICY_RAISED)
    assert raised.policy == "broken"
    assert raised.freezes
    assert raised.limit.entries is Entries.REDUCE_ONLY
    assert raised.evidence[0].value == "ZeroDivisionError: by zero"
    assert len(step.opened) == 2


def test_what_a_policy_found_before_it_raised_still_counts() -> None:
    def some(now: Nanoseconds) -> Iterable[Finding]:
        yield finding(max_size=2.0)
        raise ValueError(str(now))

    guard = Guard.of(policies=[SaysWhatItIsTold(some)])
    (step,) = guard.feed(tick(0.0))

    assert {one.reason for one in step.opened} == {Reason.DEPTH_THIN, Reason.POLICY_RAISED}


def test_an_estimator_that_raises_is_a_finding_of_its_market_until_it_no_longer_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    guard = Guard.of(markets=(MARKET, ETH))
    works = MarketView.apply

    def breaks(self: MarketView, event: object) -> None:
        if isinstance(event, MarketFeatures) and event.market == MARKET:
            raise FloatingPointError("log of nothing")
        works(self, event)

    monkeypatch.setattr(MarketView, "apply", breaks)
    guard.feed(features(0.0), features(0.0, market=ETH))
    (raised,) = guard.engine.findings
    assert (raised.reason, raised.subject.market) == (Reason.POLICY_RAISED, MARKET)

    monkeypatch.setattr(MarketView, "apply", works)
    guard.feed(features(1.0))
    assert guard.engine.findings == ()


def test_prices_and_activity_are_noted_and_judged_with_the_next_sample_or_tick() -> None:
    guard = Guard.of(policies=[SaysWhatItIsTold([finding(entries=Entries.HALTED)])])
    (noted, judged) = guard.feed(mark(0.0), tick(0.1))

    assert noted == Step(at=at(0.0), event=mark(0.0))
    assert judged.opened


# ---------------------------------------------------------------- what is recorded


def recorded(guard: Guard, first: int = 0) -> list[Step]:
    return [step for step in guard.steps[first:] if step.is_decision]


def flicker(now: Nanoseconds) -> list[Finding]:
    return [finding(entries=Entries.REDUCE_ONLY)] if now // (NS_PER_S // 4) % 3 else []


def jitter_of_severity(now: Nanoseconds) -> list[Finding]:
    severe = Severity.CRITICAL if now // (NS_PER_S // 4) % 2 else Severity.ACT
    return [finding(severity=severe, entries=Entries.REDUCE_ONLY)]


def jitter_of_limits(now: Nanoseconds) -> list[Finding]:
    factor = 1.0 + 0.2 * random.Random(now).uniform(-1.0, 1.0)
    return [finding(max_size=10.0 * factor, max_leverage=5.0 * factor, evidence=factor)]


@pytest.mark.parametrize("policy", [flicker, jitter_of_severity, jitter_of_limits])
def test_the_audit_does_not_grow_in_a_constant_world_that_jitters(policy: object) -> None:
    guard = Guard.of(policies=[SaysWhatItIsTold(policy)])  # type: ignore[arg-type]
    guard.feed(born(0.0), started(0.0))
    for second in range(300):
        said = guard.posture()
        guard.feed(
            reported(
                second,
                size=min(said.max_size.values(), default=8.0),
                entries=next(iter(said.entries.values()), Entries.ALLOWED),
                version=said.version,
                epoch=1,
            )
        )
        guard.ticks(second, second + 0.75)
    settled = len(guard.steps) // 3

    assert recorded(guard)
    assert recorded(guard, settled) == []


def test_a_finding_that_worsens_is_recorded_at_once_and_one_that_ends_when_that_has_lasted() -> None:
    policy = SaysWhatItIsTold([finding(max_size=10.0)])
    guard = Guard.of(policies=[policy])
    guard.feed(tick(0.0))
    policy.findings = [finding(max_size=8.0)]
    (worse,) = guard.feed(tick(0.1))
    policy.findings = []
    steps = guard.ticks(0.2, 0.2 + MILDER_FOR_NS / NS_PER_S)

    assert [one.limit.max_size for one in worse.opened] == [8.0]
    assert [len(step.closed) for step in steps] == [0] * (len(steps) - 1) + [1]


def test_a_finding_that_comes_back_meanwhile_was_never_gone() -> None:
    policy = SaysWhatItIsTold([finding()])
    guard = Guard.of(policies=[policy])
    guard.feed(tick(0.0))
    policy.findings = []
    guard.feed(tick(1.0))
    policy.findings = [finding()]
    guard.feed(tick(2.0))
    policy.findings = []
    steps = guard.ticks(3.0, 7.5)

    assert all(not step.closed for step in steps)


def test_with_every_policy_and_a_calm_market_nothing_is_decided_after_the_start() -> None:
    guard = Guard.of(ALPHA, BETA, policies=EVERY_POLICY, markets=(MARKET, ETH))
    guard.feed(born(0.0, ALPHA), born(0.0, BETA), started(0.0))
    chance = random.Random(3)
    for step in range(3_000):
        seconds = step * 0.1
        for market in (MARKET, ETH):
            jitter = chance.uniform(0.8, 1.2)
            guard.feed(features(seconds, bid_size=100.0 * jitter, ask_size=100.0 / jitter, market=market))
            guard.feed(mark(seconds, market=market))
        if step % 10 == 0:
            for bot in (ALPHA, BETA):
                said = guard.posture(bot)
                entries = next(iter(said.entries.values()), Entries.ALLOWED)
                guard.feed(reported(seconds, bot, entries=entries, version=said.version, epoch=1))
            guard.feed(snapshot(seconds, account=ACCOUNT), tick(seconds))

    late = [step for step in recorded(guard) if step.at > at(150.0)]
    outlooks = [outlook.market for step in late for outlook in step.outlooks]
    assert [step for step in late if structs.replace(step, outlooks=()).is_decision] == []
    assert [outlooks.count(MARKET), outlooks.count(ETH)] == [2, 2], "each market once a minute"
    assert guard.posture().entries == {}
    assert BookStatus.OK in {
        view.features.status for view in guard.engine.state.markets.values() if view.features
    }
