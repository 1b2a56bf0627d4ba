"""What is said when the loop does not keep up, and what is counted."""

from __future__ import annotations

from guard.audit import Step
from guard.events import AnyEvent, LinkChanged, LinkKind
from guard.findings import Reason
from guard.inbox import Inbox
from guard.load import Load
from guard.units import NS_PER_MS, MarketId
from policies.distrust_links import DistrustLinks
from tests.support.builders import ACCOUNT, ALPHA, MARKET, at, features, new_state, position, snapshot, tick

FAR = MarketId("loopback:FAR/USDT:USDT")


def step(event: AnyEvent) -> Step:
    return Step(at=event.received_at, event=event)


async def test_shedding_is_said_once_freezes_what_stands_and_its_end_is_said_too() -> None:
    said: list[AnyEvent] = []
    inbox, state = Inbox(), new_state(ALPHA)
    load = Load(inbox, said.append, tick_ns=250 * NS_PER_MS)
    for second in (0.0, 1.0, 2.0):
        inbox.put(features(second, market=FAR))
        inbox.put(tick(second + 0.9))
        inbox.put(tick(second + 0.95))
        load.after(step(await inbox.take()), state, took_ns=NS_PER_MS)
        assert inbox.shedding
        assert (said != []) is (second >= 1.0), "a hiccup is not worth a word"
        load.after(step(await inbox.take()), state, took_ns=NS_PER_MS)

    (down,) = said
    assert isinstance(down, LinkChanged)
    assert (down.link, down.up) == (LinkKind.ENGINE, False)
    state.apply(down)
    (found,) = DistrustLinks().decide(state, at(1.0))
    assert (found.reason, found.freezes, found.limit.entries) == (Reason.OVERLOADED, True, None)

    inbox.put(tick(20.0))
    load.after(step(await inbox.take()), state, took_ns=NS_PER_MS)
    assert [event.up for event in said if isinstance(event, LinkChanged)] == [False, True]
    state.apply(said[-1])
    assert list(DistrustLinks().decide(state, at(20.0))) == []


async def test_what_a_sample_costs_decides_how_many_are_judged_at_once() -> None:
    inbox = Inbox()
    load = Load(inbox, lambda event: None, tick_ns=250 * NS_PER_MS)
    for number in range(400):
        for market in (MARKET, FAR):
            inbox.put(features(number * 0.25, market=market))
        load.after(step(await inbox.take()), new_state(), took_ns=200_000)

    assert round(load.judge_us) == 100
    assert inbox.batch_max == 200, "20 ms"


async def test_the_age_of_judgements_is_measured_by_who_they_matter_to() -> None:
    inbox = Inbox()
    inbox.prefer({MARKET}, frozenset())
    load = Load(inbox, lambda event: None, tick_ns=250 * NS_PER_MS)
    for market in (MARKET, FAR):
        inbox.put(features(0.0, market=market))
    inbox.put(tick(0.5))
    for _ in range(3):
        load.after(step(await inbox.take()), new_state(), took_ns=100 * NS_PER_MS)

    ages = {each.name: (age.count, age.max_s) for each, age in load.ages.items()}
    assert ages == {"VITAL": (1, 0.6), "TRADED": (0, 0.0), "FAR": (1, 0.6)}
    assert inbox.counts.late == {"vital": 1}


async def test_positions_of_any_account_and_markets_of_bots_matter() -> None:
    inbox, state = Inbox(), new_state(ALPHA)
    load = Load(inbox, lambda event: None, tick_ns=250 * NS_PER_MS)
    held = snapshot(0.0, position(1.0, market=FAR))
    assert held.account == ACCOUNT
    state.apply(held)
    load.after(step(held), state, took_ns=0)
    for market in (MARKET, FAR):
        inbox.put(features(1.0, market=market))

    assert inbox.waiting()["vital"] == 1
    assert inbox.waiting()["traded"] + inbox.waiting()["far"] == 1


def test_late_ticks_are_measured_against_their_beat() -> None:
    load = Load(Inbox(), lambda event: None, tick_ns=250 * NS_PER_MS)
    for second in (0.0, 0.25, 0.5, 1.5):
        load.after(step(tick(second)), new_state(), took_ns=2 * NS_PER_MS)

    assert (load.tick_late.count, load.tick_late.max_s) == (3, 0.75)
    assert (load.processed.count, load.processed.max_s) == (4, 0.002)
