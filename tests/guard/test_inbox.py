"""What coalesces, what never does, and in which order it comes out."""

from __future__ import annotations

import asyncio

from msgspec import structs

from guard.events import (
    AnyEvent,
    BotAcked,
    CommandSent,
    HistoryPoint,
    LiquidationSeen,
    LongShortRatioSeen,
    MarketFeatures,
    MarketsSampled,
    MessageRefused,
    OpenInterestHistorySeen,
    OutsideFactSeen,
    Stream,
    StreamActivity,
    StreamFault,
    StreamFaultKind,
    StreamsActive,
    Tick,
    TrackedPosition,
    TrackedPositionsSeen,
)
from guard.inbox import ACKS_MAX, FAULTS_MAX, LIQUIDATIONS_MAX, Inbox, OverloadSettings
from guard.units import MarketId
from perpguard_sdk.messages import Entries, Pause
from tests.support.builders import (
    ALPHA,
    BETA,
    ETH,
    MARKET,
    acked,
    at,
    born,
    features,
    mark,
    reported,
    snapshot,
    tick,
)
from tests.support.builders import order as make_order


async def everything(inbox: Inbox) -> list[AnyEvent]:
    """Whatever waits; samples that come out together one by one."""
    events: list[AnyEvent] = []
    while len(inbox):
        event = await inbox.take()
        events += event.samples if isinstance(event, MarketsSampled) else [event]
    return events


def pause(number: int) -> Pause:
    return Pause(
        id=f"c{number}",
        bot=ALPHA,
        epoch=1,
        seq=number,
        ts=0,
        expires_at=1,
        posture_version=1,
        symbol="BTC/USDT:USDT",
        reason="depth_thin",
        dry_run=True,
        entries=Entries.REDUCE_ONLY,
    )


async def test_events_come_out_in_the_order_of_arrival() -> None:
    inbox = Inbox()
    events: list[AnyEvent] = [tick(0.0), mark(0.01), snapshot(0.02), born(0.03), features(0.04)]
    for event in events:
        inbox.put(event)

    assert await everything(inbox) == events


async def test_samples_of_a_market_coalesce_and_keep_the_sums_of_its_flow() -> None:
    inbox = Inbox()
    one = structs.replace(features(0.0), buy_usd=10.0, sell_usd=1.0, updates=3, gaps=1)
    two = structs.replace(features(1.0, 101.0), buy_usd=5.0, sell_usd=2.0, updates=4)
    inbox.put(one)
    inbox.put(features(0.5, market=ETH))
    inbox.put(two)

    merged, other = await everything(inbox)

    assert merged == structs.replace(two, buy_usd=15.0, sell_usd=3.0, updates=7, gaps=1)
    assert isinstance(other, MarketFeatures)
    assert other.market == ETH
    assert inbox.counts.coalesced == {"market_features": 1}


async def test_activity_of_a_stream_coalesces_to_its_sum_and_its_longest_gap() -> None:
    inbox = Inbox()
    for second, gap in ((1, 300), (2, 200)):
        inbox.put(
            StreamActivity(
                received_at=at(second),
                subject=MARKET,
                stream=Stream.BOOK,
                updates=5,
                last_at=at(second),
                gap_ns_max=gap,
            )
        )

    (event,) = await everything(inbox)

    assert isinstance(event, StreamActivity)
    assert (event.updates, event.gap_ns_max, event.last_at) == (10, 300, at(2))


async def test_only_the_latest_tick_price_account_and_report_wait() -> None:
    inbox = Inbox()
    for second in range(100):
        inbox.put(tick(second))
        inbox.put(mark(second, 100.0 + second))
        inbox.put(snapshot(second, orders=[make_order(f"o{second}", 1.0)]))
        inbox.put(reported(second, ALPHA, size=float(second)))
        inbox.put(reported(second, BETA))

    events = await everything(inbox)

    assert [type(event).__name__ for event in events] == [
        "Tick", "MarkPriceSeen", "AccountSnapshot", "BotReported", "BotReported",
    ]  # fmt: skip
    assert {event.received_at for event in events} == {at(99)}


async def test_a_report_that_asks_for_everything_again_is_not_hidden_by_the_next() -> None:
    inbox = Inbox()
    inbox.put(reported(0.0, resync=True))
    inbox.put(reported(0.1))

    assert len(inbox) == 2


async def test_acks_births_sendings_and_faults_are_not_dropped() -> None:
    inbox = Inbox()
    for number in range(ACKS_MAX):
        inbox.put(acked(number * 0.001, pause(number)))
    inbox.put(born(1.0, session="b1"))
    inbox.put(born(2.0, session="b2"))
    for number in range(10):
        inbox.put(CommandSent(received_at=at(number), command_id=f"c{number}", bot=ALPHA, ok=False))
        inbox.put(
            StreamFault(
                received_at=at(number), subject=MARKET, stream=Stream.BOOK, fault=StreamFaultKind.DISCONNECTED
            )
        )

    events = await everything(inbox)

    assert len(events) == ACKS_MAX + 22
    assert sum(isinstance(event, BotAcked) for event in events) == ACKS_MAX
    assert inbox.counts.dropped == {}


async def test_a_bot_that_floods_us_with_acks_loses_them_is_named_and_harms_no_other() -> None:
    inbox = Inbox()
    for number in range(3 * ACKS_MAX):
        inbox.put(acked(number * 0.001, pause(number)))
    inbox.put(acked(4.0, structs.replace(pause(1), bot=BETA)))

    events = await everything(inbox)

    acks = [event for event in events if isinstance(event, BotAcked)]
    assert [ack.ack.bot for ack in acks] == [ALPHA] * ACKS_MAX + [BETA]
    assert [(event.bot, event.count) for event in events if isinstance(event, MessageRefused)] == [
        (ALPHA, 2 * ACKS_MAX)
    ]
    assert inbox.counts.dropped == {"bot_acked": 2 * ACKS_MAX}
    inbox.put(acked(5.0, pause(7)))
    assert isinstance(await inbox.take(), BotAcked), "once it was read there is room again"


async def test_liquidations_are_bounded_and_the_oldest_goes() -> None:
    inbox = Inbox()
    inbox.put(tick(0.0))
    for number in range(LIQUIDATIONS_MAX + 5):
        inbox.put(
            LiquidationSeen(received_at=at(number), market=MARKET, size=1.0, price=100.0, notional_usd=100.0)
        )

    events = await everything(inbox)

    assert len(events) == LIQUIDATIONS_MAX + 1
    assert inbox.counts.dropped == {"liquidation": 5}
    assert isinstance(events[0], Tick)
    assert events[1].received_at == at(5)


async def test_faults_of_a_flapping_stream_are_bounded() -> None:
    inbox = Inbox()
    for number in range(FAULTS_MAX + 3):
        inbox.put(
            StreamFault(
                received_at=at(number * 0.001),
                subject=MARKET,
                stream=Stream.BOOK,
                fault=StreamFaultKind.DISCONNECTED,
            )
        )

    assert len(inbox) == FAULTS_MAX
    assert inbox.counts.dropped == {"stream_fault": 3}


async def test_strangers_cannot_fill_it_by_inventing_topics() -> None:
    inbox = Inbox()
    for number in range(10_000):
        topic = f"perpguard/v1/home/bot/stranger-{number}/ack"
        inbox.put(MessageRefused(received_at=at(number), topic=topic, detail="unknown bot"))

    assert len(inbox) == 1
    assert [event.count for event in await everything(inbox) if isinstance(event, MessageRefused)] == [10_000]


async def test_take_waits_for_what_comes_later() -> None:
    inbox = Inbox()
    taking = asyncio.create_task(inbox.take())
    await asyncio.sleep(0)
    assert not taking.done()

    inbox.put(tick(1.0))

    assert await asyncio.wait_for(taking, 1.0) == tick(1.0)


HELD, TRADED = MARKET, ETH
FAR = [MarketId(f"loopback:FAR{number}/USDT:USDT") for number in range(200)]


def busy_inbox(**settings: int) -> Inbox:
    inbox = Inbox(OverloadSettings(**settings))
    inbox.prefer({HELD}, {HELD, TRADED})
    return inbox


async def test_what_matters_goes_first_once_the_engine_does_not_keep_up() -> None:
    inbox = busy_inbox()
    for market in FAR:
        inbox.put(features(0.0, market=market))
    inbox.put(features(0.0, market=TRADED))
    inbox.put(features(0.0, market=HELD))
    inbox.put(snapshot(0.1))
    inbox.put(tick(0.3))

    taken = [await inbox.take() for _ in range(4)]

    assert [named(event) for event in taken] == [(HELD,), "AccountSnapshot", "Tick", (TRADED,)]
    assert inbox.shedding
    assert inbox.counts.overtaken == {"far": 4}
    assert inbox.waiting() == {"vital": 0, "traded": 0, "far": 200}


def named(event: AnyEvent) -> object:
    """The markets whose samples came out together, or what else it is."""
    if isinstance(event, MarketsSampled):
        return tuple(sample.market for sample in event.samples)
    return type(event).__name__


async def test_samples_that_matter_alike_come_out_together_in_the_order_of_their_arrival() -> None:
    inbox = busy_inbox()
    for number, market in enumerate((FAR[1], FAR[0], HELD, FAR[2], TRADED)):
        inbox.put(features(number * 0.01, market=market))
    inbox.put(features(0.05, 101.0, market=FAR[1]))
    inbox.put(tick(0.06))

    first = await inbox.take()
    waits_ms = [round(wait / 1e6) for wait in inbox.waits_ns]
    rest = [named(await inbox.take()) for _ in range(3)]

    assert named(first) == (FAR[1], FAR[0], FAR[2])
    assert isinstance(first, MarketsSampled)
    assert first.received_at == at(0.05), "the latest of theirs"
    assert (waits_ms, inbox.lag_ns) == ([60, 50, 30], 0)
    assert rest == [(HELD,), (TRADED,), "Tick"]
    assert inbox.counts.taken == {"market_features": 5, "tick": 1}
    assert (len(inbox), inbox.take_now()) == (0, None)


async def test_so_many_samples_come_out_together_as_make_one_short_step() -> None:
    inbox = busy_inbox()
    inbox.batch_max = 30
    for market in FAR[:70]:
        inbox.put(features(0.0, market=market))

    sizes = [len(event.samples) for _ in range(3) if isinstance(event := await inbox.take(), MarketsSampled)]

    assert sizes == [30, 30, 10]


async def test_a_sample_does_not_overtake_what_broke_its_book_before() -> None:
    inbox = busy_inbox()
    inbox.put(features(0.0, market=FAR[0]))
    kind = StreamFaultKind.DISCONNECTED
    inbox.put(StreamFault(received_at=at(0.1), subject=FAR[1], stream=Stream.BOOK, fault=kind))
    for market in FAR[1:3]:
        inbox.put(features(0.2, market=market))

    taken = [named(await inbox.take()) for _ in range(3)]

    assert taken == [(FAR[0], FAR[2]), "StreamFault", (FAR[1],)]


async def test_samples_that_waited_too_long_are_counted_by_who_they_matter_to() -> None:
    inbox = busy_inbox(held_wait_ms_max=100, traded_wait_ms_max=400, far_wait_ms_max=1_000)
    for market in (HELD, TRADED, *FAR[:2]):
        inbox.put(features(0.0, market=market))
    inbox.put(tick(0.5))
    await everything(inbox)

    assert inbox.counts.late == {"vital": 1, "traded": 1}


async def test_what_all_streams_of_a_venue_delivered_adds_up_while_it_waits() -> None:
    inbox = Inbox()

    def active(second: float, *subjects: MarketId) -> StreamsActive:
        said = [
            StreamActivity(
                received_at=at(second),
                subject=each,
                stream=Stream.BOOK,
                updates=2,
                last_at=at(second),
                gap_ns_max=9,
            )
            for each in subjects
        ]
        return StreamsActive(received_at=at(second), activities=tuple(said))

    inbox.put(active(1.0, MARKET, ETH))
    inbox.put(active(2.0, ETH))
    inbox.put(active(2.0, MarketId("other:BTC/USDT:USDT")))

    (ours, others) = await everything(inbox)

    assert isinstance(ours, StreamsActive)
    assert isinstance(others, StreamsActive)
    assert {each.subject: (each.updates, each.last_at) for each in ours.activities} == {
        MARKET: (2, at(1.0)),
        ETH: (4, at(2.0)),
    }
    assert len(others.activities) == 1


async def test_nothing_is_overtaken_while_it_keeps_up() -> None:
    inbox = busy_inbox()
    for number, market in enumerate(FAR):
        inbox.put(features(number * 0.001, market=market))
    inbox.put(tick(0.2))

    assert [type(event).__name__ for event in await everything(inbox)][-1] == "Tick"
    assert (inbox.shedding, inbox.counts.sheddings, inbox.counts.overtaken) == (False, 0, {})


async def test_far_markets_are_judged_less_often_but_never_left_out_for_long() -> None:
    """Four times as much comes as can be judged, for a minute; times in seconds."""
    inbox = busy_inbox(far_wait_ms_max=1_000)
    inbox.batch_max = 8
    waits: dict[str, float] = {"held": 0.0, "far": 0.0}
    for step in range(240):
        second = step * 0.25
        for market in (HELD, *FAR[:100]):
            inbox.put(features(second, market=market))
        inbox.put(tick(second))
        judged = 0
        while judged < 26:  # of 102
            event = await inbox.take()
            judged += len(event.samples) if isinstance(event, MarketsSampled) else 1
            kind = "far" if isinstance(event, MarketsSampled) and event.samples[0].market != HELD else "held"
            waits[kind] = max(waits[kind], inbox.lag_ns / 1e9)

    assert inbox.shedding
    assert waits["held"] <= 0.5, "it waits until shedding begins, and no more then"
    assert 0.5 < waits["far"] <= 1.5
    assert inbox.counts.dropped == {}


async def test_shedding_ends_once_it_has_kept_up_for_a_while() -> None:
    inbox = busy_inbox(recover_ms=5_000)
    inbox.put(features(0.0, market=FAR[0]))
    inbox.put(tick(1.0))
    await everything(inbox)
    assert inbox.shedding

    for second in range(2, 6):
        inbox.put(tick(second))
        await inbox.take()
    assert inbox.shedding, "it has kept up for less than 5 s"

    inbox.put(tick(6.1))
    await inbox.take()
    assert not inbox.shedding
    assert inbox.counts.sheddings == 1


async def test_the_order_of_one_market_stays_when_it_becomes_more_important() -> None:
    inbox = busy_inbox()
    inbox.put(features(0.0, 100.0, market=FAR[0]))
    inbox.prefer({FAR[0]}, set())
    inbox.put(features(0.1, 101.0, market=FAR[0]))

    assert len(inbox) == 1
    (event,) = await everything(inbox)
    assert isinstance(event, MarketFeatures)
    assert event.received_at == at(0.1)


def _tracked(seconds: float, accounts: tuple[str, ...], **sizes: float) -> TrackedPositionsSeen:
    positions = tuple(
        TrackedPosition(account=account, size=size, entry_price=1.0, liquidation_price=None)
        for account, size in sizes.items()
    )
    return TrackedPositionsSeen(
        received_at=at(seconds), market=MARKET, accounts=accounts, positions=positions, asked_accounts=3
    )


async def test_tracked_positions_that_wait_are_replaced_account_by_account() -> None:
    inbox = Inbox()
    inbox.put(_tracked(1, ("a", "b"), a=1.0, b=2.0))
    inbox.put(_tracked(2, ("b", "c"), c=3.0))
    assert await everything(inbox) == [_tracked(2, ("a", "b", "c"), a=1.0, c=3.0)]


async def test_what_estimators_are_fed_with_coalesces_to_the_latest() -> None:
    inbox = Inbox()
    latest: list[AnyEvent] = []
    for seconds in (0.1, 0.2):
        point = HistoryPoint(at=0, price=1.0, open_interest=float(seconds))
        latest = [
            OpenInterestHistorySeen(received_at=at(seconds), market=MARKET, points=(point,)),
            LongShortRatioSeen(received_at=at(seconds), market=MARKET, longs_share=0.1 * seconds),
            OutsideFactSeen(
                received_at=at(seconds),
                name="etf_flow",
                value=float(seconds),
                unit="usd",
                source="paper",
                expires_at=at(9),
            ),
            LongShortRatioSeen(received_at=at(seconds), market=ETH, longs_share=0.5),
        ]
        for event in latest:
            inbox.put(event)
    assert await everything(inbox) == latest
