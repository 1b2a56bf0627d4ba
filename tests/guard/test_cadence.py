"""How often markets are sampled: a stated deadline, and a share of one core for those that nobody needs."""

from __future__ import annotations

import pytest

from guard.cadence import Cadence
from guard.events import Tick
from guard.inbox import Inbox, OverloadSettings
from guard.ports import Importance
from guard.units import NS_PER_MS, NS_PER_S, market_id

BASE_NS = 250 * NS_PER_MS
HELD, TRADED, FAR = (market_id("venue", f"{base}/USDT:USDT") for base in ("BTC", "ETH", "SOL"))


def cadence(judge_us: float, **settings: float) -> Cadence:
    inbox = Inbox(OverloadSettings(**settings))  # type: ignore[arg-type]  # a test gives whole numbers too
    inbox.prefer({HELD}, {TRADED})
    return Cadence(inbox, judge_us=lambda: judge_us)


async def fall_behind(inbox: Inbox) -> None:
    inbox.put(Tick(received_at=NS_PER_S))
    inbox.put(Tick(received_at=3 * NS_PER_S))
    await inbox.take()
    assert inbox.shedding


def test_it_knows_who_matters() -> None:
    pace = cadence(0.0)

    assert [pace.importance(market) for market in (HELD, TRADED, FAR)] == list(Importance)


def test_few_markets_are_all_judged_at_the_full_pace() -> None:
    pace = cadence(100.0)
    pace.watch("venue", 20)

    assert {pace.period_ns(importance, BASE_NS) for importance in Importance} == {BASE_NS}


def test_many_markets_share_their_part_of_a_core() -> None:
    pace = cadence(400.0, far_share=0.2)
    pace.watch("venue", 400)
    pace.watch("other", 100)

    # 500 markets of 400 us are 200 ms of work, in a fifth of the time.
    assert pace.period_ns(Importance.FAR, BASE_NS) == NS_PER_S
    assert pace.period_ns(Importance.VITAL, BASE_NS) == BASE_NS
    assert pace.period_ns(Importance.TRADED, BASE_NS) == BASE_NS


def test_what_taking_a_sample_costs_counts_as_well() -> None:
    pace = cadence(0.0, far_share=0.1)
    pace.watch("venue", 500)
    for _ in range(200):
        pace.took(10, 2 * NS_PER_MS)
        pace.took(0, NS_PER_S)

    # 500 markets of 200 us are 100 ms of work, in a tenth of the time.
    assert pace.period_ns(Importance.FAR, BASE_NS) == pytest.approx(NS_PER_S, rel=1e-6)


def test_no_market_goes_without_a_sample_for_longer_than_the_deadline() -> None:
    pace = cadence(50_000.0, far_wait_ms_max=2_000)
    pace.watch("venue", 500)

    assert (
        pace.period_ns(Importance.FAR, BASE_NS) + BASE_NS == 2 * NS_PER_S
    )  # the rest is for its round and turn


async def test_an_engine_that_falls_behind_is_given_as_few_far_samples_as_may_be() -> None:
    pace = cadence(1.0, far_wait_ms_max=3_000)
    await fall_behind(pace.inbox)

    assert pace.period_ns(Importance.FAR, BASE_NS) + BASE_NS == 3 * NS_PER_S
    assert pace.period_ns(Importance.VITAL, BASE_NS) == BASE_NS


def test_a_venue_that_is_slower_than_the_deadline_keeps_its_own_pace() -> None:
    assert cadence(1.0).period_ns(Importance.FAR, 5 * NS_PER_S) == 5 * NS_PER_S


def test_a_venue_that_is_watched_no_more_takes_nothing() -> None:
    pace = cadence(400.0)
    pace.watch("venue", 1_000)
    pace.watch("venue", 0)

    assert pace.period_ns(Importance.FAR, BASE_NS) == BASE_NS
