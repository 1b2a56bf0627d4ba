"""Commands followed from hop to hop: what is measured, what is written down and when, and what is said."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
import structlog
from msgspec import structs

from guard import traces as traces_module
from guard.audit import AnyRecord, CommandTraced, Step, TraceEnd
from guard.commands import CommandOutcome, OutcomeKind, PublishCommand
from guard.events import AnyEvent, MarketsSampled
from guard.hops import BUDGETS_NS, Hop
from guard.state import GuardState
from guard.traces import SAMPLED_EVERY, FrameTimings, Traces
from guard.units import NS_PER_MS, NS_PER_S, Nanoseconds
from perpguard_sdk.messages import ALL_SYMBOLS, AckStatus, Command, Entries, Pause
from tests.support.builders import ALPHA, ETH, MARKET, SYMBOL, acked, at, features, new_state, tick

BUDGET = BUDGETS_NS[Hop.DECIDE]


@dataclass
class Frames:
    """Stands for a feed that measures some of its frames."""

    decode_ns: list[int] = field(default_factory=list)
    apply_ns: list[int] = field(default_factory=list)

    def drain_timings(self) -> tuple[list[int], list[int]]:
        found = self.decode_ns, self.apply_ns
        self.decode_ns, self.apply_ns = [], []
        return found


@dataclass
class Bench:
    records: list[AnyRecord] = field(default_factory=list)
    frames: Frames = field(default_factory=Frames)
    state: GuardState = field(default_factory=lambda: new_state(ALPHA))
    traces: Traces = field(init=False)

    def __post_init__(self) -> None:
        self.traces = Traces(self.records.append)
        self.traces.frames = {"loopback": self.frames}.items
        self.traces.venue_lag_ms = {"loopback": 4.5}.get

    def decide(
        self,
        event: AnyEvent,
        *publishes: PublishCommand,
        begun: Nanoseconds | None = None,
        took: Nanoseconds = 500,
        outcomes: tuple[CommandOutcome, ...] = (),
    ) -> None:
        step = Step(at=event.received_at, event=event, commands=publishes, outcomes=outcomes)
        begun_at = event.received_at + 10 if begun is None else begun
        self.traces.after(step, self.state, begun_at, begun_at + took)

    @property
    def traced(self) -> list[CommandTraced]:
        assert all(isinstance(record, CommandTraced) for record in self.records)
        return [record for record in self.records if isinstance(record, CommandTraced)]


def pause(number: int = 1, *, attempt: int = 1, symbol: str = SYMBOL) -> PublishCommand:
    command = Pause(
        id=f"c{number}",
        bot=ALPHA,
        epoch=1,
        seq=number,
        ts=0,
        expires_at=1,
        posture_version=1,
        symbol=symbol,
        reason="depth_thin",
        dry_run=True,
        entries=Entries.REDUCE_ONLY,
    )
    return PublishCommand(command=command, attempt=attempt)


def sample(seconds: float, **fields: Any) -> Any:
    known = {"exchange_at": at(seconds) - 30_000, "book_at": at(seconds) - 20_000, **fields}
    return structs.replace(features(seconds), **known)


def answer(seconds: float, command: Command) -> AnyEvent:
    return acked(seconds, command, AckStatus.RECEIVED)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_command_is_written_down_with_all_its_hops_when_the_bot_has_answered(bench: Bench) -> None:
    publish = pause()
    bench.decide(sample(1.0), publish)
    bench.traces.durable(publish, at(1.0) + 2_510, ahead=False)
    bench.traces.taken(publish, at(1.0) + 5_510)
    assert bench.records == [], "nothing is written before it is over"
    bench.decide(answer(1.1, publish.command))

    assert bench.traced == [
        CommandTraced(
            at=at(1.1),
            command_id="c1",
            bot=ALPHA,
            attempt=1,
            cause="market_features",
            end=TraceEnd.ANSWERED,
            hops_ns={
                Hop.VENUE: 10_000,
                Hop.SAMPLE: 20_000,
                Hop.FEATURES: 10,
                Hop.DECIDE: 500,
                Hop.DURABLE: 2_000,
                Hop.PUBLISH: 3_000,
                Hop.BOT: 100 * NS_PER_MS - 5_510,
            },
            market=MARKET,
            venue_lag_ms=4.5,
            bot_at=at(1.1),
        )
    ]
    bench.decide(answer(1.2, publish.command))
    assert len(bench.records) == 1, "the second answer tells nothing new"


def test_every_hop_of_a_command_is_measured_once(bench: Bench) -> None:
    publish = pause()
    bench.decide(sample(1.0), publish)
    bench.traces.durable(publish, at(1.0) + 2_510, ahead=False)
    bench.traces.taken(publish, at(1.0) + 5_510)
    bench.decide(answer(1.1, publish.command))

    counts = {hop: latency.count for hop, latency in bench.traces.latencies.items() if latency.count}
    assert counts == dict.fromkeys(bench.traced[0].hops_ns, 1)


def test_a_batch_gives_the_sample_of_the_commands_own_market(bench: Bench) -> None:
    mine = sample(0.9)
    batch = MarketsSampled(
        received_at=at(1.0), samples=(structs.replace(sample(1.0), market=ETH, book_at=1), mine)
    )
    bench.decide(batch, pause())
    assert bench.traces.close(at(2.0))[0].hops_ns[Hop.SAMPLE] == 20_000


def test_a_tick_counts_from_the_latest_sample_of_the_market_and_says_so(bench: Bench) -> None:
    bench.state.apply(sample(0.75))
    bench.decide(tick(1.0), pause())

    (record,) = bench.traces.close(at(2.0))
    assert (record.cause, record.end) == ("tick", TraceEnd.STOPPED)
    assert record.hops_ns == {
        Hop.VENUE: 10_000,
        Hop.SAMPLE: 20_000,
        Hop.CAUSE: 250 * NS_PER_MS + 10,
        Hop.DECIDE: 500,
    }
    assert bench.traces.close(at(3.0)) == []


def test_without_any_sample_the_way_begins_with_the_cause(bench: Bench) -> None:
    bench.decide(tick(1.0), pause(symbol=ALL_SYMBOLS))
    (record,) = bench.traces.close(at(2.0))
    assert record.hops_ns == {Hop.CAUSE: 10, Hop.DECIDE: 500}
    assert record.market is None
    assert record.venue_lag_ms is None


@pytest.mark.parametrize("was_taken", [True, False])
def test_an_end_that_overtakes_the_brokers_word_waits_for_it(bench: Bench, was_taken: bool) -> None:
    publish = pause()
    bench.decide(sample(1.0), publish)
    bench.traces.durable(publish, at(1.0) + 2_510, ahead=False)
    bench.decide(answer(1.1, publish.command))
    bench.decide(tick(1.15), outcomes=(confirmed(),))
    assert bench.records == []
    bench.traces.taken(publish, at(1.2) if was_taken else None)

    (record,) = bench.traced
    assert (record.end, record.at) == (TraceEnd.ANSWERED, at(1.1))
    assert record.hops_ns.get(Hop.BOT) == (0 if was_taken else None)
    assert (Hop.PUBLISH in record.hops_ns) is was_taken


def confirmed() -> CommandOutcome:
    return CommandOutcome(
        command_id="c1", bot=ALPHA, outcome=OutcomeKind.CONFIRMED, source="venue", detail="", judged_at=1
    )


def test_an_outcome_before_any_answer_ends_it(bench: Bench) -> None:
    publish = pause()
    bench.decide(sample(1.0), publish)
    bench.traces.durable(publish, at(1.0) + 2_510, ahead=True)
    bench.traces.taken(publish, at(1.1))
    bench.decide(tick(1.25), outcomes=(confirmed(),))

    assert [(record.end, record.sent_ahead) for record in bench.traced] == [(TraceEnd.JUDGED, True)]
    assert Hop.BOT not in bench.traced[0].hops_ns


def test_what_the_broker_did_not_take_ends_when_it_is_judged(bench: Bench) -> None:
    publish = pause()
    bench.decide(sample(1.0), publish)
    bench.traces.durable(publish, at(1.0) + 2_510, ahead=False)
    bench.traces.taken(publish, None)
    bench.decide(tick(1.25), outcomes=(confirmed(),))
    assert [record.end for record in bench.traced] == [TraceEnd.JUDGED]


def test_what_ends_before_it_was_sent_waits_for_nothing(bench: Bench) -> None:
    bench.decide(sample(1.0), pause())
    bench.decide(tick(1.25), outcomes=(confirmed(),))
    assert [record.end for record in bench.traced] == [TraceEnd.JUDGED]
    assert Hop.DURABLE not in bench.traced[0].hops_ns


def test_each_attempt_is_a_way_of_its_own_and_the_answer_belongs_to_the_last(bench: Bench) -> None:
    first, second = pause(), pause(attempt=2)
    bench.decide(sample(1.0), first)
    bench.decide(tick(1.5), second)
    bench.traces.taken(first, at(1.6))  # the first went out late: it is not followed any more
    bench.traces.durable(second, at(1.7), ahead=False)
    bench.traces.taken(second, at(1.8))
    bench.decide(answer(1.9, first.command))

    assert [(each.attempt, each.end, Hop.BOT in each.hops_ns) for each in bench.traced] == [
        (1, TraceEnd.REPEATED, False),
        (2, TraceEnd.ANSWERED, True),
    ]


def test_too_many_at_once_end_the_oldest(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traces_module, "OPEN_MAX", 2)
    for number in (1, 2, 3):
        bench.decide(tick(float(number)), pause(number))
    assert [(each.command_id, each.end) for each in bench.traced] == [("c1", TraceEnd.STOPPED)]


def test_of_samples_without_commands_only_some_are_measured(bench: Bench) -> None:
    for number in range(3 * SAMPLED_EVERY):
        bench.decide(sample(float(number)))
    counts = {hop: latency.count for hop, latency in bench.traces.latencies.items() if latency.count}
    assert counts == dict.fromkeys((Hop.VENUE, Hop.SAMPLE, Hop.FEATURES, Hop.DECIDE), 3)
    assert bench.records == []


def test_a_sample_without_times_is_measured_as_far_as_it_goes(bench: Bench) -> None:
    for number in range(SAMPLED_EVERY):
        bench.decide(sample(float(number), exchange_at=None, book_at=None))
    counts = {hop: latency.count for hop, latency in bench.traces.latencies.items() if latency.count}
    assert counts == dict.fromkeys((Hop.FEATURES, Hop.DECIDE), 1)


def test_frames_that_their_reader_measured_are_taken_each_second_and_told_with_commands(bench: Bench) -> None:
    assert isinstance(bench.frames, FrameTimings)
    bench.frames.decode_ns, bench.frames.apply_ns = [2_000, 4_000, 3_000], [900]
    bench.decide(tick(1.0))
    bench.frames.decode_ns = [1]
    bench.decide(tick(1.25))  # not a second later yet
    assert bench.traces.latencies[Hop.DECODE].count == 3
    bench.decide(sample(1.5), pause())

    (record,) = bench.traces.close(at(2.0))
    assert (record.hops_ns[Hop.DECODE], record.hops_ns[Hop.BOOK]) == (3_000, 900)
    bench.decide(tick(2.0))
    assert bench.traces.latencies[Hop.DECODE].count == 4


def test_a_hop_over_its_budget_is_counted_each_time_and_said_once_a_minute_if_it_persists(
    bench: Bench,
) -> None:
    with structlog.testing.capture_logs() as said:
        for second in range(130):
            for number in range(SAMPLED_EVERY):
                bench.decide(sample(second + number / 100), took=BUDGET + (1 if second < 100 else 0))
    assert bench.traces.over_budget[Hop.DECIDE] == 100
    assert [each["hop"] for each in said] == ["decide", "decide"]


def test_a_hiccup_is_counted_and_not_said(bench: Bench) -> None:
    with structlog.testing.capture_logs() as said:
        for minute in range(10):
            for number in range(SAMPLED_EVERY):
                bench.decide(sample(minute * 60.0 + number / 100), took=BUDGET + 1)
    assert bench.traces.over_budget[Hop.DECIDE] == 10
    assert said == []


def test_times_that_run_backwards_count_as_none(bench: Bench) -> None:
    for number in range(SAMPLED_EVERY):
        bench.decide(sample(float(number), exchange_at=at(number) + 5 * NS_PER_S))
    assert bench.traces.latencies[Hop.VENUE].sum_s == 0.0
